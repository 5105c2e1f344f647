//! Takes in a container of the writing and intake profile byte by byte: one pass, flat memory, refused at the earliest byte.

mod content;
mod expected;
mod record;

use std::collections::HashMap;

use sha2::{Digest as _, Sha256};

use self::expected::Expected;
use super::manifest::ManifestReader;
use super::zip::Header;
use super::{Container, FileEntry, MAX_FILES, MAX_NAMES, MAX_SIGNATURE_SIZE, MIMETYPE, Manifest, manifest};
use crate::digest::MultiHasher;
use crate::envelope::{Envelope, MAX_ENVELOPE_SIZE};

/// Bounds of an intake. The default is the contract's; an operator may only tighten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Size of the whole container in bytes.
    pub container: u64,
    /// Size of one manifest in bytes.
    pub manifest: u64,
    /// Size of one signature file in bytes.
    pub signature: u64,
    /// Number of files beside the envelope.
    pub files: usize,
    /// Length of all names together in bytes.
    pub names: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            container: u64::MAX,
            manifest: manifest::MAX_MANIFEST_SIZE,
            signature: MAX_SIGNATURE_SIZE as u64,
            files: MAX_FILES,
            names: MAX_NAMES,
        }
    }
}

/// What has come in. Without `Debug`: it holds the patient's own data.
#[derive(Clone, Copy)]
pub enum IntakeEvent<'a> {
    /// A manifest, complete.
    Manifest(&'a Manifest),
    /// A signature file, complete.
    Signature(&'a [u8]),
    /// The envelope, complete, and its exact bytes.
    Envelope(&'a Envelope, &'a [u8]),
    /// A file begins; META-INF and envelope have passed.
    FileStart {
        /// Entry name.
        path: &'a str,
        /// Size in bytes.
        size: u64,
        /// Where its bytes begin in the container.
        offset: u64,
        /// Index of its document in the envelope.
        document: usize,
    },
    /// The next bytes of the file that started last.
    FileBytes(&'a [u8]),
    /// The file that started last has ended, and its digests are those of every manifest.
    FileEnd(&'a FileEntry),
}

/// Why a container is not taken in. Always `container_profile` to the sender.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail} (byte {position})")]
pub struct IntakeError {
    /// Stable snake_case word for programs.
    pub code: &'static str,
    /// One sentence, with names, without patient data.
    pub detail: String,
    /// Position in the container at which it was noticed: bytes read before.
    pub position: u64,
}

/// A parser that is pushed the container's bytes in pieces of any size.
///
/// It depends on nothing but those bytes: pushing them again from the start rebuilds its state.
#[derive(Clone)]
pub struct Intake {
    limits: Limits,
    position: u64,
    sha256: Sha256,
    /// The header being collected.
    pending: Vec<u8>,
    stage: Stage,
    expected: Expected,
    passed: Vec<Passed>,
    manifests_size: u64,
    signatures_size: u64,
    central_offset: u64,
    central_end: u64,
    container: Container,
    failed: Option<IntakeError>,
}

#[derive(Clone)]
enum Stage {
    /// Local headers, until the first central one.
    Local,
    Content(Box<Content>),
    Central {
        next: usize,
    },
    Locator {
        end64: u64,
    },
    End {
        zip64: bool,
    },
    Done,
}

/// An entry whose bytes are passing.
#[derive(Clone)]
struct Content {
    kind: Kind,
    remaining: u64,
    crc32: crc32fast::Hasher,
    hasher: MultiHasher,
    /// Content of an entry that is needed whole; empty for files and manifests.
    whole: Vec<u8>,
    /// The manifest as it passes.
    manifest: Option<Box<ManifestReader>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Mimetype,
    Manifest,
    Signature,
    Envelope,
    /// Index in the expected order.
    File(usize),
}

/// What the central directory must say again.
#[derive(Clone)]
struct Passed {
    header: Header,
    offset: u64,
}

impl Intake {
    /// An intake that has seen nothing.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            position: 0,
            sha256: Sha256::new(),
            pending: Vec::new(),
            stage: Stage::Local,
            expected: Expected::default(),
            passed: Vec::new(),
            manifests_size: 0,
            signatures_size: 0,
            central_offset: 0,
            central_end: 0,
            container: Container {
                sha256: [0; 32],
                size: 0,
                manifests: Vec::new(),
                signatures: Vec::new(),
                archives: Vec::new(),
                tokens: Vec::new(),
                own: Vec::new(),
                envelope: None,
                files: Vec::new(),
                findings: Vec::new(),
            },
            failed: None,
        }
    }

    /// Takes the next bytes and tells `on` what they complete. After an error nothing more is taken.
    ///
    /// # Errors
    /// An [`IntakeError`], or what `on` says.
    pub fn push<E: From<IntakeError>>(
        &mut self,
        bytes: &[u8],
        on: &mut impl FnMut(IntakeEvent<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if let Some(error) = &self.failed {
            return Err(error.clone().into());
        }
        // Stands until all went well, so that an error of `on` stops the intake too.
        self.failed = Some(self.error("stopped", "the intake was stopped before"));
        match self.take(bytes, on) {
            Ok(()) => self.failed = None,
            Err(Failure::Ours(error)) => {
                self.failed = Some(error.clone());
                return Err(error.into());
            }
            Err(Failure::Theirs(error)) => return Err(error),
        }
        Ok(())
    }

    /// The container so far. Once [`Intake::has_head`], manifests, signatures and envelope are complete.
    #[must_use]
    pub fn container(&self) -> &Container {
        &self.container
    }

    /// The container as its manifests promise it, once [`Intake::has_head`]: files with the digests the manifests state, not those
    /// of bytes. For a container of which all of it was judged before; its size and SHA-256 are for the caller to fill in.
    #[must_use]
    pub fn promised(&self) -> Container {
        let mut container = self.container.clone();
        let mut stated: HashMap<&str, Vec<_>> = HashMap::new();
        for reference in self
            .container
            .manifests
            .iter()
            .flat_map(|manifest| &manifest.references)
        {
            let known = stated.entry(&reference.path).or_default();
            known.push((reference.algorithm, reference.digest.clone()));
        }
        let first = self.container.manifests.first();
        let files = first.into_iter().flat_map(|manifest| &manifest.references);
        container.files = files
            .map(|reference| FileEntry {
                path: reference.path.clone(),
                size: 0,
                offset: None,
                digests: stated
                    .remove(reference.path.as_str())
                    .unwrap_or_default()
                    .into_iter()
                    .collect(),
            })
            .collect();
        container
    }

    /// Whether META-INF and envelope have passed, so that they can be judged before the files arrive.
    #[must_use]
    pub fn has_head(&self) -> bool {
        self.container.envelope.is_some()
    }

    /// How many bytes have been taken.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The container, after its last byte.
    ///
    /// # Errors
    /// The earlier error, or that bytes are missing.
    pub fn finish(mut self) -> Result<Container, IntakeError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if !matches!(self.stage, Stage::Done) {
            return Err(self.error("truncated", "the container ends too early"));
        }
        self.container.size = self.position;
        self.container.sha256 = self.sha256.finalize().into();
        Ok(self.container)
    }

    /// How many bytes are held back at the moment.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        let content = if let Stage::Content(content) = &self.stage {
            content.whole.len() + content.manifest.as_ref().map_or(0, |manifest| manifest.held())
        } else {
            0
        };
        self.pending.len() + content
    }

    fn take<E>(
        &mut self,
        mut bytes: &[u8],
        on: &mut impl FnMut(IntakeEvent<'_>) -> Result<(), E>,
    ) -> Result<(), Failure<E>> {
        while !bytes.is_empty() {
            let want = match &self.stage {
                Stage::Content(content) => content.remaining,
                Stage::Done => return Err(self.error("trailing_bytes", "bytes follow the end record").into()),
                _ => self.wanted()?.saturating_sub(self.pending.len()) as u64,
            };
            let count = usize::try_from(want).unwrap_or(usize::MAX).min(bytes.len());
            let (now, later) = bytes.split_at(count);
            bytes = later;
            self.sha256.update(now);
            self.position += count as u64;
            if self.position > self.limits.container {
                return Err(self
                    .error("container_too_large", "the container is larger than allowed")
                    .into());
            }
            if matches!(self.stage, Stage::Content(_)) {
                self.content(now, on)?;
            } else {
                self.pending.extend_from_slice(now);
                if self.wanted()? == self.pending.len() {
                    self.record(on)?;
                }
            }
        }
        Ok(())
    }

    fn error(&self, code: &'static str, detail: impl Into<String>) -> IntakeError {
        IntakeError {
            code,
            detail: detail.into(),
            position: self.position,
        }
    }

    /// Greatest size of an entry that is held whole.
    fn limit_of(&self, kind: Kind) -> u64 {
        match kind {
            Kind::Mimetype => MIMETYPE.len() as u64,
            Kind::Manifest => self.limits.manifest,
            Kind::Signature => self.limits.signature,
            Kind::Envelope => MAX_ENVELOPE_SIZE as u64,
            Kind::File(_) => u64::MAX,
        }
    }
}

enum Failure<E> {
    Ours(IntakeError),
    Theirs(E),
}

impl<E> From<IntakeError> for Failure<E> {
    fn from(error: IntakeError) -> Self {
        Self::Ours(error)
    }
}
