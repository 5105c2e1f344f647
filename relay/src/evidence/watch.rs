//! Asking without being asked: CRLs before they run out, and what submissions wait for, until it is there.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Fetcher;
use super::outbound::FetchError;
use super::question::{Kept, Question};
use super::slot::Slot;
use crate::clock;

/// A CRL is asked for anew so long before its nextUpdate, or a quarter of its time, whichever is less.
const BEFORE_NEXT_UPDATE: time::Duration = time::Duration::minutes(10);
/// The longest pause between two tries for an answer that helps, from a host that gives answers which do not.
const LONGEST: Duration = Duration::from_secs(15 * 60);
/// CRLs asked for because of submissions that none has confirmed yet; the cards of a country name some dozens.
const FOLLOWED: usize = 1_024;
/// How often what is due is looked for.
const PACE: Duration = Duration::from_millis(200);

impl Fetcher {
    /// What submissions wait for; replaces what was said before. `first`: the first pause between two tries.
    pub(crate) fn seek(&self, names: &HashSet<String>, first: Duration) {
        for (key, slot) in &*self.slots() {
            slot.seek(names.contains(key), first);
        }
    }

    /// Asks for these CRLs too, which nobody has had to ask for so far, and from their first answer on as for all others.
    pub(crate) fn follow<'u>(&self, urls: impl Iterator<Item = &'u String>) {
        let urls: BTreeSet<&String> = urls.collect();
        for url in urls.into_iter().take(FOLLOWED) {
            let question = Question::Crl { url: url.clone() };
            if let Ok(slot) = self.slot(&question.key(), Some(&question)) {
                slot.follow();
            }
        }
    }

    /// Asks for what is due, until the task is dropped.
    pub(crate) async fn watch(self: Arc<Self>) {
        loop {
            tokio::time::sleep(PACE).await;
            let slots: Vec<(String, Arc<Slot>)> = {
                let slots = self.slots();
                slots
                    .iter()
                    .map(|(key, slot)| (key.clone(), Arc::clone(slot)))
                    .collect()
            };
            for (key, slot) in slots {
                let rests = slot.breaker.failing().is_some_and(|failing| !failing.rest.is_zero());
                if rests {
                    continue;
                }
                let Some(question) = slot.question() else { continue };
                let sought = slot.seek_now(LONGEST);
                if !sought && !self.due(&key, &slot) {
                    continue;
                }
                let outcome = self.ask(&slot, &question, Instant::now()).await;
                let may_come = !matches!(outcome, Ok(()) | Err(FetchError::Forbidden(_)));
                if may_come && sought {
                    slot.seek_soon();
                }
            }
        }
    }

    /// Whether a CRL should be asked for anew. Not every relay, nor every CRL of one, at the same time.
    fn due(&self, key: &str, slot: &Slot) -> bool {
        let crl = matches!(slot.question(), Some(Question::Crl { .. }));
        let pause = (self.trust.refresh / 4).min(Duration::from_secs(60));
        if !crl {
            return false;
        }
        if slot
            .asked_since(Instant::now().checked_sub(pause).unwrap_or_else(Instant::now))
            .is_some()
        {
            return false;
        }
        match slot.newest() {
            Some(kept) => is_due(&kept, slot.arrived(), self.trust.refresh, spread(key)),
            None => slot.is_followed(),
        }
    }
}

fn is_due(kept: &Kept, arrived: Option<time::OffsetDateTime>, refresh: Duration, spread: f64) -> bool {
    let now = clock::now();
    let age = now - arrived.unwrap_or(kept.fetched);
    let runs_out = kept.next_update.is_some_and(|next| {
        let ahead = BEFORE_NEXT_UPDATE.min((next - kept.fetched) / 4);
        now > next - ahead * (0.5 + spread / 2.0)
    });
    runs_out || age > refresh.mul_f64(1.0 - spread / 4.0)
}

/// A number from 0 to 1 that is always the same for a key.
fn spread(key: &str) -> f64 {
    let digest = formats::digest::sha256(key.as_bytes());
    f64::from(digest[0]) / 255.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_asked_for_before_it_runs_out() {
        let now = clock::now();
        let kept = |fetched: i64, next: i64| Kept {
            der: Vec::new(),
            this_update: None,
            next_update: Some(now + time::Duration::seconds(next)),
            lasting: false,
            fetched: now - time::Duration::seconds(fetched),
        };
        let six_hours = Duration::from_secs(6 * 3600);
        for spread in [0.0, 1.0] {
            assert!(!is_due(&kept(60, 86_400), None, six_hours, spread));
            assert!(is_due(&kept(86_000, 200), None, six_hours, spread), "runs out");
            assert!(is_due(&kept(6 * 3600 + 1, 86_400), None, six_hours, spread), "old");
            assert!(
                !is_due(&kept(10, 50), None, six_hours, spread),
                "of a list that lives a minute not ten"
            );
        }
    }
}
