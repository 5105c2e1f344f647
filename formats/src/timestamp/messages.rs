//! TimeStampReq and TimeStampResp, RFC 3161 §2.4.

use bcder::encode;
use bcder::{BitString, Integer, OctetString, Tag};
use const_oid::ObjectIdentifier;
use cryptographic_message_syntax::asn1::rfc3161::{PkiStatus, TimeStampReq, TimeStampResp};

use super::TimestampError;
use super::imprint::{self, identifier_of, imprint_of, integer_of, read_identifier, read_imprint};
use crate::cades;
use crate::digest::DigestAlgorithm;
use crate::tlv::{self, Element};

/// Largest request read, in bytes.
pub const MAX_REQUEST_BYTES: usize = 4 * 1024;

/// Largest PKIStatusInfo read, in bytes: a number, a few bits, some sentences.
const MAX_STATUS_BYTES: usize = 64 * 1024;
const BIT_STRING: u8 = 0x03;
const EXTENSIONS: u8 = 0xa0;

/// `TimeStampReq ::= SEQUENCE { version, messageImprint, reqPolicy OPTIONAL, nonce OPTIONAL, certReq DEFAULT FALSE }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Hash algorithm of the imprint.
    pub algorithm: DigestAlgorithm,
    /// The imprint.
    pub imprint: Vec<u8>,
    /// Content octets of the nonce INTEGER.
    pub nonce: Option<Vec<u8>>,
    /// Whether the token shall carry certificates.
    pub cert_req: bool,
    /// The policy asked for.
    pub policy: Option<ObjectIdentifier>,
}

impl Request {
    /// DER.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let request = TimeStampReq {
            version: Integer::from(1_u8),
            message_imprint: imprint_of(self.algorithm, &self.imprint),
            req_policy: self.policy.as_ref().map(identifier_of),
            nonce: self.nonce.as_deref().map(integer_of),
            // DER leaves a DEFAULT out.
            cert_req: self.cert_req.then_some(true),
            extensions: None,
        };
        imprint::encode(request.encode_ref())
    }

    /// Reads a request.
    ///
    /// # Errors
    /// It is malformed, larger than [`MAX_REQUEST_BYTES`], asks for an algorithm that is not ours, or carries extensions.
    pub fn parse(bytes: &[u8]) -> Result<Self, TimestampError> {
        if bytes.len() > MAX_REQUEST_BYTES {
            return Err(TimestampError::Malformed(format!(
                "larger than {MAX_REQUEST_BYTES} bytes"
            )));
        }
        tlv::check_nesting(bytes)?;
        refuse_extensions(bytes)?;
        let request = imprint::decode(bytes, TimeStampReq::take_from)?;
        if request.version != Integer::from(1_u8) {
            return Err(TimestampError::Malformed("the version is not 1".to_owned()));
        }
        let (identifier, imprint) = read_imprint(&request.message_imprint)?;
        let algorithm =
            DigestAlgorithm::from_oid(&identifier).ok_or(TimestampError::UnsupportedAlgorithm(identifier))?;
        if imprint.len() != algorithm.output_len() {
            return Err(TimestampError::Malformed("the imprint has a wrong length".to_owned()));
        }
        Ok(Self {
            algorithm,
            imprint,
            nonce: request.nonce.map(|nonce| nonce.as_slice().to_vec()),
            cert_req: request.cert_req.unwrap_or(false),
            policy: request.req_policy.as_ref().map(read_identifier).transpose()?,
        })
    }
}

/// `TimeStampReq` takes `[0] IMPLICIT Extensions` for explicitly tagged and calls a request with them malformed. It is well formed,
/// and RFC 3161 §2.4.2 has an answer of its own for it.
fn refuse_extensions(request: &[u8]) -> Result<(), TimestampError> {
    let mut parts = Element::only(request)?.children();
    while let Some(part) = parts.next()? {
        if part.tag == EXTENSIONS {
            return Err(TimestampError::Extension);
        }
    }
    Ok(())
}

/// `PKIFailureInfo`, RFC 3161 §2.4.2: the bit that is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum FailInfo {
    /// Unrecognised or unsupported algorithm.
    BadAlg = 0,
    /// Transaction not permitted or supported.
    BadRequest = 2,
    /// Data in the wrong format.
    BadDataFormat = 5,
    /// The time source is not available.
    TimeNotAvailable = 14,
    /// The policy is not supported.
    UnacceptedPolicy = 15,
    /// The extension is not supported.
    UnacceptedExtension = 16,
    /// The additional information is not available.
    AddInfoNotAvailable = 17,
    /// System failure.
    SystemFailure = 25,
}

const FAIL_INFO: [(FailInfo, &str); 8] = [
    (FailInfo::BadAlg, "algorithm not supported"),
    (FailInfo::BadRequest, "request not permitted"),
    (FailInfo::BadDataFormat, "wrong format"),
    (FailInfo::TimeNotAvailable, "time source not available"),
    (FailInfo::UnacceptedPolicy, "policy not supported"),
    (FailInfo::UnacceptedExtension, "extension not supported"),
    (FailInfo::AddInfoNotAvailable, "additional information not available"),
    (FailInfo::SystemFailure, "system failure"),
];

