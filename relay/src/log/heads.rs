//! Daily heads: for each facility one record when a day of Japan is over, whose own number is the facility's highest. So an export
//! up to it can hide nothing: numbers have no gaps, and the head says where they stood.
//!
//! A day that ended while the relay was down is covered by the next head, which names the last day that was over.

use std::time::Duration;

use formats::trail::{Actor, Event};
use time::macros::{format_description, offset};
use time::{OffsetDateTime, Time};

use crate::clock;
use crate::context::Context;
use crate::store::{Batch, Condition, Facility, Store, StoreError};

/// Heads of one batch.
const BATCH: usize = 500;
/// After a head that could not be written, and at most: the clock may have been set.
const AGAIN: Duration = Duration::from_secs(60);

/// So long a start waits for a time-stamp authority to tell the time.
const HEARD: Duration = Duration::from_secs(30);

/// Writes heads at start-up and whenever a day of Japan ends, until the task is dropped.
pub(crate) async fn keep(context: Context) {
    // A head says that a day is over: not by a clock nobody has looked at.
    context.stamps.heard(HEARD).await;
    loop {
        let doubt = context.clock_in_doubt().await;
        let written = match doubt.is_some() || context.leads("heads").await {
            true => write(&*context.store, clock::now(), doubt).await,
            false => Ok(0),
        };
        match written {
            Ok(0) => {}
            Ok(heads) => tracing::info!(heads, "the day's heads are in the trail"),
            Err(error) => tracing::warn!(%error, "the day's heads could not be written"),
        }
        tokio::time::sleep(until_midnight(clock::now()).min(AGAIN)).await;
    }
}

/// Writes the heads that are due; how many. Several relays may do it at once: of each day each facility gets one. None while the
/// clock is in doubt: a head of a day that has not been could never be taken back.
async fn write(store: &dyn Store, now: OffsetDateTime, doubt: Option<String>) -> Result<usize, StoreError> {
    if let Some(doubt) = doubt {
        return Err(StoreError::Clock(doubt));
    }
    let Some(day) = ended(now) else { return Ok(0) };
    let due = |facility: &Facility| facility.head.as_ref().is_none_or(|head| *head < day);
    let due: Vec<_> = store
        .facilities()
        .await?
        .into_iter()
        .filter(due)
        .map(|facility| facility.code)
        .collect();
    let mut written = 0;
    for facilities in due.chunks(BATCH) {
        let events = facilities.iter().map(|facility| Event::Head {
            facility: facility.clone(),
            day: day.clone(),
        });
        let conditions = facilities
            .iter()
            .map(|facility| Condition::HeadDue(facility.clone(), day.clone()));
        let batch = Batch {
            actor: Actor::default(),
            time: now,
            events: events.collect(),
            conditions: conditions.collect(),
        };
        match store.commit(batch).committed().await {
            Ok(committed) => written += committed.positions.len(),
            // Another relay was faster with one of them; what it left is done at the next look.
            Err(StoreError::Conflict(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(written)
}

/// The last day of Japan that is over.
fn ended(now: OffsetDateTime) -> Option<String> {
    let today = now.to_offset(offset!(+9)).date();
    today
        .previous_day()?
        .format(format_description!("[year]-[month]-[day]"))
        .ok()
}

fn until_midnight(now: OffsetDateTime) -> Duration {
    let now = now.to_offset(offset!(+9));
    let midnight = now
        .date()
        .next_day()
        .map(|day| day.with_time(Time::MIDNIGHT).assume_offset(offset!(+9)));
    let left = midnight.and_then(|midnight| Duration::try_from(midnight - now).ok());
    left.unwrap_or(AGAIN).max(Duration::from_millis(10))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use formats::trail::LogKey;
    use time::macros::datetime;

    use super::*;
    use crate::store::MemoryStore;

    async fn store(facilities: usize) -> Arc<MemoryStore> {
        let store = MemoryStore::new(LogKey::from_seed("relay.example", &[5; 32]).unwrap().0).unwrap();
        for number in 0..facilities {
            let event = Event::FacilityAdded {
                facility: format!("13{number:08}").parse().unwrap(),
                name: "TEST".into(),
            };
            let batch = Batch {
                actor: Actor::default(),
                time: datetime!(2026-11-22 01:00 UTC),
                events: vec![event],
                conditions: Vec::new(),
            };
            store.commit(batch).committed().await.unwrap();
        }
        Arc::new(store)
    }

    #[tokio::test]
    async fn each_facility_gets_one_head_a_day_of_japan() {
        let store = store(3).await;
        // 14:59 UTC is still the day before in Japan.
        assert_eq!(
            write(&*store, datetime!(2026-11-22 14:59:59.999 UTC), None).await,
            Ok(0),
            "it has just joined"
        );
        let doubt = Some("the clock".to_owned());
        let ahead = write(&*store, datetime!(2027-11-22 15:00 UTC), doubt).await;
        assert!(matches!(ahead, Err(StoreError::Clock(_))), "a clock in doubt");
        assert_eq!(write(&*store, datetime!(2026-11-22 15:00 UTC), None).await, Ok(3));
        assert_eq!(
            write(&*store, datetime!(2026-11-22 03:00 UTC), None).await,
            Ok(0),
            "the clock went back"
        );
        assert_eq!(
            write(&*store, datetime!(2026-11-25 03:00 UTC), None).await,
            Ok(3),
            "days that were missed"
        );
        let facility = "1300000001".parse().unwrap();
        let records = store.records(Some(&facility), 0, 100).await.unwrap();
        let told: Vec<_> = records
            .iter()
            .map(|stored| stored.record().unwrap().unwrap())
            .map(|record| match record.event {
                Event::Head { day, .. } => (record.facility_seq[&facility], day),
                other => (record.facility_seq[&facility], other.kind().to_owned()),
            })
            .collect();
        let expected = [
            (1, "FacilityAdded".to_owned()),
            (2, "2026-11-22".into()),
            (3, "2026-11-24".into()),
        ];
        assert_eq!(told, expected);
    }

    #[tokio::test]
    async fn two_relays_at_once_write_each_head_once() {
        let store = store(700).await;
        let now = datetime!(2026-11-22 15:00 UTC);
        let (one, two) = tokio::join!(write(&*store, now, None), write(&*store, now, None));
        assert_eq!(
            one.unwrap() + two.unwrap() + write(&*store, now, None).await.unwrap(),
            700
        );
        assert_eq!(store.size().await, Ok(1400));
    }

    #[test]
    fn sleeps_to_the_end_of_the_day() {
        assert_eq!(
            until_midnight(datetime!(2026-11-22 14:59:50 UTC)),
            Duration::from_secs(10)
        );
        assert_eq!(
            until_midnight(datetime!(2026-11-22 15:00 UTC)),
            Duration::from_secs(86_400)
        );
    }
}
