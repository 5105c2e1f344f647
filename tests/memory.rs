//! Gigabytes pass through client and relay without ever being in memory: the built programs, measured by the kernel.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use formats::asice::MAX_FILES;
use kit::desk::append;
use kit::stage::Stage;
use kit::{RelayOptions, bin, letter_pdf};
use trust_store::report::BRIEF_FILES;

const MIB: u64 = 1 << 20;
/// What the client may have resident, whatever it signs, sends, fetches or verifies.
const CLIENT: u64 = 64 * MIB;
/// What the relay may.
const RELAY: u64 = 128 * MIB;
/// Files of a large study.
const SLICES: usize = 20_000;
/// What the relay may have resident for each file while it judges and records.
const A_FILE: u64 = 4 << 10;
/// Space these tests need on disk.
const SPACE: u64 = 6144 * MIB;

#[test]
fn two_gigabytes_are_signed_and_verified_in_flat_memory() {
    let Some(folder) = spacious("two_gigabytes_are_signed_and_verified_in_flat_memory") else {
        return;
    };
    let stage = kit::Services::start_blocking(0);
    stage.hpki().write_trust(&folder.path().join("trust"));
    stage
        .hpki()
        .write_evidence(&folder.path().join("evidence"), time::OffsetDateTime::now_utc(), &[]);
    let card = stage.hpki().doctor();
    let key = folder.path().join("card.pem");
    fs::write(&key, format!("{}{}", card.key_pem(), card.certificates_pem())).unwrap();
    let (letter, large) = material(folder.path(), 2048 * MIB);
    let container = folder.path().join("large.asice");

    let mut sign = Command::new(bin("hikyaku"));
    sign.env("HIKYAKU_HOME", folder.path().join("home"))
        .arg("sign")
        .args([&letter, &large])
        .args(["--key".as_ref(), key.as_os_str()])
        .args(["--tsa", &stage.tsa_url(), "--from", "1310000001", "--to", "1320000002"])
        .args(["--patient-id", "1", "--patient-name", "試験　大"])
        .args(["--birth-date", "1970-01-01", "--sex", "F", "--out"])
        .arg(&container);
    let signing = peak(&mut sign);
    assert!(fs::metadata(&container).unwrap().len() > 2048 * MIB);

    let mut verify = Command::new(bin("hikyaku"));
    verify
        .arg("verify")
        .arg(&container)
        .arg("--trust")
        .arg(folder.path().join("trust"))
        .arg("--evidence")
        .arg(folder.path().join("evidence"));
    let verifying = peak(&mut verify);
    println!("sign: {} KiB, verify: {} KiB", signing >> 10, verifying >> 10);
    // Room for the archive, which is as large again.
    fs::remove_file(&large).unwrap();
    let mut archive = Command::new(bin("hikyaku"));
    archive
        .env("HIKYAKU_HOME", folder.path().join("home"))
        .arg("archive")
        .arg(&container)
        .arg("--trust")
        .arg(folder.path().join("trust"))
        .arg("--evidence")
        .arg(folder.path().join("evidence"))
        .args(["--tsa", &stage.tsa_url()]);
    let archiving = peak(&mut archive);
    println!("archive: {} KiB", archiving >> 10);
    assert!(fs::metadata(folder.path().join("large.archive.asice")).unwrap().len() > 2048 * MIB);
    assert!(archiving < CLIENT, "archive had {archiving} bytes resident");
    assert!(signing < CLIENT, "sign had {signing} bytes resident");
    assert!(verifying < CLIENT, "verify had {verifying} bytes resident");
}

#[test]
fn half_a_gigabyte_is_sent_and_fetched_in_flat_memory() {
    let Some(folder) = spacious("half_a_gigabyte_is_sent_and_fetched_in_flat_memory") else {
        return;
    };
    let data = folder.path().join("data");
    let stage = Stage::new(&RelayOptions {
        data: Some(data),
        ..RelayOptions::default()
    });
    let pair = stage.pair();
    let key = pair.clinic.soft_key(&stage.services.hpki().doctor());
    let (letter, large) = material(folder.path(), 500 * MIB);
    let mut send = pair.clinic.command();
    send.arg("send")
        .args([&letter, &large])
        .args(["--key".as_ref(), key.as_os_str()])
        .args(["--to", &pair.to, "--patient-id", "1", "--patient-name", "試験　大"])
        .args(["--birth-date", "1970-01-01", "--sex", "F"]);
    let sending = peak(&mut send);

    let inbox = pair.hospital.json(["inbox"]).expect(0);
    let id = inbox.json["items"][0]["id"]
        .as_str()
        .unwrap_or_else(|| panic!("{}", inbox.text))
        .to_owned();
    let out = folder.path().join("out");
    let mut fetch = pair.hospital.command();
    fetch.args(["fetch", &id, "--person", "staff", "--out"]).arg(&out);
    let fetching = peak(&mut fetch);
    let relay = stage.relay.peak_memory().expect("Linux tells");
    println!(
        "send: {} KiB, fetch: {} KiB, relay: {} KiB",
        sending >> 10,
        fetching >> 10,
        relay >> 10
    );
    assert!(sending < CLIENT, "send had {sending} bytes resident");
    assert!(fetching < CLIENT, "fetch had {fetching} bytes resident");
    assert!(relay < RELAY, "the relay had {relay} bytes resident");
}

