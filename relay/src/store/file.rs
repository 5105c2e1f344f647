//! `FileStore`: trail files as the commit point, and an index beside them, in redb or in sled.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use formats::trail::tree;

use super::StoreError;
use super::committer::Journal;
use super::engine::{Embedded, Engine, seal_if_needed};
use super::index::{Bodies, Key, SealedTable, Table, erasure, is_of_this_layout, lacks_a_node, node, number, place};
use super::redb::{self, RedbTable};
use super::replay::replay;
use super::sled::{self, SledTable};
use crate::keys::Keys;
use crate::log::{LogSigner, Remembered, remembered};
use crate::month_keys::{Folder, MonthKeys};
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
         from a backup; only if those records are lost for good, run `hikyaku-relay rebuild --despite-losses`"
    )]
    TrailTooShort {
        /// Records in the trail.
        trail: u64,
        /// Records the index has seen.
        index: u64,
    },
    /// The same, as a signed checkpoint shows.
    #[error(
        "the trail has {trail} records but {file} is signed for {signed}: the end of the trail is missing. Restore the trail \
         from a backup; only if those records are lost for good, run `hikyaku-relay rebuild --despite-losses`"
    )]
    SignedForMore {
        /// Records in the trail.
        trail: u64,
        /// Records the checkpoint is signed for.
        signed: u64,
        /// The checkpoint.
        file: PathBuf,
    },
    /// The trail is not the one a checkpoint was signed for.
    #[error(
        "the first {size} records are not those {file} is signed for: they were changed, or this trail is another's. Do not \
         serve; compare with a backup"
    )]
    Rewritten {
        /// Records the checkpoint is signed for.
        size: u64,
        /// The checkpoint.
        file: PathBuf,
    },
}

/// In what the index lies. Both are made from the trail; the configuration may name the other at any start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IndexKind {
    /// redb: what a stop loses of it is the newest rows, which the next start takes from the trail.
    #[default]
    Redb,
    /// sled: after a stop of any other kind than closing it is made anew.
    Sled,
}

/// An index as it was found.
struct Found {
    table: Arc<dyn Table>,
    /// No row before those it says to have seen is missing.
    whole: bool,
}

impl IndexKind {
    /// The kind that lies in this folder.
    pub(super) fn of(folder: &Path) -> Option<Self> {
        let there = [(Self::Redb, redb::FILE), (Self::Sled, sled::FILE)];
        there
            .into_iter()
            .find(|(_, file)| folder.join(file).exists())
            .map(|(kind, _)| kind)
    }

    /// Opens the index in this folder, made if it is not there. One of another kind goes.
    fn open(self, folder: &Path) -> Result<Found, OpenError> {
        if Self::of(folder).is_some_and(|there| there != self) {
            tracing::warn!("the index is of another kind; it is made anew from the trail");
            remove(folder)?;
        }
        Ok(match self {
            Self::Redb => Found {
                table: Arc::new(RedbTable::open(folder)?),
                whole: true,
            },
            Self::Sled => {
                let table = SledTable::open(folder)?;
                let whole = table.was_whole;
                Found {
                    table: Arc::new(table),
                    whole,
                }
            }
        })
    }

    /// The same, as a table alone.
    pub(super) fn table(self, folder: &Path) -> Result<Arc<dyn Table>, OpenError> {
        self.open(folder).map(|found| found.table)
    }
}

/// The embedded store.
pub struct FileStore {
    engine: Engine,
    /// What was cut off when it was opened.
    pub torn: Option<TornTail>,
}

impl FileStore {
    /// Opens the store below the relay's data folder: `trail`, `keys` and `index`. Takes the trail's lock, cuts off a torn
    /// tail, and brings the index up to the trail. An index that cannot be read is put aside and made anew.
    ///
    /// # Errors
    /// [`OpenError`], with what to do.
    pub fn open(data: &Path, key: impl Into<LogSigner>, keys: &Keys) -> Result<Self, OpenError> {
        Self::open_in(IndexKind::default(), data, key, keys)
    }

    /// The same with an index of this kind.
    ///
    /// # Errors
    /// [`OpenError`], with what to do.
    pub fn open_in(kind: IndexKind, data: &Path, key: impl Into<LogSigner>, keys: &Keys) -> Result<Self, OpenError> {
        Self::open_on(kind, data, key, keys, Box::new(Disk))
    }

    /// Makes the index anew from the trail alone.
    ///
    /// # Errors
    /// As [`FileStore::open`].
    pub fn rebuild(data: &Path, key: impl Into<LogSigner>, keys: &Keys) -> Result<Self, OpenError> {
        Self::rebuild_in(IndexKind::default(), data, key, keys)
    }

    /// The same as an index of this kind.
    ///
    /// # Errors
    /// As [`FileStore::open`].
    pub fn rebuild_in(kind: IndexKind, data: &Path, key: impl Into<LogSigner>, keys: &Keys) -> Result<Self, OpenError> {
        let (key, trail) = (key.into(), Trail::open(&data.join("trail"), Box::new(Disk))?);
        let index = data.join("index");
        compare_end(&trail, &remembered(data, key.vkey()))?;
        compare_there(&index, &Arc::new(MonthKeys::of_data(data, keys)), &trail)?;
        remove(&index)?;
        Self::with(kind, data, key, keys, trail)
    }

