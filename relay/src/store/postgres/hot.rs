//! The index as the sequencer sees it: what it has read or written itself it knows, because while its lease counts nobody else
//! writes.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::link::{Link, Session};
use super::table;
use super::trouble::Trouble;
use crate::month_keys::MonthKeys;
use crate::store::index::{Changes, Fetch, Key, Row, Table, open_row};
use crate::store::{Batch, Condition, StoreError};

/// Bytes of rows that are kept.
const BOUND: usize = 64 << 20;

/// Rows as they are; `None`: there is no such row.
#[derive(Default)]
pub(super) struct Rows {
    rows: HashMap<Vec<u8>, Option<Vec<u8>>>,
    bytes: usize,
}

impl Rows {
    fn put(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.bytes += key.len() + value.as_ref().map_or(0, Vec::len);
        self.rows.insert(key, value);
    }

    /// After these changes were committed.
    pub(super) fn apply(&mut self, changes: Changes) {
        if self.bytes > BOUND {
            *self = Self::default();
        }
        for (key, value) in changes.0 {
            self.put(key, value);
        }
    }
}

/// The index upon one session. What is written to it is put aside, to be written under the guard.
pub(super) struct Hot<'a> {
    link: &'a Link,
    session: &'a Session,
    keys: &'a MonthKeys,
    rows: Mutex<&'a mut Rows>,
    trouble: Mutex<Option<Trouble>>,
    aside: Mutex<Changes>,
}

impl<'a> Hot<'a> {
    pub(super) fn new(link: &'a Link, session: &'a Session, keys: &'a MonthKeys, rows: &'a mut Rows) -> Self {
        Self {
            link,
            session,
            keys,
            rows: Mutex::new(rows),
            trouble: Mutex::default(),
            aside: Mutex::default(),
        }
    }

    /// Fails with why the database did not answer a question about a row, if it did not.
    pub(super) fn answered(&self) -> Result<(), Trouble> {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner).take();
        trouble.map_or(Ok(()), Err)
    }

    /// What was written to it.
    pub(super) fn aside(&self) -> Changes {
        std::mem::take(&mut *self.aside.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn known(&self) -> MutexGuard<'_, &'a mut Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask<T>(&self, question: impl Future<Output = Result<T, Trouble>>) -> Result<T, StoreError> {
        self.link.run(question).map_err(|trouble| {
            *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(trouble.clone());
            trouble.into()
        })
    }

    /// Learns with one question the rows that these batches will most probably ask for.
    pub(super) fn learn<'b>(&self, batches: impl Iterator<Item = &'b Batch>) -> Result<(), StoreError> {
        let mut keys = vec![Key::applied(), Key::time(), Key::checkpoint()];
        for batch in batches {
            keys.extend(batch.conditions.iter().filter_map(asked));
            for event in &batch.events {
                keys.extend(event.facilities().iter().map(Key::sequence));
                keys.extend(event.submission().map(Key::submission));
            }
        }
        let mut wanted: BTreeSet<Vec<u8>> = keys.into_iter().map(Key::into_bytes).collect();
        {
            let known = self.known();
            wanted.retain(|key| !known.rows.contains_key(key));
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let asked: Vec<&[u8]> = wanted.iter().map(Vec::as_slice).collect();
        let mut found = self.ask(table::fetch_all(self.session, &asked))?;
        for key in wanted {
            // One that does not open is damaged: the batch that asks for it fails alone, when it asks.
            let value = match found.remove(&key).map(|value| open_row(self.keys, self, &key, value)) {
                Some(Err(_)) => continue,
                Some(Ok(value)) => value,
                None => None,
            };
            self.known().put(key, value);
        }
        Ok(())
    }
}

impl Fetch for Hot<'_> {
    fn fetch(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        if let Some(known) = self.known().rows.get(key) {
            return Ok(known.clone());
        }
        let value = match self.ask(table::fetch(self.session, key))? {
            Some(value) => open_row(self.keys, self, key, value)?,
            None => None,
        };
        self.known().put(key.to_vec(), value.clone());
        Ok(value)
    }
}

impl Table for Hot<'_> {
    fn scan(&self, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Row>, StoreError> {
        let mut rows = Vec::new();
        for Row { key, value } in self.ask(table::scan(self.session, prefix, from, limit))? {
            if let Some(value) = open_row(self.keys, self, &key, value)? {
                rows.push(Row { key, value });
            }
        }
        Ok(rows)
    }

    fn write(&self, changes: Changes) -> Result<(), StoreError> {
        let mut aside = self.aside.lock().unwrap_or_else(PoisonError::into_inner);
        aside.merge(changes);
        Ok(())
    }

    fn flush(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// The row by which the usual conditions are judged; the others ask for theirs when they are.
fn asked(condition: &Condition) -> Option<Key> {
    match condition {
        Condition::FacilityAbsent(facility) => Some(Key::facility(facility)),
        Condition::CodeUnused(_, sha256) => Some(Key::code(sha256)),
        Condition::DeviceAbsent(facility, device) | Condition::DeviceActive(facility, device) => {
            Some(Key::device(facility, device))
        }
        Condition::MemberAbsent(facility, member) => Some(Key::member(facility, member)),
        Condition::SubmissionAbsent(id)
        | Condition::SubmissionIs(id, _)
        | Condition::Recipient(id, _)
        | Condition::VerdictStands(id)
        | Condition::Kept(id) => Some(Key::submission(id)),
        _ => None,
    }
}
