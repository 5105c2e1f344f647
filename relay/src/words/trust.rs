//! What the `trust` commands print, in Japanese or English, or as JSON.

use relay::admin::{AddError, Finding, Level, Listed};
use serde_json::{Value, json};

/// Whether the operator reads Japanese: `HIKYAKU_LANG`, else the locale.
pub(crate) fn in_japanese() -> bool {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    ["HIKYAKU_LANG", "LC_ALL", "LC_MESSAGES", "LANG"]
        .into_iter()
        .find_map(set)
        .is_some_and(|language| language.starts_with("ja"))
}

fn pick<'a>(ja: &'a str, en: &'a str) -> &'a str {
    if in_japanese() { ja } else { en }
}

fn said([ja, en]: &[String; 2]) -> &str {
    pick(ja, en)
}

/// `trust list`
pub(crate) fn listed(listed: &[Listed], json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(listed)?);
        return Ok(());
    }
    if listed.is_empty() {
        println!("{}", pick("証明書はありません。", "There are no certificates."));
    }
    for one in listed {
        certificate(one);
    }
    Ok(())
}

fn certificate(one: &Listed) {
    println!("{}  {}", one.purpose.name(), one.subject);
    println!("    SHA-256  {}", one.sha256);
    let left = match one.days_left {
        ..=-1 => pick("失効（期限切れ）", "ended").to_owned(),
        days if in_japanese() => format!("残り {days} 日"),
        days => format!("{days} days left"),
    };
    println!(
        "    {}  {} – {}  ({left})",
        pick("有効期間", "valid"),
        one.not_before,
        one.not_after
    );
    if let Some([ja, en]) = one.official {
        println!("    {}  {}", pick("既知の証明書", "known as"), pick(ja, en));
    }
    println!("    {}  {}", pick("ファイル", "file"), one.file.display());
}

/// `trust add`
pub(crate) fn added(added: &Listed, reloaded: &Value, json: bool) -> anyhow::Result<()> {
    if json {
        let answer = json!({ "added": added, "trust": reloaded });
        println!("{}", serde_json::to_string_pretty(&answer)?);
        return Ok(());
    }
    println!("{}", pick("追加しました:", "Added:"));
    certificate(added);
    reload(reloaded, false)
}

/// `trust reload`
pub(crate) fn reload(reloaded: &Value, json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(reloaded)?);
        return Ok(());
    }
    let digest = reloaded["digest"].as_str().unwrap_or_default();
    let said = if reloaded["recorded"] == true {
        pick(
            "変更を監査証跡に記録しました。ポリシーと信頼点のハッシュ値:",
            "The change is recorded in the trail. Digest of policy and anchors:",
        )
    } else {
        pick(
            "変更はありません。ポリシーと信頼点のハッシュ値:",
            "Nothing has changed. Digest of policy and anchors:",
        )
    };
    println!("{said} {digest}");
    Ok(())
}

/// Why nothing was added; with what was seen where the fingerprint differs.
pub(crate) fn refused(error: &AddError) -> String {
    if !in_japanese() {
        return match error {
            AddError::Mismatch(seen) => format!(
                "{error}\n  subject  {}\n  SHA-256  {}\n  ends     {}",
                seen.subject, seen.sha256, seen.not_after
            ),
            other => other.to_string(),
        };
    }
    match error {
        AddError::Mismatch(seen) => format!(
            "証明書の SHA-256 が指定と違います。追加していません。\n  主体者   {}\n  SHA-256  {}\n  期限     {}",
            seen.subject, seen.sha256, seen.not_after
        ),
        AddError::Fingerprint => "--sha256 は 16 進 64 桁です（コロン可）。".to_owned(),
        AddError::NotOne(file, why) => {
            format!("{}: DER または PEM の証明書 1 通が必要です ({why})。", file.display())
        }
        AddError::NotCa(seen) => format!("{} は認証局の証明書ではありません。追加していません。", seen.subject),
        AddError::Ended(seen) => format!(
            "{} の有効期限は {} に切れています。追加していません。",
            seen.subject, seen.not_after
        ),
        AddError::Forged(seen) => format!("{} の自己署名が正しくありません。追加していません。", seen.subject),
        AddError::Present(seen) => format!("{} はすでにあります: {}", seen.subject, seen.file.display()),
        AddError::OtherPurpose(seen) => format!(
            "{} はすでに別の用途の信頼点です ({})。署名者とタイムスタンプの信頼点は共用できません。",
            seen.subject,
            seen.file.display()
        ),
        AddError::Trust(error) => error.to_string(),
        AddError::Io(path, error) => format!("{}: {error}", path.display()),
    }
}

/// `trust check`: one line each. How many fail.
pub(crate) fn findings(findings: &[Finding], json: bool) -> anyhow::Result<usize> {
    if json {
        println!("{}", serde_json::to_string_pretty(findings)?);
    } else {
        for one in findings {
            let level = match one.level {
                Level::Ok => "ok  ",
                Level::Warn => "warn",
                Level::Fail => "FAIL",
            };
            println!("{level}  {}", said(&one.what));
        }
    }
    Ok(findings.iter().filter(|one| one.level == Level::Fail).count())
}
