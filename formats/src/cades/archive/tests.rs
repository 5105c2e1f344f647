//! Imprints against ones put together by hand from the pieces of a signature.

use super::*;
use crate::cades::tests::{certificate, encoded};
use crate::cades::{DetachedContent, DetachedHasher, Profile, SignedData, ValidationValues};
use crate::timestamp::TstInfo;
use time::OffsetDateTime;

fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv::encode(tlv::SEQUENCE, parts)
}

fn set(parts: &[&[u8]]) -> Vec<u8> {
    tlv::encode(tlv::SET, parts)
}

/// The pieces of a signature nobody has made; `unsigned` are whole attributes.
struct Pieces {
    encapsulated: Vec<u8>,
    certificates: Vec<Vec<u8>>,
    crls: Vec<Vec<u8>>,
    unsigned: Vec<Vec<u8>>,
}

const LIST: &[u8] = &[0x30, 3, 2, 1, 9];
const OTHER_STATUS: &[u8] = &[0xa1, 6, 6, 1, 0x2a, 2, 1, 8];
/// What OTHER_STATUS is about: the choice around it is not covered for itself.
const OTHER_INSIDE: &[u8] = &[2, 1, 8];

impl Pieces {
    fn new(content: Option<&[u8]>) -> Self {
        let content = content.map(|content| tlv::encode(CONTEXT_0, &[&tlv::encode(tlv::OCTET_STRING, &[content])]));
        Self {
            encapsulated: sequence(&[&tlv::encode_oid(&oid::DATA), &content.unwrap_or_default()]),
            certificates: vec![certificate(1), certificate(2)],
            crls: vec![LIST.to_vec(), OTHER_STATUS.to_vec()],
            unsigned: Vec::new(),
        }
    }

    fn signer(&self) -> Vec<u8> {
        let algorithm = sequence(&[&tlv::encode_oid(&DigestAlgorithm::Sha256.oid())]);
        let hash = sequence(&[&sequence(&[&sequence(&[&tlv::encode(tlv::OCTET_STRING, &[&[5; 32]])])])]);
        let signed = [
            encoded(&oid::CONTENT_TYPE, &tlv::encode_oid(&oid::DATA)),
            encoded(&oid::MESSAGE_DIGEST, &tlv::encode(tlv::OCTET_STRING, &[&[6; 32]])),
            encoded(&oid::SIGNING_CERTIFICATE_V2, &hash),
        ];
        [
            tlv::encode(tlv::INTEGER, &[&[1]]),
            sequence(&[&sequence(&[]), &tlv::encode(tlv::INTEGER, &[&[7]])]),
            algorithm,
            tlv::encode(CONTEXT_0, &[&signed.concat()]),
            sequence(&[&tlv::encode_oid(&oid::ECDSA_WITH_SHA256)]),
            tlv::encode(tlv::OCTET_STRING, &[&[0x30, 0]]),
        ]
        .concat()
    }

    fn file(&self) -> Vec<u8> {
        let unsigned = match self.unsigned.as_slice() {
            [] => Vec::new(),
            some => tlv::encode(CONTEXT_1, &[&some.concat()]),
        };
        let signer = sequence(&[&self.signer(), &unsigned]);
        let data = sequence(&[
            &tlv::encode(tlv::INTEGER, &[&[1]]),
            &set(&[]),
            &self.encapsulated,
            &tlv::encode(CONTEXT_0, &[&self.certificates.concat()]),
            &tlv::encode(CONTEXT_1, &[&self.crls.concat()]),
            &set(&[&signer]),
        ]);
        sequence(&[&tlv::encode_oid(&oid::SIGNED_DATA), &tlv::encode(CONTEXT_0, &[&data])])
    }
}

/// A token of second `second`, with these unsigned attributes.
fn token(second: i64, unsigned: Vec<Vec<u8>>) -> Vec<u8> {
    token_by(DigestAlgorithm::Sha512, second, unsigned)
}

