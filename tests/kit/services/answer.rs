//! What the services answer to one request.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use time::Duration;

use super::{Fault, State, admin};
use crate::hpki::{Ca, RARL_PATH};
use crate::keys::Key;
use crate::ocsp::{OcspError, OcspSpec};
use crate::revocation_lists::CrlSpec;
use crate::tsa::{Ess, TokenSpec, granted, nonce_octets, read_request, rejected};

pub(super) const TSA_PATH: &str = "/tsa";

const HUGE: usize = 64 << 20;
const REQUEST_LIMIT: usize = 64 << 10;

/// Ends the connection: the client sees it closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("down on demand")]
pub(super) struct Down;

pub(super) async fn answer(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Down> {
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let method = request.method().clone();
    if path.starts_with("/admin/") {
        return Ok(admin::answer(&state, &method, &path, &query));
    }
    let body = Limited::new(request.into_body(), REQUEST_LIMIT).collect().await;
    let Ok(body) = body.map(http_body_util::Collected::to_bytes) else {
        return Ok(text(StatusCode::PAYLOAD_TOO_LARGE, "too large"));
    };
    let fault = {
        let mut changing = state.changing();
        *changing.requests.entry(path.clone()).or_default() += 1;
        changing.fault_at(&path)
    };
    match &fault {
        Some(Fault::Down) => return Err(Down),
        Some(Fault::Slow(delay)) => tokio::time::sleep(*delay).await,
        Some(Fault::Status(code)) => {
            let status = StatusCode::from_u16(*code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            return Ok(text(status, "on demand"));
        }
        Some(Fault::Redirect(to)) => {
            let mut response = text(StatusCode::FOUND, "elsewhere");
            let to = http::HeaderValue::from_str(to).expect("an address to redirect to");
            response.headers_mut().insert(LOCATION, to);
            return Ok(response);
        }
        _ => {}
    }
    let Some((kind, content)) = content(&state, &method, &path, &body, fault.as_ref()) else {
        return Ok(text(StatusCode::NOT_FOUND, "nothing here"));
    };
    let content = match fault {
        Some(Fault::Garbage) => b"this is not what you asked for".to_vec(),
        Some(Fault::Truncated(length)) => content[..length.min(content.len())].to_vec(),
        Some(Fault::Huge) => vec![0; HUGE],
        _ => content,
    };
    Ok(response(StatusCode::OK, kind, content))
}

/// Media type and bytes at `path`, made wrong where the fault is one of content.
fn content(
    state: &State,
    method: &Method,
    path: &str,
    body: &[u8],
    fault: Option<&Fault>,
) -> Option<(&'static str, Vec<u8>)> {
    if path == TSA_PATH {
        return (method == Method::POST).then(|| ("application/timestamp-reply", stamp(state, body, fault)));
    }
    if let Some((ca, encoded)) = responder_at(path) {
        let request = match *method {
            Method::POST if encoded.is_empty() => body.to_vec(),
            Method::GET if fault != Some(&Fault::Sloppy) => from_path(encoded),
            _ => return None,
        };
        return Some(("application/ocsp-response", ocsp(state, ca, &request, fault)));
    }
    if method != Method::GET {
        return None;
    }
    if let Some(name) = path.strip_prefix("/ca/") {
        return Some(("application/pkix-cert", certificate(state, name)?));
    }
    Some(("application/pkix-crl", revocation_list(state, path, fault)?))
}

fn certificate(state: &State, name: &str) -> Option<Vec<u8>> {
    Some(match name {
        "root.der" => state.hpki.ca(Ca::Root),
        "sign.der" => state.hpki.ca(Ca::Sign),
        "sign-rollover.der" => state.hpki.ca(Ca::SignRollover),
        "auth.der" => state.hpki.ca(Ca::Auth),
        "tsa-root.der" => state.hpki.ca(Ca::TsaRoot),
        "lasting-tsa-root.der" => state.hpki.ca(Ca::LastingTsaRoot),
        "tsa.der" => state.hpki.tsa(),
        _ => return None,
    })
}

fn revocation_list(state: &State, path: &str, fault: Option<&Fault>) -> Option<Vec<u8>> {
    let (now, revoked) = {
        let changing = state.changing();
        (changing.now(), changing.revoked.clone())
    };
    let this_update = match fault {
        Some(Fault::Stale) => now - Duration::days(10),
        _ => now,
    };
    let of = |wanted: Ca| CrlSpec {
        revoked: revoked
            .iter()
            .filter(|(ca, _)| *ca == wanted)
            .map(|(_, line)| line.clone())
            .collect(),
        signer: matches!(fault, Some(Fault::WrongSigner)).then_some(Key::Spare),
        ..CrlSpec::at(this_update)
    };
    if path == RARL_PATH {
        let spec = CrlSpec {
            revoked: Vec::new(),
            ..of(Ca::Root)
        };
        return Some(state.hpki.rarl(spec));
    }
    let ca = Ca::ALL.into_iter().find(|ca| ca.crl_path() == path)?;
    Some(match ca {
        Ca::Root => state.hpki.sarl(of(ca)),
        _ => state.hpki.crl(ca, of(ca)),
    })
}

/// The CA whose responder lies at `path`, and what stands behind it there.
fn responder_at(path: &str) -> Option<(Ca, &str)> {
    Ca::ALL
        .into_iter()
        .find_map(|ca| match path.strip_prefix(ca.ocsp_path())? {
            "" => Some((ca, "")),
            rest => Some((ca, rest.strip_prefix('/')?)),
        })
}

/// RFC 6960 appendix A.1: base64 of the request, URL-encoded. What is not that comes out empty, which is no request either.
fn from_path(encoded: &str) -> Vec<u8> {
    let plain = ["2F", "2f", "2B", "2b", "3D", "3d"]
        .into_iter()
        .zip(["/", "/", "+", "+", "=", "="])
        .fold(encoded.to_owned(), |text, (code, plain)| {
            text.replace(&format!("%{code}"), plain)
        });
    STANDARD.decode(plain).unwrap_or_default()
}

fn ocsp(state: &State, ca: Ca, request: &[u8], fault: Option<&Fault>) -> Vec<u8> {
    if fault == Some(&Fault::Rejected) {
        return OcspError::Unauthorized.response();
    }
    let mut spec = {
        let changing = state.changing();
        let revoked = changing.revoked.iter().filter(|(of, _)| *of == ca);
        let unknown = changing.unknown.iter().filter(|(of, _)| *of == ca);
        OcspSpec {
            revoked: revoked.map(|(_, line)| line.clone()).collect(),
            unknown: unknown.map(|(_, serial)| *serial).collect(),
            responder: changing.responder,
            ..OcspSpec::at(changing.now())
        }
    };
    match fault {
        Some(Fault::Stale) => {
            spec.this_update -= Duration::days(10);
            spec.next_update = Some(spec.this_update + Duration::days(4));
        }
        Some(Fault::WrongSigner) => spec.signer = Some(Key::Spare),
        Some(Fault::WrongNonce) => spec.wrong_nonce = true,
        Some(Fault::WrongImprint) => spec.wrong_certificate = true,
        Some(Fault::Sloppy) => {
            spec.odd.sub_seconds = true;
            spec.odd.unauthorized_if_unknown = true;
        }
        _ => {}
    }
    state.hpki.ocsp(ca, request, &spec)
}

fn stamp(state: &State, body: &[u8], fault: Option<&Fault>) -> Vec<u8> {
    let Some(mut request) = read_request(body).filter(|_| fault != Some(&Fault::Rejected)) else {
        return rejected();
    };
    let mut spec = {
        let mut changing = state.changing();
        changing.tokens += 1;
        let (certificate, key) = changing.tsa.clone().unzip();
        TokenSpec {
            certificate,
            key: key.unwrap_or(Key::Tsa),
            serial: changing.tokens,
            ess: changing.ess.unwrap_or(Ess::V2),
            with_certificate: request.cert_req,
            nonce: request.nonce.as_ref().map(nonce_octets),
            ..TokenSpec::at(changing.now())
        }
    };
    match fault {
        Some(Fault::Stale) => spec.gen_time -= Duration::days(10),
        Some(Fault::WrongSigner) => spec.key = Key::Spare,
        Some(Fault::WrongNonce) => spec.nonce = Some(vec![0x2a; 8]),
        Some(Fault::WrongImprint) => {
            let mut other = request.message_imprint.hashed_message.as_bytes().to_vec();
            other.iter_mut().for_each(|byte| *byte = !*byte);
            request.message_imprint.hashed_message = der::asn1::OctetString::new(other).expect("as long as before");
        }
        _ => {}
    }
    granted(&state.hpki.token(request.message_imprint, spec))
}

pub(super) fn text(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    response(status, "text/plain; charset=utf-8", text.as_bytes().to_vec())
}

fn response(status: StatusCode, kind: &'static str, content: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(content)));
    *response.status_mut() = status;
    let kind = http::HeaderValue::from_static(kind);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
