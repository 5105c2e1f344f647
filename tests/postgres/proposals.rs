//! What relays hand in, when something is in the way: no space, a row that is damaged, a batch the database refuses, a newer release,
//! a relay's clock that differs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use formats::trail::Event;
use kit::Postgres;
use relay::store::conformance::{acceptance, batch, submission};
use relay::store::{ClockGuard, Condition, Store as _, StoreError};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{cluster, holds, open, send};

/// Records are refused as on a full disk.
const FULL: &str = "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS \
     $$ BEGIN RAISE EXCEPTION 'no space' USING ERRCODE = 'disk_full'; END $$; \
     CREATE TRIGGER full_disk BEFORE INSERT ON hikyaku_records FOR EACH ROW EXECUTE FUNCTION full_disk()";
/// A relay that is gone holds the lease still.
const GONE: &str = "UPDATE hikyaku_leases SET holder = gen_random_uuid(), epoch = epoch + 1, \
     expires = now() + interval '3 seconds' WHERE name = 'sequencer'; UPDATE hikyaku_log SET epoch = epoch + 1";
const HOLDER: &str = "SELECT holder FROM hikyaku_leases WHERE name = 'sequencer'";
const OPEN: &str = "SELECT count(*) FROM hikyaku_proposals";

async fn until(what: &str, mut reached: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !tokio::task::block_in_place(&mut reached) {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The shared cluster, and a new database: its connection string and its name.
fn database(test: &str) -> Option<(Arc<Postgres>, String, String)> {
    let cluster = cluster(test)?;
    let place = cluster.database();
    let name = place.rsplit_once('=').unwrap().1.to_owned();
    Some((cluster, place, name))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_still_be_written_is_not_said_to_have_been_refused() {
    let Some((cluster, place, name)) = database("what_may_still_be_written_is_not_said_to_have_been_refused") else {
        return;
    };
    let sql = |statement: &str| tokio::task::block_in_place(|| cluster.sql(&name, statement));
    let store = open(&place).await;
    let mut acknowledged = BTreeMap::new();
    acknowledged.insert(1, send(&store, 1).await.unwrap().positions[0]);
    sql(FULL);
    sql(GONE);
    let gone = sql(HOLDER);
    let writer = Arc::clone(&store);
    let sent = tokio::spawn(async move { send(&writer, 2).await });
    until("it is proposed", || sql(OPEN) == "1").await;
    let id = submission(2, "x-sender", &[]).submission;
    assert_eq!(store.undecided().await.unwrap(), [id]);
    // It takes the lease with its own proposal open, and cannot write.
    until("it takes over", || sql(HOLDER) != gone).await;
    // What comes now is nowhere, and is told so at once.
    assert_eq!(send(&store, 3).await, Err(StoreError::Full));
    assert!(!sent.is_finished(), "nobody can say yet that it was refused");
    assert_eq!(sql(OPEN), "1");
    sql("DROP TRIGGER full_disk ON hikyaku_records");
    acknowledged.insert(2, sent.await.unwrap().unwrap().positions[0]);
    assert!(store.undecided().await.unwrap().is_empty());
    holds(&store, &acknowledged, &BTreeSet::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_row_and_a_batch_the_database_refuses_stop_nothing_else() {
    let Some((cluster, place, name)) = database("a_damaged_row_and_a_batch_the_database_refuses_stop_nothing_else")
    else {
        return;
    };
    let sql = |statement: &str| tokio::task::block_in_place(|| cluster.sql(&name, statement));
    let mut acknowledged = BTreeMap::new();
    {
        let store = open(&place).await;
        for number in 1..4 {
            acknowledged.insert(number, send(&store, number).await.unwrap().positions[0]);
        }
        drop(Arc::into_inner(store).unwrap());
    }
    let id = submission(2, "x-sender", &[]).submission;
    let damaged = sql(&format!(
        "UPDATE hikyaku_rows SET value = '\\x00' WHERE encode(key, 'escape') LIKE 's{id}%' RETURNING 1"
    ));
    assert_eq!(damaged, "1");
    sql("ALTER TABLE hikyaku_records ADD CONSTRAINT short CHECK (length(frame) < 20000)");
    let stores = [open(&place).await, open(&place).await];
    let added = |code: &str| Event::FacilityAdded {
        facility: code.parse().unwrap(),
        name: "TEST".into(),
    };
    let mut large = submission(500, "x-sender", &["x-inbox"]);
    large.signer = Some("x".repeat(30_000));
    let mut bad = Vec::new();
    let mut good = Vec::new();
    for (number, store) in (10..40).zip(stores.iter().cycle()) {
        if number % 10 == 5 {
            let onto = batch(vec![added("x-damaged")], vec![Condition::Kept(id.clone())]);
            bad.push(store.commit(onto));
            bad.push(store.commit(acceptance(&large)));
        }
        let sent = submission(number, "x-sender", &["x-inbox"]);
        good.push((number, store.commit(acceptance(&sent))));
    }
    for (number, ticket) in good {
        acknowledged.insert(number, ticket.committed().await.unwrap().positions[0]);
    }
    for ticket in bad {
        let answer = ticket.committed().await;
        assert!(matches!(answer, Err(StoreError::Broken(_))), "{answer:?}");
    }
    assert_eq!(sql(OPEN), "0");
    for store in &stores {
        holds(store, &acknowledged, &BTreeSet::new()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proposal_of_a_newer_release_is_left_to_a_newer_relay() {
    let Some((cluster, place, name)) = database("a_proposal_of_a_newer_release_is_left_to_a_newer_relay") else {
        return;
    };
    let sql = |statement: &str| tokio::task::block_in_place(|| cluster.sql(&name, statement));
    let stores = [open(&place).await, open(&place).await];
    let mut acknowledged = BTreeMap::new();
    acknowledged.insert(1, send(&stores[0], 1).await.unwrap().positions[0]);
    let holder = sql(HOLDER);
    sql(
        "INSERT INTO hikyaku_proposals VALUES (gen_random_uuid(), convert_to('{\"format\": 99, \"new\": true}', 'UTF8'))",
    );
    until("the lease is given to another", || sql(HOLDER) != holder).await;
    // Until a newer one is there, the old ones go on with what they know.
    for number in 2..6 {
        let store = &stores[usize::from(number % 2 == 0)];
        acknowledged.insert(number, send(store, number).await.unwrap().positions[0]);
    }
    assert_eq!(sql(OPEN), "1", "it is still there for a newer one");
    for store in &stores {
        holds(store, &acknowledged, &BTreeSet::new()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_time_of_records_is_the_databases_and_a_relay_that_differs_from_it_writes_nothing() {
    let Some((_cluster, place, _)) =
        database("the_time_of_records_is_the_databases_and_a_relay_that_differs_from_it_writes_nothing")
    else {
        return;
    };
    let stores = [open(&place).await, open(&place).await];
    let guard = Arc::new(ClockGuard::new(Duration::from_secs(120)));
    for store in &stores {
        store.guard(Arc::clone(&guard));
    }
    let (begun, hour) = (OffsetDateTime::now_utc(), time::Duration::hours(1));
    for (number, store) in (1..).zip(&stores) {
        let mut ahead = acceptance(&submission(number, "x-sender", &["x-inbox"]));
        ahead.time = OffsetDateTime::now_utc() + hour;
        let refused = store.commit(ahead.clone()).committed().await;
        let Err(StoreError::Clock(why)) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(why.matches('Z').count(), 2, "both times: {why}");
        // Nor one that is behind: which of both clocks is wrong nobody can tell.
        ahead.time = OffsetDateTime::now_utc() - hour * 24 * 365;
        let refused = store.commit(ahead.clone()).committed().await;
        assert!(matches!(refused, Err(StoreError::Clock(_))), "{refused:?}");
        ahead.time = OffsetDateTime::now_utc() - hour / 60;
        let position = store.commit(ahead).committed().await.unwrap().positions[0];
        let record = &store.records(None, position, 1).await.unwrap()[0];
        let time = record.record().unwrap().unwrap().time;
        let time = OffsetDateTime::parse(&time, &Rfc3339).unwrap();
        assert!(time - begun > -hour / 120, "{time}");
    }
    assert_eq!(stores[0].size().await.unwrap(), 2);
    let now = stores[0].now().await.unwrap().unwrap();
    assert!((now - begun).abs() < hour / 60, "{now}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_note_of_farther_work_is_not_replaced_by_an_older_one() {
    let Some((_cluster, place, _)) = database("a_note_of_farther_work_is_not_replaced_by_an_older_one") else {
        return;
    };
    let stores = [open(&place).await, open(&place).await];
    let notes: Vec<_> = stores.iter().map(|store| store.notes().unwrap()).collect();
    tokio::task::block_in_place(|| {
        assert_eq!(notes[0].read("feed").unwrap(), None);
        assert!(notes[0].put("feed", 7, b"seven").unwrap());
        assert!(!notes[1].put("feed", 6, b"six").unwrap());
        assert_eq!(notes[1].read("feed").unwrap().as_deref(), Some(&b"seven"[..]));
        assert!(notes[1].put("feed", 8, b"eight").unwrap());
        assert!(notes[1].put("other", 1, b"one").unwrap());
        assert_eq!(notes[0].read("feed").unwrap().as_deref(), Some(&b"eight"[..]));
    });
}
