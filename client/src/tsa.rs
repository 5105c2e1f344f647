//! Time stamps over HTTP: RFC 3161 §3.4. The token is bound to the signature here; trust in its authority is the validation's.

use std::time::Duration;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use bytes::Bytes;
use formats::digest::DigestAlgorithm;
use formats::timestamp::{Request, Response, TimestampError, Token};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use crate::error::{Code, Failure};

/// Longest wait for an authority.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Largest answer taken.
const MAX_RESPONSE: usize = 1 << 20;

/// A request for a stamp over a SignatureValue, with a fresh nonce.
///
/// # Errors
/// [`Code::TimestampUnreachable`] if the system gives no random numbers.
pub fn request(signature_value: &[u8]) -> Result<Request, Failure> {
    let mut nonce = [0_u8; 16];
    SystemRandom::new()
        .fill(&mut nonce)
        .map_err(|_| Failure::new(Code::TimestampUnreachable, "no random numbers"))?;
    // A positive INTEGER of fixed length: the first bit 0, the first byte not 0.
    nonce[0] = (nonce[0] & 0x7f) | 0x40;
    Ok(Request {
        algorithm: DigestAlgorithm::Sha256,
        imprint: DigestAlgorithm::Sha256.digest(signature_value),
        nonce: Some(nonce.to_vec()),
        cert_req: true,
        policy: None,
    })
}

/// The token in an answer, if it is an answer to `request`.
///
/// # Errors
/// [`Code::TimestampRefused`] for a refusal or an unreadable answer, [`Code::TimestampMismatch`] for another's token.
pub fn token(request: &Request, response: &[u8]) -> Result<Vec<u8>, Failure> {
    let unreadable = |error: TimestampError| Failure::new(Code::TimestampRefused, error.to_string());
    let bytes = Response::parse(response).map_err(unreadable)?;
    let info = Token::parse(&bytes).map_err(unreadable)?.info;
    let mismatch = |what: &str| Err(Failure::new(Code::TimestampMismatch, what));
    if info.imprint_algorithm != Some(request.algorithm) || info.imprint != request.imprint {
        return mismatch("another imprint");
    }
    if info.nonce != request.nonce {
        return mismatch("another nonce");
    }
    Ok(bytes)
}

/// A token over a SignatureValue from the authority at `url` (`http://` only: a token proves itself, and authorities speak
/// plain HTTP; the relay's proxy is reached through `relay_api`).
///
/// # Errors
/// [`Code::TimestampUnreachable`], and as [`token`].
pub async fn stamp(url: &str, signature_value: &[u8]) -> Result<Vec<u8>, Failure> {
    let unreachable = |why: String| Failure::new(Code::TimestampUnreachable, format!("{url}: {why}"));
    let request = request(signature_value)?;
    let uri: hyper::Uri = url.parse().map_err(|_| unreachable("not a URL".to_owned()))?;
    if uri.scheme_str() != Some("http") {
        return Err(unreachable("not http://".to_owned()));
    }
    let message = hyper::Request::post(uri)
        .header(hyper::header::CONTENT_TYPE, "application/timestamp-query")
        .header(hyper::header::ACCEPT, "application/timestamp-reply")
        .body(Full::new(Bytes::from(request.encode())))
        .map_err(|error| unreachable(error.to_string()))?;
    let client = Client::builder(TokioExecutor::new()).build_http();
    let exchange = async {
        let answer = client
            .request(message)
            .await
            .map_err(|error| unreachable(cause(&error)))?;
        let status = answer.status();
        if !status.is_success() {
            return Err(unreachable(status.to_string()));
        }
        let body = Limited::new(answer.into_body(), MAX_RESPONSE).collect().await;
        body.map(http_body_util::Collected::to_bytes)
            .map_err(|error| unreachable(error.to_string()))
    };
    let bytes = tokio::time::timeout(TIMEOUT, exchange)
        .await
        .map_err(|_| unreachable(format!("no answer in {} s", TIMEOUT.as_secs())))??;
    token(&request, &bytes)
}

/// The innermost cause: "connection refused" says more than "client error".
fn cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
