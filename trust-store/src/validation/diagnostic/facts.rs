//! A subject as a report keeps it: nothing twice, so that it stays linear in files however many manifests name them.

mod pdf;

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use formats::asice::manifest::{MAX_ARCHIVE_REFERENCES, MAX_REFERENCES};
use formats::asice::{
    ArchiveManifest, Container, FileEntry, Finding, MAX_ALL_MANIFESTS, MAX_ARCHIVES, MAX_SIGNATURES, Manifest,
    Reference, Severity, SignatureFile, TokenFile,
};
use formats::cades::{DetachedContent, FramedDigest};
use formats::digest::{DigestAlgorithm, Digests};
use formats::envelope::{DocumentKind, Envelope};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::{Mismatch, ReplayError};
use crate::report::ValidationReport;
use crate::validation::Subject;
use pdf::PdfFacts;

/// What a reference takes in a manifest beside its name, at the least: what more of them together would take never was a manifest.
const LEAST_REFERENCE: u64 = 150;

/// Bytes, base64 in JSON; those of a container are the container's own.
#[derive(Clone, PartialEq)]
pub(super) struct Bytes(pub(super) Arc<[u8]>);

/// What was judged.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum SubjectFacts {
    Container(ContainerFacts),
    Signature(SignatureFacts),
    Pdf(PdfFacts),
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SignatureFacts {
    bytes: Bytes,
    content: Option<DigestsText>,
    /// The content inside the frames of archive time stamps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    framed: Vec<FramedFacts>,
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FramedFacts {
    frame: Bytes,
    algorithm: DigestAlgorithm,
    digest: Bytes,
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ContainerFacts {
    /// One for each of the report's `files`.
    files: Vec<DigestsText>,
    manifests: Vec<ManifestFacts>,
    signatures: Vec<EntryFacts>,
    archives: Vec<ArchiveFacts>,
    tokens: Vec<EntryFacts>,
    /// What archive manifests refer to beside the files.
    own: Vec<OwnFacts>,
    /// `None` where there is no readable envelope.
    documents: Option<Vec<DocumentFacts>>,
    /// When the envelope says it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    findings: Vec<FindingFacts>,
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ManifestFacts {
    name: String,
    digests: DigestsText,
    signature: String,
    references: Vec<ReferenceFacts>,
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ArchiveFacts {
    name: String,
    digests: DigestsText,
    token: String,
    references: Vec<ReferenceFacts>,
    previous: Option<String>,
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnFacts {
    path: String,
    digests: DigestsText,
}

/// References in a row.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum ReferenceFacts {
    Run(Run),
    One(One),
}

/// To `count` entries from the one at `from` on, each by the digest that it has: `files` in the report's order, then `own`.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Run {
    from: usize,
    count: usize,
    algorithm: DigestAlgorithm,
}

/// To an entry that is not there, or has another digest.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct One {
    path: String,
    algorithm: DigestAlgorithm,
    digest: Bytes,
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryFacts {
    name: String,
    bytes: Bytes,
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DocumentFacts {
    path: String,
    kind: DocumentKind,
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FindingFacts {
    fatal: bool,
    code: String,
    detail: String,
}

/// Digests, as `sha256:BASE64 sha512:BASE64`.
#[derive(Clone, PartialEq)]
struct DigestsText(Digests);

impl SubjectFacts {
    pub(super) fn of(subject: &Subject) -> Self {
        match subject {
            Subject::Container(container) => Self::Container(ContainerFacts::of(container)),
            Subject::Signature { bytes, content } => Self::Signature(SignatureFacts::of(bytes, content.as_ref())),
            Subject::Pdf(pdf) => Self::Pdf(PdfFacts::of(pdf)),
        }
    }

    pub(super) fn subject(&self, report: &ValidationReport) -> Result<Subject, ReplayError> {
        Ok(match self {
            Self::Container(facts) => Subject::Container(Box::new(facts.container(report)?)),
            Self::Signature(facts) => Subject::Signature {
                bytes: facts.bytes.0.to_vec(),
                content: facts.content()?,
            },
            Self::Pdf(facts) => Subject::Pdf(Box::new(facts.pdf())),
        })
    }

    /// `told` against what is true.
    pub(super) fn compare(&self, truth: &Self) -> Result<(), Mismatch> {
        match (self, truth) {
            (Self::Container(told), Self::Container(truth)) if told == truth => Ok(()),
            (Self::Container(_), Self::Container(_)) => Err(Mismatch::Facts),
            (Self::Signature(told), Self::Signature(truth)) if told.bytes != truth.bytes => Err(Mismatch::Bytes),
            (Self::Signature(told), Self::Signature(truth))
                if told.content != truth.content || told.framed != truth.framed =>
            {
                Err(Mismatch::Content)
            }
            (Self::Signature(_), Self::Signature(_)) => Ok(()),
            (Self::Pdf(told), Self::Pdf(truth)) if told == truth => Ok(()),
            (Self::Pdf(_), Self::Pdf(_)) => Err(Mismatch::Bytes),
            _ => Err(Mismatch::Kind),
        }
    }
}

impl SignatureFacts {
    fn of(bytes: &[u8], content: Option<&DetachedContent>) -> Self {
        let framed = |one: &FramedDigest| FramedFacts {
            frame: Bytes(one.frame.as_slice().into()),
            algorithm: one.algorithm,
            digest: Bytes(one.digest.as_slice().into()),
        };
        Self {
            bytes: Bytes(bytes.into()),
            content: content.map(|content| DigestsText(content.digests.clone())),
            framed: content
                .into_iter()
                .flat_map(|content| &content.framed)
                .map(framed)
                .collect(),
        }
    }

    fn content(&self) -> Result<Option<DetachedContent>, ReplayError> {
        let Some(digests) = &self.content else {
            return Ok(None);
        };
        let framed = |one: &FramedFacts| {
            let frame = (*one.frame.0).try_into();
            Ok(FramedDigest {
                frame: frame.map_err(|_| ReplayError::Inconsistent("a frame is not named by its SHA-256"))?,
                algorithm: one.algorithm,
                digest: one.digest.0.to_vec(),
            })
        };
        Ok(Some(DetachedContent {
            digests: digests.0.clone(),
            framed: self.framed.iter().map(framed).collect::<Result<_, _>>()?,
        }))
    }
}

impl ContainerFacts {
    fn of(container: &Container) -> Self {
        // Every field by name, here and below: a new one does not compile until it is kept too, or the verdict could not be replayed.
        let Container {
            sha256: _, // the report's `container_sha256`
            size: _,   // of no weight in a verdict
            manifests,
            signatures,
            archives,
            tokens,
            own,
            envelope,
            files,
            findings,
        } = container;
        let entries: Vec<&FileEntry> = files.iter().chain(own).collect();
        let places: HashMap<&str, usize> = entries
            .iter()
            .enumerate()
            .map(|(place, file)| (file.path.as_str(), place))
            .collect();
        let digests = |file: &FileEntry| {
            let FileEntry {
                path: _,   // the report's `files`
                size: _,   // of no weight in a verdict
                offset: _, // likewise
                digests,
            } = file;
            DigestsText(digests.clone())
        };
        Self {
            files: files.iter().map(digests).collect(),
            manifests: manifests
                .iter()
                .map(|manifest| ManifestFacts::of(manifest, &entries, &places))
                .collect(),
            signatures: signatures
                .iter()
                .map(|SignatureFile { name, bytes }| EntryFacts::of(name, bytes))
                .collect(),
            archives: archives
                .iter()
                .map(|archive| ArchiveFacts::of(archive, &entries, &places))
                .collect(),
            tokens: tokens
                .iter()
                .map(|TokenFile { name, bytes }| EntryFacts::of(name, bytes))
                .collect(),
            own: own
                .iter()
                .map(|entry| OwnFacts {
                    path: entry.path.clone(),
                    digests: digests(entry),
                })
                .collect(),
            documents: envelope.as_ref().map(|envelope| {
                let document = |document: &formats::envelope::Document| DocumentFacts {
                    path: document.path.clone(),
                    kind: document.kind,
                };
                envelope.documents.iter().map(document).collect()
            }),
            created: envelope.as_ref().map(|envelope| envelope.created.clone()),
            findings: findings
                .iter()
                .map(|Finding { severity, code, detail }| FindingFacts {
                    fatal: *severity == Severity::Fatal,
                    code: code.clone().into_owned(),
                    detail: detail.clone(),
                })
                .collect(),
        }
    }

    fn container(&self, report: &ValidationReport) -> Result<Container, ReplayError> {
        let Self {
            files,
            manifests,
            signatures,
            archives,
            tokens,
            own,
            documents,
            created,
            findings,
        } = self;
        let inconsistent = ReplayError::Inconsistent;
        if files.len() != report.files.len() {
            return Err(inconsistent("not as many digests as files"));
        }
        if files.len() > MAX_REFERENCES || manifests.len() > MAX_SIGNATURES || signatures.len() > MAX_SIGNATURES {
            return Err(inconsistent("more files, manifests or signatures than a container has"));
        }
        if archives.len() > MAX_ARCHIVES
            || tokens.len() > MAX_ARCHIVES
            || own.len() > MAX_ARCHIVE_REFERENCES - MAX_REFERENCES
        {
            return Err(inconsistent("more of an archive than a container has"));
        }
        let entry = |path: &str, digests: &DigestsText| FileEntry {
            path: path.to_owned(),
            size: 0,
            offset: None,
            digests: digests.0.clone(),
        };
        let told = report.files.iter().zip(files);
        let files: Vec<FileEntry> = told.map(|(told, digests)| entry(&told.path, digests)).collect();
        let own: Vec<FileEntry> = own.iter().map(|one| entry(&one.path, &one.digests)).collect();
        let entries: Vec<&FileEntry> = files.iter().chain(&own).collect();
        let mut left = 2 * MAX_ALL_MANIFESTS;
        let manifests = manifests.iter().map(|one| one.manifest(&entries, &mut left));
        let manifests = manifests.collect::<Result<_, _>>()?;
        let archives = archives.iter().map(|one| one.archive(&entries, &mut left));
        let archives = archives.collect::<Result<_, _>>()?;
        let envelope = match documents {
            None => None,
            Some(documents) => {
                let documents = documents.iter().map(|one| (one.path.clone(), one.kind));
                let mut envelope = Envelope::of_documents(documents).ok_or(inconsistent("the envelope"))?;
                envelope.created = created.clone().unwrap_or_default();
                Some(envelope)
            }
        };
        let sha256 = match &report.container_sha256 {
            None => [0; 32],
            Some(text) => hex::decode(text)
                .ok()
                .and_then(|bytes| bytes.try_into().ok())
                .ok_or(inconsistent("`container_sha256` is no digest"))?,
        };
        Ok(Container {
            sha256,
            size: 0,
            manifests,
            signatures: signatures
                .iter()
                .map(|one| SignatureFile {
                    name: one.name.clone(),
                    bytes: one.bytes.0.clone(),
                })
                .collect(),
            archives,
            tokens: tokens
                .iter()
                .map(|one| TokenFile {
                    name: one.name.clone(),
                    bytes: one.bytes.0.clone(),
                })
                .collect(),
            own,
            envelope,
            files,
            findings: findings
                .iter()
                .map(|one| Finding {
                    severity: if one.fatal { Severity::Fatal } else { Severity::Warning },
                    code: one.code.clone().into(),
                    detail: one.detail.clone(),
                })
                .collect(),
        })
    }
}

impl EntryFacts {
    fn of(name: &str, bytes: &Arc<[u8]>) -> Self {
        Self {
            name: name.to_owned(),
            bytes: Bytes(Arc::clone(bytes)),
        }
    }
}

impl ManifestFacts {
    fn of(manifest: &Manifest, entries: &[&FileEntry], places: &HashMap<&str, usize>) -> Self {
        let Manifest {
            name,
            digests,
            signature,
            references,
        } = manifest;
        Self {
            name: name.clone(),
            digests: DigestsText(digests.clone()),
            signature: signature.clone(),
            references: rows(references, entries, places),
        }
    }

    fn manifest(&self, entries: &[&FileEntry], left: &mut u64) -> Result<Manifest, ReplayError> {
        Ok(Manifest {
            name: self.name.clone(),
            digests: self.digests.0.clone(),
            signature: self.signature.clone(),
            references: references(&self.references, entries, left)?,
        })
    }
}

impl ArchiveFacts {
    fn of(archive: &ArchiveManifest, entries: &[&FileEntry], places: &HashMap<&str, usize>) -> Self {
        let ArchiveManifest {
            name,
            digests,
            token,
            references,
            previous,
        } = archive;
        Self {
            name: name.clone(),
            digests: DigestsText(digests.clone()),
            token: token.clone(),
            references: rows(references, entries, places),
            previous: previous.clone(),
        }
    }

    fn archive(&self, entries: &[&FileEntry], left: &mut u64) -> Result<ArchiveManifest, ReplayError> {
        Ok(ArchiveManifest {
            name: self.name.clone(),
            digests: self.digests.0.clone(),
            token: self.token.clone(),
            references: references(&self.references, entries, left)?,
            previous: self.previous.clone(),
        })
    }
}

fn rows(references: &[Reference], entries: &[&FileEntry], places: &HashMap<&str, usize>) -> Vec<ReferenceFacts> {
    let mut rows: Vec<ReferenceFacts> = Vec::new();
    for reference in references {
        let Reference {
            path,
            mime_type: _, // of no weight in a verdict
            algorithm,
            digest,
        } = reference;
        let algorithm = *algorithm;
        let place = places.get(path.as_str()).copied().filter(|place| {
            let entry = entries.get(*place);
            entry.and_then(|entry| entry.digests.get(algorithm)) == Some(digest.as_slice())
        });
        match (place, rows.last_mut()) {
            (Some(place), Some(ReferenceFacts::Run(run)))
                if run.algorithm == algorithm && run.from + run.count == place =>
            {
                run.count += 1;
            }
            (Some(from), _) => rows.push(ReferenceFacts::Run(Run {
                from,
                count: 1,
                algorithm,
            })),
            (None, _) => rows.push(ReferenceFacts::One(One {
                path: path.clone(),
                algorithm,
                digest: Bytes(digest.as_slice().into()),
            })),
        }
    }
    rows
}

/// `left`: what the references still to come may take, as in a container.
fn references(rows: &[ReferenceFacts], entries: &[&FileEntry], left: &mut u64) -> Result<Vec<Reference>, ReplayError> {
    let mut references = Vec::new();
    let mut add = |path: &str, algorithm: DigestAlgorithm, digest: &[u8]| {
        let taken = LEAST_REFERENCE + path.len() as u64;
        *left = left
            .checked_sub(taken)
            .ok_or(ReplayError::Inconsistent("more references than manifests hold"))?;
        references.push(Reference {
            path: path.to_owned(),
            mime_type: None,
            algorithm,
            digest: digest.to_vec(),
        });
        Ok(())
    };
    for row in rows {
        match row {
            ReferenceFacts::One(one) => add(&one.path, one.algorithm, &one.digest.0)?,
            ReferenceFacts::Run(run) => {
                let all = run.from.checked_add(run.count).and_then(|to| entries.get(run.from..to));
                for entry in all.ok_or(ReplayError::Inconsistent("a reference to no entry"))? {
                    let digest = entry.digests.get(run.algorithm);
                    let digest = digest.ok_or(ReplayError::Inconsistent("a reference without a digest"))?;
                    add(&entry.path, run.algorithm, digest)?;
                }
            }
        }
    }
    Ok(references)
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&base64::display::Base64Display::new(&self.0, &STANDARD))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        let bytes = STANDARD.decode(text.as_bytes()).map_err(D::Error::custom)?;
        Ok(Self(bytes.into()))
    }
}

impl Serialize for DigestsText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let one =
            |(algorithm, digest): (DigestAlgorithm, &[u8])| format!("{}:{}", algorithm.name(), STANDARD.encode(digest));
        let all: Vec<String> = self.0.iter().map(one).collect();
        serializer.serialize_str(&all.join(" "))
    }
}

impl<'de> Deserialize<'de> for DigestsText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        let one = |part: &str| {
            let (name, digest) = part.split_once(':')?;
            let algorithm = DigestAlgorithm::ALL.into_iter().find(|known| known.name() == name)?;
            let digest = STANDARD.decode(digest).ok()?;
            (digest.len() == algorithm.output_len()).then_some((algorithm, digest))
        };
        let all: Option<Vec<_>> = text.split_whitespace().take(8).map(one).collect();
        all.filter(|all| all.len() <= DigestAlgorithm::ALL.len())
            .map(|all| Self(all.into_iter().collect()))
            .ok_or_else(|| D::Error::custom("digests are written as sha256:BASE64"))
    }
}
