//! What lies on a relay's disk: nothing of a letter can be read there, its keys can be exchanged while the relay runs, and a folder
//! and an identity are enough to open everything without the relay.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use kit::desk::{append, files_below};
use kit::stage::SECRETS;
use kit::{RelayOptions, RelayProcess, Stage, bin};
use relay::keys::NewIdentity;
use serde_json::Value;
use toml::Table;

/// A line of the letter that is sent.
const LINE: &str = "a sentence that stands in the letter and nowhere else";

/// A letter with [`LINE`] and half a megabyte more.
fn letter(stage: &Stage, pair: &kit::Pair) -> Vec<u8> {
    stage.container(pair, &stage.services.hpki().doctor(), |envelope, files| {
        let mut text = format!("%PDF-1.7\n% {LINE}\n").into_bytes();
        text.extend((0..500_000_u32).flat_map(|at| [b'a' + (at % 23) as u8]));
        let path = envelope.documents[0].path.clone();
        let file = files.iter_mut().find(|(name, _)| *name == path).unwrap();
        file.1 = text;
    })
}

/// Starts an upload and sends its first bytes; returns where.
fn half(stage: &Stage, pair: &kit::Pair, container: &[u8], bytes: usize) -> String {
    let begun = pair.clinic.begin_upload(&stage.relay, container.len() as u64, None);
    let place = begun.header("location").to_owned();
    let https = pair.clinic.https(&stage.relay);
    let sent = https.send(append(&place, 0), &container[..bytes]).unwrap();
    assert_eq!(sent.status, 204);
    place
}

fn fetched(stage: &Stage, pair: &kit::Pair, id: &str) -> Vec<u8> {
    let path = format!("/v1/submissions/{id}/container");
    let reply = pair.hospital.get_as(&stage.relay, &path, "staff", &[]);
    assert_eq!(reply.status, 200, "{}\n{}", reply.json(), stage.relay.log());
    reply.body.to_vec()
}

fn sent(stage: &Stage, pair: &kit::Pair, container: &[u8]) -> String {
    let reply = pair.clinic.submit(&stage.relay, container);
    assert_eq!(reply.status, 201, "{}\n{}", reply.json(), stage.relay.log());
    reply.json()["id"].as_str().unwrap().to_owned()
}

#[test]
fn nothing_of_a_letter_can_be_read_on_the_disk() {
    let stage = Stage::new(&RelayOptions::default());
    let pair = stage.pair();
    let container = letter(&stage, &pair);
    let id = sent(&stage, &pair, &container);
    // Also one under way, whole segments and a rest, and one that was refused with a report.
    let other = letter(&stage, &pair);
    half(&stage, &pair, &other, other.len() - 1000);
    let pharmacist = stage.container(&pair, &stage.services.hpki().pharmacist(), |_, _| {});
    assert_eq!(pair.clinic.submit(&stage.relay, &pharmacist).status, 422);
    assert!(fetched(&stage, &pair, &id) == container);

    stage.relay.stop();
    let found = files_below(&stage.relay.data());
    for part in [
        "container.asice.sealed",
        "report.json.sealed",
        "evidence.json.sealed",
        "tail",
        "container.key",
        "trail/00000000000000000000.seg",
    ] {
        assert!(
            found.iter().any(|(name, _)| name.ends_with(part)),
            "no {part} was looked at"
        );
    }
    let mut secrets = vec![LINE.as_bytes().to_vec(), b"PK\x03\x04".to_vec(), b"TOTAL-".to_vec()];
    secrets.extend(SECRETS.iter().map(|secret| secret.as_bytes().to_vec()));
    for (name, bytes) in found {
        for secret in &secrets {
            let there = bytes.windows(secret.len()).any(|window| window == secret);
            assert!(!there, "{name} holds {:?}", String::from_utf8_lossy(secret));
        }
    }
}

/// Sets keys of `[keys]`.
fn set_keys(relay: &RelayProcess, identities: &[&str]) {
    let mut config: Table = fs::read_to_string(relay.config()).unwrap().parse().unwrap();
    config["keys"]["identities"] = identities.to_vec().into();
    fs::write(relay.config(), config.to_string()).unwrap();
}

/// Writes a key file that its owner alone may read.
fn secret(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    #[cfg(unix)]
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
}

fn bodies(relay: &RelayProcess) -> Vec<(String, Vec<u8>)> {
    let mut found = files_below(&relay.data().join("containers"));
    found.retain(|(name, _)| name.ends_with(".sealed"));
    found.sort();
    found
}

