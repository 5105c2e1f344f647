//! Records whose time is over: month by month their key is destroyed, and with it what they said. Their commitments stay.
//!
//! A month goes when it lies far enough back, nothing of it is held, undelivered or undecided, and its containers are gone. First
//! the record that says so, then the rows and the key (`store`), then the files.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use formats::trail::{Actor, Class, Erased, Event};
use formats::wire::{FacilityCode, SubmissionId, SubmissionState};
use time::{Date, Month as Name, OffsetDateTime};

use super::erase_container;
use crate::clock;
use crate::containers::ContainerError;
use crate::context::Context;
use crate::intake;
use crate::problem::Problem;
use crate::store::{Batch, Condition, Month, StoreError, SubmissionRow};

/// Records read at once.
const PAGE: usize = 500;
/// Facilities one record of an erasure speaks of: it stays far below the largest body.
const FACILITIES: usize = 10_000;

/// Why each month waits, as it was last said, so that it is not said every minute.
#[derive(Default)]
pub(super) struct Waits(BTreeMap<String, Waiting>);

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
}

/// Erases the months whose time is over at `now`.
pub(super) async fn erase(context: &Context, now: OffsetDateTime, waits: &mut Waits) -> Result<(), Problem> {
    let over = |month: &Month| {
        month.class == Class::Account
            && !month.destroyed
            && end(&month.month).is_some_and(|end| end + context.config.retention.account <= now)
    };
    let due: Vec<Month> = context.store.months().await?.into_iter().filter(over).collect();
    if due.is_empty() {
        return Ok(());
    }
    // A clock that runs away must not destroy what has years to go.
    if let Some(reason) = context.stamps.drift_beyond(context.config.limits.clock_drift) {
        tracing::warn!(reason, "no records are erased while the clock is in doubt");
        return Ok(());
    }
    for month in due {
        let seen = context.store.size().await?;
        match gather(context, &month).await? {
            Ok(found) => destroy(context, &month, found, seen, now).await?,
            Err((id, waiting)) => {
                if waits.0.insert(month.month.clone(), waiting) != Some(waiting) {
                    tracing::warn!(month = month.month, %id, ?waiting, "records whose time is over are kept for this submission");
                }
            }
        }
    }
    Ok(())
}

/// Reads a month whole; the first submission for which it must wait, if there is one.
async fn gather(context: &Context, month: &Month) -> Result<Result<Found, (SubmissionId, Waiting)>, Problem> {
    let (mut found, mut next) = (Found::default(), month.first);
    let mut looked = HashSet::new();
    while next <= month.last {
        let page = context.store.records(None, next, PAGE).await?;
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
            let Some(row) = context.store.submission(id).await? else {
                continue;
            };
            if row.hold.is_some() {
                return Ok(Err((id.clone(), Waiting::Held)));
            }
            // Only what begins in this month goes with it.
            if !row.received.starts_with(&month.month) {
                continue;
            }
            if let Some(waiting) = let_go(context, &row).await? {
                return Ok(Err((id.clone(), waiting)));
            }
            found.stored.push(row.submission.stored_as);
        }
    }
    Ok(Ok(found))
}

/// Why a submission cannot go yet. What is stopped goes with its records: nobody may fetch it, and its dispute is over.
async fn let_go(context: &Context, row: &SubmissionRow) -> Result<Option<Waiting>, Problem> {
    if row.erased.is_some() {
        return Ok(None);
    }
    if row.revised.is_some() {
        erase_container(context, row).await?;
        let again = context.store.submission(&row.submission.submission).await?;
        return Ok(again.filter(|row| row.erased.is_none()).map(|_| Waiting::Held));
    }
    if row.state != SubmissionState::Accepted || row.delivered.is_none() {
        return Ok(Some(Waiting::Undelivered));
    }
    Ok(Some(Waiting::Container))
}

async fn destroy(
    context: &Context,
    month: &Month,
    found: Found,
    seen: u64,
    now: OffsetDateTime,
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
        time: now,
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
    for name in &found.stored {
        context.containers.delete(name).await?;
    }
    for digest in &found.reports {
        match intake::drop_report(&context.containers, digest).await {
            Ok(()) | Err(ContainerError::Absent) => {}
            Err(error) => return Err(error.into()),
        }
    }
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
    made.and_then(|made| end(clock::rfc3339(made).get(..7)?))
        .is_some_and(|end| end + account <= now)
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

    #[test]
    fn a_left_over_is_told_by_the_time_in_its_name() {
        let name = "0193569a-7c00-7000-8000-000000000001.0193569a7c0070008000000000000001";
        let year = Duration::from_secs(365 * 86_400);
        assert!(!outlived(name, year, datetime!(2025-11-30 0:00 UTC)));
        assert!(outlived(name, year, datetime!(2026-01-01 0:00 UTC)));
        assert!(!outlived("c1", year, datetime!(2100-01-01 0:00 UTC)));
    }
}
