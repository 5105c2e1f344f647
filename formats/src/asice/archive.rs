//! Archives, ETSI EN 319 162-1 annex A.7: what turns a container into one that outlives its certificates.
//!
//! An archive is a few entries of META-INF: the signature files with their evidence, archive manifests over everything, and the
//! tokens that stamp those. The container itself is never changed: the entries are kept beside it, and [`derive()`] writes both as
//! one file. The newest archive manifest is `ASiCArchiveManifest.xml`; the one before it gets a number when a newer one is made,
//! and is marked as its Rootfile.

mod file;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{BufReader, Read, Seek, SeekFrom, Write};

use super::directory::{Directory, Stop};
use super::entry::Entry;
use super::manifest::{self, ManifestError, ManifestReader};
use super::own::{Own, is_own, kind};
use super::unpack::{UnpackError, Unpacker};
use super::writer::Zip;
use super::{Container, FileEntry, MAX_ARCHIVES, MIMETYPE, Reference, SignatureFile, TokenFile, names};
use crate::digest::{DigestAlgorithm, Digests};

pub use file::ArchiveFileError;

/// The newest archive manifest.
pub const NEWEST: &str = "META-INF/ASiCArchiveManifest.xml";

/// The entries of META-INF that turn a container into its archive, by name. They replace those of the same name.
#[derive(Clone, PartialEq, Eq)]
pub struct Archive {
    /// SHA-256 of the container they belong to.
    pub container_sha256: [u8; 32],
    entries: BTreeMap<String, Vec<u8>>,
}

/// An archive manifest that waits for its token.
#[derive(Clone, PartialEq, Eq)]
pub struct NextManifest {
    /// Its bytes: what the token must stamp.
    pub bytes: Vec<u8>,
    /// Name of the token it refers to.
    token: String,
    /// Where the manifest that was the newest goes, if there is one.
    renamed: Option<String>,
}

/// Why there is no next archive manifest, or an archive does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// An entry of this name is not part of an archive.
    #[error("{0} is not an entry of an archive")]
    Name(String),
    /// More than [`MAX_ARCHIVES`] manifests or tokens.
    #[error("it has {MAX_ARCHIVES} archive time stamps already")]
    TooMany,
    /// An archive manifest that is none.
    #[error("{0}: {1}")]
    Manifest(String, ManifestError),
    /// The newest archive manifest of the container is not at hand, so that it cannot be renamed.
    #[error("the container's archive manifest was not read")]
    NotRead,
}

impl Archive {
    /// The archive of a container that has none yet: no entry.
    #[must_use]
    pub fn new(container_sha256: [u8; 32]) -> Self {
        Self {
            container_sha256,
            entries: BTreeMap::new(),
        }
    }

    /// What is needed to go on with the archive that is in a container already: its newest archive manifest.
    ///
    /// # Errors
    /// What `reader` says, or that it is no longer what `container` was read from.
    pub fn of(container: &Container, reader: &mut (impl Read + Seek)) -> Result<Self, UnpackError> {
        let mut archive = Self::new(container.sha256);
        if container.archives.iter().any(|known| known.name == NEWEST) {
            let mut bytes = Vec::new();
            Unpacker::open(reader)?.extract(reader, NEWEST, &mut bytes)?;
            archive.entries.insert(NEWEST.to_owned(), bytes);
        }
        Ok(archive)
    }

