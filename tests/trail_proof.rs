//! The trail proves itself: exports, proofs, tiles, stamps and witnesses of a real relay, judged by the client, by a judge in Python
//! that follows the definitions, and every manner of tampering found.

#[path = "trail_proof/shown.rs"]
mod shown;
#[path = "trail_proof/tampering.rs"]
mod tampering;
#[path = "trail_proof/token.rs"]
mod token;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use formats::trail::{Checkpoint, Tile};
use kit::{Pair, RelayOptions, Stage, Witness, WitnessFault};
use serde_json::Value;
use toml::Table;

/// A relay whose log two witnesses cosign, with one letter sent and fetched.
struct Watched {
    stage: Stage,
    pair: Pair,
    witnesses: [Witness; 2],
    vkey: String,
    folder: tempfile::TempDir,
}

impl Watched {
    fn new() -> Self {
        let witnesses = [Witness::start("one.example/w", 1), Witness::start("two.example/w", 2)];
        let named = witnesses.iter().map(|witness| {
            let mut table = Table::new();
            table.insert("url".into(), witness.url().into());
            table.insert("vkey".into(), witness.vkey().into());
            toml::Value::Table(table)
        });
        let options = RelayOptions {
            more: vec![
                ("log", "witness", toml::Value::Array(named.collect())),
                ("log", "witness_every", "1s".into()),
            ],
            ..RelayOptions::default()
        };
        let stage = Stage::new(&options);
        let vkey = fs::read_to_string(stage.relay.folder().join("keys/log.vkey"))
            .unwrap()
            .trim()
            .to_owned();
        witnesses.iter().for_each(|witness| witness.knows(&vkey));
        let pair = stage.pair();
        let watched = Self {
            stage,
            pair,
            witnesses,
            vkey,
            folder: tempfile::tempdir().unwrap(),
        };
        watched.send();
        watched
    }

    fn send(&self) -> u64 {
        let card = self.stage.services.hpki().doctor();
        let container = self.stage.container(&self.pair, &card, |_, _| ());
        let taken = self.pair.clinic.submit(&self.stage.relay, &container);
        assert_eq!(taken.status, 201, "{}", taken.json());
        taken.json()["position"].as_u64().unwrap()
    }

