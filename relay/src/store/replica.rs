//! `Replica`: the index made anew from a trail alone, in a scratch folder, beside a relay that goes on writing.
//!
//! What the relay's own index is compared with, and what a restored trail is judged by. It takes no lock and changes no file
//! of the relay.

use std::path::Path;
use std::sync::Arc;

use formats::trail::{Record, tree};
use formats::wire::SubmissionId;

use super::engine::replay_one;
use super::index::{Changes, Fetch, Key, Pending, Row, SealedTable, State, Table, months, node, number, open, row};
use super::postgres::{NOT_COMMITTED, RECORDS};
use super::redb::RedbTable;
use super::{IndexKind, OpenError, PostgresReader, StoreError, SubmissionRow};
use crate::keys::Keys;
use crate::month_keys::{KeyId, MonthKeys};
use crate::trail::{Place, SealedRecord, TrailError, TrailReader};

/// An index made from the trail.
pub struct Replica {
    table: SealedTable,
    keys: Arc<MonthKeys>,
    source: Source,
    next: u64,
}

/// Where the trail is read.
enum Source {
    Files(TrailReader),
    Database(Arc<PostgresReader>),
}

impl Source {
    fn replay(
        &self,
        from: u64,
        mut each: impl FnMut(SealedRecord, Option<Place>) -> Result<(), End>,
    ) -> Result<(), End> {
        match self {
            Self::Files(reader) => reader.replay(from, |record, place| each(record, Some(place))),
            Self::Database(reader) => reader.replay(from, |record| each(record, None)),
        }
    }
}

/// A record that was applied, and the rows it changed.
pub struct Applied<'a> {
    /// Its position.
    pub position: u64,
    /// Bytes it takes, sealed.
    pub bytes: u64,
    /// What it says; `None` once it is erased.
    pub record: Option<&'a Record>,
    changes: &'a Changes,
}

impl Applied<'_> {
    /// The rows it changed: key and new value, `None` where it removed the row.
    pub fn rows(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        let rows = self.changes.0.iter();
        rows.map(|(key, value)| (key.as_slice(), value.as_deref()))
    }
}

