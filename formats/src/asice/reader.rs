//! Reads any container of the reading profile: central directory first, then once through every byte from front to end.

use std::collections::HashMap;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use sha2::{Digest as _, Sha256};

use super::directory::{Directory, Stop, fatal, shown, stop, warning};
use super::entry::Entry;
use super::manifest::{ManifestError, ManifestReader};
use super::own::{Own, is_own, is_token, kind};
use super::{
    ArchiveManifest, Container, FileEntry, MAX_ALL_MANIFESTS, MAX_ALL_SIGNATURES, MAX_ARCHIVES, MAX_FILES,
    MAX_SIGNATURE_SIZE, MAX_SIGNATURES, MIMETYPE, Manifest, SignatureFile, TokenFile, consistency, manifest, zip,
};
use crate::digest::{DigestAlgorithm, MultiHasher};
use crate::envelope::{ENVELOPE_PATH, Envelope, MAX_ENVELOPE_SIZE};

const BUFFER: usize = 64 * 1024;

impl Container {
    /// Reads a container. Total: what is wrong with the bytes is in [`Container::findings`]; memory does not grow with the files.
    ///
    /// A file whose digest differs from its reference is no finding: that verdict is the validation's, from
    /// [`FileEntry::digests`].
    ///
    /// # Errors
    /// Only what `reader` says.
    pub fn read(reader: &mut (impl Read + Seek)) -> io::Result<Self> {
        let size = reader.seek(SeekFrom::End(0))?;
        let mut container = Self {
            sha256: [0; 32],
            size,
            manifests: Vec::new(),
            signatures: Vec::new(),
            archives: Vec::new(),
            tokens: Vec::new(),
            own: Vec::new(),
            envelope: None,
            files: Vec::new(),
            findings: Vec::new(),
        };
        match container.fill(reader) {
            Ok(()) => container.findings.extend(consistency::whole(&container)),
            Err(Stop::Found(finding)) => {
                container.findings.push(finding);
                reader.seek(SeekFrom::Start(0))?;
                let mut front = Front::new(reader, size);
                front.drain()?;
                container.sha256 = front.sha256.finalize().into();
            }
            Err(Stop::Io(error)) => return Err(error),
        }
        Ok(container)
    }

    fn fill(&mut self, reader: &mut (impl Read + Seek)) -> Result<(), Stop> {
        let directory = Directory::read(reader, self.size, &mut self.findings)?;
        self.own_entries(reader, &directory)?;
        let mut algorithms: HashMap<&str, Vec<DigestAlgorithm>> = HashMap::new();
        let signed = self.manifests.iter().flat_map(|manifest| &manifest.references);
        let archived = self.archives.iter().flat_map(|archive| &archive.references);
        for reference in signed.chain(archived) {
            let known = algorithms.entry(&reference.path).or_default();
            if !known.contains(&reference.algorithm) {
                known.push(reference.algorithm);
            }
        }

        reader.seek(SeekFrom::Start(0))?;
        let mut front = Front::new(reader, self.size);
        for (index, entry) in directory.entries.iter().enumerate() {
            if entry.offset != front.position {
                let code = if entry.offset < front.position {
                    "overlapping_entries"
                } else {
                    "unclaimed_bytes"
                };
                let detail = format!(
                    "the entry does not begin where the one before ends: {}",
                    shown(&entry.name)
                );
                return Err(Stop::Found(fatal(code, detail)));
            }
            let own = is_own(&entry.name);
            let wanted = match algorithms.get(entry.name.as_str()) {
                Some(wanted) => wanted.as_slice(),
                None if own => &[],
                None => &[DigestAlgorithm::Sha256],
            };
            let mut hasher = MultiHasher::new(wanted.iter().copied());
            let streamed = entry.stream(&mut front, |bytes| {
                hasher.update(bytes);
                Ok(())
            });
            let data_at = match streamed {
                Ok(data_at) => Some(data_at),
                // The entry was read to its end: what follows can be judged too, so that the report tells which files are good.
                Err(Stop::Found(finding)) if finding.code == "crc_mismatch" => {
                    self.findings.push(finding);
                    None
                }
                Err(stop) => return Err(stop),
            };
            let next = directory
                .entries
                .get(index + 1)
                .map_or(directory.offset, |next| next.offset);
            let Some(gap) = next.checked_sub(front.position) else {
                let detail = format!("the entry reaches into the next: {}", shown(&entry.name));
                return Err(Stop::Found(fatal("overlapping_entries", detail)));
            };
            entry.descriptor(&mut front, gap)?;
            if entry.folder || (own && wanted.is_empty()) {
                continue;
            }
            let found = FileEntry {
                path: entry.name.clone(),
                size: entry.header.size,
                offset: data_at
                    .filter(|_| entry.header.method == zip::STORED)
                    .map(|data_at| entry.offset + data_at),
                digests: hasher.finish(),
            };
            if own {
                self.own.push(found);
                continue;
            }
            if self.files.len() > MAX_FILES {
                return Err(Stop::Found(fatal("too_many_files", "it has more files than allowed")));
            }
            self.files.push(found);
        }
        if front.position != directory.offset {
            return Err(Stop::Found(fatal(
                "unclaimed_bytes",
                "bytes before the central directory belong to nothing",
            )));
        }
        front.drain()?;
        self.sha256 = front.sha256.finalize().into();
        Ok(())
    }

