//! The database as `check` and `backup` read it: beside relays that write, and changing nothing in it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use formats::trail::tree;
use tokio_postgres::Row as DatabaseRow;
use tokio_postgres::types::ToSql;

use super::address::PostgresAddress;
use super::link::{Link, Session};
use super::reign::READ_RECORDS;
use super::shelf::KeyTable;
use super::table::PostgresTable;
use super::trouble::Trouble;
use super::{PostgresError, month_keys, schema};
use crate::keys::Keys;
use crate::month_keys::MonthKeys;
use crate::store::StoreError;
use crate::store::index::{Fetch as _, Key, Row, SealedTable, Table as _, node, open};
use crate::trail::{SealedRecord, TrailError};

const SIZE: &str = "SELECT size FROM hikyaku_log WHERE id = 1";
const WRAPPED: &str = "SELECT id, wrapped FROM hikyaku_keys ORDER BY id";
const UPLOAD: &str = "SELECT 1 FROM hikyaku_uploads WHERE id = $1";
/// Records read at once.
const PAGE: u64 = 200;
/// What stands for a file where the trail is a table.
pub(in crate::store) const RECORDS: &str = "hikyaku_records";
/// What is said of a record that is not the one the log knows.
pub(in crate::store) const NOT_COMMITTED: &str = "it does not open, or is not what the log has committed to";

/// A database that relays share, for reading. Everything here blocks.
pub struct PostgresReader {
    link: Arc<Link>,
    table: SealedTable,
    keys: Arc<MonthKeys>,
}

impl PostgresReader {
    /// Opens it; its tables must be of this release.
    ///
    /// # Errors
    /// [`PostgresError`], with what to do.
    pub fn open(address: &PostgresAddress, keys: &Keys) -> Result<Self, PostgresError> {
        let link = Arc::new(Link::open(address)?);
        schema::known(&link)?;
        let keys = Arc::new(month_keys(&link, keys));
        let table = SealedTable::over(Arc::new(PostgresTable(Arc::clone(&link))), Arc::clone(&keys));
        Ok(Self { link, table, keys })
    }

    /// Keys of the months, as they are now.
    pub(crate) fn keys(&self) -> Arc<MonthKeys> {
        self.keys.forget();
        Arc::clone(&self.keys)
    }

    /// Number of records.
    ///
    /// # Errors
    /// What the database says.
    pub fn size(&self) -> Result<u64, StoreError> {
        let rows = self
            .link
            .read(async |session: &Session| session.query(SIZE, &[]).await)?;
        let size = rows.first().map_or(Ok(0), |row| row.try_get::<_, i64>(0));
        Ok(u64::try_from(size.map_err(Trouble::from)?).unwrap_or(0))
    }

    /// The newest signed checkpoint.
    ///
    /// # Errors
    /// What the database says.
    pub fn checkpoint(&self) -> Result<Option<String>, StoreError> {
        let note = self.table.fetch(Key::checkpoint().as_bytes())?;
        Ok(note.and_then(|note| String::from_utf8(note).ok()))
    }

    /// The root of the tree of the first `size` records; `None` if the index has not so many.
    pub(crate) fn root(&self, size: u64) -> Option<[u8; 32]> {
        tree::root(size, |number| node(&self.table, number)).ok()
    }

    /// Rows of the index by key, from `from` on, at most `limit`.
    pub(crate) fn rows(&self, from: &[u8], limit: usize) -> Result<Vec<Row>, StoreError> {
        self.table.scan(&[], from, limit)
    }

    /// Hands each record from `from` on to `each`, to the end of the trail as it is now.
    pub(crate) fn replay<E: From<TrailError> + From<StoreError>>(
        &self,
        from: u64,
        mut each: impl FnMut(SealedRecord) -> Result<(), E>,
    ) -> Result<(), E> {
        let size = self.size()?;
        let mut next = from;
        while next < size {
            let page: Vec<SealedRecord> = self.page::<E>(next, size)?;
            next += page.len() as u64;
            page.into_iter().try_for_each(&mut each)?;
        }
        Ok(())
    }

