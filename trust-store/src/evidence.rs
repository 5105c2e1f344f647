//! What a validation may use beside the signature itself: certificates, CRLs, OCSP responses, tokens. A value, never a fetcher.

/// Evidence supplied from outside (検証情報). Unparsed: parsing and judging happen in the validation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Certificates, DER.
    pub certificates: Vec<Vec<u8>>,
    /// CRLs, DER.
    pub crls: Vec<Vec<u8>>,
    /// OCSP responses, DER. Read and set aside: they cannot prove anything yet.
    pub ocsp: Vec<Vec<u8>>,
    /// Time-stamp tokens, DER.
    pub tokens: Vec<Vec<u8>>,
    /// Files that did not parse, by name: a warning in the report.
    pub unreadable: Vec<String>,
}

/// Something that must still be fetched before a verdict is possible.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum EvidenceQuery {
    /// The CRL that covers a certificate. Its URLs come from a certificate whose path to an anchor verifies.
    Crl {
        /// Issuer's name, for people.
        issuer: String,
        /// Subject of the certificate in question, for people.
        subject: String,
        /// Where it is published, in the certificate's order.
        urls: Vec<String>,
    },
}
