//! A data folder on a disk of its own: the power is cut by going on with a copy of the disk, which has only what was written
//! through to it; and the disk turns read-only. Needs root and mount; said by name where they are missing.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use client::relay_api::ApiError;
use kit::stage::Stage;
use kit::{CardSpec, RelayOptions, RelayProcess};
use tempfile::TempDir;

use super::letters::{Letter, api, are_there, can_be_sent_again, prepare, send};
use super::tally::{Ledger, judge};

#[test]
fn what_was_acknowledged_survives_power_cuts() {
    let Some(mut disk) = Disk::or_skip("what_was_acknowledged_survives_power_cuts") else {
        return;
    };
    let cuts: usize = std::env::var("HIKYAKU_POWER_CUTS").map_or(3, |cuts| cuts.parse().unwrap());
    let (stage, runtime) = (disk.stage(), tokio::runtime::Runtime::new().unwrap());
    let pair = stage.pair();
    let card = stage.services.hpki().card(CardSpec::ec_doctor());
    let mut ledger = Ledger::new(&pair);
    for cut in 1..=cuts {
        let (clinic, hospital) = (api(&pair.clinic, &stage.relay), api(&pair.hospital, &stage.relay));
        let letters = prepare(&stage, &pair, &card, 24);
        let answers = Arc::new(AtomicUsize::new(0));
        let start = |letter: Letter| {
            let (clinic, hospital) = (clinic.clone(), hospital.clone());
            let (answers, views) = (Arc::clone(&answers), ledger.views.clone());
            runtime.spawn(async move {
                let receipt = send(clinic, letter.clone()).await?;
                answers.fetch_add(1, Ordering::Relaxed);
                // Whether this is shown before the cut is left to chance.
                let _cut = views.look(&hospital, &letter).await;
                Ok::<_, ApiError>((letter, receipt))
            })
        };
        let sends: Vec<_> = letters.iter().cloned().map(start).collect();
        while answers.load(Ordering::Relaxed) < 5 + cut * 7 % 14 {
            std::thread::sleep(Duration::from_millis(1));
        }
        disk.cut_power(&stage.relay);
        let (mut acknowledged, mut open) = (Vec::new(), Vec::new());
        for (letter, sending) in letters.into_iter().zip(sends) {
            match runtime.block_on(sending).unwrap() {
                Ok(done) => acknowledged.push(done),
                Err(ApiError::Problem(problem)) => panic!("cut {cut}: {problem:?}"),
                Err(_) => open.push(letter),
            }
        }
        println!("cut {cut}: {} acknowledged, {} open", acknowledged.len(), open.len());
        stage.relay.restart();
        let (clinic, hospital) = (api(&pair.clinic, &stage.relay), api(&pair.hospital, &stage.relay));
        runtime.block_on(are_there(&clinic, &hospital, &acknowledged));
        ledger.acknowledged.extend(acknowledged);
        ledger
            .acknowledged
            .extend(runtime.block_on(can_be_sent_again(&clinic, open)));
    }
    judge("power cut (copy of the disk)", &stage, &runtime, &[ledger]);
}

