//! From the bytes of a signature file to [`SignedData`].
//!
//! ```asn1
//! ContentInfo ::= SEQUENCE { contentType OBJECT IDENTIFIER, content [0] EXPLICIT ANY }         -- RFC 5652 §3
//! SignedData  ::= SEQUENCE { version INTEGER, digestAlgorithms SET OF AlgorithmIdentifier,     -- RFC 5652 §5.1
//!                            encapContentInfo SEQUENCE { OBJECT IDENTIFIER, [0] EXPLICIT OCTET STRING OPTIONAL },
//!                            certificates [0] IMPLICIT SET OF … OPTIONAL,
//!                            crls [1] IMPLICIT SET OF … OPTIONAL, signerInfos SET OF SignerInfo }
//! SignerInfo  ::= SEQUENCE { version INTEGER, sid SignerIdentifier, digestAlgorithm,           -- RFC 5652 §5.3
//!                            signedAttrs [0] IMPLICIT SET OF Attribute OPTIONAL, signatureAlgorithm,
//!                            signature OCTET STRING, unsignedAttrs [1] IMPLICIT SET OF Attribute OPTIONAL }
//! ```

use super::{
    CadesError, MAX_BYTES, MAX_CERTIFICATES, MAX_CRLS, Profile, SignedData, Signer, SignerIdentifier, algorithm,
    attributes,
};
use crate::oid;
use crate::tlv::{self, Element};

pub(super) const CONTEXT_0: u8 = 0xa0;
pub(super) const CONTEXT_1: u8 = 0xa1;
const CONTEXT_0_PRIMITIVE: u8 = 0x80;

impl SignedData {
    /// Reads a CMS ContentInfo that holds a SignedData, BER or DER, with nothing after it.
    ///
    /// # Errors
    /// What makes it no signature of this profile; see [`CadesError`].
    pub fn parse(bytes: &[u8], profile: Profile) -> Result<Self, CadesError> {
        if bytes.len() > MAX_BYTES {
            return Err(CadesError::Malformed(format!("larger than {MAX_BYTES} bytes")));
        }
        tlv::check_nesting(bytes)?;
        let mut parts = signed_data(bytes)?.children();
        parts.expect(tlv::INTEGER)?;
        // What counts is the algorithm the signer names; this list is a hint for one-pass readers.
        parts.expect(tlv::SET)?;
        let encapsulated = parts.expect(tlv::SEQUENCE)?;
        let certificates = parts.optional(CONTEXT_0)?;
        let crls = parts.optional(CONTEXT_1)?;
        let signers = parts.expect(tlv::SET)?;
        parts.finish()?;

        let mut encapsulated = encapsulated.children();
        let content_type = encapsulated.any()?.oid()?;
        let content = match encapsulated.optional(CONTEXT_0)? {
            Some(content) => Some(content.explicit()?.octets()?),
            None => None,
        };
        encapsulated.finish()?;

        Ok(Self {
            content_type,
            content,
            certificates: kept(certificates, MAX_CERTIFICATES, "certificates")?,
            ocsp: ocsp_responses(crls)?,
            crls: kept(crls, MAX_CRLS, "CRLs")?,
            signer: read_signer(&only_signer(&signers)?, profile)?,
        })
    }
}

/// The SignedData inside a ContentInfo.
pub(super) fn signed_data(bytes: &[u8]) -> Result<Element<'_>, CadesError> {
    let content_info = Element::only(bytes)?;
    content_info.tagged(tlv::SEQUENCE)?;
    let mut parts = content_info.children();
    if parts.any()?.oid()? != oid::SIGNED_DATA {
        return Err(CadesError::Malformed("the content is not id-signedData".to_owned()));
    }
    let content = parts.expect(CONTEXT_0)?.explicit()?;
    parts.finish()?;
    content.tagged(tlv::SEQUENCE)?;
    Ok(content)
}

/// The one SignerInfo.
pub(super) fn only_signer<'a>(signers: &Element<'a>) -> Result<Element<'a>, CadesError> {
    let mut signers = signers.children();
    let (mut first, mut count) = (None, 0_usize);
    while let Some(signer) = signers.next()? {
        first = first.or(Some(signer));
        count += 1;
    }
    match first {
        Some(signer) if count == 1 => {
            signer.tagged(tlv::SEQUENCE)?;
            Ok(signer)
        }
        _ => Err(CadesError::SignerCount(count)),
    }
}

