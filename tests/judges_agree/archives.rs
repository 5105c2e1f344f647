//! An independent checker in Python looks at every archive of `fixtures/validation`: what is over what, and who signed it.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Serialize;

#[derive(Serialize)]
struct Trial {
    name: String,
    file: PathBuf,
    content: Option<PathBuf>,
}

/// Archives that are not what they say: it must refuse these, and accept all others.
const UNSOUND: &[&str] = &[
    "ats_v1_over_less",
    "ats_v2_over_other_content",
    "ats_v3_hash_index_short",
    "ats_v3_over_other_content",
    "lta_file_not_covered",
    "lta_older_manifest_swapped",
    "lta_reference_does_not_match",
    "lta_signature_not_covered",
    "lta_token_of_other_manifest",
];

fn is_archive(name: &str) -> bool {
    let without = [
        "lta_without",
        "tsa_key_stolen",
        "ca_key_stolen_after",
        "weak_algorithm_covered",
    ];
    name.starts_with("lta_") || name.starts_with("ats_v") || without.iter().any(|start| name.starts_with(start))
}

#[test]
fn an_independent_checker_agrees_on_every_archive() {
    let python = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/venv/bin/python"));
    if !python.is_file() {
        kit::skip("the archive checker", "no target/venv, which tests/run makes");
        return;
    }
    let folders = super::files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/validation"));
    let trials: Vec<Trial> = folders
        .iter()
        .map(|folder| (folder.file_name().unwrap().to_string_lossy().into_owned(), folder))
        .filter(|(name, _)| is_archive(name))
        .map(|(name, folder)| {
            let container = folder.join("container.asice");
            let content = folder.join("content");
            Trial {
                name,
                file: if container.exists() {
                    container
                } else {
                    folder.join("signature.p7s")
                },
                content: content.exists().then_some(content),
            }
        })
        .collect();
    assert!(
        trials.len() >= 20
            && UNSOUND
                .iter()
                .all(|name| trials.iter().any(|trial| trial.name == *name))
    );
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
    let verdicts: BTreeMap<String, Option<String>> = serde_json::from_slice(&output.stdout).unwrap();
    let wrong: Vec<String> = trials
        .iter()
        .filter(|trial| verdicts[&trial.name].is_some() != UNSOUND.contains(&trial.name.as_str()))
        .map(|trial| format!("{}: {:?}", trial.name, verdicts[&trial.name]))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
