//! The OCSP vectors of OpenSSL's own tests, as pyhanko-certvalidator tells their verdicts: 29 of 29.
//!
//! They are of 2012 and signed over SHA-1, which is accepted here on purpose and nowhere else. Judged are the certificates that a
//! case has a response for.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};
use trust_store::Certificate;
use trust_store::algorithm::Accepted;
use trust_store::anchors::{AnchorSet, TrustAnchor, pem_or_der};
use trust_store::path::{CertificatePool, PathInputs, build};
use trust_store::policy::Freshness;
use trust_store::revocation::ocsp::OcspResponse;
use trust_store::revocation::{CrlPool, OcspPool, RevocationSources, RevocationStatus, Times, status};

#[derive(Deserialize)]
struct Case {
    name: String,
    root: String,
    #[serde(default)]
    other_certs: Vec<String>,
    cert: String,
    ocsps: Vec<String>,
    path_len: usize,
    moment: String,
    error: Option<Value>,
}

fn corpus(test: &str) -> Option<(PathBuf, Vec<Case>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/corpora/openssl-ocsp");
    let Ok(table) = std::fs::read(folder.join("openssl-ocsp.json")) else {
        kit::skip(test, "no corpus, which tests/corpora.sh fetches");
        return None;
    };
    Some((folder, serde_json::from_slice(&table).unwrap()))
}

fn certificate(path: &Path) -> Vec<u8> {
    pem_or_der(&std::fs::read(path).unwrap(), "CERTIFICATE")
        .unwrap()
        .remove(0)
}

/// The files hold base64.
fn response(path: &Path) -> Vec<u8> {
    let text = std::fs::read_to_string(path).unwrap();
    STANDARD.decode(text.split_whitespace().collect::<String>()).unwrap()
}

#[test]
fn every_verdict_is_right() {
    let Some((folder, cases)) = corpus("every_verdict_is_right") else {
        return;
    };
    assert_eq!(cases.len(), 29);
    let mut wrong = Vec::new();
    for case in &cases {
        let at = OffsetDateTime::parse(&case.moment, &Rfc3339).unwrap();
        let anchors = AnchorSet(TrustAnchor::parse(&certificate(&folder.join(&case.root))).unwrap());
        let others: Vec<Vec<u8>> = case
            .other_certs
            .iter()
            .map(|name| certificate(&folder.join(name)))
            .collect();
        let pool = CertificatePool::from_der(&others);
        let leaf = Certificate::parse(&certificate(&folder.join(&case.cert))).unwrap();
        let inputs = PathInputs {
            accepted: Accepted::AndSha1,
            ..PathInputs::default()
        };
        let path = build(&leaf, &anchors, &pool, &inputs, at).unwrap();
        assert_eq!(path.certificates.len() + 1, case.path_len, "{}", case.name);
        let responses: Vec<Vec<u8>> = case.ocsps.iter().map(|name| response(&folder.join(name))).collect();
        let speaks_of = |certificate: &Certificate| {
            let mut answers = responses
                .iter()
                .flat_map(|der| OcspResponse::parse(der).unwrap().basic.unwrap().singles);
            answers.any(|single| single.cert_id.serial == certificate.serial)
        };
        let sources = RevocationSources {
            anchor: &path.anchor,
            certificates: &pool,
            crls: &CrlPool::default(),
            ocsp: &OcspPool::from_der(&responses),
            accepted: Accepted::AndSha1,
            policy: None,
            known_since: &|_| at,
            until: None,
        };
        let times = Times {
            judged_at: at,
            at,
            skew: Duration::minutes(5),
            freshness: Freshness::Service,
        };
        let judged = path.certificates.iter().enumerate().filter(|(_, one)| speaks_of(one));
        let judged: Vec<RevocationStatus> = judged
            .map(|(index, one)| status(one, path.issuer_of(index), &sources, &times))
            .collect();
        assert_eq!(judged.len(), case.ocsps.len(), "{}", case.name);
        let good = judged
            .iter()
            .all(|status| matches!(status, RevocationStatus::Good { .. }));
        if good != case.error.is_none() {
            wrong.push(format!("{}: {judged:?}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let reached = format!("{} of {}", cases.len() - wrong.len(), cases.len());
    kit::conformance("OCSP vectors (pyhanko-certvalidator)", "29 of 29", &reached);
}

/// The cases whose every certificate below the anchor has a response, through the program.
#[test]
fn the_program_says_the_same() {
    let Some((folder, cases)) = corpus("the_program_says_the_same") else {
        return;
    };
    let bench = tempfile::tempdir().unwrap();
    let (mut valid, mut judged) = (0, 0);
    for case in cases.iter().filter(|case| case.ocsps.len() + 1 == case.path_len) {
        let trust = bench.path().join(&case.name).join("hpki");
        std::fs::create_dir_all(&trust).unwrap();
        std::fs::copy(folder.join(&case.root), trust.join("root.pem")).unwrap();
        let mut command = Command::new(kit::bin("hikyaku"));
        command.args(["chain", "--json", "--accept-sha1", "--at", &case.moment]);
        command
            .arg(folder.join(&case.cert))
            .arg("--trust")
            .arg(trust.parent().unwrap());
        for name in &case.other_certs {
            command.arg("--intermediate").arg(folder.join(name));
        }
        for name in &case.ocsps {
            let file = bench.path().join(&case.name).join(name);
            std::fs::write(&file, response(&folder.join(name))).unwrap();
            command.arg("--ocsp").arg(file);
        }
        let output = command.output().unwrap();
        let expected = if case.error.is_none() { 0 } else { 3 };
        assert_eq!(output.status.code(), Some(expected), "{}: {output:?}", case.name);
        judged += 1;
        valid += usize::from(expected == 0);
        // Without the option SHA-1 is what stands in the way.
        command = Command::new(kit::bin("hikyaku"));
        command.args(["chain", "--json", "--at", &case.moment]);
        command
            .arg(folder.join(&case.cert))
            .arg("--trust")
            .arg(trust.parent().unwrap());
        for name in &case.other_certs {
            command.arg("--intermediate").arg(folder.join(name));
        }
        let said: Value = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
        assert_eq!(said["code"], "algorithm_not_accepted", "{said}");
    }
    assert!(judged >= 20 && valid >= 2, "{valid} of {judged}");
}
