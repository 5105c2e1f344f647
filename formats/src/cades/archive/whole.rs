//! The two earlier kinds: over the signature as a whole, byte for byte, not over an index of its parts. TS 101 733 §6.4.1 and annex K,
//! RFC 5126 §6.4.1.
//!
//! ```text
//! encapContentInfo ‖ the content, if it is outside (second kind only) ‖ certificates ‖ crls ‖ every field of the SignerInfo
//! ```

use super::{
    ArchiveError, ArchiveImprint, ArchiveStampKind, Attribute, Covered, Parts, elements, inside_choice, kind_of,
};
use crate::cades::detached::frame;
use crate::cades::parse::CONTEXT_1;
use crate::cades::{FramedDigest, algorithm};
use crate::digest::DigestAlgorithm;
use crate::timestamp::Token;
use crate::tlv::{self, Reader};

/// Frames hashed for one signature. No more archive stamps inside a signature are judged.
const MAX_FRAMES: usize = 16;

/// What stands around detached content in the imprint of an archive-time-stamp-v2.
pub(in crate::cades) struct Frame<'a> {
    pub(in crate::cades) algorithm: DigestAlgorithm,
    /// encapContentInfo: the same for all frames of a signature.
    pub(in crate::cades) before: &'a [u8],
    /// certificates, crls and the SignerInfo up to its signature.
    signature: Vec<&'a [u8]>,
    /// Its unsigned attributes.
    attributes: Vec<&'a [u8]>,
}

impl Frame<'_> {
    /// What stands after the content. Annex K forgot tag and length of the unsigned attributes in an earlier edition and asks to
    /// accept both.
    pub(in crate::cades) fn after(&self) -> [Vec<u8>; 2] {
        let whole = tlv::encode(CONTEXT_1, &self.attributes);
        [whole, self.attributes.concat()].map(|unsigned| [self.signature.concat(), unsigned].concat())
    }
}

/// The frames of the archive-time-stamps-v2 in a signature whose content is outside, as far as they are judged.
pub(in crate::cades) fn frames(p7s: &[u8]) -> Vec<Frame<'_>> {
    let Ok(parts) = Parts::read(p7s) else {
        return Vec::new();
    };
    if parts.content.is_some() {
        return Vec::new();
    }
    let stamps = parts
        .unsigned
        .iter()
        .filter(|attribute| kind_of(attribute.attribute_type) == Some(ArchiveStampKind::V2));
    let tokens = stamps.flat_map(|attribute| &attribute.values).take(MAX_FRAMES);
    tokens
        .filter_map(|value| {
            let token = Token::parse(value).ok()?;
            let algorithm = token.info.imprint_algorithm?;
            Some(parts.frame(algorithm, &parts.older_than(&token)))
        })
        .collect()
}

impl<'a> Parts<'a> {
    /// TS 101 733 1.5.1 to 1.6.3: content outside counts by the signer's message digest alone.
    pub(super) fn version_1(&self, algorithm: DigestAlgorithm, token: &Token) -> Result<ArchiveImprint, ArchiveError> {
        let attributes = self.older_than(token);
        let mut imprint = self.imprint(algorithm, &attributes, self.without_content(algorithm, &attributes))?;
        if self.content.is_none() {
            imprint.covers_content = false;
            let mut fields = Reader::new(self.signer);
            fields.expect(tlv::INTEGER)?;
            fields.any()?;
            imprint.algorithms.push(algorithm::read_digest(&fields.any()?)?);
        }
        Ok(imprint)
    }

    /// §6.4.1: everything, but archive stamps that are not older.
    pub(super) fn version_2(
        &self,
        algorithm: DigestAlgorithm,
        token: &Token,
        framed: &[FramedDigest],
    ) -> Result<ArchiveImprint, ArchiveError> {
        let attributes = self.older_than(token);
        if self.content.is_some() {
            return self.imprint(algorithm, &attributes, self.without_content(algorithm, &attributes));
        }
        let mut accepted = Vec::new();
        for after in self.frame(algorithm, &attributes).after() {
            let name = frame(self.encapsulated, &after);
            let known = framed
                .iter()
                .find(|one| one.algorithm == algorithm && one.frame == name);
            accepted.extend(known.map(|one| one.digest.clone()));
        }
        if accepted.is_empty() {
            return Err(ArchiveError::ContentOutside);
        }
        self.imprint(algorithm, &attributes, accepted)
    }

    fn older_than(&self, token: &Token) -> Vec<&Attribute<'a>> {
        let older = |attribute: &&Attribute<'_>| {
            let is_older =
                |value: &&[u8]| Token::parse(value).is_ok_and(|other| other.info.gen_time < token.info.gen_time);
            kind_of(attribute.attribute_type).is_none() || attribute.values.iter().all(is_older)
        };
        self.unsigned.iter().filter(older).collect()
    }

    fn frame(&self, algorithm: DigestAlgorithm, attributes: &[&Attribute<'a>]) -> Frame<'a> {
        let sets = [self.certificates, self.crls].into_iter().flatten();
        Frame {
            algorithm,
            before: self.encapsulated,
            signature: sets.map(|set| set.raw).chain([self.signer]).collect(),
            attributes: attributes.iter().map(|attribute| attribute.raw).collect(),
        }
    }

    fn without_content(&self, algorithm: DigestAlgorithm, attributes: &[&Attribute<'a>]) -> Vec<Vec<u8>> {
        let after = self.frame(algorithm, attributes).after();
        after
            .map(|after| algorithm.digest(&[self.encapsulated, &after].concat()))
            .to_vec()
    }

    /// It covers whatever is there.
    fn imprint(
        &self,
        algorithm: DigestAlgorithm,
        attributes: &[&Attribute<'a>],
        accepted: Vec<Vec<u8>>,
    ) -> Result<ArchiveImprint, ArchiveError> {
        let certificates = elements(self.certificates)?;
        let certificates = certificates.iter().map(|raw| Covered::Certificate(raw.to_vec()));
        let crls = elements(self.crls)?;
        let crls = crls.iter().map(|raw| Covered::Revocation(inside_choice(raw).to_vec()));
        let values = attributes.iter().flat_map(|attribute| {
            let values = attribute.values.iter();
            values.map(|value| Covered::Attribute(attribute.attribute_type, value.to_vec()))
        });
        Ok(ArchiveImprint {
            accepted,
            covered: certificates.chain(crls).chain(values).collect(),
            uncovered: 0,
            covers_content: true,
            algorithms: vec![algorithm],
        })
    }
}
