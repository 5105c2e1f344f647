//! Rows with personal data at rest: sealed under the key of the month of the record they begin with, so that they end with it.
//!
//! ```text
//! value = key id (8) ‖ nonce (12) ‖ AES-256-GCM(row in postcard, associated data: the row's key) ‖ tag (16)
//! ```
//!
//! Everything else in the index (positions, times, tree, ids, facilities) is plain.

use std::sync::Arc;

use super::months::{destroyed, missing};
use super::{Changes, Fetch, Key, Row, Table, keys, unreadable};
use crate::month_keys::{KeyId, MonthKeys};
use crate::store::StoreError;

/// Bytes of a key id before a row.
pub(super) const KEY_ID: usize = 8;

/// Whether the row of this key is sealed at rest, and begins with its key id in memory.
pub(super) fn is_sealed(key: &[u8]) -> bool {
    key.first().is_some_and(|space| keys::personal(*space))
}

/// A table that seals such rows on their way into another, and opens them on their way out.
pub(in crate::store) struct SealedTable {
    below: Arc<dyn Table>,
    keys: Arc<MonthKeys>,
}

impl SealedTable {
    pub(in crate::store) fn over(below: Arc<dyn Table>, keys: Arc<MonthKeys>) -> Self {
        Self { below, keys }
    }

    /// Changes as they lie below.
    pub(in crate::store) fn seal(&self, mut changes: Changes) -> Result<Changes, StoreError> {
        for (key, value) in &mut changes.0 {
            if is_sealed(key)
                && let Some(row) = value
            {
                *row = seal_row(&self.keys, key, row)?;
            }
        }
        Ok(changes)
    }

    /// Writes what [`SealedTable::seal`] made.
    pub(in crate::store) fn write_sealed(&self, sealed: Changes) -> Result<(), StoreError> {
        self.below.write(sealed)
    }

    fn open(&self, key: &[u8], value: Vec<u8>) -> Result<Option<Vec<u8>>, StoreError> {
        open_row(&self.keys, &*self.below, key, value)
    }
}

/// The value of a row as it lies in a table.
pub(in crate::store) fn seal_row(keys: &MonthKeys, key: &[u8], value: &[u8]) -> Result<Vec<u8>, StoreError> {
    if !is_sealed(key) {
        return Ok(value.to_vec());
    }
    let (id, row) = split(value)?;
    let open = keys.of(id)?.ok_or_else(|| missing(id))?;
    let mut sealed = id.as_bytes().to_vec();
    open.seal_row(key, row, &mut sealed)
        .map_err(|error| StoreError::Broken(error.to_string()))?;
    Ok(sealed)
}

/// The value of a row that lies in a table; `None` if its key is destroyed.
pub(in crate::store) fn open_row(
    keys: &MonthKeys,
    table: &(impl Fetch + ?Sized),
    key: &[u8],
    value: Vec<u8>,
) -> Result<Option<Vec<u8>>, StoreError> {
    if !is_sealed(key) {
        return Ok(Some(value));
    }
    let (id, sealed) = split(&value)?;
    let Some(open) = keys.of(id)? else {
        return if destroyed(table, id)? {
            Ok(None)
        } else {
            Err(missing(id))
        };
    };
    let row = open.open_row(key, sealed).ok_or_else(unreadable)?;
    Ok(Some([id.as_bytes().as_slice(), &row].concat()))
}

fn split(value: &[u8]) -> Result<(KeyId, &[u8]), StoreError> {
    let (id, rest) = value.split_first_chunk::<KEY_ID>().ok_or_else(unreadable)?;
    Ok((KeyId::parse(*id).ok_or_else(unreadable)?, rest))
}

impl Fetch for SealedTable {
    fn fetch(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.below.fetch(key)? {
            Some(value) => self.open(key, value),
            None => Ok(None),
        }
    }

    fn fetch_all(&self, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let found = self.below.fetch_all(keys)?.into_iter().zip(keys);
        let open = |(value, key): (Option<Vec<u8>>, &Key)| match value {
            Some(value) => self.open(key.as_bytes(), value),
            None => Ok(None),
        };
        found.map(open).collect()
    }
}

impl Table for SealedTable {
    fn scan(&self, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Row>, StoreError> {
        let mut rows = Vec::new();
        for Row { key, value } in self.below.scan(prefix, from, limit)? {
            if let Some(value) = self.open(&key, value)? {
                rows.push(Row { key, value });
            }
        }
        Ok(rows)
    }

    fn write(&self, changes: Changes) -> Result<(), StoreError> {
        self.write_sealed(self.seal(changes)?)
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.below.flush()
    }
}
