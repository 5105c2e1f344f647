//! Archive time stamps inside a signature: what each of them is over, ETSI EN 319 122-1 §5.5, TS 101 733 §6.4, RFC 5126 §6.4.1.
//!
//! Everything is hashed as it was sent. Nothing here verifies a token: that is `trust-store`.
//!
//! ```asn1
//! ATSHashIndexV3 ::= SEQUENCE { hashIndAlgorithm AlgorithmIdentifier,          -- EN 319 122-1 §5.5.2
//!                               certificatesHashIndex SEQUENCE OF OCTET STRING,
//!                               crlsHashIndex SEQUENCE OF OCTET STRING,
//!                               unsignedAttrValuesHashIndex SEQUENCE OF OCTET STRING }
//! ATSHashIndex   ::= SEQUENCE { hashIndAlgorithm AlgorithmIdentifier DEFAULT sha256, …,  -- TS 101 733 V2.2.1 §6.4.2
//!                               unsignedAttrsHashIndex SEQUENCE OF OCTET STRING }
//! ```

mod made;
mod whole;

use std::collections::HashSet;

use const_oid::ObjectIdentifier;

use super::attributes::read_attribute;
use super::parse::{CONTEXT_0, CONTEXT_1, only_signer, signed_data};
use super::{CadesError, FramedDigest, SignedData, algorithm};
use crate::digest::{DigestAlgorithm, Digests};
use crate::oid;
use crate::timestamp::Token;
use crate::tlv::{self, Element};

pub use made::{NextArchiveStamp, next_archive_stamp, with_archive_stamp};
pub(super) use whole::frames;

/// Which attribute an archive time stamp came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchiveStampKind {
    /// `id-aa-ets-archiveTimestamp`, read as TS 101 733 1.5.1 to 1.6.3 define it: like the second, but never over content outside.
    /// RFC 3126 and earlier editions gave it another meaning, without lengths; such a stamp matches nothing here.
    V1,
    /// `id-aa-ets-archiveTimestampV2`, TS 101 733 §6.4.1, RFC 5126 §6.4.1.
    V2,
    /// `id-aa-ets-archiveTimestampV3`, EN 319 122-1 §5.5.3.
    V3,
}

/// One archive time stamp as found in a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveStamp {
    /// Its attribute.
    pub kind: ArchiveStampKind,
    /// The TimeStampToken as sent.
    pub token: Vec<u8>,
}

/// Something in a signature that an archive time stamp covers beside the signature itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Covered {
    /// An element of `certificates`.
    Certificate(Vec<u8>),
    /// A CRL or OCSP response among `crls`.
    Revocation(Vec<u8>),
    /// A value of an unsigned attribute.
    Attribute(ObjectIdentifier, Vec<u8>),
}

/// What an archive time stamp must be over, and what it then covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveImprint {
    /// The imprints that are right: two where editions of the standard differ.
    pub accepted: Vec<Vec<u8>>,
    /// What it covers beside content, signed attributes and signature value.
    pub covered: Vec<Covered>,
    /// How much of the signature it does not cover, later archive stamps apart.
    pub uncovered: usize,
    /// Whether it is over the content itself, by the first of `algorithms`.
    pub covers_content: bool,
    /// Hashes it relies on.
    pub algorithms: Vec<DigestAlgorithm>,
}

/// Why an archive time stamp cannot be compared with what it should be over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// Version 2 is over the content itself, of which only digests are known.
    #[error(
        "an archive time stamp of version 2 is over the content itself, which lies outside the signature and is not at hand"
    )]
    ContentOutside,
    /// The digest of the content is not known.
    #[error("the content is not at hand")]
    NoContent,
    /// An imprint hash that is not accepted.
    #[error("its imprint is made with a hash that is not accepted")]
    ImprintAlgorithm,
    /// None, several, or not what the standard says.
    #[error("its hash index is missing or malformed")]
    NoIndex,
    /// The index names something that is not there.
    #[error("its hash index names something that is not in the signature")]
    IndexNamesMore,
    /// The signature around it.
    #[error(transparent)]
    Signature(#[from] CadesError),
}

impl ArchiveStamp {
    /// The hash it relies on in `signed` beside that of its own imprint: of version 3 that of its index; of the first kind, where
    /// the content is outside, that of the signer's message digest.
    #[must_use]
    pub fn further_hash(&self, signed: &SignedData) -> Option<DigestAlgorithm> {
        match self.kind {
            ArchiveStampKind::V1 => signed.content.is_none().then_some(signed.signer.digest_algorithm),
            ArchiveStampKind::V2 => None,
            ArchiveStampKind::V3 => HashIndex::of(&self.token).ok().map(|index| index.algorithm),
        }
    }
}

impl From<tlv::TlvError> for ArchiveError {
    fn from(error: tlv::TlvError) -> Self {
        Self::Signature(error.into())
    }
}