    fn origin(&self) -> &str {
        self.vkey.split('+').next().unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn keep(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    fn export(&self, arguments: &[&str]) -> String {
        let all = [&["trail", "export", "--format", "jsonl"], arguments].concat();
        self.stage.relay.admin(&all)
    }

    fn get(&self, path: &str) -> Vec<u8> {
        let reply = self.pair.clinic.get_as(&self.stage.relay, path, "staff", &[]);
        assert_eq!(reply.status, 200, "{path}");
        reply.body
    }

    fn text(&self, path: &str) -> String {
        String::from_utf8(self.get(path)).unwrap()
    }

    /// Until both witnesses have cosigned everything there is.
    fn cosigned(&self) -> String {
        until("the witnesses cosign", || {
            let newest = self.text("/v1/trail/checkpoint");
            (newest.lines().filter(|line| line.starts_with('—')).count() == 3).then_some(newest)
        })
    }

    /// `hikyaku trail verify FILE --log-key … ARGUMENTS --json`: exit code and answer.
    fn verify(&self, file: &Path, arguments: &[&str]) -> (i32, Value) {
        let output = Command::new(kit::bin("hikyaku"))
            .args(["trail", "verify", "--json", "--log-key", &self.vkey])
            .arg(file)
            .args(arguments)
            .output()
            .unwrap();
        let answer = serde_json::from_slice(&output.stdout);
        (
            output.status.code().unwrap(),
            answer.unwrap_or_else(|_| panic!("{output:?}")),
        )
    }
}

/// Asks again until there is something, for at most half a minute.
fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within half a minute");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The judge in Python, with the interpreter that has `cryptography`.
fn judge(arguments: &[&str]) -> Option<Output> {
    let venv = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/venv/bin/python"));
    let python = if venv.is_file() { venv } else { Path::new("python3") };
    let able = Command::new(python).args(["-c", "import cryptography"]).output();
    if !able.is_ok_and(|output| output.status.success()) {
        kit::skip("tlog_judge", "no python3 with cryptography");
        return None;
    }
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/judges/tlog_judge.py");
    Some(
        Command::new(python)
            .arg("-B")
            .arg(program)
            .args(arguments)
            .output()
            .unwrap(),
    )
}

fn judged_good(arguments: &[&str]) -> String {
    let Some(output) = judge(arguments) else {
        return String::new();
    };
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{arguments:?}: {told}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    told
}

#[test]
fn a_relays_log_is_what_the_definitions_say() {
    let watched = Watched::new();
    let [one, two] = &watched.witnesses;
    let old = watched.cosigned();
    let position = watched.send();
    let newest = watched.cosigned();
    let size = Checkpoint::verify(&newest, &watched.vkey).unwrap().size;
    assert!(one.size(watched.origin()) >= size && two.size(watched.origin()) >= size);

    // The whole trail, by the client against everything at hand, and by the judge.
    let all = watched.keep("all.jsonl", &watched.export(&[]));
    let (old, newest) = (
        watched.keep("old.checkpoint", &old),
        watched.keep("new.checkpoint", &newest),
    );
    let held = [
        "--checkpoint",
        old.to_str().unwrap(),
        "--checkpoint",
        newest.to_str().unwrap(),
    ];
    let witnessed = ["--witness", one.vkey(), "--witness", two.vkey()];
    let (code, verdict) = watched.verify(&all, &[&held[..], &witnessed[..]].concat());
    assert_eq!(code, 0, "{verdict}");
    assert_eq!(
        (&verdict["valid"], &verdict["conclusive"]),
        (&true.into(), &true.into())
    );
    assert!(
        verdict["witnesses"]
            .as_array()
            .unwrap()
            .iter()
            .all(|one| one["size"].is_u64()),
        "{verdict}"
    );
    let told = judged_good(&["export", all.to_str().unwrap(), &watched.vkey, one.vkey(), two.vkey()]);
    println!("{told}");

    // A facility's part, as the facility itself gets it.
    let sizes = fs::read_to_string(&old).unwrap().lines().nth(1).unwrap().to_owned();
    let own = watched.keep(
        "own.jsonl",
        &watched.text(&format!("/v1/trail?format=jsonl&held={sizes}")),
    );
    let (code, verdict) = watched.verify(&own, &["--checkpoint", old.to_str().unwrap()]);
    assert_eq!(code, 0, "{verdict}");
    assert_eq!(verdict["facility"], watched.pair.from.as_str());
    assert_eq!(verdict["facility_seq"]["first"], 1);
    judged_good(&["export", own.to_str().unwrap(), &watched.vkey, one.vkey()]);

    // One record's proof.
    let proof = watched.path("record.tlog-proof");
    watched
        .stage
        .relay
        .admin(&["trail", "prove", &position.to_string(), "-o", proof.to_str().unwrap()]);
    let (code, verdict) = watched.verify(&proof, &[]);
    assert_eq!(
        (code, &verdict["kind"], &verdict["position"]),
        (0, &"Accepted".into(), &position.into())
    );
    judged_good(&["proof", proof.to_str().unwrap(), &watched.vkey]);
    // Compared with checkpoints: one as long, a shorter, a longer, and one of another log of that length.
    let text = fs::read_to_string(&proof).unwrap();
    let of_proof = Checkpoint::verify(formats::trail::checkpoint_in(&text), &watched.vkey).unwrap();
    let (size, root) = (of_proof.size, hex::encode(of_proof.root));
    watched.send();
    let longer = watched.keep("longer.checkpoint", &watched.text("/v1/trail/checkpoint"));
    for (checkpoint, expected) in [
        (proof.to_str().unwrap(), 0),
        (&format!("{size}:{root}"), 0),
        (old.to_str().unwrap(), 3),
        (longer.to_str().unwrap(), 1),
        (&format!("{size}:{}", "00".repeat(32)), 1),
    ] {
        let (code, verdict) = watched.verify(&proof, &["--checkpoint", checkpoint]);
        assert_eq!(code, expected, "{checkpoint}: {verdict}");
    }
    let broken = watched.keep(
        "broken.tlog-proof",
        &fs::read_to_string(&proof).unwrap().replace("index ", "index 1"),
    );
    assert_eq!(watched.verify(&broken, &[]).0, 1);
    if let Some(output) = judge(&["proof", broken.to_str().unwrap(), &watched.vkey]) {
        assert!(!output.status.success(), "the judge takes what is broken");
    }

    // The operator's own look.
    let live = watched
        .stage
        .relay
        .admin(&["trail", "verify", "--json", "--checkpoint", old.to_str().unwrap()]);
    let live: Value = serde_json::from_str(&live).unwrap();
    assert_eq!(
        (&live["valid"], &live["earlier"][0]["agrees"]),
        (&true.into(), &true.into())
    );
}

#[test]
fn tiles_make_the_checkpoint() {
    let watched = Watched::new();
    let size = Checkpoint::verify(&watched.text("/v1/trail/checkpoint"), &watched.vkey)
        .unwrap()
        .size;
    assert!(size < 256, "a short trail");
    let leaves = watched
        .pair
        .clinic
        .get(&watched.stage.relay, &format!("/v1/trail/tile/0/000.p/{size}"));
    assert_eq!(leaves.status, 200);
    assert!(leaves.header("cache-control").contains("immutable"));
    let bundle = watched.get(&format!("/v1/trail/tile/entries/000.p/{size}"));
    assert_eq!((leaves.body.len() as u64, bundle.len() as u64), (size * 32, size * 34));
    for (entry, leaf) in bundle.chunks(34).zip(leaves.body.chunks(32)) {
        let entry: &[u8; 32] = entry[2..].try_into().unwrap();
        assert_eq!(formats::trail::tree::leaf(entry), leaf);
    }
    assert!(Tile::parse(&format!("0/000.p/{size}")).unwrap().within(size));
    for absent in [
        "0/000",
        "0/001.p/1",
        "1/000.p/1",
        "9/000",
        "0/000.p/0",
        "entries/000.p/00",
        "entries/../../policy",
    ] {
        let reply = watched
            .pair
            .clinic
            .get(&watched.stage.relay, &format!("/v1/trail/tile/{absent}"));
        assert_eq!(reply.status, 404, "{absent}");
    }
}

#[test]
fn the_checkpoint_is_stamped_and_openssl_agrees() {
    let watched = Watched::new();
    let stamps = watched.stage.relay.data().join("log/stamps");
    let token = until("a stamp", || {
        let found = fs::read_dir(&stamps).ok()?.flatten().map(|entry| entry.path());
        found
            .into_iter()
            .find(|path| path.extension().is_some_and(|extension| extension == "tst"))
    });
    let note = token.with_extension("checkpoint");
    let checkpoint = Checkpoint::verify(&fs::read_to_string(&note).unwrap(), &watched.vkey).unwrap();
    judged_good(&["stamp", note.to_str().unwrap(), &watched.vkey]);
    let all = until("the record of the stamp", || {
        let all = watched.export(&[]);
        all.contains("CheckpointStamped").then_some(all)
    });
    let line = all.lines().find(|line| line.contains("CheckpointStamped")).unwrap();
    let line: Value = serde_json::from_str(line).unwrap();
    let body: Value = serde_json::from_str(line["body"].as_str().unwrap()).unwrap();
    assert_eq!(body["size"], checkpoint.size);
    let sha256 = |path: &Path| hex::encode(formats::digest::sha256(&fs::read(path).unwrap()));
    assert_eq!(
        (&body["token_sha256"], &body["checkpoint_sha256"]),
        (&sha256(&token).into(), &sha256(&note).into())
    );
    // One a day, not more.
    assert_eq!(all.matches("CheckpointStamped").count(), 1);

    let trust = watched.path("trust");
    watched.stage.services.hpki().write_trust(&trust);
    let anchor = fs::read_dir(trust.join("tsa")).unwrap().next().unwrap().unwrap().path();
    let pem = watched.keep("tsa.pem", &kit::pem("CERTIFICATE", &der(&anchor)));
    let output = Command::new("openssl")
        .args(["ts", "-verify", "-token_in", "-in"])
        .arg(&token)
        .arg("-data")
        .arg(&note)
        .arg("-CAfile")
        .arg(&pem)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A certificate's DER, of a DER or PEM file.
fn der(path: &Path) -> Vec<u8> {
    let bytes = fs::read(path).unwrap();
    let Some(rest) = bytes.strip_prefix(b"-----BEGIN CERTIFICATE-----") else {
        return bytes;
    };
    use base64::Engine as _;
    let text: String = String::from_utf8_lossy(rest)
        .lines()
        .take_while(|line| !line.starts_with("-----"))
        .collect();
    base64::engine::general_purpose::STANDARD.decode(text.trim()).unwrap()
}

#[test]
fn a_witness_that_fails_holds_nothing_up_and_one_that_signs_wrongly_is_not_believed() {
    let watched = Watched::new();
    let [one, two] = &watched.witnesses;
    watched.cosigned();
    one.fault(Some(WitnessFault::Down));
    two.fault(Some(WitnessFault::WrongSignature));
    let asked = (one.asked(), two.asked());
    let position = watched.send();
    until("both are asked", || {
        (one.asked() > asked.0 && two.asked() > asked.1).then_some(())
    });
    let newest = watched.text("/v1/trail/checkpoint");
    assert!(
        Checkpoint::verify(&newest, &watched.vkey).unwrap().size > position,
        "the letter is in the log"
    );
    assert_eq!(
        newest.lines().filter(|line| line.starts_with('—')).count(),
        1,
        "nobody cosigned: {newest}"
    );
    // What was cosigned before stays, and an export shows it.
    let all = watched.keep("all.jsonl", &watched.export(&[]));
    let (code, verdict) = watched.verify(&all, &["--witness", one.vkey()]);
    assert_eq!(code, 0, "{verdict}");
    let seen = verdict["witnesses"][0]["size"].as_u64().unwrap();
    assert!(seen < verdict["size"].as_u64().unwrap(), "{verdict}");
    // A witness nobody asked has not cosigned: not all that was asked could be told.
    let stranger = Witness::start("three.example/w", 3);
    let (code, verdict) = watched.verify(&all, &["--witness", stranger.vkey()]);
    assert_eq!((code, &verdict["witnesses"][0]["size"]), (3, &Value::Null));

    one.fault(None);
    two.fault(Some(WitnessFault::Refuses));
    until("the first cosigns again", || {
        let newest = watched.text("/v1/trail/checkpoint");
        newest.contains("— one.example/w").then_some(())
    });
    assert!(!watched.text("/v1/trail/checkpoint").contains("— two.example/w"));
    // What the other gave before is not lost over it.
    let all = watched.keep("all.jsonl", &watched.export(&[]));
    let (code, verdict) = watched.verify(&all, &["--witness", one.vkey(), "--witness", two.vkey()]);
    assert_eq!(code, 0, "{verdict}");
    let seen = |place: usize| verdict["witnesses"][place]["size"].as_u64().unwrap();
    assert!(seen(0) > position && seen(1) <= position, "{verdict}");
    assert!(
        watched
            .text("/v1/trail/checkpoint/witnessed")
            .contains("— one.example/w")
    );

    // While what each gave cannot be read nobody is asked, and nothing is written over it.
    let file = watched.stage.relay.folder().join("data/log/witnesses.json");
    let whole = fs::read(&file).unwrap();
    let said = || watched.stage.relay.log().matches("witnesses.json holds what").count();
    until("the relay says that it cannot read them", || {
        // A round that was under way may have put its own there.
        fs::write(&file, "torn").unwrap();
        watched.send();
        (said() > 0).then_some(())
    });
    let (asked, before) = ((one.asked(), two.asked()), said());
    watched.send();
    until("it has said so twice more", || (said() > before + 1).then_some(()));
    assert_eq!((one.asked(), two.asked()), asked);
    assert_eq!(fs::read(&file).unwrap(), b"torn");
    fs::write(&file, whole).unwrap();
    two.fault(None);
    watched.cosigned();
    watched.stage.relay.assert_log_keeps_quiet(&[]);
}

#[test]
fn the_kits_witness_takes_no_inconsistent_log() {
    use base64::Engine as _;
    let witness = Witness::start("one.example/w", 1);
    let (key, _) = formats::trail::LogKey::from_seed("relay.example/trail", &[5; 32]).unwrap();
    let note = |size: u64, root: u8| key.sign(size, &[root; 32]).unwrap();
    assert_eq!(
        witness.add_checkpoint(&format!("old 0\n\n{}", note(1, 1))).0,
        404,
        "not known"
    );
    witness.knows(key.vkey());
    let (status, line) = witness.add_checkpoint(&format!("old 0\n\n{}", note(1, 1)));
    assert_eq!(status, 200);
    let known = formats::trail::WitnessKey::parse(witness.vkey()).unwrap();
    assert!(formats::trail::with_cosignatures(&note(1, 1), &line, &known).is_ok());
    assert_eq!(
        witness.add_checkpoint(&format!("old 0\n\n{}", note(2, 2))),
        (409, "1\n".into())
    );
    assert_eq!(
        witness.add_checkpoint(&format!("old 1\n\n{}", note(1, 2))).0,
        422,
        "another root"
    );
    let proof = base64::engine::general_purpose::STANDARD.encode([7; 32]);
    assert_eq!(
        witness.add_checkpoint(&format!("old 1\n{proof}\n\n{}", note(2, 2))).0,
        422
    );
    assert_eq!(witness.add_checkpoint(&format!("old 3\n\n{}", note(2, 2))).0, 400);
    let (other, _) = formats::trail::LogKey::from_seed("relay.example/trail", &[6; 32]).unwrap();
    let forged = other.sign(2, &[2; 32]).unwrap();
    assert_eq!(witness.add_checkpoint(&format!("old 1\n\n{forged}")).0, 403);
    assert_eq!(witness.size("relay.example/trail"), 1);
}
