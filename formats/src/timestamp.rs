//! Time stamps: RFC 3161 request, response and token.

use const_oid::ObjectIdentifier;
use time::OffsetDateTime;

use crate::cades::SignedData;
use crate::digest::DigestAlgorithm;

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
