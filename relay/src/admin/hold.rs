//! Holds: what law or dispute needs is kept, whatever its time. Set, lifted and listed by the operator; each is a record.

use std::sync::Arc;

use formats::trail::Event;
use formats::wire::{FacilityCode, SubmissionId};
use serde_json::{Value, json};

use super::{AdminError, commit};
use crate::store::{Condition, Store, SubmissionRow};

/// Submissions looked at in one go.
const PAGE: usize = 500;

/// Holds a submission: neither its container nor its records are erased.
pub(super) async fn set(store: &Arc<dyn Store>, id: SubmissionId, reason: String) -> Result<Value, AdminError> {
    let (sender, recipients) = concerned(store, &id, &reason).await?;
    let event = Event::HoldSet {
        submission: id.clone(),
        sender,
        recipients,
        reason,
    };
    commit(store, vec![event], vec![Condition::NotHeld(id.clone())]).await?;
    Ok(json!({ "held": id }))
}

/// Lets its time count again.
pub(super) async fn lift(store: &Arc<dyn Store>, id: SubmissionId, reason: String) -> Result<Value, AdminError> {
    let (sender, recipients) = concerned(store, &id, &reason).await?;
    let event = Event::HoldLifted {
        submission: id.clone(),
        sender,
        recipients,
        reason,
    };
    commit(store, vec![event], vec![Condition::Held(id.clone())]).await?;
    Ok(json!({ "lifted": id }))
}

/// All that is held, since when and why.
pub(super) async fn list(store: &Arc<dyn Store>) -> Result<Value, AdminError> {
    let (mut held, mut last) = (Vec::new(), None);
    loop {
        let page = store.submissions(last.as_ref(), PAGE).await?;
        let Some(row) = page.last() else { return Ok(json!(held)) };
        last = Some(row.submission.submission.clone());
        held.extend(page.into_iter().filter_map(|row: SubmissionRow| {
            let hold = row.hold?;
            Some(json!({ "submission": row.submission.submission, "since": hold.since, "reason": hold.reason }))
        }));
    }
}

async fn concerned(
    store: &Arc<dyn Store>,
    id: &SubmissionId,
    reason: &str,
) -> Result<(FacilityCode, Vec<FacilityCode>), AdminError> {
    if reason.trim().is_empty() || reason.chars().any(char::is_control) || reason.chars().count() > 200 {
        return Err(AdminError::Argument(
            "the reason must be one line of 1 to 200 characters, without names: it is kept for ever".into(),
        ));
    }
    let row = store.submission(id).await?;
    let row = row.ok_or_else(|| AdminError::Argument(format!("there is no submission {id}")))?;
    let recipients = row.recipients.into_iter().map(|(facility, _)| facility);
    Ok((row.submission.sender.facility, recipients.collect()))
}
