//! One archive of a container: evidence, stamp, verdict, then the file. The order of `trust_store::archive`.

use std::fs::File;
use std::io::{BufReader, BufWriter, Seek, SeekFrom, Write};
use std::path::Path;

use formats::asice::Container;
use formats::asice::archive::{Archive, ArchiveError, derive};
use time::{Duration, OffsetDateTime};
use trust_store::archive::{EmbedError, complete, embed};
use trust_store::policy::Level;
use trust_store::validation::StampEnd;
use trust_store::{Evidence, Subject, TrustStore, ValidationReport};

use super::Authority;
use super::evidence::gather;
use crate::error::{Code, Failure};
use crate::files;
use crate::relay_trust::read_container;

/// What archives are made with.
pub(crate) struct Maker {
    pub(crate) trust: TrustStore,
    pub(super) authority: Authority,
    pub(super) supplied: Evidence,
    pub(super) archives: Vec<Archive>,
    pub(super) hosts: Vec<String>,
}

/// Whether a file that is an archive already gets a further stamp.
#[derive(Debug, Clone, Copy)]
pub(super) enum When {
    Always,
    /// If its newest stamp ends within this.
    EndsWithin(Duration),
}

impl When {
    /// Whether an archive whose newest stamp ends so is due.
    pub(super) fn asks(self, end: StampEnd, now: OffsetDateTime) -> Made {
        match self {
            Self::EndsWithin(margin) if end.until > now.saturating_add(margin) => Made::NotDue { end },
            Self::EndsWithin(_) | Self::Always => Made::Due { end },
        }
    }
}

/// What became of a file.
pub(crate) enum Made {
    /// It is an archive; it was written.
    Archive {
        report: Box<ValidationReport>,
        end: StampEnd,
    },
    /// It is one already, and lasts.
    NotDue { end: StampEnd },
    /// It is one, and its newest stamp ends soon.
    Due { end: StampEnd },
    /// It is a container or a signature without archive stamps.
    Plain,
    /// Evidence is missing.
    Missing {
        missing: Vec<String>,
        report: Box<ValidationReport>,
    },
    /// It does not pass as an archive.
    Fails { report: Box<ValidationReport> },
}

/// What is to be done with a file, without doing it.
///
/// # Errors
/// The file cannot be read.
pub(super) fn look(maker: &Maker, file: &Path, when: When) -> Result<Made, Failure> {
    let container = read_container(file)?;
    Ok(state(maker, &container, when))
}

fn state(maker: &Maker, container: &Container, when: When) -> Made {
    let now = OffsetDateTime::now_utc();
    match maker.trust.stamp_end(container, now) {
        Some(end) => when.asks(end, now),
        None if container.archives.is_empty() => Made::Plain,
        // No path at this time: it ended, or it never was a stamp of these anchors.
        None => {
            let subject = Subject::Container(Box::new(container.clone()));
            let validated = maker.trust.validate(subject, maker.supplied.clone(), now);
            Made::Fails {
                report: Box::new(validated.report().clone()),
            }
        }
    }
}

/// Adds a stamp to the archive `file` in its place, if it is due.
///
/// # Errors
/// What could not be tried: the file, the authority, the disk.
pub(super) async fn renew(maker: &Maker, file: &Path, when: When) -> Result<Made, Failure> {
    match look(maker, file, when)? {
        Made::Due { .. } => make(maker, file, file).await,
        other => Ok(other),
    }
}

/// Makes the archive of the container `file` and writes it to `target`, which may be `file` itself.
///
/// # Errors
/// What could not be tried: the file, the authority, the disk.
pub(super) async fn make(maker: &Maker, file: &Path, target: &Path) -> Result<Made, Failure> {
    let trust = &maker.trust;
    let container = read_container(file)?;
    let mut source = BufReader::new(files::open(file)?);
    let now = OffsetDateTime::now_utc();
    let given = maker
        .archives
        .iter()
        .find(|archive| archive.container_sha256 == container.sha256 && container.archives.is_empty());
    let archive = match given {
        Some(given) => given.clone(),
        None => {
            let mut archive = Archive::of(&container, &mut source).map_err(|error| malformed(&error))?;
            if let Some(stop) = stamped(maker, &container, &mut archive).await? {
                return Ok(stop);
            }
            archive
        }
    };
    let applied = archive.applied(&container)?;
    let missing = gather(
        trust,
        &Subject::Container(Box::new(applied.clone())),
        &Evidence::default(),
        &[],
        now,
    )
    .await;
    match judged(trust, applied, Evidence::default()) {
        (report, Some(_)) if is_archive(&report) => {}
        (report, _) if missing.missing.is_empty() => return Ok(Made::Fails { report }),
        (report, _) => {
            return Ok(Made::Missing {
                missing: missing.missing,
                report,
            });
        }
    }
    derive_to(trust, &mut source, &archive, target, &Evidence::default())
}

