//! What is judged while a container arrives: parties and signature as soon as META-INF and envelope are there, each file as it
//! passes, the whole at its last byte. A refusal ends the upload at once and is a record.

use std::sync::Arc;

use formats::asice::Container;
use formats::wire::SubmissionId;

use super::refusal::Refusal;
use crate::clock;
use crate::context::Context;
use crate::peer::Peer;
use crate::problem::{Code, Problem};
use crate::upload::{Progress, Reading, Upload};
use time::OffsetDateTime;
use trust_store::Evidence;

/// Judges what `reading` has seen since it was looked at last.
///
/// # Errors
/// The refusal, already recorded: the upload is over. Or a fault of the relay's.
pub(crate) async fn look(
    context: &Context,
    peer: &Peer,
    upload: &Upload,
    reading: &mut Reading,
) -> Result<(), Problem> {
    let due = !reading.judged || reading.refused().is_some();
    let Some(arrived) = reading.arrived().filter(|_| due) else {
        return match reading.refused() {
            Some(problem) => Err(refuse(context, peer, upload, None, problem.clone().into()).await),
            None => Ok(()),
        };
    };
    // First what the envelope and the signature say, so that the answer does not depend on how the bytes came in pieces.
    let judged = match head(context, peer, arrived).await {
        Ok(None) => reading.refused().cloned().map(Refusal::from),
        Ok(refusal) => refusal,
        Err(problem) => return Err(problem),
    };
    if let Some(refusal) = judged {
        return Err(refuse(context, peer, upload, Some(arrived), refusal).await);
    }
    reading.judged = true;
    Ok(())
}

/// The container, when all of it is there: what a restart has forgotten is read again from the disk.
///
/// # Errors
/// As [`look`]; and `checksum_mismatch` if it is not the container that was announced.
pub(crate) async fn complete(
    context: &Context,
    peer: &Peer,
    upload: &Arc<Upload>,
    progress: &mut Progress,
) -> Result<Arc<Container>, Problem> {
    if let Some(container) = &progress.container {
        return Ok(Arc::clone(container));
    }
    let outcome = finish(context, peer, upload, progress).await;
    match outcome {
        Ok(container) => {
            let container = Arc::new(container);
            progress.container = Some(Arc::clone(&container));
            Ok(container)
        }
        Err(problem) => {
            upload.give_up(progress, &problem).await;
            Err(problem)
        }
    }
}

async fn finish(
    context: &Context,
    peer: &Peer,
    upload: &Arc<Upload>,
    progress: &mut Progress,
) -> Result<Container, Problem> {
    let mut reading = progress.read_up(upload).await?;
    if progress.offset != upload.length {
        progress.keep(reading);
        return Err(Code::UploadIncomplete.into());
    }
    look(context, peer, upload, &mut reading).await?;
    let id = reading
        .arrived()
        .and_then(|arrived| Some(arrived.envelope.as_ref()?.id.clone()));
    let container = match reading.finish() {
        Ok(container) => container,
        Err(problem) => return Err(refuse_as(context, peer, id.as_ref(), None, problem.into()).await),
    };
    let announced = upload.sha256.as_ref();
    if announced.is_some_and(|stated| *stated != hex::encode(container.sha256)) {
        let refusal = Problem::new(Code::ChecksumMismatch).into();
        return Err(refuse(context, peer, upload, Some(&container), refusal).await);
    }
    Ok(container)
}

/// Sender, recipients, and whatever of the signature is beyond help already.
async fn head(context: &Context, peer: &Peer, arrived: &Container) -> Result<Option<Refusal>, Problem> {
    let Some(envelope) = &arrived.envelope else {
        return Ok(Some(Problem::new(Code::EnvelopeInvalid).into()));
    };
    let (sender, own) = (&envelope.sender.facility, &peer.facility.code);
    if sender != own {
        let problem = Problem::new(Code::SenderMismatch).detail(
            format!("封筒の送信元は {sender}、この端末は {own} のものです。"),
            format!("The envelope names {sender}, the device belongs to {own}."),
        );
        return Ok(Some(problem.into()));
    }
    for recipient in &envelope.recipients {
        if context.store.facility(&recipient.facility).await?.is_none() {
            let problem = Problem::new(Code::RecipientUnknown).detail(
                format!("{} は登録されていません。", recipient.facility),
                format!("{} is not known here.", recipient.facility),
            );
            return Ok(Some(problem.into()));
        }
    }
    let trust = context.trust.current();
    if let Some(problem) = from_the_future(&envelope.created, trust.policy.clock_skew, clock::now()) {
        return Ok(Some(problem.into()));
    }
    let arrived = arrived.clone();
    let foreseen = tokio::task::spawn_blocking(move || trust.foresee(arrived, Evidence::default(), clock::now())).await;
    match foreseen.map_err(|error| Problem::internal(&error))? {
        Some(report) => Ok(Some(Refusal::by_verdict(report)?)),
        None => Ok(None),
    }
}

/// An envelope made later than the clock here and its allowance say: one of the two clocks is wrong. Any age is welcome.
fn from_the_future(created: &str, skew: time::Duration, now: OffsetDateTime) -> Option<Problem> {
    let stated = clock::parse_rfc3339(created)?;
    if stated <= now.saturating_add(skew) {
        return None;
    }
    let (stated, now, skew) = (clock::rfc3339(stated), clock::rfc3339(now), skew.whole_seconds());
    Some(Problem::new(Code::EnvelopeInvalid).detail(
        format!("封筒の作成時刻 {stated} は、中継所の時計 {now} より許容の {skew} 秒を超えて先です。端末の時計を合わせてください。"),
        format!("created {stated} is later than the relay's clock {now} by more than {skew} s: set the device's clock."),
    ))
}

/// Records the refusal; what cannot be recorded is the relay's fault and no refusal.
async fn refuse(
    context: &Context,
    peer: &Peer,
    upload: &Upload,
    container: Option<&Container>,
    refusal: Refusal,
) -> Problem {
    let id = container
        .and_then(|container| container.envelope.as_ref())
        .map(|envelope| &envelope.id);
    // The digest of a whole container only: of a part there is none.
    let whole = container.filter(|container| container.size == upload.length);
    let digest = whole.map(|container| hex::encode(container.sha256));
    refuse_as(context, peer, id, digest, refusal).await
}

async fn refuse_as(
    context: &Context,
    peer: &Peer,
    id: Option<&SubmissionId>,
    digest: Option<String>,
    refusal: Refusal,
) -> Problem {
    match refusal
        .record(context, peer.actor(), &peer.facility.code, id, digest)
        .await
    {
        Ok(()) => refusal.problem,
        Err(problem) => problem,
    }
}
