//! Algorithm dates on a path: a CA's certificate is judged by the time since when it is proven to exist.

use formats::asice::{Intake, IntakeError, Limits};
use formats::cades::{Profile, SignedData};
use formats::digest::sha256;
use time::macros::datetime;

use super::*;
use crate::anchors::{Anchors, TrustAnchor};
use crate::path::CertificatePool;
use crate::policy::Policy;
use crate::validation::existence::Existence;
use crate::validation::material::Material;

const CONTAINER: &[u8] = include_bytes!("../../../../tests/fixtures/validation/good_doctor/container.asice");
const ROOT: &[u8] = include_bytes!("../../../../tests/fixtures/validation/good_doctor/trust/hpki/test-hpki-root.pem");
const CA: &[u8] =
    include_bytes!("../../../../tests/fixtures/validation/good_doctor/trust/intermediates/test-sign-ca.der");

const OF_THE_PATH: OffsetDateTime = datetime!(2026-11-20 03:00 UTC);
const SIGNED: OffsetDateTime = datetime!(2030-01-01 00:00 UTC);
const ENDED: OffsetDateTime = datetime!(2031-01-01 00:00 UTC);
const NOW: OffsetDateTime = datetime!(2035-01-01 00:00 UTC);

/// The doctor's card, below the signing CA, below the root.
fn path() -> CertificationPath {
    let mut intake = Intake::new(Limits::default());
    intake.push::<IntakeError>(CONTAINER, &mut |_| Ok(())).unwrap();
    let container = intake.finish().unwrap();
    let signed = SignedData::parse(&container.signatures[0].bytes, Profile::Document).unwrap();
    let brought = signed.certificates.iter().map(|der| Certificate::parse(der).unwrap());
    let leaf = brought.into_iter().find(|one| !one.is_ca()).unwrap();
    let anchors = AnchorSet(TrustAnchor::parse(ROOT).unwrap());
    let pool = CertificatePool::from_der(&[CA.to_vec()]);
    path::build(&leaf, &anchors, &pool, &PathInputs::default(), OF_THE_PATH).unwrap()
}

/// What is wrong with a letter of before the end of all algorithms of the path, where these certificates are proven.
fn row(path: &CertificationPath, proven: &[(&Certificate, OffsetDateTime)]) -> Option<Row> {
    let (anchors, mut policy) = (Anchors::default(), Policy::default());
    policy.algorithms.clear();
    for (index, certificate) in path.certificates.iter().enumerate() {
        let key = &path.issuer_of(index).key;
        for name in algorithm::algorithm_names(&certificate.signature_algorithm, None, key).unwrap() {
            policy.algorithms.insert(name, ENDED);
        }
    }
    let mut existence = Existence::unproven(NOW);
    for (certificate, since) in proven {
        existence.prove([&sha256(certificate.der())], *since);
    }
    let evidence = crate::evidence::Evidence::default();
    let setting = Setting {
        anchors: &anchors,
        policy: &policy,
        now: NOW,
        tokens: &[],
        material: Material::gather(&[], &anchors, &evidence, false),
        existence,
        asking: false,
    };
    let mut ledger = Ledger::default();
    algorithm_dates(path, SIGNED, &setting, &mut ledger);
    ledger.row()
}

#[test]
fn the_certificate_of_a_ca_binds_after_its_algorithms_ended_only_if_an_archive_proves_it_older() {
    let path = path();
    let [ca, leaf] = path.certificates.as_slice() else {
        panic!("{} certificates", path.certificates.len())
    };
    let ended = Some(Row::CryptoConstraintsFailure);
    assert_eq!(
        row(&path, &[]),
        ended,
        "whoever broke the algorithm may have made it since"
    );
    assert_eq!(
        row(&path, &[(leaf, SIGNED)]),
        ended,
        "the card's says nothing of the CA's"
    );
    assert_eq!(row(&path, &[(ca, NOW)]), ended, "proven too late");
    // The card's own is named by its hash in the signature, which is as old as its stamp.
    assert_eq!(row(&path, &[(ca, ENDED)]), None);
}

#[test]
fn strict_asks_for_a_newer_list_about_the_signer_and_not_about_the_authorities_above() {
    macro_rules! of_the_stamp {
        ($file:literal) => {
            include_bytes!(concat!(
                "../../../../tests/fixtures/validation/list_of_the_stamp_strict/",
                $file
            ))
            .as_slice()
        };
    }
    macro_rules! before {
        ($file:literal) => {
            include_bytes!(concat!(
                "../../../../tests/fixtures/validation/good_doctor/",
                $file
            ))
            .as_slice()
        };
    }
    let judged = |lists: &[&[u8]]| {
        let mut intake = Intake::new(Limits::default());
        let container = of_the_stamp!("container.asice");
        intake.push::<IntakeError>(container, &mut |_| Ok(())).unwrap();
        let set = |pem: &[u8]| AnchorSet(TrustAnchor::parse(pem).unwrap());
        let trust = crate::TrustStore {
            anchors: Anchors {
                hpki: set(ROOT),
                tsa: set(of_the_stamp!("trust/tsa/test-tsa-root.pem")),
                intermediates: vec![CA.to_vec()],
                ..Anchors::default()
            },
            policy: Policy {
                freshness: Freshness::Strict,
                tsa_revocation: TsaRevocation::Off,
                ..Policy::default()
            },
        };
        let mut evidence = crate::Evidence::default();
        lists.iter().for_each(|list| evidence.add("list.crl", list));
        let subject = crate::Subject::Container(Box::new(intake.finish().unwrap()));
        let validated = trust.validate(subject, evidence, OF_THE_PATH);
        let report = validated.report();
        (report.passed(), report.sub_indication)
    };
    let new = of_the_stamp!("evidence/sign.crl");
    let (old, root) = (before!("evidence/sign.crl"), before!("evidence/sarl.crl"));
    assert_ne!(root, of_the_stamp!("evidence/sarl.crl"));
    assert_eq!(
        judged(&[new, root]),
        (true, None),
        "the root's list is older than the stamp"
    );
    let later = Some(crate::report::SubIndication::TryLater);
    assert_eq!(judged(&[old, root]), (false, later));
}
