//! Stock tus clients: what speaks tus 1.0 and has a device certificate can send.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use formats::wire::Receipt;
use kit::stage::SECRETS;
use kit::{Desk, RelayOptions, Stage};
use serde_json::Value;

/// Between client and relay: passes bytes on until the client has sent so many, then cuts the line.
struct Line {
    port: u16,
    left: Arc<AtomicU64>,
}

impl Line {
    fn to(relay: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let line = Self {
            port: listener.local_addr().unwrap().port(),
            left: Arc::new(AtomicU64::new(u64::MAX)),
        };
        let left = Arc::clone(&line.left);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(relay) = TcpStream::connect(("127.0.0.1", relay)) else {
                    return;
                };
                let (to, from) = (
                    (client.try_clone().unwrap(), relay.try_clone().unwrap()),
                    (relay, client),
                );
                let left = Arc::clone(&left);
                std::thread::spawn(move || carry(to.0, to.1, &left));
                std::thread::spawn(move || carry(from.0, from.1, &AtomicU64::new(u64::MAX)));
            }
        });
        line
    }

    fn cut_after(&self, bytes: u64) {
        self.left.store(bytes, Ordering::SeqCst);
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, left: &AtomicU64) {
    let mut buffer = [0; 8192];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        let before = left.load(Ordering::SeqCst);
        if before < read as u64 || to.write_all(&buffer[..read]).is_err() {
            break;
        }
        left.store(before - read as u64, Ordering::SeqCst);
    }
    // Either side may be gone already.
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

fn tuspy(python: &Path, desk: &Desk, line: &Line, file: &Path) -> Value {
    let home = desk.home();
    let output = Command::new(python)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/judges/tus_client.py"))
        .arg(format!("https://127.0.0.1:{}/v1/uploads", line.port))
        .args([
            file,
            &home.join("device.pem"),
            &home.join("device.key"),
            &desk.path("uploads.json"),
        ])
        .env("REQUESTS_CA_BUNDLE", home.join("relay-ca.pem"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn tuspy_uploads_is_cut_off_and_resumes() {
    let python = kit::house::python().filter(|_| kit::house::python_package("tusclient").is_some());
    let Some(python) = python else {
        return kit::skip("tuspy_uploads_is_cut_off_and_resumes", "no tuspy in target/venv");
    };
    let stage = Stage::new(&RelayOptions::default());
    let pair = stage.pair();
    let container = stage.container(&pair, &stage.services.hpki().doctor(), |_, files| {
        // Large enough to be cut in the middle, not in some buffer.
        files[2]
            .1
            .extend((0..3_000_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8));
    });
    let file = pair.clinic.file("container.asice", &container);
    let line = Line::to(stage.relay.api_port());

    line.cut_after(1_500_000);
    let first = tuspy(&python, &pair.clinic, &line, &file);
    assert_eq!(first["began"], 0);
    assert!(first["stopped_by"].is_string(), "the line was cut: {first}");
    line.cut_after(u64::MAX);
    let second = tuspy(&python, &pair.clinic, &line, &file);
    assert_eq!(
        (&second["url"], &second["stopped_by"]),
        (&first["url"], &Value::Null),
        "{second}"
    );
    let began = second["began"].as_u64().unwrap();
    assert!(
        began > 1_000_000 && began < container.len() as u64,
        "it went on from {began}"
    );
    assert_eq!(second["ended"], container.len());

    let place = second["url"].as_str().unwrap();
    let place = &place[place.find("/v1/uploads/").unwrap()..];
    let receipt = pair.clinic.submit_upload(&stage.relay, place);
    assert_eq!(receipt.status, 201, "{}", receipt.json());
    let receipt: Receipt = serde_json::from_slice(&receipt.body).unwrap();
    let id = receipt.id;
    let fetched = pair
        .hospital
        .get_as(&stage.relay, &format!("/v1/submissions/{id}/container"), "staff", &[]);
    assert!(
        fetched.status == 200 && fetched.body == container,
        "what was sent is not what comes out"
    );
    stage.relay.assert_log_keeps_quiet(&SECRETS);
}
