//! The rules of signed and unsigned attributes.

use der::Encode as _;

use super::*;

#[test]
fn signing_certificate_version_1_is_for_tokens() {
    let read = SignedData::parse(&token(), Profile::Token).unwrap();
    assert_eq!(read.content.as_deref(), Some(&b"TSTInfo"[..]));
    assert_eq!(
        read.signer.signing_certificate.unwrap().hash,
        CertificateHash::Sha1([9; 20])
    );
    assert!(read.certificates.is_empty());
    assert_eq!(
        SignedData::parse(&token(), Profile::Document).unwrap_err(),
        CadesError::Attribute {
            attribute: "signing-certificate",
            problem: "version 1 is not accepted for signers"
        }
    );
}

#[test]
fn attributes_occur_once_with_one_value() {
    for (attribute_type, name) in [
        (oid::CONTENT_TYPE, "content-type"),
        (oid::MESSAGE_DIGEST, "message-digest"),
        (oid::SIGNING_CERTIFICATE_V2, "signing-certificate-v2"),
        (oid::SIGNING_TIME, "signing-time"),
    ] {
        let problem_of = |bytes: &[u8]| match SignedData::parse(bytes, Profile::Document) {
            Err(CadesError::Attribute { attribute, problem }) if attribute == name => problem,
            other => panic!("{name}: {other:?}"),
        };
        let twice = signature_with(|attributes, _| {
            attributes.push(attributes[attribute_position(attributes, &attribute_type)].clone());
        });
        assert_eq!(problem_of(&twice), "occurs twice");
        for (values, problem) in [(0, "has no value"), (2, "has several values")] {
            let changed = signature_with(|attributes, _| {
                let position = attribute_position(attributes, &attribute_type);
                let value = [0x05, 0x00].repeat(values);
                let values = tlv::encode(tlv::SET, &[&value]);
                attributes[position] = tlv::encode(tlv::SEQUENCE, &[&tlv::encode_oid(&attribute_type), &values]);
            });
            assert_eq!(problem_of(&changed), problem);
        }
        let malformed = signature_with(|attributes, _| {
            let position = attribute_position(attributes, &attribute_type);
            attributes[position] = encoded(&attribute_type, &[0x05, 0x00]);
        });
        assert_eq!(problem_of(&malformed), "malformed");
        let without = signature_with(|attributes, _| {
            attributes.remove(attribute_position(attributes, &attribute_type));
        });
        if attribute_type == oid::SIGNING_TIME {
            assert_eq!(
                SignedData::parse(&without, Profile::Document)
                    .unwrap()
                    .signer
                    .signing_time,
                None
            );
        } else {
            assert_eq!(problem_of(&without), "missing");
        }
    }
}

#[test]
fn a_stamp_attribute_holds_one_stamp() {
    let several = signature_with(|_, unsigned| {
        let values = tlv::encode(tlv::SET, &[&token(), &token()]);
        unsigned.push(tlv::encode(
            tlv::SEQUENCE,
            &[&tlv::encode_oid(&oid::SIGNATURE_TIME_STAMP), &values],
        ));
    });
    assert_eq!(
        SignedData::parse(&several, Profile::Document).unwrap_err(),
        CadesError::Attribute {
            attribute: "signature-time-stamp",
            problem: "has several values"
        }
    );
    let other = signature_with(|_, unsigned| {
        unsigned.push(encoded(&oid::DATA, &[0x05, 0x00]));
    });
    let read = SignedData::parse(&other, Profile::Document).unwrap();
    assert_eq!(read.signer.other_unsigned_attributes, [oid::DATA]);
}

#[test]
fn attributes_stay_in_the_order_sent() {
    let reversed = signature_with(|attributes, _| attributes.reverse());
    let sent = SignedData::parse(&signature(), Profile::Document)
        .unwrap()
        .signer
        .signed_attributes;
    let kept = SignedData::parse(&reversed, Profile::Document)
        .unwrap()
        .signer
        .signed_attributes;
    assert_ne!(sent, kept);
    assert_eq!(sent.len(), kept.len());
}

#[test]
fn algorithm_protection_must_agree() {
    let sequence = |parts: &[&[u8]]| tlv::encode(tlv::SEQUENCE, parts);
    let null = [0x05, 0x00];
    let sha256 = tlv::encode_oid(&DigestAlgorithm::Sha256.oid());
    let sha512 = tlv::encode_oid(&DigestAlgorithm::Sha512.oid());
    let original = signature();
    let parameters = SignedData::parse(&original, Profile::Document)
        .unwrap()
        .signer
        .signature_algorithm
        .parameters
        .unwrap()
        .to_der()
        .unwrap();
    let pss = [tlv::encode_oid(&oid::RSASSA_PSS), parameters].concat();
    let pkcs1 = [tlv::encode_oid(&oid::SHA256_WITH_RSA), null.to_vec()].concat();
    let signature = |content: &[u8]| tlv::encode(0xa1, &[content]);
    let with = |values: &[&[u8]]| {
        let attribute = sequence(&[
            &tlv::encode_oid(&oid::CMS_ALGORITHM_PROTECTION),
            &tlv::encode(tlv::SET, values),
        ]);
        SignedData::parse(
            &signature_with(|attributes, _| attributes.push(attribute.clone())),
            Profile::Document,
        )
    };
    let right = sequence(&[&sequence(&[&sha256]), &signature(&pss)]);
    with(&[&right]).unwrap();
    with(&[&sequence(&[&sequence(&[&sha256, &null]), &signature(&pss)])]).expect("NULL is as good as absent");
    for (why, values, problem) in [
        (
            "another digest",
            vec![sequence(&[&sequence(&[&sha512]), &signature(&pss)])],
            "names other algorithms than the signature has",
        ),
        (
            "another signature algorithm",
            vec![sequence(&[&sequence(&[&sha256]), &signature(&pkcs1)])],
            "names other algorithms than the signature has",
        ),
        (
            "other parameters",
            vec![sequence(&[
                &sequence(&[&sha256]),
                &signature(&tlv::encode_oid(&oid::RSASSA_PSS)),
            ])],
            "names other algorithms than the signature has",
        ),
        (
            "no signature algorithm",
            vec![sequence(&[&sequence(&[&sha256])])],
            "names other algorithms than the signature has",
        ),
        (
            "a MAC",
            vec![sequence(&[
                &sequence(&[&sha256]),
                &signature(&pss),
                &tlv::encode(0xa2, &[&sha256]),
            ])],
            "names other algorithms than the signature has",
        ),
        ("no structure", vec![null.to_vec()], "malformed"),
        ("twice", vec![right.clone(), right.clone()], "has several values"),
    ] {
        let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
        assert_eq!(
            with(&values).unwrap_err(),
            CadesError::Attribute {
                attribute: "cms-algorithm-protection",
                problem
            },
            "{why}"
        );
    }
}
