//! What differs is told exactly; what the relay does meanwhile is not.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use formats::trail::{Actor, Event, LogKey};
use time::OffsetDateTime;

use super::*;
use crate::keys::for_tests as keys;
use crate::store::{Batch, FileStore, Store};

fn key() -> LogKey {
    LogKey::from_seed("relay.example/trail", &[5; 32]).unwrap().0
}

fn added(name: &str, number: u64) -> Batch {
    Batch {
        actor: Actor::default(),
        time: OffsetDateTime::UNIX_EPOCH + time::Duration::days(20_000),
        events: vec![Event::FacilityAdded {
            facility: format!("x-{number}").parse().unwrap(),
            name: format!("{name} {number}"),
        }],
        conditions: Vec::new(),
    }
}

async fn fill(data: &Path, name: &str, count: u64) {
    let store = FileStore::open(data, key(), &keys()).unwrap();
    for number in 0..count {
        store.commit(added(name, number)).committed().await.unwrap();
    }
}

async fn look(data: &Path, vkey: &str) -> Report {
    let scratch = tempfile::tempdir().unwrap();
    let containers = Containers::open(data, crate::keys::for_tests()).unwrap();
    let place = Place {
        data,
        vkey,
        shared: None,
        keys: &keys(),
        scratch: scratch.path(),
        note: None,
        live: true,
    };
    check(place, &containers, &mut Pace::new(None, &|_, _| {}))
        .await
        .unwrap()
}

fn codes(report: &Report) -> Vec<Code> {
    report.differences.iter().map(|found| found.code).collect()
}

fn swap(data: &Path, other: &Path, folder: &str) {
    std::fs::rename(data.join(folder), data.join(format!("{folder}.old"))).unwrap();
    std::fs::rename(other.join(folder), data.join(folder)).unwrap();
}

