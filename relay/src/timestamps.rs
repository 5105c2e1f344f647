//! The time-stamp proxy: clinics in closed networks reach an RFC 3161 authority through the relay.
//!
//! The request that goes out is made here from the imprint alone, with the relay's own nonce, and what comes back must answer
//! exactly that. The clinic's validation judges the token all the same.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::response::{IntoResponse, Response as Answer};
use bytes::Bytes;
use formats::timestamp::{Request, Response, Token};
use formats::wire::{DeviceId, FacilityCode};
use http::Uri;
use http::header::{CONTENT_TYPE, RETRY_AFTER};

use crate::context::Context;
use crate::evidence::outbound::{Bounds, exchange};
use crate::observe;
use crate::peer::Peer;
use crate::problem::{Code, Problem};

/// A request is no larger.
const REQUEST: usize = 4096;
const REPLY: Bounds = Bounds {
    seconds: 15,
    bytes: 256 * 1024,
};
const HOUR: Duration = Duration::from_secs(3600);

/// How many stamps each device has had in this hour.
#[derive(Default)]
pub(crate) struct Stamps(Mutex<Option<Hour>>);

struct Hour {
    began: Instant,
    given: HashMap<(FacilityCode, DeviceId), u32>,
}

impl Hour {
    fn begin() -> Self {
        Self {
            began: Instant::now(),
            given: HashMap::new(),
        }
    }
}

impl Stamps {
    fn admit(&self, peer: &Peer, most: u32) -> Result<(), Problem> {
        let mut hour = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let hour = hour.get_or_insert_with(Hour::begin);
        if hour.began.elapsed() > HOUR {
            *hour = Hour::begin();
        }
        let left = HOUR.saturating_sub(hour.began.elapsed()).as_secs().max(1);
        let count = hour
            .given
            .entry((peer.facility.code.clone(), peer.device.id.clone()))
            .or_insert(0);
        if *count >= most {
            return Err(Problem::new(Code::Quota).header(RETRY_AFTER, left.into()));
        }
        *count += 1;
        Ok(())
    }
}

/// `POST /v1/timestamps`
pub(crate) async fn stamp(State(context): State<Context>, peer: Peer, body: Bytes) -> Result<Answer, Problem> {
    if body.len() > REQUEST {
        return Err(Code::TooLarge.into());
    }
    let asked =
        Request::parse(&body).map_err(|error| Problem::new(Code::TimestampRejected).finding(error.to_string()))?;
    if context.config.timestamps.is_empty() {
        return Err(Code::TimestampUnavailable.into());
    }
    context
        .stamps
        .admit(&peer, context.config.limits.timestamps_per_device_per_hour)?;
    for authority in &context.config.timestamps {
        match ask(authority, &asked).await {
            Ok(token) => {
                metrics::counter!(observe::TIMESTAMPS, "outcome" => "granted").increment(1);
                let reply = Response::Granted(token).encode();
                return Ok(([(CONTENT_TYPE, "application/timestamp-reply")], reply).into_response());
            }
            Err(reason) => {
                metrics::counter!(observe::TIMESTAMPS, "outcome" => "failed").increment(1);
                tracing::warn!(authority = %authority, reason, "no time stamp");
            }
        }
    }
    Err(Code::TimestampUnavailable.into())
}

/// The token, if it answers: same imprint and the nonce sent. The client's own nonce, where it has one, is the one sent, since
/// the token is signed and the client will look for it.
async fn ask(authority: &Uri, asked: &Request) -> Result<Vec<u8>, String> {
    let nonce = asked.nonce.clone().unwrap_or_else(fresh_nonce);
    let request = Request {
        algorithm: asked.algorithm,
        imprint: asked.imprint.clone(),
        nonce: Some(nonce.clone()),
        cert_req: true,
        policy: None,
    };
    let sent = Some((Bytes::from(request.encode()), "application/timestamp-query"));
    // The operator names the authorities, so that their addresses may be private.
    let reply = exchange(authority, sent, REPLY, |_, _| true)
        .await
        .map_err(|error| error.to_string())?;
    let bytes = Response::parse(&reply).map_err(|error| error.to_string())?;
    let token = Token::parse(&bytes).map_err(|error| error.to_string())?;
    let same = token.info.imprint_algorithm == Some(asked.algorithm) && token.info.imprint == asked.imprint;
    if !same {
        return Err("the token is over another imprint".into());
    }
    if token.info.nonce.as_ref() != Some(&nonce) {
        return Err("the token carries another nonce".into());
    }
    Ok(bytes)
}

/// Content octets of a positive INTEGER of 64 bits.
fn fresh_nonce() -> Vec<u8> {
    let mut nonce = uuid::Uuid::now_v7().as_bytes()[8..].to_vec();
    // Positive, and without a leading zero octet that DER would drop.
    nonce[0] = (nonce[0] & 0x7f) | 0x40;
    nonce
}
