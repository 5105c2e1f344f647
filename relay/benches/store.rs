//! What the embedded store costs: durable commits against bare appends in the same run, pages of an inbox, start-up, rebuild.
//! Run: `cargo bench -p relay --bench store`; `HIKYAKU_BENCH_SUBMISSIONS=1000000` for the full size.
//!
//! `HIKYAKU_BENCH_ONLY=commits` or `sizes` for a part. Figures are printed with what they should be; `HIKYAKU_BENCH_JUDGE=1` makes the bench fail where they are not.

#![allow(missing_docs, clippy::unwrap_used, reason = "a bench that cannot go on must stop")]

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use formats::trail::{Event, Submission};
use relay::admin;
use relay::config::Config;
use relay::keys::Keys;
use relay::log::LogSigner;
use relay::store::conformance::{acceptance, batch, of_a_year, submission};
use relay::store::{FileStore, Store};

/// Submissions of the large store.
const SUBMISSIONS: u64 = 100_000;
/// Submissions of the small one.
const FEW: u64 = 1_000;
/// Records committed together while a store is filled.
const BATCH: u64 = 1_000;
/// Commits of each measurement, shared among the writers.
const COMMITS: u64 = 2_048;
/// Turns of commits and bare appends.
const TURNS: u64 = 16;
/// Pages read of each inbox.
const PAGES: u64 = 200;

fn main() {
    let submissions = std::env::var("HIKYAKU_BENCH_SUBMISSIONS").map_or(SUBMISSIONS, |number| number.parse().unwrap());
    let only = std::env::var("HIKYAKU_BENCH_ONLY").unwrap_or_default();
    let mut good = only == "sizes" || commits();
    good &= only == "commits" || sizes(submissions);
    assert!(
        good || std::env::var_os("HIKYAKU_BENCH_JUDGE").is_none(),
        "a figure is not what it should be"
    );
}

/// Durable commits a second, with so many writers who each wait for their own, and bare appends in turns with them: a disk that
/// others use too is now fast, now slow.
fn commits() -> bool {
    let mut good = true;
    for (writers, wanted) in [(1, 0.8), (16, 0.0), (256, 20.0)] {
        let folder = new();
        let count = if writers == 1 { COMMITS / 4 } else { COMMITS * 8 };
        // The reference writes what a commit writes: as many bytes as the trail grows by.
        let bytes = {
            let probe = new();
            let store = Arc::new(open(probe.path()));
            let before = trail(probe.path());
            commit(&store, 1, 64);
            drop(store);
            (trail(probe.path()) - before) / 64
        };
        let store = Arc::new(open(folder.path()));
        commit(&store, 1, 16);
        let mut file = File::create(folder.path().join("bare")).unwrap();
        let (mut own, mut reference) = (0.0, 0.0);
        let appends = (count / TURNS).min(128);
        for _ in 0..TURNS {
            reference += seconds(|| bare(&mut file, appends, bytes));
            own += seconds(|| commit(&store, writers, count / TURNS));
        }
        let (rate, reference) = (count as f64 / own, (appends * TURNS) as f64 / reference);
        let ratio = rate / reference;
        println!(
            "{writers} writers: {rate:.0} commits/s; append+fdatasync of {bytes} bytes: {reference:.0}/s; \
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

/// Appends, each synced before the next.
fn bare(file: &mut File, count: u64, bytes: u64) {
    let block = vec![b'x'; usize::try_from(bytes).unwrap()];
    for _ in 0..count {
        file.write_all(&block).unwrap();
        file.sync_data().unwrap();
    }
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
    containers(many.path(), submissions);
    let starts: Vec<f64> = (0..3).map(|_| start(many.path())).collect();
    let start = starts.into_iter().min_by(f64::total_cmp).unwrap();
    println!(
        "start-up with {submissions} submissions and their containers, index current: {start:.2} s (should be below 1)"
    );
    good &= start < 1.0;
    rebuild("acceptances", many.path(), submissions);
    let year = new();
    fill_with(year.path(), submissions, of_a_year);
    let rate = rebuild("records as of a year", year.path(), submissions);
    good && rate >= 200_000.0
}

/// From the call to the relay that answers, seconds.
fn start(folder: &Path) -> f64 {
    let mut config = Config::load(&folder.join("relay/relay.toml")).unwrap();
    config.api.listen = "127.0.0.1:0".parse().unwrap();
    config.portal.listen = config.api.listen;
    let runtime = runtime();
    let begun = Instant::now();
    let running = runtime.block_on(relay::Relay::start(config)).unwrap();
    let took = begun.elapsed().as_secs_f64();
    runtime.block_on(running.stop());
    took
}

/// A folder for the container of each submission.
fn containers(folder: &Path, submissions: u64) {
    let data = Config::load(&folder.join("relay/relay.toml")).unwrap().data;
    let containers = data.join("containers");
    std::fs::create_dir_all(&containers).unwrap();
    for number in 0..submissions {
        std::fs::create_dir(containers.join(accepted(number).stored_as)).unwrap();
    }
}

/// Records a second.
fn rebuild(what: &str, folder: &Path, records: u64) -> f64 {
    let config = Config::load(&folder.join("relay/relay.toml")).unwrap();
    let keys = Keys::open(&config.keys).unwrap();
    let took = seconds(|| drop(FileStore::rebuild(&config.data, LogSigner::open(&config).unwrap(), &keys).unwrap()));
    let rate = records as f64 / took;
    println!("rebuild: {records} {what} in {took:.2} s: {rate:.0} records/s (should reach 200000)");
    rate
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

fn accepted(number: u64) -> Submission {
    let mut sent = submission(number, "1310000001", &["1320000002"]);
    sent.stored_as = format!("{}.0193569a7c0070008000{number:012x}", sent.submission);
    sent
}

fn fill(folder: &Path, submissions: u64) {
    fill_with(folder, submissions, |number| {
        Event::Accepted(Box::new(accepted(number)))
    });
}

fn fill_with(folder: &Path, records: u64, event: impl Fn(u64) -> Event) {
    let store = open(folder);
    runtime().block_on(async {
        let mut waiting = Vec::new();
        for begin in (0..records).step_by(usize::try_from(BATCH).unwrap()) {
            let events = (begin..records.min(begin + BATCH)).map(&event);
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

fn open(folder: &Path) -> FileStore {
    let config = Config::load(&folder.join("relay/relay.toml")).unwrap();
    relay::folder::create_or_close(&config.data).unwrap();
    FileStore::open(
        &config.data,
        LogSigner::open(&config).unwrap(),
        &Keys::open(&config.keys).unwrap(),
    )
    .unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}