#[test]
fn keys_are_exchanged_while_the_relay_runs_and_the_old_identity_can_go() {
    let stage = Stage::new(&RelayOptions::default());
    let (pair, relay) = (stage.pair(), &stage.relay);
    let container = letter(&stage, &pair);
    let id = sent(&stage, &pair, &container);
    let under_way = letter(&stage, &pair);
    let cut = under_way.len() - 70_000;
    let place = half(&stage, &pair, &under_way, cut);
    let before = bodies(relay);

    let new = NewIdentity::generate();
    let keys = relay.folder().join("keys");
    secret(&keys.join("new.txt"), &new.file);
    // A list that none of the identities can open is refused, and everything stays.
    let old = fs::read_to_string(keys.join("recipients.txt")).unwrap();
    fs::write(keys.join("recipients.txt"), format!("{}\n", new.recipient)).unwrap();
    let refused = relay.try_admin(&["rotate-keys"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("nothing was changed"));
    fs::write(keys.join("recipients.txt"), old).unwrap();
    set_keys(relay, &["keys/identity.txt", "keys/new.txt"]);
    fs::write(keys.join("recipients.txt"), format!("{}\n", new.recipient)).unwrap();
    let count = |printed: &str| {
        serde_json::from_str::<Value>(printed).unwrap()["rewrapped"]
            .as_u64()
            .unwrap()
    };
    let first = count(&relay.admin(&["rotate-keys", "--json"]));
    assert!(first >= 3, "container, what lies beside it, upload: {first}");
    let later = sent(&stage, &pair, &letter(&stage, &pair));
    let again = count(&relay.admin(&["rotate-keys", "--json"]));
    assert!(again >= first + 2, "{again} after {first}");
    let after = bodies(relay);
    assert!(before.iter().all(|body| after.contains(body)), "no body was rewritten");

    // Only the new identity is left.
    relay.stop();
    fs::remove_file(keys.join("identity.txt")).unwrap();
    set_keys(relay, &["keys/new.txt"]);
    relay.restart();
    assert!(fetched(&stage, &pair, &id) == container);
    fetched(&stage, &pair, &later);
    for what in ["report", "evidence"] {
        let path = format!("/v1/submissions/{id}/{what}");
        assert_eq!(pair.hospital.get(relay, &path).status, 200, "{what}");
    }
    let https = pair.clinic.https(relay);
    let rest = https.send(append(&place, cut as u64), &under_way[cut..]).unwrap();
    assert_eq!(rest.status, 204, "{}", rest.json());
    assert_eq!(pair.clinic.submit_upload(relay, &place).status, 201);
    // And while it does not run.
    relay.stop();
    assert!(count(&relay.admin(&["rotate-keys", "--json"])) > again);
    relay.restart();
    assert!(fetched(&stage, &pair, &id) == container);
}

#[test]
fn a_folder_and_an_identity_are_enough() {
    let Some(python) = python() else {
        kit::skip(
            "a_folder_and_an_identity_are_enough",
            "no Python with the package cryptography",
        );
        return;
    };
    let stage = Stage::new(&RelayOptions::default());
    let pair = stage.pair();
    let container = letter(&stage, &pair);
    let id = sent(&stage, &pair, &container);
    let report = pair
        .hospital
        .get(&stage.relay, &format!("/v1/submissions/{id}/report"))
        .body;
    stage.relay.stop();
    let (root, data) = (stage.relay.folder(), stage.relay.data().join("containers"));
    let folders = fs::read_dir(&data).unwrap().flatten().map(|entry| entry.path());
    let folder = folders
        .into_iter()
        .find(|path| path.to_string_lossy().contains(&id))
        .unwrap();
    let out = root.join("out");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/open_sealed.py");
    let open = |folder: &Path| {
        Command::new(&python)
            .arg(script)
            .arg(root.join("keys/identity.txt"))
            .args([folder, &out])
            .output()
            .unwrap()
    };
    let said = open(&folder);
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    assert!(fs::read(out.join("container.asice")).unwrap() == container);
    assert!(fs::read(out.join("report.json")).unwrap() == report);

    // It refuses what the relay refuses.
    let body = folder.join("container.asice.sealed");
    let whole = fs::read(&body).unwrap();
    fs::write(&body, &whole[..16 + 2 * 65_564]).unwrap();
    assert!(!open(&folder).status.success(), "cut behind a segment");
    fs::write(&body, &whole[..16]).unwrap();
    assert!(!open(&folder).status.success(), "cut behind its head");
    fs::write(&body, &whole).unwrap();
    let other = folder.with_file_name("0193569a-7c00-7000-8000-000000000001.0193569a7c0070008000000000000009");
    fs::rename(&folder, &other).unwrap();
    assert!(!open(&other).status.success(), "under another container's name");
}

/// Python with `cryptography`: that of the judges, or the machine's.
fn python() -> Option<PathBuf> {
    let candidates = kit::house::python().into_iter().chain([PathBuf::from("python3")]);
    candidates.into_iter().find(|python| {
        let imports = Command::new(python).args(["-c", "import cryptography"]).output();
        imports.is_ok_and(|output| output.status.success())
    })
}

#[cfg(unix)]
#[test]
fn a_key_that_others_may_read_and_a_relay_without_keys_are_told() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("relay");
    let made = Command::new(bin("hikyaku-relay")).arg("init").arg(&root).status();
    assert!(made.unwrap().success());
    let check = || {
        let mut command = Command::new(bin("hikyaku-relay"));
        let output = command
            .args(["check-config", "--config"])
            .arg(root.join("relay.toml"))
            .output();
        let output = output.unwrap();
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    assert_eq!(check().0, Some(0), "{}", check().1);
    for file in ["identity.txt", "ca.key", "tls.key", "log.key"] {
        let path = root.join("keys").join(file);
        let mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600,
            "{file}"
        );
        mode(0o640);
        let (code, told) = check();
        assert_eq!(code, Some(2), "{file}: {told}");
        assert!(told.contains(file) && told.contains("chmod 600"), "{told}");
        mode(0o600);
    }
    let text = fs::read_to_string(root.join("relay.toml")).unwrap();
    let mut config: Table = text.parse().unwrap();
    config.remove("keys");
    fs::write(root.join("relay.toml"), config.to_string()).unwrap();
    let (code, told) = check();
    assert_eq!(code, Some(2));
    assert!(
        told.contains("[keys] is missing") && told.contains("age-keygen"),
        "{told}"
    );
}

