//! The kit's time stamps satisfy OpenSSL, and its services go wrong exactly as asked.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::path::PathBuf;
use std::process::Output;
use std::time::{Duration, Instant};

use der::Decode;
use formats::digest::{DigestAlgorithm, sha256};
use kit::plain_http::{Answer, get, post};
use kit::{Ca, CrlReason, Ess, Fault, Key, Services, TestHpki, TokenSpec, TsaSpec};
use tempfile::TempDir;
use time::OffsetDateTime;
use time::macros::datetime;
use x509_cert::crl::CertificateList;

const NOW: OffsetDateTime = datetime!(2026-11-24 03:00:00.197 UTC);
const DOCUMENT: &[u8] = b"to be stamped";

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path: PathBuf = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

/// `authority` stands beside the token, so that a token without certificate verifies too.
fn verify_token(hpki: &TestHpki, authority: &[u8], token: &[u8]) -> Output {
    let folder = Folder::new();
    let token = folder.write("token.der", token);
    let document = folder.write("document", DOCUMENT);
    let root = folder.write("root.pem", kit::pem("CERTIFICATE", &hpki.ca(Ca::TsaRoot)));
    let tsa = folder.write("tsa.pem", kit::pem("CERTIFICATE", authority));
    let at = hpki.now().unix_timestamp().to_string();
    kit::openssl([
        "ts",
        "-verify",
        "-token_in",
        "-in",
        &token,
        "-data",
        &document,
        "-CAfile",
        &root,
        "-untrusted",
        &tsa,
        "-attime",
        &at,
    ])
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

#[test]
fn openssl_accepts_tokens_with_either_ess_attribute_and_every_hash() {
    let hpki = TestHpki::new("http://127.0.0.1:9", NOW);
    for ess in [Ess::V1, Ess::V2] {
        for algorithm in DigestAlgorithm::ALL {
            for with_certificate in [true, false] {
                let spec = TokenSpec {
                    ess,
                    with_certificate,
                    digest: algorithm,
                    nonce: Some(vec![0xc0, 0x66]),
                    ..TokenSpec::at(NOW)
                };
                let token = hpki.tsa_token(algorithm, &algorithm.digest(DOCUMENT), spec);
                let output = verify_token(&hpki, &hpki.tsa(), &token);
                assert!(output.status.success(), "{ess:?} {algorithm:?}: {}", said(&output));
            }
        }
    }
}

#[test]
fn openssl_refuses_tokens_made_wrong() {
    let hpki = TestHpki::new("http://127.0.0.1:9", NOW);
    let good = || TokenSpec::at(NOW);
    let cases = [
        (
            "wrong key",
            "signature failure",
            sha256(DOCUMENT),
            TokenSpec {
                key: Key::Spare,
                ..good()
            },
        ),
        (
            "other imprint",
            "message imprint mismatch",
            sha256(b"something else"),
            good(),
        ),
        (
            "no purpose",
            "unsuitable certificate purpose",
            sha256(DOCUMENT),
            TokenSpec {
                certificate: Some(hpki.tsa_with(TsaSpec {
                    purposes: Vec::new(),
                    ..TsaSpec::default()
                })),
                ..good()
            },
        ),
        (
            "purpose not critical",
            "unsuitable certificate purpose",
            sha256(DOCUMENT),
            TokenSpec {
                certificate: Some(hpki.tsa_with(TsaSpec {
                    critical: false,
                    ..TsaSpec::default()
                })),
                ..good()
            },
        ),
        (
            "under the HPKI root",
            "certificate verify error",
            sha256(DOCUMENT),
            TokenSpec {
                certificate: Some(hpki.tsa_with(TsaSpec {
                    ca: Ca::Root,
                    ..TsaSpec::default()
                })),
                ..good()
            },
        ),
    ];
    for (case, complaint, imprint, spec) in cases {
        let authority = spec.certificate.clone().unwrap_or_else(|| hpki.tsa());
        let token = hpki.tsa_token(DigestAlgorithm::Sha256, &imprint, spec);
        let output = verify_token(&hpki, &authority, &token);
        assert!(!output.status.success(), "{case}");
        let said = said(&output);
        assert!(said.contains(complaint), "{case}: {said}");
    }
}

/// Asks the running authority as OpenSSL does, and has OpenSSL judge the answer.
fn stamp_and_verify(services: &Services) -> Output {
    let folder = Folder::new();
    let document = folder.write("document", DOCUMENT);
    let query = folder.write("query.tsq", "");
    let asked = kit::openssl(["ts", "-query", "-data", &document, "-sha512", "-cert", "-out", &query]);
    assert!(asked.status.success(), "{}", said(&asked));
    let answer = post(&services.tsa_url(), &std::fs::read(&query).unwrap()).unwrap();
    assert_eq!(answer.status, 200);
    let response = folder.write("response.tsr", answer.body);
    let root = folder.write("root.pem", kit::pem("CERTIFICATE", &services.hpki().ca(Ca::TsaRoot)));
    kit::openssl([
        "ts",
        "-verify",
        "-queryfile",
        &query,
        "-in",
        &response,
        "-CAfile",
        &root,
    ])
}

#[test]
fn openssl_accepts_the_running_authority_and_sees_its_faults() {
    let services = Services::start_blocking(0);
    let output = stamp_and_verify(&services);
    assert!(output.status.success(), "{}", said(&output));
    services.set_ess(Ess::V1);
    let output = stamp_and_verify(&services);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(services.requests("/tsa"), 2);
    let faults = [
        (Fault::WrongNonce, "nonce mismatch"),
        (Fault::WrongImprint, "message imprint mismatch"),
        (Fault::WrongSigner, "signature failure"),
        (Fault::Rejected, "status code: rejection"),
        (Fault::Garbage, "asn1"),
        (Fault::Truncated(100), "asn1"),
    ];
    for (fault, complaint) in faults {
        services.fault("/tsa", Some(fault.clone()));
        let output = stamp_and_verify(&services);
        assert!(!output.status.success(), "{fault:?}");
        let said = said(&output).to_lowercase();
        assert!(said.contains(complaint), "{fault:?}: {said}");
    }
    services.fault("/tsa", None);
    assert!(stamp_and_verify(&services).status.success());
}

fn list(services: &Services, path: &str) -> CertificateList {
    let answer = get(&format!("{}{path}", services.url())).unwrap();
    assert_eq!(answer.status, 200);
    CertificateList::from_der(&answer.body).unwrap()
}

#[tokio::test]
async fn a_revoked_card_is_on_the_next_list() {
    let services = Services::start().await;
    let doctor = services.hpki().doctor();
    let path = Ca::Sign.crl_path();
    assert_eq!(list(&services, path).tbs_cert_list.revoked_certificates, None);
    services.revoke(&doctor, OffsetDateTime::now_utc(), CrlReason::KeyCompromise);
    let revoked = list(&services, path).tbs_cert_list.revoked_certificates.unwrap();
    assert_eq!(revoked.len(), 1);
    assert_eq!(
        revoked[0].serial_number.as_bytes(),
        doctor.serial.to_be_bytes()[6..].to_vec()
    );
    assert_eq!(
        list(&services, Ca::Auth.crl_path()).tbs_cert_list.revoked_certificates,
        None
    );
    services.release(&doctor);
    assert_eq!(list(&services, path).tbs_cert_list.revoked_certificates, None);
}

#[test]
fn the_address_in_a_card_leads_to_its_list() {
    let services = Services::start_blocking(0);
    let certificate = services.hpki().doctor().certificate;
    let address = format!("{}{}", services.url(), Ca::Sign.crl_path());
    assert!(
        certificate
            .windows(address.len())
            .any(|window| window == address.as_bytes())
    );
    for ca in Ca::ALL {
        assert_eq!(list(&services, ca.crl_path()).tbs_cert_list.issuer, ca.name());
    }
    assert_eq!(list(&services, "/crl/rarl.crl").tbs_cert_list.issuer, Ca::Root.name());
}

/// But for the header, which tells the time.
fn same(one: &Answer, other: &Answer) -> bool {
    (one.status, &one.body) == (other.status, &other.body)
}

#[test]
fn faults_do_what_they_say() {
    let services = Services::start_blocking(0);
    let path = Ca::Sign.crl_path();
    let url = format!("{}{path}", services.url());
    services.set_now(Some(NOW));
    let right = get(&url).unwrap();
    let set = |fault| services.fault("/crl/", Some(fault));

    set(Fault::Down);
    assert!(get(&url).is_err());
    set(Fault::Slow(Duration::from_millis(60)));
    let started = Instant::now();
    assert!(same(&get(&url).unwrap(), &right));
    assert!(started.elapsed() >= Duration::from_millis(60));
    set(Fault::Status(503));
    assert_eq!(get(&url).unwrap().status, 503);
    set(Fault::Garbage);
    let garbage = get(&url).unwrap();
    assert_eq!(garbage.status, 200);
    assert!(CertificateList::<x509_cert::certificate::Rfc5280>::from_der(&garbage.body).is_err());
    set(Fault::Truncated(100));
    assert_eq!(get(&url).unwrap().body, right.body[..100]);
    set(Fault::Redirect("http://127.0.0.1:9/".into()));
    let redirect = get(&url).unwrap();
    assert_eq!(redirect.status, 302);
    assert!(
        redirect
            .headers
            .to_lowercase()
            .contains("location: http://127.0.0.1:9/")
    );
    set(Fault::Huge);
    assert_eq!(get(&url).unwrap().body.len(), 64 << 20);
    set(Fault::Stale);
    let stale = list(&services, path).tbs_cert_list.next_update.unwrap();
    assert!(stale.to_unix_duration().as_secs() < NOW.unix_timestamp() as u64);
    set(Fault::WrongSigner);
    let forged = get(&url).unwrap();
    assert_ne!(forged.body, right.body);
    assert_eq!(
        list(&services, path).tbs_cert_list,
        CertificateList::<x509_cert::certificate::Rfc5280>::from_der(&right.body)
            .unwrap()
            .tbs_cert_list
    );

    // The longest prefix counts, and others are not touched.
    services.fault("/crl/", Some(Fault::Down));
    services.fault(path, Some(Fault::Status(410)));
    assert_eq!(get(&url).unwrap().status, 410);
    assert!(get(&format!("{}{}", services.url(), Ca::Auth.crl_path())).is_err());
    assert_eq!(get(&format!("{}/ca/sign.der", services.url())).unwrap().status, 200);
    services.fault(path, None);
    services.fault("/crl/", None);
    assert!(same(&get(&url).unwrap(), &right));
}

#[test]
fn partners_control_the_services_over_http() {
    let services = Services::start_blocking(0);
    let control = |path: &str| post(&format!("{}/admin/{path}", services.url()), &[]).unwrap();
    assert_eq!(control("revoke/doctor?reason=keyCompromise").status, 200);
    assert!(
        list(&services, Ca::Sign.crl_path())
            .tbs_cert_list
            .revoked_certificates
            .is_some()
    );
    assert_eq!(control("release/doctor").status, 200);
    assert_eq!(
        list(&services, Ca::Sign.crl_path()).tbs_cert_list.revoked_certificates,
        None
    );
    assert_eq!(control("fault?path=/crl/&kind=status-503").status, 200);
    assert_eq!(get(&format!("{}/crl/sign.crl", services.url())).unwrap().status, 503);
    assert_eq!(control("fault?path=/crl/&kind=none").status, 200);
    assert_eq!(get(&format!("{}/crl/sign.crl", services.url())).unwrap().status, 200);
    for wrong in [
        "revoke/nobody",
        "fault?path=/crl/&kind=odd",
        "fault?kind=down",
        "status",
    ] {
        assert_eq!(control(wrong).status, 400, "{wrong}");
    }
}

#[test]
fn trust_and_evidence_directories_hold_what_a_verifier_needs() {
    let folder = Folder::new();
    let hpki = TestHpki::new("http://127.0.0.1:9", NOW);
    let (trust, evidence) = (folder.0.path().join("trust"), folder.0.path().join("evidence"));
    hpki.write_trust(&trust);
    hpki.write_evidence(&evidence, NOW, &[]);
    let count = |path: PathBuf| std::fs::read_dir(path).unwrap().count();
    assert_eq!(count(trust.join("hpki")), 1);
    assert_eq!(count(trust.join("tsa")), 1);
    assert_eq!(count(trust.join("intermediates")), 3);
    assert_eq!(count(evidence), 6);
    let policy = std::fs::read_to_string(trust.join("policy.toml")).unwrap();
    assert_eq!(
        trust_store::policy::Policy::from_toml(&policy).unwrap(),
        trust_store::policy::Policy::default()
    );
}