/// Adds a stamp with all it needs; or says why not.
async fn stamped(maker: &Maker, container: &Container, archive: &mut Archive) -> Result<Option<Made>, Failure> {
    let trust = &maker.trust;
    let now = OffsetDateTime::now_utc();
    let applied = archive.applied(container)?;
    let subject = Subject::Container(Box::new(applied));
    let gathered = gather(trust, &subject, &maker.supplied, &maker.hosts, now).await;
    // Before an authority is asked for a stamp over something that is no good.
    let validated = trust.validate(subject, gathered.evidence.clone(), now);
    let report = validated.report();
    if !report.passed() {
        let report = Box::new(report.clone());
        return Ok(Some(match gathered.missing.is_empty() {
            true => Made::Fails { report },
            false => Made::Missing {
                missing: gathered.missing,
                report,
            },
        }));
    }
    let first = archive.newest_token(container)?.is_none();
    let evidence = &gathered.evidence;
    if first {
        embed(archive, container, &trust.anchors, evidence).map_err(embedding)?;
    } else {
        complete(archive, container, &trust.anchors, evidence).map_err(embedding)?;
    }
    let next = archive.next_manifest(container)?;
    let token = maker.authority.token(&next.bytes).await?;
    archive.stamp(next, token);
    let applied = archive.applied(container)?;
    let subject = Subject::Container(Box::new(applied));
    let gathered = gather(
        trust,
        &subject,
        &maker.supplied,
        &maker.hosts,
        OffsetDateTime::now_utc(),
    )
    .await;
    complete(archive, container, &trust.anchors, &gathered.evidence).map_err(embedding)?;
    Ok(None)
}

/// Writes container and archive as one file; it gets its name only when it passes as read back from the disk.
///
/// # Errors
/// The disk; [`Code::Container`] for a container that is not what its directory says.
pub(crate) fn derive_to(
    trust: &TrustStore,
    source: &mut BufReader<File>,
    archive: &Archive,
    target: &Path,
    evidence: &Evidence,
) -> Result<Made, Failure> {
    let unwritable = |error: std::io::Error| files::unwritable(target, &error);
    let mut draft = files::Draft::create(target)?;
    let mut out = BufWriter::with_capacity(1 << 20, &mut draft.file);
    derive(source, archive, &mut out).map_err(|error| malformed(&error))?;
    out.flush().map_err(unwritable)?;
    drop(out);
    draft.file.seek(SeekFrom::Start(0)).map_err(unwritable)?;
    let written = Container::read(&mut BufReader::with_capacity(1 << 20, &mut draft.file)).map_err(unwritable)?;
    match judged(trust, written, evidence.clone()) {
        (report, Some(end)) if is_archive(&report) => {
            draft.commit()?;
            Ok(Made::Archive { report, end })
        }
        (report, _) => Ok(Made::Fails { report }),
    }
}

fn judged(trust: &TrustStore, container: Container, evidence: Evidence) -> (Box<ValidationReport>, Option<StampEnd>) {
    let now = OffsetDateTime::now_utc();
    let end = trust.stamp_end(&container, now);
    let validated = trust.validate(Subject::Container(Box::new(container)), evidence, now);
    (Box::new(validated.report().clone()), end)
}

pub(super) fn is_archive(report: &ValidationReport) -> bool {
    report.passed() && report.level.as_deref() == Some(Level::BLta.name())
}

fn embedding(error: EmbedError) -> Failure {
    malformed(&error)
}

pub(super) fn malformed(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Code::Container, error.to_string())
}

impl From<ArchiveError> for Failure {
    fn from(error: ArchiveError) -> Self {
        malformed(&error)
    }
}
