//! The command line: exit codes and JSON of the offline commands, over the real test cards and over what the kit makes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use kit::{TestHpki, bin, fixtures};
use serde_json::Value;
use time::OffsetDateTime;

#[test]
fn inspect_reads_the_professions_of_the_real_test_cards() {
    let Some(real) = fixtures("inspect_reads_the_professions_of_the_real_test_cards") else {
        return;
    };
    for (file, role) in [
        ("jma_test_ee_doctor_8090.der", "Medical Doctor"),
        ("medis_test_ee_doctor_015e.der", "Medical Doctor"),
        ("jma_test_ee_pharmacist_83e3.der", "Pharmacist"),
        ("medis_test_ee_pharmacist_0164.der", "Pharmacist"),
    ] {
        let output = hikyaku(&["inspect", "--json", text(&real.join("hpki-real").join(file))]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert_eq!(json(&output)["hc_roles"], serde_json::json!([role]), "{file}");
    }
    let output = hikyaku(&[
        "inspect",
        "--json",
        text(&real.join("hpki-real/jma_sign_2022-09-05.crl")),
    ]);
    assert_eq!(json(&output)["type"], "crl");
    assert_eq!(json(&output)["revoked"], 355);
    let output = hikyaku(&["inspect", "--json", text(&real.join("letters/referral-example01.json"))]);
    assert_eq!(json(&output)["type"], "letter");
}

#[test]
fn chain_accepts_the_real_test_cards_in_their_time_and_says_why_not_else() {
    let Some(real) = fixtures("chain_accepts_the_real_test_cards_in_their_time_and_says_why_not_else") else {
        return;
    };
    let real = real.join("hpki-real");
    let folder = tempfile::tempdir().unwrap();
    let anchors = folder.path().join("trust/hpki");
    std::fs::create_dir_all(&anchors).unwrap();
    std::fs::copy(real.join("mhlw_hpki_root_ca_v2.der"), anchors.join("root.der")).unwrap();
    let of = |ending: &str| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&real).unwrap().map(|entry| entry.unwrap().path());
        entries
            .filter(|path| path.display().to_string().ends_with(ending))
            .collect()
    };
    let run = |leaf: &str, at: &str, crls: bool| {
        let mut command = Command::new(bin("hikyaku"));
        command
            .args(["chain", "--json", "--at", at])
            .arg(real.join(leaf))
            .arg("--trust")
            .arg(folder.path().join("trust"));
        command
            .arg("--intermediate")
            .arg(real.join("jma_jv2_sign_ca.der"))
            .arg(real.join("medis_sign_ca2.der"));
        if crls {
            command.arg("--crl").args(of(".crl"));
        }
        command.output().unwrap()
    };
    for leaf in [
        "jma_test_ee_doctor_8090.der",
        "jma_test_ee_pharmacist_83e3.der",
        "medis_test_ee_doctor_015e.der",
        "medis_test_ee_pharmacist_0164.der",
    ] {
        let output = run(leaf, "2022-09-07T08:18:00Z", true);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert_eq!(json(&output)["valid"], true);
        assert_eq!(json(&output)["path"].as_array().map(Vec::len), Some(3));
    }
    let leaf = "jma_test_ee_doctor_8090.der";
    let output = run(leaf, "2022-09-07T08:18:00Z", false);
    assert_eq!(
        (output.status.code(), &json(&output)["valid"]),
        (Some(3), &false.into()),
        "evidence is missing"
    );
    assert_eq!(
        run(leaf, "2050-01-01T00:00:00Z", true).status.code(),
        Some(1),
        "expired"
    );
    assert_eq!(run(leaf, "yesterday", true).status.code(), Some(2), "not a time");
    assert_eq!(run("no-such-file", "2022-09-07T08:18:00Z", true).status.code(), Some(2));
    assert_eq!(
        run("README.md", "2022-09-07T08:18:00Z", true).status.code(),
        Some(1),
        "not a certificate"
    );
}

