//! The log's key in a PKCS #11 token: the relay signs with it, and writes nothing else.

use kit::SoftHsm;

use super::*;

#[test]
fn a_key_in_a_token_signs_the_log() {
    let Some(module) = SoftHsm::module_or_skip("a_key_in_a_token_signs_the_log") else {
        return;
    };
    let token = SoftHsm::with_log_key("relay", "log");
    let folder = tempfile::tempdir().unwrap();
    let pin = folder.path().join("log.pin");
    fs::write(&pin, format!("{}\n", SoftHsm::PIN)).unwrap();
    #[cfg(unix)]
    fs::set_permissions(&pin, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let mut place = Table::new();
    for (key, value) in [("module", module), ("pin", &pin)] {
        place.insert(key.into(), value.to_str().unwrap().into());
    }
    place.insert("token".into(), "relay".into());
    place.insert("key".into(), "log".into());
    let configuration = token.environment()[0].1.to_str().unwrap().to_owned();
    let options = RelayOptions {
        more: vec![
            ("log", "token", toml::Value::Table(place)),
            ("log", "key", toml::Value::String(String::new())),
        ],
        environment: vec![("SOFTHSM2_CONF", Box::leak(configuration.into_boxed_str()))],
        ..RelayOptions::default()
    };
    let stage = Stage::new(&options);
    let pair = stage.pair();
    let container = stage.container(&pair, &stage.services.hpki().doctor(), |_, _| ());
    let taken = pair.clinic.submit(&stage.relay, &container);
    assert_eq!(taken.status, 201, "{}", taken.json());
    let policy = pair.clinic.get(&stage.relay, "/v1/policy").json();
    let vkey = policy["log_vkey"].as_str().unwrap();
    let file = fs::read_to_string(stage.relay.folder().join("keys/log.vkey")).unwrap();
    assert_ne!(vkey, file.trim(), "not the key that init made");
    let receipt: formats::wire::Receipt = serde_json::from_value(taken.json()).unwrap();
    assert!(receipt.verify(vkey).is_ok());
    // After a restart the same key, and the same log.
    stage.relay.stop();
    stage.relay.restart();
    let note = pair.clinic.get(&stage.relay, "/v1/trail/checkpoint");
    assert!(Checkpoint::verify(&String::from_utf8(note.body).unwrap(), vkey).is_ok());
}
