//! The index: what the records mean, as rows in an ordered table. Derived from the records alone, the same on every engine.

mod apply;
pub(super) mod erasure;
mod keys;
mod months;
mod named;
mod nodes;
mod query;
mod sealed;

use std::collections::{BTreeMap, HashMap};

use formats::wire::SubmissionId;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub(super) use apply::{Entry, apply, holds, next_sequence};
pub(super) use erasure::{Swept, sweep};
pub(super) use keys::Key;
pub(super) use months::{State, months};
pub(super) use nodes::node;
pub(super) use query::{Bodies, Query, open, place};
pub(super) use sealed::{SealedTable, open_row, seal_row};

use super::{StoreError, SubmissionRow};
use crate::month_keys::KeyId;

/// How rows are laid out; raised where a release reads them otherwise.
const LAYOUT: &[u8] = b"3";

/// Bytes of a submission's row, as most are.
const ROW: usize = 1024;

/// A row of the index.
#[derive(Clone, PartialEq, Eq)]
pub struct Row {
    /// Its key; rows are ordered by it.
    pub key: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
}

/// Reading one row.
pub(super) trait Fetch {
    /// The value of a key.
    fn fetch(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;
    /// The values of several keys, in their order; with one question where each costs a way.
    fn fetch_all(&self, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        keys.iter().map(|key| self.fetch(key.as_bytes())).collect()
    }
}

/// An ordered table of small rows. The engine's part of the index.
pub(super) trait Table: Fetch + Send + Sync {
    /// Rows whose keys begin with `prefix`, from `from` on, ascending, at most `limit`.
    fn scan(&self, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Row>, StoreError>;
    /// Writes all rows or none.
    fn write(&self, changes: Changes) -> Result<(), StoreError>;
    /// Hands what was written to the disk.
    fn flush(&self) -> Result<(), StoreError>;
}

/// Rows to write together; `None` removes a row.
#[derive(Default)]
pub(super) struct Changes(pub(super) BTreeMap<Vec<u8>, Option<Vec<u8>>>);

impl Changes {
    /// Adds later changes.
    pub(super) fn merge(&mut self, later: Changes) {
        self.0.extend(later.0);
    }

    /// Bytes of keys and values.
    pub(super) fn bytes(&self) -> usize {
        let bytes = |(key, value): (&Vec<u8>, &Option<Vec<u8>>)| key.len() + value.as_ref().map_or(0, Vec::len);
        self.0.iter().map(bytes).sum()
    }
}

/// A table with changes that are not yet written: what later records of the same group see.
pub(super) struct Pending<'a> {
    below: &'a dyn Fetch,
    changes: Changes,
    /// Those of rows that nearly every record writes anew: few, so that they are found at once.
    often: Changes,
    /// Submissions as they stand in `changes`, read already.
    read: HashMap<SubmissionId, SubmissionRow>,
}

impl Fetch for Pending<'_> {
    fn fetch(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let often = if keys::often(key) { self.often.0.get(key) } else { None };
        match often.or_else(|| self.changes.0.get(key)) {
            Some(value) => Ok(value.clone()),
            None => self.below.fetch(key),
        }
    }
}

impl<'a> Pending<'a> {
    pub(super) fn new(below: &'a dyn Fetch) -> Self {
        Self::upon(below, Changes::default())
    }

    /// With changes that are there already.
    pub(super) fn upon(below: &'a dyn Fetch, changes: Changes) -> Self {
        Self {
            below,
            changes,
            often: Changes::default(),
            read: HashMap::new(),
        }
    }

    /// The changes so far, to be written below; from here on it is as new.
    pub(super) fn take(&mut self) -> Changes {
        self.read.clear();
        let mut changes = std::mem::take(&mut self.changes);
        changes.merge(std::mem::take(&mut self.often));
        changes
    }

    /// The same at its end.
    pub(super) fn into_changes(mut self) -> Changes {
        self.take()
    }

    /// Adds later changes.
    pub(super) fn merge(&mut self, later: Changes) {
        for (key, value) in later.0 {
            self.change(key, value);
        }
    }

