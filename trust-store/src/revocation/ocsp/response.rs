//! The answer: RFC 6960 §4.2, read tolerantly where nothing is lost, its bytes kept because the signature is over them.

use std::fmt::{self, Display};

use const_oid::ObjectIdentifier;
use const_oid::db::{rfc5280, rfc6960};
use der::Decode;
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use time::OffsetDateTime;

use super::request::{CertId, digest};
use crate::algorithm::{self, Accepted, AlgorithmError};
use crate::certificate::{Certificate, Malformed, parse_extensions};
use crate::name::DistinguishedName;
use crate::revocation::{Reason, Revocation};
use crate::tlv::{self, Cursor, Tlv};

/// Larger than any response: a few certificates and a few answers.
const MAX_BYTES: usize = 1 << 20;
const MAX_SINGLES: usize = 1_024;
const MAX_CERTIFICATES: usize = 32;

/// id-commonpki-at-certHash: the hash of the very certificate the answer speaks of (Common PKI, in use at German responders).
const CERT_HASH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.36.8.3.13");
/// id-pkix-ocsp-extended-revoke, RFC 6960 §4.4.8: the responder calls certificates revoked that were never issued.
const EXTENDED_REVOKE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.9");

/// ```text
/// OCSPResponse  ::= SEQUENCE { responseStatus OCSPResponseStatus, responseBytes [0] EXPLICIT ResponseBytes OPTIONAL }
/// ResponseBytes ::= SEQUENCE { responseType OBJECT IDENTIFIER, response OCTET STRING }
/// ```
#[derive(Debug, Clone)]
pub struct OcspResponse {
    /// responseStatus
    pub status: ResponseStatus,
    /// Set exactly if the status is successful.
    pub basic: Option<BasicResponse>,
}

/// OCSPResponseStatus, RFC 6960 §4.2.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the standard's own")]
pub enum ResponseStatus {
    Successful,
    MalformedRequest,
    InternalError,
    TryLater,
    SigRequired,
    Unauthorized,
    /// A number the standard does not assign.
    Other(u8),
}

impl ResponseStatus {
    fn from_code(code: u8) -> Self {
        match code {
            0 => Self::Successful,
            1 => Self::MalformedRequest,
            2 => Self::InternalError,
            3 => Self::TryLater,
            5 => Self::SigRequired,
            6 => Self::Unauthorized,
            other => Self::Other(other),
        }
    }
}

impl Display for ResponseStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Successful => f.write_str("successful"),
            Self::MalformedRequest => f.write_str("malformedRequest"),
            Self::InternalError => f.write_str("internalError"),
            Self::TryLater => f.write_str("tryLater"),
            Self::SigRequired => f.write_str("sigRequired"),
            Self::Unauthorized => f.write_str("unauthorized"),
            Self::Other(code) => write!(f, "status {code}"),
        }
    }
}

/// ```text
/// BasicOCSPResponse ::= SEQUENCE { tbsResponseData ResponseData, signatureAlgorithm AlgorithmIdentifier, signature BIT STRING,
///                                  certs [0] EXPLICIT SEQUENCE OF Certificate OPTIONAL }
/// ResponseData ::= SEQUENCE { version [0] EXPLICIT Version DEFAULT v1, responderID ResponderID, producedAt GeneralizedTime,
///                             responses SEQUENCE OF SingleResponse, responseExtensions [1] EXPLICIT Extensions OPTIONAL }
/// ```
#[derive(Debug, Clone)]
pub struct BasicResponse {
    /// As handed in, to be found again.
    pub(crate) der: Vec<u8>,
    tbs: Vec<u8>,
    pub(crate) algorithm: AlgorithmIdentifierOwned,
    signature: Vec<u8>,
    /// Who says it signed.
    pub responder: ResponderId,
    /// producedAt
    pub produced_at: OffsetDateTime,
    /// The answers.
    pub singles: Vec<SingleResponse>,
    /// Certificates sent along, those that parse.
    pub certificates: Vec<Certificate>,
    /// The nonce.
    pub nonce: Option<Vec<u8>>,
    /// A critical extension that is not understood: the response then says nothing.
    pub(crate) not_understood: Option<ObjectIdentifier>,
}

