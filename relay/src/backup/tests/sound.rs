//! What is damaged, lacking, or shorter than it was is told; and two runs do not meet.

use super::*;

pub(super) async fn looked(target: &Target, which: Which<'_>, scratch: &Path) -> Result<Verified, BackupError> {
    let mut pace = Pace::new(None, &|_, _| {});
    verify(target, target, which, None, scratch, &mut pace).await
}

fn place() -> (tempfile::TempDir, PathBuf, PathBuf, Target) {
    let root = tempfile::tempdir().unwrap();
    let (data, place) = (root.path().join("data"), root.path().join("backup"));
    let target = Target::open(place.to_str().unwrap(), true, None).unwrap();
    (root, data, place, target)
}

#[tokio::test]
async fn damage_shared_by_generations_is_told_once_and_mended_by_a_full_run() {
    let (_root, data, place, target) = place();
    grow(&data, 0, 3).await;
    std::fs::write(data.join("note"), vec![7; PART + 5]).unwrap();
    back_up(&data, &target, day(1)).await;
    let scratch = Scratch::new(None).unwrap();
    let large = objects(&place);
    let large: Vec<_> = large
        .iter()
        .filter(|path| path.metadata().unwrap().len() == PART as u64)
        .collect();
    let [large] = large.as_slice() else { panic!("{large:?}") };
    for missing in [false, true] {
        if missing {
            std::fs::remove_file(large).unwrap();
        } else {
            let mut bad = std::fs::read(large).unwrap();
            bad[9] ^= 1;
            std::fs::write(large, bad).unwrap();
        }
        // What has not changed is taken over by name, damaged as it is.
        let next = if missing { 4 } else { 2 };
        back_up(&data, &target, day(next)).await;
        let said = looked(&target, Which::All, scratch.path()).await.unwrap_err();
        assert!(
            matches!(&said, BackupError::Object { of, .. } if of == "note"),
            "{said}"
        );
        let mended = full(&data, &target, day(next + 1)).await.unwrap();
        assert_eq!(mended.new_bytes, PART as u64);
        let whole = looked(&target, Which::All, scratch.path()).await.unwrap();
        assert_eq!(whole.generations.len(), target.generations().await.unwrap().len());
    }
}

#[tokio::test]
async fn a_full_run_names_what_has_rotted_here_and_keeps_what_it_was() {
    let (root, data, _, target) = place();
    grow(&data, 0, 3).await;
    let folder = data.join("containers/orphans/x");
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("container.asice");
    std::fs::write(&file, "good").unwrap();
    back_up(&data, &target, day(1)).await;
    let modified = file.metadata().unwrap().modified().unwrap();
    std::fs::write(&file, "baad").unwrap();
    std::fs::File::options()
        .write(true)
        .open(&file)
        .unwrap()
        .set_modified(modified)
        .unwrap();
    // Nothing tells that it is another one, but reading it.
    assert_eq!(back_up(&data, &target, day(2)).await.new_bytes, 0);
    let said = full(&data, &target, day(3)).await.unwrap_err();
    let named = "containers/orphans/x/container.asice";
    assert!(
        matches!(&said, BackupError::Rotten(_, files) if files.iter().eq([named])),
        "{said}"
    );
    assert!(said.to_string().contains(named));
    let to = root.path().join("restored");
    back(&target, None, &to).await.unwrap();
    assert_eq!(std::fs::read(to.join(named)).unwrap(), b"good");
}

