//! The walk of a letter through the whole house: real programs, real TLS, real CRLs and time stamps.
//!
//! From `facility add` to the two accounts, and what happens when the world fails on the way.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "life_of_a_submission/access.rs"]
mod access;
#[path = "life_of_a_submission/mishaps.rs"]
mod mishaps;

use std::path::Path;
use std::time::{Duration, Instant};

use formats::trail::Event;
use formats::wire::Receipt;
use http::Request;
use kit::desk::{append, files_below};
use kit::stage::{PATIENT_ID, PATIENT_NAME, PERSON, SECRETS};
use kit::{Desk, Fault, Pair, RelayOptions, RelayProcess, Spoken, Stage};
use serde_json::Value;

/// A letter and a folder of images on a desk's disk.
fn letter_and_images(desk: &Desk) -> [std::path::PathBuf; 2] {
    let letter = desk.file("紹介状.pdf", &kit::letter_pdf());
    for instance in 1..=3 {
        desk.file(&format!("CT/IM{instance:04}"), &kit::dicom(7, 1, instance));
    }
    [letter, desk.path("CT")]
}

/// `hikyaku send` of these files from `pair`'s clinic to its hospital, signed by the doctor's soft key.
fn send(stage: &Stage, pair: &Pair, files: &[impl AsRef<Path>]) -> Spoken {
    send_with(stage, pair, files, &[])
}

/// The same with `more` options.
fn send_with(stage: &Stage, pair: &Pair, files: &[impl AsRef<Path>], more: &[&str]) -> Spoken {
    let key = pair.clinic.soft_key(&stage.services.hpki().doctor());
    let mut arguments: Vec<String> = vec!["send".to_owned()];
    arguments.extend(files.iter().map(|file| file.as_ref().to_str().unwrap().to_owned()));
    for (option, value) in [
        ("--key", key.to_str().unwrap()),
        ("--to", &pair.to),
        ("--to-name", "テスト飛脚病院"),
        ("--patient-id", PATIENT_ID),
        ("--patient-name", PATIENT_NAME),
        ("--birth-date", "1970-01-01"),
        ("--sex", "F"),
    ] {
        arguments.extend([option.to_owned(), value.to_owned()]);
    }
    arguments.extend(more.iter().map(|option| (*option).to_owned()));
    pair.clinic.json(arguments)
}

fn stage() -> std::sync::Arc<Stage> {
    Stage::shared(|_| {})
}

/// Sends a container of the kit with bare requests; its id.
fn submitted(stage: &Stage, pair: &Pair) -> String {
    let container = stage.container(pair, &stage.services.hpki().doctor(), |_, _| {});
    let reply = pair.clinic.submit(&stage.relay, &container);
    assert_eq!(reply.status, 201, "{}", String::from_utf8_lossy(&reply.body));
    reply.json()["id"].as_str().unwrap().to_owned()
}

fn vkey(relay: &RelayProcess) -> String {
    std::fs::read_to_string(relay.folder().join("keys/log.vkey"))
        .unwrap()
        .trim()
        .to_owned()
}

/// The rows of an exported CSV: the header's names with each row's cells. No cell of these tests contains a comma or a quote.
fn rows(csv: &str) -> Vec<std::collections::BTreeMap<&str, &str>> {
    let mut lines = csv.strip_prefix('\u{feff}').expect("a byte order mark").lines();
    let names: Vec<&str> = lines.next().unwrap().split(',').collect();
    lines
        .map(|line| {
            names
                .iter()
                .copied()
                .zip(line.split(',').map(|cell| cell.trim_matches('"')))
                .collect()
        })
        .collect()
}

