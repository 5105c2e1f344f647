//! A finished upload becomes a submission: evidence, verdict, durable container, record, receipt — in this order.
//!
//! Only a `Verified` is accepted, and its digests are compared with what is stored. Nothing is acknowledged before the record is
//! durable. A refusal is a record too, with its report.

mod arriving;
pub(crate) mod kept;
mod orphans;
mod pending;
mod record;
mod refusal;
mod reports;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use formats::asice::Container;
use formats::digest::sha256;
use formats::trail::Event;
use formats::wire::{PendingAnswer, SubmissionId, SubmissionRequest, SubmissionState};
use http::header::LOCATION;
use http::{HeaderValue, StatusCode};
use time::OffsetDateTime;
use trust_store::{Evidence, Subject, Validated, ValidationReport, Verified};

use crate::clock;
use crate::containers::{CONTAINER, ContainerError, Containers};
use crate::context::Context;
use crate::observe;
use crate::peer::Peer;
use crate::problem::{Code, Problem};
use crate::revise::{evidence_name, report_name};
use crate::routes;
use crate::store::{Batch, Condition, Store, SubmissionRow};
use crate::upload::Upload;
use refusal::Refusal;

pub(crate) use arriving::{complete, look};
pub(crate) use orphans::{end as end_orphans, named, sweep_once};
pub(crate) use pending::{Plan, answer as pending_answer, retry};
pub(crate) use refusal::{REFUSED, kept_report};
pub(crate) use reports::Reports;

/// Name of the report beside a container.
pub(crate) const REPORT: &str = "report.json";
/// Name of the evidence beside a container.
pub(crate) const EVIDENCE: &str = "evidence.json";
/// Name of the time stamps made for a container while it waits: the evidence recorded when it was held stays as it is.
pub(crate) const GATHERED: &str = "gathered.json";

/// What a verdict leads to.
enum Outcome {
    Passed(Box<Verified>),
    /// Everything else passed; this could not be asked.
    TryLater(Box<Validated>, Wait),
    /// It does not pass, and no waiting helps. Where evidence is in the way that nobody may or can be asked for: which, in words.
    Failed(Box<ValidationReport>, Option<String>),
}

/// What a submission waits for.
struct Wait {
    /// For people.
    words: String,
    /// Names, as news tells of them.
    awaited: Vec<String>,
    /// The count of news before it was judged.
    knew: u64,
}

/// `POST /v1/submissions`
pub(crate) async fn submit(State(context): State<Context>, peer: Peer, body: Bytes) -> Result<Response, Problem> {
    let request: SubmissionRequest = routes::json(&body)?;
    let id = request.upload.strip_prefix("/v1/uploads/").ok_or(Code::UploadUnknown)?;
    let upload = context.uploads.find(&peer, id).await?;
    // A client that hangs up must not stop an intake between container and record: the work runs on its own.
    let (context, work) = (context.clone(), upload);
    let taken = tokio::spawn(async move { take_in(&context, &peer, &work).await });
    taken.await.map_err(|error| Problem::internal(&error))?
}

async fn take_in(context: &Context, peer: &Peer, upload: &Arc<Upload>) -> Result<Response, Problem> {
    let mut progress = upload.wait().await?;
    if let Some(id) = upload.became() {
        let row = context.store.submission(&id).await?.ok_or(Code::UploadUnknown)?;
        return known(context, &row).await;
    }
    if let Some(refused) = &progress.refused {
        return Err(refused.clone());
    }
    if progress.offset != upload.length {
        return Err(Code::UploadIncomplete.into());
    }
    let container = complete(context, peer, upload, &mut progress).await?;
    let id = container.envelope.as_ref().ok_or(Code::EnvelopeInvalid)?.id.clone();
    // Asked before the row: what is not undecided then is in it.
    if in_doubt(&*context.store, &context.containers, &upload.stored_as(&id), &id).await? {
        return Err(Code::StoreUnavailable.into());
    }
    if let Some(row) = context.store.submission(&id).await? {
        return same_or_conflict(context, peer, upload, &container, &row).await;
    }
    let done = decide(context, peer, upload, &container).await;
    if upload.became().is_some() {
        // The upload stays known until it expires; what was read of it, 100,000 names at most, need not.
        progress.container = None;
    }
    if let Err(problem) = &done
        && problem.code() == Code::ValidationFailed
    {
        upload.give_up(&mut progress, problem).await;
    }
    done
}

async fn decide(
    context: &Context,
    peer: &Peer,
    upload: &Arc<Upload>,
    container: &Arc<Container>,
) -> Result<Response, Problem> {
    let now = clock::now();
    match verdict(context, container, Evidence::default(), now).await? {
        Outcome::Passed(verified) => accept(context, peer, upload, container, &verified).await,
        Outcome::TryLater(validated, wait) => pending::hold(context, peer, upload, container, &validated, wait).await,
        Outcome::Failed(report, lacking) => {
            let mut refusal = Refusal::by_verdict(report)?;
            if let Some(lacking) = lacking {
                refusal = refusal.for_want_of(&lacking);
            }
            let id = container.envelope.as_ref().map(|envelope| &envelope.id);
            let digest = Some(hex::encode(container.sha256));
            refusal
                .record(context, peer.actor(), &peer.facility.code, id, digest)
                .await?;
            Err(refusal.problem)
        }
    }
}

