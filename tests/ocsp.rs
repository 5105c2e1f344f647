//! OCSP over the test HPKI: what counts, what says nothing and why, what revokes; the cases of gematik's test suite among them.
//! OpenSSL reads our questions, and we judge its answers.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

#[path = "ocsp/asked.rs"]
mod asked;
#[path = "ocsp/bounds.rs"]
mod bounds;

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5912;
use formats::digest::sha256;
use kit::ocsp::{Delegate, OCSP_RESPONDER_SERIAL, Oddities, ocsp_request};
use kit::x509::extension;
use kit::{Ca, CardSpec, CrlReason, CrlSpec, Fault, Key, OcspSpec, Responder, Revoked, Services, TestHpki};
use time::macros::datetime;
use time::{Duration, OffsetDateTime};
use trust_store::anchors::{AnchorSet, TrustAnchor};
use trust_store::chain::{ChainOptions, ChainVerdict, chain};
use trust_store::path::CertificatePool;
use trust_store::revocation::ocsp::NotAnswered;
use trust_store::revocation::{CrlPool, OcspPool, OcspRequest, issuer_urls, ocsp_urls};
use trust_store::{Certificate, certificate};

const NOW: OffsetDateTime = datetime!(2026-11-22 03:00 UTC);
const UNKNOWN: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.3.4");
const CERT_HASH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.36.8.3.13");

fn hpki() -> TestHpki {
    TestHpki::new("http://127.0.0.1:1", NOW)
}

/// A card that names a responder and no CRL.
fn card() -> Vec<u8> {
    let spec = CardSpec {
        with_crldp: false,
        with_ocsp: true,
        ..CardSpec::doctor()
    };
    hpki().card(spec).certificate
}

fn request() -> Vec<u8> {
    ocsp_request(Ca::Sign, CardSpec::doctor().serial)
}

fn answer(spec: &OcspSpec) -> Vec<u8> {
    hpki().ocsp(Ca::Sign, &request(), spec)
}

/// The card's verdict: its CA by list, itself by these.
fn judged(responses: &[Vec<u8>], lists: &[Vec<u8>]) -> ChainVerdict {
    let mut crls = vec![hpki().sarl(CrlSpec::at(NOW - Duration::hours(1)))];
    crls.extend_from_slice(lists);
    let pool = CertificatePool::from_der(&[hpki().ca(Ca::Sign), hpki().ca(Ca::SignRollover), hpki().ca(Ca::Auth)]);
    chain(
        &Certificate::parse(&card()).unwrap(),
        &AnchorSet(TrustAnchor::parse(&hpki().ca(Ca::Root)).unwrap()),
        &pool,
        &CrlPool::from_der(&crls),
        &OcspPool::from_der(responses),
        NOW,
        &ChainOptions::default(),
    )
}

