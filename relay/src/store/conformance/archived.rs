//! What a store must do for archives and for containers on their way out.

use formats::trail::Event;
use formats::wire::{Purpose, SubmissionId};

use super::{acceptance, access, batch, submission};
use crate::store::{Condition, NamedContainer, RetentionStep, Store, StoreError};

const EVER: &str = "9999-12-31T23:59:59Z";

fn made(id: &SubmissionId, stands_until: &str) -> Event {
    Event::ArchiveMade {
        submission: id.clone(),
        sender: "x-sender".parse().unwrap(),
        recipients: vec!["x-kept-a".parse().unwrap(), "x-kept-b".parse().unwrap()],
        patient: "12345".into(),
        container_sha256: "01".repeat(32),
        archive_sha256: "02".repeat(32),
        stamps: 1,
        stamped: "2026-11-22T01:00:00Z".into(),
        stands_until: stands_until.into(),
    }
}

async fn commit(store: &dyn Store, event: Event) {
    store.commit(batch(vec![event], vec![])).committed().await.unwrap();
}

/// Without archive first, then by the end of the newest stamp, and only up to the time asked for.
pub(super) async fn what_needs_an_archive_is_found_the_most_urgent_first(store: &dyn Store) {
    let all: Vec<SubmissionId> = (500..503)
        .map(|number| submission(number, "x-sender", &["x-kept-a", "x-kept-b"]))
        .map(|sent| sent.submission)
        .collect();
    for number in 500..503 {
        let sent = submission(number, "x-sender", &["x-kept-a", "x-kept-b"]);
        store.commit(acceptance(&sent)).committed().await.unwrap();
    }
    let due = async |before: &str| -> Vec<SubmissionId> {
        let due = store.archives_due(before, 10_000).await.unwrap();
        due.into_iter().filter(|id| all.contains(id)).collect()
    };
    assert_eq!(due("").await, all);
    commit(store, made(&all[0], "2034-01-01T00:00:00Z")).await;
    commit(store, made(&all[1], "2030-12-31T23:59:59Z")).await;
    assert_eq!(due("2026-11-22T00:00:00Z").await, [all[2].clone()]);
    assert_eq!(due(EVER).await, [all[2].clone(), all[1].clone(), all[0].clone()]);
    commit(store, made(&all[1], "2038-01-01T00:00:00Z")).await;
    assert_eq!(due(EVER).await, [all[2].clone(), all[0].clone(), all[1].clone()]);
    let row = store.submission(&all[1]).await.unwrap().unwrap();
    assert_eq!(row.archive.unwrap().stands_until, "2038-01-01T00:00:00Z");
}

/// Counted from the last recipient, announced, erased once, and then neither renewed nor erased again.
pub(super) async fn a_container_goes_step_by_step(store: &dyn Store) {
    let sent = submission(510, "x-sender", &["x-kept-a", "x-kept-b"]);
    let id = &sent.submission;
    store.commit(acceptance(&sent)).committed().await.unwrap();
    commit(store, made(id, "2034-01-01T00:00:00Z")).await;
    let at = async |step: RetentionStep, before: &str| {
        // Some at a time: who stands at the head hides nobody behind.
        let (mut found, mut after) = (false, None);
        loop {
            let mut due = store.retention_due(step, after.as_ref(), before, 1).await.unwrap();
            let Some(last) = due.pop() else { return found };
            found |= last.id == *id;
            after = Some(last);
        }
    };
    commit(store, Event::Delivered(access(id, "x-kept-a", Purpose::Import))).await;
    assert!(!at(RetentionStep::Delivered, EVER).await, "one has not had it");
    assert_eq!(store.submission(id).await.unwrap().unwrap().delivered, None);
    commit(store, Event::Viewed(access(id, "x-kept-b", Purpose::View))).await;
    assert!(at(RetentionStep::Delivered, EVER).await);
    assert!(!at(RetentionStep::Delivered, "2026-01-01T00:00:00Z").await);
    let container = async || store.containers(vec![id.clone()]).await.unwrap().remove(0);
    let mut named = NamedContainer {
        stored_as: sent.stored_as.clone(),
        accepted: true,
        erased: false,
    };
    assert_eq!(container().await, Some(named.clone()));
    let delivered = store.submission(id).await.unwrap().unwrap().delivered;
    commit(store, Event::Delivered(access(id, "x-kept-a", Purpose::Import))).await;
    let row = store.submission(id).await.unwrap().unwrap();
    assert_eq!(row.delivered, delivered, "counted once");

    let announced = Event::ErasureAnnounced {
        submission: id.clone(),
        sender: "x-sender".parse().unwrap(),
        recipients: vec!["x-kept-a".parse().unwrap(), "x-kept-b".parse().unwrap()],
        patient: "12345".into(),
        erase_after: "2027-03-01T00:00:00.000Z".into(),
    };
    commit(store, announced).await;
    assert!(!at(RetentionStep::Delivered, EVER).await);
    assert!(at(RetentionStep::Announced, "2027-03-01T00:00:00.000Z").await);
    assert!(!at(RetentionStep::Announced, "2027-02-28T23:59:59.999Z").await);

    let erased = Event::ContainerErased {
        submission: id.clone(),
        sender: "x-sender".parse().unwrap(),
        recipients: vec!["x-kept-a".parse().unwrap(), "x-kept-b".parse().unwrap()],
        patient: "12345".into(),
        container_sha256: "01".repeat(32),
    };
    let kept = Condition::Kept(id.clone());
    let once = store.commit(batch(vec![erased.clone()], vec![kept.clone()]));
    once.committed().await.unwrap();
    let twice = store.commit(batch(vec![erased], vec![kept.clone()])).committed().await;
    assert_eq!(twice, Err(StoreError::Conflict(kept)));
    for step in [RetentionStep::Delivered, RetentionStep::Announced] {
        assert!(!at(step, EVER).await);
    }
    assert!(!store.archives_due(EVER, 10_000).await.unwrap().contains(id));
    let row = store.submission(id).await.unwrap().unwrap();
    assert!(row.erased.is_some() && row.archive.is_some());
    named.erased = true;
    assert_eq!(container().await, Some(named));
    let unknown = submission(599, "x-sender", &["x-kept-a"]).submission;
    assert_eq!(store.containers(vec![unknown]).await.unwrap(), [None]);
}
