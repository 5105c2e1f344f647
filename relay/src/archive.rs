//! Archives: what makes a submission verifiable when card, authorities and algorithms of its day are gone.
//!
//! Made after the receipt and off its path: without a time-stamp authority a letter is as accepted as ever, and its archive
//! comes later. What has none yet, and what has one that ends soon, is told by the trail, so that a restart forgets nothing.
//! Kept beside the unchanged container, and only if it passes by itself at B-LTA.

mod evidence;
mod making;

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use formats::trail::{Actor, Event};
use formats::wire::SubmissionId;
use trust_store::report::rfc3339;

use crate::clock;
use crate::context::Context;
use crate::observe;
use crate::problem::{Code, Problem};
use crate::store::{Batch, Condition, StoreError, SubmissionRow};
pub(crate) use making::applied;
use making::{Made, NotMade};

/// Name of the archive beside a container.
pub(crate) const ARCHIVE: &str = "archive.json";

/// What is due is looked for so often.
const LOOK: Duration = Duration::from_secs(1);
/// Archives made at the same time: each reads its container once.
const AT_ONCE: usize = 2;
/// Looked at in one go; those whose next try lies ahead among them.
const MOST: usize = 10_000;
/// The pause between tries doubles up to this.
const LONGEST: Duration = Duration::from_secs(3600);
/// The pause while no authority gives stamps doubles up to this.
const LONGEST_REST: Duration = Duration::from_secs(300);
/// A renewal that brings nothing yet, because the authority has no newer certificate, is tried again after this.
const NO_GAIN: Duration = Duration::from_secs(24 * 3600);

/// Makes the archives that are due, and renews those that end within the margin, until the task is dropped.
pub(crate) async fn keep(context: Context) {
    if context.config.timestamps.is_empty() {
        return;
    }
    let first = context.config.limits.pending_retry.min(LONGEST);
    let mut plan: HashMap<SubmissionId, (Instant, Duration)> = HashMap::new();
    // While no authority gives stamps, nothing is tried: each try reads a whole container.
    let mut rest = (Instant::now(), first);
    loop {
        if !context.leads("archive").await {
            tokio::time::sleep(LOOK).await;
            continue;
        }
        let due = due(&context, &mut plan).await;
        let ready = due
            .into_iter()
            .filter(|id| plan.get(id).is_none_or(|(next, _)| *next <= Instant::now()));
        let ready: Vec<SubmissionId> = ready.take(AT_ONCE).collect();
        if ready.is_empty() || rest.0 > Instant::now() {
            tokio::time::sleep(LOOK).await;
            continue;
        }
        let tries = ready.iter().map(|id| one(&context, id));
        let outcomes = futures_util::future::join_all(tries).await;
        let mut unstamped = false;
        for (id, outcome) in ready.into_iter().zip(outcomes) {
            let pause = plan.get(&id).map_or(first, |(_, pause)| *pause);
            let (label, wait, next) = match &outcome {
                // Also after success: whatever the index says then, nothing is stamped in a circle.
                Ok(()) => ("made", pause, pause),
                Err(NotMade::NoStamp(_)) => ("no_stamp", Duration::ZERO, pause),
                Err(NotMade::NoGain(_)) => ("no_gain", NO_GAIN, NO_GAIN),
                Err(_) => ("failed", pause, (pause * 2).min(LONGEST)),
            };
            unstamped |= matches!(outcome, Err(NotMade::NoStamp(_)));
            metrics::counter!(observe::ARCHIVES, "outcome" => label).increment(1);
            if let Err(reason) = outcome {
                tracing::warn!(%id, %reason, "no archive yet");
            }
            plan.insert(id, (Instant::now() + jittered(wait), next));
        }
        rest = if unstamped {
            (Instant::now() + jittered(rest.1), (rest.1 * 2).min(LONGEST_REST))
        } else {
            (Instant::now(), first)
        };
    }
}

/// What is due, the most urgent first; of the plan only what is due stays.
async fn due(context: &Context, plan: &mut HashMap<SubmissionId, (Instant, Duration)>) -> Vec<SubmissionId> {
    let before = rfc3339(clock::now() + context.config.archive.renew_before);
    let due = context.store.archives_due(&before, MOST).await.unwrap_or_default();
    metrics::gauge!(observe::ARCHIVES_DUE).set(due.len() as f64);
    let known: HashSet<&SubmissionId> = due.iter().collect();
    plan.retain(|id, _| known.contains(id));
    due
}

/// Up to half as long again, so that what one outage held does not return together.
fn jittered(pause: Duration) -> Duration {
    pause + pause.mul_f64(f64::from(uuid::Uuid::now_v7().as_bytes()[15]) / 512.0)
}

/// The archive of a submission as it is served: while the container is here, its newest stamp is given what its authority says
/// today, so that who fetches it can verify it without asking anybody.
///
/// # Errors
/// `archive_absent`, or what the disk says.
pub(crate) async fn current(context: &Context, row: &SubmissionRow) -> Result<bytes::Bytes, Problem> {
    if row.archive.is_none() {
        return Err(Code::ArchiveAbsent.into());
    }
    let stored = context.containers.beside(&row.submission.stored_as, ARCHIVE).await?;
    if row.erased.is_some() {
        return Ok(stored);
    }
    Ok(match making::refreshed(context, row, &stored).await {
        Ok(text) => text.into(),
        Err(reason) => {
            tracing::warn!(id = %row.submission.submission, %reason, "an archive is served as it was stored");
            stored
        }
    })
}

/// The evidence of a submission with what its stamp's authority says today; `None`: as it was stored, because the container is not
/// here any more, its verdict was revised, or nothing could be made of it.
pub(crate) async fn current_evidence(context: &Context, row: &SubmissionRow) -> Option<bytes::Bytes> {
    if row.erased.is_some() || row.revised.is_some() {
        return None;
    }
    match evidence::current(context, row).await {
        Ok(text) => Some(text.into()),
        Err(reason) => {
            tracing::warn!(id = %row.submission.submission, %reason, "evidence is served as it was stored");
            None
        }
    }
}

async fn one(context: &Context, id: &SubmissionId) -> Result<(), NotMade> {
    let Some(row) = context.store.submission(id).await? else {
        return Ok(());
    };
    if row.erased.is_some() || row.revised.is_some() {
        return Ok(());
    }
    let made = making::make(context, &row).await?;
    // The file first: the trail must never speak of an archive that is not there.
    let text = bytes::Bytes::from(made.text.clone());
    context
        .containers
        .put_beside(&row.submission.stored_as, ARCHIVE, text)
        .await?;
    let batch = Batch {
        actor: Actor::default(),
        time: clock::now(),
        events: vec![event(&row, &made)],
        conditions: vec![Condition::Kept(id.clone())],
    };
    match context.store.commit(batch).committed().await {
        Ok(_) => {
            tracing::info!(%id, stamps = made.stamps, until = rfc3339(made.end.until), "archive made");
            Ok(())
        }
        // Erased meanwhile: what was offered is the archive before.
        Err(StoreError::Conflict(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn event(row: &SubmissionRow, made: &Made) -> Event {
    let submission = &row.submission;
    Event::ArchiveMade {
        submission: submission.submission.clone(),
        sender: submission.sender.facility.clone(),
        recipients: row.recipients.iter().map(|(facility, _)| facility.clone()).collect(),
        patient: submission.patient.clone(),
        container_sha256: submission.container_sha256.clone(),
        archive_sha256: made.sha256.clone(),
        stamps: made.stamps,
        stamped: rfc3339(made.end.gen_time),
        stands_until: rfc3339(made.end.until),
    }
}
