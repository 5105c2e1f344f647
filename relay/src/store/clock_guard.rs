//! Whether the clock of this machine may be believed. A record keeps the time it was given for ever, and every later one is raised to
//! it: a clock that runs ahead once would falsify what follows until that time has come. So while it is in doubt nothing is written.
//!
//! A leap forward is seen against the clock that does not jump, a clock that is wrong from the start by what time-stamp authorities say.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use time::OffsetDateTime;

use crate::clock;

/// What is known of the clock of this machine.
#[derive(Debug)]
pub struct ClockGuard {
    limit: Duration,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    /// What the clock said, and when, on the clock that does not jump.
    said: OffsetDateTime,
    at: Instant,
    /// That it runs ahead, as authorities say.
    ahead: Option<String>,
}

impl ClockGuard {
    /// A clock that is believed as it stands, and may leap or differ by `limit`.
    #[must_use]
    pub fn new(limit: Duration) -> Self {
        Self::at(limit, clock::now(), Instant::now())
    }

    fn at(limit: Duration, said: OffsetDateTime, at: Instant) -> Self {
        let known = Mutex::new(Known { said, at, ahead: None });
        Self { limit, known }
    }

    /// By how much clocks may differ.
    #[must_use]
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// Why one of two clocks must be wrong, this one and one that says `stored` now, in words with both times; `None` if they agree.
    #[must_use]
    pub(crate) fn apart(&self, stored: OffsetDateTime) -> Option<String> {
        let here = clock::now();
        ((here - stored).unsigned_abs() > self.limit).then(|| {
            format!(
                "the clock here says {} when the database's says {}: {} s are allowed",
                clock::rfc3339(here),
                clock::rfc3339(stored),
                self.limit.as_secs()
            )
        })
    }

    /// Why the clock is in doubt, in words with both times; `None` if it is not.
    #[must_use]
    pub fn doubt(&self) -> Option<String> {
        self.doubt_at(clock::now(), Instant::now())
    }

    fn doubt_at(&self, says: OffsetDateTime, at: Instant) -> Option<String> {
        let mut known = self.known();
        if let Some(ahead) = &known.ahead {
            return Some(ahead.clone());
        }
        let expected = known.said + at.saturating_duration_since(known.at);
        if says <= expected + self.limit {
            // Kept up to date, so that small differences of the two clocks do not add up.
            (known.said, known.at) = (says, at);
            return None;
        }
        Some(format!(
            "the clock here leapt to {} when it was {}: nothing is recorded until a time-stamp authority confirms it, or the relay is \
             started again",
            clock::rfc3339(says),
            clock::rfc3339(expected),
        ))
    }

    /// What authorities say: that the clock runs ahead, or that it is right.
    pub fn told(&self, ahead: Option<String>) {
        self.told_at(ahead, clock::now(), Instant::now());
    }

    fn told_at(&self, ahead: Option<String>, says: OffsetDateTime, at: Instant) {
        *self.known() = Known { said: says, at, ahead };
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_leap_is_in_doubt_until_it_is_confirmed_and_a_clock_that_goes_on_is_not() {
        let (minute, began, said) = (Duration::from_secs(60), Instant::now(), datetime!(2026-11-22 01:00 UTC));
        let guard = ClockGuard::at(minute * 2, said, began);
        assert_eq!(guard.doubt_at(said + minute, began + minute), None);
        assert_eq!(
            guard.doubt_at(said + 600 * minute, began + 600 * minute),
            None,
            "a quiet night"
        );
        let (said, began) = (said + 600 * minute, began + 600 * minute);
        assert_eq!(guard.doubt_at(said + minute, began), None, "within what is allowed");
        assert_eq!(guard.doubt_at(said - 60 * minute, began), None, "set back");
        let year = said + time::Duration::days(365);
        for _ in 0..2 {
            let doubt = guard.doubt_at(year, began).unwrap();
            assert!(doubt.matches('Z').count() == 2, "{doubt}");
        }
        guard.told_at(None, year, began);
        assert_eq!(
            guard.doubt_at(year + minute, began + minute),
            None,
            "the machine had slept"
        );
        guard.told_at(Some("ahead".into()), year, began);
        assert_eq!(guard.doubt_at(year, began), Some("ahead".into()));
        guard.told_at(None, said, began);
        assert_eq!(guard.doubt_at(said, began), None);
    }
}
