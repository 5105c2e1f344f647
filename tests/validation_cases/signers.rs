//! Who signs, with what, under which authority.

use std::process::Command;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PSS_SHA256, RsaKeyPair};
use const_oid::db::rfc5280::ID_CE_CERTIFICATE_POLICIES;
use der::asn1::ObjectIdentifier;
use formats::cades::{SignatureScheme, SigningIdentity, prepare};
use formats::digest::DigestAlgorithm;
use kit::{Ca, Card, CardSpec, Key, TestHpki};
use time::Duration;

use super::{ANY_POLICY, NOW, PASSED, Plan, Row, failed, hours, indeterminate};

/// The rows.
pub(super) const ROWS: &[Row] = &[
    (
        "ca_without_policy",
        failed("SIG_CONSTRAINTS_FAILURE"),
        "the signing CA names no policy",
        "CONTRACTS.md §3 Signer",
        |plan| {
            plan.sign_ca = Some(sign_ca(plan, &[]));
            plan.says = Some("issues under no policy");
        },
    ),
    (
        "ca_with_any_policy",
        PASSED,
        "the signing CA names anyPolicy",
        "CONTRACTS.md §3 Signer",
        |plan| {
            plan.sign_ca = Some(sign_ca(plan, &[ANY_POLICY]));
        },
    ),
    (
        "ca_with_other_policy",
        failed("SIG_CONSTRAINTS_FAILURE"),
        "the signing CA names another policy alone",
        "CONTRACTS.md §3 Signer",
        |plan| {
            plan.sign_ca = Some(sign_ca(plan, &[kit::card::AUTHENTICATION_POLICY]));
        },
    ),
    (
        "two_ca_certificates_one_without_policy",
        PASSED,
        "the trust directory holds a CA certificate without policy beside the good one in the signature",
        "RFC 5280 §6.1",
        |plan| {
            let odd = sign_ca(plan, &[]);
            plan.after = Box::new(move |folder| {
                std::fs::write(folder.join("trust/intermediates/test-sign-ca.der"), &odd).unwrap()
            });
        },
    ),
    (
        "signer_is_a_ca",
        failed("SIG_CONSTRAINTS_FAILURE"),
        "basicConstraints says CA",
        "CONTRACTS.md §3 Signer",
        |plan| {
            plan.card.extra_extensions = vec![kit::x509::extension(
                const_oid::db::rfc5280::ID_CE_BASIC_CONSTRAINTS,
                true,
                &[0x30, 3, 1, 1, 0xff],
            )];
        },
    ),
    (
        "signer_without_key_usage",
        failed("SIG_CONSTRAINTS_FAILURE"),
        "no keyUsage, so no nonRepudiation",
        "CONTRACTS.md §3 Signer",
        |plan| {
            plan.card.key_usage = None;
        },
    ),
    (
        "unknown_critical_extension",
        indeterminate("CHAIN_CONSTRAINTS_FAILURE"),
        "a critical extension nobody knows",
        "RFC 5280 §6.1.4",
        |plan| {
            plan.card.extra_extensions = vec![kit::x509::extension(
                ObjectIdentifier::new_unwrap("1.2.3.4"),
                true,
                &[5, 0],
            )];
        },
    ),
    (
        "forged_signer",
        indeterminate("NO_CERTIFICATE_CHAIN_FOUND"),
        "the certificate is signed by a stranger in the name of the CA",
        "RFC 5280 §6.1.3",
        |plan| {
            plan.card.issuer_key = Some(Key::Spare);
        },
    ),
    (
        "good_p256_card",
        PASSED,
        "a card with a P-256 key",
        "CONTRACTS.md §3 Algorithms",
        |plan| {
            plan.card = CardSpec::ec_doctor();
        },
    ),
    (
        "good_p384_card",
        PASSED,
        "a card with a P-384 key, SHA-384",
        "CONTRACTS.md §3 Algorithms",
        |plan| {
            plan.card = CardSpec::p384_doctor();
        },
    ),
    ("good_pss", PASSED, "RSASSA-PSS", "CONTRACTS.md §3 Algorithms", |plan| {
        plan.sign = Some(Box::new(pss));
    }),
    (
        "algorithm_still_acceptable",
        PASSED,
        "RSA-2048 on its last acceptable date",
        "CONTRACTS.md §3 Algorithms",
        |plan| {
            plan.policy = "[algorithms]\nrsa2048 = \"2026-11-20\"";
        },
    ),
    (
        "hash_outlived",
        indeterminate("CRYPTO_CONSTRAINTS_FAILURE"),
        "SHA-256 after its last acceptable date",
        "CONTRACTS.md §3 Algorithms",
        |plan| {
            plan.policy = "[algorithms]\nsha256 = \"2026-11-18\"";
            plan.says = Some("names files by sha256");
            // Lists signed with it say nothing any more either.
            plan.missing = 3;
        },
    ),
    (
        "sha1_signer",
        indeterminate("CRYPTO_CONSTRAINTS_FAILURE"),
        "SHA-1 as digest of the signature",
        "CONTRACTS.md §3 Algorithms",
        |plan| {
            plan.stamp = None;
            plan.policy = "minimum_level = \"B-B\"";
            plan.sign = Some(Box::new(|hpki, content| {
                let card = hpki.doctor();
                openssl_signature(&card.certificate, &card.key_pem(), "sha1", content)
            }));
        },
    ),
    (
        "rsa1024_signer",
        indeterminate("CRYPTO_CONSTRAINTS_FAILURE"),
        "a key of 1024 bits",
        "CONTRACTS.md §3 Algorithms",
        |plan| {
            // OpenSSL dates the certificate by its own clock.
            let late = NOW + Duration::days(365);
            plan.now = late;
            plan.crl_at = late - Duration::hours(6);
            plan.stamp = Some(kit::TokenSpec::at(late - Duration::hours(1)));
            plan.sign = Some(Box::new(rsa1024));
        },
    ),
    (
        "ess_mismatch",
        failed("SIG_CONSTRAINTS_FAILURE"),
        "signing-certificate-v2 is of another certificate with the same issuer and serial",
        "CONTRACTS.md §1 Signature",
        |plan| {
            plan.sign = Some(Box::new(ess_mismatch));
        },
    ),
    (
        "ca_expired",
        indeterminate("CHAIN_CONSTRAINTS_FAILURE"),
        "stamped and judged when the signing CA has ended",
        "RFC 5280 §6.1.3",
        |plan| {
            let late = NOW + Duration::days(3660);
            plan.now = late;
            plan.card.not_after = Some(late + Duration::days(10));
            plan.crl_at = late - Duration::hours(6);
            plan.stamp = Some(kit::TokenSpec::at(late - Duration::hours(1)));
            plan.policy = "tsa_revocation = \"off\"";
            let tsa = kit::TsaSpec {
                not_after: Some(late + Duration::days(10)),
                ..kit::TsaSpec::default()
            };
            let certificate = plan.hpki.tsa_with(tsa);
            plan.stamp.as_mut().unwrap().certificate = Some(certificate);
        },
    ),
];

