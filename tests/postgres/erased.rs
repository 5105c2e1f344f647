//! Erasure in the database: the month's key is gone, nothing of its patients can be read in any table, and a rebuild restores the rest.

use std::sync::Arc;

use relay::store::conformance::erased::a_month_is_erased_and_the_rest_stands;
use relay::store::{Embedded as _, PostgresStore, Store};

use super::{address, cluster, key, keys, open};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_month_erased_leaves_nothing_readable_in_any_table() {
    let Some(cluster) = cluster("a_month_erased_leaves_nothing_readable_in_any_table") else {
        return;
    };
    let place = cluster.database();
    let database = place.rsplit_once('=').unwrap().1.to_owned();
    let store = open(&place).await;
    a_month_is_erased_and_the_rest_stands(Arc::clone(&store) as Arc<dyn Store>, key().vkey()).await;
    let dump = |store: &PostgresStore| tokio::task::block_in_place(|| store.dump().unwrap());
    let before = dump(&store);
    drop(Arc::into_inner(store).unwrap());

    let sql = |statement: &str| cluster.sql(&database, statement);
    assert_eq!(
        sql("SELECT id FROM hikyaku_keys WHERE length(wrapped) = 0"),
        "2026-11.account",
        "its key is gone and cannot be made again"
    );
    assert_eq!(sql("SELECT count(*) FROM hikyaku_proposals"), "0");
    for (table, column) in [
        ("hikyaku_records", "frame"),
        ("hikyaku_rows", "key"),
        ("hikyaku_rows", "value"),
        ("hikyaku_answers", "answer"),
    ] {
        for word in ["12345", "TEST person", "letter.pdf"] {
            let found = sql(&format!(
                "SELECT count(*) FROM {table} WHERE position('{word}'::bytea IN {column}) > 0"
            ));
            assert_eq!(found, "0", "{word} in {table}.{column}");
        }
    }
    let text = place.clone();
    let rebuilt = tokio::task::spawn_blocking(move || PostgresStore::rebuild(&address(&text), key(), keys()));
    assert_eq!(rebuilt.await.unwrap().unwrap(), before.len());
    assert!(dump(&*open(&place).await) == before);
}
