//! A card that is revoked on the way: what was stamped before stays good, what was not is refused, also after waiting.

use super::*;
use kit::desk::append;

/// Sends the first half of `container`; where the rest goes.
fn begin(stage: &Stage, pair: &Pair, container: &[u8]) -> String {
    let begun = pair.clinic.begin_upload(&stage.relay, container.len() as u64, None);
    let place = begun.header("location").to_owned();
    let half = &container[..container.len() / 2];
    let sent = pair.clinic.https(&stage.relay).send(append(&place, 0), half).unwrap();
    assert_eq!(sent.status, 204);
    place
}

fn finish(stage: &Stage, pair: &Pair, container: &[u8], place: &str) -> kit::Reply {
    let half = container.len() / 2;
    let rest = append(place, half as u64);
    let sent = pair.clinic.https(&stage.relay).send(rest, &container[half..]).unwrap();
    if sent.status != 204 {
        return sent;
    }
    pair.clinic.submit_upload(&stage.relay, place)
}

#[test]
fn a_card_revoked_while_its_letter_arrives_refuses_it_unless_it_was_stamped_before() {
    let mut options = options(Vec::new());
    // What was fetched for the letter before is not good enough for the one after.
    options.more.push(("trust", "fetch_age", "1s".into()));
    let stage = Stage::new(&options);
    let pair = stage.pair();
    let doctor = stage.services.hpki().doctor();
    let first = pair.clinic.submit(&stage.relay, &unstamped(&stage, &pair, &doctor));
    assert_eq!(first.status, 201, "{}", first.json());

    let (before, after) = (
        stage.container(&pair, &doctor, |_, _| {}),
        unstamped(&stage, &pair, &doctor),
    );
    let (stamped, bare) = (begin(&stage, &pair, &before), begin(&stage, &pair, &after));
    std::thread::sleep(Duration::from_millis(1500));
    stage
        .services
        .revoke(&doctor, OffsetDateTime::now_utc(), CrlReason::KeyCompromise);
    let refused = finish(&stage, &pair, &after, &bare);
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (422, "validation_failed"),
        "{}",
        refused.json()
    );
    let sub_indication = refused.json()["report"]["sub_indication"].as_str().unwrap().to_owned();
    assert!(sub_indication.starts_with("REVOKED"), "{sub_indication}");
    let accepted = finish(&stage, &pair, &before, &stamped);
    assert_eq!(accepted.status, 201, "{}", accepted.json());
}

#[test]
fn what_waits_is_refused_as_soon_as_its_card_is_seen_revoked() {
    let stage = Stage::new(&options(Vec::new()));
    let pair = stage.pair();
    let doctor = stage.services.hpki().doctor();
    stage.services.fault("/crl/", Some(Fault::Down));
    stage.services.fault("/tsa", Some(Fault::Down));
    let bare = pair.clinic.submit(&stage.relay, &unstamped(&stage, &pair, &doctor));
    assert_eq!(bare.status, 202, "{}", bare.json());
    let id = bare.json()["id"].as_str().unwrap().to_owned();
    let stamped = pair
        .clinic
        .submit(&stage.relay, &stage.container(&pair, &doctor, |_, _| {}));
    assert_eq!(stamped.status, 202, "{}", stamped.json());
    std::thread::sleep(Duration::from_millis(1500));
    stage
        .services
        .revoke(&doctor, OffsetDateTime::now_utc(), CrlReason::KeyCompromise);
    stage.services.fault("/crl/", None);
    stage.services.fault("/tsa", None);
    until(&stage, "the one is refused, the other arrives", || {
        let gone = pair.clinic.get(&stage.relay, &format!("/v1/submissions/{id}")).status == 404;
        gone && inbox(&stage, &pair.hospital).len() == 1
    });
    let report = pair.clinic.get(&stage.relay, &format!("/v1/submissions/{id}/report"));
    assert_eq!(report.status, 200);
    assert!(report.json()["sub_indication"].as_str().unwrap().starts_with("REVOKED"));
}
