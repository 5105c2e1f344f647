//! Bounds and dates never hide what revokes: a response whose responder is not looked for far enough, and evidence whose algorithm
//! has ended.

use super::*;
use trust_store::algorithm::{Accepted, algorithm_names};
use trust_store::path::{PathInputs, build};
use trust_store::policy::{Freshness, Policy};
use trust_store::revocation::{RevocationSources, RevocationStatus, Times, status};

/// The card's verdict by `responses`, with the certificates of `others` other cards at hand before the responder's.
fn behind(others: u64, responses: &[Vec<u8>]) -> ChainVerdict {
    let hpki = hpki();
    let mut at_hand = vec![hpki.ca(Ca::Sign)];
    at_hand.extend((0..others).map(|number| {
        let spec = CardSpec {
            serial: 20_000 + number,
            ..CardSpec::doctor()
        };
        hpki.card(spec).certificate
    }));
    at_hand.push(hpki.ocsp_responder(Ca::Sign));
    chain(
        &Certificate::parse(&card()).unwrap(),
        &AnchorSet(TrustAnchor::parse(&hpki.ca(Ca::Root)).unwrap()),
        &CertificatePool::from_der(&at_hand),
        &CrlPool::from_der(&[hpki.sarl(CrlSpec::at(NOW - Duration::hours(1)))]),
        &OcspPool::from_der(responses),
        NOW,
        &ChainOptions::default(),
    )
}

#[test]
fn a_responder_behind_more_certificates_than_are_compared_leaves_nothing_proven_good() {
    let left_out = || Oddities {
        certificate_left_out: true,
        ..Oddities::default()
    };
    let good = answer(&odd(left_out()));
    let revoking = answer(&OcspSpec {
        revoked: vec![Revoked::new(
            CardSpec::doctor().serial,
            at(-120),
            CrlReason::KeyCompromise,
        )],
        ..odd(left_out())
    });
    let by_the_ca = |revoked| {
        answer(&OcspSpec {
            responder: Responder::Ca,
            revoked,
            ..OcspSpec::at(at(-60))
        })
    };
    let bound = "than are examined";
    check("250, good", &behind(250, std::slice::from_ref(&good)), Good);
    check(
        "250, revoked",
        &behind(250, std::slice::from_ref(&revoking)),
        Expected::Revoked,
    );
    check("260, good", &behind(260, &[good]), Silent(bound));
    // What was not examined may revoke, so that what another says for the card does not count.
    check(
        "260, good by the CA",
        &behind(260, &[by_the_ca(Vec::new()), revoking.clone()]),
        Silent(bound),
    );
    // And does count against it.
    let line = Revoked::new(CardSpec::doctor().serial, at(-120), CrlReason::KeyCompromise);
    check(
        "260, revoked by the CA",
        &behind(260, &[by_the_ca(vec![line]), revoking]),
        Expected::Revoked,
    );
}

/// What a list (or a response) says whose algorithm ended ten minutes ago, known since `since`.
fn dated(list: bool, revoked: bool, since: OffsetDateTime) -> RevocationStatus {
    let hpki = hpki();
    let spec = CardSpec {
        with_crldp: list,
        with_ocsp: !list,
        ..CardSpec::doctor()
    };
    let line = Revoked::new(spec.serial, at(-120), CrlReason::KeyCompromise);
    let lines: Vec<Revoked> = revoked.then_some(line).into_iter().collect();
    let crl = CrlSpec {
        revoked: lines.clone(),
        ..CrlSpec::at(at(-60))
    };
    let response = OcspSpec {
        revoked: lines,
        ..OcspSpec::at(at(-60))
    };
    let (crls, responses) = match list {
        true => (vec![hpki.crl(Ca::Sign, crl)], Vec::new()),
        false => (Vec::new(), vec![answer(&response)]),
    };
    let leaf = Certificate::parse(&hpki.card(spec).certificate).unwrap();
    let pool = CertificatePool::from_der(&[hpki.ca(Ca::Sign)]);
    let anchors = AnchorSet(TrustAnchor::parse(&hpki.ca(Ca::Root)).unwrap());
    let path = build(&leaf, &anchors, &pool, &PathInputs::default(), NOW).unwrap();
    let mut policy = Policy::default();
    let issuer = path.issuer_of(path.certificates.len() - 1);
    for name in algorithm_names(&leaf.signature_algorithm, None, &issuer.key).unwrap() {
        policy.algorithms.insert(name, at(-10));
    }
    let sources = RevocationSources {
        anchor: &path.anchor,
        certificates: &pool,
        crls: &CrlPool::from_der(&crls),
        ocsp: &OcspPool::from_der(&responses),
        accepted: Accepted::Listed,
        policy: Some(&policy),
        known_since: &|_| since,
        until: None,
    };
    let times = Times {
        judged_at: at(-50),
        at: NOW,
        skew: Duration::minutes(5),
        freshness: Freshness::Service,
    };
    status(&leaf, issuer, &sources, &times)
}

