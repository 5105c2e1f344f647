//! The one committer thread: takes every waiting batch, judges its conditions, and makes all of them durable with one sync.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use formats::trail::tree;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};
use tokio::sync::oneshot;

use super::index::{Changes, Key, Pending, SealedTable, Swept, Table, node, sweep};
use super::round::Round;
use super::scribe::Scribe;
use super::{Batch, Committed, StoreError};
use crate::log::LogSigner;
use crate::month_keys::{KeyId, MonthKeys};
use crate::trail::{AppendError, Group, SealedRecord};

/// RFC 3339 UTC with milliseconds: sorts as text.
const TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
/// Batches that share a sync at most.
pub(super) const GROUP_BATCHES: usize = 1024;
/// Frames a group is filled up to before it is written.
pub(super) const GROUP_BYTES: usize = 4 << 20;
/// The index is handed to the disk after so many groups, or when nothing comes for [`IDLE`].
const FLUSH_GROUPS: u32 = 4096;
const IDLE: Duration = Duration::from_millis(500);
/// An erasure that fails is tried again after this long, then after twice as long, up to some minutes.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Rows looked at in one step of an erasure, and steps that are done before its answer.
const ROWS: usize = 1000;
const AT_ONCE: usize = 9;

/// A batch and where its answer goes.
pub(super) struct Job {
    pub(super) batch: Batch,
    pub(super) answer: oneshot::Sender<Result<Committed, StoreError>>,
}

/// Where groups become durable: segment files, or memory.
pub(super) trait Journal: Send + 'static {
    /// Begins a group.
    fn begin(&mut self) -> Result<Group, AppendError>;
    /// Makes a group durable.
    fn append(&mut self, group: Group, records: &[SealedRecord]) -> Result<(), AppendError>;
}

/// The committer.
pub(super) struct Committer {
    pub(super) journal: Box<dyn Journal>,
    pub(super) table: Arc<SealedTable>,
    pub(super) scribe: Scribe,
    pub(super) keys: Arc<MonthKeys>,
    /// Whether rows of erased records may be left in the index.
    pub(super) sweeping: bool,
    /// Keys whose rows are gone and that could not be destroyed yet.
    pub(super) undestroyed: Vec<KeyId>,
    /// How often an erasure has failed one time after the other, and when it is tried again.
    pub(super) failing: Option<(u32, Instant)>,
    pub(super) broken: Option<String>,
}

/// What a batch came to, and where that is told once the group is written.
struct Answer {
    to: oneshot::Sender<Result<Committed, StoreError>>,
    result: Result<Committed, StoreError>,
}

