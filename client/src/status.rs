//! `hikyaku status`: what has become of a letter; or what waits in the outbox and what was sent lately.

use formats::wire::{
    Receipt, RecipientState, RevisedVerdict, SubmissionEvent, SubmissionId, SubmissionState, SubmissionStatus,
};
use serde_json::{Value, json};

use crate::context::Context;
use crate::enrol::connect;
use crate::error::{Exit, Failure};
use crate::outbox::{Entry, Outbox};
use crate::output::{Output, japan_time, one_line};
use crate::send;

/// So many of those sent are listed.
const SHOWN: usize = 20;

/// Options of `status`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Submission [default: lists the outbox and what was sent lately]
    #[arg(value_name = "ID")]
    pub id: Option<SubmissionId>,
}

/// Runs it.
///
/// # Errors
/// What the relay says.
pub fn run(context: &Context, options: &Options) -> Result<Exit, Failure> {
    let (home, output) = (context.home()?, &context.output);
    let outbox = Outbox::of(&home);
    let Some(id) = &options.id else {
        let waiting = outbox.entries()?;
        let receipts = outbox.receipts(SHOWN)?;
        let sent: Vec<Value> = receipts
            .iter()
            .map(|receipt| json!({ "id": receipt.id, "position": receipt.position, "time": recorded(receipt) }))
            .collect();
        output.print(
            &json!({ "outbox": waiting, "sent": sent }),
            &list(&waiting, &receipts, output),
        );
        return Ok(Exit::Done);
    };
    let (status, events) = context.block_on(async {
        let api = connect(&home, output.language).await?;
        Ok((api.status(id).await?, api.events(id).await?))
    })?;
    let receipt = outbox.receipt(id);
    output.print(
        &json!({ "status": status, "events": events, "receipt": receipt }),
        &describe(&status, &events, output),
    );
    Ok(if status.pending.is_some() {
        Exit::Indeterminate
    } else {
        Exit::Done
    })
}

/// A recipient's state in words.
#[must_use]
pub fn recipient_state<'a>(state: RecipientState, output: &Output) -> &'a str {
    match state {
        RecipientState::Waiting => output.pick("未受信", "waiting"),
        RecipientState::Delivered => output.pick("受信済み", "delivered"),
        RecipientState::Viewed => output.pick("閲覧済み", "viewed"),
        RecipientState::Acknowledged => output.pick("受領確認済み", "acknowledged"),
        RecipientState::Stopped => output.pick("配送停止", "stopped"),
    }
}

/// What became of a letter whose verdict was revised, in words.
#[must_use]
pub fn revised(revised: &RevisedVerdict, output: &Output) -> String {
    let verdict = revised.sub_indication.as_deref().unwrap_or(&revised.indication);
    output
        .pick(
            "検証結果が {time} に改められ、配送は止められました。内容に依拠せず、相手先に確かめてください。({verdict}: {because})",
            "Its verdict was revised at {time} and its delivery stopped: do not rely on it, and ask the other side. ({verdict}: {because})",
        )
        .replace("{time}", &japan_time(&revised.time))
        .replace("{verdict}", &one_line(verdict))
        .replace("{because}", &one_line(&revised.because))
}

/// The time of the record a receipt proves, RFC 3339; empty if its body cannot be read.
fn recorded(receipt: &Receipt) -> String {
    serde_json::from_str::<Value>(&receipt.body)
        .ok()
        .and_then(|body| body["time"].as_str().map(str::to_owned))
        .unwrap_or_default()
}

fn list(entries: &[Entry], receipts: &[Receipt], output: &Output) -> String {
    let mut lines = Vec::new();
    if entries.is_empty() {
        lines.push(
            output
                .pick("送信待ちはありません。", "Nothing waits in the outbox.")
                .to_owned(),
        );
    } else {
        lines.push(output.pick("送信箱:", "In the outbox:").to_owned());
    }
    for entry in entries {
        let state = match (&entry.pending, &entry.upload) {
            (Some(_), _) => output.pick("保留中", "pending at the relay"),
            (None, Some(_)) => output.pick("送信途中", "upload begun"),
            (None, None) => output.pick("送信待ち", "waiting"),
        };
        lines.push(format!("  {}  {:>14} B  {state}", entry.id, entry.length));
    }
    if !receipts.is_empty() {
        let head = output.pick(
            "最近送った文書 (`hikyaku status ID` で状況を確認できます):",
            "Sent lately (`hikyaku status ID` tells what has become of one):",
        );
        lines.push(head.to_owned());
    }
    for receipt in receipts {
        let record = output.pick("記録番号", "record");
        let time = japan_time(&recorded(receipt));
        lines.push(format!("  {}  {time}  {record} {}", receipt.id, receipt.position));
    }
    lines.join("\n")
}

/// An event in words; the record's own word where there is none.
fn kind<'a>(kind: &'a str, output: &Output) -> &'a str {
    match kind {
        "Accepted" => output.pick("受付", "accepted    "),
        "PendingEvidence" => output.pick("保留", "pending     "),
        "Refused" => output.pick("拒否", "refused     "),
        "Delivered" => output.pick("受信", "delivered   "),
        "Viewed" => output.pick("閲覧", "viewed      "),
        "Acknowledged" => output.pick("受領確認", "acknowledged"),
        "ArchiveMade" => output.pick("アーカイブ", "archived    "),
        "ErasureAnnounced" => output.pick("消去予告", "will be erased"),
        "ContainerErased" => output.pick("消去", "erased      "),
        "VerdictRevised" => output.pick("検証結果の変更", "verdict revised"),
        other => other,
    }
}

fn describe(status: &SubmissionStatus, events: &[SubmissionEvent], output: &Output) -> String {
    let state = match status.state {
        SubmissionState::Accepted => output.pick("受付済み", "accepted"),
        SubmissionState::PendingEvidence => output.pick("保留中", "pending"),
        SubmissionState::Refused => output.pick("拒否", "refused"),
    };
    let mut lines = vec![format!("{}  {state}  {}", status.id, japan_time(&status.received))];
    for recipient in &status.recipients {
        lines.push(format!(
            "  → {}  {}",
            one_line(&recipient.recipient.name),
            recipient_state(recipient.state, output)
        ));
    }
    for event in events {
        let actor = event.actor.as_deref().unwrap_or("-");
        let scope = match event.scope.as_slice() {
            [all] if all == "*" => output.pick("すべて", "everything").to_owned(),
            some => some.join(", "),
        };
        let line = format!(
            "  {}  {}  {}  {}",
            japan_time(&event.time),
            one_line(kind(&event.kind, output)),
            one_line(actor),
            one_line(&scope)
        );
        lines.push(line.trim_end().to_owned());
    }
    lines.extend(status.revised.as_ref().map(|verdict| revised(verdict, output)));
    lines.extend(status.pending.as_ref().map(|answer| send::pending(answer, output)));
    lines.join("\n")
}
