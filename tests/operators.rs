//! The operator's commands about trust, by the built program: list, add, reload, check; and what is said before things end.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use formats::digest::sha256;
use kit::{Ca, Fault, RelayOptions, Stage, TestHpki, bin, fixtures, pem};
use serde_json::Value;
use time::OffsetDateTime;

fn said(output: &Output) -> String {
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    format!("{} {out}{err}", output.status)
}

/// The folder of a relay that does not run.
fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("relay");
    let made = Command::new(bin("hikyaku-relay"))
        .arg("init")
        .arg(&root)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", said(&made));
    (folder, root)
}

fn trust(root: &Path, arguments: &[&str]) -> Output {
    Command::new(bin("hikyaku-relay"))
        .arg("trust")
        .args(arguments)
        .arg("--config")
        .arg(root.join("relay.toml"))
        .env("HIKYAKU_LANG", "en")
        .output()
        .unwrap()
}

fn add(root: &Path, file: &Path, purpose: &str, fingerprint: &str) -> Output {
    trust(
        root,
        &["add", file.to_str().unwrap(), "--for", purpose, "--sha256", fingerprint],
    )
}

fn colons(digest: &[u8]) -> String {
    let octets: Vec<String> = digest.iter().map(|octet| format!("{octet:02X}")).collect();
    octets.join(":")
}

