//! Uploads that break, and a disk that is full.

use kit::Fault;

use super::*;

#[test]
fn uploads_that_go_wrong_can_be_put_right() {
    let stage = Stage::new(&RelayOptions {
        limits: vec![("max_container", "1MiB".into())],
        ..RelayOptions::default()
    });
    let pair = stage.pair();
    let relay = &stage.relay;
    let good = stage.container(&pair, &stage.services.hpki().doctor(), |_, _| {});
    let https = pair.clinic.https(relay);

    // Too large is said before any byte.
    let large = pair.clinic.begin_upload(relay, (1 << 20) + 1, None);
    assert_eq!((large.status, large.code().as_str()), (413, "too_large"));
    let place = pair
        .clinic
        .begin_upload(relay, good.len() as u64, None)
        .header("location")
        .to_owned();
    let early = pair.clinic.submit_upload(relay, &place);
    assert_eq!((early.status, early.code().as_str()), (409, "upload_incomplete"));

    // More than was announced, at the wrong place, with the wrong hash, without the protocol's version: each is told.
    let ahead = https.send(append(&place, 10), &good[10..20]).unwrap();
    assert_eq!((ahead.status, ahead.code().as_str()), (409, "offset_mismatch"));
    let wrong = format!("sha256 {}", STANDARD.encode([7; 32]));
    let wrong = https
        .send(append(&place, 0).header("upload-checksum", wrong), &good[..100])
        .unwrap();
    assert_eq!((wrong.status, wrong.code().as_str()), (460, "checksum_mismatch"));
    let bare = https.send(Request::patch(&place), &good[..100]).unwrap();
    assert_eq!((bare.status, bare.code().as_str()), (412, "tus_version"));

    // A line that breaks: what arrived is kept, and the rest goes on from there.
    https.break_off(append(&place, 0), good.len(), &good[..5000]).unwrap();
    let head = https
        .send(Request::head(&place).header("tus-resumable", "1.0.0"), &[])
        .unwrap();
    let offset: usize = head.header("upload-offset").parse().unwrap();
    assert!(offset <= 5000, "{offset}");
    let rest = https.send(append(&place, offset as u64), &good[offset..]).unwrap();
    assert_eq!(rest.status, 204, "{}", rest.json());
    let more = https.send(append(&place, good.len() as u64), b"more").unwrap();
    assert_eq!((more.status, more.code().as_str()), (413, "too_large"));
    let receipt = pair.clinic.submit_upload(relay, &place);
    assert_eq!(receipt.status, 201, "{}", receipt.json());

    // The whole is not what was announced.
    let other = stage.container(&pair, &stage.services.hpki().doctor(), |_, _| {});
    let begun = pair
        .clinic
        .begin_upload(relay, other.len() as u64, Some(&"0".repeat(64)));
    let sent = https.send(append(begun.header("location"), 0), &other).unwrap();
    assert_eq!((sent.status, sent.code().as_str()), (460, "checksum_mismatch"));
    let gone = https
        .send(
            Request::delete(begun.header("location")).header("tus-resumable", "1.0.0"),
            &[],
        )
        .unwrap();
    assert_eq!(gone.status, 204);
    for body in [
        "",
        "{",
        "{\"upload\": 1}",
        "{\"upload\": \"/v1/uploads/../../etc/passwd\"}",
        "{\"upload\":\"x\",\"y\":1}",
    ] {
        let request = Request::post("/v1/submissions").header("content-type", "application/json");
        let reply = https.send(request, body.as_bytes()).unwrap();
        assert!([400, 404].contains(&reply.status), "{body}: {}", reply.status);
    }
    assert_eq!(
        pair.hospital.get(relay, "/v1/inbox").json()["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    well(&stage);
}

#[test]
fn what_is_used_up_is_said_and_what_nobody_finishes_goes() {
    let stage = Stage::new(&RelayOptions {
        limits: vec![
            ("pending_per_facility", 1.into()),
            ("timestamps_per_device_per_hour", 2.into()),
            ("upload_expiry", "2s".into()),
        ],
        ..RelayOptions::default()
    });
    let pair = stage.pair();

    // One letter may wait for evidence; the second is told so and is not lost: it is the sender's still.
    stage.services.fault("/crl/", Some(Fault::Down));
    let held = pair.clinic.submit(
        &stage.relay,
        &stage.container(&pair, &stage.services.hpki().doctor(), |_, _| {}),
    );
    assert_eq!(held.status, 202, "{}", held.json());
    let next = pair.clinic.submit(
        &stage.relay,
        &stage.container(&pair, &stage.services.hpki().doctor(), |_, _| {}),
    );
    assert_eq!((next.status, next.code().as_str()), (429, "pending_limit"));
    stage.services.fault("/crl/", None);

    let stamp = |number: u8| {
        let request = formats::timestamp::Request {
            algorithm: formats::digest::DigestAlgorithm::Sha256,
            imprint: vec![number; 32],
            nonce: None,
            cert_req: true,
            policy: None,
        };
        let asked = Request::post("/v1/timestamps").header("content-type", "application/timestamp-query");
        pair.clinic.https(&stage.relay).send(asked, &request.encode()).unwrap()
    };
    assert_eq!((stamp(1).status, stamp(2).status), (200, 200));
    let third = stamp(3);
    assert_eq!((third.status, third.code().as_str()), (429, "quota"));

    // Nobody goes on with this upload: it expires, and its bytes go.
    let left = pair.clinic.begin_upload(&stage.relay, 1000, None);
    assert_eq!(left.status, 201);
    let place = left.header("location").to_owned();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let asked = Request::head(place.as_str()).header("tus-resumable", "1.0.0");
        let status = pair.clinic.https(&stage.relay).send(asked, &[]).unwrap().status;
        if status == 404 {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "still there: {status}");
        std::thread::sleep(std::time::Duration::from_millis(300));
    }
    well(&stage);
}

#[test]
fn a_full_disk_is_said_before_any_byte_and_deliveries_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let Some(small) = Tmpfs::mount(folder.path(), "320m") else {
        return kit::skip(
            "a_full_disk_is_said_before_any_byte_and_deliveries_go_on",
            "no right to mount a small disk",
        );
    };
    let stage = Stage::new(&RelayOptions {
        data: Some(folder.path().join("data")),
        ..RelayOptions::default()
    });
    let pair = stage.pair();
    let container = stage.container(&pair, &stage.services.hpki().doctor(), |_, _| {});
    let sent = pair.clinic.submit(&stage.relay, &container);
    assert_eq!(sent.status, 201, "{}", sent.json());
    let large = pair.clinic.begin_upload(&stage.relay, 200 << 20, None);
    assert_eq!((large.status, large.code().as_str()), (507, "no_space"));

    // What is left now is kept for the trail.
    std::fs::write(folder.path().join("other"), vec![1; 100 << 20]).unwrap();
    let little = pair.clinic.begin_upload(&stage.relay, 1000, None);
    assert_eq!((little.status, little.code().as_str()), (507, "no_space"));
    let id = sent.json()["id"].as_str().unwrap().to_owned();
    let fetched = pair
        .hospital
        .get_as(&stage.relay, &format!("/v1/submissions/{id}/container"), "staff", &[]);
    assert!(fetched.status == 200 && fetched.body == container);
    let acknowledge = Request::post(format!("/v1/submissions/{id}/acknowledgement")).header("hikyaku-person", "staff");
    assert_eq!(
        pair.hospital.https(&stage.relay).send(acknowledge, &[]).unwrap().status,
        200
    );

    std::fs::remove_file(folder.path().join("other")).unwrap();
    let again = stage.container(&pair, &stage.services.hpki().doctor(), |_, _| {});
    assert_eq!(
        pair.clinic.submit(&stage.relay, &again).status,
        201,
        "with room again, it takes in again"
    );
    well(&stage);
    drop(stage);
    drop(small);
}

