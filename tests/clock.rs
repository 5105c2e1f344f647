//! Clocks that differ: what is dated later than now, a relay whose clock runs away, and zones that change nothing.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::time::{Duration, Instant};

use kit::stage::Pair;
use kit::{ContainerOptions, RelayOptions, Stage};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

fn created(stage: &Stage, pair: &Pair, at: OffsetDateTime) -> Vec<u8> {
    stage.container(pair, &stage.services.hpki().doctor(), |envelope, _| {
        envelope.created = at.format(&Rfc3339).unwrap();
    })
}

#[test]
fn an_envelope_of_the_future_is_refused_with_both_times_and_an_old_one_is_welcome() {
    let stage = Stage::shared(|_| {});
    let pair = stage.pair();
    let now = OffsetDateTime::now_utc();
    let ahead = now + time::Duration::minutes(20);
    let refused = pair.clinic.submit(&stage.relay, &created(&stage, &pair, ahead));
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (422, "envelope_invalid"),
        "{}",
        refused.json()
    );
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    assert_eq!(detail.matches('Z').count(), 2, "theirs and ours, in UTC: {detail}");
    // Within the allowance, in another zone, and long ago.
    let zone = time::UtcOffset::from_hms(9, 0, 0).unwrap();
    for at in [
        now + time::Duration::minutes(2),
        now.to_offset(zone),
        now - time::Duration::days(400),
    ] {
        let taken = pair.clinic.submit(&stage.relay, &created(&stage, &pair, at));
        assert_eq!(taken.status, 201, "{at}: {}", taken.json());
    }
}

#[test]
fn a_token_and_lists_of_the_future_are_named_with_both_times() {
    let stage = Stage::shared(|_| {});
    let pair = stage.pair();
    let (envelope, files) = pair.referral(|_, _| {});
    let ahead = OffsetDateTime::now_utc() + time::Duration::minutes(30);
    let container = stage.services.hpki().container(
        &stage.services.hpki().doctor(),
        &envelope,
        &files,
        ContainerOptions::at(ahead),
    );
    let file = pair.hospital.file("ahead.asice", &container);
    let evidence = pair.hospital.path("evidence");
    let trust = stage.relay.folder().join("trust");
    let verify = |lists: OffsetDateTime, at: OffsetDateTime| {
        stage.services.hpki().write_evidence(&evidence, lists, &[]);
        pair.hospital.json([
            "verify",
            file.to_str().unwrap(),
            "--trust",
            trust.to_str().unwrap(),
            "--evidence",
            evidence.to_str().unwrap(),
            "--at",
            &at.format(&Rfc3339).unwrap(),
        ])
    };
    let details = |spoken: &kit::Spoken, word: &str| {
        let checks = spoken.json["checks"].as_array().unwrap().clone();
        let details = checks.iter().map(|check| check["detail"].as_str().unwrap().to_owned());
        details.filter(|detail| detail.contains(word)).collect::<Vec<_>>()
    };
    // The stamp is half an hour ahead.
    let spoken = verify(ahead - time::Duration::hours(1), ahead - time::Duration::minutes(30));
    assert_ne!(spoken.exit, 0, "{}", spoken.text);
    let late = details(&spoken, "it is later");
    assert!(late.len() == 1 && late[0].matches('Z').count() == 2, "{late:?}");
    // The lists are a day ahead.
    let spoken = verify(ahead + time::Duration::days(1), ahead);
    assert_eq!(spoken.json["sub_indication"], "TRY_LATER", "{}", spoken.text);
    let late = details(&spoken, "dated later");
    assert!(
        !late.is_empty() && late.iter().all(|detail| detail.matches('Z').count() >= 2),
        "{late:?}"
    );
    // Within the allowance of five minutes nothing is said against it.
    let spoken = verify(ahead + time::Duration::minutes(4), ahead);
    assert_eq!(spoken.json["indication"], "TOTAL-PASSED", "{}", spoken.text);
}

