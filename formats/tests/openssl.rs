//! Against OpenSSL: what we write it verifies, what it writes we read. Skipped by name where `openssl` is not installed.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that runs a program over files; the rules are for the crate"
)]

#[allow(
    unreachable_pub,
    clippy::disallowed_methods,
    reason = "the file is the kit's, and the rules are for the crate"
)]
#[path = "../../tests/kit/skip.rs"]
mod skip;

use std::fs;
use std::path::Path;
use std::process::Command;

use formats::cades::{self, Profile, SignatureScheme, SignedData, SigningIdentity};
use formats::digest::DigestAlgorithm;
use formats::timestamp::{Request, Response, TimestampError, Token};

fn openssl(directory: &Path, arguments: &str) {
    let output = Command::new("openssl")
        .args(arguments.split(' '))
        .current_dir(directory)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "openssl {arguments}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A fresh directory with key, certificate (PEM and DER) and content; `None` without OpenSSL.
fn desk(name: &str, key: &str, extension: &str) -> Option<std::path::PathBuf> {
    if Command::new("openssl").arg("version").output().is_err() {
        skip::skip(name, "no openssl");
        return None;
    }
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&directory).unwrap();
    openssl(
        &directory,
        &format!("req -x509 {key} -nodes -keyout key.pem -out cert.pem -days 3650 -subj /CN=TEST -addext {extension}"),
    );
    openssl(&directory, "x509 -in cert.pem -outform DER -out cert.der");
    fs::write(directory.join("content"), vec![7; 5_000]).unwrap();
    Some(directory)
}

const SIGNER: &str = "keyUsage=critical,digitalSignature,nonRepudiation";
const RSA: &str = "-newkey rsa:2048";

#[test]
fn openssl_verifies_what_we_sign() {
    for (name, key, scheme, options, digest) in [
        ("pkcs1", RSA, SignatureScheme::RsaPkcs1, "", DigestAlgorithm::Sha256),
        (
            "pss",
            RSA,
            SignatureScheme::RsaPss,
            " -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:-1",
            DigestAlgorithm::Sha512,
        ),
        (
            "ecdsa",
            "-newkey ec -pkeyopt ec_paramgen_curve:P-384",
            SignatureScheme::Ecdsa,
            "",
            DigestAlgorithm::Sha384,
        ),
    ] {
        let Some(desk) = desk(name, key, SIGNER) else { return };
        let signer = SigningIdentity {
            certificate: fs::read(desk.join("cert.der")).unwrap(),
            chain: vec![],
            scheme,
        };
        let prepared = cades::prepare(&signer, digest, &digest.digest(&[7; 5_000]), None).unwrap();
        fs::write(desk.join("tbs"), prepared.to_be_signed()).unwrap();
        openssl(
            &desk,
            &format!("dgst -{}{options} -sign key.pem -out sig tbs", digest.name()),
        );
        fs::write(
            desk.join("p7s"),
            prepared.finish(&fs::read(desk.join("sig")).unwrap()).unwrap(),
        )
        .unwrap();
        openssl(
            &desk,
            "cms -verify -cades -binary -inform DER -in p7s -content content -CAfile cert.pem -purpose any -out out",
        );
    }
}

/// A time-stamp authority of OpenSSL at this desk, and its answer to a request of ours over `imprint`.
fn stamp(desk: &Path, imprint: &[u8]) -> (Request, Vec<u8>) {
    let config = "[tsa]\ndefault_tsa=t\n[t]\nserial=serial\nsigner_cert=cert.pem\nsigner_key=key.pem\nsigner_digest=sha256\n\
        default_policy=1.2.3.4\ndigests=sha256\naccuracy=secs:1,millisecs:500,microsecs:100\nordering=yes\ntsa_name=yes\n\
        clock_precision_digits=3\ness_cert_id_alg=sha1\n";
    fs::write(desk.join("tsa.cnf"), config).unwrap();
    fs::write(desk.join("serial"), "01\n").unwrap();
    let request = Request {
        algorithm: DigestAlgorithm::Sha256,
        imprint: imprint.to_vec(),
        nonce: Some(vec![0x40, 1, 2]),
        cert_req: true,
        policy: None,
    };
    fs::write(desk.join("tsq"), request.encode()).unwrap();
    openssl(desk, "ts -reply -config tsa.cnf -queryfile tsq -out tsr");
    (request, fs::read(desk.join("tsr")).unwrap())
}