#[derive(Clone, Copy)]
enum Expected {
    Good,
    Revoked,
    /// Says nothing, with this in the reason.
    Silent(&'static str),
}
use Expected::{Good, Silent};

fn check(name: &str, verdict: &ChainVerdict, expected: Expected) {
    let reason = &verdict.reason;
    match expected {
        Good => assert!(verdict.valid, "{name}: {reason}"),
        Expected::Revoked => {
            assert!(
                !verdict.valid && !verdict.indeterminate && reason.contains("revoked"),
                "{name}: {reason}"
            );
        }
        Silent(words) => {
            assert!(verdict.indeterminate && reason.contains(words), "{name}: {reason}");
        }
    }
}

fn at(minutes: i64) -> OffsetDateTime {
    NOW + Duration::minutes(minutes)
}

fn odd(odd: Oddities) -> OcspSpec {
    OcspSpec {
        odd,
        ..OcspSpec::at(at(-60))
    }
}

fn delegate(delegate: Delegate) -> OcspSpec {
    odd(Oddities {
        delegate,
        ..Oddities::default()
    })
}

fn cert_hash(hash: &[u8]) -> x509_cert::ext::Extension {
    let sha_256 = [0x30, 0x0b, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1];
    let value = [&[0x30, 47][..], &sha_256, &[4, 32], hash].concat();
    extension(CERT_HASH, false, &value)
}

#[test]
fn a_single_response_counts_or_says_why_not() {
    let fresh = || OcspSpec::at(at(-60));
    let line = |reason| Revoked::new(CardSpec::doctor().serial, at(-120), reason);
    let revoking = |reason| OcspSpec {
        revoked: vec![line(reason)],
        ..fresh()
    };
    let produced = |minutes| {
        odd(Oddities {
            produced_at: Some(at(minutes)),
            ..Oddities::default()
        })
    };
    let cases: Vec<(&str, OcspSpec, Expected)> = vec![
        ("delegated", fresh(), Good),
        (
            "by the CA itself",
            OcspSpec {
                responder: Responder::Ca,
                ..fresh()
            },
            Good,
        ),
        (
            "by another key of the CA",
            OcspSpec {
                responder: Responder::Ca,
                signer: Some(Key::SignCaRollover),
                ..fresh()
            },
            Good,
        ),
        (
            "invalid signature",
            OcspSpec {
                signer: Some(Key::Spare),
                ..fresh()
            },
            Silent("not signed by the key of"),
        ),
        (
            "nextUpdate past",
            OcspSpec {
                next_update: Some(at(-1)),
                ..fresh()
            },
            Silent("no longer current"),
        ),
        (
            "missing nextUpdate, just now",
            OcspSpec {
                next_update: None,
                ..OcspSpec::at(at(-4))
            },
            Good,
        ),
        (
            "missing nextUpdate, some time ago",
            OcspSpec {
                next_update: None,
                ..OcspSpec::at(at(-6))
            },
            Silent("no longer current"),
        ),
        (
            "nextUpdate before thisUpdate",
            OcspSpec {
                next_update: Some(at(-61)),
                ..fresh()
            },
            Silent("ends before it begins"),
        ),
        ("thisUpdate future, within tolerance", OcspSpec::at(at(4)), Good),
        (
            "thisUpdate future",
            OcspSpec::at(at(6)),
            Silent("later than now, 2026-11-22T03:00:00Z"),
        ),
        ("producedAt future, within tolerance", produced(4), Good),
        (
            "producedAt future",
            produced(6),
            Silent("produced at 2026-11-22T03:06:00Z, later than now"),
        ),
        ("producedAt past", produced(-120), Silent("before what it says")),
        ("revoked", revoking(CrlReason::KeyCompromise), Expected::Revoked),
        ("on hold", revoking(CrlReason::CertificateHold), Expected::Revoked),
        (
            "removeFromCRL is no word of a responder",
            revoking(CrlReason::RemoveFromCRL),
            Expected::Revoked,
        ),
        (
            "unknown",
            OcspSpec {
                unknown: vec![CardSpec::doctor().serial],
                ..fresh()
            },
            Silent("does not know the certificate"),
        ),
        (
            "certID: other serial number",
            OcspSpec {
                wrong_certificate: true,
                ..fresh()
            },
            Silent("no OCSP response covers"),
        ),
        (
            "certID: other name",
            odd(Oddities {
                wrong_name_hash: true,
                ..Oddities::default()
            }),
            Silent("about another certificate"),
        ),
        (
            "certID: other key",
            odd(Oddities {
                wrong_key_hash: true,
                ..Oddities::default()
            }),
            Silent("about another certificate"),
        ),
        (
            "other responderID",
            odd(Oddities {
                wrong_responder: true,
                ..Oddities::default()
            }),
            Silent("no certificate at hand is that of"),
        ),
        (
            "missing signer",
            odd(Oddities {
                certificate_left_out: true,
                ..Oddities::default()
            }),
            Silent("no certificate at hand is that of"),
        ),
        (
            "CertHash",
            odd(Oddities {
                single_extensions: vec![cert_hash(&sha256(&card()))],
                ..Oddities::default()
            }),
            Good,
        ),
        (
            "invalid CertHash",
            odd(Oddities {
                single_extensions: vec![cert_hash(&[0; 32])],
                ..Oddities::default()
            }),
            Silent("about another certificate"),
        ),
        (
            "critical extension of a single response",
            odd(Oddities {
                single_extensions: vec![extension(UNKNOWN, true, &[5, 0])],
                ..Oddities::default()
            }),
            Silent("critical extension 1.2.3.4"),
        ),
        (
            "critical extension of the response",
            odd(Oddities {
                response_extensions: vec![extension(UNKNOWN, true, &[5, 0])],
                ..Oddities::default()
            }),
            Silent("critical extension 1.2.3.4"),
        ),
        (
            "unknown extension that is not critical",
            odd(Oddities {
                response_extensions: vec![extension(UNKNOWN, false, &[5, 0])],
                ..Oddities::default()
            }),
            Good,
        ),
        (
            "fractions of a second",
            odd(Oddities {
                sub_seconds: true,
                ..Oddities::default()
            }),
            Good,
        ),
        (
            "responder of another CA",
            delegate(Delegate {
                issuer: Some(Ca::Auth),
                ..Delegate::default()
            }),
            Silent("not issued by the CA in question"),
        ),
        (
            "responder of another key of the CA",
            delegate(Delegate {
                issuer_key: Some(Key::SignCaRollover),
                ..Delegate::default()
            }),
            Silent("not issued by the key of the CA in question"),
        ),
        (
            "responder not for OCSP",
            delegate(Delegate {
                not_for_ocsp: true,
                ..Delegate::default()
            }),
            Silent("not for OCSP signing"),
        ),
        (
            "responder ended before the answer",
            delegate(Delegate {
                not_after: Some(at(-70)),
                ..Delegate::default()
            }),
            Silent("not valid at"),
        ),
        (
            "responder ended after the answer, and nothing proves when it was made",
            delegate(Delegate {
                not_after: Some(at(-10)),
                ..Delegate::default()
            }),
            Silent("vouches for nothing after"),
        ),
        (
            "responder to be checked, and nothing at hand",
            delegate(Delegate {
                to_be_checked: true,
                ..Delegate::default()
            }),
            Silent("its own status is unknown"),
        ),
    ];
    for (name, spec, expected) in &cases {
        check(name, &judged(&[answer(spec)], &[]), *expected);
    }
}

#[test]
fn a_responder_to_be_checked_is_checked_and_never_by_itself() {
    let spec = delegate(Delegate {
        to_be_checked: true,
        ..Delegate::default()
    });
    let list = |revoked: &[u64]| {
        let spec = CrlSpec::at(at(-60));
        // Without the card's own serial number: the list is asked about the responder.
        let all = revoked.iter().fold(spec, |spec, serial| {
            spec.revoking(*serial, at(-600), CrlReason::KeyCompromise)
        });
        hpki().crl(Ca::Sign, all)
    };
    check("not on the list", &judged(&[answer(&spec)], &[list(&[])]), Good);
    let itself = ocsp_request(Ca::Sign, OCSP_RESPONDER_SERIAL);
    let vouching = hpki().ocsp(Ca::Sign, &itself, &spec);
    let verdict = judged(&[answer(&spec), vouching], &[]);
    check("vouching for itself", &verdict, Silent("its own status is unknown"));
    let by_the_ca = OcspSpec {
        responder: Responder::Ca,
        ..OcspSpec::at(at(-60))
    };
    let vouched = hpki().ocsp(Ca::Sign, &itself, &by_the_ca);
    check("vouched for by the CA", &judged(&[answer(&spec), vouched], &[]), Good);
    let condemned = hpki().ocsp(
        Ca::Sign,
        &itself,
        &OcspSpec {
            revoked: vec![Revoked::new(OCSP_RESPONDER_SERIAL, at(-600), CrlReason::KeyCompromise)],
            ..by_the_ca
        },
    );
    check(
        "revoked",
        &judged(&[answer(&spec), condemned], &[]),
        Silent("it is revoked"),
    );
}

#[test]
fn lists_and_responses_are_weighed_together() {
    let number = CardSpec::doctor().serial;
    let list = |minutes, reason: Option<CrlReason>| {
        let spec = CrlSpec::at(at(minutes));
        hpki().crl(
            Ca::Sign,
            match reason {
                Some(reason) => spec.revoking(number, at(minutes - 10), reason),
                None => spec,
            },
        )
    };
    let says = |minutes, reason: Option<CrlReason>| {
        let revoked = reason.map(|reason| Revoked::new(number, at(minutes - 10), reason));
        answer(&OcspSpec {
            revoked: revoked.into_iter().collect(),
            ..OcspSpec::at(at(minutes))
        })
    };
    let lost = Some(CrlReason::KeyCompromise);
    check("response alone", &judged(&[says(-60, None)], &[]), Good);
    check("list alone", &judged(&[], &[list(-60, None)]), Good);
    check(
        "a newer list is silent",
        &judged(&[says(-60, lost)], &[list(-5, None)]),
        Expected::Revoked,
    );
    check(
        "a newer response is good",
        &judged(&[says(-5, None)], &[list(-60, lost)]),
        Expected::Revoked,
    );
    let hold = Some(CrlReason::CertificateHold);
    check(
        "a response lifts a hold",
        &judged(&[says(-5, None)], &[list(-60, hold)]),
        Good,
    );
    check(
        "an older one does not",
        &judged(&[says(-60, None)], &[list(-5, hold)]),
        Expected::Revoked,
    );
    let stale = list(-60 * 24 * 30, None);
    check(
        "a stale list does no harm",
        &judged(&[says(-5, None)], std::slice::from_ref(&stale)),
        Good,
    );
    check(
        "nor a forged response",
        &judged(
            &[answer(&OcspSpec {
                signer: Some(Key::Spare),
                ..OcspSpec::at(at(-5))
            })],
            &[list(-5, None)],
        ),
        Good,
    );
    check(
        "neither is current",
        &judged(
            &[answer(&OcspSpec {
                next_update: Some(at(-1)),
                ..OcspSpec::at(at(-60))
            })],
            &[stale],
        ),
        Silent("the evidence is no longer current"),
    );
    check(
        "a bare BasicOCSPResponse",
        &judged(&[basic(&says(-5, None))], &[]),
        Good,
    );
}

/// The BasicOCSPResponse inside a response of more than 255 bytes.
fn basic(response: &[u8]) -> Vec<u8> {
    let kind = [6, 9, 0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1, 4, 0x82];
    let at = response.windows(kind.len()).position(|window| window == kind).unwrap();
    response[at + kind.len() + 2..].to_vec()
}

#[test]
fn a_responder_that_gives_no_answer_is_named() {
    let good = answer(&OcspSpec::at(at(-60)));
    for (status, word) in [
        (1, "malformedRequest"),
        (2, "internalError"),
        (3, "tryLater"),
        (5, "sigRequired"),
        (6, "unauthorized"),
        (9, "status 9"),
    ] {
        let bare = vec![0x30, 3, 0x0a, 1, status];
        check(word, &judged(std::slice::from_ref(&bare), &[]), Silent(word));
        // With the bytes of a good answer all the same.
        let mut full = good.clone();
        let at = full.windows(3).position(|window| window == [0x0a, 1, 0]).unwrap();
        full[at + 2] = status;
        check(word, &judged(&[full], &[]), Silent(word));
        check(word, &judged(&[bare, good.clone()], &[]), Good);
    }
}

#[test]
fn no_changed_or_cut_byte_makes_an_answer() {
    let good = answer(&OcspSpec::at(at(-60)));
    for end in 0..good.len() {
        assert!(!judged_quickly(&good[..end]), "{end} bytes");
    }
    for at in 0..good.len() {
        let mut changed = good.clone();
        changed[at] ^= 0x01;
        assert!(!judged_quickly(&changed), "byte {at}");
    }
    assert!(judged_quickly(&good));
}

/// Whether these bytes alone make the card's status good.
fn judged_quickly(response: &[u8]) -> bool {
    use std::sync::OnceLock;
    static SETTING: OnceLock<(Certificate, AnchorSet, Vec<Vec<u8>>, CrlPool2)> = OnceLock::new();
    struct CrlPool2(Vec<Vec<u8>>);
    let (leaf, anchors, authorities, lists) = SETTING.get_or_init(|| {
        (
            Certificate::parse(&card()).unwrap(),
            AnchorSet(TrustAnchor::parse(&hpki().ca(Ca::Root)).unwrap()),
            vec![hpki().ca(Ca::Sign)],
            CrlPool2(vec![hpki().sarl(CrlSpec::at(NOW - Duration::hours(1)))]),
        )
    });
    let (pool, crls) = (CertificatePool::from_der(authorities), CrlPool::from_der(&lists.0));
    let responses = OcspPool::from_der(&[response.to_vec()]);
    chain(leaf, anchors, &pool, &crls, &responses, NOW, &ChainOptions::default()).valid
}
