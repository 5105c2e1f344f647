//! `check`, `backup` and `restore` as an operator runs them, on a relay with letters: the procedures of `docs/recovery.md`.

#[path = "backup/bucket.rs"]
mod bucket;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use formats::digest::sha256;
use formats::wire::{Receipt, SubmissionId};
use kit::desk::files_below;
use kit::stage::{Pair, Stage};
use kit::{Card, RelayOptions};
use serde_json::Value;

/// A relay, a clinic, a hospital, and what the clinic has sent.
struct House {
    stage: Stage,
    pair: Pair,
    doctor: Card,
    sent: Vec<Sent>,
    folder: tempfile::TempDir,
}

/// A letter with its receipt.
struct Sent {
    id: SubmissionId,
    sha256: String,
    receipt: Receipt,
}

impl House {
    fn new(letters: usize) -> Self {
        Self::with(&RelayOptions::default(), letters)
    }

    fn with(options: &RelayOptions, letters: usize) -> Self {
        let stage = Stage::new(options);
        let mut house = Self {
            pair: stage.pair(),
            doctor: stage.services.hpki().doctor(),
            stage,
            sent: Vec::new(),
            folder: tempfile::tempdir().unwrap(),
        };
        house.send(letters);
        house
    }

    fn send(&mut self, letters: usize) {
        for _ in 0..letters {
            let container = self.stage.container(&self.pair, &self.doctor, |_, _| {});
            let reply = self.pair.clinic.submit(&self.stage.relay, &container);
            assert_eq!(reply.status, 201, "{}", reply.json());
            let receipt: Receipt = serde_json::from_slice(&reply.body).unwrap();
            self.sent.push(Sent {
                id: receipt.id.clone(),
                sha256: hex::encode(sha256(&container)),
                receipt,
            });
        }
    }

