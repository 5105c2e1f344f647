//! What the ASN.1 types of `cryptographic-message-syntax` do with messages of OpenSSL, and what changed bytes do to ours.

use std::panic::catch_unwind;

use bcder::Mode;
use bcder::encode::Values;
use cryptographic_message_syntax::asn1::rfc3161 as crate_types;
use time::macros::datetime;

use super::imprint::decode;
use super::*;
use crate::cades::{Encapsulated, SignatureScheme, SigningIdentity, prepare_encapsulated};
use crate::{cades, oid, tlv};

/// `openssl ts -query`: SHA-256, nonce, no certificates.
const REQUEST: &str = "30400201013031300d0609608648016503040201050004205891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be0302085a0be977222670d9";
/// `openssl ts -reply` to a request with SHA-512 where only SHA-256 is allowed: failInfo badAlg.
const REJECTED: &str = "30373035020102302c0c2a4d6573736167652064696765737420616c676f726974686d206973206e6f7420737570706f727465642e03020780";
/// TSTInfo of `openssl ts -reply`: milliseconds, accuracy 1 s 500 ms 100 µs, ordering, nonce, tsa.
const FULL: &str = "30818102010106032a03043031300d0609608648016503040201050004205891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03020102181332303236313132343139353433392e3631355a300a020101800201f48101640101ff02085a0be977222670d9a013a411300f310d300b06035504030c0454455354";
/// The same without accuracy, ordering and tsa.
const PLAIN: &str = "305d02010106032a03043031300d0609608648016503040201050004205891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03020103181332303236313132343139353433392e3634385a02085a0be977222670d9";

fn bytes(hex: &str) -> Vec<u8> {
    hex::decode(hex).unwrap()
}

/// A value that was read, written again. Not in DER: what is captured in it keeps the mode it was read in, and panics in another.
fn written(value: impl Values) -> Vec<u8> {
    value.to_captured(Mode::Ber).as_slice().to_vec()
}

/// PLAIN with another genTime, and further fields after the nonce.
fn plain_with(gen_time: &str, further: &[u8]) -> Vec<u8> {
    let plain = bytes(PLAIN);
    let mut parts = tlv::Element::only(&plain).unwrap().children();
    let mut raws = Vec::new();
    while let Some(part) = parts.next().unwrap() {
        raws.push(part.raw.to_vec());
    }
    raws[4] = tlv::encode(0x18, &[gen_time.as_bytes()]);
    raws.push(further.to_vec());
    tlv::encode(tlv::SEQUENCE, &[&raws.concat()])
}

/// `[1]` or, in a request, `[0] IMPLICIT Extensions` with one of them.
fn extensions(tag: u8, critical: &[u8]) -> Vec<u8> {
    let value = tlv::encode(tlv::OCTET_STRING, &[&[5, 0]]);
    let extension = tlv::encode(tlv::SEQUENCE, &[&tlv::encode_oid(&oid::DATA), critical, &value]);
    tlv::encode(tag, &[&extension])
}

const CRITICAL: [u8; 3] = [0x01, 0x01, 0xff];

#[test]
fn requests_of_openssl_go_through_the_type_unchanged() {
    let theirs = decode(&bytes(REQUEST), crate_types::TimeStampReq::take_from).unwrap();
    assert_eq!(written(theirs.encode_ref()), bytes(REQUEST));
    let in_der = || super::imprint::encode(theirs.encode_ref());
    assert!(catch_unwind(std::panic::AssertUnwindSafe(in_der)).is_err());
    let ours = Request::parse(&bytes(REQUEST)).unwrap();
    assert_eq!(ours.encode(), bytes(REQUEST));
    assert_eq!(ours.nonce.as_deref(), Some(&bytes("5a0be977222670d9")[..]));
}

#[test]
fn the_type_for_responses_reads_no_fail_info_and_writes_no_token() {
    assert!(decode(&bytes(REJECTED), crate_types::TimeStampResp::take_from).is_err());
    assert_eq!(
        Response::parse(&bytes(REJECTED)).unwrap_err(),
        TimestampError::Refused("rejected: algorithm not supported".to_owned())
    );
    let token = tlv::encode(
        tlv::SEQUENCE,
        &[&tlv::encode_oid(&oid::SIGNED_DATA), &tlv::encode(0xa0, &[&[0x30, 0]])],
    );
    let granted = Response::Granted(token.clone()).encode();
    assert_eq!(Response::parse(&granted).unwrap(), token);
    let theirs = decode(&granted, crate_types::TimeStampResp::take_from).unwrap();
    assert_ne!(written(theirs.encode_ref()), granted, "the tag [0] is lost");
}

#[test]
fn the_type_for_tst_info_reads_and_writes_too_little() {
    let read = |bytes: &[u8]| decode(bytes, crate_types::TstInfo::take_from);
    assert!(read(&bytes(FULL)).is_err(), "accuracy with millis");
    assert!(read(&plain_with("20261124195439Z", &extensions(0xa1, &[]))).is_err());
    assert_eq!(written(read(&bytes(PLAIN)).unwrap().encode_ref()), bytes(PLAIN));
    let tenth = plain_with("20261124195439.1Z", &[]);
    assert_ne!(
        written(read(&tenth).unwrap().encode_ref()),
        tenth,
        "trailing zeros, which RFC 3161 forbids"
    );
    // Without overflow checks it would fill the memory instead.
    if cfg!(debug_assertions) {
        let ten_digits = plain_with("20261124195439.1234567890Z", &[]);
        assert!(catch_unwind(|| read(&ten_digits)).is_err());
    }
}

