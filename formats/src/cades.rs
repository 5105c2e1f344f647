//! The signature: detached CAdES, ETSI EN 319 122-1 over RFC 5652. Reading in one step, writing in two.
//!
//! Reading: [`SignedData::parse`]. Writing: [`prepare`] gives the bytes a card signs, [`PreparedSignature::finish`] the file;
//! [`with_timestamp`] adds a stamp to a finished one, [`with_evidence`] what it is judged by. Nothing here verifies: that is `trust-store`.

mod algorithm;
mod archive;
mod attributes;
mod detached;
mod ess;
mod evidence;
mod parse;
mod prepare;
mod timestamped;
mod values;

use const_oid::ObjectIdentifier;
use spki::AlgorithmIdentifierOwned;
use time::OffsetDateTime;

use crate::digest::DigestAlgorithm;
use crate::tlv::TlvError;

pub use archive::{
    ArchiveError, ArchiveImprint, ArchiveStamp, ArchiveStampKind, Covered, NextArchiveStamp, archive_imprint,
    next_archive_stamp, with_archive_stamp,
};
pub use detached::{DetachedContent, DetachedHasher, FramedDigest};
pub use evidence::with_evidence;
pub use prepare::{Encapsulated, PreparedSignature, SignatureScheme, SigningIdentity, prepare, prepare_encapsulated};
pub use timestamped::with_timestamp;
pub use values::{ValidationValues, is_archive_attribute};

/// Largest signature file read, in bytes.
pub const MAX_BYTES: usize = 10 * 1024 * 1024;
/// Most certificates in one SignedData.
pub const MAX_CERTIFICATES: usize = 1_000;
/// Most CRLs and OCSP responses in one SignedData, together.
pub const MAX_CRLS: usize = 1_000;
/// Most signed and most unsigned attributes.
pub const MAX_ATTRIBUTES: usize = 1_000;

/// What the signature is for; it decides which signing-certificate attribute is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// A person's signature over documents: signing-certificate-v2 only.
    Document,
    /// A time-stamp token: v1 too, because authorities in the field still send it.
    Token,
    /// A person's signature that need not be CAdES (`adbe.pkcs7.detached` in a PDF): signing-certificate-v2 or none.
    PlainCms,
}

/// A CMS SignedData with one SignerInfo, parsed from BER or DER; the bytes that matter are kept as they were sent.
#[derive(Debug, Clone)]
pub struct SignedData {
    /// Type of the signed content: id-data for documents, id-ct-TSTInfo for tokens.
    pub content_type: ObjectIdentifier,
    /// `eContent`, chunks joined; absent in a detached signature.
    pub content: Option<Vec<u8>>,
    /// Certificates as sent, DER.
    pub certificates: Vec<Vec<u8>>,
    /// CRLs as sent, DER.
    pub crls: Vec<Vec<u8>>,
    /// OCSP responses as sent among the CRLs (RFC 5940 §2.1, id-ri-ocsp-response), DER.
    pub ocsp: Vec<Vec<u8>>,
    /// The one signer.
    pub signer: Signer,
}

/// One SignerInfo.
#[derive(Debug, Clone)]
pub struct Signer {
    /// Whose certificate, as the signer says.
    pub identifier: SignerIdentifier,
    /// Hash of content and signed attributes.
    pub digest_algorithm: DigestAlgorithm,
    /// Signature algorithm with its parameters.
    pub signature_algorithm: AlgorithmIdentifierOwned,
    /// The signed attributes exactly as sent, under the tag SET OF (0x31): the bytes the signature is over. (Tag and length are
    /// written anew, because what is sent carries an implicit tag and, in BER, perhaps no length; RFC 5652 §5.4.)
    pub signed_attributes: Vec<u8>,
    /// content-type attribute.
    pub attribute_content_type: ObjectIdentifier,
    /// message-digest attribute.
    pub message_digest: Vec<u8>,
    /// ESS signing-certificate attribute; only [`Profile::PlainCms`] lets it be absent.
    pub signing_certificate: Option<SigningCertificate>,
    /// signing-time attribute: a claim, never evidence.
    pub signing_time: Option<OffsetDateTime>,
    /// The signature itself.
    pub signature: Vec<u8>,
    /// Values of signature-time-stamp attributes, each a TimeStampToken as sent.
    pub timestamps: Vec<Vec<u8>>,
    /// Archive time stamps, in the order of their attributes.
    pub archive_stamps: Vec<ArchiveStamp>,
    /// Values of certificate-values and revocation-values attributes.
    pub values: ValidationValues,
    /// Object identifiers of further unsigned attributes.
    pub other_unsigned_attributes: Vec<ObjectIdentifier>,
}

/// RFC 5652 §5.3 SignerIdentifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignerIdentifier {
    /// Issuer name (DER) and serial number (big-endian content octets).
    IssuerAndSerialNumber {
        /// DER of the issuer's Name.
        issuer: Vec<u8>,
        /// Content octets of the serial number.
        serial: Vec<u8>,
    },
    /// SubjectKeyIdentifier.
    SubjectKeyIdentifier(Vec<u8>),
}

/// RFC 5035 ESSCertIDv2 or RFC 2634 ESSCertID: the first entry of the attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningCertificate {
    /// Whether the attribute was v1 or v2.
    pub version: EssVersion,
    /// Hash of the signer's certificate; for v1 this is SHA-1.
    pub hash: CertificateHash,
    /// Issuer name (DER) and serial, where given.
    pub issuer_serial: Option<(Vec<u8>, Vec<u8>)>,
}

/// Which ESS attribute was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EssVersion {
    /// signing-certificate, RFC 2634: accepted in time-stamp tokens only.
    V1,
    /// signing-certificate-v2, RFC 5035.
    V2,
}

/// A certificate's hash as the signer states it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateHash {
    /// SHA-1, v1 only.
    Sha1([u8; 20]),
    /// Any of ours.
    Sha2(DigestAlgorithm, Vec<u8>),
}

/// Why bytes are not a signature of this profile. Every variant but [`CadesError::UnsupportedAlgorithm`] means FORMAT_FAILURE.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CadesError {
    /// Not BER, not SignedData, or beyond a bound.
    #[error("not a CMS SignedData: {0}")]
    Malformed(String),
    /// No SignerInfo or several.
    #[error("{0} SignerInfos, one expected")]
    SignerCount(usize),
    /// An attribute is missing, duplicated, has several values, or is of a forbidden version.
    #[error("attribute {attribute}: {problem}")]
    Attribute {
        /// Name of the attribute.
        attribute: &'static str,
        /// What is wrong.
        problem: &'static str,
    },
    /// The digest of the signature algorithm is not the digest algorithm, or parameters are malformed.
    #[error("algorithm: {0}")]
    Algorithm(String),
    /// Well formed, but an algorithm this house does not accept: CRYPTO_CONSTRAINTS_FAILURE.
    #[error("algorithm not accepted: {0}")]
    UnsupportedAlgorithm(String),
}

impl From<TlvError> for CadesError {
    fn from(error: TlvError) -> Self {
        Self::Malformed(error.to_string())
    }
}

impl From<der::Error> for CadesError {
    fn from(error: der::Error) -> Self {
        Self::Malformed(error.to_string())
    }
}

#[cfg(test)]
pub(crate) mod tests;
