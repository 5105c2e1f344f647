//! Time stamps: RFC 3161 request, response and token.
//!
//! The ASN.1 types of `cryptographic-message-syntax` are not used: they read failInfo as INTEGER (it is a BIT STRING) and the
//! millis of an accuracy as constructed (they are primitive), and a genTime of more than nine fractional digits makes them panic.

mod gen_time;
mod messages;
mod token;

use const_oid::ObjectIdentifier;
use time::OffsetDateTime;

use crate::cades::CadesError;
use crate::cades::SignedData;
use crate::digest::DigestAlgorithm;
use crate::tlv::TlvError;

pub use messages::{FailInfo, MAX_REQUEST_BYTES, Request, Response};

/// Why bytes are no time-stamp message, or why there is no stamp.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimestampError {
    /// Not the structure RFC 3161 defines, or beyond a bound.
    #[error("not a time-stamp message: {0}")]
    Malformed(String),
    /// An imprint algorithm outside SHA-256/384/512.
    #[error("imprint algorithm not accepted: {0}")]
    UnsupportedAlgorithm(ObjectIdentifier),
    /// An extension in a request, or a critical one in a TSTInfo.
    #[error("a time-stamp extension is not understood")]
    Extension,
    /// The authority answers, but not with a stamp.
    #[error("the time-stamp authority refuses: {0}")]
    Refused(String),
    /// The CMS around the TSTInfo.
    #[error(transparent)]
    Cms(#[from] CadesError),
}

impl From<TlvError> for TimestampError {
    fn from(error: TlvError) -> Self {
        Self::Malformed(error.to_string())
    }
}

/// A TimeStampToken: a CMS SignedData around a TSTInfo.
#[derive(Debug, Clone)]
pub struct Token {
    /// The CMS around it.
    pub signed_data: SignedData,
    /// What the authority states.
    pub info: TstInfo,
}

/// RFC 3161 §2.4.2 TSTInfo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TstInfo {
    /// TSA policy.
    pub policy: ObjectIdentifier,
    /// Hash algorithm of the imprint; `None` if it is not one of ours.
    pub imprint_algorithm: Option<DigestAlgorithm>,
    /// The imprint.
    pub imprint: Vec<u8>,
    /// Content octets of the serial number.
    pub serial: Vec<u8>,
    /// The time stated; may carry fractions of a second.
    pub gen_time: OffsetDateTime,
    /// Content octets of the nonce, where given (may be negative when read as INTEGER).
    pub nonce: Option<Vec<u8>>,
}
