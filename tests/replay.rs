//! `hikyaku verify --replay`: a report comes out again from itself alone, an edited one does not, and another file, content or
//! trust directory is noticed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use formats::asice::Container;
use formats::digest::Digests;
use kit::{ContainerOptions, TestHpki, bin};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::datetime;
use trust_store::validation::{MAX_REPORT, Mismatch, ReplayError};
use trust_store::{AnchorSet, Anchors, Evidence, Policy, Subject, TrustAnchor, TrustStore, ValidationReport};

const NOW: OffsetDateTime = datetime!(2026-11-20 03:00:00 UTC);

fn case(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/validation")
        .join(name)
}

/// Exit code and what was printed.
fn verify(arguments: &[&Path], json: bool) -> (i32, String) {
    let mut command = Command::new(bin("hikyaku"));
    command.env("HIKYAKU_LANG", "en").arg("verify").args(arguments);
    if json {
        command.arg("--json");
    }
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    (output.status.code().unwrap(), text)
}

/// A report on a case folder, as the program writes it.
fn report(name: &str, now: &str, folder: &Path) -> (i32, PathBuf) {
    let case = case(name);
    let (exit, text) = verify(
        &[
            &case.join("container.asice"),
            "--trust".as_ref(),
            &case.join("trust"),
            "--evidence".as_ref(),
            &case.join("evidence"),
            "--at".as_ref(),
            now.as_ref(),
        ],
        true,
    );
    let path = folder.join(format!("{name}.json"));
    fs::write(&path, text).unwrap();
    (exit, path)
}

#[test]
fn the_program_gives_the_same_bytes_from_the_report_alone_with_the_file_and_with_the_anchors() {
    let folder = tempfile::tempdir().unwrap();
    for name in [
        "good_doctor",
        "flipped_file_byte",
        "crl_stale",
        "two_signatures",
        "local_policy",
    ] {
        let (exit, path) = report(name, "2026-11-20T03:00:00Z", folder.path());
        let told = fs::read_to_string(&path).unwrap();
        let (container, trust) = (case(name).join("container.asice"), case(name).join("trust"));
        let replay: [&Path; 2] = ["--replay".as_ref(), &path];
        assert_eq!(verify(&replay, true), (exit, told.clone()), "{name}: alone");
        let with_file: [&Path; 3] = [&container, "--replay".as_ref(), &path];
        assert_eq!(verify(&with_file, true), (exit, told.clone()), "{name}: with the file");
        let with_all: [&Path; 5] = [&container, "--trust".as_ref(), &trust, "--replay".as_ref(), &path];
        assert_eq!(verify(&with_all, true), (exit, told), "{name}: with file and anchors");
    }
}

#[test]
fn an_edited_report_another_file_and_other_anchors_end_with_1_and_both_verdicts() {
    let folder = tempfile::tempdir().unwrap();
    let (_, path) = report("pharmacist_on_referral", "2026-11-20T03:00:00Z", folder.path());
    let mut edited: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    edited["indication"] = "TOTAL-PASSED".into();
    edited["sub_indication"] = Value::Null;
    let forged = folder.path().join("forged.json");
    fs::write(&forged, edited.to_string()).unwrap();
    let replay: [&Path; 2] = ["--replay".as_ref(), &forged];
    let (exit, text) = verify(&replay, true);
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(exit, 1);
    assert_eq!(answer["differences"], json!(["indication", "sub_indication"]));
    assert_eq!(answer["recorded"]["indication"], "TOTAL-PASSED");
    assert_eq!(answer["replayed"]["indication"], "TOTAL-FAILED");
    let (exit, text) = verify(&replay, false);
    assert!(
        exit == 1 && text.contains("report:") && text.contains("replay:"),
        "{text}"
    );

    let (_, path) = report("good_doctor", "2026-11-20T03:00:00Z", folder.path());
    let other = case("good_dentist").join("container.asice");
    let with_other: [&Path; 3] = [&other, "--replay".as_ref(), &path];
    let (exit, text) = verify(&with_other, false);
    assert!(exit == 1 && text.contains("another file"), "{text}");

    let strangers = case("accredited_route_closed").join("trust");
    let by_others: [&Path; 4] = ["--replay".as_ref(), &path, "--trust".as_ref(), &strangers];
    let (exit, text) = verify(&by_others, true);
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((exit, &answer["recorded"]["indication"]), (1, &"TOTAL-PASSED".into()));
    assert_eq!(answer["replayed"]["sub_indication"], "NO_CERTIFICATE_CHAIN_FOUND");

    let garbage = folder.path().join("garbage.json");
    fs::write(&garbage, "{}").unwrap();
    let replay: [&Path; 2] = ["--replay".as_ref(), &garbage];
    assert_eq!(verify(&replay, true).0, 1, "malformed input");
    let missing: [&Path; 2] = ["--replay".as_ref(), "missing.json".as_ref()];
    assert_eq!(verify(&missing, true).0, 2);
}

fn store(hpki: &TestHpki) -> TrustStore {
    let anchors = |ca| AnchorSet(TrustAnchor::parse(&hpki.ca(ca)).unwrap());
    TrustStore {
        anchors: Anchors {
            hpki: anchors(kit::Ca::Root),
            tsa: anchors(kit::Ca::TsaRoot),
            ..Anchors::default()
        },
        policy: Policy::default(),
    }
}

