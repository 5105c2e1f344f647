//! `SledStore`: trail files as the commit point, sled 0.34.7 as the index. The only place that knows sled.
//!
//! sled's `flush` on Linux neither syncs the disk's cache nor the file's length, and `flush_async` can hang. So an index counts
//! only if it was closed and synced as a whole, which a marker in its folder says; after any other end sled may have kept how
//! far the index had come and lost rows before it, and it is made anew from the trail.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::StoreError;
use super::committer::Journal;
use super::engine::{Embedded, Engine, replay_one, seal_if_needed};
use super::index::{Bodies, Changes, Fetch, Key, Pending, Row, SealedTable, Table, erasure, number, place};
use crate::folder::sync_folder;
use crate::keys::Keys;
use crate::log::LogSigner;
use crate::month_keys::MonthKeys;
use crate::trail::{AppendError, Disk, Group, Medium, SealedRecord, TornTail, Trail, TrailError, TrailReader};

/// Why the store does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The trail.
    #[error(transparent)]
    Trail(#[from] TrailError),
    /// The index, or what it made of a record.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Records that were acknowledged are gone.
    #[error(
        "the trail has {trail} records but the index has seen {index}: the end of the trail is missing. Restore the trail \
         from a backup; only if those records are lost for good, run `hikyaku-relay rebuild`"
    )]
    TrailTooShort {
        /// Records in the trail.
        trail: u64,
        /// Records the index has seen.
        index: u64,
    },
}

/// The embedded store.
pub struct SledStore {
    engine: Engine,
    /// What was cut off when it was opened.
    pub torn: Option<TornTail>,
}

/// Bytes sled may keep in memory.
const CACHE: u64 = 64 << 20;
/// Records applied with one write of the index during a replay.
const REPLAY: u64 = 500;

impl SledStore {
    /// Opens the store below the relay's data folder: `trail`, `keys` and `index`. Takes the trail's lock, cuts off a torn
    /// tail, and brings the index up to the trail. An index that cannot be read is put aside and made anew.
    ///
    /// # Errors
    /// [`OpenError`], with what to do.
    pub fn open(data: &Path, key: impl Into<LogSigner>, keys: &Keys) -> Result<Self, OpenError> {
        Self::open_on(data, key, keys, Box::new(Disk))
    }

    /// Makes the index anew from the trail alone.
    ///
    /// # Errors
    /// As [`SledStore::open`].
    pub fn rebuild(data: &Path, key: impl Into<LogSigner>, keys: &Keys) -> Result<Self, OpenError> {
        let (trail, torn) = Trail::open(&data.join("trail"), Box::new(Disk))?;
        remove(&data.join("index"))?;
        Self::with(data, key.into(), keys, trail, torn)
    }

    pub(super) fn open_on(
        data: &Path,
        key: impl Into<LogSigner>,
        keys: &Keys,
        medium: Box<dyn Medium>,
    ) -> Result<Self, OpenError> {
        let (trail, torn) = Trail::open(&data.join("trail"), medium)?;
        if let Some(torn) = &torn {
            let (file, cut) = (torn.file.display(), torn.cut);
            tracing::warn!(%file, cut, "a group of records that was never acknowledged was cut off the trail");
        }
        Self::with(data, key.into(), keys, trail, torn)
    }

