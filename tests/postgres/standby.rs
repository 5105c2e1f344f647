//! A database whose standby may lack what was acknowledged.

use relay::store::PostgresError;

use super::{cluster, key, try_open};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_does_not_wait_for_its_standby_is_refused() {
    let Some(cluster) = cluster("a_database_that_does_not_wait_for_its_standby_is_refused") else {
        return;
    };
    let place = cluster.database();
    let name = place.rsplit_once('=').unwrap().1.to_owned();
    let set = |to: &str| {
        let statement = format!("ALTER DATABASE {name} SET synchronous_commit = {to}");
        tokio::task::block_in_place(|| drop(cluster.sql("postgres", &statement)));
    };
    set("local");
    let refused = try_open(&place, key()).await.map(drop);
    assert!(matches!(refused, Err(PostgresError::WithoutStandby)), "{refused:?}");
    set("off");
    let refused = try_open(&place, key()).await.map(drop);
    assert!(matches!(refused, Err(PostgresError::NotDurable(_))), "{refused:?}");
    set("remote_write");
    assert!(try_open(&place, key()).await.is_ok());
}