#[test]
fn a_letter_travels_from_clinic_to_hospital_and_is_accounted_for() {
    let stage = stage();
    let pair = stage.pair();
    let stamps = stage.services.requests("/tsa");

    // The clinic sends a letter with a study of three images.
    let files = letter_and_images(&pair.clinic);
    let sent = send(&stage, &pair, &files).expect(0);
    assert_eq!(sent.json["state"], "Accepted", "{}", sent.text);
    let id = sent.json["id"].as_str().unwrap();
    assert!(
        stage.services.requests("/tsa") > stamps,
        "the relay's proxy asked for the time stamp"
    );

    // The receipt holds offline, and names what was sent.
    let receipt: Receipt = serde_json::from_value(sent.json["receipt"].clone()).unwrap();
    let record = receipt.verify(&vkey(&stage.relay)).unwrap();
    let Event::Accepted(accepted) = record.event else {
        panic!("a receipt of something else")
    };
    assert_eq!(
        (accepted.submission.as_str(), accepted.sender.facility.as_str()),
        (id, pair.from.as_str())
    );
    assert_eq!((accepted.patient.as_str(), accepted.documents.len()), (PATIENT_ID, 2));
    assert_eq!(accepted.hc_roles, ["Medical Doctor"]);
    let mut forged = receipt.clone();
    forged.body = forged.body.replace(&pair.to, &pair.from);
    assert!(forged.verify(&vkey(&stage.relay)).is_err());
    let again = pair.clinic.get(&stage.relay, &format!("/v1/submissions/{id}/receipt"));
    let again: Receipt = serde_json::from_slice(&again.body).unwrap();
    again.verify(&vkey(&stage.relay)).unwrap();
    assert_eq!((again.position, again.body), (receipt.position, receipt.body));

    // It waits at the hospital; a named person fetches it, and what comes out is what went in.
    let inbox = pair.hospital.json(["inbox"]).expect(0);
    assert_eq!(inbox.json["items"][0]["id"], id, "{}", inbox.text);
    assert_eq!(inbox.json["items"][0]["state"], "Waiting");
    let out = pair.hospital.path("letters");
    let arguments = [
        "fetch",
        id,
        "--person",
        "staff",
        "--acknowledge",
        "--out",
        out.to_str().unwrap(),
    ];
    let fetched = pair.hospital.json(arguments).expect(0);
    assert_eq!(fetched.json["report"]["indication"], "TOTAL-PASSED", "{}", fetched.text);
    let unpacked = files_below(&out.join(id));
    let arrived = |path: &str, bytes: &[u8]| {
        let names: Vec<&String> = unpacked.iter().map(|(name, _)| name).collect();
        let found = unpacked.iter().any(|(name, found)| name == path && found == bytes);
        assert!(found, "{path} did not arrive as it was sent; there are {names:?}");
    };
    arrived("letter/紹介状.pdf", &kit::letter_pdf());
    for instance in 1..=3 {
        arrived(&format!("images/CT/IM{instance:04}"), &kit::dicom(7, 1, instance));
    }
    assert_eq!(unpacked.len(), 5, "four files and the envelope");

    // What the hospital has verifies again, offline, against the anchors alone and the evidence the relay kept.
    let trust = stage.relay.folder().join("trust");
    let evidence = pair.hospital.path("evidence");
    stage
        .services
        .hpki()
        .write_evidence(&evidence, time::OffsetDateTime::now_utc(), &[]);
    let container = out.join(format!("{id}.asice"));
    let verified = pair.hospital.json([
        "verify",
        container.to_str().unwrap(),
        "--trust",
        trust.to_str().unwrap(),
        "--evidence",
        evidence.to_str().unwrap(),
    ]);
    assert_eq!(verified.expect(0).json["indication"], "TOTAL-PASSED");

    // The sender sees who has it.
    let status = pair.clinic.json(["status", id]).expect(0);
    assert_eq!(
        status.json["status"]["recipients"][0]["state"], "Acknowledged",
        "{}",
        status.text
    );
    // The archive comes when it comes.
    let events = status.json["events"].as_array().unwrap().iter();
    let events: Vec<&Value> = events.filter(|event| event["kind"] != "ArchiveMade").collect();
    let kinds: Vec<&str> = events.iter().map(|event| event["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["Accepted", "Delivered", "Acknowledged"]);
    assert_eq!(
        (&events[1]["actor"], &events[1]["recipient"]),
        (&PERSON.into(), &pair.to.as_str().into())
    );

    accounts(&stage, &pair, id);
    stage.relay.assert_log_keeps_quiet(&SECRETS);
}

/// Both facilities' accounts of one delivered submission, `CONTRACTS.md` §9.
fn accounts(stage: &Stage, pair: &Pair, id: &str) {
    let export = |facility: &str, format: &str| {
        stage
            .relay
            .admin(&["trail", "export", "--facility", facility, "--format", format])
    };
    let (sender, receiver) = (export(&pair.from, "csv"), export(&pair.to, "csv"));
    let of = |rows: &[std::collections::BTreeMap<&str, &str>], kind: &str, column: &str| {
        let row = rows.iter().find(|row| row["kind"] == kind && row["submission"] == id);
        row.unwrap_or_else(|| panic!("no {kind} in {rows:?}"))[column].to_owned()
    };
    let (provided, viewed) = (rows(&sender), rows(&receiver));
    assert_eq!(of(&provided, "Accepted", "partner"), pair.to);
    assert_eq!(of(&provided, "Accepted", "patient"), PATIENT_ID);
    assert!(of(&provided, "Accepted", "scope").contains("images/"));
    assert_eq!(of(&viewed, "Delivered", "partner"), pair.from);
    assert_eq!(of(&viewed, "Delivered", "person_id"), "staff");
    assert_eq!(of(&viewed, "Delivered", "person_name"), PERSON);
    assert_eq!(of(&viewed, "Delivered", "assurance"), "asserted-by-device");
    assert_eq!(of(&viewed, "Delivered", "scope"), "*");
    for (facility, export) in [(&pair.from, &provided), (&pair.to, &viewed)] {
        for row in export {
            let (utc, japan) = (row["time_utc"], row["time_jst"]);
            assert!(utc.ends_with('Z') && japan.ends_with("+09:00"), "{utc} {japan}");
        }
        let numbers: Vec<u64> = export.iter().map(|row| row["facility_seq"].parse().unwrap()).collect();
        let expected: Vec<u64> = (1..=numbers.len() as u64).collect();
        assert_eq!(numbers, expected, "the account of {facility} has a gap");
    }
    assert!(!sender.contains(PATIENT_NAME), "an account names patients by number");

    for facility in [&pair.from, &pair.to] {
        let lines = export(facility, "jsonl");
        let records = lines.lines().filter(|line| line.contains("\"body\":"));
        let records: Vec<Value> = records.map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(
            records
                .iter()
                .all(|line| line["position"].is_u64() && line["salt"].is_string()),
            "{lines}"
        );
        let seen = records.iter().any(|line| {
            let body: Value = match &line["body"] {
                Value::String(text) => serde_json::from_str(text).unwrap(),
                other => other.clone(),
            };
            body["kind"] == "Delivered" && body["submission"] == id
        });
        assert!(seen, "{lines}");
    }
    // Reading an account is an act: the second export tells of the first.
    assert!(export(&pair.from, "csv").contains("TrailRead"));
    let over_http = pair.clinic.get_as(&stage.relay, "/v1/trail?format=csv", "staff", &[]);
    assert_eq!(over_http.status, 200);
    assert!(String::from_utf8(over_http.body).unwrap().contains(id));
}

#[test]
fn check_config_names_what_the_rules_forbid() {
    let stage = Stage::new(&RelayOptions::default());
    let missing = || {
        let answer: Value = serde_json::from_str(&stage.relay.admin(&["check-config", "--json"])).unwrap();
        let rows = answer["missing"].as_array().unwrap().iter();
        rows.map(|row| row.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(missing(), Vec::<String>::new());
    let with = |from: &str, to: &str, expected: &str| {
        let text = std::fs::read_to_string(stage.relay.config()).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(stage.relay.config(), text.replace(from, to)).unwrap();
        let found = missing();
        std::fs::write(stage.relay.config(), text).unwrap();
        assert!(found.iter().any(|row| row.contains(expected)), "{expected}: {found:?}");
    };
    let line = |key: &str| {
        let text = std::fs::read_to_string(stage.relay.config()).unwrap();
        text.lines().find(|line| line.starts_with(key)).unwrap().to_owned()
    };
    with(
        &line("fetch_hosts"),
        "fetch_hosts = []",
        "on 127.0.0.1: add the host to trust.fetch_hosts",
    );
    with(
        "fetch_private = [\"127.0.0.1/32\"]",
        "fetch_private = []",
        "trust.fetch_private",
    );
}

#[test]
fn health_readiness_and_figures() {
    let stage = stage();
    let pair = stage.pair();
    submitted(&stage, &pair);
    assert_eq!(stage.relay.portal("/healthz").status, 200);
    assert_eq!(stage.relay.portal("/readyz").json()["ready"], true);
    let figures = String::from_utf8(stage.relay.portal("/metrics").body).unwrap();
    let accepted = figures
        .lines()
        .find(|line| line.starts_with("hikyaku_") && line.contains("outcome=\"accepted\""));
    assert!(accepted.is_some(), "{figures}");
    assert!(!figures.contains(PATIENT_ID));
    let openapi = pair.clinic.get(&stage.relay, "/v1/openapi.json");
    assert!(openapi.json()["paths"]["/v1/submissions"]["post"].is_object());

    let empty = Stage::new(&RelayOptions {
        anchors: false,
        ..RelayOptions::default()
    });
    let ready = empty.relay.portal("/readyz");
    assert_eq!((ready.status, &ready.json()["ready"]), (503, &false.into()));
    assert_eq!(empty.relay.portal("/healthz").status, 200);
}

#[test]
fn a_real_letter_and_real_images_arrive_byte_for_byte() {
    let Some(fixtures) = kit::fixtures("a_real_letter_and_real_images_arrive_byte_for_byte") else {
        return;
    };
    let letter = fixtures.join("letters/referral-example01.json");
    let images = kit::house::python_package("pydicom/data/test_files");
    let (true, Some(images)) = (letter.is_file(), images) else {
        return kit::skip(
            "a_real_letter_and_real_images_arrive_byte_for_byte",
            "no letter, or no pydicom in target/venv",
        );
    };
    let stage = stage();
    let pair = stage.pair();
    let samples = ["CT_small.dcm", "MR_small.dcm"].map(|name| images.join(name));
    let mut files = vec![letter.clone()];
    files.extend(samples.clone());
    let sent = send(&stage, &pair, &files).expect(0);
    let id = sent.json["id"].as_str().unwrap();
    assert_eq!(pair.hospital.json(["inbox"]).expect(0).json["items"][0]["id"], id);
    let out = pair.hospital.path("letters");
    pair.hospital
        .json(["fetch", id, "--person", "staff", "--out", out.to_str().unwrap()])
        .expect(0);
    let unpacked = files_below(&out.join(id));
    for (path, source) in [
        ("letter/referral-example01.json", &letter),
        ("images/CT_small.dcm", &samples[0]),
        ("images/MR_small.dcm", &samples[1]),
    ] {
        let found = unpacked.iter().find(|(name, _)| name == path);
        assert!(
            found.is_some_and(|(_, bytes)| *bytes == std::fs::read(source).unwrap()),
            "{path}"
        );
    }
    assert_eq!(unpacked.len(), 4, "three files and the envelope");
}
