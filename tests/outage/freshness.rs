//! When a list counts: *service* takes the one at hand while it is current, *strict* waits for one made after the signature.

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
