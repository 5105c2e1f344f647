//! What others can check: the container with its trust and evidence as plain files, the trail with its proof.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use client::error::Language;
use formats::asice::{Container, Unpacker};
use formats::wire::SubmissionId;
use relay::account::Format;
use time::OffsetDateTime;
use trust_store::report::{CheckResult, Indication};
use trust_store::{Evidence, Subject};

use crate::stage::Stage;
use crate::tell::quote;

/// Leaves everything in `folder`.
pub(crate) fn keep(stage: &Stage, id: &SubmissionId, container: &Path, folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder.join("evidence"))?;
    std::fs::copy(container, folder.join("referral.asice"))?;
    copy_folder(&stage.trust(), &folder.join("trust"))?;
    let evidence = std::fs::read_to_string(container.with_extension("evidence.json"))?;
    let evidence = Evidence::from_json(&evidence)?;
    for (kind, files) in [
        ("cer", evidence.certificates),
        ("crl", evidence.crls),
        ("ors", evidence.ocsp),
    ] {
        for (number, bytes) in files.iter().enumerate() {
            std::fs::write(folder.join(format!("evidence/{number:02}.{kind}")), bytes)?;
        }
    }
    for (format, name) in [(Format::Csv, "trail.csv"), (Format::Jsonl, "trail.jsonl")] {
        let command = relay::admin::Command::TrailExport(relay::admin::Export {
            format,
            ..relay::admin::Export::default()
        });
        std::fs::write(folder.join(name), stage.export(command)?.1)?;
    }
    let receipt = client::outbox::Outbox::of(&stage.home("clinic")?)
        .receipt(id)
        .context("a receipt")?;
    std::fs::write(folder.join("trail.tlog-proof"), receipt.proof)?;
    std::fs::write(folder.join("log.vkey"), stage.log_vkey()? + "\n")?;
    let proof = ["trail", "verify"].map(PathBuf::from).into_iter();
    let proof = proof.chain([folder.join("trail.jsonl"), "--log-key".into(), folder.join("log.vkey")]);
    let proof = proof.chain(["--checkpoint".into(), folder.join("trail.tlog-proof")]);
    stage.hikyaku("clinic", &proof.collect::<Vec<_>>())?;
    quote(&format!(
        "hikyaku verify {0}/referral.asice --trust {0}/trust --evidence {0}/evidence",
        folder.display()
    ));
    Ok(())
}

/// `openssl cms -verify` of the signature against the manifest, with the test root as the only trust.
pub(crate) fn openssl(stage: &Stage, container: &Path) -> anyhow::Result<()> {
    if Command::new("openssl").arg("version").output().is_err() {
        quote("openssl is not installed here; skipped");
        return Ok(());
    }
    let folder = stage.folder().join("openssl");
    std::fs::create_dir_all(&folder)?;
    let mut reader = BufReader::new(File::open(container)?);
    let unpacker = Unpacker::open(&mut reader)?;
    let mut paths = Vec::new();
    for (entry, name) in [
        ("META-INF/signature001.p7s", "signature.p7s"),
        ("META-INF/ASiCManifest001.xml", "manifest.xml"),
    ] {
        let path = folder.join(name);
        unpacker.extract(&mut reader, entry, &mut File::create(&path)?)?;
        paths.push(path);
    }
    let trusted = folder.join("trusted.pem");
    std::fs::write(&trusted, stage.services.hpki().doctor().certificates_pem())?;
    let output = Command::new("openssl")
        .args([
            "cms", "-verify", "-cades", "-binary", "-purpose", "any", "-inform", "DER", "-out",
        ])
        .arg(folder.join("out"))
        .arg("-in")
        .arg(&paths[0])
        .arg("-content")
        .arg(&paths[1])
        .arg("-CAfile")
        .arg(&trusted)
        .output()?;
    quote(String::from_utf8_lossy(&output.stderr).trim());
    ensure!(output.status.success(), "openssl refused the signature");
    Ok(())
}

/// A copy with one flipped bit fails where the original passes, with the same trust and evidence: what fails is told.
pub(crate) fn refused(stage: &Stage, container: &Path) -> anyhow::Result<()> {
    let told = |failure: client::error::Failure| anyhow::anyhow!(failure.message(Language::English));
    let trust = client::trust::load(&stage.trust()).map_err(told)?;
    let report = |file: &Path| {
        let evidence = client::trust::evidence(&container.with_extension("evidence.json")).map_err(told)?;
        let read = Container::read(&mut File::open(file)?)?;
        let validated = trust.validate(Subject::Container(Box::new(read)), evidence, OffsetDateTime::now_utc());
        anyhow::Ok(validated.report().clone())
    };
    ensure!(report(container)?.passed(), "the letter as it came is not valid");
    let report = report(&flipped(container)?)?;
    ensure!(report.indication == Indication::TotalFailed, "it was not refused");
    quote(&report.sentence(Language::English));
    let failed = |result: CheckResult| result == CheckResult::Failed;
    let first = report.checks.iter().find(|check| failed(check.result));
    quote(&format!("✗ {}", first.context("a failed check")?.detail));
    Ok(())
}

/// A copy with one bit of the letter changed.
fn flipped(container: &Path) -> anyhow::Result<PathBuf> {
    let mut bytes = std::fs::read(container)?;
    let letter = bytes
        .windows(5)
        .position(|window| window == b"%PDF-")
        .context("a letter inside")?;
    bytes[letter + 20] ^= 1;
    let broken = container.with_extension("broken.asice");
    std::fs::write(&broken, bytes)?;
    Ok(broken)
}

fn copy_folder(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)?.flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
