//! Accounts: what the trail says about a facility, as CSV and JSON Lines, from one query. `CONTRACTS.md` §9.
//!
//! Reading the trail is an act: the record of it is durable before the first byte goes out.

mod table;

use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use formats::trail::{Actor, Event, Record};
use formats::wire::FacilityCode;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::store::{Batch, Store, StoreError, StoredRecord, format_time};

/// In which form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// UTF-8 with byte order mark, RFC 4180.
    Csv,
    /// One JSON object a line: position, body as committed, salt; for an erased record its commitment.
    Jsonl,
}

impl Format {
    /// As in the trail and in `?format=`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
        }
    }

    /// Media type.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8",
            Self::Jsonl => "application/jsonl",
        }
    }
}

impl FromStr for Format {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "csv" => Ok(Self::Csv),
            "jsonl" => Ok(Self::Jsonl),
            _ => Err("the format must be csv or jsonl"),
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// Whose records; `None`: all, for the relay's operator.
    pub facility: Option<FacilityCode>,
    /// Records from this time on.
    pub from: Option<OffsetDateTime>,
    /// Records before this time.
    pub to: Option<OffsetDateTime>,
    /// In which form.
    pub format: Format,
    /// Who reads.
    pub actor: Actor,
    /// Now.
    pub now: OffsetDateTime,
}

/// So many records are in memory at once.
const PAGE: usize = 64;

/// Records that the trail is read, then streams what was asked for. Memory does not grow with its length.
///
/// # Errors
/// [`StoreError`] if the reading cannot be recorded: then nothing is read.
pub async fn export(
    store: Arc<dyn Store>,
    request: Request,
) -> Result<BoxStream<'static, Result<Bytes, StoreError>>, StoreError> {
    let moment = |time: Option<OffsetDateTime>| time.and_then(format_time).unwrap_or_default();
    let (from, to) = (moment(request.from), moment(request.to));
    let event = Event::TrailRead {
        facility: request.facility.clone(),
        from: from.clone(),
        to: to.clone(),
        format: request.format.as_str().into(),
    };
    let batch = Batch {
        actor: request.actor,
        time: request.now,
        events: vec![event],
        conditions: Vec::new(),
    };
    let read = store.commit(batch).committed().await?;
    let end = read.positions.last().map_or(0, |position| position + 1);
    let start = if from.is_empty() {
        0
    } else {
        first_at(&*store, &from, end).await?
    };
    let pages = Pages {
        store,
        facility: request.facility,
        next: start,
        end,
        to,
        format: request.format,
    };
    let head = match request.format {
        Format::Csv => Bytes::from_static(table::HEAD.as_bytes()),
        Format::Jsonl => Bytes::new(),
    };
    let rest = stream::try_unfold(pages, Pages::page);
    Ok(stream::iter([Ok(head)])
        .chain(rest)
        .filter(|part| {
            let empty = part.as_ref().is_ok_and(Bytes::is_empty);
            async move { !empty }
        })
        .boxed())
}

/// Position of the first record that is not before `time`: times in the trail never go back.
async fn first_at(store: &dyn Store, time: &str, end: u64) -> Result<u64, StoreError> {
    let (mut low, mut high) = (0, end);
    while low < high {
        let middle = low + (high - low) / 2;
        // An erased record has no time any more: the next that has one speaks for it. What is erased lies far back and in
        // one stretch with little between.
        let mut next = middle;
        let found = loop {
            let page = store.records(None, next, PAGE).await?;
            let Some(last) = page.last() else { break None };
            next = last.position + 1;
            let record = page.iter().find_map(|stored| stored.record().transpose());
            if record.is_some() || next >= high {
                break record.transpose()?;
            }
        };
        let before = found.is_some_and(|record| record.time.as_str() < time);
        if before { low = middle + 1 } else { high = middle }
    }
    Ok(low)
}

struct Pages {
    store: Arc<dyn Store>,
    facility: Option<FacilityCode>,
    next: u64,
    end: u64,
    to: String,
    format: Format,
}

impl Pages {
    async fn page(mut self) -> Result<Option<(Bytes, Self)>, StoreError> {
        if self.next >= self.end {
            return Ok(None);
        }
        let records = self.store.records(self.facility.as_ref(), self.next, PAGE).await?;
        self.next = records.last().map_or(self.end, |last| last.position + 1);
        let mut text = String::new();
        for stored in records {
            let record = stored.record()?;
            let late = |record: &Record| !self.to.is_empty() && record.time >= self.to;
            if stored.position >= self.end || record.as_ref().is_some_and(late) {
                self.next = self.end;
                break;
            }
            // What is erased has nothing left for a row.
            let Some(record) = record else {
                if self.format == Format::Jsonl {
                    push_line(&mut text, &stored);
                }
                continue;
            };
            match self.format {
                Format::Csv => {
                    let categories = table::categories(&*self.store, &record.event).await?;
                    table::push(&mut text, stored.position, &record, self.facility.as_ref(), &categories);
                }
                Format::Jsonl => push_line(&mut text, &stored),
            }
        }
        Ok(Some((Bytes::from(text), self)))
    }
}

fn push_line(text: &mut String, stored: &StoredRecord) {
    let line = match &stored.content {
        Some(content) => serde_json::json!({
            "position": stored.position,
            "body": content.body,
            "salt": STANDARD.encode(content.salt),
        }),
        None => serde_json::json!({
            "position": stored.position,
            "commitment": STANDARD.encode(stored.commitment),
            "erased": true,
        }),
    };
    text.push_str(&line.to_string());
    text.push('\n');
}

#[cfg(test)]
mod tests;
