//! What a lying relay sends for a letter.

use std::fs;
use std::path::Path;

use kit::desk::files_below;
use kit::zip::{Entry, archive};
use kit::{Asked, Desk, Lie, measured};
use serde_json::Value;

use super::{Den, EVIL, MEMORY, at_the_end, quiet};

#[test]
fn what_is_fetched_is_the_letter_or_nothing_and_stays_in_its_folder() {
    let den = Den::new();
    let ((id, bytes, _), (other, other_bytes, _)) = (den.accepted(), den.accepted());
    let hospital = &den.pair.hospital;
    // The relay's trust and key are heard once, honestly.
    let first = hospital.path("first");
    hospital
        .json(["fetch", &other, "--person", "staff", "--out", first.to_str().unwrap()])
        .expect(0);
    let fetch = |name: &str, exit: i32| {
        let out = hospital.path("deep/below").join(name);
        let before = outside(hospital);
        let told = measured(
            hospital
                .command()
                .args(["--json", "fetch", &id, "--person", "staff", "--out"])
                .arg(&out),
        );
        let text = quiet(&told.output);
        assert_eq!(told.output.status.code(), Some(exit), "{name}: {text}");
        assert!(told.peak < MEMORY, "{name}: {} bytes resident", told.peak);
        assert_eq!(outside(hospital), before, "{name} wrote outside its folder");
        let unpacked = out.join(&id).exists();
        let value: Value = serde_json::from_slice(&told.output.stdout).unwrap();
        (value["code"].as_str().unwrap_or_default().to_owned(), unpacked, value)
    };
    let container = |lie: Lie| at_the_end("/container", move |_| lie.clone());
    let octets = |bytes: &[u8]| Lie::Answer(200, Vec::new(), bytes.to_vec());

    den.before_hospital.says(container(octets(&other_bytes)));
    assert_eq!(fetch("another", 2).0, "relay_answer");
    den.before_hospital
        .says(container(Lie::Endless(Vec::new(), vec![0; 65_536])));
    assert_eq!(fetch("endless", 2).0, "relay_answer");
    let part = hospital.path("deep/below/endless").join(format!("{id}.asice.part"));
    assert!(fs::metadata(part).map_or(0, |file| file.len()) <= bytes.len() as u64);
    den.before_hospital.says(at_the_end("/evidence", |_| {
        Lie::Endless(Vec::new(), vec![b' '; 65_536])
    }));
    assert_eq!(fetch("evidence", 2).0, "relay_answer");
    den.before_hospital
        .says(at_the_end("/evidence", |_| Lie::json(200, EVIL)));
    assert_eq!(fetch("rubbish", 2).0, "relay_answer");
    let telling = id.clone();
    den.before_hospital.says(move |asked, ask| {
        let mut truth = ask();
        if asked.target == format!("/v1/submissions/{telling}") {
            let mut status = truth.json();
            status["size"] = u64::MAX.into();
            truth.body = status.to_string().into_bytes();
        }
        Lie::truth(&truth)
    });
    assert_eq!(fetch("larger than the disk", 2).0, "file_unwritable");
    let (asked_for, false_one) = (id.clone(), other.clone());
    den.before_hospital.says(move |asked, ask| {
        let mut truth = ask();
        if asked.target == format!("/v1/submissions/{asked_for}") {
            truth.body = String::from_utf8(truth.body)
                .unwrap()
                .replace(&asked_for, &false_one)
                .into_bytes();
        }
        Lie::truth(&truth)
    });
    assert_eq!(fetch("the status of another", 2).0, "relay_answer");

    // The relay stands by what it sends: its status names the digest of it.
    den.before_hospital.says(instead(&id, other_bytes.clone()));
    assert_eq!(fetch("another letter, recorded so", 2).0, "relay_answer");
    for name in [
        "../../../escaped.txt",
        "/tmp/hikyaku-escaped.txt",
        "letter/../../../../escaped.txt",
        "..\\..\\escaped.txt",
        "C:\\escaped.txt",
        "letter/\u{1b}[2Jescaped.txt",
        "letter//escaped.txt",
    ] {
        let mut entries = kit::zip::entries(&bytes);
        entries.push(Entry::new(name, b"escaped"));
        den.before_hospital.says(instead(&id, archive(&entries)));
        let (_, unpacked, told) = fetch(&format!("escape {}", name.len()), 1);
        assert!(!unpacked, "{name}");
        assert_eq!(told["report"]["indication"], "TOTAL-FAILED", "{name}");
        assert!(!Path::new("/tmp/hikyaku-escaped.txt").exists());
    }
    den.before_hospital.says(|asked, ask| match Lie::truth(&ask()) {
        Lie::Answer(status, mut fields, body) if asked.target.contains("/container") => {
            let name = "attachment; filename=\"../../../escaped.asice\"";
            fields.push(("content-disposition".into(), name.into()));
            Lie::Answer(status, fields, body)
        }
        truth => truth,
    });
    let (_, unpacked, told) = fetch("a name for it", 0);
    assert!(unpacked && told["trust_changed"] == false, "{told}");
}