    /// Its entries in the order of their names.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.entries
            .iter()
            .map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
    }

    /// One entry.
    #[must_use]
    pub fn entry(&self, name: &str) -> Option<&[u8]> {
        self.entries.get(name).map(Vec::as_slice)
    }

    /// Puts an entry in: a signature file, an archive manifest or a token, and nothing else of a container.
    ///
    /// # Errors
    /// [`ArchiveError::Name`].
    pub fn put(&mut self, name: &str, bytes: Vec<u8>) -> Result<(), ArchiveError> {
        let good = matches!(kind(name), Own::Signature | Own::Archive | Own::Token);
        if !good || names::check(name).is_err() {
            return Err(ArchiveError::Name(name.escape_default().to_string()));
        }
        self.entries.insert(name.to_owned(), bytes);
        Ok(())
    }

    /// The container as it will be read once it is derived: what a validation judges without the gigabytes being copied first.
    /// (Its size and SHA-256 stay those of the container at hand.)
    ///
    /// # Errors
    /// [`ArchiveError::Manifest`], [`ArchiveError::TooMany`].
    pub fn applied(&self, container: &Container) -> Result<Container, ArchiveError> {
        let mut applied = container.clone();
        for (name, bytes) in &self.entries {
            match kind(name) {
                Own::Signature => replace(
                    &mut applied.signatures,
                    |file| &file.name,
                    SignatureFile {
                        name: name.clone(),
                        bytes: bytes.as_slice().into(),
                    },
                ),
                Own::Token => replace(
                    &mut applied.tokens,
                    |file| &file.name,
                    TokenFile {
                        name: name.clone(),
                        bytes: bytes.as_slice().into(),
                    },
                ),
                Own::Archive => {
                    let mut reader = ManifestReader::archive(name);
                    let read = reader.push(bytes).and_then(|()| reader.finish_archive());
                    let manifest = read.map_err(|error| ArchiveError::Manifest(name.clone(), error))?;
                    replace(&mut applied.archives, |known| &known.name, manifest);
                }
                _ => return Err(ArchiveError::Name(name.clone())),
            }
        }
        if applied.archives.len() > MAX_ARCHIVES || applied.tokens.len() > MAX_ARCHIVES {
            return Err(ArchiveError::TooMany);
        }
        applied.own = own(&applied);
        Ok(applied)
    }

    /// The token of the newest archive manifest, with its name; `None` where there is no archive yet.
    ///
    /// # Errors
    /// As [`Archive::applied`].
    pub fn newest_token(&self, container: &Container) -> Result<Option<(String, Vec<u8>)>, ArchiveError> {
        let applied = self.applied(container)?;
        let newest = applied.archives.iter().find(|archive| archive.name == NEWEST);
        let token = newest.and_then(|newest| applied.tokens.iter().find(|token| token.name == newest.token));
        Ok(token.map(|token| (token.name.clone(), token.bytes.to_vec())))
    }

    /// The next archive manifest: over every file, manifest, signature file, and all archive manifests and tokens there are.
    /// Digests come from what was read: no file is read again.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub fn next_manifest(&self, container: &Container) -> Result<NextManifest, ArchiveError> {
        let applied = self.applied(container)?;
        if applied.archives.len() >= MAX_ARCHIVES || applied.tokens.len() >= MAX_ARCHIVES {
            return Err(ArchiveError::TooMany);
        }
        let newest = applied.archives.iter().find(|archive| archive.name == NEWEST);
        if newest.is_some() && !self.entries.contains_key(NEWEST) {
            return Err(ArchiveError::NotRead);
        }
        let renamed = newest.map(|_| {
            free(
                |number| format!("META-INF/ASiCArchiveManifest{number:03}.xml"),
                |name| applied.archives.iter().any(|archive| archive.name == name),
            )
        });
        let token = free(
            |number| format!("META-INF/timestamp{number:03}.tst"),
            |name| applied.tokens.iter().any(|token| token.name == name),
        );
        let mut references = Vec::new();
        let mut refer = |path: &str, digests: &Digests| references.extend(reference(path, digests));
        for manifest in &applied.manifests {
            refer(&manifest.name, &manifest.digests);
        }
        for signature in &applied.signatures {
            refer(&signature.name, &sha256_of(&signature.bytes));
        }
        for archive in &applied.archives {
            let name = match &renamed {
                Some(renamed) if archive.name == NEWEST => renamed,
                _ => &archive.name,
            };
            refer(name, &archive.digests);
        }
        for token in &applied.tokens {
            refer(&token.name, &sha256_of(&token.bytes));
        }
        for file in &applied.files {
            refer(&file.path, &file.digests);
        }
        Ok(NextManifest {
            bytes: manifest::encode_archive(&token, &references, renamed.as_deref()),
            token,
            renamed,
        })
    }

    /// Puts a manifest in with the token that stamps it; the one before gets its number.
    pub fn stamp(&mut self, next: NextManifest, token: Vec<u8>) {
        if let Some(renamed) = next.renamed
            && let Some(before) = self.entries.remove(NEWEST)
        {
            self.entries.insert(renamed, before);
        }
        self.entries.insert(NEWEST.to_owned(), next.bytes);
        self.entries.insert(next.token, token);
    }
}

