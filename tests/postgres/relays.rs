//! Whole relays on one database: both write one trail; one that is frozen is replaced, and writes nothing when it thaws.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

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

    let acknowledged = AtomicUsize::new(0);
    // The first writes the trail. It is frozen in the middle of writing; the second takes over when its lease has ended.
    std::thread::scope(|scope| {
        let frozen = scope.spawn(|| {
            let mut added = Vec::new();
            for number in 0..200 {
                let code = format!("x-frozen-{number}");
                let done = first.try_admin(&["facility", "add", &code, "TEST", "--json"]);
                if done.status.success() {
                    added.push(code);
                    acknowledged.fetch_add(1, Ordering::SeqCst);
                }
            }
            added
        });
        std::thread::sleep(std::time::Duration::from_millis(300));
        signal("-STOP", first);
        let before = acknowledged.load(Ordering::SeqCst);
        for number in 0..5 {
            let code = format!("x-meanwhile-{number}");
            let _joined = second.add_facility(&code, "TEST");
            expected.insert(code);
        }
        signal("-CONT", first);
        expected.extend(frozen.join().unwrap());
        assert!(
            acknowledged.load(Ordering::SeqCst) > before,
            "it was writing when it was frozen"
        );
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

    for relay in [first, &second] {
        relay.admin(&["trail", "verify"]);
        let exported = relay.admin(&["trail", "export", "--format", "jsonl"]);
        let mut added: BTreeMap<String, usize> = BTreeMap::new();
        for (position, line) in exported.lines().skip(1).enumerate() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(line["position"], position, "{line}");
            let body: serde_json::Value = serde_json::from_str(line["body"].as_str().unwrap()).unwrap();
            if body["kind"] == "FacilityAdded" {
                *added.entry(body["facility"].as_str().unwrap().to_owned()).or_default() += 1;
            }
        }
        let added_once: BTreeSet<String> = added
            .iter()
            .filter(|(_, times)| **times == 1)
            .map(|(code, _)| code.clone())
            .collect();
        assert_eq!(added_once.len(), added.len(), "{added:?}");
        assert!(added_once.is_superset(&expected), "{added:?}");
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

/// Two relays killed at once leave a proposal that the next sequencer writes: its container must still be where it was.
#[test]
fn a_container_whose_record_is_still_to_be_written_is_not_put_aside() {
    let Some(cluster) = cluster("a_container_whose_record_is_still_to_be_written_is_not_put_aside") else {
        return;
    };
    let place = cluster.database();
    let database = place.rsplit_once('=').unwrap().1.to_owned();
    let options = RelayOptions {
        more: vec![("store", "postgres", Value::from(place.clone()))],
        ..RelayOptions::default()
    };
    let stage = Stage::new(&options);
    let pair = stage.pair();
    let container = stage.container(&pair, &stage.services.hpki().doctor(), |_, _| {});
    // Another holds the lease, and does nothing.
    cluster.sql(
        &database,
        "UPDATE hikyaku_leases SET holder = gen_random_uuid(), epoch = epoch + 1, expires = now() + interval '1 hour' \
         WHERE name = 'sequencer'; UPDATE hikyaku_log SET epoch = epoch + 1",
    );
    let begun = pair.clinic.begin_upload(&stage.relay, container.len() as u64, None);
    let upload = begun.header("location").to_owned();
    let sent = pair
        .clinic
        .https(&stage.relay)
        .send(kit::desk::append(&upload, 0), &container);
    assert_eq!(sent.unwrap().status, 204);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let body = serde_json::json!({ "upload": upload }).to_string();
            let request = http::Request::post("/v1/submissions").header("content-type", "application/json");
            pair.clinic.https(&stage.relay).send(request, body.as_bytes()).is_err()
        });
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        let open = "SELECT count(*) FROM hikyaku_proposals WHERE convert_from(batch, 'UTF8') LIKE '%Accepted%'";
        while cluster.sql(&database, open) != "1" {
            assert!(std::time::Instant::now() < deadline, "{}", stage.relay.log());
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        stage.relay.kill9();
        assert!(asking.join().unwrap(), "nobody answered");
    });
    stage.relay.restart();
    cluster.sql(
        &database,
        "UPDATE hikyaku_leases SET expires = now() - interval '1 second' WHERE name = 'sequencer'",
    );
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    let id = loop {
        let inbox = pair.hospital.get(&stage.relay, "/v1/inbox").json();
        if let Some(id) = inbox["items"][0]["id"].as_str() {
            break id.to_owned();
        }
        assert!(std::time::Instant::now() < deadline, "{}", stage.relay.log());
        std::thread::sleep(std::time::Duration::from_millis(100));
    };
    let path = format!("/v1/submissions/{id}/container");
    let fetched = pair.hospital.get_as(&stage.relay, &path, "staff", &[]);
    assert!(fetched.status == 200 && fetched.body == container, "{}", fetched.status);
    let again = pair.clinic.submit(&stage.relay, &container);
    assert_eq!(again.status, 200, "{}", again.json());
}
