//! The store that several relays share: the suite of every store, several at once, and what a database, a network and a
//! frozen relay do to it. Skipped by name where PostgreSQL is missing.

#[path = "postgres/clocks.rs"]
mod clocks;
#[path = "postgres/erased.rs"]
mod erased;
#[path = "postgres/faults.rs"]
mod faults;
#[path = "postgres/fenced.rs"]
mod fenced;
#[path = "postgres/figures.rs"]
mod figures;
#[path = "postgres/proposals.rs"]
mod proposals;
#[path = "postgres/relays.rs"]
mod relays;
#[path = "postgres/standby.rs"]
mod standby;
#[path = "postgres/statements.rs"]
mod statements;
#[path = "postgres/tls.rs"]
mod tls;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, OnceLock};

use formats::trail::{Checkpoint, LogKey};
use kit::{Postgres, skip};
use relay::config::KeyPaths;
use relay::keys::{Keys, NewIdentity};
use relay::store::conformance::{acceptance, all, submission};
use relay::store::{Committed, Embedded as _, PostgresAddress, PostgresError, PostgresStore, Store, StoreError};

fn key() -> LogKey {
    LogKey::from_seed("relay.example/trail", &[5; 32]).unwrap().0
}

/// The keys of what lies at rest, the same for every store here.
fn keys() -> &'static Keys {
    static KEYS: OnceLock<(tempfile::TempDir, Keys)> = OnceLock::new();
    let (_, keys) = KEYS.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let identity = NewIdentity::generate();
        let paths = KeyPaths {
            identities: vec![folder.path().join("identity")],
            recipients: folder.path().join("recipients"),
            pin: None,
        };
        std::fs::write(&paths.identities[0], &*identity.file).unwrap();
        std::fs::set_permissions(&paths.identities[0], std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&paths.recipients, format!("{}\n", identity.recipient)).unwrap();
        let keys = Keys::open(&paths).unwrap();
        (folder, keys)
    });
    keys
}

/// The shared cluster, or the test is skipped by its name.
fn cluster(test: &str) -> Option<Arc<Postgres>> {
    let found = Postgres::shared();
    if found.is_none() {
        skip(test, "PostgreSQL is not installed");
    }
    found
}

fn address(text: &str) -> PostgresAddress {
    PostgresAddress::parse(text, None, None, false).unwrap()
}

async fn open(text: &str) -> Arc<PostgresStore> {
    Arc::new(try_open(text, key()).await.unwrap())
}

async fn try_open(text: &str, key: LogKey) -> Result<PostgresStore, PostgresError> {
    let address = address(text);
    tokio::task::spawn_blocking(move || PostgresStore::open(&address, key, keys()))
        .await
        .unwrap()
}

async fn send(store: &PostgresStore, number: u64) -> Result<Committed, StoreError> {
    let sent = submission(number, "x-sender", &["x-inbox"]);
    store.commit(acceptance(&sent)).committed().await
}

