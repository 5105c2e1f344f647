//! What is no answer waits; an answer that helps nobody does not.

use formats::asice::{FilePlan, SignedManifest, manifest, write};

use super::*;

/// A card that names a responder, and a list only where `with_crldp`.
fn card(stage: &Stage, serial: u64, with_crldp: bool) -> Card {
    stage.services.hpki().card(CardSpec {
        serial,
        with_crldp,
        with_ocsp: true,
        ..CardSpec::doctor()
    })
}

fn sent(stage: &Stage, pair: &Pair, card: &Card) -> kit::Reply {
    let container = stage.container(pair, card, |_, _| {});
    pair.clinic.submit(&stage.relay, &container)
}

#[test]
fn a_responder_that_does_not_know_the_card_has_answered() {
    let stage = Stage::new(&options(Vec::new()));
    let pair = stage.pair();
    let unheard = card(&stage, 8001, false);
    stage.services.forget(&unheard);
    let refused = sent(&stage, &pair, &unheard);
    let said = refused.json();
    let code = refused.code();
    assert_eq!((refused.status, code.as_str()), (422, "validation_failed"), "{said}");
    assert_eq!(said["report"]["sub_indication"], "TRY_LATER");
    assert!(said["detail"].as_str().unwrap().contains("does not know"), "{said}");
    assert_eq!(ready(&stage)["pending"]["count"], 0);
    // Once the responder has heard of the card, its next letter is taken in, without waiting for what was said before to run out.
    stage.services.remember(&unheard);
    let accepted = sent(&stage, &pair, &unheard);
    assert_eq!(accepted.status, 201, "{}", accepted.json());
}

#[test]
fn what_nobody_signed_is_no_answer() {
    let stage = Stage::new(&options(Vec::new()));
    let pair = stage.pair();
    let mut serial = 8100;
    for (fault, unheard) in [
        (Fault::Rejected, false),
        (Fault::WrongSigner, true),
        (Fault::WrongNonce, true),
        (Fault::Stale, true),
        (Fault::Garbage, false),
        (Fault::Down, true),
    ] {
        serial += 1;
        let card = card(&stage, serial, false);
        if unheard {
            stage.services.forget(&card);
        }
        stage.services.fault("/ocsp/sign", Some(fault.clone()));
        let waits = sent(&stage, &pair, &card);
        assert_eq!(waits.status, 202, "{fault:?}: {}", waits.json());
        stage.services.remember(&card);
    }
    stage.services.fault("/ocsp/sign", None);
    until(&stage, "all arrive", || inbox(&stage, &pair.hospital).len() == 6);
}

#[test]
fn where_a_list_may_still_answer_the_letter_waits_for_it() {
    let stage = Stage::new(&options(Vec::new()));
    let pair = stage.pair();
    let card = card(&stage, 8201, true);
    stage.services.forget(&card);
    stage.services.fault("/crl/sign", Some(Fault::Down));
    let waits = sent(&stage, &pair, &card);
    assert_eq!(waits.status, 202, "{}", waits.json());
    stage.services.fault("/crl/sign", None);
    until(&stage, "it arrives", || inbox(&stage, &pair.hospital).len() == 1);
}

/// The host of all lists is in `fetch_hosts`, and no private address of it is allowed: as where a name leads inside for a while.
#[test]
fn a_listed_name_that_leads_to_a_private_address_is_not_asked_and_awaited() {
    let stage = Stage::new(&options(Vec::new()));
    let pair = stage.pair();
    let config = std::fs::read_to_string(stage.relay.config()).unwrap();
    let lines = config
        .lines()
        .filter(|line| !line.trim_start().starts_with("fetch_private"));
    let strict: Vec<&str> = lines.collect();
    assert!(strict.len() < config.lines().count(), "{config}");
    std::fs::write(stage.relay.config(), strict.join("\n")).unwrap();
    stage.relay.stop();
    stage.relay.restart();
    let before = stage.services.requests("/crl/");
    let waits = sent(&stage, &pair, &stage.services.hpki().doctor());
    assert_eq!(waits.status, 202, "{}", waits.json());
    assert_eq!(stage.services.requests("/crl/"), before, "nothing is sent there");
    let detail = ready(&stage);
    assert!(
        detail["evidence_hosts"].to_string().contains("no public address"),
        "{detail}"
    );
    std::fs::write(stage.relay.config(), config).unwrap();
    stage.relay.stop();
    stage.relay.restart();
    until(&stage, "it arrives", || inbox(&stage, &pair.hospital).len() == 1);
}

