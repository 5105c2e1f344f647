//! What `cargo demo -- --keep DIR` leaves, others check: this house's own programs, OpenSSL, pyHanko and Bouncy Castle agree
//! that it is good, and after one flipped byte that it is not.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use formats::asice::Unpacker;
use formats::trail::{Checkpoint, Event, Record};
use formats::wire::Receipt;
use kit::bin;
use serde_json::Value;

const COLUMNS: &str = "position,time_utc,time_jst,kind,facility,facility_seq,person_id,person_name,assurance,partner,\
                       submission,patient,scope,category,sha256,outcome,address";

#[test]
fn what_the_demo_leaves_holds_before_others_and_a_flipped_byte_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("kept");
    let output = Command::new(bin("demo")).arg("--keep").arg(&kept).output().unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    for promised in [
        "referral.asice",
        "trail.csv",
        "trail.jsonl",
        "trail.tlog-proof",
        "log.vkey",
    ] {
        assert!(kept.join(promised).is_file(), "{promised}");
    }
    for promised in ["trust/hpki", "trust/tsa", "evidence"] {
        assert!(
            std::fs::read_dir(kept.join(promised)).unwrap().next().is_some(),
            "{promised}"
        );
    }
    the_trail_is_what_the_contract_says(&kept);

    let bench = Bench::unpack(&kept);
    let good = bench.verify(&kept.join("referral.asice"));
    assert_eq!(good.status.code(), Some(0), "{good:?}");
    for (name, text) in [
        ("letter", "%PDF-1."),
        ("manifest", "DataObjectReference"),
        ("signature", ""),
    ] {
        let broken = bench.flipped(name, text);
        let bad = bench.verify(&broken);
        assert_eq!(bad.status.code(), Some(1), "{name}: {bad:?}");
    }

    let (signature, manifest) = (bench.path("signature.p7s"), bench.path("manifest.xml"));
    let (bad_signature, bad_manifest) = (bench.path("bad.p7s"), bench.path("bad.xml"));
    for (judge, program) in bench.judges() {
        let good = program(&signature, &manifest);
        assert!(good.status.success(), "{judge}: {good:?}");
        for (what, signature, manifest) in [
            ("manifest", &signature, &bad_manifest),
            ("signature", &bad_signature, &manifest),
        ] {
            let bad = program(signature, manifest);
            assert!(
                !bad.status.success(),
                "{judge} accepts a flipped byte in the {what}: {bad:?}"
            );
        }
    }
}

/// `CONTRACTS.md` §9.
fn the_trail_is_what_the_contract_says(kept: &Path) {
    let read = |name: &str| std::fs::read_to_string(kept.join(name)).unwrap();
    let csv = read("trail.csv");
    let mut rows = csv.lines();
    assert_eq!(rows.next(), Some(format!("\u{feff}{COLUMNS}").as_str()));
    assert!(rows.clone().any(|row| row.contains(",Delivered,")), "{csv}");
    assert!(rows.all(|row| row.matches(',').count() >= COLUMNS.matches(',').count()));

    let vkey = read("log.vkey");
    let receipt = receipt(&read("trail.tlog-proof"));
    let record = receipt.verify(vkey.trim()).unwrap();
    assert!(matches!(record.event, Event::Accepted(_)));

    // The proof's record is the export's record at that position, and its checkpoint is signed by the log.
    let jsonl = read("trail.jsonl");
    // Its first line says under which checkpoint.
    let lines: Vec<Value> = jsonl
        .lines()
        .skip(1)
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    // Each export is a record itself: the second sees the first.
    let rows: Vec<&str> = csv.lines().skip(1).collect();
    assert!(!rows.is_empty() && rows.len() <= lines.len());
    for (row, line) in rows.iter().zip(&lines) {
        assert!(row.starts_with(&format!("{},", line["position"])), "{row}");
    }
    for (position, line) in (0_u64..).zip(&lines) {
        assert_eq!(line["position"], position);
        assert!(Record::parse(line["body"].as_str().unwrap()).is_ok(), "{line}");
    }
    let line = &lines[usize::try_from(receipt.position).unwrap()];
    assert_eq!(
        (&line["body"], &line["salt"]),
        (&receipt.body.as_str().into(), &receipt.salt.as_str().into())
    );
    let note = receipt.proof.split_once("\n\n").unwrap().1;
    assert!(Checkpoint::verify(note, vkey.trim()).unwrap().size > receipt.position);

    let mut changed = receipt;
    changed.body = changed.body.replace("Accepted", "Refused");
    assert!(changed.verify(vkey.trim()).is_err());
}

/// The receipt a proof file holds: its `extra` is salt and body.
fn receipt(proof: &str) -> Receipt {
    let line = |name: &str| proof.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim();
    let extra = STANDARD.decode(line("extra ")).unwrap();
    let (salt, body) = extra.split_at(32);
    let body = String::from_utf8(body.to_vec()).unwrap();
    let Event::Accepted(submission) = Record::parse(&body).unwrap().event else {
        panic!("not of an accepted submission: {body}");
    };
    Receipt {
        id: submission.submission,
        position: line("index ").parse().unwrap(),
        salt: STANDARD.encode(salt),
        body,
        proof: proof.to_owned(),
    }
}