    /// Some records from `first` on, before `end`; at least one, if `first` is before it.
    pub(crate) fn page<E: From<TrailError> + From<StoreError>>(
        &self,
        first: u64,
        end: u64,
    ) -> Result<Vec<SealedRecord>, E> {
        let end = end.min(first + PAGE);
        let [from, to] = [first, end].map(|bound| i64::try_from(bound).unwrap_or(i64::MAX));
        let values: [&(dyn ToSql + Sync); 2] = [&from, &to];
        let rows = self
            .link
            .read(async |session: &Session| session.query(READ_RECORDS, &values).await)?;
        let mut rows = rows.iter();
        let mut page = Vec::new();
        for position in first..end {
            page.push(record(position, rows.next())?);
        }
        Ok(page)
    }

    /// Hands each record from `from` on to `each`, or what is wrong with it: it is missing, is another, does not open, or is not what
    /// the log has committed to. To the end of the trail as it is now.
    pub(crate) fn each(
        &self,
        from: u64,
        mut each: impl FnMut(Result<SealedRecord, TrailError>),
    ) -> Result<(), StoreError> {
        let (size, mut first) = (self.size()?, from);
        while first < size {
            let end = size.min(first.saturating_add(PAGE));
            let [low, high] = [first, end].map(|bound| i64::try_from(bound).unwrap_or(i64::MAX));
            let values: [&(dyn ToSql + Sync); 2] = [&low, &high];
            let rows = self
                .link
                .read(async |session: &Session| session.query(READ_RECORDS, &values).await)?;
            let mut rows = rows.iter().peekable();
            for position in first..end {
                let at = |row: &&DatabaseRow| row.try_get::<_, i64>(0).ok().and_then(|at| u64::try_from(at).ok());
                let row = rows.next_if(|row| at(row) == Some(position));
                each(
                    record(position, row).and_then(|found| match opened(&self.keys, &found) {
                        true => Ok(found),
                        false => Err(damaged(position, NOT_COMMITTED)),
                    }),
                );
            }
            first = end;
        }
        Ok(())
    }

    /// The keys of the months as they lie in the database: name and wrapped key, which is empty for a destroyed one.
    pub(crate) fn wrapped(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let rows = self
            .link
            .read(async |session: &Session| session.query(WRAPPED, &[]).await)?;
        let read = |row: &DatabaseRow| Ok::<_, Trouble>((row.try_get(0)?, row.try_get(1)?));
        Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
    }

    /// Whether there is an upload of this id.
    pub(crate) fn has_upload(&self, id: &str) -> Result<bool, StoreError> {
        let rows = self
            .link
            .read(async |session: &Session| session.query(UPLOAD, &[&id]).await)?;
        Ok(!rows.is_empty())
    }
}

impl fmt::Debug for PostgresReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PostgresReader")
    }
}

fn damaged(position: u64, what: &'static str) -> TrailError {
    TrailError::Damaged {
        file: PathBuf::from(RECORDS),
        offset: 0,
        position,
        what,
    }
}

/// Whether a record says what the log has committed to; what is erased says nothing.
fn opened(keys: &MonthKeys, record: &SealedRecord) -> bool {
    open(keys, record.clone()).and_then(|found| found.record()).is_ok()
}

/// The record of a row, which must be the one of this position.
fn record(position: u64, row: Option<&DatabaseRow>) -> Result<SealedRecord, TrailError> {
    let damaged = |what| damaged(position, what);
    let row = row.ok_or_else(|| damaged("it is missing"))?;
    match row.try_get::<_, i64>(0) {
        Ok(found) if u64::try_from(found) == Ok(position) => {}
        _ => return Err(damaged("it is missing")),
    }
    let frame: &[u8] = row.try_get(1).map_err(|_| damaged("it cannot be read"))?;
    SealedRecord::parse(frame)
        .filter(|record| record.position == position)
        .ok_or_else(|| damaged("it is not the record that belongs there"))
}

impl KeyTable {
    /// Keys of the months in this database.
    pub(super) fn of(link: &Arc<Link>, keys: &Keys) -> Self {
        Self {
            link: Arc::clone(link),
            keys: keys.clone(),
        }
    }
}
