//! Evidence that outlives the card: archives made after intake, kept through outages and restarts, renewed, fetched, and verified
//! when every certificate of their day has ended.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration as Pause, Instant};

use formats::asice::Container;
use formats::asice::archive::Archive;
use kit::stage::SECRETS;
use kit::{Desk, Fault, Key, Pair, RelayOptions, Reply, Spoken, Stage, TsaSpec, bin};
use serde_json::Value;
use time::{Duration, OffsetDateTime};

#[path = "archive/by_command.rs"]
mod by_command;
#[path = "archive/ending.rs"]
mod ending;

/// Archives come within seconds; a test that waits longer has found a fault.
const PATIENCE: Pause = Pause::from_secs(60);

fn submitted(stage: &Stage, pair: &Pair) -> String {
    let container = stage.container(pair, &stage.services.hpki().doctor(), |_, _| {});
    let reply = pair.clinic.submit(&stage.relay, &container);
    assert_eq!(reply.status, 201, "{}", String::from_utf8_lossy(&reply.body));
    reply.json()["id"].as_str().unwrap().to_owned()
}

/// Asks `desk` again until `good`.
fn until(stage: &Stage, desk: &Desk, path: &str, good: impl Fn(&Reply) -> bool) -> Reply {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let reply = desk.get(&stage.relay, path);
        if good(&reply) {
            return reply;
        }
        let said = String::from_utf8_lossy(&reply.body).into_owned();
        assert!(Instant::now() < deadline, "{path}: {said}\n{}", stage.relay.log());
        std::thread::sleep(Pause::from_millis(200));
    }
}

fn archive_of(stage: &Stage, desk: &Desk, id: &str) -> Archive {
    let reply = until(stage, desk, &format!("/v1/submissions/{id}/archive"), |reply| {
        reply.status == 200
    });
    Archive::from_json(std::str::from_utf8(&reply.body).unwrap()).unwrap()
}

/// How many records of a kind the submission has.
fn records(reply: &Reply, kind: &str) -> usize {
    let events = reply.json();
    let events = events.as_array().unwrap().iter();
    events.filter(|event| event["kind"] == kind).count()
}

fn made(stage: &Stage, desk: &Desk, id: &str, count: usize) {
    until(stage, desk, &format!("/v1/submissions/{id}/events"), |reply| {
        records(reply, "ArchiveMade") >= count
    });
}

fn fetch(pair: &Pair, id: &str, more: &[&str]) -> (Spoken, PathBuf) {
    let out = pair.hospital.path("letters");
    let mut arguments = vec!["fetch", id, "--person", "staff", "--out", out.to_str().unwrap()];
    arguments.extend(more);
    (pair.hospital.json(arguments), out)
}

/// `hikyaku` with a home of its own and the clock at `at`.
fn hikyaku(home: &Path, at: Option<OffsetDateTime>, arguments: &[&str]) -> (i32, Value, String) {
    let mut command = match at {
        Some(at) => {
            let mut command = Command::new("faketime");
            command.arg(format!("@{}", at.unix_timestamp())).arg(bin("hikyaku"));
            command
        }
        None => Command::new(bin("hikyaku")),
    };
    let output = command
        .env("HIKYAKU_HOME", home)
        // Its timers must run as time does.
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("HIKYAKU_LANG", "en")
        .arg("--json")
        .args(arguments)
        .output()
        .unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let json = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.code().unwrap(), json, said)
}

fn verify(home: &Path, file: &Path, more: &[&str]) -> (i32, Value, String) {
    let trust = home.join("trust");
    let mut arguments = vec!["verify", file.to_str().unwrap(), "--trust", trust.to_str().unwrap()];
    arguments.extend(more);
    hikyaku(home, None, &arguments)
}