    /// `mimetype`, META-INF and the envelope, whose content is needed before the files are hashed.
    fn own_entries(&mut self, reader: &mut (impl Read + Seek), directory: &Directory) -> Result<(), Stop> {
        let mut own: Vec<&Entry> = directory.entries.iter().filter(|entry| !entry.folder).collect();
        own.retain(|entry| is_own(&entry.name) || entry.name == ENVELOPE_PATH);
        own.sort_by(|a, b| a.name.cmp(&b.name));
        if !own.iter().any(|entry| entry.name == "mimetype") {
            self.findings
                .push(warning("mimetype_missing", "it has no entry mimetype"));
        }
        if !own.iter().any(|entry| entry.name == ENVELOPE_PATH) {
            self.findings
                .push(fatal("envelope_missing", "it has no submission.json"));
        }
        // What is held of them together is bounded before the first is read.
        let (mut manifests, mut signatures, mut archives, mut tokens) = (0u64, 0u64, 0u64, 0u64);
        for entry in &own {
            let (all, limit) = match kind(&entry.name) {
                Own::Manifest => (&mut manifests, MAX_ALL_MANIFESTS),
                Own::Signature => (&mut signatures, MAX_ALL_SIGNATURES),
                Own::Archive => (&mut archives, MAX_ALL_MANIFESTS),
                Own::Token => (&mut tokens, MAX_ALL_SIGNATURES),
                _ => continue,
            };
            *all = all.saturating_add(entry.header.size);
            if *all > limit {
                return Err(too_large(entry));
            }
        }
        for entry in own {
            let name = entry.name.as_str();
            match kind(name) {
                Own::Mimetype => self.mimetype(reader, entry)?,
                Own::Manifest => {
                    if self.manifests.len() >= MAX_SIGNATURES {
                        return Err(Stop::Found(fatal(
                            "too_many_signatures",
                            "it has more signatures than allowed",
                        )));
                    }
                    match read_manifest(reader, entry)? {
                        Ok(manifest) if is_token(&manifest.signature) => self.findings.push(warning(
                            "timestamp_ignored",
                            format!("{} belongs to a time stamp, not to a signature", shown(name)),
                        )),
                        Ok(manifest) => self.manifests.push(manifest),
                        Err(error) => {
                            self.findings
                                .push(fatal(error.code(), format!("{}: {error}", shown(name))));
                        }
                    }
                }
                Own::Signature => {
                    if self.signatures.len() >= MAX_SIGNATURES {
                        return Err(Stop::Found(fatal(
                            "too_many_signatures",
                            "it has more signatures than allowed",
                        )));
                    }
                    let (bytes, _) = whole(reader, entry, MAX_SIGNATURE_SIZE as u64)?;
                    self.signatures.push(SignatureFile {
                        name: name.to_owned(),
                        bytes: bytes.into(),
                    });
                }
                Own::Envelope => {
                    let (bytes, _) = whole(reader, entry, MAX_ENVELOPE_SIZE as u64)?;
                    match Envelope::parse(&bytes) {
                        Ok(envelope) => self.envelope = Some(envelope),
                        Err(error) => self.findings.push(fatal("envelope_malformed", error.to_string())),
                    }
                }
                Own::Archive => {
                    if self.archives.len() >= MAX_ARCHIVES {
                        return Err(too_many_archives());
                    }
                    match read_archive(reader, entry)? {
                        Ok(archive) => self.archives.push(archive),
                        // It proves nothing, but the signatures stand without it.
                        Err(error) => self
                            .findings
                            .push(warning("archive_unreadable", format!("{}: {error}", shown(name)))),
                    }
                }
                Own::Token => {
                    if self.tokens.len() >= MAX_ARCHIVES {
                        return Err(too_many_archives());
                    }
                    let (bytes, _) = whole(reader, entry, MAX_SIGNATURE_SIZE as u64)?;
                    self.tokens.push(TokenFile {
                        name: name.to_owned(),
                        bytes: bytes.into(),
                    });
                }
                Own::Other => {
                    let detail = format!("{} is not used", shown(name));
                    self.findings.push(warning("meta_inf_ignored", detail));
                }
            }
        }
        Ok(())
    }

