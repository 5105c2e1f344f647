//! `hikyaku archive`: archives made and renewed from files, judged years ahead, also by a checker that shares no code with it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use kit::{Ca, CardSpec, ContainerOptions, CrlSpec, Fault, Key, Services, TsaSpec};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use super::{hikyaku, verify};

/// What the Python checker says of each archive and its detached content: nothing, or why it is not sound.
fn independent(archives: &[(PathBuf, Option<PathBuf>)]) -> Option<Vec<Option<String>>> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/venv/bin/python");
    if !python.is_file() {
        kit::skip("the archive checker", "no target/venv, which tests/run makes");
        return None;
    }
    let named = archives.iter().enumerate();
    let trials: Vec<Value> = named
        .map(|(name, (file, content))| json!({ "name": name.to_string(), "file": file, "content": content }))
        .collect();
    let mut child = Command::new(python)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/judges/archive_judge.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let question = serde_json::to_vec(&trials).unwrap();
    child.stdin.take().unwrap().write_all(&question).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let said: BTreeMap<String, Option<String>> = serde_json::from_slice(&output.stdout).unwrap();
    Some(
        (0..archives.len())
            .map(|name| said[&name.to_string()].clone())
            .collect(),
    )
}

/// A copy whose first document has one byte changed, in a ZIP that is in order.
fn tampered(from: &Path, to: &Path) {
    let mut entries = kit::zip::entries(&fs::read(from).unwrap());
    let is_document = |name: &str| !name.starts_with("META-INF/") && name != "mimetype";
    let document = entries.iter_mut().find(|entry| is_document(&entry.name)).unwrap();
    *document.bytes.last_mut().unwrap() ^= 1;
    fs::write(to, kit::zip::archive(&entries)).unwrap();
}

/// A folder with trust, evidence of today and a container signed and stamped today.
struct Bench {
    folder: tempfile::TempDir,
    services: Services,
}

impl Bench {
    fn new() -> Self {
        Self::signed_by(CardSpec::doctor())
    }

