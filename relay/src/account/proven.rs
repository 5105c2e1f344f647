//! The account as JSON Lines that prove themselves: the records as committed, and between them the roots of what is left out, so
//! that its reader computes the root the log has signed. `CONTRACTS.md` §9, `formats::trail::ExportLine`.

use std::ops::Range;
use std::sync::Arc;

use formats::trail::{Entry, Sequence};
use futures_util::stream::{self, BoxStream, StreamExt as _};
use tokio::sync::mpsc::Receiver;

use super::form::Writer;
use crate::log::Outline;
use crate::store::{Store, StoreError, StoredRecord};

/// Erased records looked for at once.
const PAGE: usize = 1024;

/// An export under way.
struct Proven {
    store: Arc<dyn Store>,
    outline: Outline,
    writer: Writer,
    pages: Receiver<Result<Vec<StoredRecord>, StoreError>>,
    /// Position of the next line.
    next: u64,
    /// The facility's number of the last record; 0: none yet. Not of an extract, nor of all records.
    numbered: Option<u64>,
    done: bool,
}

/// The lines of `pages`, from position `start` on.
pub(super) fn stream(
    store: Arc<dyn Store>,
    outline: Outline,
    writer: Writer,
    pages: Receiver<Result<Vec<StoredRecord>, StoreError>>,
    start: u64,
) -> BoxStream<'static, Result<Vec<u8>, StoreError>> {
    let mut head = Vec::new();
    outline.push_head(&mut head);
    let counted = writer.query().facility.is_some() && !outline.is_extract() && start == 0;
    let proven = Proven {
        store,
        outline,
        writer,
        pages,
        next: start,
        numbered: counted.then_some(0),
        done: false,
    };
    let parts = stream::try_unfold(proven, |mut proven| async move {
        if proven.done {
            return Ok(None);
        }
        let page = match proven.pages.recv().await.transpose()? {
            Some(page) => page,
            None => {
                proven.done = true;
                let end = proven.outline.end();
                let rest = proven
                    .outline
                    .skipped(&*proven.store, std::slice::from_ref(&(proven.next..end)))
                    .await?;
                return Ok(Some((rest.concat(), proven)));
            }
        };
        let part = proven.page(page).await?;
        Ok(Some((part, proven)))
    });
    stream::iter([Ok(head)]).chain(parts).boxed()
}

impl Proven {
    async fn page(&mut self, page: Vec<StoredRecord>) -> Result<Vec<u8>, StoreError> {
        let mut shown: Vec<StoredRecord> = Vec::with_capacity(page.len());
        for stored in page {
            let after = shown.last().map_or(self.next, |last| last.position + 1);
            if stored.position >= self.next && stored.position < self.outline.end() && self.writer.wants(&stored)? {
                shown.extend(self.erased_before(after, &stored).await?);
                shown.push(stored);
            }
        }
        let (mut gaps, mut next): (Vec<Range<u64>>, u64) = (Vec::new(), self.next);
        for stored in &shown {
            gaps.push(next..stored.position);
            next = stored.position + 1;
        }
        self.next = next;
        let skipped = self.outline.skipped(&*self.store, &gaps).await?;
        // Writing out a page takes a millisecond of one core: not the core that answers requests.
        let work = move || {
            let mut out = Vec::with_capacity(shown.len() * 1024);
            for (skipped, stored) in skipped.iter().zip(&shown) {
                out.extend_from_slice(skipped);
                match &stored.content {
                    Some(content) => {
                        Entry::push_record(
                            &mut out,
                            stored.position,
                            &content.body,
                            &content.salt,
                            &stored.commitment,
                        );
                    }
                    None => Entry::push_erased(&mut out, stored.position, &stored.commitment),
                }
            }
            out
        };
        let written = tokio::task::spawn_blocking(work).await;
        written.map_err(|_| StoreError::Broken("an export stopped".into()))
    }

    /// Of what is erased nobody knows any more whom it concerned. Where the facility's numbers have a gap, it is among the erased
    /// records there: they are shown, as commitments.
    async fn erased_before(&mut self, after: u64, stored: &StoredRecord) -> Result<Vec<StoredRecord>, StoreError> {
        let (Some(last), Some(facility), Some(content)) =
            (self.numbered, &self.writer.query().facility, &stored.content)
        else {
            return Ok(Vec::new());
        };
        let Some(sequence) = Sequence::read(&content.body, facility) else {
            return Ok(Vec::new());
        };
        self.numbered = Some(sequence.number);
        if sequence.number <= last + 1 {
            return Ok(Vec::new());
        }
        let (mut erased, mut next) = (Vec::new(), after);
        while next < stored.position {
            let page = self.store.records(None, next, PAGE).await?;
            let Some(end) = page.last() else { break };
            next = end.position + 1;
            erased.extend(
                page.into_iter()
                    .filter(|one| one.content.is_none() && one.position < stored.position),
            );
        }
        Ok(erased)
    }
}
