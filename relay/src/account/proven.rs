//! The account as JSON Lines that prove themselves: the records as committed, and between them the roots of what is left out, so
//! that its reader computes the root the log has signed. `CONTRACTS.md` §9, `formats::trail::ExportLine`.

use std::ops::Range;
use std::sync::Arc;

use formats::trail::Entry;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use tokio::sync::mpsc::Receiver;

use super::ExportError;
use super::form::Writer;
use crate::log::Outline;
use crate::store::{Store, StoreError, StoredRecord};

/// An export under way.
struct Proven {
    store: Arc<dyn Store>,
    outline: Outline,
    writer: Writer,
    pages: Receiver<Result<Vec<StoredRecord>, ExportError>>,
    /// Position of the next line.
    next: u64,
    done: bool,
}

/// The lines of `pages`, from position `start` on.
pub(super) fn stream(
    store: Arc<dyn Store>,
    outline: Outline,
    writer: Writer,
    pages: Receiver<Result<Vec<StoredRecord>, ExportError>>,
    start: u64,
) -> BoxStream<'static, Result<Vec<u8>, ExportError>> {
    let mut head = Vec::new();
    outline.push_head(&mut head);
    let proven = Proven {
        store,
        outline,
        writer,
        pages,
        next: start,
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
            // Of what is erased nobody knows any more whom it concerned. It is shown, as its commitment, where everything is; in
            // a facility's account the record of its erasure says which numbers are gone.
            let erased = stored.content.is_none() && self.outline.is_extract();
            if (self.next..self.outline.end()).contains(&stored.position) && !erased && self.writer.wants(&stored)? {
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
}
