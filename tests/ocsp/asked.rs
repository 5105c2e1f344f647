//! Questions and answers over the wire: ours to OpenSSL, the kit's sloppy responder to us.

use super::*;

fn parsed(der: &[u8]) -> Certificate {
    Certificate::parse(der).unwrap()
}

#[test]
fn a_question_knows_its_answer() {
    let (card, issuer) = (parsed(&card()), parsed(&hpki().ca(Ca::Sign)));
    assert_eq!(ocsp_urls(&card), ["http://127.0.0.1:1/ocsp/sign"]);
    assert!(issuer_urls(&card).is_empty());
    let asked = OcspRequest::about(&card, &issuer);
    assert_eq!(asked.encode(None), request(), "as the kit asks");
    let nonce = [7; 16];
    let spec = OcspSpec::at(at(-60));
    let reply = hpki().ocsp(Ca::Sign, &asked.encode(Some(&nonce)), &spec);
    let answer = asked.answered_by(&reply, Some(&nonce)).unwrap();
    assert!(answer.nonce_echoed && answer.this_update == at(-60) && answer.next_update == spec.next_update);
    assert_eq!(asked.answered_by(&reply, Some(&[8; 16])), Err(NotAnswered::WrongNonce));
    let without = hpki().ocsp(Ca::Sign, &request(), &spec);
    assert!(
        !asked.answered_by(&without, Some(&nonce)).unwrap().nonce_echoed,
        "allowed, and told"
    );
    let other = hpki().ocsp(Ca::Sign, &ocsp_request(Ca::Sign, 99), &spec);
    assert_eq!(asked.answered_by(&other, None), Err(NotAnswered::OtherCertificate));
    let refused = asked.answered_by(&[0x30, 3, 0x0a, 1, 6], None).unwrap_err();
    assert_eq!(refused.to_string(), "the OCSP responder answered unauthorized");
    assert!(matches!(
        asked.answered_by(b"hello", None),
        Err(NotAnswered::Malformed(_))
    ));
    // A certID under SHA-256 is recognised as well.
    let mut modern = asked;
    modern.cert_id.hash_algorithm = rfc5912::ID_SHA_256;
    modern.cert_id.issuer_name_hash = sha256(card.issuer.der()).to_vec();
    modern.cert_id.issuer_key_hash = sha256(issuer.key.subject_public_key.raw_bytes()).to_vec();
    let reply = hpki().ocsp(Ca::Sign, &modern.encode(None), &spec);
    assert!(modern.answered_by(&reply, None).is_ok());
    check("SHA-256 certID", &judged(&[reply], &[]), Good);
    let _: &[certificate::Extension] = card.extensions();
}

