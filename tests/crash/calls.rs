//! Each system call by which a submission comes to the disk fails in turn. Needs strace; said by name where it is missing.
//!
//! strace counts the calls of each thread for itself: "the third" fails in every thread that comes so far.

use std::path::PathBuf;

use kit::stage::Stage;
use kit::{CardSpec, RelayOptions};

use super::letters::{api, are_there, begin, can_be_sent_again, prepare, send};
use super::sync::{Tracer, strace_or_skip};
use super::tally::{Ledger, judge};

/// Which calls fail where not all shall.
const SAMPLE: [usize; 3] = [1, 2, 4];
/// No thread makes more calls for one submission.
const MOST: usize = 200;

#[test]
fn a_submission_survives_failing_writes() {
    each("write", "write,writev,pwrite64,pwritev", true);
}

#[test]
fn a_submission_survives_failing_syncs() {
    each("fsync", "fsync,fdatasync", false);
}

#[test]
fn a_submission_survives_failing_renames() {
    each("rename", "rename,renameat,renameat2", false);
}

/// Lets `calls` fail, all of them or, where `narrow`, on the files of the trail and of the upload: sockets are written to as well.
fn each(name: &str, calls: &str, narrow: bool) {
    if !strace_or_skip(&format!("a_submission_survives_failing_{name}s")) {
        return;
    }
    let every = std::env::var("HIKYAKU_EVERY_CALL").is_ok_and(|every| every == "1");
    let indexes: Vec<usize> = if every { (1..MOST).collect() } else { SAMPLE.to_vec() };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let stage = Stage::new(&RelayOptions::default());
    let card = stage.services.hpki().card(CardSpec::ec_doctor());
    for error in ["EIO", "ENOSPC"] {
        // A pair of its own, so that uploads a fault has left behind do not use up a quota.
        let pair = stage.pair();
        let mut ledger = Ledger::new(&pair);
        let mut reached = 0;
        for index in &indexes {
            let relay = &stage.relay;
            let (clinic, hospital) = (api(&pair.clinic, relay), api(&pair.hospital, relay));
            let letter = prepare(&stage, &pair, &card, 1).remove(0);
            let place = runtime.block_on(begin(&clinic, &letter)).unwrap();
            let files = if narrow { files(&stage, &place) } else { Vec::new() };
            let mut tracer = Tracer::on(relay, calls, &format!("error={error}:when={index}"), &files);
            let sent = runtime.block_on(send(clinic, letter.clone()));
            // A look is recorded, or not given.
            if sent.is_ok() {
                let _refused = runtime.block_on(ledger.views.look(&hospital, &letter));
            }
            relay.kill9();
            tracer.end();
            let injected = tracer.injected();
            reached += usize::from(injected);
            relay.restart();
            let clinic = api(&pair.clinic, relay);
            let done = match sent {
                Ok(receipt) => vec![(letter, receipt)],
                Err(_) => runtime.block_on(can_be_sent_again(&clinic, vec![letter])),
            };
            let hospital = api(&pair.hospital, relay);
            runtime.block_on(are_there(&clinic, &hospital, &done));
            ledger.acknowledged.extend(done);
            if every && !injected {
                break;
            }
        }
        println!("{error} at {name}: {reached} calls failed");
        assert!(reached > 0, "no {name} failed");
        judge(
            &format!("{error} at each {name} of a submission"),
            &stage,
            &runtime,
            &[ledger],
        );
    }
}

/// The segments of the trail and what the upload at `place` consists of.
fn files(stage: &Stage, place: &str) -> Vec<PathBuf> {
    let (_, id) = place.rsplit_once('/').unwrap();
    let data = stage.relay.data();
    let within = |folder: PathBuf| {
        let entries = std::fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect::<Vec<_>>()
    };
    let mut files = within(data.join("uploads").join(id));
    files.extend(within(data.join("trail")));
    files.retain(|file| file.is_file());
    files
}
