//! How a machine becomes a device: a one-time code and a certificate request become a 90-day certificate of the relay's own CA.
//!
//! The request proves possession of its key. The code is used up in the same commit that names the device, so that of two who
//! use it at once one is refused.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::{Extension, State};
use bytes::Bytes;
use der::{DecodePem, Encode};
use formats::digest::sha256;
use formats::trail::{Actor, Event};
use formats::wire::{DeviceId, EnrolmentAnswer, EnrolmentRequest};
use http::StatusCode;
use spki::SubjectPublicKeyInfoOwned;
use x509_cert::request::CertReq;

use crate::ca::{self, CaError};
use crate::clock;
use crate::context::Context;
use crate::peer::{Connection, Peer};
use crate::problem::{Code, Problem};
use crate::routes;
use crate::server::neighbourhood;
use crate::store::{Batch, Condition, Facility};

/// A PKCS #10 request is no longer.
const CSR: usize = 16 * 1024;

/// `POST /v1/enrolment` (portal)
pub(crate) async fn enrol(
    State(context): State<Context>,
    Extension(connection): Extension<Connection>,
    body: Bytes,
) -> Result<(StatusCode, Json<EnrolmentAnswer>), Problem> {
    let address = connection.address.ip().to_canonical();
    context.throttle.admit(neighbourhood(address))?;
    let request: EnrolmentRequest = routes::json(&body)?;
    let key = possessed_key(&request.csr)?;
    let code_sha256 = hex::encode(sha256(request.code.as_deref().unwrap_or_default().trim().as_bytes()));
    let code = context.store.code(&code_sha256).await?;
    let live = code.filter(|code| clock::parse_rfc3339(&code.expires).is_some_and(|expires| clock::now() < expires));
    let Some(code) = live else {
        context.throttle.failed(neighbourhood(address));
        return Err(Code::CodeInvalid.into());
    };
    let facility = context.store.facility(&code.facility).await?.ok_or(Code::CodeInvalid)?;
    let device = match request.device {
        Some(device) => device,
        None => nameless(&code_sha256)?,
    };
    let issued = issue(&context, &key, &facility, &device)?;
    let batch = Batch {
        actor: Actor {
            facility: Some(facility.code.clone()),
            device: Some(device.clone()),
            address: Some(address.to_string()),
            ..Actor::default()
        },
        time: clock::now(),
        events: vec![Event::DeviceEnrolled {
            facility: facility.code.clone(),
            device: device.clone(),
            code_sha256: code_sha256.clone(),
            certificate_sha256: issued.certificate_sha256.clone(),
            not_after: issued.not_after.clone(),
        }],
        conditions: vec![
            Condition::CodeUnused(facility.code.clone(), code_sha256),
            Condition::DeviceAbsent(facility.code.clone(), device.clone()),
        ],
    };
    context.store.commit(batch).committed().await?;
    tracing::info!(facility = %facility.code, %device, "device enrolled");
    Ok((StatusCode::CREATED, Json(answer(&context, facility, device, issued))))
}

/// `POST /v1/devices/renewal` (API): a new certificate for the same device, for the same key or a new one.
pub(crate) async fn renew(
    State(context): State<Context>,
    peer: Peer,
    body: Bytes,
) -> Result<(StatusCode, Json<EnrolmentAnswer>), Problem> {
    let request: EnrolmentRequest = routes::json(&body)?;
    if request.code.is_some() || request.device.as_ref().is_some_and(|device| *device != peer.device.id) {
        return Err(Problem::new(Code::BadRequest).detail(
            "更新では登録コードも別の端末名も使えません。",
            "A renewal takes neither a code nor another device name.",
        ));
    }
    let key = possessed_key(&request.csr)?;
    let device = peer.device.id.clone();
    let issued = issue(&context, &key, &peer.facility, &device)?;
    let batch = Batch {
        actor: peer.actor(),
        time: clock::now(),
        events: vec![Event::DeviceRenewed {
            facility: peer.facility.code.clone(),
            device: device.clone(),
            certificate_sha256: issued.certificate_sha256.clone(),
            not_after: issued.not_after.clone(),
        }],
        conditions: vec![peer.active()],
    };
    context.store.commit(batch).committed().await?;
    Ok((
        StatusCode::CREATED,
        Json(answer(&context, peer.facility, device, issued)),
    ))
}

