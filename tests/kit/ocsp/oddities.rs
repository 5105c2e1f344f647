//! What an OCSP responder may do otherwise than it should, or than is usual.

use time::OffsetDateTime;
use x509_cert::ext::Extension;

use crate::hpki::Ca;
use crate::keys::Key;

/// All off by default.
#[derive(Debug, Clone, Default)]
pub struct Oddities {
    /// Times carry a fraction of a second, which RFC 5280 §4.1.2.5.2 forbids; such responders exist.
    pub sub_seconds: bool,
    /// The answer is `unauthorized` where a certificate is not known, in place of `unknown`.
    pub unauthorized_if_unknown: bool,
    /// producedAt, where it is not thisUpdate.
    pub produced_at: Option<OffsetDateTime>,
    /// archiveCutoff, RFC 6960 §4.4.4.
    pub archive_cutoff: Option<OffsetDateTime>,
    /// singleExtensions.
    pub single_extensions: Vec<Extension>,
    /// responseExtensions beside the nonce.
    pub response_extensions: Vec<Extension>,
    /// Another issuerNameHash than the one asked for.
    pub wrong_name_hash: bool,
    /// Another issuerKeyHash than the one asked for.
    pub wrong_key_hash: bool,
    /// The responderID is that of somebody else.
    pub wrong_responder: bool,
    /// The responder's certificate is not sent along.
    pub certificate_left_out: bool,
    /// The responder's certificate.
    pub delegate: Delegate,
}

/// What is odd about the certificate of the responder that a CA delegates to.
#[derive(Debug, Clone, Default)]
pub struct Delegate {
    /// Issued by this CA in place of the one it answers for.
    pub issuer: Option<Ca>,
    /// Signed with this key in place of the issuer's: a forgery.
    pub issuer_key: Option<Key>,
    /// Without id-kp-OCSPSigning.
    pub not_for_ocsp: bool,
    /// Without id-pkix-ocsp-nocheck; it says where its CRL is.
    pub to_be_checked: bool,
    /// Its end.
    pub not_after: Option<OffsetDateTime>,
}