/// Why a replica goes no further; what came before is in it.
#[derive(Debug, thiserror::Error)]
pub enum ReplicaError {
    /// The trail.
    #[error(transparent)]
    Trail(#[from] TrailError),
    /// The scratch folder, or a record that cannot be applied.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Records written to the scratch folder at once.
const BATCH: u64 = 500;
/// Where a replay ends that was told to.
enum End {
    There,
    Failed(ReplicaError),
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

impl Replica {
    /// An empty replica of the trail below the data folder `data`, kept in the folder `scratch`, sealed as an index is.
    ///
    /// # Errors
    /// [`StoreError`] if the scratch folder cannot be used.
    pub fn new(data: &Path, keys: &Keys, scratch: &Path) -> Result<Self, StoreError> {
        let keys = Arc::new(MonthKeys::of_data(data, keys));
        Ok(Self {
            table: SealedTable::over(Arc::new(RedbTable::open(scratch)?), Arc::clone(&keys)),
            keys,
            source: Source::Files(TrailReader::new(&data.join("trail"))),
            next: 0,
        })
    }

    /// An empty replica of the trail in a database.
    ///
    /// # Errors
    /// [`StoreError`] if the scratch folder cannot be used.
    pub fn of_database(reader: &Arc<PostgresReader>, scratch: &Path) -> Result<Self, StoreError> {
        let keys = reader.keys();
        Ok(Self {
            table: SealedTable::over(Arc::new(RedbTable::open(scratch)?), Arc::clone(&keys)),
            keys,
            source: Source::Database(Arc::clone(reader)),
            next: 0,
        })
    }

    /// Applies what the trail has more, record by record, but nothing from position `until` on. Answers the number of records
    /// it has then.
    ///
    /// # Errors
    /// [`ReplicaError`]; everything before the place it names is in the replica.
    pub fn follow(&mut self, until: u64, mut each: impl FnMut(Applied<'_>)) -> Result<u64, ReplicaError> {
        let mut changes = Changes::default();
        let (mut next, mut unwritten) = (self.next, 0);
        let (table, keys) = (&self.table, &*self.keys);
        let ended = self.source.replay(next, |stored, place| {
            if stored.position >= until {
                return Err(End::There);
            }
            let mut below = Pending::upon(table as &dyn Fetch, std::mem::take(&mut changes));
            let mut index = Pending::new(&below);
            let record = match replay_one(&mut index, keys, &stored, place) {
                // A file has a check of its own; a row has not.
                Err(_) if place.is_none() && open(keys, stored.clone()).and_then(|found| found.record()).is_err() => {
                    return Err(End::Failed(ReplicaError::Trail(TrailError::Damaged {
                        file: RECORDS.into(),
                        offset: 0,
                        position: stored.position,
                        what: NOT_COMMITTED,
                    })));
                }
                applied => applied?,
            };
            let own = index.into_changes();
            each(Applied {
                position: stored.position,
                bytes: stored.length() as u64,
                record: record.as_ref(),
                changes: &own,
            });
            below.merge(own);
            changes = below.into_changes();
            (next, unwritten) = (stored.position + 1, unwritten + 1);
            if unwritten >= BATCH {
                unwritten = 0;
                table.write(std::mem::take(&mut changes))?;
            }
            Ok(())
        });
        self.table.write(changes)?;
        self.next = next;
        match ended {
            Ok(()) | Err(End::There) => Ok(next),
            Err(End::Failed(error)) => Err(error),
        }
    }

    /// Keys of months of the trail that are not there although nothing says that they were destroyed.
    ///
    /// # Errors
    /// [`StoreError`] if scratch folder or keys cannot be read.
    pub(crate) fn keys_missing(&self) -> Result<Vec<KeyId>, StoreError> {
        let months = months(&self.table)?.into_iter();
        let unread: Vec<KeyId> = months
            .filter(|(_, row)| matches!(row.state, State::Unread | State::Mixed))
            .map(|(id, _)| id)
            .collect();
        // What was destroyed while the trail was read is marked by now.
        let destroyed = self.keys.destroyed()?;
        Ok(unread.into_iter().filter(|id| !destroyed.contains(id)).collect())
    }

    /// Number of records in it.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.next
    }

    /// The root of the tree of the first `size` records.
    ///
    /// # Errors
    /// [`StoreError`] if there are fewer.
    pub fn root(&self, size: u64) -> Result<[u8; 32], StoreError> {
        let lacking = || StoreError::Broken(format!("there are {} records, not {size}", self.next));
        if size > self.next {
            return Err(lacking());
        }
        tree::root(size, |number| node(&self.table, number)).map_err(|_| lacking())
    }

    /// Rows by key, from `from` on, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] of the scratch folder.
    pub fn rows(&self, from: &[u8], limit: usize) -> Result<Vec<Row>, StoreError> {
        self.table.scan(&[], from, limit)
    }

    /// The value of one row.
    ///
    /// # Errors
    /// [`StoreError`] of the scratch folder.
    pub fn value(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.table.fetch(key)
    }

    /// One submission.
    ///
    /// # Errors
    /// [`StoreError`] of the scratch folder.
    pub fn submission(&self, id: &SubmissionId) -> Result<Option<SubmissionRow>, StoreError> {
        row(&self.table, &Key::submission(id))
    }

    /// Submissions by id: those after `after`, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] of the scratch folder.
    pub fn submissions(&self, after: Option<&SubmissionId>, limit: usize) -> Result<Vec<SubmissionRow>, StoreError> {
        let all = Key::all_submissions();
        // A key ends with a byte 0; the next possible one is right behind it.
        let from = after.map_or_else(
            || all.as_bytes().to_vec(),
            |id| [Key::submission(id).as_bytes(), &[0]].concat(),
        );
        let found = self.table.scan(all.as_bytes(), &from, limit)?;
        found
            .iter()
            .map(|row| super::index::parse(&row.key, &row.value))
            .collect()
    }

    /// Whether a row is not made from the trail alone: the checkpoint bears a signature; an erasure under way goes on by itself.
    #[must_use]
    pub fn is_apart(key: &[u8]) -> bool {
        key == Key::checkpoint().as_bytes() || key.starts_with(Key::erasures().as_bytes())
    }
}

/// The index of a relay that does not run, read from a copy of its files.
pub struct IndexCopy(SealedTable);

impl IndexCopy {
    /// Opens a copy of the folder `index` of the data folder `data`.
    ///
    /// # Errors
    /// [`OpenError`] if it cannot be read as an index.
    pub fn open(data: &Path, keys: &Keys, copy: &Path) -> Result<Self, OpenError> {
        let keys = Arc::new(MonthKeys::of_data(data, keys));
        let kind = IndexKind::of(copy).unwrap_or_default();
        Ok(Self(SealedTable::over(kind.table(copy)?, keys)))
    }

    /// Number of records it has seen.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub fn applied(&self) -> Result<u64, StoreError> {
        number(&self.0, &Key::applied())
    }

    /// Its signed checkpoint.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub fn checkpoint(&self) -> Result<Option<String>, StoreError> {
        let note = self.0.fetch(Key::checkpoint().as_bytes())?;
        Ok(note.and_then(|note| String::from_utf8(note).ok()))
    }

    /// Rows by key, from `from` on, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub fn rows(&self, from: &[u8], limit: usize) -> Result<Vec<Row>, StoreError> {
        self.0.scan(&[], from, limit)
    }
}
