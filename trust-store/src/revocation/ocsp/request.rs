//! The question: RFC 6960 §4.1, and whether a response answers it.

use const_oid::ObjectIdentifier;
use const_oid::db::rfc6960;
use der::asn1::{Any, OctetString};
use der::{Encode, Sequence, Tag};
use formats::digest::DigestAlgorithm;
use spki::AlgorithmIdentifierOwned;
use time::OffsetDateTime;

use super::response::{OcspResponse, ResponseStatus};
use crate::algorithm;
use crate::certificate::Certificate;

/// SHA-1, by which every responder knows an issuer.
const ID_SHA_1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");

/// Which certificate is meant, RFC 6960 §4.1.1.
/// ```text
/// CertID ::= SEQUENCE { hashAlgorithm AlgorithmIdentifier, issuerNameHash OCTET STRING, issuerKeyHash OCTET STRING,
///                       serialNumber CertificateSerialNumber }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CertId {
    /// SHA-1 or SHA-2; by any other no certificate is recognised.
    pub hash_algorithm: ObjectIdentifier,
    /// Hash of the issuer's name, DER.
    pub issuer_name_hash: Vec<u8>,
    /// Hash of the issuer's public key: the octets inside its BIT STRING.
    pub issuer_key_hash: Vec<u8>,
    /// Content octets of the serial number.
    pub serial: Vec<u8>,
}

impl CertId {
    /// Names `certificate`, issued by `issuer`, under SHA-1: the hash identifies and proves nothing, and some responders know no
    /// other.
    #[must_use]
    pub fn of(certificate: &Certificate, issuer: &Certificate) -> Self {
        Self {
            hash_algorithm: ID_SHA_1,
            issuer_name_hash: algorithm::sha1(certificate.issuer.der()),
            issuer_key_hash: algorithm::sha1(issuer.key.subject_public_key.raw_bytes()),
            serial: certificate.serial.clone(),
        }
    }

    /// Whether it names `certificate`, issued by `issuer`. The issuer's name counts as written in either certificate.
    #[must_use]
    pub fn is_of(&self, certificate: &Certificate, issuer: &Certificate) -> bool {
        let is = |hash: &[u8], bytes: &[u8]| digest(&self.hash_algorithm, bytes).is_some_and(|found| found == hash);
        self.serial == certificate.serial
            && is(&self.issuer_key_hash, issuer.key.subject_public_key.raw_bytes())
            && (is(&self.issuer_name_hash, certificate.issuer.der())
                || is(&self.issuer_name_hash, issuer.subject.der()))
    }
}

/// Hash of `bytes` under one of the algorithms a [`CertId`] may use.
pub(super) fn digest(algorithm: &ObjectIdentifier, bytes: &[u8]) -> Option<Vec<u8>> {
    if *algorithm == ID_SHA_1 {
        return Some(algorithm::sha1(bytes));
    }
    Some(DigestAlgorithm::from_oid(algorithm)?.digest(bytes))
}

/// A question about one certificate.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OcspRequest {
    /// The certificate in question.
    pub cert_id: CertId,
}

/// A response answers the question. Whether it is authentic and what it is worth, the validation judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Whether the nonce came back. Without it the response may be an older one, kept by the responder: allowed.
    pub nonce_echoed: bool,
    /// thisUpdate
    pub this_update: OffsetDateTime,
    /// nextUpdate
    pub next_update: Option<OffsetDateTime>,
}

/// Why a response does not answer the question.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAnswered {
    /// Not an OCSP response.
    #[error("not an OCSP response: {0}")]
    Malformed(String),
    /// The responder gives no answer.
    #[error("the OCSP responder answered {0}")]
    Refused(ResponseStatus),
    /// It speaks of other certificates.
    #[error("the OCSP response is about another certificate")]
    OtherCertificate,
    /// It carries a nonce, and not the one that was sent: the answer to somebody else's question.
    #[error("the OCSP response carries another nonce than was sent")]
    WrongNonce,
}

impl OcspRequest {
    /// Asks about `certificate`, issued by `issuer`.
    #[must_use]
    pub fn about(certificate: &Certificate, issuer: &Certificate) -> Self {
        Self {
            cert_id: CertId::of(certificate, issuer),
        }
    }

    /// The OCSPRequest, DER. `nonce`: 1 to 128 random octets of the caller's (RFC 9654; 16 or 32 are taken by every responder).
    #[must_use]
    pub fn encode(&self, nonce: Option<&[u8]>) -> Vec<u8> {
        // Fields this short always encode.
        self.message(nonce)
            .and_then(|message| message.to_der())
            .unwrap_or_default()
    }

