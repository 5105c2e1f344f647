//! One archive of a detached signature: evidence and archive-time-stamp-v3 inside the `.p7s`, ETSI EN 319 122-1 §5.5.

use std::path::Path;

use formats::cades::{self, Profile, SignedData};
use time::OffsetDateTime;
use trust_store::archive::{completed, embedded};
use trust_store::{Evidence, Subject};

use super::evidence::gather;
use super::making::{Made, Maker, When, is_archive, malformed};
use crate::error::Failure;
use crate::output::Output;
use crate::{files, sign};

/// What is to be done with a signature, without doing it. `content`: the file it signs, where it is at hand.
///
/// # Errors
/// The files cannot be read.
pub(super) fn look(
    maker: &Maker,
    file: &Path,
    content: Option<&Path>,
    when: When,
    output: Output,
) -> Result<Made, Failure> {
    let bytes = files::read_small(file)?;
    let signed = SignedData::parse(&bytes, Profile::Document).map_err(|error| malformed(&error))?;
    if signed.signer.archive_stamps.is_empty() {
        return Ok(Made::Plain);
    }
    let now = OffsetDateTime::now_utc();
    if let Some(end) = maker.trust.signature_end(&signed, now) {
        return Ok(when.asks(end, now));
    }
    // No path at this time: it ended, or it never was a stamp of these anchors.
    let content = match content {
        Some(content) => Some(sign::detached_content(content, &bytes, output)?),
        None => None,
    };
    let subject = Subject::Signature { bytes, content };
    let validated = maker.trust.validate(subject, maker.supplied.clone(), now);
    Ok(Made::Fails {
        report: Box::new(validated.report().clone()),
    })
}

/// Adds a stamp to the archived signature `file` in its place, if it is due.
///
/// # Errors
/// What could not be tried: the files, the authority, the disk.
pub(super) async fn renew(
    maker: &Maker,
    file: &Path,
    content: Option<&Path>,
    when: When,
    output: Output,
) -> Result<Made, Failure> {
    match look(maker, file, content, when, output)? {
        Made::Due { .. } => make(maker, file, content, file, output).await,
        other => Ok(other),
    }
}

/// Makes the archive of the signature `file` over `content` and writes it to `target`, which may be `file` itself.
///
/// # Errors
/// What could not be tried: the files, the authority, the disk.
pub(super) async fn make(
    maker: &Maker,
    file: &Path,
    content: Option<&Path>,
    target: &Path,
    output: Output,
) -> Result<Made, Failure> {
    let trust = &maker.trust;
    let bytes = files::read_small(file)?;
    let content = match content {
        Some(content) => Some(sign::detached_content(content, &bytes, output)?),
        None => None,
    };
    let subject = |bytes: &[u8]| Subject::Signature {
        bytes: bytes.to_vec(),
        content: content.clone(),
    };
    let now = OffsetDateTime::now_utc();
    let gathered = gather(trust, &subject(&bytes), &maker.supplied, &maker.hosts, now).await;
    let validated = trust.validate(subject(&bytes), gathered.evidence.clone(), now);
    let report = Box::new(validated.report().clone());
    if !report.passed() {
        return Ok(match gathered.missing.is_empty() {
            true => Made::Fails { report },
            false => Made::Missing {
                missing: gathered.missing,
                report,
            },
        });
    }
    let full = embedded(&bytes, &trust.anchors, &gathered.evidence).map_err(|error| malformed(&error))?;
    let next = cades::next_archive_stamp(&full, content.as_ref().map(|content| &content.digests))
        .map_err(|error| malformed(&error))?;
    let token = maker.authority.token(&next.message).await?;
    let stamped = cades::with_archive_stamp(&full, &next, &token).map_err(|error| malformed(&error))?;
    let now = OffsetDateTime::now_utc();
    let gathered = gather(trust, &subject(&stamped), &maker.supplied, &maker.hosts, now).await;
    // No index is over the newest token yet: its own evidence goes into it.
    let token = completed(&token, &full, &trust.anchors, &gathered.evidence).map_err(|error| malformed(&error))?;
    let stamped = cades::with_archive_stamp(&full, &next, &token).map_err(|error| malformed(&error))?;
    let validated = trust.validate(subject(&stamped), Evidence::default(), now);
    let report = Box::new(validated.report().clone());
    let signed = SignedData::parse(&stamped, Profile::Document).ok();
    match signed.and_then(|signed| trust.signature_end(&signed, now)) {
        Some(end) if is_archive(&report) => {
            files::write_atomically(target, &stamped)?;
            Ok(Made::Archive { report, end })
        }
        _ => Ok(Made::Fails { report }),
    }
}
