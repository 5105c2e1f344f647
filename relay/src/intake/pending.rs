//! Submissions for which everything passed but some evidence could not be asked for: held durably, tried again with growing
//! pauses, accepted or refused at the latest at their deadline. Restart-safe: what waits is in the store.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::response::Response;
use formats::asice::Container;
use formats::trail::{Actor, Event};
use formats::wire::{SubmissionId, SubmissionState};
use trust_store::{Evidence, Validated, ValidationReport};

use super::refusal::keep_report;
use super::{EVIDENCE, Outcome, explain, keep, note, put_beside, record, verdict, wait_answer};
use crate::clock;
use crate::containers::Containers;
use crate::context::Context;
use crate::observe;
use crate::peer::Peer;
use crate::problem::{Code, Problem};
use crate::store::{Batch, Condition, SubmissionRow};
use crate::upload::{Reading, Upload};

/// The pause between tries doubles up to this.
const LONGEST: Duration = Duration::from_secs(15 * 60);
/// Tries at the same time.
const AT_ONCE: usize = 4;

/// Holds a submission: its container is stored, its record says what is waited for.
///
/// # Errors
/// `pending_limit` if too many of the facility's wait already.
pub(super) async fn hold(
    context: &Context,
    peer: &Peer,
    upload: &Arc<Upload>,
    container: &Arc<Container>,
    validated: &Validated,
    waiting_for: String,
) -> Result<Response, Problem> {
    let envelope = container.envelope.as_ref().ok_or(Code::EnvelopeInvalid)?;
    let limits = &context.config.limits;
    // Counted and committed under one lock, so that many at once cannot pass the limit together.
    let _one = context.holding.lock().await;
    let waiting = context.store.pending().await?;
    let own = waiting
        .iter()
        .filter(|row| row.submission.sender.facility == peer.facility.code);
    let (count, bytes) = own.fold((0_u32, container.size), |(count, bytes), row| {
        (count + 1, bytes.saturating_add(row.submission.size))
    });
    if count >= limits.pending_per_facility || bytes > limits.max_container.saturating_mul(4) {
        return Err(Code::PendingLimit.into());
    }
    let now = clock::now();
    let deadline = clock::rfc3339(now + limits.pending_deadline);
    let stored_as = Containers::name(&envelope.id);
    keep(context, upload, &stored_as).await?;
    let beside = put_beside(context, &stored_as, validated.evidence(), validated.report()).await;
    let batch = beside.map(|digests| {
        let submission = record::waiting(context, envelope, container, validated.report(), &digests, &stored_as);
        Batch {
            actor: peer.actor(),
            time: now,
            events: vec![Event::Pending {
                submission: Box::new(submission),
                waiting_for: waiting_for.clone(),
                deadline: deadline.clone(),
            }],
            conditions: vec![peer.active(), Condition::SubmissionAbsent(envelope.id.clone())],
        }
    });
    explain(context, upload, &stored_as, batch).await?;
    note(upload, &envelope.id).await;
    metrics::counter!(observe::SUBMISSIONS, "outcome" => "pending").increment(1);
    tracing::info!(id = %envelope.id, waiting_for, "submission waits for evidence");
    Ok(wait_answer(&envelope.id, &waiting_for, &deadline))
}

/// Tries what waits, again and again.
pub(crate) async fn retry(context: Context) {
    let mut plan: HashMap<SubmissionId, (Instant, Duration)> = HashMap::new();
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let Ok(waiting) = context.store.pending().await else {
            continue;
        };
        metrics::gauge!(observe::PENDING).set(waiting.len() as f64);
        plan.retain(|id, _| waiting.iter().any(|row| row.submission.submission == *id));
        let due = waiting.into_iter().filter(|row| {
            let planned = plan.get(&row.submission.submission);
            planned.is_none_or(|(next, _)| *next <= Instant::now())
        });
        let due: Vec<_> = due.take(AT_ONCE).collect();
        let tries = due.iter().map(|row| again(&context, row));
        let outcomes = futures_util::future::join_all(tries).await;
        for (row, outcome) in due.iter().zip(outcomes) {
            if let Err(problem) = outcome {
                tracing::warn!(id = %row.submission.submission, code = problem.code().as_str(), "another try failed");
            }
            let first = context.config.limits.pending_retry.min(LONGEST);
            let planned = plan.get(&row.submission.submission);
            let pause = planned.map_or(first, |(_, pause)| *pause);
            // Up to half as long again, so that submissions held by the same outage do not return together.
            let jitter = pause.mul_f64(f64::from(uuid::Uuid::now_v7().as_bytes()[15]) / 512.0);
            // Not beyond the deadline, so that the last word is spoken when it is due.
            let wait = until_deadline(row).map_or(pause + jitter, |left| left.min(pause + jitter));
            let next = (Instant::now() + wait, (pause * 2).min(LONGEST));
            plan.insert(row.submission.submission.clone(), next);
        }
    }
}