/// As many files as a container may have, the last of them another than was signed: the answer must be one a client can read, and
/// the relay must not hold all their names as a tree of values. The manifest alone is some twenty megabytes.
#[test]
fn a_hundred_thousand_files_are_refused_in_flat_memory() {
    let stage = Stage::new(&RelayOptions::default());
    let (pair, card) = (stage.pair(), stage.services.hpki().doctor());
    let mut container = stage.container(&pair, &card, |_, files| {
        let more = files.len()..MAX_FILES;
        files.extend(more.map(|number| (format!("images/FILE{number:06}"), number.to_string().into_bytes())));
    });
    let end = exchange_last(&mut container, b"images/FILE099999", b"99998");
    let begun = pair.clinic.begin_upload(&stage.relay, container.len() as u64, None);
    assert_eq!(begun.status, 201, "{}", begun.code());
    let https = pair.clinic.https(&stage.relay);
    let send = |from: usize, to: usize| {
        let request = append(begun.header("location"), from as u64);
        https.send(request, &container[from..to]).expect("an answer to bytes")
    };
    // Nothing is under way any more when it is refused: an answer is not overtaken by the end of its connection.
    let mut reply = send(0, end);
    if reply.status == 204 {
        reply = send(end, container.len());
    }
    assert_eq!((reply.status, reply.code()), (422, "validation_failed".into()));
    let report = &reply.json()["report"];
    let files = report["files"].as_array().expect("files").len();
    assert_eq!(report["files"][0]["path"], "images/FILE099999");
    assert_eq!(report["files"][0]["digest_ok"], false);
    assert_eq!(
        (files, &report["files_left_out"]),
        (BRIEF_FILES, &(MAX_FILES + 1 - BRIEF_FILES).into())
    );
    let refusing = stage.relay.peak_memory().expect("Linux tells");
    println!(
        "refusing: {} KiB, answer: {} KiB",
        refusing >> 10,
        reply.body.len() >> 10
    );
    assert!(reply.body.len() < 4 << 20, "no client reads so large a problem");
    assert!(refusing < 2 * RELAY, "the relay had {refusing} bytes resident");
}

/// As many slices as the largest studies have: they are taken in, and no file costs the relay more than a few lines of text do.
#[test]
fn a_study_of_twenty_thousand_slices_is_taken_in() {
    let stage = Stage::new(&RelayOptions::default());
    let (pair, card) = (stage.pair(), stage.services.hpki().doctor());
    // What a first letter makes the relay load is no growth.
    let first = stage.container(&pair, &card, |_, _| {});
    assert_eq!(pair.clinic.submit(&stage.relay, &first).status, 201);
    let container = stage.container(&pair, &card, |_, files| {
        let slice = kit::dicom(1, 1, 1);
        files.extend((files.len()..SLICES).map(|number| (format!("images/S{number:06}"), slice.clone())));
    });
    let before = stage.relay.peak_memory().expect("Linux tells");
    let reply = pair.clinic.submit(&stage.relay, &container);
    assert_eq!(reply.status, 201, "{}", reply.code());
    let growth = stage.relay.peak_memory().expect("Linux tells").saturating_sub(before);
    println!("{SLICES} slices, {} KiB: {} KiB", container.len() >> 10, growth >> 10);
    assert!(growth < SLICES as u64 * A_FILE, "the relay grew by {growth} bytes");
}

/// Writes other bytes into a container's last file, as many as there were, with their checksum in both headers (APPNOTE 4.3.7, 4.3.12).
/// Returns where the file ends.
fn exchange_last(container: &mut [u8], name: &[u8], bytes: &[u8]) -> usize {
    let mut places = container
        .windows(name.len())
        .enumerate()
        .rev()
        .filter(|(_, window)| *window == name);
    let [central, local] = [(); 2].map(|()| places.next().expect("two headers").0);
    let extra = usize::from(container[local - 2]) | usize::from(container[local - 1]) << 8;
    let checksum = crc32fast::hash(bytes).to_le_bytes();
    let data = local + name.len() + extra;
    for (place, bytes) in [(central - 30, &checksum[..]), (local - 16, &checksum), (data, bytes)] {
        container[place..place + bytes.len()].copy_from_slice(bytes);
    }
    data + bytes.len()
}

/// A letter, and an attachment of zeros that takes no space.
fn material(folder: &Path, size: u64) -> (PathBuf, PathBuf) {
    let (letter, large) = (folder.join("letter.pdf"), folder.join("large.bin"));
    fs::write(&letter, letter_pdf()).unwrap();
    File::create(&large).unwrap().set_len(size).unwrap();
    (letter, large)
}

/// A folder on the disk that holds the build, removed when dropped; `None`, said by name, where it has too little space.
fn spacious(test: &str) -> Option<tempfile::TempDir> {
    let place = bin("hikyaku").ancestors().nth(2)?.join("tmp");
    fs::create_dir_all(&place).unwrap();
    let free = Command::new("df")
        .args(["--output=avail", "-B1"])
        .arg(&place)
        .output()
        .ok();
    let free = free.and_then(|free| {
        String::from_utf8(free.stdout)
            .ok()?
            .lines()
            .nth(1)?
            .trim()
            .parse::<u64>()
            .ok()
    });
    if free.is_some_and(|free| free >= SPACE) && Path::new("/proc/self/status").exists() {
        return Some(tempfile::tempdir_in(place).unwrap());
    }
    kit::skip(test, "no /proc, or less than 6 GiB of space");
    None
}

/// Runs a program that must succeed; the most memory it had resident, in bytes.
fn peak(command: &mut Command) -> u64 {
    let kit::Measured { output, peak, .. } = kit::measured(command);
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(peak > MIB, "{command:?} was not measured");
    peak
}