/// Another program's opinion of a signature over a manifest.
type Judge<'a> = Box<dyn Fn(&Path, &Path) -> Output + 'a>;

struct Bench {
    folder: tempfile::TempDir,
    kept: PathBuf,
}

impl Bench {
    fn unpack(kept: &Path) -> Self {
        let bench = Self {
            folder: tempfile::tempdir().unwrap(),
            kept: kept.to_owned(),
        };
        let mut reader = BufReader::new(File::open(kept.join("referral.asice")).unwrap());
        let unpacker = Unpacker::open(&mut reader).unwrap();
        for (entry, name, bad) in [
            ("META-INF/signature001.p7s", "signature.p7s", "bad.p7s"),
            ("META-INF/ASiCManifest001.xml", "manifest.xml", "bad.xml"),
        ] {
            let mut file = File::create(bench.path(name)).unwrap();
            unpacker.extract(&mut reader, entry, &mut file).unwrap();
            let mut bytes = std::fs::read(bench.path(name)).unwrap();
            let place = if name == "signature.p7s" {
                signature_value(&bytes)
            } else {
                bytes.len() / 2
            };
            bytes[place] ^= 1;
            std::fs::write(bench.path(bad), bytes).unwrap();
        }
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn verify(&self, container: &Path) -> Output {
        Command::new(bin("hikyaku"))
            .env("HIKYAKU_HOME", self.path("home"))
            .arg("verify")
            .arg(container)
            .arg("--trust")
            .arg(self.kept.join("trust"))
            .arg("--evidence")
            .arg(self.kept.join("evidence"))
            .output()
            .unwrap()
    }

    /// The container with one bit changed: in the SignatureValue, or where `text` first stands.
    fn flipped(&self, name: &str, text: &str) -> PathBuf {
        let mut bytes = std::fs::read(self.kept.join("referral.asice")).unwrap();
        let find = |wanted: &[u8]| bytes.windows(wanted.len()).position(|window| window == wanted).unwrap();
        let place = if name == "signature" {
            let signature = std::fs::read(self.path("signature.p7s")).unwrap();
            find(&signature) + signature_value(&signature)
        } else {
            find(text.as_bytes()) + 3
        };
        bytes[place] ^= 1;
        let path = self.path(&format!("{name}.asice"));
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn judges(&self) -> Vec<(&'static str, Judge<'_>)> {
        let anchor = |folder: &str| {
            let mut entries = std::fs::read_dir(self.kept.join("trust").join(folder)).unwrap();
            entries.next().unwrap().unwrap().path()
        };
        let (root, tsa_root) = (anchor("hpki"), anchor("tsa"));
        let openssl_root = root.clone();
        let mut judges: Vec<(&str, Judge)> = vec![(
            "OpenSSL",
            Box::new(move |signature, manifest| {
                Command::new("openssl")
                    .args([
                        "cms", "-verify", "-cades", "-binary", "-purpose", "any", "-inform", "DER",
                    ])
                    .args(["-out", "/dev/null", "-in"])
                    .arg(signature)
                    .arg("-content")
                    .arg(manifest)
                    .arg("-CAfile")
                    .arg(&openssl_root)
                    .output()
                    .unwrap()
            }),
        )];
        let python = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/venv/bin/python"));
        if python.is_file() {
            judges.push((
                "pyHanko",
                Box::new(move |signature, manifest| {
                    Command::new(python)
                        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/judges/pyhanko_judge.py"))
                        .args([&root, &tsa_root])
                        .args([signature, manifest])
                        .output()
                        .unwrap()
                }),
            ));
        } else {
            kit::skip("pyHanko", "no target/venv, which tests/run makes");
        }
        let jars = ["bcprov", "bcpkix", "bcutil"].map(|name| format!("/usr/share/java/{name}.jar"));
        if jars.iter().all(|jar| Path::new(jar).is_file()) {
            judges.push((
                "Bouncy Castle",
                Box::new(move |signature, manifest| {
                    Command::new("java")
                        .args(["-cp", &jars.join(":")])
                        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/judges/Judge.java"))
                        .args([signature, manifest])
                        .output()
                        .unwrap()
                }),
            ));
        } else {
            kit::skip("Bouncy Castle", "no libbcpkix-java");
        }
        judges
    }
}

/// Where in a signature file its SignatureValue lies.
fn signature_value(file: &[u8]) -> usize {
    let parsed = formats::cades::SignedData::parse(file, formats::cades::Profile::Document).unwrap();
    let value = parsed.signer.signature;
    let place = file.windows(value.len()).position(|window| window == value).unwrap();
    place + value.len() / 2
}

fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}
