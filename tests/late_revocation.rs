//! A list issued after a letter was accepted shows that its card was revoked before it signed: delivery stops, all are told.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "late_revocation/by_responder.rs"]
mod by_responder;
#[path = "late_revocation/later.rs"]
mod later;

use std::path::Path;
use std::time::{Duration, Instant};

use formats::envelope::Party;
use formats::trail::{Event, Record};
use http::Request;
use kit::stage::{PERSON, Pair, SECRETS, code};
use kit::{Card, CardSpec, CrlReason, Desk, RelayOptions, Stage};
use serde_json::Value;
use time::OffsetDateTime;

/// Refreshing a list, comparing it and validating anew take far less.
const PATIENCE: Duration = Duration::from_secs(60);

/// A stage whose relay asks for every list anew each second.
fn stage() -> Stage {
    let stage = Stage::new(&RelayOptions::default());
    let config = std::fs::read_to_string(stage.relay.config()).unwrap();
    let hasty = config.replace("[trust]", "[trust]\nrefresh = \"1s\"");
    assert_ne!(config, hasty, "{config}");
    let lines = hasty.lines().filter(|line| !line.starts_with("refresh = \"6h\""));
    std::fs::write(stage.relay.config(), lines.collect::<Vec<_>>().join("\n")).unwrap();
    stage.relay.stop();
    stage.relay.restart();
    stage
}

/// Sends a letter of `card` to the pair's hospital and `others`; its id.
fn sent(stage: &Stage, pair: &Pair, card: &Card, others: &[&str]) -> String {
    let container = stage.container(pair, card, |envelope, _| {
        for other in others {
            envelope.recipients.push(Party {
                facility: other.parse().unwrap(),
                name: "テスト飛脚第二病院".to_owned(),
                department: None,
                person: None,
            });
        }
    });
    let reply = pair.clinic.submit(&stage.relay, &container);
    assert_eq!(reply.status, 201, "{}", String::from_utf8_lossy(&reply.body));
    reply.json()["id"].as_str().unwrap().to_owned()
}

fn states(stage: &Stage, desk: &Desk, id: &str) -> Vec<String> {
    let status = desk.get(&stage.relay, &format!("/v1/submissions/{id}")).json();
    let recipients = status["recipients"].as_array().cloned().unwrap_or_default();
    recipients
        .iter()
        .map(|one| one["state"].as_str().unwrap().to_owned())
        .collect()
}