/// ```text
/// ResponderID ::= CHOICE { byName [1] Name, byKey [2] KeyHash }
/// KeyHash ::= OCTET STRING -- SHA-1 of the responder's public key: the octets inside its BIT STRING
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResponderId {
    /// byName
    Name(DistinguishedName),
    /// byKey
    Key(Vec<u8>),
}

impl ResponderId {
    /// Whether `certificate` is the responder's.
    #[must_use]
    pub fn is_of(&self, certificate: &Certificate) -> bool {
        match self {
            Self::Name(name) => *name == certificate.subject,
            Self::Key(hash) => algorithm::sha1(certificate.key.subject_public_key.raw_bytes()) == *hash,
        }
    }
}

impl Display for ResponderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Key(hash) => write!(f, "key {}", hex::encode(hash)),
        }
    }
}

/// ```text
/// SingleResponse ::= SEQUENCE { certID CertID, certStatus CertStatus, thisUpdate GeneralizedTime,
///                               nextUpdate [0] EXPLICIT GeneralizedTime OPTIONAL, singleExtensions [1] EXPLICIT Extensions OPTIONAL }
/// ```
#[derive(Debug, Clone)]
pub struct SingleResponse {
    /// Which certificate.
    pub cert_id: CertId,
    /// What of it.
    pub status: CertStatus,
    /// thisUpdate
    pub this_update: OffsetDateTime,
    /// nextUpdate
    pub next_update: Option<OffsetDateTime>,
    /// archiveCutoff, RFC 6960 §4.4.4: certificates that ended after it are still answered for.
    pub archive_cutoff: Option<OffsetDateTime>,
    cert_hash: Option<(ObjectIdentifier, Vec<u8>)>,
    pub(crate) not_understood: Option<ObjectIdentifier>,
}

/// ```text
/// CertStatus  ::= CHOICE { good [0] IMPLICIT NULL, revoked [1] IMPLICIT RevokedInfo, unknown [2] IMPLICIT UnknownInfo }
/// RevokedInfo ::= SEQUENCE { revocationTime GeneralizedTime, revocationReason [0] EXPLICIT CRLReason OPTIONAL }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertStatus {
    /// good
    Good,
    /// revoked
    Revoked(Revocation),
    /// unknown: no statement at all.
    Unknown,
}

impl OcspResponse {
    /// Reads one OCSPResponse; a bare BasicOCSPResponse counts as a successful one. Fractions of seconds, which RFC 5280 forbids,
    /// are read.
    ///
    /// # Errors
    /// [`Malformed`] for bytes that are neither, or a response of another type than id-pkix-ocsp-basic.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() > MAX_BYTES {
            return Err(Malformed("larger than any OCSP response"));
        }
        let mut outer = Cursor::sequence_of(bytes)?;
        if outer.peek() == Some(tlv::SEQUENCE) {
            return Ok(Self {
                status: ResponseStatus::Successful,
                basic: Some(BasicResponse::parse(bytes, bytes)?),
            });
        }
        let status = match outer.expect(tlv::ENUMERATED)?.value {
            [code] => ResponseStatus::from_code(*code),
            _ => return Err(Malformed("a response status that does not parse")),
        };
        let content = outer.optional(0xa0)?;
        outer.finish()?;
        if status != ResponseStatus::Successful {
            return Ok(Self { status, basic: None });
        }
        let content = content.ok_or(Malformed("a successful response without content"))?;
        let mut fields = Cursor::sequence_of(content.value)?;
        if fields.oid()? != rfc6960::ID_PKIX_OCSP_BASIC {
            return Err(Malformed("a response of another type"));
        }
        let basic = fields.expect(tlv::OCTET_STRING)?.value;
        fields.finish()?;
        Ok(Self {
            status,
            basic: Some(BasicResponse::parse(basic, bytes)?),
        })
    }
}

