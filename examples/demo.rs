//! The whole walk in a minute: a doctor's key signs a letter with a CT, the relay checks it, a hospital opens it, the log proves it.
//!
//!     cargo demo                  tells each step with its time
//!     cargo demo -- --keep DIR    leaves letter, trust, evidence and trail in DIR
//!     cargo demo -- --serve       keeps running and prints its addresses
//!
//! Nothing is played: a test HPKI with live CRLs and a time-stamp authority, a relay behind TLS 1.3, and the `hikyaku` commands
//! a clinic and a hospital would type. Only the card is a key file, and the doctor is invented.

#[path = "demo/account.rs"]
mod account;
#[path = "demo/keep.rs"]
mod keep;
#[path = "demo/letter.rs"]
mod letter;
#[path = "demo/machine.rs"]
mod machine;
#[path = "demo/options.rs"]
mod options;
#[path = "demo/stage.rs"]
mod stage;
#[path = "demo/tell.rs"]
mod tell;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use relay::admin::Command;

use stage::{CLINIC, HOSPITAL, Stage};
use tell::Teller;

fn main() -> anyhow::Result<ExitCode> {
    if let Some(ended) = machine::play() {
        return Ok(ended);
    }
    walk()?;
    Ok(ExitCode::SUCCESS)
}

fn walk() -> anyhow::Result<()> {
    let options = options::Options::parse()?;
    let mut teller = Teller::begin();

    let stage = teller.step(
        "A test HPKI with CRLs and a time-stamp authority, and a relay",
        Stage::build,
    )?;
    teller.note(&format!("relay   {}", stage.api()));
    teller.note(&format!("HPKI    {}", stage.services.url()));

    teller.step(
        "The operator lets a clinic and a hospital in; each enrols its machine",
        || {
            stage.join(CLINIC, "さくら内科医院", "clinic")?;
            stage.join(HOSPITAL, "中央病院", "hospital")?;
            stage.admin(Command::MemberAdd {
                facility: HOSPITAL.parse()?,
                member: "dr-suzuki".parse()?,
                name: "鈴木 一郎".into(),
            })
        },
    )?;

    let letter = letter::Letter::write(&stage)?;
    let id = teller.step(
        "The doctor signs letter and CT, the relay stamps, checks and accepts",
        || {
            stage.hikyaku("clinic", &letter.send_arguments())?;
            stage.sent("clinic").context("the receipt is kept")
        },
    )?;
    teller.step("The receipt proves that the letter is in the relay's log", || {
        let receipt = client::outbox::Outbox::of(&stage.home("clinic")?)
            .receipt(&id)
            .context("a receipt")?;
        let record = receipt.verify(&stage.log_vkey()?)?;
        tell::quote(&format!(
            "record {}, {}, {}",
            receipt.position,
            record.event.kind(),
            client::output::japan_time(&record.time)
        ));
        anyhow::Ok(())
    })?;

    let received = stage.folder().join("received");
    teller.step(
        "The hospital looks into its inbox, fetches as a named person, verifies and unpacks",
        || {
            stage.hikyaku("hospital", &["inbox".into()])?;
            let fetch = ["fetch", id.as_str(), "--person", "dr-suzuki", "--acknowledge", "--out"];
            let arguments: Vec<PathBuf> = fetch.iter().map(PathBuf::from).chain([received.clone()]).collect();
            stage.hikyaku("hospital", &arguments)
        },
    )?;
    teller.step("What arrived is what was sent, byte for byte", || {
        letter.compare(&received.join(id.as_str()))
    })?;

    let container = received.join(format!("{id}.asice"));
    teller.step("OpenSSL, which knows nothing of us, checks the same signature", || {
        keep::openssl(&stage, &container)
    })?;
    teller.step("One flipped byte, and the letter is refused", || {
        keep::refused(&stage, &container)
    })?;

    teller.step("The sender sees who has it, the officer what the log says", || {
        stage.hikyaku("clinic", &["status".into(), id.as_str().into()])?;
        tell::quote(&format!(
            "relay $ hikyaku-relay trail export --facility {HOSPITAL}    (shortened)"
        ));
        for row in account::account(&stage, HOSPITAL)? {
            tell::quote(&format!("  {row}"));
        }
        anyhow::Ok(())
    })?;

    if let Some(folder) = &options.keep {
        teller.step(&format!("Everything is kept in {}", folder.display()), || {
            keep::keep(&stage, &id, &container, folder)
        })?;
    }
    teller.end();
    if options.serve {
        stage.serve();
    }
    Ok(())
}
