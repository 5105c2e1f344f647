//! Until when an archive stamp inside a signature lasts: the end of whatever it relies on.

use formats::cades::{Profile, SignedData, with_evidence};
use formats::digest::DigestAlgorithm;
use kit::ocsp::ocsp_request;
use kit::{Ca, ContainerOptions, CrlSpec, Inside, Key, OcspSpec, TestHpki, TokenSpec, TsaSpec};
use time::macros::datetime;
use time::{Duration, OffsetDateTime};
use trust_store::validation::{EndOf, StampEnd};
use trust_store::{AnchorSet, Anchors, Policy, TrustAnchor, TrustStore};

const NOW: OffsetDateTime = datetime!(2026-11-20 03:00:00 UTC);
const GIVEN_UP: OffsetDateTime = datetime!(2029-01-01 00:00:00 UTC);
const SERIAL: u64 = 0x41;

/// The end of a stamp of an authority that no default date ends, in a signature that carries lists and responses.
fn end(hpki: &TestHpki, inside: Inside, crls: &[Vec<u8>], ocsp: &[Vec<u8>]) -> StampEnd {
    let certificate = hpki.tsa_with(TsaSpec {
        ca: Ca::LastingTsaRoot,
        key: Key::EcSpare,
        serial: SERIAL,
        not_after: Some(NOW + Duration::days(8 * 365)),
        ..TsaSpec::default()
    });
    let inside = Inside {
        token: TokenSpec {
            certificate: Some(certificate),
            key: Key::EcSpare,
            ..TokenSpec::at(NOW)
        },
        ..inside
    };
    let signature = hpki.signature(&hpki.doctor(), b"letter", ContainerOptions::at(NOW));
    let signature = hpki.archived_v3(&signature, b"letter", &inside);
    let signature = with_evidence(&signature, &[], crls, ocsp).unwrap();
    let signed = SignedData::parse(&signature, Profile::Document).unwrap();
    let mut policy = Policy::default();
    policy.algorithms.insert("sha512".to_owned(), GIVEN_UP);
    let store = TrustStore {
        anchors: Anchors {
            tsa: AnchorSet(TrustAnchor::parse(&hpki.ca(Ca::LastingTsaRoot)).unwrap()),
            ..Anchors::default()
        },
        policy,
    };
    store.signature_end(&signed, NOW).unwrap()
}

#[test]
fn a_stamp_ends_with_the_hash_of_its_index() {
    let hpki = TestHpki::new("http://hpki.example", NOW);
    let whole = end(&hpki, Inside::at(NOW), &[], &[]);
    assert!(matches!(whole.because, EndOf::Certificate(_)), "{whole:?}");
    let index = Inside {
        index_digest: Some(DigestAlgorithm::Sha512),
        ..Inside::at(NOW)
    };
    let ended = end(&hpki, index, &[], &[]);
    assert_eq!(
        (ended.until, ended.because),
        (GIVEN_UP, EndOf::Algorithm("sha512".to_owned()))
    );
}

#[test]
fn a_stamp_ends_with_the_algorithm_of_the_only_responses_on_its_authority() {
    let hpki = TestHpki::new("http://hpki.example", NOW);
    let asked = ocsp_request(Ca::LastingTsaRoot, SERIAL);
    let answered = hpki.ocsp(Ca::LastingTsaRoot, &asked, &OcspSpec::at(NOW));
    let ended = end(&hpki, Inside::at(NOW), &[], std::slice::from_ref(&answered));
    assert_eq!(ended.because, EndOf::Algorithm("rsa2048".to_owned()));
    assert_eq!(Some(ended.until), Policy::default().last_acceptable("rsa2048"));
    // A list by a key that lasts suffices beside them.
    let list = hpki.crl(Ca::LastingTsaRoot, CrlSpec::at(NOW));
    let lasting = end(&hpki, Inside::at(NOW), &[list], std::slice::from_ref(&answered));
    assert!(matches!(lasting.because, EndOf::Certificate(_)), "{lasting:?}");
}