/// What `stamp` in the signature `p7s` must be over. `token` is the stamp's token as read, `content` the digests of detached content,
/// `framed` what [`super::DetachedHasher`] found it to be inside its frames.
///
/// # Errors
/// [`ArchiveError`]: the stamp then proves nothing.
pub fn archive_imprint(
    p7s: &[u8],
    stamp: &ArchiveStamp,
    token: &Token,
    content: Option<&Digests>,
    framed: &[FramedDigest],
) -> Result<ArchiveImprint, ArchiveError> {
    let parts = Parts::read(p7s)?;
    let algorithm = token.info.imprint_algorithm.ok_or(ArchiveError::ImprintAlgorithm)?;
    match stamp.kind {
        ArchiveStampKind::V1 => parts.version_1(algorithm, token),
        ArchiveStampKind::V2 => parts.version_2(algorithm, token, framed),
        ArchiveStampKind::V3 => {
            let inside = parts.content.as_deref().map(|content| algorithm.digest(content));
            let digest = match inside {
                Some(digest) => digest,
                None => content
                    .and_then(|digests| digests.get(algorithm))
                    .ok_or(ArchiveError::NoContent)?
                    .to_vec(),
            };
            parts.version_3(algorithm, &digest, stamp)
        }
    }
}

/// The kind an attribute's type names.
pub(super) fn kind_of(attribute_type: ObjectIdentifier) -> Option<ArchiveStampKind> {
    match attribute_type {
        oid::ARCHIVE_TIME_STAMP => Some(ArchiveStampKind::V1),
        oid::ARCHIVE_TIME_STAMP_V2 => Some(ArchiveStampKind::V2),
        oid::ARCHIVE_TIME_STAMP_V3 => Some(ArchiveStampKind::V3),
        _ => None,
    }
}

/// A signature taken apart, nothing decoded.
struct Parts<'a> {
    content_type: &'a [u8],
    content: Option<Vec<u8>>,
    encapsulated: &'a [u8],
    certificates: Option<Element<'a>>,
    crls: Option<Element<'a>>,
    /// The SignerInfo up to the signature value.
    signer: &'a [u8],
    unsigned: Vec<Attribute<'a>>,
}

struct Attribute<'a> {
    raw: &'a [u8],
    /// The type with its header.
    identifier: &'a [u8],
    attribute_type: ObjectIdentifier,
    values: Vec<&'a [u8]>,
}

impl<'a> Parts<'a> {
    fn read(p7s: &'a [u8]) -> Result<Self, CadesError> {
        tlv::check_nesting(p7s)?;
        let mut parts = signed_data(p7s)?.children();
        parts.expect(tlv::INTEGER)?;
        parts.expect(tlv::SET)?;
        let encapsulated = parts.expect(tlv::SEQUENCE)?;
        let certificates = parts.optional(CONTEXT_0)?;
        let crls = parts.optional(CONTEXT_1)?;
        let signer = only_signer(&parts.expect(tlv::SET)?)?;
        let mut inside = encapsulated.children();
        let content_type = inside.expect(tlv::OBJECT_IDENTIFIER)?.raw;
        let content = match inside.optional(CONTEXT_0)? {
            Some(content) => Some(content.explicit()?.octets()?),
            None => None,
        };
        let mut fields = signer.children();
        let (mut before, mut unsigned) = (0_usize, Vec::new());
        while let Some(field) = fields.next()? {
            if field.tag != CONTEXT_1 {
                before = before.saturating_add(field.raw.len());
                continue;
            }
            let mut attributes = field.children();
            while let Some(attribute) = attributes.next()? {
                unsigned.push(Attribute::read(&attribute)?);
            }
        }
        Ok(Self {
            content_type,
            content,
            encapsulated: encapsulated.raw,
            certificates,
            crls,
            signer: signer.content.get(..before).unwrap_or_default(),
            unsigned,
        })
    }

