//! Keys are rotated while relays share a bucket: an upload under way ends, and the old identity is needed no more.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use kit::desk::append;
use kit::{ContainerOptions, RelayProcess};
use relay::keys::NewIdentity;
use time::OffsetDateTime;
use toml::{Table, Value};

use super::many;

/// Has a relay open what lies at rest with these identities, when it reads its configuration next.
fn identities(relay: &RelayProcess, paths: &[&str]) {
    let mut config: Table = fs::read_to_string(relay.config()).unwrap().parse().unwrap();
    let paths: Vec<Value> = paths.iter().map(|path| Value::from(*path)).collect();
    config["keys"]
        .as_table_mut()
        .unwrap()
        .insert("identities".into(), paths.into());
    fs::write(relay.config(), config.to_string()).unwrap();
}

#[test]
fn after_keys_in_a_bucket_were_rotated_the_old_identity_is_needed_no_more() {
    let name = "after_keys_in_a_bucket_were_rotated_the_old_identity_is_needed_no_more";
    let Some(many) = many(name, 2, None, &[]) else { return };
    let [one, two] = &many.relays[..] else { panic!() };
    let pair = many.pair();
    let letter = || {
        let mut id = String::new();
        let (envelope, files) = pair.referral(|envelope, _| envelope.id.as_str().clone_into(&mut id));
        let hpki = many.services.hpki();
        let options = ContainerOptions::at(OffsetDateTime::now_utc());
        (id, hpki.container(&hpki.doctor(), &envelope, &files, options))
    };
    let mut letters = vec![letter(), letter(), letter()];
    for (at, (_, bytes)) in letters[..2].iter().enumerate() {
        assert_eq!(pair.clinic.submit(&many.relays[at], bytes).status, 201, "{}", one.log());
    }
    // One that is half there, known to both relays.
    let bytes = letters[2].1.clone();
    let half = bytes.len() / 2;
    let begun = pair.clinic.begin_upload(two, bytes.len() as u64, None);
    let place = begun.header("location").to_owned();
    let sent = pair.clinic.https(two).send(append(&place, 0), &bytes[..half]).unwrap();
    assert_eq!(sent.status, 204, "{}", two.log());

    let new = NewIdentity::generate();
    let keys = one.folder().join("keys");
    let (old_file, new_file) = (keys.join("identity.txt"), keys.join("new.txt"));
    fs::write(&new_file, &*new.file).unwrap();
    fs::set_permissions(&new_file, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(keys.join("recipients.txt"), format!("{}\n", new.recipient)).unwrap();
    let (old_file, new_file) = (old_file.to_str().unwrap(), new_file.to_str().unwrap());
    for relay in [one, two] {
        identities(relay, &[old_file, new_file]);
    }
    two.admin(&["rotate-keys", "--reload-only"]);
    let told = one.admin(&["rotate-keys", "--json"]);
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    // Two lists, two keys beside, one upload, two keys of the month.
    assert!(told["rewrapped"].as_u64().unwrap() >= 7, "{told}");

    // The upload goes on where it was, with the key that its relay has had in memory all the while.
    let rest = pair.clinic.https(two).send(append(&place, half as u64), &bytes[half..]);
    assert_eq!(rest.unwrap().status, 204, "{}", two.log());
    let receipt = pair.clinic.submit_upload(two, &place);
    assert_eq!(receipt.status, 201, "{}\n{}", receipt.json(), two.log());
    letters.push(letter());
    assert_eq!(pair.clinic.submit(two, &letters[3].1).status, 201, "{}", two.log());

    for relay in [one, two] {
        identities(relay, &[new_file]);
        relay.stop();
    }
    fs::remove_file(old_file).unwrap();
    for relay in [one, two] {
        relay.restart();
    }
    for (at, (id, bytes)) in letters.iter().enumerate() {
        let relay = &many.relays[at % 2];
        let path = |what: &str| format!("/v1/submissions/{id}/{what}");
        let got = pair.hospital.get_as(relay, &path("container"), "staff", &[]);
        assert!(got.status == 200 && got.body == *bytes, "{id}\n{}", relay.log());
        assert_eq!(
            pair.clinic.get(relay, &path("report")).status,
            200,
            "{id}\n{}",
            relay.log()
        );
    }
    // Records of before and after.
    let verified = one.admin(&["trail", "verify", "--json"]);
    let verified: serde_json::Value = serde_json::from_str(&verified).unwrap();
    assert_eq!(
        (&verified["valid"], &verified["erased"]),
        (&true.into(), &0.into()),
        "{verified}"
    );
    // With nobody running it is done too.
    for relay in [one, two] {
        relay.stop();
    }
    let again = one.admin(&["rotate-keys", "--json"]);
    let again: serde_json::Value = serde_json::from_str(&again).unwrap();
    assert!(again["rewrapped"].as_u64().unwrap() >= 10, "{again}");
    one.restart();
    let got = pair
        .clinic
        .get(one, &format!("/v1/submissions/{}/report", letters[0].0));
    assert_eq!(got.status, 200, "{}", one.log());
}
