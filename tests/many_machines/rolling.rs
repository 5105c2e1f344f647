//! Relays restarted one after the other behind a balancer, under load: no request is refused.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use http::Request;
use kit::balancer::Balancer;
use kit::desk::append;
use serde_json::json;
use time::OffsetDateTime;

use super::many;

#[test]
fn relays_are_restarted_in_turn_and_no_request_is_refused() {
    let name = "relays_are_restarted_in_turn_and_no_request_is_refused";
    let Some(many) = many(name, 3, None, &[("drain", "2s".into())]) else {
        return;
    };
    let pair = many.pair();
    let balancer = Balancer::before(&many.relays);
    let https = pair.clinic.https_at(balancer.port());
    let over = AtomicBool::new(false);
    let sent = Mutex::new(Vec::new());
    let send = || {
        while !over.load(Ordering::SeqCst) {
            let mut id = String::new();
            let (envelope, files) = pair.referral(|envelope, _| envelope.id.as_str().clone_into(&mut id));
            let hpki = many.services.hpki();
            let options = kit::ContainerOptions::at(OffsetDateTime::now_utc());
            let bytes = hpki.container(&hpki.doctor(), &envelope, &files, options);
            // Each request once, on a connection of its own; whichever relay answers.
            let request = Request::post("/v1/uploads")
                .header("tus-resumable", "1.0.0")
                .header("upload-length", bytes.len());
            let begun = https.send(request, &[]).expect("an answer to a new upload");
            assert_eq!(begun.status, 201, "{}", begun.code());
            let place = begun.header("location").to_owned();
            let half = bytes.len() / 2;
            for (at, part) in [(0, &bytes[..half]), (half, &bytes[half..])] {
                let taken = https.send(append(&place, at as u64), part).expect("an answer to bytes");
                assert_eq!(taken.status, 204, "{}", taken.code());
            }
            let body = json!({ "upload": place }).to_string();
            let request = Request::post("/v1/submissions").header("content-type", "application/json");
            let receipt = https.send(request, body.as_bytes()).expect("an answer to a submission");
            assert_eq!(receipt.status, 201, "{}", receipt.code());
            sent.lock().unwrap().push((id, bytes));
        }
    };
    std::thread::scope(|scope| {
        let senders = [scope.spawn(send), scope.spawn(send)];
        for relay in &many.relays {
            let before = sent.lock().unwrap().len();
            relay.stop();
            assert!(relay.log().contains("stopping"), "{}", relay.log());
            relay.restart();
            // Under load all the while: somebody has sent something since.
            while sent.lock().unwrap().len() < before + 3 && !senders.iter().all(|sender| sender.is_finished()) {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        }
        over.store(true, Ordering::SeqCst);
    });
    let sent = sent.into_inner().unwrap();
    assert!(sent.len() >= 9, "{}", sent.len());
    println!(
        "{} letters while three relays were restarted in turn, none refused",
        sent.len()
    );
    for (at, (id, bytes)) in sent.iter().enumerate() {
        let relay = &many.relays[at % 3];
        let path = format!("/v1/submissions/{id}/container");
        let got = pair.hospital.get_as(relay, &path, "staff", &[]);
        assert!(got.status == 200 && got.body == *bytes, "{id}: {}", got.code());
    }
}
