//! A disk that is full: no upload is taken, and every letter can still be fetched, its fetching recorded.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use kit::skip::skip;
use kit::stage::Stage;
use kit::{RelayOptions, Reply};

/// A small disk in memory.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None` where this user may not mount.
    fn mount(mebibytes: u32) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={mebibytes}m,mode=0700");
        let mut mount = Command::new("mount");
        let mount = mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path());
        let mounted = mount.output().is_ok_and(|done| done.status.success());
        mounted.then_some(Self(folder))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes until nothing more goes in.
    fn fill(&self) {
        let mut file = File::create(self.path("filler")).unwrap();
        for part in [64 << 10, 4 << 10, 1 << 10] {
            while file.write_all(&vec![1; part]).is_ok() {}
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _gone = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

fn until(what: &str, done: impl Fn() -> bool) {
    let since = Instant::now();
    while !done() {
        assert!(since.elapsed() < Duration::from_secs(30), "{what} did not happen");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn kinds(events: &Reply) -> Vec<String> {
    let events = events.json();
    let kinds = events.as_array().unwrap().iter();
    kinds.map(|event| event["kind"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_full_disk_takes_no_upload_and_gives_out_every_letter() {
    let Some(disk) = SmallDisk::mount(64) else {
        return skip(
            "a_full_disk_takes_no_upload_and_gives_out_every_letter",
            "this user may not mount a disk",
        );
    };
    let data = disk.path("data");
    let stage = Stage::new(&RelayOptions {
        data: Some(data.clone()),
        limits: vec![("reserve", "16MiB".into())],
        ..RelayOptions::default()
    });
    let (relay, pair) = (&stage.relay, stage.pair());
    let doctor = stage.services.hpki().doctor();
    let container = stage.container(&pair, &doctor, |_, _| {});
    let letters: Vec<String> = (0..3)
        .map(|_| {
            let sent = pair.clinic.submit(relay, &stage.container(&pair, &doctor, |_, _| {}));
            assert_eq!(sent.status, 201, "{}", sent.json());
            sent.json()["id"].as_str().unwrap().to_owned()
        })
        .collect();
    let reserve = data.join("trail/reserve");
    until("the reserve", || {
        reserve.metadata().is_ok_and(|found| found.len() == 4 << 20)
    });

    disk.fill();
    until("giving up the reserve", || !reserve.exists());
    let refused = pair.clinic.begin_upload(relay, container.len() as u64, None);
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (507, "no_space"),
        "{}",
        refused.json()
    );
    for id in &letters {
        let fetched = pair
            .hospital
            .get_as(relay, &format!("/v1/submissions/{id}/container"), "staff", &[]);
        assert_eq!(fetched.status, 200, "{}", relay.log());
        let events = pair.clinic.get(relay, &format!("/v1/submissions/{id}/events"));
        assert!(kinds(&events).contains(&"Delivered".to_owned()), "{}", events.json());
    }

    std::fs::remove_file(disk.path("filler")).unwrap();
    until("the reserve's return", || reserve.exists());
    let sent = pair.clinic.submit(relay, &container);
    assert_eq!(sent.status, 201, "{}", sent.json());
    stage.relay.stop();
    assert_durable(&data);
}

/// What was recorded while the disk was full is in the trail.
fn assert_durable(data: &Path) {
    let trail = std::fs::read(data.join("trail/00000000000000000000.seg")).unwrap();
    assert!(trail.len() > 10_000);
}

#[test]
fn a_facility_that_has_used_up_its_quota_waits_for_room() {
    let stage = Stage::new(&RelayOptions {
        limits: vec![("quota_per_facility", "1500KiB".into())],
        ..RelayOptions::default()
    });
    let pair = stage.pair();
    let container = stage.container(&pair, &stage.services.hpki().doctor(), |_, _| {});
    let length = container.len() as u64;
    assert!(length < 700 << 10);
    let sent = pair.clinic.submit(&stage.relay, &container);
    assert_eq!(sent.status, 201, "{}", sent.json());
    // Stored and announced count together.
    let rest = (1500 << 10) - length;
    let refused = pair.clinic.begin_upload(&stage.relay, rest + 1, None);
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (429, "quota"),
        "{}",
        refused.json()
    );
    let announced = pair.clinic.begin_upload(&stage.relay, rest, None);
    assert_eq!(announced.status, 201);
    let more = pair.clinic.begin_upload(&stage.relay, 1, None);
    assert_eq!(more.status, 429, "what is announced is spoken for");
}
