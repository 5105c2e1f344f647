//! The database is killed, gone for a while, or replaced by its replica, while letters come in through two stores.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kit::tally::Tally;
use kit::{Postgres, skip};
use relay::store::conformance::submission;
use relay::store::{PostgresStore, Store as _, StoreError};

use super::{holds, open, send};

/// What writers were told.
#[derive(Default)]
struct Told {
    acknowledged: BTreeMap<u64, u64>,
    doubtful: BTreeSet<u64>,
}

/// Counts what became of it, in the store itself, and holds the store to it.
async fn judge(fault: &str, stores: &[Arc<PostgresStore>], told: &Told) {
    let Some(store) = stores.first() else { return };
    let mut found: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for record in store.records(None, 0, 1_000_000).await.unwrap() {
        let said = record.record().unwrap().unwrap();
        let id = said.event.submission().unwrap().as_str().to_owned();
        found.entry(id).or_default().push(record.position);
    }
    let mut tally = Tally {
        acknowledged: told.acknowledged.len() as u64,
        duplicated: found.values().filter(|positions| positions.len() > 1).count() as u64,
        ..Tally::default()
    };
    for (number, position) in &told.acknowledged {
        let id = submission(*number, "x-sender", &[]).submission;
        let kept = found.get(id.as_str()).is_some_and(|found| found.contains(position));
        tally.lost += u64::from(!kept);
    }
    println!("{fault}: {} letters in doubt", told.doubtful.len());
    tally.tell(fault);
    for store in stores {
        holds(store, &told.acknowledged, &told.doubtful).await;
    }
}

/// Writers that send letter after letter through these stores until they are told to end.
async fn under_load(stores: &[Arc<PostgresStore>], fault: impl FnOnce() + Send + 'static) -> Told {
    let ended = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for (writer, store) in (0..8).zip(stores.iter().cycle()) {
        let (store, ended) = (Arc::clone(store), Arc::clone(&ended));
        writers.push(tokio::spawn(async move {
            let mut told = Told::default();
            let mut number = writer * 1_000_000;
            while !ended.load(Ordering::SeqCst) {
                number += 1;
                match send(&store, number).await {
                    Ok(done) => drop(told.acknowledged.insert(number, done.positions[0])),
                    Err(StoreError::Broken(_)) => drop(told.doubtful.insert(number)),
                    Err(error) => panic!("{number}: {error}"),
                }
            }
            // It goes on after the fault.
            send(&store, number + 1)
                .await
                .map(|done| told.acknowledged.insert(number + 1, done.positions[0]))
                .unwrap();
            told
        }));
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    tokio::task::spawn_blocking(fault).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    ended.store(true, Ordering::SeqCst);
    let mut all = Told::default();
    for writer in writers {
        let told = writer.await.unwrap();
        all.acknowledged.extend(told.acknowledged);
        all.doubtful.extend(told.doubtful);
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_killed_in_the_middle_loses_and_doubles_nothing() {
    let Some(cluster) = Postgres::start(&[]) else {
        return skip(
            "a_database_killed_in_the_middle_loses_and_doubles_nothing",
            "PostgreSQL is not installed",
        );
    };
    let cluster = Arc::new(cluster);
    let place = cluster.database();
    let stores = [open(&place).await, open(&place).await];
    let killed = Arc::clone(&cluster);
    let told = under_load(&stores, move || {
        for _ in 0..2 {
            killed.kill9();
            killed.restart();
            std::thread::sleep(Duration::from_millis(300));
        }
    })
    .await;
    assert!(told.acknowledged.len() > 16);
    judge("PostgreSQL killed twice", &stores, &told).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_takes_over_with_everything_acknowledged() {
    let Some(first) = Postgres::start(&["wal_level=replica", "max_wal_senders=4"]) else {
        return skip(
            "a_replica_takes_over_with_everything_acknowledged",
            "PostgreSQL is not installed",
        );
    };
    first.sql("postgres", "CREATE DATABASE trail");
    let second = first.replica("second");
    first.sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = 'second'");
    first.sql("postgres", "SELECT pg_reload_conf()");
    let hosts = format!(
        "host={},{} user=relay dbname=trail",
        first.socket().display(),
        second.socket().display()
    );
    let stores = [open(&hosts).await, open(&hosts).await];
    let clusters = Arc::new((first, second));
    let failing = Arc::clone(&clusters);
    let told = under_load(&stores, move || {
        failing.0.kill9();
        failing.1.promote();
    })
    .await;
    assert!(told.acknowledged.len() > 16);
    judge("PostgreSQL failed over to its replica", &stores, &told).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_hangs_for_longer_than_a_lease_loses_and_doubles_nothing() {
    let Some(cluster) = Postgres::start(&[]) else {
        return skip(
            "a_database_that_hangs_for_longer_than_a_lease_loses_and_doubles_nothing",
            "PostgreSQL is not installed",
        );
    };
    let cluster = Arc::new(cluster);
    let place = cluster.database();
    let stores = [open(&place).await, open(&place).await];
    let hanging = Arc::clone(&cluster);
    let told = under_load(&stores, move || {
        hanging.freeze();
        // A lease has three seconds.
        std::thread::sleep(Duration::from_secs(5));
        hanging.thaw();
    })
    .await;
    assert!(told.acknowledged.len() > 16);
    judge("PostgreSQL hung for five seconds", &stores, &told).await;
}
