//! What a letter rests on may be found beside it alone, may not be readable at once, and may have ended meanwhile.

use super::*;
use kit::x509::issuer_location;
use kit::{Ca, ContainerOptions, Revoked, TokenSpec, TsaSpec};

#[test]
fn an_authority_only_the_stored_evidence_holds_is_watched_after_a_restart() {
    let stage = stage();
    let known = stage.relay.folder().join("trust/intermediates/test-sign-ca.der");
    std::fs::remove_file(known).unwrap();
    stage.relay.stop();
    stage.relay.restart();
    let pair = stage.pair();
    let mut card = stage.services.hpki().card(CardSpec {
        extra_extensions: vec![issuer_location(&format!("{}/ca/sign.der", stage.services.url()))],
        ..CardSpec::doctor()
    });
    card.chain.clear();
    let id = sent(&stage, &pair, &card, &[]);
    stage.relay.stop();
    let hour_ago = OffsetDateTime::now_utc() - time::Duration::hours(1);
    let revoked = Revoked::new(Ca::Sign.serial(), hour_ago, CrlReason::CaCompromise);
    stage.services.revoke_serial(Ca::Root, revoked);
    stage.relay.restart();
    until_stopped(&stage, &pair.clinic, &id);
    assert_eq!(revisions(&stage, None).len(), 1);
}

#[test]
fn a_letter_whose_container_cannot_be_read_at_the_start_is_read_again() {
    let stage = stage();
    let pair = stage.pair();
    let card = stage.services.hpki().doctor();
    let id = sent(&stage, &pair, &card, &[]);
    stage.relay.stop();
    let containers = stage.relay.data().join("containers");
    let mut folders = std::fs::read_dir(&containers).unwrap().flatten();
    let folder = folders.find(|one| one.file_name().to_string_lossy().starts_with(&id));
    let (folder, away) = (folder.unwrap().path(), stage.relay.folder().join("away"));
    std::fs::rename(&folder, &away).unwrap();
    let hour_ago = OffsetDateTime::now_utc() - time::Duration::hours(1);
    stage.services.revoke(&card, hour_ago, CrlReason::KeyCompromise);
    stage.relay.restart();
    let deadline = Instant::now() + PATIENCE;
    while !stage.relay.log().contains("cannot be watched for late revocation yet") {
        assert!(Instant::now() < deadline, "{}", stage.relay.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(revisions(&stage, None).is_empty());
    std::fs::rename(&away, &folder).unwrap();
    until_stopped(&stage, &pair.clinic, &id);
}

#[test]
fn a_letter_whose_stamp_has_ended_is_judged_by_its_archive() {
    let stage = stage();
    let pair = stage.pair();
    let hpki = stage.services.hpki();
    let now = OffsetDateTime::now_utc();
    let end = now + time::Duration::seconds(25);
    let stamped = |card: &Card| {
        let (envelope, files) = pair.referral(|_, _| {});
        let unit = TsaSpec {
            serial: 0x77,
            not_after: Some(end),
            ..TsaSpec::default()
        };
        let options = ContainerOptions {
            stamp: Some(TokenSpec {
                certificate: Some(hpki.tsa_with(unit)),
                ..TokenSpec::at(OffsetDateTime::now_utc())
            }),
            signing_time: None,
        };
        let reply = pair
            .clinic
            .submit(&stage.relay, &hpki.container(card, &envelope, &files, options));
        assert_eq!(reply.status, 201, "{}", String::from_utf8_lossy(&reply.body));
        reply.json()["id"].as_str().unwrap().to_owned()
    };
    let (early, late) = (hpki.doctor(), hpki.ec_doctor());
    let (stopped, stands) = (stamped(&early), stamped(&late));
    for id in [&stopped, &stands] {
        let path = format!("/v1/submissions/{id}/archive");
        while pair.hospital.get(&stage.relay, &path).status != 200 {
            assert!(OffsetDateTime::now_utc() < end, "no archive yet\n{}", stage.relay.log());
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    while OffsetDateTime::now_utc() <= end + time::Duration::seconds(1) {
        std::thread::sleep(Duration::from_millis(200));
    }
    let (hour_ago, signed_since) = (now - time::Duration::hours(1), OffsetDateTime::now_utc());
    stage.services.revoke(&late, signed_since, CrlReason::KeyCompromise);
    stage.services.revoke(&early, hour_ago, CrlReason::KeyCompromise);
    until_stopped(&stage, &pair.clinic, &stopped);
    until_refreshed(&stage);
    assert_eq!(states(&stage, &pair.hospital, &stands), ["Waiting"]);
    let recorded = revisions(&stage, None);
    let [record] = recorded.as_slice() else {
        panic!("{} revisions", recorded.len())
    };
    let Event::VerdictRevised { revision, .. } = &record.event else {
        unreachable!()
    };
    // Without its archive nothing would prove the time of signing any more, and this would be a doubt alone.
    let said = (revision.indication.as_str(), revision.sub_indication.as_deref());
    assert_eq!(said, ("TOTAL-FAILED", Some("REVOKED")));
}
