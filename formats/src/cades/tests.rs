//! The rules of reading and writing, on signatures whose mathematics nobody looks at. (OpenSSL looks in `tests/openssl.rs`.)

mod attributes;

use super::*;
use crate::tlv::{self, Element};
use crate::{digest, oid};
use der::{Decode as _, Encode as _};
use time::macros::datetime;

/// A certificate nobody has signed, with an issuer without a name.
pub(crate) fn certificate(serial: u8) -> Vec<u8> {
    let sequence = |parts: &[&[u8]]| tlv::encode(tlv::SEQUENCE, parts);
    let name = sequence(&[]);
    let version = tlv::encode(0xa0, &[&tlv::encode(tlv::INTEGER, &[&[2]])]);
    let serial = tlv::encode(tlv::INTEGER, &[&[serial]]);
    let algorithm = sequence(&[&tlv::encode_oid(&oid::ECDSA_WITH_SHA256)]);
    let time = tlv::encode(0x17, &[b"261122100000Z"]);
    let bits = tlv::encode(0x03, &[&[0, 1]]);
    let key = sequence(&[&algorithm, &bits]);
    let validity = sequence(&[&time, &time]);
    let to_be_signed = sequence(&[&version, &serial, &algorithm, &name, &validity, &name, &key]);
    sequence(&[&to_be_signed, &algorithm, &bits])
}

fn identity(scheme: SignatureScheme) -> SigningIdentity {
    SigningIdentity {
        certificate: certificate(7),
        chain: vec![certificate(1), certificate(7)],
        scheme,
    }
}

/// A finished signature with a signing time.
pub(super) fn signature() -> Vec<u8> {
    let time = Some(datetime!(2026-11-22 10:00 UTC));
    prepare(
        &identity(SignatureScheme::RsaPss),
        DigestAlgorithm::Sha256,
        &digest::sha256(b"letter"),
        time,
    )
    .unwrap()
    .finish(&[1; 256])
    .unwrap()
}

/// Something like a token: content inside, signing-certificate version 1.
pub(super) fn token() -> Vec<u8> {
    let encapsulated = Encapsulated {
        content_type: oid::TST_INFO,
        content: b"TSTInfo",
        certificate_hash: CertificateHash::Sha1([9; 20]),
        with_certificates: false,
    };
    prepare_encapsulated(
        &identity(SignatureScheme::RsaPkcs1),
        DigestAlgorithm::Sha512,
        encapsulated,
        None,
    )
    .unwrap()
    .finish(&[2; 256])
    .unwrap()
}

/// `signature()` with its attributes, and the SignerInfos around them, made anew by `change`.
fn signature_with(change: impl Fn(&mut Vec<Vec<u8>>, &mut Vec<Vec<u8>>)) -> Vec<u8> {
    let original = signature();
    let raws = |element: &Element<'_>| {
        let (mut children, mut raws) = (element.children(), Vec::new());
        while let Some(child) = children.next().unwrap() {
            raws.push(child.raw.to_vec());
        }
        raws
    };
    let join = |tag: u8, parts: &[Vec<u8>]| tlv::encode(tag, &parts.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let mut data = raws(&parse::signed_data(&original).unwrap());
    let signers = data.pop().unwrap();
    let mut signer = raws(&Element::only(Element::only(&signers).unwrap().content).unwrap());
    let mut attributes = raws(&Element::only(&signer[3]).unwrap());
    let mut unsigned = Vec::new();
    change(&mut attributes, &mut unsigned);
    signer[3] = join(0xa0, &attributes);
    if !unsigned.is_empty() {
        signer.push(join(0xa1, &unsigned));
    }
    data.push(tlv::encode(tlv::SET, &[&join(tlv::SEQUENCE, &signer)]));
    let content = tlv::encode(0xa0, &[&join(tlv::SEQUENCE, &data)]);
    tlv::encode(tlv::SEQUENCE, &[&tlv::encode_oid(&oid::SIGNED_DATA), &content])
}

/// DER of an attribute with one value.
pub(super) fn encoded(attribute_type: &ObjectIdentifier, value: &[u8]) -> Vec<u8> {
    let values = tlv::encode(tlv::SET, &[value]);
    tlv::encode(tlv::SEQUENCE, &[&tlv::encode_oid(attribute_type), &values])
}

fn attribute_position(attributes: &[Vec<u8>], attribute_type: &ObjectIdentifier) -> usize {
    let start = tlv::encode_oid(attribute_type);
    let found = |attribute: &Vec<u8>| Element::only(attribute).unwrap().content.starts_with(&start);
    attributes.iter().position(found).unwrap()
}

