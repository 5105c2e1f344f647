//! Verifies a container offline: bytes, anchors, policy, evidence and a time go in, a report comes out.
//!
//!     cargo run -p examples --bin verify_offline [CONTAINER TRUST-DIR EVIDENCE-DIR]
//!
//! Without arguments it judges a letter made for the occasion. `cargo demo -- --keep DIR` leaves a real one.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use formats::asice::Container;
use kit::TestHpki;
use kit::container::{ContainerOptions, referral};
use time::OffsetDateTime;
use trust_store::Subject;
use trust_store::report::Language;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let now = OffsetDateTime::now_utc();
    let scratch = tempfile::tempdir()?;
    let [container, trust, evidence] = match <[PathBuf; 3]>::try_from(arguments) {
        Ok(paths) => paths,
        Err(_) => make_one(scratch.path(), now)?,
    };

    // Reading is total: whatever is wrong with the bytes becomes a finding, and the verdict says so.
    let read = Container::read(&mut BufReader::new(File::open(container)?))?;
    let trust = client::trust::load(&trust).map_err(|failure| anyhow::anyhow!("{}", failure.code()))?;
    let evidence = client::trust::evidence(&evidence).map_err(|failure| anyhow::anyhow!("{}", failure.code()))?;

    // Nothing is fetched and no clock is read: the same arguments give the same report, years later.
    let validated = trust.validate(Subject::Container(Box::new(read)), evidence, now);
    let report = validated.report();
    println!(
        "{}\n{}\n",
        report.sentence(Language::Japanese),
        report.sentence(Language::English)
    );
    for check in &report.checks {
        println!(
            "{:<13} {:<22} {}",
            format!("{:?}", check.result),
            check.name,
            check.detail
        );
    }

    // Only a validation that passed becomes a `Verified`; the relay stores nothing else.
    match validated.into_verified() {
        Ok(verified) => println!("\nverified: {}", hex::encode(verified.container_sha256())),
        Err(report) => println!("\nnot verified: {:?}", report.sub_indication),
    }
    Ok(())
}

fn make_one(folder: &Path, now: OffsetDateTime) -> anyhow::Result<[PathBuf; 3]> {
    let hpki = TestHpki::new("http://hpki.test.example", now);
    let (envelope, files) = referral();
    let paths = ["letter.asice", "trust", "evidence"].map(|name| folder.join(name));
    std::fs::write(
        &paths[0],
        hpki.container(&hpki.doctor(), &envelope, &files, ContainerOptions::at(now)),
    )?;
    hpki.write_trust(&paths[1]);
    hpki.write_evidence(&paths[2], now, &[]);
    Ok(paths)
}
