//! The records of a query, page after page, read ahead while the page before is written out.

use std::ops::Range;
use std::sync::Arc;

use formats::wire::FacilityCode;
use futures_util::stream::{self, StreamExt as _};
use tokio::sync::mpsc::{Receiver, channel};

use super::{ExportError, Query};
use crate::store::{Store, StoreError, StoredRecord};

/// So many records are asked for at once; the store hands on fewer where they are large.
const PAGE: usize = 1024;
/// So many pages of the whole trail are read at once.
const AT_ONCE: usize = 2;
/// So many are looked through at once for one that still has its time.
const PROBE: usize = 64;

/// Positions of what a query asks for: from its period, and from where it goes on. Nothing later than its own reading.
pub(super) async fn range(
    store: &dyn Store,
    query: &Query,
    (from, to): (&str, &str),
    reading: u64,
) -> Result<Range<u64>, StoreError> {
    let end = reading + 1;
    let first = if from.is_empty() {
        0
    } else {
        first_at(store, from, end).await?
    };
    let last = if to.is_empty() {
        end
    } else {
        first_at(store, to, end).await?
    };
    let after = query.after.map_or(0, |after| after.saturating_add(1));
    Ok(first.max(after)..last)
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
            let page = store.records(None, next, PROBE).await?;
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

/// Reads pages on until the range ends or nobody wants them, of the whole trail some at once; then the record of the reading itself, which every export has whatever
/// its period is. If the records of a month are erased meanwhile, it ends with an error: some may be missing.
pub(super) fn ahead(
    store: Arc<dyn Store>,
    facility: Option<FacilityCode>,
    range: Range<u64>,
    reading: Option<u64>,
) -> Receiver<Result<Vec<StoredRecord>, ExportError>> {
    let (pages, wanted) = channel(1);
    tokio::spawn(async move {
        let before = destroyed(&*store).await;
        let read = |next: u64, end: u64| {
            let page = store.records(facility.as_ref(), next, PAGE.min(end.saturating_sub(next) as usize));
            async move {
                page.await.map(|mut page| {
                    let next = page.last().map_or(end, |last| last.position + 1);
                    page.retain(|stored| stored.position < end);
                    (page, next, end)
                })
            }
        };
        // Where the records of a facility lie its page before tells.
        let step = if facility.is_some() { usize::MAX } else { PAGE };
        let starts = range.clone().step_by(step);
        let mut parts = stream::iter(starts)
            .map(|start| read(start, start.saturating_add(step as u64).min(range.end)))
            .buffered(AT_ONCE);
        while let Some(mut part) = parts.next().await {
            loop {
                let rest = part.as_ref().ok().map(|(_, next, end)| (*next, *end));
                let page = part.map(|(page, ..)| page).map_err(Into::into);
                if pages.send(page).await.is_err() {
                    return;
                }
                match rest {
                    None => return,
                    Some((next, end)) if next < end => part = read(next, end).await,
                    Some(_) => break,
                }
            }
        }
        let after = destroyed(&*store).await;
        let last = match (before, after) {
            (Ok(before), Ok(after)) if before != after => Err(ExportError::Erased),
            (Err(error), _) | (_, Err(error)) => Err(error.into()),
            _ => match reading.filter(|reading| !range.contains(reading)) {
                Some(reading) => store.records(None, reading, 1).await.map_err(Into::into),
                None => return,
            },
        };
        // Nobody wants it any more: no loss.
        let _gone = pages.send(last).await;
    });
    wanted
}

/// How many months of records are erased.
async fn destroyed(store: &dyn Store) -> Result<usize, StoreError> {
    let months = store.months().await?;
    Ok(months.iter().filter(|month| month.destroyed).count())
}
