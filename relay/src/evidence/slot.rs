//! What is known of one question: answers kept, failures remembered, one who asks while the others wait for what it learns.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
    followed: AtomicBool,
}

#[derive(Default)]
struct Known {
    question: Option<Question>,
    /// Newest first, by what they say of themselves: a mirror that is late brings yesterday's list after today's.
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
        let kept = newest_first(kept);
        Self {
            turn: tokio::sync::Mutex::default(),
            breaker: Breaker::new(longest_rest),
            known: Mutex::new(Known {
                question,
                kept,
                ..Known::default()
            }),
            used: AtomicU64::default(),
            followed: AtomicBool::default(),
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

    /// It is asked for even before anybody needs an answer.
    pub(super) fn follow(&self, question: &Question) {
        self.known().question.get_or_insert_with(|| question.clone());
        self.followed.store(true, Ordering::Relaxed);
    }

    /// It is asked for only where somebody needs an answer.
    pub(super) fn unfollow(&self) {
        self.followed.store(false, Ordering::Relaxed);
    }

    pub(super) fn is_followed(&self) -> bool {
        self.followed.load(Ordering::Relaxed)
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

    /// When an answer came last.
    pub(super) fn arrived(&self) -> Option<OffsetDateTime> {
        self.known().kept.iter().map(|kept| kept.fetched).max()
    }

    /// Whether one came so lately that nobody need be asked for a newer one: a card may have been revoked since.
    pub(super) fn is_fresh(&self, now: OffsetDateTime, age: Duration) -> bool {
        let (newest, arrived) = (self.newest(), self.arrived());
        newest.zip(arrived).is_some_and(|(newest, arrived)| {
            newest.lasting || (newest.is_current(now) && now - arrived < age && arrived <= now)
        })
    }

    /// Notes what came of asking. Those that no longer need keeping are returned, and the answer if it is a new one. An
    /// answer that does not fit replaces nothing.
    pub(super) fn note(
        &self,
        question: &Question,
        outcome: Result<Kept, FetchError>,
        now: OffsetDateTime,
    ) -> (Vec<Arc<Kept>>, Option<Arc<Kept>>) {
        let mut known = self.known();
        known.question = Some(question.clone());
        let kept = match outcome {
            Ok(kept) => kept,
            Err(error) => {
                known.asked = Some((Instant::now(), Err(error)));
                return (Vec::new(), None);
            }
        };
        known.asked = Some((Instant::now(), Ok(())));
        let kept = Arc::new(kept);
        let mut older = std::mem::take(&mut known.kept);
        let count = older.len();
        older.retain(|old| old.der != kept.der);
        let is_new = older.len() == count;
        let (mut older, mut dropped): (Vec<_>, Vec<_>) =
            older.into_iter().partition(|old| old.is_current(now) && !old.lasting);
        if older.len() > OLDER {
            // The newest, and the one that came longest ago: rubbish that looks like an answer must come very long to push both out.
            let longest_ago = (1..older.len()).min_by_key(|index| older.get(*index).map(|old| old.fetched));
            let longest_ago = longest_ago.map(|index| older.remove(index));
            dropped.extend(older.split_off(OLDER - 1));
            older.extend(longest_ago);
        }
        older.insert(0, Arc::clone(&kept));
        known.kept = newest_first(older);
        if is_new {
            known.sought = None;
        }
        (dropped, is_new.then_some(kept))
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

/// By thisUpdate; of equal ones what came last.
fn newest_first(mut kept: Vec<Arc<Kept>>) -> Vec<Arc<Kept>> {
    kept.sort_by_key(|one| std::cmp::Reverse((one.this_update, one.fetched)));
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Issued and fetched when it came, unless told otherwise.
    fn kept(bytes: &[u8], came: i64, next: i64) -> Kept {
        let at = |seconds| OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(seconds);
        Kept {
            der: bytes.to_vec(),
            this_update: Some(at(came)),
            next_update: Some(at(next)),
            lasting: false,
            fetched: at(came),
        }
    }

    #[test]
    fn a_list_of_yesterday_that_comes_after_todays_does_not_go_before_it() {
        let slot = Slot::new(None, Vec::new(), Duration::ZERO);
        let question = Question::Crl { url: "u".into() };
        let at = |seconds| OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(seconds);
        slot.note(&question, Ok(kept(b"101", 10, 1_000)), at(10));
        let stale = Kept {
            fetched: at(20),
            ..kept(b"100", 5, 1_000)
        };
        let (dropped, new) = slot.note(&question, Ok(stale), at(20));
        assert!(dropped.is_empty() && new.is_some_and(|new| new.der == b"100"));
        assert_eq!(slot.newest().unwrap().der, b"101");
        assert_eq!(slot.kept().len(), 2);
        // The same after a restart, in whatever order the files are read.
        let again = Slot::new(None, slot.kept().into_iter().rev().collect(), Duration::ZERO);
        assert_eq!(again.newest().unwrap().der, b"101");
        // Nor is the address asked again and again, because it answered late.
        assert!(slot.is_fresh(at(25), Duration::from_secs(10)));
        assert!(!slot.is_fresh(at(31), Duration::from_secs(10)));
        // Further late ones push neither today's out nor the one that came first.
        for (came, bytes) in [(30, b"98"), (31, b"97"), (32, b"96")] {
            let stale = Kept {
                fetched: at(came),
                ..kept(bytes, 1, 1_000)
            };
            slot.note(&question, Ok(stale), at(came));
            assert_eq!(slot.newest().unwrap().der, b"101");
            assert!(slot.kept().iter().any(|one| one.der == bytes), "what came last is kept");
        }
    }

    #[test]
    fn what_does_not_fit_replaces_nothing_and_older_answers_stay_while_they_are_current() {
        let slot = Slot::new(None, Vec::new(), Duration::ZERO);
        let question = Question::Crl { url: "u".into() };
        let at = |seconds| OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(seconds);
        let names = || -> Vec<Vec<u8>> { slot.kept().iter().map(|kept| kept.der.clone()).collect() };
        assert!(slot.note(&question, Ok(kept(b"1", 1, 100)), at(1)).1.is_some());
        let bad = Err(FetchError::NotThat("the answer is no CRL".into()));
        assert!(slot.note(&question, bad, at(2)).1.is_none());
        assert_eq!(names(), [b"1"]);
        assert!(
            slot.note(&question, Ok(kept(b"1", 1, 100)), at(3)).1.is_none(),
            "the same again"
        );
        for (name, now) in [(b"2", 4), (b"3", 5), (b"4", 6)] {
            slot.note(&question, Ok(kept(name, now, 100)), at(now));
        }
        assert_eq!(names(), [b"4", b"3", b"1"]);
        let (dropped, _) = slot.note(&question, Ok(kept(b"5", 101, 200)), at(101));
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
        slot.note(&question, Ok(kept(b"1", 1, 1)), OffsetDateTime::UNIX_EPOCH);
        slot.seek_soon();
        assert!(!slot.seek_now(longest));
    }
}
