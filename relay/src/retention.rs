//! How long containers and records are kept. A container that every recipient has is offered once more, with its archive, before
//! it is erased; evidence, report and archive stay until the records go too. Each step is a record, and comes before the act.

mod months;

pub(crate) use months::outlived;

use std::time::Duration;

use formats::trail::{Actor, Event};
use formats::wire::{FacilityCode, SubmissionId};
use time::OffsetDateTime;

use crate::clock;
use crate::containers::{ContainerError, Containers};
use crate::context::Context;
use crate::intake;
use crate::problem::Problem;
use crate::store::{Batch, Condition, RetentionStep, Store, StoreError, SubmissionRow};

/// Submissions looked at in one go.
const MOST: usize = 1_000;
/// What is due is looked for so often, or as often as its shortest time if that is shorter.
const LOOK: Duration = Duration::from_secs(60);

/// Announces and erases what is due, until the task is dropped.
pub(crate) async fn keep(context: Context) {
    if let Err(problem) = finish(&*context.store, &context.containers).await {
        tracing::warn!(
            code = problem.code().as_str(),
            "erased containers that are still there stay until the next start"
        );
    }
    let retention = context.config.retention.clone();
    let look = LOOK
        .min(retention.offer)
        .min(retention.containers)
        .max(Duration::from_millis(200));
    let mut waits = months::Waits::default();
    loop {
        if !context.leads("retention").await {
            tokio::time::sleep(look).await;
            continue;
        }
        let now = clock::now();
        // Offered in the last days of its time.
        let before = now - retention.containers.saturating_sub(retention.offer);
        for id in due(&context, RetentionStep::Delivered, before).await {
            log(
                announce(&context, &id, now, retention.offer, retention.containers).await,
                &id,
            );
        }
        for id in due(&context, RetentionStep::Announced, now).await {
            log(erase(&context, &id).await, &id);
        }
        if let Err(problem) = months::erase(&context, now, &mut waits).await {
            tracing::warn!(code = problem.code().as_str(), "the erasure of records waits");
        }
        tokio::time::sleep(look).await;
    }
}

async fn due(context: &Context, step: RetentionStep, before: OffsetDateTime) -> Vec<SubmissionId> {
    let due = context.store.retention_due(step, &clock::rfc3339(before), MOST).await;
    due.unwrap_or_default()
}

fn log(done: Result<(), Problem>, id: &SubmissionId) {
    if let Err(problem) = done {
        tracing::warn!(%id, code = problem.code().as_str(), "retention waits");
    }
}

/// Tells the recipients until when they can fetch it, at least `offer` from now. Where the relay makes archives, not before
/// there is one to offer.
async fn announce(
    context: &Context,
    id: &SubmissionId,
    now: OffsetDateTime,
    offer: Duration,
    containers: Duration,
) -> Result<(), Problem> {
    let Some(row) = context.store.submission(id).await? else {
        return Ok(());
    };
    let Some(delivered) = row.delivered.as_deref().and_then(clock::parse_rfc3339) else {
        return Ok(());
    };
    // Where the verdict is in dispute, the container is what the dispute is about.
    if row.revised.is_some() {
        return Ok(());
    }
    if row.archive.is_none() && !context.config.timestamps.is_empty() {
        return Ok(());
    }
    let (sender, recipients, patient) = concerned(&row);
    let event = Event::ErasureAnnounced {
        submission: id.clone(),
        sender,
        recipients,
        patient,
        erase_after: clock::rfc3339((now + offer).max(delivered + containers)),
    };
    record(context, id, event).await.map(|_| ())
}

/// The record first: from then on it is not sent any more, whatever happens to the file.
async fn erase(context: &Context, id: &SubmissionId) -> Result<(), Problem> {
    match context.store.submission(id).await?.filter(|row| row.revised.is_none()) {
        Some(row) => erase_container(context, &row).await,
        None => Ok(()),
    }
}

/// The record, then the file.
async fn erase_container(context: &Context, row: &SubmissionRow) -> Result<(), Problem> {
    let id = &row.submission.submission;
    let (sender, recipients, patient) = concerned(row);
    let event = Event::ContainerErased {
        submission: id.clone(),
        sender,
        recipients,
        patient,
        container_sha256: row.submission.container_sha256.clone(),
    };
    if record(context, id, event).await? {
        context.containers.erase(&row.submission.stored_as).await?;
        tracing::info!(%id, "a container was erased: its time was over");
    }
    Ok(())
}

/// Whether it was recorded; not, if it is erased already, or held or revised since.
async fn record(context: &Context, id: &SubmissionId, event: Event) -> Result<bool, Problem> {
    let batch = Batch {
        actor: Actor::default(),
        time: clock::now(),
        events: vec![event],
        // A verdict revised meanwhile is in dispute, and the container is what the dispute is about.
        conditions: vec![
            Condition::Kept(id.clone()),
            Condition::NotHeld(id.clone()),
            Condition::VerdictStands(id.clone()),
        ],
    };
    match context.store.commit(batch).committed().await {
        Ok(_) => Ok(true),
        Err(StoreError::Conflict(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn concerned(row: &SubmissionRow) -> (FacilityCode, Vec<FacilityCode>, String) {
    let recipients = row.recipients.iter().map(|(facility, _)| facility.clone());
    (
        row.submission.sender.facility.clone(),
        recipients.collect(),
        row.submission.patient.clone(),
    )
}

/// Removes containers whose erasure is recorded and which a crash left behind.
async fn finish(store: &dyn Store, containers: &Containers) -> Result<(), Problem> {
    let mut pages = containers.pages();
    while let Some(names) = pages.recv().await {
        for (_, name, named) in intake::named(store, names?).await? {
            if named.is_some_and(|named| named.erased && named.stored_as == name) {
                match containers.erase(&name).await {
                    Ok(()) | Err(ContainerError::Absent) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }
    Ok(())
}
