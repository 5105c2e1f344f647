//! What is known of one question: answers kept, failures remembered, one who asks while the others wait for what it learns.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use time::OffsetDateTime;

use super::breaker::{Breaker, chance};
use super::outbound::FetchError;
use super::question::{Kept, Question};
use crate::clock;

/// Older answers kept beside the newest, while they are current: what came last may be authentic, or not.
const OLDER: usize = 2;

/// One question.
pub(super) struct Slot {
    /// Whose turn it is to ask.
    pub(super) turn: tokio::sync::Mutex<()>,
    /// Remembers failures.
    pub(super) breaker: Breaker,
    known: Mutex<Known>,
    used: AtomicU64,
}

#[derive(Default)]
struct Known {
    question: Option<Question>,
    /// Newest first.
    kept: Vec<Arc<Kept>>,
    asked: Option<(Instant, Result<(), FetchError>)>,
    sought: Option<Sought>,
}

/// Somebody waits for an answer that helps.
#[derive(Clone, Copy)]
struct Sought {
    next: Instant,
    pause: Duration,
}

impl Slot {
    pub(super) fn new(question: Option<Question>, kept: Vec<Arc<Kept>>, longest_rest: Duration) -> Self {
        Self {
            turn: tokio::sync::Mutex::default(),
            breaker: Breaker::new(longest_rest),
            known: Mutex::new(Known {
                question,
                kept,
                ..Known::default()
            }),
            used: AtomicU64::default(),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks it as used at a count that grows.
    pub(super) fn touch(&self, count: u64) {
        self.used.store(count, Ordering::Relaxed);
    }

    pub(super) fn last_used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    pub(super) fn question(&self) -> Option<Question> {
        self.known().question.clone()
    }

    /// The answers kept, newest first.
    pub(super) fn kept(&self) -> Vec<Arc<Kept>> {
        self.known().kept.clone()
    }

    pub(super) fn bytes(&self) -> usize {
        self.known().kept.iter().map(|kept| kept.der.len()).sum()
    }

    /// What came of asking since `then`, if somebody asked.
    pub(super) fn asked_since(&self, then: Instant) -> Option<Result<(), FetchError>> {
        let known = self.known();
        let (when, outcome) = known.asked.as_ref()?;
        (*when >= then).then(|| outcome.clone())
    }

    /// Notes what came of asking. Those that no longer need keeping are returned, and whether the answer is a new one. An
    /// answer that does not fit replaces nothing.
    pub(super) fn note(
        &self,
        question: &Question,
        outcome: Result<Kept, FetchError>,
        now: OffsetDateTime,
    ) -> (Vec<Arc<Kept>>, bool) {
        let mut known = self.known();
        known.question = Some(question.clone());
        let kept = match outcome {
            Ok(kept) => kept,
            Err(error) => {
                known.asked = Some((Instant::now(), Err(error)));
                return (Vec::new(), false);
            }
        };
        known.asked = Some((Instant::now(), Ok(())));
        let same = known.kept.iter().position(|old| old.der == kept.der);
        let is_new = same.is_none();
        if let Some(same) = same {
            known.kept.remove(same);
        }
        let mut dropped = Vec::new();
        let older: Vec<_> = std::mem::take(&mut known.kept);
        let last = older.len().saturating_sub(1);
        known.kept.push(Arc::new(kept));
        for (index, old) in older.into_iter().enumerate() {
            // The one before, and the oldest: rubbish that looks like an answer must come very long to push both out.
            let wanted = known.kept.len() <= OLDER && (index == 0 || index == last);
            if wanted && old.is_current(now) && !old.lasting {
                known.kept.push(old);
            } else {
                dropped.push(old);
            }
        }
        if is_new {
            known.sought = None;
        }
        (dropped, is_new)
    }

    /// Whether it is sought and due. The next time is put off until told otherwise.
    pub(super) fn seek_now(&self, longest: Duration) -> bool {
        let mut known = self.known();
        let until_next = known.kept.first().and_then(|kept| {
            let left = kept.next_update? - clock::now();
            Duration::try_from(left).ok().filter(|left| !left.is_zero())
        });
        let Some(sought) = &mut known.sought else { return false };
        if sought.next > Instant::now() {
            return false;
        }
        let pause = sought.pause.mul_f64(1.0 + chance() / 4.0);
        // When the next one is due at the latest, it is asked for, some seconds after.
        let due = until_next.map(|left| left + Duration::from_secs(5).mul_f64(chance()));
        sought.next = Instant::now() + due.map_or(pause, |due| due.min(pause));
        sought.pause = (sought.pause * 2).min(longest);
        true
    }

    /// Says whether somebody waits for an answer that helps.
    pub(super) fn seek(&self, wanted: bool, first: Duration) {
        let mut known = self.known();
        match (&known.sought, wanted) {
            (None, true) => {
                known.sought = Some(Sought {
                    next: Instant::now(),
                    pause: first,
                });
            }
            (Some(_), false) => known.sought = None,
            _ => {}
        }
    }

    /// After a failure the breaker says when to ask again, not the pause.
    pub(super) fn seek_soon(&self) {
        if let Some(sought) = &mut self.known().sought {
            sought.next = Instant::now();
        }
    }

    /// What failed last, in words.
    pub(super) fn failure(&self) -> Option<FetchError> {
        self.known()
            .asked
            .as_ref()
            .and_then(|(_, outcome)| outcome.clone().err())
    }

    /// The newest answer.
    pub(super) fn newest(&self) -> Option<Arc<Kept>> {
        self.known().kept.first().cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(bytes: &[u8], next: i64) -> Kept {
        Kept {
            der: bytes.to_vec(),
            next_update: Some(OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(next)),
            lasting: false,
            fetched: OffsetDateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn what_does_not_fit_replaces_nothing_and_older_answers_stay_while_they_are_current() {
        let slot = Slot::new(None, Vec::new(), Duration::ZERO);
        let question = Question::Crl { url: "u".into() };
        let at = |seconds| OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(seconds);
        let names = || -> Vec<Vec<u8>> { slot.kept().iter().map(|kept| kept.der.clone()).collect() };
        assert!(slot.note(&question, Ok(kept(b"1", 100)), at(1)).1);
        let bad = Err(FetchError::NotThat("the answer is no CRL".into()));
        assert!(!slot.note(&question, bad, at(2)).1);
        assert_eq!(names(), [b"1"]);
        assert!(!slot.note(&question, Ok(kept(b"1", 100)), at(3)).1, "the same again");
        for (name, now) in [(b"2", 4), (b"3", 5), (b"4", 6)] {
            slot.note(&question, Ok(kept(name, 100)), at(now));
        }
        assert_eq!(names(), [b"4", b"3", b"1"]);
        let (dropped, _) = slot.note(&question, Ok(kept(b"5", 200)), at(101));
        assert_eq!((names(), dropped.len()), (vec![b"5".to_vec()], 3));
    }

    #[test]
    fn an_answer_that_is_sought_is_asked_for_until_a_new_one_came() {
        let slot = Slot::new(None, Vec::new(), Duration::ZERO);
        let longest = Duration::from_secs(60);
        assert!(!slot.seek_now(longest));
        slot.seek(true, Duration::from_secs(30));
        assert!(slot.seek_now(longest));
        assert!(!slot.seek_now(longest), "not again at once");
        slot.seek_soon();
        assert!(slot.seek_now(longest));
        let question = Question::Crl { url: "u".into() };
        slot.note(&question, Ok(kept(b"1", 1)), OffsetDateTime::UNIX_EPOCH);
        slot.seek_soon();
        assert!(!slot.seek_now(longest));
    }
}
