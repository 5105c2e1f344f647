//! One archive: evidence gathered while everything is valid, a stamp over all of it, and the verdict on the result.

use std::sync::Arc;

use formats::asice::archive::{Archive, ArchiveError};
use formats::asice::{Container, Intake, IntakeError, Limits};
use formats::digest::{DigestAlgorithm, sha256};
use time::OffsetDateTime;
use trust_store::archive::{EmbedError, complete, embed};
use trust_store::policy::Level;
use trust_store::report::{SubIndication, rfc3339};
use trust_store::validation::StampEnd;
use trust_store::{Evidence, Subject, TrustStore};

use super::ARCHIVE;
use crate::clock;
use crate::containers::ContainerError;
use crate::context::Context;
use crate::intake::kept::{self, KeptError};
use crate::store::{StoreError, SubmissionRow};
use crate::timestamps::NoStamp;

/// An archive that passes by itself.
pub(super) struct Made {
    /// The file to keep.
    pub(super) text: String,
    /// SHA-256 of it, hex.
    pub(super) sha256: String,
    /// Archive stamps in it.
    pub(super) stamps: u64,
    /// The end of the newest.
    pub(super) end: StampEnd,
}

/// Why there is no archive yet. It is tried again.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotMade {
    /// The container, or what lies beside it.
    #[error("{0}")]
    Unreadable(String),
    /// No authority gives a stamp.
    #[error(transparent)]
    NoStamp(#[from] NoStamp),
    /// The evidence does not go in.
    #[error(transparent)]
    Embed(#[from] EmbedError),
    /// The result does not pass.
    #[error("judged by its own evidence alone it does not pass at B-LTA: {0}")]
    Verdict(String),
    /// A new stamp lasts no longer than the one there is.
    #[error("a new stamp would last no longer than the one there is, until {0}")]
    NoGain(String),
    /// The disk.
    #[error(transparent)]
    Containers(#[from] ContainerError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<KeptError> for NotMade {
    fn from(error: KeptError) -> Self {
        match error {
            KeptError::Containers(error) => error.into(),
            error => Self::Unreadable(error.to_string()),
        }
    }
}

impl From<ArchiveError> for NotMade {
    fn from(error: ArchiveError) -> Self {
        Self::Embed(error.into())
    }
}

/// Makes the first archive of a submission, or adds a stamp to the one it has.
pub(super) async fn make(context: &Context, row: &SubmissionRow) -> Result<Made, NotMade> {
    let stored_as = &row.submission.stored_as;
    let container = read(context, row).await?;
    let trust = &context.trust.current();
    let recorded = row.archive.as_ref();
    let (mut archive, written) = match context.containers.beside(stored_as, ARCHIVE).await {
        Ok(bytes) => match known(&bytes, &container) {
            Some(archive) => (archive, Some(bytes)),
            None => (Archive::new(container.sha256), None),
        },
        Err(ContainerError::Absent) => (Archive::new(container.sha256), None),
        Err(error) => return Err(error.into()),
    };
    if let Some(bytes) = written {
        let digest = hex::encode(sha256(&bytes));
        let unrecorded = recorded.is_none_or(|recorded| recorded.sha256 != digest);
        // What a crash left between file and record is as good as new, and its stamp is paid for.
        if unrecorded && let Ok(made) = judge(trust, &container, &archive).await {
            return Ok(made);
        }
    }
    if archive.newest_token(&container)?.is_none() {
        archive = Archive::new(container.sha256);
        let kept = kept::evidence(&context.containers, &row.submission).await?;
        let evidence = gather(context, Container::clone(&container), kept).await;
        embed(&mut archive, &container, &trust.anchors, &evidence)?;
    } else {
        renewable(context, &mut archive, &container).await?;
    }
    let next = archive.next_manifest(&container)?;
    let digest = DigestAlgorithm::Sha256.digest(&next.bytes);
    let token = context.stamps.token(DigestAlgorithm::Sha256, &digest).await?;
    archive.stamp(next, token);
    renewable(context, &mut archive, &container).await?;
    let made = judge(trust, &container, &archive).await?;
    let before = recorded.and_then(|recorded| clock::parse_rfc3339(&recorded.stands_until));
    match before.filter(|before| made.end.until <= *before) {
        Some(before) => Err(NotMade::NoGain(rfc3339(before))),
        None => Ok(made),
    }
}

/// The stored archive with what the authority of its newest stamp says today.
pub(super) async fn refreshed(context: &Context, row: &SubmissionRow, stored: &[u8]) -> Result<String, NotMade> {
    let container = read(context, row).await?;
    let known = known(stored, &container);
    let mut archive = known.ok_or_else(|| NotMade::Unreadable("it belongs to another container".to_owned()))?;
    renewable(context, &mut archive, &container).await?;
    Ok(archive.to_json())
}

/// Gives the newest stamp its own evidence: while its authority can still be asked.
async fn renewable(context: &Context, archive: &mut Archive, container: &Container) -> Result<(), NotMade> {
    let evidence = gather(context, archive.applied(container)?, Evidence::default()).await;
    complete(archive, container, &context.trust.current().anchors, &evidence)?;
    Ok(())
}

pub(super) async fn gather(context: &Context, container: Container, supplied: Evidence) -> Evidence {
    let subject = Arc::new(Subject::Container(Box::new(container)));
    let gathered = context
        .fetcher
        .gather(
            &context.trust.current(),
            &context.stamps,
            &subject,
            supplied,
            clock::now(),
        )
        .await;
    if !gathered.unreachable.is_empty() {
        tracing::debug!(
            unreachable = gathered.unreachable.join("; "),
            "evidence for an archive is missing"
        );
    }
    gathered.evidence
}

/// Only what passes with nothing but its own evidence is an archive.
async fn judge(trust: &Arc<TrustStore>, container: &Container, archive: &Archive) -> Result<Made, NotMade> {
    let applied = archive.applied(container)?;
    let (trust, now) = (Arc::clone(trust), clock::now());
    let judged = tokio::task::spawn_blocking(move || verdict(&trust, applied, now)).await;
    let (stamps, end) = judged.map_err(|error| NotMade::Unreadable(error.to_string()))??;
    let text = archive.to_json();
    Ok(Made {
        sha256: hex::encode(sha256(text.as_bytes())),
        text,
        stamps,
        end,
    })
}

fn verdict(trust: &TrustStore, applied: Container, now: OffsetDateTime) -> Result<(u64, StampEnd), NotMade> {
    let stamps = applied.archives.len() as u64;
    let end = trust.stamp_end(&applied, now);
    let validated = trust.validate(Subject::Container(Box::new(applied)), Evidence::default(), now);
    let report = validated.report();
    if report.passed() && report.level.as_deref() == Some(Level::BLta.name()) {
        end.map(|end| (stamps, end))
            .ok_or_else(|| NotMade::Verdict("no end of its stamp".to_owned()))
    } else {
        let name = report.sub_indication.map_or("passed", SubIndication::name);
        let level = report.level.as_deref().unwrap_or("no level");
        let check = report.reason().map_or("", |check| check.name.as_str());
        Err(NotMade::Verdict(format!("{name} at {level} ({check})")))
    }
}

/// The stored container from its first bytes: META-INF and envelope come first in it, and its files are what the manifests say of
/// them, because all of it was judged before it was accepted. So no archive reads the gigabytes again.
pub(super) async fn read(context: &Context, row: &SubmissionRow) -> Result<Container, NotMade> {
    let stored = context.containers.reader(&row.submission.stored_as).await?;
    let head = tokio::task::spawn_blocking(move || head(stored)).await;
    let mut container = head.map_err(|error| NotMade::Unreadable(error.to_string()))??;
    container.size = row.submission.size;
    hex::decode_to_slice(&row.submission.container_sha256, &mut container.sha256)
        .map_err(|error| NotMade::Unreadable(error.to_string()))?;
    let manifest = container.manifests.first();
    let digest = manifest.and_then(|manifest| manifest.digests.get(DigestAlgorithm::Sha256));
    if digest.map(hex::encode).as_ref() == Some(&row.submission.manifest_sha256) {
        Ok(container)
    } else {
        Err(NotMade::Unreadable(
            "the stored container is not the one recorded".to_owned(),
        ))
    }
}

fn head(mut stored: impl std::io::Read) -> Result<Container, NotMade> {
    let unreadable = |error: &dyn std::fmt::Display| NotMade::Unreadable(error.to_string());
    let mut intake = Intake::new(Limits {
        container: u64::MAX,
        ..Limits::default()
    });
    let mut block = vec![0; 64 << 10];
    while !intake.has_head() {
        let count = stored.read(&mut block).map_err(|error| unreadable(&error))?;
        if count == 0 {
            return Err(NotMade::Unreadable("it ends before its files".to_owned()));
        }
        intake
            .push::<IntakeError>(&block[..count], &mut |_| Ok(()))
            .map_err(|error| unreadable(&error))?;
    }
    Ok(intake.promised())
}

/// The container with its archive in it, if it is its archive.
pub(crate) fn applied(bytes: &[u8], container: &Container) -> Option<Container> {
    known(bytes, container)?.applied(container).ok()
}

fn known(bytes: &[u8], container: &Container) -> Option<Archive> {
    let archive = Archive::from_json(str::from_utf8(bytes).ok()?).ok()?;
    (archive.container_sha256 == container.sha256 && archive.applied(container).is_ok()).then_some(archive)
}