/// An identity of the token that the plugin `tests/at_rest/age-plugin-testtoken` plays, and its recipient.
const TOKEN: [&str; 2] = [
    "AGE-PLUGIN-TESTTOKEN-1WDKX7APQ893S6VU76R\n",
    "age1testtoken1wdkx7apq893skx4ppd\n",
];

#[cfg(unix)]
#[test]
fn an_identity_inside_a_token_opens_through_its_plugin() {
    if Command::new("python3").arg("--version").output().is_err() {
        kit::skip("an_identity_inside_a_token_opens_through_its_plugin", "no python3");
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    let plugin = concat!(env!("CARGO_MANIFEST_DIR"), "/at_rest/age-plugin-testtoken");
    fs::copy(plugin, at("age-plugin-testtoken")).unwrap();
    secret(&at("token.txt"), TOKEN[0]);
    secret(&at("recipients.txt"), TOKEN[1]);
    secret(&at("pin.txt"), "246810\n");
    let text = |name: &str| at(name).to_str().unwrap().to_owned();
    let path = format!(
        "{}:{}",
        place.path().display(),
        std::env::var("PATH").unwrap_or_default()
    );
    let environment = [("PATH", path), ("TESTTOKEN_LOG", text("log"))];
    let options = RelayOptions {
        more: vec![
            ("keys", "identities", vec![text("token.txt")].into()),
            ("keys", "recipients", text("recipients.txt").into()),
            ("keys", "pin", text("pin.txt").into()),
        ],
        environment: environment.clone().map(|(name, value)| (name, &*value.leak())).into(),
        ..RelayOptions::default()
    };
    let stage = Stage::new(&options);
    let pair = stage.pair();
    let container = letter(&stage, &pair);
    let id = sent(&stage, &pair, &container);
    let unwrapped = || fs::read_to_string(at("log")).unwrap().matches("identity-v1").count();
    let archive = || {
        pair.hospital
            .get(&stage.relay, &format!("/v1/submissions/{id}/archive"))
            .status
    };
    while archive() != 200 {
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let asked = unwrapped();
    // The relay's look at its keys, those of the month, the container, what lies beside it.
    assert!(asked <= 8, "{asked}");
    assert!(fetched(&stage, &pair, &id) == container);
    assert_eq!(unwrapped(), asked, "the token is not asked for each download");

    // A wrong PIN is given once, and the relay says that it could not read what it keeps.
    let before = unwrapped();
    secret(&at("pin.txt"), "000000\n");
    let mut check = Command::new(bin("hikyaku-relay"));
    check
        .args(["check-config", "--config"])
        .arg(stage.relay.config())
        .envs(environment);
    let checked = check.output().unwrap();
    let told = String::from_utf8_lossy(&checked.stderr);
    assert_eq!(checked.status.code(), Some(2), "{told}");
    assert!(told.contains("no identity of keys.identities opens"), "{told}");
    assert_eq!(unwrapped(), before + 1);
}
