//! Writes a container in the writing profile: signatures first, everything stored, the same content always the same bytes.

use std::io::{self, Read, Write};

use sha2::{Digest as _, Sha256};

use super::zip::{self, StoredEntry};
use super::{
    MAX_ALL_MANIFESTS, MAX_ALL_SIGNATURES, MAX_FILES, MAX_NAMES, MAX_SIGNATURE_SIZE, MAX_SIGNATURES, MIMETYPE,
    manifest, names,
};
use crate::digest::DigestAlgorithm;
use crate::envelope::{ENVELOPE_PATH, MAX_ENVELOPE_SIZE};

const BUFFER: usize = 64 * 1024;

/// One file as measured before writing: headers and manifest precede the bytes they speak of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePlan {
    /// Entry name.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// CRC-32 as ZIP has it.
    pub crc32: u32,
    /// SHA-256.
    pub sha256: [u8; 32],
}

/// A manifest and the signature over it; the first is `ASiCManifest001.xml` with `signature001.p7s`, and so on.
#[derive(Clone, Copy)]
pub struct SignedManifest<'a> {
    /// Exact bytes of the manifest.
    pub manifest: &'a [u8],
    /// The signature file.
    pub signature: &'a [u8],
}

/// Why a container was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Reading a file or writing the container failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// What was asked for is outside the writing profile.
    #[error("not a container of the writing profile: {0}")]
    Profile(String),
    /// A file's bytes are not those that were measured.
    #[error("the file {0} has changed since it was measured")]
    Changed(String),
}

impl FilePlan {
    /// Reads a file once to learn what its headers and its reference say.
    ///
    /// # Errors
    /// What the reader says.
    pub fn measure(path: &str, reader: &mut impl Read) -> io::Result<Self> {
        let mut measure = Measure::new(io::sink());
        io::copy(reader, &mut measure)?;
        Ok(measure.plan(path))
    }
}

/// The first manifest over `files`, SHA-256, in their order: `submission.json` first, then as they shall lie in the container.
#[must_use]
pub fn manifest_for(files: &[FilePlan]) -> Vec<u8> {
    manifest::encode(1, files)
}

