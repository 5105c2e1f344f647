//! Fetches what a validation asks for: CRLs, under the rules of `CONTRACTS.md` §3 and no others.
//!
//! Only URLs that `trust-store` names (they come from certificates whose path to an anchor verifies), only hosts the operator
//! lists, only public addresses unless listed, no redirects, bounded rounds, bytes and seconds. What parses as a CRL is kept on
//! disk and asked for anew before it runs out, so that intake seldom waits for a certificate authority. What is fetched is
//! trusted for nothing: the validation judges it.

pub(crate) mod breaker;
mod cache;
pub(crate) mod outbound;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use formats::digest::sha256;
use futures_util::future::join_all;
use http::Uri;
use time::OffsetDateTime;
use trust_store::{Evidence, EvidenceQuery, Subject, TrustStore};

use crate::clock;
use crate::config::Trust;
use crate::observe;
pub(crate) use cache::Cached;
use cache::Folder;
use outbound::{Bounds, FetchError, exchange, is_public};

/// Bounds of one CRL: the largest real ones are below 10 MiB.
const CRL: usize = 32 << 20;
/// Asking and fetching alternate at most so often: leaf and each CA may bring new questions.
const ROUNDS: usize = 6;
/// URLs fetched for one submission in one round.
const URLS_A_ROUND: usize = 16;
/// All fetching for one submission.
const PATIENCE: Duration = Duration::from_secs(30);
/// URLs remembered.
const KNOWN_URLS: usize = 4096;
/// A CRL is asked for anew so long before its nextUpdate.
const BEFORE_NEXT_UPDATE: time::Duration = time::Duration::minutes(10);

/// Fetches and keeps CRLs.
pub(crate) struct Fetcher {
    trust: Trust,
    folder: Folder,
    known: Mutex<HashMap<String, Arc<Slot>>>,
    /// A CRL that differs from the one before has come.
    news: tokio::sync::Notify,
}

/// What is known of one URL. Who fetches holds the lock, so that one fetch serves all who wait.
#[derive(Default)]
struct Slot(tokio::sync::Mutex<Known>);

#[derive(Default)]
struct Known {
    cached: Option<Arc<Cached>>,
    asked: Option<(Instant, Option<FetchError>)>,
}

/// Evidence for one submission.
pub(crate) struct Gathered {
    /// What was supplied and what was fetched.
    pub(crate) evidence: Evidence,
    /// What could not be had, in words.
    pub(crate) unreachable: Vec<String>,
}

impl Fetcher {
    /// Opens the folder of kept CRLs.
    ///
    /// # Errors
    /// If the folder cannot be made or read.
    pub(crate) fn open(folder: PathBuf, trust: Trust) -> std::io::Result<Self> {
        let folder = Folder::open(folder)?;
        let mut known = HashMap::new();
        for (url, cached) in folder.read(KNOWN_URLS)? {
            let slot = Slot(tokio::sync::Mutex::new(Known {
                cached: Some(Arc::new(cached)),
                asked: None,
            }));
            known.insert(url, Arc::new(slot));
        }
        Ok(Self {
            trust,
            folder,
            known: Mutex::new(known),
            news: tokio::sync::Notify::new(),
        })
    }

    /// Asks `trust` what is missing, fetches it, asks again, until nothing is missing or nothing more can be had.
    pub(crate) async fn gather(
        &self,
        trust: &Arc<TrustStore>,
        subject: &Arc<Subject>,
        mut evidence: Evidence,
        now: OffsetDateTime,
    ) -> Gathered {
        let began = Instant::now();
        let mut tried: BTreeMap<String, bool> = BTreeMap::new();
        let mut unreachable = BTreeMap::new();
        for _ in 0..ROUNDS {
            let (missing, back) = ask(trust, subject, evidence, now).await;
            evidence = back;
            let mut wanted = Vec::new();
            for query in missing {
                // Responders and issuers' certificates are not asked for yet.
                let EvidenceQuery::Crl { issuer, urls, .. } = query else {
                    continue;
                };
                let mut open = urls.into_iter().filter(|url| tried.get(url) != Some(&true));
                match open.next() {
                    Some(url) if wanted.len() < URLS_A_ROUND => wanted.push((url, issuer)),
                    Some(_) => {}
                    None => {
                        unreachable
                            .entry(issuer)
                            .or_insert_with(|| "no CRL that helps could be had".to_owned());
                    }
                }
            }
            if wanted.is_empty() || began.elapsed() > PATIENCE {
                break;
            }
            let fetches = wanted.into_iter().map(|(url, issuer)| {
                // First what is kept; if the validation still asks for it, a new one.
                let anew = tried.contains_key(&url);
                async move {
                    let fetched =
                        tokio::time::timeout(PATIENCE.saturating_sub(began.elapsed()), self.crl(&url, anew)).await;
                    (url, issuer, fetched)
                }
            });
            for (url, issuer, fetched) in join_all(fetches).await.into_iter().collect::<Vec<_>>() {
                match fetched {
                    Ok(Ok((cached, fresh))) => {
                        tried.insert(url, fresh);
                        unreachable.remove(&issuer);
                        if !evidence.crls.contains(&cached.der) {
                            evidence.crls.push(cached.der.clone());
                        }
                    }
                    Ok(Err(error)) => {
                        tried.insert(url, true);
                        unreachable.insert(issuer, error.to_string());
                    }
                    Err(_) => {
                        tried.insert(url, true);
                        unreachable.insert(issuer, "no answer in time".into());
                    }
                }
            }
        }
        Gathered {
            evidence,
            unreachable: unreachable
                .into_iter()
                .map(|(issuer, reason)| format!("CRL of {issuer}: {reason}"))
                .collect(),
        }
    }

