//! Who may not send any more, and what nobody may ask for: neither waits in vain.

use super::*;

/// What the trail says of refusals.
fn refusals(stage: &Stage) -> String {
    let lines = stage.relay.admin(&["trail", "export", "--format", "jsonl"]);
    lines.lines().filter(|line| line.contains("Refused")).collect()
}

#[test]
fn a_letter_that_waits_is_not_accepted_once_its_device_is_revoked() {
    let stage = Stage::new(&options(Vec::new()));
    let pair = stage.pair();
    let doctor = stage.services.hpki().doctor();
    stage.services.fault("/crl/", Some(Fault::Down));
    let waits = pair
        .clinic
        .submit(&stage.relay, &stage.container(&pair, &doctor, |_, _| {}));
    assert_eq!(waits.status, 202, "{}", waits.json());
    let devices = stage.relay.admin(&["device", "list", &pair.from, "--json"]);
    let devices: Value = serde_json::from_str(&devices).unwrap();
    let device = devices[0]["id"].as_str().unwrap();
    stage.relay.admin(&["device", "revoke", &pair.from, device]);
    stage.services.fault("/crl/", None);
    until(&stage, "it waits no longer", || ready(&stage)["pending"]["count"] == 0);
    assert_eq!(inbox(&stage, &pair.hospital), Vec::<String>::new());
    let refused = refusals(&stage);
    assert!(refused.contains("device_revoked"), "{refused}");
}

#[test]
fn what_waited_has_the_evidence_its_records_name() {
    let stage = Stage::new(&options(Vec::new()));
    let pair = stage.pair();
    let doctor = stage.services.hpki().doctor();
    stage.services.fault("/crl/", Some(Fault::Down));
    let waits = pair
        .clinic
        .submit(&stage.relay, &stage.container(&pair, &doctor, |_, _| {}));
    assert_eq!(waits.status, 202, "{}", waits.json());
    let id = waits.json()["id"].as_str().unwrap().to_owned();
    stage.services.fault("/crl/", None);
    until(&stage, "it arrives", || inbox(&stage, &pair.hospital) == [id.as_str()]);
    let records = stage.relay.admin(&["trail", "export", "--format", "jsonl"]);
    for (what, key) in [("evidence", "evidence_sha256"), ("report", "report_sha256")] {
        let served = pair.hospital.get(&stage.relay, &format!("/v1/submissions/{id}/{what}"));
        let digest = hex::encode(formats::digest::sha256(&served.body));
        let named = |kind: &str| {
            let lines = records.lines().filter(|line| line.contains(kind) && line.contains(&id));
            lines.collect::<String>()
        };
        assert!(named("Accepted").contains(&digest), "{key} is not that of the verdict");
        assert!(!named("Pending").contains(&digest), "{key} is of the time before");
    }
    // Both pairs are there: the one of the time it waited, and the one it was accepted by.
    let containers = std::fs::read_dir(stage.relay.data().join("containers")).unwrap();
    let files: Vec<String> = containers
        .flatten()
        .filter(|folder| folder.file_name().to_string_lossy().starts_with(&id))
        .flat_map(|folder| std::fs::read_dir(folder.path()).unwrap().flatten())
        .map(|file| file.file_name().to_string_lossy().into_owned())
        .collect();
    for start in ["evidence", "report"] {
        let count = files.iter().filter(|name| name.starts_with(start)).count();
        assert_eq!(count, 2, "{files:?}");
    }
    stage.relay.stop();
    stage.relay.admin(&["check"]);
}

#[test]
fn a_letter_whose_lists_nobody_may_ask_for_is_refused_at_once_and_says_why() {
    let mut options = options(Vec::new());
    options.more.push(("trust", "fetch_hosts", Vec::<String>::new().into()));
    let stage = Stage::new(&options);
    let pair = stage.pair();
    let doctor = stage.services.hpki().doctor();
    let refused = pair
        .clinic
        .submit(&stage.relay, &stage.container(&pair, &doctor, |_, _| {}));
    let answer = refused.json();
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (422, "validation_failed"),
        "{answer}"
    );
    assert_eq!(answer["report"]["sub_indication"], "TRY_LATER");
    assert!(
        answer["detail"].as_str().unwrap().contains("trust.fetch_hosts"),
        "{answer}"
    );
    assert_eq!(ready(&stage)["pending"]["count"], 0);
}
