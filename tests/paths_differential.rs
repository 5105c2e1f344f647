//! A few hundred chains, each with a leaf, a CA and lists that may be wrong: we, `openssl verify` and
//! `certval` say the same of every one.

use std::fs;
use std::path::Path;
use std::process::Command;

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280 as ids;
use kit::x509::extension;
use kit::{Ca, CardSpec, CrlReason, CrlSpec, Key, Revoked, TestHpki, pem};
use time::macros::datetime;
use time::{Duration, OffsetDateTime};
use trust_store::Certificate;
use trust_store::anchors::{AnchorSet, TrustAnchor};
use trust_store::chain::{ChainOptions, chain};
use trust_store::path::CertificatePool;
use trust_store::revocation::{CrlPool, OcspPool};

#[path = "judges/certval.rs"]
mod certval_judge;

const NOW: OffsetDateTime = datetime!(2026-11-22 03:00 UTC);
const UNKNOWN: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.3.4");

fn leaves(hpki: &TestHpki) -> Vec<(&'static str, Vec<u8>)> {
    let day = Duration::days(1);
    let doctor = CardSpec::doctor;
    let specs = [
        ("good", doctor()),
        (
            "forged",
            CardSpec {
                issuer_key: Some(Key::Spare),
                ..doctor()
            },
        ),
        (
            "expired",
            CardSpec {
                not_after: Some(NOW - day),
                ..doctor()
            },
        ),
        (
            "without policy",
            CardSpec {
                policies: Vec::new(),
                ..doctor()
            },
        ),
        (
            "unknown critical",
            CardSpec {
                extra_extensions: vec![extension(UNKNOWN, true, &[5, 0])],
                ..doctor()
            },
        ),
        (
            "unknown not critical",
            CardSpec {
                extra_extensions: vec![extension(UNKNOWN, false, &[5, 0])],
                ..doctor()
            },
        ),
    ];
    specs.map(|(name, spec)| (name, hpki.card(spec).certificate)).into()
}

/// A NameConstraints with one directory name, the country alone; `tag`: 0xa0 permitted, 0xa1 excluded.
fn constraints(tag: u8, country: [u8; 2]) -> Vec<u8> {
    let name = [&[0x30, 13, 0x31, 11, 0x30, 9, 6, 3, 0x55, 4, 6, 0x13, 2][..], &country].concat();
    [&[0x30, 21, tag, 19, 0x30, 17, 0xa4, 15][..], &name].concat()
}

fn authorities(hpki: &TestHpki) -> Vec<(&'static str, Vec<u8>)> {
    let with = |oid: ObjectIdentifier, value: &[u8]| {
        hpki.ca_with(Ca::Sign, |extensions| {
            extensions.retain(|one| one.extn_id != oid);
            extensions.push(extension(oid, true, value));
        })
    };
    vec![
        ("good", hpki.ca(Ca::Sign)),
        (
            "pathLen 0",
            with(ids::ID_CE_BASIC_CONSTRAINTS, &[0x30, 6, 1, 1, 0xff, 2, 1, 0]),
        ),
        ("no CA", with(ids::ID_CE_BASIC_CONSTRAINTS, &[0x30, 0])),
        ("may not sign certificates", with(ids::ID_CE_KEY_USAGE, &[3, 2, 1, 2])),
        ("may not sign lists", with(ids::ID_CE_KEY_USAGE, &[3, 2, 2, 4])),
        (
            "permits Japan",
            with(ids::ID_CE_NAME_CONSTRAINTS, &constraints(0xa0, *b"JP")),
        ),
        (
            "permits elsewhere",
            with(ids::ID_CE_NAME_CONSTRAINTS, &constraints(0xa0, *b"US")),
        ),
        (
            "excludes Japan",
            with(ids::ID_CE_NAME_CONSTRAINTS, &constraints(0xa1, *b"JP")),
        ),
        (
            "wants a policy",
            with(ids::ID_CE_POLICY_CONSTRAINTS, &[0x30, 3, 0x80, 1, 0]),
        ),
        ("unknown critical", with(UNKNOWN, &[5, 0])),
        ("of another key", hpki.ca(Ca::SignRollover)),
    ]
}

