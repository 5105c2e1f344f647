//! Records whose time is over: month by month their key is destroyed, and with it what they said. Their commitments stay.
//!
//! A month goes when it lies far enough back, nothing of it is held, undelivered or undecided, and its containers are gone. First
//! the record that says so, then the rows and the key (`store`), then the files.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use formats::trail::{Actor, Class, Erased, Event};
use formats::wire::{FacilityCode, SubmissionId, SubmissionState};
use time::{Date, Month as Name, OffsetDateTime};

use super::leftovers::Leftovers;
use super::{erased, record};
use crate::clock;
use crate::context::Context;
use crate::problem::Problem;
use crate::store::{Batch, Condition, Month, Store, StoreError, SubmissionRow};

/// Records read at once.
const PAGE: usize = 500;
/// Facilities one record of an erasure speaks of: it stays far below the largest body.
const FACILITIES: usize = 10_000;
/// Containers whose erasure is recorded in one batch.
const TOGETHER: usize = 500;

/// For which submission each month waits, and why, as it was last found: while that stands, the month is not read again.
#[derive(Default)]
pub(super) struct Waits(BTreeMap<String, (SubmissionId, Waiting)>);

impl Waits {
    /// Whether a month waits still for what it waited for.
    async fn stand(&self, store: &dyn Store, month: &str) -> Result<bool, StoreError> {
        let Some((id, _)) = self.0.get(month) else {
            return Ok(false);
        };
        let row = store.submission(id).await?;
        Ok(row.is_some_and(|row| waits(&row, month).is_some()))
    }

    /// Keeps in mind, and says if it is new, for which submission a month waits.
    fn note(&mut self, month: &str, id: SubmissionId, waiting: Waiting) {
        let said = format!("{id}");
        if self
            .0
            .insert(month.to_owned(), (id, waiting))
            .is_none_or(|(_, before)| before != waiting)
        {
            tracing::warn!(
                month,
                id = said,
                ?waiting,
                "records whose time is over are kept for this submission"
            );
        }
    }
}

/// What keeps a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waiting {
    /// A submission is held.
    Held,
    /// A submission is undecided, or a recipient has not had it.
    Undelivered,
    /// A container's time is not over yet.
    Container,
}

/// What erasing a month touches.
#[derive(Default)]
struct Found {
    /// How many records are under its key.
    records: u64,
    erased: BTreeMap<FacilityCode, Erased>,
    /// Names of what is stored for its submissions.
    stored: Vec<String>,
    /// Digests of the reports of its refusals.
    reports: Vec<String>,
    /// What is stopped and still has its container, which goes with it: nobody may fetch it, and its dispute is over.
    stopped: Vec<SubmissionRow>,
}

/// Erases the months whose time is over at `now`.
pub(super) async fn erase(
    context: &Context,
    now: OffsetDateTime,
    waits: &mut Waits,
    left: &mut Leftovers,
) -> Result<(), Problem> {
    let over = |month: &Month| {
        month.class == Class::Account
            && !month.destroyed
            && end(&month.month).is_some_and(|end| end + context.config.retention.account <= now)
    };
    let due: Vec<Month> = context.store.months().await?.into_iter().filter(over).collect();
    for month in due {
        if waits.stand(&*context.store, &month.month).await? {
            continue;
        }
        let seen = context.store.size().await?;
        match gather(&*context.store, &month).await? {
            Ok(found) => {
                if erase_stopped(context, &found.stopped, left).await? {
                    destroy(context, &month, found, seen, left).await?;
                }
            }
            Err((id, waiting)) => waits.note(&month.month, id, waiting),
        }
    }
    Ok(())
}

/// Records that the containers of what is stopped are erased, once nothing else keeps their month; whether all are.
async fn erase_stopped(context: &Context, stopped: &[SubmissionRow], left: &mut Leftovers) -> Result<bool, Problem> {
    for some in stopped.chunks(TOGETHER) {
        let free = |row: &SubmissionRow| {
            let id = &row.submission.submission;
            [Condition::Kept(id.clone()), Condition::NotHeld(id.clone())]
        };
        if !record(
            context,
            some.iter().map(erased).collect(),
            some.iter().flat_map(free).collect(),
        )
        .await?
        {
            return Ok(false);
        }
        for row in some {
            left.container(row.submission.stored_as.clone());
        }
    }
    Ok(true)
}

