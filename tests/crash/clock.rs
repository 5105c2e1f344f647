//! A clock that is set under a running relay: back by an hour, or ahead by more than is believed. Needs libfaketime; said by name where it is missing.

use std::path::PathBuf;

use kit::stage::Stage;
use kit::{CardSpec, RelayOptions};

use super::letters::{api, prepare, send};
use super::tally::{Ledger, judge};

/// A file that says by how much the clock of a relay is wrong.
struct Offset(tempfile::TempDir);

impl Offset {
    fn new() -> Self {
        let offset = Self(tempfile::tempdir().unwrap());
        offset.set("+0\n");
        offset
    }

    /// In one step: the relay reads it at any moment.
    fn set(&self, to: &str) {
        let new = self.0.path().join("new");
        std::fs::write(&new, to).unwrap();
        std::fs::rename(new, self.0.path().join("offset")).unwrap();
    }

    /// A relay whose clock is wrong by it, and believed up to `drift`.
    fn stage(&self, library: PathBuf, drift: &str) -> Stage {
        let leak = |path: PathBuf| -> &'static str {
            Box::leak(path.into_os_string().into_string().unwrap().into_boxed_str())
        };
        Stage::new(&RelayOptions {
            environment: vec![
                ("LD_PRELOAD", leak(library)),
                ("FAKETIME_TIMESTAMP_FILE", leak(self.0.path().join("offset"))),
                ("FAKETIME_NO_CACHE", "1"),
                ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
                ("NO_FAKE_STAT", "1"),
            ],
            limits: vec![("clock_drift", drift.into())],
            ..RelayOptions::default()
        })
    }
}

#[test]
fn a_clock_that_leaps_ahead_records_nothing_until_it_is_put_right() {
    let Some(library) = library() else {
        return kit::skip(
            "a_clock_that_leaps_ahead_records_nothing_until_it_is_put_right",
            "no libfaketime",
        );
    };
    let offset = Offset::new();
    let stage = offset.stage(library, "2m");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let pair = stage.pair();
    let card = stage.services.hpki().card(CardSpec::ec_doctor());
    let mut ledger = Ledger::new(&pair);
    let clinic = api(&pair.clinic, &stage.relay);
    let letters = prepare(&stage, &pair, &card, 2);
    offset.set("+1h\n");
    for letter in &letters {
        let refused = runtime.block_on(send(clinic.clone(), letter.clone())).unwrap_err();
        let refused = format!("{refused:?}");
        assert!(
            refused.contains("store_unavailable") && refused.contains("leapt"),
            "{refused}"
        );
    }
    offset.set("+0\n");
    for letter in letters {
        let receipt = runtime.block_on(send(clinic.clone(), letter.clone())).unwrap();
        let record: serde_json::Value = serde_json::from_str(&receipt.body).unwrap();
        let now = time::OffsetDateTime::now_utc().format(&time::format_description::well_known::Rfc3339);
        assert!(record["time"].as_str().unwrap() < now.unwrap().as_str(), "{record}");
        ledger.acknowledged.push((letter, receipt));
    }
    judge("clock that leapt", &stage, &runtime, &[ledger]);
}

#[test]
fn a_clock_set_back_an_hour_changes_neither_order_nor_proofs() {
    let Some(library) = library() else {
        return kit::skip(
            "a_clock_set_back_an_hour_changes_neither_order_nor_proofs",
            "no libfaketime",
        );
    };
    let offset = Offset::new();
    let stage = offset.stage(library, "2h");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let pair = stage.pair();
    let card = stage.services.hpki().card(CardSpec::ec_doctor());
    let mut ledger = Ledger::new(&pair);
    // It runs an hour ahead, then is put right.
    for to in ["+1h\n", "+0\n"] {
        offset.set(to);
        let (clinic, hospital) = (api(&pair.clinic, &stage.relay), api(&pair.hospital, &stage.relay));
        for letter in prepare(&stage, &pair, &card, 4) {
            let receipt = runtime.block_on(send(clinic.clone(), letter.clone())).unwrap();
            ledger.acknowledged.push((letter, receipt));
        }
        for (letter, _) in &ledger.acknowledged {
            runtime.block_on(ledger.views.look(&hospital, letter)).unwrap();
        }
    }
    let times = ledger.acknowledged.iter().map(|(_, receipt)| {
        let record: serde_json::Value = serde_json::from_str(&receipt.body).unwrap();
        record["time"].as_str().unwrap().to_owned()
    });
    let times: Vec<String> = times.collect();
    let now = time::OffsetDateTime::now_utc()
        .format(&time::format_description::well_known::Rfc3339)
        .unwrap();
    assert!(times[0] > now, "the clock was not ahead: {times:?}");
    assert!(times.is_sorted(), "the trail goes back in time: {times:?}");
    judge("clock set back an hour", &stage, &runtime, &[ledger]);
}

/// libfaketime, for programs with threads.
fn library() -> Option<PathBuf> {
    let places = std::fs::read_dir("/usr/lib").ok()?.flatten();
    places
        .map(|place| place.path().join("faketime/libfaketimeMT.so.1"))
        .find(|library| library.exists())
}
