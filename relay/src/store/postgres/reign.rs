//! The time in which one relay writes the trail: begun under a new epoch, and every write guarded by it.

use std::time::{Duration, Instant};

use tokio_postgres::Statement;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::PostgresError;
use super::hot::{Hot, Rows};
use super::lease;
use super::link::{Link, PATIENCE, Session};
use super::table;
use super::trouble::Trouble;
use crate::log::LogSigner;
use crate::month_keys::MonthKeys;
use crate::store::StoreError;
use crate::store::committer::seal;
use crate::store::engine::replay_one;
use crate::store::index::{Changes, Fetch as _, Key, Pending, Swept, erasure, number, seal_row, sweep};

/// Held by the relay that writes the trail.
pub(super) const SEQUENCER: &str = "sequencer";
/// A sequencer that is not heard of for so long is replaced.
pub(super) const LENGTH: Duration = Duration::from_secs(3);
/// Rows of erased records looked at in one step.
const ROWS: usize = 500;
/// Records read at once by a rebuild.
const PAGE: u64 = 500;

/// Fails with a division by zero unless the lease still counts and nothing was written since, so that all that is sent behind
/// it in the same transaction fails too, without waiting for its answer.
const GUARD: &str = "WITH guard AS (UPDATE hikyaku_log SET size = $1 WHERE id = 1 AND epoch = $2 AND size = $3 RETURNING 1) \
     SELECT 1 / count(*) FROM guard";
const BEGIN_REIGN: &str = "UPDATE hikyaku_log SET epoch = $1 WHERE id = 1 AND epoch <= $1 RETURNING size";
pub(super) const WRITE_RECORDS: &str = "INSERT INTO hikyaku_records (position, frame) \
     SELECT r.position, r.frame FROM unnest($1::bigint[], $2::bytea[]) AS r (position, frame)";
const WRITE_ROWS: &str = "INSERT INTO hikyaku_rows (key, value) \
     SELECT r.key, r.value FROM unnest($1::bytea[], $2::bytea[]) AS r (key, value) \
     ON CONFLICT (key) DO UPDATE SET value = excluded.value";
const REMOVE_ROWS: &str = "DELETE FROM hikyaku_rows WHERE key = ANY($1)";
const REMOVE_ALL_ROWS: &str = "DELETE FROM hikyaku_rows";
const COUNT_ROWS: &str = "SELECT count(*) FROM hikyaku_rows";
const REMOVE_PROPOSALS: &str = "DELETE FROM hikyaku_proposals WHERE id = ANY($1)";
const WRITE_ANSWERS: &str = "INSERT INTO hikyaku_answers (id, answer) \
     SELECT a.id, a.answer FROM unnest($1::uuid[], $2::bytea[]) AS a (id, answer)";
pub(super) const READ_RECORDS: &str = "SELECT position, frame FROM hikyaku_records \
     WHERE position >= $1 AND position < $2 ORDER BY position";

/// What the sequencer knows while its epoch lasts.
pub(super) struct Reign {
    pub(super) epoch: i64,
    pub(super) size: u64,
    pub(super) rows: Rows,
}

/// What one transaction writes.
#[derive(Default)]
pub(super) struct Writing {
    /// Position and frame of each record.
    pub(super) frames: Vec<(i64, Vec<u8>)>,
    pub(super) changes: Changes,
    /// Answers to batches.
    pub(super) answers: Vec<(Uuid, Vec<u8>)>,
    /// Proposals that are done with.
    pub(super) proposals: Vec<Uuid>,
}

impl Reign {
    /// Begins: from now on nobody of an earlier epoch can write. `None` if a later one has begun already.
    pub(super) fn begin(
        link: &Link,
        session: &Session,
        epoch: i64,
        key: &LogSigner,
        keys: &MonthKeys,
    ) -> Result<Option<Self>, Trouble> {
        let begun = link.run(session.query(BEGIN_REIGN, &[&epoch]))?;
        let Some(row) = begun.first() else { return Ok(None) };
        let size = unsigned(row.try_get(0)?)?;
        let mut reign = Self {
            epoch,
            size,
            rows: Rows::default(),
        };
        let hot = Hot::new(link, session, keys, &mut reign.rows);
        let unsigned = examined(&hot, keys, size);
        hot.answered()?;
        let unsigned = unsigned.map_err(refused)?;
        if unsigned {
            let mut writing = Writing::default();
            seal(&hot, key, &mut writing.changes).map_err(refused)?;
            drop(hot);
            reign.write(link, session, keys, writing)?;
        }
        Ok(Some(reign))
    }