fn overdue(row: &SubmissionRow) -> bool {
    until_deadline(row).is_none()
}

/// What is left of its time; `None` if it is up.
fn until_deadline(row: &SubmissionRow) -> Option<Duration> {
    let (_, deadline) = row.pending.as_ref()?;
    let left = clock::parse_rfc3339(deadline)? - clock::now();
    Duration::try_from(left).ok().filter(|left| !left.is_zero())
}

/// Another try. What cannot even be judged, because container or evidence cannot be read, ends at its deadline too.
async fn again(context: &Context, row: &SubmissionRow) -> Result<(), Problem> {
    let event = match judged(context, row).await {
        Ok(Some(event)) => event,
        Ok(None) => return Ok(()),
        Err(problem) if overdue(row) => unjudged(row, &problem),
        Err(problem) => return Err(problem),
    };
    let accepted = matches!(event, Event::Accepted(_));
    let batch = Batch {
        actor: Actor::default(),
        time: clock::now(),
        events: vec![event],
        conditions: vec![Condition::SubmissionIs(
            row.submission.submission.clone(),
            SubmissionState::PendingEvidence,
        )],
    };
    context.store.commit(batch).committed().await?;
    let outcome = if accepted { "accepted" } else { "refused" };
    metrics::counter!(observe::SUBMISSIONS, "outcome" => outcome).increment(1);
    if !accepted {
        context.containers.delete(&row.submission.stored_as).await?;
    }
    Ok(())
}

/// What the evidence says now; `None` if there is still time to wait for more.
async fn judged(context: &Context, row: &SubmissionRow) -> Result<Option<Event>, Problem> {
    let stored_as = &row.submission.stored_as;
    let path = context.containers.file(stored_as)?;
    let read = tokio::task::spawn_blocking(move || Reading::whole(&path)).await;
    let container = Arc::new(read.map_err(|error| Problem::internal(&error))??);
    let envelope = container.envelope.as_ref().ok_or(Code::EnvelopeInvalid)?;
    let kept = context.containers.beside(stored_as, EVIDENCE).await?;
    let kept = str::from_utf8(&kept)
        .ok()
        .and_then(|text| Evidence::from_json(text).ok())
        .unwrap_or_default();
    match verdict(context, &container, kept, clock::now()).await? {
        Outcome::Passed(verified) => {
            let digests = put_beside(context, stored_as, verified.evidence(), verified.report()).await?;
            let submission = record::accepted(envelope, &container, &verified, &digests, stored_as)?;
            Ok(Some(Event::Accepted(Box::new(submission))))
        }
        Outcome::TryLater(validated, _) if overdue(row) => refused(context, row, validated.report()).await.map(Some),
        Outcome::TryLater(..) => Ok(None),
        Outcome::Failed(report) => refused(context, row, &report).await.map(Some),
    }
}

/// The record of a refusal for want of a verdict: its code says what was in the way, and no report is claimed.
fn unjudged(row: &SubmissionRow, problem: &Problem) -> Event {
    tracing::error!(
        id = %row.submission.submission,
        code = problem.code().as_str(),
        "a submission that cannot be read is refused at its deadline; its sender must send it again"
    );
    Event::Refused {
        facility: row.submission.sender.facility.clone(),
        submission: Some(row.submission.submission.clone()),
        code: problem.code().as_str().to_owned(),
        sub_indication: None,
        container_sha256: Some(row.submission.container_sha256.clone()),
        report_sha256: None,
    }
}

/// The record of a refusal; the report outlives the container.
async fn refused(context: &Context, row: &SubmissionRow, report: &ValidationReport) -> Result<Event, Problem> {
    let report_sha256 = keep_report(&context.containers, report).await?;
    Ok(Event::Refused {
        facility: row.submission.sender.facility.clone(),
        submission: Some(row.submission.submission.clone()),
        code: Code::ValidationFailed.as_str().to_owned(),
        sub_indication: record::sub_indication(report),
        container_sha256: Some(row.submission.container_sha256.clone()),
        report_sha256: Some(report_sha256),
    })
}
