//! The test HPKI is like the deployed one: OpenSSL verifies it, and its shapes are those of real certificates and CRLs.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::path::{Path, PathBuf};
use std::process::Output;

use der::Decode;
use kit::{Ca, Card, CardSpec, CrlReason, CrlSpec, Key, TestHpki};
use tempfile::TempDir;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};
use x509_cert::Certificate;
use x509_cert::crl::CertificateList;
use x509_cert::ext::Extension;

const NOW: OffsetDateTime = datetime!(2026-11-24 03:00 UTC);

fn hpki() -> TestHpki {
    TestHpki::new("http://127.0.0.1:9", NOW)
}

/// A folder of PEM files for OpenSSL.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn pem(&self, name: &str, label: &'static str, ders: &[Vec<u8>]) -> PathBuf {
        self.write(name, ders.iter().map(|der| kit::pem(label, der)).collect::<String>())
    }
}

fn verify(hpki: &TestHpki, card: &Card, crl: CrlSpec) -> Output {
    let folder = Folder::new();
    let lists = [
        hpki.crl(card.ca, crl),
        hpki.sarl(CrlSpec::at(NOW - Duration::hours(8))),
        hpki.rarl(CrlSpec::at(NOW - Duration::hours(8))),
    ];
    let lists = folder.pem("lists.pem", "X509 CRL", &lists);
    let root = folder.pem("root.pem", "CERTIFICATE", &[hpki.ca(Ca::Root)]);
    let untrusted = folder.pem("untrusted.pem", "CERTIFICATE", &card.chain);
    let leaf = folder.pem("leaf.pem", "CERTIFICATE", std::slice::from_ref(&card.certificate));
    let at = NOW.unix_timestamp().to_string();
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    kit::openssl([
        "verify".into(),
        "-x509_strict".into(),
        "-crl_check_all".into(),
        "-extended_crl".into(),
        "-policy_check".into(),
        "-attime".into(),
        at,
        "-CRLfile".into(),
        path(&lists),
        "-CAfile".into(),
        path(&root),
        "-untrusted".into(),
        path(&untrusted),
        path(&leaf),
    ])
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

#[test]
fn openssl_verifies_every_card_strictly_with_revocation() {
    let hpki = hpki();
    let specs = [
        CardSpec::doctor(),
        CardSpec::pharmacist(),
        CardSpec::nurse(),
        CardSpec::dentist(),
        CardSpec::no_role(),
        CardSpec::ec_doctor(),
        CardSpec::p384_doctor(),
        CardSpec::rsa3072_doctor(),
        CardSpec::auth(),
        CardSpec {
            ca: Ca::SignRollover,
            ..CardSpec::doctor()
        },
    ];
    for spec in specs {
        let card = hpki.card(spec);
        let output = verify(&hpki, &card, CrlSpec::at(NOW - Duration::hours(1)));
        assert!(output.status.success(), "{}", said(&output));
    }
}

#[test]
fn openssl_sees_a_revoked_card_a_stale_list_and_a_forged_one() {
    let hpki = hpki();
    let doctor = hpki.doctor();
    let fresh = CrlSpec::at(NOW - Duration::hours(1));
    let revoking = fresh
        .clone()
        .revoking(doctor.serial, NOW - Duration::days(1), CrlReason::KeyCompromise);
    let cases = [
        ("certificate revoked", revoking),
        ("CRL has expired", CrlSpec::at(NOW - Duration::hours(97))),
        (
            "CRL signature failure",
            CrlSpec {
                signer: Some(Key::Spare),
                ..fresh
            },
        ),
    ];
    for (complaint, spec) in cases {
        let output = verify(&hpki, &doctor, spec);
        assert!(!output.status.success());
        assert!(said(&output).contains(complaint), "{complaint}: {}", said(&output));
    }
}

#[test]
fn openssl_refuses_a_card_another_key_signed() {
    let hpki = hpki();
    let card = hpki.card(CardSpec {
        issuer_key: Some(Key::Spare),
        ..CardSpec::doctor()
    });
    let output = verify(&hpki, &card, CrlSpec::at(NOW));
    assert!(
        said(&output).contains("certificate signature failure"),
        "{}",
        said(&output)
    );
}

fn extensions(certificate: &[u8]) -> Vec<(String, bool)> {
    let certificate = Certificate::from_der(certificate).unwrap();
    outline(certificate.tbs_certificate().extensions().unwrap())
}

fn outline(extensions: &[Extension]) -> Vec<(String, bool)> {
    extensions
        .iter()
        .map(|extension| (extension.extn_id.to_string(), extension.critical))
        .collect()
}

/// Attribute types and string tags of a name, in order.
fn name_shape(name: &x509_cert::name::Name) -> Vec<(String, der::Tag)> {
    name.iter()
        .map(|attribute| (attribute.oid.to_string(), der::Tagged::tag(&attribute.value)))
        .collect()
}

#[test]
fn certificates_have_the_shape_of_real_ones() {
    let Some(real) = kit::fixtures("certificates_have_the_shape_of_real_ones") else {
        return;
    };
    let real = real.join("hpki-real");
    let hpki = hpki();
    let pairs = [
        ("mhlw_hpki_root_ca_v2.der", hpki.ca(Ca::Root)),
        ("medis_sign_ca2.der", hpki.ca(Ca::Sign)),
        ("medis_auth_ca2.der", hpki.ca(Ca::Auth)),
        ("medis_test_ee_doctor_015e.der", hpki.doctor().certificate),
        ("medis_test_ee_pharmacist_0164.der", hpki.pharmacist().certificate),
    ];
    for (file, ours) in pairs {
        let theirs = std::fs::read(real.join(file)).unwrap();
        assert_eq!(extensions(&ours), extensions(&theirs), "{file}");
        let (ours, theirs) = (
            Certificate::from_der(&ours).unwrap(),
            Certificate::from_der(&theirs).unwrap(),
        );
        let (ours, theirs) = (ours.tbs_certificate(), theirs.tbs_certificate());
        assert_eq!(name_shape(ours.subject()), name_shape(theirs.subject()), "{file}");
        assert_eq!(name_shape(ours.issuer()), name_shape(theirs.issuer()), "{file}");
        assert_eq!(ours.signature(), theirs.signature(), "{file}");
        assert_eq!(
            ours.validity().not_after.to_unix_duration().as_secs() % 86_400,
            theirs.validity().not_after.to_unix_duration().as_secs() % 86_400,
            "{file}: the end of a day in Japan"
        );
        for (ours, theirs) in ours.extensions().unwrap().iter().zip(theirs.extensions().unwrap()) {
            let structure = |extension: &Extension| tags(extension.extn_value.as_bytes());
            assert_eq!(structure(ours), structure(theirs), "{file}: {}", ours.extn_id);
        }
    }
}

#[test]
fn revocation_lists_have_the_shape_of_real_ones() {
    let Some(real) = kit::fixtures("revocation_lists_have_the_shape_of_real_ones") else {
        return;
    };
    let real = real.join("hpki-real");
    let hpki = hpki();
    let revoking = CrlSpec::at(NOW).revoking(0x9a, NOW, CrlReason::CessationOfOperation);
    let pairs = [
        ("medis_sign_2022-09-06.crl", hpki.crl(Ca::Sign, revoking)),
        ("mhlw_sarl2_2022-09-05.crl", hpki.sarl(CrlSpec::at(NOW))),
        ("mhlw_rarl2_2017-04-25.crl", hpki.rarl(CrlSpec::at(NOW))),
    ];
    for (file, ours) in pairs {
        let theirs = std::fs::read(real.join(file)).unwrap();
        let ours: CertificateList = Decode::from_der(&ours).unwrap();
        let theirs: CertificateList = Decode::from_der(&theirs).unwrap();
        let (ours, theirs) = (ours.tbs_cert_list, theirs.tbs_cert_list);
        assert_eq!(ours.version, theirs.version);
        assert_eq!(name_shape(&ours.issuer), name_shape(&theirs.issuer), "{file}");
        let (our_extensions, their_extensions) = (ours.crl_extensions.unwrap(), theirs.crl_extensions.unwrap());
        assert_eq!(outline(&our_extensions), outline(&their_extensions), "{file}");
        for (ours, theirs) in our_extensions.iter().zip(&their_extensions) {
            assert_eq!(
                tags(ours.extn_value.as_bytes()),
                tags(theirs.extn_value.as_bytes()),
                "{file}: {}",
                ours.extn_id
            );
        }
        let entry = |list: Option<Vec<x509_cert::crl::RevokedCert>>| {
            list.map(|list| outline(list[0].crl_entry_extensions.as_deref().unwrap()))
        };
        assert_eq!(
            entry(ours.revoked_certificates),
            entry(theirs.revoked_certificates),
            "{file}"
        );
        let period = |from: x509_cert::time::Time, to: Option<x509_cert::time::Time>| {
            to.unwrap().to_unix_duration() - from.to_unix_duration()
        };
        assert_eq!(
            period(ours.this_update, ours.next_update),
            period(theirs.this_update, theirs.next_update),
            "{file}"
        );
    }
}

/// The tags of DER, depth first: two values with equal tags have the same structure.
fn tags(mut der: &[u8]) -> Vec<u8> {
    let mut found = Vec::new();
    while let [tag, length, rest @ ..] = der {
        let (length, rest) = match usize::from(*length) {
            short if short < 0x80 => (short, rest),
            long => {
                let (octets, rest) = rest.split_at(long - 0x80);
                (octets.iter().fold(0, |sum, octet| sum << 8 | usize::from(*octet)), rest)
            }
        };
        let (content, rest) = rest.split_at(length);
        found.push(*tag);
        if tag & 0x20 != 0 {
            found.extend(tags(content));
        }
        der = rest;
    }
    found
}

#[test]
fn a_card_serves_as_pkcs12_and_pem() {
    let folder = Folder::new();
    let card = hpki().doctor();
    let store = folder.write("card.p12", card.pkcs12("secret"));
    let output = kit::openssl([
        "pkcs12",
        "-in",
        store.to_str().unwrap(),
        "-passin",
        "pass:secret",
        "-nodes",
    ]);
    assert!(output.status.success(), "{}", said(&output));
    let text = said(&output);
    assert_eq!(text.matches("BEGIN CERTIFICATE").count(), 3);
    assert!(text.contains("BEGIN PRIVATE KEY"));
    let key = folder.write("key.pem", card.key_pem());
    let public = kit::openssl(["pkey", "-in", key.to_str().unwrap(), "-pubout"]);
    let certificates = folder.write("card.pem", card.certificates_pem());
    let certified = kit::openssl(["x509", "-in", certificates.to_str().unwrap(), "-noout", "-pubkey"]);
    assert_eq!(public.stdout, certified.stdout);
}

#[test]
fn issuing_is_deterministic() {
    assert_eq!(hpki().doctor().certificate, hpki().doctor().certificate);
    assert_eq!(
        hpki().crl(Ca::Sign, CrlSpec::at(NOW)),
        hpki().crl(Ca::Sign, CrlSpec::at(NOW))
    );
}