    /// Asks for every kept CRL anew before it runs out, until the task is dropped.
    pub(crate) async fn refresh(self: Arc<Self>) {
        let pause = self
            .trust
            .refresh
            .min(Duration::from_secs(60))
            .max(Duration::from_millis(200));
        loop {
            tokio::time::sleep(pause).await;
            let known: Vec<_> = {
                let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
                known
                    .iter()
                    .map(|(url, slot)| (url.clone(), Arc::clone(slot)))
                    .collect()
            };
            for (url, slot) in known {
                let due = {
                    let known = slot.0.lock().await;
                    let cached = known.cached.as_ref();
                    let recent = known.asked.as_ref().is_some_and(|(asked, _)| asked.elapsed() < pause);
                    !recent && cached.is_some_and(|cached| self.due(cached))
                };
                if due && let Err(error) = self.crl(&url, true).await {
                    tracing::warn!(url, %error, "a CRL could not be refreshed");
                }
            }
        }
    }

    fn due(&self, cached: &Cached) -> bool {
        let now = clock::now();
        let age = now - cached.fetched;
        age > self.trust.refresh || cached.next_update.is_some_and(|next| now > next - BEFORE_NEXT_UPDATE)
    }

    /// The CRL behind a URL, and whether it was fetched just now. `anew`: even if a kept one is still current.
    async fn crl(&self, url: &str, anew: bool) -> Result<(Arc<Cached>, bool), FetchError> {
        let asked = Instant::now();
        let slot = self.slot(url)?;
        let mut known = slot.0.lock().await;
        if let Some(cached) = &known.cached {
            let current = cached.next_update.is_some_and(|next| clock::now() < next);
            if current && !anew {
                return Ok((Arc::clone(cached), false));
            }
        }
        // Somebody fetched while this call waited for the lock: their answer is this call's answer too.
        if let Some((when, failed)) = &known.asked
            && *when >= asked
        {
            return match (failed, &known.cached) {
                (None, Some(cached)) => Ok((Arc::clone(cached), true)),
                (failed, _) => Err(failed.clone().unwrap_or(FetchError::NotThat("CRL"))),
            };
        }
        let fetched = self.fetch(url).await;
        let outcome = match &fetched {
            Ok(_) => "fetched",
            Err(FetchError::Forbidden(_)) => "forbidden",
            Err(_) => "failed",
        };
        metrics::counter!(observe::FETCHES, "outcome" => outcome).increment(1);
        known.asked = Some((Instant::now(), fetched.as_ref().err().cloned()));
        let cached = Arc::new(fetched?);
        let new = known.cached.as_ref().is_none_or(|before| before.der != cached.der);
        known.cached = Some(Arc::clone(&cached));
        if new {
            self.news.notify_one();
        }
        Ok((cached, true))
    }

    /// Waits until a CRL comes that differs from the one before.
    pub(crate) async fn arrived(&self) {
        self.news.notified().await;
    }

    /// Every CRL that is kept, with its URL. One that is just being fetched is left out; its arrival is told.
    pub(crate) fn kept(&self) -> Vec<(String, Arc<Cached>)> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = known.iter().filter_map(|(url, slot)| {
            let cached = slot.0.try_lock().ok()?.cached.clone()?;
            Some((url.clone(), cached))
        });
        kept.collect()
    }

    /// The CRL behind a URL, asked for now.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub(crate) async fn anew(&self, url: &str) -> Result<Arc<Cached>, FetchError> {
        Ok(self.crl(url, true).await?.0)
    }

    fn slot(&self, url: &str) -> Result<Arc<Slot>, FetchError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = known.get(url) {
            return Ok(Arc::clone(slot));
        }
        if known.len() >= KNOWN_URLS {
            return Err(FetchError::Forbidden("too many distribution points".into()));
        }
        Ok(Arc::clone(known.entry(url.to_owned()).or_default()))
    }

    async fn fetch(&self, url: &str) -> Result<Cached, FetchError> {
        let uri: Uri = url
            .parse()
            .map_err(|_| FetchError::Forbidden("not an address".into()))?;
        let host = uri.host().unwrap_or_default().to_ascii_lowercase();
        if !self.trust.fetch_hosts.contains(&host) {
            return Err(FetchError::Forbidden(format!(
                "host {host} is not in trust.fetch_hosts"
            )));
        }
        let bounds = Bounds {
            time: self.trust.fetch_timeout,
            bytes: CRL,
        };
        let bytes = exchange(&uri, None, bounds, |host, address| {
            is_public(address)
                || self
                    .trust
                    .fetch_private
                    .iter()
                    .any(|target| target.permits(host, address))
        })
        .await?;
        let cached = Cached::parse(bytes.into(), clock::now()).ok_or(FetchError::NotThat("CRL"))?;
        let (folder, url, kept) = (self.folder.clone(), url.to_owned(), cached.clone());
        let saved = tokio::task::spawn_blocking(move || folder.keep(&url, &kept)).await;
        if let Ok(Err(error)) = saved {
            tracing::warn!(%error, "a CRL could not be kept on disk");
        }
        Ok(cached)
    }
}

async fn ask(
    trust: &Arc<TrustStore>,
    subject: &Arc<Subject>,
    evidence: Evidence,
    now: OffsetDateTime,
) -> (Vec<EvidenceQuery>, Evidence) {
    let (trust, subject) = (Arc::clone(trust), Arc::clone(subject));
    let asked = tokio::task::spawn_blocking(move || (trust.missing(&subject, &evidence, now), evidence)).await;
    asked.unwrap_or_default()
}

/// The name under which a URL's CRL is kept.
fn file_name(url: &str) -> String {
    format!("{}.crl", hex::encode(sha256(url.as_bytes())))
}
