//! What a relay wants to happen, and what came of it, as rows between relays.

use formats::trail::{Actor, Event};
use formats::wire::SubmissionId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use super::link::Session;
use super::trouble::Trouble;
use crate::store::{Batch, Committed, Condition, StoreError};

/// Once answered, a proposal is not written again: its first writing may have come through after its connection was lost.
const PROPOSE: &str = "INSERT INTO hikyaku_proposals (id, batch) \
     SELECT p.id, p.batch FROM unnest($1::uuid[], $2::bytea[]) AS p (id, batch) \
     WHERE NOT EXISTS (SELECT 1 FROM hikyaku_answers a WHERE a.id = p.id) ON CONFLICT (id) DO NOTHING";
const OPEN: &str = "SELECT id, batch FROM hikyaku_proposals ORDER BY id LIMIT $1";
const ANSWERS: &str = "SELECT id, answer FROM hikyaku_answers WHERE id = ANY($1)";
const ALL: &str = "SELECT batch FROM hikyaku_proposals ORDER BY id";
/// Waits for a transaction that is on its way.
const SETTLED: &str = "SELECT size FROM hikyaku_log WHERE id = 1 FOR UPDATE";
/// A proposal cannot be on its way longer than its answer is kept.
const FORGET: &str = "DELETE FROM hikyaku_answers WHERE made < now() - interval '1 day'";

/// Raised where what a proposal says must not be read by an older release, though that could.
const FORMAT: u64 = 1;

/// A batch as a row.
#[derive(Serialize, Deserialize)]
struct Proposal {
    #[serde(default)]
    format: u64,
    actor: Actor,
    /// Milliseconds since 1970.
    time: i64,
    events: Vec<Event>,
    conditions: Vec<Condition>,
}

/// What came of it, as a row.
#[derive(Serialize, Deserialize)]
enum Answer {
    Committed(Vec<u64>),
    Conflict(Condition),
    Full,
    TooLarge,
    Clock(String),
    Broken(String),
}

/// It says more than this release knows, or what it does not know at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OfNewerRelease;

impl OfNewerRelease {
    /// What its relay is told if no newer one takes it.
    pub(super) fn refusal(self) -> StoreError {
        StoreError::Broken(
            "a relay of an older release writes the trail, and cannot read this: upgrade all relays".into(),
        )
    }
}

pub(super) fn encode(batch: &Batch) -> Result<Vec<u8>, StoreError> {
    let proposal = Proposal {
        format: FORMAT,
        actor: batch.actor.clone(),
        time: i64::try_from(batch.time.unix_timestamp_nanos() / 1_000_000)
            .map_err(|_| StoreError::Broken("the clock is out of range".into()))?,
        events: batch.events.clone(),
        conditions: batch.conditions.clone(),
    };
    serde_json::to_vec(&proposal).map_err(|_| StoreError::TooLarge)
}

/// Nothing that it says is left out: what was dropped in reading would be missing in a record that is signed.
pub(super) fn decode(bytes: &[u8]) -> Result<Batch, OfNewerRelease> {
    let said: Value = serde_json::from_slice(bytes).map_err(|_| OfNewerRelease)?;
    let proposal = Proposal::deserialize(&said).map_err(|_| OfNewerRelease)?;
    let known = serde_json::to_value(&proposal).map_err(|_| OfNewerRelease)?;
    if proposal.format > FORMAT || !is_within(&said, &known) {
        return Err(OfNewerRelease);
    }
    Ok(Batch {
        actor: proposal.actor,
        time: OffsetDateTime::from_unix_timestamp_nanos(i128::from(proposal.time) * 1_000_000)
            .map_err(|_| OfNewerRelease)?,
        events: proposal.events,
        conditions: proposal.conditions,
    })
}

/// Whether all that is said is known too; what is known besides has its default.
fn is_within(said: &Value, known: &Value) -> bool {
    match (said, known) {
        (Value::Object(said), Value::Object(known)) => said
            .iter()
            .all(|(name, said)| is_within(said, known.get(name).unwrap_or(&Value::Null))),
        (Value::Array(said), Value::Array(known)) => {
            said.len() == known.len() && said.iter().zip(known).all(|(said, known)| is_within(said, known))
        }
        (said, known) => said == known,
    }
}

pub(super) fn encode_answer(answer: &Result<Committed, StoreError>) -> Vec<u8> {
    let answer = match answer.clone() {
        Ok(Committed { positions }) => Answer::Committed(positions),
        Err(StoreError::Conflict(condition)) => Answer::Conflict(condition),
        Err(StoreError::Full) => Answer::Full,
        Err(StoreError::TooLarge) => Answer::TooLarge,
        Err(StoreError::Clock(why)) => Answer::Clock(why),
        Err(StoreError::Broken(why)) => Answer::Broken(why),
    };
    // Plain values; an answer that could not be written would be read as one that cannot be read.
    serde_json::to_vec(&answer).unwrap_or_default()
}

