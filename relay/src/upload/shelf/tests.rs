//! The shelf under restarts, refusals and quotas.

use super::super::growing::Growing;
use super::*;
use crate::keys::for_tests;

fn shelf_with(data: &Path) -> Uploads {
    Uploads::open(data, for_tests(), Duration::from_secs(86_400)).unwrap()
}

fn put_one(shelf: &Uploads, id: &str, facility: &str, length: u64, touched: OffsetDateTime) -> Arc<Upload> {
    let slip = Slip {
        facility: facility.parse().unwrap(),
        length,
        sha256: None,
        submission: None,
        checked: None,
    };
    let Shelf::Folder { folder, .. } = &shelf.shelf else {
        panic!("a folder");
    };
    let room = Room::Folder {
        folder: folder.join(id),
        slip: slip_of(folder, id),
    };
    let upload = shelf.upload(id.into(), slip, room, 0, touched);
    shelf.put(Arc::clone(&upload));
    upload
}

#[tokio::test]
async fn refused_uploads_are_remembered_for_minutes_and_some_of_them() {
    let data = tempfile::tempdir().unwrap();
    let (shelf, now) = (shelf_with(data.path()), clock::now());
    for number in 0..50 {
        let touched = now - time::Duration::seconds(number);
        put_one(&shelf, &format!("dead{number}"), "x-a", 1, touched)
            .dead
            .store(true, Ordering::Relaxed);
    }
    put_one(&shelf, "open", "x-a", 1, now - time::Duration::hours(1));
    let other = put_one(&shelf, "other", "x-b", 1, now);
    other.dead.store(true, Ordering::Relaxed);
    shelf.forget_refused(&"x-a".parse().unwrap()).await;
    let known: Vec<String> = shelf.known().keys().cloned().collect();
    assert_eq!(known.len(), REFUSED + 2, "{known:?}");
    for kept in ["dead0", "open", "other"] {
        assert!(known.iter().any(|id| id == kept), "{kept}");
    }
    let open = Arc::clone(&shelf.known()["open"]);
    assert!(!is_over(&open, now) && !is_over(&other, now));
    assert!(is_over(&other, now + time::Duration::minutes(11)));
}

#[tokio::test]
async fn what_is_accepted_while_it_is_counted_is_counted() {
    let data = tempfile::tempdir().unwrap();
    let shelf = shelf_with(data.path());
    let first = put_one(&shelf, "first", "x-a", 1000, clock::now());
    let limits = Limits {
        max_container: 1 << 20,
        upload_expiry: Duration::from_secs(60),
        pending_deadline: Duration::from_secs(60),
        pending_retry: Duration::from_secs(60),
        pending_per_facility: 1,
        timestamps_per_device_per_hour: 1,
        clock_drift: Duration::from_secs(60),
        reserve: 0,
        quota_per_facility: Some(1500),
        refusal_reports: 0,
        drain: Duration::ZERO,
        connections: 1,
        connections_per_address: 1,
    };
    let second = put_one(&shelf, "second", "x-a", 1000, clock::now());
    shelf.known().remove("second");
    let Shelf::Folder { folder, trail } = &shelf.shelf else {
        panic!("a folder");
    };
    let (folder, trail) = (folder.clone(), trail.clone());
    // The store is read, then the first becomes a submission: it was not in the one and is no longer in the other.
    let stored = async {
        *first.became.lock().unwrap() = Some("0193569a-7c00-7000-8000-000000000001".parse().unwrap());
        Ok(0)
    };
    let admitted = shelf.admit(&second, (&folder, &trail), &limits, stored).await;
    assert_eq!(admitted.map_err(|problem| problem.code()), Err(Code::Quota));
}

#[test]
fn a_restart_keeps_what_was_written_but_nothing_whose_hash_was_not_compared() {
    let data = tempfile::tempdir().unwrap();
    let (folder, keys) = (data.path().join("uploads"), for_tests());
    fs::create_dir(&folder).unwrap();
    let leave = |id: &str, checked: Option<u64>| {
        let slip = Slip {
            facility: "1310000001".parse().unwrap(),
            length: 10,
            sha256: None,
            submission: None,
            checked,
        };
        let seals = Seals::create(&folder.join(id), id, &keys).unwrap();
        let mut growing = Growing::open(&folder.join(id), &seals, 10, 0).unwrap();
        growing.write(&[b"0123456"]).unwrap();
        growing.sync().unwrap();
        write_slip(&folder.join(format!("{id}.json")), &slip).unwrap();
    };
    leave("plain", None);
    leave("hashed", Some(4));
    leave("ahead", Some(9));
    fs::write(folder.join("plain.json.new"), b"{").unwrap();
    Seals::create(&folder.join("nobody"), "nobody", &keys).unwrap();
    fs::create_dir(folder.join("plain.part")).unwrap();
    let shelf = Uploads::open(data.path(), keys, Duration::from_secs(60)).unwrap();
    assert!(folder.join("plain").exists() && !folder.join("plain.part").exists());
    let aged = clock::now() + STALE + Duration::from_secs(60);
    assert!(shelf.stale(clock::now()).is_empty(), "what came just now is not stale");
    let stale: Vec<_> = shelf
        .stale(aged)
        .iter()
        .map(|upload| upload.touched.load(Ordering::Relaxed))
        .collect();
    assert!(stale.len() == 3 && stale.is_sorted());
    let known = shelf.known.lock().unwrap();
    let offset = |id: &str| known[id].progress.try_lock().unwrap().offset;
    assert_eq!((offset("plain"), offset("hashed"), offset("ahead")), (7, 4, 7));
    let hashed = &known["hashed"];
    let growing = Growing::open(&folder.join("hashed"), &hashed.seals().unwrap(), 10, 4).unwrap();
    let mut kept = Vec::new();
    growing
        .pass(0, &mut |part| {
            kept.extend_from_slice(part);
            true
        })
        .unwrap();
    assert_eq!(kept, b"0123");
    assert_eq!(known.len(), 3);
    assert!(!folder.join("plain.json.new").exists() && !folder.join("nobody").exists());
}