#[tokio::test]
async fn a_backup_without_the_keys_of_what_it_holds_is_not_whole() {
    let (_root, data, place, target) = place();
    grow(&data, 0, 3).await;
    let folder = data.join("containers/x");
    std::fs::create_dir_all(&folder).unwrap();
    for file in ["container.asice.sealed", "report.json.sealed"] {
        std::fs::write(folder.join(file), file).unwrap();
    }
    for key in ["container.key", "beside.key"] {
        keys().keep(&folder.join(key), &[7; 32]).unwrap();
    }
    back_up(&data, &target, day(1)).await;
    let scratch = Scratch::new(None).unwrap();
    looked(&target, Which::Newest, scratch.path()).await.unwrap();
    let all = async || {
        let mut pace = Pace::new(None, &|_, _| {});
        verify(&target, &target, Which::All, Some(&keys()), scratch.path(), &mut pace).await
    };
    assert_eq!(all().await.unwrap().keys, Some(3));
    let month = "keys/2024-10.standing.key";
    for name in [month, "containers/x/container.key", "containers/x/beside.key"] {
        let key = place.join("keys").join(name);
        let kept = std::fs::read(&key).unwrap();
        // Damaged, it is there and opens nothing.
        std::fs::write(&key, kept.get(..kept.len() - 1).unwrap()).unwrap();
        looked(&target, Which::Newest, scratch.path()).await.unwrap();
        let said = all().await.unwrap_err();
        assert!(
            matches!(&said, BackupError::KeysShut(keys) if keys.iter().eq([name])),
            "{said}"
        );
        std::fs::remove_file(&key).unwrap();
        let said = looked(&target, Which::Newest, scratch.path()).await.unwrap_err();
        assert!(
            matches!(&said, BackupError::KeysMissing(_, keys) if keys.iter().eq([name])),
            "{said}"
        );
        std::fs::write(&key, kept).unwrap();
    }
    // One that was destroyed on purpose lacks nowhere.
    std::fs::remove_file(place.join("keys").join(month)).unwrap();
    std::fs::write(place.join("keys").join(month).with_extension("destroyed"), "").unwrap();
    looked(&target, Which::Newest, scratch.path()).await.unwrap();
    assert_eq!(all().await.unwrap().keys, Some(2));
}

#[tokio::test]
async fn a_trail_that_is_shorter_than_it_was_makes_no_generation() {
    let (root, data, _, target) = place();
    grow(&data, 0, 2).await;
    let segment = data.join("trail/00000000000000000000.seg");
    let two = std::fs::read(&segment).unwrap();
    back_up(&data, &target, day(1)).await;
    grow(&data, 2, 1).await;
    let three = std::fs::read(&segment).unwrap();
    // The last group is damaged, and the index knows of it.
    let mut bytes = three.clone();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let short = |said: &BackupError, by: &str| {
        matches!(
            said,
            BackupError::TrailShort {
                records: 2,
                known: 3,
                ..
            }
        ) && said.to_string().contains(by)
    };
    let said = try_back_up(&data, &target, day(2)).await.unwrap_err();
    assert!(short(&said, "the newest signed checkpoint"), "{said}");
    assert_eq!(target.generations().await.unwrap().len(), 1);
    // The records of before, with everything that knows of more, as after an older backup was restored.
    std::fs::write(&segment, three).unwrap();
    back_up(&data, &target, day(3)).await;
    std::fs::write(&segment, two).unwrap();
    std::fs::remove_dir_all(data.join("index")).unwrap();
    let said = try_back_up(&data, &target, day(4)).await.unwrap_err();
    assert!(short(&said, "generation "), "{said}");
    assert_eq!(target.generations().await.unwrap().len(), 2);
    let (now, full, shorter) = (day(5), false, true);
    run(&data, &target, How { now, full, shorter }).await.unwrap();
    // Once it was said, it is what is known.
    back_up(&data, &target, day(6)).await;
    back(&target, None, &root.path().join("restored")).await.unwrap();
}

#[tokio::test]
async fn two_runs_do_not_meet_at_one_place() {
    let (_root, data, _, target) = place();
    let (scratch, now) = (Scratch::new(None).unwrap(), OffsetDateTime::now_utc());
    grow(&data, 0, 1).await;
    let held = alone::Alone::at(&target).await.unwrap();
    let at_work = |said: BackupError| assert!(said.to_string().contains("another backup or prune"), "{said}");
    at_work(prune(&target, 1, scratch.path(), now).await.unwrap_err());
    at_work(try_back_up(&data, &target, day(1)).await.unwrap_err());
    assert!(target.generations().await.unwrap().is_empty());
    held.end(&target).await;
    back_up(&data, &target, day(1)).await;
    prune(&target, 1, scratch.path(), now).await.unwrap();
}
