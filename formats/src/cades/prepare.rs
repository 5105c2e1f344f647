//! A new signature in two steps, because the key may be in a card: [`prepare`] gives the bytes to sign, `finish` the file.

use std::fmt;

use const_oid::ObjectIdentifier;
use time::OffsetDateTime;

use super::parse::CONTEXT_0;
use super::{CadesError, CertificateHash, MAX_BYTES, MAX_CERTIFICATES, algorithm, attributes};
use crate::digest::DigestAlgorithm;
use crate::oid;
use crate::tlv::{self, Element, time as asn1_time};

/// Who signs: the certificate, what leads to its anchor, and the kind of key.
#[derive(Clone)]
pub struct SigningIdentity {
    /// The signer's certificate, DER.
    pub certificate: Vec<u8>,
    /// Certificates of the issuers that travel along, DER.
    pub chain: Vec<Vec<u8>>,
    /// How the key signs.
    pub scheme: SignatureScheme,
}

/// How a key signs; the hash is the signature's digest algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureScheme {
    /// RSASSA-PKCS1-v1_5, RFC 8017 §8.2.
    RsaPkcs1,
    /// RSASSA-PSS, RFC 8017 §8.1: MGF1 over the same hash, salt as long as the hash.
    RsaPss,
    /// ECDSA, FIPS 186-5 §6; the signature is a DER ECDSA-Sig-Value (RFC 3279 §2.2.3).
    Ecdsa,
}

/// Content that travels inside the signature, as in a time-stamp token.
#[derive(Clone)]
pub struct Encapsulated<'a> {
    /// Type of the content.
    pub content_type: ObjectIdentifier,
    /// The content.
    pub content: &'a [u8],
    /// Hash of the signer's certificate for the ESS attribute; SHA-1 makes it signing-certificate version 1.
    pub certificate_hash: CertificateHash,
    /// Whether the certificates travel along (`certReq` of a time-stamp request).
    pub with_certificates: bool,
}

/// A signature that waits for its key (署名準備).
pub struct PreparedSignature {
    to_be_signed: Vec<u8>,
    digest: DigestAlgorithm,
    scheme: SignatureScheme,
    content_type: ObjectIdentifier,
    content: Option<Vec<u8>>,
    certificates: Vec<Vec<u8>>,
    /// DER of the issuer's Name, then of the serial number.
    issuer_and_serial: Vec<u8>,
}

/// Prepares a detached CAdES signature over content with this digest.
///
/// # Errors
/// A certificate that is no certificate, a digest of another length than its algorithm gives, or too much of either.
pub fn prepare(
    signer: &SigningIdentity,
    digest: DigestAlgorithm,
    content_digest: &[u8],
    signing_time: Option<OffsetDateTime>,
) -> Result<PreparedSignature, CadesError> {
    let hash = CertificateHash::Sha2(digest, digest.digest(&signer.certificate));
    assemble(signer, digest, content_digest, signing_time, oid::DATA, &hash)
}

/// Prepares a signature that carries its content.
///
/// # Errors
/// As [`prepare`].
pub fn prepare_encapsulated(
    signer: &SigningIdentity,
    digest: DigestAlgorithm,
    encapsulated: Encapsulated<'_>,
    signing_time: Option<OffsetDateTime>,
) -> Result<PreparedSignature, CadesError> {
    let content_digest = digest.digest(encapsulated.content);
    let (content_type, hash) = (encapsulated.content_type, &encapsulated.certificate_hash);
    let mut prepared = assemble(signer, digest, &content_digest, signing_time, content_type, hash)?;
    prepared.content = Some(encapsulated.content.to_vec());
    if !encapsulated.with_certificates {
        prepared.certificates.clear();
    }
    Ok(prepared)
}

impl PreparedSignature {
    /// What the key signs: DER of the SET OF signed attributes. The key hashes it, or is given [`Self::digest`] of it.
    #[must_use]
    pub fn to_be_signed(&self) -> &[u8] {
        &self.to_be_signed
    }

    /// Hash of content, attributes and signature.
    #[must_use]
    pub fn digest(&self) -> DigestAlgorithm {
        self.digest
    }

    /// How the key must sign.
    #[must_use]
    pub fn scheme(&self) -> SignatureScheme {
        self.scheme
    }

    /// The signature file, DER.
    ///
    /// # Errors
    /// `signature` is empty, or is not an ECDSA-Sig-Value where it must be one, or the file would be too large to be read again.
    pub fn finish(self, signature: &[u8]) -> Result<Vec<u8>, CadesError> {
        if signature.is_empty() {
            return Err(CadesError::Malformed("the signature is empty".to_owned()));
        }
        if self.scheme == SignatureScheme::Ecdsa {
            let value = Element::only(signature)?;
            value.tagged(tlv::SEQUENCE)?;
            let mut parts = value.children();
            parts.expect(tlv::INTEGER)?;
            parts.expect(tlv::INTEGER)?;
            parts.finish()?;
        }
        let signed_data = self.signed_data(&self.signer_info(signature)?);
        let content_info = tlv::encode(
            tlv::SEQUENCE,
            &[
                &tlv::encode_oid(&oid::SIGNED_DATA),
                &tlv::encode(CONTEXT_0, &[&signed_data]),
            ],
        );
        if content_info.len() > MAX_BYTES {
            return Err(CadesError::Malformed(format!(
                "the signature would be larger than {MAX_BYTES} bytes"
            )));
        }
        Ok(content_info)
    }

