//! `verify --replay`: the verdict of a report from what the report says it was made from, and whether that is true of a file.

use std::io::Read as _;
use std::path::Path;

use serde_json::{Value, json};
use trust_store::ValidationReport;
use trust_store::validation::{MAX_REPORT, Mismatch};

use super::{Options, exit, read, shown};
use crate::context::Context;
use crate::error::{Code, Exit, Failure};
use crate::output::{Line, Output, Tone};
use crate::{files, trust};

/// Replays `report`. Without `--trust` it must come out the same in every byte; with it, judged by the anchors and the policy
/// given, the verdict must.
pub(super) fn run(context: &Context, options: &Options, report: &Path) -> Result<Exit, Failure> {
    let output = context.output;
    let unusable =
        |error: &dyn std::fmt::Display| Failure::new(Code::FileMalformed, format!("{}: {error}", report.display()));
    let told = ValidationReport::from_json(&bytes(report)?).map_err(|error| unusable(&error))?;
    let again = match &options.trust {
        Some(directory) => trust::load(directory)?.replay(&told),
        None => told.replay(),
    };
    let again = again.map_err(|error| unusable(&error))?;
    let mismatch = match &options.file {
        Some(file) => told.speaks_of(&read(options, file, output)?).err(),
        None => None,
    };
    let parts = differences(&told, &again, options.trust.is_some());
    if parts.is_empty() && mismatch.is_none() {
        let value = serde_json::to_value(&again).unwrap_or(Value::Null);
        let mut lines = shown::lines(&again, output, options.verbose);
        lines.push(Line::new(Tone::Plain, caution(options, output)));
        output.print_lines(&value, &lines);
        return Ok(exit(again.indication));
    }
    let value = json!({
        "differences": parts,
        "mismatch": mismatch.map(|mismatch| mismatch.to_string()),
        "recorded": told,
        "replayed": again,
    });
    output.print(&value, &both(&told, &again, &parts, mismatch, output));
    Ok(Exit::Refused)
}

fn bytes(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    // One byte more than is taken tells that there is more.
    files::open(path)?
        .take(MAX_REPORT as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| files::unreadable(path, &error))?;
    Ok(bytes)
}

/// Which parts of the report do not come out again; of those that other anchors may change, with `own_trust`, only the verdict.
fn differences(told: &ValidationReport, again: &ValidationReport, own_trust: bool) -> Vec<&'static str> {
    let mut parts = Vec::new();
    let mut compare = |name, same: bool| {
        if !same {
            parts.push(name);
        }
    };
    compare("indication", told.indication == again.indication);
    compare("sub_indication", told.sub_indication == again.sub_indication);
    compare("level", told.level == again.level);
    compare(
        "best_signature_time",
        told.best_signature_time == again.best_signature_time,
    );
    compare("signer", told.signer == again.signer);
    compare("files", told.files == again.files);
    if !own_trust {
        compare("timestamps", told.timestamps == again.timestamps);
        compare("checks", told.checks == again.checks);
        compare("signatures", told.signatures == again.signatures);
        compare(
            "embedded_signatures",
            told.embedded_signatures == again.embedded_signatures,
        );
        compare("container_sha256", told.container_sha256 == again.container_sha256);
        compare("diagnostic", told.diagnostic == again.diagnostic);
        compare("version", told.version == again.version);
    }
    parts
}

/// What the replay does and does not show.
fn caution(options: &Options, output: Output) -> String {
    let file = options.file.is_some();
    let (japanese, english) = match (file, options.trust.is_some()) {
        (true, true) => (
            "再検証: 報告書はこのファイルのもので、指定した信頼点でも同じ結論です。",
            "Replayed: the report is about this file, and the trust directory given comes to the same verdict.",
        ),
        (true, false) => (
            "再検証: 報告書はこのファイルのもので、同じ結果になりました。信頼点は報告書に書かれたものです（--trust で自分の信頼点を使えます）。",
            "Replayed: the report is about this file and comes out the same. The anchors are those the report names; --trust judges by your own.",
        ),
        (false, true) => (
            "再検証: 指定した信頼点でも同じ結論です。署名された文書そのものは調べていません（FILE を指定してください）。",
            "Replayed: the trust directory given comes to the same verdict. The signed file itself was not looked at; name it to compare.",
        ),
        (false, false) => (
            "再検証: 報告書から同じ結果になりました。報告書の出所を証明するものではありません（FILE と --trust を指定してください）。",
            "Replayed: the report comes out the same. That does not prove where the report came from; name the file and --trust for that.",
        ),
    };
    format!("  {}", output.pick(japanese, english))
}

/// Both verdicts, and what is not the same.
fn both(
    told: &ValidationReport,
    again: &ValidationReport,
    parts: &[&str],
    mismatch: Option<Mismatch>,
    output: Output,
) -> String {
    let verdict = |report: &ValidationReport| {
        let sub = report.sub_indication.map_or("", |sub| sub.name());
        let indication = serde_json::to_value(report.indication).unwrap_or(Value::Null);
        let indication = indication.as_str().unwrap_or_default().to_owned();
        format!(
            "{} [{}]",
            report.sentence(output.language),
            format!("{indication} {sub}").trim()
        )
    };
    let mut lines = Vec::new();
    if let Some(mismatch) = mismatch {
        lines.push(format!("✗ {}", reason(mismatch, output)));
    }
    if !parts.is_empty() {
        let what = output.pick("報告書と再検証の結果が異なります", "The report and its replay differ");
        lines.push(format!("✗ {what}: {}", parts.join(", ")));
    }
    lines.push(format!("  {}: {}", output.pick("報告書", "report"), verdict(told)));
    lines.push(format!("  {}: {}", output.pick("再検証", "replay"), verdict(again)));
    let this = env!("CARGO_PKG_VERSION");
    if let Some(software) = told.software().filter(|software| *software != this) {
        let text = output.pick(
            "  報告書はバージョン {a}、この再検証は {b} によるものです。",
            "  The report was made by version {a}; this is {b}.",
        );
        lines.push(text.replace("{a}", software).replace("{b}", this));
    }
    lines.join("\n")
}

fn reason(mismatch: Mismatch, output: Output) -> String {
    let japanese = match mismatch {
        Mismatch::Kind => "報告書は別の種類のファイルについてのものです",
        Mismatch::Bytes => "報告書は別のファイルについてのものです",
        Mismatch::Facts => "報告書はこのファイルを指していますが、内容の記載が実際と異なります",
        Mismatch::Content => "報告書は別の署名対象についてのものです",
        Mismatch::Arriving => "報告書は受信の途中で作られたもので、ファイル全体についてのものではありません",
        Mismatch::Absent => "報告書に再検証のための情報がありません",
    };
    output.pick(japanese, &mismatch.to_string()).to_owned()
}