#[tokio::test]
async fn an_index_of_another_trail_is_told_row_by_row() {
    let (data, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fill(data.path(), "TEST", 3).await;
    fill(other.path(), "ELSE", 3).await;
    let report = look(data.path(), key().vkey()).await;
    assert_eq!((report.records, report.checkpoint), (3, Some(3)));
    assert!(report.rows.unwrap() > 10 && report.differences.is_empty(), "{report:?}");
    swap(data.path(), other.path(), "index");
    let report = look(data.path(), key().vkey()).await;
    let found = codes(&report);
    assert_eq!(found[0], Code::Checkpoint, "the tree is another: {report:?}");
    assert!(found[1..].iter().all(|code| *code == Code::Index), "{report:?}");
    // Three facilities by name, and the row with the nodes of a tree of three.
    assert_eq!(found.len(), 1 + 3 + 1, "{report:?}");
    assert!(report.differences.iter().any(|found| found.what.contains("fx-1\\x00")));
}

#[tokio::test]
async fn an_index_that_lags_agrees_and_one_that_leads_does_not() {
    let (data, longer) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fill(data.path(), "TEST", 2).await;
    let copy = |from: &Path, to: &Path| {
        std::fs::create_dir_all(to).unwrap();
        super::index::copy_folder(from, to, &mut Pace::new(None, &|_, _| {})).unwrap();
    };
    copy(&data.path().join("trail"), &longer.path().join("trail"));
    copy(&data.path().join("keys"), &longer.path().join("keys"));
    copy(&data.path().join("index"), &longer.path().join("lagging"));
    {
        let store = FileStore::open(longer.path(), key(), &keys()).unwrap();
        store.commit(added("TEST", 7)).committed().await.unwrap();
    }
    copy(&longer.path().join("index"), &data.path().join("leading"));
    std::fs::remove_dir_all(longer.path().join("index")).unwrap();
    std::fs::rename(longer.path().join("lagging"), longer.path().join("index")).unwrap();
    let report = look(longer.path(), key().vkey()).await;
    assert_eq!((report.records, report.checkpoint), (3, Some(2)));
    assert!(report.differences.is_empty(), "{report:?}");

    std::fs::remove_dir_all(data.path().join("index")).unwrap();
    std::fs::rename(data.path().join("leading"), data.path().join("index")).unwrap();
    let report = look(data.path(), key().vkey()).await;
    assert!(codes(&report).contains(&Code::TrailShort), "{report:?}");
    assert_eq!(report.differences[0].position, Some(2));
}

#[tokio::test]
async fn every_damaged_segment_is_named_with_its_byte() {
    let data = tempfile::tempdir().unwrap();
    fill(data.path(), "TEST", 4).await;
    let file = data.path().join("trail/00000000000000000000.seg");
    let mut bytes = std::fs::read(&file).unwrap();
    // In the first group's frames: behind the header and the group's head.
    bytes[16 + 48 + 20] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let report = look(data.path(), key().vkey()).await;
    let found = &report.differences[0];
    assert_eq!((found.code, &found.file), (Code::TrailDamaged, &file), "{report:?}");
    assert_eq!((found.position, found.offset), (Some(0), Some(16)));
}

#[tokio::test]
async fn another_log_key_is_told() {
    let data = tempfile::tempdir().unwrap();
    fill(data.path(), "TEST", 1).await;
    let (other, _) = LogKey::from_seed("relay.example/trail", &[6; 32]).unwrap();
    let report = look(data.path(), other.vkey()).await;
    assert_eq!(codes(&report), [Code::Checkpoint], "{report:?}");
}

#[tokio::test]
async fn a_lost_key_of_a_month_is_what_must_come_back() {
    let data = tempfile::tempdir().unwrap();
    fill(data.path(), "TEST", 2).await;
    let left = data.path().join("containers/0193569a-7c00-7000-8000-000000000001.x");
    std::fs::create_dir_all(&left).unwrap();
    std::fs::write(left.join("container.key"), "").unwrap();
    std::fs::File::open(&left)
        .unwrap()
        .set_modified(std::time::UNIX_EPOCH)
        .unwrap();
    let key_file = data.path().join("keys/2024-10.standing.key");
    let kept = std::fs::read(&key_file).unwrap();
    assert_eq!(look(data.path(), key().vkey()).await.leftovers.len(), 1);
    std::fs::remove_file(&key_file).unwrap();
    let report = look(data.path(), key().vkey()).await;
    assert_eq!(codes(&report), [Code::KeyMissing], "{report:?}");
    assert_eq!(report.differences[0].file, key_file);
    assert!(report.differences[0].remedy.contains("backup of the keys"));
    assert!(
        report.leftovers.is_empty(),
        "what belongs to that month is not left over"
    );
    std::fs::write(&key_file, kept).unwrap();
    assert!(look(data.path(), key().vkey()).await.differences.is_empty());
}

#[tokio::test]
async fn a_trail_cut_short_is_told_by_what_is_kept_of_the_log() {
    let data = tempfile::tempdir().unwrap();
    fill(data.path(), "TEST", 2).await;
    let segment = data.path().join("trail/00000000000000000000.seg");
    let two = std::fs::read(&segment).unwrap();
    let store = FileStore::open(data.path(), key(), &keys()).unwrap();
    store.commit(added("TEST", 7)).committed().await.unwrap();
    std::fs::create_dir_all(data.path().join("log/stamps")).unwrap();
    let note = store.checkpoint().await.unwrap();
    std::fs::write(data.path().join("log/stamps/3.checkpoint"), note).unwrap();
    drop(store);
    assert!(look(data.path(), key().vkey()).await.differences.is_empty());
    std::fs::remove_dir_all(data.path().join("index")).unwrap();
    std::fs::write(&segment, two).unwrap();
    let report = look(data.path(), key().vkey()).await;
    assert_eq!(codes(&report), [Code::TrailShort], "{report:?}");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_relay_writes_on_and_nothing_differs() {
    let data = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(FileStore::open(data.path(), key(), &keys()).unwrap());
    let trust = tempfile::tempdir().unwrap();
    let trust = Arc::new(crate::trust::CurrentTrust::open(trust.path()).unwrap());
    let served = crate::admin::Served {
        store: Arc::clone(&store),
        pin: String::new(),
        trust,
        keys: crate::keys::for_tests(),
        containers: crate::containers::Containers::open(data.path(), crate::keys::for_tests()).unwrap(),
        data: data.path().into(),
    };
    let socket = data.path().join("admin.sock");
    let serving = tokio::spawn(async move { crate::admin::serve(&socket, served).await });
    while std::os::unix::net::UnixStream::connect(data.path().join("admin.sock")).is_err() {
        tokio::task::yield_now().await;
    }
    let written = Arc::new(AtomicU64::new(0));
    let (writing, count) = (Arc::clone(&store), Arc::clone(&written));
    let writer = tokio::spawn(async move {
        loop {
            let number = count.fetch_add(1, Ordering::Relaxed);
            writing.commit(added("TEST", number % 50)).committed().await.unwrap();
        }
    });
    let (folder, vkey) = (data.path().to_owned(), key().vkey().to_owned());
    let runtime = tokio::runtime::Handle::current();
    // Until it has written beside several looks.
    let mut beside = 0;
    while beside < 3 {
        let before = written.load(Ordering::Relaxed);
        let (folder, vkey, runtime) = (folder.clone(), vkey.clone(), runtime.clone());
        // As in its own process: it blocks while it waits.
        let report = tokio::task::spawn_blocking(move || runtime.block_on(look(&folder, &vkey)));
        let report = report.await.unwrap();
        assert!(report.rows.is_some() && report.differences.is_empty(), "{report:?}");
        beside += u32::from(written.load(Ordering::Relaxed) > before + 2);
    }
    writer.abort();
    serving.abort();
}
