//! Hostile megabytes through the built programs: what they cost the client as the kernel sees it, and a relay that refuses or takes
//! them and goes on. Checksums and digests are right, so that the hostile bytes themselves are reached.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use kit::measure::{forget_peak, peak_memory, resident_memory};
use kit::{ContainerOptions, Pair, RelayOptions, Stage, TestHpki, bin, measured};
use time::OffsetDateTime;

#[path = "hostile_programs/containers.rs"]
mod containers;
use containers::{Signing, containers, large_referral};

/// Size of a hostile part.
const SIZE: usize = 10_000_000;
/// What a client may have resident beside what it needs for a small letter. What a relay keeps may be twice as much in all, for its heap
/// is in pieces after so many kinds of parts; what it takes for one container beside what it had before may not.
const MEMORY: u64 = 64 << 20;
/// How much longer a client may work on it than on an honest container as large. What is not optimised takes longest in parsers.
const RATIO: u32 = if cfg!(debug_assertions) { 200 } else { 80 };
/// Processor time is told in hundredths of a second: a shorter yardstick would measure nothing.
const SHORTEST: Duration = Duration::from_millis(50);

/// Bytes that are nothing whole.
fn files() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("indefinite lengths", [0x30, 0x80].repeat(SIZE / 2)),
        ("empty elements", [0x30, 0].repeat(SIZE / 2)),
        (
            "PDF of beginnings",
            [b"%PDF-1.7\n".to_vec(), b"/ByteRang".repeat(SIZE / 9)].concat(),
        ),
        ("archive of beginnings", b"PK\x03\x04".repeat(SIZE / 4)),
        ("PEM of beginnings", b"-----BEGIN A-----\n".repeat(SIZE / 18)),
        ("evidence of lists", b"[".repeat(SIZE)),
    ]
}

/// What one run of the client was found to cost.
struct Limits {
    memory: u64,
    running: Duration,
}

/// Runs the client; its exit code. `limits`: none for an honest file.
fn run(folder: &Path, what: &str, arguments: &[&str], limits: Option<&Limits>) -> (i32, Limits) {
    let mut command = Command::new(bin("hikyaku"));
    let told = measured(
        command
            .current_dir(folder)
            .env("HIKYAKU_HOME", folder.join("home"))
            .env("HIKYAKU_LANG", "en")
            .args(arguments),
    );
    let said = String::from_utf8_lossy(&told.output.stderr);
    let code = told.output.status.code();
    println!(
        "{what}: {}: {code:?}, {} KiB, {:?}",
        arguments[0],
        told.peak >> 10,
        told.running
    );
    assert!(
        code.is_some_and(|code| code <= 3) && !said.contains("panicked"),
        "{what}: {arguments:?}: {said}"
    );
    if let Some(limits) = limits {
        let (peak, running) = (told.peak, told.running);
        assert!(peak < limits.memory, "{what}: {arguments:?} had {peak} bytes resident");
        assert!(running < limits.running, "{what}: {arguments:?} took {running:?}");
    }
    let found = Limits {
        memory: told.peak,
        running: told.running,
    };
    (code.unwrap(), found)
}

/// Runs the client on honest letters: what a hostile one may cost.
fn limits(folder: &Path, hpki: &TestHpki) -> Limits {
    let now = OffsetDateTime::now_utc();
    let (envelope, files) = kit::referral();
    let small = hpki.container(&hpki.doctor(), &envelope, &files, ContainerOptions::at(now));
    std::fs::write(folder.join("small.asice"), small).unwrap();
    let (envelope, files) = large_referral(kit::referral(), SIZE);
    let large = hpki.container(&hpki.doctor(), &envelope, &files, ContainerOptions::at(now));
    std::fs::write(folder.join("large.asice"), large).unwrap();
    let verify = |file| ["verify", file, "--trust", "trust", "--evidence", "evidence"];
    let (code, small) = run(folder, "small", &verify("small.asice"), None);
    let (large_code, large) = run(folder, "large", &verify("large.asice"), None);
    assert_eq!((code, large_code), (0, 0), "honest letters pass");
    Limits {
        memory: small.memory + MEMORY,
        running: large.running.max(SHORTEST) * RATIO,
    }
}