/// The same over something by `algorithm`.
pub(super) fn token_by(algorithm: DigestAlgorithm, second: i64, unsigned: Vec<Vec<u8>>) -> Vec<u8> {
    let info = TstInfo {
        policy: oid::DATA,
        imprint_algorithm: Some(algorithm),
        imprint: vec![0; algorithm.digest(b"").len()],
        serial: vec![1],
        gen_time: OffsetDateTime::from_unix_timestamp(second).unwrap(),
        nonce: None,
    };
    let content = tlv::encode(
        CONTEXT_0,
        &[&tlv::encode(tlv::OCTET_STRING, &[&info.encode().unwrap()])],
    );
    let pieces = Pieces {
        encapsulated: sequence(&[&tlv::encode_oid(&oid::TST_INFO), &content]),
        certificates: Vec::new(),
        crls: Vec::new(),
        unsigned,
    };
    pieces.file()
}

fn index(algorithm: Option<DigestAlgorithm>, lists: [&[Vec<u8>]; 3]) -> Vec<u8> {
    let algorithm_stated = algorithm.map(|algorithm| sequence(&[&tlv::encode_oid(&algorithm.oid())]));
    let hash = |bytes: &Vec<u8>| {
        let hash = algorithm.unwrap_or(DigestAlgorithm::Sha256).digest(bytes);
        tlv::encode(tlv::OCTET_STRING, &[&hash])
    };
    let list = |items: &[Vec<u8>]| sequence(&[&items.iter().map(hash).collect::<Vec<_>>().concat()]);
    let lists = lists.map(list);
    sequence(&[&algorithm_stated.unwrap_or_default(), &lists.concat()])
}

fn imprint_of(pieces: &Pieces, position: usize, content: Option<&Digests>) -> Result<ArchiveImprint, ArchiveError> {
    imprint_with(pieces, position, content, &[])
}

fn imprint_with(
    pieces: &Pieces,
    position: usize,
    content: Option<&Digests>,
    framed: &[FramedDigest],
) -> Result<ArchiveImprint, ArchiveError> {
    let file = pieces.file();
    let parsed = SignedData::parse(&file, Profile::Document).unwrap();
    let stamp = &parsed.signer.archive_stamps[position];
    archive_imprint(&file, stamp, &Token::parse(&stamp.token).unwrap(), content, framed)
}

fn stamped(pieces: &mut Pieces, kind: &ObjectIdentifier, token: &[u8]) {
    pieces.unsigned.push(encoded(kind, token));
}

#[test]
fn version_3_is_over_content_hash_signer_and_index_and_covers_what_the_index_names() {
    let content = Digests::of(b"letter");
    let earlier = encoded(&oid::SIGNATURE_TIME_STAMP, &token(5, Vec::new()));
    let by_value = [tlv::encode_oid(&oid::SIGNATURE_TIME_STAMP), token(5, Vec::new())].concat();
    for (index_type, algorithm, attribute) in [
        (oid::ATS_HASH_INDEX_V3, Some(DigestAlgorithm::Sha384), &by_value),
        (oid::ATS_HASH_INDEX, Some(DigestAlgorithm::Sha512), &earlier),
        (oid::ATS_HASH_INDEX, None, &earlier),
    ] {
        let mut pieces = Pieces::new(None);
        pieces.unsigned.push(earlier.clone());
        let certificates = pieces.certificates.clone();
        let index = index(
            algorithm,
            [&certificates, &pieces.crls.clone(), std::slice::from_ref(attribute)],
        );
        stamped(
            &mut pieces,
            &oid::ARCHIVE_TIME_STAMP_V3,
            &token(9, vec![encoded(&index_type, &index)]),
        );
        let found = imprint_of(&pieces, 0, Some(&content)).unwrap();
        let digest = content.get(DigestAlgorithm::Sha512).unwrap();
        let whole = [&tlv::encode_oid(&oid::DATA), digest, &pieces.signer(), &index].concat();
        assert_eq!(found.accepted, [DigestAlgorithm::Sha512.digest(&whole)]);
        assert_eq!((found.covered.len(), found.uncovered), (5, 0));
        assert!(found.covered.contains(&Covered::Revocation(OTHER_INSIDE.to_vec())));
        let stamp = Covered::Attribute(oid::SIGNATURE_TIME_STAMP, token(5, Vec::new()));
        assert!(found.covered.contains(&stamp));
        assert_eq!(imprint_of(&pieces, 0, None), Err(ArchiveError::NoContent));
    }
}