/// The signing CA with other policies.
fn sign_ca(plan: &Plan, policies: &[ObjectIdentifier]) -> Vec<u8> {
    plan.hpki.ca_with(Ca::Sign, |extensions| {
        extensions.retain(|extension| extension.extn_id != ID_CE_CERTIFICATE_POLICIES);
        if !policies.is_empty() {
            let list = policies.iter().map(|policy| vec![*policy]).collect::<Vec<_>>();
            let value = der::Encode::to_der(&list).unwrap();
            extensions.push(kit::x509::extension(ID_CE_CERTIFICATE_POLICIES, true, &value));
        }
    })
}

fn pss(hpki: &TestHpki, content: &[u8]) -> Vec<u8> {
    let card = hpki.doctor();
    let identity = SigningIdentity {
        certificate: card.certificate.clone(),
        chain: card.chain.clone(),
        scheme: SignatureScheme::RsaPss,
    };
    let digest = DigestAlgorithm::Sha256;
    let prepared = prepare(&identity, digest, &digest.digest(content), None).unwrap();
    let pair = RsaKeyPair::from_pkcs8(&card.pkcs8).unwrap();
    let mut value = vec![0; pair.public_modulus_len()];
    pair.sign(
        &RSA_PSS_SHA256,
        &SystemRandom::new(),
        prepared.to_be_signed(),
        &mut value,
    )
    .unwrap();
    prepared.finish(&value).unwrap()
}