    fn with(data: &Path, key: LogSigner, keys: &Keys, trail: Trail, torn: Option<TornTail>) -> Result<Self, OpenError> {
        let reader = TrailReader::new(&data.join("trail"));
        let keys = Arc::new(MonthKeys::of_data(data, keys));
        // Before anything is read with one that was destroyed.
        keys.destroyed().map_err(StoreError::from)?;
        let index = data.join("index");
        let open = || -> Result<(SealedTable, bool), OpenError> {
            let table = SledTable::open(&index)?;
            let whole = table.was_whole;
            Ok((SealedTable::over(Arc::new(table), Arc::clone(&keys)), whole))
        };
        let (mut table, whole) = open().or_else(|error| {
            tracing::warn!(%error, "the index cannot be read; it is made anew from the trail");
            remove(&index)?;
            open()
        })?;
        if applied(&table, trail.size())? > 0 && !whole {
            tracing::warn!("the relay was not closed; the index is made anew from the trail");
            drop(table);
            remove(&index)?;
            table = open()?.0;
        }
        catch_up(&table, &keys, &reader, trail.size())?;
        if let Some(id) = erasure::without_key(&table, &keys)? {
            tracing::warn!(key = %id, "the index knows more or less than the keys open; it is made anew from the trail");
            drop(table);
            remove(&index)?;
            table = open()?.0;
            catch_up(&table, &keys, &reader, trail.size())?;
        }
        erasure::settle(&table, &keys)?;
        seal_if_needed(&table, &key)?;
        let engine = Engine::start(Arc::new(table), Arc::new(reader), Box::new(trail), key, keys)?;
        Ok(Self { engine, torn })
    }
}

impl Embedded for SledStore {
    fn engine(&self) -> &Engine {
        &self.engine
    }
}

/// How many of the trail's `size` records the index has seen.
fn applied(table: &SealedTable, size: u64) -> Result<u64, OpenError> {
    let index = number(table, &Key::applied())?;
    if index > size {
        return Err(OpenError::TrailTooShort { trail: size, index });
    }
    Ok(index)
}

/// Applies to the index what the trail has more.
fn catch_up(table: &SealedTable, keys: &MonthKeys, reader: &TrailReader, size: u64) -> Result<(), OpenError> {
    let applied = applied(table, size)?;
    if applied == size {
        return Ok(());
    }
    let mut changes = Changes::default();
    let mut next = applied;
    reader.replay(applied, |record, place| {
        let mut index = Pending::new(table as &dyn Fetch);
        std::mem::swap(&mut index.changes, &mut changes);
        replay_one(&mut index, keys, &record, Some(place))?;
        std::mem::swap(&mut index.changes, &mut changes);
        next = record.position + 1;
        if next.is_multiple_of(REPLAY) {
            table.write(&std::mem::take(&mut changes))?;
        }
        Ok::<(), OpenError>(())
    })?;
    table.write(&changes)?;
    table.flush()?;
    tracing::info!(records = next - applied, "the index was brought up to the trail");
    Ok(())
}

fn remove(folder: &Path) -> Result<(), OpenError> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(TrailError::Io(folder.into(), error).into()),
        _ => Ok(()),
    }
}

pub(super) struct SledTable {
    /// `None` only while it is dropped.
    db: Option<sled::Db>,
    folder: PathBuf,
    /// It was closed and synced the last time.
    was_whole: bool,
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

    fn write(&self, changes: &Changes) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        for (key, value) in &changes.0 {
            match value {
                Some(value) => batch.insert(key.as_slice(), value.as_slice()),
                None => batch.remove(key.as_slice()),
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

impl Journal for Trail {
    fn begin(&mut self) -> Result<Group, AppendError> {
        Self::begin(self)
    }

    fn append(&mut self, group: Group, _records: &[SealedRecord]) -> Result<(), AppendError> {
        Self::append(self, group)
    }
}

impl Bodies for TrailReader {
    fn bodies(&self, table: &dyn Table, positions: &[u64]) -> Result<Vec<SealedRecord>, StoreError> {
        let body = |position: &u64| {
            self.record(*position, place(table, *position)?)
                .map_err(|error| StoreError::Broken(error.to_string()))
        };
        positions.iter().map(body).collect()
    }

    fn run(&self, table: &dyn Table, positions: &[u64], most: usize) -> Result<Vec<SealedRecord>, StoreError> {
        let found = TrailReader::run(self, positions, most, |position| {
            place(table, position).map_err(OpenError::from)
        });
        found.map_err(|error| match error {
            OpenError::Store(error) => error,
            error => StoreError::Broken(error.to_string()),
        })
    }
}
