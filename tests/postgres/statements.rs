//! Every statement that relays send, as the server logs it, held against what distributed databases of this protocol are known to
//! refuse or to be slow at. `docs/postgresql.md` says what is used; none of them was run.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use kit::{Postgres, skip};
use relay::store::conformance::all;
use relay::store::{Grown, PostgresReader, PostgresStore, Store, UploadRow};

use super::{address, key, keys, open, send};

/// Not found, or only in part, in YugabyteDB, CockroachDB and the like; or a hot spot there.
const REFUSED: [&str; 24] = [
    "ADVISORY",
    "SERIAL",
    "NEXTVAL",
    "SEQUENCE",
    "IDENTITY",
    "TRIGGER",
    "FUNCTION",
    "EXTENSION",
    "TEMP",
    "TRUNCATE",
    "LOCK TABLE",
    "SKIP LOCKED",
    "NOWAIT",
    "FOR SHARE",
    "SAVEPOINT",
    "CURSOR",
    "DECLARE",
    "ISOLATION",
    "COPY ",
    "DO $",
    "CTID",
    "XMIN",
    "INHERITS",
    "EXCLUDE ",
];
/// What a relay does without where it is refused.
const OPTIONAL: [&str; 6] = [
    "LISTEN hikyaku_proposed",
    "LISTEN hikyaku_answered",
    "NOTIFY hikyaku_proposed",
    "NOTIFY hikyaku_answered",
    "SET idle_in_transaction_session_timeout = '5s'",
    "SET synchronous_commit = off",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_statement_needs_what_other_databases_of_this_protocol_refuse() {
    let name = "no_statement_needs_what_other_databases_of_this_protocol_refuse";
    let Some(cluster) = Postgres::start(&["log_statement=all", "log_line_prefix=<%a>"]) else {
        return skip(name, "PostgreSQL is not installed");
    };
    let place = cluster.database();
    let store = open(&place).await;
    all(Arc::clone(&store) as Arc<dyn Store>, key().vkey()).await;
    // Through a second one: proposals and answers; leases, uploads, keys wrapped anew; what `check` reads.
    let second = open(&place).await;
    send(&second, 7_000_000).await.unwrap();
    assert!(second.lease("test", Duration::from_secs(5)).await.unwrap());
    assert!(second.rewrap().await.unwrap() > 0);
    let rows = second.uploads().unwrap();
    let text = place.clone();
    tokio::task::spawn_blocking(move || {
        let row = UploadRow {
            id: "u".into(),
            facility: "x-sender".parse().unwrap(),
            length: 1,
            sha256: None,
            wrapped: vec![1],
            submission: None,
            epoch: 0,
            grown: Grown::default(),
            gone: false,
            touched: 0,
        };
        rows.create(&row).unwrap();
        let taken = rows.take("u").unwrap().unwrap();
        assert!(rows.advance("u", taken.epoch, &Grown::default()).unwrap() && rows.confirm("u", taken.epoch).unwrap());
        rows.note("u", &"0193569a-7c00-7000-8000-000000000001".parse().unwrap())
            .unwrap();
        assert_eq!(rows.wrapped("").unwrap().len(), 1);
        assert!(rows.rewrap("u", &[1], &[2]).unwrap() && !rows.rewrap("u", &[1], &[3]).unwrap());
        assert!(rows.close("u", taken.epoch).unwrap());
        let (_, _) = rows.under_way(&row.facility).unwrap();
        assert!(rows.stale(Duration::from_secs(60)).unwrap().is_empty());
        assert!(!rows.expire("u", Duration::from_secs(60)).unwrap());
        rows.remove("u").unwrap();
        assert!(rows.find("u").unwrap().is_none());
        let reader = PostgresReader::open(&address(&text), keys()).unwrap();
        assert!(reader.size().unwrap() > 0 && reader.checkpoint().unwrap().is_some());
    })
    .await
    .unwrap();
    for store in [store, second] {
        drop(Arc::into_inner(store).unwrap());
    }
    let text = place.clone();
    let rebuilt = tokio::task::spawn_blocking(move || PostgresStore::rebuild(&address(&text), key(), keys()));
    rebuilt.await.unwrap().unwrap();

    let log = cluster.log();
    let ours = log
        .lines()
        .filter_map(|line| line.strip_prefix("<hikyaku-relay>LOG:  "));
    let statements: BTreeSet<&str> = ours
        .filter_map(|line| match line.strip_prefix("statement: ") {
            Some(statement) => Some(statement),
            None => line
                .strip_prefix("execute ")?
                .split_once(": ")
                .map(|(_, statement)| statement),
        })
        .map(str::trim)
        .collect();
    assert!(statements.len() > 40, "{statements:?}");
    assert!(
        statements
            .iter()
            .any(|statement| statement.starts_with("INSERT INTO hikyaku_records"))
    );
    for statement in &statements {
        let upper = statement.to_uppercase();
        if OPTIONAL.contains(statement) || upper.starts_with("SHOW ") {
            continue;
        }
        for word in REFUSED {
            assert!(!upper.contains(word), "{word}: {statement}");
        }
        let first = upper.split_whitespace().next().unwrap_or_default();
        assert!(
            [
                "SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "BEGIN", "COMMIT", "ROLLBACK", "CREATE", "ALTER"
            ]
            .contains(&first),
            "{statement}"
        );
        // One row at the start, alone in its transaction.
        assert!(
            !upper.contains("FOR UPDATE") || upper.contains("HIKYAKU_SCHEMA"),
            "{statement}"
        );
    }
    println!(
        "{} statements, none of which needs what other databases refuse",
        statements.len()
    );
}