/// Two certificates for one serial, of one length; the signature vouches for the one and carries the other.
fn ess_mismatch(hpki: &TestHpki, content: &[u8]) -> Vec<u8> {
    let issued = |not_after| -> Card {
        hpki.card(CardSpec {
            not_after: Some(not_after),
            ..CardSpec::doctor()
        })
    };
    let (meant, carried) = (issued(hours(1_000)), issued(hours(1_001)));
    let unstamped = kit::ContainerOptions {
        stamp: None,
        signing_time: None,
    };
    let mut signature = hpki.signature(&meant, content, unstamped);
    let length = meant.certificate.len();
    assert_eq!(length, carried.certificate.len());
    let at = signature
        .windows(length)
        .position(|window| window == meant.certificate)
        .unwrap();
    signature[at..at + length].copy_from_slice(&carried.certificate);
    signature
}

/// What the writer refuses to make, made by OpenSSL.
fn openssl_signature(certificate: &[u8], key_pem: &str, digest: &str, content: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("cert.pem"), kit::pem("CERTIFICATE", certificate)).unwrap();
    std::fs::write(path("key.pem"), key_pem).unwrap();
    std::fs::write(path("content"), content).unwrap();
    let mut command = Command::new("openssl");
    command.args([
        "cms",
        "-sign",
        "-cades",
        "-binary",
        "-nosmimecap",
        "-outform",
        "DER",
        "-md",
        digest,
    ]);
    command
        .arg("-in")
        .arg(path("content"))
        .arg("-signer")
        .arg(path("cert.pem"));
    command
        .arg("-inkey")
        .arg(path("key.pem"))
        .arg("-out")
        .arg(path("signature"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    std::fs::read(path("signature")).unwrap()
}

/// A card with a key of 1024 bits: OpenSSL makes the key and has the signing CA certify it.
fn rsa1024(hpki: &TestHpki, content: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let roles = formats::hc_role::encode(&[formats::hc_role::HcRole("Medical Doctor".into())]);
    let extensions = format!(
        "keyUsage=critical,nonRepudiation\ncertificatePolicies=critical,1.2.392.100495.1.5.1.1.3.1\n\
         crlDistributionPoints=URI:http://crl.example/crl/sign.crl\nsubjectDirectoryAttributes=DER:{}\n",
        hex::encode(roles)
    );
    std::fs::write(path("extensions"), extensions).unwrap();
    std::fs::write(path("ca.pem"), kit::pem("CERTIFICATE", &hpki.ca(Ca::Sign))).unwrap();
    std::fs::write(path("ca.key"), Key::SignCa.pem()).unwrap();
    let run = |arguments: &str| {
        let output = Command::new("openssl")
            .current_dir(folder.path())
            .args(arguments.split(' '))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    run("genrsa -out key.pem 1024");
    run("req -new -key key.pem -subj /C=JP/CN=Hachiro -out request.pem");
    run(
        "x509 -req -in request.pem -CA ca.pem -CAkey ca.key -set_serial 4242 -days 3650 -extfile extensions -outform DER -out cert.der",
    );
    let (certificate, key) = (
        std::fs::read(path("cert.der")).unwrap(),
        std::fs::read_to_string(path("key.pem")).unwrap(),
    );
    openssl_signature(&certificate, &key, "sha256", content)
}
