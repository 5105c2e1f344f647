//! `trail export`: the operator's reading of the trail, in any form.

use std::io;
use std::sync::Arc;

use formats::trail::{Actor, Filter};
use formats::wire::{FacilityCode, SubmissionId};
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::macros::{format_description, offset};
use time::{Date, OffsetDateTime};

use super::AdminError;
use crate::account::{self, Encoding, Format, Query};
use crate::store::Store;

/// What is to be exported. Narrowed by patient, person or submission it is an extract and not complete.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
#[group(skip)]
pub struct Export {
    /// Only what concerns this facility.
    #[arg(long)]
    pub facility: Option<FacilityCode>,
    /// From this day (Japan) or time (RFC 3339) on.
    #[arg(long)]
    pub from: Option<String>,
    /// To the end of this day (Japan), or before this time (RFC 3339).
    #[arg(long)]
    pub to: Option<String>,
    /// Only what concerns this patient, by the number at the sender.
    #[arg(long)]
    pub patient: Option<String>,
    /// Only what this person did, by member id or name.
    #[arg(long)]
    pub person: Option<String>,
    /// Only what concerns this submission.
    #[arg(long)]
    pub submission: Option<SubmissionId>,
    /// Only what lies behind this position: goes on with an export that broke off.
    #[arg(long)]
    pub after: Option<u64>,
    /// Of JSON Lines: sizes of checkpoints kept earlier, with which the export shall be comparable.
    #[arg(long, value_delimiter = ',')]
    pub held: Vec<u64>,
    /// Of each witness the newest checkpoint that it has cosigned.
    #[arg(skip)]
    pub witnessed: Vec<String>,
    /// csv, jsonl, fhir, dicom or pdf.
    #[arg(long, default_value = "csv")]
    pub format: Format,
    /// Of the CSV: utf-8 (with byte order mark) or shift_jis.
    #[arg(long, default_value = "utf-8")]
    pub encoding: Encoding,
}

/// Hands what is asked for to `to`, as it comes.
///
/// # Errors
/// [`AdminError`].
pub(super) async fn export(
    store: &Arc<dyn Store>,
    asked: Export,
    to: &mut (dyn FnMut(&[u8]) -> io::Result<()> + Send),
) -> Result<Value, AdminError> {
    if let Some(facility) = &asked.facility {
        super::known(store, facility).await?;
    }
    let query = Query {
        facility: asked.facility,
        from: moment("--from", asked.from, false)?,
        to: moment("--to", asked.to, true)?,
        patient: asked.patient,
        person: asked.person,
        submission: asked.submission,
        after: asked.after,
        held: asked.held,
        witnessed: asked.witnessed,
    };
    let request = account::Request {
        query,
        format: asked.format,
        encoding: asked.encoding,
        also: None,
        reading: None,
        actor: Actor::default(),
        conditions: Vec::new(),
        now: OffsetDateTime::now_utc(),
    };
    let account::Export { mut parts, .. } = account::export(Arc::clone(store), request).await?;
    let mut bytes = 0;
    while let Some(part) = parts.next().await {
        let part = part?;
        bytes += part.len();
        to(&part)?;
    }
    Ok(json!({ "exported_bytes": bytes }))
}

/// The proof of one record, which shows it: that it was read is recorded first, for all whom it concerns.
///
/// # Errors
/// [`AdminError`]; there may be no such record.
pub(super) async fn prove(store: &Arc<dyn Store>, position: u64) -> Result<Value, AdminError> {
    let absent = || AdminError::Argument(format!("the log has no record {position}"));
    let found = store.records(None, position, 1).await?;
    let found = found.into_iter().find(|stored| stored.position == position);
    let record = found.ok_or_else(absent)?.record()?;
    let reading = account::Read {
        facility: None,
        from: String::new(),
        to: String::new(),
        format: "tlog-proof".into(),
        filter: Some(Filter {
            position: Some(position),
            ..Filter::default()
        }),
    };
    let concerned = record.map(|record| record.facility_seq.into_keys().collect());
    let events = reading.events(concerned.unwrap_or_default());
    super::commit(store, events, Vec::new()).await?;
    let proof = crate::log::prove(&**store, position).await?;
    Ok(json!({ "proof": proof.ok_or_else(absent)?.encode() }))
}

/// A time, or a day of Japan: its begin, or with `last` its end.
fn moment(argument: &str, text: Option<String>, last: bool) -> Result<Option<OffsetDateTime>, AdminError> {
    let parse = |text: String| {
        if let Ok(day) = Date::parse(&text, format_description!("[year]-[month]-[day]")) {
            let day = if last { day.next_day() } else { Some(day) };
            return Ok(day.unwrap_or(Date::MAX).midnight().assume_offset(offset!(+9)));
        }
        OffsetDateTime::parse(&text, &Rfc3339).map_err(|_| {
            AdminError::Argument(format!(
                "{argument} must be a day such as 2026-11-22 or a time such as 2026-11-22T00:00:00+09:00"
            ))
        })
    };
    text.map(parse).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_a_day_of_japan_and_the_last_one_counts_whole() {
        let time = |text: &str| Some(OffsetDateTime::parse(text, &Rfc3339).unwrap());
        let day = || Some("2026-04-01".to_owned());
        assert_eq!(moment("--from", day(), false).unwrap(), time("2026-03-31T15:00:00Z"));
        assert_eq!(moment("--to", day(), true).unwrap(), time("2026-04-01T15:00:00Z"));
        let exact = || Some("2026-04-01T00:00:00Z".to_owned());
        assert_eq!(moment("--to", exact(), true).unwrap(), time("2026-04-01T00:00:00Z"));
        assert!(moment("--to", Some("April".to_owned()), true).is_err());
    }
}
