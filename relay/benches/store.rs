//! What the embedded store costs: durable commits against bare appends in the same run, pages of an inbox, start-up, rebuild.
//! Run: `cargo bench -p relay --bench store`; `HIKYAKU_BENCH_SUBMISSIONS=1000000` for the full size.
//!
//! Figures are printed with what they should be; `HIKYAKU_BENCH_JUDGE=1` makes the bench fail where they are not.

#![allow(missing_docs, clippy::unwrap_used, reason = "a bench that cannot go on must stop")]

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use formats::trail::{Event, LogKey};
use relay::admin;
use relay::config::Config;
use relay::keys::Keys;
use relay::store::conformance::{acceptance, batch, submission};
use relay::store::{FileStore, Store};

/// Submissions of the large store.
const SUBMISSIONS: u64 = 100_000;
/// Submissions of the small one.
const FEW: u64 = 1_000;
/// Records committed together while a store is filled.
const BATCH: u64 = 1_000;
/// Commits of each measurement, shared among the writers.
const COMMITS: u64 = 2_048;
/// Pages read of each inbox.
const PAGES: u64 = 200;

fn main() {
    let submissions = std::env::var("HIKYAKU_BENCH_SUBMISSIONS").map_or(SUBMISSIONS, |number| number.parse().unwrap());
    let mut good = commits();
    good &= sizes(submissions);
    assert!(
        good || std::env::var_os("HIKYAKU_BENCH_JUDGE").is_none(),
        "a figure is not what it should be"
    );
}

/// Durable commits a second, with so many writers who each wait for their own.
fn commits() -> bool {
    let mut good = true;
    for (writers, wanted) in [(1, 0.8), (16, 0.0), (256, 20.0)] {
        let folder = new();
        let count = if writers == 1 { COMMITS / 4 } else { COMMITS * 4 };
        // The reference writes what a commit writes: as many bytes as the trail grows by.
        let bytes = {
            let probe = new();
            let store = Arc::new(open(probe.path()));
            let before = trail(probe.path());
            commit(&store, 1, 64);
            drop(store);
            (trail(probe.path()) - before) / 64
        };
        let reference = bare(folder.path(), count.min(512), bytes);
        let store = Arc::new(open(folder.path()));
        commit(&store, 1, 16);
        let begun = Instant::now();
        commit(&store, writers, count);
        let rate = count as f64 / begun.elapsed().as_secs_f64();
        drop(store);
        let again = bare(folder.path(), count.min(512), bytes);
        let ratio = rate / reference.max(again);
        println!(
            "{writers} writers: {rate:.0} commits/s; append+fdatasync of {bytes} bytes: {reference:.0}/s before, {again:.0}/s after; \
             ratio {ratio:.2} (should reach {wanted})"
        );
        good &= ratio >= wanted;
    }
    good
}

fn commit(store: &Arc<FileStore>, writers: u64, count: u64) {
    let base = runtime().block_on(store.size()).unwrap();
    runtime().block_on(async {
        let tasks: Vec<_> = (0..writers)
            .map(|writer| {
                let store = Arc::clone(store);
                tokio::spawn(async move {
                    for number in (writer..count).step_by(usize::try_from(writers).unwrap()) {
                        let sent = submission(base + number, "1310000001", &["1320000002"]);
                        store.commit(acceptance(&sent)).committed().await.unwrap();
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}

/// Appends, each synced before the next, a second.
fn bare(folder: &Path, count: u64, bytes: u64) -> f64 {
    let mut file = File::create(folder.join("bare")).unwrap();
    let block = vec![b'x'; usize::try_from(bytes).unwrap()];
    let begun = Instant::now();
    for _ in 0..count {
        file.write_all(&block).unwrap();
        file.sync_data().unwrap();
    }
    count as f64 / begun.elapsed().as_secs_f64()
}

/// Bytes of the trail's segments.
fn trail(folder: &Path) -> u64 {
    let data = Config::load(&folder.join("relay/relay.toml")).unwrap().data;
    let entries = std::fs::read_dir(data.join("trail")).unwrap().flatten();
    entries.map(|entry| entry.metadata().unwrap().len()).sum()
}

/// Inbox, start-up and rebuild with few submissions and with many.
fn sizes(submissions: u64) -> bool {
    let (few, many) = (new(), new());
    fill(few.path(), FEW);
    let begun = Instant::now();
    fill(many.path(), submissions);
    println!(
        "filled with {submissions} submissions in {:.1} s",
        begun.elapsed().as_secs_f64()
    );
    let small = page(few.path(), FEW);
    let large = page(many.path(), submissions);
    println!(
        "inbox page of 50: {:.0} µs of {FEW}, {:.0} µs of {submissions}; ratio {:.2} (may be 1.5)",
        small * 1e6,
        large * 1e6,
        large / small
    );
    let mut good = large / small <= 1.5;
    let starts: Vec<f64> = (0..3)
        .map(|_| seconds(|| drop(std::hint::black_box(open(many.path())))))
        .collect();
    let start = starts.into_iter().min_by(f64::total_cmp).unwrap();
    println!(
        "start-up with {submissions} submissions, index current (closing included): {start:.2} s (should be below 1)"
    );
    good &= start < 1.0;
    let config = Config::load(&many.path().join("relay/relay.toml")).unwrap();
    let keys = Keys::open(&config.keys).unwrap();
    let took = seconds(|| drop(FileStore::rebuild(&config.data, key(), &keys).unwrap()));
    let rate = submissions as f64 / took;
    println!("rebuild: {submissions} records in {took:.2} s: {rate:.0} records/s (should reach 200000)");
    good && rate >= 200_000.0
}

/// The middle one of many pages of an inbox, each from another place, seconds.
fn page(folder: &Path, submissions: u64) -> f64 {
    let store = open(folder);
    let facility = "1320000002".parse().unwrap();
    let runtime = runtime();
    let mut times: Vec<f64> = (0..PAGES)
        .map(|page| {
            let after = page * (submissions - 60) / PAGES;
            seconds(|| {
                let rows = runtime.block_on(store.inbox(&facility, after, 50)).unwrap();
                assert_eq!(rows.len(), 50);
            })
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn fill(folder: &Path, submissions: u64) {
    let store = open(folder);
    runtime().block_on(async {
        let mut waiting = Vec::new();
        for begin in (0..submissions).step_by(usize::try_from(BATCH).unwrap()) {
            let events = (begin..submissions.min(begin + BATCH))
                .map(|number| Event::Accepted(Box::new(submission(number, "1310000001", &["1320000002"]))));
            waiting.push(store.commit(batch(events.collect(), vec![])));
            if waiting.len() == 4 {
                for ticket in waiting.drain(..) {
                    ticket.committed().await.unwrap();
                }
            }
        }
        for ticket in waiting {
            ticket.committed().await.unwrap();
        }
    });
}

fn seconds(work: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    work();
    begun.elapsed().as_secs_f64()
}

/// A relay's folder.
fn new() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    admin::init(
        &folder.path().join("relay"),
        "localhost",
        time::OffsetDateTime::now_utc(),
    )
    .unwrap();
    folder
}

fn key() -> LogKey {
    LogKey::from_seed("relay.example/trail", &[5; 32]).unwrap().0
}

fn open(folder: &Path) -> FileStore {
    let config = Config::load(&folder.join("relay/relay.toml")).unwrap();
    relay::folder::create_or_close(&config.data).unwrap();
    FileStore::open(&config.data, key(), &Keys::open(&config.keys).unwrap()).unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}