    fn signer_info(&self, signature: &[u8]) -> Result<Vec<u8>, CadesError> {
        let attributes = Element::only(&self.to_be_signed)?.content;
        Ok(tlv::encode(
            tlv::SEQUENCE,
            &[
                // 1: the signer is named by issuer and serial (RFC 5652 §5.3).
                &version(1),
                &tlv::encode(tlv::SEQUENCE, &[&self.issuer_and_serial]),
                &algorithm::encode_digest(self.digest),
                &tlv::encode(CONTEXT_0, &[attributes]),
                &algorithm::encode_signature(self.scheme, self.digest),
                &tlv::encode(tlv::OCTET_STRING, &[signature]),
            ],
        ))
    }

    fn signed_data(&self, signer_info: &[u8]) -> Vec<u8> {
        let content = self
            .content
            .as_ref()
            .map(|content| tlv::encode(CONTEXT_0, &[&tlv::encode(tlv::OCTET_STRING, &[content])]))
            .unwrap_or_default();
        let certificates = if self.certificates.is_empty() {
            Vec::new()
        } else {
            tlv::encode_set_of(CONTEXT_0, self.certificates.clone())
        };
        tlv::encode(
            tlv::SEQUENCE,
            &[
                // 3: the content is something else than id-data (RFC 5652 §5.1).
                &version(if self.content_type == oid::DATA { 1 } else { 3 }),
                &tlv::encode(tlv::SET, &[&algorithm::encode_digest(self.digest)]),
                &tlv::encode(tlv::SEQUENCE, &[&tlv::encode_oid(&self.content_type), &content]),
                &certificates,
                &tlv::encode(tlv::SET, &[signer_info]),
            ],
        )
    }
}

impl fmt::Debug for PreparedSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PreparedSignature")
            .field("digest", &self.digest)
            .field("scheme", &self.scheme)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SigningIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningIdentity")
            .field("scheme", &self.scheme)
            .finish_non_exhaustive()
    }
}

fn assemble(
    signer: &SigningIdentity,
    digest: DigestAlgorithm,
    content_digest: &[u8],
    signing_time: Option<OffsetDateTime>,
    content_type: ObjectIdentifier,
    certificate_hash: &CertificateHash,
) -> Result<PreparedSignature, CadesError> {
    if content_digest.len() != digest.output_len() {
        return Err(CadesError::Algorithm(format!(
            "a {} digest has {} bytes, not {}",
            digest.name(),
            digest.output_len(),
            content_digest.len()
        )));
    }
    if signer.chain.len() >= MAX_CERTIFICATES {
        return Err(CadesError::Malformed(format!(
            "more than {MAX_CERTIFICATES} certificates"
        )));
    }
    let (issuer, serial) = issuer_and_serial(&signer.certificate)?;
    let mut attributes = vec![
        attributes::encode_attribute(&oid::CONTENT_TYPE, &tlv::encode_oid(&content_type)),
        attributes::encode_attribute(&oid::MESSAGE_DIGEST, &tlv::encode(tlv::OCTET_STRING, &[content_digest])),
        attributes::encode_signing_certificate(certificate_hash, issuer.raw, serial.content),
    ];
    if let Some(time) = signing_time {
        attributes.push(attributes::encode_attribute(
            &oid::SIGNING_TIME,
            &asn1_time::encode_time(time),
        ));
    }
    let mut certificates = vec![signer.certificate.clone()];
    for certificate in &signer.chain {
        Element::only(certificate)?.tagged(tlv::SEQUENCE)?;
        if !certificates.contains(certificate) {
            certificates.push(certificate.clone());
        }
    }
    Ok(PreparedSignature {
        to_be_signed: tlv::encode_set_of(tlv::SET, attributes),
        digest,
        scheme: signer.scheme,
        content_type,
        content: None,
        certificates,
        issuer_and_serial: [issuer.raw, serial.raw].concat(),
    })
}

/// `TBSCertificate ::= SEQUENCE { version [0] DEFAULT v1, serialNumber, signature, issuer Name, … }`, RFC 5280 §4.1.
fn issuer_and_serial(certificate: &[u8]) -> Result<(Element<'_>, Element<'_>), CadesError> {
    let certificate = Element::only(certificate)?;
    certificate.tagged(tlv::SEQUENCE)?;
    let mut parts = certificate.children().expect(tlv::SEQUENCE)?.children();
    parts.optional(CONTEXT_0)?;
    let serial = parts.expect(tlv::INTEGER)?;
    parts.expect(tlv::SEQUENCE)?;
    let issuer = parts.expect(tlv::SEQUENCE)?;
    Ok((issuer, serial))
}

fn version(number: u8) -> Vec<u8> {
    tlv::encode(tlv::INTEGER, &[&[number]])
}
