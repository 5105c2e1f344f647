//! Cards that name a responder, and no list or one that is not to be had: it is asked again, once for all letters of a card, for as
//! long as one is held.

use super::*;

fn card(stage: &Stage, serial: u64) -> Card {
    naming(stage, serial, false)
}

fn naming(stage: &Stage, serial: u64, with_crldp: bool) -> Card {
    stage.services.hpki().card(CardSpec {
        serial,
        with_crldp,
        with_ocsp: true,
        ..CardSpec::doctor()
    })
}

fn asked(stage: &Stage) -> u64 {
    stage.services.requests("/ocsp/sign")
}

fn until_asked(stage: &Stage, times: u64) {
    let (before, deadline) = (asked(stage), Instant::now() + PATIENCE);
    while asked(stage) < before + times {
        assert!(
            Instant::now() < deadline,
            "nobody asks the responder\n{}",
            stage.relay.log()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_responder_that_revokes_earlier_than_the_stamp_stops_every_letter_of_the_card() {
    let stage = stage();
    let pair = stage.pair();
    let (early, other) = (card(&stage, 9001), card(&stage, 9002));
    let ids: Vec<String> = (0..5).map(|_| sent(&stage, &pair, &early, &[])).collect();
    let later = sent(&stage, &pair, &other, &[]);
    let (before, began) = (asked(&stage), Instant::now());
    until_asked(&stage, 8);
    let (times, seconds) = (asked(&stage) - before, began.elapsed().as_secs_f64());
    // Of each card at most every three quarters of the interval, which is a second here; not of each letter.
    let most = 2.0 * (seconds / 0.75 + 2.0);
    assert!(times as f64 <= most, "{times} questions in {seconds} s");

    let out = pair.hospital.path("letters");
    fetch(&pair.hospital, &ids[0], &out).expect(0);
    let hour_ago = OffsetDateTime::now_utc() - time::Duration::hours(1);
    stage.services.revoke(&early, hour_ago, CrlReason::KeyCompromise);
    for id in &ids {
        until_stopped(&stage, &pair.clinic, id);
    }
    let recorded = revisions(&stage, None);
    assert_eq!(recorded.len(), ids.len(), "each once");
    let Event::VerdictRevised { revision, .. } = &recorded[0].event else {
        unreachable!()
    };
    assert_eq!(revision.sub_indication.as_deref(), Some("REVOKED"));
    assert!(revision.because.starts_with("OCSP response of"), "{}", revision.because);
    assert_eq!(
        states(&stage, &pair.clinic, &later),
        ["Waiting"],
        "another card's letter goes on"
    );

    // Who fetched it is told, and finds the response in what proves it.
    let again = fetch(&pair.hospital, &ids[0], &out).expect(1);
    assert_eq!(again.json["report"]["sub_indication"], "REVOKED", "{}", again.text);
    let inbox = String::from_utf8(pair.hospital.run(["inbox"]).stdout).unwrap();
    assert!(inbox.contains("REVOKED"), "{inbox}");
    let status = String::from_utf8(pair.clinic.run(["status", &ids[0]]).stdout).unwrap();
    assert!(status.contains("verdict revised"), "{status}");
    // Asked about the other card the relay goes on; nothing is revised twice.
    until_asked(&stage, 3);
    assert_eq!(revisions(&stage, None).len(), ids.len());
    stage.relay.assert_log_keeps_quiet(&SECRETS);
}

#[test]
fn what_a_responder_says_after_a_restart_counts_and_a_later_revocation_changes_nothing() {
    let stage = stage();
    let pair = stage.pair();
    let (early, late) = (card(&stage, 9101), card(&stage, 9102));
    let stopped = sent(&stage, &pair, &early, &[]);
    let stands = sent(&stage, &pair, &late, &[]);
    std::thread::sleep(Duration::from_millis(2100));
    stage
        .services
        .revoke(&late, OffsetDateTime::now_utc(), CrlReason::KeyCompromise);
    stage.relay.stop();
    let hour_ago = OffsetDateTime::now_utc() - time::Duration::hours(1);
    stage.services.revoke(&early, hour_ago, CrlReason::Superseded);
    // A responder that cannot be asked revises nothing, and is asked again.
    stage.services.fault("/ocsp/sign", Some(kit::Fault::Down));
    stage.relay.restart();
    until_asked(&stage, 2);
    assert_eq!(states(&stage, &pair.clinic, &stopped), ["Waiting"]);
    stage.services.fault("/ocsp/sign", None);
    until_stopped(&stage, &pair.clinic, &stopped);
    until_asked(&stage, 3);
    assert_eq!(states(&stage, &pair.clinic, &stands), ["Waiting"]);
    assert_eq!(revisions(&stage, None).len(), 1);
    let figures = String::from_utf8(stage.relay.portal("/metrics").body).unwrap();
    assert!(figures.contains("hikyaku_submissions_unconfirmed 0"), "{figures}");
}

#[test]
fn where_the_list_is_not_to_be_had_the_responder_is_asked_again() {
    let stage = stage();
    let pair = stage.pair();
    stage.services.fault("/crl/sign", Some(kit::Fault::Down));
    let early = naming(&stage, 9201, true);
    // The responder is asked at once, though it is beside the lists.
    let id = sent(&stage, &pair, &early, &[]);
    until_asked(&stage, 2);
    let hour_ago = OffsetDateTime::now_utc() - time::Duration::hours(1);
    stage.services.revoke(&early, hour_ago, CrlReason::KeyCompromise);
    until_stopped(&stage, &pair.clinic, &id);
    assert_eq!(revisions(&stage, None).len(), 1);
}

#[test]
fn where_the_list_is_current_the_responder_is_left_in_peace() {
    let stage = stage();
    let pair = stage.pair();
    let card = naming(&stage, 9301, true);
    sent(&stage, &pair, &card, &[]);
    std::thread::sleep(Duration::from_secs(1));
    let before = asked(&stage);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(asked(&stage), before);
}
