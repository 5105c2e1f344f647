//! A disk that cannot sync the trail, and a crash exactly at a sync. Needs strace; said by name where it is missing.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use client::relay_api::ApiError;
use formats::wire::Receipt;
use kit::stage::{Pair, Stage};
use kit::{CardSpec, RelayOptions, RelayProcess};

use super::letters::{Letter, api, are_there, can_be_sent_again, prepare, send};
use super::tally::{Ledger, judge};

#[test]
fn a_disk_that_cannot_sync_stops_acceptance_and_says_so() {
    let Some(scene) = Scene::new("a_disk_that_cannot_sync_stops_acceptance_and_says_so") else {
        return;
    };
    let (acknowledged, open) = scene.send_until_it_fails("error=EIO:when=3", |error| {
        matches!(error, ApiError::Problem(problem) if problem.code == "store_unavailable" && problem.status == 503)
    });
    let log = scene.stage.relay.log();
    assert!(log.contains("Input/output error"), "the log does not say why:\n{log}");
    scene.settle("trail cannot be synced (EIO)", acknowledged, open);
}

#[test]
fn a_crash_at_the_sync_loses_nothing_acknowledged() {
    let Some(scene) = Scene::new("a_crash_at_the_sync_loses_nothing_acknowledged") else {
        return;
    };
    let (acknowledged, open) =
        scene.send_until_it_fails("signal=KILL:when=3", |error| matches!(error, ApiError::Unreachable(_)));
    scene.settle("kill -9 at a sync of the trail", acknowledged, open);
}

struct Scene {
    stage: Stage,
    pair: Pair,
    letters: Vec<Letter>,
    runtime: tokio::runtime::Runtime,
}

impl Scene {
    fn new(test: &str) -> Option<Self> {
        if !strace_or_skip(test) {
            return None;
        }
        let stage = Stage::new(&RelayOptions::default());
        let pair = stage.pair();
        let card = stage.services.hpki().card(CardSpec::ec_doctor());
        let letters = prepare(&stage, &pair, &card, 8);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        Some(Self {
            stage,
            pair,
            letters,
            runtime,
        })
    }

    /// Sends one letter after the other while syncs of the trail go wrong as `injection` says. From the first failure on
    /// nothing may be acknowledged.
    fn send_until_it_fails(
        &self,
        injection: &str,
        expected: fn(&ApiError) -> bool,
    ) -> (Vec<(Letter, Receipt)>, Vec<Letter>) {
        let relay = &self.stage.relay;
        let trail = fs::read_dir(relay.data().join("trail")).unwrap();
        let trail = trail.map(|entry| entry.unwrap().path());
        let segments: Vec<_> = trail
            .filter(|path| path.extension().is_some_and(|ending| ending == "seg"))
            .collect();
        let mut tracer = Tracer::on(relay, "fsync,fdatasync", injection, &segments);
        let clinic = api(&self.pair.clinic, relay);
        let (mut acknowledged, mut open) = (Vec::new(), Vec::new());
        for letter in &self.letters {
            match self.runtime.block_on(send(clinic.clone(), letter.clone())) {
                Ok(receipt) => {
                    assert!(open.is_empty(), "a letter was acknowledged after the trail had failed");
                    acknowledged.push((letter.clone(), receipt));
                }
                Err(error) => {
                    assert!(expected(&error) || matches!(error, ApiError::Unreachable(_)), "{error}");
                    open.push(letter.clone());
                }
            }
        }
        assert!(
            !acknowledged.is_empty() && !open.is_empty(),
            "the fault did not fall in the middle\n{}",
            relay.log()
        );
        relay.kill9();
        tracer.end();
        (acknowledged, open)
    }

    /// After a restart everything acknowledged is there and the rest can be sent again.
    fn settle(&self, fault: &str, mut acknowledged: Vec<(Letter, Receipt)>, open: Vec<Letter>) {
        let relay = &self.stage.relay;
        relay.restart();
        let (clinic, hospital) = (api(&self.pair.clinic, relay), api(&self.pair.hospital, relay));
        self.runtime.block_on(are_there(&clinic, &hospital, &acknowledged));
        acknowledged.extend(self.runtime.block_on(can_be_sent_again(&clinic, open)));
        assert_eq!(acknowledged.len(), self.letters.len());
        let ledger = Ledger {
            acknowledged,
            ..Ledger::new(&self.pair)
        };
        judge(fault, &self.stage, &self.runtime, &[ledger]);
    }
}

/// Whether there is strace; the test `name` is skipped where there is none.
pub(super) fn strace_or_skip(name: &str) -> bool {
    let found = Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_ok();
    if !found {
        kit::skip(name, "no strace");
    }
    found
}

/// strace, attached to every thread of the relay, with an eye on some of its files.
pub(super) struct Tracer(Child, tempfile::NamedTempFile);

impl Tracer {
    /// From now on these system `calls` on `files` go wrong as `injection` says.
    pub(super) fn on(relay: &RelayProcess, calls: &str, injection: &str, files: &[PathBuf]) -> Self {
        let mut strace = Command::new("strace");
        let told = tempfile::NamedTempFile::new().unwrap();
        strace.args(["-f", "-qq", "-e", &format!("trace={calls}"), "-o"]);
        strace.arg(told.path());
        strace.args(["-e", &format!("inject={calls}:{injection}")]);
        for file in files {
            strace.arg("-P").arg(fs::canonicalize(file).unwrap());
        }
        let child = strace
            .args(["-p", &relay.pid().to_string()])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while !traced(relay.pid()) {
            assert!(Instant::now() < deadline, "strace does not attach");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self(child, told)
    }

    /// Whether a call went wrong so far.
    pub(super) fn injected(&self) -> bool {
        let told = fs::read(self.1.path()).unwrap();
        String::from_utf8_lossy(&told).contains("(INJECTED)")
    }

    /// The relay goes on without faults.
    pub(super) fn detach(&mut self) {
        let asked = Command::new("kill").arg("-TERM").arg(self.0.id().to_string()).status();
        assert!(asked.unwrap().success());
        self.0.wait().unwrap();
    }

    pub(super) fn end(&mut self) {
        // It ends with what it traces.
        let _ = self.0.kill();
        self.0.wait().unwrap();
    }
}

/// Whether every thread has its tracer.
fn traced(pid: u32) -> bool {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    tasks
        .map(|task| fs::read_to_string(task.path().join("status")).unwrap_or_default())
        .all(|status| {
            status
                .lines()
                .any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0"))
        })
}