/// Writes a container with the entries of its archive, stored: META-INF first, then everything else in its order and byte for
/// byte, inflated where it was compressed. Constant memory. Returns the size of the result.
///
/// # Errors
/// What `reader` and `out` say; [`UnpackError::Container`] for bytes that are not what the central directory says. What was
/// written until then is no container.
pub fn derive(reader: &mut (impl Read + Seek), archive: &Archive, out: &mut impl Write) -> Result<u64, UnpackError> {
    let size = reader.seek(SeekFrom::End(0))?;
    let directory = Directory::read(reader, size, &mut Vec::new())?;
    let files = || directory.entries.iter().filter(|entry| !entry.folder);
    let meta = |entry: &&Entry| entry.name.starts_with("META-INF/");
    let mut zip = Zip::new(out);
    zip.small("mimetype", MIMETYPE)?;
    for entry in files().filter(meta) {
        match archive.entry(&entry.name) {
            Some(bytes) => zip.small(&entry.name, bytes)?,
            None => copy(&mut zip, reader, entry)?,
        }
    }
    for (name, bytes) in archive.entries() {
        if !files().any(|entry| entry.name == name) {
            zip.small(name, bytes)?;
        }
    }
    for entry in files().filter(|entry| !meta(entry) && entry.name != "mimetype") {
        copy(&mut zip, reader, entry)?;
    }
    Ok(zip.finish()?)
}

fn copy<W: Write>(zip: &mut Zip<'_, W>, reader: &mut (impl Read + Seek), entry: &Entry) -> Result<(), UnpackError> {
    zip.header(&entry.name, entry.header.size, entry.header.crc32)?;
    reader.seek(SeekFrom::Start(entry.offset))?;
    let mut source = BufReader::with_capacity(64 * 1024, reader);
    // Size and CRC are compared as it passes, so that the header written before is true.
    entry.stream(&mut source, |bytes| zip.out.write_all(bytes).map_err(Stop::Io))?;
    Ok(())
}

/// Puts `new` in the place of what has its name, or in the order of names.
fn replace<T>(all: &mut Vec<T>, name: impl Fn(&T) -> &String, new: T) {
    match all.binary_search_by(|known| name(known).cmp(name(&new))) {
        Ok(place) => {
            if let Some(known) = all.get_mut(place) {
                *known = new;
            }
        }
        Err(place) => all.insert(place, new),
    }
}

/// What the archive manifests refer to in META-INF, as it is there.
fn own(container: &Container) -> Vec<FileEntry> {
    let mut found: HashMap<&str, Digests> = HashMap::new();
    for manifest in &container.manifests {
        found.insert(&manifest.name, manifest.digests.clone());
    }
    for archive in &container.archives {
        found.insert(&archive.name, archive.digests.clone());
    }
    for file in &container.signatures {
        found.insert(&file.name, Digests::of(&file.bytes));
    }
    for file in &container.tokens {
        found.insert(&file.name, Digests::of(&file.bytes));
    }
    let before: HashMap<&str, &FileEntry> = container.own.iter().map(|entry| (entry.path.as_str(), entry)).collect();
    let references = container.archives.iter().flat_map(|archive| &archive.references);
    let reserved: BTreeSet<&str> = references
        .map(|reference| reference.path.as_str())
        .filter(|path| is_own(path))
        .collect();
    let entry = |path: &str| match (found.get(path), before.get(path)) {
        (Some(digests), before) => Some(FileEntry {
            path: path.to_owned(),
            size: before.map_or(0, |before| before.size),
            offset: None,
            digests: digests.clone(),
        }),
        (None, Some(before)) => Some(FileEntry::clone(before)),
        (None, None) => None,
    };
    reserved.into_iter().filter_map(entry).collect()
}

/// A reference by SHA-256, or by what else was computed.
fn reference(path: &str, digests: &Digests) -> Option<Reference> {
    let known = |algorithm: DigestAlgorithm| digests.get(algorithm).map(|digest| (algorithm, digest));
    let (algorithm, digest) = DigestAlgorithm::ALL.into_iter().find_map(known)?;
    Some(Reference {
        path: path.to_owned(),
        mime_type: None,
        algorithm,
        digest: digest.to_vec(),
    })
}

fn sha256_of(bytes: &[u8]) -> Digests {
    let mut hasher = crate::digest::MultiHasher::new([DigestAlgorithm::Sha256]);
    hasher.update(bytes);
    hasher.finish()
}

/// The first name that is not taken. There are at most [`MAX_ARCHIVES`], so that one is free.
fn free(name: impl Fn(usize) -> String, taken: impl Fn(&str) -> bool) -> String {
    (1..=MAX_ARCHIVES + 1)
        .map(name)
        .find(|name| !taken(name))
        .unwrap_or_default()
}
