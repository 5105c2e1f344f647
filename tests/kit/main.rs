//! `hikyaku-kit`: the test HPKI as a program, for partners who try their software against it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use kit::{Card, CardSpec, Services, TestHpki};
use time::OffsetDateTime;

/// A test HPKI: certificates worth nothing, in the shapes of the deployed ones.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve CRLs, CA certificates and time stamps on 127.0.0.1 until interrupted.
    Serve {
        /// Port; 0 takes a free one.
        #[arg(long, default_value_t = 0)]
        port: u16,
        /// Write the trust directory and all cards there.
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Write one card as PKCS #12 and PEM.
    Card {
        /// doctor, pharmacist, nurse, dentist, no-role, ec-doctor, p384-doctor, rsa3072-doctor, auth
        name: String,
        /// Where to.
        #[arg(long)]
        out: PathBuf,
        /// Where its CRL is served.
        #[arg(long, default_value = "http://127.0.0.1:9100")]
        base_url: String,
    },
}

const PASSWORD: &str = "hikyaku";

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Serve { port, out } => serve(port, out.as_deref()),
        Command::Card { name, out, base_url } => {
            let hpki = TestHpki::new(&base_url, OffsetDateTime::now_utc());
            let spec = CardSpec::named(&name);
            let spec = spec.with_context(|| format!("no card {name}; there are {}", CardSpec::NAMES.join(", ")))?;
            write_card(&out, &name, &hpki.card(spec))?;
            println!("{name}: {}, password {PASSWORD}", out.display());
            Ok(())
        }
    }
}

fn serve(port: u16, out: Option<&Path>) -> anyhow::Result<()> {
    let services = Services::start_blocking(port);
    if let Some(out) = out {
        services.hpki().write_trust(&out.join("trust"));
        for name in CardSpec::NAMES {
            let spec = CardSpec::named(name).context("a named card")?;
            write_card(&out.join("cards"), name, &services.hpki().card(spec))?;
        }
        println!("trust      {}", out.join("trust").display());
        println!("cards      {} (password {PASSWORD})", out.join("cards").display());
    }
    let url = services.url();
    println!("time stamp {}", services.tsa_url());
    println!("lists      {url}/crl/{{sign,sign-rollover,auth,sarl,rarl,tsa}}.crl");
    println!("OCSP       {url}/ocsp/{{root,sign,sign-rollover,auth,tsa}}");
    println!("CAs        {url}/ca/{{root,sign,sign-rollover,auth,tsa-root}}.der");
    println!("revoke     POST {url}/admin/revoke/doctor?reason=keyCompromise");
    println!("faults     POST {url}/admin/fault?path=/crl/&kind=down");
    loop {
        std::thread::park();
    }
}

fn write_card(folder: &Path, name: &str, card: &Card) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let write = |suffix: &str, bytes: &[u8]| {
        let path = folder.join(format!("{name}{suffix}"));
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))
    };
    write(".p12", &card.pkcs12(PASSWORD))?;
    write(".pem", card.certificates_pem().as_bytes())?;
    write(".key.pem", card.key_pem().as_bytes())
}
