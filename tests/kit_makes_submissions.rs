//! What the kit submits is real: OpenSSL verifies the signature over the manifest; letters and images are what they say.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::io::Cursor;

use formats::asice::Container;
use formats::dicom::Header;
use formats::letter::{LetterForm, describe, recognise};
use kit::{Ca, ContainerOptions, SoftHsm, TestHpki};
use time::macros::datetime;

#[test]
fn letters_and_images_are_recognised() {
    for (letter, form) in [
        (kit::letter_pdf(), LetterForm::Pdf),
        (kit::letter_fhir(), LetterForm::Fhir),
        (kit::letter_cda(), LetterForm::Cda),
    ] {
        assert_eq!(recognise(&letter), Some(form));
        assert!(describe(&letter).unwrap().is_some());
    }
    let header = Header::read(kit::dicom(1, 1, 1).as_slice()).unwrap();
    assert_eq!(header.sop_instance.as_deref(), Some("2.25.1000.1.1.1"));
    assert_ne!(kit::dicom(1, 1, 1), kit::dicom(1, 1, 2));
}

#[test]
fn openssl_verifies_signatures_of_every_kind_of_key() {
    let hpki = TestHpki::new("http://127.0.0.1:9", datetime!(2026-11-24 03:00 UTC));
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let root = file("root.pem", kit::pem("CERTIFICATE", &hpki.ca(Ca::Root)).as_bytes());
    let (content, other) = (file("content", b"manifest"), file("other", b"other"));
    let at = hpki.now().unix_timestamp().to_string();
    for card in [hpki.doctor(), hpki.ec_doctor()] {
        let signature = hpki.signature(&card, b"manifest", ContainerOptions::at(hpki.now()));
        let signature = file("signature.p7s", &signature);
        let verify = |content: &str| {
            kit::openssl([
                "cms",
                "-verify",
                "-cades",
                "-binary",
                "-inform",
                "DER",
                "-in",
                &signature,
                "-content",
                content,
                "-CAfile",
                &root,
                "-purpose",
                "any",
                "-attime",
                &at,
                "-out",
                "/dev/null",
            ])
        };
        let good = verify(&content);
        assert!(good.status.success(), "{}", String::from_utf8_lossy(&good.stderr));
        assert!(!verify(&other).status.success());
    }
}

#[test]
fn a_referral_is_a_container_with_the_signature_first() {
    let hpki = TestHpki::new("http://127.0.0.1:9", datetime!(2026-11-24 03:00 UTC));
    let (envelope, files) = kit::referral();
    let container = hpki.container(&hpki.doctor(), &envelope, &files, ContainerOptions::at(hpki.now()));
    let text = String::from_utf8_lossy(&container);
    let places: Vec<usize> = [
        "mimetype",
        "META-INF/ASiCManifest001.xml",
        "META-INF/signature001.p7s",
        "letter/letter.pdf",
    ]
    .iter()
    .map(|name| text.find(name).unwrap())
    .collect();
    assert!(places.is_sorted());
    let read = Container::read(&mut Cursor::new(&container)).unwrap();
    assert_eq!(read.findings, []);
    assert!(read.envelope == Some(envelope));
    assert_eq!((read.files.len(), read.signatures.len()), (4, 1));
}

#[test]
fn a_software_card_signs_with_the_doctors_key() {
    let Some(module) = SoftHsm::module_or_skip("a_software_card_signs_with_the_doctors_key") else {
        return;
    };
    let hpki = TestHpki::new("http://127.0.0.1:9", datetime!(2026-11-24 03:00 UTC));
    let doctor = hpki.doctor();
    let token = SoftHsm::with(&doctor);
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("input"), folder.path().join("output"));
    std::fs::write(&input, b"to be signed").unwrap();
    let status = std::process::Command::new("pkcs11-tool")
        .arg("--module")
        .arg(module)
        .args(["--token-label", SoftHsm::LABEL, "--login", "--pin", SoftHsm::PIN])
        .args(["--sign", "--id", "17", "-m", "SHA256-RSA-PKCS", "-i"])
        .arg(&input)
        .arg("-o")
        .arg(&output)
        .envs(token.environment())
        .output()
        .unwrap();
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    let expected = doctor.sign(b"to be signed", formats::digest::DigestAlgorithm::Sha256);
    assert_eq!(std::fs::read(&output).unwrap(), expected);
}
