//! One record's proof (`.tlog-proof`): whether the log has this record at this position, and what it is.

use std::path::Path;

use formats::trail::{Checkpoint, Facts, InclusionProof, NotARecord, ProofError, Record, WitnessKey, cosignatures};
use serde_json::json;

use super::malformed;
use crate::error::{Exit, Failure};
use crate::files;
use crate::output::{Line, Output, Tone};

/// Verifies it under the log's key, and compares its log with earlier checkpoints.
///
/// # Errors
/// What is no proof, or cannot be read.
pub(super) fn verify(
    output: Output,
    path: &Path,
    log_key: &str,
    witnesses: &[WitnessKey],
    earlier: &[(String, Checkpoint)],
) -> Result<Exit, Failure> {
    let text = String::from_utf8(files::read_small(path)?).map_err(|_| malformed(path, "not UTF-8"))?;
    let proof = InclusionProof::parse(&text).map_err(|error| malformed(path, &error.to_string()))?;
    let refused = |ja: String, en: String| {
        let value = json!({ "version": 1, "valid": false, "position": proof.index, "reason": en });
        let text = output
            .pick(
                &format!("証明は成り立ちません: {ja}"),
                &format!("the proof does not hold: {en}"),
            )
            .to_owned();
        output.print_lines(&value, &[Line::new(Tone::Bad, text)]);
        Ok(Exit::Refused)
    };
    let proven = match proof.verify_record(log_key) {
        Ok(proven) => proven,
        Err(error) => return refused(in_japanese(error), error.to_string()),
    };
    // What the log committed to must be a record, as in an export.
    let facts = match Facts::read(&proven.body) {
        Ok(facts) => facts,
        Err(error) => {
            let ja = match error {
                NotARecord::Malformed => "ログに記されたものは監査証跡の記録ではありません",
                NotARecord::Misnumbered => "記録の連番が、関係する医療機関と合いません",
            };
            let en = match error {
                NotARecord::Malformed => "what the log committed to is no trail record",
                NotARecord::Misnumbered => "the record is numbered for others than it concerns",
            };
            return refused(ja.into(), en.into());
        }
    };
    let cosigned = match cosignatures(&proof.checkpoint, witnesses) {
        Ok(cosigned) => cosigned,
        Err(error) => {
            return refused(
                "証人の連署が正しくありません".into(),
                format!("a witness's cosignature: {error}"),
            );
        }
    };
    // One record's proof shows nothing of a shorter log; one as long must be the same, and a longer one has lost its end.
    let newest = &proven.checkpoint;
    if let Some((name, _)) = earlier.iter().find(|(_, earlier)| earlier.size > newest.size) {
        return refused(
            format!("以前のチェックポイント {name} より短く、終わりが切り捨てられています"),
            format!("its log is shorter than the earlier checkpoint {name}: the end was cut off"),
        );
    }
    let same = |earlier: &Checkpoint| earlier.size == newest.size;
    let forked = |(_, earlier): &&(String, Checkpoint)| same(earlier) && earlier.root != newest.root;
    if let Some((name, _)) = earlier.iter().find(forked) {
        return refused(
            format!("ログが以前のチェックポイント {name} と矛盾します。履歴が書き換えられています"),
            format!("its log contradicts the earlier checkpoint {name}: history was rewritten"),
        );
    }
    let compared = earlier.iter().map(|(name, earlier)| {
        let agrees = (earlier.size == newest.size).then_some(true);
        json!({ "name": name, "size": earlier.size, "agrees": agrees })
    });
    let compared: Vec<_> = compared.collect();
    let record = Record::parse(&proven.body).ok();
    let kind = record.as_ref().map_or("?", |record| record.event.kind());
    let time = facts.time.to_string();
    let missing = witnesses
        .iter()
        .filter(|key| cosigned.iter().all(|one| one.witness != key.name()));
    let missing: Vec<&str> = missing.map(WitnessKey::name).collect();
    let (position, size, log) = (proof.index, proven.checkpoint.size, &proven.checkpoint.origin);
    let value = json!({
        "version": 1, "valid": true, "log": log, "position": position, "size": size, "kind": kind, "time": time,
        "witnesses": cosigned.iter().map(|one| json!({ "name": one.witness, "time": one.time })).collect::<Vec<_>>(),
        "missing_witnesses": missing, "earlier": compared, "newer": facts.newer,
    });
    let mut told = vec![Line::new(
        Tone::Good,
        output
            .pick(
                "ログ {log} の {size} 件のうち位置 {position} に記録があります: {kind}、{time}",
                "the log {log} of {size} records has at position {position}: {kind}, {time}",
            )
            .replace("{log}", log)
            .replace("{size}", &size.to_string())
            .replace("{position}", &position.to_string())
            .replace("{kind}", kind)
            .replace("{time}", &time),
    )];
    if facts.newer {
        let text = output.pick(
            "このプログラムが知らない種類の記録です。新しい版で確かめてください。",
            "the record is of a kind, or has members, that this program does not know: use a newer one",
        );
        told.push(Line::new(Tone::Doubt, text.to_owned()));
    }
    for name in &missing {
        let text = output.pick("証人 {} の連署がありません。", "witness {} has not cosigned it");
        told.push(Line::new(Tone::Doubt, text.replace("{}", name)));
    }
    let shorter: Vec<_> = earlier.iter().filter(|(_, earlier)| !same(earlier)).collect();
    for (name, _) in &shorter {
        let text = output.pick(
            "以前のチェックポイント {} とは、この証明では比べられません。",
            "cannot be compared with the earlier checkpoint {} by one record's proof: compare an export",
        );
        told.push(Line::new(Tone::Doubt, text.replace("{}", name)));
    }
    output.print_lines(&value, &told);
    Ok(if missing.is_empty() && shorter.is_empty() && !facts.newer {
        Exit::Done
    } else {
        Exit::Indeterminate
    })
}

fn in_japanese(error: ProofError) -> String {
    match error {
        ProofError::Malformed => "記録を示していません".into(),
        ProofError::Checkpoint(_) => "チェックポイントは、このログの鍵で署名されていません".into(),
        ProofError::NotIncluded => "ログのその位置にあるのは、この記録ではありません".into(),
    }
}
