//! What goes wrong on the way and is put right: lists and stamps not to be had, a relay that dies, letters sent twice.

use super::*;

#[test]
fn the_same_again_gets_the_same_receipt_and_other_bytes_a_conflict() {
    let stage = stage();
    let pair = stage.pair();
    let doctor = stage.services.hpki().doctor();
    let container = stage.container(&pair, &doctor, |_, _| {});
    let first = pair.clinic.submit(&stage.relay, &container);
    assert_eq!(first.status, 201, "{}", first.json());
    let again = pair.clinic.submit(&stage.relay, &container);
    assert_eq!(again.status, 200, "{}", again.json());
    let receipt = |reply: &kit::Reply| serde_json::from_slice::<Receipt>(&reply.body).unwrap();
    let (first, again) = (receipt(&first), receipt(&again));
    assert_eq!(
        (first.position, &first.body, &first.salt),
        (again.position, &again.body, &again.salt)
    );

    let id = first.id.clone();
    let other = stage.container(&pair, &doctor, |envelope, files| {
        envelope.id = id.clone();
        files.truncate(2);
    });
    let conflict = pair.clinic.submit(&stage.relay, &other);
    assert_eq!((conflict.status, conflict.code().as_str()), (409, "id_conflict"));
    let inbox = pair.hospital.get(&stage.relay, "/v1/inbox").json();
    assert_eq!(inbox["items"].as_array().unwrap().len(), 1, "nothing twice");
}

#[test]
fn a_letter_whose_acknowledgement_was_lost_is_there_when_it_is_asked_for_again() {
    use relay::store::{Fault as Failure, FaultyStore, FileStore};
    let stage = Stage::new(&RelayOptions::default());
    let pair = stage.pair();
    let container = stage.container(&pair, &stage.services.hpki().doctor(), |_, _| {});
    // The same relay once more, in this process, over a store that commits the letter and then loses the answer.
    stage.relay.stop();
    let config = relay::config::Config::load(&stage.relay.config()).unwrap();
    let key = std::fs::read_to_string(&config.log.key).unwrap();
    let key = formats::trail::LogKey::parse(key.trim()).unwrap();
    let store = FileStore::open(&config.data, key, &relay::keys::Keys::open(&config.keys).unwrap()).unwrap();
    let store = std::sync::Arc::new(FaultyStore::new(store, 1, Failure::AnswerLost));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let running = runtime.block_on(relay::Relay::start_on(config, store)).unwrap();

    let begun = pair.clinic.begin_upload(&stage.relay, container.len() as u64, None);
    let place = begun.header("location").to_owned();
    let sent = pair.clinic.https(&stage.relay).send(append(&place, 0), &container);
    assert_eq!(sent.unwrap().status, 204);
    let lost = pair.clinic.submit_upload(&stage.relay, &place);
    assert!(lost.status >= 500, "{}", lost.json());
    // The record may become durable a moment after its answer was lost.
    let deadline = Instant::now() + Duration::from_secs(30);
    let again = loop {
        let again = pair.clinic.submit_upload(&stage.relay, &place);
        if again.status == 200 {
            break again;
        }
        assert!(again.status >= 500 && Instant::now() < deadline, "{}", again.json());
        std::thread::sleep(Duration::from_millis(50));
    };
    let receipt: Receipt = serde_json::from_slice(&again.body).unwrap();
    receipt.verify(&vkey(&stage.relay)).unwrap();
    let path = format!("/v1/submissions/{}/container", receipt.id);
    let fetched = pair.hospital.get_as(&stage.relay, &path, "staff", &[]);
    assert_eq!((fetched.status, fetched.body == container), (200, true));

    // And after a restart, which puts aside what no record names.
    runtime.block_on(running.stop());
    drop(runtime);
    stage.relay.restart();
    let fetched = pair.hospital.get_as(&stage.relay, &path, "staff", &[]);
    assert_eq!((fetched.status, fetched.body == container), (200, true));
}