fn decode_answer(bytes: &[u8]) -> Result<Committed, StoreError> {
    match serde_json::from_slice(bytes) {
        Ok(Answer::Committed(positions)) => Ok(Committed { positions }),
        Ok(Answer::Conflict(condition)) => Err(StoreError::Conflict(condition)),
        Ok(Answer::Full) => Err(StoreError::Full),
        Ok(Answer::TooLarge) => Err(StoreError::TooLarge),
        Ok(Answer::Clock(why)) => Err(StoreError::Clock(why)),
        Ok(Answer::Broken(why)) => Err(StoreError::Broken(why)),
        Err(_) => Err(StoreError::Broken("an answer of another relay cannot be read".into())),
    }
}

/// Writes proposals that are not answered yet.
pub(super) async fn propose(session: &Session, ids: &[Uuid], batches: &[Vec<u8>]) -> Result<(), Trouble> {
    session.execute(PROPOSE, &[&ids, &batches]).await.map(drop)
}

/// The oldest proposals that are still there.
pub(super) async fn open(session: &Session, limit: i64) -> Result<Vec<(Uuid, Vec<u8>)>, Trouble> {
    let rows = session.query(OPEN, &[&limit]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// The submissions of which proposals speak that may still be committed, after what is on its way has ended.
pub(super) async fn undecided(session: &Session) -> Result<Vec<SubmissionId>, Trouble> {
    session.query(SETTLED, &[]).await?;
    let mut submissions = Vec::new();
    for row in session.query(ALL, &[]).await? {
        let batch = decode(row.try_get(0)?).map_err(|newer| Trouble::Refused(newer.refusal().to_string()))?;
        submissions.extend(batch.events.iter().filter_map(|event| event.submission().cloned()));
    }
    Ok(submissions)
}

/// The answers there are to these proposals.
pub(super) async fn answers(
    session: &Session,
    ids: &[Uuid],
) -> Result<Vec<(Uuid, Result<Committed, StoreError>)>, Trouble> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = session.query(ANSWERS, &[&ids]).await?;
    let answer = |row: &tokio_postgres::Row| Ok((row.try_get(0)?, decode_answer(row.try_get(1)?)));
    rows.iter().map(answer).collect()
}

/// Forgets old answers.
pub(super) async fn forget(session: &Session) -> Result<(), Trouble> {
    session.execute(FORGET, &[]).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance::{acceptance, submission};

    #[test]
    fn what_goes_between_relays_comes_back_the_same() {
        let batch = acceptance(&submission(7, "x-a", &["x-b"]));
        let back = decode(&encode(&batch).unwrap()).unwrap();
        assert_eq!(back.conditions, batch.conditions);
        assert_eq!(back.time, batch.time);
        assert_eq!(
            serde_json::to_value(&back.events).unwrap(),
            serde_json::to_value(&batch.events).unwrap()
        );
        assert!(decode(b"{}").is_err());
    }

    #[test]
    fn what_a_newer_release_says_is_not_read_in_part() {
        let batch = acceptance(&submission(7, "x-a", &["x-b"]));
        let said: Value = serde_json::from_slice(&encode(&batch).unwrap()).unwrap();
        let read = |change: &dyn Fn(&mut Value)| {
            let mut said = said.clone();
            change(&mut said);
            decode(&serde_json::to_vec(&said).unwrap())
        };
        assert!(read(&|_| {}).is_ok());
        // A release before there were formats.
        assert!(read(&|said| drop(said.as_object_mut().unwrap().remove("format"))).is_ok());
        let newer: [&dyn Fn(&mut Value); 4] = [
            &|said| said["format"] = (FORMAT + 1).into(),
            &|said| said["because"] = "x".into(),
            &|said| said["events"][0]["sealed_for"] = "x".into(),
            &|said| said["conditions"] = serde_json::json!([{ "Unheard": "x" }]),
        ];
        for (number, change) in newer.iter().enumerate() {
            assert!(read(change).is_err(), "{number}");
        }
        // What is new and says nothing is nothing.
        assert!(read(&|said| said["events"][0]["sealed_for"] = Value::Null).is_ok());
    }

    #[test]
    fn answers_come_back_the_same() {
        let batch = acceptance(&submission(7, "x-a", &["x-b"]));
        for answer in [
            Ok(Committed { positions: vec![1, 2] }),
            Err(StoreError::Conflict(batch.conditions[0].clone())),
            Err(StoreError::Full),
            Err(StoreError::TooLarge),
            Err(StoreError::Clock("TEST".into())),
            Err(StoreError::Broken("TEST".into())),
        ] {
            assert_eq!(decode_answer(&encode_answer(&answer)), answer);
        }
        assert!(matches!(decode_answer(b""), Err(StoreError::Broken(_))));
    }
}