#[test]
fn a_certificate_is_added_only_with_its_fingerprint_and_the_trail_knows() {
    let (_guard, root) = folder();
    let hpki = TestHpki::new("http://127.0.0.1:9", OffsetDateTime::now_utc());
    let ca = hpki.ca(Ca::Root);
    let file = root.join("root.pem");
    std::fs::write(&file, pem("CERTIFICATE", &ca)).unwrap();
    let print = hex::encode(sha256(&ca));

    let wrong = add(&root, &file, "hpki", &"ab".repeat(32));
    assert_eq!(wrong.status.code(), Some(1), "{}", said(&wrong));
    assert!(
        said(&wrong).contains(&print),
        "what was seen is shown: {}",
        said(&wrong)
    );
    let short = add(&root, &file, "hpki", "ab");
    assert_eq!(short.status.code(), Some(1), "{}", said(&short));
    assert_eq!(std::fs::read_dir(root.join("trust/hpki")).unwrap().count(), 0);

    let added = add(&root, &file, "hpki", &colons(&sha256(&ca)));
    assert_eq!(added.status.code(), Some(0), "{}", said(&added));
    assert!(said(&added).contains("recorded in the trail"), "{}", said(&added));
    let there: Vec<_> = std::fs::read_dir(root.join("trust/hpki")).unwrap().flatten().collect();
    assert_eq!(there.len(), 1);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = there[0].metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode & 0o022, 0, "{mode:o}: nobody but its owner may change it");
    }
    let drafts = std::fs::read_dir(root.join("trust")).unwrap().flatten();
    assert_eq!(
        drafts
            .filter(|file| file.file_name().to_string_lossy().contains(".new"))
            .count(),
        0
    );

    for (purpose, expected) in [("hpki", "is there already"), ("tsa", "another purpose")] {
        let again = add(&root, &file, purpose, &print);
        assert_eq!(again.status.code(), Some(1), "{}", said(&again));
        assert!(said(&again).contains(expected), "{}", said(&again));
    }
    let card = hpki.doctor().certificate;
    let leaf = root.join("card.der");
    std::fs::write(&leaf, &card).unwrap();
    let refused = add(&root, &leaf, "intermediate", &hex::encode(sha256(&card)));
    assert!(said(&refused).contains("not a CA"), "{}", said(&refused));
    let old = TestHpki::new(
        "http://127.0.0.1:9",
        OffsetDateTime::now_utc() - time::Duration::days(30 * 365),
    )
    .ca(Ca::Sign);
    std::fs::write(&leaf, &old).unwrap();
    let refused = add(&root, &leaf, "intermediate", &hex::encode(sha256(&old)));
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("ended"), "{}", said(&refused));

    let listed = trust(&root, &["list", "--json"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(
        (&listed[0]["purpose"], &listed[0]["sha256"]),
        (&"hpki".into(), &print.as_str().into())
    );
    assert_eq!(listed[0]["official"], Value::Null);
    let exported = Command::new(bin("hikyaku-relay"))
        .args(["trail", "export", "--format", "csv", "--config"])
        .arg(root.join("relay.toml"))
        .output()
        .unwrap();
    let exported = String::from_utf8(exported.stdout).unwrap();
    assert_eq!(exported.matches("TrustChanged").count(), 1, "{exported}");
}

#[test]
fn the_official_certificates_are_shown_as_such_in_both_languages() {
    let Some(real) = fixtures("the_official_certificates_are_shown_as_such_in_both_languages") else {
        return;
    };
    let (_guard, root) = folder();
    for (file, purpose) in [("mhlw_hpki_root_ca_v2", "hpki"), ("medis_sign_ca2", "intermediate")] {
        let file = real.join(format!("hpki-real/{file}.der"));
        let print = hex::encode(sha256(&std::fs::read(&file).unwrap()));
        let added = add(&root, &file, purpose, &print);
        assert!(added.status.success(), "{}", said(&added));
    }
    let listed = said(&trust(&root, &["list"]));
    assert!(
        listed.contains("HPKI Root CA V2") && listed.contains("MedisSignCA2"),
        "{listed}"
    );
    assert!(listed.contains("days left"), "{listed}");
    let japanese = Command::new(bin("hikyaku-relay"))
        .args(["trust", "list", "--config"])
        .arg(root.join("relay.toml"))
        .env("HIKYAKU_LANG", "ja")
        .output()
        .unwrap();
    assert!(
        said(&japanese).contains("厚生労働省 HPKI ルート認証局 V2"),
        "{}",
        said(&japanese)
    );
}

#[test]
fn a_running_relay_uses_what_is_added_at_once() {
    let stage = Stage::new(&RelayOptions {
        anchors: false,
        ..RelayOptions::default()
    });
    assert_eq!(stage.relay.portal("/readyz").status, 503);
    let root = stage.relay.folder();
    let hpki = stage.services.hpki();
    for (ca, purpose) in [(Ca::Root, "hpki"), (Ca::TsaRoot, "tsa"), (Ca::Sign, "intermediate")] {
        let der = hpki.ca(ca);
        let file = root.join(format!("{purpose}.der"));
        std::fs::write(&file, &der).unwrap();
        let added = add(&root, &file, purpose, &hex::encode(sha256(&der)));
        assert!(added.status.success(), "{}", said(&added));
    }
    let ready = stage.relay.portal("/readyz");
    assert_eq!(ready.status, 200, "{}", ready.json());
    let pair = stage.pair();
    let container = stage.container(&pair, &hpki.doctor(), |_, _| {});
    let reply = pair.clinic.submit(&stage.relay, &container);
    assert_eq!(reply.status, 201, "{}", reply.json());

    // A change by hand is told by `reload`, or else found at the next start; one that cannot be used changes nothing.
    std::fs::write(root.join("trust/policy.toml"), "clock_skew = \"6m\"\n").unwrap();
    let reloaded = trust(&root, &["reload", "--json"]);
    let answer: Value = serde_json::from_slice(&reloaded.stdout).unwrap();
    assert_eq!(answer["recorded"], true, "{}", said(&reloaded));
    std::fs::write(root.join("trust/hpki/broken.pem"), "no certificate").unwrap();
    let broken = trust(&root, &["reload"]);
    assert_eq!(broken.status.code(), Some(1), "{}", said(&broken));
    std::fs::remove_file(root.join("trust/hpki/broken.pem")).unwrap();
    assert_eq!(stage.relay.portal("/readyz").status, 200);
    std::fs::write(root.join("trust/policy.toml"), "clock_skew = \"7m\"\n").unwrap();
    stage.relay.stop();
    stage.relay.restart();
    let exported = stage.relay.admin(&["trail", "export", "--format", "csv"]);
    // Nothing trusted at the first start, three certificates, two changes of the policy.
    assert_eq!(exported.matches("TrustChanged").count(), 6, "{exported}");
}

#[test]
fn check_asks_for_real_and_says_each_thing() {
    let stage = Stage::new(&RelayOptions::default());
    let root = stage.relay.folder();
    let well = trust(&root, &["check"]);
    assert_eq!(well.status.code(), Some(0), "{}", said(&well));
    let text = said(&well);
    for part in [
        "anchors for signers: 1",
        "sarl.crl",
        "gave a time stamp",
        "digest of policy and anchors",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    stage.services.fault("/crl/sarl.crl", Some(Fault::Status(503)));
    stage.services.fault("/tsa", Some(Fault::Down));
    let ill = trust(&root, &["check", "--json"]);
    assert_eq!(ill.status.code(), Some(1), "{}", said(&ill));
    let findings: Value = serde_json::from_slice(&ill.stdout).unwrap();
    let failing: Vec<String> = findings
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["level"] == "fail")
        .map(|one| one["what"][1].as_str().unwrap().to_owned())
        .collect();
    assert!(failing.iter().any(|what| what.contains("sarl.crl")), "{failing:?}");
    assert!(
        failing.iter().any(|what| what.contains("gives no time stamp")),
        "{failing:?}"
    );
    stage.services.fault("/crl/sarl.crl", Some(Fault::WrongSigner));
    stage.services.fault("/tsa", None);
    let text = said(&trust(&root, &["check"]));
    assert!(text.contains("not signed by any certificate at hand"), "{text}");
}

#[test]
fn what_ends_soon_is_said_in_log_figures_readiness_and_check() {
    // An authority whose root ends in about twenty days: everything of it is arranged around a time long ago.
    let ago = time::Duration::days(12 * 365 - 20);
    let old = TestHpki::new("http://127.0.0.1:9", OffsetDateTime::now_utc() - ago);
    let stage = Stage::new(&RelayOptions::default());
    let root = stage.relay.folder();
    std::fs::write(root.join("trust/tsa/old.der"), old.ca(Ca::TsaRoot)).unwrap();
    let reloaded = trust(&root, &["reload"]);
    assert!(reloaded.status.success(), "{}", said(&reloaded));

    let deadline = Instant::now() + Duration::from_secs(20);
    while !stage.relay.log().contains("TEST Time Stamp Root CA (tsa) ends") {
        assert!(Instant::now() < deadline, "{}", stage.relay.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    let ready = stage.relay.portal("/readyz");
    assert_eq!(ready.status, 200);
    let expiring = ready.json()["expiring"].clone();
    let near = expiring.as_array().unwrap().iter().find(|one| one["purpose"] == "tsa");
    assert_eq!(near.unwrap()["near"], "days30", "{expiring}");
    let figures = String::from_utf8(stage.relay.portal("/metrics").body).unwrap();
    for purpose in ["hpki", "tsa", "intermediate", "tls", "device-ca"] {
        let line = format!("hikyaku_expiry_seconds{{purpose=\"{purpose}\"");
        assert!(figures.contains(&line), "{purpose}: {figures}");
    }
    let checked = said(&trust(&root, &["check"]));
    assert!(
        checked.contains("warn  TEST Time Stamp Root CA (tsa) ends"),
        "{checked}"
    );
    let configured = stage.relay.admin(&["check-config"]);
    assert!(
        configured.contains("TEST Time Stamp Root CA (tsa) ends"),
        "{configured}"
    );
}