#[test]
fn evidence_whose_algorithm_ended_before_it_was_known_revokes_and_proves_nothing_good() {
    for (what, list) in [("list", true), ("response", false)] {
        assert!(
            matches!(dated(list, false, at(-20)), RevocationStatus::Good { .. }),
            "{what}"
        );
        match dated(list, false, NOW) {
            RevocationStatus::Unknown { reason, .. } => {
                assert!(reason.contains("acceptable until"), "{what}: {reason}")
            }
            other => panic!("{what}: {other:?}"),
        }
        for since in [at(-20), NOW] {
            let said = dated(list, true, since);
            assert!(matches!(said, RevocationStatus::Revoked { .. }), "{what}: {said:?}");
        }
    }
}

#[test]
fn only_an_unknown_made_now_is_an_answer() {
    let hpki = hpki();
    let leaf = Certificate::parse(&card()).unwrap();
    let pool = CertificatePool::from_der(&[hpki.ca(Ca::Sign)]);
    let anchors = AnchorSet(TrustAnchor::parse(&hpki.ca(Ca::Root)).unwrap());
    let path = build(&leaf, &anchors, &pool, &PathInputs::default(), NOW).unwrap();
    for (minutes, expected) in [(-1, true), (-60, false), (60, false)] {
        let unknown = OcspSpec {
            unknown: vec![CardSpec::doctor().serial],
            ..OcspSpec::at(at(minutes))
        };
        let sources = RevocationSources {
            anchor: &path.anchor,
            certificates: &pool,
            crls: &CrlPool::default(),
            ocsp: &OcspPool::from_der(&[answer(&unknown)]),
            accepted: Accepted::Listed,
            policy: None,
            known_since: &|_| NOW,
            until: None,
        };
        let times = Times {
            judged_at: NOW,
            at: NOW,
            skew: Duration::minutes(5),
            freshness: Freshness::Service,
        };
        let said = status(&leaf, path.issuer_of(path.certificates.len() - 1), &sources, &times);
        let RevocationStatus::Unknown { answered, .. } = said else {
            panic!("{said:?}")
        };
        assert_eq!(answered, expected, "{minutes}");
    }
}

#[test]
fn a_key_of_the_ca_that_has_ended_revokes_and_proves_nothing_good() {
    let hpki = hpki();
    let old = Certificate::parse(&hpki.ca(Ca::Sign)).unwrap();
    let (before, now) = (old.not_after - Duration::days(1), old.not_after + Duration::days(1));
    let spec = CardSpec {
        ca: Ca::SignRollover,
        not_before: Some(old.not_after - Duration::days(9)),
        not_after: Some(now + Duration::days(365)),
        ..CardSpec::doctor()
    };
    let serial = spec.serial;
    let judged = |signer, lines: Vec<Revoked>, now| {
        let list = CrlSpec {
            revoked: lines,
            signer: Some(signer),
            ..CrlSpec::at(before)
        };
        chain(
            &Certificate::parse(&hpki.card(spec.clone()).certificate).unwrap(),
            &AnchorSet(TrustAnchor::parse(&hpki.ca(Ca::Root)).unwrap()),
            &CertificatePool::from_der(&[hpki.ca(Ca::Sign), hpki.ca(Ca::SignRollover)]),
            &CrlPool::from_der(&[hpki.sarl(CrlSpec::at(before)), hpki.crl(Ca::SignRollover, list)]),
            &OcspPool::default(),
            now,
            &ChainOptions::default(),
        )
    };
    let line = || vec![Revoked::new(serial, before, CrlReason::KeyCompromise)];
    check("its own key", &judged(Key::SignCaRollover, Vec::new(), now), Good);
    check(
        "the old key, while it was",
        &judged(Key::SignCa, Vec::new(), before),
        Good,
    );
    let silent = Silent("vouches for nothing after");
    check("the old key", &judged(Key::SignCa, Vec::new(), now), silent);
    check(
        "the old key, revoking",
        &judged(Key::SignCa, line(), now),
        Expected::Revoked,
    );
}