#[test]
fn what_is_prepared_is_read_back() {
    let read = SignedData::parse(&signature(), Profile::Document).unwrap();
    assert_eq!(read.content_type, oid::DATA);
    assert_eq!(read.content, None);
    assert_eq!(
        read.certificates,
        [certificate(1), certificate(7)],
        "sorted, and the signer's only once"
    );
    let signer = read.signer;
    assert_eq!(
        signer.identifier,
        SignerIdentifier::IssuerAndSerialNumber {
            issuer: vec![0x30, 0],
            serial: vec![7]
        }
    );
    assert_eq!(signer.message_digest, digest::sha256(b"letter"));
    assert_eq!(signer.attribute_content_type, oid::DATA);
    assert_eq!(signer.signing_time, Some(datetime!(2026-11-22 10:00 UTC)));
    let ess = signer.signing_certificate.as_ref().unwrap();
    assert_eq!(ess.version, EssVersion::V2);
    assert_eq!(
        ess.hash,
        CertificateHash::Sha2(DigestAlgorithm::Sha256, digest::sha256(&certificate(7)).to_vec())
    );
    assert_eq!(ess.issuer_serial, Some((vec![0x30, 0], vec![7])));
    assert_eq!(signer.signature, [1; 256]);
}

#[test]
fn the_bytes_to_sign_are_the_bytes_read() {
    let prepared = prepare(
        &identity(SignatureScheme::RsaPkcs1),
        DigestAlgorithm::Sha384,
        &[3; 48],
        None,
    )
    .unwrap();
    let to_be_signed = prepared.to_be_signed().to_vec();
    assert!(!format!("{prepared:?}").contains('['), "no bytes in Debug");
    let read = SignedData::parse(&prepared.finish(&[1]).unwrap(), Profile::Document).unwrap();
    assert_eq!(read.signer.signed_attributes, to_be_signed);
}

/// Replaces the one occurrence of `from`.
fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let position = bytes.windows(from.len()).rposition(|window| window == from).unwrap();
    let mut bytes = bytes.to_vec();
    bytes[position..position + from.len()].copy_from_slice(to);
    bytes
}

#[test]
fn the_digests_agree() {
    let signed = prepare(
        &identity(SignatureScheme::RsaPkcs1),
        DigestAlgorithm::Sha256,
        &[0; 32],
        None,
    )
    .unwrap()
    .finish(&[1])
    .unwrap();
    let sha384 = replaced(
        &signed,
        oid::SHA256_WITH_RSA.as_bytes(),
        oid::SHA384_WITH_RSA.as_bytes(),
    );
    assert!(matches!(
        SignedData::parse(&sha384, Profile::Document),
        Err(CadesError::Algorithm(_))
    ));
    let sha1 = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.5");
    let sha1 = replaced(&signed, oid::SHA256_WITH_RSA.as_bytes(), sha1.as_bytes());
    assert!(matches!(
        SignedData::parse(&sha1, Profile::Document),
        Err(CadesError::UnsupportedAlgorithm(_))
    ));
    let rsa = replaced(&signed, oid::SHA256_WITH_RSA.as_bytes(), oid::RSA_ENCRYPTION.as_bytes());
    SignedData::parse(&rsa, Profile::Document).unwrap();
    let pss = replaced(
        &signature(),
        DigestAlgorithm::Sha256.oid().as_bytes(),
        DigestAlgorithm::Sha384.oid().as_bytes(),
    );
    SignedData::parse(&pss, Profile::Document).expect("the last occurrence is MGF1's hash, which validation judges");
}

#[test]
fn one_signer() {
    let raw = signature();
    let data = parse::signed_data(&raw).unwrap();
    let (before, signers) = data.content.split_at(
        data.content.len() - {
            let mut children = data.children();
            let mut last = children.any().unwrap();
            while let Some(next) = children.next().unwrap() {
                last = next;
            }
            last.raw.len()
        },
    );
    let signers = Element::only(signers).unwrap().content;
    for (count, signers) in [(0, vec![]), (2, signers.repeat(2))] {
        let data = tlv::encode(tlv::SEQUENCE, &[before, &tlv::encode(tlv::SET, &[&signers])]);
        let bytes = tlv::encode(
            tlv::SEQUENCE,
            &[&tlv::encode_oid(&oid::SIGNED_DATA), &tlv::encode(0xa0, &[&data])],
        );
        assert_eq!(
            SignedData::parse(&bytes, Profile::Document).unwrap_err(),
            CadesError::SignerCount(count)
        );
    }
}

#[test]
fn counts_end_at_their_bounds() {
    let mut crowd = identity(SignatureScheme::RsaPkcs1);
    crowd.chain = (0..999_u32)
        .map(|n| tlv::encode(tlv::SEQUENCE, &[&tlv::encode(4, &[&n.to_be_bytes()])]))
        .collect();
    let most = prepare(&crowd, DigestAlgorithm::Sha256, &[0; 32], None)
        .unwrap()
        .finish(&[1])
        .unwrap();
    assert_eq!(
        SignedData::parse(&most, Profile::Document).unwrap().certificates.len(),
        MAX_CERTIFICATES
    );
    crowd.chain.push(certificate(1));
    assert!(prepare(&crowd, DigestAlgorithm::Sha256, &[0; 32], None).is_err());
    assert!(SignedData::parse(&vec![0; MAX_BYTES + 1], Profile::Document).is_err());
}