#[test]
fn what_cannot_be_asked_waits_and_is_accepted_by_itself() {
    let stage = Stage::new(&RelayOptions::default());
    let pair = stage.pair();
    stage.services.fault("/crl/", Some(Fault::Down));
    let sent = send(&stage, &pair, &letter_and_images(&pair.clinic)).expect(3);
    assert_eq!(sent.json["state"], "PendingEvidence", "{}", sent.text);
    let id = sent.json["id"].as_str().unwrap();
    assert_eq!(
        pair.clinic.json(["status", id]).expect(3).json["status"]["state"],
        "PendingEvidence"
    );
    assert_eq!(
        pair.hospital.json(["inbox"]).expect(0).json["items"],
        serde_json::json!([])
    );
    assert_eq!(
        pair.hospital.get(&stage.relay, &format!("/v1/submissions/{id}")).status,
        404
    );
    // The bare answer of the contract.
    let container = stage.container(&pair, &stage.services.hpki().doctor(), |_, _| {});
    let held = pair.clinic.submit(&stage.relay, &container);
    let second = held.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(
        (held.status, held.header("location")),
        (202, format!("/v1/submissions/{second}").as_str())
    );

    // It survives the relay's death, and ends by itself when the world is back.
    stage.relay.kill9();
    stage.relay.restart();
    stage.services.fault("/crl/", None);
    let deadline = Instant::now() + Duration::from_secs(60);
    while pair.hospital.get(&stage.relay, "/v1/inbox").json()["items"]
        .as_array()
        .unwrap()
        .len()
        < 2
    {
        assert!(Instant::now() < deadline, "still pending\n{}", stage.relay.log());
        std::thread::sleep(Duration::from_millis(200));
    }
    // The outbox gets the receipt it still waits for.
    let waiting = pair.clinic.json(["status"]).expect(0);
    assert_eq!(waiting.json["outbox"][0]["id"], id, "{}", waiting.text);
    let receipt = pair.clinic.json(["send"]).expect(0);
    assert_eq!(
        (&receipt.json[0]["state"], &receipt.json[0]["id"]),
        (&"Accepted".into(), &id.into()),
        "{}",
        receipt.text
    );
    let receipt: Receipt = serde_json::from_value(receipt.json[0]["receipt"].clone()).unwrap();
    receipt.verify(&vkey(&stage.relay)).unwrap();
    assert_eq!(
        pair.clinic.json(["status"]).expect(0).json["outbox"],
        serde_json::json!([])
    );
    stage.relay.assert_log_keeps_quiet(&SECRETS);
}

#[test]
fn a_time_stamp_that_is_not_to_be_had_is_told_at_the_desk() {
    let stage = Stage::new(&RelayOptions::default());
    let pair = stage.pair();
    let files = letter_and_images(&pair.clinic);
    for fault in [
        Fault::Down,
        Fault::Status(500),
        Fault::Garbage,
        Fault::Truncated(40),
        Fault::WrongNonce,
        Fault::WrongImprint,
        Fault::Rejected,
    ] {
        stage.services.fault("/tsa", Some(fault.clone()));
        let said = send(&stage, &pair, &files);
        assert_eq!(
            (said.exit, said.code()),
            (2, "timestamp_unavailable"),
            "{fault:?}: {}",
            said.text
        );
        assert_eq!(
            pair.clinic.json(["status"]).expect(0).json["outbox"],
            serde_json::json!([]),
            "{fault:?}"
        );
    }
    // A stamp by another key than the authority's is found before anything is sent.
    stage.services.fault("/tsa", Some(Fault::WrongSigner));
    let said = send(&stage, &pair, &files);
    assert_ne!(said.exit, 0, "{}", said.text);
    stage.services.fault("/tsa", None);
    send(&stage, &pair, &files).expect(0);
    stage.relay.assert_log_keeps_quiet(&SECRETS);
}

#[test]
fn a_restart_in_the_middle_loses_nothing() {
    let stage = Stage::new(&RelayOptions::default());
    let pair = stage.pair();
    let container = stage.container(&pair, &stage.services.hpki().doctor(), |_, _| {});
    let upload = pair.clinic.begin_upload(&stage.relay, container.len() as u64, None);
    let place = upload.header("location").to_owned();
    let half = container.len() / 2;
    let first = pair
        .clinic
        .https(&stage.relay)
        .send(append(&place, 0), &container[..half])
        .unwrap();
    assert_eq!(first.status, 204, "{}", first.json());

    stage.relay.kill9();
    stage.relay.restart();
    let head = Request::head(&place).header("tus-resumable", "1.0.0");
    let head = pair.clinic.https(&stage.relay).send(head, &[]).unwrap();
    assert_eq!(
        head.header("upload-offset"),
        half.to_string(),
        "what was acknowledged is there"
    );
    let rest = pair
        .clinic
        .https(&stage.relay)
        .send(append(&place, half as u64), &container[half..])
        .unwrap();
    assert_eq!(rest.status, 204, "{}", rest.json());
    let receipt = pair.clinic.submit_upload(&stage.relay, &place);
    assert_eq!(receipt.status, 201, "{}", receipt.json());

    stage.relay.stop();
    stage.relay.restart();
    let again = pair.clinic.submit_upload(&stage.relay, &place);
    assert_eq!(again.status, 200, "{}", again.json());
    let receipt = |reply: &kit::Reply| serde_json::from_slice::<Receipt>(&reply.body).unwrap();
    assert_eq!(
        receipt(&again).position,
        receipt(&upload_receipt(&pair, &stage, &again)).position
    );
    let id = again.json()["id"].as_str().unwrap().to_owned();
    let fetched = pair
        .hospital
        .get_as(&stage.relay, &format!("/v1/submissions/{id}/container"), "staff", &[]);
    assert!(
        fetched.status == 200 && fetched.body == container,
        "what was sent is not what comes out"
    );
    stage.relay.assert_log_keeps_quiet(&SECRETS);
}

fn upload_receipt(pair: &Pair, stage: &Stage, answer: &kit::Reply) -> kit::Reply {
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    pair.clinic.get(&stage.relay, &format!("/v1/submissions/{id}/receipt"))
}

