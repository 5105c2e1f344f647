//! Evidence that outlives the card: archives made after intake, kept through outages and restarts, renewed, fetched, and verified
//! when every certificate of their day has ended.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration as Pause, Instant};

use formats::asice::Container;
use formats::asice::archive::Archive;
use kit::stage::SECRETS;
use kit::{
    Ca, ContainerOptions, CrlSpec, Desk, Fault, Key, Pair, RelayOptions, Reply, Services, Spoken, Stage, TsaSpec, bin,
};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

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

/// What the Python checker says of each archive and its detached content: nothing, or why it is not sound.
fn independent(archives: &[(PathBuf, Option<PathBuf>)]) -> Option<Vec<Option<String>>> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/venv/bin/python");
    if !python.is_file() {
        kit::skip("the archive checker", "no target/venv, which tests/run makes");
        return None;
    }
    let named = archives.iter().enumerate();
    let trials: Vec<Value> = named
        .map(|(name, (file, content))| json!({ "name": name.to_string(), "file": file, "content": content }))
        .collect();
    let mut child = Command::new(python)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/judges/archive_judge.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let question = serde_json::to_vec(&trials).unwrap();
    child.stdin.take().unwrap().write_all(&question).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let said: BTreeMap<String, Option<String>> = serde_json::from_slice(&output.stdout).unwrap();
    Some((0..archives.len()).map(|name| said[&name.to_string()].clone()).collect())
}

