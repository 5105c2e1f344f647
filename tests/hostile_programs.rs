//! Hostile megabytes through the built programs: the client's memory as the kernel sees it, and a relay that refuses and goes on.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use kit::measure::resident_memory;
use kit::zip::{archive, entries};
use kit::{RelayOptions, Stage, bin, measured};
use std::process::Command;

/// Size of a hostile part.
const SIZE: usize = 10_000_000;
/// What a client may have resident; a relay may grow by as much.
const MEMORY: u64 = 128 << 20;

/// Laborious bytes of several kinds: name and content.
fn hostile() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("indefinite lengths", [0x30, 0x80].repeat(SIZE / 2)),
        ("empty elements", [0x30, 0].repeat(SIZE / 2)),
        (
            "a PDF of beginnings",
            [b"%PDF-1.7\n".to_vec(), b"/ByteRang".repeat(SIZE / 9)].concat(),
        ),
        (
            "a CDA of elements",
            [
                b"<ClinicalDocument xmlns='urn:hl7-org:v3'>".to_vec(),
                b"<a>".repeat(SIZE / 3),
            ]
            .concat(),
        ),
        (
            "a FHIR letter of lists",
            [
                b"{\"resourceType\":\"Bundle\",\"entry\":[".to_vec(),
                b"[],".repeat(SIZE / 3),
            ]
            .concat(),
        ),
        (
            "DICOM of empty elements",
            [vec![0; 128], b"DICM".to_vec(), b"\x08\0\x05\0CS\0\0".repeat(SIZE / 8)].concat(),
        ),
        ("an archive of beginnings", b"PK\x03\x04".repeat(SIZE / 4)),
    ]
}

#[test]
fn hostile_files_cost_the_client_bounded_memory() {
    let folder = tempfile::tempdir().unwrap();
    let now = time::OffsetDateTime::now_utc();
    let hpki = kit::TestHpki::new("http://127.0.0.1:9", now);
    let trust = folder.path().join("trust");
    hpki.write_trust(&trust);
    let (envelope, files) = kit::referral();
    let good = hpki.container(&hpki.doctor(), &envelope, &files, kit::ContainerOptions::at(now));
    let container = folder.path().join("good.asice");
    std::fs::write(&container, good).unwrap();
    for (name, bytes) in hostile() {
        let file = folder.path().join("hostile.bin");
        let signature = folder.path().join("hostile.p7s");
        std::fs::write(&file, &bytes).unwrap();
        std::fs::write(&signature, &bytes).unwrap();
        let path = |path: &std::path::Path| path.to_str().unwrap().to_owned();
        let (file, signature, trust) = (path(&file), path(&signature), path(&trust));
        let commands = [
            vec!["inspect".to_owned(), file.clone()],
            vec!["verify".to_owned(), file.clone(), "--trust".into(), trust.clone()],
            vec![
                "verify".to_owned(),
                signature,
                "--content".into(),
                file.clone(),
                "--trust".into(),
                trust.clone(),
            ],
            vec![
                "verify".to_owned(),
                path(&container),
                "--trust".into(),
                trust.clone(),
                "--evidence".into(),
                file.clone(),
            ],
            vec!["chain".to_owned(), file.clone(), "--trust".into(), trust.clone()],
        ];
        for arguments in commands {
            let mut command = Command::new(bin("hikyaku"));
            let told = measured(command.env("HIKYAKU_HOME", folder.path().join("home")).args(&arguments));
            let said = String::from_utf8_lossy(&told.output.stderr);
            let code = told.output.status.code();
            println!(
                "{name}: {}: {code:?}, {} KiB, {:?}",
                arguments[0],
                told.peak >> 10,
                told.running
            );
            assert!(
                code.is_some_and(|code| code <= 3) && !said.contains("panicked"),
                "{name}: {arguments:?}: {said}"
            );
            assert!(arguments[0] != "verify" || code != Some(0), "{name} passes");
            assert!(
                told.peak < MEMORY,
                "{name}: {arguments:?} had {} bytes resident",
                told.peak
            );
        }
    }
}

#[test]
fn hostile_containers_are_refused_by_a_relay_that_goes_on() {
    let stage = Stage::new(&RelayOptions::default());
    let (pair, card) = (stage.pair(), stage.services.hpki().doctor());
    let honest = |stage: &Stage| {
        let reply = pair
            .clinic
            .submit(&stage.relay, &stage.container(&pair, &card, |_, _| {}));
        assert_eq!(reply.status, 201, "{}", reply.code());
    };
    honest(&stage);
    let before = resident_memory(stage.relay.pid()).unwrap_or(u64::MAX);
    for (name, bytes) in hostile() {
        for part in [
            "META-INF/ASiCManifest001.xml",
            "META-INF/signature001.p7s",
            "submission.json",
            "letter/letter.pdf",
            "images/IM0001",
        ] {
            let mut all = entries(&stage.container(&pair, &card, |_, _| {}));
            let entry = all.iter_mut().find(|entry| entry.name == part).unwrap();
            entry.bytes.clone_from(&bytes);
            let reply = pair.clinic.submit(&stage.relay, &archive(&all));
            let code = reply.code();
            assert_eq!(reply.status, 422, "{name} as {part}: {code}");
            assert!(!code.is_empty(), "{name} as {part}");
        }
        honest(&stage);
    }
    let growth = resident_memory(stage.relay.pid())
        .unwrap_or_default()
        .saturating_sub(before);
    println!("grown by {} KiB", growth >> 10);
    assert!(growth < MEMORY, "the relay grew by {growth} bytes");
    stage.relay.assert_log_keeps_quiet(&[]);
}