/// OpenSSL as responder: it reads our question, and we judge good, revoked and unknown by its answers.
#[test]
fn openssl_answers_our_questions() {
    let now = OffsetDateTime::now_utc();
    let hpki = TestHpki::new("http://127.0.0.1:1", now);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let write = |name: &str, bytes: &[u8]| std::fs::write(path(name), bytes).unwrap();
    let spec = CardSpec {
        with_crldp: false,
        with_ocsp: true,
        ..CardSpec::doctor()
    };
    let card = parsed(&hpki.card(spec).certificate);
    let issuer = parsed(&hpki.ca(Ca::Sign));
    write("ca.pem", kit::pem("CERTIFICATE", issuer.der()).as_bytes());
    write(
        "signer.pem",
        kit::pem("CERTIFICATE", &hpki.ocsp_responder(Ca::Sign)).as_bytes(),
    );
    write("key.pem", Key::Ocsp.pem().as_bytes());
    let asked = OcspRequest::about(&card, &issuer);
    let nonce = [0x5a; 16];
    write("question.der", &asked.encode(Some(&nonce)));
    let said = kit::openssl(["ocsp", "-reqin", &path("question.der"), "-req_text"]);
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(
        said.contains("Serial Number: 015E") && said.contains("OCSP Nonce"),
        "{said}"
    );
    for (index, expected) in [
        ("V\t301231235959Z\t\t015E\tunknown\t/CN=card\n", "good"),
        (
            "R\t301231235959Z\t260101000000Z,keyCompromise\t015E\tunknown\t/CN=card\n",
            "revoked",
        ),
        ("V\t301231235959Z\t\t0164\tunknown\t/CN=other\n", "unknown"),
    ] {
        write("index.txt", index.as_bytes());
        for by_key in [false, true] {
            let mut arguments = vec!["ocsp".to_owned()];
            for (name, file) in [
                ("-index", "index.txt"),
                ("-CA", "ca.pem"),
                ("-rsigner", "signer.pem"),
                ("-rkey", "key.pem"),
            ] {
                arguments.extend([name.to_owned(), path(file)]);
            }
            for (name, file) in [("-reqin", "question.der"), ("-respout", "answer.der")] {
                arguments.extend([name.to_owned(), path(file)]);
            }
            arguments.extend(["-nmin", "10"].map(str::to_owned));
            arguments.extend(by_key.then(|| "-resp_key_id".to_owned()));
            let output = kit::openssl(&arguments);
            assert!(output.status.success(), "{output:?}");
            let answer = std::fs::read(path("answer.der")).unwrap();
            assert!(asked.answered_by(&answer, Some(&nonce)).unwrap().nonce_echoed);
            let verdict = chain(
                &card,
                &AnchorSet(TrustAnchor::parse(&hpki.ca(Ca::Root)).unwrap()),
                &CertificatePool::from_der(&[issuer.der().to_vec()]),
                &CrlPool::from_der(&[hpki.sarl(CrlSpec::at(now - Duration::hours(1)))]),
                &OcspPool::from_der(&[answer]),
                now,
                &ChainOptions::default(),
            );
            check(
                expected,
                &verdict,
                match expected {
                    "good" => Good,
                    "revoked" => Expected::Revoked,
                    _ => Silent("does not know the certificate"),
                },
            );
        }
    }
}

/// By POST alone, with fractions of seconds, and `unauthorized` for what it does not know.
#[test]
fn a_sloppy_responder_is_understood() {
    let services = Services::start_blocking(0);
    let now = OffsetDateTime::now_utc().replace_nanosecond(0).unwrap();
    services.set_now(Some(now));
    services.fault("/ocsp/sign", Some(Fault::Sloppy));
    let hpki = services.hpki();
    let spec = CardSpec {
        with_crldp: false,
        with_ocsp: true,
        ..CardSpec::doctor()
    };
    let issued = hpki.card(spec);
    let (card, issuer) = (parsed(&issued.certificate), parsed(&hpki.ca(Ca::Sign)));
    let asked = OcspRequest::about(&card, &issuer);
    let [url] = &ocsp_urls(&card)[..] else {
        panic!("one responder");
    };
    let nonce = [1; 32];
    let judged = |answer: Vec<u8>| {
        chain(
            &card,
            &AnchorSet(TrustAnchor::parse(&hpki.ca(Ca::Root)).unwrap()),
            &CertificatePool::from_der(&[issuer.der().to_vec()]),
            &CrlPool::from_der(&[hpki.sarl(CrlSpec::at(now - Duration::hours(1)))]),
            &OcspPool::from_der(&[answer]),
            now,
            &ChainOptions::default(),
        )
    };
    let answer = kit::plain_http::post(url, &asked.encode(Some(&nonce))).unwrap().body;
    assert!(asked.answered_by(&answer, Some(&nonce)).unwrap().nonce_echoed);
    check("good", &judged(answer), Good);
    assert_eq!(kit::plain_http::get(&format!("{url}/AAAA")).unwrap().status, 404);
    services.forget(&issued);
    let answer = kit::plain_http::post(url, &asked.encode(Some(&nonce))).unwrap().body;
    assert!(matches!(
        asked.answered_by(&answer, Some(&nonce)),
        Err(NotAnswered::Refused(_))
    ));
    check("unknown", &judged(answer), Silent("answered unauthorized"));
    kit::conformance(
        "Sloppy responder: sub-second times, unauthorized, POST only",
        "handled",
        "handled",
    );
}
