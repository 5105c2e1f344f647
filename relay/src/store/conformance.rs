//! What every `Store` must do: one suite, run for each implementation on an empty store.
#![expect(
    clippy::unwrap_used,
    reason = "a suite of assertions: what is not there fails the test that runs it"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use formats::envelope::{Category, DocumentKind, Party};
use formats::trail::{Access, Actor, Checkpoint, Event, Submission};
use formats::wire::{DocumentSummary, FacilityCode, Purpose, RecipientState, SubmissionId, SubmissionState};
use time::OffsetDateTime;

use super::{Batch, Condition, Store, StoreError};

mod archived;
pub mod erased;
mod held;
mod log;
pub mod model;
mod revised;

/// Runs all of it on an empty store whose log has this verification key.
pub async fn all(store: Arc<dyn Store>, vkey: &str) {
    an_empty_store_has_a_checkpoint(&*store, vkey).await;
    conditions_hold_or_nothing_happens(&*store).await;
    devices_live_and_end(&*store).await;
    an_inbox_is_paged_in_order(&*store).await;
    states_never_go_back(&*store).await;
    what_waits_is_decided_once(&*store).await;
    held::a_hold_outlives_the_verdict(&*store).await;
    revised::a_revised_verdict_stops_everybody_once(&*store).await;
    archived::what_needs_an_archive_is_found_the_most_urgent_first(&*store).await;
    archived::a_container_goes_step_by_step(&*store).await;
    revised::trust_is_what_was_recorded_last(&*store).await;
    log::each_day_has_one_head(&*store).await;
    log::a_stamp_follows_the_last_once(&*store).await;
    time_never_goes_back(&*store).await;
    concurrent_writers_lose_nothing(Arc::clone(&store), 200).await;
    sequences_are_gapless(&*store).await;
    receipts_verify(&*store, vkey).await;
    log::nodes_make_the_signed_root(&*store, vkey).await;
}

/// A batch at a fixed time.
#[must_use]
pub fn batch(events: Vec<Event>, conditions: Vec<Condition>) -> Batch {
    let time = OffsetDateTime::from_unix_timestamp(1_795_500_000).unwrap();
    Batch {
        actor: Actor::default(),
        time,
        events,
        conditions,
    }
}

/// A submission with this number from one facility to others.
#[must_use]
pub fn submission(number: u64, sender: &str, recipients: &[&str]) -> Submission {
    let party = |code: &str| Party {
        facility: code.parse().unwrap(),
        name: "TEST".into(),
        department: None,
        person: None,
    };
    Submission {
        submission: format!("0193569a-7c00-7000-8000-{number:012x}").parse().unwrap(),
        sender: party(sender),
        recipients: recipients.iter().map(|code| party(code)).collect(),
        patient: "12345".into(),
        documents: vec![DocumentSummary {
            path: "letter/letter.pdf".into(),
            kind: DocumentKind::Referral,
            category: Category::Letter,
            media_type: "application/pdf".into(),
            files: 1,
            bytes: 1000,
        }],
        in_reply_to: None,
        size: 2000,
        container_sha256: format!("{number:064x}"),
        manifest_sha256: "bb".repeat(32),
        signature_value_sha256: "cc".repeat(32),
        evidence_sha256: "dd".repeat(32),
        policy_sha256: "ee".repeat(32),
        report_sha256: "ff".repeat(32),
        signed_at: Some("2026-11-22T01:00:00Z".into()),
        signer: Some("CN=TEST".into()),
        hc_roles: vec!["Medical Doctor".into()],
        stored_as: format!("c{number}"),
    }
}

/// One of the records of a trail as a year leaves it: of each letter its acceptance, one import and three looks.
#[must_use]
pub fn of_a_year(number: u64) -> Event {
    let sent = submission(number / 5, "1310000001", &["1320000002"]);
    if number.is_multiple_of(5) {
        return Event::Accepted(Box::new(sent));
    }
    let seen = Access {
        sender: sent.sender.facility,
        patient: sent.patient,
        ..access(&sent.submission, "1320000002", Purpose::View)
    };
    if number % 5 == 1 {
        Event::Delivered(seen)
    } else {
        Event::Viewed(seen)
    }
}

/// Acceptance of a submission, once.
#[must_use]
pub fn acceptance(submission: &Submission) -> Batch {
    let id = submission.submission.clone();
    batch(
        vec![Event::Accepted(Box::new(submission.clone()))],
        vec![Condition::SubmissionAbsent(id)],
    )
}

async fn an_empty_store_has_a_checkpoint(store: &dyn Store, vkey: &str) {
    assert_eq!(store.size().await.unwrap(), 0);
    assert_eq!(
        Checkpoint::verify(&store.checkpoint().await.unwrap(), vkey)
            .unwrap()
            .size,
        0
    );
    assert!(store.records(None, 0, 10).await.unwrap().is_empty());
    assert!(store.facilities().await.unwrap().is_empty());
}