impl BasicResponse {
    fn parse(bytes: &[u8], whole: &[u8]) -> Result<Self, Malformed> {
        let mut outer = Cursor::sequence_of(bytes)?;
        let tbs = outer.expect(tlv::SEQUENCE)?;
        let algorithm = AlgorithmIdentifierOwned::from_der(outer.expect(tlv::SEQUENCE)?.whole)
            .map_err(|_| Malformed("a signature algorithm that does not parse"))?;
        let signature = tlv::octets_of_bits(outer.expect(tlv::BIT_STRING)?.value)?.to_vec();
        let certificates = outer.optional(0xa0)?.map(certificates).transpose()?.unwrap_or_default();
        outer.finish()?;

        let mut fields = tbs.inside();
        if let Some(version) = fields.optional(0xa0)?
            && version.inside().expect(tlv::INTEGER)?.value != [0]
        {
            return Err(Malformed("an unknown version"));
        }
        let responder = responder(fields.next()?)?;
        let produced_at = fields.fractional_time()?;
        let mut list = fields.expect(tlv::SEQUENCE)?.inside();
        let mut singles = Vec::new();
        while !list.is_empty() {
            if singles.len() >= MAX_SINGLES {
                return Err(Malformed("more answers than are read"));
            }
            singles.push(SingleResponse::parse(list.expect(tlv::SEQUENCE)?)?);
        }
        let (mut nonce, mut not_understood) = (None, None);
        if let Some(explicit) = fields.optional(0xa1)? {
            for extension in parse_extensions(Cursor::sequence_of(explicit.value)?)? {
                match extension.oid {
                    rfc6960::ID_PKIX_OCSP_NONCE => nonce = Some(nonce_of(extension.value)),
                    EXTENDED_REVOKE => {}
                    other if extension.critical => not_understood = Some(other),
                    _ => {}
                }
            }
        }
        fields.finish()?;
        Ok(Self {
            der: whole.to_vec(),
            tbs: tbs.whole.to_vec(),
            algorithm,
            signature,
            responder,
            produced_at,
            singles,
            certificates,
            nonce,
            not_understood,
        })
    }

    /// Whether `key` signed it.
    ///
    /// # Errors
    /// As [`algorithm::verify`].
    pub fn verify_signature(&self, key: &SubjectPublicKeyInfoOwned) -> Result<(), AlgorithmError> {
        self.verify_accepting(key, Accepted::Listed)
    }

    /// As [`Self::verify_signature`], with SHA-1 where `accepted` says so.
    pub(crate) fn verify_accepting(
        &self,
        key: &SubjectPublicKeyInfoOwned,
        accepted: Accepted,
    ) -> Result<(), AlgorithmError> {
        algorithm::verify_accepting(accepted, &self.algorithm, key, &self.tbs, &self.signature)
    }
}

impl SingleResponse {
    fn parse(single: Tlv<'_>) -> Result<Self, Malformed> {
        let mut fields = single.inside();
        let cert_id = cert_id(fields.expect(tlv::SEQUENCE)?)?;
        let status = fields.next()?;
        let this_update = fields.fractional_time()?;
        let next_update = match fields.optional(0xa0)? {
            Some(explicit) => Some(only(explicit, Cursor::fractional_time)?),
            None => None,
        };
        let mut read = Self {
            cert_id,
            status: CertStatus::Unknown,
            this_update,
            next_update,
            archive_cutoff: None,
            cert_hash: None,
            not_understood: None,
        };
        let mut invalidity_date = None;
        if let Some(explicit) = fields.optional(0xa1)? {
            for extension in parse_extensions(Cursor::sequence_of(explicit.value)?)? {
                match extension.oid {
                    rfc6960::ID_PKIX_OCSP_ARCHIVE_CUTOFF => {
                        read.archive_cutoff = Some(Cursor(&extension.value).fractional_time()?);
                    }
                    rfc5280::ID_CE_INVALIDITY_DATE => {
                        invalidity_date = Some(Cursor(&extension.value).fractional_time()?);
                    }
                    CERT_HASH => read.cert_hash = Some(hash_and_algorithm(&extension.value)?),
                    // Which CRL the answer was made from, RFC 6960 §4.4.2: says nothing more.
                    rfc6960::ID_PKIX_OCSP_CRL => {}
                    other if extension.critical => read.not_understood = Some(other),
                    _ => {}
                }
            }
        }
        fields.finish()?;
        read.status = match status.tag {
            0x80 => CertStatus::Good,
            0xa1 => CertStatus::Revoked(revocation(status, this_update, invalidity_date)?),
            0x82 | 0xa2 => CertStatus::Unknown,
            _ => return Err(Malformed("a certificate status of an unknown form")),
        };
        Ok(read)
    }

