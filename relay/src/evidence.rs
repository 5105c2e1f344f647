//! Fetches what a validation asks for: CRLs, OCSP responses, certificates, under the rules of `CONTRACTS.md` §3 and no others.
//!
//! Only URLs that `trust-store` names, only hosts the operator lists, only public addresses unless listed, no redirects, bounded
//! rounds, bytes and seconds. One fetch serves all who wait for its answer; what failed is not asked again for a while (`breaker`);
//! answers are kept on disk and CRLs asked for anew before they run out, so that intake seldom waits for an authority, and an
//! outage is noticed late. What is fetched is trusted for nothing: the validation judges it.

pub(crate) mod breaker;
mod cache;
mod gather;
pub(crate) mod news;
pub(crate) mod outbound;
mod question;
mod slot;
mod watch;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::Uri;
use serde::Serialize;
use trust_store::{Evidence, EvidenceQuery};

use crate::clock;
use crate::config::Trust;
use crate::observe;
use breaker::{Breaker, Failing};
use cache::Folder;
use news::News;
use outbound::{Bounds, FetchError, exchange, is_public};
pub(crate) use question::{Kept, Question};
use slot::Slot;

pub(crate) use gather::TIMESTAMP;

/// Questions remembered.
const SLOTS: usize = 4096;
/// Bytes of answers kept, all together.
const BYTES: usize = 512 << 20;
/// Hosts remembered; there are no more than the operator lists, times their ports.
const HOSTS: usize = 1024;

/// Fetches and keeps evidence.
pub(crate) struct Fetcher {
    trust: Trust,
    longest_rest: Duration,
    folder: Folder,
    slots: Mutex<HashMap<String, Arc<Slot>>>,
    /// By host and kind of question: who publishes lists may fail where the responder beside him answers.
    hosts: Mutex<HashMap<(String, &'static str), Arc<Breaker>>>,
    uses: AtomicU64,
    news: Arc<News>,
    arrival: tokio::sync::Notify,
}

/// How a host last answered.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct HostHealth {
    /// Host and port.
    pub(crate) host: String,
    /// Whether it answered when it was asked last.
    pub(crate) good: bool,
    /// Since when it fails, RFC 3339.
    pub(crate) failing_since: Option<String>,
    /// Why.
    pub(crate) reason: Option<String>,
    /// In how many seconds it may be asked again.
    pub(crate) next_try_seconds: Option<u64>,
}

impl Fetcher {
    /// Opens the folder of kept answers. A host that fails rests `longest_rest` at most.
    ///
    /// # Errors
    /// If the folder cannot be made or read.
    pub(crate) fn open(
        folder: PathBuf,
        trust: Trust,
        longest_rest: Duration,
        news: Arc<News>,
    ) -> std::io::Result<Self> {
        let folder = Folder::open(folder)?;
        let mut kept: HashMap<String, Vec<Arc<Kept>>> = HashMap::new();
        for (key, answer) in folder.read(SLOTS)? {
            kept.entry(key).or_default().push(Arc::new(answer));
        }
        let slot = |(key, kept): (String, _)| {
            let slot = Slot::new(Question::of_key(&key), kept, longest_rest);
            (key, Arc::new(slot))
        };
        Ok(Self {
            trust,
            longest_rest,
            folder,
            slots: Mutex::new(kept.into_iter().map(slot).collect()),
            hosts: Mutex::default(),
            uses: AtomicU64::default(),
            news,
            arrival: tokio::sync::Notify::new(),
        })
    }

    /// Every host asked so far; of one of which something fails, since when anything does.
    pub(crate) fn hosts(&self) -> Vec<HostHealth> {
        let hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found: BTreeMap<&String, Option<Failing>> = BTreeMap::new();
        for ((host, _), breaker) in &*hosts {
            let known = found.entry(host).or_default();
            let both = [known.take(), breaker.failing()].into_iter().flatten();
            *known = both.min_by_key(|failing| failing.since);
        }
        let health = |(host, failing): (&String, Option<Failing>)| HostHealth {
            host: host.clone(),
            good: failing.is_none(),
            failing_since: failing.as_ref().map(|failing| clock::rfc3339(failing.since)),
            next_try_seconds: failing.as_ref().map(|failing| failing.rest.as_secs()),
            reason: failing.map(|failing| failing.reason),
        };
        found.into_iter().map(health).collect()
    }

    /// Every CRL that is kept, the newest of each address, with its address, in the order of addresses.
    pub(crate) fn kept(&self) -> Vec<(String, Arc<Kept>)> {
        let newest = self.every_kept().into_iter();
        newest
            .filter_map(|(url, kept)| Some((url, kept.into_iter().next()?)))
            .collect()
    }

    /// Every CRL that is kept, newest first, by its address: the newest may be one that nobody signed.
    pub(crate) fn every_kept(&self) -> BTreeMap<String, Vec<Arc<Kept>>> {
        let slots = self.slots();
        let crls = slots.iter().filter_map(|(key, slot)| {
            let url = key.strip_prefix("crl ")?;
            Some((url.to_owned(), slot.kept()))
        });
        crls.collect()
    }