    fn mimetype(&mut self, reader: &mut (impl Read + Seek), entry: &Entry) -> Result<(), Stop> {
        let (content, data_at) = whole(reader, entry, 1024)?;
        if content != MIMETYPE {
            return Err(Stop::Found(fatal("mimetype_wrong", "mimetype does not say ASiC-E")));
        }
        let oddities = [
            (entry.offset != 0, "mimetype_late", "mimetype is not the first entry"),
            (
                entry.header.method != zip::STORED,
                "mimetype_compressed",
                "mimetype is compressed",
            ),
            (data_at != 38, "mimetype_extra_field", "mimetype has an extra field"),
        ];
        self.findings.extend(
            oddities
                .iter()
                .filter(|odd| odd.0)
                .map(|(_, code, detail)| warning(code, *detail)),
        );
        Ok(())
    }
}

fn read_manifest(reader: &mut (impl Read + Seek), entry: &Entry) -> Result<Result<Manifest, ManifestError>, Stop> {
    let manifest = pushed(reader, entry, ManifestReader::new(&entry.name))?;
    Ok(manifest.and_then(ManifestReader::finish))
}

fn read_archive(
    reader: &mut (impl Read + Seek),
    entry: &Entry,
) -> Result<Result<ArchiveManifest, ManifestError>, Stop> {
    let archive = pushed(reader, entry, ManifestReader::archive(&entry.name))?;
    Ok(archive.and_then(ManifestReader::finish_archive))
}

/// A manifest, never whole in memory.
fn pushed(
    reader: &mut (impl Read + Seek),
    entry: &Entry,
    manifest: ManifestReader,
) -> Result<Result<ManifestReader, ManifestError>, Stop> {
    if entry.header.size > manifest::MAX_MANIFEST_SIZE {
        return Err(too_large(entry));
    }
    reader.seek(SeekFrom::Start(entry.offset))?;
    let mut manifest = Ok(manifest);
    entry.stream(&mut BufReader::with_capacity(BUFFER, reader), |bytes| {
        if let Ok(reader) = &mut manifest
            && let Err(error) = reader.push(bytes)
        {
            manifest = Err(error);
        }
        Ok(())
    })?;
    Ok(manifest)
}

fn too_many_archives() -> Stop {
    stop("too_many_archives", "it has more archive time stamps than allowed")
}

fn too_large(entry: &Entry) -> Stop {
    stop(
        "entry_too_large",
        format!("the entry is larger than allowed: {}", shown(&entry.name)),
    )
}

/// A small entry's content, and where its data begin relative to its local header.
fn whole(reader: &mut (impl Read + Seek), entry: &Entry, limit: u64) -> Result<(Vec<u8>, u64), Stop> {
    if entry.header.size > limit {
        return Err(too_large(entry));
    }
    reader.seek(SeekFrom::Start(entry.offset))?;
    let mut content = Vec::new();
    let data_at = entry.stream(&mut BufReader::with_capacity(BUFFER, reader), |bytes| {
        content.extend_from_slice(bytes);
        Ok(())
    })?;
    Ok((content, data_at))
}

/// Reads from the front and hashes all that passes.
struct Front<R> {
    inner: BufReader<io::Take<R>>,
    sha256: Sha256,
    position: u64,
}

impl<R: Read> Front<R> {
    fn new(reader: R, size: u64) -> Self {
        let inner = BufReader::with_capacity(BUFFER, reader.take(size));
        Self {
            inner,
            sha256: Sha256::new(),
            position: 0,
        }
    }

    fn drain(&mut self) -> io::Result<()> {
        io::copy(self, &mut io::sink()).map(|_| ())
    }
}

impl<R: Read> Read for Front<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.sha256.update(buffer.get(..count).unwrap_or_default());
        self.position += count as u64;
        Ok(count)
    }
}