    /// One step of an erasure: rows of erased records go, and with the last of them their key. Whether there is more.
    pub(super) fn sweep(&mut self, link: &Link, session: &Session, keys: &MonthKeys) -> Result<bool, Trouble> {
        let hot = Hot::new(link, session, keys, &mut self.rows);
        let swept = sweep(&hot, ROWS);
        hot.answered()?;
        let swept = swept.map_err(refused)?;
        let changes = hot.aside();
        drop(hot);
        if swept != Swept::Nothing {
            let writing = Writing {
                changes,
                ..Writing::default()
            };
            self.write(link, session, keys, writing)?;
        }
        if let Swept::All(id) = swept {
            keys.destroy(id).map_err(|error| Trouble::Refused(error.to_string()))?;
            tracing::info!(key = %id, "the key of a month's records is destroyed");
        }
        Ok(swept != Swept::Nothing)
    }

    /// Writes all of it, or nothing.
    pub(super) fn write(
        &mut self,
        link: &Link,
        session: &Session,
        keys: &MonthKeys,
        mut writing: Writing,
    ) -> Result<(), Trouble> {
        let plain = std::mem::take(&mut writing.changes);
        writing.changes = sealed(keys, &plain).map_err(refused)?;
        let size = self.size + writing.frames.len() as u64;
        link.run(commit(session, self.epoch, self.size, size, &writing))?;
        self.size = size;
        self.rows.apply(plain);
        Ok(())
    }
}

/// Looks whether index, trail and keys agree; whether the checkpoint is still to be signed.
fn examined(hot: &Hot<'_>, keys: &MonthKeys, size: u64) -> Result<bool, StoreError> {
    keys.forget();
    hot.learn(std::iter::empty())?;
    let applied = number(hot, &Key::applied())?;
    if applied != size {
        return Err(StoreError::Broken(format!(
            "the trail has {size} records but the index has seen {applied}; run `hikyaku-relay rebuild`"
        )));
    }
    erasure::settle(hot, keys)?;
    Ok(hot.fetch(Key::checkpoint().as_bytes())?.is_none())
}

/// Rows as they lie in the table.
fn sealed(keys: &MonthKeys, changes: &Changes) -> Result<Changes, StoreError> {
    let mut sealed = Changes::default();
    for (key, value) in &changes.0 {
        let value = value.as_ref().map(|value| seal_row(keys, key, value)).transpose()?;
        sealed.0.insert(key.clone(), value);
    }
    Ok(sealed)
}

/// One transaction in one go: everything is sent before anything is answered, so that a relay that stops in the middle leaves
/// no transaction open behind it.
async fn commit(session: &Session, epoch: i64, old: u64, new: u64, writing: &Writing) -> Result<(), Trouble> {
    let (old, new) = (signed(old)?, signed(new)?);
    let guard = session.prepare(GUARD).await?;
    let records = session.prepare(WRITE_RECORDS).await?;
    let rows = session.prepare(WRITE_ROWS).await?;
    let gone = session.prepare(REMOVE_ROWS).await?;
    let proposals = session.prepare(REMOVE_PROPOSALS).await?;
    let answers = session.prepare(WRITE_ANSWERS).await?;

    let (positions, frames): (Vec<i64>, Vec<&[u8]>) = writing
        .frames
        .iter()
        .map(|(position, frame)| (*position, frame.as_slice()))
        .unzip();
    let (keys, values, removed) = split(&writing.changes);
    let (ids, answered): (Vec<Uuid>, Vec<&[u8]>) = writing
        .answers
        .iter()
        .map(|(id, answer)| (*id, answer.as_slice()))
        .unzip();
    let guard_values: [&(dyn ToSql + Sync); 3] = [&new, &epoch, &old];
    let record_values: [&(dyn ToSql + Sync); 2] = [&positions, &frames];
    let row_values: [&(dyn ToSql + Sync); 2] = [&keys, &values];
    let gone_values: [&(dyn ToSql + Sync); 1] = [&removed];
    let proposal_values: [&(dyn ToSql + Sync); 1] = [&writing.proposals];
    let answer_values: [&(dyn ToSql + Sync); 2] = [&ids, &answered];
    let (begun, guarded, done, committed) = tokio::join!(
        biased;
        session.say("BEGIN"),
        session.send(&guard, &guard_values),
        async {
            let (a, b, c, d, e) = tokio::join!(
                biased;
                some(session, !positions.is_empty(), &records, &record_values),
                some(session, !keys.is_empty(), &rows, &row_values),
                some(session, !removed.is_empty(), &gone, &gone_values),
                some(session, !writing.proposals.is_empty(), &proposals, &proposal_values),
                some(session, !ids.is_empty(), &answers, &answer_values),
            );
            a.and(b).and(c).and(d).and(e)
        },
        session.say("COMMIT"),
    );
    begun?;
    guarded?;
    done?;
    committed
}

async fn some(
    session: &Session,
    there: bool,
    statement: &Statement,
    values: &[&(dyn ToSql + Sync)],
) -> Result<(), Trouble> {
    if there {
        session.send(statement, values).await?;
    }
    Ok(())
}