/// Fetches what is missing, then judges.
async fn verdict(
    context: &Context,
    container: &Arc<Container>,
    evidence: Evidence,
    now: OffsetDateTime,
) -> Result<Outcome, Problem> {
    let trust = context.trust.current();
    let subject = Arc::new(Subject::Container(Box::new(Container::clone(container))));
    let knew = context.news.count();
    let gathered = context
        .fetcher
        .gather(&trust, &context.stamps, &subject, evidence, now)
        .await;
    let validated = tokio::task::spawn_blocking(move || {
        let subject = Arc::try_unwrap(subject).unwrap_or_else(|shared| Subject::clone(&shared));
        trust.validate(subject, gathered.evidence, now)
    });
    let validated = validated.await.map_err(|error| Problem::internal(&error))?;
    // Not by the report's own sub-indication: it is that of one signature, and another may have failed for good.
    if validated.may_pass_later() {
        let words = if gathered.unreachable.is_empty() {
            "revocation information current enough for a verdict".to_owned()
        } else {
            gathered.unreachable.join("; ")
        };
        if gathered.hopeless {
            let report = match validated.into_verified() {
                Ok(verified) => return Ok(Outcome::Passed(Box::new(verified))),
                Err(report) => report,
            };
            return Ok(Outcome::Failed(report, Some(words)));
        }
        let wait = Wait {
            words,
            awaited: gathered.awaited,
            knew,
        };
        return Ok(Outcome::TryLater(Box::new(validated), wait));
    }
    Ok(match validated.into_verified() {
        Ok(verified) => Outcome::Passed(Box::new(verified)),
        Err(report) => Outcome::Failed(report, None),
    })
}

async fn accept(
    context: &Context,
    peer: &Peer,
    upload: &Arc<Upload>,
    container: &Arc<Container>,
    verified: &Verified,
) -> Result<Response, Problem> {
    let envelope = container.envelope.as_ref().ok_or(Code::EnvelopeInvalid)?;
    let stored_as = upload.stored_as(&envelope.id);
    upload.keep_as(&context.containers, &stored_as).await?;
    let beside = put_beside(context, &stored_as, verified.evidence(), verified.report()).await;
    let batch = beside.and_then(|digests| {
        let submission = record::accepted(envelope, container, verified, &digests, &stored_as)?;
        Ok(Batch {
            actor: peer.actor(),
            time: clock::now(),
            events: vec![Event::Accepted(Box::new(submission))],
            conditions: vec![peer.active(), Condition::SubmissionAbsent(envelope.id.clone())],
        })
    });
    if let Err(problem) = explain(context, upload, &stored_as, batch).await {
        // Another request with the same id was faster.
        if problem.code() == Code::IdConflict
            && let Some(row) = context.store.submission(&envelope.id).await?
        {
            return same_or_conflict(context, peer, upload, container, &row).await;
        }
        return Err(problem);
    }
    note(upload, &envelope.id).await;
    metrics::counter!(observe::SUBMISSIONS, "outcome" => "accepted").increment(1);
    let row = context.store.submission(&envelope.id).await?.ok_or(Code::Internal)?;
    receipt(context, &row, StatusCode::CREATED).await
}

/// The same again gets the same answer; the same id for other bytes, or of another sender, is a conflict.
async fn same_or_conflict(
    context: &Context,
    peer: &Peer,
    upload: &Upload,
    container: &Container,
    row: &SubmissionRow,
) -> Result<Response, Problem> {
    let same = row.submission.sender.facility == peer.facility.code
        && row.submission.container_sha256 == hex::encode(container.sha256);
    if same {
        // These bytes are stored already: the second upload gives its room back and leads to the same receipt.
        at_hand(context, upload, row).await?;
        note(upload, &row.submission.submission).await;
        upload.drop_bytes().await;
        known(context, row).await
    } else {
        Err(Code::IdConflict.into())
    }
}

/// Whether a container lies at its place already, and the record that would name it, and what lies beside it, may still be written:
/// until that is known nothing there may change.
async fn in_doubt(
    store: &dyn Store,
    containers: &Containers,
    stored_as: &str,
    id: &SubmissionId,
) -> Result<bool, Problem> {
    // In a bucket each try has a place of its own.
    let lies_there = !containers.is_shared() && containers.has_beside(stored_as, CONTAINER).await?;
    Ok(lies_there && store.undecided().await?.contains(id))
}

