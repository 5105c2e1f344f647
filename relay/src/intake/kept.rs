//! What lies beside a container, read by the digest its record states: evidence and report of the verdict that stands.
//!
//! A submission that waited has two of each: those of its Pending record under the usual names, those of the verdict that ended
//! the waiting under names with their digest. So a crash between file and record leaves no record that names what is not there.

use formats::digest::sha256;
use formats::trail::Submission;
use trust_store::{Evidence, ValidationReport};

use super::{EVIDENCE, REPORT};
use crate::containers::{ContainerError, Containers};
use crate::problem::Problem;
use crate::revise::{evidence_name, report_name};

/// Why what a record names cannot be used. Nothing is judged without it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeptError {
    /// Neither by its digest nor by its usual name.
    #[error("the {0} beside the container is not the one its record names")]
    Changed(&'static str),
    /// It is what the record names, and yet no such file.
    #[error("the {0} beside the container cannot be read")]
    Malformed(&'static str),
    /// The disk.
    #[error(transparent)]
    Containers(#[from] ContainerError),
}

impl From<KeptError> for Problem {
    fn from(error: KeptError) -> Self {
        match error {
            KeptError::Containers(error) => error.into(),
            error => Self::internal(&error),
        }
    }
}

/// The evidence the record of a submission names.
///
/// # Errors
/// [`KeptError`]: it is never taken for none.
pub(crate) async fn evidence(containers: &Containers, submission: &Submission) -> Result<Evidence, KeptError> {
    let name = evidence_file(containers, submission).await?;
    let bytes = whole(containers, submission, &name, &submission.evidence_sha256, EVIDENCE).await?;
    read(&bytes, EVIDENCE)
}

/// The report the record of a submission names.
///
/// # Errors
/// [`KeptError`].
pub(crate) async fn report(containers: &Containers, submission: &Submission) -> Result<ValidationReport, KeptError> {
    let name = report_file(containers, submission).await?;
    let bytes = whole(containers, submission, &name, &submission.report_sha256, REPORT).await?;
    serde_json::from_slice(&bytes).map_err(|_| KeptError::Malformed(REPORT))
}

/// Name of the file with the evidence a record names.
///
/// # Errors
/// What the disk says.
pub(crate) async fn evidence_file(containers: &Containers, of: &Submission) -> Result<String, ContainerError> {
    choose(containers, &of.stored_as, evidence_name(&of.evidence_sha256), EVIDENCE).await
}

/// Name of the file with the report a record names.
///
/// # Errors
/// What the disk says.
pub(crate) async fn report_file(containers: &Containers, of: &Submission) -> Result<String, ContainerError> {
    choose(containers, &of.stored_as, report_name(&of.report_sha256), REPORT).await
}

/// Reads an evidence file.
///
/// # Errors
/// [`KeptError::Malformed`].
pub(super) fn read(bytes: &[u8], what: &'static str) -> Result<Evidence, KeptError> {
    let text = str::from_utf8(bytes).map_err(|_| KeptError::Malformed(what))?;
    Evidence::from_json(text).map_err(|_| KeptError::Malformed(what))
}

async fn choose(
    containers: &Containers,
    stored_as: &str,
    own: String,
    usual: &'static str,
) -> Result<String, ContainerError> {
    match containers.stream_beside(stored_as, &own).await {
        Ok(_) => Ok(own),
        Err(ContainerError::Absent) => Ok(usual.to_owned()),
        Err(error) => Err(error),
    }
}

async fn whole(
    containers: &Containers,
    submission: &Submission,
    name: &str,
    digest: &str,
    what: &'static str,
) -> Result<bytes::Bytes, KeptError> {
    let bytes = containers.beside(&submission.stored_as, name).await?;
    if hex::encode(sha256(&bytes)) == digest {
        Ok(bytes)
    } else {
        Err(KeptError::Changed(what))
    }
}