/// Every PKITS case with initial inputs of its own, RFC 5280 §6.1.1 (c) and (e) to (g); `tests/pkits.rs` holds the library to all.
#[test]
fn chain_takes_the_initial_inputs_of_path_validation() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/corpora/pkits");
    let corpus = std::env::var_os("HIKYAKU_PKITS").map_or(corpus, PathBuf::from);
    let Ok(table) = std::fs::read(corpus.join("pkits.json")) else {
        return kit::skip(
            "chain_takes_the_initial_inputs_of_path_validation",
            "no corpus, which tests/corpora.sh fetches",
        );
    };
    let folder = tempfile::tempdir().unwrap();
    let anchors = folder.path().join("trust/hpki");
    std::fs::create_dir_all(&anchors).unwrap();
    let root = corpus.join("certs/TrustAnchorRootCertificate.crt");
    std::fs::copy(root, anchors.join("root.der")).unwrap();
    let cases: Vec<Value> = serde_json::from_slice(&table).unwrap();
    let names = |case: &Value, key: &str| -> Vec<String> {
        let names = case[key].as_array().into_iter().flatten();
        names.map(|name| name.as_str().unwrap().to_owned()).collect()
    };
    let mut verdicts = [0, 0];
    for case in cases.iter().filter(|case| case["params"].is_object()) {
        let mut command = Command::new(bin("hikyaku"));
        command
            .args(["chain", "--json", "--at", "2016-01-01T00:00:00Z"])
            .arg(corpus.join("certs").join(case["cert"].as_str().unwrap()))
            .arg("--trust")
            .arg(folder.path().join("trust"))
            .arg("--crl")
            .arg(corpus.join("crls/TrustAnchorRootCRL.crl"))
            .args(names(case, "crls").iter().map(|name| corpus.join("crls").join(name)));
        for name in names(case, "other_certs") {
            command.arg("--intermediate").arg(corpus.join("certs").join(name));
        }
        let params = &case["params"];
        for policy in names(params, "user_initial_policy_set") {
            command.args(["--policy", &policy]);
        }
        for (param, option) in [
            ("initial_explicit_policy", "--require-explicit-policy"),
            ("initial_policy_mapping_inhibit", "--inhibit-policy-mapping"),
            ("initial_any_policy_inhibit", "--inhibit-any-policy"),
        ] {
            if params[param] == true {
                command.arg(option);
            }
        }
        let output = command.output().unwrap();
        let valid = case["error"].is_null();
        assert_eq!(output.status.code(), Some(i32::from(!valid)), "{case}: {output:?}");
        assert_eq!(json(&output)["valid"], valid, "{case}");
        verdicts[usize::from(valid)] += 1;
    }
    assert_eq!(verdicts, [15, 18], "refused and accepted");
}

#[test]
fn inspect_marks_a_role_that_is_none_of_hpki() {
    let case = |name: &str| {
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fixtures/validation")
            .join(name);
        let shown = json(&hikyaku(&["inspect", "--json", text(&file.join("container.asice"))]));
        shown["signatures"][0]["signer"].clone()
    };
    let unknown = case("unknown_role");
    let warning = unknown["warnings"][0].as_str().unwrap();
    assert!(warning.contains(unknown["hc_roles"][0].as_str().unwrap()), "{warning}");
    assert!(
        warning.ends_with("none of the qualifications and manager roles of HPKI"),
        "{warning}"
    );
    assert_eq!(case("good_doctor")["warnings"], serde_json::json!([]));
}

#[test]
fn what_sign_makes_inspect_describes() {
    let clinic = Clinic::new();
    let output = clinic.sign(&["--out", text(&clinic.path("a.asice"))]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let id = json(&output)["id"].clone();
    let shown = json(&hikyaku(&["inspect", "--json", text(&clinic.path("a.asice"))]));
    assert_eq!(shown["type"], "container");
    assert_eq!(shown["envelope"]["id"], id);
    assert_eq!(
        shown["findings"],
        serde_json::json!([]),
        "the writing profile is the intake profile"
    );
    let paths: Vec<&str> = shown["files"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|file| file["path"].as_str())
        .collect();
    assert_eq!(
        paths,
        [
            "submission.json",
            "letter/letter.pdf",
            "images/ct/1.dcm",
            "images/ct/2.dcm",
            "attachments/note.txt"
        ]
    );
    assert_eq!(shown["signatures"][0]["signer"]["hc_roles"][0], "Medical Doctor");

    let again = clinic.sign(&["--out", text(&clinic.path("a.asice"))]);
    assert_eq!(
        (again.status.code(), &json(&again)["code"]),
        (Some(2), &"file_exists".into())
    );
    let bad = clinic.sign(&["--out", text(&clinic.path("b.asice")), "--sex", "X"]);
    assert_eq!(
        (bad.status.code(), &json(&bad)["code"]),
        (Some(1), &"envelope_invalid".into())
    );
    assert!(!clinic.path("b.asice").exists(), "written whole or not at all");
}

#[test]
fn pkcs12_opens_with_its_password_only() {
    let clinic = Clinic::new();
    let hpki = TestHpki::new("http://127.0.0.1:9", OffsetDateTime::now_utc());
    std::fs::write(clinic.path("doctor.p12"), hpki.doctor().pkcs12("secret")).unwrap();
    for (password, exit) in [("secret", 0), ("wrong", 2)] {
        let mut child = Command::new(bin("hikyaku"))
            .args([
                "sign",
                "--json",
                "--pin-fd",
                "0",
                "--key",
                text(&clinic.path("doctor.p12")),
            ])
            .args(["--detached", text(&clinic.path("letter.pdf"))])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), format!("{password}\n").as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(exit), "{output:?}");
        if exit != 0 {
            assert_eq!(json(&output)["code"], "key_password");
        }
        let _ = std::fs::remove_file(clinic.path("letter.pdf.p7s"));
    }
}

