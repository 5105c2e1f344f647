//! The time of records is the database's. Its clock may be wrong as any other: a batch only takes it where the clock of the relay that
//! hands the batch in agrees, and a relay only writes the trail while its own does (`ClockGuard::apart`).

use std::time::Duration;

use time::OffsetDateTime;

use crate::clock;
use crate::store::{Batch, StoreError};

/// Gives a batch the database's time, `now`; refused if its relay's clock said another when it was handed in. Clocks may differ by
/// `limit`, and so long as `waited` a batch may have waited since.
pub(super) fn timed(
    batch: &mut Batch,
    now: OffsetDateTime,
    limit: Duration,
    waited: Duration,
) -> Result<(), StoreError> {
    let claimed = batch.time;
    if claimed > now + limit || claimed + limit + waited < now {
        return Err(StoreError::Clock(format!(
            "the relay's clock said {} when the database's said {}: {} s are allowed",
            clock::rfc3339(claimed),
            clock::rfc3339(now),
            limit.as_secs()
        )));
    }
    batch.time = now;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance::{acceptance, submission};

    #[test]
    fn a_batch_takes_the_time_of_a_database_with_which_its_relay_agrees_and_no_other() {
        let (limit, waited) = (Duration::from_secs(120), Duration::from_secs(25));
        let batch = acceptance(&submission(7, "x-a", &["x-b"]));
        let (said, second) = (batch.time, Duration::from_secs(1));
        for now in [said, said - limit, said + limit + waited] {
            let mut taken = batch.clone();
            timed(&mut taken, now, limit, waited).unwrap();
            assert_eq!(taken.time, now);
        }
        let year = time::Duration::days(365);
        for now in [
            said - limit - second,
            said + limit + waited + second,
            said + year,
            said - year,
        ] {
            let mut refused = batch.clone();
            let Err(StoreError::Clock(why)) = timed(&mut refused, now, limit, waited) else {
                panic!("{now}");
            };
            assert_eq!(why.matches('Z').count(), 2, "{why}");
            assert_eq!(refused.time, said);
        }
    }
}