    /// Waits until every letter has its archive, which the relay makes in the background: then nothing more comes of itself.
    fn rests(&self) {
        let begun = std::time::Instant::now();
        for sent in &self.sent {
            let path = format!("/v1/submissions/{}/archive", sent.id);
            while self.pair.hospital.get(&self.stage.relay, &path).status != 200 {
                assert!(begun.elapsed().as_secs() < 60, "a letter has no archive");
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        }
    }

    fn data(&self) -> PathBuf {
        self.stage.relay.data()
    }

    fn place(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// Runs `hikyaku-relay ARGUMENTS --json`: exit code and answer.
    fn ask(&self, arguments: &[&str]) -> (i32, Value, String) {
        let output = self.stage.relay.try_admin(&[arguments, &["--json"]].concat());
        let answer = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        (output.status.code().unwrap(), answer, said(&output))
    }

    fn agrees(&self) -> Value {
        let (exit, answer, said) = self.ask(&["check"]);
        assert_eq!(exit, 0, "{said}");
        answer
    }

    /// What `check` names: code and file of each difference.
    fn differences(&self) -> Vec<(String, PathBuf, Value)> {
        let (exit, answer, said) = self.ask(&["check"]);
        assert_eq!(exit, 1, "{said}");
        let differences = answer["differences"].as_array().unwrap().clone();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        differences
            .into_iter()
            .map(|found| (text(&found["code"]), text(&found["file"]).into(), found))
            .collect()
    }

    fn backup(&self, place: &str) -> Value {
        let (exit, made, said) = self.ask(&["backup", "--to", place, "--rate", "unlimited"]);
        assert_eq!(exit, 0, "{said}");
        made
    }

    /// The first `count` letters are in the inbox, fetched whole, and their receipts of old are part of the log.
    fn serves(&self, count: usize) {
        let relay = &self.stage.relay;
        let vkey = fs::read_to_string(relay.folder().join("keys/log.vkey")).unwrap();
        let inbox = self.pair.hospital.get(relay, "/v1/inbox").json();
        assert_eq!(inbox["items"].as_array().unwrap().len(), count, "{inbox}");
        for sent in &self.sent[..count] {
            sent.receipt.verify(&vkey).unwrap();
            let path = format!("/v1/submissions/{}/receipt", sent.id);
            let again: Receipt = serde_json::from_slice(&self.pair.clinic.get(relay, &path).body).unwrap();
            again.verify(&vkey).unwrap();
            assert_eq!(
                (again.position, &again.body),
                (sent.receipt.position, &sent.receipt.body)
            );
            let path = format!("/v1/submissions/{}/container", sent.id);
            let container = self.pair.hospital.get_as(relay, &path, "staff", &[]);
            assert_eq!(container.status, 200);
            assert_eq!(hex::encode(sha256(&container.body)), sent.sha256);
        }
    }

    /// The folder of the letter's container.
    fn stored(&self, letter: usize) -> PathBuf {
        let id = self.sent[letter].id.to_string();
        let folders = fs::read_dir(self.data().join("containers")).unwrap();
        folders
            .map(|folder| folder.unwrap().path())
            .find(|path| path.file_name().unwrap().to_str().unwrap().starts_with(&id))
            .unwrap()
    }
}

fn said(output: &Output) -> String {
    format!(
        "{}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Changes one bit in the middle; answers what was there.
fn flip(path: &Path) -> Vec<u8> {
    let good = fs::read(path).unwrap();
    let mut bad = good.clone();
    bad[good.len() / 2] ^= 1;
    fs::write(path, bad).unwrap();
    good
}

fn segment(data: &Path) -> PathBuf {
    data.join("trail/00000000000000000000.seg")
}

fn copy(from: &Path, to: &Path) {
    for (name, bytes) in files_below(from) {
        let path = to.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

#[test]
fn check_agrees_beside_a_running_relay_and_names_every_flipped_byte() {
    let mut house = House::new(2);
    let foreign = house.stage.container(&house.pair, &house.doctor, |envelope, _| {
        envelope.sender.facility = "1399999999".parse().unwrap();
    });
    let refused = house.pair.clinic.submit(&house.stage.relay, &foreign);
    assert_eq!(refused.status, 422, "{}", refused.json());
    let report = house.agrees();
    assert!(
        report["rows"].as_u64().unwrap() > 30 && report["files"].as_u64().unwrap() >= 6,
        "{report}"
    );
    assert_eq!(report["records"], report["checkpoint"], "{report}");
    // While letters come in.
    let looking = std::thread::scope(|scope| {
        let config = house.stage.relay.config();
        let looking = scope.spawn(move || {
            let look = |_| {
                let mut command = std::process::Command::new(kit::bin("hikyaku-relay"));
                command
                    .args(["check", "--json", "--config"])
                    .arg(&config)
                    .output()
                    .unwrap()
            };
            (0..3).map(look).collect::<Vec<_>>()
        });
        house.send(4);
        looking.join().unwrap()
    });
    looking
        .iter()
        .for_each(|output| assert!(output.status.success(), "{}", said(output)));

    for file in ["container.asice.sealed", "evidence.json.sealed", "report.json.sealed"] {
        let path = house.stored(1).join(file);
        let good = flip(&path);
        let found = house.differences();
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].0.as_str(), &found[0].1), ("file-changed", &path));
        assert_eq!(found[0].2["position"], house.sent[1].receipt.position);
        fs::remove_file(&path).unwrap();
        let found = house.differences();
        assert_eq!((found[0].0.as_str(), &found[0].1), ("file-missing", &path), "{found:?}");
        fs::write(&path, good).unwrap();
    }
    let path = segment(&house.data());
    let good = flip(&path);
    let found = house.differences();
    assert_eq!(
        (found[0].0.as_str(), &found[0].1),
        ("trail-damaged", &path),
        "{found:?}"
    );
    assert!(
        found[0].2["offset"]
            .as_u64()
            .is_some_and(|offset| offset < good.len() as u64)
    );
    fs::write(&path, &good).unwrap();
    house.agrees();
    // Records that were acknowledged and are gone.
    house.stage.relay.stop();
    fs::write(&path, &good[..found[0].2["offset"].as_u64().unwrap() as usize]).unwrap();
    let found = house.differences();
    assert_eq!(found[0].0, "trail-short", "{found:?}");
    fs::write(&path, &good).unwrap();
    house.agrees();
}

#[test]
fn the_whole_machine_is_restored_from_a_backup_made_while_letters_came_in() {
    let mut house = House::new(2);
    let place = house.place("backup");
    house.backup(&place);
    // Letters come in while further generations are made.
    let generations = std::thread::scope(|scope| {
        let (config, place) = (house.stage.relay.config(), place.clone());
        let saving = scope.spawn(move || {
            let save = |_| {
                let mut command = std::process::Command::new(kit::bin("hikyaku-relay"));
                let output = command
                    .args(["backup", "--json", "--to", &place, "--config"])
                    .arg(&config)
                    .output();
                output.unwrap()
            };
            (0..3).map(save).collect::<Vec<_>>()
        });
        house.send(6);
        saving.join().unwrap()
    });
    generations
        .iter()
        .for_each(|output| assert!(output.status.success(), "{}", said(output)));
    let newest = house.backup(&place);
    let kept = house.sent.len();
    // What comes later is not in it.
    house.send(1);
    let (exit, _, refused) = house.ask(&["restore", "--from", &place]);
    assert_eq!(exit, 1, "{refused}");
    assert!(refused.contains("is not empty"), "{refused}");
    house.stage.relay.kill9();
    fs::remove_dir_all(house.data()).unwrap();
    // Every generation made beside arriving letters is whole.
    for output in &generations {
        let made: Value = serde_json::from_slice(&output.stdout).unwrap();
        let (name, to) = (
            made["name"].as_str().unwrap(),
            house.place(made["name"].as_str().unwrap()),
        );
        let (exit, _, said) = house.ask(&["restore", "--from", &place, "--generation", name, "--to", &to]);
        assert_eq!(exit, 0, "{said}");
    }
    let (exit, restored, said) = house.ask(&["restore", "--from", &place]);
    assert_eq!(exit, 0, "{said}");
    assert_eq!(restored["name"], newest["name"]);
    assert!(house.data().join("restored-config/relay.toml").is_file());
    house.stage.relay.restart();
    house.serves(kept);
    house.agrees();
    house.send(1);
}

#[test]
fn lost_index_containers_and_segments_come_back_as_documented() {
    let house = House::new(3);
    house.rests();
    let (place, beside) = (house.place("backup"), house.place("restored"));
    house.backup(&place);
    let data = house.data();

    // One container, while the relay runs.
    let lost = house.stored(2);
    fs::remove_file(lost.join("container.asice.sealed")).unwrap();
    assert_eq!(house.differences()[0].0, "file-missing");
    let (exit, _, said) = house.ask(&["restore", "--from", &place, "--to", &beside]);
    assert_eq!(exit, 0, "{said}");
    let from = Path::new(&beside).join("containers").join(lost.file_name().unwrap());
    fs::copy(from.join("container.asice.sealed"), lost.join("container.asice.sealed")).unwrap();
    house.agrees();

    // Its key, from where the backup keeps keys.
    let key = Path::new(&place)
        .join("keys/containers")
        .join(lost.file_name().unwrap())
        .join("container.key");
    fs::remove_file(lost.join("container.key")).unwrap();
    let found = house.differences();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        (found[0].0.as_str(), &found[0].1),
        ("key-missing", &lost.join("container.key"))
    );
    fs::copy(key, lost.join("container.key")).unwrap();
    house.agrees();

    // The keys of months.
    house.stage.relay.stop();
    let months = files_below(&data.join("keys"));
    assert!(!months.is_empty());
    fs::remove_dir_all(data.join("keys")).unwrap();
    let found = house.differences();
    assert!(
        found
            .iter()
            .all(|(code, file, _)| code == "key-missing" && file.starts_with(data.join("keys"))),
        "{found:?}"
    );
    copy(&Path::new(&place).join("keys/keys"), &data.join("keys"));
    assert_eq!(files_below(&data.join("keys")), months);
    house.stage.relay.admin(&["rebuild"]);
    house.agrees();
    house.stage.relay.restart();

    // All of them, and the index.
    house.stage.relay.stop();
    fs::remove_dir_all(data.join("containers")).unwrap();
    fs::remove_dir_all(data.join("index")).unwrap();
    copy(&Path::new(&beside).join("containers"), &data.join("containers"));
    house.stage.relay.admin(&["rebuild"]);
    house.agrees();

    // A segment. Nothing came after the backup, so that its copy has all records.
    flip(&segment(&data));
    assert_eq!(house.differences()[0].0, "trail-damaged");
    fs::copy(segment(Path::new(&beside)), segment(&data)).unwrap();
    house.stage.relay.admin(&["rebuild"]);
    house.agrees();
    house.stage.relay.restart();
    house.serves(3);
}

#[test]
fn a_damaged_backup_is_named_and_puts_nothing_in_place() {
    let house = House::new(1);
    let place = house.place("backup");
    house.backup(&place);
    let objects = files_below(&Path::new(&place).join("objects"));
    assert!(objects.len() > 4);
    let to = house.place("restored");
    let sealed = |name: &str| name.ends_with(".key");
    assert!(
        !objects
            .iter()
            .any(|(_, bytes)| bytes.starts_with(b"age-encryption.org/v1")),
        "a key in a generation"
    );
    assert!(
        files_below(&Path::new(&place).join("keys"))
            .iter()
            .filter(|(name, _)| sealed(name))
            .count()
            > 3
    );
    for (name, _) in &objects {
        let path = Path::new(&place).join("objects").join(name);
        let good = flip(&path);
        let object = path.file_name().unwrap().to_str().unwrap().to_owned();
        for arguments in [
            &["backup", "verify", "--from", &place][..],
            &["restore", "--from", &place, "--to", &to],
        ] {
            let output = if arguments[0] == "restore" {
                house.stage.relay.try_admin(arguments)
            } else {
                std::process::Command::new(kit::bin("hikyaku-relay"))
                    .args(arguments)
                    .output()
                    .unwrap()
            };
            assert_eq!(output.status.code(), Some(1), "{}", said(&output));
            assert!(said(&output).contains(&object), "{}", said(&output));
        }
        assert!(!Path::new(&to).exists());
        fs::write(&path, good).unwrap();
    }
    let (exit, _, said) = house.ask(&["restore", "--from", &place, "--to", &to]);
    assert_eq!(exit, 0, "{said}");
}