fn until_stopped(stage: &Stage, desk: &Desk, id: &str) {
    let deadline = Instant::now() + PATIENCE;
    while states(stage, desk, id).iter().any(|state| state != "Stopped") {
        assert!(Instant::now() < deadline, "{id} is not stopped\n{}", stage.relay.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Waits until the relay has fetched the list of the cards twice more: the second after all that the first may have brought.
fn until_refreshed(stage: &Stage) {
    for _ in 0..2 {
        let (before, deadline) = (stage.services.requests("/crl/sign.crl"), Instant::now() + PATIENCE);
        while stage.services.requests("/crl/sign.crl") == before {
            assert!(Instant::now() < deadline, "the relay asks for no list");
            std::thread::sleep(Duration::from_millis(50));
        }
        std::thread::sleep(Duration::from_millis(1500));
    }
}

/// The records of revisions in a facility's account, or all.
fn revisions(stage: &Stage, facility: Option<&str>) -> Vec<Record> {
    let mut arguments = vec!["trail", "export", "--format", "jsonl"];
    arguments.extend(facility.iter().flat_map(|facility| ["--facility", facility]));
    let lines = stage.relay.admin(&arguments);
    let records = lines.lines().filter(|line| line.contains("\"body\":")).map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        let body = match &line["body"] {
            Value::String(text) => text.clone(),
            body => body.to_string(),
        };
        Record::parse(&body).unwrap()
    });
    records
        .filter(|record| matches!(record.event, Event::VerdictRevised { .. }))
        .collect()
}

fn fetch(desk: &Desk, id: &str, out: &Path) -> kit::Spoken {
    desk.json(["fetch", id, "--person", "staff", "--out", out.to_str().unwrap()])
}

#[test]
fn a_list_that_revokes_earlier_than_the_stamp_stops_the_letter_and_tells_everybody() {
    let stage = stage();
    let pair = stage.pair();
    let second = code();
    let other = stage.relay.join(&second, "テスト飛脚第二病院", PERSON);
    let card = stage.services.hpki().doctor();
    let id = sent(&stage, &pair, &card, &[&second]);
    let later = sent(&stage, &pair, &stage.services.hpki().ec_doctor(), &[]);

    // One of the two has it already.
    let out = pair.hospital.path("letters");
    let fetched = fetch(&pair.hospital, &id, &out).expect(0);
    assert_eq!(fetched.json["report"]["indication"], "TOTAL-PASSED", "{}", fetched.text);
    assert_eq!(states(&stage, &pair.clinic, &id), ["Delivered", "Waiting"]);
    let feed = |desk: &Desk, after: u64| desk.get(&stage.relay, &format!("/v1/inbox?after={after}")).json();
    let newest = feed(&pair.hospital, 0)["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["position"].as_u64().unwrap())
        .max()
        .unwrap();

    let hour_ago = OffsetDateTime::now_utc() - time::Duration::hours(1);
    stage.services.revoke(&card, hour_ago, CrlReason::KeyCompromise);
    until_stopped(&stage, &pair.clinic, &id);

    told(&stage, &pair, &other, &id, newest);
    assert_eq!(
        states(&stage, &pair.clinic, &later),
        ["Waiting"],
        "another card's letter goes on"
    );

    // What was fetched before is judged anew with what the relay has now.
    let again = fetch(&pair.hospital, &id, &out).expect(1);
    assert_eq!(again.json["report"]["sub_indication"], "REVOKED", "{}", again.text);
    let verify = |language: &str| {
        let mut command = pair.hospital.command();
        let evidence = out.join(format!("{id}.evidence.json"));
        command.env("HIKYAKU_LANG", language).arg("verify");
        command.arg(out.join(format!("{id}.asice")));
        command.arg("--trust").arg(stage.relay.folder().join("trust"));
        let output = command.arg("--evidence").arg(evidence).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(verify("ja").contains("失効"), "{}", verify("ja"));
    assert!(verify("en").contains("revoked"), "{}", verify("en"));

    // The trail says so once, to each of the three; it survives a restart and an index made anew.
    let recorded = revisions(&stage, None);
    let [record] = recorded.as_slice() else {
        panic!("{} revisions", recorded.len())
    };
    let Event::VerdictRevised { revision, .. } = &record.event else {
        unreachable!()
    };
    assert_eq!(revision.sub_indication.as_deref(), Some("REVOKED"));
    assert!(revision.because.contains("forNonRepudiation"), "{}", revision.because);
    for facility in [&pair.from, &pair.to, &second] {
        assert_eq!(revisions(&stage, Some(facility)).len(), 1, "{facility}");
    }
    stage.relay.stop();
    stage.relay.admin(&["rebuild"]);
    stage.relay.restart();
    until_refreshed(&stage);
    assert_eq!(states(&stage, &pair.clinic, &id), ["Stopped", "Stopped"]);
    assert_eq!(revisions(&stage, None).len(), 1);
    let figures = String::from_utf8(stage.relay.portal("/metrics").body).unwrap();
    assert!(figures.contains("hikyaku_submissions_unconfirmed 0"), "{figures}");
    assert!(stage.relay.log().contains("was revised"), "the operator's log says so");
    stage.relay.assert_log_keeps_quiet(&SECRETS);
}

/// Sender and recipients see it; documents are gone, the new report is there.
fn told(stage: &Stage, pair: &Pair, other: &Desk, id: &str, newest: u64) {
    for (desk, after) in [(&pair.hospital, newest), (other, 0)] {
        let page = desk.get(&stage.relay, &format!("/v1/inbox?after={after}")).json();
        let items = page["items"].as_array().unwrap();
        assert_eq!(items.len(), 1, "{page}");
        assert_eq!((&items[0]["id"], &items[0]["state"]), (&id.into(), &"Stopped".into()));
        assert_eq!(items[0]["revised"]["sub_indication"], "REVOKED", "{page}");
        assert!(items[0]["position"].as_u64().unwrap() > newest);
        for path in ["container", "files/submission.json"] {
            let gone = desk.get_as(&stage.relay, &format!("/v1/submissions/{id}/{path}"), "staff", &[]);
            assert_eq!((gone.status, gone.code().as_str()), (410, "verdict_revised"), "{path}");
        }
        let head = Request::head(format!("/v1/submissions/{id}/container"));
        assert_eq!(desk.https(&stage.relay).send(head, &[]).unwrap().status, 410);
        let acknowledge = Request::post(format!("/v1/submissions/{id}/acknowledgement"));
        let refused = desk.https(&stage.relay).send(acknowledge, &[]).unwrap();
        assert_eq!((refused.status, refused.code().as_str()), (410, "verdict_revised"));
        let report = desk.get(&stage.relay, &format!("/v1/submissions/{id}/report"));
        assert_eq!(report.json()["sub_indication"], "REVOKED");
        let inbox = desk.run(["inbox"]);
        let inbox = String::from_utf8(inbox.stdout).unwrap();
        assert!(inbox.contains("stopped") && inbox.contains("REVOKED"), "{inbox}");
    }
    let status = pair.clinic.run(["status", id]);
    let status = String::from_utf8(status.stdout).unwrap();
    assert!(
        status.contains("REVOKED") && status.contains("verdict revised"),
        "{status}"
    );
    // The receipt stays what it was.
    assert_eq!(
        pair.clinic
            .get(&stage.relay, &format!("/v1/submissions/{id}/receipt"))
            .status,
        200
    );
}

#[test]
fn a_list_that_revokes_later_than_the_stamp_changes_nothing() {
    let stage = stage();
    let pair = stage.pair();
    let card = stage.services.hpki().doctor();
    let id = sent(&stage, &pair, &card, &[]);
    std::thread::sleep(Duration::from_millis(2100));
    stage
        .services
        .revoke(&card, OffsetDateTime::now_utc(), CrlReason::KeyCompromise);
    until_refreshed(&stage);
    assert_eq!(states(&stage, &pair.hospital, &id), ["Waiting"]);
    assert!(revisions(&stage, None).is_empty());
    let out = pair.hospital.path("letters");
    fetch(&pair.hospital, &id, &out).expect(0);
    let figures = String::from_utf8(stage.relay.portal("/metrics").body).unwrap();
    assert!(figures.contains("hikyaku_submissions_unconfirmed 0"), "{figures}");
}

#[test]
fn a_list_that_came_while_the_relay_was_away_counts_after_its_start() {
    let stage = stage();
    let pair = stage.pair();
    let card = stage.services.hpki().doctor();
    let id = sent(&stage, &pair, &card, &[]);
    stage.relay.stop();
    let hour_ago = OffsetDateTime::now_utc() - time::Duration::hours(1);
    stage.services.revoke(&card, hour_ago, CrlReason::Superseded);
    stage.relay.restart();
    until_stopped(&stage, &pair.clinic, &id);
}

#[test]
fn a_kill_between_validation_and_record_revises_once() {
    let stage = stage();
    let pair = stage.pair();
    let rounds = 6_u64;
    let mut ids = Vec::new();
    for round in 0..rounds {
        let card = stage.services.hpki().card(CardSpec {
            serial: 7000 + round,
            ..CardSpec::doctor()
        });
        let id = sent(&stage, &pair, &card, &[]);
        let hour_ago = OffsetDateTime::now_utc() - time::Duration::hours(1);
        stage.services.revoke(&card, hour_ago, CrlReason::KeyCompromise);
        // Killed as soon as evidence or report of the revision lies there, which is before its record, or a little later.
        let deadline = Instant::now() + PATIENCE;
        while !judged(
            &stage.relay.data(),
            &id,
            if round % 2 == 0 { "evidence." } else { "report." },
        ) {
            assert!(Instant::now() < deadline, "never judged\n{}", stage.relay.log());
            std::thread::yield_now();
        }
        std::thread::sleep(Duration::from_millis(round / 2));
        stage.relay.kill9();
        stage.relay.restart();
        until_stopped(&stage, &pair.clinic, &id);
        ids.push(id);
    }
    let recorded = revisions(&stage, None);
    assert_eq!(recorded.len(), ids.len());
    for id in &ids {
        let of = recorded
            .iter()
            .filter(|record| record.event.submission().is_some_and(|found| found.as_str() == id));
        assert_eq!(of.count(), 1, "{id}");
    }
}

/// Whether a file of a revision lies beside the container.
fn judged(data: &Path, id: &str, kind: &str) -> bool {
    let folders = std::fs::read_dir(data.join("containers")).unwrap().flatten();
    folders
        .filter(|folder| folder.file_name().to_string_lossy().starts_with(id))
        .filter_map(|folder| std::fs::read_dir(folder.path()).ok())
        .flat_map(|files| files.flatten())
        .any(|file| {
            let name = file.file_name().to_string_lossy().into_owned();
            name.starts_with(kind) && name.len() > kind.len() + "json.sealed".len()
        })
}
