//! `SledTable`: the index in sled 0.34.7. The only place that knows sled.
//!
//! sled's `flush` on Linux neither syncs the disk's cache nor the file's length, and `flush_async` can hang. So an index counts
//! only if it was closed and synced as a whole, which a marker in its folder says; after any other end sled may have kept how
//! far the index had come and lost rows before it, and it is made anew from the trail.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::StoreError;
use super::index::{Changes, Fetch, Row, Table};
use crate::folder::sync_folder;

/// Bytes sled may keep in memory.
const CACHE: u64 = 64 << 20;
/// A file that sled has in its folder.
pub(super) const FILE: &str = "db";

/// The index in sled.
pub(super) struct SledTable {
    /// `None` only while it is dropped.
    db: Option<sled::Db>,
    folder: PathBuf,
    /// It was closed and synced the last time.
    pub(super) was_whole: bool,
    /// A write or a flush failed: what lies on the disk is not to be relied on.
    failed: AtomicBool,
}

/// File in the index's folder that says: all of this was on the disk when the index was closed.
const WHOLE: &str = "whole";

impl SledTable {
    pub(super) fn open(folder: &Path) -> Result<Self, StoreError> {
        let io = |error: io::Error| StoreError::Broken(format!("index: {error}"));
        crate::folder::create_private(folder).map_err(io)?;
        // Gone, and durably so, before sled writes: from here on only closing makes it whole again.
        let was_whole = match std::fs::remove_file(folder.join(WHOLE)) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(io(error)),
        };
        sync_folder(folder).map_err(io)?;
        let config = sled::Config::new()
            .path(folder)
            .cache_capacity(CACHE)
            .flush_every_ms(None);
        // sled 0.34 asserts where it should answer; a damaged index is made anew, not the end of the relay.
        let opened = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| config.open()));
        match opened {
            Ok(Ok(db)) => Ok(Self {
                db: Some(db),
                folder: folder.to_path_buf(),
                was_whole,
                failed: AtomicBool::new(false),
            }),
            Ok(Err(error)) => Err(broken(error)),
            Err(_) => Err(StoreError::Broken("index: sled stopped while opening".into())),
        }
    }

    fn db(&self) -> Result<&sled::Db, StoreError> {
        self.db
            .as_ref()
            .ok_or_else(|| StoreError::Broken("index: it is closed".into()))
    }

    fn noted<T>(&self, done: Result<T, StoreError>) -> Result<T, StoreError> {
        if done.is_err() {
            self.failed.store(true, Ordering::Relaxed);
        }
        done
    }
}

impl Drop for SledTable {
    fn drop(&mut self) {
        let flushed = self.flush().is_ok();
        // sled writes its last bytes when it is dropped.
        drop(self.db.take());
        if !flushed || self.failed.load(Ordering::Relaxed) {
            return;
        }
        if let Err(error) = close(&self.folder) {
            tracing::warn!(%error, "the index could not be closed whole; the next start makes it anew from the trail");
        }
    }
}

/// Syncs everything in the folder, then says so. One that is not there any more was removed on purpose.
fn close(folder: &Path) -> io::Result<()> {
    sync_all(folder)?;
    let marker = crate::folder::private_file()
        .write(true)
        .create(true)
        .truncate(true)
        .open(folder.join(WHOLE))?;
    marker.sync_all()?;
    sync_folder(folder)
}

fn sync_all(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            // sled's folder of large values has no folders of its own.
            for large in std::fs::read_dir(&path)? {
                File::open(large?.path())?.sync_all()?;
            }
            sync_folder(&path)?;
        } else {
            File::open(&path)?.sync_all()?;
        }
    }
    sync_folder(folder)
}

impl Fetch for SledTable {
    fn fetch(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.db()?.get(key).map_err(broken)?.map(|value| value.to_vec()))
    }
}

impl Table for SledTable {
    fn scan(&self, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Row>, StoreError> {
        let mut found = Vec::new();
        for row in self.db()?.range(from.to_vec()..).take(limit) {
            let (key, value) = row.map_err(broken)?;
            if !key.starts_with(prefix) {
                break;
            }
            found.push(Row {
                key: key.to_vec(),
                value: value.to_vec(),
            });
        }
        Ok(found)
    }

    fn write(&self, changes: Changes) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        for (key, value) in changes.0 {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        self.noted(self.db()?.apply_batch(batch).map_err(broken))
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.noted(self.db()?.flush().map_err(broken).map(drop))
    }
}

fn broken(error: sled::Error) -> StoreError {
    StoreError::Broken(format!("index: {error}"))
}