/// Sends these bytes for a submission, and says of them what is true.
fn instead(id: &str, bytes: Vec<u8>) -> impl Fn(&Asked, &dyn Fn() -> kit::Reply) -> Lie + Send + Sync + 'static {
    let id = id.to_owned();
    move |asked, ask| {
        if asked.target.contains("/container") {
            return Lie::Answer(200, Vec::new(), bytes.clone());
        }
        let mut truth = ask();
        if asked.target == format!("/v1/submissions/{id}") {
            let mut status = truth.json();
            status["size"] = bytes.len().into();
            status["container_sha256"] = hex::encode(formats::digest::sha256(&bytes)).into();
            truth.body = status.to_string().into_bytes();
        }
        Lie::truth(&truth)
    }
}

/// Names of all files of a desk that do not lie in its folders of fetched letters, but for what it heard of the relay.
fn outside(desk: &Desk) -> Vec<String> {
    let all = files_below(desk.home().parent().unwrap())
        .into_iter()
        .map(|(name, _)| name);
    all.filter(|name| !name.starts_with("deep/below/")).collect()
}

#[test]
fn a_relay_that_asks_for_less_does_not_lower_what_the_hospital_asks_for() {
    let den = Den::new();
    let hospital = &den.pair.hospital;
    let (id, bytes, _) = den.accepted();
    let out = |name: &str| hospital.path(name).to_str().unwrap().to_owned();
    hospital
        .json(["fetch", &id, "--person", "staff", "--out", &out("honest")])
        .expect(0);
    // The same letter, signed by a pharmacist: nobody whom the rules let refer a patient.
    let hpki = den.stage.services.hpki();
    let pharmacist = hpki.pharmacist();
    let entries = kit::zip::entries(&bytes);
    let envelope = entries.iter().find(|entry| entry.name == "submission.json").unwrap();
    let envelope = formats::envelope::Envelope::parse(&envelope.bytes).unwrap();
    let files = entries
        .iter()
        .filter(|entry| entry.name.contains('/') && !entry.name.starts_with("META-INF"));
    let files: Vec<_> = files.map(|entry| (entry.name.clone(), entry.bytes.clone())).collect();
    let options = kit::ContainerOptions::at(time::OffsetDateTime::now_utc());
    let forged = hpki.container(&pharmacist, &envelope, &files, options);
    hpki.write_trust(&hospital.path("trust"));
    let lie = |weak: bool| {
        let swapped = instead(&id, forged.clone());
        den.before_hospital.says(move |asked, ask| {
            if weak && asked.target == "/v1/policy" {
                let mut policy = ask().json();
                let mut rules: toml::Table = policy["policy_toml"].as_str().unwrap().parse().unwrap();
                let roles = rules["roles"].as_table_mut().unwrap();
                for kind in ["Referral", "ImageStudy"] {
                    roles.insert(kind.into(), toml::Value::Array(vec!["Pharmacist".into()]));
                }
                policy["policy_toml"] = rules.to_string().into();
                return Lie::json(200, policy.to_string());
            }
            swapped(asked, ask)
        });
    };
    lie(false);
    let refused = hospital.json(["fetch", &id, "--person", "staff", "--out", &out("true rules")]);
    assert_ne!(refused.exit, 0);
    assert_eq!(
        (&refused.json["folder"], &refused.json["trust_changed"]),
        (&Value::Null, &false.into()),
        "{}",
        refused.text
    );
    lie(true);
    let own = hospital.json([
        "fetch",
        &id,
        "--person",
        "staff",
        "--trust",
        &out("trust"),
        "--out",
        &out("own rules"),
    ]);
    assert_ne!(own.exit, 0, "its own rules are what counts");
    assert_eq!(own.json["folder"], Value::Null, "{}", own.text);
    let told = hospital.run(["fetch", &id, "--person", "staff", "--out", &out("weak rules")]);
    let text = quiet(&told);
    assert!(
        told.status.success() && text.contains("trust anchors or policy have changed"),
        "{text}"
    );
}
