//! Signatures inside a PDF: ISO 32000 §12.8, PAdES (ETSI EN 319 142-1). Bytes become what is signed, by whom it says, and what
//! happened to the file afterwards. Nothing is rendered and nothing verified: that is `trust-store`.
//!
//! The reader is our own because its answer is a trust decision on an attacker's bytes. General readers repair what is broken,
//! where two readers may differ; they do not tell where a value stands in the file, which is what ByteRange is about; and the
//! ones there are have recursed as deep as the attacker said (lopdf before 0.42, RUSTSEC-2026-0187; hayro, issue 1347).
//! This one repairs nothing: a file it does not understand to the byte has no good signature.

mod appended;
mod document;
mod fields;
mod object;
mod security_store;
mod signature;
mod stream;
mod update;
mod xref;

use serde::{Deserialize, Serialize};

use crate::digest::Digests;
use document::Document;

pub use security_store::{SecurityStore, Stored};

/// Largest PDF read, in bytes.
pub const MAX_BYTES: usize = 64 * 1024 * 1024;
/// Most signatures of one PDF.
pub const MAX_SIGNATURES: usize = 16;

/// What a PDF says of its signatures.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SignedPdf {
    /// Its signatures, the oldest first; document time stamps among them.
    pub signatures: Vec<PdfSignature>,
    /// `/DSS`: certificates and revocation material somebody put into the file.
    pub store: SecurityStore,
    /// Cross-reference sections, one or more per revision.
    pub sections: usize,
    /// Why nothing can be said about its signatures, if so.
    pub unreadable: Option<String>,
}

impl SignedPdf {
    /// What [`read`] finds; a PDF that cannot be read says why.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        read(bytes).unwrap_or_else(|error| Self {
            unreadable: Some(error.to_string()),
            ..Self::default()
        })
    }
}

/// One signature dictionary, ISO 32000-1 table 252. Reason, place and contact are never read: they may name a patient.
#[derive(Clone, PartialEq, Eq)]
pub struct PdfSignature {
    /// Name of its field, or its number if the name is not plain ASCII.
    pub field: String,
    /// `/SubFilter`.
    pub kind: SignatureKind,
    /// The CMS inside `/Contents`, without the padding.
    pub contents: Vec<u8>,
    /// Digest of the two ranges of `/ByteRange` under the algorithm the CMS names; empty if it names none of ours.
    pub digests: Digests,
    /// Where its revision ends: the bytes up to there are what it signs.
    pub revision_end: usize,
    /// Where `/Contents` begins: a document time stamp proves of what ends before that it existed.
    pub contents_start: usize,
    /// `/M` as written: a claim.
    pub claimed_time: Option<String>,
    /// DocMDP `/P` 1–3, for a certifying signature.
    pub certification: Option<i64>,
    /// Whether it locks form fields (FieldMDP).
    pub locks_fields: bool,
    /// Why the signature does not cover exactly one revision of the file: its form is broken.
    pub defects: Vec<String>,
    /// What was appended after it.
    pub afterwards: Afterwards,
}

impl std::fmt::Debug for PdfSignature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PdfSignature")
            .field("kind", &self.kind)
            .field("revision_end", &self.revision_end)
            .field("contents_start", &self.contents_start)
            .field("defects", &self.defects)
            .field("afterwards", &self.afterwards)
            .finish_non_exhaustive()
    }
}

/// What was appended to the file after a signature.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Afterwards {
    /// What no longer is as it was signed, or cannot be shown to be. Not empty: the signature does not cover what is displayed.
    pub changes: Vec<String>,
    /// What was added and changes nothing that is displayed.
    pub additions: Vec<String>,
    /// Objects of the signed revision nothing refers to: material of shadow attacks, or an editor's litter.
    pub unused_objects: usize,
}

/// How a signature is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignatureKind {
    /// `ETSI.CAdES.detached`: PAdES.
    Cades,
    /// `adbe.pkcs7.detached`: CMS as ISO 32000-1 knows it.
    Pkcs7,
    /// `ETSI.RFC3161`: a document time stamp.
    DocTimeStamp,
    /// `adbe.pkcs7.sha1`: signs a SHA-1 digest. Not accepted.
    Pkcs7Sha1,
    /// `adbe.x509.rsa_sha1`: a bare SHA-1 signature. Not accepted.
    X509RsaSha1,
    /// Anything else. Not accepted.
    Other,
}

impl SignatureKind {
    /// As `/SubFilter` writes it.
    #[must_use]
    pub fn sub_filter(self) -> &'static str {
        match self {
            Self::Cades => "ETSI.CAdES.detached",
            Self::Pkcs7 => "adbe.pkcs7.detached",
            Self::DocTimeStamp => "ETSI.RFC3161",
            Self::Pkcs7Sha1 => "adbe.pkcs7.sha1",
            Self::X509RsaSha1 => "adbe.x509.rsa_sha1",
            Self::Other => "another SubFilter",
        }
    }
}

/// Why a PDF's signatures cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PdfError {
    /// It does not begin with `%PDF-`.
    #[error("not a PDF: it does not begin with %PDF-")]
    NotPdf,
    /// More than [`MAX_BYTES`].
    #[error("longer than {MAX_BYTES} bytes")]
    TooLong,
    /// It has `/Encrypt`.
    #[error("the PDF is encrypted")]
    Encrypted,
    /// Its structure is broken.
    #[error("malformed PDF: {0}")]
    Malformed(&'static str),
    /// A bound is exceeded.
    #[error("the PDF exceeds a bound: {0}")]
    TooMuch(&'static str),
}

/// Whether there is any sign of a signature: a quick look that finds those written plainly. [`read`] finds the others too.
#[must_use]
pub fn seems_signed(bytes: &[u8]) -> bool {
    bytes.starts_with(b"%PDF-")
        && bytes
            .split(|byte| *byte == b'/')
            .any(|part| part.starts_with(b"ByteRange"))
}

/// Reads the signatures of a PDF. None is no error.
///
/// # Errors
/// [`PdfError`]: nothing can be said about its signatures.
pub fn read(bytes: &[u8]) -> Result<SignedPdf, PdfError> {
    if bytes.len() > MAX_BYTES {
        return Err(PdfError::TooLong);
    }
    if !bytes.starts_with(b"%PDF-") {
        return Err(PdfError::NotPdf);
    }
    let document = Document::read(bytes)?;
    let newest = document.newest();
    let fields = fields::signature_fields(&newest)?;
    let mut signatures = Vec::new();
    for field in fields {
        let Some(value) = field.value else { continue };
        if signatures.len() == MAX_SIGNATURES {
            return Err(PdfError::TooMuch("more signatures than a letter has"));
        }
        let mut signature = signature::read(&document, field.name, &value)?;
        if signature.defects.is_empty() {
            signature.afterwards = update::after(&document, signature.revision_end);
        }
        signatures.push(signature);
    }
    signatures.sort_by_key(|signature| signature.revision_end);
    if signatures.is_empty() && seems_signed(bytes) {
        return Err(PdfError::Malformed(
            "a signature stands in the file, but in no signature field",
        ));
    }
    Ok(SignedPdf {
        signatures,
        store: security_store::read(&newest)?,
        sections: document.sections.len(),
        unreadable: None,
    })
}

#[cfg(test)]
mod tests;