/// Reads a month whole; the first submission for which it must wait, if there is one.
async fn gather(store: &dyn Store, month: &Month) -> Result<Result<Found, (SubmissionId, Waiting)>, Problem> {
    let (mut found, mut next) = (Found::default(), month.first);
    let mut looked = HashSet::new();
    while next <= month.last {
        let page = store.records(None, next, PAGE).await?;
        let Some(last) = page.last() else { break };
        next = last.position + 1;
        for stored in &page {
            let Some(record) = stored.record()? else { continue };
            if stored.position > month.last
                || record.event.class() != month.class
                || !record.time.starts_with(&month.month)
            {
                continue;
            }
            found.records += 1;
            for (facility, number) in &record.facility_seq {
                let erased = found.erased.entry(facility.clone()).or_insert(Erased {
                    records: 0,
                    first: *number,
                    last: *number,
                });
                erased.records += 1;
                erased.last = *number;
            }
            if let Event::Refused {
                report_sha256: Some(digest),
                ..
            } = &record.event
            {
                found.reports.push(digest.clone());
            }
            let Some(id) = record.event.submission() else { continue };
            if !looked.insert(id.clone()) {
                continue;
            }
            let Some(row) = store.submission(id).await? else {
                continue;
            };
            if let Some(waiting) = waits(&row, &month.month) {
                return Ok(Err((id.clone(), waiting)));
            }
            // Only what begins in this month goes with it.
            if !row.received.starts_with(&month.month) {
                continue;
            }
            found.stored.push(row.submission.stored_as.clone());
            if row.erased.is_none() {
                found.stopped.push(row);
            }
        }
    }
    Ok(Ok(found))
}

/// Why a month with a record of this submission cannot go yet. What is stopped keeps it only if it is held.
fn waits(row: &SubmissionRow, month: &str) -> Option<Waiting> {
    if row.hold.is_some() {
        return Some(Waiting::Held);
    }
    if !row.received.starts_with(month) || row.erased.is_some() || row.revised.is_some() {
        return None;
    }
    if row.state != SubmissionState::Accepted || row.delivered.is_none() {
        return Some(Waiting::Undelivered);
    }
    Some(Waiting::Container)
}

