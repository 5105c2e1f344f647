//! What goes wrong on the way to the bucket: nothing is acknowledged that is not there.

use std::time::Duration;

use http::Request;
use kit::desk::append;
use kit::{Bucket, ContainerOptions, Many, Pair, S3Fault, S3Faults, skip};
use time::OffsetDateTime;

use super::many;

/// A letter of the pair's, signed and stamped now.
fn letter(many: &Many, pair: &Pair) -> (String, Vec<u8>) {
    let mut id = String::new();
    let (envelope, files) = pair.referral(|envelope, _| envelope.id.as_str().clone_into(&mut id));
    let hpki = many.services.hpki();
    let options = ContainerOptions::at(OffsetDateTime::now_utc());
    (id, hpki.container(&hpki.doctor(), &envelope, &files, options))
}

#[test]
fn a_bucket_that_refuses_is_slow_or_loses_what_it_was_given_loses_no_letter() {
    let name = "a_bucket_that_refuses_is_slow_or_loses_what_it_was_given_loses_no_letter";
    let Some(server) = Bucket::shared() else {
        return skip(name, "SeaweedFS is not installed");
    };
    let way = S3Faults::before(server.port());
    let Some(many) = many(name, 2, Some(&way.endpoint()), &[]) else {
        return;
    };
    let pair = many.pair();
    let [one, two] = &many.relays[..] else { panic!() };

    // An answer of 200 that is not true is found out, and the object put again.
    for lost in 1..=2 {
        way.set(Some(S3Fault::Loses(lost)));
        let (before, (id, bytes)) = (way.met(), letter(&many, &pair));
        let sent = pair.clinic.submit(one, &bytes);
        assert_eq!(
            sent.status,
            201,
            "{}\n{}",
            String::from_utf8_lossy(&sent.body),
            one.log()
        );
        assert_eq!(way.met(), before + lost);
        let got = pair
            .hospital
            .get_as(two, &format!("/v1/submissions/{id}/container"), "staff", &[]);
        assert!(got.status == 200 && got.body == bytes, "{}", two.log());
    }
    // A bucket that never keeps anything: nothing is acknowledged, and the upload goes on where it was when it does again.
    let (id, bytes) = letter(&many, &pair);
    let begun = pair.clinic.begin_upload(one, bytes.len() as u64, None);
    let place = begun.header("location").to_owned();
    way.set(Some(S3Fault::Loses(u64::MAX)));
    let refused = pair.clinic.https(one).send(append(&place, 0), &bytes).unwrap();
    assert_eq!((refused.status, refused.code().as_str()), (503, "store_unavailable"));
    way.set(None);
    let head = Request::head(&place).header("tus-resumable", "1.0.0");
    let offset = pair.clinic.https(two).send(head, &[]).unwrap();
    assert_eq!(offset.header("upload-offset"), "0");
    // Slow: it takes longer, and that is all. Refusing for a while: it is tried again.
    way.set(Some(S3Fault::Slow(Duration::from_millis(150))));
    let sent = pair.clinic.https(two).send(append(&place, 0), &bytes).unwrap();
    assert_eq!(sent.status, 204, "{}", two.log());
    way.set(Some(S3Fault::Refuses));
    let answered = std::thread::scope(|scope| {
        let answer = scope.spawn(|| pair.clinic.submit_upload(one, &place));
        std::thread::sleep(Duration::from_millis(700));
        way.set(None);
        answer.join().unwrap()
    });
    assert_eq!(answered.status, 201, "{}", one.log());
    for relay in [one, two] {
        let got = pair
            .hospital
            .get_as(relay, &format!("/v1/submissions/{id}/container"), "staff", &[]);
        assert!(got.status == 200 && got.body == bytes, "{}", relay.log());
    }
}
