//! kill -9 while many look at letters: what was shown is recorded.

use std::time::Duration;

use kit::stage::Stage;
use kit::{CardSpec, RelayOptions};

use super::letters::{Letter, api, prepare, send};
use super::tally::{Ledger, judge};

/// Who look at once.
const VIEWERS: usize = 24;
/// Views before each kill.
const ENOUGH: [u64; 4] = [10, 60, 31, 97];

#[test]
fn what_was_shown_before_kill_9_is_recorded() {
    let stage = Stage::new(&RelayOptions {
        limits: vec![("connections_per_address", 1000.into())],
        ..RelayOptions::default()
    });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let pair = stage.pair();
    let card = stage.services.hpki().card(CardSpec::ec_doctor());
    let mut ledger = Ledger::new(&pair);
    let clinic = api(&pair.clinic, &stage.relay);
    for letter in prepare(&stage, &pair, &card, 6) {
        let receipt = runtime.block_on(send(clinic.clone(), letter.clone())).unwrap();
        ledger.acknowledged.push((letter, receipt));
    }
    let letters: Vec<Letter> = ledger.acknowledged.iter().map(|(letter, _)| letter.clone()).collect();
    for enough in ENOUGH {
        let before = ledger.views.total();
        let viewers: Vec<_> = (0..VIEWERS)
            .map(|number| {
                let (hospital, views) = (api(&pair.hospital, &stage.relay), ledger.views.clone());
                let letters = letters.clone();
                // Until the relay is gone.
                runtime.spawn(async move {
                    for letter in letters.iter().cycle().skip(number) {
                        if views.look(&hospital, letter).await.is_err() {
                            return;
                        }
                    }
                })
            })
            .collect();
        while ledger.views.total() < before + enough {
            std::thread::sleep(Duration::from_millis(1));
        }
        stage.relay.kill9();
        for viewer in viewers {
            runtime.block_on(viewer).unwrap();
        }
        stage.relay.restart();
    }
    println!("{} views", ledger.views.total());
    judge("kill -9 among views", &stage, &runtime, &[ledger]);
}
