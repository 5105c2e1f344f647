//! The log's checkpoint under an RFC 3161 time stamp, at least daily: what was signed by then cannot be rewritten later, not even by
//! who holds the log's key. Stamped is the signed note, byte for byte; note and token are kept, then recorded.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use formats::digest::{DigestAlgorithm, sha256};
use formats::timestamp::Token;
use formats::trail::{Actor, Checkpoint, Event};
use time::OffsetDateTime;

use crate::clock;
use crate::context::Context;
use crate::observe;
use crate::store::{Batch, Condition, Stamped, StoreError};

/// The first pause after a stamp that was not to be had; it doubles up to [`LONGEST`].
const FIRST: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(600);

/// Stamps the checkpoint whenever the newest stamp is older than configured, until the task is dropped.
pub(crate) async fn keep(context: Context) {
    if context.config.timestamps.is_empty() {
        tracing::warn!("no time-stamp authority is configured (timestamps.urls): the log's checkpoint is not stamped");
        return;
    }
    let (mut failures, mut stamped) = (0, None);
    context.stamps.heard(LONGEST).await;
    loop {
        let pause = match step(&context, &mut stamped).await {
            Ok(pause) => {
                failures = 0;
                pause
            }
            Err(reason) => {
                failures += 1;
                metrics::counter!(observe::CHECKPOINT_STAMPS, "outcome" => "failed").increment(1);
                if failures == 1 {
                    tracing::warn!(reason, "the log's checkpoint could not be stamped; it is tried again");
                }
                FIRST.saturating_mul(1 << failures.min(10)).min(LONGEST)
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// Stamps if it is time; how long until the next look.
async fn step(context: &Context, stamped: &mut Option<Instant>) -> Result<Duration, String> {
    let last = context.store.stamped().await.map_err(|error| error.to_string())?;
    let every = context.config.log.stamp_every;
    let left = left(last.as_ref(), clock::now(), stamped.map(|at| at.elapsed()), every);
    if !left.is_zero() {
        // The clock may be set: a look a minute costs nothing.
        return Ok(left.min(Duration::from_secs(60)));
    }
    if let Some(doubt) = context.clock_in_doubt().await {
        return Err(doubt);
    }
    if !context.leads("stamps").await {
        return Ok(Duration::from_secs(60));
    }
    let note = context.store.checkpoint().await.map_err(|error| error.to_string())?;
    let checkpoint = Checkpoint::verify(&note, &context.log_vkey).map_err(|error| error.to_string())?;
    let digest = sha256(note.as_bytes());
    let token = context
        .stamps
        .token(DigestAlgorithm::Sha256, &digest)
        .await
        .map_err(|error| error.to_string())?;
    let gen_time = Token::parse(&token).map_err(|error| error.to_string())?.info.gen_time;
    // The note first: a token says nothing without what it is over.
    for (what, bytes) in [("checkpoint", note.as_bytes()), ("tst", token.as_slice())] {
        let name = format!("stamps/{}.{what}", checkpoint.size);
        let kept = context.kept.put(&name, bytes.to_vec()).await;
        kept.map_err(|error| error.to_string())?;
    }
    let event = Event::CheckpointStamped {
        size: checkpoint.size,
        root: STANDARD.encode(checkpoint.root),
        checkpoint_sha256: hex::encode(digest),
        token_sha256: hex::encode(sha256(&token)),
        gen_time: clock::rfc3339(gen_time),
    };
    let batch = Batch {
        actor: Actor::default(),
        time: clock::now(),
        events: vec![event],
        conditions: vec![Condition::LastStamped(last.map(|last| last.size))],
    };
    match context.store.commit(batch).committed().await {
        Ok(_) => {
            *stamped = Some(Instant::now());
            metrics::counter!(observe::CHECKPOINT_STAMPS, "outcome" => "stamped").increment(1);
            metrics::gauge!(observe::CHECKPOINT_STAMPED).set(gen_time.unix_timestamp() as f64);
            tracing::info!(size = checkpoint.size, "the log's checkpoint is stamped");
            Ok(Duration::from_secs(1))
        }
        // Another relay has stamped meanwhile.
        Err(StoreError::Conflict(_)) => Ok(Duration::from_secs(1)),
        Err(error) => Err(error.to_string()),
    }
}

/// How long the last stamp is still new enough. One from the future is of a clock that was wrong: how old it is cannot be told, nor
/// that of any that follows until that time has come. Only what this relay has stamped itself, so long ago, counts then.
fn left(last: Option<&Stamped>, now: OffsetDateTime, own: Option<Duration>, every: Duration) -> Duration {
    let Some(time) = last.and_then(|last| clock::parse_rfc3339(&last.time)) else {
        return Duration::ZERO;
    };
    match Duration::try_from(now - time) {
        Ok(age) => every.saturating_sub(age),
        Err(_) => own.map_or(Duration::ZERO, |age| every.saturating_sub(age)),
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_stamp_is_due_when_the_last_is_old() {
        let day = Duration::from_secs(86_400);
        let now = datetime!(2026-11-22 12:00 UTC);
        let last = |time: &str| {
            Some(Stamped {
                size: 7,
                time: time.into(),
                token_sha256: String::new(),
            })
        };
        assert_eq!(left(None, now, None, day), Duration::ZERO);
        assert_eq!(
            left(last("2026-11-21T12:00:00.000Z").as_ref(), now, None, day),
            Duration::ZERO
        );
        assert_eq!(
            left(last("2026-11-22T11:00:00.000Z").as_ref(), now, None, day),
            day - Duration::from_secs(3600)
        );
        let future = last("2027-11-22T13:00:00.000Z");
        assert_eq!(
            left(future.as_ref(), now, None, day),
            Duration::ZERO,
            "a clock was wrong"
        );
        let hour = Duration::from_secs(3600);
        assert_eq!(
            left(future.as_ref(), now, Some(hour), day),
            day - hour,
            "not again and again"
        );
    }
}
