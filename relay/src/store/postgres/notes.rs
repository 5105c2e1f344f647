//! Notes, in a table.

use std::sync::Arc;

use super::PostgresError;
use super::address::PostgresAddress;
use super::link::{Link, Session};
use super::trouble::Trouble;
use crate::store::{Notes, StoreError};

const READ: &str = "SELECT content FROM hikyaku_notes WHERE name = $1";
const PUT: &str = "INSERT INTO hikyaku_notes (name, number, content) VALUES ($1, $2, $3) \
     ON CONFLICT (name) DO UPDATE SET number = excluded.number, content = excluded.content \
     WHERE hikyaku_notes.number <= excluded.number";

/// The notes alone, for who needs nothing else of the database. Blocks.
///
/// # Errors
/// [`PostgresError`] if it cannot be reached.
pub fn notes(address: &PostgresAddress) -> Result<Arc<dyn Notes>, PostgresError> {
    Ok(Arc::new(NoteTable(Arc::new(Link::open(address)?))))
}

/// The table.
pub(super) struct NoteTable(pub(super) Arc<Link>);

impl Notes for NoteTable {
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let rows = self
            .0
            .read(async |session: &Session| session.query(READ, &[&name]).await)?;
        Ok(rows
            .first()
            .map(|row| row.try_get(0).map_err(Trouble::from))
            .transpose()?)
    }

    fn put(&self, name: &str, number: u64, content: &[u8]) -> Result<bool, StoreError> {
        let number = i64::try_from(number).unwrap_or(i64::MAX);
        let put = self
            .0
            .read(async |session: &Session| session.execute(PUT, &[&name, &number, &content]).await)?;
        Ok(put > 0)
    }
}
