//! What a validation may use beside the signature itself: certificates, CRLs, OCSP responses, tokens. A value, never a fetcher.

mod classify;
mod file;

use std::collections::HashSet;
use std::hash::Hash;

pub use file::EvidenceError;

use formats::digest::DigestAlgorithm;

use crate::revocation::OcspRequest;

/// Evidence supplied from outside (検証情報). Unparsed: parsing and judging happen in the validation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Certificates, DER.
    pub certificates: Vec<Vec<u8>>,
    /// CRLs, DER.
    pub crls: Vec<Vec<u8>>,
    /// OCSP responses, DER.
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
    /// The OCSP response about a certificate. Where the same subject is asked for by CRL too, either suffices. Its URLs come
    /// from a certificate whose path to an anchor verifies.
    Ocsp {
        /// Issuer's name, for people.
        issuer: String,
        /// Subject of the certificate in question, for people.
        subject: String,
        /// Responders, in the certificate's order.
        urls: Vec<String>,
        /// What to ask them.
        request: OcspRequest,
        /// A responder that may speak has answered already, now, that it does not know the certificate. Another address may know
        /// more; if all say so, there is nothing to wait for.
        answered: bool,
    },
    /// The certificate of an issuer that is nowhere at hand. Its URLs are the words of a certificate that leads to no anchor so
    /// far: ask only hosts the operator lists. What comes back is trusted for nothing.
    Certificate {
        /// Name of the issuer that is missing.
        issuer: String,
        /// Subject of the certificate that names it, for people.
        subject: String,
        /// caIssuers, in the certificate's order.
        urls: Vec<String>,
    },
    /// A time stamp over a SignatureValue that came without one, where `signer_timestamp` lets the relay add it. Asked for once
    /// nothing but evidence is missing; the token goes to [`Evidence::tokens`].
    Timestamp {
        /// Signer, for people.
        subject: String,
        /// Hash algorithm of `digest`.
        algorithm: DigestAlgorithm,
        /// Digest of the SignatureValue.
        digest: Vec<u8>,
    },
}

impl EvidenceQuery {
    /// Where it may be had; nowhere in particular for a time stamp.
    #[must_use]
    pub fn urls(&self) -> &[String] {
        match self {
            Self::Crl { urls, .. } | Self::Ocsp { urls, .. } | Self::Certificate { urls, .. } => urls,
            Self::Timestamp { .. } => &[],
        }
    }
}

impl Evidence {
    /// Adds a file of unknown kind: one or more certificates, CRLs, OCSP responses or tokens in DER or PEM, or an RFC 3161
    /// response. What does not parse is noted under `name`; what is there already is not added twice.
    pub fn add(&mut self, name: &str, bytes: &[u8]) {
        match classify::classify(bytes) {
            Some(found) => self.merge(found),
            None => {
                if !self.unreadable.iter().any(|known| known == name) {
                    self.unreadable.push(name.to_owned());
                }
            }
        }
    }

    /// Takes everything from `other` that is not there already.
    pub fn merge(&mut self, other: Self) {
        fn take<T: Eq + Hash>(into: &mut Vec<T>, from: Vec<T>) {
            let mut known: HashSet<&T> = into.iter().collect();
            let new: Vec<bool> = from.iter().map(|item| known.insert(item)).collect();
            let new = from.into_iter().zip(new).filter(|(_, new)| *new);
            into.extend(new.map(|(item, _)| item));
        }
        take(&mut self.certificates, other.certificates);
        take(&mut self.crls, other.crls);
        take(&mut self.ocsp, other.ocsp);
        take(&mut self.tokens, other.tokens);
        take(&mut self.unreadable, other.unreadable);
    }

    /// Evidence as one JSON file, its parts in base64: what is stored beside a container, and what a later validation reads.
    #[must_use]
    pub fn to_json(&self) -> String {
        file::write(self)
    }

    /// Reads what [`Evidence::to_json`] wrote.
    ///
    /// # Errors
    /// [`EvidenceError`] if the text is not such a file.
    pub fn from_json(text: &str) -> Result<Self, EvidenceError> {
        file::read(text)
    }

    /// SHA-256 of [`Evidence::to_json`].
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        formats::digest::sha256(self.to_json().as_bytes())
    }
}
