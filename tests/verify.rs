//! `hikyaku verify`: its four exit codes, the JSON that `CONTRACTS.md` §4 promises key by key, and what people read.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use kit::{ContainerOptions, TestHpki, bin, referral};
use serde_json::Value;
use time::{Duration, OffsetDateTime};
use trust_store::report::rfc3339;

/// One folder with a stamped container, a signature over a letter, trust and evidence.
struct Bench {
    folder: tempfile::TempDir,
    container: Vec<u8>,
}

impl Bench {
    fn new() -> Self {
        let now = OffsetDateTime::now_utc();
        let hpki = TestHpki::new("http://127.0.0.1:9", now);
        let (envelope, files) = referral();
        let container = hpki.container(&hpki.doctor(), &envelope, &files, ContainerOptions::at(now));
        let bench = Self {
            folder: tempfile::tempdir().unwrap(),
            container: container.clone(),
        };
        hpki.write_trust(&bench.path("trust"));
        hpki.write_evidence(&bench.path("evidence"), now, &[]);
        let letter = kit::letter_pdf();
        let signature = hpki.signature(&hpki.doctor(), &letter, ContainerOptions::at(now));
        bench.write("good.asice", &container);
        bench.write("letter.pdf", &letter);
        bench.write("letter.p7s", &signature);
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    /// The container with one bit of the first place where `text` stands changed.
    fn flipped(&self, name: &str, text: &[u8]) {
        let mut bytes = self.container.clone();
        let place = bytes.windows(text.len()).position(|window| window == text).unwrap();
        bytes[place + text.len() / 2] ^= 1;
        self.write(name, &bytes);
    }

    /// `verify FILE` with the bench's trust; file names among the arguments are the bench's.
    fn verify(&self, arguments: &[&str]) -> Output {
        Command::new(bin("hikyaku"))
            .env("HIKYAKU_HOME", self.path("home"))
            .env("HIKYAKU_LANG", "en")
            .current_dir(&self.folder)
            .args(["verify", "--trust", "trust"])
            .args(arguments)
            .output()
            .unwrap()
    }

    /// Exit code and JSON.
    fn report(&self, arguments: &[&str]) -> (i32, Value) {
        let output = self.verify(&[arguments, &["--json"]].concat());
        let value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
        (output.status.code().unwrap(), value)
    }

    /// Exit code, indication and sub-indication.
    fn verdict(&self, arguments: &[&str]) -> (i32, String, String) {
        let (exit, report) = self.report(arguments);
        let word = |key: &str| report[key].as_str().unwrap_or("null").to_owned();
        (exit, word("indication"), word("sub_indication"))
    }
}

fn expected(exit: i32, indication: &str, sub_indication: &str) -> (i32, String, String) {
    (exit, indication.to_owned(), sub_indication.to_owned())
}

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

const REPORT: [&str; 12] = [
    "best_signature_time",
    "checks",
    "container_sha256",
    "diagnostic",
    "files",
    "indication",
    "level",
    "signatures",
    "signer",
    "sub_indication",
    "timestamps",
    "version",
];

#[test]
fn passed_ends_with_0_and_says_everything_the_contract_promises() {
    let bench = Bench::new();
    let (exit, report) = bench.report(&["good.asice", "--evidence", "evidence"]);
    assert_eq!(exit, 0, "{report:#}");
    assert_eq!(keys(&report), REPORT);
    assert_eq!(report["version"], 1);
    assert_eq!(report["indication"], "TOTAL-PASSED");
    assert_eq!(report["sub_indication"], Value::Null);
    assert_eq!(report["level"], "B-T");
    assert!(report["best_signature_time"].as_str().unwrap().ends_with('Z'));
    let digest = kit_sha256(&bench.container);
    assert_eq!(report["container_sha256"], digest.as_str());

    let signer = &report["signer"];
    let promised = ["hc_roles", "issuer", "not_after", "not_before", "serial", "subject"];
    assert_eq!(keys(signer), promised);
    assert_eq!(signer["hc_roles"], serde_json::json!(["Medical Doctor"]));
    assert!(
        signer["serial"]
            .as_str()
            .unwrap()
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit())
    );