/// Keys and values to write, keys to remove.
#[expect(clippy::type_complexity, reason = "three columns as the statements take them")]
fn split(changes: &Changes) -> (Vec<&[u8]>, Vec<&[u8]>, Vec<&[u8]>) {
    let (mut keys, mut values, mut removed) = (Vec::new(), Vec::new(), Vec::new());
    for (key, value) in &changes.0 {
        match value {
            Some(value) => {
                keys.push(key.as_slice());
                values.push(value.as_slice());
            }
            None => removed.push(key.as_slice()),
        }
    }
    (keys, values, removed)
}

pub(super) fn signed(number: u64) -> Result<i64, Trouble> {
    i64::try_from(number).map_err(|_| Trouble::Refused("the trail is full".into()))
}

fn unsigned(number: i64) -> Result<u64, Trouble> {
    u64::try_from(number).map_err(|_| Trouble::Refused("hikyaku_log has a negative size".into()))
}

fn refused(error: StoreError) -> Trouble {
    Trouble::Refused(error.to_string())
}

/// The lease of who works on the trail while no relay writes it.
pub(super) struct Taken {
    pub(super) me: Uuid,
    pub(super) session: Session,
    pub(super) epoch: i64,
    /// Number of records.
    pub(super) size: u64,
}

/// Takes the sequencer's lease, for what is no relay.
pub(super) fn take(link: &Link) -> Result<Taken, PostgresError> {
    let (me, session) = (Uuid::now_v7(), link.run(link.session(None))?);
    let begun = Instant::now();
    let epoch = loop {
        match link.run(lease::take(&session, SEQUENCER, me, LENGTH))? {
            Some(epoch) => break epoch,
            None if begun.elapsed() > PATIENCE => {
                return Err(PostgresError::Unreachable(
                    "a relay writes the trail: stop the relays of this database first".into(),
                ));
            }
            None => std::thread::sleep(Duration::from_millis(200)),
        }
    };
    let size = match link.run(session.query(BEGIN_REIGN, &[&epoch]))?.first() {
        Some(row) => unsigned(row.try_get(0).map_err(Trouble::from)?)?,
        None => return Err(Trouble::Superseded.into()),
    };
    Ok(Taken {
        me,
        session,
        epoch,
        size,
    })
}

/// Makes the index of the first `size` records anew in one transaction, which also says that there are so many. Readers see the old
/// one until it commits.
pub(super) fn reindex(
    link: &Link,
    taken: &Taken,
    size: u64,
    key: &LogSigner,
    keys: &MonthKeys,
) -> Result<usize, PostgresError> {
    let session = &taken.session;
    link.run(session.say("BEGIN"))?;
    // The row of the log is locked from here on: nobody else can begin to write before this ends.
    let (old, new, held) = (signed(taken.size)?, signed(size)?, taken.epoch);
    link.run(session.execute(GUARD, &[&new, &held, &old]))?;
    link.wait(session.execute(REMOVE_ALL_ROWS, &[]))?;
    let mut rows = Rows::default();
    for first in (0..size).step_by(usize::try_from(PAGE).unwrap_or(1)) {
        let next = size.min(first + PAGE);
        let found = link.run(session.query(READ_RECORDS, &[&signed(first)?, &signed(next)?]))?;
        let mut frames = found.iter();
        let hot = Hot::new(link, session, keys, &mut rows);
        let mut index = Pending::new(&hot);
        for position in first..next {
            let frame = frames
                .next()
                .map(|row| row.try_get(1))
                .transpose()
                .map_err(Trouble::from)?;
            let record = table::record(position, frame)?;
            replay_one(&mut index, keys, &record, None)?;
        }
        let changes = index.into_changes();
        drop(hot);
        put(link, session, keys, &changes)?;
        rows.apply(changes);
    }
    let mut signed_now = Changes::default();
    seal(&Hot::new(link, session, keys, &mut rows), key, &mut signed_now)?;
    put(link, session, keys, &signed_now)?;
    let counted = link.wait(session.query(COUNT_ROWS, &[]))?;
    let counted: i64 = counted
        .first()
        .map_or(Ok(0), |row| row.try_get(0))
        .map_err(Trouble::from)?;
    link.wait(session.say("COMMIT"))?;
    link.run(lease::give_up(session, taken.me))?;
    Ok(usize::try_from(counted).unwrap_or(0))
}

fn put(link: &Link, session: &Session, keys: &MonthKeys, changes: &Changes) -> Result<(), PostgresError> {
    let changes = sealed(keys, changes)?;
    let (names, values, removed) = split(&changes);
    link.run(session.execute(WRITE_ROWS, &[&names, &values]))?;
    link.run(session.execute(REMOVE_ROWS, &[&removed]))?;
    Ok(())
}