/// A condition that fails undoes the whole batch, and says which it was.
pub async fn conditions_hold_or_nothing_happens(store: &dyn Store) {
    let code: FacilityCode = "x-conditions".parse().unwrap();
    let added = Event::FacilityAdded {
        facility: code.clone(),
        name: "TEST".into(),
    };
    let absent = Condition::FacilityAbsent(code.clone());
    let first = store
        .commit(batch(vec![added.clone()], vec![absent.clone()]))
        .committed()
        .await
        .unwrap();
    assert_eq!(first.positions.len(), 1);
    let size = store.size().await.unwrap();
    let again = store
        .commit(batch(vec![added.clone(), added], vec![absent.clone()]))
        .committed()
        .await;
    assert_eq!(again, Err(StoreError::Conflict(absent)));
    assert_eq!(store.size().await.unwrap(), size);
    assert_eq!(store.facility(&code).await.unwrap().unwrap().name, "TEST");

    let sent = submission(1, "x-conditions", &["x-other"]);
    let id = sent.submission.clone();
    store.commit(acceptance(&sent)).committed().await.unwrap();
    let retry = store.commit(acceptance(&sent)).committed().await;
    assert_eq!(
        retry,
        Err(StoreError::Conflict(Condition::SubmissionAbsent(id.clone())))
    );
    for (condition, holds) in [
        (Condition::SubmissionIs(id.clone(), SubmissionState::Accepted), true),
        (
            Condition::SubmissionIs(id.clone(), SubmissionState::PendingEvidence),
            false,
        ),
        (Condition::Recipient(id.clone(), "x-other".parse().unwrap()), true),
        (Condition::Recipient(id.clone(), code.clone()), false),
        (Condition::CodeUnused(code.clone(), "00".into()), false),
        (Condition::DeviceActive(code.clone(), "none".parse().unwrap()), false),
        (Condition::MemberAbsent(code.clone(), "none".parse().unwrap()), true),
    ] {
        let read = Event::TrailRead {
            facility: None,
            from: String::new(),
            to: String::new(),
            format: "csv".into(),
            filter: None,
            concerned: Vec::new(),
        };
        let done = store
            .commit(batch(vec![read], vec![condition.clone()]))
            .committed()
            .await;
        assert_eq!(done.is_ok(), holds, "{condition:?}");
    }
}

/// A code is used once; a device is renewed, then revoked for good.
pub async fn devices_live_and_end(store: &dyn Store) {
    let facility: FacilityCode = "x-devices".parse().unwrap();
    let device: formats::wire::DeviceId = "desk-1".parse().unwrap();
    let member: formats::wire::MemberId = "m1".parse().unwrap();
    let (code, certificate) = ("ab".repeat(32), "01".repeat(32));
    let until = || "2027-01-01T00:00:00Z".to_owned();
    let issued = Event::CodeIssued {
        facility: facility.clone(),
        code_sha256: code.clone(),
        expires: until(),
    };
    let named = Event::MemberAdded {
        facility: facility.clone(),
        member: member.clone(),
        name: "TEST".into(),
    };
    store
        .commit(batch(vec![issued, named], vec![]))
        .committed()
        .await
        .unwrap();
    assert_eq!(store.code(&code).await.unwrap().unwrap().facility, facility);
    assert_eq!(store.members(&facility).await.unwrap().len(), 1);
    assert!(store.member(&facility, &member).await.unwrap().is_some());

    let enrolled = Event::DeviceEnrolled {
        facility: facility.clone(),
        device: device.clone(),
        code_sha256: code.clone(),
        certificate_sha256: certificate,
        not_after: until(),
    };
    let conditions = vec![
        Condition::CodeUnused(facility.clone(), code.clone()),
        Condition::DeviceAbsent(facility.clone(), device.clone()),
    ];
    store
        .commit(batch(vec![enrolled.clone()], conditions.clone()))
        .committed()
        .await
        .unwrap();
    assert!(store.code(&code).await.unwrap().is_none());
    let again = store.commit(batch(vec![enrolled], conditions)).committed().await;
    assert!(matches!(again, Err(StoreError::Conflict(Condition::CodeUnused(..)))));

    let active = Condition::DeviceActive(facility.clone(), device.clone());
    let renewed = Event::DeviceRenewed {
        facility: facility.clone(),
        device: device.clone(),
        certificate_sha256: "02".repeat(32),
        not_after: until(),
    };
    store
        .commit(batch(vec![renewed.clone()], vec![active.clone()]))
        .committed()
        .await
        .unwrap();
    let revoked = Event::DeviceRevoked {
        facility: facility.clone(),
        device: device.clone(),
    };
    store
        .commit(batch(vec![revoked], vec![active.clone()]))
        .committed()
        .await
        .unwrap();
    let late = store
        .commit(batch(vec![renewed], vec![active.clone()]))
        .committed()
        .await;
    assert_eq!(late, Err(StoreError::Conflict(active)));
    let row = store.device(&facility, &device).await.unwrap().unwrap();
    assert!(row.revoked && row.certificate_sha256 == "02".repeat(32));
    assert_eq!(store.devices(&facility).await.unwrap().len(), 1);
}