#[test]
fn hostile_files_cost_the_client_bounded_memory_and_work() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let now = OffsetDateTime::now_utc();
    let hpki = TestHpki::new("http://127.0.0.1:9", now);
    hpki.write_trust(&folder.join("trust"));
    hpki.write_evidence(&folder.join("evidence"), now, &[]);
    let limits = limits(folder, &hpki);
    for (name, bytes) in files() {
        std::fs::write(folder.join("hostile.bin"), &bytes).unwrap();
        // What it is, is told by its name: a signature, and a certificate.
        std::fs::write(folder.join("hostile.p7s"), &bytes).unwrap();
        for arguments in [
            &["inspect", "hostile.bin"][..],
            &["verify", "hostile.bin", "--trust", "trust"],
            &["verify", "hostile.p7s", "--content", "hostile.bin", "--trust", "trust"],
            &["chain", "hostile.bin", "--trust", "trust"],
        ] {
            let (code, _) = run(folder, name, arguments, Some(&limits));
            assert!(arguments[0] == "inspect" || code != 0, "{name} passes: {arguments:?}");
        }
        // Evidence that is none takes nothing from a letter, and gives it nothing.
        let beside = ["verify", "small.asice", "--trust", "trust", "--evidence", "hostile.bin"];
        let (code, _) = run(folder, name, &beside, Some(&limits));
        assert_ne!(code, 0, "{name} is evidence");
    }
    let signing = Signing {
        hpki: &hpki,
        card: hpki.doctor(),
        now,
    };
    for hostile in containers(&signing, &kit::referral) {
        std::fs::write(folder.join("hostile.asice"), &hostile.bytes).unwrap();
        let verify = ["verify", "hostile.asice", "--trust", "trust", "--evidence", "evidence"];
        let (code, _) = run(folder, hostile.name, &verify, Some(&limits));
        assert!(hostile.ugly || code != 0, "{} passes", hostile.name);
        let (code, _) = run(folder, hostile.name, &["inspect", "hostile.asice"], Some(&limits));
        assert!(code <= 1, "{}", hostile.name);
    }
}

#[test]
fn a_relay_refuses_hostile_containers_and_goes_on() {
    let stage = Stage::new(&RelayOptions {
        // What is given back goes back to the kernel at once: what remains is what the relay holds.
        environment: vec![
            ("MALLOC_MMAP_THRESHOLD_", "65536"),
            ("MALLOC_TRIM_THRESHOLD_", "65536"),
            ("MALLOC_ARENA_MAX", "1"),
        ],
        ..RelayOptions::default()
    });
    let pair = stage.pair();
    let signing = Signing {
        hpki: stage.services.hpki(),
        card: stage.services.hpki().doctor(),
        now: OffsetDateTime::now_utc(),
    };
    // An honest letter as large before the first look at its memory: what that needs stays.
    let large = {
        let (envelope, files) = large_referral(pair.referral(|_, _| {}), SIZE);
        signing
            .hpki
            .container(&signing.card, &envelope, &files, ContainerOptions::at(signing.now))
    };
    assert_eq!(pair.clinic.submit(&stage.relay, &large).status, 201);
    honest(&stage, &pair, &signing);
    let before = resident_memory(stage.relay.pid());
    let pid = stage.relay.pid();
    let wanted = std::env::var("HIKYAKU_HOSTILE_ONLY").unwrap_or_default();
    let mut highest = 0;
    for hostile in containers(&signing, &|| pair.referral(|_, _| {})) {
        if !hostile.name.contains(&wanted) {
            continue;
        }
        forget_peak(pid);
        let resident = resident_memory(pid).unwrap_or_default();
        let reply = pair.clinic.submit(&stage.relay, &hostile.bytes);
        let (name, code) = (hostile.name, reply.code());
        let peak = peak_memory(pid).unwrap_or_default();
        highest = highest.max(peak);
        let taken = peak.saturating_sub(resident);
        println!(
            "{name}: {} {code}, {} KiB above {} KiB",
            reply.status,
            taken >> 10,
            resident >> 10
        );
        assert!(taken < MEMORY, "{name} took {taken} bytes of the relay");
        match reply.status {
            201 => assert!(hostile.ugly, "{name} is accepted"),
            422 => assert!(
                [
                    "container_profile",
                    "envelope_invalid",
                    "forbidden_content",
                    "validation_failed"
                ]
                .contains(&code.as_str()),
                "{name}: {code}"
            ),
            status => panic!("{name}: {status} {code}"),
        }
        honest(&stage, &pair, &signing);
    }
    if let (Some(before), Some(after)) = (before, resident_memory(pid)) {
        let growth = after.saturating_sub(before);
        println!("grown by {} KiB", growth >> 10);
        assert!(growth < 2 * MEMORY, "the relay grew by {growth} bytes");
    }
    println!("at most {} KiB", highest >> 10);
    assert!(highest < 2 * MEMORY + before.unwrap_or_default());
    stage.relay.assert_log_keeps_quiet(&kit::stage::SECRETS);
}

/// A letter that any relay takes.
fn honest(stage: &Stage, pair: &Pair, signing: &Signing<'_>) {
    let container = stage.container(pair, &signing.card, |_, _| {});
    let reply = pair.clinic.submit(&stage.relay, &container);
    assert_eq!(reply.status, 201, "{}", reply.code());
}