    fn signed_by(card: CardSpec) -> Self {
        let (folder, services) = (tempfile::tempdir().unwrap(), Services::start_blocking(0));
        let hpki = services.hpki();
        hpki.write_trust(&folder.path().join("trust"));
        hpki.write_evidence(&folder.path().join("evidence"), OffsetDateTime::now_utc(), &[]);
        let (envelope, files) = kit::referral();
        let options = ContainerOptions::at(OffsetDateTime::now_utc());
        let container = hpki.container(&hpki.card(card), &envelope, &files, options);
        fs::write(folder.path().join("letter.asice"), container).unwrap();
        Self { folder, services }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn run(&self, at: Option<OffsetDateTime>, arguments: &[&str]) -> (i32, Value, String) {
        let (trust, tsa) = (self.text("trust"), self.services.tsa_url());
        let mut all = arguments.to_vec();
        all.extend(["--trust", &trust, "--tsa", &tsa, "--fetch-host", "127.0.0.1"]);
        hikyaku(self.folder.path(), at, &all)
    }
}

/// A P-256 authority below a P-384 root, which no algorithm date ends, valid until `years` from now.
fn long_lived(services: &Services, serial: u64, years: i64) {
    let certificate = services.hpki().tsa_with(TsaSpec {
        ca: Ca::LastingTsaRoot,
        key: Key::EcSpare,
        serial,
        not_after: Some(OffsetDateTime::now_utc() + Duration::days(years * 365)),
        ..TsaSpec::default()
    });
    services.set_tsa(certificate, Key::EcSpare);
}

#[test]
fn an_archive_renewed_in_time_verifies_eleven_years_ahead_and_one_that_was_not_does_not() {
    // Below a CA that lasts: of the forgotten archive it is the stamp's end alone that decides.
    let bench = Bench::signed_by(CardSpec {
        ca: Ca::SignRollover,
        ..CardSpec::doctor()
    });
    let now = OffsetDateTime::now_utc();
    // The first day's keys of RSA-2048 are given up by then, as the policy says; only archive stamps vouch for them.
    let root = bench.services.hpki().ca(Ca::LastingTsaRoot);
    fs::write(bench.path("trust/tsa/lasting.der"), root).unwrap();
    fs::create_dir(bench.path("kept")).unwrap();
    long_lived(&bench.services, 0x41, 8);
    let letter = bench.text("letter.asice");
    let (exit, made, said) = bench.run(
        None,
        &[
            "archive",
            &letter,
            "--evidence",
            &bench.text("evidence"),
            "-o",
            &bench.text("kept/letter.asice"),
        ],
    );
    assert_eq!((exit, &made["report"]["level"]), (0, &"B-LTA".into()), "{said}");
    fs::copy(bench.path("kept/letter.asice"), bench.path("forgotten.asice")).unwrap();

    // Nothing is due yet.
    let (exit, told, said) = bench.run(None, &["archive", "renew", &bench.text("kept")]);
    assert_eq!(
        (exit, &told["renewed"], &told["not_due"]),
        (0, &0.into(), &1.into()),
        "{said}"
    );

    // Seven and a half years later it is, and an authority that ends later is there.
    let later = now + Duration::days(365 * 15 / 2);
    bench.services.set_now(Some(later));
    long_lived(&bench.services, 0x42, 12);
    let before = fs::read(bench.path("kept/letter.asice")).unwrap();
    bench.services.fault("/tsa", Some(Fault::Down));
    let (exit, _, said) = bench.run(
        Some(later),
        &["archive", "renew", &bench.text("kept"), "--within", "365"],
    );
    assert_eq!(exit, 2, "{said}");
    assert_eq!(
        fs::read(bench.path("kept/letter.asice")).unwrap(),
        before,
        "the old file stays"
    );
    bench.services.fault("/tsa", None);
    let (exit, told, said) = bench.run(
        Some(later),
        &["archive", "renew", &bench.text("kept"), "--within", "365"],
    );
    assert_eq!((exit, &told["renewed"]), (0, &1.into()), "{said}");
    assert_eq!(
        fs::read_dir(bench.path("kept")).unwrap().count(),
        1,
        "nothing else is left behind"
    );

    // Eleven years ahead: card, signing CA and both authorities of the first day have ended.
    let far = now + Duration::days(11 * 365);
    let at = trust_store::report::rfc3339(far);
    fs::create_dir(bench.path("then")).unwrap();
    let hpki = bench.services.hpki();
    let list = hpki.crl(Ca::LastingTsaRoot, CrlSpec::at(far - Duration::hours(1)));
    fs::write(bench.path("then/tsa.crl"), list).unwrap();
    let then = bench.text("then");
    let judge = |name: &str| {
        let more = ["--at", &at, "--evidence", &then];
        verify(bench.folder.path(), &bench.path(name), &more)
    };
    let (exit, report, said) = judge("kept/letter.asice");
    assert_eq!(
        (exit, &report["indication"], &report["level"]),
        (0, &"TOTAL-PASSED".into(), &"B-LTA".into()),
        "{said}"
    );
    let (exit, report, said) = judge("forgotten.asice");
    assert_eq!((exit, &report["indication"]), (3, &"INDETERMINATE".into()), "{said}");
    // Not for the dates of algorithms: also where none is given up, nothing proves that it is older than its authority's end.
    let strict = fs::read(bench.path("trust/policy.toml")).unwrap();
    fs::write(
        bench.path("trust/policy.toml"),
        "[algorithms]\nrsa2048 = \"2060-12-31\"\n",
    )
    .unwrap();
    let (exit, report, said) = judge("forgotten.asice");
    fs::write(bench.path("trust/policy.toml"), strict).unwrap();
    assert_eq!(
        (exit, &report["indication"], &report["sub_indication"]),
        (3, &"INDETERMINATE".into(), &"OUT_OF_BOUNDS_NO_POE".into()),
        "{said}"
    );
    assert_ne!(judge("letter.asice").0, 0);
    tampered(&bench.path("kept/letter.asice"), &bench.path("tampered.asice"));
    assert_eq!(judge("tampered.asice").0, 1);

    // A checker that shares no code with this one sees the same archives.
    let asked = ["forgotten.asice", "kept/letter.asice", "tampered.asice", "letter.asice"];
    let Some(verdicts) = independent(&asked.map(|name| (bench.path(name), None))) else {
        return;
    };
    let [as_made, renewed, spoilt, without] = verdicts.as_slice() else {
        panic!("four verdicts: {verdicts:?}");
    };
    assert_eq!((as_made, renewed), (&None, &None));
    assert!(
        spoilt.as_ref().is_some_and(|why| why.contains("does not match")),
        "{spoilt:?}"
    );
    assert!(without.is_some(), "it has no archive stamp");

    // What has ended cannot be renewed any more, and is not touched.
    fs::rename(bench.path("forgotten.asice"), bench.path("kept/forgotten.asice")).unwrap();
    bench.services.set_now(Some(far));
    let before = fs::read(bench.path("kept/forgotten.asice")).unwrap();
    let (exit, told, said) = bench.run(Some(far), &["archive", "renew", &bench.text("kept"), "--within", "30"]);
    assert_eq!(
        (exit != 0, &told["failed"], &told["not_due"]),
        (true, &1.into(), &1.into()),
        "{said}"
    );
    assert_eq!(fs::read(bench.path("kept/forgotten.asice")).unwrap(), before);
}

#[test]
fn a_stamp_stands_no_longer_than_the_algorithms_of_its_path() {
    let bench = Bench::new();
    // A P-256 authority of twelve years below a root of RSA-2048, which the policy gives up before.
    let certificate = bench.services.hpki().tsa_with(TsaSpec {
        key: Key::EcSpare,
        serial: 0x43,
        not_after: Some(OffsetDateTime::now_utc() + Duration::days(12 * 365)),
        ..TsaSpec::default()
    });
    bench.services.set_tsa(certificate, Key::EcSpare);
    let (exit, made, said) = bench.run(None, &["archive", &bench.text("letter.asice")]);
    assert_eq!(exit, 0, "{said}");
    assert_eq!(made["ends"]["algorithm"], "rsa2048", "{said}");
    assert!(
        made["stands_until"].as_str().unwrap().starts_with("2030-12-31"),
        "{said}"
    );
}

#[test]
fn missing_evidence_is_named_and_nothing_is_written() {
    let bench = Bench::new();
    let letter = bench.text("letter.asice");
    let (trust, tsa) = (bench.text("trust"), bench.services.tsa_url());
    // The host of the CRLs may not be asked.
    let arguments = ["archive", &letter, "--trust", &trust, "--tsa", &tsa];
    let (exit, said, text) = hikyaku(bench.folder.path(), None, &arguments);
    assert_eq!((exit, said["code"].as_str()), (3, Some("evidence_missing")), "{text}");
    let missing = said["missing"].to_string();
    assert!(
        missing.contains("HPKI-01-TestSignCA") || missing.contains("crl/sign.crl"),
        "{missing}"
    );
    assert!(!bench.path("letter.archive.asice").exists());
    assert_eq!(
        bench.services.requests("/tsa"),
        0,
        "no stamp is asked for what is no good"
    );
    // It may: everything is fetched, and the evidence folder is not needed.
    let (exit, said, text) = bench.run(None, &["archive", &letter]);
    assert_eq!((exit, said["done"].as_bool()), (0, Some(true)), "{text}");
    // A container that is no container.
    let broken = bench.path("broken.asice");
    let mut bytes = fs::read(&letter).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&broken, bytes).unwrap();
    let (exit, _, text) = bench.run(None, &["archive", broken.to_str().unwrap()]);
    assert_eq!(exit, 1, "{text}");
    assert!(!bench.path("broken.archive.asice").exists());
}

