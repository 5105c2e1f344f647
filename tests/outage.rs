//! A day without CRLs, OCSP and time stamps, and what it must not cost: no letter lost, none twice, none stuck, no storm of requests.
//!
//! The day is scaled: pauses that are a minute in practice are [`RETRY`] here, and the day lasts as long as it takes to send.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "outage/answers.rs"]
mod answers;
#[path = "outage/freshness.rs"]
mod freshness;
#[path = "outage/issuer.rs"]
mod issuer;
#[path = "outage/responders.rs"]
mod responders;
#[path = "outage/revocation.rs"]
mod revocation;
#[path = "outage/sender.rs"]
mod sender;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use formats::cades::{Profile, SignedData};
use kit::stage::{PERSON, SECRETS};
use kit::{Card, CardSpec, ContainerOptions, CrlReason, Desk, Fault, Pair, RelayOptions, Services, Stage};
use serde_json::Value;
use time::OffsetDateTime;

/// `limits.pending_retry` here.
const RETRY: Duration = Duration::from_secs(4);
/// Letters of the day.
const LETTERS: usize = 100;
/// Lists a letter needs: of the root, of the card's CA, of the authority's.
const LISTS: u64 = 3;

/// A relay that adds time stamps, asks `authorities`, and gives a silent responder one second.
fn options(authorities: Vec<String>) -> RelayOptions {
    RelayOptions {
        limits: vec![("pending_retry", format!("{}s", RETRY.as_secs()).into())],
        more: vec![("trust", "fetch_timeout", "1s".into())],
        policy: vec![("signer_timestamp", "relay-adds".into())],
        authorities,
        ..RelayOptions::default()
    }
}

/// A referral without a time stamp.
fn unstamped(stage: &Stage, pair: &Pair, card: &Card) -> Vec<u8> {
    let (envelope, files) = pair.referral(|_, _| {});
    let options = ContainerOptions {
        stamp: None,
        signing_time: Some(OffsetDateTime::now_utc()),
    };
    stage.services.hpki().container(card, &envelope, &files, options)
}

