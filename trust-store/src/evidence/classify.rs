//! What a file of unknown kind holds. Told by structure, never by name.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use const_oid::db::rfc5911::ID_SIGNED_DATA;
use der::asn1::{AnyRef, ObjectIdentifier};
use der::{Decode as _, Reader as _, SliceReader, Tag, Tagged as _};

use super::Evidence;
use crate::certificate::Certificate;
use crate::revocation::crl::Crl;

/// Objects in one file; a directory of anchors in one PEM stays far below.
const MAX_OBJECTS: usize = 10_000;

const BEGIN: &str = "-----BEGIN ";
const DASHES: &str = "-----";

/// The file's objects by kind, or `None` if any part of it is not understood.
pub(super) fn classify(bytes: &[u8]) -> Option<Evidence> {
    let mut found = Evidence::default();
    let text = std::str::from_utf8(bytes).ok().filter(|text| text.contains(BEGIN));
    let objects = match text {
        Some(text) => pem(text)?,
        None => concatenated(bytes)?,
    };
    if objects.is_empty() {
        return None;
    }
    for object in objects {
        sort(object, &mut found)?;
    }
    Some(found)
}

fn sort(object: Vec<u8>, found: &mut Evidence) -> Option<()> {
    if Certificate::parse(&object).is_ok() {
        found.certificates.push(object);
    } else if Crl::parse(&object).is_ok() {
        found.crls.push(object);
    } else if is_token(&object) {
        found.tokens.push(object);
    } else if is_ocsp_response(&object) {
        found.ocsp.push(object);
    } else {
        found.tokens.push(token_of_response(&object)?);
    }
    Some(())
}

/// One DER object after the other. A BER token of indefinite length is the whole file.
fn concatenated(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    if is_token(bytes) {
        return Some(vec![bytes.to_vec()]);
    }
    let mut reader = SliceReader::new(bytes).ok()?;
    let mut objects = Vec::new();
    while !reader.is_finished() {
        if objects.len() == MAX_OBJECTS {
            return None;
        }
        objects.push(reader.tlv_bytes().ok()?.to_vec());
    }
    Some(objects)
}

/// The bodies of all PEM blocks. Explanatory text around them is allowed (RFC 7468 §2), a broken block is not.
fn pem(text: &str) -> Option<Vec<Vec<u8>>> {
    let mut objects = Vec::new();
    let mut rest = text;
    while let Some((_, block)) = rest.split_once(BEGIN) {
        if objects.len() == MAX_OBJECTS {
            return None;
        }
        let (label, body) = block.split_once(DASHES)?;
        let (body, after) = body.split_once(&format!("{DASHES}END {label}{DASHES}"))?;
        let body: String = body.split_ascii_whitespace().collect();
        objects.push(STANDARD.decode(body).ok()?);
        rest = after;
    }
    Some(objects)
}

/// RFC 3161 TimeStampToken: a ContentInfo of type signedData around a TSTInfo.
fn is_token(object: &[u8]) -> bool {
    const BER: &[u8] = &[
        0x30, 0x80, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02,
    ];
    let read = || -> der::Result<bool> {
        AnyRef::from_der(object)?.sequence(|body| -> der::Result<bool> {
            let signed = ObjectIdentifier::decode(body)? == ID_SIGNED_DATA;
            let _ = body.tlv_bytes()?;
            Ok(signed)
        })
    };
    object.starts_with(BER) || read().unwrap_or(false)
}

/// RFC 6960 §4.2.1: `OCSPResponse ::= SEQUENCE { responseStatus ENUMERATED, responseBytes [0] EXPLICIT OPTIONAL }`
fn is_ocsp_response(object: &[u8]) -> bool {
    let read = || -> der::Result<bool> {
        AnyRef::from_der(object)?.sequence(|body| -> der::Result<bool> {
            let status = AnyRef::decode(body)?.tag();
            let answer = if body.is_finished() {
                None
            } else {
                Some(AnyRef::decode(body)?.tag())
            };
            let answer_fits = answer.is_none_or(
                |tag| matches!(tag, Tag::ContextSpecific { constructed: true, number } if number.value() == 0),
            );
            Ok(status == Tag::Enumerated && answer_fits)
        })
    };
    read().unwrap_or(false)
}