/// `TimeStampResp ::= SEQUENCE { status PKIStatusInfo, timeStampToken TimeStampToken OPTIONAL }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response {
    /// The token, a ContentInfo.
    Granted(Vec<u8>),
    /// No token, and why.
    Rejected(FailInfo, String),
}

impl Response {
    /// The token of a response, as sent.
    ///
    /// # Errors
    /// The response is malformed or carries no stamp; then the error tells status and reason.
    pub fn parse(bytes: &[u8]) -> Result<Vec<u8>, TimestampError> {
        if bytes.len() > cades::MAX_BYTES {
            return Err(TimestampError::Malformed(format!(
                "larger than {} bytes",
                cades::MAX_BYTES
            )));
        }
        tlv::check_nesting(bytes)?;
        let response = Element::only(bytes)?;
        response.tagged(tlv::SEQUENCE)?;
        let mut parts = response.children();
        let info = parts.expect(tlv::SEQUENCE)?;
        let token = parts.optional(tlv::SEQUENCE)?;
        parts.finish()?;
        if info.raw.len() > MAX_STATUS_BYTES {
            return Err(TimestampError::Malformed("a status longer than a letter".to_owned()));
        }
        let (info, fail_info) = split_fail_info(&info)?;
        let sent = token.map(|token| token.raw);
        // The token is not shown to the foreign type: it would read what only `Token::parse` has to judge.
        let rest = tlv::encode(tlv::SEQUENCE, &[&info]);
        let status = match imprint::decode(&rest, TimeStampResp::take_from)?.status.status {
            PkiStatus::Granted | PkiStatus::GrantedWithMods => {
                return sent
                    .map(<[u8]>::to_vec)
                    .ok_or_else(|| TimestampError::Malformed("granted without a token".to_owned()));
            }
            PkiStatus::Rejection => "rejected",
            PkiStatus::Waiting => "waiting",
            PkiStatus::RevocationWarning => "revocation is near",
            PkiStatus::RevocationNotification => "revoked",
        };
        let reason = FAIL_INFO
            .into_iter()
            .find(|(bit, _)| fail_info.as_ref().is_some_and(|bits| bits.bit(*bit as usize)))
            .map_or("no reason given", |(_, text)| text);
        Err(TimestampError::Refused(format!("{status}: {reason}")))
    }

    /// DER.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Granted(token) => {
                let info = imprint::encode(encode::sequence(PkiStatus::Granted.encode()));
                tlv::encode(tlv::SEQUENCE, &[&info, token])
            }
            Self::Rejected(reason, text) => {
                let bit = *reason as u8;
                let mut bits = vec![0; usize::from(bit / 8)];
                bits.push(0x80 >> (bit % 8));
                imprint::encode(encode::sequence(encode::sequence((
                    PkiStatus::Rejection.encode(),
                    encode::sequence(OctetString::encode_slice_as(text.as_bytes(), Tag::UTF8_STRING)),
                    BitString::encode_slice(bits, 7 - bit % 8),
                ))))
            }
        }
    }
}

/// PKIStatusInfo without its failInfo, and that. `PkiStatusInfo` takes failInfo for an INTEGER, and real ones for malformed.
fn split_fail_info(info: &Element<'_>) -> Result<(Vec<u8>, Option<BitString>), TimestampError> {
    let (mut rest, mut fail_info) = (Vec::new(), None);
    let mut parts = info.children();
    while let Some(part) = parts.next()? {
        if part.tag == BIT_STRING {
            fail_info = Some(imprint::decode(part.raw, BitString::take_from)?);
            parts.finish()?;
        } else {
            rest.extend_from_slice(part.raw);
        }
    }
    Ok((tlv::encode(tlv::SEQUENCE, &[&rest]), fail_info))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_responses_are_read_back() {
        let request = Request {
            algorithm: DigestAlgorithm::Sha256,
            imprint: vec![7; 32],
            nonce: Some(vec![0xc0, 1]),
            cert_req: true,
            policy: None,
        };
        assert_eq!(Request::parse(&request.encode()).unwrap(), request);
        let bytes = request.encode();
        for cut in 0..bytes.len() {
            assert!(Request::parse(&bytes[..cut]).is_err());
        }
        let content = tlv::encode(0xa0, &[&[0x30, 0x00]]);
        let token = tlv::encode(tlv::SEQUENCE, &[&tlv::encode_oid(&crate::oid::SIGNED_DATA), &content]);
        assert_eq!(
            Response::parse(&Response::Granted(token.clone()).encode()).unwrap(),
            token
        );
        for (reason, text) in FAIL_INFO {
            let error = Response::parse(&Response::Rejected(reason, "no".to_owned()).encode()).unwrap_err();
            assert_eq!(error, TimestampError::Refused(format!("rejected: {text}")));
        }
    }
}