#[test]
fn enrolment_tells_a_wrong_machine_from_a_wrong_port() {
    let stage = stage();
    let joined = stage.relay.add_facility(&kit::stage::code(), "テスト飛脚医院");
    let desk = Desk::new();
    let enrol = |url: &str, code: &str| desk.json(["enroll", "--relay", url, "--code", code]);
    let (code, _) = joined.code.rsplit_once('.').unwrap();
    let other = format!("{code}.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    let said = enrol(&stage.relay.portal_url(), &other).expect(2);
    assert_eq!(said.code(), "other_relay", "{}", said.text);
    let said = enrol(&stage.relay.api_url(), &joined.code).expect(2);
    assert_eq!(said.code(), "portal_needed", "{}", said.text);
    // Neither has used the code up.
    desk.enrol(&stage.relay, &joined);
}

#[test]
fn without_the_relay_nobody_signs_in_vain() {
    let stage = Stage::new(&RelayOptions::default());
    let pair = stage.pair();
    let files = letter_and_images(&pair.clinic);
    stage.relay.stop();
    // Nothing is known of the relay yet, so that nothing can be judged.
    let said = send(&stage, &pair, &files).expect(2);
    assert_eq!(said.code(), "relay_unreachable", "{}", said.text);
    stage.relay.restart();
    send(&stage, &pair, &files).expect(0);

    stage.relay.stop();
    let said = send(&stage, &pair, &files).expect(2);
    assert_eq!(said.code(), "nothing_signed", "{}", said.text);
    // The clinic's own authority stamps: the letter is judged by the policy last heard, and waits.
    let stamps = stage.services.requests("/tsa");
    let said = send_with(&stage, &pair, &files, &["--tsa", &stage.services.tsa_url()]).expect(3);
    assert_eq!(said.json["state"], "outbox", "{}", said.text);
    assert_eq!(stage.services.requests("/tsa"), stamps + 1);
    let said = send_with(
        &stage,
        &pair,
        &files,
        &["--tsa", &stage.services.tsa_url(), "--from", "1399999999"],
    );
    assert_eq!((said.exit, said.code()), (1, "would_be_refused"), "{}", said.text);

    stage.relay.restart();
    pair.clinic.json(["send"]).expect(0);
    let status = pair.clinic.json(["status"]).expect(0);
    assert_eq!(status.json["outbox"], serde_json::json!([]), "{}", status.text);
    assert_eq!(status.json["sent"].as_array().map(Vec::len), Some(2), "{}", status.text);
    assert!(status.json["sent"][0]["position"].as_u64() > status.json["sent"][1]["position"].as_u64());
}

#[test]
fn a_copy_of_a_letter_whose_container_is_not_there_is_not_thrown_away() {
    let stage = Stage::new(&RelayOptions::default());
    let pair = stage.pair();
    let container = stage.container(&pair, &stage.services.hpki().doctor(), |_, _| {});
    let begun = pair.clinic.begin_upload(&stage.relay, container.len() as u64, None);
    let place = begun.header("location").to_owned();
    let sent = pair.clinic.https(&stage.relay).send(append(&place, 0), &container);
    assert_eq!(sent.unwrap().status, 204);
    let taken = pair.clinic.submit_upload(&stage.relay, &place);
    assert_eq!(taken.status, 201, "{}", taken.json());
    let receipt: Receipt = serde_json::from_slice(&taken.body).unwrap();

    // The container has become an upload again, as after a commit that was said to have failed.
    stage.relay.stop();
    let data = relay::config::Config::load(&stage.relay.config()).unwrap().data;
    let upload = place.rsplit('/').next().unwrap().to_owned();
    let stored = data.join("containers").join(format!("{}.{upload}", receipt.id));
    let folder = data.join("uploads").join(&upload);
    std::fs::rename(&stored, &folder).unwrap();
    let slip = folder.with_extension("json");
    let mut said: serde_json::Value = serde_json::from_slice(&std::fs::read(&slip).unwrap()).unwrap();
    said["submission"] = serde_json::Value::Null;
    std::fs::write(&slip, said.to_string()).unwrap();
    stage.relay.restart();

    // Another upload of it is no reason to say that it is there.
    let other = pair.clinic.submit(&stage.relay, &container);
    assert_eq!(
        (other.status, other.code().as_str()),
        (503, "store_unavailable"),
        "{}",
        other.json()
    );
    let kept = std::fs::read_dir(data.join("uploads")).unwrap().flatten();
    let kept = kept
        .filter(|entry| entry.path().join("container.asice.sealed").exists())
        .count();
    assert_eq!(kept, 2, "neither copy is gone");
    // Its own becomes what it was.
    let again = pair.clinic.submit_upload(&stage.relay, &place);
    assert_eq!(again.status, 200, "{}", again.json());
    let path = format!("/v1/submissions/{}/container", receipt.id);
    let fetched = pair.hospital.get_as(&stage.relay, &path, "staff", &[]);
    assert_eq!((fetched.status, fetched.body == container), (200, true));
    assert_eq!(pair.clinic.submit(&stage.relay, &container).status, 200);
}
