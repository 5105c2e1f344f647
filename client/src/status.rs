//! `hikyaku status`: what has become of a letter, and what still waits in the outbox.

use formats::wire::{RecipientState, SubmissionEvent, SubmissionId, SubmissionState, SubmissionStatus};
use serde_json::{Value, json};

use crate::context::Context;
use crate::enrol::connect;
use crate::error::{Exit, Failure};
use crate::outbox::{Entry, Outbox};
use crate::output::{Output, japan_time};
use crate::send;

/// Options of `status`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Submission [default: everything in the outbox]
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
        output.print(
            &serde_json::to_value(&waiting).unwrap_or(Value::Null),
            &list(&waiting, output),
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
    }
}

fn list(entries: &[Entry], output: &Output) -> String {
    if entries.is_empty() {
        return output
            .pick(
                "送信待ちはありません。送った文書の状況は `hikyaku status ID` で確認できます。",
                "Nothing waits in the outbox. `hikyaku status ID` tells what has become of a letter sent.",
            )
            .to_owned();
    }
    let line = |entry: &Entry| {
        let state = match (&entry.pending, &entry.upload) {
            (Some(_), _) => output.pick("保留中", "pending at the relay"),
            (None, Some(_)) => output.pick("送信途中", "upload begun"),
            (None, None) => output.pick("送信待ち", "waiting"),
        };
        format!("{}  {:>14} B  {state}", entry.id, entry.length)
    };
    entries.iter().map(line).collect::<Vec<_>>().join("\n")
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
            recipient.recipient.name,
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
            "  {}  {}  {actor}  {scope}",
            japan_time(&event.time),
            kind(&event.kind, output)
        );
        lines.push(line.trim_end().to_owned());
    }
    lines.extend(status.pending.as_ref().map(|answer| send::pending(answer, output)));
    lines.join("\n")
}
