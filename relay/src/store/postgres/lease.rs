//! Leases: what only one relay does at a time. The clock is the database's.

use std::sync::Arc;
use std::time::Duration;

use formats::wire::SubmissionId;
use time::OffsetDateTime;
use uuid::Uuid;

use super::link::{Link, Session};
use super::proposal;
use super::trouble::Trouble;
use crate::store::StoreError;
use crate::store::engine::Lease;

const KNOWN: &str = "INSERT INTO hikyaku_leases (name, holder, epoch, expires) \
     VALUES ($1, NULL, 0, now() - interval '1 second') ON CONFLICT (name) DO NOTHING";
/// No lease is for hours: one that ends so late was taken while the clock ran ahead.
const TAKE: &str = "UPDATE hikyaku_leases SET epoch = CASE WHEN holder = $2 THEN epoch ELSE epoch + 1 END, \
     holder = $2, expires = now() + $3 * interval '1 millisecond' \
     WHERE name = $1 AND (holder = $2 OR expires < now() OR expires > now() + interval '2 hours') RETURNING epoch";
/// Over by any clock: it may be given up because the database's is wrong.
const GIVE_UP: &str = "UPDATE hikyaku_leases SET expires = timestamptz '1970-01-01 00:00:00Z' WHERE holder = $1";
const GIVE_UP_ONE: &str =
    "UPDATE hikyaku_leases SET expires = timestamptz '1970-01-01 00:00:00Z' WHERE holder = $1 AND name = $2";
/// Milliseconds since 1970.
const NOW: &str = "SELECT CAST(extract(epoch FROM now()) * 1000 AS bigint)";
const EXISTS: &str = "SELECT 1 FROM hikyaku_leases WHERE name = $1";

/// Takes a lease that is free, or keeps one that is held: its epoch, or `None` while another holds it. A new holder has a
/// higher epoch than every one before.
pub(super) async fn take(
    session: &Session,
    name: &str,
    holder: Uuid,
    length: Duration,
) -> Result<Option<i64>, Trouble> {
    let length = i32::try_from(length.as_millis()).unwrap_or(i32::MAX);
    let length = f64::from(length);
    let mut taken = session.query(TAKE, &[&name, &holder, &length]).await?;
    if taken.is_empty() && session.query(EXISTS, &[&name]).await?.is_empty() {
        session.execute(KNOWN, &[&name]).await?;
        taken = session.query(TAKE, &[&name, &holder, &length]).await?;
    }
    match taken.first() {
        Some(row) => Ok(Some(row.try_get(0)?)),
        None => Ok(None),
    }
}

/// Gives up every lease of a holder, so that the next need not wait for their end.
pub(super) async fn give_up(session: &Session, holder: Uuid) -> Result<(), Trouble> {
    session.execute(GIVE_UP, &[&holder]).await.map(drop)
}

/// Gives up one, so that another relay can take it at once.
pub(super) async fn give_up_one(session: &Session, name: &str, holder: Uuid) -> Result<(), Trouble> {
    session.execute(GIVE_UP_ONE, &[&holder, &name]).await.map(drop)
}

/// The database's clock.
pub(super) async fn now(session: &Session) -> Result<OffsetDateTime, Trouble> {
    let rows = session.query(NOW, &[]).await?;
    let milliseconds: i64 = rows.first().map_or(Ok(0), |row| row.try_get(0))?;
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * 1_000_000)
        .map_err(|_| Trouble::Refused("its clock is out of range".into()))
}

/// The leases of this relay's background work.
pub(super) struct Leases {
    pub(super) link: Arc<Link>,
    pub(super) me: Uuid,
}

impl Lease for Leases {
    fn hold(&self, name: &str, length: Duration) -> Result<bool, StoreError> {
        let taken = self
            .link
            .read(async |session: &Session| take(session, name, self.me, length).await)?;
        Ok(taken.is_some())
    }

    fn now(&self) -> Result<OffsetDateTime, StoreError> {
        self.link.read(async |session: &Session| now(session).await)
    }

    fn undecided(&self) -> Result<Vec<SubmissionId>, StoreError> {
        self.link
            .read(async |session: &Session| proposal::undecided(session).await)
    }
}