/// Ids in the hospital's inbox, with repetitions.
fn inbox(stage: &Stage, hospital: &Desk) -> Vec<String> {
    let mut ids = Vec::new();
    let mut after = 0;
    loop {
        let page = hospital
            .get(&stage.relay, &format!("/v1/inbox?after={after}&limit=50"))
            .json();
        let items = page["items"].as_array().unwrap();
        ids.extend(items.iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        match page["next"].as_u64() {
            Some(next) if !items.is_empty() => after = next,
            _ => return ids,
        }
    }
}

/// Waits until `done` says so.
fn until(stage: &Stage, what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(90);
    while !done() {
        assert!(Instant::now() < deadline, "{what}\n{}", stage.relay.log());
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn ready(stage: &Stage) -> Value {
    let ready = stage.relay.portal("/readyz");
    assert_eq!(ready.status, 200, "what waits does not make it unready");
    ready.json()
}

#[test]
fn after_a_day_of_silence_every_letter_arrives_once() {
    let other = Services::start_blocking(0);
    let services = Services::start_blocking(0);
    let relay = kit::RelayProcess::start(&services, &options(vec![services.tsa_url(), other.tsa_url()]));
    let stage = Stage { services, relay };
    let (to, doctor) = (kit::stage::code(), stage.services.hpki().doctor());
    let hospital = stage.relay.join(&to, "テスト飛脚病院", PERSON);
    let clinics: Vec<Pair> = (0..4)
        .map(|_| {
            let from = kit::stage::code();
            Pair {
                clinic: stage.relay.join(&from, "テスト飛脚診療所", PERSON),
                hospital: Desk::new(),
                to: to.clone(),
                from,
            }
        })
        .collect();

    // Nothing was ever fetched before the day begins, so that recovery has nothing to lean on.
    let day = [
        Fault::Down,
        Fault::Slow(Duration::from_secs(600)),
        Fault::Status(503),
        Fault::Garbage,
        Fault::Truncated(60),
    ];
    let (mut sent, mut bare) = (BTreeSet::new(), BTreeSet::new());
    let began = Instant::now();
    let fail = |crl: Option<&Fault>, tsa: Option<&Fault>| {
        for (services, path, fault) in [
            (&stage.services, "/crl/", crl),
            (&stage.services, "/ocsp/", crl),
            (&stage.services, "/tsa", tsa),
            (&other, "/tsa", crl),
        ] {
            services.fault(path, fault.cloned());
        }
    };
    // The probe of the authorities at the start of the relay counts for nothing.
    let before = stage.services.requests("/tsa");
    for (hour, fault) in day.iter().enumerate() {
        fail(Some(fault), Some(&day[(hour + 2) % day.len()]));
        for number in 0..LETTERS / day.len() {
            let pair = &clinics[number % clinics.len()];
            let stamped = number % 2 == 0;
            let container = if stamped {
                stage.container(pair, &doctor, |_, _| {})
            } else {
                unstamped(&stage, pair, &doctor)
            };
            let held = pair.clinic.submit(&stage.relay, &container);
            let said = held.json();
            assert_eq!(held.status, 202, "{fault:?}: {said}");
            for told in ["waiting_for", "since", "deadline", "next_try"] {
                assert!(said[told].is_string(), "{fault:?}: no {told} in {said}");
            }
            let id = said["id"].as_str().unwrap().to_owned();
            if !stamped {
                bare.insert(id.clone());
            }
            assert!(sent.insert(id));
        }
        match hour {
            1 => {
                stage.relay.stop();
                stage.relay.restart();
            }
            3 => {
                stage.relay.kill9();
                stage.relay.restart();
            }
            _ => {}
        }
    }
    assert_eq!((sent.len(), inbox(&stage, &hospital).len()), (LETTERS, 0));
    // What is told meanwhile: to the operator, and to the sender.
    until(&stage, "all were judged again after the restart", || {
        let detail = ready(&stage);
        let waiting = detail["pending"]["waiting_for"].as_object().unwrap();
        waiting.values().filter_map(Value::as_u64).max() >= Some(LETTERS as u64 / 2)
    });
    let detail = ready(&stage);
    assert_eq!(detail["pending"]["count"], LETTERS, "{detail}");
    assert!(
        detail["timestamps"]
            .as_array()
            .unwrap()
            .iter()
            .all(|one| one["good"] == false),
        "{detail}"
    );
    for figure in [
        format!("hikyaku_pending_evidence {LETTERS}"),
        "hikyaku_pending_evidence_oldest_seconds ".to_owned(),
        "hikyaku_pending_evidence_for{host=".to_owned(),
        "hikyaku_timestamp_authority_good{authority=".to_owned(),
    ] {
        until(&stage, &figure, || {
            String::from_utf8_lossy(&stage.relay.portal("/metrics").body).contains(&figure)
        });
    }
    let one = sent.first().unwrap();
    let clinic = clinics.iter().find_map(|pair| {
        let status = pair.clinic.json(["status", one]);
        (status.exit == 3).then_some(status)
    });
    assert!(clinic.unwrap().json["status"]["pending"]["next_try"].is_string());

    // A gentle client: each list costs one try in a rest, however many letters wait for it; rests begin anew with the relay.
    let lasted = began.elapsed().as_secs_f64();
    let tries = (lasted / (RETRY.as_secs_f64() * 0.75)).ceil() as u64;
    let starts = 3 * 4;
    let asked = stage.services.requests("/crl/");
    assert!(
        asked <= LISTS * (tries + starts),
        "{asked} requests for {LISTS} lists in {lasted} s"
    );
    let stamps = stage.services.requests("/tsa") - before + other.requests("/tsa");
    assert!(
        stamps <= 2 * (tries + starts),
        "{stamps} requests for time stamps in {lasted} s"
    );

    // The world is back: the first answer serves all, within one interval. What judging a hundred letters takes on a loaded
    // machine is allowed two intervals more.
    fail(None, None);
    let (recovered, asked) = (Instant::now(), stage.services.requests("/crl/"));
    until(&stage, "the day's letters arrive", || {
        inbox(&stage, &hospital).len() >= LETTERS
    });
    let took = recovered.elapsed();
    assert!(took < RETRY * 3, "it took {took:?} with an interval of {RETRY:?}");
    let more = stage.services.requests("/crl/") - asked;
    assert!(
        more <= LISTS * 8,
        "{more} requests for {LISTS} lists after the recovery"
    );

    // Each once, none lost, none twice; and nothing waits any more.
    let arrived = inbox(&stage, &hospital);
    let distinct: BTreeSet<String> = arrived.iter().cloned().collect();
    assert_eq!((arrived.len(), &distinct), (LETTERS, &sent));
    let mut accepted = Vec::new();
    for pair in &clinics {
        let account = ["trail", "export", "--facility", &pair.from, "--format", "csv"];
        let account = stage.relay.admin(&account);
        accepted.extend(
            account
                .lines()
                .filter(|line| line.contains("Accepted"))
                .map(str::to_owned),
        );
    }
    for id in &sent {
        assert_eq!(
            accepted.iter().filter(|line| line.contains(id.as_str())).count(),
            1,
            "{id}"
        );
    }
    until(&stage, "nothing waits", || ready(&stage)["pending"]["count"] == 0);

    // What came without a time stamp has the relay's beside it, and the hospital can verify that offline.
    let id = bare.first().unwrap();
    let out = hospital.path("letters");
    let arguments = ["fetch", id, "--person", "staff", "--out", out.to_str().unwrap()];
    let fetched = hospital.json(arguments).expect(0);
    assert_eq!(fetched.json["report"]["level"], "B-T", "{}", fetched.text);
    let container = out.join(format!("{id}.asice"));
    let read = formats::asice::Container::read(&mut std::fs::File::open(&container).unwrap());
    let signature = read.unwrap().signatures.remove(0).bytes;
    assert!(
        SignedData::parse(&signature, Profile::Document)
            .unwrap()
            .signer
            .timestamps
            .is_empty()
    );
    let (trust, evidence) = (
        stage.relay.folder().join("trust"),
        out.join(format!("{id}.evidence.json")),
    );
    let verify = [
        "verify",
        container.to_str().unwrap(),
        "--trust",
        trust.to_str().unwrap(),
        "--evidence",
        evidence.to_str().unwrap(),
    ];
    assert_eq!(hospital.json(verify).expect(0).json["indication"], "TOTAL-PASSED");
    stage.relay.assert_log_keeps_quiet(&SECRETS);
}

#[test]
fn another_authority_stamps_when_one_does_not_or_stamps_badly() {
    let other = Services::start_blocking(0);
    let services = Services::start_blocking(0);
    let relay = kit::RelayProcess::start(&services, &options(vec![services.tsa_url(), other.tsa_url()]));
    let stage = Stage { services, relay };
    let pair = stage.pair();
    let doctor = stage.services.hpki().doctor();
    for fault in [
        Fault::Down,
        Fault::WrongSigner,
        Fault::WrongImprint,
        Fault::WrongNonce,
        Fault::Stale,
        Fault::Rejected,
    ] {
        stage.services.fault("/tsa", Some(fault.clone()));
        let sent = pair.clinic.submit(&stage.relay, &unstamped(&stage, &pair, &doctor));
        assert_eq!(sent.status, 201, "{fault:?}: {}", sent.json());
    }
    until(&stage, "the first is known to fail", || {
        let detail = ready(&stage);
        detail["timestamps"][0]["good"] == false && detail["timestamps"][1]["good"] == true
    });
    let detail = ready(&stage);
    assert!(detail["timestamps"][1]["gen_time"].is_string(), "{detail}");
    let drift = detail["timestamps"][1]["drift_seconds"].as_f64().unwrap();
    assert!(drift.abs() < 60.0, "both clocks are this machine's");
    // Nobody asks it, and yet it is noticed when it works again.
    stage.services.fault("/tsa", None);
    until(&stage, "the first works again", || {
        ready(&stage)["timestamps"][0]["good"] == true
    });
}

#[test]
fn the_desk_needs_no_stamp_where_the_relay_adds_it() {
    let stage = Stage::new(&options(Vec::new()));
    let pair = stage.pair();
    let key = pair.clinic.soft_key(&stage.services.hpki().doctor());
    let letter = pair.clinic.file("letter.pdf", &kit::letter_pdf());
    stage.services.fault("/tsa", Some(Fault::Down));
    let arguments = [
        "send",
        letter.to_str().unwrap(),
        "--key",
        key.to_str().unwrap(),
        "--to",
        &pair.to,
        "--to-name",
        "テスト飛脚病院",
        "--patient-id",
        kit::stage::PATIENT_ID,
        "--patient-name",
        kit::stage::PATIENT_NAME,
        "--birth-date",
        "1970-01-01",
        "--sex",
        "F",
    ];
    let sent = pair.clinic.json(arguments).expect(3);
    assert_eq!(sent.json["state"], "PendingEvidence", "{}", sent.text);
    assert!(
        sent.json["waiting_for"].as_str().unwrap().contains("time stamp"),
        "{}",
        sent.text
    );
    stage.services.fault("/tsa", None);
    until(&stage, "the relay adds its stamp", || {
        inbox(&stage, &pair.hospital).len() == 1
    });
}
