//! Uploads under way, in a table. Not a part of the trail: each relay writes its own rows, guarded by their epochs.

use std::sync::Arc;
use std::time::Duration;

use formats::wire::{FacilityCode, SubmissionId};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::link::{Link, Session};
use super::trouble::Trouble;
use crate::store::StoreError;
use crate::store::uploads::{Grown, UploadRow, UploadRows};

const CREATE: &str = "INSERT INTO hikyaku_uploads \
     (id, facility, length, sha256, wrapped, submission, epoch, at, parts, tail, gone, touched) \
     VALUES ($1, $2, $3, $4, $5, NULL, 0, 0, $6, $6, 0, now()) ON CONFLICT (id) DO NOTHING";
const FIND: &str = "SELECT id, facility, length, sha256, wrapped, submission, epoch, at, parts, tail, gone, \
     CAST(extract(epoch FROM touched) AS bigint) FROM hikyaku_uploads WHERE id = $1";
const TAKE: &str = "UPDATE hikyaku_uploads SET epoch = epoch + 1 WHERE id = $1 \
     RETURNING id, facility, length, sha256, wrapped, submission, epoch, at, parts, tail, gone, \
     CAST(extract(epoch FROM touched) AS bigint)";
/// Never back: what was sent twice, because its answer was lost, may arrive late.
const ADVANCE: &str = "UPDATE hikyaku_uploads SET at = $3, parts = $4, tail = $5, touched = now() \
     WHERE id = $1 AND epoch = $2 AND gone = 0 AND at <= $3";
const CONFIRM: &str = "UPDATE hikyaku_uploads SET touched = now() WHERE id = $1 AND epoch = $2 AND gone = 0";
const NOTE: &str = "UPDATE hikyaku_uploads SET submission = $2, touched = now() WHERE id = $1";
const CLOSE: &str = "UPDATE hikyaku_uploads SET gone = 1 WHERE id = $1 AND epoch = $2";
const UNDER_WAY: &str = "SELECT count(*), CAST(coalesce(sum(length), 0) AS bigint) FROM hikyaku_uploads \
     WHERE facility = $1 AND submission IS NULL AND gone = 0";
const STALE: &str = "SELECT id FROM hikyaku_uploads \
     WHERE touched < now() - $1 * interval '1 second' ORDER BY touched LIMIT 100";
const EXPIRE: &str = "UPDATE hikyaku_uploads SET gone = 1, epoch = epoch + 1 \
     WHERE id = $1 AND touched < now() - $2 * interval '1 second'";
const WRAPPED: &str = "SELECT id, wrapped FROM hikyaku_uploads WHERE id > $1 ORDER BY id LIMIT 200";
const REWRAP: &str = "UPDATE hikyaku_uploads SET wrapped = $3 WHERE id = $1 AND wrapped = $2";
const REMOVE: &str = "DELETE FROM hikyaku_uploads WHERE id = $1";

/// The table.
pub(super) struct UploadTable(pub(super) Arc<Link>);

impl UploadTable {
    fn rows(&self, sql: &'static str, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, StoreError> {
        self.0.read(async |session: &Session| session.query(sql, values).await)
    }

    /// What is sent again after its answer was lost changes nothing more, or takes over once more than needed.
    fn write(&self, sql: &'static str, values: &[&(dyn ToSql + Sync)]) -> Result<bool, StoreError> {
        let changed = self
            .0
            .read(async |session: &Session| session.execute(sql, values).await);
        Ok(changed? > 0)
    }
}

impl UploadRows for UploadTable {
    fn create(&self, row: &UploadRow) -> Result<(), StoreError> {
        let (facility, length, empty) = (row.facility.as_str(), signed(row.length), Vec::<u8>::new());
        let values: &[&(dyn ToSql + Sync)] = &[&row.id, &facility, &length, &row.sha256, &row.wrapped, &empty];
        self.write(CREATE, values).map(drop)
    }

    fn find(&self, id: &str) -> Result<Option<UploadRow>, StoreError> {
        Ok(self.rows(FIND, &[&id])?.first().map(read).transpose()?)
    }

    fn take(&self, id: &str) -> Result<Option<UploadRow>, StoreError> {
        Ok(self.rows(TAKE, &[&id])?.first().map(read).transpose()?)
    }

    fn advance(&self, id: &str, epoch: i64, grown: &Grown) -> Result<bool, StoreError> {
        let at = signed(grown.at);
        self.write(ADVANCE, &[&id, &epoch, &at, &grown.parts, &grown.tail])
    }

    fn confirm(&self, id: &str, epoch: i64) -> Result<bool, StoreError> {
        self.write(CONFIRM, &[&id, &epoch])
    }

    fn note(&self, id: &str, submission: &SubmissionId) -> Result<(), StoreError> {
        self.write(NOTE, &[&id, &submission.as_str()]).map(drop)
    }

    fn close(&self, id: &str, epoch: i64) -> Result<bool, StoreError> {
        self.write(CLOSE, &[&id, &epoch])
    }

    fn under_way(&self, facility: &FacilityCode) -> Result<(u64, u64), StoreError> {
        let rows = self.rows(UNDER_WAY, &[&facility.as_str()])?;
        let read =
            |row: &Row| -> Result<(u64, u64), Trouble> { Ok((unsigned(row.try_get(0)?)?, unsigned(row.try_get(1)?)?)) };
        Ok(rows.first().map(read).transpose()?.unwrap_or_default())
    }

    fn stale(&self, age: Duration) -> Result<Vec<String>, StoreError> {
        let rows = self.rows(STALE, &[&age.as_secs_f64()])?;
        let ids = rows.iter().map(|row| row.try_get(0).map_err(Trouble::from));
        Ok(ids.collect::<Result<_, _>>()?)
    }

    fn expire(&self, id: &str, age: Duration) -> Result<bool, StoreError> {
        self.write(EXPIRE, &[&id, &age.as_secs_f64()])
    }

    fn wrapped(&self, after: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let rows = self.rows(WRAPPED, &[&after])?;
        let read = |row: &Row| Ok::<_, Trouble>((row.try_get(0)?, row.try_get(1)?));
        Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
    }

    fn rewrap(&self, id: &str, old: &[u8], new: &[u8]) -> Result<bool, StoreError> {
        self.write(REWRAP, &[&id, &old, &new])
    }

    fn remove(&self, id: &str) -> Result<(), StoreError> {
        self.write(REMOVE, &[&id]).map(drop)
    }
}

fn read(row: &Row) -> Result<UploadRow, Trouble> {
    let malformed = || Trouble::Refused("a row of hikyaku_uploads cannot be read".into());
    let (facility, submission): (&str, Option<&str>) = (row.try_get(1)?, row.try_get(5)?);
    Ok(UploadRow {
        id: row.try_get(0)?,
        facility: facility.parse().map_err(|_| malformed())?,
        length: unsigned(row.try_get(2)?)?,
        sha256: row.try_get(3)?,
        wrapped: row.try_get(4)?,
        submission: submission.map(str::parse).transpose().map_err(|_| malformed())?,
        epoch: row.try_get(6)?,
        grown: Grown {
            at: unsigned(row.try_get(7)?)?,
            parts: row.try_get(8)?,
            tail: row.try_get(9)?,
        },
        gone: row.try_get::<_, i32>(10)? != 0,
        touched: row.try_get(11)?,
    })
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn unsigned(value: i64) -> Result<u64, Trouble> {
    u64::try_from(value).map_err(|_| Trouble::Refused("a number of hikyaku_uploads is negative".into()))
}
