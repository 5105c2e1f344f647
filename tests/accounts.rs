//! Accounts as others read them: FHIR events by an independent library, DICOM messages by a schema, the printed page by poppler,
//! and the feed by rsyslog.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "accounts/feed.rs"]
mod feed;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use kit::stage::{PATIENT_ID, PATIENT_NAME, PERSON};
use kit::{Pair, Stage, skip};

/// A pair between which a letter was sent, imported and looked at.
fn exchanged(stage: &Stage) -> (Pair, String) {
    let pair = stage.pair();
    let id = sent(stage, &pair);
    for (path, purpose) in [("container", "import"), ("files/letter/letter.pdf", "view")] {
        let reply = pair.hospital.get_as(
            &stage.relay,
            &format!("/v1/submissions/{id}/{path}?purpose={purpose}"),
            "staff",
            &[],
        );
        assert_eq!(reply.status, 200, "{path}: {}", String::from_utf8_lossy(&reply.body));
    }
    (pair, id)
}

/// Sends a letter with bare requests; its id.
fn sent(stage: &Stage, pair: &Pair) -> String {
    let container = stage.container(pair, &stage.services.hpki().doctor(), |_, _| {});
    let reply = pair.clinic.submit(&stage.relay, &container);
    assert_eq!(reply.status, 201, "{}", String::from_utf8_lossy(&reply.body));
    reply.json()["id"].as_str().unwrap().to_owned()
}

/// Rows of a CSV none of whose cells has a comma or a quote.
fn rows(csv: &str) -> Vec<BTreeMap<String, String>> {
    let mut lines = csv.strip_prefix('\u{feff}').unwrap().lines();
    let names: Vec<&str> = lines.next().unwrap().split(',').collect();
    let row = |line: &str| {
        names
            .iter()
            .map(|name| (*name).to_owned())
            .zip(line.split(',').map(str::to_owned))
            .collect()
    };
    lines.map(row).collect()
}

fn there(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok()
}