fn evidence(hpki: &TestHpki) -> Evidence {
    let mut evidence = Evidence::default();
    for (name, bytes) in hpki.evidence(NOW, &[]) {
        evidence.add(&name, &bytes);
    }
    evidence
}

#[test]
fn a_letter_of_500_images_has_a_report_that_grows_by_its_names_and_digests_alone() {
    let hpki = TestHpki::new("http://crl.example", NOW);
    let (envelope, files) = kit::referral();
    let size = |images: usize| {
        let mut files = files.clone();
        let image = |number| (format!("images/ST000001/SE000001/IM{number:06}"), vec![0; 64]);
        files.extend((0..images).map(image));
        let bytes = hpki.container(&hpki.doctor(), &envelope, &files, ContainerOptions::at(NOW));
        let container = Container::read(&mut std::io::Cursor::new(bytes)).unwrap();
        let subject = Subject::Container(Box::new(container));
        let validated = store(&hpki).validate(subject, evidence(&hpki), NOW);
        let text = serde_json::to_string(validated.report()).unwrap();
        let again = ValidationReport::from_json(text.as_bytes()).unwrap().replay().unwrap();
        assert_eq!(serde_json::to_string(&again).unwrap(), text);
        text.len()
    };
    let (few, many) = (size(1), size(501));
    println!("report: {few} bytes for one image, {many} bytes for 501");
    // A path of 34 bytes, a digest of 44 in base64, and what JSON puts around them.
    assert!((many - few) / 500 < 160, "{} bytes for each image", (many - few) / 500);
}

/// A report on a bare signature and one on a container, as JSON to be edited.
fn reports() -> (Value, Value) {
    let hpki = TestHpki::new("http://crl.example", NOW);
    let (envelope, mut files) = kit::referral();
    files.extend((0..200).map(|number| (format!("images/{number}"), vec![0; 8])));
    let bytes = hpki.container(&hpki.doctor(), &envelope, &files, ContainerOptions::at(NOW));
    let container = Container::read(&mut std::io::Cursor::new(bytes)).unwrap();
    let bare = Subject::Signature {
        bytes: hpki.signature(&hpki.doctor(), b"content", ContainerOptions::at(NOW)),
        content: Some(Digests::of(b"content").into()),
    };
    let store = store(&hpki);
    let judged = |subject| {
        let validated = store.validate(subject, evidence(&hpki), NOW);
        assert!(validated.report().passed());
        serde_json::to_value(validated.report()).unwrap()
    };
    (judged(Subject::Container(Box::new(container))), judged(bare))
}

fn replayed(report: &Value) -> Result<ValidationReport, ReplayError> {
    ValidationReport::from_json(report.to_string().as_bytes())?.replay()
}

#[test]
fn what_a_report_claims_to_be_made_from_is_bounded_and_must_fit_together() {
    let (container, bare) = reports();
    assert!(replayed(&container).is_ok() && replayed(&bare).is_ok());
    let run = |from: u64, count: u64| json!({ "from": from, "count": count, "algorithm": "sha256" });
    let edits = [
        ("/version", 2.into(), "version 2"),
        ("/subject/container/files", json!([]), "digests as files"),
        (
            "/subject/container/manifests/0/references",
            json!([run(0, u64::from(u32::MAX))]),
            "no entry",
        ),
        (
            "/subject/container/manifests/0/references",
            Value::Array(vec![run(0, 200); 8_000]),
            "more references",
        ),
        (
            "/subject/container/manifests/0/references",
            json!([{ "from": 0, "count": 1, "algorithm": "sha512" }]),
            "without a digest",
        ),
        ("/subject/container/files/0", "sha256:AAAA".into(), "sha256:BASE64"),
        ("/subject/container/more", Value::Null, "unknown field"),
        ("/trust/policy", "minimum_levle = 1".into(), "policy cannot be read"),
        ("/trust/hpki", json!(["AAAA"]), "no certificate"),
    ];
    for (place, value, expected) in edits {
        let mut report = container.clone();
        let (parent, key) = place.rsplit_once('/').unwrap();
        let parent = report["diagnostic"]["replay"].pointer_mut(parent).unwrap();
        match key.parse::<usize>() {
            Ok(index) => parent[index] = value,
            Err(_) => parent[key] = value,
        }
        let error = replayed(&report).expect_err(place).to_string();
        assert!(error.contains(expected), "{place}: {error}");
    }
    let mut brief = container.clone();
    brief["diagnostic"].as_object_mut().unwrap().remove("replay");
    assert_eq!(replayed(&brief), Err(ReplayError::Absent));
    let long = vec![b' '; MAX_REPORT + 1];
    assert_eq!(ValidationReport::from_json(&long), Err(ReplayError::TooLarge));
}

#[test]
fn a_report_is_compared_with_the_file_it_names() {
    let (container, bare) = reports();
    let hpki = TestHpki::new("http://crl.example", NOW);
    let signature = hpki.signature(&hpki.doctor(), b"content", ContainerOptions::at(NOW));
    let subject = |content: &[u8]| Subject::Signature {
        bytes: signature.clone(),
        content: Some(Digests::of(content).into()),
    };
    let read = |report: &Value| ValidationReport::from_json(report.to_string().as_bytes()).unwrap();
    assert_eq!(read(&bare).speaks_of(&subject(b"content")), Ok(()));
    assert_eq!(read(&bare).speaks_of(&subject(b"other")), Err(Mismatch::Content));
    assert_eq!(read(&container).speaks_of(&subject(b"content")), Err(Mismatch::Kind));
}
