//! `hikyaku send` killed in the middle of a large upload over a slow line: the next one goes on where the relay stands.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use formats::wire::Receipt;
use http::Request;
use kit::stage::Stage;
use kit::{Desk, RelayOptions, RelayProcess, letter_pdf};
use serde_json::Value;

const MIB: u64 = 1 << 20;
const SIZE: u64 = 200 * MIB;

#[test]
fn a_send_killed_in_the_middle_goes_on_where_the_relay_stands() {
    let stage = Stage::new(&RelayOptions::default());
    let pair = stage.pair();
    let line = Line::to(stage.relay.api_port());
    route(&pair.clinic, &stage.relay, line.port);
    let key = pair.clinic.soft_key(&stage.services.hpki().doctor());
    let letter = pair.clinic.file("letter.pdf", &letter_pdf());
    let large = pair.clinic.path("large.bin");
    fs::File::create(&large).unwrap().set_len(SIZE).unwrap();
    let later = ["send", "--later", letter.to_str().unwrap(), large.to_str().unwrap()];
    let later = later
        .into_iter()
        .chain(["--key", key.to_str().unwrap(), "--to", &pair.to]);
    let later = later.chain([
        "--patient-id",
        "1",
        "--patient-name",
        "試験　大",
        "--birth-date",
        "1970-01-01",
        "--sex",
        "F",
    ]);
    let id = pair.clinic.json(later).expect(0).json["id"]
        .as_str()
        .unwrap()
        .to_owned();

    line.slow.store(true, Ordering::Relaxed);
    let before = line.passed();
    let mut sending = pair.clinic.command();
    let mut sending = sending
        .arg("send")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while line.passed() - before < 20 * MIB {
        assert!(sending.try_wait().unwrap().is_none(), "the send ended on a slow line");
        assert!(Instant::now() < deadline, "nothing passes");
        std::thread::sleep(Duration::from_millis(10));
    }
    let second = pair.clinic.json(["send"]);
    let said = (&second.json[0]["id"], &second.json[0]["code"], second.exit);
    assert_eq!(said, (&id.as_str().into(), &"outbox_busy".into(), 2), "{}", second.text);
    assert!(sending.try_wait().unwrap().is_none(), "the second send ended the first");
    sending.kill().unwrap();
    sending.wait().unwrap();

    let stands = offset(&pair.clinic, &stage.relay, &id);
    assert!((MIB..SIZE).contains(&stands), "the relay stands at {stands}");
    line.slow.store(false, Ordering::Relaxed);
    let before = line.passed();
    let sent = pair.clinic.json(["send"]).expect(0);
    let passed = line.passed() - before;
    assert_eq!(
        (&sent.json[0]["id"], &sent.json[0]["state"]),
        (&id.as_str().into(), &"Accepted".into()),
        "{}",
        sent.text
    );
    let receipt: Receipt = serde_json::from_value(sent.json[0]["receipt"].clone()).unwrap();
    let vkey = pair.clinic.get(&stage.relay, "/v1/policy").json()["log_vkey"]
        .as_str()
        .unwrap()
        .to_owned();
    receipt.verify(&vkey).unwrap();
    // Framing and the small requests around it: far below what sending it all again would need.
    assert!(
        passed < SIZE - stands + 4 * MIB,
        "{passed} bytes passed, {stands} were there already"
    );
    assert_eq!(
        pair.clinic.json(["send"]).expect(0).json,
        serde_json::json!([]),
        "something is left in the outbox"
    );
    println!("killed with {stands} of {SIZE} bytes at the relay; {passed} passed afterwards");
}

/// How far the relay is with the upload the outbox remembers.
fn offset(clinic: &Desk, relay: &RelayProcess, id: &str) -> u64 {
    let state = fs::read(clinic.home().join("outbox").join(id).join("state.json")).unwrap();
    let state: Value = serde_json::from_slice(&state).unwrap();
    let request = Request::head(state["upload"].as_str().unwrap()).header("tus-resumable", "1.0.0");
    let reply = clinic.https(relay).send(request, &[]).unwrap();
    reply.header("upload-offset").parse().unwrap()
}

/// Sends the desk's requests through the line.
fn route(clinic: &Desk, relay: &RelayProcess, port: u16) {
    let file = clinic.home().join("config.toml");
    let config = fs::read_to_string(&file).unwrap();
    let (from, to) = (format!(":{}", relay.api_port()), format!(":{port}"));
    assert!(config.contains(&from), "{config}");
    fs::write(&file, config.replace(&from, &to)).unwrap();
}

/// A line to the relay that counts what goes up, and may be slow: 20 MiB a second.
struct Line {
    port: u16,
    passed: Arc<AtomicU64>,
    slow: Arc<AtomicBool>,
}

impl Line {
    fn to(relay: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let line = Self {
            port: listener.local_addr().unwrap().port(),
            passed: Arc::default(),
            slow: Arc::default(),
        };
        let (passed, slow) = (Arc::clone(&line.passed), Arc::clone(&line.slow));
        // Its threads end with the test's program.
        std::thread::spawn(move || {
            for desk in listener.incoming().flatten() {
                let Ok(relay) = TcpStream::connect(("127.0.0.1", relay)) else {
                    continue;
                };
                let (back, desk_back) = (relay.try_clone().unwrap(), desk.try_clone().unwrap());
                let (passed, slow) = (Arc::clone(&passed), Arc::clone(&slow));
                std::thread::spawn(move || pump(desk, relay, &passed, &slow));
                std::thread::spawn(move || pump(back, desk_back, &AtomicU64::new(0), &AtomicBool::new(false)));
            }
        });
        line
    }

    fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream, passed: &AtomicU64, slow: &AtomicBool) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
        passed.fetch_add(count as u64, Ordering::Relaxed);
        if slow.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_secs_f64(count as f64 / (20 * MIB) as f64));
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