#[test]
fn wrong_arguments_files_and_keys_end_with_two_and_a_code() {
    let output = hikyaku(&["verify", "--json", "x.asice"]);
    assert_eq!(
        (output.status.code(), &json(&output)["code"]),
        (Some(2), &"arguments".into())
    );
    let clinic = Clinic::new();
    let trust = clinic.path("trust");
    let verify = |file: &str| hikyaku(&["verify", "--json", text(&clinic.path(file)), "--trust", text(&trust)]);
    assert_eq!(json(&verify("letter.pdf"))["code"], "trust_directory");
    let hpki = TestHpki::new("http://127.0.0.1:9", OffsetDateTime::now_utc());
    hpki.write_trust(&trust);
    assert_eq!(json(&verify("nothing.asice"))["code"], "file_unreadable");
    std::fs::write(trust.join("policy.toml"), "freshness = \"whenever\"\n").unwrap();
    let output = verify("letter.pdf");
    assert_eq!(
        (output.status.code(), &json(&output)["code"]),
        (Some(2), &"policy_malformed".into())
    );
    let japanese = Command::new(bin("hikyaku"))
        .args(["inspect", "--lang", "ja", "/no/such"])
        .output()
        .unwrap();
    assert!(
        String::from_utf8_lossy(&japanese.stderr).contains("読み取れません"),
        "{japanese:?}"
    );
}

/// A clinic with a letter, two images, a note and a doctor's soft key.
struct Clinic(tempfile::TempDir);

impl Clinic {
    fn new() -> Self {
        let clinic = Self(tempfile::tempdir().unwrap());
        let hpki = TestHpki::new("http://127.0.0.1:9", OffsetDateTime::now_utc());
        let doctor = hpki.doctor();
        std::fs::write(clinic.path("doctor.key"), doctor.key_pem()).unwrap();
        std::fs::write(clinic.path("doctor.pem"), doctor.certificates_pem()).unwrap();
        std::fs::write(clinic.path("letter.pdf"), kit::letter_pdf()).unwrap();
        std::fs::write(clinic.path("note.txt"), "胸部CT").unwrap();
        std::fs::create_dir(clinic.path("ct")).unwrap();
        for instance in [1, 2] {
            std::fs::write(clinic.path(&format!("ct/{instance}.dcm")), kit::dicom(1, 1, instance)).unwrap();
        }
        clinic
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn sign(&self, more: &[&str]) -> Output {
        Command::new(bin("hikyaku"))
            .env("HIKYAKU_HOME", self.path("home"))
            .args([
                "sign",
                "--json",
                "--key",
                text(&self.path("doctor.key")),
                "--cert",
                text(&self.path("doctor.pem")),
            ])
            .args(["--from", "1310000001", "--to", "1320000002", "--patient-id", "12345"])
            .args(["--patient-name", "山田　太郎", "--birth-date", "1970-01-01"])
            .args([self.path("letter.pdf"), self.path("ct"), self.path("note.txt")])
            .args(more)
            .output()
            .unwrap()
    }
}

fn hikyaku(arguments: &[&str]) -> Output {
    Command::new(bin("hikyaku"))
        .args(arguments)
        .output()
        .expect("hikyaku can be run")
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("test paths are Unicode")
}