fn piped(command: &mut Command, input: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writing = std::thread::spawn(move || {
        // A judge that has found an error reads no further.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap();
    output
}

#[test]
fn fhir_events_are_what_r4_and_balp_say() {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/venv/bin/python");
    let judge = Command::new(&python)
        .args(["-c", "import fhir.resources"])
        .stderr(Stdio::null())
        .status();
    if !judge.is_ok_and(|status| status.success()) {
        return skip(
            "fhir_events_are_what_r4_and_balp_say",
            "no fhir.resources in target/venv",
        );
    }
    let stage = Stage::shared(|_| {});
    let (pair, id) = exchanged(&stage);
    let events = stage.relay.admin(&["trail", "export", "--format", "fhir"]);
    let judged = piped(
        Command::new(python).arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("judges/audit_judge.py")),
        events.as_bytes(),
    );
    assert!(judged.status.success(), "{}", String::from_utf8_lossy(&judged.stderr));
    let told = String::from_utf8(judged.stdout).unwrap();
    assert_eq!(told.lines().count(), events.lines().count());
    let of = |profile: &str| told.lines().filter(|line| line.contains(profile)).count();
    assert!(
        of("PatientRead") >= 2 && of("PrivacyDisclosure.Recipient") >= 1,
        "{told}"
    );
    let looked = events
        .lines()
        .find(|line| line.contains("\"Viewed\"") && line.contains(&id))
        .unwrap();
    assert!(
        looked.contains(PERSON) && looked.contains(PATIENT_ID) && looked.contains(&pair.to),
        "{looked}"
    );
    assert!(!events.contains(PATIENT_NAME));
}

#[test]
fn dicom_messages_follow_the_schema() {
    if !there("xmllint") {
        return skip("dicom_messages_follow_the_schema", "no xmllint");
    }
    let stage = Stage::shared(|_| {});
    let (_, id) = exchanged(&stage);
    let messages = stage.relay.admin(&["trail", "export", "--format", "dicom"]);
    let folder = tempfile::tempdir().unwrap();
    let files: Vec<_> = messages
        .lines()
        .enumerate()
        .map(|(number, line)| {
            let file = folder.path().join(format!("{number}.xml"));
            std::fs::write(&file, line).unwrap();
            file
        })
        .collect();
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("judges/audit_message.rng");
    let lint = |files: &[std::path::PathBuf]| {
        let mut command = Command::new("xmllint");
        command
            .args(["--noout", "--nonet", "--relaxng"])
            .arg(&schema)
            .args(files);
        command.output().unwrap()
    };
    let judged = lint(&files);
    assert!(judged.status.success(), "{}", String::from_utf8_lossy(&judged.stderr));
    let looked = messages
        .lines()
        .find(|line| line.contains("csd-code=\"Viewed\"") && line.contains(&id))
        .unwrap();
    assert!(looked.contains(&format!("UserName=\"{PERSON}\"")), "{looked}");
    // The schema refuses what is none.
    let wrong = folder.path().join("wrong.xml");
    std::fs::write(
        &wrong,
        looked.replace("EventOutcomeIndicator=\"0\"", "EventOutcomeIndicator=\"1\""),
    )
    .unwrap();
    assert!(!lint(&[wrong]).status.success());
}

#[test]
fn the_printed_page_has_the_figures_of_the_table() {
    if !there("pdftotext") {
        return skip("the_printed_page_has_the_figures_of_the_table", "no pdftotext");
    }
    let stage = Stage::shared(|_| {});
    let (pair, _) = exchanged(&stage);
    sent(&stage, &pair);
    let until = time::OffsetDateTime::now_utc()
        .format(&time::format_description::well_known::Rfc3339)
        .unwrap();
    let export = |facility: &str, format: &str| {
        let arguments = [
            "trail",
            "export",
            "--facility",
            facility,
            "--to",
            &until,
            "--format",
            format,
        ];
        let output = stage.relay.try_admin(&arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    for facility in [&pair.from, &pair.to] {
        let rows = rows(&String::from_utf8(export(facility, "csv")).unwrap());
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("summary.pdf");
        std::fs::write(&file, export(facility, "pdf")).unwrap();
        if let Some(kept) = std::env::var_os("HIKYAKU_KEEP") {
            std::fs::copy(&file, Path::new(&kept).join(format!("summary-{facility}.pdf"))).unwrap();
        }
        let text = Command::new("pdftotext")
            .args(["-layout", "-enc", "UTF-8"])
            .arg(&file)
            .arg("-")
            .output()
            .unwrap();
        let text = String::from_utf8(text.stdout).unwrap();
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let lines: Vec<Vec<String>> = text.lines().map(words).collect();
        let has = |wanted: &[&str]| assert!(lines.iter().any(|line| line == wanted), "{wanted:?} in {text}");
        let count = |kind: &str| rows.iter().filter(|row| row["kind"] == kind).count();
        has(&["記録数", &rows.len().to_string(), "件"]);
        for (words, kind) in [("受付（送信の受理）", "Accepted"), ("閲覧", "Viewed")] {
            has(&[words, kind, &count(kind).to_string()]);
        }
        let own = rows
            .iter()
            .filter(|row| row["kind"] == "Accepted" && facility == &pair.from)
            .count();
        assert!(
            text.contains(&format!("送信 {own} 件のうち {own} 件に範囲と日時の両方がある")),
            "{text}"
        );
        let looks = count("Viewed") + count("Delivered");
        assert!(looks >= 2);
        assert!(
            text.contains(&format!("閲覧・取込 {looks} 件のうち {looks} 件に閲覧情報と氏名の両方")),
            "{text}"
        );
        let received = count("Accepted") - own;
        let letters = [own, received, looks].map(|count| count.to_string());
        has(&["診療情報提供書などの文書", &letters[0], &letters[1], &letters[2]]);
        // The last row is the reading, which lies behind the period.
        let (_, within) = rows.split_last().unwrap();
        let numbers: Vec<&str> = within.iter().map(|row| row["facility_seq"].as_str()).collect();
        let span = format!(
            "{} から {} まで、欠番 0",
            numbers.first().unwrap(),
            numbers.last().unwrap()
        );
        assert!(text.contains(&span), "{span} in {text}");
        let checkpoint = pair.clinic.get(&stage.relay, "/v1/trail/checkpoint");
        let name = String::from_utf8(checkpoint.body).unwrap();
        assert!(text.contains(name.lines().next().unwrap()), "{text}");
    }
}

#[test]
fn an_officer_takes_an_account_away_that_another_verifies() {
    let stage = Stage::shared(|_| {});
    let (pair, id) = exchanged(&stage);
    let out = pair.hospital.path("account");
    let folder = out.to_str().unwrap();
    let arguments = [
        "trail", "export", "--out", folder, "--person", "staff", "--format", "fhir",
    ];
    let taken = pair.hospital.json(arguments).expect(0);
    assert_eq!(taken.json["extract"], false, "{}", taken.text);
    let read = |name: &str| std::fs::read_to_string(out.join(name)).unwrap();
    assert!(read("account.fhir.ndjson").contains(&id) && read("README.txt").contains("trail verify"));
    let (records, key) = (out.join("trail.jsonl"), out.join("log.vkey"));
    let (records, key) = (records.to_str().unwrap(), key.to_str().unwrap());
    // Another desk, which knows nothing of this relay.
    let elsewhere = kit::Desk::new();
    let verify = || elsewhere.json(["trail", "verify", records, "--log-key", key]);
    let verdict = verify().expect(0).json;
    let whole = read("trail.jsonl");
    // Both files are one reading: as many records, and the same root at their end.
    let account = read("account.fhir.ndjson");
    assert_eq!(account.lines().count() as u64, verdict["records"].as_u64().unwrap());
    let root = verdict["reading"]["root"].as_str().unwrap();
    let root: Vec<u8> = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, root).unwrap();
    assert!(account.lines().last().unwrap().contains(&hex::encode(&root)));
    let printed = format!("{}:{}", verdict["reading"]["size"], hex::encode(root));
    let compared = |printed: &str| {
        let arguments = ["trail", "verify", records, "--log-key", key, "--checkpoint", printed];
        elsewhere.json(arguments)
    };
    compared(&printed).expect(0);
    let other = printed.replace(':', ":00").split_at(printed.len()).0.to_owned();
    compared(&other).expect(1);
    assert!(whole.contains(&id));
    std::fs::write(records, whole.replacen("Delivered", "Delivers!", 1)).unwrap();
    verify().expect(1);
    // An extract says so, in every file.
    let arguments = [
        "trail",
        "export",
        "--out",
        folder,
        "--person",
        "staff",
        "--patient",
        PATIENT_ID,
    ];
    let taken = pair.hospital.json(arguments).expect(0);
    assert_eq!(taken.json["extract"], true, "{}", taken.text);
    assert!(read("account.csv").contains("extract, not complete") && read("trail.jsonl").contains("\"extract\":true"));
}

/// Receipts are promises of what the log was: an account is comparable with them by itself.
#[test]
fn an_account_is_comparable_with_the_receipts_at_hand() {
    let stage = Stage::shared(|_| {});
    let pair = stage.pair();
    let card = stage.services.hpki().doctor();
    let container = pair.clinic.path("letter.asice");
    std::fs::write(&container, stage.container(&pair, &card, |_, _| {})).unwrap();
    pair.clinic.json(["send", container.to_str().unwrap()]).expect(0);
    let receipts = client::outbox::Outbox::of(&client::config::Home::locate(Some(pair.clinic.home())).unwrap());
    let receipt = receipts.receipts(1).unwrap().remove(0);
    let proof = pair.clinic.path("receipt.tlog-proof");
    std::fs::write(&proof, &receipt.proof).unwrap();
    sent(&stage, &pair);
    let verify = |held: &[&str]| {
        let out = pair.clinic.path("account");
        let mut arguments = vec!["trail", "export", "--out", out.to_str().unwrap(), "--person", "staff"];
        for held in held {
            arguments.extend(["--held", held]);
        }
        pair.clinic.json(arguments).expect(0);
        let file = |name: &str| out.join(name).to_str().unwrap().to_owned();
        let (records, key) = (file("trail.jsonl"), file("log.vkey"));
        let proof = proof.to_str().unwrap();
        pair.clinic
            .json(["trail", "verify", &records, "--log-key", &key, "--checkpoint", proof])
    };
    verify(&[]).expect(0);
    verify(&[proof.to_str().unwrap()]).expect(0);
}

#[test]
fn an_officer_narrows_goes_on_and_reads_in_shift_jis_over_http() {
    let stage = Stage::shared(|_| {});
    let (pair, id) = exchanged(&stage);
    sent(&stage, &pair);
    let get = |query: &str| {
        let reply = pair
            .clinic
            .get_as(&stage.relay, &format!("/v1/trail?format=csv&{query}"), "staff", &[]);
        assert_eq!(reply.status, 200, "{query}: {}", String::from_utf8_lossy(&reply.body));
        reply
    };
    let text = |query: &str| String::from_utf8(get(query).body).unwrap();
    let of_letter = rows(&text(&format!("submission={id}")));
    let (last, letter) = of_letter.split_last().unwrap();
    assert!(
        letter.len() >= 3 && letter.iter().all(|row| row["submission"] == id),
        "{letter:?}"
    );
    assert!(
        last["kind"] == "TrailRead" && last["scope"].contains("extract"),
        "{last:?}"
    );
    assert_eq!(rows(&text("patient=nobody")).len(), 1);
    let all = text("");
    let third = rows(&all)[2]["position"].clone();
    let rest = text(&format!("after={third}"));
    assert!(!rest.starts_with('\u{feff}'));
    // All but its last row, which as such names the root.
    let behind: Vec<_> = all.lines().skip(4).collect();
    let behind = behind.split_last().unwrap().1.join("\r\n");
    assert!(behind.len() > 100 && rest.starts_with(&behind), "{rest}");
    let japanese = get("encoding=shift_jis");
    assert_eq!(japanese.header("content-type"), "text/csv; charset=Shift_JIS");
    assert!(japanese.body.starts_with(b"position,"));
    for wrong in ["format=xlsx", "patiant=1", "format=csv&reading=0"] {
        let path = format!("/v1/trail?{wrong}");
        assert_eq!(
            pair.clinic.get_as(&stage.relay, &path, "staff", &[]).status,
            400,
            "{wrong}"
        );
    }
    assert_eq!(
        pair.hospital
            .get_as(
                &stage.relay,
                &format!("/v1/trail?format=csv&submission={id}"),
                "staff",
                &[]
            )
            .status,
        200
    );
}
