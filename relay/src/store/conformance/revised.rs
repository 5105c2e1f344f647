//! What a store must do when a verdict is revised, and when the relay's trust changes.

use std::collections::BTreeSet;

use formats::trail::{Event, Revision, Trusted};
use formats::wire::{Purpose, RecipientState, SubmissionState};

use super::{acceptance, access, batch, submission};
use crate::store::{Condition, Store, StoreError};

/// A revision stops every recipient for good, is made once, and shows the submission anew at the end of their inboxes.
pub(super) async fn a_revised_verdict_stops_everybody_once(store: &dyn Store) {
    let (first, after) = (
        submission(400, "x-sender", &["x-late-a", "x-late-b"]),
        submission(401, "x-sender", &["x-late-a"]),
    );
    let id = &first.submission;
    let accepted = store.commit(acceptance(&first)).committed().await.unwrap().positions;
    store.commit(acceptance(&after)).committed().await.unwrap();
    let delivered = Event::Delivered(access(id, "x-late-a", Purpose::Import));
    store
        .commit(batch(vec![delivered.clone()], vec![]))
        .committed()
        .await
        .unwrap();
    let seen = store.inbox(&"x-late-a".parse().unwrap(), 0, 10).await.unwrap();
    let newest = seen.last().unwrap().inbox_position();
    let revised = Event::VerdictRevised {
        submission: id.clone(),
        sender: "x-sender".parse().unwrap(),
        recipients: vec!["x-late-a".parse().unwrap(), "x-late-b".parse().unwrap()],
        patient: "12345".into(),
        revision: Revision {
            indication: "TOTAL-FAILED".into(),
            sub_indication: Some("REVOKED".into()),
            because: "CRL of TEST CA".into(),
            because_sha256: "01".repeat(32),
            evidence_sha256: "02".repeat(32),
            report_sha256: "03".repeat(32),
        },
    };
    let stands = Condition::VerdictStands(id.clone());
    let done = store
        .commit(batch(vec![revised.clone()], vec![stands.clone()]))
        .committed()
        .await
        .unwrap();
    let twice = store
        .commit(batch(vec![revised], vec![stands.clone()]))
        .committed()
        .await;
    assert_eq!(twice, Err(StoreError::Conflict(stands)));
    for facility in ["x-late-a", "x-late-b"] {
        let open = Condition::Recipient(id.clone(), facility.parse().unwrap());
        let late = store
            .commit(batch(vec![delivered.clone()], vec![open.clone()]))
            .committed()
            .await;
        assert_eq!(late, Err(StoreError::Conflict(open)));
        let new = store.inbox(&facility.parse().unwrap(), newest, 10).await.unwrap();
        let ids: Vec<_> = new.iter().map(|row| &row.submission.submission).collect();
        assert_eq!(ids, [id], "who follows the inbox finds it anew");
        let all = store.inbox(&facility.parse().unwrap(), 0, 10).await.unwrap();
        assert_eq!(all.iter().filter(|row| row.submission.submission == *id).count(), 1);
    }
    // What was under way before and recorded after does not bring it back.
    store.commit(batch(vec![delivered], vec![])).committed().await.unwrap();
    let row = store.submission(id).await.unwrap().unwrap();
    assert!(
        row.recipients
            .iter()
            .all(|(_, state)| *state == RecipientState::Stopped)
    );
    assert_eq!(row.state, SubmissionState::Accepted);
    assert_eq!(
        (vec![row.position], row.inbox_position()),
        (accepted, done.positions[0])
    );
    let (mut all, mut last) = (Vec::new(), None);
    loop {
        let page = store.submissions(last.as_ref(), 3).await.unwrap();
        let Some(row) = page.last() else { break };
        last = Some(row.submission.submission.clone());
        all.extend(page);
    }
    let ids: Vec<_> = all.iter().map(|row| row.submission.submission.clone()).collect();
    assert!(ids.is_sorted() && ids.contains(id) && ids.contains(&after.submission));
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
    assert_eq!(all.iter().filter(|row| row.revised.is_some()).count(), 1);
}

/// The newest record of trust answers.
pub(super) async fn trust_is_what_was_recorded_last(store: &dyn Store) {
    assert_eq!(store.trusted().await.unwrap(), None);
    for digest in ["01", "02"] {
        let trusted = Trusted {
            digest: digest.repeat(32),
            policy: "03".repeat(32),
            hpki: vec!["04".repeat(32)],
            accredited: vec!["05".repeat(32)],
            jpki: Vec::new(),
            tsa: Vec::new(),
            intermediates: Vec::new(),
        };
        let changed = Event::TrustChanged {
            before: None,
            trusted: trusted.clone(),
        };
        store.commit(batch(vec![changed], vec![])).committed().await.unwrap();
        assert_eq!(store.trusted().await.unwrap(), Some(trusted));
    }
}