/// The key of a PKCS #10 request (RFC 2986 §4) whose signature shows that the caller holds it. Names and extensions asked for
/// are not read: the relay decides what the certificate says.
fn possessed_key(csr: &str) -> Result<SubjectPublicKeyInfoOwned, Problem> {
    let refused = |reason: String| Problem::new(Code::RequestRejected).finding(reason);
    if csr.len() > CSR {
        return Err(refused(format!("longer than {CSR} bytes")));
    }
    let request = CertReq::from_pem(csr.trim()).map_err(|_| refused("not a PKCS #10 request in PEM".into()))?;
    let message = request.info.to_der().map_err(|_| refused("not DER".into()))?;
    let signature = request
        .signature
        .as_bytes()
        .ok_or_else(|| refused("the signature is not whole bytes".into()))?;
    trust_store::algorithm::verify(&request.algorithm, &request.info.public_key, &message, signature)
        .map_err(|error| refused(error.to_string()))?;
    Ok(request.info.public_key)
}

fn issue(
    context: &Context,
    key: &SubjectPublicKeyInfoOwned,
    facility: &Facility,
    device: &DeviceId,
) -> Result<Issued, Problem> {
    let internal = |error: CaError| match error {
        CaError::PublicKey => Problem::new(Code::RequestRejected).finding(error.to_string()),
        error => Problem::internal(&error),
    };
    let spki = key.to_der().map_err(|error| Problem::internal(&error))?;
    let now = clock::now();
    // A clock that is a little behind must still see a valid certificate.
    let (from, to) = (now - time::Duration::minutes(5), now + ca::DEVICE_LIFE);
    let certificate = context
        .ca
        .issue_device(&spki, &facility.code, device, from, to)
        .map_err(internal)?;
    let own = ca::certificate_pem(&certificate).map_err(internal)?;
    let authority = context.ca.certificate_pem().map_err(internal)?;
    Ok(Issued {
        certificate_sha256: hex::encode(sha256(&certificate)),
        not_after: clock::rfc3339(to),
        chain_pem: format!("{own}{authority}"),
        authority_pem: authority,
    })
}

/// A certificate as issued.
struct Issued {
    certificate_sha256: String,
    not_after: String,
    /// The certificate and its issuer.
    chain_pem: String,
    authority_pem: String,
}

fn nameless(code_sha256: &str) -> Result<DeviceId, Problem> {
    let short = code_sha256.get(..8).unwrap_or_default();
    format!("device-{short}")
        .parse()
        .map_err(|error| Problem::internal(&error))
}

fn answer(context: &Context, facility: Facility, device: DeviceId, issued: Issued) -> EnrolmentAnswer {
    EnrolmentAnswer {
        facility: facility.code,
        facility_name: facility.name,
        device,
        certificate_chain: issued.chain_pem,
        relay_ca: issued.authority_pem,
        api: context.config.api.url.clone(),
        not_after: issued.not_after,
    }
}

/// Slows down who guesses codes: so many wrong ones of one address, and of all addresses together, in a window.
pub(crate) struct Throttle {
    window: Duration,
    per_address: u32,
    all: u32,
    failures: Mutex<Failures>,
}

#[derive(Default)]
struct Failures {
    began: Option<Instant>,
    all: u32,
    by_address: HashMap<IpAddr, u32>,
}

impl Default for Throttle {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(600),
            per_address: 10,
            all: 1000,
            failures: Mutex::default(),
        }
    }
}

impl Throttle {
    fn admit(&self, address: IpAddr) -> Result<(), Problem> {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.began.is_none_or(|began| began.elapsed() > self.window) {
            *failures = Failures {
                began: Some(Instant::now()),
                ..Failures::default()
            };
        }
        let own = failures.by_address.get(&address).copied().unwrap_or(0);
        if own >= self.per_address || failures.all >= self.all {
            return Err(
                Problem::new(Code::TooManyRequests).header(http::header::RETRY_AFTER, self.window.as_secs().into())
            );
        }
        Ok(())
    }

    fn failed(&self, address: IpAddr) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.all += 1;
        *failures.by_address.entry(address).or_insert(0) += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guessing_is_slowed_down_by_address_and_in_all() {
        let throttle = Throttle {
            all: 12,
            ..Throttle::default()
        };
        let (guesser, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        for _ in 0..10 {
            assert!(throttle.admit(guesser).is_ok());
            throttle.failed(guesser);
        }
        assert_eq!(throttle.admit(guesser).unwrap_err().code(), Code::TooManyRequests);
        assert!(throttle.admit(other).is_ok());
        throttle.failed(other);
        throttle.failed(other);
        assert!(throttle.admit(IpAddr::from([192, 0, 2, 3])).is_err(), "twelve in all");
    }

    #[test]
    fn garbage_is_no_request() {
        for csr in [
            "",
            "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
        ] {
            assert_eq!(possessed_key(csr).unwrap_err().code(), Code::RequestRejected);
        }
    }
}
