//! What bad input gets: a clear refusal with a stable code, and nothing lost.
//!
//! Every case goes to the real relay over real TLS. After each the inbox is as before, the refusal is in the trail, the log names
//! no patient, and the relay goes on.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "refusals/bombs.rs"]
mod bombs;
#[path = "refusals/containers.rs"]
mod containers;
#[path = "refusals/early.rs"]
mod early;
#[path = "refusals/signatures.rs"]
mod signatures;
#[path = "refusals/uploads.rs"]
mod uploads;

use std::process::Command;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use formats::asice::{FilePlan, manifest_for};
use formats::cades::{Profile, SignedData, with_timestamp};
use formats::digest::DigestAlgorithm;
use formats::envelope::Envelope;
use http::Request;
use kit::desk::append;
use kit::stage::SECRETS;
use kit::zip::{Entry, archive, entries};
use kit::{Card, CardSpec, ContainerOptions, CrlReason, Key, Pair, RelayOptions, Reply, Stage, TokenSpec, TsaSpec};
use time::{Duration, OffsetDateTime};

/// The most memory the relay may have had after all of this: it holds pieces, not what headers claim.
const MEMORY: u64 = 400 << 20;

const MANIFEST: &str = "META-INF/ASiCManifest001.xml";

const SIGNATURE: &str = "META-INF/signature001.p7s";

/// A doctor whose card is on the CRL since yesterday.
fn revoked() -> CardSpec {
    CardSpec {
        serial: 0x901,
        ..CardSpec::doctor()
    }
}

fn stage() -> Arc<Stage> {
    Stage::shared(|stage| {
        let card = stage.services.hpki().card(revoked());
        let yesterday = OffsetDateTime::now_utc() - Duration::days(1);
        stage.services.revoke(&card, yesterday, CrlReason::KeyCompromise);
    })
}

fn now() -> ContainerOptions {
    ContainerOptions::at(OffsetDateTime::now_utc())
}

/// Refused with `code`; afterwards the hospital has nothing, the trail has the refusal, and the relay is well.
fn refused(stage: &Stage, pair: &Pair, what: &str, container: &[u8], code: &str) -> Reply {
    let reply = pair.clinic.submit(&stage.relay, container);
    let text = String::from_utf8_lossy(&reply.body);
    assert_eq!((reply.status, reply.code().as_str()), (422, code), "{what}: {text}");
    for field in ["type", "title", "detail", "action"] {
        assert!(
            reply.json()[field].as_str().is_some_and(|said| !said.is_empty()),
            "{what}: no {field} in {text}"
        );
    }
    assert_eq!(
        pair.hospital.get(&stage.relay, "/v1/inbox").json()["items"],
        serde_json::json!([]),
        "{what}"
    );
    reply
}

/// How many refusals with this code the sender's account tells of.
fn accounted(stage: &Stage, pair: &Pair, code: &str) -> usize {
    let account = stage
        .relay
        .admin(&["trail", "export", "--facility", &pair.from, "--format", "csv"]);
    account
        .lines()
        .filter(|line| line.contains("Refused") && line.contains(code))
        .count()
}

fn well(stage: &Stage) {
    assert_eq!(stage.relay.portal("/readyz").status, 200);
    stage.relay.assert_log_keeps_quiet(&SECRETS);
    if let Some(peak) = stage.relay.peak_memory() {
        assert!(peak < MEMORY, "the relay has had {} MiB", peak >> 20);
    }
}
