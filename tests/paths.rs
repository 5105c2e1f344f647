//! Paths and revocation over the test HPKI: what a search must survive, and which failure it tells.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use const_oid::ObjectIdentifier;
use kit::{Ca, Card, CardSpec, CrlReason, CrlSpec, Key, Revoked, TestHpki};
use time::macros::datetime;
use time::{Duration, OffsetDateTime};
use trust_store::anchors::{AnchorSet, TrustAnchor};
use trust_store::chain::{ChainOptions, ChainVerdict, chain};
use trust_store::path::{CertificatePool, CertificationPath, PathFailure, PathInputs, build};
use trust_store::revocation::{CrlPool, OcspPool, urls};
use trust_store::{Certificate, certificate::Extension};

const NOW: OffsetDateTime = datetime!(2026-11-22 03:00 UTC);

fn hpki() -> TestHpki {
    TestHpki::new("http://127.0.0.1:1", NOW)
}

fn anchors(ca: Ca) -> AnchorSet {
    AnchorSet(TrustAnchor::parse(&hpki().ca(ca)).unwrap())
}

fn leaf(card: &Card) -> Certificate {
    Certificate::parse(&card.certificate).unwrap()
}

fn find(leaf: &Certificate, pool: &[Vec<u8>]) -> Result<CertificationPath, PathFailure> {
    build(
        leaf,
        &anchors(Ca::Root),
        &CertificatePool::from_der(pool),
        &PathInputs::default(),
        NOW,
    )
}

/// The signing CA with one more critical extension nobody knows: same key, same name, and refused.
fn odd_ca() -> Vec<u8> {
    let unknown = ObjectIdentifier::new_unwrap("1.2.3.4");
    hpki().ca_with(Ca::Sign, |extensions| {
        extensions.push(kit::x509::extension(unknown, true, &[5, 0]))
    })
}

fn chained(leaf: &Certificate, crls: &[Vec<u8>]) -> ChainVerdict {
    let pool = CertificatePool::from_der(&[hpki().ca(Ca::Sign), hpki().ca(Ca::SignRollover)]);
    chain(
        leaf,
        &anchors(Ca::Root),
        &pool,
        &CrlPool::from_der(crls),
        &OcspPool::default(),
        NOW,
        &ChainOptions::default(),
    )
}

fn lists(revoked: &[(Ca, Revoked)]) -> Vec<Vec<u8>> {
    hpki()
        .evidence(NOW - Duration::hours(1), revoked)
        .into_iter()
        .map(|(_, list)| list)
        .collect()
}

#[test]
fn a_bad_candidate_never_hides_a_good_one() {
    let leaf = leaf(&hpki().doctor());
    let mut broken = hpki().ca(Ca::Sign);
    *broken.last_mut().unwrap() ^= 1;
    let good = hpki().ca(Ca::Sign);
    let pool = [
        broken,
        odd_ca(),
        hpki().ca(Ca::SignRollover),
        hpki().ca(Ca::Root),
        leaf.der().to_vec(),
        good,
    ];
    let path = find(&leaf, &pool).unwrap();
    assert_eq!(path.certificates.len(), 2);
    assert_eq!(path.certificates.last(), Some(&leaf));
    assert_eq!(path.issuer_of(0), &path.anchor.certificate);
}

#[test]
fn the_failure_that_came_furthest_is_told() {
    let doctor = leaf(&hpki().doctor());
    assert!(matches!(find(&doctor, &[]), Err(PathFailure::NoChain(_))));
    assert!(matches!(find(&doctor, &[odd_ca()]), Err(PathFailure::Constraints(_))));
    let sign = hpki().ca(Ca::Sign);
    let forged = hpki().card(CardSpec {
        issuer_key: Some(Key::Spare),
        ..CardSpec::doctor()
    });
    assert!(matches!(
        find(&leaf(&forged), std::slice::from_ref(&sign)),
        Err(PathFailure::NoChain(_))
    ));
    let expired = hpki().card(CardSpec {
        not_after: Some(NOW - Duration::days(1)),
        ..CardSpec::doctor()
    });
    assert!(matches!(
        find(&leaf(&expired), std::slice::from_ref(&sign)),
        Err(PathFailure::LeafExpired(_))
    ));
    let ignoring = PathInputs {
        leaf_validity_ignored: true,
        ..PathInputs::default()
    };
    let pool = CertificatePool::from_der(&[sign]);
    assert!(build(&leaf(&expired), &anchors(Ca::Root), &pool, &ignoring, NOW).is_ok());
    let other_tree = build(&doctor, &anchors(Ca::TsaRoot), &pool, &PathInputs::default(), NOW);
    assert!(matches!(other_tree, Err(PathFailure::NoChain(_))));
    let late = NOW + Duration::days(365 * 25);
    assert!(matches!(
        build(&doctor, &anchors(Ca::Root), &pool, &ignoring, late),
        Err(PathFailure::OutOfTime(_))
    ));
}

