//! The index and the records as every relay reads them: what is committed, from the database that takes the writes.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_postgres::Row as DatabaseRow;

use super::link::{Link, Session};
use super::trouble::Trouble;
use crate::store::StoreError;
use crate::store::index::Changes;
use crate::store::index::{Bodies, Fetch, Key, Row, Table};
use crate::trail::SealedRecord;

pub(super) const FETCH: &str = "SELECT value FROM hikyaku_rows WHERE key = $1";
pub(super) const FETCH_ALL: &str = "SELECT key, value FROM hikyaku_rows WHERE key = ANY($1)";
const SCAN: &str = "SELECT key, value FROM hikyaku_rows WHERE key >= $1 AND key < $2 ORDER BY key LIMIT $3";
const SCAN_REST: &str = "SELECT key, value FROM hikyaku_rows WHERE key >= $1 ORDER BY key LIMIT $2";
const RECORDS: &str = "SELECT position, frame FROM hikyaku_records WHERE position = ANY($1)";

/// The tables, for reading.
pub(super) struct PostgresTable(pub(super) Arc<Link>);

impl Fetch for PostgresTable {
    fn fetch(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.read(async |session: &Session| fetch(session, key).await)
    }

    fn fetch_all(&self, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let wanted: Vec<&[u8]> = keys.iter().map(Key::as_bytes).collect();
        let found = self
            .0
            .read(async |session: &Session| fetch_all(session, &wanted).await)?;
        Ok(wanted.iter().map(|key| found.get(*key).cloned()).collect())
    }
}

impl Table for PostgresTable {
    fn scan(&self, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Row>, StoreError> {
        let rows = self
            .0
            .read(async |session: &Session| scan(session, prefix, from, limit).await)?;
        Ok(rows)
    }

    fn write(&self, _changes: Changes) -> Result<(), StoreError> {
        Err(StoreError::Broken("the index is written by the sequencer alone".into()))
    }

    fn flush(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

impl Bodies for PostgresTable {
    fn bodies(&self, _table: &dyn Table, positions: &[u64]) -> Result<Vec<SealedRecord>, StoreError> {
        let wanted: Vec<i64> = positions
            .iter()
            .filter_map(|position| i64::try_from(*position).ok())
            .collect();
        let rows = self
            .0
            .read(async |session: &Session| session.query(RECORDS, &[&wanted]).await)?;
        let found = rows.iter().map(|row| Ok((row.try_get::<_, i64>(0)?, row.try_get(1)?)));
        let found: BTreeMap<i64, &[u8]> = found.collect::<Result<_, Trouble>>()?;
        let body = |position: &u64| {
            let frame = i64::try_from(*position).ok().and_then(|position| found.get(&position));
            record(*position, frame.copied())
        };
        positions.iter().map(body).collect()
    }
}

/// The record of a frame, which must be the one of this position.
pub(super) fn record(position: u64, frame: Option<&[u8]>) -> Result<SealedRecord, StoreError> {
    let damaged = || {
        StoreError::Broken(format!(
            "record {position} is missing in the database or damaged: restore the database from a backup"
        ))
    };
    let record = SealedRecord::parse(frame.ok_or_else(damaged)?).ok_or_else(damaged)?;
    if record.position == position {
        Ok(record)
    } else {
        Err(damaged())
    }
}

pub(super) async fn scan(session: &Session, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Row>, Trouble> {
    let (from, limit) = (from.max(prefix), i64::try_from(limit).unwrap_or(i64::MAX));
    let rows = match after(prefix) {
        Some(end) => session.query(SCAN, &[&from, &end, &limit]).await?,
        None => session.query(SCAN_REST, &[&from, &limit]).await?,
    };
    let row = |row: &DatabaseRow| {
        Ok(Row {
            key: row.try_get(0)?,
            value: row.try_get(1)?,
        })
    };
    rows.iter().map(row).collect()
}

pub(super) async fn fetch(session: &Session, key: &[u8]) -> Result<Option<Vec<u8>>, Trouble> {
    match session.query(FETCH, &[&key]).await?.first() {
        Some(row) => Ok(Some(row.try_get(0)?)),
        None => Ok(None),
    }
}

pub(super) async fn fetch_all(session: &Session, keys: &[&[u8]]) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, Trouble> {
    let rows = session.query(FETCH_ALL, &[&keys]).await?;
    let found = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
    found.collect()
}

/// The first key behind all that begin with a prefix; `None` if there is none.
fn after(prefix: &[u8]) -> Option<Vec<u8>> {
    let at = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut end = prefix.get(..=at)?.to_vec();
    *end.last_mut()? += 1;
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::after;

    #[test]
    fn a_prefix_ends_before_the_next() {
        assert_eq!(after(b"fx\0"), Some(b"fx\x01".to_vec()));
        assert_eq!(after(b"f\xff"), Some(b"g".to_vec()));
        assert_eq!(after(b""), None);
        assert_eq!(after(b"\xff\xff"), None);
    }
}