/// A small disk in memory, unmounted when dropped.
struct Tmpfs<'a>(&'a std::path::Path);

impl<'a> Tmpfs<'a> {
    fn mount(folder: &'a std::path::Path, size: &str) -> Option<Self> {
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(folder)
            .output();
        mount
            .is_ok_and(|output| output.status.success())
            .then_some(Self(folder))
    }
}

impl Drop for Tmpfs<'_> {
    fn drop(&mut self) {
        // Lazily: a relay that a failed test leaves may still be ending.
        let _ = Command::new("umount").arg("-l").arg(self.0).output();
    }
}

/// Each report of a refusal is kept for years: a device that tries again and again must not fill the disk with them.
#[test]
fn reports_of_refusals_take_no_more_room_than_their_facility_may() {
    let stage = Stage::new(&RelayOptions {
        limits: vec![("refusal_reports", "1KiB".into())],
        ..RelayOptions::default()
    });
    let card = stage.services.hpki().card(revoked());
    let yesterday = OffsetDateTime::now_utc() - Duration::days(1);
    stage.services.revoke(&card, yesterday, CrlReason::KeyCompromise);
    let pair = stage.pair();
    let container = stage.container(&pair, &card, |_, _| {});
    let answer = pair.clinic.submit(&stage.relay, &container);
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (422, "validation_failed"),
        "{}",
        answer.json()
    );
    assert_eq!(
        answer.json()["report"]["sub_indication"],
        "REVOKED",
        "the answer has it all the same"
    );
    let kept = std::fs::read_dir(stage.relay.folder().join("data/containers"))
        .unwrap()
        .flatten();
    let kept: Vec<_> = kept
        .map(|entry| entry.file_name().into_string().unwrap())
        .filter(|name| name.starts_with("refused."))
        .collect();
    assert!(kept.is_empty(), "{kept:?}");
    let exported = stage.relay.admin(&["trail", "export", "--format", "jsonl"]);
    assert!(exported.contains("REVOKED"), "{exported}");
}
