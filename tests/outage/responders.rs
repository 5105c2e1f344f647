//! Where every certificate names a responder and no list: the card, its CA and the time-stamp authority.

use kit::{Ca, Revoked, TokenSpec, TsaSpec};

use super::*;

/// A relay that knows the CA by the certificate that names a responder alone.
fn stage() -> Stage {
    let stage = Stage::new(&RelayOptions {
        authorities: Vec::new(),
        policy: Vec::new(),
        ..options(Vec::new())
    });
    let known = stage.relay.folder().join("trust/intermediates/test-sign-ca.der");
    assert!(known.exists());
    std::fs::write(known, stage.services.hpki().ca_by_responder(Ca::Sign)).unwrap();
    stage.relay.stop();
    stage.relay.restart();
    stage
}

/// A letter stamped a minute ago by an authority of this serial number, and signed by a card of its own.
fn sent(stage: &Stage, pair: &Pair, authority: u64) -> kit::Reply {
    let hpki = stage.services.hpki();
    // Of neither has anybody asked before.
    let mut card = hpki.card(CardSpec {
        serial: 0x1000 + authority,
        with_crldp: false,
        with_ocsp: true,
        ..CardSpec::doctor()
    });
    card.chain[0] = hpki.ca_by_responder(Ca::Sign);
    let spec = TsaSpec {
        serial: authority,
        with_crldp: false,
        with_ocsp: true,
        ..TsaSpec::default()
    };
    let stamp = TokenSpec {
        certificate: Some(hpki.tsa_with(spec)),
        ..TokenSpec::at(OffsetDateTime::now_utc() - time::Duration::minutes(1))
    };
    let (envelope, files) = pair.referral(|_, _| {});
    let options = ContainerOptions {
        stamp: Some(stamp),
        signing_time: None,
    };
    let container = hpki.container(&card, &envelope, &files, options);
    pair.clinic.submit(&stage.relay, &container)
}

fn revoke(stage: &Stage, authority: u64, minutes_ago: i64, reason: CrlReason) {
    let at = OffsetDateTime::now_utc() - time::Duration::minutes(minutes_ago);
    stage
        .services
        .revoke_serial(Ca::TsaRoot, Revoked::new(authority, at, reason));
}

#[test]
fn a_letter_all_of_whose_certificates_name_responders_alone_is_judged_by_them() {
    let stage = stage();
    let pair = stage.pair();
    // Nobody names a list, and none is to be had.
    stage.services.fault("/crl/", Some(Fault::Down));
    // Each of the three that is not to be had alone makes it wait, and nothing is lost by that.
    let responders = ["/ocsp/root", "/ocsp/sign", "/ocsp/tsa"];
    for (path, arrived) in responders.into_iter().zip(1..) {
        stage.services.fault(path, Some(Fault::Down));
        let waits = sent(&stage, &pair, 0x700 + u64::try_from(arrived).unwrap());
        assert_eq!(waits.status, 202, "{path}: {}", waits.json());
        assert_eq!(ready(&stage)["pending"]["count"], 1, "{path}");
        stage.services.fault(path, None);
        until(&stage, "it arrives", || inbox(&stage, &pair.hospital).len() == arrived);
    }
    for path in responders {
        assert!(stage.services.requests(path) > 0, "{path}");
    }
    let passes = sent(&stage, &pair, 0x710);
    assert_eq!(passes.status, 201, "{}", passes.json());
    assert_eq!(inbox(&stage, &pair.hospital).len(), 4);
    stage.relay.assert_log_keeps_quiet(&SECRETS);
}

#[test]
fn an_authority_that_its_responder_revokes_before_it_stamped_stamps_nothing() {
    let stage = stage();
    let pair = stage.pair();
    // One whose key was given away loses every stamp; one that was given up keeps those of before.
    for (authority, minutes_ago, reason) in [
        (0x720, 60, CrlReason::Superseded),
        (0x721, 60, CrlReason::KeyCompromise),
        (0x722, 0, CrlReason::KeyCompromise),
    ] {
        revoke(&stage, authority, minutes_ago, reason);
        let refused = sent(&stage, &pair, authority);
        let said = refused.json();
        let told = (refused.status, refused.code());
        assert_eq!(told, (422, "validation_failed".into()), "{authority:x}: {said}");
        let timestamps = said["report"]["checks"].to_string();
        assert!(timestamps.contains("revoked"), "{authority:x}: {said}");
    }
    revoke(&stage, 0x723, 0, CrlReason::Superseded);
    let kept = sent(&stage, &pair, 0x723);
    assert_eq!(kept.status, 201, "{}", kept.json());
    assert_eq!(inbox(&stage, &pair.hospital).len(), 1);
    assert_eq!(ready(&stage)["pending"]["count"], 0);
}
