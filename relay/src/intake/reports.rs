//! How much room the reports of refusals take: each is kept for years, and a device that tries again and again must not fill the disk.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use formats::wire::FacilityCode;
use time::{Date, OffsetDateTime};

/// Bytes of reports each facility has left behind today, by this relay since its start.
#[derive(Debug, Default)]
pub(crate) struct Reports(Mutex<HashMap<FacilityCode, (Date, u64)>>);

impl Reports {
    /// Whether there is room for one more of a facility's, which may leave `most` bytes behind on a day; it is counted if so.
    pub(super) fn admit(&self, facility: &FacilityCode, bytes: u64, most: u64, now: OffsetDateTime) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let today = now.date();
        let (day, kept) = all.entry(facility.clone()).or_insert((today, 0));
        if *day != today {
            (*day, *kept) = (today, 0);
        }
        let sum = kept.saturating_add(bytes);
        let room = sum <= most;
        if room {
            *kept = sum;
        }
        room
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_facility_fills_its_own_day_and_no_more() {
        let reports = Reports::default();
        let (one, other) = ("x-a".parse().unwrap(), "x-b".parse().unwrap());
        let now = datetime!(2026-11-22 01:00 UTC);
        assert!(reports.admit(&one, 60, 100, now));
        assert!(!reports.admit(&one, 60, 100, now));
        assert!(reports.admit(&one, 40, 100, now));
        assert!(!reports.admit(&one, 1, 100, now));
        assert!(reports.admit(&other, 100, 100, now));
        assert!(reports.admit(&one, 100, 100, now + time::Duration::days(1)));
    }
}
