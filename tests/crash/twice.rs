//! A second relay on the data folder of a first: it does not start, says why, and does the first no harm.

use std::net::TcpListener;
use std::process::Command;

use kit::stage::Stage;
use kit::{CardSpec, RelayOptions, bin};
use toml::Table;

use super::letters::{api, prepare, send};
use super::tally::{Ledger, judge};

#[test]
fn a_second_relay_on_one_data_folder_is_refused_and_the_first_goes_on() {
    let stage = Stage::new(&RelayOptions::default());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let pair = stage.pair();
    let card = stage.services.hpki().card(CardSpec::ec_doctor());
    let mut ledger = Ledger::new(&pair);
    // The same folder, other ports: nothing but the data is in its way.
    let mut config: Table = std::fs::read_to_string(stage.relay.config()).unwrap().parse().unwrap();
    for listener in ["api", "portal"] {
        let free = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
        config[listener]["listen"] = free.to_string().into();
    }
    let second = stage.relay.folder().join("second.toml");
    std::fs::write(&second, config.to_string()).unwrap();
    for letters in [4, 4] {
        let (clinic, hospital) = (api(&pair.clinic, &stage.relay), api(&pair.hospital, &stage.relay));
        for letter in prepare(&stage, &pair, &card, letters) {
            let receipt = runtime.block_on(send(clinic.clone(), letter.clone())).unwrap();
            runtime.block_on(ledger.views.look(&hospital, &letter)).unwrap();
            ledger.acknowledged.push((letter, receipt));
        }
        let refused = Command::new(bin("hikyaku-relay"))
            .args(["serve", "--config"])
            .arg(&second)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&refused.stderr).into_owned() + &String::from_utf8_lossy(&refused.stdout);
        assert!(!refused.status.success(), "{said}");
        let folder = stage.relay.data().join("trail");
        assert!(
            said.contains(&format!("{} is in use by another process", folder.display())),
            "{said}"
        );
        // The operator still reaches the first.
        let joined = stage.relay.add_facility(&kit::stage::code(), "テスト飛脚分院");
        assert!(!joined.code.is_empty());
        assert_eq!(stage.relay.portal("/readyz").status, 200);
    }
    judge("two relays on one data folder", &stage, &runtime, &[ledger]);
}
