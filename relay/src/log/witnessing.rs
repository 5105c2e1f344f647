//! Witnesses: others that watch the log grow and cosign its checkpoint, [C2SP tlog-witness](https://c2sp.org/tlog-witness). Who
//! trusts one of them needs not trust that the relay shows everybody the same log.
//!
//! In rounds: each round hands one checkpoint to every witness and keeps it with the cosignatures that came. A witness that is down
//! or refuses holds nothing up, and is asked again in the next round.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use formats::trail::{Checkpoint, WitnessKey, cosignatures, with_cosignatures};
use futures_util::future::join_all;
use http::StatusCode;

use super::prove_consistency;
use crate::config::Witness;
use crate::context::Context;
use crate::evidence::breaker::Breaker;
use crate::evidence::outbound::{Bounds, FetchError, post};
use crate::observe;

/// A witness that fails rests so long at most.
const REST: Duration = Duration::from_secs(60);
/// One exchange with a witness.
const BOUNDS: Bounds = Bounds {
    time: Duration::from_secs(10),
    bytes: 16 << 10,
};

/// One witness, and what is known of it.
struct Asked {
    witness: Witness,
    breaker: Breaker,
    /// Size it cosigned last; 0: not known. It tells, if it is another.
    size: u64,
}

/// Witnesses that have cosigned more of the log than there is: while there is one the relay is not ready. What a witness answers is not
/// signed, so that it does not keep the relay from recording.
#[derive(Debug, Default)]
pub(crate) struct Contradictions(Mutex<BTreeMap<String, u64>>);

impl Contradictions {
    /// Each, in words.
    pub(crate) fn all(&self) -> Vec<String> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let told = |(name, size): (&String, &u64)| {
            format!(
                "the witness {name} has cosigned {size} records, more than the log has: the log was cut off, or there are two of its \
                 name. See docs/recovery.md / 証人 {name} は記録{size}件まで連署していますが、ログはそれより短いものです。ログの末尾が\
                 失われたか、同名のログが二つあります。docs/recovery.md を参照してください"
            )
        };
        all.iter().map(told).collect()
    }

    /// What came of asking one; one that did not answer has not changed its mind.
    fn heard(&self, name: &str, answer: Result<(), &Refused>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Err(Refused::Ahead(size)) => {
                all.insert(name.to_owned(), *size);
            }
            Ok(()) | Err(Refused::Overtaken(_)) => {
                all.remove(name);
            }
            Err(_) => {}
        }
    }
}

/// Why a witness did not cosign.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// It has cosigned more than there is: the log has lost its end, or there are two of it.
    #[error("it has cosigned {0} records, more than the log has: the log was cut off, or there are two of its name")]
    Ahead(u64),
    /// It has cosigned a newer one of this log, which another relay has handed in meanwhile.
    #[error("it has cosigned {0} records already")]
    Overtaken(u64),
    #[error("it answered {0}")]
    Status(StatusCode),
    #[error("its cosignature: {0}")]
    Cosignature(#[from] formats::trail::CheckpointError),
    #[error("{0}")]
    Store(#[from] crate::store::StoreError),
}

/// Hands checkpoints to the configured witnesses until the task is dropped.
pub(crate) async fn keep(context: Context) {
    let asked = |witness: &Witness| Asked {
        witness: witness.clone(),
        breaker: Breaker::new(REST),
        size: 0,
    };
    let mut all: Vec<Asked> = context.config.log.witnesses.iter().map(asked).collect();
    if all.is_empty() {
        return;
    }
    loop {
        if context.leads("witnesses").await
            && let Err(error) = round(&context, &mut all).await
        {
            tracing::warn!(error, "the log's checkpoint could not be handed to its witnesses");
        }
        tokio::time::sleep(context.config.log.witness_every).await;
    }
}

async fn round(context: &Context, all: &mut [Asked]) -> Result<(), String> {
    let note = context.store.checkpoint().await.map_err(|error| error.to_string())?;
    let checkpoint = Checkpoint::verify(&note, &context.log_vkey).map_err(|error| error.to_string())?;
    if all.iter().all(|asked| asked.size == checkpoint.size) {
        return Ok(());
    }
    // One that is silent this time keeps what it gave before. Before anybody is asked: who cosigned what could not be kept would not be
    // asked again for it.
    let kept = context.kept.by_witness(&context.log_vkey).await;
    let mut by_witness = kept.map_err(|error| error.to_string())?;
    let answers = join_all(all.iter_mut().map(|asked| ask(context, asked, &note, &checkpoint))).await;
    let mut cosigned = note.clone();
    for (asked, lines) in all.iter().zip(answers) {
        let Some(lines) = lines else { continue };
        cosigned = with_cosignatures(&cosigned, &lines, &asked.witness.key).map_err(|error| error.to_string())?;
    }
    if cosigned == note {
        return Ok(());
    }
    metrics::gauge!(observe::WITNESSED_SIZE).set(checkpoint.size as f64);
    remember(&mut by_witness, all.iter().map(|asked| &asked.witness.key), &cosigned);
    let kept = context.kept.put_witnesses(checkpoint.size, &by_witness).await;
    kept.map_err(|error| error.to_string())?;
    // One that another relay has kept meanwhile, and that says more, stays.
    let newest = context.kept.newest_witnessed(&context.log_vkey).await;
    if newest.is_some_and(|newest| says_more(&newest, &cosigned, &context.log_vkey)) {
        return Ok(());
    }
    let kept = context.kept.put_witnessed(checkpoint.size, cosigned).await;
    kept.map_err(|error| error.to_string())
}

/// Whether the first is a checkpoint of more records than the second.
fn says_more(note: &str, than: &str, log_vkey: &str) -> bool {
    let size = |note: &str| Checkpoint::verify(note, log_vkey).map_or(0, |checkpoint| checkpoint.size);
    size(note) > size(than)
}

/// Puts `cosigned` in the place of each witness that has cosigned it, and forgets those that are asked no more.
fn remember<'a>(
    by_witness: &mut BTreeMap<String, String>,
    asked: impl Iterator<Item = &'a WitnessKey> + Clone,
    cosigned: &str,
) {
    by_witness.retain(|name, _| asked.clone().any(|key| key.name() == name));
    for key in asked {
        if cosignatures(cosigned, std::slice::from_ref(key)).is_ok_and(|by| !by.is_empty()) {
            by_witness.insert(key.name().to_owned(), cosigned.to_owned());
        }
    }
}

