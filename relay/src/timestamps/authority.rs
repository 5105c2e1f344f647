//! One time stamp authority: asked, judged, rested when it fails, remembered as it last showed itself.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use formats::timestamp::{Request, Response};
use http::Uri;
use time::OffsetDateTime;
use trust_store::{Evidence, JudgedToken, TrustStore};

use crate::clock;
use crate::evidence::breaker::{Breaker, Failing};
use crate::evidence::outbound::{Bounds, exchange};
use crate::observe;

/// Largest answer.
const REPLY: usize = 256 * 1024;

/// One authority.
pub(super) struct Authority {
    uri: Uri,
    breaker: Breaker,
    last: Mutex<Option<Good>>,
}

/// The last token that passed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Good {
    /// When it was asked for, on a clock that does not jump.
    pub(super) asked: Instant,
    /// When it came.
    pub(super) at: OffsetDateTime,
    /// genTime.
    pub(super) gen_time: OffsetDateTime,
    /// genTime less the clock here in the middle of the exchange.
    pub(super) drift: time::Duration,
}

impl Authority {
    pub(super) fn new(uri: Uri, longest_rest: Duration) -> Self {
        Self {
            uri,
            breaker: Breaker::new(longest_rest),
            last: Mutex::default(),
        }
    }

    /// Its host, which is how people know it.
    pub(super) fn host(&self) -> &str {
        self.uri.authority().map_or("?", http::uri::Authority::as_str)
    }

    pub(super) fn failing(&self) -> Option<Failing> {
        self.breaker.failing()
    }

    pub(super) fn last(&self) -> Option<Good> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A token that answers `request` and passes; `None` if it rests or has none. What went wrong is kept and logged once.
    pub(super) async fn ask(&self, request: &Request, trust: &TrustStore, bounds: Duration) -> Option<Vec<u8>> {
        self.breaker.admit(bounds * 2).ok()?;
        match self.token(request, trust, bounds).await {
            Ok((token, good)) => {
                metrics::counter!(observe::TIMESTAMPS, "outcome" => "granted").increment(1);
                metrics::gauge!(observe::TSA_GOOD, "authority" => self.host().to_owned()).set(1.0);
                metrics::gauge!(observe::TSA_DRIFT, "authority" => self.host().to_owned())
                    .set(good.drift.as_seconds_f64());
                *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(good);
                if self.breaker.good() {
                    tracing::info!(authority = self.host(), "a time stamp authority works again");
                }
                Some(token)
            }
            Err(reason) => {
                metrics::counter!(observe::TIMESTAMPS, "outcome" => "failed").increment(1);
                metrics::gauge!(observe::TSA_GOOD, "authority" => self.host().to_owned()).set(0.0);
                if self.breaker.failed(&reason) {
                    tracing::warn!(authority = self.host(), reason, "a time stamp authority gives no stamp");
                } else {
                    tracing::debug!(authority = self.host(), reason, "still no time stamp");
                }
                None
            }
        }
    }

    async fn token(
        &self,
        request: &Request,
        trust: &TrustStore,
        patience: Duration,
    ) -> Result<(Vec<u8>, Good), String> {
        let (asked, before) = (Instant::now(), clock::now());
        let sent = Some((Bytes::from(request.encode()), "application/timestamp-query"));
        let bounds = Bounds {
            time: patience,
            bytes: REPLY,
        };
        // The operator names the authorities, so that their addresses may be private.
        let reply = exchange(&self.uri, sent, bounds, |_, _| true).await;
        let reply = reply.map_err(|error| error.to_string())?;
        let token = Response::parse(&reply).map_err(|error| error.to_string())?;
        let now = clock::now();
        let judged: JudgedToken = trust
            .judge_token(&token, request, &Evidence::default(), now)
            .map_err(|refusal| refusal.to_string())?;
        let middle = before + (now - before) / 2;
        let good = Good {
            asked,
            at: now,
            gen_time: judged.gen_time,
            drift: judged.gen_time - middle,
        };
        Ok((token, good))
    }
}
