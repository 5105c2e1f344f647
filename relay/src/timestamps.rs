//! Time stamps: `POST /v1/timestamps`, where clinics in closed networks reach an RFC 3161 authority, and the relay's own.
//!
//! The request that goes out is made here from the imprint alone. The authorities are asked in the operator's order until one
//! gives a token that verifies; one that fails rests for a while. The clinic's validation judges the token all the same.

mod authority;
mod quota;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::response::{IntoResponse, Response as Answer};
use bytes::Bytes;
use formats::digest::DigestAlgorithm;
use formats::timestamp::{Request, Response};
use http::header::CONTENT_TYPE;
use serde::Serialize;

use crate::clock;
use crate::config::Config;
use crate::context::Context;
use crate::evidence::news::News;
use crate::evidence::{Fetcher, TIMESTAMP};
use crate::expiry::Ending;
use crate::peer::Peer;
use crate::problem::{Code, Problem};
use crate::store::ClockGuard;
use crate::trust::CurrentTrust;
use authority::{Asked, Authority};
use quota::Quota;

/// A request is no larger.
const REQUEST: usize = 4096;
/// An authority that was not needed for so long is asked for a token all the same: only a token shows that it gives tokens.
const IDLE: Duration = Duration::from_secs(600);
/// A rest this short is waited for while a doctor does: one slip of an only authority is no error at the desk.
const SHORT: Duration = Duration::from_secs(2);

/// An authority whose clock differs from the one here is asked again after so long.
const DIFFERING: Duration = Duration::from_secs(5);

/// The authorities, and how many stamps each device has had.
pub(crate) struct Stamps {
    authorities: Vec<Authority>,
    trust: Arc<CurrentTrust>,
    fetcher: Arc<Fetcher>,
    news: Arc<News>,
    patience: Duration,
    drift: Duration,
    guard: Arc<ClockGuard>,
    quota: Quota,
}

/// No authority gave a token that verifies.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no time stamp: {0}")]
pub(crate) struct NoStamp(String);

/// How an authority last showed itself, by a real request.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct AuthorityHealth {
    /// Host and port.
    pub(crate) authority: String,
    /// Whether the last request brought a token that verifies; `None` before the first.
    pub(crate) good: Option<bool>,
    /// When the last good token came, RFC 3339.
    pub(crate) last_good: Option<String>,
    /// Its genTime.
    pub(crate) gen_time: Option<String>,
    /// genTime less the clock here, seconds.
    pub(crate) drift_seconds: Option<f64>,
    /// Since when it fails.
    pub(crate) failing_since: Option<String>,
    /// Why.
    pub(crate) reason: Option<String>,
}

impl Stamps {
    /// Nothing is asked yet.
    pub(crate) fn new(
        config: &Config,
        trust: Arc<CurrentTrust>,
        fetcher: Arc<Fetcher>,
        news: Arc<News>,
        guard: Arc<ClockGuard>,
    ) -> Self {
        let authority = |uri: &http::Uri| Authority::new(uri.clone(), config.limits.longest_rest());
        Self {
            authorities: config.timestamps.iter().map(authority).collect(),
            trust,
            fetcher,
            news,
            patience: config.trust.fetch_timeout,
            drift: config.limits.clock_drift,
            guard,
            quota: Quota::default(),
        }
    }

    /// A verified token over a digest: what the relay adds itself. Its bytes are the TimeStampToken, DER.
    ///
    /// # Errors
    /// [`NoStamp`] if no authority gives one that verifies.
    pub(crate) async fn token(&self, algorithm: DigestAlgorithm, digest: &[u8]) -> Result<Vec<u8>, NoStamp> {
        let request = Request {
            algorithm,
            imprint: digest.to_vec(),
            nonce: Some(fresh_nonce()),
            cert_req: true,
            policy: None,
        };
        self.answer(&request, Duration::ZERO).await
    }