    let files = report["files"].as_array().unwrap();
    assert!(files.len() >= 3);
    for file in files {
        assert_eq!(keys(file), ["digest_ok", "path"]);
        assert_eq!(file["digest_ok"], true);
    }
    let stamps = report["timestamps"].as_array().unwrap();
    assert_eq!(stamps.len(), 1);
    assert_eq!(keys(&stamps[0]), ["gen_time", "indication", "kind", "policy", "tsa"]);
    assert_eq!(stamps[0]["gen_time"], report["best_signature_time"]);
    for check in report["checks"].as_array().unwrap() {
        assert_eq!(keys(check), ["detail", "name", "result"]);
        assert!(
            ["passed", "warning"].contains(&check["result"].as_str().unwrap()),
            "{check}"
        );
    }
}

#[test]
fn failed_ends_with_1_and_lists_the_files() {
    let bench = Bench::new();
    for (name, text) in [
        ("letter.asice", b"%PDF-1.".as_slice()),
        ("manifest.asice", b"DataObjectReference"),
    ] {
        bench.flipped(name, text);
        let (exit, report) = bench.report(&[name, "--evidence", "evidence"]);
        assert_eq!(
            (exit, &report["indication"]),
            (1, &"TOTAL-FAILED".into()),
            "{name}: {report:#}"
        );
        assert_eq!(keys(&report), REPORT);
        let failed = report["checks"].as_array().unwrap();
        assert!(failed.iter().any(|check| check["result"] == "failed"), "{name}");
    }
    let (_, report) = bench.report(&["letter.asice", "--evidence", "evidence"]);
    let bad: Vec<&Value> = report["files"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|file| file["digest_ok"] == false)
        .map(|file| &file["path"])
        .collect();
    assert_eq!(bad, ["letter/letter.pdf"]);

    bench.write("garbage.asice", b"not a ZIP at all");
    let (exit, report) = bench.report(&["garbage.asice"]);
    assert_eq!((exit, &report["sub_indication"]), (1, &"FORMAT_FAILURE".into()));
    assert_eq!(keys(&report), REPORT);
    for unknown in ["level", "best_signature_time", "signer"] {
        assert_eq!(report[unknown], Value::Null, "{unknown}");
    }
}

#[test]
fn indeterminate_ends_with_3() {
    let bench = Bench::new();
    let nine_years_on = rfc3339(OffsetDateTime::now_utc() + Duration::days(9 * 365));
    let later = expected(3, "INDETERMINATE", "TRY_LATER");
    assert_eq!(bench.verdict(&["good.asice"]), later, "no CRL");
    let before = bench.verdict(&["good.asice", "--evidence", "evidence", "--at", "2020-01-01T00:00:00Z"]);
    assert_eq!((before.0, before.1.as_str()), (3, "INDETERMINATE"), "before the stamp");
    bench.write("trust/policy.toml", b"[algorithms]\nrsa2048 = \"2099-12-31\"\n");
    let after = bench.verdict(&["good.asice", "--evidence", "evidence", "--at", &nine_years_on]);
    assert_eq!(
        after,
        expected(3, "INDETERMINATE", "OUT_OF_BOUNDS_NO_POE"),
        "the authority's certificate has expired"
    );
}