/// A referral that both sign, each stamped now.
fn signed_by_both(stage: &Stage, pair: &Pair, both: [&Card; 2]) -> Vec<u8> {
    let (envelope, files) = pair.referral(|_, _| {});
    let mut all = vec![("submission.json".to_owned(), envelope.to_json().unwrap())];
    all.extend(files);
    let plan = |(path, bytes): &(String, Vec<u8>)| FilePlan::measure(path, &mut bytes.as_slice()).unwrap();
    let plans: Vec<FilePlan> = all.iter().map(plan).collect();
    let signed = (1..).zip(both).map(|(number, card)| {
        let manifest = manifest::encode(number, &plans);
        let options = ContainerOptions::at(OffsetDateTime::now_utc());
        let signature = stage.services.hpki().signature(card, &manifest, options);
        (manifest, signature)
    });
    let signed: Vec<(Vec<u8>, Vec<u8>)> = signed.collect();
    let pairs = signed
        .iter()
        .map(|(manifest, signature)| SignedManifest { manifest, signature });
    let mut container = Vec::new();
    write(&mut container, &pairs.collect::<Vec<_>>(), &plans, |path| {
        let file = all.iter().find(|(known, _)| known == path);
        Ok(file.unwrap().1.as_slice())
    })
    .unwrap();
    container
}

#[test]
fn what_one_signature_waits_for_helps_no_letter_whose_other_has_failed_for_good() {
    let stage = Stage::new(&options(Vec::new()));
    let pair = stage.pair();
    let (doctor, dentist) = (stage.services.hpki().doctor(), stage.services.hpki().dentist());
    stage.services.fault("/crl/sign", Some(Fault::Down));
    let waits = pair
        .clinic
        .submit(&stage.relay, &signed_by_both(&stage, &pair, [&doctor, &dentist]));
    assert_eq!(waits.status, 202, "{}", waits.json());
    // Nobody's authority issued this one.
    let forged = stage.services.hpki().card(CardSpec {
        issuer_key: Some(kit::Key::Spare),
        ..CardSpec::dentist()
    });
    let refused = pair
        .clinic
        .submit(&stage.relay, &signed_by_both(&stage, &pair, [&doctor, &forged]));
    let said = refused.json();
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (422, "validation_failed"),
        "{said}"
    );
    let verdicts = said["report"]["signatures"].as_array().unwrap();
    assert_eq!(
        (verdicts.len(), &verdicts[0]["sub_indication"]),
        (2, &"TRY_LATER".into()),
        "{said}"
    );
    assert_ne!(verdicts[1]["sub_indication"], "TRY_LATER");
    assert_ne!(verdicts[1]["indication"], "TOTAL-PASSED");
    assert_eq!(ready(&stage)["pending"]["count"], 1, "only the one that may pass");
    // The desk knows it before a byte leaves.
    let file = pair
        .clinic
        .file("both.asice", &signed_by_both(&stage, &pair, [&doctor, &forged]));
    let said = pair.clinic.json(["send", file.to_str().unwrap()]).expect(1);
    assert_eq!(said.code(), "would_be_refused", "{}", said.text);
    assert_eq!(pair.clinic.json(["send"]).expect(0).json, serde_json::json!([]));
}
