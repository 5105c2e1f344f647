//! The kit's OCSP responder satisfies OpenSSL, goes wrong exactly as asked, and is where a card says it is.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::process::Output;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kit::ocsp::ocsp_request;
use kit::plain_http::{get, post};
use kit::{Ca, Card, CardSpec, CrlReason, Fault, Responder, Services};
use tempfile::TempDir;
use time::{Duration, OffsetDateTime};

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

/// OpenSSL asks the card's responder, with a nonce, and judges the answer. Its exit status tells little, so its words count.
fn ask(services: &Services, card: &Card, options: &[&str]) -> String {
    let folder: TempDir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let hpki = services.hpki();
    let issuer = write("issuer.pem", kit::pem("CERTIFICATE", &hpki.ca(card.ca)));
    let root = write("root.pem", kit::pem("CERTIFICATE", &hpki.ca(Ca::Root)));
    let certificate = write("card.pem", kit::pem("CERTIFICATE", &card.certificate));
    let url = format!("{}{}", services.url(), card.ca.ocsp_path());
    let mut arguments = vec!["ocsp"];
    arguments.extend(options);
    arguments.extend(["-issuer", &issuer, "-cert", &certificate, "-url", &url]);
    arguments.extend(["-CAfile", &root, "-verify_other", &issuer]);
    said(&kit::openssl(arguments))
}

#[test]
fn openssl_takes_the_answers_of_either_responder() {
    let services = Services::start_blocking(0);
    let hpki = services.hpki();
    let doctor = hpki.doctor();
    let lost = hpki.nurse();
    let strange = hpki.dentist();
    services.revoke(
        &lost,
        OffsetDateTime::now_utc() - Duration::hours(1),
        CrlReason::KeyCompromise,
    );
    let forgotten = post(&format!("{}/admin/forget/dentist", services.url()), &[]).unwrap();
    assert_eq!(forgotten.status, 200);
    let forgotten = hpki.pharmacist();
    services.forget(&forgotten);
    for responder in [Responder::Delegated, Responder::Ca] {
        services.set_responder(responder);
        for hash in ["-sha1", "-sha256"] {
            for (card, status) in [
                (&doctor, ": good"),
                (&lost, ": revoked"),
                (&strange, ": unknown"),
                (&forgotten, ": unknown"),
            ] {
                let said = ask(&services, card, &[hash]);
                assert!(said.contains("Response verify OK"), "{responder:?} {hash}: {said}");
                assert!(said.contains(status), "{responder:?} {hash} {status}: {said}");
                assert!(!said.contains("WARNING"), "the nonce comes back: {said}");
            }
            assert!(ask(&services, &lost, &[hash]).contains("Reason: keyCompromise"));
        }
        let other = hpki.auth_card();
        let said = ask(&services, &other, &[]);
        assert!(said.contains("Response verify OK") && said.contains(": good"), "{said}");
    }
    services.release(&lost);
    assert!(ask(&services, &lost, &[]).contains(": good"));
}

#[test]
fn openssl_sees_every_fault() {
    let services = Services::start_blocking(0);
    let doctor = services.hpki().doctor();
    for (fault, complaint) in [
        (Fault::WrongSigner, "Response Verify Failure"),
        (Fault::WrongNonce, "Nonce Verify error"),
        (Fault::WrongImprint, "No Status found"),
        (Fault::Stale, "Status times invalid"),
        (Fault::Rejected, "unauthorized"),
        (Fault::Garbage, "Error querying OCSP responder"),
        (Fault::Truncated(100), "Error querying OCSP responder"),
        (Fault::Status(503), "Error querying OCSP responder"),
        (Fault::Down, "Error querying OCSP responder"),
    ] {
        services.fault("/ocsp/sign", Some(fault.clone()));
        let said = ask(&services, &doctor, &[]);
        assert!(said.contains(complaint), "{fault:?}: {said}");
    }
    services.fault("/ocsp/sign", Some(Fault::Slow(std::time::Duration::from_millis(60))));
    assert!(ask(&services, &doctor, &[]).contains("Response verify OK"));
}

#[test]
fn get_and_post_are_answered_alike() {
    let services = Services::start_blocking(0);
    services.set_now(Some(OffsetDateTime::now_utc()));
    let card = services.hpki().card(CardSpec {
        with_ocsp: true,
        ..CardSpec::doctor()
    });
    let url = format!("{}{}", services.url(), card.ca.ocsp_path());
    let named = |certificate: &[u8]| certificate.windows(url.len()).any(|window| window == url.as_bytes());
    assert!(named(&card.certificate));
    assert!(!named(&services.hpki().doctor().certificate), "as deployed: none");

    let request = ocsp_request(card.ca, card.serial);
    let posted = post(&url, &request).unwrap();
    assert_eq!(posted.status, 200);
    assert!(posted.headers.to_lowercase().contains("application/ocsp-response"));
    let text = STANDARD.encode(&request);
    let escaped = text.replace('+', "%2B").replace('/', "%2F").replace('=', "%3d");
    for path in [text, escaped] {
        assert_eq!(get(&format!("{url}/{path}")).unwrap().body, posted.body);
    }
    let malformed = vec![0x30, 3, 0x0a, 1, 1];
    assert_eq!(post(&url, b"hello").unwrap().body, malformed);
    assert_eq!(get(&format!("{url}/%%%")).unwrap().body, malformed);
    assert_eq!(get(&format!("{url}x/")).unwrap().status, 404);
}
