//! The suite on each store; reopening, rebuilding, and faults of the disk.

mod erased;
mod histories;
mod strategy;

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use formats::trail::LogKey;

use super::conformance::{acceptance, all, model, submission};
use super::index::{Changes, Table as _};
use super::sled::SledTable;
use super::{Embedded as _, Fault, FaultyStore, FileStore, IndexKind, MemoryStore, OpenError, Store, StoreError};
use crate::keys::for_tests as keys;
use crate::trail::{Medium, TrailError};

fn key() -> LogKey {
    LogKey::from_seed("relay.example/trail", &[5; 32]).unwrap().0
}

/// What the disk does at a given write.
#[derive(Clone, Copy, PartialEq)]
enum Trouble {
    /// Half of the bytes, then no space.
    Full,
    /// Half of the bytes, then an error.
    Write,
    /// Everything is written, the sync fails.
    Sync,
}

/// A disk that fails once, at the write after `good` ones.
#[derive(Clone, Default)]
struct Bad(Arc<Plan>);

/// Writes so far; which of them fails, and how.
#[derive(Default)]
struct Plan(AtomicU64, Mutex<Option<(u64, Trouble)>>);

impl Bad {
    fn due(&self, kinds: &[Trouble]) -> Option<Trouble> {
        let now = self.0.0.load(Ordering::SeqCst);
        self.0
            .1
            .lock()
            .unwrap()
            .filter(|(at, trouble)| *at == now && kinds.contains(trouble))
            .map(|(_, t)| t)
    }
}

impl Medium for Bad {
    fn write(&mut self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        self.0.0.fetch_add(1, Ordering::SeqCst);
        match self.due(&[Trouble::Full, Trouble::Write]) {
            None => file.write_all(bytes),
            Some(trouble) => {
                file.write_all(&bytes[..bytes.len() / 2])?;
                let full = trouble == Trouble::Full;
                Err(if full {
                    io::ErrorKind::StorageFull.into()
                } else {
                    io::Error::other("TEST disk error")
                })
            }
        }
    }

