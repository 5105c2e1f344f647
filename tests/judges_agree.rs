//! OpenSSL and pyHanko judge every folder of `fixtures/validation`: none refuses what we accept, and where one accepts what we
//! refuse, a table says which rule it does not know. A difference that is not in the table fails, and so does one that is gone.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use formats::cades::{Profile, SignedData};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

#[path = "judges_agree/archives.rs"]
mod archives;
#[path = "judges_agree/differences.rs"]
mod differences;

use differences::Difference;

#[derive(Deserialize)]
struct Case {
    now: String,
    indication: String,
}

/// One signature of a folder, laid out for programs that read files.
#[derive(Serialize)]
struct Trial {
    name: String,
    signature: PathBuf,
    content: Option<PathBuf>,
    hpki: Vec<PathBuf>,
    tsa: Vec<PathBuf>,
    others: Vec<PathBuf>,
    /// When it was signed, as its stamps say: judges are asked about this time.
    signed: String,
    now: String,
    #[serde(skip)]
    crls: Vec<PathBuf>,
    #[serde(skip)]
    passed: bool,
    #[serde(skip)]
    attached: bool,
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// The first signature of a folder; of a container, over its first manifest.
fn trial(folder: &Path, bench: &Path) -> Trial {
    let name = folder.file_name().unwrap().to_string_lossy().into_owned();
    let case: Case = toml::from_str(&fs::read_to_string(folder.join("case.toml")).unwrap()).unwrap();
    let container = folder.join("container.asice");
    let (signature, content) = if container.exists() {
        let unpacked = |entry: &str, suffix: &str| {
            let output = Command::new("unzip")
                .arg("-p")
                .arg(&container)
                .arg(entry)
                .output()
                .unwrap();
            let path = bench.join(format!("{name}.{suffix}"));
            fs::write(&path, output.stdout).unwrap();
            path
        };
        let signature = unpacked("META-INF/signature001.p7s", "p7s");
        (signature, Some(unpacked("META-INF/ASiCManifest001.xml", "xml")))
    } else {
        let content = folder.join("content");
        (folder.join("signature.p7s"), content.exists().then_some(content))
    };
    let parsed = SignedData::parse(&fs::read(&signature).unwrap(), Profile::Document);
    let tokens = parsed.iter().flat_map(|signed| &signed.signer.timestamps);
    let times = tokens.filter_map(|token| formats::timestamp::Token::parse(token).ok());
    let signed = times.map(|token| token.info.gen_time).min();
    Trial {
        attached: parsed.is_ok_and(|signed| signed.content.is_some()),
        signature,
        content,
        // Judges know nothing of routes: they are given the anchors of all.
        hpki: ["hpki", "accredited", "jpki"]
            .iter()
            .flat_map(|route| files(&folder.join("trust").join(route)))
            .collect(),
        tsa: files(&folder.join("trust/tsa")),
        others: files(&folder.join("trust/intermediates")),
        signed: signed.map_or_else(|| case.now.clone(), |time| time.format(&Rfc3339).unwrap()),
        now: case.now,
        crls: files(&folder.join("evidence"))
            .into_iter()
            .filter(|file| is(file, "crl"))
            .collect(),
        passed: case.indication == "TOTAL-PASSED",
        name,
    }
}

fn is(file: &Path, extension: &str) -> bool {
    file.extension().is_some_and(|found| found == extension)
}

/// Anchors of signers and CRLs in one PEM file, and intermediates in another.
fn pem_files(trial: &Trial, bench: &Path) -> (PathBuf, PathBuf) {
    let certificates = |files: &[PathBuf]| -> String {
        let texts = files.iter().map(|file| {
            let bytes = fs::read(file).unwrap();
            String::from_utf8(bytes.clone()).unwrap_or_else(|_| kit::pem("CERTIFICATE", &bytes))
        });
        texts.collect()
    };
    let crls = trial
        .crls
        .iter()
        .map(|file| kit::pem("X509 CRL", &fs::read(file).unwrap()));
    let write = |suffix: &str, text: String| {
        let path = bench.join(format!("{}.{suffix}", trial.name));
        fs::write(&path, text).unwrap();
        path
    };
    (
        write("trust.pem", certificates(&trial.hpki) + &crls.collect::<String>()),
        write("others.pem", certificates(&trial.others)),
    )
}

/// Signature, signing-certificate and path; `crls`: revocation of the whole path at that time too.
fn openssl(trial: &Trial, bench: &Path, crls: bool) -> Option<String> {
    let (trust, others) = pem_files(trial, bench);
    let at = OffsetDateTime::parse(&trial.signed, &Rfc3339).unwrap().unix_timestamp();
    let mut command = Command::new("openssl");
    command.args([
        "cms", "-verify", "-cades", "-binary", "-inform", "DER", "-purpose", "any",
    ]);
    command.args([
        "-no-CApath",
        "-no-CAstore",
        "-out",
        "/dev/null",
        "-attime",
        &at.to_string(),
    ]);
    command
        .arg("-in")
        .arg(&trial.signature)
        .arg("-CAfile")
        .arg(trust)
        .arg("-certfile")
        .arg(others);
    if let Some(content) = trial.content.as_ref().filter(|_| !trial.attached) {
        command.arg("-content").arg(content);
    }
    if crls {
        command.args(["-crl_check_all", "-extended_crl"]);
    }
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (!output.status.success()).then_some(said)
}

fn pyhanko(trials: &[Trial]) -> Option<BTreeMap<String, Option<String>>> {
    let python = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/venv/bin/python"));
    if !python.is_file() {
        kit::skip("pyHanko over the fixtures", "no target/venv, which tests/run makes");
        return None;
    }
    let mut child = Command::new(python)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/judges/pyhanko_fixtures.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let question = serde_json::to_vec(trials).unwrap();
    child.stdin.take().unwrap().write_all(&question).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

/// What of the verdicts no row explains, and what rows explain nothing.
fn unexplained(
    judge: &str,
    trials: &[Trial],
    table: &[Difference],
    verdict: impl Fn(&Trial) -> Option<String>,
) -> Vec<String> {
    let mut wrong = Vec::new();
    for trial in trials {
        let row = table.iter().find(|row| row.cases.contains(&trial.name.as_str()));
        let refused = verdict(trial);
        match (trial.passed == refused.is_none(), row) {
            (true, None) => {}
            (false, Some(row)) if row.refused == trial.passed => {}
            (true, Some(row)) => wrong.push(format!(
                "{judge} agrees on {}, but a row says: {}",
                trial.name, row.reason
            )),
            (false, _) => {
                let (name, passed) = (&trial.name, trial.passed);
                wrong.push(format!("{judge} on {name}: we accept: {passed}; it says {refused:?}"));
            }
        }
    }
    for case in table.iter().flat_map(|row| row.cases) {
        if !trials.iter().any(|trial| trial.name == *case) {
            wrong.push(format!("{judge}: no folder {case}"));
        }
    }
    wrong
}

#[test]
fn openssl_and_pyhanko_judge_every_folder() {
    let bench = tempfile::tempdir().unwrap();
    let folders = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/validation"));
    let trials: Vec<Trial> = folders.iter().map(|folder| trial(folder, bench.path())).collect();
    assert!(trials.len() > 100 && trials.iter().filter(|trial| trial.passed).count() > 30);
    let mut wrong = unexplained("OpenSSL", &trials, differences::OPENSSL, |trial| {
        openssl(trial, bench.path(), false)
    });
    wrong.extend(unexplained(
        "OpenSSL with CRLs",
        &trials,
        differences::OPENSSL_CRLS,
        |trial| openssl(trial, bench.path(), true),
    ));
    if let Some(verdicts) = pyhanko(&trials) {
        wrong.extend(unexplained("pyHanko", &trials, differences::PYHANKO, |trial| {
            verdicts.get(&trial.name).unwrap().clone()
        }));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
