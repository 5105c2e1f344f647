//! Generations share what they have in common, are whole, and say which object is damaged.

mod sound;

use std::collections::BTreeMap;
use std::path::Path;

use formats::trail::{Actor, Class, Event, LogKey};
use time::{Duration, OffsetDateTime};

use sound::looked;

use super::*;
use crate::check::Place;
use crate::containers::CONTAINER_KEY;
use crate::folder::Scratch;
use crate::keys::for_tests as keys;
use crate::pace::Pace;
use crate::store::conformance::submission;
use crate::store::{Batch, Embedded as _, FileStore, Store as _};

fn key() -> LogKey {
    LogKey::from_seed("relay.example/trail", &[5; 32]).unwrap().0
}

fn own() -> Own {
    Own {
        log: key().into(),
        keys: keys(),
    }
}

fn day(number: i64) -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + Duration::days(20_000 + number)
}

async fn grow(data: &Path, from: u64, count: u64) {
    let added = |number| Event::FacilityAdded {
        facility: format!("x-{number}").parse().unwrap(),
        name: "TEST".repeat(100),
    };
    record(data, (from..from + count).map(added)).await;
}

async fn record(data: &Path, events: impl IntoIterator<Item = Event>) {
    let store = FileStore::open(data, key(), &keys()).unwrap();
    for event in events {
        let batch = Batch {
            actor: Actor::default(),
            time: day(0),
            events: vec![event],
            conditions: Vec::new(),
        };
        store.commit(batch).committed().await.unwrap();
    }
}

async fn back_up(data: &Path, target: &Target, now: OffsetDateTime) -> Made {
    try_back_up(data, target, now).await.unwrap()
}

async fn try_back_up(data: &Path, target: &Target, now: OffsetDateTime) -> Result<Made, BackupError> {
    let (full, shorter) = (false, false);
    run(data, target, How { now, full, shorter }).await
}

async fn full(data: &Path, target: &Target, now: OffsetDateTime) -> Result<Made, BackupError> {
    let (full, shorter) = (true, false);
    run(data, target, How { now, full, shorter }).await
}

async fn run(data: &Path, target: &Target, how: How) -> Result<Made, BackupError> {
    let (scratch, key) = (Scratch::new(None).unwrap(), key());
    let place = Place {
        data,
        vkey: key.vkey(),
        shared: None,
        keys: &keys(),
        scratch: scratch.path(),
        note: None,
        live: true,
    };
    let watch = |_: &str, _| {};
    let mut pace = Pace::new(None, &watch);
    make(place, None, &[], target, target, how, &mut pace).await
}

async fn back(target: &Target, generation: Option<&str>, to: &Path) -> Result<Restored, BackupError> {
    restore(
        target,
        target,
        generation,
        &Destination::Folder(to.into()),
        own(),
        false,
        &mut Pace::new(None, &|_, _| {}),
    )
    .await
}

fn objects(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for shelf in std::fs::read_dir(folder.join("objects")).unwrap() {
        found.extend(
            std::fs::read_dir(shelf.unwrap().path())
                .unwrap()
                .map(|file| file.unwrap().path()),
        );
    }
    found
}