/// Certificates or CRLs as sent. The other choices (attribute certificates, other formats) carry a tag of their own; they are
/// counted and left aside.
fn kept(set: Option<Element<'_>>, most: usize, what: &str) -> Result<Vec<Vec<u8>>, CadesError> {
    let mut kept = Vec::new();
    let Some(set) = set else {
        return Ok(kept);
    };
    let (mut elements, mut count) = (set.children(), 0_usize);
    while let Some(element) = elements.next()? {
        count += 1;
        if count > most {
            return Err(CadesError::Malformed(format!("more than {most} {what}")));
        }
        if element.tag == tlv::SEQUENCE {
            kept.push(element.raw.to_vec());
        }
    }
    Ok(kept)
}

/// Those of the other formats that are OCSP responses. They are counted among the CRLs.
///
/// ```asn1
/// OtherRevocationInfoFormat ::= SEQUENCE { otherRevInfoFormat OBJECT IDENTIFIER, otherRevInfo ANY }   -- RFC 5652 §10.2.1, as [1]
/// ```
fn ocsp_responses(set: Option<Element<'_>>) -> Result<Vec<Vec<u8>>, CadesError> {
    let mut responses = Vec::new();
    let Some(set) = set else {
        return Ok(responses);
    };
    let mut elements = set.children();
    while let Some(element) = elements.next()? {
        if element.tag != CONTEXT_1 || responses.len() >= MAX_CRLS {
            continue;
        }
        let mut parts = element.children();
        let format = parts.any()?.oid()?;
        let content = parts.any()?;
        parts.finish()?;
        if format == oid::RI_OCSP_RESPONSE {
            responses.push(content.raw.to_vec());
        }
    }
    Ok(responses)
}

fn read_signer(signer: &Element<'_>, profile: Profile) -> Result<Signer, CadesError> {
    let mut parts = signer.children();
    parts.expect(tlv::INTEGER)?;
    let identifier = read_identifier(&parts.any()?)?;
    let digest_algorithm = algorithm::read_digest(&parts.any()?)?;
    let signed = parts.optional(CONTEXT_0)?.ok_or(CadesError::Attribute {
        attribute: "content-type",
        problem: "missing",
    })?;
    let signature_algorithm = algorithm::read_signature(&parts.any()?, digest_algorithm)?;
    let signature = parts.any()?.octets()?;
    let unsigned = match parts.optional(CONTEXT_1)? {
        Some(unsigned) => attributes::read_unsigned(unsigned.children())?,
        None => attributes::UnsignedAttributes::default(),
    };
    parts.finish()?;
    let attributes = attributes::read_signed(signed.children(), profile)?;
    if let Some(stated) = &attributes.algorithm_protection
        && !stated.agrees(digest_algorithm, &signature_algorithm)
    {
        return Err(CadesError::Attribute {
            attribute: "cms-algorithm-protection",
            problem: "names other algorithms than the signature has",
        });
    }
    let mut values = unsigned.values;
    values.crls.extend(attributes.revocation.crls);
    values.ocsp.extend(attributes.revocation.ocsp);
    Ok(Signer {
        identifier,
        digest_algorithm,
        signature_algorithm,
        signed_attributes: tlv::encode(tlv::SET, &[signed.content]),
        attribute_content_type: attributes.content_type,
        message_digest: attributes.message_digest,
        signing_certificate: attributes.signing_certificate,
        signing_time: attributes.signing_time,
        signature,
        timestamps: unsigned.timestamps,
        archive_stamps: unsigned.archive_stamps,
        values,
        other_unsigned_attributes: unsigned.others,
    })
}

fn read_identifier(identifier: &Element<'_>) -> Result<SignerIdentifier, CadesError> {
    match identifier.tag {
        tlv::SEQUENCE => {
            let mut parts = identifier.children();
            let issuer = parts.expect(tlv::SEQUENCE)?.raw.to_vec();
            let serial = parts.expect(tlv::INTEGER)?.content.to_vec();
            parts.finish()?;
            Ok(SignerIdentifier::IssuerAndSerialNumber { issuer, serial })
        }
        CONTEXT_0_PRIMITIVE => Ok(SignerIdentifier::SubjectKeyIdentifier(identifier.content.to_vec())),
        CONTEXT_0 => Ok(SignerIdentifier::SubjectKeyIdentifier(identifier.joined()?)),
        _ => Err(CadesError::Malformed("the signer is not identified".to_owned())),
    }
}