    /// Whether it speaks of this very certificate, issued by `issuer`.
    #[must_use]
    pub fn is_about(&self, certificate: &Certificate, issuer: &Certificate) -> bool {
        let hash_fits = self
            .cert_hash
            .as_ref()
            .is_none_or(|(algorithm, hash)| digest(algorithm, certificate.der()).as_ref() == Some(hash));
        self.cert_id.is_of(certificate, issuer) && hash_fits
    }
}

fn certificates(explicit: Tlv<'_>) -> Result<Vec<Certificate>, Malformed> {
    let mut list = Cursor::sequence_of(explicit.value)?;
    let (mut found, mut count) = (Vec::new(), 0);
    while !list.is_empty() {
        count += 1;
        if count > MAX_CERTIFICATES {
            return Err(Malformed("more certificates than are read"));
        }
        found.extend(Certificate::parse(list.next()?.whole));
    }
    Ok(found)
}

fn responder(id: Tlv<'_>) -> Result<ResponderId, Malformed> {
    match id.tag {
        0xa1 => Ok(ResponderId::Name(DistinguishedName::parse(id.value)?)),
        0xa2 => only(id, |inner| {
            Ok(ResponderId::Key(inner.expect(tlv::OCTET_STRING)?.value.to_vec()))
        }),
        _ => Err(Malformed("a responder of an unknown form")),
    }
}

fn cert_id(id: Tlv<'_>) -> Result<CertId, Malformed> {
    let mut fields = id.inside();
    let read = CertId {
        hash_algorithm: fields.expect(tlv::SEQUENCE)?.inside().oid()?,
        issuer_name_hash: fields.expect(tlv::OCTET_STRING)?.value.to_vec(),
        issuer_key_hash: fields.expect(tlv::OCTET_STRING)?.value.to_vec(),
        serial: fields.expect(tlv::INTEGER)?.value.to_vec(),
    };
    fields.finish()?;
    Ok(read)
}

fn revocation(
    status: Tlv<'_>,
    this_update: OffsetDateTime,
    invalidity_date: Option<OffsetDateTime>,
) -> Result<Revocation, Malformed> {
    let mut fields = status.inside();
    let at = fields.fractional_time()?;
    let code = fields.optional(0xa0)?.map(|explicit| {
        only(explicit, |inner| match inner.expect(tlv::ENUMERATED)?.value {
            [code] => Ok(*code),
            _ => Err(Malformed("a reason code that does not parse")),
        })
    });
    let reason = code.transpose()?.map_or(Reason::Unspecified, Reason::from_code);
    fields.finish()?;
    Ok(Revocation {
        at,
        // Only a delta CRL can lift anything: from a responder it is a revocation without a good reason. On hold since 1970 is what
        // was never issued (RFC 6960 §2.2): no list that is silent about it lifts that.
        reason: if reason == Reason::RemoveFromCrl
            || (reason == Reason::CertificateHold && at == OffsetDateTime::UNIX_EPOCH)
        {
            Reason::Unspecified
        } else {
            reason
        },
        invalidity_date,
        this_update,
    })
}

/// ```text
/// CertHash ::= SEQUENCE { hashAlgorithm AlgorithmIdentifier, certificateHash OCTET STRING }
/// ```
fn hash_and_algorithm(value: &[u8]) -> Result<(ObjectIdentifier, Vec<u8>), Malformed> {
    let mut fields = Cursor::sequence_of(value)?;
    let algorithm = fields.expect(tlv::SEQUENCE)?.inside().oid()?;
    let hash = fields.expect(tlv::OCTET_STRING)?.value.to_vec();
    fields.finish()?;
    Ok((algorithm, hash))
}

/// The nonce is an OCTET STRING inside the extension; older responders left its tag and length away.
fn nonce_of(value: Vec<u8>) -> Vec<u8> {
    let mut cursor = Cursor(&value);
    match cursor.expect(tlv::OCTET_STRING) {
        Ok(found) if cursor.is_empty() => found.value.to_vec(),
        _ => value,
    }
}

/// The one value inside an explicit tag.
fn only<'a, T>(explicit: Tlv<'a>, read: impl FnOnce(&mut Cursor<'a>) -> Result<T, Malformed>) -> Result<T, Malformed> {
    let mut inner = explicit.inside();
    let value = read(&mut inner)?;
    inner.finish()?;
    Ok(value)
}
