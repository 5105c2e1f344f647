//! An archive time stamp is added to a finished signature: archive-time-stamp-v3 with its hash index, EN 319 122-1 §5.5. SHA-256
//! throughout. What it is over is put together here and compared with what is there in [`super::archive_imprint`].

use super::{ArchiveError, Parts, elements};
use crate::cades::CadesError;
use crate::cades::timestamped::with_unsigned;
use crate::digest::{DigestAlgorithm, Digests};
use crate::oid;
use crate::tlv;

const ALGORITHM: DigestAlgorithm = DigestAlgorithm::Sha256;

/// An archive time stamp that waits for its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextArchiveStamp {
    /// What the token must be over, by SHA-256.
    pub message: Vec<u8>,
    /// DER of the ATSHashIndexV3.
    index: Vec<u8>,
}

/// The next archive time stamp of the signature `p7s`: over its content and everything in it now. `content`: the digests of
/// detached content.
///
/// # Errors
/// [`ArchiveError::NoContent`], or `p7s` is no signature.
pub fn next_archive_stamp(p7s: &[u8], content: Option<&Digests>) -> Result<NextArchiveStamp, ArchiveError> {
    let parts = Parts::read(p7s)?;
    let inside = parts.content.as_deref().map(|content| ALGORITHM.digest(content));
    let outside = content.and_then(|digests| digests.get(ALGORITHM)).map(<[u8]>::to_vec);
    let digest = inside.or(outside).ok_or(ArchiveError::NoContent)?;
    let values = parts.unsigned.iter().flat_map(|attribute| {
        let values = attribute.values.iter();
        values.map(|value| ALGORITHM.digest(&[attribute.identifier, value].concat()))
    });
    let index = tlv::encode(
        tlv::SEQUENCE,
        &[
            &tlv::encode(tlv::SEQUENCE, &[&tlv::encode_oid(&ALGORITHM.oid())]),
            &list(
                elements(parts.certificates)?
                    .into_iter()
                    .map(|one| ALGORITHM.digest(one)),
            ),
            &list(elements(parts.crls)?.into_iter().map(|one| ALGORITHM.digest(one))),
            &list(values),
        ],
    );
    Ok(NextArchiveStamp {
        message: [parts.content_type, &digest, parts.signer, &index].concat(),
        index,
    })
}

/// The signature with `token` as a further archive time stamp. Evidence may have been added to the token; to `p7s` nothing.
///
/// # Errors
/// The signature or the token is malformed, or the result would be larger than [`crate::cades::MAX_BYTES`].
pub fn with_archive_stamp(p7s: &[u8], next: &NextArchiveStamp, token: &[u8]) -> Result<Vec<u8>, CadesError> {
    let token = with_unsigned(token, &attribute(&oid::ATS_HASH_INDEX_V3, &next.index))?;
    with_unsigned(p7s, &attribute(&oid::ARCHIVE_TIME_STAMP_V3, &token))
}

fn attribute(identifier: &const_oid::ObjectIdentifier, value: &[u8]) -> Vec<u8> {
    tlv::encode(
        tlv::SEQUENCE,
        &[&tlv::encode_oid(identifier), &tlv::encode(tlv::SET, &[value])],
    )
}

fn list(hashes: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    let hashes: Vec<Vec<u8>> = hashes.map(|hash| tlv::encode(tlv::OCTET_STRING, &[&hash])).collect();
    let parts: Vec<&[u8]> = hashes.iter().map(Vec::as_slice).collect();
    tlv::encode(tlv::SEQUENCE, &parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cades::archive::tests::token_by;
    use crate::cades::tests::signature;
    use crate::cades::{
        ArchiveStamp, ArchiveStampKind, Profile, SignedData, archive_imprint, with_evidence, with_timestamp,
    };
    use crate::timestamp::Token;

    fn piece(content: u8) -> Vec<u8> {
        vec![0x30, 3, 2, 1, content]
    }

    fn token(second: i64) -> Vec<u8> {
        token_by(ALGORITHM, second, Vec::new())
    }

    #[test]
    fn what_is_asked_for_is_what_a_reader_expects_and_covers_everything() {
        let content = Digests::of(b"content");
        let stamped = with_timestamp(&signature(), &token(1)).unwrap();
        let full = with_evidence(&stamped, &[piece(1)], &[piece(2)], &[]).unwrap();
        let before = SignedData::parse(&full, Profile::Document).unwrap();
        let next = next_archive_stamp(&full, Some(&content)).unwrap();
        let archived = with_archive_stamp(&full, &next, &token(2)).unwrap();
        let after = SignedData::parse(&archived, Profile::Document).unwrap();
        assert_eq!(after.signer.signature, before.signer.signature);
        assert_eq!(after.signer.timestamps, before.signer.timestamps);
        let [stamp] = after.signer.archive_stamps.as_slice() else {
            panic!("one archive stamp");
        };
        assert_eq!(stamp.kind, ArchiveStampKind::V3);
        let read = Token::parse(&stamp.token).unwrap();
        let expected = |p7s: &[u8], stamp: &ArchiveStamp| {
            let read = Token::parse(&stamp.token).unwrap();
            archive_imprint(p7s, stamp, &read, Some(&content), &[]).unwrap()
        };
        let imprint = expected(&archived, stamp);
        assert_eq!(imprint.accepted, [ALGORITHM.digest(&next.message)]);
        assert_eq!(imprint.uncovered, 0);
        assert_eq!(read.info, Token::parse(&token(2)).unwrap().info);

        // A second one covers the first, and what was added since.
        let more = with_evidence(&archived, &[], &[piece(3)], &[]).unwrap();
        let second = next_archive_stamp(&more, Some(&content)).unwrap();
        let twice = with_archive_stamp(
            &more,
            &second,
            &with_evidence(&token(3), &[piece(4)], &[], &[]).unwrap(),
        )
        .unwrap();
        let signed = SignedData::parse(&twice, Profile::Document).unwrap();
        assert_eq!(signed.signer.archive_stamps.len(), 2);
        let imprints: Vec<_> = signed
            .signer
            .archive_stamps
            .iter()
            .map(|stamp| expected(&twice, stamp))
            .collect();
        assert!(
            imprints
                .iter()
                .any(|one| one.accepted == [ALGORITHM.digest(&second.message)] && one.uncovered == 0)
        );
        assert!(
            imprints
                .iter()
                .any(|one| one.accepted == [ALGORITHM.digest(&next.message)])
        );
    }

    #[test]
    fn without_its_content_there_is_none() {
        assert_eq!(next_archive_stamp(&signature(), None), Err(ArchiveError::NoContent));
        assert!(next_archive_stamp(b"", Some(&Digests::of(b""))).is_err());
    }
}
