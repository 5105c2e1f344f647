//! When what waits is judged again: at once on news of something it waits for, else after pauses that grow. Not state: after a
//! restart it is made anew from the store.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use formats::wire::SubmissionId;
use time::OffsetDateTime;

use crate::clock;
use crate::evidence::breaker::chance;
use crate::evidence::host_of_awaited;
use crate::evidence::news::News;

/// The pause between tries without news doubles up to this.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// The plan for all that waits.
#[derive(Debug, Default)]
pub(crate) struct Plan(Mutex<HashMap<SubmissionId, Planned>>);

/// The plan for one submission.
#[derive(Debug, Clone)]
struct Planned {
    next: Instant,
    pause: Duration,
    /// The count of news when it was judged last.
    knew: u64,
    awaited: Vec<String>,
    waiting_for: Option<String>,
}

/// What the last try of a submission came to.
#[derive(Debug, Clone)]
pub(super) struct Tried {
    /// The count of news before it.
    pub(super) knew: u64,
    /// Names of what is waited for.
    pub(super) awaited: Vec<String>,
    /// The same in words.
    pub(super) waiting_for: Option<String>,
}

impl Plan {
    /// Plans one that is not planned yet, after a restart: some time within the first pause, so that a thousand do not come at
    /// once, but not beyond what is `left` until the deadline.
    pub(super) fn meet(&self, id: &SubmissionId, first: Duration, left: Duration) {
        self.plan().entry(id.clone()).or_insert_with(|| Planned {
            next: Instant::now() + first.mul_f64(chance()).min(left),
            pause: first,
            knew: 0,
            awaited: Vec::new(),
            waiting_for: None,
        });
    }

    /// Plans the next try, not beyond what is `left` until the deadline.
    pub(super) fn tried(&self, id: &SubmissionId, tried: Tried, first: Duration, left: Option<Duration>) {
        let mut plan = self.plan();
        let pause = plan.get(id).map_or(first, |planned| planned.pause);
        // Up to half as long again, so that submissions held by the same outage do not return together.
        let wait = pause.mul_f64(1.0 + chance() / 2.0);
        plan.insert(
            id.clone(),
            Planned {
                next: Instant::now() + left.map_or(wait, |left| left.min(wait)),
                pause: (pause * 2).min(LONGEST),
                knew: tried.knew,
                awaited: tried.awaited,
                waiting_for: tried.waiting_for,
            },
        );
    }

    /// Whether it is time.
    pub(super) fn is_due(&self, id: &SubmissionId, news: &News) -> bool {
        self.plan()
            .get(id)
            .is_none_or(|planned| planned.next <= Instant::now() || news.since(planned.knew, &planned.awaited))
    }

    /// Forgets all but these.
    pub(super) fn retain(&self, waiting: &HashSet<&SubmissionId>) {
        self.plan().retain(|id, _| waiting.contains(id));
    }

    /// Names of what is waited for.
    pub(super) fn awaited(&self) -> HashSet<String> {
        let plan = self.plan();
        plan.values().flat_map(|planned| &planned.awaited).cloned().collect()
    }

    /// How many submissions wait for which host.
    pub(crate) fn by_host(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for planned in self.plan().values() {
            let hosts: BTreeSet<String> = planned.awaited.iter().map(|name| host_of_awaited(name)).collect();
            for host in hosts {
                *counts.entry(host).or_insert(0) += 1;
            }
        }
        counts
    }

    /// What it waits for, as last seen, and when it is judged again without news.
    pub(super) fn told(&self, id: &SubmissionId) -> Option<(Option<String>, OffsetDateTime)> {
        let plan = self.plan();
        let planned = plan.get(id)?;
        let left = planned.next.saturating_duration_since(Instant::now());
        Some((planned.waiting_for.clone(), clock::now() + left))
    }

    fn plan(&self) -> MutexGuard<'_, HashMap<SubmissionId, Planned>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_of_what_is_awaited_makes_it_due_before_its_pause_ends() {
        let (plan, news) = (Plan::default(), News::default());
        let id: SubmissionId = "0193569a-7c00-7000-8000-000000000001".parse().unwrap();
        let tried = || Tried {
            knew: news.count(),
            awaited: vec!["crl u".into()],
            waiting_for: Some("CRL of TEST CA".into()),
        };
        assert!(plan.is_due(&id, &news), "nothing is known of it");
        plan.tried(&id, tried(), Duration::from_secs(600), None);
        assert!(!plan.is_due(&id, &news));
        news.tell("crl other");
        assert!(!plan.is_due(&id, &news));
        news.tell("crl u");
        assert!(plan.is_due(&id, &news));
        plan.tried(&id, tried(), Duration::from_secs(600), Some(Duration::ZERO));
        assert!(plan.is_due(&id, &news), "its deadline is here");
        assert!(plan.awaited().contains("crl u"));
        plan.retain(&HashSet::new());
        assert!(plan.told(&id).is_none());
    }

    #[test]
    fn after_a_restart_tries_are_spread() {
        let (plan, news) = (Plan::default(), News::default());
        let ids = (0..200).map(|number| format!("0193569a-7c00-7000-8000-{number:012}").parse().unwrap());
        let ids: Vec<SubmissionId> = ids.collect();
        for id in &ids {
            plan.meet(id, Duration::from_secs(3600), Duration::MAX);
        }
        let due = ids.iter().filter(|id| plan.is_due(id, &news)).count();
        assert!(due < ids.len() / 2, "{due} at once");
    }
}
