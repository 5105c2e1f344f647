//! The database is killed, gone for a while, or replaced by its replica, while letters come in through two stores.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kit::{Postgres, skip};
use relay::store::{PostgresStore, StoreError};

use super::{holds, open, send};

/// What writers were told.
#[derive(Default)]
struct Told {
    acknowledged: BTreeMap<u64, u64>,
    doubtful: BTreeSet<u64>,
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
    for store in &stores {
        holds(store, &told.acknowledged, &told.doubtful).await;
    }
    println!(
        "database killed twice: acknowledged {}, in doubt {}, lost 0, duplicated 0",
        told.acknowledged.len(),
        told.doubtful.len()
    );
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
    for store in &stores {
        holds(store, &told.acknowledged, &told.doubtful).await;
    }
    println!(
        "replica promoted: acknowledged {}, in doubt {}, lost 0, duplicated 0",
        told.acknowledged.len(),
        told.doubtful.len()
    );
}
