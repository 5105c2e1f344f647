//! What a group does to the index is made ready to be written while the disk takes the group: rows are sealed, the tree's root is
//! computed and signed. Nobody sees any of it before the group is durable.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use super::StoreError;
use super::committer::seal;
use super::index::{Changes, SealedTable};
use crate::log::LogSigner;

/// A thread that makes changes ready.
pub(super) struct Scribe {
    /// `None` only while it is dropped.
    changes: Option<SyncSender<Changes>>,
    ready: Receiver<Result<Changes, StoreError>>,
    thread: Option<JoinHandle<()>>,
}

impl Scribe {
    pub(super) fn start(table: Arc<SealedTable>, key: LogSigner) -> Result<Self, StoreError> {
        let (changes, given) = sync_channel::<Changes>(1);
        let (to, ready) = sync_channel(1);
        let work = move || {
            for mut changes in given {
                let sealed = seal(&*table, &key, &mut changes).and_then(|()| table.seal(changes));
                if to.send(sealed).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("scribe".into())
            .spawn(work)
            .map_err(|error| StoreError::Broken(error.to_string()))?;
        Ok(Self {
            changes: Some(changes),
            ready,
            thread: Some(thread),
        })
    }

    /// Begins with the changes of a group. [`Scribe::end`] answers before the next.
    pub(super) fn begin(&self, changes: Changes) {
        // A thread that is gone gives no answer, which is an error then.
        let _gone = self.changes.as_ref().map(|to| to.send(changes));
    }

    /// The changes as they are to be written, with the signed checkpoint.
    pub(super) fn end(&self) -> Result<Changes, StoreError> {
        let stopped = || StoreError::Broken("the thread that signs the checkpoint has stopped".into());
        self.ready.recv().unwrap_or_else(|_| Err(stopped()))
    }
}

impl Drop for Scribe {
    fn drop(&mut self) {
        drop(self.changes.take());
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}