/// The trail holds exactly these submissions, each once, in a gapless sequence of its facility, under a checkpoint that
/// verifies and receipts that do.
async fn holds(store: &PostgresStore, acknowledged: &BTreeMap<u64, u64>, doubtful: &BTreeSet<u64>) {
    let vkey = key().vkey().to_owned();
    let checkpoint = Checkpoint::verify(&store.checkpoint().await.unwrap(), &vkey).unwrap();
    assert_eq!(checkpoint.size, store.size().await.unwrap());
    let (mut found, mut sequence) = (BTreeMap::new(), 0);
    for record in store.records(None, 0, 1_000_000).await.unwrap() {
        let said = record.record().unwrap().unwrap();
        sequence += 1;
        assert_eq!(
            said.facility_seq[&"x-sender".parse().unwrap()],
            sequence,
            "at {}",
            record.position
        );
        let id = said.event.submission().unwrap().as_str().to_owned();
        assert_eq!(found.insert(id, record.position), None, "twice");
    }
    for (number, position) in acknowledged {
        let id = submission(*number, "x-sender", &[]).submission;
        assert_eq!(found.remove(id.as_str()), Some(*position), "acknowledged {number}");
        if number % 50 == 0 {
            store
                .receipt(&id, *position)
                .await
                .unwrap()
                .unwrap()
                .verify(&vkey)
                .unwrap();
        }
    }
    for number in doubtful {
        found.remove(submission(*number, "x-sender", &[]).submission.as_str());
    }
    assert!(found.is_empty(), "never asked for, or refused: {found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_conforms_and_is_rebuilt_the_same() {
    let Some(cluster) = cluster("the_store_conforms_and_is_rebuilt_the_same") else {
        return;
    };
    let place = cluster.database();
    let store = open(&place).await;
    all(Arc::clone(&store) as Arc<dyn Store>, key().vkey()).await;
    let dump = |store: &PostgresStore| tokio::task::block_in_place(|| store.dump().unwrap());
    let before = dump(&store);
    assert!(before.len() > 500);
    drop(Arc::into_inner(store).unwrap());

    let reopened = open(&place).await;
    assert!(dump(&reopened) == before);
    drop(Arc::into_inner(reopened).unwrap());
    let database = place.rsplit_once('=').unwrap().1;
    cluster.sql(
        database,
        "DELETE FROM hikyaku_rows WHERE substr(key, 1, 1) IN ('s', 'h')",
    );
    let text = place.clone();
    let rebuilt = tokio::task::spawn_blocking(move || PostgresStore::rebuild(&address(&text), key(), keys()));
    assert_eq!(rebuilt.await.unwrap().unwrap(), before.len());
    let store = open(&place).await;
    assert!(dump(&store) == before);

    // Another log key does not sign this trail.
    let other = LogKey::from_seed("relay.example/trail", &[6; 32]).unwrap().0;
    assert!(matches!(try_open(&place, other).await, Err(PostgresError::OtherKey)));
    // Nor does an older release write tables it does not know.
    cluster.sql(database, "UPDATE hikyaku_schema SET version = 1000");
    assert!(matches!(
        try_open(&place, key()).await,
        Err(PostgresError::Newer { found: 1000, .. })
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_at_once_write_one_trail() {
    const EACH: u64 = 40;
    let Some(cluster) = cluster("three_at_once_write_one_trail") else {
        return;
    };
    let place = cluster.database();
    let (a, b, c) = tokio::join!(open(&place), open(&place), open(&place));
    let stores = [a, b, c];
    // Each number is sent through all three: one is told yes, the others that it is there.
    let mut writers = Vec::new();
    for number in 0..EACH * 3 {
        for store in &stores {
            let store = Arc::clone(store);
            writers.push((number, tokio::spawn(async move { send(&store, number).await })));
        }
    }
    let mut acknowledged = BTreeMap::new();
    let mut refused = 0;
    for (number, writer) in writers {
        match writer.await.unwrap() {
            Ok(done) => assert_eq!(acknowledged.insert(number, done.positions[0]), None, "{number} twice"),
            Err(StoreError::Conflict(_)) => refused += 1,
            Err(error) => panic!("{number}: {error}"),
        }
    }
    assert_eq!((acknowledged.len() as u64, refused), (EACH * 3, EACH * 6));
    for store in &stores {
        holds(store, &acknowledged, &BTreeSet::new()).await;
    }
    // Reads see what another store has committed, as soon as it says so.
    for number in 1000..1010 {
        for (writer, reader) in [(0, 1), (1, 2), (2, 0)] {
            let number = number * 10 + writer as u64;
            send(&stores[writer], number).await.unwrap();
            let id = submission(number, "x-sender", &[]).submission;
            assert!(stores[reader].submission(&id).await.unwrap().is_some());
        }
    }
    // What only one may do, one does.
    let length = std::time::Duration::from_secs(60);
    let mut held = Vec::new();
    for store in stores.iter().chain(&stores) {
        held.push(store.lease("test", length).await.unwrap());
    }
    assert_eq!(held, [true, false, false, true, false, false]);
    // The one that writes ends; another goes on at once, and the lease is free.
    let [a, b, c] = stores;
    for ending in [a, b] {
        drop(Arc::into_inner(ending).unwrap());
    }
    send(&c, 5000).await.unwrap();
    assert!(c.lease("test", length).await.unwrap());
}