#[test]
fn what_the_index_does_not_name_is_not_covered_and_what_it_names_must_be_there() {
    let attempt = |named: &[Vec<u8>]| {
        let mut pieces = Pieces::new(Some(b"letter"));
        let index = index(Some(DigestAlgorithm::Sha256), [named, &[], &[]]);
        let attribute = encoded(&oid::ATS_HASH_INDEX_V3, &index);
        stamped(&mut pieces, &oid::ARCHIVE_TIME_STAMP_V3, &token(9, vec![attribute]));
        imprint_of(&pieces, 0, None)
    };
    let short = attempt(&[certificate(2)]).unwrap();
    assert_eq!(short.covered, [Covered::Certificate(certificate(2))]);
    assert_eq!(short.uncovered, 3);
    assert_eq!(attempt(&[certificate(3)]), Err(ArchiveError::IndexNamesMore));
}

#[test]
fn an_index_that_is_missing_double_or_no_index_proves_nothing() {
    let good = encoded(
        &oid::ATS_HASH_INDEX_V3,
        &index(Some(DigestAlgorithm::Sha256), [&[], &[], &[]]),
    );
    let without_algorithm = encoded(&oid::ATS_HASH_INDEX_V3, &index(None, [&[], &[], &[]]));
    for unsigned in [vec![], vec![good.clone(), good], vec![without_algorithm]] {
        let mut pieces = Pieces::new(Some(b"letter"));
        stamped(&mut pieces, &oid::ARCHIVE_TIME_STAMP_V3, &token(9, unsigned));
        assert_eq!(imprint_of(&pieces, 0, None), Err(ArchiveError::NoIndex));
    }
}

#[test]
fn version_2_is_over_everything_but_stamps_that_are_not_older() {
    let mut pieces = Pieces::new(Some(b"letter"));
    let values = encoded(&oid::CERTIFICATE_VALUES, &sequence(&[&certificate(4)]));
    pieces.unsigned.push(values.clone());
    let older = encoded(&oid::ARCHIVE_TIME_STAMP_V2, &token(8, Vec::new()));
    pieces.unsigned.push(older.clone());
    stamped(&mut pieces, &oid::ARCHIVE_TIME_STAMP_V2, &token(9, Vec::new()));
    stamped(&mut pieces, &oid::ARCHIVE_TIME_STAMP_V2, &token(10, Vec::new()));
    let found = imprint_of(&pieces, 1, None).unwrap();
    let before = [
        pieces.encapsulated.clone(),
        tlv::encode(CONTEXT_0, &[&pieces.certificates.concat()]),
        tlv::encode(CONTEXT_1, &[&pieces.crls.concat()]),
        pieces.signer(),
    ]
    .concat();
    let attributes = [values, older].concat();
    let accepted = [tlv::encode(CONTEXT_1, &[&attributes]), attributes]
        .map(|unsigned| DigestAlgorithm::Sha512.digest(&[before.clone(), unsigned].concat()));
    assert_eq!(found.accepted, accepted);
    assert_eq!(found.covered.len(), 6);
    assert_eq!(imprint_of(&pieces, 0, None).unwrap().covered.len(), 5);
}