impl Committer {
    /// Works until every sender is gone.
    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        let mut unflushed = 0;
        loop {
            self.sweep();
            let wait = if self.sweeps() { Duration::ZERO } else { IDLE };
            match jobs.recv_timeout(wait) {
                Ok(job) => {
                    self.round(job, jobs);
                    unflushed += 1;
                }
                Err(RecvTimeoutError::Timeout) if unflushed == 0 => continue,
                Err(RecvTimeoutError::Timeout) => self.flush(&mut unflushed),
                Err(RecvTimeoutError::Disconnected) => return self.flush(&mut unflushed),
            }
            if unflushed >= FLUSH_GROUPS {
                self.flush(&mut unflushed);
            }
        }
    }

    /// Whether there may be something to erase now.
    fn sweeps(&self) -> bool {
        let rested = self.failing.is_none_or(|(_, again)| again <= Instant::now());
        self.sweeping && self.broken.is_none() && rested
    }

    /// Removes some of the rows of erased records, and destroys a key after the last of its rows. What fails is tried again.
    fn sweep(&mut self) {
        if !self.sweeps() {
            return;
        }
        match self.sweep_on() {
            Ok(()) => self.failing = None,
            Err(error) => {
                let times = self.failing.map_or(0, |(times, _)| times + 1);
                let pause = FIRST_PAUSE.saturating_mul(1 << times.min(8));
                self.failing = Some((times, Instant::now() + pause));
                tracing::error!(%error, again_in = pause.as_secs(), "an erasure is not complete");
            }
        }
    }

    fn sweep_on(&mut self) -> Result<(), StoreError> {
        if let Some(id) = self.undestroyed.last().copied() {
            // The rows are handed to the disk first. Should they come back from it all the same, the next start finds them
            // without their key and makes the index anew.
            self.table.flush()?;
            self.keys.destroy(id)?;
            self.undestroyed.pop();
            tracing::info!(key = %id, "the key of a month's records is destroyed");
            return Ok(());
        }
        match sweep(&*self.table, ROWS)? {
            Swept::All(id) => self.undestroyed.push(id),
            Swept::Part => {}
            Swept::Nothing => self.sweeping = false,
        }
        Ok(())
    }

    fn flush(&self, unflushed: &mut u32) {
        *unflushed = 0;
        // Not a loss: the trail has it all, and the next start replays what the index lacks.
        if let Err(error) = self.table.flush() {
            tracing::warn!(%error, "the index could not be flushed");
        }
    }

    fn round(&mut self, first: Job, jobs: &Receiver<Job>) {
        let begun = match &self.broken {
            Some(reason) => Err(StoreError::Broken(reason.clone())),
            None => self.journal.begin().map_err(|error| self.failed(error)),
        };
        let group = match begun {
            Ok(group) => group,
            Err(error) => return drop(first.answer.send(Err(error))),
        };
        let (table, keys) = (Arc::clone(&self.table), Arc::clone(&self.keys));
        let mut round = Round::new(&*table, &keys, group);
        let mut answers = Vec::new();
        let mut next = Some(first);
        while let Some(Job { batch, answer: to }) = next {
            let result = round.take(batch);
            answers.push(Answer { to, result });
            let more = answers.len() < GROUP_BATCHES && round.group.length() < GROUP_BYTES;
            next = if more { jobs.try_recv().ok() } else { None };
        }
        let Round {
            index,
            group,
            records,
            erases,
            ..
        } = round;
        let written = if records.is_empty() {
            Ok(())
        } else {
            self.write(group, &records, index.into_changes())
        };
        if erases && written.is_ok() {
            self.sweeping = true;
            // What is little is gone before the answer.
            for _ in 0..AT_ONCE {
                self.sweep();
            }
        }
        for Answer { to, result } in answers {
            // A conflict was judged against earlier batches of this group; if those failed, so did it.
            let _gone = to.send(written.clone().and(result));
        }
    }

    fn write(&mut self, group: Group, records: &[SealedRecord], changes: Changes) -> Result<(), StoreError> {
        self.scribe.begin(changes);
        let appended = self.journal.append(group, records);
        // Taken also where the disk failed: nobody sees it then.
        let ready = self.scribe.end();
        appended.map_err(|error| self.failed(error))?;
        let indexed = ready.and_then(|changes| self.table.write_sealed(changes));
        indexed.map_err(|error| {
            // The trail has it, the index not: the next start replays it. Until then nothing may build upon the gap.
            self.failed(AppendError::Broken(format!("index: {error}")))
        })
    }

    fn failed(&mut self, error: AppendError) -> StoreError {
        match error {
            AppendError::Full => StoreError::Full,
            AppendError::Broken(reason) => {
                tracing::error!(reason, "the store takes no more writes until the relay restarts");
                self.broken = Some(reason.clone());
                StoreError::Broken(reason)
            }
        }
    }
}

/// RFC 3339 UTC with milliseconds, as in records.
pub(crate) fn format_time(time: OffsetDateTime) -> Option<String> {
    time.to_offset(UtcOffset::UTC).format(TIME).ok()
}

/// Adds the signed checkpoint of the tree with these changes.
pub(super) fn seal(table: &dyn Table, key: &LogSigner, changes: &mut Changes) -> Result<(), StoreError> {
    let index = Pending::upon(table, std::mem::take(changes));
    let size = super::index::number(&index, &Key::applied())?;
    let root = tree::root(size, |number| node(&index, number))
        .map_err(|_| StoreError::Broken("the index lacks a node of the tree; run `hikyaku-relay rebuild`".into()))?;
    let note = key
        .sign(size, &root)
        .map_err(|error| StoreError::Broken(error.to_string()))?;
    *changes = index.into_changes();
    changes
        .0
        .insert(Key::checkpoint().into_bytes(), Some(note.into_bytes()));
    Ok(())
}
