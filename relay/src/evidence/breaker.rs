//! Rest for a responder that fails: after a failure nobody asks it for a while, then one asks on trial, and what that one
//! learns holds for all. So a morning's letters cost a dead host one try in a while, and a live one is noticed soon.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use time::OffsetDateTime;

use crate::clock;

/// The first rest; it doubles with each failure.
const FIRST: Duration = Duration::from_secs(1);

/// The rest of one responder, or of one address at it.
#[derive(Debug)]
pub(crate) struct Breaker {
    longest: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    resting: Option<Instant>,
    since: Option<OffsetDateTime>,
    reason: String,
}

/// What is known of a responder that fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failing {
    /// Since when.
    pub(crate) since: OffsetDateTime,
    /// Why, as last seen.
    pub(crate) reason: String,
    /// How long it rests still; zero if the next may ask.
    pub(crate) rest: Duration,
}

impl Breaker {
    /// One that rests `longest` at most.
    pub(crate) fn new(longest: Duration) -> Self {
        Self {
            longest,
            state: Mutex::default(),
        }
    }

    /// Permission to ask. Of those who come after a rest one gets it; the others hear what was learnt last, until that one
    /// reports or has had `patience` to do so.
    pub(crate) fn admit(&self, patience: Duration) -> Result<(), Failing> {
        let mut state = self.state();
        if let Some(failing) = state.failing()
            && !failing.rest.is_zero()
        {
            return Err(failing);
        }
        if state.failures > 0 {
            state.resting = Some(Instant::now() + patience);
        }
        Ok(())
    }

    /// It answered. Whether it had failed before.
    pub(crate) fn good(&self) -> bool {
        let mut state = self.state();
        let failed = state.failures > 0;
        *state = State::default();
        failed
    }

    /// It failed. Whether that is new.
    pub(crate) fn failed(&self, reason: &str) -> bool {
        let mut state = self.state();
        let rest = FIRST.saturating_mul(1 << state.failures.min(16)).min(self.longest);
        state.failures = state.failures.saturating_add(1);
        // Up to a quarter shorter: what failed together shall not come back together.
        state.resting = Some(Instant::now() + rest.mul_f64(1.0 - chance() / 4.0));
        reason.clone_into(&mut state.reason);
        state.since.get_or_insert_with(clock::now);
        state.failures == 1
    }

    /// What is known, if it fails.
    pub(crate) fn failing(&self) -> Option<Failing> {
        self.state().failing()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn failing(&self) -> Option<Failing> {
        let rest = self
            .resting
            .map(|until| until.saturating_duration_since(Instant::now()));
        Some(Failing {
            since: self.since?,
            reason: self.reason.clone(),
            rest: rest.unwrap_or_default(),
        })
    }
}

/// A number from 0 to 1, by chance.
pub(crate) fn chance() -> f64 {
    f64::from(uuid::Uuid::now_v7().as_bytes()[15]) / 255.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    #[test]
    fn after_a_rest_one_asks_and_the_others_wait_for_what_it_learns() {
        let breaker = Breaker::new(Duration::ZERO);
        assert_eq!(breaker.admit(PATIENCE), Ok(()));
        assert!(breaker.failed("no answer"));
        assert!(!breaker.failed("still no answer"), "known already");
        assert_eq!(breaker.admit(PATIENCE), Ok(()), "its rest is over");
        let others = breaker.admit(PATIENCE).unwrap_err();
        assert_eq!(others.reason, "still no answer");
        assert!(!others.rest.is_zero());
        assert!(breaker.good(), "it had failed");
        assert!(!breaker.good());
        assert_eq!((breaker.admit(PATIENCE), breaker.admit(PATIENCE)), (Ok(()), Ok(())));
    }

    #[test]
    fn rests_grow_up_to_the_longest() {
        let breaker = Breaker::new(Duration::from_secs(30));
        let mut rests = Vec::new();
        for _ in 0..8 {
            breaker.failed("down");
            assert!(breaker.admit(PATIENCE).is_err());
            rests.push(breaker.failing().unwrap().rest);
        }
        assert!(rests[0] <= FIRST && rests[1] > rests[0], "{rests:?}");
        assert!(rests.iter().all(|rest| *rest <= Duration::from_secs(30)), "{rests:?}");
    }
}