#[test]
fn crls_end_at_their_bound() {
    let with_crls = |count: usize| {
        let (raw, crl) = (signature(), [0x30, 0x00]);
        let data = parse::signed_data(&raw).unwrap();
        let (mut children, mut parts) = (data.children(), Vec::new());
        while let Some(child) = children.next().unwrap() {
            parts.push(child.raw.to_vec());
        }
        parts.insert(4, tlv::encode(0xa1, &[&crl.repeat(count)]));
        let data = tlv::encode(tlv::SEQUENCE, &[&parts.concat()]);
        let content = tlv::encode(0xa0, &[&data]);
        tlv::encode(tlv::SEQUENCE, &[&tlv::encode_oid(&oid::SIGNED_DATA), &content])
    };
    let read = SignedData::parse(&with_crls(MAX_CRLS), Profile::Document).unwrap();
    assert_eq!(read.crls.len(), MAX_CRLS);
    assert_eq!(
        SignedData::parse(&with_crls(MAX_CRLS + 1), Profile::Document).unwrap_err(),
        CadesError::Malformed("more than 1000 CRLs".to_owned())
    );
}

#[test]
fn what_der_does_not_read_is_read_here() {
    // Why chunks are joined by own code: `der` joins one level of indefinite length, and nothing else.
    for chunked in [
        &[0x24, 0x06, 0x04, 1, 1, 0x04, 1, 2][..],
        &[0x24, 0x80, 0x24, 0x80, 0x04, 1, 1, 0x04, 1, 2, 0, 0, 0, 0],
    ] {
        assert!(der::asn1::OctetString::from_ber(chunked).is_err());
        assert_eq!(Element::only(chunked).unwrap().octets().unwrap(), [1, 2]);
    }
    // Why certificates are never written from their values: an explicit `critical FALSE` would go.
    let plain = certificate(7);
    let mut parts = Element::only(&plain).unwrap().children();
    let (to_be_signed, algorithm, bits) = (parts.any().unwrap(), parts.any().unwrap(), parts.any().unwrap());
    let extension = tlv::encode(
        tlv::SEQUENCE,
        &[
            &tlv::encode_oid(&oid::DATA),
            &[0x01, 0x01, 0x00],
            &tlv::encode(tlv::OCTET_STRING, &[&[5, 0]]),
        ],
    );
    let extensions = tlv::encode(0xa3, &[&tlv::encode(tlv::SEQUENCE, &[&extension])]);
    let to_be_signed = tlv::encode(tlv::SEQUENCE, &[to_be_signed.content, &extensions]);
    let explicit = tlv::encode(tlv::SEQUENCE, &[&to_be_signed, algorithm.raw, bits.raw]);
    let read = x509_cert::Certificate::from_der(&explicit).unwrap();
    assert_ne!(read.to_der().unwrap(), explicit);
    let mut signer = identity(SignatureScheme::RsaPkcs1);
    signer.certificate = explicit.clone();
    let file = prepare(&signer, DigestAlgorithm::Sha256, &[0; 32], None)
        .unwrap()
        .finish(&[1])
        .unwrap();
    let read = SignedData::parse(&file, Profile::Document).unwrap();
    assert!(read.certificates.contains(&explicit));
}

#[test]
fn bytes_before_and_after_are_refused() {
    let mut longer = signature();
    longer.push(0);
    assert!(SignedData::parse(&longer, Profile::Document).is_err());
    for cut in 0..signature().len() {
        assert!(
            SignedData::parse(&signature()[..cut], Profile::Document).is_err(),
            "cut at {cut}"
        );
    }
}

#[test]
fn finish_refuses_what_is_no_signature() {
    let prepared = || {
        prepare(
            &identity(SignatureScheme::Ecdsa),
            DigestAlgorithm::Sha256,
            &[0; 32],
            None,
        )
        .unwrap()
    };
    assert!(prepared().finish(&[]).is_err());
    assert!(prepared().finish(&[1; 64]).is_err(), "r ‖ s is not an ECDSA-Sig-Value");
    assert!(prepared().finish(&[0x30, 6, 2, 1, 1, 2, 1, 1]).is_ok());
    assert!(
        prepare(
            &identity(SignatureScheme::Ecdsa),
            DigestAlgorithm::Sha384,
            &[0; 32],
            None
        )
        .is_err()
    );
}

#[test]
fn changed_bytes_never_panic() {
    let stamped = with_timestamp(&signature(), &token()).unwrap();
    // xorshift64: the same changes every time
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap()
    };
    let (mut read, mut refused) = (0, 0);
    for _ in 0..5_000 {
        let mut bytes = stamped.clone();
        for _ in 0..=random() % 3 {
            let position = random() % bytes.len();
            bytes[position] = u8::try_from(random() & 0xff).unwrap();
        }
        match SignedData::parse(&bytes, Profile::Document) {
            Ok(_) => read += 1,
            Err(_) => refused += 1,
        }
        let _ = with_timestamp(&bytes, &token());
    }
    assert!(read > 0 && refused > 0, "{read} read, {refused} refused");
}
