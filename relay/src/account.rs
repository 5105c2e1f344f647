//! Accounts: what the trail says about a facility, a patient, a person or a submission, from one query in every form.
//! `CONTRACTS.md` §9.
//!
//! Reading the trail is an act: the record of it is durable before the first byte goes out. Pages of records are read ahead by
//! one while the page before is written out: memory does not grow with the trail's length.

mod csv;
mod dicom;
mod entry;
mod fhir;
mod form;
mod meaning;
mod pages;
mod pdf;
mod proven;
mod reading;
mod row;
mod summary;

use std::sync::Arc;

use bytes::Bytes;
use formats::trail::{Actor, Filter};
use formats::wire::{FacilityCode, SubmissionId};
use futures_util::stream::{self, BoxStream, StreamExt as _};
use time::OffsetDateTime;

use crate::log::{Outline, root};
use crate::store::{Batch, Condition, Store, StoreError, format_time};
pub(crate) use dicom::audit_message;
use form::Writer;
pub use form::{Encoding, Format};
pub(crate) use reading::{Read, concerned};

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Whose records; `None`: all, for the relay's operator.
    pub facility: Option<FacilityCode>,
    /// Records from this time on.
    pub from: Option<OffsetDateTime>,
    /// Records before this time.
    pub to: Option<OffsetDateTime>,
    /// Records about this patient, by the number at the sender.
    pub patient: Option<String>,
    /// What this person did, by member id or by name as recorded.
    pub person: Option<String>,
    /// Records about this submission.
    pub submission: Option<SubmissionId>,
    /// Records behind this position: an export that broke off goes on there.
    pub after: Option<u64>,
    /// Of the JSON Lines: sizes of checkpoints the reader holds, so that he can compare.
    pub held: Vec<u64>,
    /// Of the JSON Lines: of each witness the newest checkpoint that it has cosigned.
    pub witnessed: Vec<String>,
}

impl Query {
    /// Whether records of the period are left out: such an export proves nothing by its numbers.
    #[must_use]
    pub fn is_extract(&self) -> bool {
        self.patient.is_some() || self.person.is_some() || self.submission.is_some()
    }

    /// What its record says of it; a reading that goes on is the one it began as.
    fn filter(&self, goes_on: bool) -> Option<Filter> {
        let filter = Filter {
            patient: self.patient.clone(),
            person: self.person.clone(),
            submission: self.submission.clone(),
            after: self.after.filter(|_| !goes_on),
            ..Filter::default()
        };
        (filter != Filter::default()).then_some(filter)
    }
}

/// Who asks for what, and how it is to be written.
#[derive(Debug, Clone)]
pub struct Request {
    /// What.
    pub query: Query,
    /// In which form.
    pub format: Format,
    /// Of the CSV: in which characters.
    pub encoding: Encoding,
    /// In which form it will be asked for besides, as the same reading.
    pub also: Option<Format>,
    /// The reading this is a further form of, or the rest: the position of its record. `None`: a reading of its own.
    pub reading: Option<u64>,
    /// Who reads.
    pub actor: Actor,
    /// What must hold when the reading is recorded.
    pub conditions: Vec<Condition>,
    /// Now.
    pub now: OffsetDateTime,
}

/// An account on its way out.
pub struct Export {
    /// Position of the record that says it was read.
    pub reading: u64,
    /// Its bytes.
    pub parts: BoxStream<'static, Result<Bytes, ExportError>>,
}

/// Why an account does not go out, or breaks off.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// What the store says.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no such reading to go on with.
    #[error("there is no such reading by the same person and device within the last hour")]
    Reading,
    /// The time of records was over while they were read.
    #[error("records were erased while they were read: ask again")]
    Erased,
}

