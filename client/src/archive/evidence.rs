//! Evidence for an archive: what was given, and what may be asked for over HTTP.
//!
//! Only what the validation names is asked for: URLs of certificates whose path to an anchor verifies. Only plain HTTP, because
//! what comes back proves itself; only hosts of the HPKI and those named by who runs this; no redirects; bounded bytes, seconds,
//! rounds.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use formats::asice::archive::Archive;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use time::OffsetDateTime;
use trust_store::{Evidence, EvidenceQuery, Subject, TrustStore};

use crate::error::Failure;
use crate::files;

/// The distribution points named in HPKI certificates.
const HPKI_HOSTS: [&str; 3] = ["cert.medis.or.jp", "crl.pki.med.or.jp", "hpki.mhlw.go.jp"];
/// Asking and fetching alternate at most so often.
const ROUNDS: usize = 6;
/// URLs asked for one file.
const URLS: usize = 32;
const PATIENCE: Duration = Duration::from_secs(20);
const MAX_ANSWER: usize = 32 << 20;

/// What could be had, and what could not.
pub(super) struct Gathered {
    pub(super) evidence: Evidence,
    pub(super) missing: Vec<String>,
}

/// Hosts that may be asked: those of the HPKI and those named.
pub(super) fn hosts(named: &[String]) -> Vec<String> {
    let named = named.iter().map(|host| host.to_ascii_lowercase());
    HPKI_HOSTS.into_iter().map(str::to_owned).chain(named).collect()
}

/// The archive files (`.archive.json`) of a folder, or the one named.
///
/// # Errors
/// The folder cannot be read. A file that is none is passed over.
pub(super) fn archives(place: &Path) -> Result<Vec<Archive>, Failure> {
    let mut paths = vec![place.to_owned()];
    if place.is_dir() {
        let entries = std::fs::read_dir(place).map_err(|error| files::unreadable(place, &error))?;
        let read: Result<Vec<_>, _> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
        paths = read.map_err(|error| files::unreadable(place, &error))?;
        paths.sort();
    }
    let mut found = Vec::new();
    for path in paths
        .iter()
        .filter(|path| path.to_string_lossy().ends_with(".archive.json"))
    {
        let bytes = files::read_small(path)?;
        let text = std::str::from_utf8(&bytes).ok();
        found.extend(text.and_then(|text| Archive::from_json(text).ok()));
    }
    Ok(found)
}

/// What a validation of `subject` still asks for, added to what was supplied.
pub(super) async fn gather(
    trust: &TrustStore,
    subject: &Subject,
    supplied: &Evidence,
    hosts: &[String],
    now: OffsetDateTime,
) -> Gathered {
    let mut evidence = supplied.clone();
    let mut tried = BTreeSet::new();
    let mut missing = Vec::new();
    for _ in 0..ROUNDS {
        let queries = trust.missing(subject, &evidence, now);
        missing = queries.iter().map(named).collect();
        let mut more = false;
        for query in &queries {
            for url in query.urls() {
                if tried.len() >= URLS || !tried.insert((url.clone(), body_of(query))) {
                    continue;
                }
                if let Some(bytes) = fetch(url, body_of(query), hosts).await {
                    add(query, bytes, &mut evidence);
                    more = true;
                    break;
                }
            }
        }
        if !more {
            break;
        }
    }
    Gathered { evidence, missing }
}

fn add(query: &EvidenceQuery, bytes: Vec<u8>, evidence: &mut Evidence) {
    match query {
        EvidenceQuery::Ocsp { .. } => evidence.ocsp.push(bytes),
        EvidenceQuery::Crl { urls, .. } | EvidenceQuery::Certificate { urls, .. } => {
            evidence.add(urls.first().map_or("", String::as_str), &bytes);
        }
        // It has no address.
        EvidenceQuery::Timestamp { .. } => {}
    }
}

/// What an OCSP responder is asked; CRLs and certificates are only fetched.
fn body_of(query: &EvidenceQuery) -> Option<Vec<u8>> {
    match query {
        EvidenceQuery::Ocsp { request, .. } => Some(request.encode(None)),
        EvidenceQuery::Crl { .. } | EvidenceQuery::Certificate { .. } | EvidenceQuery::Timestamp { .. } => None,
    }
}

fn named(query: &EvidenceQuery) -> String {
    let urls = query.urls().join(", ");
    match query {
        EvidenceQuery::Crl { issuer, subject, .. } => format!("CRL of {issuer} about {subject} ({urls})"),
        EvidenceQuery::Ocsp { subject, .. } => format!("OCSP about {subject} ({urls})"),
        EvidenceQuery::Certificate { issuer, .. } => format!("certificate of {issuer} ({urls})"),
        EvidenceQuery::Timestamp { subject, .. } => format!("time stamp over the signature of {subject}"),
    }
}

/// The answer, if the host may be asked and answers 200.
async fn fetch(url: &str, body: Option<Vec<u8>>, hosts: &[String]) -> Option<Vec<u8>> {
    let uri: hyper::Uri = url.parse().ok()?;
    let host = uri.host()?.to_ascii_lowercase();
    if uri.scheme_str() != Some("http") || !hosts.contains(&host) {
        return None;
    }
    let request = match body {
        Some(body) => hyper::Request::post(uri)
            .header(hyper::header::CONTENT_TYPE, "application/ocsp-request")
            .body(Full::new(Bytes::from(body))),
        None => hyper::Request::get(uri).body(Full::default()),
    };
    let client = Client::builder(TokioExecutor::new()).build_http();
    let exchange = async {
        let answer = client.request(request.ok()?).await.ok()?;
        if answer.status() != hyper::StatusCode::OK {
            return None;
        }
        let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await.ok()?;
        Some(body.to_bytes().to_vec())
    };
    tokio::time::timeout(PATIENCE, exchange).await.ok()?
}