/// Writes a container and returns its size. `open` gives each file's bytes, in the order of the first manifest.
///
/// # Errors
/// [`WriteError`]; what was written until then is no container.
pub fn write<R: Read>(
    out: &mut impl Write,
    signed: &[SignedManifest<'_>],
    files: &[FilePlan],
    mut open: impl FnMut(&str) -> io::Result<R>,
) -> Result<u64, WriteError> {
    write_with(out, signed, files, |path, sink| {
        let mut reader = open(path)?;
        let mut buffer = vec![0; BUFFER];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => sink.write_all(buffer.get(..count).unwrap_or_default())?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    })
}

/// [`write`] for sources that push.
pub(super) fn write_with(
    out: &mut impl Write,
    signed: &[SignedManifest<'_>],
    files: &[FilePlan],
    mut copy: impl FnMut(&str, &mut dyn Write) -> Result<(), WriteError>,
) -> Result<u64, WriteError> {
    keeps_profile(signed, files)?;
    let mut zip = Zip::new(out);
    zip.small("mimetype", MIMETYPE)?;
    for (number, signed) in (1..).zip(signed) {
        zip.small(&format!("META-INF/ASiCManifest{number:03}.xml"), signed.manifest)?;
        zip.small(&format!("META-INF/signature{number:03}.p7s"), signed.signature)?;
    }
    for file in files {
        zip.header(&file.path, file.size, file.crc32)?;
        let mut measure = Measure::new(&mut *zip.out);
        measure.limit = file.size;
        let copied = copy(&file.path, &mut measure);
        if measure.overrun || (copied.is_ok() && measure.plan(&file.path) != *file) {
            return Err(WriteError::Changed(file.path.clone()));
        }
        copied?;
    }
    zip.finish()
}

/// Everything the intake profile would refuse later is refused before the first byte.
fn keeps_profile(signed: &[SignedManifest<'_>], files: &[FilePlan]) -> Result<(), WriteError> {
    let refuse = |why: String| Err(WriteError::Profile(why));
    if signed.is_empty() || signed.len() > MAX_SIGNATURES {
        return refuse(format!(
            "it has {} signatures, 1 to {MAX_SIGNATURES} are allowed",
            signed.len()
        ));
    }
    let envelope = files.first().filter(|file| file.path == ENVELOPE_PATH);
    if envelope.is_none_or(|file| file.size > MAX_ENVELOPE_SIZE as u64) {
        return refuse("the first file is not a submission.json of allowed size".into());
    }
    if files.len() > MAX_FILES + 1 || files.iter().map(|file| file.path.len()).sum::<usize>() > MAX_NAMES {
        return refuse("it has too many files or names".into());
    }
    let mut seen = names::NameSet::default();
    for file in files {
        let reserved = names::is_reserved(&file.path);
        match names::check(&file.path).and_then(|()| seen.insert(&file.path)) {
            Ok(()) if !reserved => {}
            Ok(()) => return refuse(format!("the name {} is reserved", file.path)),
            Err(error) => return refuse(format!("{error}: {}", file.path.escape_default())),
        }
    }
    let all = |part: fn(&SignedManifest<'_>) -> usize| signed.iter().map(|signed| part(signed) as u64).sum::<u64>();
    if all(|signed| signed.manifest.len()) > MAX_ALL_MANIFESTS
        || all(|signed| signed.signature.len()) > MAX_ALL_SIGNATURES
    {
        return refuse("its manifests or signatures together are too large".into());
    }
    for (number, signed) in (1..).zip(signed) {
        if signed.signature.len() > MAX_SIGNATURE_SIZE {
            return refuse("a signature is too large".into());
        }
        let manifest = manifest::parse("", signed.manifest).map_err(|error| WriteError::Profile(error.to_string()))?;
        if manifest.signature != format!("META-INF/signature{number:03}.p7s") {
            return refuse(format!("manifest {number} names another signature than its own"));
        }
        let same = |reference: &super::Reference, file: &FilePlan| {
            reference.path == file.path
                && (reference.algorithm != DigestAlgorithm::Sha256 || reference.digest == file.sha256)
        };
        let mut references: Vec<_> = manifest.references.iter().collect();
        let mut expected: Vec<_> = files.iter().collect();
        if number == 1 {
            // The envelope comes first in the container wherever the manifest has it; the others keep its order.
            references.sort_by_key(|reference| reference.path != ENVELOPE_PATH);
        } else {
            references.sort_by_key(|reference| &reference.path);
            expected.sort_by_key(|file| &file.path);
        }
        let agrees = references.len() == expected.len()
            && references
                .iter()
                .zip(&expected)
                .all(|(reference, file)| same(reference, file));
        if !agrees {
            return refuse(format!("manifest {number} is not about these files in this order"));
        }
    }
    Ok(())
}

/// A file of stored entries, one after the other.
pub(super) struct Zip<'a, W> {
    pub(super) out: &'a mut W,
    offset: u64,
    central: Vec<u8>,
    entries: u64,
}

impl<'a, W: Write> Zip<'a, W> {
    pub(super) fn new(out: &'a mut W) -> Self {
        Self {
            out,
            offset: 0,
            central: Vec::new(),
            entries: 0,
        }
    }

    /// The header of an entry; its bytes must follow.
    pub(super) fn header(&mut self, name: &str, size: u64, crc32: u32) -> io::Result<()> {
        let entry = StoredEntry {
            name,
            size,
            crc32,
            offset: self.offset,
        };
        let local = entry.local();
        self.out.write_all(&local)?;
        self.central.extend(entry.central());
        self.offset += local.len() as u64 + size;
        self.entries += 1;
        Ok(())
    }

    /// A whole entry.
    pub(super) fn small(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.header(name, bytes.len() as u64, crc32fast::hash(bytes))?;
        self.out.write_all(bytes)
    }

    /// The central directory. Returns the size of the file.
    pub(super) fn finish(self) -> Result<u64, WriteError> {
        let size = self.central.len() as u64;
        let end = zip::end_records(self.entries, self.offset, size);
        self.out.write_all(&self.central)?;
        self.out.write_all(&end)?;
        self.out.flush()?;
        Ok(self.offset + size + end.len() as u64)
    }
}

/// Measures what passes through, and lets no more than `limit` through.
pub(super) struct Measure<W> {
    out: W,
    size: u64,
    crc32: crc32fast::Hasher,
    sha256: Sha256,
    limit: u64,
    overrun: bool,
}

impl<W> Measure<W> {
    pub(super) fn new(out: W) -> Self {
        let (crc32, sha256) = (crc32fast::Hasher::new(), Sha256::new());
        Self {
            out,
            size: 0,
            crc32,
            sha256,
            limit: u64::MAX,
            overrun: false,
        }
    }

    pub(super) fn plan(self, path: &str) -> FilePlan {
        let (crc32, sha256) = (self.crc32.finalize(), self.sha256.finalize().into());
        FilePlan {
            path: path.to_owned(),
            size: self.size,
            crc32,
            sha256,
        }
    }
}

impl<W: Write> Write for Measure<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.size.saturating_add(bytes.len() as u64) > self.limit {
            self.overrun = true;
            return Err(io::Error::other("more bytes than measured"));
        }
        let count = self.out.write(bytes)?;
        let taken = bytes.get(..count).unwrap_or_default();
        self.size += count as u64;
        self.crc32.update(taken);
        self.sha256.update(taken);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::sha256;

    fn plan(path: &str, bytes: &[u8]) -> FilePlan {
        FilePlan::measure(path, &mut &bytes[..]).unwrap()
    }

    fn attempt(files: &[FilePlan], manifest: &[u8], content: &[(&str, &[u8])]) -> Result<Vec<u8>, WriteError> {
        let mut out = Vec::new();
        let signed = [SignedManifest {
            manifest,
            signature: b"sig",
        }];
        let size = write(&mut out, &signed, files, |path| {
            let found = content.iter().find(|(name, _)| *name == path);
            found
                .map(|(_, bytes)| *bytes)
                .ok_or_else(|| io::ErrorKind::NotFound.into())
        })?;
        assert_eq!(size, out.len() as u64);
        Ok(out)
    }

    #[test]
    fn layout() {
        let content: [(&str, &[u8]); 2] = [("submission.json", b"{}"), ("画像/a", b"abc")];
        let files = content.map(|(path, bytes)| plan(path, bytes));
        assert_eq!(files[1].sha256, sha256(b"abc"));
        let manifest = manifest_for(&files);
        let zip = attempt(&files, &manifest, &content).unwrap();
        assert_eq!(&zip[30..38], b"mimetype");
        assert_eq!(&zip[38..38 + MIMETYPE.len()], MIMETYPE);
        assert_eq!(zip, attempt(&files, &manifest, &content).unwrap(), "deterministic");
        assert!(zip.ends_with(&[0, 0]), "no comment");
    }

    #[test]
    fn refused() {
        let content: [(&str, &[u8]); 2] = [("submission.json", b"{}"), ("a", b"abc")];
        let files = content.map(|(path, bytes)| plan(path, bytes));
        let manifest = manifest_for(&files);
        for changed in [&b"abd"[..], b"ab", b"abcd"] {
            let content = [content[0], ("a", changed)];
            assert!(matches!(attempt(&files, &manifest, &content), Err(WriteError::Changed(path)) if path == "a"));
        }
        assert!(matches!(
            attempt(&files, &manifest, &content[..1]),
            Err(WriteError::Io(_))
        ));
        let profile = |files: &[FilePlan], manifest: &[u8]| {
            matches!(attempt(files, manifest, &content), Err(WriteError::Profile(_)))
        };
        assert!(profile(&files[..1], &manifest), "a reference without file");
        assert!(profile(&files, &manifest_for(&files[..1])), "a file without reference");
        assert!(profile(&files[1..], &manifest_for(&files[1..])), "no envelope");
        assert!(profile(&files, &manifest::encode(2, &files)), "another signature");
        for bad in [
            "../x",
            "mimetype",
            "META-INF/x",
            "Submission.json",
            "e\u{301}",
            "submission.json/x",
        ] {
            let files = [files[0].clone(), plan(bad, b"abc")];
            assert!(profile(&files, &manifest_for(&files)), "{bad}");
        }
        let swapped = [files[0].clone(), plan("b", b""), files[1].clone()];
        let ordered = [files[0].clone(), files[1].clone(), plan("b", b"")];
        assert!(profile(&swapped, &manifest_for(&ordered)), "another order");
    }
}
