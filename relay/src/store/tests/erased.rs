//! Erasure on a disk: what is left there, and crashes at each step of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use formats::trail::{Class, Erased, Event};

use super::super::conformance::batch;
use super::super::conformance::erased::a_month_is_erased_and_the_rest_stands;
use super::super::{Embedded as _, FileStore, OpenError, Store, StoreError};
use super::{key, keys, send};
use crate::keys::Keys;

async fn erased(data: &Path, keys: &Keys) {
    let store: Arc<dyn Store> = Arc::new(FileStore::open(data, key(), keys).unwrap());
    a_month_is_erased_and_the_rest_stands(store, key().vkey()).await;
}

fn dump(data: &Path, keys: &Keys) -> Vec<String> {
    FileStore::open(data, key(), keys).unwrap().dump().unwrap()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(file, target).unwrap();
    }
}

fn key_files(data: &Path) -> Vec<String> {
    let mut names: Vec<String> = files(&data.join("keys"))
        .iter()
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_a_patient_is_readable_and_a_rebuild_restores_the_rest() {
    let (data, keys) = (tempfile::tempdir().unwrap(), keys());
    erased(data.path(), &keys).await;
    let before = dump(data.path(), &keys);
    assert_eq!(
        key_files(data.path()),
        [
            "2026-11.account.destroyed",
            "2026-11.standing.key",
            "2026-12.account.key",
            "2027-03.account.key",
            "2032-01.standing.key"
        ]
    );
    for file in files(data.path()) {
        let bytes = std::fs::read(&file).unwrap();
        for word in ["12345", "TEST person", "letter.pdf"] {
            let found = bytes.windows(word.len()).any(|part| part == word.as_bytes());
            assert!(!found, "{word} in {}", file.display());
        }
    }
    assert!(
        before.iter().any(|row| row.contains("12345")),
        "what stays is there, for who has the key"
    );
    let rebuilt = FileStore::rebuild(data.path(), key(), &keys).unwrap();
    let after = rebuilt.dump().unwrap();
    let differs = before.iter().zip(&after).find(|(one, other)| one != other);
    assert_eq!(differs, None);
    assert_eq!(before.len(), after.len());
}

/// The index and the key come back as they were before the erasure, each alone and both: a power cut may leave any of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_at_any_step_ends_in_the_same_index_without_the_key() {
    let (whole, keys) = (tempfile::tempdir().unwrap(), keys());
    erased(whole.path(), &keys).await;
    let expected = dump(whole.path(), &keys);
    // The trail as it was when the key was still there, read back from the positions before the erasure.
    let old = tempfile::tempdir().unwrap();
    let lost = "2026-11.account.key";
    let november = {
        let twin = tempfile::tempdir().unwrap();
        let store = FileStore::open(twin.path(), key(), &keys).unwrap();
        send(&store, 1).await.unwrap();
        drop(store);
        std::fs::read(twin.path().join("keys").join(lost)).unwrap()
    };
    copy(whole.path(), old.path());
    // A destroyed key that comes back from a backup, even another one of that name, is destroyed again.
    std::fs::write(old.path().join("keys").join(lost), november).unwrap();
    assert_eq!(dump(old.path(), &keys), expected);
    assert!(!old.path().join("keys").join(lost).exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_key_is_said_and_nothing_is_taken_for_erased() {
    let (data, keys) = (tempfile::tempdir().unwrap(), keys());
    let store = FileStore::open(data.path(), key(), &keys).unwrap();
    send(&store, 1).await.unwrap();
    let before = store.dump().unwrap();
    drop(store);
    let file = data.path().join("keys/2026-11.account.key");
    let kept = std::fs::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    for _ in 0..2 {
        let lost = FileStore::open(data.path(), key(), &keys).map(drop);
        let Err(OpenError::Store(StoreError::Broken(said))) = lost else {
            panic!("{lost:?}")
        };
        assert!(said.contains("data/keys/2026-11.account.key"), "{said}");
        let rebuilt = FileStore::rebuild(data.path(), key(), &keys).map(drop);
        assert!(matches!(rebuilt, Err(OpenError::Store(StoreError::Broken(_)))));
    }
    std::fs::write(&file, kept).unwrap();
    assert_eq!(dump(data.path(), &keys), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_cannot_be_destroyed_is_tried_again_while_the_store_works() {
    let (data, keys) = (tempfile::tempdir().unwrap(), keys());
    let store = FileStore::open(data.path(), key(), &keys).unwrap();
    send(&store, 1).await.unwrap();
    let month = store.months().await.unwrap().into_iter().next().unwrap();
    let key = data.path().join("keys/2026-11.account.key");
    assert!(key.exists());
    // What says that it is destroyed cannot be written.
    let in_the_way = data.path().join("keys/2026-11.account.destroyed.new");
    std::fs::create_dir(&in_the_way).unwrap();
    let erased = Erased {
        records: 1,
        first: 1,
        last: 1,
    };
    let destroyed = Event::KeyDestroyed {
        class: Class::Account,
        month: "2026-11".into(),
        first: month.first,
        last: month.last,
        records: 1,
        erased: ["x-a", "x-b"].map(|code| (code.parse().unwrap(), erased)).into(),
    };
    store.commit(batch(vec![destroyed], vec![])).committed().await.unwrap();
    assert!(key.exists());
    std::fs::remove_dir(&in_the_way).unwrap();
    let since = std::time::Instant::now();
    while key.exists() {
        assert!(since.elapsed().as_secs() < 60, "it is not tried again");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(key.with_extension("destroyed").is_file());
}
