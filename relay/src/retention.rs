//! How long containers and records are kept. A container that every recipient has is offered once more, with its archive, before
//! it is erased; evidence, report and archive stay until the records go too. Each step is a record, and comes before the act.

mod doubt;
mod leftovers;
mod months;
mod strays;

pub(crate) use months::outlived;

use std::time::{Duration, Instant};

use formats::trail::{Actor, Event};
use formats::wire::{FacilityCode, SubmissionId};
use time::OffsetDateTime;

use crate::clock;
use crate::context::Context;
use crate::problem::Problem;
use crate::store::{Batch, Condition, Due, RetentionStep, StoreError, SubmissionRow};
use doubt::Doubt;
use leftovers::Leftovers;

/// Submissions looked at in one go.
const MOST: usize = 1_000;
/// What is due is looked for so often, or as often as its shortest time if that is shorter.
const LOOK: Duration = Duration::from_secs(60);
/// A clock in doubt is looked at so often.
const SOON: Duration = Duration::from_secs(1);

/// Announces and erases what is due, until the task is dropped.
pub(crate) async fn keep(context: Context) {
    let retention = context.config.retention.clone();
    let look = LOOK
        .min(retention.offer)
        .min(retention.containers)
        .max(Duration::from_millis(200));
    let (mut waits, mut left) = (months::Waits::default(), Leftovers::default());
    let mut doubt = Doubt::of(&context);
    loop {
        let now = clock::now();
        let (leads, mut sure) = (context.leads("retention").await, doubt.resolved(&context, now).await);
        // Each relay clears its own disk; what is shared, the one that leads.
        if leads || !context.containers.is_shared() {
            left.clear(&context, sure.then_some(now)).await;
        }
        if leads && sure {
            turn(&context, &mut waits, &mut left, now).await;
        }
        // A doubt may end at any moment, as soon as an authority has answered.
        let (since, doubted) = (Instant::now(), !sure);
        while since.elapsed() < look && !(doubted && sure) {
            tokio::time::sleep(look.min(if doubted { SOON } else { look })).await;
            sure = doubt.resolved(&context, clock::now()).await;
        }
    }
}

/// One look at all that may be due at `now`.
async fn turn(context: &Context, waits: &mut months::Waits, left: &mut Leftovers, now: OffsetDateTime) {
    let retention = &context.config.retention;
    // Offered in the last days of its time.
    let before = now - retention.containers.saturating_sub(retention.offer);
    let steps = [(RetentionStep::Delivered, before), (RetentionStep::Announced, now)];
    for (step, before) in steps {
        let (before, mut after) = (clock::rfc3339(before), None);
        loop {
            let due = context.store.retention_due(step, after.as_ref(), &before, MOST).await;
            let mut due = match due {
                Ok(due) => due,
                Err(error) => {
                    tracing::warn!(%error, "what is due cannot be read");
                    break;
                }
            };
            let more = due.len() == MOST;
            for Due { id, .. } in &due {
                let done = match step {
                    RetentionStep::Delivered => announce(context, id, now).await,
                    RetentionStep::Announced => erase(context, left, id).await,
                };
                if let Err(problem) = done {
                    tracing::warn!(%id, code = problem.code().as_str(), "retention waits");
                }
            }
            // Those that wait for something, such as their archive, stand in nobody's way.
            after = due.pop();
            if !more {
                break;
            }
        }
    }
    if let Err(problem) = months::erase(context, now, waits, left).await {
        tracing::warn!(code = problem.code().as_str(), "the erasure of records waits");
    }
    left.clear(context, Some(now)).await;
}

/// Tells the recipients until when they can fetch it, at least the time of the offer from now. Where the relay makes archives, not
/// before there is one to offer.
async fn announce(context: &Context, id: &SubmissionId, now: OffsetDateTime) -> Result<(), Problem> {
    let retention = &context.config.retention;
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
        erase_after: clock::rfc3339((now + retention.offer).max(delivered + retention.containers)),
    };
    // A verdict revised meanwhile is in dispute, and the container is what the dispute is about.
    let stands = Condition::VerdictStands(id.clone());
    record(context, vec![event], vec![stands, Condition::NotHeld(id.clone())])
        .await
        .map(|_| ())
}

/// The record first: from then on it is not sent any more, whatever happens to the file.
async fn erase(context: &Context, left: &mut Leftovers, id: &SubmissionId) -> Result<(), Problem> {
    let row = context.store.submission(id).await?;
    let Some(row) = row.filter(|row| row.revised.is_none()) else {
        return Ok(());
    };
    let conditions = vec![
        Condition::Kept(id.clone()),
        Condition::NotHeld(id.clone()),
        // As above.
        Condition::VerdictStands(id.clone()),
    ];
    if record(context, vec![erased(&row)], conditions).await? {
        left.container(row.submission.stored_as);
        tracing::info!(%id, "a container is erased: its time was over");
    }
    Ok(())
}

fn erased(row: &SubmissionRow) -> Event {
    let (sender, recipients, patient) = concerned(row);
    Event::ContainerErased {
        submission: row.submission.submission.clone(),
        sender,
        recipients,
        patient,
        container_sha256: row.submission.container_sha256.clone(),
    }
}

/// Whether it was recorded; not, if a condition does not hold any more.
async fn record(context: &Context, events: Vec<Event>, conditions: Vec<Condition>) -> Result<bool, Problem> {
    let batch = Batch {
        actor: Actor::default(),
        time: clock::now(),
        events,
        conditions,
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
