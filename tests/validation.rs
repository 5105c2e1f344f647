//! Every folder of `fixtures/validation` is judged as its `case.toml` says: the folder's name is what is wrong.
//!
//! The folders are made by `validation_cases.rs`: `cargo test -p tests --test validation -- --ignored`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use formats::asice::Container;
use formats::cades::DetachedContent;
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use trust_store::report::Language;
use trust_store::{AnchorSet, Anchors, Evidence, Policy, Subject, TrustAnchor, TrustStore, ValidationReport};

#[path = "validation_cases.rs"]
mod cases;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    why: String,
    spec: String,
    now: String,
    indication: String,
    sub_indication: Option<String>,
    /// How much `missing` asks for: CRLs, and the stamp that the relay may add.
    missing: usize,
    /// What one of the checks says.
    says: Option<String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/validation")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn store(folder: &Path) -> TrustStore {
    let anchors = |name: &str| {
        let all = files(&folder.join("trust").join(name));
        AnchorSet(
            all.iter()
                .flat_map(|file| TrustAnchor::parse(&fs::read(file).unwrap()).unwrap())
                .collect(),
        )
    };
    let intermediates = files(&folder.join("trust/intermediates"));
    TrustStore {
        anchors: Anchors {
            hpki: anchors("hpki"),
            accredited: anchors("accredited"),
            jpki: anchors("jpki"),
            tsa: anchors("tsa"),
            intermediates: intermediates.iter().map(|file| fs::read(file).unwrap()).collect(),
        },
        policy: Policy::from_toml(&fs::read_to_string(folder.join("trust/policy.toml")).unwrap()).unwrap(),
    }
}

fn judge(folder: &Path) -> Result<(), String> {
    let case: Case = toml::from_str(&fs::read_to_string(folder.join("case.toml")).unwrap()).unwrap();
    let now = OffsetDateTime::parse(&case.now, &Rfc3339).unwrap();
    let mut evidence = Evidence::default();
    for file in files(&folder.join("evidence")) {
        evidence.add(&file.file_name().unwrap().to_string_lossy(), &fs::read(&file).unwrap());
    }
    let container = folder.join("container.asice");
    let subject = if container.exists() {
        Subject::Container(Box::new(Container::read(&mut File::open(container).unwrap()).unwrap()))
    } else {
        let content = fs::read(folder.join("content")).ok();
        let bytes = fs::read(folder.join("signature.p7s")).unwrap();
        let content = content.map(|content| DetachedContent::of(&bytes, &content));
        Subject::Signature { bytes, content }
    };
    let is_container = matches!(subject, Subject::Container(_));
    let store = store(folder);
    let missing = store.missing(&subject, &evidence, now).len();
    let validated = store.validate(subject.clone(), evidence.clone(), now);
    if let Subject::Container(container) = &subject {
        let foreseen = store.foresee(Container::clone(container), evidence.clone(), now);
        let same = foreseen.is_none_or(|report| report.sub_indication == validated.report().sub_indication);
        assert!(same, "{}: what is foreseen is what is found", folder.display());
        let foreseen = store.foresee(Container::clone(container), Evidence::default(), now);
        if let Some(report) = &foreseen {
            replay(report);
        }
        let foreseen = foreseen.is_some();
        assert!(!foreseen || !validated.report().passed(), "{}", folder.display());
        let no_known_role = folder.ends_with("unknown_role");
        assert!(
            foreseen || !no_known_role,
            "what the certificate lacks, no evidence brings"
        );
    }
    replay(validated.report());
    assert_eq!(validated.report().speaks_of(&subject), Ok(()), "{}", folder.display());
    let again_subject = subject.clone();
    let again = store.validate(subject, evidence, now);
    assert_eq!(
        validated.report(),
        again.report(),
        "the same input gives the same report"
    );
    if let Subject::Container(container) = &again_subject {
        for check in &validated.report().checks {
            let finding = container.findings.iter().any(|finding| finding.code == check.name);
            let named = check.title(Language::Japanese).is_some() || finding;
            assert!(named, "the check {} has no title for people", check.name);
        }
    }
    let report = serde_json::to_value(validated.report()).unwrap();
    let text = serde_json::to_string_pretty(&report).unwrap();
    if report["indication"] != case.indication.as_str()
        || report["sub_indication"].as_str() != case.sub_indication.as_deref()
    {
        return Err(format!(
            "expected {} {:?} ({}; {})\n{text}",
            case.indication, case.sub_indication, case.why, case.spec
        ));
    }
    if missing != case.missing {
        return Err(format!(
            "{missing} pieces of evidence asked for, {} expected\n{text}",
            case.missing
        ));
    }
    let said = |says: &String| {
        let mut checks = report["checks"].as_array().unwrap().iter();
        checks.any(|check| check["detail"].as_str().unwrap().contains(says))
    };
    if !case.says.as_ref().is_none_or(said) {
        return Err(format!("no check says {:?}\n{text}", case.says));
    }
    let patient = ["山田　太郎", "1970-01-01"];
    assert!(
        !patient.iter().any(|secret| text.contains(secret)),
        "patient data in {text}"
    );
    assert_eq!(
        validated.report().reason().is_none(),
        validated.report().passed(),
        "{text}"
    );
    assert!(validated.report().sentence(Language::Japanese).ends_with('。'));
    let passed = validated.report().passed();
    assert_eq!(validated.into_verified().is_ok(), passed && is_container);
    Ok(())
}

/// The report alone, written and read, gives the same report byte for byte.
fn replay(report: &ValidationReport) {
    let text = serde_json::to_string(report).unwrap();
    let read = ValidationReport::from_json(text.as_bytes()).unwrap();
    let again = read.replay().unwrap();
    assert_eq!(serde_json::to_string(&again).unwrap(), text);
}

#[test]
fn every_case_is_judged_as_it_says() {
    let folders = files(&root());
    assert!(folders.len() >= 90, "only {} cases", folders.len());
    let wrong: Vec<String> = folders
        .iter()
        .filter_map(|folder| judge(folder).err().map(|why| format!("{}: {why}", folder.display())))
        .collect();
    assert!(
        wrong.is_empty(),
        "{} of {} cases:\n{}",
        wrong.len(),
        folders.len(),
        wrong.join("\n\n")
    );
}

#[test]
#[ignore = "writes the fixtures anew"]
fn write_the_cases() {
    cases::write_all(&root());
}
