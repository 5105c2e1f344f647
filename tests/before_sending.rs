//! Before a byte of a letter leaves the clinic, the client says what the relay would refuse: exit 1, `would_be_refused`, the reason
//! in words, nothing in the outbox and nothing at the relay.

use std::path::{Path, PathBuf};

use kit::stage::{PATIENT_ID, PATIENT_NAME, SECRETS};
use kit::{Card, Pair, RelayOptions, Spoken, Stage};

/// `hikyaku send` from the clinic to the hospital, signed by `card`.
fn send(pair: &Pair, card: &Card, files: &[&Path], more: &[&str]) -> Spoken {
    let key = pair.clinic.soft_key(card);
    let mut arguments = vec!["send"];
    arguments.extend(files.iter().map(|file| file.to_str().unwrap()));
    arguments.extend([
        "--key",
        key.to_str().unwrap(),
        "--to",
        &pair.to,
        "--to-name",
        "テスト飛脚病院",
    ]);
    arguments.extend(["--patient-id", PATIENT_ID, "--patient-name", PATIENT_NAME]);
    arguments.extend(["--birth-date", "1970-01-01"]);
    arguments.extend(more);
    pair.clinic.json(arguments)
}

#[test]
fn what_would_be_refused_is_said_at_the_desk_and_not_sent() {
    let stage = Stage::new(&RelayOptions {
        limits: vec![("max_container", "1MiB".into())],
        ..RelayOptions::default()
    });
    let pair = stage.pair();
    let (doctor, pharmacist) = (stage.services.hpki().doctor(), stage.services.hpki().pharmacist());
    let letter = pair.clinic.file("letter.pdf", &kit::letter_pdf());
    let letter = letter.as_path();
    let program = pair
        .clinic
        .file("viewer.dat", b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff\0\0");
    let script = pair.clinic.file("readme.txt", b"#!/bin/sh\necho\n");
    let large = pair.clinic.file("large.txt", &vec![b'x'; 2 << 20]);
    let mut container = stage.container(&pair, &doctor, |_, _| {});
    container.extend_from_slice(b"and more");
    let outside = pair.clinic.file("outside.asice", &container);

    let refused = |spoken: Spoken, reason: &str| {
        let spoken = spoken.expect(1);
        assert_eq!(spoken.code(), "would_be_refused", "{}", spoken.text);
        let message = spoken.json["message"].as_str().unwrap();
        assert!(message.contains(reason), "{reason}: {message}");
        assert!(!spoken.json["action"].as_str().unwrap().is_empty());
        for secret in SECRETS {
            assert!(!spoken.text.contains(secret), "{secret}: {}", spoken.text);
        }
    };
    refused(send(&pair, &pharmacist, &[letter], &[]), "Pharmacist");
    refused(send(&pair, &doctor, &[letter, &program], &[]), "viewer.dat");
    refused(send(&pair, &doctor, &[letter, &script], &[]), "readme.txt");
    refused(send(&pair, &doctor, &[letter], &["--from", "1399999999"]), "1399999999");
    refused(send(&pair, &doctor, &[letter, &large], &[]), "bytes");
    refused(send(&pair, &doctor, &[&outside], &[]), "");

    let waiting = pair.clinic.json(["send"]).expect(0);
    assert_eq!(waiting.json, serde_json::json!([]), "the outbox is empty");
    send(&pair, &doctor, &[letter], &[]).expect(0);
    let inbox = pair.hospital.json(["inbox"]).expect(0);
    assert_eq!(inbox.json["items"].as_array().map(Vec::len), Some(1), "{}", inbox.text);
    assert_eq!(left_behind(&pair.clinic.home()), Vec::<PathBuf>::new());
}

#[test]
fn what_waits_in_the_outbox_is_sent_as_one_json_array() {
    let stage = Stage::shared(|_| {});
    let pair = stage.pair();
    let letter = pair.clinic.file("letter.pdf", &kit::letter_pdf());
    let doctor = stage.services.hpki().doctor();
    for _ in 0..2 {
        let later = send(&pair, &doctor, &[&letter], &["--later"]).expect(0);
        assert_eq!(later.json["state"], "outbox");
    }
    let sent = pair.clinic.json(["send"]).expect(0);
    let sent = sent.json.as_array().expect("an array");
    assert_eq!(sent.len(), 2);
    assert!(
        sent.iter()
            .all(|one| one["state"] == "Accepted" && one["receipt"].is_object())
    );
}

/// Containers of abandoned attempts in a home.
fn left_behind(home: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(home).unwrap().map(|entry| entry.unwrap().path());
    entries
        .filter(|path| path.extension().is_some_and(|ending| ending == "asice"))
        .collect()
}
