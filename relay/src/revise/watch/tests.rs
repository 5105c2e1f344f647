//! What a letter rests on, whatever its sender put around it, and which entries of a list concern it.

use std::path::{Path, PathBuf};

use formats::asice::{Container, Intake, IntakeError, Limits};
use formats::cades::{Profile, SignedData};
use trust_store::revocation::crl::Crl;
use trust_store::revocation::ocsp::OcspResponse;
use trust_store::revocation::{OcspRequest, urls};
use trust_store::{Evidence, TrustStore};

use super::*;
use crate::evidence::Question;
use crate::revise::rests::Letter;

fn case(name: &str) -> PathBuf {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/validation");
    cases.join(name)
}

fn signatures(name: &str) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(case(name).join("container.asice")).unwrap();
    let mut intake = Intake::new(Limits::default());
    intake.push::<IntakeError>(&bytes, &mut |_| Ok(())).unwrap();
    let container: Container = intake.finish().unwrap();
    container
        .signatures
        .into_iter()
        .map(|file| file.bytes.to_vec())
        .collect()
}

fn trust(name: &str) -> TrustStore {
    crate::trust::open(&case(name).join("trust")).unwrap()
}

fn list(name: &str) -> Said {
    let der = std::fs::read(case(name).join("evidence/sign.crl")).unwrap();
    Said::List(Box::new(Crl::parse(&der).unwrap()))
}

fn id() -> SubmissionId {
    "0192f0c4-7b3a-7cc1-8a43-1f2e3d4c5b6a".parse().unwrap()
}

/// A watch that holds one letter, whose first signature is recorded as made at `signed_at`.
fn watching(signatures: &[Vec<u8>], trust: &TrustStore, signed_at: Option<OffsetDateTime>) -> Watch {
    let letter = Letter {
        signatures,
        evidence: &Evidence::default(),
        signed_at,
        received: Some(OffsetDateTime::UNIX_EPOCH + time::Duration::days(40_000)),
    };
    let mut watch = Watch::default();
    watch.add(&id(), Rests::of(letter, &trust.anchors));
    watch
}

fn signer(signature: &[u8]) -> Certificate {
    let signed = SignedData::parse(signature, Profile::Document).unwrap();
    let certificates = signed.certificates.iter().map(|der| Certificate::parse(der).unwrap());
    certificates.into_iter().find(|one| !one.is_ca()).unwrap()
}

/// Tag, length and content.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut all = vec![tag];
    match content.len() {
        short @ 0..0x80 => all.push(u8::try_from(short).unwrap()),
        long => {
            all.push(0x84);
            all.extend_from_slice(&u32::try_from(long).unwrap().to_be_bytes());
        }
    }
    all.extend_from_slice(content);
    all
}

/// The first element: tag, content, and what comes after.
fn split(bytes: &[u8]) -> (u8, &[u8], &[u8]) {
    let (start, length) = match bytes[1] {
        short @ 0..0x80 => (2, usize::from(short)),
        long => {
            let count = usize::from(long & 0x7f);
            let octets = &bytes[2..2 + count];
            (
                2 + count,
                octets.iter().fold(0, |length, octet| length << 8 | usize::from(*octet)),
            )
        }
    };
    (bytes[0], &bytes[start..start + length], &bytes[start + length..])
}

/// The signature file with further certificates before its own.
fn with_before(p7s: &[u8], further: &[u8]) -> Vec<u8> {
    let (_, info, _) = split(p7s);
    let (_, oid, rest) = split(info);
    let (_, explicit, _) = split(rest);
    let (_, signed, _) = split(explicit);
    let mut fields = Vec::new();
    let mut rest = signed;
    while !rest.is_empty() {
        let (tag, content, after) = split(rest);
        if tag == 0xa0 {
            fields.extend(element(tag, &[further, content].concat()));
        } else {
            fields.extend_from_slice(&rest[..rest.len() - after.len()]);
        }
        rest = after;
    }
    let explicit = element(0xa0, &element(0x30, &fields));
    element(0x30, &[element(0x06, oid), explicit].concat())
}

#[test]
fn a_signer_behind_hundreds_of_certificates_is_watched_and_forged_ones_are_not() {
    let name = "revoked_before_stamp";
    let (plain, trust) = (signatures(name), trust(name));
    let signer = signer(&plain[0]);
    // As the card's, with other serial numbers: nobody signed these.
    let at = signer
        .der()
        .windows(signer.serial.len())
        .position(|window| window == signer.serial);
    let at = at.unwrap() + signer.serial.len() - 1;
    let forged = (1..=250_u8).flat_map(|number| {
        let mut der = signer.der().to_vec();
        der[at] ^= number;
        der
    });
    let crowded = with_before(&plain[0], &forged.collect::<Vec<u8>>());
    let parsed = SignedData::parse(&crowded, Profile::Document).unwrap();
    assert!(parsed.certificates.len() > 250);
    let watch = watching(&[crowded], &trust, None);
    let concerned = watch.concerned(&list(name));
    let serials: Vec<&str> = concerned.iter().map(|(_, entry)| entry.serial.as_str()).collect();
    assert_eq!(serials, [hex::encode(&signer.serial)]);
    let noted: Vec<&Name> = watch.held[&id()].names().collect();
    assert!(noted.len() < 10, "{} certificates", noted.len());
    assert_eq!(watch.wanted().cloned().collect::<Vec<_>>(), urls(&signer));
}

