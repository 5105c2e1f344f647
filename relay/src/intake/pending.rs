//! Submissions for which everything passed but some evidence could not be asked for: held durably, tried again with growing
//! pauses, accepted or refused at the latest at their deadline. Restart-safe: what waits is in the store.

mod plan;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use formats::asice::Container;
use formats::trail::{Actor, Event};
use formats::wire::{PendingAnswer, SubmissionId, SubmissionState};
use futures_util::StreamExt;
use trust_store::{Evidence, Validated, ValidationReport};

use super::refusal::keep_report;
use super::{
    GATHERED, Naming, Outcome, Wait, explain, kept, note, put_beside, put_under, record, verdict, wait_answer,
};
use crate::clock;
use crate::containers::ContainerError;
use crate::context::Context;
use crate::observe;
use crate::peer::Peer;
use crate::problem::{Code, Problem};
use crate::store::{Batch, Condition, StoreError, SubmissionRow};
use crate::upload::{Reading, Upload};
use plan::Tried;

pub(crate) use plan::Plan;

/// How often what is due is looked for.
const PACE: Duration = Duration::from_millis(250);
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
    wait: Wait,
) -> Result<Response, Problem> {
    let (knew, waiting_for) = (context.news.count(), wait.words);
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
    let stored_as = upload.stored_as(&envelope.id);
    upload.keep_as(&context.containers, &stored_as).await?;
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
    tracing::info!(id = %envelope.id, waiting_for, deadline, "a submission waits for evidence");
    let tried = Tried {
        knew: wait.knew.min(knew),
        awaited: wait.awaited,
        waiting_for: Some(waiting_for),
    };
    let first = context.config.limits.pending_retry;
    context.plan.tried(&envelope.id, tried, first, None);
    let row = context.store.submission(&envelope.id).await?.ok_or(Code::Internal)?;
    answer(context, &row).map_or_else(|| Err(Code::Internal.into()), |answer| Ok(wait_answer(&answer)))
}

/// Judges again what waits, until the task is dropped: each on news of what it waits for, or after its pause.
pub(crate) async fn retry(context: Context) {
    let first = context.config.limits.pending_retry;
    let mut hosts = BTreeSet::new();
    loop {
        tokio::time::sleep(PACE).await;
        let Ok(waiting) = context.store.pending().await else {
            continue;
        };
        let ids: HashSet<&SubmissionId> = waiting.iter().map(|row| &row.submission.submission).collect();
        context.plan.retain(&ids);
        for row in &waiting {
            let left = until_deadline(row).unwrap_or_default();
            context.plan.meet(&row.submission.submission, first, left);
        }
        let due: Vec<&SubmissionRow> = waiting
            .iter()
            .filter(|row| context.plan.is_due(&row.submission.submission, &context.news))
            .collect();
        // Where several relays share the store one judges, so that no two fetch and stamp for the same letter.
        if !due.is_empty() && context.leads("pending").await {
            futures_util::stream::iter(due)
                .for_each_concurrent(AT_ONCE, |row| once_more(&context, row))
                .await;
        }
        context.fetcher.seek(&context.plan.awaited(), first);
        count(&waiting, context.plan.by_host(), &mut hosts);
    }
}

/// One try, and the plan for the next.
async fn once_more(context: &Context, row: &SubmissionRow) {
    let id = &row.submission.submission;
    let mut tried = Tried {
        knew: context.news.count(),
        awaited: Vec::new(),
        waiting_for: None,
    };
    match again(context, row).await {
        Ok(None) => {}
        Ok(Some(wait)) => {
            tried.awaited = wait.awaited;
            tried.waiting_for = Some(wait.words);
        }
        Err(problem) => tracing::warn!(%id, code = problem.code().as_str(), "another try failed"),
    }
    let first = context.config.limits.pending_retry;
    // Not beyond the deadline, so that the last word is spoken when it is due.
    context.plan.tried(id, tried, first, until_deadline(row));
}