#[test]
fn over_content_outside_version_2_is_over_the_content_itself_and_version_1_is_not() {
    let mut pieces = Pieces::new(None);
    let values = encoded(&oid::CERTIFICATE_VALUES, &sequence(&[&certificate(4)]));
    pieces.unsigned.push(values.clone());
    stamped(&mut pieces, &oid::ARCHIVE_TIME_STAMP_V2, &token(9, Vec::new()));
    stamped(&mut pieces, &oid::ARCHIVE_TIME_STAMP, &token(9, Vec::new()));
    let after = [
        tlv::encode(CONTEXT_0, &[&pieces.certificates.concat()]),
        tlv::encode(CONTEXT_1, &[&pieces.crls.concat()]),
        pieces.signer(),
    ]
    .concat();
    let unsigned = [tlv::encode(CONTEXT_1, &[&values]), values];
    let over = |content: &[u8]| {
        let hash = |unsigned: &Vec<u8>| {
            DigestAlgorithm::Sha512.digest(&[&pieces.encapsulated, content, &after, unsigned].concat())
        };
        unsigned.each_ref().map(hash).to_vec()
    };
    let file = pieces.file();
    let mut hasher = DetachedHasher::new(&file);
    for part in [b"let".as_slice(), b"", b"ter"] {
        hasher.update(part);
    }
    let content = hasher.finish();
    assert_eq!(content, DetachedContent::of(&file, b"letter"));
    assert_eq!(content.digests, Digests::of(b"letter"));
    let second = imprint_with(&pieces, 0, Some(&content.digests), &content.framed).unwrap();
    assert_eq!((second.accepted, second.covered.len()), (over(b"letter"), 5));
    let other = DetachedContent::of(&file, b"another");
    let second = imprint_with(&pieces, 0, Some(&other.digests), &other.framed).unwrap();
    assert_eq!(second.accepted, over(b"another"));
    // Digests alone do not do, nor what was hashed around other evidence.
    assert_eq!(
        imprint_of(&pieces, 0, Some(&content.digests)),
        Err(ArchiveError::ContentOutside)
    );
    let mut fuller = Pieces::new(None);
    fuller.certificates.pop();
    fuller.unsigned.clone_from(&pieces.unsigned);
    assert_eq!(
        imprint_with(&fuller, 0, Some(&content.digests), &content.framed),
        Err(ArchiveError::ContentOutside)
    );
    let first = imprint_of(&pieces, 1, None).unwrap();
    assert_eq!(first.accepted, over(b""));
    let relied_on = [DigestAlgorithm::Sha512, DigestAlgorithm::Sha256];
    assert_eq!(
        first.algorithms, relied_on,
        "the content counts by the signer's message digest"
    );
    // With the content inside, both kinds are over the same.
    let mut inside = Pieces::new(Some(b"letter"));
    stamped(&mut inside, &oid::ARCHIVE_TIME_STAMP_V2, &token(9, Vec::new()));
    stamped(&mut inside, &oid::ARCHIVE_TIME_STAMP, &token(9, Vec::new()));
    assert_eq!(imprint_of(&inside, 0, None), imprint_of(&inside, 1, None));
    assert!(DetachedContent::of(&inside.file(), b"letter").framed.is_empty());
    assert!(DetachedContent::of(b"no signature", b"letter").framed.is_empty());
}

#[test]
fn values_are_read_and_broken_ones_set_aside() {
    let mut pieces = Pieces::new(None);
    let lists = tlv::encode(CONTEXT_0, &[&sequence(&[LIST])]);
    let responses = tlv::encode(CONTEXT_1, &[&sequence(&[&[0x30, 0], &[0x30, 0]])]);
    for (attribute_type, value) in [
        (oid::CERTIFICATE_VALUES, sequence(&[&certificate(4)])),
        (oid::REVOCATION_VALUES, sequence(&[&lists, &responses])),
        (oid::REVOCATION_VALUES, sequence(&[&responses, &lists])),
        (oid::CERTIFICATE_VALUES, vec![0x05, 0]),
    ] {
        pieces.unsigned.push(encoded(&attribute_type, &value));
    }
    let parsed = SignedData::parse(&pieces.file(), Profile::Document).unwrap();
    let expected = ValidationValues {
        certificates: vec![certificate(4)],
        crls: vec![LIST.to_vec()],
        ocsp: vec![vec![0x30, 0]; 2],
    };
    assert_eq!(parsed.signer.values, expected);
    assert_eq!(
        parsed.signer.other_unsigned_attributes,
        [oid::REVOCATION_VALUES, oid::CERTIFICATE_VALUES]
    );
}
