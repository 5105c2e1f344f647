//! What a store must do when the key of a month is destroyed: nothing of it is read any more, everything else stands.

use std::collections::BTreeMap;
use std::sync::Arc;

use formats::trail::{Class, Erased, Event};
use formats::wire::{FacilityCode, Purpose, Receipt, SubmissionId};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{access, batch, submission};
use crate::store::{Condition, Month, Store, StoreError, StoredRecord};

const SENDER: &str = "x-sender";
const RECIPIENT: &str = "x-recipient";

async fn commit(
    store: &dyn Store,
    at: &str,
    events: Vec<Event>,
    conditions: Vec<Condition>,
) -> Result<u64, StoreError> {
    let mut batch = batch(events, conditions);
    batch.time = OffsetDateTime::parse(at, &Rfc3339).unwrap();
    let done = store.commit(batch).committed().await?;
    Ok(*done.positions.last().unwrap())
}

async fn letter(store: &dyn Store, at: &str, number: u64) -> (SubmissionId, u64) {
    let sent = submission(number, SENDER, &[RECIPIENT]);
    let id = sent.submission.clone();
    let position = commit(store, at, vec![Event::Accepted(Box::new(sent))], vec![])
        .await
        .unwrap();
    let viewed = Event::Viewed(access(&id, RECIPIENT, Purpose::View));
    commit(store, at, vec![viewed], vec![]).await.unwrap();
    (id, position)
}

fn container_erased(id: &SubmissionId) -> Event {
    Event::ContainerErased {
        submission: id.clone(),
        sender: SENDER.parse().unwrap(),
        recipients: vec![RECIPIENT.parse().unwrap()],
        patient: "12345".into(),
        container_sha256: "01".repeat(32),
    }
}

fn held(id: &SubmissionId, lifted: bool) -> Event {
    let (sender, recipients) = (SENDER.parse().unwrap(), vec![RECIPIENT.parse().unwrap()]);
    let (submission, reason) = (id.clone(), "TEST dispute".to_owned());
    if lifted {
        return Event::HoldLifted {
            submission,
            sender,
            recipients,
            reason,
        };
    }
    Event::HoldSet {
        submission,
        sender,
        recipients,
        reason,
    }
}

async fn all_records(store: &dyn Store, facility: Option<&FacilityCode>) -> Vec<StoredRecord> {
    store.records(facility, 0, 10_000).await.unwrap()
}

/// What a month's account records were to each facility.
async fn tally(store: &dyn Store, month: &Month) -> BTreeMap<FacilityCode, Erased> {
    let mut tally = BTreeMap::<FacilityCode, Erased>::new();
    for stored in all_records(store, None).await {
        let record = stored.record().unwrap().unwrap();
        if record.event.class() != month.class || !record.time.starts_with(&month.month) {
            continue;
        }
        for (facility, number) in record.facility_seq {
            let erased = tally.entry(facility).or_insert(Erased {
                records: 0,
                first: number,
                last: number,
            });
            erased.records += 1;
            erased.last = number;
        }
    }
    tally
}