    /// The same although records are lost for good, which were acknowledged: what follows the last whole group is cut off, and
    /// checkpoints that are signed for more are put aside as `….lost`.
    ///
    /// # Errors
    /// As [`FileStore::open`].
    pub fn rebuild_despite_losses(
        kind: IndexKind,
        data: &Path,
        key: impl Into<LogSigner>,
        keys: &Keys,
    ) -> Result<Self, OpenError> {
        let (key, mut trail) = (key.into(), Trail::open(&data.join("trail"), Box::new(Disk))?);
        let torn = trail.cut()?;
        for kept in remembered(data, key.vkey())
            .into_iter()
            .filter(|kept| kept.size > trail.size())
        {
            let mut lost = kept.file.as_os_str().to_owned();
            lost.push(".lost");
            std::fs::rename(&kept.file, &lost).map_err(|error| TrailError::Io(kept.file, error))?;
        }
        remove(&data.join("index"))?;
        let mut store = Self::with(kind, data, key, keys, trail)?;
        store.torn = torn;
        Ok(store)
    }

    pub(super) fn open_on(
        kind: IndexKind,
        data: &Path,
        key: impl Into<LogSigner>,
        keys: &Keys,
        medium: Box<dyn Medium>,
    ) -> Result<Self, OpenError> {
        let trail = Trail::open(&data.join("trail"), medium)?;
        Self::with(kind, data, key.into(), keys, trail)
    }

    fn with(kind: IndexKind, data: &Path, key: LogSigner, keys: &Keys, mut trail: Trail) -> Result<Self, OpenError> {
        let reader = TrailReader::new(&data.join("trail"));
        let keys = Arc::new(MonthKeys::of_data(data, keys));
        let kept = data.join("keys");
        Folder::tidy(data).map_err(|error| TrailError::Io(kept, error))?;
        // Before anything is read with one that was destroyed.
        keys.destroyed().map_err(StoreError::from)?;
        let index = data.join("index");
        // One of another kind goes: what it has seen is asked first.
        if IndexKind::of(&index) != Some(kind) {
            compare_there(&index, &keys, &trail)?;
        }
        let open = || -> Result<(SealedTable, bool), OpenError> {
            let Found { table, whole } = kind.open(&index)?;
            Ok((SealedTable::over(table, Arc::clone(&keys)), whole))
        };
        let (mut table, whole) = open().or_else(|error| {
            tracing::warn!(%error, "the index cannot be read; it is made anew from the trail");
            remove(&index)?;
            open()
        })?;
        // Before anything is cut off: a group whose records index or checkpoint have seen was acknowledged.
        let signed = remembered(data, key.vkey());
        compare_end(&trail, &signed)?;
        let found = compare_with(&table, &trail).and_then(|seen| Ok((seen, is_of_this_layout(&table)?)));
        let (seen, known) = match found {
            Err(OpenError::Store(error)) => {
                tracing::warn!(%error, "the index cannot be read; it is made anew from the trail");
                drop(table);
                remove(&index)?;
                table = open()?.0;
                (0, true)
            }
            found => found?,
        };
        let torn = trail.cut()?;
        if let Some(torn) = &torn {
            let (file, cut, aside) = (torn.file.display(), torn.cut, torn.aside.display());
            tracing::warn!(%file, cut, %aside, "a group of records that was never acknowledged was cut off the trail");
        }
        if seen > 0 && !(whole && known) {
            match known {
                true => tracing::warn!("the relay was not closed; the index is made anew from the trail"),
                false => tracing::warn!("the index is of another release; it is made anew from the trail"),
            }
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
        if let Some(last) = signed.into_iter().next_back() {
            let root = tree::root(last.size, |number| node(&table, number)).map_err(|_| lacks_a_node())?;
            if root != last.root {
                return Err(OpenError::Rewritten {
                    size: last.size,
                    file: last.file,
                });
            }
        }
        seal_if_needed(&table, &key)?;
        let engine = Engine::start(Arc::new(table), Arc::new(reader), Box::new(trail), key, keys)?;
        Ok(Self { engine, torn })
    }
}

impl Embedded for FileStore {
    fn engine(&self) -> &Engine {
        &self.engine
    }
}

/// Compares the end of the trail with the checkpoints that are kept.
fn compare_end(trail: &Trail, signed: &[Remembered]) -> Result<(), OpenError> {
    match signed.last() {
        Some(last) if last.size > trail.size() => Err(match trail.damage(last.size)? {
            Some(damage) => damage.into(),
            None => OpenError::SignedForMore {
                trail: trail.size(),
                signed: last.size,
                file: last.file.clone(),
            },
        }),
        _ => Ok(()),
    }
}

/// The same with the index; how many of its records that has seen.
fn compare_with(table: &SealedTable, trail: &Trail) -> Result<u64, OpenError> {
    if let Some(damage) = trail.damage(number(table, &Key::applied())?)? {
        return Err(damage.into());
    }
    applied(table, trail.size())
}

/// The same with the index that lies there, of whatever kind. What cannot be read is made anew; what can says how far the trail had come.
fn compare_there(index: &Path, keys: &Arc<MonthKeys>, trail: &Trail) -> Result<(), OpenError> {
    let Some(there) = IndexKind::of(index) else {
        return Ok(());
    };
    let table = there.table(index);
    match table.and_then(|table| compare_with(&SealedTable::over(table, Arc::clone(keys)), trail)) {
        Err(OpenError::Store(error)) => {
            tracing::warn!(%error, "the index that was there cannot be read");
            Ok(())
        }
        compared => compared.map(drop),
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
    let next = replay(table, keys, reader, applied)?;
    tracing::info!(records = next - applied, "the index was brought up to the trail");
    Ok(())
}

fn remove(folder: &Path) -> Result<(), OpenError> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(TrailError::Io(folder.into(), error).into()),
        _ => Ok(()),
    }
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
        let one = |position: &u64| {
            let found = Bodies::run(self, table, &[*position], usize::MAX)?.pop();
            found.ok_or_else(|| StoreError::Broken(format!("no record {position}")))
        };
        positions.iter().map(one).collect()
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