#[test]
fn a_clock_that_runs_away_makes_the_relay_not_ready_until_it_is_back() {
    let stage = Stage::new(&RelayOptions::default());
    let until = |status: u16| {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let ready = stage.relay.portal("/readyz");
            if ready.status == status {
                return ready.json();
            }
            assert!(Instant::now() < deadline, "{}\n{}", ready.json(), stage.relay.log());
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    until(200);
    // The authorities' clock goes on by three minutes; the relay, which has no other to compare with, calls itself wrong.
    stage
        .services
        .set_now(Some(OffsetDateTime::now_utc() + time::Duration::minutes(3)));
    stage.relay.stop();
    stage.relay.restart();
    let said = until(503);
    let reason = said["reasons"].to_string();
    assert!(
        reason.contains("the clock here said") && reason.matches('Z').count() == 2,
        "{reason}"
    );
    let figures = String::from_utf8(stage.relay.portal("/metrics").body).unwrap();
    let drift = figures
        .lines()
        .find(|line| line.starts_with("hikyaku_timestamp_drift_seconds"));
    assert!(drift.is_some(), "{figures}");
    stage.services.set_now(None);
    until(200);
}

#[test]
fn a_clock_that_runs_ahead_records_nothing_until_it_is_right() {
    let stage = Stage::new(&RelayOptions::default());
    let until = |status: u16| {
        let deadline = Instant::now() + Duration::from_secs(60);
        while stage.relay.portal("/readyz").status != status {
            assert!(Instant::now() < deadline, "{}", stage.relay.log());
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    until(200);
    let pair = stage.pair();
    let sealed = created(&stage, &pair, OffsetDateTime::now_utc());
    let back = OffsetDateTime::now_utc() - time::Duration::minutes(3);
    stage.services.set_now(Some(back));
    stage.relay.stop();
    stage.relay.restart();
    until(503);
    let size = || {
        let checkpoint = pair.clinic.get(&stage.relay, "/v1/trail/checkpoint");
        String::from_utf8(checkpoint.body)
            .unwrap()
            .lines()
            .nth(1)
            .unwrap()
            .to_owned()
    };
    let before = size();
    let refused = stage.relay.try_admin(&["facility", "add", "x-ahead", "TEST"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && said.contains("the clock here said"),
        "{said}"
    );
    let refused = pair.clinic.submit(&stage.relay, &sealed);
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (503, "store_unavailable"),
        "{}",
        refused.json()
    );
    assert!(refused.json()["detail"].as_str().unwrap().matches('Z').count() == 2);
    assert_eq!(size(), before);
    stage.services.set_now(None);
    until(200);
    let taken = pair.clinic.submit(&stage.relay, &sealed);
    assert_eq!(taken.status, 201, "{}", taken.json());
}

/// Software that judged in local time refused signatures as an hour in the future when summer time ended.
#[test]
fn the_zone_of_the_machine_changes_nothing() {
    let plain = Stage::shared(|_| {});
    let pair = plain.pair();
    let sealed = created(&plain, &pair, OffsetDateTime::now_utc());
    let file = pair.hospital.file("letter.asice", &sealed);
    let evidence = pair.hospital.path("evidence");
    plain
        .services
        .hpki()
        .write_evidence(&evidence, OffsetDateTime::now_utc(), &[]);
    let at = OffsetDateTime::now_utc().format(&Rfc3339).unwrap();
    let verify = |zone: &str| {
        let mut command = pair.hospital.command();
        command
            .env("TZ", zone)
            .args(["--json", "verify"])
            .arg(&file)
            .args(["--at", &at]);
        command.arg("--trust").arg(plain.relay.folder().join("trust"));
        let output = command.arg("--evidence").arg(&evidence).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        output.stdout
    };
    let utc = verify("UTC");
    for zone in [
        "Europe/Berlin",
        "Asia/Tokyo",
        "America/New_York",
        "CET-1CEST,M3.5.0,M10.5.0/3",
    ] {
        assert!(verify(zone) == utc, "{zone}");
    }
    for zone in ["Europe/Berlin", "Asia/Tokyo"] {
        let stage = Stage::new(&RelayOptions {
            environment: vec![("TZ", zone)],
            ..RelayOptions::default()
        });
        let pair = stage.pair();
        let taken = pair
            .clinic
            .submit(&stage.relay, &created(&stage, &pair, OffsetDateTime::now_utc()));
        assert_eq!(taken.status, 201, "{zone}: {}", taken.json());
        let exported = stage.relay.admin(&["trail", "export", "--format", "jsonl"]);
        assert!(
            !exported.contains("+01:00") && !exported.contains("+09:00"),
            "{exported}"
        );
        assert_eq!(stage.relay.portal("/readyz").status, 200);
    }
}