/// Three months of letters, of which the first is erased. Runs on an empty store.
///
/// # Panics
/// Where the store does not do what it must.
pub async fn a_month_is_erased_and_the_rest_stands(store: Arc<dyn Store>, vkey: &str) {
    let store = &*store;
    let (sender, recipient): (FacilityCode, FacilityCode) = (SENDER.parse().unwrap(), RECIPIENT.parse().unwrap());
    let named = [&sender, &recipient].map(|code| Event::FacilityAdded {
        facility: code.clone(),
        name: "TEST".into(),
    });
    let member = Event::MemberAdded {
        facility: recipient.clone(),
        member: "staff".parse().unwrap(),
        name: "TEST person".into(),
    };
    let first = [named.to_vec(), vec![member]].concat();
    commit(store, "2026-11-02T00:00:00Z", first, vec![]).await.unwrap();
    let (one, position) = letter(store, "2026-11-03T00:00:00Z", 1).await;
    let refused = Event::Refused {
        facility: sender.clone(),
        submission: Some(submission(9, SENDER, &[RECIPIENT]).submission),
        code: "validation_failed".into(),
        sub_indication: None,
        container_sha256: None,
        report_sha256: None,
    };
    commit(store, "2026-11-04T00:00:00Z", vec![refused], vec![])
        .await
        .unwrap();
    // Between them one that stays.
    let device = Event::DeviceRevoked {
        facility: sender.clone(),
        device: "d1".parse().unwrap(),
    };
    commit(store, "2026-11-05T00:00:00Z", vec![device], vec![])
        .await
        .unwrap();
    let (two, _) = letter(store, "2026-11-30T23:59:59.999Z", 2).await;
    let (three, kept) = letter(store, "2026-12-01T00:00:00Z", 3).await;
    let early: Receipt = store.receipt(&one, position).await.unwrap().unwrap();
    let went = vec![container_erased(&one), container_erased(&two)];
    commit(store, "2027-03-01T00:00:00Z", went, vec![]).await.unwrap();
    assert_eq!(
        store.stored_bytes(&sender).await.unwrap(),
        2000,
        "the third is still held"
    );

    let months = store.months().await.unwrap();
    let names: Vec<_> = months.iter().map(|month| (month.month.as_str(), month.class)).collect();
    assert_eq!(
        names,
        [
            ("2026-11", Class::Account),
            ("2026-11", Class::Standing),
            ("2026-12", Class::Account),
            ("2027-03", Class::Account)
        ]
    );
    let november = months.into_iter().next().unwrap();
    let erased = tally(store, &november).await;
    assert_eq!(erased[&sender].records, 5, "two letters, two looks, one refusal");
    let before = all_records(store, None).await;
    let destroyed = Event::KeyDestroyed {
        class: november.class,
        month: november.month.clone(),
        first: november.first,
        last: november.last,
        records: before
            .iter()
            .filter_map(|stored| stored.record().unwrap())
            .filter(|record| record.event.class() == november.class && record.time.starts_with(&november.month))
            .count() as u64,
        erased,
    };
    let closed = |last: u64, seen: u64| Condition::MonthClosed {
        class: Class::Account,
        month: "2026-11".into(),
        last,
        seen,
    };
    let now = "2032-01-01T00:00:00Z";
    // Not while something was added to it, nor while something is held since it was looked at.
    let seen = store.size().await.unwrap();
    let late = closed(november.last - 1, seen);
    let refused = commit(store, now, vec![destroyed.clone()], vec![late.clone()]).await;
    assert_eq!(refused, Err(StoreError::Conflict(late)));
    commit(
        store,
        now,
        vec![held(&one, false)],
        vec![Condition::NotHeld(one.clone())],
    )
    .await
    .unwrap();
    assert!(store.submission(&one).await.unwrap().unwrap().hold.is_some());
    let raced = closed(november.last, seen);
    let refused = commit(store, now, vec![destroyed.clone()], vec![raced.clone()]).await;
    assert_eq!(refused, Err(StoreError::Conflict(raced)));
    commit(store, now, vec![held(&one, true)], vec![Condition::Held(one.clone())])
        .await
        .unwrap();
    let seen = store.size().await.unwrap();
    let done = commit(store, now, vec![destroyed.clone()], vec![closed(november.last, seen)])
        .await
        .unwrap();
    let again = commit(store, now, vec![destroyed], vec![closed(november.last, seen)]).await;
    assert!(matches!(again, Err(StoreError::Conflict(_))), "a key is destroyed once");

    // What it said is gone, that it was said is not.
    assert!(store.months().await.unwrap()[0].destroyed);
    let after = all_records(store, None).await;
    assert_eq!(after.len() as u64, done + 1);
    for (was, is) in before.iter().zip(&after) {
        assert_eq!((was.position, was.commitment), (is.position, is.commitment));
        let record = was.record().unwrap().unwrap();
        let gone = record.event.class() == Class::Account && record.time.starts_with("2026-11");
        assert_eq!(is.content.is_none(), gone, "position {}", is.position);
        if !gone {
            assert!(is == was);
        }
    }
    for id in [&one, &two] {
        assert!(store.submission(id).await.unwrap().is_none());
        assert_eq!(store.receipt(id, position).await.unwrap(), None);
    }
    let left = store.submission_records(&two).await.unwrap();
    assert_eq!(left.len(), 1, "what came in a later month is there: {left:?}");
    let inbox = store.inbox(&recipient, 0, 100).await.unwrap();
    let inbox: Vec<_> = inbox.iter().map(|row| &row.submission.submission).collect();
    assert_eq!(inbox, [&three]);
    assert_eq!(store.stored_bytes(&sender).await.unwrap(), 2000);
    assert_eq!(
        store
            .member(&recipient, &"staff".parse().unwrap())
            .await
            .unwrap()
            .unwrap()
            .name,
        "TEST person"
    );

    // A facility's account shows its own gap, and goes on counting where it was.
    for facility in [&sender, &recipient] {
        let (mut last, mut skipped) = (0, 0);
        for stored in all_records(store, Some(facility)).await {
            let record = stored.record().unwrap().unwrap();
            let number = record.facility_seq[facility];
            skipped += number - last - 1;
            last = number;
            if let Event::KeyDestroyed { erased, .. } = record.event {
                assert_eq!(erased[facility].records, skipped);
            }
        }
        let next = Event::DeviceRevoked {
            facility: facility.clone(),
            device: "d2".parse().unwrap(),
        };
        let position = commit(store, now, vec![next], vec![]).await.unwrap();
        let record = store.records(None, position, 1).await.unwrap()[0]
            .record()
            .unwrap()
            .unwrap();
        assert_eq!(record.facility_seq[facility], last + 1);
    }

    // Proofs: the old one, and a new one of what stays.
    early.verify(vkey).unwrap();
    store
        .receipt(&three, kept)
        .await
        .unwrap()
        .unwrap()
        .verify(vkey)
        .unwrap();
}
