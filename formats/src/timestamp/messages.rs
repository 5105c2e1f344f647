//! TimeStampReq and TimeStampResp, RFC 3161 §2.4.

use const_oid::ObjectIdentifier;

use super::TimestampError;
use crate::digest::DigestAlgorithm;
use crate::tlv::{self, Element};

/// Largest request read, in bytes.
pub const MAX_REQUEST_BYTES: usize = 4 * 1024;

const BOOLEAN: u8 = 0x01;
const BIT_STRING: u8 = 0x03;
const UTF8_STRING: u8 = 0x0c;

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
        let policy = self.policy.as_ref().map(tlv::encode_oid).unwrap_or_default();
        let nonce = self
            .nonce
            .as_ref()
            .map(|nonce| tlv::encode(tlv::INTEGER, &[nonce]))
            .unwrap_or_default();
        let cert_req = if self.cert_req {
            tlv::encode(BOOLEAN, &[&[0xff]])
        } else {
            Vec::new()
        };
        let imprint = encode_imprint(self.algorithm, &self.imprint);
        tlv::encode(
            tlv::SEQUENCE,
            &[
                &tlv::encode(tlv::INTEGER, &[&[1]]),
                &imprint,
                &policy,
                &nonce,
                &cert_req,
            ],
        )
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
        let request = Element::only(bytes)?;
        request.tagged(tlv::SEQUENCE)?;
        let mut parts = request.children();
        if parts.expect(tlv::INTEGER)?.content != [1] {
            return Err(TimestampError::Malformed("the version is not 1".to_owned()));
        }
        let (identifier, imprint) = read_imprint(&parts.expect(tlv::SEQUENCE)?)?;
        let algorithm =
            DigestAlgorithm::from_oid(&identifier).ok_or(TimestampError::UnsupportedAlgorithm(identifier))?;
        if imprint.len() != algorithm.output_len() {
            return Err(TimestampError::Malformed("the imprint has a wrong length".to_owned()));
        }
        let policy = parts
            .optional(tlv::OBJECT_IDENTIFIER)?
            .map(|policy| policy.oid())
            .transpose()?;
        let nonce = parts.optional(tlv::INTEGER)?.map(|nonce| nonce.content.to_vec());
        let cert_req = parts.optional(BOOLEAN)?.is_some_and(|flag| flag.content != [0]);
        if parts.optional(0xa0)?.is_some() {
            return Err(TimestampError::Extension);
        }
        parts.finish()?;
        Ok(Self {
            algorithm,
            imprint,
            nonce,
            cert_req,
            policy,
        })
    }
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
        tlv::check_nesting(bytes)?;
        let response = Element::only(bytes)?;
        response.tagged(tlv::SEQUENCE)?;
        let mut parts = response.children();
        let info = parts.expect(tlv::SEQUENCE)?;
        let token = parts.optional(tlv::SEQUENCE)?;
        parts.finish()?;
        let mut info = info.children();
        let status = match info.expect(tlv::INTEGER)?.content {
            [0 | 1] => {
                return token
                    .map(|token| token.raw.to_vec())
                    .ok_or_else(|| TimestampError::Malformed("granted without a token".to_owned()));
            }
            [2] => "rejected",
            [3] => "waiting",
            [4] => "revocation is near",
            [5] => "revoked",
            _ => "unknown status",
        };
        info.optional(tlv::SEQUENCE)?;
        let reason = match info.optional(BIT_STRING)? {
            Some(bits) => FAIL_INFO
                .into_iter()
                .find(|(bit, _)| is_set(bits.content, *bit as u8))
                .map(|(_, text)| text),
            None => None,
        };
        Err(TimestampError::Refused(format!(
            "{status}: {}",
            reason.unwrap_or("no reason given")
        )))
    }

    /// DER.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let status = |number: u8| tlv::encode(tlv::INTEGER, &[&[number]]);
        match self {
            Self::Granted(token) => tlv::encode(tlv::SEQUENCE, &[&tlv::encode(tlv::SEQUENCE, &[&status(0)]), token]),
            Self::Rejected(reason, text) => {
                let text = tlv::encode(tlv::SEQUENCE, &[&tlv::encode(UTF8_STRING, &[text.as_bytes()])]);
                let bit = *reason as u8;
                let mut bits = vec![7 - bit % 8];
                bits.resize(1 + usize::from(bit / 8), 0);
                bits.push(0x80 >> (bit % 8));
                let info = tlv::encode(tlv::SEQUENCE, &[&status(2), &text, &tlv::encode(BIT_STRING, &[&bits])]);
                tlv::encode(tlv::SEQUENCE, &[&info])
            }
        }
    }
}

fn is_set(bit_string: &[u8], bit: u8) -> bool {
    bit_string
        .get(1 + usize::from(bit / 8))
        .is_some_and(|octet| octet & (0x80 >> (bit % 8)) != 0)
}

/// `MessageImprint ::= SEQUENCE { hashAlgorithm AlgorithmIdentifier, hashedMessage OCTET STRING }`.
pub(super) fn encode_imprint(algorithm: DigestAlgorithm, imprint: &[u8]) -> Vec<u8> {
    let algorithm = tlv::encode(tlv::SEQUENCE, &[&tlv::encode_oid(&algorithm.oid()), &[0x05, 0x00]]);
    tlv::encode(
        tlv::SEQUENCE,
        &[&algorithm, &tlv::encode(tlv::OCTET_STRING, &[imprint])],
    )
}

pub(super) fn read_imprint(element: &Element<'_>) -> Result<(ObjectIdentifier, Vec<u8>), TimestampError> {
    let mut parts = element.children();
    let algorithm = parts.expect(tlv::SEQUENCE)?.children().any()?.oid()?;
    let imprint = parts.any()?.octets()?;
    parts.finish()?;
    Ok((algorithm, imprint))
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
        let token = vec![0x30, 0x00];
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
