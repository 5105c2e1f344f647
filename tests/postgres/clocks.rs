//! The database's clock is a year wrong for a while, either way: relays whose own clocks are right write nothing by it, and go on when
//! it is right again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use relay::store::conformance::{acceptance, submission};
use relay::store::{ClockGuard, Committed, PostgresStore, Store as _, StoreError};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{cluster, holds, open};

/// A clock of this database that can be set: found before the one every database has.
const CLOCK: [&str; 3] = [
    "CREATE SCHEMA wrong; CREATE TABLE wrong.clock (by interval NOT NULL); INSERT INTO wrong.clock VALUES ('0')",
    "CREATE FUNCTION wrong.now() RETURNS timestamptz LANGUAGE sql STABLE AS \
     'SELECT pg_catalog.now() + (SELECT by FROM wrong.clock)'",
    "ALTER ROLE relay IN DATABASE \"NAME\" SET search_path = public, wrong, pg_catalog",
];

async fn send(store: &PostgresStore, number: u64) -> Result<Committed, StoreError> {
    let mut sent = acceptance(&submission(number, "x-sender", &["x-inbox"]));
    sent.time = OffsetDateTime::now_utc();
    store.commit(sent).committed().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_whose_clock_is_a_year_wrong_dates_no_record_and_keeps_no_lease() {
    let Some(cluster) = cluster("a_database_whose_clock_is_a_year_wrong_dates_no_record_and_keeps_no_lease") else {
        return;
    };
    let place = cluster.database();
    let name = place.rsplit_once('=').unwrap().1.to_owned();
    let sql = |statement: &str| tokio::task::block_in_place(|| cluster.sql(&name, statement));
    for statement in CLOCK {
        sql(&statement.replace("NAME", &name));
    }
    let guard = Arc::new(ClockGuard::new(Duration::from_secs(120)));
    let stores = [open(&place).await, open(&place).await];
    for store in &stores {
        store.guard(Arc::clone(&guard));
    }
    let begun = OffsetDateTime::now_utc();
    let mut acknowledged = BTreeMap::new();
    for (number, store) in (1..).zip(&stores) {
        acknowledged.insert(number, send(store, number).await.unwrap().positions[0]);
    }
    let mut number = 10;
    for wrong in ["1 year", "-1 year", "1 year"] {
        sql(&format!("UPDATE wrong.clock SET by = '{wrong}'"));
        // Both see it by themselves, before anything is handed in to them.
        let holder = "SELECT count(*) FROM hikyaku_leases WHERE name = 'sequencer' AND expires > '1971-01-01'";
        let deadline = Instant::now() + Duration::from_secs(30);
        while sql(holder) != "0" {
            assert!(Instant::now() < deadline, "the lease is not given up: {wrong}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // The other looks as often as the one that wrote.
        tokio::time::sleep(Duration::from_secs(2)).await;
        for store in &stores {
            number += 1;
            // What one that has not looked yet has proposed is in doubt.
            let refused = loop {
                match send(store, number).await {
                    Err(StoreError::Broken(_)) => number += 1,
                    refused => break refused,
                }
            };
            let Err(StoreError::Clock(why)) = refused else {
                panic!("{wrong}: {refused:?}");
            };
            assert_eq!(why.matches('Z').count(), 2, "both times: {why}");
        }
        sql("UPDATE wrong.clock SET by = '0'");
        for store in &stores {
            number += 1;
            let deadline = Instant::now() + Duration::from_secs(30);
            let position = loop {
                match send(store, number).await {
                    Ok(done) => break done.positions[0],
                    Err(StoreError::Clock(_)) => assert!(Instant::now() < deadline, "{wrong}"),
                    Err(error) => panic!("{wrong}: {error}"),
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            };
            acknowledged.insert(number, position);
        }
    }
    for record in stores[0].records(None, 0, 1000).await.unwrap() {
        let time = OffsetDateTime::parse(&record.record().unwrap().unwrap().time, &Rfc3339).unwrap();
        assert!((time - begun).abs() < time::Duration::hours(1), "{time}");
    }
    let doubtful: BTreeSet<u64> = (11..=number).filter(|sent| !acknowledged.contains_key(sent)).collect();
    holds(&stores[0], &acknowledged, &doubtful).await;
}