async fn destroy(
    context: &Context,
    month: &Month,
    found: Found,
    seen: u64,
    left: &mut Leftovers,
) -> Result<(), Problem> {
    let (records, facilities): (_, Vec<_>) = (found.records, found.erased.into_iter().collect());
    let part = |part: &[(FacilityCode, Erased)]| Event::KeyDestroyed {
        class: month.class,
        month: month.month.clone(),
        first: month.first,
        last: month.last,
        records,
        erased: part.iter().cloned().collect(),
    };
    let mut events: Vec<Event> = facilities.chunks(FACILITIES).map(part).collect();
    if events.is_empty() {
        events.push(part(&[]));
    }
    let batch = Batch {
        actor: Actor::default(),
        // What went before may have taken long.
        time: clock::now(),
        events,
        conditions: vec![Condition::MonthClosed {
            class: month.class,
            month: month.month.clone(),
            last: month.last,
            seen,
        }],
    };
    match context.store.commit(batch).committed().await {
        Ok(_) => tracing::info!(
            month = month.month,
            "the records of a month are erased: their time was over"
        ),
        // Something was held or added meanwhile: looked at again next time.
        Err(StoreError::Conflict(_)) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    found.stored.into_iter().for_each(|name| left.submission(name));
    found.reports.iter().for_each(|digest| left.report(digest));
    Ok(())
}

/// The first moment after a month.
fn end(month: &str) -> Option<OffsetDateTime> {
    let (year, number) = month.split_once('-')?;
    let name = Name::try_from(number.parse::<u8>().ok()?).ok()?;
    let year: i32 = year.parse().ok()?;
    let year = if name == Name::December { year + 1 } else { year };
    Some(
        Date::from_calendar_date(year, name.next(), 1)
            .ok()?
            .midnight()
            .assume_utc(),
    )
}

/// Whether what was stored under this name can only be a left-over: made so long ago that its records are erased, if it ever had
/// any. Names end with a UUIDv7 of the relay's own making.
pub(crate) fn outlived(name: &str, account: Duration, now: OffsetDateTime) -> bool {
    let made = name.rsplit('.').next().and_then(|id| uuid::Uuid::try_parse(id).ok());
    let seconds = made.and_then(|id| Some(id.get_timestamp()?.to_unix().0));
    let made = seconds.and_then(|seconds| OffsetDateTime::from_unix_timestamp(i64::try_from(seconds).ok()?).ok());
    made.is_some_and(|made| long_over(made, account, now))
}

/// Whether the records of the month of this moment are erased, or may be.
pub(super) fn long_over(moment: OffsetDateTime, account: Duration, now: OffsetDateTime) -> bool {
    let end = clock::rfc3339(moment).get(..7).and_then(end);
    end.is_some_and(|end| end + account <= now)
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_month_ends_where_the_next_begins() {
        assert_eq!(end("2026-11"), Some(datetime!(2026-12-01 0:00 UTC)));
        assert_eq!(end("2026-12"), Some(datetime!(2027-01-01 0:00 UTC)));
        assert_eq!(end("2024-02"), Some(datetime!(2024-03-01 0:00 UTC)));
        assert!(end("2026-13").is_none() && end("never").is_none());
    }

    #[tokio::test]
    async fn a_month_that_waits_is_read_again_only_after_what_it_waits_for_has_changed() {
        let key = formats::trail::LogKey::from_seed("relay.example/trail", &[7; 32])
            .unwrap()
            .0;
        let store = crate::store::MemoryStore::new(key).unwrap();
        let sent = crate::store::conformance::submission(1, "x-a", &["x-b"]);
        let id = sent.submission.clone();
        let at = async |event| {
            let batch = Batch {
                actor: Actor::default(),
                time: datetime!(2018-03-05 0:00 UTC),
                events: vec![event],
                conditions: Vec::new(),
            };
            store.commit(batch).committed().await.unwrap();
        };
        at(Event::Accepted(Box::new(sent))).await;
        let month = store
            .months()
            .await
            .unwrap()
            .into_iter()
            .find(|month| month.class == Class::Account);
        let mut waits = Waits::default();
        assert!(!waits.stand(&store, "2018-03").await.unwrap(), "it was never read");
        let Err((blocker, waiting)) = gather(&store, &month.unwrap()).await.unwrap() else {
            panic!("it is undelivered");
        };
        assert_eq!((&blocker, waiting), (&id, Waiting::Undelivered));
        waits.note("2018-03", blocker, waiting);
        assert!(waits.stand(&store, "2018-03").await.unwrap());
        let (sender, recipients) = ("x-a".parse().unwrap(), vec!["x-b".parse().unwrap()]);
        at(Event::ContainerErased {
            submission: id,
            sender,
            recipients,
            patient: "12345".into(),
            container_sha256: "01".repeat(32),
        })
        .await;
        assert!(!waits.stand(&store, "2018-03").await.unwrap());
    }

    #[test]
    fn a_left_over_is_told_by_the_time_in_its_name() {
        let name = "0193569a-7c00-7000-8000-000000000001.0193569a7c0070008000000000000001";
        let year = Duration::from_secs(365 * 86_400);
        assert!(!outlived(name, year, datetime!(2025-11-30 0:00 UTC)));
        assert!(outlived(name, year, datetime!(2026-01-01 0:00 UTC)));
        assert!(!outlived("c1", year, datetime!(2100-01-01 0:00 UTC)));
    }
}