/// For the operator: how many wait, since when, and for whom.
fn count(waiting: &[SubmissionRow], by_host: BTreeMap<String, usize>, hosts: &mut BTreeSet<String>) {
    metrics::gauge!(observe::PENDING).set(waiting.len() as f64);
    let since = waiting
        .iter()
        .filter_map(|row| clock::parse_rfc3339(&row.received))
        .min();
    let age = since.map_or(0.0, |since| (clock::now() - since).as_seconds_f64());
    metrics::gauge!(observe::PENDING_OLDEST).set(age);
    hosts.extend(by_host.keys().cloned());
    for host in hosts.iter() {
        let count = by_host.get(host).copied().unwrap_or_default();
        metrics::gauge!(observe::PENDING_FOR, "host" => host.clone()).set(count as f64);
    }
}

/// What its sender is told of a submission that waits; `None` if it does not.
pub(crate) fn answer(context: &Context, row: &SubmissionRow) -> Option<PendingAnswer> {
    let (recorded, deadline) = row.pending.clone()?;
    let id = &row.submission.submission;
    let (seen, next_try) = match context.plan.told(id) {
        Some((seen, next_try)) => (seen, Some(clock::rfc3339(next_try))),
        None => (None, None),
    };
    Some(PendingAnswer {
        id: id.clone(),
        state: SubmissionState::PendingEvidence,
        waiting_for: seen.unwrap_or(recorded),
        since: Some(row.received.clone()),
        deadline,
        next_try,
    })
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
/// `Some` if it waits on.
async fn again(context: &Context, row: &SubmissionRow) -> Result<Option<Wait>, Problem> {
    let event = match judged(context, row).await {
        Ok(Judged::Decided(event)) => *event,
        Ok(Judged::Waits(wait)) => return Ok(Some(wait)),
        Err(problem) if overdue(row) => unjudged(row, &problem),
        Err(problem) => return Err(problem),
    };
    let mut accepted = matches!(event, Event::Accepted(_));
    let batch = |event, mut conditions: Vec<Condition>| {
        let (id, waits) = (row.submission.submission.clone(), SubmissionState::PendingEvidence);
        conditions.push(Condition::SubmissionIs(id, waits));
        Batch {
            actor: Actor::default(),
            time: clock::now(),
            events: vec![event],
            conditions,
        }
    };
    // Who sent it must still be allowed to at the moment it is accepted: a device may have been stolen since.
    let active = if accepted {
        vec![sent_by(context, row).await?]
    } else {
        Vec::new()
    };
    match context.store.commit(batch(event, active)).committed().await {
        Err(StoreError::Conflict(Condition::DeviceActive(..))) => {
            accepted = false;
            let event = refused_by(row, Code::DeviceRevoked);
            context.store.commit(batch(event, Vec::new())).committed().await?;
        }
        other => {
            other?;
        }
    }
    let outcome = if accepted { "accepted" } else { "refused" };
    metrics::counter!(observe::SUBMISSIONS, "outcome" => outcome).increment(1);
    tracing::info!(id = %row.submission.submission, outcome, "a submission waits no longer");
    // What is held stays.
    let kept = context.store.submission(&row.submission.submission).await?;
    // Its sender may have sent it again already: then that one is the row's.
    if !accepted && kept.is_none_or(|kept| kept.submission.stored_as != row.submission.stored_as) {
        context.containers.delete(&row.submission.stored_as).await?;
    }
    Ok(None)
}

/// That the device that sent it is still good; its record says which.
async fn sent_by(context: &Context, row: &SubmissionRow) -> Result<Condition, Problem> {
    let records = context.store.records(None, row.position, 1).await?;
    let stored = records.first().filter(|stored| stored.position == row.position);
    let record = stored.ok_or(Code::Internal)?.record()?.ok_or(Code::Internal)?;
    match (record.actor.facility, record.actor.device) {
        (Some(facility), Some(device)) => Ok(Condition::DeviceActive(facility, device)),
        _ => Err(Code::Internal.into()),
    }
}

/// What another try comes to.
enum Judged {
    Decided(Box<Event>),
    Waits(Wait),
}

/// What the evidence says now.
async fn judged(context: &Context, row: &SubmissionRow) -> Result<Judged, Problem> {
    let stored_as = &row.submission.stored_as;
    let stored = context.containers.reader(stored_as).await?;
    let read = tokio::task::spawn_blocking(move || {
        let size = stored.size();
        Reading::whole(stored, size)
    });
    let read = read.await;
    let container = Arc::new(read.map_err(|error| Problem::internal(&error))??);
    let envelope = container.envelope.as_ref().ok_or(Code::EnvelopeInvalid)?;
    let mut kept = kept::evidence(&context.containers, &row.submission).await?;
    match context.containers.beside(stored_as, GATHERED).await {
        Ok(bytes) => kept.merge(kept::read(&bytes, GATHERED)?),
        Err(ContainerError::Absent) => {}
        Err(error) => return Err(error.into()),
    }
    let stamps = kept.tokens.len();
    match verdict(context, &container, kept, clock::now()).await? {
        Outcome::Passed(verified) => {
            // Under names of their own: the record that holds it names those that are there, whatever happens before the next.
            let (evidence, report) = (verified.evidence(), verified.report());
            let digests = put_under(context, stored_as, evidence, report, Naming::Digest).await?;
            let submission = record::accepted(envelope, &container, &verified, &digests, stored_as)?;
            Ok(Judged::Decided(Box::new(Event::Accepted(Box::new(submission)))))
        }
        Outcome::TryLater(validated, _) if overdue(row) => {
            let event = refused(context, row, validated.report()).await?;
            Ok(Judged::Decided(Box::new(event)))
        }
        Outcome::TryLater(validated, wait) => {
            // A stamp proves the time it was made at: it must not be made again at the next try.
            if validated.evidence().tokens.len() > stamps {
                let tokens = Evidence {
                    tokens: validated.evidence().tokens.clone(),
                    ..Evidence::default()
                };
                let bytes = tokens.to_json().into_bytes();
                context.containers.put_beside(stored_as, GATHERED, bytes.into()).await?;
            }
            Ok(Judged::Waits(wait))
        }
        Outcome::Failed(report, _) => {
            let event = refused(context, row, &report).await?;
            Ok(Judged::Decided(Box::new(event)))
        }
    }
}

/// The record of a refusal for want of a verdict, or of a sender: its code says what was in the way, and no report is claimed.
fn unjudged(row: &SubmissionRow, problem: &Problem) -> Event {
    tracing::error!(
        id = %row.submission.submission,
        code = problem.code().as_str(),
        "a submission that cannot be read is refused at its deadline; its sender must send it again"
    );
    refused_by(row, problem.code())
}

/// The record of a refusal without a report.
fn refused_by(row: &SubmissionRow, code: Code) -> Event {
    Event::Refused {
        facility: row.submission.sender.facility.clone(),
        submission: Some(row.submission.submission.clone()),
        code: code.as_str().to_owned(),
        sub_indication: None,
        container_sha256: Some(row.submission.container_sha256.clone()),
        report_sha256: None,
    }
}

/// The record of a refusal; the report outlives the container.
async fn refused(context: &Context, row: &SubmissionRow, report: &ValidationReport) -> Result<Event, Problem> {
    let report_sha256 = keep_report(context, &row.submission.sender.facility, report).await?;
    Ok(Event::Refused {
        facility: row.submission.sender.facility.clone(),
        submission: Some(row.submission.submission.clone()),
        code: Code::ValidationFailed.as_str().to_owned(),
        sub_indication: record::sub_indication(report),
        container_sha256: Some(row.submission.container_sha256.clone()),
        report_sha256,
    })
}