#[test]
fn a_detached_signature_becomes_its_archive_and_is_stamped_again() {
    let bench = Bench::new();
    let hpki = bench.services.hpki();
    let letter = kit::letter_pdf();
    fs::write(bench.path("letter.pdf"), &letter).unwrap();
    let options = ContainerOptions::at(OffsetDateTime::now_utc());
    fs::write(
        bench.path("letter.p7s"),
        hpki.signature(&hpki.doctor(), &letter, options),
    )
    .unwrap();
    let (content, signature) = (bench.text("letter.pdf"), bench.text("letter.p7s"));
    let (exit, made, said) = bench.run(None, &["archive", &signature, "--content", &content]);
    assert_eq!((exit, &made["report"]["level"]), (0, &"B-LTA".into()), "{said}");
    let first = bench.text("letter.archive.p7s");
    let again = ["archive", &first, "--content", &content, "-o", &bench.text("twice.p7s")];
    let (exit, made, said) = bench.run(None, &again);
    assert_eq!((exit, &made["report"]["level"]), (0, &"B-LTA".into()), "{said}");
    for name in ["letter.archive.p7s", "twice.p7s"] {
        let (exit, report, said) = verify(bench.folder.path(), &bench.path(name), &["--content", &content]);
        assert_eq!((exit, &report["level"]), (0, &"B-LTA".into()), "{name}: {said}");
    }
    // In a folder it is renewed with the letter it is named after; another without its letter is told.
    fs::create_dir(bench.path("kept")).unwrap();
    fs::copy(bench.path("letter.pdf"), bench.path("kept/letter.pdf")).unwrap();
    fs::copy(bench.path("twice.p7s"), bench.path("kept/letter.pdf.archive.p7s")).unwrap();
    let kept = bench.text("kept");
    let (exit, told, said) = bench.run(None, &["archive", "renew", &kept]);
    assert_eq!((exit, &told["not_due"]), (0, &1.into()), "{said}");
    let (exit, told, said) = bench.run(None, &["archive", "renew", &kept, "--all"]);
    assert_eq!((exit, &told["renewed"]), (0, &1.into()), "{said}");
    let renewed = bench.path("kept/letter.pdf.archive.p7s");
    assert!(fs::metadata(&renewed).unwrap().len() > fs::metadata(bench.path("twice.p7s")).unwrap().len());
    let (exit, report, said) = verify(bench.folder.path(), &renewed, &["--content", &content]);
    assert_eq!((exit, &report["level"]), (0, &"B-LTA".into()), "{said}");
    let before = fs::read(&renewed).unwrap();
    fs::remove_file(bench.path("kept/letter.pdf")).unwrap();
    let (exit, told, said) = bench.run(None, &["archive", "renew", &kept, "--all"]);
    assert_eq!((exit != 0, &told["failed"]), (true, &1.into()), "{said}");
    assert_eq!(fs::read(&renewed).unwrap(), before);
    let openssl = kit::openssl([
        "cms",
        "-verify",
        "-binary",
        "-inform",
        "DER",
        "-purpose",
        "any",
        "-noverify",
        "-out",
        "/dev/null",
        "-in",
        &bench.text("twice.p7s"),
        "-content",
        &content,
    ]);
    assert!(openssl.status.success(), "{openssl:?}");
    fs::write(bench.path("other.pdf"), b"another").unwrap();
    let asked = |signature: &str, content: &str| (bench.path(signature), Some(bench.path(content)));
    let archives = [
        asked("letter.archive.p7s", "letter.pdf"),
        asked("twice.p7s", "letter.pdf"),
        asked("twice.p7s", "other.pdf"),
        asked("letter.p7s", "letter.pdf"),
    ];
    if let Some(verdicts) = independent(&archives) {
        let refused: Vec<bool> = verdicts.iter().map(Option::is_some).collect();
        assert_eq!(refused, [false, false, true, true], "{verdicts:?}");
    }
    let (exit, _, said) = bench.run(
        None,
        &[
            "archive",
            &signature,
            "--content",
            &bench.text("other.pdf"),
            "-o",
            &bench.text("other.p7s"),
        ],
    );
    assert_eq!(exit, 1, "{said}");
}
