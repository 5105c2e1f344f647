//! Histories made by chance, on each store and on the model: what the model says is what every store says, however often it was
//! closed, and whichever write fails.
//!
//! `HIKYAKU_HISTORIES` (default 32) is how many are tried, `HIKYAKU_HISTORY_SEED` which; both are fixed so that a failure returns.

use std::path::Path;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{RngSeed, TestRunner};

use super::super::conformance::model::{Model, Turn, live};
use super::super::{Fault, FaultyStore, FileStore, IndexKind, MemoryStore, Store, StoreError};
use super::strategy::{histories, turn};
use super::{Bad, Trouble, key, keys};
use crate::trail::Disk;

fn runner() -> TestRunner {
    let number = |name: &str, otherwise| std::env::var(name).map_or(otherwise, |value| value.parse().unwrap());
    TestRunner::new(ProptestConfig {
        cases: u32::try_from(number("HIKYAKU_HISTORIES", 32)).unwrap(),
        rng_seed: RngSeed::Fixed(number("HIKYAKU_HISTORY_SEED", 20_261_122)),
        failure_persistence: None,
        ..ProptestConfig::default()
    })
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

fn open(data: &Path) -> FileStore {
    FileStore::open(data, key(), &keys()).unwrap()
}

#[test]
fn memory_store_does_as_the_model() {
    let lived = runner().run(&histories(), |history| {
        runtime().block_on(live(MemoryStore::new(key()).unwrap(), &history, async |store| store));
        Ok(())
    });
    assert!(lived.is_ok(), "{}", lived.unwrap_err());
}

#[test]
fn a_file_store_with_redb_does_as_the_model() {
    file_store_does_as_the_model(IndexKind::Redb);
}

#[test]
fn a_file_store_with_sled_does_as_the_model() {
    file_store_does_as_the_model(IndexKind::Sled);
}

fn file_store_does_as_the_model(kind: IndexKind) {
    let lived = runner().run(&histories(), |history| {
        let data = tempfile::tempdir().unwrap();
        let open = || FileStore::open_in(kind, data.path(), key(), &keys()).unwrap();
        let reopen = async |store| {
            drop(store);
            open()
        };
        runtime().block_on(live(open(), &history, reopen));
        Ok(())
    });
    assert!(lived.is_ok(), "{}", lived.unwrap_err());
}

/// One history of so many turns; many of them are refused by their conditions.
fn one(turns: usize) -> Vec<Turn> {
    proptest::collection::vec(turn(), turns)
        .new_tree(&mut runner())
        .unwrap()
        .current()
}

/// Lives `history` on a store whose `n`-th write fails; what was refused is tried again, what had no answer is looked for.
async fn live_with<S: Store>(inner: S, history: &[Turn], n: u64, fault: &Fault) -> (Model, FaultyStore<S>) {
    let store = FaultyStore::new(inner, n, fault.clone());
    let mut model = Model::default();
    for (turn, number) in history.iter().zip(1..) {
        let mut done = store.commit(turn.batch()).committed().await;
        match (number == n, fault) {
            (false, _) => {}
            (true, Fault::Refused(error)) => {
                assert_eq!(done.as_ref(), Err(error));
                model.agrees(&store).await;
                done = store.commit(turn.batch()).committed().await;
            }
            (true, Fault::AnswerLost) => {
                assert!(matches!(done, Err(StoreError::Broken(_))));
                let whole = model.take(turn);
                // Whatever is asked after a later write sees it, whole or, where a condition did not hold, not at all.
                let after = store
                    .commit(
                        Turn {
                            steps: vec![],
                            ..turn.clone()
                        }
                        .batch(),
                    )
                    .committed()
                    .await;
                assert!(after.is_ok(), "{after:?}");
                model.agrees(&store).await;
                if whole.is_ok_and(|positions| !positions.is_empty()) {
                    continue;
                }
                done = store.commit(turn.batch()).committed().await;
            }
        }
        assert_eq!(done.map(|done| done.positions), model.take(turn), "{turn:?}");
    }
    model.agrees(&store).await;
    (model, store)
}

#[test]
fn whichever_write_fails_nothing_is_lost_and_nothing_is_half() {
    let history = one(40);
    let faults = [
        Fault::Refused(StoreError::Full),
        Fault::Refused(StoreError::Broken("TEST".into())),
        Fault::AnswerLost,
    ];
    for fault in &faults {
        for n in 1..=history.len() as u64 {
            runtime().block_on(live_with(MemoryStore::new(key()).unwrap(), &history, n, fault));
        }
    }
    for (n, fault) in (1..=history.len() as u64).zip(faults.iter().cycle()) {
        let data = tempfile::tempdir().unwrap();
        let (model, store) = runtime().block_on(live_with(open(data.path()), &history, n, fault));
        drop(store);
        runtime().block_on(model.agrees(&open(data.path())));
    }
}

/// The disk itself: a write that has no room, one that fails half-way, a sync that fails.
#[test]
fn whichever_write_of_the_disk_fails_nothing_is_lost_and_nothing_is_half() {
    let history = one(100);
    for trouble in [Trouble::Full, Trouble::Write, Trouble::Sync] {
        let mut failed = 0;
        for n in 1.. {
            let data = tempfile::tempdir().unwrap();
            let bad = Bad::default();
            *bad.0.1.lock().unwrap() = Some((n, trouble));
            let mut store =
                FileStore::open_on(IndexKind::default(), data.path(), key(), &keys(), Box::new(bad)).unwrap();
            let (mut model, mut fell) = (Model::default(), false);
            store = runtime().block_on(async {
                for turn in &history {
                    let mut done = store.commit(turn.batch()).committed().await;
                    let broken = match &done {
                        Err(StoreError::Full) => false,
                        Err(StoreError::Broken(_)) => true,
                        _ => {
                            assert_eq!(done.map(|done| done.positions), model.take(turn), "{turn:?}");
                            continue;
                        }
                    };
                    assert!(!fell, "one fault, two failures");
                    fell = true;
                    if broken {
                        drop(store);
                        store = FileStore::open_on(IndexKind::default(), data.path(), key(), &keys(), Box::new(Disk))
                            .unwrap();
                        // Without answer it may have become durable; then all of it.
                        if store.size().await.unwrap() > model.size() {
                            model.take(turn).unwrap();
                            model.agrees(&store).await;
                            continue;
                        }
                    }
                    model.agrees(&store).await;
                    done = store.commit(turn.batch()).committed().await;
                    assert_eq!(done.map(|done| done.positions), model.take(turn), "{turn:?}");
                }
                model.agrees(&store).await;
                store
            });
            drop(store);
            runtime().block_on(model.agrees(&open(data.path())));
            if !fell {
                break;
            }
            failed += 1;
        }
        assert!(failed > 10, "only {failed} writes failed");
    }
}
