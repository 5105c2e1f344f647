//! A relay that has the true relay's certificate and log key, and lies: what it sends a client ends in a refusal that says why,
//! with the letter still in the outbox, nothing written where it does not belong, and no command to the terminal.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use formats::trail::{LogKey, commitment};
use formats::wire::Receipt;
use kit::{Asked, Desk, Lie, MaliciousRelay, Pair, Stage, measured};
use serde_json::{Value, json};

#[path = "malicious_relay/fetched.rs"]
mod fetched;

/// What a client may have resident, whatever it is told.
const MEMORY: u64 = 256 << 20;
/// What would command a terminal, forge a line or turn it round.
const EVIL: &str = "TEST\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\u{202e}\r\n0193  Accepted  everything is well";

/// A clinic and a hospital, both behind a relay that lies.
struct Den {
    stage: Arc<Stage>,
    pair: Pair,
    before_clinic: MaliciousRelay,
    before_hospital: MaliciousRelay,
}

impl Den {
    fn new() -> Self {
        let stage = Stage::shared(|_| {});
        let pair = stage.pair();
        let before_clinic = MaliciousRelay::before(&stage.relay, &pair.clinic);
        let before_hospital = MaliciousRelay::before(&stage.relay, &pair.hospital);
        Self {
            stage,
            pair,
            before_clinic,
            before_hospital,
        }
    }

    /// A letter as a file at the clinic, and its id.
    fn letter(&self) -> (PathBuf, String) {
        let mut id = String::new();
        let container = self
            .stage
            .container(&self.pair, &self.stage.services.hpki().doctor(), |envelope, _| {
                id = envelope.id.to_string();
            });
        (self.pair.clinic.file(&format!("{id}.asice"), &container), id)
    }

    /// A letter the true relay has taken: its id, its bytes and its receipt.
    fn accepted(&self) -> (String, Vec<u8>, Receipt) {
        let (file, id) = self.letter();
        let bytes = fs::read(file).unwrap();
        let reply = self.pair.clinic.submit(&self.stage.relay, &bytes);
        assert_eq!(reply.status, 201);
        (id, bytes, serde_json::from_slice(&reply.body).unwrap())
    }

    /// Sends a new letter to a relay that lies so; the code it ends with. The letter must still be here.
    fn sent(&self, lie: impl Fn(&Asked, &dyn Fn() -> kit::Reply) -> Lie + Send + Sync + 'static) -> String {
        let (file, id) = self.letter();
        let bytes = fs::read(&file).unwrap();
        self.before_clinic.says(lie);
        let (code, _) = heard(&self.pair.clinic, &["send", file.to_str().unwrap()]);
        let home = self.pair.clinic.home();
        let places = ["outbox", "refused"].map(|folder| home.join(folder).join(&id).join("container.asice"));
        let kept = places.iter().find_map(|place| fs::read(place).ok());
        // What fails before the outbox leaves the file that was to be sent.
        assert!(
            kept.is_none_or(|kept| kept == bytes) && fs::read(&file).unwrap() == bytes,
            "{code}: the letter is lost"
        );
        assert!(!home.join("sent").join(&id).exists(), "{code}: it counts as sent");
        code
    }
}

/// Runs a command that must fail: its code, and what it said. Once for programs, measured, and once for people.
fn heard(desk: &Desk, arguments: &[&str]) -> (String, String) {
    let told = measured(desk.command().arg("--json").args(arguments));
    let text = quiet(&told.output);
    assert!(!told.output.status.success(), "{arguments:?}: {text}");
    assert!(told.peak < MEMORY, "{arguments:?} had {} bytes resident", told.peak);
    let value: Value = serde_json::from_slice(&told.output.stdout).unwrap_or_else(|error| panic!("{error}: {text}"));
    (value["code"].as_str().unwrap_or_default().to_owned(), text)
}