    /// The first token that answers `request` and verifies, of the authorities in their order. If all rest, the end of a rest is
    /// waited for, `longest` at most.
    async fn answer(&self, request: &Request, longest: Duration) -> Result<Vec<u8>, NoStamp> {
        let began = Instant::now();
        loop {
            let mut asked = false;
            for authority in &self.authorities {
                match self.ask(authority, request).await {
                    Asked::Token(token) => return Ok(token),
                    Asked::Failed => asked = true,
                    Asked::Resting => {}
                }
            }
            if asked || self.authorities.is_empty() || began.elapsed() >= longest {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let reasons = self.authorities.iter().filter_map(|authority| {
            let failing = authority.failing()?;
            Some(format!("{}: {}", authority.host(), failing.reason))
        });
        let reasons: Vec<String> = reasons.collect();
        Err(NoStamp(if reasons.is_empty() {
            "no authority is configured".to_owned()
        } else {
            reasons.join("; ")
        }))
    }

    async fn ask(&self, authority: &Authority, request: &Request) -> Asked {
        let failed = authority.failing().is_some();
        let before = authority.told().map(|told| told.asked);
        let asked = {
            let trust = self.trust.current();
            authority.ask(request, &trust, &self.fetcher, self.patience).await
        };
        if let Some(told) = authority.told().filter(|told| before != Some(told.asked)) {
            if told.apart.unsigned_abs() <= self.drift {
                self.guard.told(None);
            } else if told.apart.is_negative() && self.guard.doubt().is_none() {
                self.guard.told(self.drift_beyond(self.drift));
            }
        }
        if failed && matches!(asked, Asked::Token(_)) {
            self.news.tell(TIMESTAMP);
        }
        asked
    }

    /// Every authority in the order they are asked.
    pub(crate) fn health(&self) -> Vec<AuthorityHealth> {
        let health = |authority: &Authority| {
            let (failing, last) = (authority.failing(), authority.last());
            AuthorityHealth {
                authority: authority.host().to_owned(),
                good: failing.as_ref().map(|_| false).or(last.map(|_| true)),
                last_good: last.map(|good| clock::rfc3339(good.at)),
                gen_time: last.map(|good| clock::rfc3339(good.gen_time)),
                drift_seconds: last.map(|good| good.drift.as_seconds_f64()),
                failing_since: failing.as_ref().map(|failing| clock::rfc3339(failing.since)),
                reason: failing.map(|failing| failing.reason),
            }
        };
        self.authorities.iter().map(health).collect()
    }

    /// Asks every authority for a token now.
    pub(crate) async fn try_all(&self) {
        for authority in &self.authorities {
            self.ask(authority, &probe()).await;
        }
    }

    /// Whether an authority has told a time since the start.
    pub(crate) fn has_told(&self) -> bool {
        self.authorities.iter().any(|authority| authority.told().is_some())
    }

    /// In words with both times, if the clock here differs by more than `limit` from that of every authority that has told a
    /// time: one that differs alone is itself wrong.
    pub(crate) fn drift_beyond(&self, limit: Duration) -> Option<String> {
        let told = self
            .authorities
            .iter()
            .filter_map(|one| Some((one.host(), one.told()?)));
        let (host, nearest) = told.min_by_key(|(_, told)| told.apart.abs())?;
        (nearest.apart.unsigned_abs() > limit).then(|| {
            format!(
                "the clock here said {} when {host} said {}: {:.0} s apart, {} s are allowed",
                clock::rfc3339(nearest.at),
                clock::rfc3339(nearest.gen_time),
                nearest.apart.abs().as_seconds_f64(),
                limit.as_secs()
            )
        })
    }

    /// Waits until one of them has told a time, `longest` at most; at once where there are none.
    pub(crate) async fn heard(&self, longest: Duration) {
        let began = Instant::now();
        while !self.authorities.is_empty()
            && began.elapsed() < longest
            && self.authorities.iter().all(|one| one.told().is_none())
        {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Certificates of the authorities as seen in their tokens, and when they end.
    pub(crate) fn endings(&self) -> Vec<Ending> {
        self.authorities.iter().filter_map(Authority::ending).collect()
    }

    /// Asks every authority that was not needed for a while for a token, and those that fail until they work again, until the
    /// task is dropped.
    pub(crate) async fn watch(&self) {
        loop {
            for authority in &self.authorities {
                let idle = authority.last().is_none_or(|good| good.asked.elapsed() > IDLE);
                // A clock that differs is watched until it does not any more.
                let doubted = self.guard.doubt().is_some();
                let differs = authority.told().is_some_and(|told| {
                    (doubted || told.apart.unsigned_abs() > self.drift) && told.asked.elapsed() > DIFFERING
                });
                if idle || differs || authority.failing().is_some() {
                    let request = probe();
                    self.ask(authority, &request).await;
                }
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}

/// `POST /v1/timestamps`
pub(crate) async fn stamp(State(context): State<Context>, peer: Peer, body: Bytes) -> Result<Answer, Problem> {
    if body.len() > REQUEST {
        return Err(Code::TooLarge.into());
    }
    let asked =
        Request::parse(&body).map_err(|error| Problem::new(Code::TimestampRejected).finding(error.to_string()))?;
    let stamps = &context.stamps;
    if stamps.authorities.is_empty() {
        return Err(Code::TimestampUnavailable.into());
    }
    let most = context.config.limits.timestamps_per_device_per_hour;
    stamps.quota.admit(&peer, most)?;
    // The client's own nonce, where it has one, is the one sent, since the token is signed and the client will look for it.
    let request = Request {
        algorithm: asked.algorithm,
        imprint: asked.imprint,
        nonce: Some(asked.nonce.unwrap_or_else(fresh_nonce)),
        cert_req: true,
        policy: None,
    };
    let token = stamps.answer(&request, SHORT).await.map_err(|error| {
        tracing::debug!(%error, "a device gets no time stamp");
        Problem::from(Code::TimestampUnavailable)
    })?;
    let reply = Response::Granted(token).encode();
    Ok(([(CONTENT_TYPE, "application/timestamp-reply")], reply).into_response())
}

/// A request over nothing in particular.
fn probe() -> Request {
    Request {
        algorithm: DigestAlgorithm::Sha256,
        imprint: DigestAlgorithm::Sha256.digest(uuid::Uuid::now_v7().as_bytes()),
        nonce: Some(fresh_nonce()),
        cert_req: true,
        policy: None,
    }
}

/// Content octets of a positive INTEGER of 64 bits.
fn fresh_nonce() -> Vec<u8> {
    let mut nonce = uuid::Uuid::now_v7().as_bytes()[8..].to_vec();
    // Positive, and without a leading zero octet that DER would drop.
    nonce[0] = (nonce[0] & 0x7f) | 0x40;
    nonce
}