/// Records that the trail is read, then streams what was asked for. Memory does not grow with its length. Its last record is that
/// of the reading.
///
/// # Errors
/// [`ExportError`] if the reading cannot be recorded, or is none that goes on: then nothing is read.
pub async fn export(store: Arc<dyn Store>, request: Request) -> Result<Export, ExportError> {
    let (format, encoding) = (request.format, request.encoding);
    let moment = |time: Option<OffsetDateTime>| time.and_then(format_time).unwrap_or_default();
    let (from, to) = (moment(request.query.from), moment(request.query.to));
    let reading = begin(&*store, &request, (&from, &to)).await?;
    let query = request.query;
    let checkpoint = store.checkpoint().await?;
    let mut range = pages::range(&*store, &query, (&from, &to), reading).await?;
    // What goes on behind it has it already.
    let closing = query.after.is_none_or(|after| after < reading).then_some(reading);
    let of_log = form::OfLog {
        relay: checkpoint.lines().next().unwrap_or_default().to_owned(),
        reading,
        root: root(&*store, reading + 1).await?,
    };
    if format == Format::Jsonl {
        // What proves itself has everything up to its checkpoint, unless it is an extract, or a facility's: that ends with its
        // reading.
        let extract = query.is_extract() || !from.is_empty() || !to.is_empty();
        let held = &query.held;
        let outline = Outline::new(&*store, query.facility.clone(), extract, query.witnessed.clone(), held).await?;
        if query.facility.is_none() && !extract {
            range.end = outline.end();
        }
        let start = query.after.map_or(0, |after| after.saturating_add(1));
        let whose = query.facility.clone();
        let writer = Writer::new(query, (format, encoding), (from, to), of_log, None);
        let pages = pages::ahead(Arc::clone(&store), whose, range, closing);
        let parts = proven::stream(store, outline, writer, pages, start);
        return Ok(Export {
            reading,
            parts: parts.filter_map(filled).boxed(),
        });
    }
    let name = match &query.facility {
        Some(code) => store.facility(code).await?.map(|facility| facility.name),
        None => None,
    };
    let mut writer = Writer::new(query, (format, encoding), (from, to), of_log, name);
    let head = writer.head();
    let pages = pages::ahead(store, writer.query().facility.clone(), range, closing);
    let parts = stream::try_unfold((pages, Some(writer)), |(mut pages, writer)| async move {
        let Some(mut writer) = writer else { return Ok(None) };
        let page = pages.recv().await.transpose()?;
        let done = page.is_none();
        // Parsing and writing out a page takes a millisecond or two of one core: not the core that answers requests.
        let work = move || {
            let part = match page {
                Some(page) => writer.page(&page),
                None => writer.end(),
            };
            (part, writer)
        };
        let (part, writer) = tokio::task::spawn_blocking(work)
            .await
            .map_err(|_| StoreError::Broken("an export stopped".into()))?;
        Ok(Some((part?, (pages, (!done).then_some(writer)))))
    });
    Ok(Export {
        reading,
        parts: stream::iter([Ok(head)]).chain(parts).filter_map(filled).boxed(),
    })
}

/// Records the reading, or finds the one that goes on; its position.
async fn begin(store: &dyn Store, request: &Request, (from, to): (&str, &str)) -> Result<u64, ExportError> {
    let query = &request.query;
    let form = request.format.in_trail(request.encoding);
    let forms = std::iter::once(request.format).chain(request.also.filter(|also| *also != request.format));
    let forms: Vec<_> = forms.map(|form| form.in_trail(request.encoding)).collect();
    let read = Read {
        facility: query.facility.clone(),
        from: from.to_owned(),
        to: to.to_owned(),
        format: forms.join("+"),
        filter: query.filter(request.reading.is_some()),
    };
    if let Some(position) = request.reading {
        reading::goes_on(store, position, (&read, form), &request.actor, request.now).await?;
        return Ok(position);
    }
    let batch = Batch {
        actor: request.actor.clone(),
        time: request.now,
        events: read.events(concerned(store, query).await?),
        conditions: request.conditions.clone(),
    };
    let committed = store.commit(batch).committed().await?;
    Ok(committed.positions.first().copied().unwrap_or_default())
}

/// A part of an answer, unless there is nothing in it.
async fn filled(part: Result<Vec<u8>, ExportError>) -> Option<Result<Bytes, ExportError>> {
    match part {
        Ok(part) if part.is_empty() => None,
        Ok(part) => Some(Ok(Bytes::from(part))),
        Err(error) => Some(Err(error)),
    }
}

#[cfg(test)]
mod tests;
