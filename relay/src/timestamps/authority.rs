//! One time stamp authority: asked, judged, rested when it fails, remembered as it last showed itself.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use formats::timestamp::{Request, Response, Token};
use http::Uri;
use time::OffsetDateTime;
use trust_store::{Certificate, Evidence, JudgedToken, TrustStore};

use crate::clock;
use crate::evidence::Fetcher;
use crate::evidence::breaker::{Breaker, Failing};
use crate::evidence::outbound::{Bounds, exchange};
use crate::expiry::Ending;
use crate::observe;

/// Largest answer.
const REPLY: usize = 256 * 1024;

/// One authority.
pub(super) struct Authority {
    uri: Uri,
    breaker: Breaker,
    last: Mutex<Option<Good>>,
    told: Mutex<Option<Told>>,
    ending: Mutex<Option<Ending>>,
}

/// The time of the last token that answered, whether it passed or not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told {
    /// When it was asked for, on a clock that does not jump.
    pub(super) asked: Instant,
    /// When it came.
    pub(super) at: OffsetDateTime,
    /// genTime.
    pub(super) gen_time: OffsetDateTime,
    /// By how much genTime lies outside the exchange: positive if the clock here is behind.
    pub(super) apart: time::Duration,
}

/// What asking came to.
pub(super) enum Asked {
    /// A token that passes, DER.
    Token(Vec<u8>),
    Failed,
    /// It failed lately and was not asked.
    Resting,
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
            told: Mutex::default(),
            ending: Mutex::default(),
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

    pub(super) fn told(&self) -> Option<Told> {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When its certificate ends, as its last token shows.
    pub(super) fn ending(&self) -> Option<Ending> {
        self.ending.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps what a token tells beside its verdict: the time, and the end of the authority's certificate.
    fn listen(
        &self,
        bytes: &[u8],
        request: &Request,
        trust: &TrustStore,
        asked: Instant,
        (before, now): (OffsetDateTime, OffsetDateTime),
    ) {
        let Ok(token) = Token::parse(bytes) else { return };
        if token.info.nonce != request.nonce {
            return;
        }
        let gen_time = token.info.gen_time;
        // The nonce goes out in clear: anybody on the way could tell a time. Judged at its own, since who signed it does not depend on
        // the clock here, of which it is to tell.
        if trust
            .judge_token(bytes, request, &Evidence::default(), gen_time)
            .is_err()
        {
            return;
        }
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = Some(Told {
            asked,
            at: now,
            gen_time,
            apart: apart(gen_time, before, now),
        });
        let certificates = token.signed_data.certificates.iter();
        let mut own = certificates.filter_map(|der| Certificate::parse(der).ok().filter(|one| !one.is_ca()));
        if let Some(certificate) = own.next() {
            let ending = Ending::of("tsa-certificate", &certificate);
            *self.ending.lock().unwrap_or_else(PoisonError::into_inner) = Some(ending);
        }
    }

    /// A token that answers `request` and passes. What went wrong is kept, and logged once.
    pub(super) async fn ask(
        &self,
        request: &Request,
        trust: &TrustStore,
        fetcher: &Fetcher,
        patience: Duration,
    ) -> Asked {
        if self.breaker.admit(patience * 2).is_err() {
            return Asked::Resting;
        }
        match self.token(request, trust, fetcher, patience).await {
            Ok((token, good)) => {
                metrics::counter!(observe::TIMESTAMPS, "outcome" => "granted").increment(1);
                metrics::gauge!(observe::TSA_GOOD, "authority" => self.host().to_owned()).set(1.0);
                metrics::gauge!(observe::TSA_DRIFT, "authority" => self.host().to_owned())
                    .set(good.drift.as_seconds_f64());
                *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(good);
                if self.breaker.good() {
                    tracing::info!(authority = self.host(), "a time stamp authority works again");
                }
                Asked::Token(token)
            }
            Err(reason) => {
                metrics::counter!(observe::TIMESTAMPS, "outcome" => "failed").increment(1);
                metrics::gauge!(observe::TSA_GOOD, "authority" => self.host().to_owned()).set(0.0);
                if self.breaker.failed(&reason) {
                    tracing::warn!(authority = self.host(), reason, "a time stamp authority gives no stamp");
                } else {
                    tracing::debug!(authority = self.host(), reason, "still no time stamp");
                }
                Asked::Failed
            }
        }
    }

    async fn token(
        &self,
        request: &Request,
        trust: &TrustStore,
        fetcher: &Fetcher,
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
        self.listen(&token, request, trust, asked, (before, now));
        let judge = |evidence: &Evidence| {
            let judged = trust.judge_token(&token, request, evidence, now);
            judged.map_err(|refusal| refusal.to_string())
        };
        let mut judged: JudgedToken = judge(&Evidence::default())?;
        if !judged.queries.is_empty() {
            // What is at hand may show that its authority is revoked.
            judged = judge(&fetcher.at_hand(&judged.queries))?;
        }
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

/// How far `gen_time` lies outside an exchange. It may be a whole second, cut off: the authority's clock was less than a second
/// further.
fn apart(gen_time: OffsetDateTime, before: OffsetDateTime, after: OffsetDateTime) -> time::Duration {
    let latest = gen_time.saturating_add(time::Duration::SECOND);
    if gen_time > after {
        gen_time - after
    } else if latest < before {
        latest - before
    } else {
        time::Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_within_the_exchange_is_no_drift() {
        let at = |seconds: i64| OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(1_000_000 + seconds);
        let (before, after) = (at(10), at(12));
        for inside in [9, 10, 11, 12] {
            assert_eq!(apart(at(inside), before, after), time::Duration::ZERO, "{inside}");
        }
        assert_eq!(apart(at(72), before, after), time::Duration::seconds(60));
        assert_eq!(apart(at(-51), before, after), time::Duration::seconds(-60));
    }
}