/// Everything a program said, which must not command the terminal.
fn quiet(output: &Output) -> String {
    let text = format!(
        "{}{}",
        std::str::from_utf8(&output.stdout).unwrap(),
        std::str::from_utf8(&output.stderr).unwrap()
    );
    let commands = |c: char| (c.is_control() && c != '\n') || matches!(c, '\u{202a}'..='\u{202e}');
    assert!(!text.contains(commands), "{text:?}");
    assert!(!text.contains("panicked"), "{text}");
    text
}

/// A lie about one path; else the truth.
fn about(
    path: &'static str,
    lie: impl Fn(Value) -> Lie + Send + Sync + 'static,
) -> impl Fn(&Asked, &dyn Fn() -> kit::Reply) -> Lie + Send + Sync + 'static {
    move |asked, ask| {
        if asked.target.split('?').next() == Some(path) {
            lie(ask().json())
        } else {
            Lie::truth(&ask())
        }
    }
}

/// The same for a path that ends so.
fn at_the_end(
    end: &'static str,
    lie: impl Fn(Value) -> Lie + Send + Sync + 'static,
) -> impl Fn(&Asked, &dyn Fn() -> kit::Reply) -> Lie + Send + Sync + 'static {
    move |asked, ask| {
        if asked.target.split('?').next().unwrap().ends_with(end) {
            lie(ask().json())
        } else {
            Lie::truth(&ask())
        }
    }
}

/// The receipt of a log of one record, signed by `key`.
fn forged(id: &str, body: String, key: &LogKey) -> Vec<u8> {
    let salt = [7; 32];
    // RFC 6962 §2.1: the root of a tree of one leaf is the leaf's hash.
    let root = formats::digest::sha256(&[&[0], commitment(&salt, body.as_bytes()).as_slice()].concat());
    let checkpoint = key.sign(1, &root).unwrap();
    let receipt = Receipt::new(id.parse().unwrap(), 0, body, &salt, &[], &checkpoint);
    receipt.verify(key.vkey()).unwrap();
    serde_json::to_vec(&receipt).unwrap()
}

fn log_key(stage: &Stage) -> LogKey {
    LogKey::parse(&fs::read_to_string(stage.relay.folder().join("keys/log.key")).unwrap()).unwrap()
}

#[test]
fn no_false_receipt_takes_a_letter_out_of_the_outbox() {
    let den = Den::new();
    let (_, _, other) = den.accepted();
    let (file, _) = den.letter();
    // The first letter goes out honestly: from then on the log's key is known.
    den.pair.clinic.json(["send", file.to_str().unwrap()]).expect(0);

    let another = serde_json::to_vec(&other).unwrap();
    let code = den.sent(about("/v1/submissions", move |_| Lie::json(201, another.clone())));
    assert_eq!(code, "receipt_invalid", "the receipt of another letter");

    let key = log_key(&den.stage);
    let code = den.sent(about("/v1/submissions", move |truth| {
        let id = truth["id"].as_str().unwrap();
        let mut body: Value = serde_json::from_str(truth["body"].as_str().unwrap()).unwrap();
        change(&mut body, "container_sha256", &"ab".repeat(32));
        Lie::json(201, forged(id, body.to_string(), &key))
    }));
    assert_eq!(code, "receipt_invalid", "the log's own key over other bytes");

    let (stranger, _) = LogKey::from_seed(log_key(&den.stage).name(), &[1; 32]).unwrap();
    let code = den.sent(about("/v1/submissions", move |truth| {
        let body = truth["body"].as_str().unwrap().to_owned();
        Lie::json(201, forged(truth["id"].as_str().unwrap(), body, &stranger))
    }));
    assert_eq!(code, "receipt_invalid", "another key of the same name");

    let code = den.sent(about("/v1/submissions", |mut truth| {
        let proof = truth["proof"].as_str().unwrap().replace("\nindex ", "\nindex 1");
        truth["proof"] = proof.into();
        Lie::json(201, truth.to_string())
    }));
    assert_eq!(code, "receipt_invalid", "another place in the log");

    let code = den.sent(about("/v1/submissions", |mut truth| {
        let proof = truth["proof"].as_str().unwrap();
        let (head, signature) = proof.trim_end().rsplit_once(' ').unwrap();
        let turned: String = signature.chars().rev().filter(|c| *c != '=').collect();
        truth["proof"] = format!("{head} {turned}\n").into();
        Lie::json(201, truth.to_string())
    }));
    assert_eq!(code, "receipt_invalid", "a forged checkpoint");

    let id = other.id.to_string();
    let code = den.sent(about("/v1/submissions", move |_| {
        let pending = json!({ "id": id, "state": "PendingEvidence", "waiting_for": EVIL, "deadline": EVIL });
        Lie::json(202, pending.to_string())
    }));
    assert_eq!(code, "relay_answer", "another letter is pending");

    let (stranger, _) = LogKey::from_seed("relay.example/trail", &[2; 32]).unwrap();
    let vkey = stranger.vkey().to_owned();
    let code = den.sent(about("/v1/policy", move |mut truth| {
        truth["log_vkey"] = vkey.clone().into();
        Lie::json(200, truth.to_string())
    }));
    assert_eq!(code, "log_key_changed");
    let sent: Vec<_> = fs::read_dir(den.pair.clinic.home().join("sent")).unwrap().collect();
    assert_eq!(sent.len(), 1);

    // A relay that tells the truth again takes all that waits.
    den.before_clinic.says(|_, ask| Lie::truth(&ask()));
    let waiting = den.pair.clinic.json(["send"]).expect(0);
    assert_eq!(waiting.json.as_array().unwrap().len(), 6, "{}", waiting.text);
}

