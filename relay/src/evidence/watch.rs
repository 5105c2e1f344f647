//! Asking without being asked: CRLs before they run out, responders about cards that name no CRL, and what submissions wait for,
//! until it is there.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::outbound::FetchError;
use super::question::{Kept, Question};
use super::slot::Slot;
use super::{Fetcher, host_of};
use crate::clock;

/// A CRL is asked for anew so long before its nextUpdate, or a quarter of its time, whichever is less.
const BEFORE_NEXT_UPDATE: time::Duration = time::Duration::minutes(10);
/// The longest pause between two tries for an answer that helps, from a host that gives answers which do not.
const LONGEST: Duration = Duration::from_secs(15 * 60);
/// CRLs asked for because of submissions that none has confirmed yet; the cards of a country name some dozens.
const FOLLOWED: usize = 1_024;
/// Responses asked for at intervals because of submissions that are held. Where there are more, they take turns.
const FOLLOWED_CARDS: usize = 2_048;
/// Of those so many in a row, so that CRLs need not wait for them.
const A_PASS: usize = 8;
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
                slot.follow(&question);
            }
        }
    }

    /// Asks for these OCSP responses, by their names, every `refresh` from now on; for what was named before, no more.
    pub(crate) fn follow_answers(&self, wanted: &BTreeMap<&str, &Question>) {
        let interval = i64::try_from(self.trust.refresh.as_secs()).unwrap_or(i64::MAX).max(1);
        let turn = clock::now().unix_timestamp() / interval;
        let first = first_of(usize::try_from(turn).unwrap_or_default(), wanted.len());
        let followed: BTreeMap<&&str, &&Question> = wanted.iter().cycle().skip(first).take(FOLLOWED_CARDS).collect();
        for (key, slot) in &*self.slots() {
            if key.starts_with("ocsp ") && !followed.contains_key(&key.as_str()) {
                slot.unfollow();
            }
        }
        for (key, question) in followed {
            if let Ok(slot) = self.slot(key, Some(question)) {
                slot.follow(question);
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
            let (mut resting, mut about_cards) = (HashSet::new(), 0);
            for (key, slot) in slots {
                let rests = slot.breaker.failing().is_some_and(|failing| !failing.rest.is_zero());
                if rests {
                    continue;
                }
                let Some(question) = slot.question() else { continue };
                let sought = slot.seek_now(LONGEST);
                if !sought {
                    let is_card = matches!(question, Question::Ocsp { .. });
                    let waits = is_card && (about_cards >= A_PASS || resting.contains(&host_of(question.url())));
                    if waits || !self.due(&key, &slot) {
                        continue;
                    }
                    about_cards += usize::from(is_card);
                }
                let outcome = self.ask(&slot, &question, Instant::now()).await;
                if matches!(outcome, Err(FetchError::Resting { .. })) {
                    resting.insert(host_of(question.url()));
                }
                let may_come = !matches!(outcome, Ok(()) | Err(FetchError::Forbidden(_)));
                if may_come && sought {
                    slot.seek_soon();
                }
            }
        }
    }

    /// Whether a CRL, or an OCSP response that is followed, should be asked for anew. Not every relay, nor all of one, at the same
    /// time.
    fn due(&self, key: &str, slot: &Slot) -> bool {
        let question = slot.question();
        let crl = matches!(question, Some(Question::Crl { .. }));
        let pause = (self.trust.refresh / 4).min(Duration::from_secs(60));
        let card = slot.is_followed() && matches!(question, Some(Question::Ocsp { .. }));
        if !crl && !card {
            return false;
        }
        if slot
            .asked_since(Instant::now().checked_sub(pause).unwrap_or_else(Instant::now))
            .is_some()
        {
            return false;
        }
        match slot.newest() {
            // How soon a response runs out is its responder's habit, and no reason to ask more often.
            Some(kept) if !crl => is_old(&kept, slot.arrived(), self.trust.refresh, spread(key)),
            Some(kept) => is_due(&kept, slot.arrived(), self.trust.refresh, spread(key)),
            None => slot.is_followed(),
        }
    }
}

fn is_due(kept: &Kept, arrived: Option<time::OffsetDateTime>, refresh: Duration, spread: f64) -> bool {
    let now = clock::now();
    let runs_out = kept.next_update.is_some_and(|next| {
        let ahead = BEFORE_NEXT_UPDATE.min((next - kept.fetched) / 4);
        now > next - ahead * (0.5 + spread / 2.0)
    });
    runs_out || is_old(kept, arrived, refresh, spread)
}

fn is_old(kept: &Kept, arrived: Option<time::OffsetDateTime>, refresh: Duration, spread: f64) -> bool {
    clock::now() - arrived.unwrap_or(kept.fetched) > refresh.mul_f64(1.0 - spread / 4.0)
}

/// Where those begin whose turn it is, of so many.
fn first_of(turn: usize, count: usize) -> usize {
    match count {
        0..=FOLLOWED_CARDS => 0,
        more => turn.wrapping_mul(FOLLOWED_CARDS) % more,
    }
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
    fn where_more_cards_are_held_than_are_asked_about_each_gets_its_turn() {
        assert_eq!((first_of(7, 0), first_of(7, FOLLOWED_CARDS)), (0, 0));
        let count = FOLLOWED_CARDS * 2 + 100;
        let mut asked = BTreeSet::new();
        for turn in 7..10 {
            let first = first_of(turn, count);
            asked.extend((first..first + FOLLOWED_CARDS).map(|index| index % count));
        }
        assert_eq!(asked.len(), count);
    }

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