#[test]
fn what_the_relay_accepted_is_fetched_as_a_file_that_stands_by_itself() {
    let stage = Stage::new(&RelayOptions::default());
    let pair = stage.pair();
    let id = submitted(&stage, &pair);
    let archive = archive_of(&stage, &pair.hospital, &id);
    let from_sender = archive_of(&stage, &pair.clinic, &id);
    assert!(archive == from_sender, "sender and recipient get the same");
    let stranger = stage.pair();
    let path = format!("/v1/submissions/{id}/archive");
    assert_eq!(stranger.hospital.get(&stage.relay, &path).status, 404);
    let inbox = pair.hospital.json(["inbox"]).expect(0);
    assert_eq!(inbox.json["items"][0]["archive"], true, "{}", inbox.text);
    assert_eq!(inbox.json["items"][0]["erase_after"], Value::Null);

    let (fetched, out) = fetch(&pair, &id, &["--archival"]);
    let fetched = fetched.expect(0);
    let original = out.join(format!("{id}.asice"));
    let file = out.join(format!("{id}.archive.asice"));
    assert_eq!(fetched.json["archive"], file.to_str().unwrap(), "{}", fetched.text);
    assert_eq!(fetched.json["report"]["level"], "B-LTA", "{}", fetched.text);

    let home = tempfile::tempdir().unwrap();
    stage.services.hpki().write_trust(&home.path().join("trust"));
    let (exit, report, said) = verify(home.path(), &file, &[]);
    assert_eq!(
        (exit, &report["level"]),
        (0, &"B-LTA".into()),
        "without any other evidence: {said}"
    );
    assert_ne!(
        verify(home.path(), &original, &[]).0,
        0,
        "the container alone has no evidence"
    );

    // What was signed is the same, byte for byte.
    let read = |path: &Path| Container::read(&mut fs::File::open(path).unwrap()).unwrap();
    let (before, after) = (read(&original), read(&file));
    assert_eq!(after.manifests, before.manifests);
    let digests = |container: &Container| {
        let files = container.files.iter();
        files
            .map(|file| (file.path.clone(), file.digests.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(digests(&after), digests(&before));
    let events = pair.clinic.get(&stage.relay, &format!("/v1/submissions/{id}/events"));
    assert_eq!(records(&events, "ArchiveMade"), 1);
    stage.relay.assert_log_keeps_quiet(&SECRETS);
}

#[test]
fn without_an_authority_a_letter_is_accepted_and_its_archive_comes_after_a_restart() {
    let stage = Stage::new(&RelayOptions::default());
    let pair = stage.pair();
    let container = stage.container(&pair, &stage.services.hpki().doctor(), |_, _| {});
    stage.services.fault("/tsa", Some(Fault::Down));
    let reply = pair.clinic.submit(&stage.relay, &container);
    assert_eq!(reply.status, 201, "losing the authority loses no letter");
    let id = reply.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/submissions/{id}/archive");
    std::thread::sleep(Pause::from_secs(3));
    let absent = pair.hospital.get(&stage.relay, &path);
    assert_eq!(
        (absent.status, absent.json()["code"].as_str()),
        (404, Some("archive_absent"))
    );
    let (fetched, _) = fetch(&pair, &id, &["--archival"]);
    assert_eq!(
        (fetched.exit, fetched.code()),
        (3, "archive_absent"),
        "{}",
        fetched.text
    );

    stage.relay.kill9();
    stage.relay.restart();
    stage.services.fault("/tsa", None);
    archive_of(&stage, &pair.hospital, &id);
    fetch(&pair, &id, &["--archival"]).0.expect(0);
}

#[test]
fn what_a_crash_left_between_file_and_record_is_recorded_without_another_stamp() {
    let stage = Stage::new(&RelayOptions::default());
    let pair = stage.pair();
    let id = submitted(&stage, &pair);
    archive_of(&stage, &pair.hospital, &id);
    stage.relay.stop();
    // The same archive in other bytes, which no record names; and everything is due for renewal, with no authority to ask.
    rewrite_archive(&stage.relay);
    let config = fs::read_to_string(stage.relay.config()).unwrap();
    fs::write(
        stage.relay.config(),
        config.replace("[archive]", "[archive]\nrenew_before = \"36500d\""),
    )
    .unwrap();
    stage.services.fault("/tsa", Some(Fault::Down));
    stage.relay.restart();
    made(&stage, &pair.hospital, &id, 2);
    assert_eq!(
        archive_of(&stage, &pair.hospital, &id)
            .entries()
            .filter(|(name, _)| name.ends_with(".tst"))
            .count(),
        1
    );
}

/// Writes the one archive a relay keeps in other bytes of the same meaning.
fn rewrite_archive(relay: &kit::RelayProcess) {
    let config = relay::config::Config::load(&relay.config()).unwrap();
    let keys = relay::keys::Keys::open(&config.keys).unwrap();
    let containers = relay::containers::Containers::open(&config.data, keys).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let names = containers.names().await.unwrap();
        let name = names.iter().find(|name| !name.starts_with("orphans")).unwrap();
        let bytes = containers.beside(name, "archive.json").await.unwrap();
        let parsed: Value = serde_json::from_slice(&bytes).unwrap();
        let pretty = serde_json::to_vec_pretty(&parsed).unwrap();
        containers
            .put_beside(name, "archive.json", pretty.into())
            .await
            .unwrap();
    });
}

#[test]
fn an_archive_is_renewed_before_its_authority_ends() {
    let stage = Stage::new(&RelayOptions::default());
    let pair = stage.pair();
    let hpki = stage.services.hpki();
    let ends = OffsetDateTime::now_utc() + Duration::days(60);
    stage.services.set_tsa(
        hpki.tsa_with(TsaSpec {
            not_after: Some(ends),
            serial: 0x31,
            ..TsaSpec::default()
        }),
        Key::Tsa,
    );
    let id = submitted(&stage, &pair);
    made(&stage, &pair.hospital, &id, 1);
    let tokens = |archive: &Archive| archive.entries().filter(|(name, _)| name.ends_with(".tst")).count();
    assert_eq!(tokens(&archive_of(&stage, &pair.hospital, &id)), 1);
    // As long as the authority has no newer certificate, a renewal brings nothing and is not kept.
    std::thread::sleep(Pause::from_secs(4));
    assert_eq!(tokens(&archive_of(&stage, &pair.hospital, &id)), 1);

    stage.services.set_tsa(
        hpki.tsa_with(TsaSpec {
            serial: 0x32,
            ..TsaSpec::default()
        }),
        Key::Tsa,
    );
    stage.relay.stop();
    stage.relay.restart();
    made(&stage, &pair.hospital, &id, 2);
    let archive = archive_of(&stage, &pair.hospital, &id);
    assert_eq!(tokens(&archive), 2);
    assert!(archive.entry("META-INF/ASiCArchiveManifest001.xml").is_some());
    let (fetched, out) = fetch(&pair, &id, &["--archival"]);
    fetched.expect(0);
    let home = tempfile::tempdir().unwrap();
    hpki.write_trust(&home.path().join("trust"));
    let (exit, _, said) = verify(home.path(), &out.join(format!("{id}.archive.asice")), &[]);
    assert_eq!(exit, 0, "{said}");
}

#[test]
fn a_container_is_offered_before_it_is_erased_and_its_archive_stays() {
    let stage = Stage::new(&RelayOptions {
        more: vec![
            ("retention", "containers", "8s".into()),
            ("retention", "offer", "6s".into()),
        ],
        ..RelayOptions::default()
    });
    let pair = stage.pair();
    let (id, undelivered) = (submitted(&stage, &pair), submitted(&stage, &pair));
    archive_of(&stage, &pair.hospital, &id);
    archive_of(&stage, &pair.hospital, &undelivered);
    fetch(&pair, &id, &[]).0.expect(0);
    let item = |reply: &Reply, id: &str| {
        let page = reply.json();
        let items = page["items"].as_array().unwrap().iter();
        items.clone().find(|item| item["id"] == id).unwrap().clone()
    };
    let offered = until(&stage, &pair.hospital, "/v1/inbox", |reply| {
        item(reply, &id)["erase_after"].is_string()
    });
    assert_eq!(item(&offered, &id)["archive"], true);
    let shown = pair.hospital.run(["inbox"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("fetch --archival"), "{shown}");
    until(&stage, &pair.hospital, "/v1/inbox", |reply| {
        item(reply, &id)["erased"].is_string()
    });

    let (again, _) = fetch(&pair, &id, &[]);
    // The container is on this disk already; another desk would get 410.
    again.expect(0);
    let path = format!("/v1/submissions/{id}/container");
    let gone = pair.hospital.get_as(&stage.relay, &path, "staff", &[]);
    assert_eq!(
        (gone.status, gone.json()["code"].as_str()),
        (410, Some("container_erased"))
    );
    for what in ["report", "evidence", "archive", "receipt"] {
        let desk = if what == "receipt" {
            &pair.clinic
        } else {
            &pair.hospital
        };
        let path = format!("/v1/submissions/{id}/{what}");
        assert_eq!(desk.get(&stage.relay, &path).status, 200, "{what} stays");
    }
    let kept = kit::desk::files_below(&stage.relay.data().join("containers"));
    let containers = kept.iter().filter(|(name, _)| name.ends_with("container.asice.sealed"));
    assert_eq!(containers.count(), 1, "the one that nobody has had is kept");
    let events = pair.clinic.get(&stage.relay, &format!("/v1/submissions/{id}/events"));
    assert_eq!(
        (
            records(&events, "ErasureAnnounced"),
            records(&events, "ContainerErased")
        ),
        (1, 1)
    );
    let path = format!("/v1/submissions/{undelivered}/container");
    assert_eq!(pair.hospital.get_as(&stage.relay, &path, "staff", &[]).status, 200);

    stage.relay.stop();
    stage.relay.restart();
    let path = format!("/v1/submissions/{id}/container");
    assert_eq!(pair.hospital.get_as(&stage.relay, &path, "staff", &[]).status, 410);
}
