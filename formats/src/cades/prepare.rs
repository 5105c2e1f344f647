//! A new signature in two steps, because the key may be in a card: [`prepare`] gives the bytes to sign, `finish` the file.
//!
//! Built from the types of `cms` and `x509-cert`, but for the outermost [`SignedData`].

use std::fmt;

use cms::cert::IssuerAndSerialNumber;
use cms::content_info::{CmsVersion, ContentInfo};
use cms::signed_data::{
    DigestAlgorithmIdentifiers, EncapsulatedContentInfo, SignerIdentifier, SignerInfo, SignerInfos,
};
use const_oid::ObjectIdentifier;
use der::asn1::{Any, OctetString, SetOfVec, UintRef};
use der::{Decode as _, Encode as _, Sequence, Tag, Tagged as _};
use time::OffsetDateTime;
use x509_cert::Certificate;

use super::ess::{self, IssuerSerial};
use super::{CadesError, CertificateHash, MAX_BYTES, MAX_CERTIFICATES, algorithm, attributes};
use crate::digest::DigestAlgorithm;
use crate::oid;

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
    content: EncapsulatedContentInfo,
    certificates: Vec<Any>,
    /// Complete but for the signature.
    signer: SignerInfo,
}

/// `SignedData`, RFC 5652 §5.1, as in `cms::signed_data` but for the certificates. `cms` would take each apart and write it anew,
/// and a certificate that says `critical FALSE`, as some in the field do, would then be another one than the authority signed.
#[derive(Sequence)]
struct SignedData {
    version: CmsVersion,
    digest_algorithms: DigestAlgorithmIdentifiers,
    encap_content_info: EncapsulatedContentInfo,
    #[asn1(
        context_specific = "0",
        tag_mode = "IMPLICIT",
        constructed = "true",
        optional = "true"
    )]
    certificates: Option<SetOfVec<Any>>,
    signer_infos: SignerInfos,
}

/// `Ecdsa-Sig-Value ::= SEQUENCE { r INTEGER, s INTEGER }`, RFC 3279 §2.2.3.
#[derive(Sequence)]
struct EcdsaSigValue<'a> {
    r: UintRef<'a>,
    s: UintRef<'a>,
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
    let content = OctetString::new(encapsulated.content)?;
    prepared.content.econtent = Some(Any::encode_from(&content)?);
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
            EcdsaSigValue::from_der(signature)?;
        }
        let mut signer = self.signer;
        signer.signature = OctetString::new(signature)?;
        let signed_data = SignedData {
            // 3: the content is something else than id-data (RFC 5652 §5.1).
            version: if self.content.econtent_type == oid::DATA {
                CmsVersion::V1
            } else {
                CmsVersion::V3
            },
            digest_algorithms: SetOfVec::try_from(vec![signer.digest_alg.clone()])?,
            encap_content_info: self.content,
            certificates: if self.certificates.is_empty() {
                None
            } else {
                Some(SetOfVec::try_from(self.certificates)?)
            },
            signer_infos: SignerInfos::try_from(vec![signer])?,
        };
        let content_info = ContentInfo {
            content_type: oid::SIGNED_DATA,
            content: Any::encode_from(&signed_data)?,
        };
        let file = content_info.to_der()?;
        if file.len() > MAX_BYTES {
            return Err(CadesError::Malformed(format!(
                "the signature would be larger than {MAX_BYTES} bytes"
            )));
        }
        Ok(file)
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
    let certificate = Certificate::from_der(&signer.certificate)?;
    let issuer = certificate.tbs_certificate().issuer();
    let serial = certificate.tbs_certificate().serial_number();
    let issuer_serial = IssuerSerial::of(issuer, serial)?;
    let mut signed = vec![
        attributes::attribute(oid::CONTENT_TYPE, Any::encode_from(&content_type)?)?,
        attributes::attribute(
            oid::MESSAGE_DIGEST,
            Any::encode_from(&OctetString::new(content_digest)?)?,
        )?,
        ess::encode(certificate_hash, issuer_serial)?,
    ];
    if let Some(time) = signing_time {
        signed.push(attributes::signing_time(time)?);
    }
    let signed = SetOfVec::try_from(signed)?;
    let mut certificates = vec![as_sent(&signer.certificate)?];
    for certificate in &signer.chain {
        let certificate = as_sent(certificate)?;
        if !certificates.contains(&certificate) {
            certificates.push(certificate);
        }
    }
    Ok(PreparedSignature {
        to_be_signed: signed.to_der()?,
        digest,
        scheme: signer.scheme,
        content: EncapsulatedContentInfo {
            econtent_type: content_type,
            econtent: None,
        },
        certificates,
        signer: SignerInfo {
            // 1: the signer is named by issuer and serial (RFC 5652 §5.3).
            version: CmsVersion::V1,
            sid: SignerIdentifier::IssuerAndSerialNumber(IssuerAndSerialNumber {
                issuer: issuer.clone(),
                serial_number: serial.clone(),
            }),
            digest_alg: algorithm::of_digest(digest),
            signed_attrs: Some(signed),
            signature_algorithm: algorithm::of_signature(signer.scheme, digest)?,
            signature: OctetString::new([])?,
            unsigned_attrs: None,
        },
    })
}

/// A certificate that will be written with the bytes it has.
fn as_sent(certificate: &[u8]) -> Result<Any, CadesError> {
    let any = Any::from_der(certificate)?;
    if any.tag() != Tag::Sequence {
        return Err(CadesError::Malformed("a certificate is no SEQUENCE".to_owned()));
    }
    Ok(any)
}
