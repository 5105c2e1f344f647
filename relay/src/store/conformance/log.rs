//! What a store must do for the log: daily heads, the stamps over checkpoints, the nodes of the tree.

use formats::trail::{Checkpoint, Event, subtree, tree};
use formats::wire::FacilityCode;

use super::batch;
use crate::store::{Condition, Stamped, Store, StoreError};

/// A head for each facility and day, once; of two in one batch both or neither; days never go back.
pub(super) async fn each_day_has_one_head(store: &dyn Store) {
    let [first, second]: [FacilityCode; 2] = ["x-head-a", "x-head-b"].map(|code| code.parse().unwrap());
    let added = [&first, &second].map(|facility| Event::FacilityAdded {
        facility: facility.clone(),
        name: "TEST".into(),
    });
    let added = store.commit(batch(added.to_vec(), vec![])).committed().await.unwrap();
    let newest = async |facility: &FacilityCode| store.facility(facility).await.unwrap().unwrap().head;
    let joined = newest(&first).await.unwrap();
    let heads = async |facilities: &[&FacilityCode], day: &str| {
        let events = facilities.iter().map(|facility| Event::Head {
            facility: (*facility).clone(),
            day: day.into(),
        });
        let due = |facility: &&FacilityCode| Condition::HeadDue((*facility).clone(), day.into());
        let batch = batch(events.collect(), facilities.iter().map(due).collect());
        store.commit(batch).committed().await
    };
    let refused = |facility: &FacilityCode, day: &str| {
        Err(StoreError::Conflict(Condition::HeadDue(facility.clone(), day.into())))
    };
    // Of the day before it joined there is nothing to close.
    assert_eq!(heads(&[&first], &joined).await, refused(&first, &joined));
    let closed = heads(&[&first], "2027-01-01").await.unwrap().positions;
    assert_eq!(newest(&first).await.as_deref(), Some("2027-01-01"));
    assert_eq!(newest(&second).await, Some(joined), "the other's day is not over");
    for day in ["2027-01-01", "2026-12-31"] {
        assert_eq!(heads(&[&first], day).await, refused(&first, day));
    }
    let size = store.size().await.unwrap();
    assert_eq!(
        heads(&[&second, &first], "2027-01-01").await,
        refused(&first, "2027-01-01")
    );
    assert_eq!(store.size().await.unwrap(), size, "neither");
    assert_eq!(
        heads(&[&first, &second], "2027-01-02").await.unwrap().positions.len(),
        2
    );
    let unknown: FacilityCode = "x-head-none".parse().unwrap();
    assert_eq!(heads(&[&unknown], "2027-01-01").await, refused(&unknown, "2027-01-01"));
    // The head's own number is the facility's highest.
    let own = store.records(Some(&first), 0, 10).await.unwrap();
    let head = own.get(1).unwrap();
    assert_eq!(
        [own.first().unwrap().position, head.position],
        [added.positions[0], closed[0]]
    );
    let record = head.record().unwrap().unwrap();
    assert_eq!(record.facility_seq, [(first, 2)].into());
}

/// The newest stamp is known; of two relays that stamp after the same one, one is recorded; no facility's account has it.
pub(super) async fn a_stamp_follows_the_last_once(store: &dyn Store) {
    assert_eq!(store.stamped().await.unwrap(), None);
    let stamp = async |size: u64, last: Option<u64>| {
        let event = Event::CheckpointStamped {
            size,
            root: "AA==".into(),
            checkpoint_sha256: "01".repeat(32),
            token_sha256: format!("{size:064x}"),
            gen_time: "2026-11-22T01:00:00Z".into(),
        };
        let batch = batch(vec![event], vec![Condition::LastStamped(last)]);
        store.commit(batch).committed().await
    };
    for (size, last) in [(3, None), (5, Some(3))] {
        let position = stamp(size, last).await.unwrap().positions[0];
        let record = store.records(None, position, 1).await.unwrap().remove(0).record();
        let record = record.unwrap().unwrap();
        assert_eq!(record.event.kind(), "CheckpointStamped");
        assert!(record.facility_seq.is_empty());
        let newest = Stamped {
            size,
            time: record.time,
            token_sha256: format!("{size:064x}"),
        };
        assert_eq!(store.stamped().await.unwrap(), Some(newest));
        assert_eq!(
            stamp(size + 1, last).await,
            Err(StoreError::Conflict(Condition::LastStamped(last)))
        );
    }
}

/// Nodes come in the order asked for, over the commitments of the records, and make the root that is signed.
pub(super) async fn nodes_make_the_signed_root(store: &dyn Store, vkey: &str) {
    let signed = Checkpoint::verify(&store.checkpoint().await.unwrap(), vkey).unwrap();
    let records = store.records(None, 0, 10_000).await.unwrap();
    assert_eq!(records.len() as u64, signed.size);
    let numbers: Vec<u64> = (0..signed.size).map(|position| subtree(0, position)).collect();
    let backwards: Vec<u64> = numbers.iter().rev().copied().collect();
    let leaves = store.nodes(backwards).await.unwrap();
    let expected = records.iter().rev().map(|record| tree::leaf(&record.commitment));
    assert!(leaves.into_iter().eq(expected));

    // All nodes there are: up to the last leaf, and what it completed above itself.
    let count = numbers.last().unwrap() + u64::from(signed.size.trailing_zeros()) + 1;
    let nodes = store.nodes((0..count).collect()).await.unwrap();
    let node = |number: u64| nodes.get(usize::try_from(number).unwrap()).copied();
    assert_eq!(tree::root(signed.size, node), Ok(signed.root));
    assert_eq!(store.nodes(vec![2, 2]).await.unwrap(), [nodes[2], nodes[2]]);
    assert!(store.nodes(vec![]).await.unwrap().is_empty());
    assert!(
        store.nodes(vec![0, subtree(0, signed.size)]).await.is_err(),
        "not there"
    );
}