/// Pages of an inbox follow each other without gap or repetition, for its facility only.
pub async fn an_inbox_is_paged_in_order(store: &dyn Store) {
    let facility: FacilityCode = "x-inbox".parse().unwrap();
    let mut expected = Vec::new();
    for number in 100..107 {
        let sent = submission(
            number,
            "x-sender",
            if number == 103 {
                &["x-elsewhere"]
            } else {
                &["x-inbox", "x-two"]
            },
        );
        let done = store.commit(acceptance(&sent)).committed().await.unwrap();
        if number != 103 {
            expected.push((done.positions.first().copied().unwrap(), sent.submission));
        }
    }
    let (mut found, mut after) = (Vec::new(), 0);
    loop {
        let page = store.inbox(&facility, after, 4).await.unwrap();
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 4);
        after = last.position;
        found.extend(page.into_iter().map(|row| (row.position, row.submission.submission)));
    }
    assert!(found == expected);
}

fn access(id: &SubmissionId, recipient: &str, purpose: Purpose) -> Access {
    Access {
        submission: id.clone(),
        sender: "x-sender".parse().unwrap(),
        recipient: recipient.parse().unwrap(),
        patient: "12345".into(),
        purpose,
        scope: vec!["*".into()],
        categories: vec![Category::Letter],
    }
}

/// Waiting → Delivered → Viewed → Acknowledged, each recipient for itself, never back.
pub async fn states_never_go_back(store: &dyn Store) {
    let sent = submission(200, "x-sender", &["x-a", "x-b"]);
    let id = &sent.submission;
    store.commit(acceptance(&sent)).committed().await.unwrap();
    let steps = [
        (
            Event::Delivered(access(id, "x-a", Purpose::Import)),
            RecipientState::Delivered,
        ),
        (Event::Viewed(access(id, "x-a", Purpose::View)), RecipientState::Viewed),
        (
            Event::Delivered(access(id, "x-a", Purpose::Import)),
            RecipientState::Viewed,
        ),
        (
            Event::Acknowledged {
                submission: id.clone(),
                sender: "x-sender".parse().unwrap(),
                recipient: "x-a".parse().unwrap(),
                patient: "12345".into(),
            },
            RecipientState::Acknowledged,
        ),
        (
            Event::Viewed(access(id, "x-a", Purpose::View)),
            RecipientState::Acknowledged,
        ),
    ];
    for (event, expected) in steps {
        store.commit(batch(vec![event], vec![])).committed().await.unwrap();
        let states: Vec<_> = store
            .submission(id)
            .await
            .unwrap()
            .unwrap()
            .recipients
            .into_iter()
            .map(|(_, state)| state)
            .collect();
        assert_eq!(states, [expected, RecipientState::Waiting]);
    }
    let kinds: Vec<String> = store
        .submission_records(id)
        .await
        .unwrap()
        .iter()
        .map(|record| record.record().unwrap().unwrap().event.kind().to_owned())
        .collect();
    assert_eq!(
        kinds,
        ["Accepted", "Delivered", "Viewed", "Delivered", "Acknowledged", "Viewed"]
    );
}

/// What waits for evidence is accepted or refused, once; a refused id is free again.
pub async fn what_waits_is_decided_once(store: &dyn Store) {
    for (number, accept) in [(300, true), (301, false)] {
        let sent = submission(number, "x-sender", &["x-pending"]);
        let id = sent.submission.clone();
        let waits = Event::Pending {
            submission: Box::new(sent.clone()),
            waiting_for: "CRL of TEST CA".into(),
            deadline: "2026-11-30T00:00:00Z".into(),
        };
        let refused = |container: String| Event::Refused {
            facility: sent.sender.facility.clone(),
            submission: Some(id.clone()),
            code: "validation_failed".into(),
            sub_indication: None,
            container_sha256: Some(container),
            report_sha256: None,
        };
        store
            .commit(batch(vec![waits], vec![Condition::SubmissionAbsent(id.clone())]))
            .committed()
            .await
            .unwrap();
        assert_eq!(store.pending().await.unwrap().len(), 1);
        // Another container under the same id is refused; what waits goes on waiting.
        store
            .commit(batch(vec![refused("99".repeat(32))], vec![]))
            .committed()
            .await
            .unwrap();
        assert_eq!(
            store.submission(&id).await.unwrap().unwrap().state,
            SubmissionState::PendingEvidence
        );
        let decided = if accept {
            Event::Accepted(Box::new(sent.clone()))
        } else {
            refused(sent.container_sha256.clone())
        };
        let waiting = Condition::SubmissionIs(id.clone(), SubmissionState::PendingEvidence);
        store
            .commit(batch(vec![decided.clone()], vec![waiting.clone()]))
            .committed()
            .await
            .unwrap();
        let twice = store
            .commit(batch(vec![decided], vec![waiting.clone()]))
            .committed()
            .await;
        assert_eq!(twice, Err(StoreError::Conflict(waiting)));
        assert!(store.pending().await.unwrap().is_empty());
        assert_eq!(store.submission(&id).await.unwrap().is_some(), accept);
    }
    assert_eq!(
        store.inbox(&"x-pending".parse().unwrap(), 0, 10).await.unwrap().len(),
        1
    );
}

