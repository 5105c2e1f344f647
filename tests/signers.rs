//! Keys: the signers' conformance suite over soft keys, over SoftHSM tokens, and over a token of exactly the shape HPKI card
//! drivers have.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use client::error::Failure;
use client::signer::Signer;
use client::signer::conformance;
use client::signer::pkcs11::Pkcs11Signer;
use client::signer::pkcs11::token::Choice;
use client::signer::soft::SoftSigner;
use formats::cades::SignatureScheme;
use kit::{CardSpec, SoftHsm, TestHpki};
use time::OffsetDateTime;

const MODULE: &str = "HIKYAKU_TEST_MODULE";
const PSS: &str = "HIKYAKU_TEST_PSS";

fn hpki() -> TestHpki {
    TestHpki::new("http://127.0.0.1:9", OffsetDateTime::now_utc())
}

#[test]
fn soft_keys_conform() {
    let hpki = hpki();
    for (card, pss, scheme) in [
        (hpki.doctor(), false, SignatureScheme::RsaPkcs1),
        (hpki.doctor(), true, SignatureScheme::RsaPss),
        (hpki.card(CardSpec::rsa3072_doctor()), false, SignatureScheme::RsaPkcs1),
        (hpki.ec_doctor(), false, SignatureScheme::Ecdsa),
        (hpki.card(CardSpec::p384_doctor()), false, SignatureScheme::Ecdsa),
    ] {
        let (key, certificates) = (card.key_pem(), card.certificates_pem());
        let pem = SoftSigner::from_key_and_certificates(key.as_bytes(), certificates.as_bytes(), "PEM");
        let pkcs12 = SoftSigner::from_pkcs12(&card.pkcs12("secret"), "secret", "PKCS #12");
        for signer in [pem, pkcs12] {
            let mut signer = signer.unwrap().with_pss(pss);
            assert_eq!(signer.scheme(), scheme);
            assert_eq!(signer.certificate().der(), card.certificate);
            conformance::all(&mut signer);
        }
    }
}

#[test]
fn a_wrong_password_and_another_keys_certificate_open_nothing() {
    let hpki = hpki();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("doctor.p12");
    std::fs::write(&file, hpki.doctor().pkcs12("secret")).unwrap();
    let mut asked = 0;
    let opened = SoftSigner::open(&file, None, || {
        asked += 1;
        Ok("wrong".to_owned().into())
    });
    assert_eq!(opened.err().as_ref().map(Failure::code), Some("key_password"));
    assert_eq!(asked, 1);
    let (key, certificates) = (hpki.doctor().key_pem(), hpki.nurse().certificates_pem());
    let opened = SoftSigner::from_key_and_certificates(key.as_bytes(), certificates.as_bytes(), "PEM");
    assert_eq!(opened.err().as_ref().map(Failure::code), Some("key_mismatch"));
}

#[test]
fn softhsm_tokens_conform() {
    let Some(module) = SoftHsm::module_or_skip("softhsm_tokens_conform") else {
        return;
    };
    let hpki = hpki();
    for (card, pss) in [
        (hpki.doctor(), false),
        (hpki.doctor(), true),
        (hpki.ec_doctor(), false),
        (hpki.card(CardSpec::p384_doctor()), false),
    ] {
        in_a_process_of_its_own(&SoftHsm::with(&card), module, pss, &[]);
    }
}

#[test]
fn a_token_with_only_what_hpki_drivers_have_conforms_and_each_signature_has_a_login_of_its_own() {
    let name = "a_token_with_only_what_hpki_drivers_have_conforms_and_each_signature_has_a_login_of_its_own";
    let Some(module) = SoftHsm::module_or_skip(name) else {
        return;
    };
    let Some(shim) = shim() else {
        return kit::skip(name, "no cc");
    };
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("calls");
    let environment = [("HPKI_SHIM_BEHIND", module), ("HPKI_SHIM_LOG", log.as_path())];
    let token = SoftHsm::with(&hpki().doctor());
    in_a_process_of_its_own(&token, &shim, false, &environment);

    let calls = std::fs::read_to_string(&log).unwrap();
    let calls: Vec<&str> = calls.lines().collect();
    let signatures = calls.iter().filter(|call| call.starts_with("sign")).count();
    assert!(signatures >= 4, "{calls:?}");
    // Login and signature in turn, all accepted, until the wrong PIN: that is presented once in each of two attempts.
    let (good, wrong) = calls.split_at(2 * signatures);
    assert!(
        good.chunks(2).all(|pair| pair == ["login 0x0", "sign 0x0"]),
        "{calls:?}"
    );
    assert_eq!(wrong, ["login 0xa0", "login 0xa0"], "CKR_PIN_INCORRECT");

    // What the drivers do not have is said before anyone is asked for a PIN.
    let output = Command::new(kit::bin("hikyaku"))
        .args(["sign", "--json", "--pss", "--detached", file!(), "--module"])
        .arg(&shim)
        .arg("--out")
        .arg(folder.path().join("out.p7s"))
        .env("HIKYAKU_HOME", folder.path())
        .envs(token.environment())
        .envs(environment)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["code"], "mechanism_not_offered");
}

/// Runs the test below: modules read their configuration from the environment, which a running test cannot change.
fn in_a_process_of_its_own(token: &SoftHsm, module: &Path, pss: bool, environment: &[(&str, &Path)]) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_token_conforms", "--ignored", "--nocapture"])
        .env(MODULE, module)
        .envs(pss.then_some((PSS, "")))
        .envs(token.environment())
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}\n{output:?}"
    );
}

#[test]
#[ignore = "run by the tests above, each time with another token in the environment"]
fn a_token_conforms() {
    let Some(module) = std::env::var_os(MODULE) else { return };
    let choice = Choice {
        module: Some(PathBuf::from(module)),
        ..Choice::default()
    };
    let pss = std::env::var_os(PSS).is_some();
    let open = |ask| {
        let signer = Pkcs11Signer::open(&choice, pss, Duration::ZERO, ask).unwrap();
        // Beside it lie the certificates of its CAs, as on a card.
        assert!(!signer.certificate().is_ca());
        assert!(!signer.chain().is_empty());
        signer
    };
    conformance::a_right_pin_is_asked_for_once(open, SoftHsm::PIN);
    conformance::a_wrong_pin_is_never_tried_again(open, "9999");
}

/// The shim, compiled; none without a C compiler.
fn shim() -> Option<PathBuf> {
    if Command::new("cc").arg("--version").output().is_err() {
        return None;
    }
    let shim = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("libhpki_shim.so");
    let output = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o"])
        .arg(&shim)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/cards/hpki_shim.c"))
        .arg("-ldl")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(shim)
}