#[test]
fn the_second_signer_is_watched_for_as_long_as_its_own_stamp_says() {
    let name = "two_signatures_second_revoked";
    let (both, trust, list) = (signatures(name), trust(name), list(name));
    assert_eq!(both.len(), 2);
    let second = signer(&both[1]);
    let revoked = list.find(&second.issuer, &second.serial).unwrap().at;
    // The first signed before the second's card was revoked.
    let watch = watching(&both, &trust, Some(revoked - time::Duration::hours(1)));
    let concerned = watch.concerned(&list);
    assert!(
        concerned
            .iter()
            .any(|(_, entry)| entry.part == Part::Signer && entry.serial == hex::encode(&second.serial)),
        "{concerned:?}"
    );
    // Of one signer alone the recorded time is exact.
    let watch = watching(&both[1..], &trust, Some(revoked - time::Duration::hours(1)));
    assert!(watch.concerned(&list).is_empty());
}

#[test]
fn every_entry_that_concerns_a_letter_is_told_of() {
    let name = "two_signatures_second_revoked";
    let (both, trust, list) = (signatures(name), trust(name), list(name));
    let mut rests = Rests::of(
        Letter {
            signatures: &both[1..],
            evidence: &Evidence::default(),
            signed_at: None,
            received: None,
        },
        &trust.anchors,
    );
    // The same certificate as signer and in a stamp: of the one the time may be settled, of the other not.
    rests.stamps.extend(rests.signers.clone());
    let mut watch = Watch::default();
    watch.add(&id(), rests);
    let parts: Vec<Part> = watch
        .concerned(&list)
        .into_iter()
        .map(|(_, entry)| entry.part)
        .collect();
    assert_eq!(parts, [Part::Signer, Part::Stamp]);
}

#[test]
fn only_a_list_that_an_authority_signed_confirms() {
    let name = "good_doctor";
    let (plain, trust, list) = (signatures(name), trust(name), list(name));
    let early = Some(list.this_update() - time::Duration::seconds(1));
    let mut watch = watching(&plain, &trust, early);
    assert_eq!(watch.unconfirmed(), 1);
    watch.confirm_one(&list, &id(), |_| false);
    assert_eq!(watch.unconfirmed(), 1, "nobody known signed it");
    watch.confirm(&list);
    assert_eq!(watch.unconfirmed(), 0);
    assert_eq!(watch.wanted().count(), 0);
    let late = Some(list.this_update() + time::Duration::seconds(1));
    let mut watch = watching(&plain, &trust, late);
    watch.confirm(&list);
    assert_eq!(watch.unconfirmed(), 1, "it is older than the signature");
}

/// The answer in a case's folder, and the question it answers.
fn answered(name: &str, card: &Certificate) -> (Arc<Asked>, Said) {
    let der = std::fs::read(case(name).join("evidence/answer.ors")).unwrap();
    let response = OcspResponse::parse(&der).unwrap().basic.unwrap();
    let question = Question::Ocsp {
        url: "http://ocsp.example/".to_owned(),
        request: OcspRequest {
            cert_id: response.singles[0].cert_id.clone(),
        },
    };
    let (key, name) = (question.key(), Name::of(card));
    let asked = Asked {
        key,
        question,
        name,
        lists: Vec::new(),
    };
    let said = Said::answer(&der, &asked).unwrap();
    (Arc::new(asked), said)
}

#[test]
fn a_response_concerns_every_letter_its_card_signed_after_it_was_revoked() {
    for (name, concerned, authentic, unconfirmed) in [
        ("ocsp_revoked", true, true, 0),
        ("ocsp_revoked_after_stamp", false, true, 0),
        ("ocsp_good_alone", false, true, 0),
        ("ocsp_good_by_the_ca", false, true, 0),
        ("ocsp_unknown", false, true, 2),
        ("ocsp_forged", false, false, 2),
        ("ocsp_responder_of_another_ca", false, false, 2),
        ("ocsp_responder_not_for_ocsp", false, false, 2),
    ] {
        let (plain, trust) = (signatures(name), trust(name));
        let (asked, said) = answered(name, &signer(&plain[0]));
        let rests = || {
            let letter = Letter {
                signatures: &plain,
                evidence: &Evidence::default(),
                signed_at: None,
                received: None,
            };
            let mut rests = Rests::of(letter, &trust.anchors);
            rests.asked.clear();
            rests.asked.push(Arc::clone(&asked));
            rests.unconfirmed = BTreeMap::from([(asked.name.to_string(), Vec::new())]);
            rests
        };
        let other: SubmissionId = "0192f0c4-7b3a-7cc1-8a43-1f2e3d4c5b6b".parse().unwrap();
        let mut watch = Watch::default();
        watch.add(&id(), rests());
        watch.add(&other, rests());
        assert_eq!(watch.asked().count(), 1, "{name}: one card");
        let found = watch.concerned(&said);
        let ids: Vec<&SubmissionId> = found.iter().map(|(id, _)| id).collect();
        let all = [&id(), &other];
        assert_eq!(ids, all[..if concerned { 2 } else { 0 }], "{name}");
        assert!(found.iter().all(|(_, entry)| entry.part == Part::Signer));
        assert_eq!(watch.is_authentic(&said), authentic, "{name}");
        assert_eq!(watch.unconfirmed(), 2);
        watch.confirm(&said);
        assert_eq!(watch.unconfirmed(), unconfirmed, "{name}");
        watch.remove(&id());
        assert_eq!(watch.asked().count(), 1, "{name}: the other is held still");
        watch.remove(&other);
        assert_eq!(watch.asked().count(), 0, "{name}: nobody rests on it");
    }
}
