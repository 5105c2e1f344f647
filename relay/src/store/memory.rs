//! `MemoryStore`: the same rules with nothing on disk, for tests and examples.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock};

use super::StoreError;
use super::committer::Journal;
use super::engine::{Embedded, Engine, seal_if_needed};
use super::index::{Bodies, Changes, Fetch, Row, SealedTable, Table};
use crate::log::LogSigner;
use crate::month_keys::MonthKeys;
use crate::trail::{AppendError, Group, SealedRecord};

/// A store that lasts as long as the process.
pub struct MemoryStore {
    engine: Engine,
}

impl MemoryStore {
    /// An empty store.
    ///
    /// # Errors
    /// [`StoreError::Broken`] if no thread can be started.
    pub fn new(key: impl Into<LogSigner>) -> Result<Self, StoreError> {
        let key = key.into();
        let keys = Arc::new(MonthKeys::in_memory());
        let table = Arc::new(SealedTable::over(Arc::new(MemoryTable::default()), Arc::clone(&keys)));
        seal_if_needed(&*table, &key)?;
        let records = Records::default();
        let journal = MemoryJournal {
            records: records.clone(),
        };
        Ok(Self {
            engine: Engine::start(table, Arc::new(records), Box::new(journal), key, keys)?,
        })
    }
}

impl Embedded for MemoryStore {
    fn engine(&self) -> &Engine {
        &self.engine
    }
}

/// A table in memory.
#[derive(Default)]
pub(super) struct MemoryTable(RwLock<BTreeMap<Vec<u8>, Vec<u8>>>);

impl Fetch for MemoryTable {
    fn fetch(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned())
    }
}

impl Table for MemoryTable {
    fn scan(&self, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Row>, StoreError> {
        let rows = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let found = rows.range::<[u8], _>((Bound::Included(from), Bound::Unbounded));
        let found = found.take_while(|(key, _)| key.starts_with(prefix)).take(limit);
        Ok(found
            .map(|(key, value)| Row {
                key: key.clone(),
                value: value.clone(),
            })
            .collect())
    }

    fn write(&self, changes: Changes) -> Result<(), StoreError> {
        let mut rows = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for (key, value) in changes.0 {
            match value {
                Some(value) => rows.insert(key, value),
                None => rows.remove(&key),
            };
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

#[derive(Clone, Default)]
struct Records(Arc<RwLock<Vec<SealedRecord>>>);

impl Bodies for Records {
    fn bodies(&self, _table: &dyn Table, positions: &[u64]) -> Result<Vec<SealedRecord>, StoreError> {
        let records = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let body = |position: &u64| {
            let found = usize::try_from(*position).ok().and_then(|at| records.get(at).cloned());
            found.ok_or_else(|| StoreError::Broken(format!("no record {position}")))
        };
        positions.iter().map(body).collect()
    }
}

struct MemoryJournal {
    records: Records,
}

impl Journal for MemoryJournal {
    fn begin(&mut self) -> Result<Group, AppendError> {
        let size = self.records.0.read().unwrap_or_else(PoisonError::into_inner).len();
        Ok(Group::without_place(size as u64))
    }

    fn append(&mut self, _group: Group, records: &[SealedRecord]) -> Result<(), AppendError> {
        self.records
            .0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(records);
        Ok(())
    }
}
