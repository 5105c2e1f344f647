//! Whom the operator trusts, for which purpose: signers and time-stamp authorities never share anchors.

use x509_cert::Certificate;

/// A trusted certificate (信頼点), RFC 5914 in spirit.
#[derive(Debug, Clone, PartialEq)]
pub struct TrustAnchor {
    /// DER as supplied.
    pub der: Vec<u8>,
    /// Parsed.
    pub certificate: Certificate,
}

/// Anchors for one purpose.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AnchorSet(pub Vec<TrustAnchor>);

/// The trust directory's certificates.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Anchors {
    /// `hpki/`: for signers.
    pub hpki: AnchorSet,
    /// `tsa/`: for time stamps.
    pub tsa: AnchorSet,
    /// `intermediates/`: serve path building, trusted for nothing.
    pub intermediates: Vec<Vec<u8>>,
}