#[test]
fn all_of_it_is_read_by_ours() {
    let full = TstInfo::parse(&bytes(FULL)).unwrap();
    assert_eq!(full.gen_time, datetime!(2026-11-24 19:54:39.615 UTC));
    assert_eq!(full.nonce.as_deref(), Some(&bytes("5a0be977222670d9")[..]));
    assert_eq!(full.serial, [2]);
    let plain = TstInfo::parse(&bytes(PLAIN)).unwrap();
    assert_eq!(plain.encode().unwrap(), bytes(PLAIN));
    let long = TstInfo::parse(&plain_with("20261124195439.1234567890Z", &[])).unwrap();
    assert_eq!(long.gen_time.nanosecond(), 123_456_789);
}

#[test]
fn other_versions_are_refused() {
    // The version is the first INTEGER, right after the header of the SEQUENCE.
    for version in [0, 2, 0xff] {
        let mut info = bytes(PLAIN);
        info[4] = version;
        assert_eq!(
            TstInfo::parse(&info).unwrap_err(),
            TimestampError::Malformed("the version is not 1".to_owned())
        );
        let mut request = bytes(REQUEST);
        request[4] = version;
        assert_eq!(
            Request::parse(&request).unwrap_err(),
            TimestampError::Malformed("the version is not 1".to_owned())
        );
    }
}

#[test]
fn extensions_are_refused_in_requests_and_where_critical_in_stamps() {
    let with = |critical: &[u8]| TstInfo::parse(&plain_with("20261124195439Z", &extensions(0xa1, critical)));
    assert_eq!(with(&CRITICAL).unwrap_err(), TimestampError::Extension);
    with(&[]).unwrap();
    with(&[0x01, 0x01, 0x00]).unwrap();

    let plain = bytes(REQUEST);
    let content = tlv::Element::only(&plain).unwrap().content;
    for critical in [&[][..], &CRITICAL] {
        let request = tlv::encode(tlv::SEQUENCE, &[content, &extensions(0xa0, critical)]);
        assert_eq!(Request::parse(&request).unwrap_err(), TimestampError::Extension);
    }
}

#[test]
fn requests_end_at_4_kib() {
    let request = |nonce: usize| Request {
        algorithm: DigestAlgorithm::Sha256,
        imprint: vec![7; 32],
        nonce: Some(vec![1; nonce]),
        cert_req: true,
        policy: None,
    };
    let spare = MAX_REQUEST_BYTES - request(1_000).encode().len();
    let most = request(1_000 + spare).encode();
    assert_eq!(most.len(), MAX_REQUEST_BYTES);
    assert_eq!(Request::parse(&most).unwrap(), request(1_000 + spare));
    let more = request(1_001 + spare).encode();
    assert_eq!(
        Request::parse(&more).unwrap_err(),
        TimestampError::Malformed("larger than 4096 bytes".to_owned())
    );
}

#[test]
fn responses_end_at_the_size_of_a_signature() {
    assert!(matches!(
        Response::parse(&vec![0x30; cades::MAX_BYTES + 1]),
        Err(TimestampError::Malformed(_))
    ));
}

/// A token around `info`, signed by nobody.
fn token(info: &[u8]) -> Vec<u8> {
    let signer = SigningIdentity {
        certificate: cades::tests::certificate(7),
        chain: vec![],
        scheme: SignatureScheme::RsaPkcs1,
    };
    let encapsulated = Encapsulated {
        content_type: oid::TST_INFO,
        content: info,
        certificate_hash: cades::CertificateHash::Sha1([9; 20]),
        with_certificates: true,
    };
    prepare_encapsulated(&signer, DigestAlgorithm::Sha256, encapsulated, None)
        .unwrap()
        .finish(&[2; 256])
        .unwrap()
}

#[test]
fn changed_bytes_never_panic() {
    // xorshift64: the same changes every time
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap()
    };
    let token = token(&bytes(FULL));
    let granted = Response::Granted(token.clone()).encode();
    type Read = fn(&[u8]) -> bool;
    let readers: [(&str, Vec<u8>, Read); 5] = [
        ("token", token, |bytes| Token::parse(bytes).is_ok()),
        ("TSTInfo", bytes(FULL), |bytes| TstInfo::parse(bytes).is_ok()),
        ("request", bytes(REQUEST), |bytes| Request::parse(bytes).is_ok()),
        ("response", granted, |bytes| Response::parse(bytes).is_ok()),
        ("rejection", bytes(REJECTED), |bytes| {
            matches!(Response::parse(bytes), Err(TimestampError::Refused(_)))
        }),
    ];
    for (name, original, read) in readers {
        assert!(read(&original), "{name}");
        let (mut accepted, mut refused) = (0, 0);
        for _ in 0..4_000 {
            let mut changed = original.clone();
            for _ in 0..=random() % 3 {
                let position = random() % changed.len();
                changed[position] = u8::try_from(random() & 0xff).unwrap();
            }
            if random() % 8 == 0 {
                changed.truncate(random() % changed.len());
            }
            if read(&changed) {
                accepted += 1;
            } else {
                refused += 1;
            }
        }
        assert!(
            accepted > 0 && refused > 0,
            "{name}: {accepted} read, {refused} refused"
        );
    }
}