/// Its signature lines; `None` if it gave none.
async fn ask(context: &Context, asked: &mut Asked, note: &str, checkpoint: &Checkpoint) -> Option<String> {
    asked.breaker.admit(BOUNDS.time * 2).ok()?;
    let name = asked.witness.key.name().to_owned();
    let answer = cosign(context, asked, note, checkpoint).await;
    context.contradictions.heard(&name, answer.as_ref().map(|_| ()));
    match answer {
        Ok(lines) => {
            metrics::gauge!(observe::WITNESS_GOOD, "witness" => name.clone()).set(1.0);
            if asked.breaker.good() {
                tracing::info!(witness = name, "a witness works again");
            }
            Some(lines)
        }
        // The next round hands in what there is then.
        Err(Refused::Overtaken(size)) => {
            tracing::debug!(witness = name, size, "a witness is further than what was handed to it");
            asked.breaker.good();
            None
        }
        Err(refused) => {
            metrics::gauge!(observe::WITNESS_GOOD, "witness" => name.clone()).set(0.0);
            if asked.breaker.failed(&refused.to_string()) {
                match refused {
                    Refused::Ahead(_) => tracing::error!(witness = name, %refused, "a witness contradicts this log"),
                    _ => tracing::warn!(witness = name, %refused, "a witness does not cosign"),
                }
            }
            None
        }
    }
}

/// add-checkpoint; a second time where the witness says that it stands elsewhere.
async fn cosign(context: &Context, asked: &mut Asked, note: &str, checkpoint: &Checkpoint) -> Result<String, Refused> {
    for _ in 0..2 {
        let proof = prove_consistency(&*context.store, checkpoint.size, asked.size).await?;
        let mut body = format!("old {}\n", asked.size);
        for node in proof {
            body.push_str(&STANDARD.encode(node));
            body.push('\n');
        }
        body.push('\n');
        body.push_str(note);
        // The operator names the witnesses, so that their addresses may be private.
        let sent = (Bytes::from(body), "application/octet-stream");
        let (status, answer) = post(&asked.witness.add_checkpoint, sent, BOUNDS, |_, _| true).await?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        if status == StatusCode::OK {
            with_cosignatures(note, &answer, &asked.witness.key)?;
            asked.size = checkpoint.size;
            return Ok(answer);
        }
        let stands = answer
            .trim_end()
            .parse::<u64>()
            .ok()
            .filter(|_| status == StatusCode::CONFLICT);
        match stands {
            // The log may have grown since this checkpoint was read.
            Some(stands) if stands > checkpoint.size => {
                return Err(further(stands, context.store.size().await?));
            }
            Some(stands) if stands != asked.size => asked.size = stands,
            _ => return Err(Refused::Status(status)),
        }
    }
    Err(Refused::Status(StatusCode::CONFLICT))
}

/// What it means that a witness has cosigned more than was handed to it, when the log has so many records now.
fn further(stands: u64, size: u64) -> Refused {
    if stands > size {
        Refused::Ahead(stands)
    } else {
        Refused::Overtaken(stands)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_larger_checkpoint_says_more() {
        let key = formats::trail::LogKey::from_seed("relay.example/trail", &[5; 32])
            .unwrap()
            .0;
        let note = |size| key.sign(size, &[7; 32]).unwrap();
        assert!(says_more(&note(8), &note(7), key.vkey()));
        assert!(!says_more(&note(7), &note(7), key.vkey()) && !says_more(&note(6), &note(7), key.vkey()));
        assert!(!says_more("torn", &note(7), key.vkey()));
    }

    #[test]
    fn a_witness_that_is_ahead_is_told_until_it_cosigns_again() {
        let known = Contradictions::default();
        known.heard("one.example/w", Ok(()));
        assert!(known.all().is_empty());
        known.heard("one.example/w", Err(&further(105, 100)));
        known.heard("two.example/w", Err(&further(105, 110)));
        known.heard("one.example/w", Err(&Refused::Status(StatusCode::FORBIDDEN)));
        let all = known.all();
        assert!(
            all.len() == 1 && all[0].contains("one.example/w") && all[0].contains("105"),
            "{all:?}"
        );
        known.heard("one.example/w", Ok(()));
        assert!(known.all().is_empty());
    }

    #[test]
    fn only_a_witness_that_is_further_than_the_log_contradicts_it() {
        assert!(matches!(further(105, 100), Refused::Ahead(105)));
        assert!(matches!(further(105, 105), Refused::Overtaken(105)));
        assert!(matches!(further(105, 110), Refused::Overtaken(105)));
    }
}