    /// What is kept of the answers to the question of this name, newest first.
    pub(crate) fn kept_under(&self, key: &str) -> Vec<Arc<Kept>> {
        self.slots().get(key).map(|slot| slot.kept()).unwrap_or_default()
    }

    /// The CRL behind an address, asked for now.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub(crate) async fn anew(self: &Arc<Self>, url: &str) -> Result<Arc<Kept>, FetchError> {
        let question = Question::Crl { url: url.to_owned() };
        let (kept, _) = self.answers(&question, true).await?;
        // What came just now, for whoever asks for it now wants to know what is there.
        kept.into_iter()
            .max_by_key(|kept| kept.fetched)
            .ok_or_else(|| FetchError::NotThat("there is no answer".into()))
    }

    /// Waits until an answer comes that differs from the one before.
    pub(crate) async fn arrived(&self) {
        self.arrival.notified().await;
    }

    /// What is kept of the answers to these queries. Nothing is fetched.
    pub(crate) fn at_hand(&self, queries: &[EvidenceQuery]) -> Evidence {
        let mut evidence = Evidence::default();
        let slots = self.slots();
        for question in queries.iter().flat_map(Question::all_of) {
            if let Some(slot) = slots.get(&question.key()) {
                slot.kept().iter().for_each(|kept| kept.add_to(&mut evidence));
            }
        }
        evidence
    }

    /// What is kept of the answers to a question, newest first.
    fn versions(&self, question: &Question) -> Vec<Arc<Kept>> {
        self.kept_under(&question.key())
    }

    /// The answers to a question, newest first, and whether they were asked for just now. `anew`: even if a kept one is fresh.
    ///
    /// Where nothing newer can be had, what is kept is given: the validation knows for which times it serves.
    async fn answers(self: &Arc<Self>, question: &Question, anew: bool) -> Result<(Vec<Arc<Kept>>, bool), FetchError> {
        let began = Instant::now();
        let slot = self.slot(&question.key(), Some(question))?;
        let age = self.trust.fetch_age;
        let is_fresh = slot.is_fresh(clock::now(), age);
        if is_fresh && !anew {
            return Ok((slot.kept(), false));
        }
        // On its own, so that who loses patience does not stop it for the others.
        let (fetcher, asked, asking) = (Arc::clone(self), question.clone(), Arc::clone(&slot));
        let work = tokio::spawn(async move { fetcher.ask(&asking, &asked, began).await });
        let outcome = work
            .await
            .unwrap_or_else(|_| Err(FetchError::Unreachable("asking was broken off".into())));
        match outcome {
            Ok(()) => Ok((slot.kept(), true)),
            Err(_) if !anew && slot.newest().is_some() => Ok((slot.kept(), false)),
            Err(error) => Err(error),
        }
    }

    /// Asks, unless somebody did since `began` or what was asked rests.
    async fn ask(&self, slot: &Slot, question: &Question, began: Instant) -> Result<(), FetchError> {
        let _turn = slot.turn.lock().await;
        if let Some(outcome) = slot.asked_since(began) {
            return outcome;
        }
        let outcome = self.try_fetch(slot, question).await;
        if matches!(outcome, Err(FetchError::Resting { .. })) {
            return outcome.map(|_| ());
        }
        let label = match &outcome {
            Ok(_) => "fetched",
            Err(FetchError::Forbidden(_)) => "forbidden",
            Err(_) => "failed",
        };
        metrics::counter!(observe::FETCHES, "outcome" => label).increment(1);
        let result = outcome.as_ref().map(|_| ()).map_err(Clone::clone);
        let key = question.key();
        let known = slot.failure();
        let (dropped, new) = slot.note(question, outcome, clock::now());
        match &result {
            Ok(()) => {
                if slot.breaker.good() {
                    tracing::info!(url = question.url(), "a {} can be had again", question.what());
                }
            }
            // Nobody was asked, so that nobody needs rest; it lasts until the operator changes it.
            Err(FetchError::Forbidden(why)) => {
                if !matches!(known, Some(FetchError::Forbidden(_))) {
                    tracing::warn!(url = question.url(), why, "a {} may not be fetched", question.what());
                }
            }
            Err(error) => {
                if slot.breaker.failed(&error.to_string()) {
                    tracing::warn!(url = question.url(), %error, "a {} cannot be had", question.what());
                }
            }
        }
        if let Some(new) = new {
            self.keep(&key, new, dropped).await;
            self.news.tell(&key);
            self.arrival.notify_one();
        }
        result
    }

    async fn try_fetch(&self, slot: &Slot, question: &Question) -> Result<Kept, FetchError> {
        let url = question.url();
        let uri: Uri = url
            .parse()
            .map_err(|_| FetchError::Forbidden("not an address".into()))?;
        let host = uri.host().unwrap_or_default().to_ascii_lowercase();
        let port = uri.port_u16().unwrap_or(80);
        if !self.trust.lists(&host, port, question.is_vouched()) {
            let named = if self.trust.lists(&host, port, true) {
                format!("{host}:{port}")
            } else {
                format!("host {host}")
            };
            return Err(FetchError::Forbidden(format!("{named} is not in trust.fetch_hosts")));
        }
        let resting = |failing: Failing| FetchError::Resting {
            reason: failing.reason,
            seconds: failing.rest.as_secs().max(1),
        };
        if let Some(failing) = slot.breaker.failing()
            && !failing.rest.is_zero()
        {
            return Err(resting(failing));
        }
        let name = host_of(url).unwrap_or(host);
        let breaker = self.host(&name, question.kind());
        breaker.admit(self.trust.fetch_timeout * 2).map_err(resting)?;
        let nonce = *uuid::Uuid::now_v7().as_bytes();
        let bounds = Bounds {
            time: self.trust.fetch_timeout,
            bytes: question.most_bytes(),
        };
        let permits = |host: &str, address| {
            let listed = |target: &crate::config::PrivateTarget| target.permits(host, address);
            is_public(address) || self.trust.fetch_private.iter().any(listed)
        };
        let fetched = exchange(&uri, question.sent(&nonce), bounds, permits).await;
        match &fetched {
            Err(FetchError::Unreachable(reason)) => {
                metrics::gauge!(observe::HOST_GOOD, "host" => name.clone()).set(0.0);
                if breaker.failed(reason) {
                    tracing::warn!(host = name, reason, "evidence cannot be fetched; what needs it waits");
                }
            }
            Err(FetchError::Forbidden(_)) => {}
            _ => {
                if breaker.good() {
                    tracing::info!(host = name, "evidence can be fetched again");
                    self.refresh_hopes(&name, question.kind());
                }
                let good = self.hosts().iter().all(|host| host.host != name || host.good);
                metrics::gauge!(observe::HOST_GOOD, "host" => name.clone()).set(f64::from(u8::from(good)));
            }
        }
        question.answer(fetched?.into(), &nonce, clock::now())
    }

    /// On disk what came, and no longer what was dropped.
    async fn keep(&self, key: &str, new: Arc<Kept>, dropped: Vec<Arc<Kept>>) {
        let (folder, key) = (self.folder.clone(), key.to_owned());
        let saved = tokio::task::spawn_blocking(move || {
            for old in dropped {
                folder.forget(&key, &old.der);
            }
            folder.keep(&key, &new.der)
        });
        if let Ok(Err(error)) = saved.await {
            tracing::warn!(%error, "an answer could not be kept on disk");
        }
    }

    /// A host is back: what failed with it need not rest longer.
    fn refresh_hopes(&self, host: &str, kind: &str) {
        for (key, slot) in &*self.slots() {
            let mut words = key.split(' ');
            let is_kind = words.next() == Some(kind);
            if is_kind && words.next().and_then(host_of).as_deref() == Some(host) {
                slot.breaker.good();
            }
        }
    }

    fn host(&self, name: &str, kind: &'static str) -> Arc<Breaker> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (name.to_owned(), kind);
        if hosts.len() >= HOSTS && !hosts.contains_key(&place) {
            hosts.clear();
        }
        let fresh = || Arc::new(Breaker::new(self.longest_rest));
        Arc::clone(hosts.entry(place).or_insert_with(fresh))
    }

    /// The slot of a question; the ones used longest ago make room for it.
    fn slot(&self, key: &str, question: Option<&Question>) -> Result<Arc<Slot>, FetchError> {
        let mut slots = self.slots();
        let now = self.uses.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some(slot) = slots.get(key) {
            slot.touch(now);
            return Ok(Arc::clone(slot));
        }
        let mut bytes: usize = slots.values().map(|slot| slot.bytes()).sum();
        while slots.len() >= SLOTS || bytes > BYTES {
            // Lists last: they are few, and one that is forgotten is not watched any more until a letter needs it.
            let oldest = slots
                .iter()
                .min_by_key(|(key, slot)| (key.starts_with("crl "), slot.last_used()));
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else {
                break;
            };
            if let Some(slot) = slots.remove(&oldest) {
                bytes -= slot.bytes().min(bytes);
                for kept in slot.kept() {
                    self.folder.forget(&oldest, &kept.der);
                }
            }
        }
        let slot = Arc::new(Slot::new(question.cloned(), Vec::new(), self.longest_rest));
        slot.touch(now);
        slots.insert(key.to_owned(), Arc::clone(&slot));
        Ok(slot)
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<String, Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Host and port of an address, or of the name of what is waited for.
fn host_of(url: &str) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    let host = uri.host()?.to_ascii_lowercase();
    Some(format!("{host}:{}", uri.port_u16().unwrap_or(80)))
}

/// The host behind the name of something waited for.
pub(crate) fn host_of_awaited(name: &str) -> String {
    let url = name.split(' ').nth(1).unwrap_or_default();
    host_of(url).unwrap_or_else(|| "time-stamp authorities".to_owned())
}

#[cfg(test)]
mod tests;
