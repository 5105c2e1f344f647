//! Brings an index up to the trail: one thread reads, opens and parses what the other applies, and what is applied is written in
//! large sorted parts.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use formats::trail::Record;

use super::StoreError;
use super::file::OpenError;
use super::index::{Entry, Pending, SealedTable, Table as _, apply, open};
use super::redb::LAYER;
use crate::month_keys::{KeyId, MonthKeys};
use crate::trail::{Place, SealedRecord, TrailError, TrailReader};

/// Records handed over together, and how often before they must be taken.
const TOGETHER: usize = 256;
const WAITING: usize = 8;
/// Records applied before it is looked how much has come together for one write of the index.
const LOOK: usize = 4096;

/// A record as it was read.
struct Ready {
    position: u64,
    commitment: [u8; 32],
    key: KeyId,
    /// `None`: its key is not there.
    record: Option<Record>,
    place: Place,
}

/// Why reading ends before the trail does.
enum End {
    /// Nobody takes more.
    Left,
    Failed(OpenError),
}

impl From<TrailError> for End {
    fn from(error: TrailError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<StoreError> for End {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

/// Applies the records from `from` on, and answers the position after the last.
pub(super) fn replay(table: &SealedTable, keys: &MonthKeys, reader: &TrailReader, from: u64) -> Result<u64, OpenError> {
    std::thread::scope(|scope| {
        let (to, ready) = sync_channel(WAITING);
        let reading = scope.spawn(move || read(keys, reader, from, &to));
        let applied = write(table, ready, from);
        let read = reading
            .join()
            .unwrap_or_else(|_| Err(StoreError::Broken("reading the trail stopped".into()).into()));
        // What could not be read explains why there was no more to apply.
        applied.and_then(|next| read.map(|()| next))
    })
}

fn read(keys: &MonthKeys, reader: &TrailReader, from: u64, to: &SyncSender<Vec<Ready>>) -> Result<(), OpenError> {
    let mut together = Vec::with_capacity(TOGETHER);
    let ended = reader.replay(from, |sealed: SealedRecord, place| {
        let (key, stored) = (sealed.key, open(keys, sealed)?);
        together.push(Ready {
            position: stored.position,
            commitment: stored.commitment,
            key,
            record: stored.record()?,
            place,
        });
        if together.len() == TOGETHER {
            to.send(std::mem::replace(&mut together, Vec::with_capacity(TOGETHER)))
                .map_err(|_| End::Left)?;
        }
        Ok(())
    });
    match ended {
        Err(End::Failed(error)) => Err(error),
        // Why it was left the other side knows.
        Err(End::Left) => Ok(()),
        Ok(()) => {
            let _left = to.send(together);
            Ok(())
        }
    }
}

fn write(table: &SealedTable, ready: Receiver<Vec<Ready>>, from: u64) -> Result<u64, OpenError> {
    let (mut next, mut unwritten) = (from, 0);
    let mut index = Pending::new(table);
    for together in ready {
        unwritten += together.len();
        for one in together {
            apply(
                &mut index,
                &Entry {
                    position: one.position,
                    commitment: one.commitment,
                    key: one.key,
                    record: one.record.as_ref(),
                    place: Some(one.place),
                },
            )?;
            next = one.position + 1;
        }
        if unwritten >= LOOK {
            unwritten = 0;
            // What is written as a whole layer is sorted into nothing else.
            if index.bytes() >= LAYER {
                table.write(index.take())?;
            }
        }
    }
    table.write(index.into_changes())?;
    table.flush()?;
    Ok(next)
}