    /// §5.5.3: content type, hash of the content, SignerInfo without its unsigned attributes, and the index.
    fn version_3(
        &self,
        algorithm: DigestAlgorithm,
        content: &[u8],
        stamp: &ArchiveStamp,
    ) -> Result<ArchiveImprint, ArchiveError> {
        let index = HashIndex::of(&stamp.token)?;
        let imprint = [self.content_type, content, self.signer, &index.raw].concat();
        let (mut covered, mut uncovered) = (Vec::new(), 0_usize);
        let mut found = HashSet::new();
        let mut weigh = |hash: Vec<u8>, known: &HashSet<Vec<u8>>, what: Covered, later: bool| {
            if known.contains(&hash) {
                found.insert(hash);
                covered.push(what);
            } else if !later {
                uncovered += 1;
            }
        };
        let hash = |bytes: &[u8]| index.algorithm.digest(bytes);
        for certificate in elements(self.certificates)? {
            weigh(
                hash(certificate),
                &index.certificates,
                Covered::Certificate(certificate.to_vec()),
                false,
            );
        }
        for list in elements(self.crls)? {
            weigh(
                hash(list),
                &index.crls,
                Covered::Revocation(inside_choice(list).to_vec()),
                false,
            );
        }
        for attribute in &self.unsigned {
            // A stamp made later, or this one itself, cannot be in the index.
            let later = kind_of(attribute.attribute_type).is_some();
            for value in &attribute.values {
                let hash = if index.by_value {
                    hash(&[attribute.identifier, value].concat())
                } else {
                    hash(attribute.raw)
                };
                let what = Covered::Attribute(attribute.attribute_type, value.to_vec());
                weigh(hash, &index.attributes, what, later);
            }
        }
        let named = [&index.certificates, &index.crls, &index.attributes];
        if named.into_iter().flatten().any(|hash| !found.contains(hash)) {
            return Err(ArchiveError::IndexNamesMore);
        }
        Ok(ArchiveImprint {
            accepted: vec![algorithm.digest(&imprint)],
            covered,
            uncovered,
            covers_content: true,
            algorithms: vec![algorithm, index.algorithm],
        })
    }
}

impl<'a> Attribute<'a> {
    fn read(attribute: &Element<'a>) -> Result<Self, CadesError> {
        let (attribute_type, values) = read_attribute(attribute)?;
        let identifier = attribute.children().any()?.raw;
        Ok(Self {
            raw: attribute.raw,
            identifier,
            attribute_type,
            values: elements(Some(values))?,
        })
    }
}

/// What a token's unsigned attribute ats-hash-index says.
struct HashIndex {
    raw: Vec<u8>,
    algorithm: DigestAlgorithm,
    /// Attributes are hashed value by value (version 3), not whole.
    by_value: bool,
    certificates: HashSet<Vec<u8>>,
    crls: HashSet<Vec<u8>>,
    attributes: HashSet<Vec<u8>>,
}

impl HashIndex {
    fn of(token: &[u8]) -> Result<Self, ArchiveError> {
        let parts = Parts::read(token)?;
        let mut indices = parts
            .unsigned
            .iter()
            .filter_map(|attribute| match attribute.attribute_type {
                oid::ATS_HASH_INDEX_V3 => Some((true, attribute)),
                oid::ATS_HASH_INDEX => Some((false, attribute)),
                _ => None,
            });
        let (Some((by_value, attribute)), None) = (indices.next(), indices.next()) else {
            return Err(ArchiveError::NoIndex);
        };
        let [value] = attribute.values.as_slice() else {
            return Err(ArchiveError::NoIndex);
        };
        let value = Element::only(value)?;
        value.tagged(tlv::SEQUENCE)?;
        let mut fields = value.children();
        let mut first = fields.any()?;
        // The algorithm begins with an identifier, a list of hashes with a hash or with nothing.
        let stated = first
            .children()
            .next()?
            .is_some_and(|inner| inner.tag == tlv::OBJECT_IDENTIFIER);
        let algorithm = match (stated, by_value) {
            (true, _) => {
                let algorithm = algorithm::read_digest(&first)?;
                first = fields.any()?;
                algorithm
            }
            (false, false) => DigestAlgorithm::Sha256,
            (false, true) => return Err(ArchiveError::NoIndex),
        };
        let index = Self {
            raw: value.raw.to_vec(),
            algorithm,
            by_value,
            certificates: hashes(&first)?,
            crls: hashes(&fields.any()?)?,
            attributes: hashes(&fields.any()?)?,
        };
        fields.finish()?;
        Ok(index)
    }
}

fn hashes(list: &Element<'_>) -> Result<HashSet<Vec<u8>>, ArchiveError> {
    list.tagged(tlv::SEQUENCE)?;
    let mut found = HashSet::new();
    let mut list = list.children();
    while let Some(hash) = list.next()? {
        found.insert(hash.octets()?);
    }
    Ok(found)
}

/// A CRL as it is; of `[1] OtherRevocationInfoFormat` (RFC 5652 §10.2.1) what it wraps, an OCSP response.
fn inside_choice(raw: &[u8]) -> &[u8] {
    let wrapped = || {
        let choice = Element::only(raw).ok().filter(|choice| choice.tag == CONTEXT_1)?;
        let mut parts = choice.children();
        parts.any().ok()?;
        parts.any().ok().map(|response| response.raw)
    };
    wrapped().unwrap_or(raw)
}

fn elements(set: Option<Element<'_>>) -> Result<Vec<&[u8]>, CadesError> {
    let mut found = Vec::new();
    let Some(set) = set else { return Ok(found) };
    let mut inside = set.children();
    while let Some(element) = inside.next()? {
        found.push(element.raw);
    }
    Ok(found)
}

#[cfg(test)]
#[path = "archive/tests.rs"]
mod tests;