#[test]
fn a_disk_that_turns_read_only_shows_nothing_unrecorded_and_loses_nothing() {
    let Some(disk) = Disk::or_skip("a_disk_that_turns_read_only_shows_nothing_unrecorded_and_loses_nothing") else {
        return;
    };
    let (stage, runtime) = (disk.stage(), tokio::runtime::Runtime::new().unwrap());
    let pair = stage.pair();
    let card = stage.services.hpki().card(CardSpec::ec_doctor());
    let mut ledger = Ledger::new(&pair);
    let (clinic, hospital) = (api(&pair.clinic, &stage.relay), api(&pair.hospital, &stage.relay));
    let letters = prepare(&stage, &pair, &card, 24);
    let answers = Arc::new(AtomicUsize::new(0));
    let start = |letter: Letter| {
        let (clinic, answers) = (clinic.clone(), Arc::clone(&answers));
        runtime.spawn(async move {
            let receipt = send(clinic, letter).await;
            answers.fetch_add(usize::from(receipt.is_ok()), Ordering::Relaxed);
            receipt
        })
    };
    let sends: Vec<_> = letters.iter().cloned().map(start).collect();
    while answers.load(Ordering::Relaxed) < 5 {
        std::thread::sleep(Duration::from_millis(1));
    }
    disk.turn_read_only();
    let mut open = Vec::new();
    for (letter, sending) in letters.into_iter().zip(sends) {
        match runtime.block_on(sending).unwrap() {
            Ok(receipt) => ledger.acknowledged.push((letter, receipt)),
            Err(ApiError::Problem(problem)) => {
                assert!(problem.status >= 500, "{problem:?}");
                open.push(letter);
            }
            Err(_) => open.push(letter),
        }
    }
    println!("{} acknowledged, {} open", ledger.acknowledged.len(), open.len());
    // What cannot be recorded is not shown.
    let seen = runtime.block_on(ledger.views.look(&hospital, &ledger.acknowledged[0].0));
    assert!(seen.is_err(), "a letter was shown on a disk that takes no record of it");
    stage.relay.kill9();
    disk.mount(&disk.file(0));
    stage.relay.restart();
    let clinic = api(&pair.clinic, &stage.relay);
    ledger
        .acknowledged
        .extend(runtime.block_on(can_be_sent_again(&clinic, open)));
    let hospital = api(&pair.hospital, &stage.relay);
    for (letter, _) in &ledger.acknowledged {
        runtime.block_on(ledger.views.look(&hospital, letter)).unwrap();
    }
    judge("read-only remount", &stage, &runtime, &[ledger]);
}

/// A disk image and where it is mounted.
struct Disk {
    folder: TempDir,
    /// How often the power was cut.
    cuts: u32,
}

impl Disk {
    fn or_skip(test: &str) -> Option<Self> {
        let disk = Self {
            folder: tempfile::tempdir().unwrap(),
            cuts: 0,
        };
        std::fs::create_dir(disk.place()).unwrap();
        std::fs::File::create(disk.file(0)).unwrap().set_len(600 << 20).unwrap();
        let made = quiet(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(disk.file(0)));
        let mounted = made && mount(&disk.file(0), &disk.place());
        if !mounted {
            kit::skip(test, "no mkfs.ext4, or no right to mount a disk image");
            return None;
        }
        Some(disk)
    }

    /// A stage whose relay keeps its data here. Drop it before the disk.
    fn stage(&self) -> Stage {
        Stage::new(&RelayOptions {
            data: Some(self.place().join("data")),
            limits: vec![("connections_per_address", 1000.into()), ("reserve", "16MiB".into())],
            ..RelayOptions::default()
        })
    }

    fn place(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    fn file(&self, cuts: u32) -> PathBuf {
        self.folder.path().join(format!("{cuts}.img"))
    }

    /// The relay stands still while the disk is copied, so that the copy is of one moment; then it is killed, and the copy is in
    /// the place of the disk.
    fn cut_power(&mut self, relay: &RelayProcess) {
        let pid = relay.pid().to_string();
        assert!(quiet(Command::new("kill").args(["-STOP", &pid])));
        let (old, new) = (self.file(self.cuts), self.file(self.cuts + 1));
        let copied = quiet(Command::new("cp").arg("--sparse=always").arg(&old).arg(&new));
        assert!(copied, "the disk cannot be copied");
        relay.kill9();
        self.cuts += 1;
        self.mount(&new);
        std::fs::remove_file(old).unwrap();
    }

    /// As a kernel does that meets an error of the disk: from now on nothing is written, not even to open files.
    fn turn_read_only(&self) {
        assert!(quiet(
            Command::new("mount").args(["-o", "remount,abort"]).arg(self.place())
        ));
    }

    /// Mounts `file` in place of what is mounted.
    fn mount(&self, file: &Path) {
        assert!(quiet(Command::new("umount").arg(self.place())), "umount");
        assert!(mount(file, &self.place()), "mount");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        quiet(Command::new("umount").arg("--lazy").arg(self.place()));
    }
}

fn mount(file: &Path, place: &Path) -> bool {
    quiet(Command::new("mount").args(["-o", "loop"]).arg(file).arg(place))
}

fn quiet(command: &mut Command) -> bool {
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}
