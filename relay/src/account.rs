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
mod row;
mod summary;

use std::sync::Arc;

use bytes::Bytes;
use formats::trail::{Actor, Event, Filter};
use formats::wire::{FacilityCode, SubmissionId};
use futures_util::stream::{self, BoxStream, StreamExt as _};
use time::OffsetDateTime;

use crate::log::Outline;
use crate::store::{Batch, Store, StoreError, format_time};
pub(crate) use dicom::audit_message;
use form::Writer;
pub use form::{Encoding, Format};

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
    /// Of the JSON Lines: the newest checkpoint that witnesses have cosigned.
    pub witnessed: Option<String>,
}

impl Query {
    /// Whether records of the period are left out: such an export proves nothing by its numbers.
    #[must_use]
    pub fn is_extract(&self) -> bool {
        self.patient.is_some() || self.person.is_some() || self.submission.is_some()
    }

    fn filter(&self) -> Option<Filter> {
        (self.is_extract() || self.after.is_some()).then(|| Filter {
            patient: self.patient.clone(),
            person: self.person.clone(),
            submission: self.submission.clone(),
            after: self.after,
        })
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
    /// Who reads.
    pub actor: Actor,
    /// Now.
    pub now: OffsetDateTime,
}

/// Records that the trail is read, then streams what was asked for. Memory does not grow with its length.
///
/// # Errors
/// [`StoreError`] if the reading cannot be recorded: then nothing is read.
pub async fn export(
    store: Arc<dyn Store>,
    request: Request,
) -> Result<BoxStream<'static, Result<Bytes, StoreError>>, StoreError> {
    let Request {
        query,
        format,
        encoding,
        actor,
        now,
    } = request;
    let moment = |time: Option<OffsetDateTime>| time.and_then(format_time).unwrap_or_default();
    let (from, to) = (moment(query.from), moment(query.to));
    let event = Event::TrailRead {
        facility: query.facility.clone(),
        from: from.clone(),
        to: to.clone(),
        format: format.in_trail(encoding).to_owned(),
        filter: query.filter(),
    };
    let batch = Batch {
        actor,
        time: now,
        events: vec![event],
        conditions: Vec::new(),
    };
    let read = store.commit(batch).committed().await?;
    let reading = read.positions.last().copied().unwrap_or_default();
    let checkpoint = store.checkpoint().await?;
    let mut range = pages::range(&*store, &query, (&from, &to), reading).await?;
    if format == Format::Jsonl {
        // What proves itself has everything up to its checkpoint, unless it is an extract.
        let extract = query.is_extract() || !from.is_empty() || !to.is_empty();
        let held = &query.held;
        let outline = Outline::new(&*store, query.facility.clone(), extract, query.witnessed.clone(), held).await?;
        if to.is_empty() {
            range.end = outline.end();
        }
        let start = query.after.map_or(0, |after| after.saturating_add(1));
        let (whose, closing) = (query.facility.clone(), query.is_extract().then_some(reading));
        let writer = Writer::new(query, (format, encoding), (from, to), reading, &checkpoint, None);
        let pages = pages::ahead(Arc::clone(&store), whose, range, closing);
        let parts = proven::stream(store, outline, writer, pages, start);
        return Ok(parts.filter_map(filled).boxed());
    }
    let name = match &query.facility {
        Some(code) => store.facility(code).await?.map(|facility| facility.name),
        None => None,
    };
    let mut writer = Writer::new(query, (format, encoding), (from, to), reading, &checkpoint, name);
    let head = writer.head();
    let pages = pages::ahead(
        store,
        writer.query().facility.clone(),
        range,
        writer.query().is_extract().then_some(reading),
    );
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
    Ok(stream::iter([Ok(head)]).chain(parts).filter_map(filled).boxed())
}

/// A part of an answer, unless there is nothing in it.
async fn filled(part: Result<Vec<u8>, StoreError>) -> Option<Result<Bytes, StoreError>> {
    match part {
        Ok(part) if part.is_empty() => None,
        Ok(part) => Some(Ok(Bytes::from(part))),
        Err(error) => Some(Err(error)),
    }
}

#[cfg(test)]
mod tests;