#[test]
fn an_anchor_is_valid_by_itself() {
    let root = Certificate::parse(&hpki().ca(Ca::Root)).unwrap();
    assert!(find(&root, &[]).unwrap().certificates.is_empty());
    assert!(chained(&root, &[]).valid);
}

#[test]
fn revocation_is_judged_below_the_anchor() {
    let card = leaf(&hpki().doctor());
    assert_eq!(urls(&card).len(), 1);
    let good = chained(&card, &lists(&[]));
    assert!(good.valid, "{}", good.reason);
    let missing = chained(&card, &[]);
    assert!(!missing.valid && missing.indeterminate);
    let day_ago = NOW - Duration::days(1);
    let card_revoked = lists(&[(Ca::Sign, Revoked::new(0x15e, day_ago, CrlReason::KeyCompromise))]);
    let verdict = chained(&card, &card_revoked);
    assert!(!verdict.valid && !verdict.indeterminate, "{}", verdict.reason);
    let ca_revoked = lists(&[(
        Ca::Root,
        Revoked::new(Ca::Sign.serial(), day_ago, CrlReason::CaCompromise),
    )]);
    let verdict = chained(&card, &ca_revoked);
    assert!(!verdict.valid && !verdict.indeterminate, "{}", verdict.reason);
}

#[test]
fn a_list_signed_by_another_key_of_the_ca_counts_if_that_key_has_a_path() {
    let card = leaf(&hpki().doctor());
    let at = NOW - Duration::hours(1);
    let sarl = hpki().sarl(CrlSpec::at(at));
    let rolled = hpki().crl(
        Ca::Sign,
        CrlSpec {
            signer: Some(Key::SignCaRollover),
            ..CrlSpec::at(at)
        },
    );
    let verdict = chained(&card, &[sarl.clone(), rolled]);
    assert!(verdict.valid, "{}", verdict.reason);
    let forged = hpki().crl(
        Ca::Sign,
        CrlSpec {
            signer: Some(Key::Spare),
            ..CrlSpec::at(at)
        },
    );
    let verdict = chained(&card, &[sarl, forged]);
    assert!(!verdict.valid && verdict.indeterminate, "{}", verdict.reason);
}

/// Who signed a list that revokes may be among those left out.
#[test]
fn with_more_certificates_than_are_read_nothing_is_known_to_be_good() {
    let card = leaf(&hpki().doctor());
    let judged = |count: usize| {
        let other = hpki().tsa();
        let crowd = (0..count).map(|number| {
            let mut one = other.clone();
            let end = one.len() - 4;
            one[end..].copy_from_slice(&u32::try_from(number).unwrap().to_be_bytes());
            one
        });
        let all: Vec<Vec<u8>> = [hpki().ca(Ca::Sign)].into_iter().chain(crowd).collect();
        let (pool, lists) = (CertificatePool::from_der(&all), CrlPool::from_der(&lists(&[])));
        let (anchors, options) = (anchors(Ca::Root), ChainOptions::default());
        chain(&card, &anchors, &pool, &lists, &OcspPool::default(), NOW, &options)
    };
    assert!(judged(CertificatePool::MAX - 1).valid);
    let crowded = judged(CertificatePool::MAX);
    assert!(!crowded.valid && crowded.indeterminate, "{}", crowded.reason);
}

/// Certificates of one name that all sign each other: a search without bounds would not come back.
#[test]
fn a_mesh_of_cas_ends_at_a_bound() {
    let keys = [
        Key::Spare,
        Key::Spare2,
        Key::EcSpare,
        Key::Nurse,
        Key::Dentist,
        Key::Pharmacist,
        Key::Auth,
    ];
    let spec = |key, issuer_key, serial| CardSpec {
        subject: Ca::Sign.name(),
        key,
        issuer_key: Some(issuer_key),
        serial,
        ..CardSpec::doctor()
    };
    let mut mesh = Vec::new();
    for (one, key) in (0_u64..).zip(keys) {
        for (other, issuer) in (0_u64..).zip(keys) {
            mesh.push(hpki().card(spec(key, issuer, 1_000 + one * 100 + other)).certificate);
        }
    }
    let forged = hpki().card(CardSpec {
        issuer_key: Some(Key::Spare),
        ..CardSpec::doctor()
    });
    assert_eq!(find(&leaf(&forged), &mesh), Err(PathFailure::GivenUp));
    mesh.push(hpki().ca(Ca::Sign));
    assert!(find(&leaf(&hpki().doctor()), &mesh).is_ok());
}

/// No byte changed in a certificate makes the reader panic, nor leaves a valid path.
#[test]
fn every_changed_byte_is_noticed() {
    let card = hpki().doctor().certificate;
    let pool = [hpki().ca(Ca::Sign)];
    for at in (0..card.len()).step_by(3) {
        let mut changed = card.clone();
        changed[at] ^= 0x01;
        if let Ok(certificate) = Certificate::parse(&changed) {
            let _: &[Extension] = certificate.extensions();
            assert!(find(&certificate, &pool).is_err(), "byte {at}");
        }
    }
}
