//! Time stamps: RFC 3161 request, response and token.
//!
//! The ASN.1 types of `cryptographic-message-syntax` serve where they can; `tests.rs` measures why not elsewhere.
//!
//! | type | use |
//! |---|---|
//! | `TimeStampReq` | reads and writes requests; requests with extensions are told apart before |
//! | `MessageImprint` | read and written in requests and in TSTInfo |
//! | `TimeStampResp`, `PkiStatus` | read responses once failInfo (a BIT STRING, which they take for an INTEGER) is split off; `TimeStampResp` does not write, because it loses the tag \[0\] of a token |
//! | `TstInfo`, `Accuracy` | not used: they refuse an accuracy with millis or micros, as the default configuration of OpenSSL has, and extensions; they write genTime with trailing zeros; over nine fractional digits they panic |
//!
//! Before any of them reads, nesting and size are bounded. What was read is never written again with them: in DER that panics too.

mod gen_time;
mod imprint;
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

impl TstInfo {
    /// Whether it is about `bytes`: the imprint is theirs, by a hash of ours.
    #[must_use]
    pub fn is_of(&self, bytes: &[u8]) -> bool {
        self.imprint_algorithm
            .is_some_and(|algorithm| algorithm.digest(bytes) == self.imprint)
    }
}

#[cfg(test)]
mod tests;