/// A copy whose first document has one byte changed, in a ZIP that is in order.
fn tampered(from: &Path, to: &Path) {
    let mut entries = kit::zip::entries(&fs::read(from).unwrap());
    let is_document = |name: &str| !name.starts_with("META-INF/") && name != "mimetype";
    let document = entries.iter_mut().find(|entry| is_document(&entry.name)).unwrap();
    *document.bytes.last_mut().unwrap() ^= 1;
    fs::write(to, kit::zip::archive(&entries)).unwrap();
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
    let kept = kit::desk::files_below(&stage.relay.data().join("containers"));
    let (name, bytes) = kept.iter().find(|(name, _)| name.ends_with("archive.json")).unwrap();
    let parsed: Value = serde_json::from_slice(bytes).unwrap();
    let place = stage.relay.data().join("containers").join(name);
    fs::write(&place, serde_json::to_vec_pretty(&parsed).unwrap()).unwrap();
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
    let containers = kept.iter().filter(|(name, _)| name.ends_with("container.asice"));
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

/// A folder with trust, evidence of today and a container signed and stamped today.
struct Bench {
    folder: tempfile::TempDir,
    services: Services,
}

impl Bench {
    fn new() -> Self {
        let (folder, services) = (tempfile::tempdir().unwrap(), Services::start_blocking(0));
        let hpki = services.hpki();
        hpki.write_trust(&folder.path().join("trust"));
        hpki.write_evidence(&folder.path().join("evidence"), OffsetDateTime::now_utc(), &[]);
        let (envelope, files) = kit::referral();
        let options = ContainerOptions::at(OffsetDateTime::now_utc());
        let container = hpki.container(&hpki.doctor(), &envelope, &files, options);
        fs::write(folder.path().join("letter.asice"), container).unwrap();
        Self { folder, services }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn run(&self, at: Option<OffsetDateTime>, arguments: &[&str]) -> (i32, Value, String) {
        let (trust, tsa) = (self.text("trust"), self.services.tsa_url());
        let mut all = arguments.to_vec();
        all.extend(["--trust", &trust, "--tsa", &tsa, "--fetch-host", "127.0.0.1"]);
        hikyaku(self.folder.path(), at, &all)
    }
}

/// A P-256 authority below a P-384 root, which no algorithm date ends, valid until `years` from now.
fn long_lived(services: &Services, serial: u64, years: i64) {
    let certificate = services.hpki().tsa_with(TsaSpec {
        ca: Ca::LastingTsaRoot,
        key: Key::EcSpare,
        serial,
        not_after: Some(OffsetDateTime::now_utc() + Duration::days(years * 365)),
        ..TsaSpec::default()
    });
    services.set_tsa(certificate, Key::EcSpare);
}

#[test]
fn an_archive_renewed_in_time_verifies_eleven_years_ahead_and_one_that_was_not_does_not() {
    let bench = Bench::new();
    let now = OffsetDateTime::now_utc();
    // The first day's keys of RSA-2048 are given up by then, as the policy says; only archive stamps vouch for them.
    let root = bench.services.hpki().ca(Ca::LastingTsaRoot);
    fs::write(bench.path("trust/tsa/lasting.der"), root).unwrap();
    fs::create_dir(bench.path("kept")).unwrap();
    long_lived(&bench.services, 0x41, 8);
    let letter = bench.text("letter.asice");
    let (exit, made, said) = bench.run(
        None,
        &[
            "archive",
            &letter,
            "--evidence",
            &bench.text("evidence"),
            "-o",
            &bench.text("kept/letter.asice"),
        ],
    );
    assert_eq!((exit, &made["report"]["level"]), (0, &"B-LTA".into()), "{said}");
    fs::copy(bench.path("kept/letter.asice"), bench.path("forgotten.asice")).unwrap();

    // Nothing is due yet.
    let (exit, told, said) = bench.run(None, &["archive", "renew", &bench.text("kept")]);
    assert_eq!(
        (exit, &told["renewed"], &told["not_due"]),
        (0, &0.into(), &1.into()),
        "{said}"
    );

    // Seven and a half years later it is, and an authority that ends later is there.
    let later = now + Duration::days(365 * 15 / 2);
    bench.services.set_now(Some(later));
    long_lived(&bench.services, 0x42, 12);
    let before = fs::read(bench.path("kept/letter.asice")).unwrap();
    bench.services.fault("/tsa", Some(Fault::Down));
    let (exit, _, said) = bench.run(
        Some(later),
        &["archive", "renew", &bench.text("kept"), "--within", "365"],
    );
    assert_eq!(exit, 2, "{said}");
    assert_eq!(
        fs::read(bench.path("kept/letter.asice")).unwrap(),
        before,
        "the old file stays"
    );
    bench.services.fault("/tsa", None);
    let (exit, told, said) = bench.run(
        Some(later),
        &["archive", "renew", &bench.text("kept"), "--within", "365"],
    );
    assert_eq!((exit, &told["renewed"]), (0, &1.into()), "{said}");
    assert_eq!(
        fs::read_dir(bench.path("kept")).unwrap().count(),
        1,
        "nothing else is left behind"
    );

    // Eleven years ahead: card, signing CA and both authorities of the first day have ended.
    let far = now + Duration::days(11 * 365);
    let at = trust_store::report::rfc3339(far);
    fs::create_dir(bench.path("then")).unwrap();
    let hpki = bench.services.hpki();
    let list = hpki.crl(Ca::LastingTsaRoot, CrlSpec::at(far - Duration::hours(1)));
    fs::write(bench.path("then/tsa.crl"), list).unwrap();
    let then = bench.text("then");
    let judge = |name: &str| {
        verify(
            bench.folder.path(),
            &bench.path(name),
            &["--at", &at, "--evidence", &then],
        )
    };
    let (exit, report, said) = judge("kept/letter.asice");
    assert_eq!(
        (exit, &report["indication"], &report["level"]),
        (0, &"TOTAL-PASSED".into(), &"B-LTA".into()),
        "{said}"
    );
    let (exit, report, said) = judge("forgotten.asice");
    assert_eq!(
        (exit, &report["indication"], &report["sub_indication"]),
        (3, &"INDETERMINATE".into(), &"OUT_OF_BOUNDS_NO_POE".into()),
        "{said}"
    );
    assert_ne!(judge("letter.asice").0, 0);
    tampered(&bench.path("kept/letter.asice"), &bench.path("tampered.asice"));
    assert_eq!(judge("tampered.asice").0, 1);

    // A checker that shares no code with this one sees the same archives.
    let asked = ["forgotten.asice", "kept/letter.asice", "tampered.asice", "letter.asice"];
    let Some(verdicts) = independent(&asked.map(|name| (bench.path(name), None))) else {
        return;
    };
    let [as_made, renewed, spoilt, without] = verdicts.as_slice() else {
        panic!("four verdicts: {verdicts:?}");
    };
    assert_eq!((as_made, renewed), (&None, &None));
    assert!(spoilt.as_ref().is_some_and(|why| why.contains("does not match")), "{spoilt:?}");
    assert!(without.is_some(), "it has no archive stamp");

    // What has ended cannot be renewed any more, and is not touched.
    fs::rename(bench.path("forgotten.asice"), bench.path("kept/forgotten.asice")).unwrap();
    bench.services.set_now(Some(far));
    let before = fs::read(bench.path("kept/forgotten.asice")).unwrap();
    let (exit, told, said) = bench.run(Some(far), &["archive", "renew", &bench.text("kept"), "--within", "30"]);
    assert_eq!(
        (exit != 0, &told["failed"], &told["not_due"]),
        (true, &1.into(), &1.into()),
        "{said}"
    );
    assert_eq!(fs::read(bench.path("kept/forgotten.asice")).unwrap(), before);
}

#[test]
fn missing_evidence_is_named_and_nothing_is_written() {
    let bench = Bench::new();
    let letter = bench.text("letter.asice");
    let (trust, tsa) = (bench.text("trust"), bench.services.tsa_url());
    // The host of the CRLs may not be asked.
    let arguments = ["archive", &letter, "--trust", &trust, "--tsa", &tsa];
    let (exit, said, text) = hikyaku(bench.folder.path(), None, &arguments);
    assert_eq!((exit, said["code"].as_str()), (3, Some("evidence_missing")), "{text}");
    let missing = said["missing"].to_string();
    assert!(
        missing.contains("HPKI-01-TestSignCA") || missing.contains("crl/sign.crl"),
        "{missing}"
    );
    assert!(!bench.path("letter.archive.asice").exists());
    assert_eq!(
        bench.services.requests("/tsa"),
        0,
        "no stamp is asked for what is no good"
    );
    // It may: everything is fetched, and the evidence folder is not needed.
    let (exit, said, text) = bench.run(None, &["archive", &letter]);
    assert_eq!((exit, said["done"].as_bool()), (0, Some(true)), "{text}");
    // A container that is no container.
    let broken = bench.path("broken.asice");
    let mut bytes = fs::read(&letter).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&broken, bytes).unwrap();
    let (exit, _, text) = bench.run(None, &["archive", broken.to_str().unwrap()]);
    assert_eq!(exit, 1, "{text}");
    assert!(!bench.path("broken.archive.asice").exists());
}

#[test]
fn a_detached_signature_becomes_its_archive_and_is_stamped_again() {
    let bench = Bench::new();
    let hpki = bench.services.hpki();
    let letter = kit::letter_pdf();
    fs::write(bench.path("letter.pdf"), &letter).unwrap();
    let options = ContainerOptions::at(OffsetDateTime::now_utc());
    fs::write(
        bench.path("letter.p7s"),
        hpki.signature(&hpki.doctor(), &letter, options),
    )
    .unwrap();
    let (content, signature) = (bench.text("letter.pdf"), bench.text("letter.p7s"));
    let (exit, made, said) = bench.run(None, &["archive", &signature, "--content", &content]);
    assert_eq!((exit, &made["report"]["level"]), (0, &"B-LTA".into()), "{said}");
    let first = bench.text("letter.archive.p7s");
    let again = ["archive", &first, "--content", &content, "-o", &bench.text("twice.p7s")];
    let (exit, made, said) = bench.run(None, &again);
    assert_eq!((exit, &made["report"]["level"]), (0, &"B-LTA".into()), "{said}");
    for name in ["letter.archive.p7s", "twice.p7s"] {
        let (exit, report, said) = verify(bench.folder.path(), &bench.path(name), &["--content", &content]);
        assert_eq!((exit, &report["level"]), (0, &"B-LTA".into()), "{name}: {said}");
    }
    let openssl = kit::openssl([
        "cms",
        "-verify",
        "-cades",
        "-binary",
        "-inform",
        "DER",
        "-purpose",
        "any",
        "-noverify",
        "-out",
        "/dev/null",
        "-in",
        &bench.text("twice.p7s"),
        "-content",
        &content,
    ]);
    assert!(openssl.status.success(), "{openssl:?}");
    fs::write(bench.path("other.pdf"), b"another").unwrap();
    let (exit, _, said) = bench.run(
        None,
        &[
            "archive",
            &signature,
            "--content",
            &bench.text("other.pdf"),
            "-o",
            &bench.text("other.p7s"),
        ],
    );
    assert_eq!(exit, 1, "{said}");
}