#[test]
fn a_detached_signature_is_judged_with_its_content_and_not_without() {
    let bench = Bench::new();
    let with = |content: &str| bench.verdict(&["letter.p7s", "--content", content, "--evidence", "evidence"]);
    assert_eq!(with("letter.pdf"), expected(0, "TOTAL-PASSED", "null"));
    let mut other = kit::letter_pdf();
    other[20] ^= 1;
    bench.write("other.pdf", &other);
    assert_eq!(with("other.pdf"), expected(1, "TOTAL-FAILED", "HASH_FAILURE"));
    let without = bench.verdict(&["letter.p7s", "--evidence", "evidence"]);
    assert_eq!(without, expected(3, "INDETERMINATE", "SIGNED_DATA_NOT_FOUND"));
    let (_, report) = bench.report(&["letter.p7s", "--content", "letter.pdf", "--evidence", "evidence"]);
    assert_eq!(keys(&report), REPORT);
    assert_eq!(report["container_sha256"], Value::Null);
    assert_eq!(report["files"], serde_json::json!([]));
}

#[test]
fn what_could_not_be_tried_ends_with_2_and_a_code() {
    let bench = Bench::new();
    let code = |arguments: &[&str]| {
        let (exit, said) = bench.report(arguments);
        assert_eq!(keys(&said), ["action", "code", "message"], "{said}");
        assert_eq!(exit, 2, "{said}");
        said["code"].as_str().unwrap().to_owned()
    };
    assert_eq!(code(&["missing.asice"]), "file_unreadable");
    assert_eq!(code(&["letter.p7s", "--content", "missing.pdf"]), "file_unreadable");
    assert_eq!(code(&["good.asice", "--evidence", "missing"]), "file_unreadable");
    assert_eq!(code(&["good.asice", "--at", "yesterday"]), "arguments");
    assert_eq!(code(&["good.asice", "--content", "letter.pdf"]), "arguments");
    assert_eq!(code(&["good.asice", "--no-such-option"]), "arguments");
    bench.write("trust/policy.toml", b"minimum_levle = \"B-T\"\n");
    assert_eq!(code(&["good.asice"]), "policy_malformed");
    std::fs::remove_file(bench.path("trust/policy.toml")).unwrap();
    std::fs::remove_dir_all(bench.path("trust/hpki")).unwrap();
    assert_eq!(code(&["good.asice"]), "trust_directory");
}

#[test]
fn people_read_a_sentence_and_what_went_wrong_not_a_wall_of_passed_checks() {
    let bench = Bench::new();
    bench.flipped("letter.asice", b"%PDF-1.");
    let text = |arguments: &[&str]| String::from_utf8(bench.verify(arguments).stdout).unwrap();
    let good = text(&["good.asice", "--evidence", "evidence"]);
    assert!(
        good.starts_with("Signed by ") && good.contains("Medical Doctor"),
        "{good}"
    );
    assert!(!good.contains('✓'), "{good}");
    let bad = text(&["letter.asice", "--evidence", "evidence"]);
    assert!(bad.contains('✗') && bad.contains("letter/letter.pdf"), "{bad}");
    assert!(!bad.contains('✓'), "{bad}");
    let all = text(&["letter.asice", "--evidence", "evidence", "--verbose"]);
    assert!(all.contains('✓') && all.contains('✗'), "{all}");
    let japanese = text(&["good.asice", "--evidence", "evidence", "--lang", "ja"]);
    assert!(japanese.starts_with("医師"), "{japanese}");
}

fn kit_sha256(bytes: &[u8]) -> String {
    hex::encode(formats::digest::DigestAlgorithm::Sha256.digest(bytes))
}

#[test]
fn reports_do_not_depend_on_where_the_files_lie() {
    let bench = Bench::new();
    let relative = bench.report(&["good.asice", "--evidence", "evidence", "--at", "2026-12-01T00:00:00Z"]);
    let absolute = bench.path("good.asice");
    let absolute: &Path = &absolute;
    let again = bench.report(&[
        absolute.to_str().unwrap(),
        "--evidence",
        "evidence",
        "--at",
        "2026-12-01T00:00:00Z",
    ]);
    assert_eq!(
        relative, again,
        "the same bytes, evidence, policy and time give the same report"
    );
}