    fn message(&self, nonce: Option<&[u8]>) -> der::Result<RequestMessage> {
        let id = &self.cert_id;
        let extensions = match nonce {
            Some(nonce) => Some(vec![RequestExtension {
                id: rfc6960::ID_PKIX_OCSP_NONCE,
                value: OctetString::new(OctetString::new(nonce)?.to_der()?)?,
            }]),
            None => None,
        };
        Ok(RequestMessage {
            tbs_request: TbsRequest {
                request_list: vec![OneRequest {
                    certificate: CertIdMessage {
                        hash_algorithm: AlgorithmIdentifierOwned {
                            oid: id.hash_algorithm,
                            parameters: Some(Any::null()),
                        },
                        issuer_name_hash: OctetString::new(id.issuer_name_hash.as_slice())?,
                        issuer_key_hash: OctetString::new(id.issuer_key_hash.as_slice())?,
                        // As the certificate has it, negative or not.
                        serial_number: Any::new(Tag::Integer, id.serial.as_slice())?,
                    },
                }],
                extensions,
            },
        })
    }

    /// Whether `response` (an OCSPResponse, DER) answers this question, asked with `nonce`.
    ///
    /// # Errors
    /// [`NotAnswered`]
    pub fn answered_by(&self, response: &[u8], nonce: Option<&[u8]>) -> Result<Answer, NotAnswered> {
        let response = OcspResponse::parse(response).map_err(|why| NotAnswered::Malformed(why.to_string()))?;
        let Some(basic) = response.basic else {
            return Err(NotAnswered::Refused(response.status));
        };
        let single = basic.singles.iter().find(|single| single.cert_id == self.cert_id);
        let single = single.ok_or(NotAnswered::OtherCertificate)?;
        let nonce_echoed = match (nonce, &basic.nonce) {
            (Some(sent), Some(back)) if sent == back => true,
            (Some(_), Some(_)) => return Err(NotAnswered::WrongNonce),
            _ => false,
        };
        Ok(Answer {
            nonce_echoed,
            this_update: single.this_update,
            next_update: single.next_update,
        })
    }
}

/// ```text
/// OCSPRequest ::= SEQUENCE { tbsRequest TBSRequest, optionalSignature [0] EXPLICIT Signature OPTIONAL }
/// ```
/// Not signed: no responder of use asks for that.
#[derive(Sequence)]
struct RequestMessage {
    tbs_request: TbsRequest,
}

/// ```text
/// TBSRequest ::= SEQUENCE { version [0] EXPLICIT Version DEFAULT v1, requestorName [1] EXPLICIT GeneralName OPTIONAL,
///                           requestList SEQUENCE OF Request, requestExtensions [2] EXPLICIT Extensions OPTIONAL }
/// ```
#[derive(Sequence)]
struct TbsRequest {
    request_list: Vec<OneRequest>,
    #[asn1(context_specific = "2", tag_mode = "EXPLICIT", optional = "true")]
    extensions: Option<Vec<RequestExtension>>,
}

/// ```text
/// Request ::= SEQUENCE { reqCert CertID, singleRequestExtensions [0] EXPLICIT Extensions OPTIONAL }
/// ```
#[derive(Sequence)]
struct OneRequest {
    certificate: CertIdMessage,
}

#[derive(Sequence)]
struct CertIdMessage {
    hash_algorithm: AlgorithmIdentifierOwned,
    issuer_name_hash: OctetString,
    issuer_key_hash: OctetString,
    serial_number: Any,
}

/// An extension that is not critical, RFC 5280 §4.1.
#[derive(Sequence)]
struct RequestExtension {
    id: ObjectIdentifier,
    value: OctetString,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> OcspRequest {
        OcspRequest {
            cert_id: CertId {
                hash_algorithm: ID_SHA_1,
                issuer_name_hash: vec![1; 20],
                issuer_key_hash: vec![2; 20],
                serial: vec![0x01, 0x5e],
            },
        }
    }

    #[test]
    fn a_request_is_encoded_as_the_standard_says() {
        let algorithm = "300906052b0e03021a0500";
        let hashes = format!("0414{}0414{}", "01".repeat(20), "02".repeat(20));
        let list = format!("303f303d303b{algorithm}{hashes}0202015e");
        assert_eq!(hex::encode(request().encode(None)), format!("30433041{list}"));
        let nonce = "301306092b060105050730010204060404070707 07".replace(' ', "");
        let with = hex::encode(request().encode(Some(&[7; 4])));
        assert_eq!(with, format!("305c305a{list}a2173015{nonce}"));
    }

    #[test]
    fn a_negative_serial_number_is_asked_for_as_it_stands() {
        let mut request = request();
        request.cert_id.serial = vec![0x80];
        assert!(hex::encode(request.encode(None)).ends_with("020180"));
    }
}
