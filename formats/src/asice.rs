//! The container: ASiC-E with CAdES, ETSI EN 319 162-1, in the profile of `CONTRACTS.md` §1.

pub mod archive;
mod consistency;
mod directory;
mod entry;
mod intake;
pub mod manifest;
pub mod names;
mod own;
mod reader;
mod unpack;
mod uri;
mod writer;
mod zip;

pub use intake::{Intake, IntakeError, IntakeEvent, Limits};
pub use unpack::{UnpackError, Unpacker, repack};
pub use writer::{FilePlan, SignedManifest, WriteError, manifest_for, write};

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use crate::digest::{DigestAlgorithm, Digests};
use crate::envelope::Envelope;

/// The content of the entry `mimetype`.
pub const MIMETYPE: &[u8] = b"application/vnd.etsi.asic-e+zip";
/// Greatest number of files beside the envelope.
pub const MAX_FILES: usize = 100_000;
/// Greatest length of all names together in bytes.
pub const MAX_NAMES: usize = 16 * 1024 * 1024;
/// Greatest size of a signature file in bytes.
pub const MAX_SIGNATURE_SIZE: usize = 10 * 1024 * 1024;
/// Greatest size of all manifests together in bytes: what they refer to is held at once.
pub const MAX_ALL_MANIFESTS: u64 = 2 * manifest::MAX_MANIFEST_SIZE;
/// Greatest size of all signature files together in bytes.
pub const MAX_ALL_SIGNATURES: u64 = 2 * MAX_SIGNATURE_SIZE as u64;
/// Greatest number of archive manifests, and of time-stamp tokens beside the signatures: a renewal every few years for centuries.
pub const MAX_ARCHIVES: usize = 64;
/// Greatest number of signatures. All are held in memory at once, so there must be one.
pub const MAX_SIGNATURES: usize = 16;

/// A container as read: what a validation needs to know of it, never its files' contents.
///
/// Reading is total: whatever is wrong with the bytes is a [`Finding`], not an error.
#[derive(Clone)]
pub struct Container {
    /// SHA-256 of the whole file.
    pub sha256: [u8; 32],
    /// Size of the whole file in bytes.
    pub size: u64,
    /// `META-INF/ASiCManifest*.xml`, in the order of their names.
    pub manifests: Vec<Manifest>,
    /// `META-INF/*signature*.p7s`, in the order of their names.
    pub signatures: Vec<SignatureFile>,
    /// `META-INF/ASiCArchiveManifest*.xml`, in the order of their names.
    pub archives: Vec<ArchiveManifest>,
    /// `META-INF/*timestamp*.tst`, in the order of their names.
    pub tokens: Vec<TokenFile>,
    /// What archive manifests refer to beside the files: `mimetype` and entries of META-INF.
    pub own: Vec<FileEntry>,
    /// `submission.json`, where present and well-formed.
    pub envelope: Option<Envelope>,
    /// Every file but `mimetype` and META-INF, in container order (`submission.json` included).
    pub files: Vec<FileEntry>,
    /// What is wrong or odd.
    pub findings: Vec<Finding>,
}

/// One ASiCManifest as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Entry name.
    pub name: String,
    /// Digests of its exact bytes: the content its signature signs.
    pub digests: Digests,
    /// The signature it names (`SigReference`), decoded.
    pub signature: String,
    /// What it covers.
    pub references: Vec<Reference>,
}

/// One ASiCArchiveManifest as read, ETSI EN 319 162-1 annex A.7: what one archive time stamp covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveManifest {
    /// Entry name.
    pub name: String,
    /// Digests of its exact bytes: what its token stamps.
    pub digests: Digests,
    /// The token it names (`SigReference`), decoded.
    pub token: String,
    /// What it covers: files, and entries of META-INF.
    pub references: Vec<Reference>,
    /// The archive manifest before it: the reference marked `Rootfile="true"`.
    pub previous: Option<String>,
}

/// One DataObjectReference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Entry name, decoded.
    pub path: String,
    /// MimeType attribute, where given.
    pub mime_type: Option<String>,
    /// Digest algorithm.
    pub algorithm: DigestAlgorithm,
    /// Digest value.
    pub digest: Vec<u8>,
}

/// One signature file, unparsed.
#[derive(Clone, PartialEq, Eq)]
pub struct SignatureFile {
    /// Entry name.
    pub name: String,
    /// Its bytes, held once however often the container is copied.
    pub bytes: Arc<[u8]>,
}

/// One time-stamp token file, unparsed.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenFile {
    /// Entry name.
    pub name: String,
    /// Its bytes, held once however often the container is copied.
    pub bytes: Arc<[u8]>,
}

/// One file as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Entry name.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// Where its bytes begin in the container, if they lie there as they are (stored); `None` if they are compressed.
    pub offset: Option<u64>,
    /// Digests under every algorithm the manifests and archive manifests name for it (SHA-256 where none does).
    pub digests: Digests,
}

impl Container {
    /// What was found under each name a manifest or an archive manifest can refer to.
    #[must_use]
    pub fn entries(&self) -> HashMap<&str, &FileEntry> {
        let entries = self.files.iter().chain(&self.own);
        entries.map(|entry| (entry.path.as_str(), entry)).collect()
    }
}

/// Something wrong or odd in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Whether it makes the container unacceptable (FORMAT_FAILURE) or is only worth knowing.
    pub severity: Severity,
    /// Stable snake_case word for programs, e.g. `overlapping_entries`. Borrowed from this software, or owned where a report states it.
    pub code: Cow<'static, str>,
    /// One sentence, with names, without patient data.
    pub detail: String,
}

/// How much a [`Finding`] weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The container is refused: FORMAT_FAILURE.
    Fatal,
    /// Worth knowing.
    Warning,
}

#[cfg(test)]
mod tests;