fn lists(hpki: &TestHpki) -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let at = NOW - Duration::hours(1);
    let of = |spec: CrlSpec| vec![hpki.crl(Ca::Sign, spec), hpki.sarl(CrlSpec::at(at))];
    let revoked = |spec: CrlSpec, serial| spec.revoking(serial, NOW - Duration::days(2), CrlReason::KeyCompromise);
    let line = Revoked::new(Ca::Sign.serial(), NOW - Duration::days(2), CrlReason::CaCompromise);
    let authority = CrlSpec {
        revoked: vec![line],
        ..CrlSpec::at(at)
    };
    vec![
        ("good", of(CrlSpec::at(at))),
        ("missing", Vec::new()),
        ("of the root alone", vec![hpki.sarl(CrlSpec::at(at))]),
        (
            "revokes the leaf",
            of(revoked(CrlSpec::at(at), CardSpec::doctor().serial)),
        ),
        ("revokes another", of(revoked(CrlSpec::at(at), 99))),
        (
            "revokes the CA",
            vec![hpki.crl(Ca::Sign, CrlSpec::at(at)), hpki.sarl(authority)],
        ),
        ("stale", of(CrlSpec::at(NOW - Duration::days(30)))),
        ("of the future", of(CrlSpec::at(NOW + Duration::days(1)))),
        (
            "forged",
            of(CrlSpec {
                signer: Some(Key::Spare),
                ..CrlSpec::at(at)
            }),
        ),
    ]
}

fn openssl(folder: &Path, leaf: &[u8], authority: &[u8], crls: &[Vec<u8>], root: &[u8]) -> Result<(), String> {
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let crls: String = crls.iter().map(|list| pem("X509 CRL", list)).collect();
    let mut command = Command::new("openssl");
    command.args([
        "verify",
        "-no-CApath",
        "-no-CAstore",
        "-crl_check_all",
        "-extended_crl",
        "-policy_check",
        "-policy",
        "2.5.29.32.0",
    ]);
    command.args(["-attime", &NOW.unix_timestamp().to_string()]);
    command
        .arg("-CAfile")
        .arg(write("trust.pem", pem("CERTIFICATE", root) + &crls));
    command
        .arg("-untrusted")
        .arg(write("ca.pem", pem("CERTIFICATE", authority)));
    command.arg(write("leaf.pem", pem("CERTIFICATE", leaf)));
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(said) }
}

#[test]
fn the_judges_say_the_same_of_every_chain() {
    let hpki = TestHpki::new("http://crl.example", NOW);
    let root = hpki.ca(Ca::Root);
    let anchors = AnchorSet(TrustAnchor::parse(&root).unwrap());
    // OpenSSL asks for the root's list about itself too; we do not check anchors.
    let rarl = hpki.rarl(CrlSpec::at(NOW - Duration::hours(1)));
    let folder = tempfile::tempdir().unwrap();
    let (mut valid, mut judged, mut wrong) = (0, 0, Vec::new());
    for (ca_name, authority) in authorities(&hpki) {
        let pool = CertificatePool::from_der(std::slice::from_ref(&authority));
        for (list_name, crls) in lists(&hpki) {
            let read = CrlPool::from_der(&crls);
            for (leaf_name, leaf) in leaves(&hpki) {
                let certificate = Certificate::parse(&leaf).unwrap();
                let ours = chain(
                    &certificate,
                    &anchors,
                    &pool,
                    &read,
                    &OcspPool::default(),
                    NOW,
                    &ChainOptions::default(),
                );
                let theirs = openssl(
                    folder.path(),
                    &leaf,
                    &authority,
                    &[crls.clone(), vec![rarl.clone()]].concat(),
                    &root,
                );
                let second = certval_judge::judge(&leaf, &[&authority], &crls, &root, NOW, &ChainOptions::default());
                judged += 1;
                valid += usize::from(ours.valid);
                if ours.valid != theirs.is_ok() {
                    let reason = &ours.reason;
                    wrong.push(format!(
                        "leaf {leaf_name}, CA {ca_name}, lists {list_name}: ours {} ({reason}), OpenSSL {theirs:?}",
                        ours.valid
                    ));
                }
                if ours.valid != second.is_ok() {
                    let reason = &ours.reason;
                    wrong.push(format!(
                        "leaf {leaf_name}, CA {ca_name}, lists {list_name}: ours {} ({reason}), certval {second:?}",
                        ours.valid
                    ));
                }
            }
        }
    }
    assert!(judged > 500 && valid > 20, "{valid} of {judged}");
    assert!(wrong.is_empty(), "{} of {judged}:\n{}", wrong.len(), wrong.join("\n"));
}