#[test]
fn openssl_verifies_what_we_stamp_and_the_stamp_inside() {
    let Some(tsa) = desk("stamper", RSA, "extendedKeyUsage=critical,timeStamping") else {
        return;
    };
    let signed_by = |name: &str, options: &str| {
        let desk = desk(name, RSA, SIGNER).unwrap();
        openssl(
            &desk,
            &format!(
                "cms -sign -cades -md sha256 -binary{options} -in content -signer cert.pem -inkey key.pem -outform DER -out p7s"
            ),
        );
        desk
    };
    for (name, options, content) in [
        ("stamped", "", " -content content"),
        ("stamped-ber", " -nodetach -stream", ""),
    ] {
        let desk = signed_by(name, options);
        let p7s = fs::read(desk.join("p7s")).unwrap();
        assert_eq!(p7s[1] == 0x80, name == "stamped-ber", "indefinite");
        let plain = SignedData::parse(&p7s, Profile::Document).unwrap();
        let imprint = DigestAlgorithm::Sha256.digest(&plain.signer.signature);
        let (request, response) = stamp(&tsa, &imprint);
        let token = Response::parse(&response).unwrap();
        let stamped = cades::with_timestamp(&p7s, &token).unwrap();
        fs::write(desk.join("stamped"), &stamped).unwrap();
        openssl(
            &desk,
            &format!(
                "cms -verify -cades -binary -inform DER -in stamped{content} -CAfile cert.pem -purpose any -out out"
            ),
        );
        assert_eq!(fs::read(desk.join("out")).unwrap(), [7; 5_000]);

        let read = SignedData::parse(&stamped, Profile::Document).unwrap();
        assert_eq!(read.signer.signed_attributes, plain.signer.signed_attributes);
        assert_eq!(read.signer.timestamps, [token], "byte for byte");
        fs::write(tsa.join("token"), &read.signer.timestamps[0]).unwrap();
        let imprint = hex::encode(&request.imprint);
        openssl(
            &tsa,
            &format!("ts -verify -token_in -in token -digest {imprint} -CAfile cert.pem"),
        );
        let info = Token::parse(&read.signer.timestamps[0]).unwrap().info;
        assert_eq!((info.imprint, info.nonce), (request.imprint, request.nonce));
    }
}

#[test]
fn indefinite_lengths_and_chunks_are_read() {
    let Some(desk) = desk("ber", RSA, SIGNER) else { return };
    openssl(
        &desk,
        "cms -sign -cades -md sha256 -binary -nodetach -stream -in content -signer cert.pem -inkey key.pem -outform DER -out ber",
    );
    let bytes = fs::read(desk.join("ber")).unwrap();
    assert_eq!(bytes[1], 0x80, "indefinite");
    let read = SignedData::parse(&bytes, Profile::Document).unwrap();
    assert_eq!(read.content, Some(vec![7; 5_000]));
}

#[test]
fn openssl_answers_our_request() {
    let Some(desk) = desk("tsa", RSA, "extendedKeyUsage=critical,timeStamping") else {
        return;
    };
    let (request, response) = stamp(&desk, &[9; 32]);
    let token = Token::parse(&Response::parse(&response).unwrap()).unwrap();
    assert_eq!(token.info.imprint, request.imprint);
    assert_eq!(token.info.nonce, request.nonce);
    // Three digits were asked for; once in a thousand runs they are 000, which OpenSSL then leaves out.
    assert_eq!(token.info.gen_time.nanosecond() % 1_000_000, 0);
    let refused = Request {
        algorithm: DigestAlgorithm::Sha512,
        imprint: vec![9; 64],
        ..request
    };
    fs::write(desk.join("tsq"), refused.encode()).unwrap();
    openssl(&desk, "ts -reply -config tsa.cnf -queryfile tsq -out tsr");
    assert_eq!(
        Response::parse(&fs::read(desk.join("tsr")).unwrap()).unwrap_err(),
        TimestampError::Refused("rejected: algorithm not supported".to_owned())
    );
    openssl(&desk, "ts -query -data content -sha256 -no_nonce -out theirs");
    assert!(
        !Request::parse(&fs::read(desk.join("theirs")).unwrap())
            .unwrap()
            .cert_req
    );
}