/// That the container of a letter is there, before another copy of it goes. One that has become an upload again although its record
/// was written after all is made a container again.
///
/// # Errors
/// `store_unavailable` if it is not, and this is another upload: its bytes stay.
async fn at_hand(context: &Context, upload: &Upload, row: &SubmissionRow) -> Result<(), Problem> {
    let stored_as = &row.submission.stored_as;
    if row.erased.is_some() {
        return Ok(());
    }
    match context.containers.sound(stored_as).await {
        Ok(()) => return Ok(()),
        Err(ContainerError::Absent) => {}
        Err(error) => return Err(error.into()),
    }
    tracing::error!(stored_as, "the container of a letter is not there");
    if stored_as.rsplit('.').next() != Some(upload.id.as_str()) {
        return Err(Code::StoreUnavailable.into());
    }
    upload.keep_as(&context.containers, stored_as).await
}

async fn known(context: &Context, row: &SubmissionRow) -> Result<Response, Problem> {
    if row.state == SubmissionState::Refused {
        return Err(Problem::new(Code::IdConflict).detail(
            "この ID の文書は拒否され、リレーの管理者が保全しています。新しい ID で送ってください",
            "what bears this id was refused, and the relay's operator holds it: send it under a new id",
        ));
    }
    match pending::answer(context, row) {
        Some(answer) if row.state == SubmissionState::PendingEvidence => Ok(wait_answer(&answer)),
        _ => receipt(context, row, StatusCode::OK).await,
    }
}

async fn receipt(context: &Context, row: &SubmissionRow, status: StatusCode) -> Result<Response, Problem> {
    let id = &row.submission.submission;
    let receipt = context
        .store
        .receipt(id, row.position)
        .await?
        .ok_or(Code::StoreUnavailable)?;
    let mut response = (status, Json(receipt)).into_response();
    locate(&mut response, id);
    Ok(response)
}

fn wait_answer(answer: &PendingAnswer) -> Response {
    let mut response = (StatusCode::ACCEPTED, Json(answer)).into_response();
    locate(&mut response, &answer.id);
    response
}

fn locate(response: &mut Response, id: &SubmissionId) {
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/submissions/{id}")) {
        response.headers_mut().insert(LOCATION, location);
    }
}

/// SHA-256 of what lies beside a container, hex.
struct Beside {
    evidence: String,
    report: String,
}

/// How what lies beside a container is named.
#[derive(Clone, Copy)]
enum Naming {
    Usual,
    /// With its digest, beside what another record names.
    Digest,
}

async fn put_beside(
    context: &Context,
    stored_as: &str,
    evidence: &Evidence,
    report: &ValidationReport,
) -> Result<Beside, Problem> {
    put_under(context, stored_as, evidence, report, Naming::Usual).await
}

async fn put_under(
    context: &Context,
    stored_as: &str,
    evidence: &Evidence,
    report: &ValidationReport,
    naming: Naming,
) -> Result<Beside, Problem> {
    let evidence = evidence.to_json().into_bytes();
    let report = serde_json::to_vec(report).map_err(|error| Problem::internal(&error))?;
    let digests = Beside {
        evidence: hex::encode(sha256(&evidence)),
        report: hex::encode(sha256(&report)),
    };
    let (evidence_file, report_file) = match naming {
        Naming::Usual => (EVIDENCE.to_owned(), REPORT.to_owned()),
        Naming::Digest => (evidence_name(&digests.evidence), report_name(&digests.report)),
    };
    let containers = &context.containers;
    containers
        .put_beside(stored_as, &evidence_file, evidence.into())
        .await?;
    containers.put_beside(stored_as, &report_file, report.into()).await?;
    Ok(digests)
}

/// Commits the record that explains a container just moved to its place. If nothing was committed, the upload is an upload again.
/// If that is not known, because the store broke, the container stays: the next start keeps it if the trail names it and puts
/// it aside if not.
async fn explain(
    context: &Context,
    upload: &Upload,
    stored_as: &str,
    batch: Result<Batch, Problem>,
) -> Result<(), Problem> {
    let (problem, left_nothing) = match batch {
        Ok(batch) => match context.store.commit(batch).committed().await {
            Ok(_) => return Ok(()),
            Err(error) => {
                let left_nothing = error.left_nothing();
                (Problem::from(error), left_nothing)
            }
        },
        Err(problem) => (problem, true),
    };
    if left_nothing {
        give_back(context, upload, stored_as).await;
    }
    Err(problem)
}

/// After a failed commit the upload is an upload again, so that the client can ask once more.
async fn give_back(context: &Context, upload: &Upload, stored_as: &str) {
    if let Err(error) = upload.take_back(&context.containers, stored_as).await {
        tracing::error!(%error, stored_as, "a container that was not committed cannot be given back");
    }
}

async fn note(upload: &Upload, id: &SubmissionId) {
    // Losing the note costs the client one upload more, not the submission.
    if let Err(problem) = upload.note(id).await {
        tracing::warn!(code = problem.code().as_str(), "an upload's slip cannot be written");
    }
}

impl From<ContainerError> for Problem {
    fn from(error: ContainerError) -> Self {
        match error {
            ContainerError::Full => Code::NoSpace.into(),
            ContainerError::Unavailable(reason) => {
                tracing::error!(reason, "the bucket does not answer as it must");
                Code::StoreUnavailable.into()
            }
            error => Self::internal(&error),
        }
    }
}
