//! Proposals of a newer release, met by a sequencer of an older one while relays are upgraded in turn: it does not know all that they
//! say, and must not write half of it. It leaves them and gives up its lease, so that a newer relay can take both; if none does in
//! the time their relay waits for an answer, they are refused.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use uuid::Uuid;

/// Those that were met.
#[derive(Debug, Default)]
pub(super) struct Newer(BTreeMap<Uuid, Instant>);

/// What to do with one.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meeting {
    /// It is new: the lease is given up.
    First,
    /// It is left for a newer relay.
    Again,
    /// No newer relay came, and nobody waits for its answer any more.
    Late,
}

impl Newer {
    /// Meets one whose relay waits so long for its answer.
    pub(super) fn meet(&mut self, id: Uuid, now: Instant, patience: Duration) -> Meeting {
        match self.0.get(&id) {
            None => {
                self.0.insert(id, now);
                Meeting::First
            }
            Some(first) if now.saturating_duration_since(*first) > patience => Meeting::Late,
            Some(_) => Meeting::Again,
        }
    }

    /// Forgets those that are not open any more.
    pub(super) fn keep(&mut self, open: &BTreeSet<Uuid>) {
        self.0.retain(|id, _| open.contains(id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_left_once_and_refused_only_when_nobody_waits_for_it() {
        let (mut newer, now, patience) = (Newer::default(), Instant::now(), Duration::from_secs(25));
        let id = Uuid::now_v7();
        assert_eq!(newer.meet(id, now, patience), Meeting::First);
        assert_eq!(newer.meet(id, now + patience, patience), Meeting::Again);
        assert_eq!(newer.meet(id, now + patience * 2, patience), Meeting::Late);
        newer.keep(&BTreeSet::new());
        assert_eq!(newer.meet(id, now, patience), Meeting::First);
    }
}