    fn sync(&mut self, file: &File) -> io::Result<()> {
        match self.due(&[Trouble::Sync]) {
            None => file.sync_data(),
            Some(_) => Err(io::Error::other("TEST sync error")),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_store_conforms() {
    all(Arc::new(MemoryStore::new(key()).unwrap()), key().vkey()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_store_erases() {
    let store = MemoryStore::new(key()).unwrap();
    super::conformance::erased::a_month_is_erased_and_the_rest_stands(Arc::new(store), key().vkey()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_store_with_redb_conforms_reopens_and_rebuilds_the_same_index() {
    conforms(IndexKind::Redb, "index.redb").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_store_with_sled_conforms_reopens_and_rebuilds_the_same_index() {
    conforms(IndexKind::Sled, "conf").await;
}

async fn conforms(kind: IndexKind, file: &str) {
    let data = tempfile::tempdir().unwrap();
    let open = |kind| FileStore::open_in(kind, data.path(), key(), &keys());
    let store = Arc::new(open(kind).unwrap());
    all(Arc::clone(&store) as Arc<dyn Store>, key().vkey()).await;
    assert!(matches!(open(kind), Err(OpenError::Trail(TrailError::Locked(_)))));
    let before = store.dump().unwrap();
    assert!(before.len() > 500);
    drop(Arc::into_inner(store).unwrap());

    let reopened = open(kind).unwrap();
    assert_eq!(reopened.torn, None);
    assert!(reopened.dump().unwrap() == before);
    drop(reopened);
    let rebuilt = FileStore::rebuild_in(kind, data.path(), key(), &keys()).unwrap();
    assert!(rebuilt.dump().unwrap() == before);
    drop(rebuilt);
    // The configuration may name another kind, and the first again.
    for other in [IndexKind::Redb, IndexKind::Sled, kind] {
        assert!(open(other).unwrap().dump().unwrap() == before);
    }

    // An index nobody can read is put aside.
    std::fs::remove_dir_all(data.path().join("index")).unwrap();
    std::fs::create_dir(data.path().join("index")).unwrap();
    std::fs::write(data.path().join("index").join(file), b"garbage").unwrap();
    let healed = open(kind).unwrap();
    assert!(healed.dump().unwrap() == before);
    drop(healed);

    // What the index of another kind has seen is asked before it goes.
    let segment = segment(data.path());
    let good = std::fs::read(&segment).unwrap();
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    std::fs::write(&segment, flipped).unwrap();
    for other in [IndexKind::Redb, IndexKind::Sled] {
        let said = open(other).map(drop);
        assert!(
            matches!(said, Err(OpenError::Trail(TrailError::Damaged { .. }))),
            "{said:?}"
        );
    }
    std::fs::write(&segment, good).unwrap();
    assert!(open(kind).unwrap().dump().unwrap() == before);
}

/// Pages that rot behind a header that is whole.
#[tokio::test]
async fn an_index_whose_pages_are_damaged_is_made_anew() {
    let data = tempfile::tempdir().unwrap();
    let open = || FileStore::open_in(IndexKind::Redb, data.path(), key(), &keys());
    let store = open().unwrap();
    for number in 1..4 {
        send(&store, number).await.unwrap();
    }
    let before = store.dump().unwrap();
    drop(store);
    let file = data.path().join("index").join(super::redb::FILE);
    let damage = || {
        let mut bytes = std::fs::read(&file).unwrap();
        bytes[4096..].fill(0xff);
        std::fs::write(&file, bytes).unwrap();
    };
    damage();
    assert!(open().unwrap().dump().unwrap() == before);
    damage();
    let rebuilt = FileStore::rebuild_in(IndexKind::Redb, data.path(), key(), &keys()).unwrap();
    assert!(rebuilt.dump().unwrap() == before);
}

/// What an abrupt stop may leave: an index that knows how far it had come, but not every row before it.
#[tokio::test]
async fn an_index_that_was_not_closed_is_made_anew() {
    let data = tempfile::tempdir().unwrap();
    let open = || FileStore::open_in(IndexKind::Sled, data.path(), key(), &keys()).unwrap();
    let store = open();
    for number in 1..4 {
        send(&store, number).await.unwrap();
    }
    let before = store.dump().unwrap();
    drop(store);
    let index = data.path().join("index");
    let whole = index.join("whole");
    assert!(whole.exists(), "closing says so");

    let table = SledTable::open(&index).unwrap();
    assert!(!whole.exists(), "an open index is not whole");
    let mut lost = Changes::default();
    let rows = table.scan(&[], &[], usize::MAX).unwrap();
    let row = rows.iter().find(|row| row.key.starts_with(b"s")).unwrap();
    lost.0.insert(row.key.clone(), None);
    table.write(lost).unwrap();
    drop(table);
    std::fs::remove_file(&whole).unwrap();

    let healed = open();
    assert!(healed.dump().unwrap() == before);
    drop(healed);
    assert!(whole.exists());
}

async fn send(store: &impl Store, number: u64) -> Result<u64, StoreError> {
    let sent = submission(number, "x-a", &["x-b"]);
    store
        .commit(acceptance(&sent))
        .committed()
        .await
        .map(|done| done.positions[0])
}

#[tokio::test]
async fn a_full_disk_keeps_nothing_half_and_recovers() {
    let data = tempfile::tempdir().unwrap();
    let bad = Bad::default();
    *bad.0.1.lock().unwrap() = Some((2, Trouble::Full));
    let store = FileStore::open_on(IndexKind::default(), data.path(), key(), &keys(), Box::new(bad)).unwrap();
    assert_eq!(send(&store, 1).await, Ok(0));
    assert_eq!(send(&store, 2).await, Err(StoreError::Full));
    assert_eq!(store.size().await.unwrap(), 1);
    assert!(
        store
            .submission(&submission(2, "x-a", &[]).submission)
            .await
            .unwrap()
            .is_none()
    );
    assert_eq!(send(&store, 2).await, Ok(1));
    drop(store);
    let store = FileStore::open(data.path(), key(), &keys()).unwrap();
    assert_eq!((store.size().await.unwrap(), store.torn.clone()), (2, None));
}

#[tokio::test]
async fn a_disk_error_stops_writes_and_loses_nothing_acknowledged() {
    for trouble in [Trouble::Write, Trouble::Sync] {
        let data = tempfile::tempdir().unwrap();
        let bad = Bad::default();
        *bad.0.1.lock().unwrap() = Some((3, trouble));
        let store = FileStore::open_on(IndexKind::default(), data.path(), key(), &keys(), Box::new(bad)).unwrap();
        assert_eq!(send(&store, 1).await, Ok(0));
        assert_eq!(send(&store, 2).await, Ok(1));
        assert!(matches!(send(&store, 3).await, Err(StoreError::Broken(_))));
        assert!(matches!(send(&store, 4).await, Err(StoreError::Broken(_))));
        assert!(
            store
                .submission(&submission(1, "x-a", &[]).submission)
                .await
                .unwrap()
                .is_some()
        );
        drop(store);
        let store = FileStore::open(data.path(), key(), &keys()).unwrap();
        assert_eq!(store.size().await.unwrap(), 2);
        assert_eq!(send(&store, 3).await, Ok(2));
    }
}

fn segment(data: &Path) -> std::path::PathBuf {
    data.join("trail/00000000000000000000.seg")
}

#[tokio::test]
async fn a_torn_tail_is_cut_and_reported_wherever_it_tore() {
    let data = tempfile::tempdir().unwrap();
    let store = FileStore::open(data.path(), key(), &keys()).unwrap();
    send(&store, 1).await.unwrap();
    send(&store, 2).await.unwrap();
    drop(store);
    let two = std::fs::read(segment(data.path())).unwrap();
    let store = FileStore::open(data.path(), key(), &keys()).unwrap();
    send(&store, 3).await.unwrap();
    drop(store);
    let three = std::fs::read(segment(data.path())).unwrap();
    assert!(three.starts_with(&two));
    let step = (three.len() - two.len()) / 7;
    for length in (two.len() + 1..three.len()).step_by(step) {
        // A power cut: the index never saw the third either.
        std::fs::remove_dir_all(data.path().join("index")).unwrap();
        std::fs::write(segment(data.path()), &three[..length]).unwrap();
        let store = FileStore::open(data.path(), key(), &keys()).unwrap();
        let torn = store.torn.clone().unwrap();
        assert_eq!(std::fs::read(&torn.aside).unwrap(), three[two.len()..length]);
        assert_eq!((torn.kept, torn.cut), (two.len() as u64, (length - two.len()) as u64));
        assert_eq!(store.size().await.unwrap(), 2);
        drop(store);
        assert_eq!(std::fs::read(segment(data.path())).unwrap(), two);
    }
    let store = FileStore::open(data.path(), key(), &keys()).unwrap();
    assert_eq!(send(&store, 3).await, Ok(2));
}

#[tokio::test]
async fn damage_in_the_middle_stops_the_store_with_its_position() {
    let data = tempfile::tempdir().unwrap();
    let store = FileStore::open(data.path(), key(), &keys()).unwrap();
    for number in 1..=3 {
        send(&store, number).await.unwrap();
    }
    drop(store);
    let good = std::fs::read(segment(data.path())).unwrap();
    let mut damaged = good.clone();
    damaged[200] ^= 1;
    std::fs::write(segment(data.path()), &damaged).unwrap();
    match FileStore::open(data.path(), key(), &keys()) {
        Err(OpenError::Trail(TrailError::Damaged {
            offset: 16,
            position: 0,
            ..
        })) => {}
        other => panic!("{:?}", other.map(drop)),
    }
    assert_eq!(
        std::fs::read(segment(data.path())).unwrap(),
        damaged,
        "nothing is changed"
    );

    // The last group: cut short, or one bit of it. The index knows that it was whole.
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for bad in [&good[..good.len() - 1], &flipped] {
        std::fs::write(segment(data.path()), bad).unwrap();
        let said = FileStore::open(data.path(), key(), &keys()).map(drop);
        let Err(OpenError::Trail(TrailError::Damaged {
            position: 2, offset, ..
        })) = said
        else {
            panic!("{said:?}");
        };
        assert_eq!(std::fs::read(segment(data.path())).unwrap(), bad, "nothing is cut");
        // As a killed relay leaves the index.
        let _absent = std::fs::remove_file(data.path().join("index/whole"));
        let killed = FileStore::open(data.path(), key(), &keys()).map(drop);
        assert!(
            matches!(killed, Err(OpenError::Trail(TrailError::Damaged { .. }))),
            "{killed:?}"
        );
        // Told to make the index anew, the trail is cut; what it had lies beside.
        if bad.len() == good.len() {
            let asked = FileStore::rebuild(data.path(), key(), &keys()).map(drop);
            assert!(
                matches!(asked, Err(OpenError::Trail(TrailError::Damaged { .. }))),
                "{asked:?}"
            );
            let rebuilt = despite_losses(data.path());
            let torn = rebuilt.torn.clone().unwrap();
            assert_eq!(
                std::fs::read(&torn.aside).unwrap(),
                bad[usize::try_from(offset).unwrap()..]
            );
            drop(rebuilt);
            std::fs::write(segment(data.path()), &good).unwrap();
            drop(FileStore::open(data.path(), key(), &keys()).unwrap());
        }
    }

    // Acknowledged groups that are gone whole.
    let groups = good.windows(8).enumerate().filter(|(_, bytes)| bytes == b"HKGROUP1");
    let two = groups.map(|(at, _)| at).nth(2).unwrap();
    std::fs::write(segment(data.path()), &good[..two]).unwrap();
    let short = FileStore::open(data.path(), key(), &keys()).map(drop);
    assert!(matches!(short, Err(OpenError::TrailTooShort { trail: 2, index: 3 })));
}

fn despite_losses(data: &Path) -> FileStore {
    FileStore::rebuild_despite_losses(IndexKind::default(), data, key(), &keys()).unwrap()
}

/// The index is gone, so that only the checkpoints that are kept beside the trail know how long it was.
#[tokio::test]
async fn a_trail_that_is_shorter_than_it_was_signed_for_is_not_taken() {
    let data = tempfile::tempdir().unwrap();
    let open = || FileStore::open(data.path(), key(), &keys());
    let store = open().unwrap();
    for number in 1..=2 {
        send(&store, number).await.unwrap();
    }
    drop(store);
    let two = std::fs::read(segment(data.path())).unwrap();
    let store = open().unwrap();
    send(&store, 3).await.unwrap();
    let stamps = data.path().join("log/stamps");
    std::fs::create_dir_all(&stamps).unwrap();
    std::fs::write(stamps.join("3.checkpoint"), store.checkpoint().await.unwrap()).unwrap();
    // One that the log has not signed says nothing.
    std::fs::write(stamps.join("9.checkpoint"), "relay.example/trail\n9\n").unwrap();
    drop(store);
    let three = std::fs::read(segment(data.path())).unwrap();
    let mut flipped = three.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for (bytes, damaged) in [(&two, false), (&flipped, true)] {
        let _gone = std::fs::remove_dir_all(data.path().join("index"));
        std::fs::write(segment(data.path()), bytes).unwrap();
        for said in [
            open().map(drop).unwrap_err(),
            FileStore::rebuild(data.path(), key(), &keys()).map(drop).unwrap_err(),
        ] {
            match said {
                OpenError::Trail(TrailError::Damaged { position: 2, .. }) if damaged => {}
                OpenError::SignedForMore {
                    trail: 2, signed: 3, ..
                } if !damaged => {}
                other => panic!("{other}"),
            }
            assert_eq!(&std::fs::read(segment(data.path())).unwrap(), bytes, "nothing is cut");
        }
    }
    drop(despite_losses(data.path()));
    assert!(stamps.join("3.checkpoint.lost").exists());
    // Another record in the place of the third is not what was signed.
    let store = open().unwrap();
    assert_eq!(send(&store, 4).await, Ok(2));
    drop(store);
    std::fs::rename(stamps.join("3.checkpoint.lost"), stamps.join("3.checkpoint")).unwrap();
    let said = open().map(drop).unwrap_err();
    assert!(matches!(said, OpenError::Rewritten { size: 3, .. }), "{said}");
    std::fs::write(segment(data.path()), &three).unwrap();
    std::fs::remove_dir_all(data.path().join("index")).unwrap();
    assert_eq!(open().unwrap().size().await.unwrap(), 3);
}

#[tokio::test]
async fn a_lost_answer_is_found_again() {
    let store = FaultyStore::new(MemoryStore::new(key()).unwrap(), 2, Fault::AnswerLost);
    assert_eq!(send(&store, 1).await, Ok(0));
    assert!(matches!(send(&store, 2).await, Err(StoreError::Broken(_))));
    assert!(matches!(send(&store, 2).await, Err(StoreError::Conflict(_))));
    let store = FaultyStore::new(MemoryStore::new(key()).unwrap(), 1, Fault::Refused(StoreError::Full));
    assert_eq!(send(&store, 1).await, Err(StoreError::Full));
    assert_eq!(send(&store, 1).await, Ok(0));
}

/// A figure, not a test of time: acceptances a second with 64 committers, each waiting for its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figure_of_64_committers() {
    const EACH: u64 = 40;
    let data = tempfile::tempdir().unwrap();
    let store = Arc::new(FileStore::open(data.path(), key(), &keys()).unwrap());
    let begun = std::time::Instant::now();
    let writers: Vec<_> = (0..64)
        .map(|writer| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for number in 0..EACH {
                    send(&*store, writer * 1000 + number).await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let records = store.size().await.unwrap();
    println!(
        "{:.0} acceptances/s durable, 64 committers",
        records as f64 / begun.elapsed().as_secs_f64()
    );
    assert_eq!(records, 64 * EACH);
}