/// RFC 3161 §2.4.2: `TimeStampResp ::= SEQUENCE { status PKIStatusInfo, timeStampToken TimeStampToken OPTIONAL }`
fn token_of_response(object: &[u8]) -> Option<Vec<u8>> {
    let read = || -> der::Result<Vec<u8>> {
        AnyRef::from_der(object)?.sequence(|body| -> der::Result<Vec<u8>> {
            AnyRef::decode(body)?.tag().assert_eq(Tag::Sequence)?;
            Ok(body.tlv_bytes()?.to_vec())
        })
    };
    read().ok().filter(|token| is_token(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/fixtures/hpki-real");

    fn fixture(name: &str) -> Option<Vec<u8>> {
        let bytes = std::fs::read(format!("{ROOT}/{name}")).ok();
        if bytes.is_none() {
            eprintln!("skipped: {name} is not here");
        }
        bytes
    }

    fn pem_of(label: &str, der: &[u8]) -> String {
        format!(
            "some words\n-----BEGIN {label}-----\r\n{}\n-----END {label}-----\n",
            STANDARD.encode(der)
        )
    }

    #[test]
    fn certificates_and_crls_are_told_by_structure() {
        let (Some(root), Some(crl)) = (
            fixture("mhlw_hpki_root_ca_v2.der"),
            fixture("medis_sign_2022-09-06.crl"),
        ) else {
            return;
        };
        let mut evidence = Evidence::default();
        evidence.add("a", &root);
        evidence.add("b", &crl);
        evidence.add("c", pem_of("X509 CRL", &crl).as_bytes());
        evidence.add(
            "d",
            format!("{}{}", pem_of("CERTIFICATE", &root), pem_of("CERTIFICATE", &root)).as_bytes(),
        );
        evidence.add("e", &[root.clone(), crl.clone()].concat());
        assert_eq!(
            evidence,
            Evidence {
                certificates: vec![root],
                crls: vec![crl],
                ..Evidence::default()
            }
        );
    }

    #[test]
    fn what_does_not_parse_is_noted_by_name_and_adds_nothing() {
        let mut evidence = Evidence::default();
        let broken_pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CRL-----";
        for (name, bytes) in [
            ("empty", &b""[..]),
            ("text", b"hello"),
            ("sequence", &[0x30, 0x03, 0x02, 0x01, 0x01]),
            ("length", &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]),
            ("pem", broken_pem.as_bytes()),
            ("text", b"twice under one name"),
        ] {
            evidence.add(name, bytes);
        }
        assert_eq!(evidence.unreadable, ["empty", "text", "sequence", "length", "pem"]);
        assert_eq!(
            Evidence {
                unreadable: Vec::new(),
                ..evidence
            },
            Evidence::default()
        );
    }

    #[test]
    fn a_good_object_before_rubbish_is_not_taken() {
        let Some(mut root) = fixture("mhlw_hpki_root_ca_v2.der") else {
            return;
        };
        root.push(0);
        let mut evidence = Evidence::default();
        evidence.add("tail", &root);
        assert!(evidence.certificates.is_empty());
        assert_eq!(evidence.unreadable, ["tail"]);
    }

    #[test]
    fn ocsp_responses_and_tokens_inside_responses() {
        let mut evidence = Evidence::default();
        evidence.add("try later", &[0x30, 0x03, 0x0a, 0x01, 0x03]);
        let token = hex::decode("300f06092a864886f70d010702a0020500").unwrap();
        let response = [&[0x30, 0x16, 0x30, 0x03, 0x02, 0x01, 0x00][..], &token].concat();
        evidence.add("response", &response);
        evidence.add("token", &token);
        assert_eq!((evidence.ocsp.len(), evidence.tokens), (1, vec![token]));
    }
}
