//! Figures, not tests of time: commits a second by the number of writers, through the sequencer and through another relay.

use std::sync::Arc;
use std::time::Instant;

use relay::store::{PostgresStore, Store as _};

use super::{cluster, open, send};

async fn commits(store: &Arc<PostgresStore>, first: u64, writers: u64, each: u64) -> f64 {
    let begun = Instant::now();
    let all: Vec<_> = (0..writers)
        .map(|writer| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                for number in 0..each {
                    send(&store, first + writer * each + number).await.unwrap();
                }
            })
        })
        .collect();
    for writer in all {
        writer.await.unwrap();
    }
    (writers * each) as f64 / begun.elapsed().as_secs_f64()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figures_of_many_writers() {
    let Some(cluster) = cluster("figures_of_many_writers") else {
        return;
    };
    let place = cluster.database();
    let sequencer = open(&place).await;
    let other = open(&place).await;
    let mut first = 0;
    for (name, store) in [("sequencer", &sequencer), ("another relay", &other)] {
        for (writers, each) in [(1, 60), (16, 20), (256, 8)] {
            let figure = commits(store, first, writers, each).await;
            first += writers * each;
            println!("{figure:.0} acceptances/s durable in PostgreSQL, {writers} writers, through {name}");
        }
    }
    assert_eq!(sequencer.size().await.unwrap(), first);
}