#[tokio::test]
async fn generations_share_objects_and_each_is_restored_as_it_was() {
    let root = tempfile::tempdir().unwrap();
    let (data, place) = (root.path().join("data"), root.path().join("backup"));
    let target = Target::open(place.to_str().unwrap(), true, None).unwrap();
    grow(&data, 0, 3).await;
    std::fs::create_dir_all(data.join("containers/orphans/x")).unwrap();
    std::fs::write(data.join("containers/orphans/x/container.asice"), vec![7; PART + 5]).unwrap();
    std::fs::create_dir_all(data.join("keys")).unwrap();
    std::fs::write(data.join("keys/2026-10.account.key"), "ten").unwrap();
    std::fs::write(data.join("keys/2026-11.account.key"), "eleven").unwrap();
    for key in ["container.key", "beside.key"] {
        std::fs::write(data.join("containers/orphans/x").join(key), key).unwrap();
    }
    let first = back_up(&data, &target, day(1)).await;
    assert_eq!((first.generation.records, first.generation.files), (3, 2));
    assert!(first.new_bytes > PART as u64 + 5, "{first:?}");
    grow(&data, 3, 2).await;
    std::fs::remove_file(data.join("keys/2026-10.account.key")).unwrap();
    std::fs::write(data.join("keys/2026-10.account.destroyed"), "").unwrap();
    std::fs::remove_file(data.join("containers/orphans/x/container.key")).unwrap();
    std::fs::write(data.join("containers/orphans/x/beside.key"), "rewrapped").unwrap();
    let second = back_up(&data, &target, day(2)).await;
    assert_eq!((second.generation.records, second.keys_removed), (5, 1));
    assert!(second.new_bytes < 100_000, "only the trail is new: {second:?}");
    let nothing_new = back_up(&data, &target, day(3)).await;
    assert_eq!(
        (nothing_new.new_bytes, target.generations().await.unwrap().len()),
        (0, 3)
    );

    for (name, records) in [(&first.name, 3), (&second.name, 5)] {
        let to = root.path().join(format!("restored{records}"));
        let restored = back(&target, Some(name), &to).await.unwrap();
        assert_eq!(
            (restored.compared.records, restored.compared.checkpoint),
            (records, Some(records))
        );
        let store = FileStore::open(&to, key(), &keys()).unwrap();
        assert_eq!(store.size().await.unwrap(), records);
        let large = std::fs::read(to.join("containers/orphans/x/container.asice")).unwrap();
        assert!(large == vec![7; PART + 5]);
        // A key that was destroyed is in no generation.
        assert!(!to.join("keys/2026-10.account.key").exists() && to.join("keys/2026-11.account.key").exists());
        // No record names what this one opens: the trail does not say that it is erased.
        assert!(to.join("containers/orphans/x/container.key").exists());
        let key = std::fs::read(to.join("containers/orphans/x/beside.key")).unwrap();
        assert_eq!(key, b"rewrapped");
        assert!(matches!(back(&target, None, &to).await, Err(BackupError::NotEmpty(_))));
    }
    let original = FileStore::open(&data, key(), &keys()).unwrap().dump().unwrap();
    let restored = FileStore::open(&root.path().join("restored5"), key(), &keys())
        .unwrap()
        .dump()
        .unwrap();
    assert_eq!(original, restored);
}

#[tokio::test]
async fn a_flipped_byte_in_any_object_is_named_and_nothing_is_put_in_place() {
    let root = tempfile::tempdir().unwrap();
    let (data, place) = (root.path().join("data"), root.path().join("backup"));
    let target = Target::open(place.to_str().unwrap(), true, None).unwrap();
    grow(&data, 0, 3).await;
    let made = back_up(&data, &target, day(1)).await;
    let scratch = Scratch::new(None).unwrap();
    let all = objects(&place);
    assert_eq!(all.len(), 2, "the trail and the list");
    for path in all.into_iter().chain([place.join("generations").join(&made.name)]) {
        let good = std::fs::read(&path).unwrap();
        let mut bad = good.clone();
        bad[good.len() / 2] ^= 1;
        std::fs::write(&path, bad).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        let to = root.path().join("restored");
        let said = back(&target, Some(&made.name), &to).await.unwrap_err().to_string();
        assert!(said.contains(name) && said.contains("damaged"), "{said}");
        assert!(!to.exists());
        let verified = looked(&target, Which::Named(&made.name), scratch.path()).await;
        assert_eq!(verified.unwrap_err().to_string(), said);
        std::fs::write(&path, good).unwrap();
    }
    back(&target, None, &root.path().join("restored")).await.unwrap();
}

#[tokio::test]
async fn pruning_keeps_what_is_needed() {
    let root = tempfile::tempdir().unwrap();
    let (data, place) = (root.path().join("data"), root.path().join("backup"));
    let target = Target::open(place.to_str().unwrap(), true, None).unwrap();
    for number in 0..4 {
        grow(&data, number, 1).await;
        back_up(&data, &target, day(number.try_into().unwrap())).await;
    }
    let (scratch, later) = (
        Scratch::new(None).unwrap(),
        OffsetDateTime::now_utc() + Duration::days(2),
    );
    let before = objects(&place).len();
    let young = prune(&target, 4, scratch.path(), later).await.unwrap();
    assert_eq!((young.generations.len(), objects(&place).len()), (0, before));
    let pruned = prune(&target, 2, scratch.path(), later).await.unwrap();
    assert_eq!(
        (pruned.generations.len(), pruned.objects),
        (2, 4),
        "two trails, two lists"
    );
    for name in target.generations().await.unwrap() {
        let to = root.path().join(&name);
        back(&target, Some(&name), &to).await.unwrap();
    }
}

#[tokio::test]
async fn a_backup_that_leads_out_of_its_folder_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let target = Target::open(root.path().join("backup").to_str().unwrap(), true, None).unwrap();
    let line = r#"{"path":"../outside","modified":1,"content":{"size":0,"sha256":""}}"#;
    let (object, _) = target.put(line.as_bytes().into(), false).await.unwrap();
    let generation = Generation {
        version: 1,
        made: "2026-11-25T00:00:00Z".into(),
        records: 0,
        checkpoint: None,
        files: 1,
        bytes: 0,
        listing: Content {
            size: line.len() as u64,
            sha256: object,
            parts: Vec::new(),
        },
    };
    target.put_generation(&generation).await.unwrap();
    let refused = back(&target, None, &root.path().join("data")).await.unwrap_err();
    assert!(refused.to_string().contains("leads elsewhere"), "{refused}");
    assert!(!root.path().join("outside").exists());
}

