//! Refusals: each is a record, and the report it rests on is kept for the sender. The id stays free.

use std::io;

use bytes::Bytes;
use formats::digest::sha256;
use formats::trail::{Actor, Event};
use formats::wire::{FacilityCode, SubmissionId};
use futures_util::stream::BoxStream;
use trust_store::ValidationReport;

use super::{REPORT, record};
use crate::clock;
use crate::containers::{ContainerError, Containers};
use crate::context::Context;
use crate::observe;
use crate::problem::{Code, Problem};
use crate::store::{Batch, StoreError};

/// Names of the reports of refused submissions, among those of containers, begin so; their SHA-256 follows.
pub(crate) const REFUSED: &str = "refused.";

/// Why a submission is not taken, with the report where a verdict says so.
pub(crate) struct Refusal {
    pub(crate) problem: Problem,
    report: Option<Box<ValidationReport>>,
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self { problem, report: None }
    }
}

impl Refusal {
    /// By a verdict. What a replay needs is in the report that is kept, not in the answer: it would stay in memory with the upload.
    ///
    /// # Errors
    /// `internal` if the report cannot be written.
    pub(super) fn by_verdict(report: Box<ValidationReport>) -> Result<Self, Problem> {
        let value = serde_json::to_value(report.brief()).map_err(|error| Problem::internal(&error))?;
        Ok(Self {
            problem: Problem::new(Code::ValidationFailed).report(value),
            report: Some(report),
        })
    }

    /// Because evidence is missing that no waiting brings.
    pub(super) fn for_want_of(mut self, lacking: &str) -> Self {
        self.problem = self.problem.detail(
            format!("検証に必要な情報が得られず、待っても得られません: {lacking}"),
            format!("evidence a verdict needs cannot be had, and waiting will not bring it: {lacking}"),
        );
        self
    }

    /// Keeps the report and records the refusal. A fault of the relay's own is no refusal and leaves no record.
    ///
    /// # Errors
    /// What store or disk say; then nothing may be answered as refused.
    pub(crate) async fn record(
        &self,
        context: &Context,
        actor: Actor,
        facility: &FacilityCode,
        submission: Option<&SubmissionId>,
        container_sha256: Option<String>,
    ) -> Result<(), Problem> {
        if !self.problem.code().status().is_client_error() {
            return Ok(());
        }
        let report_sha256 = match &self.report {
            Some(report) => keep_report(context, facility, report).await?,
            None => None,
        };
        let event = Event::Refused {
            facility: facility.clone(),
            submission: submission.cloned(),
            code: self.problem.code().as_str().to_owned(),
            sub_indication: self.report.as_deref().and_then(record::sub_indication),
            container_sha256,
            report_sha256,
        };
        let batch = Batch {
            actor,
            time: clock::now(),
            events: vec![event],
            conditions: Vec::new(),
        };
        metrics::counter!(observe::SUBMISSIONS, "outcome" => "refused").increment(1);
        match context.store.commit(batch).committed().await {
            Ok(_) | Err(StoreError::Conflict(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Keeps a report under its own digest, which the record states. Returns the digest, hex; `None` if the facility has left as much
/// behind today as it may.
pub(super) async fn keep_report(
    context: &Context,
    facility: &FacilityCode,
    report: &ValidationReport,
) -> Result<Option<String>, Problem> {
    let bytes = serde_json::to_vec(report).map_err(|error| Problem::internal(&error))?;
    let most = context.config.limits.refusal_reports;
    if !context.reports.admit(facility, bytes.len() as u64, most, clock::now()) {
        tracing::warn!(%facility, most, "the report of a refusal is not kept: today's are as many bytes as may be");
        return Ok(None);
    }
    let digest = hex::encode(sha256(&bytes));
    context
        .containers
        .put_beside(&place(&digest), REPORT, bytes.into())
        .await?;
    Ok(Some(digest))
}

/// The report a record of a refusal names.
///
/// # Errors
/// `not_found`, or what the disk says.
pub(crate) async fn kept_report(
    containers: &Containers,
    report_sha256: &str,
) -> Result<(u64, BoxStream<'static, io::Result<Bytes>>), Problem> {
    match containers.stream_beside(&place(report_sha256), REPORT).await {
        Err(ContainerError::Absent) => Err(Code::NotFound.into()),
        other => Ok(other?),
    }
}

/// Where the report of a refusal lies, among the containers and with a key of its own.
fn place(digest: &str) -> String {
    format!("{REFUSED}{digest}")
}
