//! Takes files out of a container, and repacks a foreign one into the writing profile.

use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};

use super::directory::{Directory, Stop};
use super::entry::Entry;
use super::writer::Measure;
use super::{Container, FilePlan, Finding, Severity, SignedManifest, WriteError, writer};
use crate::envelope::ENVELOPE_PATH;

/// Why a file was not taken out, or a container not repacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The container is not one this house reads.
    #[error("{}", .0.detail)]
    Container(Finding),
    /// There is no such file.
    #[error("the container has no such file")]
    NoSuchFile,
    /// Repacking it would need a change to what is signed.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl From<Stop> for UnpackError {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Io(error) => Self::Io(error),
            Stop::Found(finding) => Self::Container(finding),
        }
    }
}

/// A container's central directory, kept to take files out one by one.
///
/// It checks each file it takes out; whether the container as a whole is sound only [`Container::read`] knows.
#[derive(Debug, Clone)]
pub struct Unpacker {
    /// Sorted by name.
    entries: Vec<Entry>,
}

impl Unpacker {
    /// Reads the central directory.
    ///
    /// # Errors
    /// [`UnpackError::Io`], [`UnpackError::Container`].
    pub fn open(reader: &mut (impl Read + Seek)) -> Result<Self, UnpackError> {
        let size = reader.seek(SeekFrom::End(0))?;
        let directory = Directory::read(reader, size, &mut Vec::new())?;
        let mut entries = directory.entries;
        entries.retain(|entry| !entry.folder);
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(Self { entries })
    }

    /// Streams one entry's content to `out`, inflated where it is compressed; size and CRC are compared. Returns its size.
    ///
    /// # Errors
    /// [`UnpackError`]; what was written until then is not the file.
    pub fn extract(
        &self,
        reader: &mut (impl Read + Seek),
        path: &str,
        out: &mut (impl Write + ?Sized),
    ) -> Result<u64, UnpackError> {
        let found = self.entries.binary_search_by(|entry| entry.name.as_str().cmp(path));
        let entry = found.ok().and_then(|place| self.entries.get(place));
        let entry = entry.ok_or(UnpackError::NoSuchFile)?;
        reader.seek(SeekFrom::Start(entry.offset))?;
        let mut source = BufReader::with_capacity(64 * 1024, reader);
        entry.stream(&mut source, |bytes| out.write_all(bytes).map_err(Stop::Io))?;
        Ok(entry.header.size)
    }
}

/// Writes the same manifests, signatures and files in the writing profile, and returns the size of the result.
///
/// Manifests are renamed where they must be (their names are not signed); a signature whose name is not of the profile
/// cannot be, because its manifest names it.
///
/// # Errors
/// [`UnpackError::Container`] for a container with fatal findings, [`UnpackError::Write`] for one the profile cannot hold.
pub fn repack(reader: &mut (impl Read + Seek), out: &mut impl Write) -> Result<u64, UnpackError> {
    let container = Container::read(reader)?;
    if let Some(finding) = container
        .findings
        .iter()
        .find(|finding| finding.severity == Severity::Fatal)
    {
        return Err(UnpackError::Container(finding.clone()));
    }
    let unpacker = Unpacker::open(reader)?;
    let mut order: Vec<_> = container.manifests.iter().collect();
    order.sort_by(|a, b| a.signature.cmp(&b.signature));
    let mut parts = Vec::new();
    for manifest in &order {
        let (mut xml, mut signature) = (Vec::new(), Vec::new());
        unpacker.extract(reader, &manifest.name, &mut xml)?;
        unpacker.extract(reader, &manifest.signature, &mut signature)?;
        parts.push((xml, signature));
    }
    let signed: Vec<_> = parts
        .iter()
        .map(|(manifest, signature)| SignedManifest { manifest, signature })
        .collect();

    let mut files: Vec<FilePlan> = Vec::new();
    for reference in order.first().map(|manifest| &manifest.references).into_iter().flatten() {
        let mut measure = Measure::new(io::sink());
        unpacker.extract(reader, &reference.path, &mut measure)?;
        files.push(measure.plan(&reference.path));
    }
    files.sort_by_key(|file| file.path != ENVELOPE_PATH);
    let written = writer::write_with(out, &signed, &files, |path, sink| {
        unpacker
            .extract(reader, path, sink)
            .map(|_| ())
            .map_err(|error| match error {
                UnpackError::Io(error) => WriteError::Io(error),
                _ => WriteError::Changed(path.to_owned()),
            })
    })?;
    Ok(written)
}