#[tokio::test]
async fn a_key_that_is_lost_is_named_and_stays_in_the_backup() {
    let root = tempfile::tempdir().unwrap();
    let (data, place) = (root.path().join("data"), root.path().join("backup"));
    let target = Target::open(place.to_str().unwrap(), true, None).unwrap();
    grow(&data, 0, 3).await;
    let destroyed = data.join("keys/2026-10.account.key");
    std::fs::write(&destroyed, "ten").unwrap();
    back_up(&data, &target, day(1)).await;
    let name = "keys/2024-10.standing.key";
    let lost = std::fs::read(data.join(name)).unwrap();
    std::fs::remove_file(data.join(name)).unwrap();
    std::fs::remove_file(&destroyed).unwrap();
    std::fs::write(destroyed.with_extension("destroyed"), "").unwrap();
    for number in 2..4 {
        let said = try_back_up(&data, &target, day(number)).await.unwrap_err();
        assert!(
            matches!(&said, BackupError::KeysLost(_, keys) if keys.iter().eq([name])),
            "{said}"
        );
        assert!(said.to_string().contains(name), "{said}");
        assert_eq!(std::fs::read(place.join("keys").join(name)).unwrap(), lost);
        assert!(
            place.join("keys/keys/2026-10.account.key").exists(),
            "nothing is removed"
        );
    }
    // Put back, everything goes on, and what was destroyed goes.
    std::fs::copy(place.join("keys").join(name), data.join(name)).unwrap();
    assert_eq!(back_up(&data, &target, day(4)).await.keys_removed, 1);
    back(&target, None, &root.path().join("restored")).await.unwrap();
}

/// What waited, was refused and is held has no place in any inbox, and its month may be over: its key is needed until nobody holds it.
#[tokio::test]
async fn the_key_of_a_refused_letter_is_needed_while_it_is_held() {
    let root = tempfile::tempdir().unwrap();
    let (data, place) = (root.path().join("data"), root.path().join("backup"));
    let target = Target::open(place.to_str().unwrap(), true, None).unwrap();
    let mut waiting = submission(1, "x-1", &["x-2"]);
    waiting.stored_as = format!("{0}.{0}", waiting.submission);
    let (id, sender) = (waiting.submission.clone(), waiting.sender.facility.clone());
    let (recipients, reason) = (vec!["x-2".parse().unwrap()], "TEST court order".to_owned());
    let name = format!("containers/{}/{CONTAINER_KEY}", waiting.stored_as);
    let refused = Event::Refused {
        facility: sender.clone(),
        submission: Some(id.clone()),
        code: "validation_failed".into(),
        sub_indication: None,
        container_sha256: Some(waiting.container_sha256.clone()),
        report_sha256: None,
    };
    let held = Event::HoldSet {
        submission: id.clone(),
        sender: sender.clone(),
        recipients: recipients.clone(),
        reason: reason.clone(),
    };
    let pending = Event::Pending {
        submission: Box::new(waiting),
        waiting_for: "CRL".into(),
        deadline: "2026-11-25T01:00:00Z".into(),
    };
    // A month long after the letter's.
    let erased = Event::KeyDestroyed {
        class: Class::Account,
        month: "2026-10".into(),
        first: 0,
        last: 0,
        records: 0,
        erased: BTreeMap::new(),
    };
    record(&data, [pending, held, refused, erased]).await;
    std::fs::create_dir_all(data.join(&name).parent().unwrap()).unwrap();
    std::fs::write(data.join(&name), "its key").unwrap();
    back_up(&data, &target, day(1)).await;
    std::fs::remove_file(data.join(&name)).unwrap();
    // The first run after keeps what the generation under way may speak of.
    for number in 2..4 {
        let said = try_back_up(&data, &target, day(number)).await.unwrap_err();
        assert!(
            matches!(&said, BackupError::KeysLost(_, keys) if keys.iter().eq([&name])),
            "{said}"
        );
    }
    let lifted = Event::HoldLifted {
        submission: id,
        sender,
        recipients,
        reason,
    };
    record(&data, [lifted]).await;
    assert_eq!(back_up(&data, &target, day(4)).await.keys_removed, 1);
    assert!(!place.join("keys").join(&name).exists());
}