    /// Bytes of its changes, but for the few that are written often.
    pub(super) fn bytes(&self) -> usize {
        self.changes.bytes()
    }

    fn put(&mut self, key: Key, value: Vec<u8>) {
        self.change(key.into_bytes(), Some(value));
    }

    fn change(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        let changes = if keys::often(&key) {
            &mut self.often
        } else {
            &mut self.changes
        };
        changes.0.insert(key, value);
    }

    fn put_row(&mut self, key: Key, row: &impl Serialize) -> Result<(), StoreError> {
        let value = serde_json::to_vec(row).map_err(|_| StoreError::Broken("index row cannot be written".into()))?;
        self.put(key, value);
        Ok(())
    }

    /// A row with personal data: it lies under the key of the record it begins with.
    fn put_sealed(&mut self, key: Key, under: KeyId, row: &impl Serialize) -> Result<(), StoreError> {
        let mut value = Vec::with_capacity(ROW);
        value.extend_from_slice(under.as_bytes());
        let value = postcard::to_extend(row, value);
        self.put(
            key,
            value.map_err(|_| StoreError::Broken("index row cannot be written".into()))?,
        );
        Ok(())
    }

    fn put_submission(&mut self, row: SubmissionRow) -> Result<(), StoreError> {
        let under = row.key().ok_or_else(unreadable)?;
        self.put_sealed(Key::submission(&row.submission.submission), under, &row)?;
        self.keep(row);
        Ok(())
    }

    /// One submission; who takes it puts it back, changed or not.
    fn submission(&mut self, id: &SubmissionId) -> Result<Option<SubmissionRow>, StoreError> {
        match self.read.remove(id) {
            Some(row) => Ok(Some(row)),
            None => row(self, &Key::submission(id)),
        }
    }

    fn keep(&mut self, row: SubmissionRow) {
        self.read.insert(row.submission.submission.clone(), row);
    }

    fn remove_submission(&mut self, id: &SubmissionId) {
        self.read.remove(id);
        self.remove(Key::submission(id));
    }

    fn remove(&mut self, key: Key) {
        self.change(key.into_bytes(), None);
    }
}

/// Reads a row of the index.
pub(super) fn row<T: DeserializeOwned>(from: &(impl Fetch + ?Sized), key: &Key) -> Result<Option<T>, StoreError> {
    let value = from.fetch(key.as_bytes())?;
    value.map(|value| parse(key.as_bytes(), &value)).transpose()
}

/// Reads a number of the index; 0 where there is none.
pub(super) fn number(from: &(impl Fetch + ?Sized), key: &Key) -> Result<u64, StoreError> {
    match from.fetch(key.as_bytes())? {
        None => Ok(0),
        Some(value) => Ok(u64::from_be_bytes(value.try_into().map_err(|_| unreadable())?)),
    }
}

/// Whether the rows of this index, if it has any, are laid out as this release reads them.
pub(super) fn is_of_this_layout(from: &(impl Fetch + ?Sized)) -> Result<bool, StoreError> {
    let empty = from.fetch(Key::applied().as_bytes())?.is_none();
    Ok(empty || from.fetch(Key::layout().as_bytes())?.as_deref() == Some(LAYOUT))
}

/// Reads the value of a row with this key.
pub(super) fn parse<T: DeserializeOwned>(key: &[u8], value: &[u8]) -> Result<T, StoreError> {
    if sealed::is_sealed(key) {
        let row = value.get(sealed::KEY_ID..).ok_or_else(unreadable)?;
        return postcard::from_bytes(row).map_err(|_| unreadable());
    }
    serde_json::from_slice(value).map_err(|_| unreadable())
}

pub(super) fn lacks_a_node() -> StoreError {
    StoreError::Broken("the index lacks a node of the tree; run `hikyaku-relay rebuild`".into())
}

fn unreadable() -> StoreError {
    StoreError::Broken("an index row is unreadable; run `hikyaku-relay rebuild`".into())
}
