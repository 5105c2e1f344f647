//! Whole relays on one database: both write one trail; one that is frozen is replaced, and writes nothing when it thaws.

use std::collections::BTreeSet;
use std::process::Command;

use kit::stage::Stage;
use kit::{RelayOptions, RelayProcess};
use toml::Value;

use super::cluster;

fn signal(name: &str, relay: &RelayProcess) {
    let status = Command::new("kill").arg(name).arg(relay.pid().to_string()).status();
    assert!(status.is_ok_and(|status| status.success()), "kill {name}");
}

/// Facilities a relay knows, in a list that must not have one twice.
fn facilities(relay: &RelayProcess) -> BTreeSet<String> {
    let listed: serde_json::Value = serde_json::from_str(&relay.admin(&["facility", "list", "--json"])).unwrap();
    let listed = listed["facilities"].as_array().or(listed.as_array()).unwrap().clone();
    let codes: Vec<String> = listed
        .iter()
        .map(|row| row["code"].as_str().unwrap().to_owned())
        .collect();
    let once: BTreeSet<String> = codes.iter().cloned().collect();
    assert_eq!(once.len(), codes.len());
    once
}

#[test]
fn a_frozen_relay_is_replaced_and_writes_nothing_when_it_thaws() {
    let Some(cluster) = cluster("a_frozen_relay_is_replaced_and_writes_nothing_when_it_thaws") else {
        return;
    };
    let place = Value::from(cluster.database());
    let options = RelayOptions {
        more: vec![("store", "postgres", place.clone())],
        ..RelayOptions::default()
    };
    let stage = Stage::new(&options);
    let first = &stage.relay;
    let path = |name: &str| Value::from(first.folder().join(name).to_str().unwrap().to_owned());
    let same = RelayOptions {
        more: vec![
            ("store", "postgres", place),
            ("log", "key", path("keys/log.key")),
            ("ca", "certificate", path("keys/ca.pem")),
            ("ca", "key", path("keys/ca.key")),
            ("tls", "certificate", path("keys/tls.pem")),
            ("tls", "key", path("keys/tls.key")),
            ("keys", "identities", vec![path("keys/identity.txt")].into()),
            ("keys", "recipients", path("keys/recipients.txt")),
        ],
        ..RelayOptions::default()
    };
    let second = RelayProcess::start(&stage.services, &same);
    let mut expected = BTreeSet::new();
    for (number, relay) in (0..6).zip([first, &second].into_iter().cycle()) {
        let code = format!("x-before-{number}");
        let _joined = relay.add_facility(&code, "TEST");
        expected.insert(code);
    }
    for relay in [first, &second] {
        assert!(facilities(relay).is_superset(&expected));
    }
    assert_eq!(first.portal("/readyz").status, 200, "{}", first.log());

    // The first writes the trail. It is frozen in the middle of writing; the second takes over when its lease has ended.
    std::thread::scope(|scope| {
        let frozen = scope.spawn(|| {
            let mut added = Vec::new();
            for number in 0..200 {
                let code = format!("x-frozen-{number}");
                let done = first.try_admin(&["facility", "add", &code, "TEST", "--json"]);
                if done.status.success() {
                    added.push(code);
                }
            }
            added
        });
        std::thread::sleep(std::time::Duration::from_millis(300));
        signal("-STOP", first);
        for number in 0..5 {
            let code = format!("x-meanwhile-{number}");
            let _joined = second.add_facility(&code, "TEST");
            expected.insert(code);
        }
        signal("-CONT", first);
        expected.extend(frozen.join().unwrap());
    });
    assert!(second.log().contains("this relay writes the trail"), "{}", second.log());
    for number in 0..3 {
        let code = format!("x-after-{number}");
        let _joined = first.add_facility(&code, "TEST");
        expected.insert(code);
    }
    assert!(expected.iter().any(|code| code.starts_with("x-frozen")));
    for relay in [first, &second] {
        assert!(facilities(relay).is_superset(&expected));
    }

    // The one that writes is killed; the other needs no restart.
    second.kill9();
    let _joined = first.add_facility("x-killed", "TEST");
    second.restart();
    assert!(facilities(&second).contains("x-killed"));
    first.stop();
    let _joined = second.add_facility("x-stopped", "TEST");
    assert!(facilities(&second).contains("x-stopped"));
}