/// Sets every field of this name.
fn change(value: &mut Value, name: &str, to: &str) {
    match value {
        Value::Object(fields) => {
            for (key, field) in fields {
                if key == name {
                    *field = to.into();
                } else {
                    change(field, name, to);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| change(item, name, to)),
        _ => {}
    }
}

#[test]
fn nobody_is_sent_to_another_host() {
    let den = Den::new();
    let elsewhere = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let (port, visits) = (elsewhere.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
    let counting = Arc::clone(&visits);
    std::thread::spawn(move || {
        for _ in elsewhere.incoming().flatten() {
            counting.fetch_add(1, Ordering::Relaxed);
        }
    });
    for place in [
        format!("https://127.0.0.1:{port}/elsewhere"),
        format!("@127.0.0.1:{port}/v1/uploads/1"),
        format!("127.0.0.1:{port}"),
        "/v1/submissions".to_owned(),
        "*".to_owned(),
        String::new(),
    ] {
        let told = place.clone();
        let code = den.sent(about("/v1/uploads", move |_| {
            Lie::Answer(201, vec![("location".into(), told.clone())], Vec::new())
        }));
        assert_eq!(code, "relay_answer", "{place}");
    }
    // Of a whole URL the path counts, at the relay that is known.
    let code = den.sent(move |asked, ask| match asked.method.as_str() {
        "POST" if asked.target == "/v1/uploads" => {
            let place = format!("https://127.0.0.1:{port}/v1/uploads/1");
            Lie::Answer(201, vec![("location".into(), place)], Vec::new())
        }
        "PATCH" => Lie::Answer(204, vec![("upload-offset".into(), u64::MAX.to_string())], Vec::new()),
        _ => Lie::truth(&ask()),
    });
    assert_eq!(code, "relay_answer");
    for status in [301, 302, 307, 308] {
        let place = format!("https://127.0.0.1:{port}/v1/submissions");
        let code = den.sent(about("/v1/submissions", move |_| {
            Lie::Answer(status, vec![("location".into(), place.clone())], Vec::new())
        }));
        assert_eq!(code, "relay_answer", "{status}");
    }
    let (id, ..) = den.accepted();
    den.before_hospital.says(at_the_end("/acknowledgement", move |_| {
        let place = format!("https://127.0.0.1:{port}/");
        Lie::Answer(302, vec![("location".into(), place)], Vec::new())
    }));
    let out = den.pair.hospital.path("out");
    let arguments = [
        "fetch",
        &id,
        "--person",
        "staff",
        "--acknowledge",
        "--out",
        out.to_str().unwrap(),
    ];
    let (code, _) = heard(&den.pair.hospital, &arguments);
    assert_eq!(code, "relay_answer", "a redirection is no acknowledgement");
    assert_eq!(visits.load(Ordering::Relaxed), 0, "another host was asked");
}

#[test]
fn endless_and_bloated_answers_end() {
    let den = Den::new();
    let status = ["status", "0193569a-7c00-7000-8000-000000000001"];
    let list = |size: usize| [b"[".to_vec(), b"0,".repeat(size / 2), b"0]".to_vec()].concat();
    let report = format!(
        "{{\"type\":\"\",\"title\":\"\",\"status\":422,\"detail\":\"\",\"code\":\"validation_failed\",\"action\":\"\",\"report\":{}}}",
        String::from_utf8(list(4_000_000)).unwrap()
    );
    let gzip = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut encoder, &vec![b' '; 64 << 20]).unwrap();
        encoder.finish().unwrap()
    };
    let json = || vec![("content-type".to_owned(), "application/json".to_owned())];
    let encoded = [json(), vec![("content-encoding".to_owned(), "gzip".to_owned())]].concat();
    let lies = vec![
        (
            "a body without end",
            Lie::Endless(json(), b"[0,".repeat(10_000)),
            "relay_answer",
        ),
        (
            "blanks without end",
            Lie::Endless(json(), b" ".repeat(30_000)),
            "relay_answer",
        ),
        ("a hundred megabytes", Lie::json(200, list(100_000_000)), "relay_answer"),
        ("a list", Lie::json(200, list(15_000_000)), "relay_answer"),
        ("nested lists", Lie::json(200, b"[".repeat(15_000_000)), "relay_answer"),
        ("a report without end", Lie::json(422, report), "validation_failed"),
        ("a bomb", Lie::Answer(200, encoded, gzip), "relay_answer"),
        ("no JSON", Lie::json(200, EVIL), "relay_answer"),
        ("an error that is no problem", Lie::json(500, EVIL), "relay_answer"),
        ("no HTTP", Lie::Raw(EVIL.repeat(1000).into_bytes()), "relay_unreachable"),
        (
            "a head without end",
            Lie::Raw([b"HTTP/1.1 200 OK\r\n".to_vec(), b"a: b\r\n".repeat(1_000_000)].concat()),
            "relay_unreachable",
        ),
        (
            "a length that lies",
            Lie::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551615\r\n\r\n{}".to_vec()),
            "relay_unreachable",
        ),
        (
            "interim answers",
            Lie::Raw(b"HTTP/1.1 100 Continue\r\n\r\n".repeat(100_000)),
            "relay_unreachable",
        ),
    ];
    for (name, lie, expected) in lies {
        den.before_clinic.says(move |_, _| lie.clone());
        let (code, text) = heard(&den.pair.clinic, &status);
        assert_eq!(code, expected, "{name}: {text}");
    }
    den.before_clinic.says(|asked, _| {
        let after: u64 = asked.target.split(['=', '&']).nth(1).unwrap().parse().unwrap();
        let party = json!({ "facility": "1310000001", "name": "TEST", "department": null, "person": null });
        let item = json!({ "id": "0193569a-7c00-7000-8000-000000000001", "position": 1, "state": "Waiting",
            "received": "", "sender": party, "documents": [] });
        Lie::json(
            200,
            json!({ "items": vec![item; 20_000], "next": after + 1 }).to_string(),
        )
    });
    assert_eq!(
        heard(&den.pair.clinic, &["inbox"]).0,
        "relay_answer",
        "an inbox without end"
    );

    for (name, lie) in [
        ("a receipt without end", Lie::Endless(json(), b"[0,".repeat(10_000))),
        ("a receipt of a hundred megabytes", Lie::json(201, list(100_000_000))),
        ("a refusal of a hundred megabytes", Lie::json(422, list(100_000_000))),
    ] {
        let code = den.sent(about("/v1/submissions", move |_| lie.clone()));
        assert_eq!(code, "relay_answer", "{name}");
    }
}

#[test]
fn what_a_relay_says_does_not_command_the_terminal() {
    let den = Den::new();
    let (id, ..) = den.accepted();
    let problem = json!({ "type": EVIL, "title": EVIL, "status": 403, "detail": EVIL, "code": EVIL, "action": EVIL });
    let told = problem.to_string();
    den.before_hospital.says(move |_, _| Lie::json(403, told.clone()));
    for arguments in [&["inbox"][..], &["status", &id], &["fetch", &id, "--person", "staff"]] {
        for json in [&[][..], &["--json"]] {
            let output = den.pair.hospital.run(json.iter().chain(arguments));
            let text = quiet(&output);
            assert!(text.contains("TEST") && !output.status.success(), "{text}");
            assert!(
                !text.lines().any(|line| line.starts_with("0193  Accepted")),
                "a line of the relay's own: {text}"
            );
        }
    }
    den.before_hospital.says(|_, ask| {
        let mut truth = ask().json();
        for name in ["name", "kind", "time", "received", "actor", "department", "erase_after"] {
            if name != "kind" || truth.is_array() {
                change(&mut truth, name, EVIL);
            }
        }
        Lie::json(200, truth.to_string())
    });
    for arguments in [&["inbox"][..], &["status", &id]] {
        for json in [&[][..], &["--json"]] {
            let output = den.pair.hospital.run(json.iter().chain(arguments));
            let text = quiet(&output);
            assert!(text.contains("TEST"), "{text}");
            assert!(!text.lines().any(|line| line.starts_with("0193  Accepted")), "{text}");
        }
    }
}

#[test]
fn rubbish_is_neither_kept_nor_pinned_and_costs_no_device_its_certificate() {
    let den = Den::new();
    let clinic = &den.pair.clinic;
    let home = clinic.home();
    for (field, rubbish) in [
        ("log_vkey", json!(EVIL)),
        ("policy_toml", json!("minimum_level = \"none\"")),
        ("policy_toml", json!(EVIL)),
        ("hpki_anchors", json!([EVIL])),
        ("tsa_anchors", json!(["AAAA"])),
    ] {
        let code = den.sent(about("/v1/policy", move |mut truth| {
            truth[field] = rubbish.clone();
            Lie::json(200, truth.to_string())
        }));
        assert_eq!(code, "relay_answer", "{field}");
        assert!(!home.join("log.vkey").exists(), "{field}: its key was pinned");
    }
    let config = fs::read_to_string(home.join("config.toml")).unwrap();
    let soon = time::OffsetDateTime::now_utc() + time::Duration::days(3);
    let soon = soon.format(&time::format_description::well_known::Rfc3339).unwrap();
    let mut table: toml::Table = config.parse().unwrap();
    table.insert("not_after".into(), soon.into());
    fs::write(home.join("config.toml"), table.to_string()).unwrap();
    let before =
        ["device.pem", "device.key", "relay-ca.pem", "config.toml"].map(|name| fs::read(home.join(name)).unwrap());
    let ca = String::from_utf8(before[2].clone()).unwrap();
    for (field, rubbish) in [
        ("certificate_chain", ca.as_str()),
        ("certificate_chain", EVIL),
        ("api", "http://127.0.0.1:1"),
        ("device", "another"),
    ] {
        let (field, rubbish) = (field.to_owned(), rubbish.to_owned());
        den.before_clinic.says(about("/v1/devices/renewal", move |mut truth| {
            truth[&field] = rubbish.clone().into();
            Lie::json(201, truth.to_string())
        }));
        // The certificate in use is good for some days yet.
        let text = clinic.json(["inbox"]).expect(0).text;
        let after =
            ["device.pem", "device.key", "relay-ca.pem", "config.toml"].map(|name| fs::read(home.join(name)).unwrap());
        assert!(before == after, "{text}");
    }
    den.before_clinic.says(|_, ask| Lie::truth(&ask()));
    clinic.json(["inbox"]).expect(0);
}
