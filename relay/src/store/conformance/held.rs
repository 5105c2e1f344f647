//! What a store must do with a submission that is held while it waits for evidence.

use formats::trail::Event;
use formats::wire::{Purpose, SubmissionState};

use super::{access, batch, submission};
use crate::store::{Condition, RetentionStep, Store, StoreError};

/// Accepted or refused, it stays held, with all that is known of it, until the hold is lifted.
pub(super) async fn a_hold_outlives_the_verdict(store: &dyn Store) {
    let commit = async |event: Event, conditions: Vec<Condition>| {
        let done = store.commit(batch(vec![event], conditions)).committed().await;
        done.map(drop)
    };
    for (number, accept) in [(310, true), (311, false)] {
        let sent = submission(number, "x-sender", &["x-held"]);
        let id = &sent.submission;
        let waits = Event::Pending {
            submission: Box::new(sent.clone()),
            waiting_for: "CRL of TEST CA".into(),
            deadline: "2026-11-30T00:00:00Z".into(),
        };
        commit(waits, vec![]).await.unwrap();
        let (sender, recipients) = (sent.sender.facility.clone(), vec!["x-held".parse().unwrap()]);
        let before = store.stored_bytes(&sender).await.unwrap();
        let held = Event::HoldSet {
            submission: id.clone(),
            sender: sender.clone(),
            recipients: recipients.clone(),
            reason: "TEST dispute".into(),
        };
        commit(held, vec![]).await.unwrap();
        let refused = Event::Refused {
            facility: sender.clone(),
            submission: Some(id.clone()),
            code: "validation_failed".into(),
            sub_indication: None,
            container_sha256: Some(sent.container_sha256.clone()),
            report_sha256: None,
        };
        let accepted = Event::Accepted(Box::new(sent.clone()));
        let verdict = if accept { accepted } else { refused };
        let once = Condition::SubmissionIs(id.clone(), SubmissionState::PendingEvidence);
        commit(verdict.clone(), vec![once.clone()]).await.unwrap();
        assert_eq!(
            commit(verdict, vec![once.clone()]).await,
            Err(StoreError::Conflict(once))
        );
        assert!(store.pending().await.unwrap().is_empty());
        let row = store.submission(id).await.unwrap().unwrap();
        assert_eq!(row.hold.as_ref().unwrap().reason, "TEST dispute");
        assert_eq!(store.stored_bytes(&sender).await.unwrap(), before);
        let free = Condition::NotHeld(id.clone());
        let lifted = Event::HoldLifted {
            submission: id.clone(),
            sender: sender.clone(),
            recipients,
            reason: "TEST settled".into(),
        };
        assert_eq!(
            commit(lifted.clone(), vec![free.clone()]).await,
            Err(StoreError::Conflict(free))
        );
        let due = async || {
            let due = store
                .retention_due(RetentionStep::Delivered, None, "9999", 10_000)
                .await;
            due.unwrap().iter().any(|due| due.id == *id)
        };
        if accept {
            assert_eq!(row.state, SubmissionState::Accepted);
            commit(Event::Delivered(access(id, "x-held", Purpose::Import)), vec![])
                .await
                .unwrap();
            assert!(!due().await, "what is held stands on no way out");
            commit(lifted, vec![]).await.unwrap();
            assert!(due().await);
        } else {
            assert_eq!(row.state, SubmissionState::Refused);
            commit(lifted, vec![]).await.unwrap();
            assert!(store.submission(id).await.unwrap().is_none(), "now its id is free");
            assert!(store.stored_bytes(&sender).await.unwrap() < before);
        }
    }
}