/// A clock that went back does not go back in the trail.
pub async fn time_never_goes_back(store: &dyn Store) {
    let read = || Event::TrailRead {
        facility: None,
        from: String::new(),
        to: String::new(),
        format: "csv".into(),
        filter: None,
        concerned: Vec::new(),
    };
    let mut early = batch(vec![read()], vec![]);
    early.time = OffsetDateTime::from_unix_timestamp(1_000_000_000).unwrap();
    store.commit(early).committed().await.unwrap();
    let mut last = String::new();
    for record in store.records(None, 0, 10_000).await.unwrap() {
        let time = record.record().unwrap().unwrap().time;
        assert!(time >= last, "{time} after {last}");
        last = time;
    }
}

/// Many writers at once: each event has its own position, and of those who want the same, one gets it.
pub async fn concurrent_writers_lose_nothing(store: Arc<dyn Store>, writers: u64) {
    let before = store.size().await.unwrap();
    let tickets: Vec<_> = (0..writers)
        .map(|number| {
            let store = Arc::clone(&store);
            // Two writers for each id.
            let sent = submission(1000 + number / 2, "x-many", &["x-sink"]);
            tokio::spawn(async move { store.commit(acceptance(&sent)).committed().await })
        })
        .collect();
    let mut positions = Vec::new();
    for ticket in tickets {
        match ticket.await.unwrap() {
            Ok(done) => positions.extend(done.positions),
            Err(error) => assert!(matches!(error, StoreError::Conflict(Condition::SubmissionAbsent(_)))),
        }
    }
    positions.sort_unstable();
    assert!(positions.into_iter().eq(before..before + writers / 2));
    assert_eq!(store.size().await.unwrap(), before + writers / 2);
    assert_eq!(
        store.inbox(&"x-sink".parse().unwrap(), 0, 1000).await.unwrap().len() as u64,
        writers / 2
    );
}

/// Every facility's numbers run from 1 without a gap, and its account has exactly the records that concern it.
pub async fn sequences_are_gapless(store: &dyn Store) {
    let mut own: BTreeMap<FacilityCode, Vec<u64>> = BTreeMap::new();
    for (position, record) in (0..).zip(store.records(None, 0, 10_000).await.unwrap()) {
        assert_eq!(record.position, position);
        for (facility, sequence) in record.record().unwrap().unwrap().facility_seq {
            let positions = own.entry(facility.clone()).or_default();
            positions.push(position);
            assert_eq!(sequence, positions.len() as u64, "{facility} at {position}");
        }
    }
    assert!(own.len() > 5);
    for (facility, positions) in own {
        let mut found: Vec<u64> = Vec::new();
        loop {
            let from = found.last().map_or(0, |last| last + 1);
            let page = store.records(Some(&facility), from, 7).await.unwrap();
            if page.is_empty() {
                break;
            }
            found.extend(page.iter().map(|record| record.position));
        }
        assert_eq!(found, positions, "{facility}");
    }
}

/// Every accepted submission has a receipt that verifies offline, and no one else's position makes one.
pub async fn receipts_verify(store: &dyn Store, vkey: &str) {
    let size = store.size().await.unwrap();
    for number in [1, 100, 200, 1000, 1042] {
        let id = submission(number, "x-any", &[]).submission;
        let row = store.submission(&id).await.unwrap().unwrap();
        let receipt = store.receipt(&id, row.position).await.unwrap().unwrap();
        let record = receipt.verify(vkey).unwrap();
        assert_eq!(record.event.submission(), Some(&id));
    }
    let id = submission(1, "x-any", &[]).submission;
    assert_eq!(store.receipt(&id, size).await.unwrap(), None);
    let other = store.receipt(&id, 0).await.unwrap().unwrap();
    assert!(other.verify(vkey).is_err());
    assert_eq!(
        Checkpoint::verify(&store.checkpoint().await.unwrap(), vkey)
            .unwrap()
            .size,
        size
    );
}
