//! When a list counts: *service* takes the one at hand while it is current, *strict* waits for one made after the signature.

use std::path::Path;

use super::*;

#[test]
fn strict_waits_for_a_list_made_after_the_signature() {
    let strict = RelayOptions {
        policy: vec![("freshness", "strict".into())],
        ..RelayOptions::default()
    };
    let stage = Stage::new(&strict);
    let pair = stage.pair();
    // The CA's newest list is an hour old; nothing is down.
    let schedule = OffsetDateTime::now_utc() - time::Duration::hours(1);
    stage.services.set_now(Some(schedule));
    let container = stage.container(&pair, &stage.services.hpki().doctor(), |_, _| {});
    let held = pair.clinic.submit(&stage.relay, &container);
    assert_eq!(held.status, 202, "{}", held.json());
    std::thread::sleep(Duration::from_secs(2));
    assert!(inbox(&stage, &pair.hospital).is_empty());
    // The next one is issued: the relay asks by itself.
    stage.services.set_now(None);
    until(&stage, "the new list is asked for", || {
        inbox(&stage, &pair.hospital).len() == 1
    });
}

#[test]
fn service_takes_the_list_at_hand_through_an_outage_and_a_restart() {
    let stage = Stage::new(&RelayOptions::default());
    let pair = stage.pair();
    let doctor = stage.services.hpki().doctor();
    let letter = || stage.container(&pair, &doctor, |_, _| {});
    assert_eq!(pair.clinic.submit(&stage.relay, &letter()).status, 201);
    for fault in [Fault::Down, Fault::Garbage, Fault::Truncated(50)] {
        stage.services.fault("/crl/", Some(fault.clone()));
        stage.relay.kill9();
        stage.relay.restart();
        let sent = pair.clinic.submit(&stage.relay, &letter());
        assert_eq!(sent.status, 201, "{fault:?}: {}", sent.json());
    }
}

/// Lists last 96 hours, and a hospital may fetch after a fortnight.
#[test]
fn a_letter_opens_after_the_list_about_its_stamp_has_run_out() {
    let stage = Stage::new(&RelayOptions::default());
    // It would tell the relay another time.
    stage.services.fault("/tsa", Some(Fault::Down));
    let pair = stage.pair();
    let card = stage.services.hpki().doctor();
    // Lists that end soon; where the machine is too slow for them, another try.
    let (mut id, mut end) = (None, OffsetDateTime::now_utc());
    for seconds in [10, 30, 60] {
        end = OffsetDateTime::now_utc() + time::Duration::seconds(seconds);
        stage.services.set_now(Some(end - time::Duration::hours(96)));
        let sent = pair
            .clinic
            .submit(&stage.relay, &stage.container(&pair, &card, |_, _| {}));
        if sent.status == 201 && OffsetDateTime::now_utc() < end {
            id = sent.json()["id"].as_str().map(str::to_owned);
            break;
        }
    }
    let id = id.expect("accepted while its lists run");
    while OffsetDateTime::now_utc() < end + time::Duration::seconds(2) {
        std::thread::sleep(Duration::from_millis(200));
    }
    stage.services.set_now(None);
    stage.services.fault("/tsa", None);

    let out = pair.hospital.path("letters");
    let fetched = pair
        .hospital
        .json(["fetch", &id, "--person", "staff", "--out", out.to_str().unwrap()])
        .expect(0);
    assert_eq!(fetched.json["report"]["indication"], "TOTAL-PASSED", "{}", fetched.text);
    assert!(out.join(&id).is_dir(), "it is unpacked");
    // What lies on the disk suffices without the relay; what the verdict of intake was made from does not.
    let intake = pair
        .hospital
        .get(&stage.relay, &format!("/v1/submissions/{id}/evidence"));
    let intake = pair.hospital.file("intake.evidence.json", &intake.body);
    let left = out.join(format!("{id}.evidence.json"));
    let container = out.join(format!("{id}.asice"));
    let trust = stage.relay.folder().join("trust");
    for (evidence, exit) in [(left, 0), (intake, 3)] {
        let arguments = [
            container.as_path(),
            Path::new("--trust"),
            &trust,
            Path::new("--evidence"),
        ];
        let arguments = [Path::new("verify")]
            .into_iter()
            .chain(arguments)
            .chain([evidence.as_path()]);
        let verified = pair.hospital.json(arguments).expect(exit);
        let expected = if exit == 0 { Value::Null } else { "TRY_LATER".into() };
        assert_eq!(verified.json["sub_indication"], expected, "{}", verified.text);
    }
}
