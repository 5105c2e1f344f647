//! `hikyaku archive`: the B-LTA file of a container or a signature, and `archive renew`, which keeps a folder of them alive.
//!
//! A file is done when it passes by its own evidence alone, read back from the disk; until then the old one stays.

mod evidence;
mod making;
mod renew;
mod signature;

use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use trust_store::report::rfc3339;
use trust_store::validation::{EndOf, StampEnd};
use trust_store::{Evidence, TrustStore};

use crate::context::Context;
use crate::enrol::connect;
use crate::error::{Code, Exit, Failure};
use crate::output::Output;
use crate::relay_api::RelayApi;
use crate::relay_trust::{known_policy, relay_trust};
use crate::{files, trust, tsa, verify};
use making::Maker;
pub(crate) use making::{Made, derive_to};

/// Options of `archive`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Options {
    #[command(subcommand)]
    renew: Option<Renewal>,
    /// Container (.asice) or detached signature (.p7s)
    #[arg(value_name = "FILE", required = true)]
    file: Option<PathBuf>,
    /// The file a detached signature signs
    #[arg(long, value_name = "FILE")]
    content: Option<PathBuf>,
    /// The archive to write [default: FILE with .archive before its ending]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    means: Means,
}

#[derive(Debug, clap::Subcommand)]
enum Renewal {
    /// Add a new archive stamp to every archive of a folder whose newest ends soon
    Renew(renew::Options),
}

/// What an archive is made with.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Means {
    /// Evidence: a folder of certificates, CRLs, OCSP responses and tokens, or an .evidence.json; an .archive.json in it is used
    /// where it belongs to the container
    #[arg(long, value_name = "DIR|FILE")]
    pub(crate) evidence: Option<PathBuf>,
    /// RFC 3161 time-stamp authority [default: config.toml, else the relay]
    #[arg(long, value_name = "URL")]
    pub(crate) tsa: Option<String>,
    /// Trust directory: hpki/, tsa/, intermediates/, policy.toml [default: the relay's]
    #[arg(long, value_name = "DIR")]
    pub(crate) trust: Option<PathBuf>,
    /// A host that may be asked over HTTP for CRLs and OCSP, beside those of the HPKI; may be repeated
    #[arg(long, value_name = "HOST")]
    pub(crate) fetch_host: Vec<String>,
}

/// Who stamps.
pub(crate) enum Authority {
    /// An authority of our own.
    Url(String),
    /// The relay's proxy.
    Relay(Box<RelayApi>),
}

impl Authority {
    /// A token over `bytes`.
    pub(crate) async fn token(&self, bytes: &[u8]) -> Result<Vec<u8>, Failure> {
        match self {
            Self::Url(url) => tsa::stamp(url, bytes).await,
            Self::Relay(api) => {
                let request = tsa::request(bytes)?;
                let response = api.timestamp(request.encode()).await?;
                tsa::token(&request, &response)
            }
        }
    }
}

/// Runs it.
///
/// # Errors
/// What could not be tried: arguments, files, network.
pub fn run(context: &Context, options: &Options) -> Result<Exit, Failure> {
    if let Some(Renewal::Renew(options)) = &options.renew {
        return renew::run(context, options);
    }
    let file = options
        .file
        .as_ref()
        .ok_or_else(|| Failure::new(Code::Arguments, "FILE or renew DIR"))?;
    let target = options.output.clone().unwrap_or_else(|| default_target(file));
    if target.exists() {
        return Err(Failure::new(Code::FileExists, target.display().to_string()));
    }
    let made = context.block_on(async {
        let maker = maker(context, &options.means).await?;
        if is_signature(file)? {
            signature::make(&maker, file, options.content.as_deref(), &target, context.output).await
        } else if options.content.is_some() {
            Err(Failure::new(Code::Arguments, "--content goes with a .p7s"))
        } else {
            making::make(&maker, file, &target).await
        }
    })?;
    let (text, value) = told(&made, &target, context.output);
    context.output.print(&value, &text);
    Ok(exit(&made))
}

/// Trust, evidence and authority as the options say.
pub(crate) async fn maker(context: &Context, means: &Means) -> Result<Maker, Failure> {
    let output = context.output;
    let config = context.config()?;
    let mut authority = means.tsa.clone().or(config.tsa).map(Authority::Url);
    let mut given: Option<TrustStore> = means.trust.as_deref().map(trust::load).transpose()?;
    if authority.is_none() || given.is_none() {
        let home = context.home()?;
        let api = connect(&home, output.language).await?;
        if given.is_none() {
            given = Some(relay_trust(&known_policy(&home, &api).await?.policy)?);
        }
        authority = authority.or(Some(Authority::Relay(Box::new(api))));
    }
    let (Some(trust), Some(authority)) = (given, authority) else {
        return Err(Failure::new(Code::Arguments, "--trust and --tsa"));
    };
    let (supplied, archives) = match means.evidence.as_deref() {
        Some(place) => (trust::evidence(place)?, evidence::archives(place)?),
        None => (Evidence::default(), Vec::new()),
    };
    Ok(Maker {
        trust,
        authority,
        supplied,
        archives,
        hosts: evidence::hosts(&means.fetch_host),
    })
}

fn default_target(file: &Path) -> PathBuf {
    let ending = file
        .extension()
        .map_or_else(String::new, |ending| format!(".{}", ending.to_string_lossy()));
    file.with_extension(format!("archive{ending}"))
}

fn is_signature(file: &Path) -> Result<bool, Failure> {
    let mut first = [0_u8; 1];
    let read = files::open(file)?
        .read(&mut first)
        .map_err(|error| files::unreadable(file, &error))?;
    Ok((read == 1 && first == [0x30]) || file.extension().is_some_and(|ending| ending == "p7s"))
}

/// How a try ended, as an exit code.
pub(crate) fn exit(made: &Made) -> Exit {
    match made {
        Made::Archive { .. } | Made::NotDue { .. } | Made::Plain => Exit::Done,
        Made::Missing { .. } | Made::Due { .. } => Exit::Indeterminate,
        Made::Fails { report } => match verify::exit(report.indication) {
            // It passes, but not as an archive.
            Exit::Done => Exit::Indeterminate,
            other => other,
        },
    }
}

/// What became of a file, for people and for programs.
pub(crate) fn told(made: &Made, target: &Path, output: Output) -> (String, Value) {
    match made {
        Made::Archive { report, end } => {
            let text = [
                report.sentence(output.language),
                target.display().to_string(),
                until(end, output),
            ]
            .join("\n");
            let value = json!({ "done": true, "archive": target, "stands_until": rfc3339(end.until),
                "ends": ends(end), "authority": end.authority, "report": report });
            (text, value)
        }
        Made::NotDue { end } | Made::Due { end } => (
            until(end, output),
            json!({ "done": false, "due": matches!(made, Made::Due { .. }), "stands_until": rfc3339(end.until),
                "ends": ends(end), "authority": end.authority }),
        ),
        Made::Plain => (
            output
                .pick(
                    "アーカイブではありません。`hikyaku archive FILE` で作れます。",
                    "No archive. `hikyaku archive FILE` makes one of it.",
                )
                .to_owned(),
            json!({ "done": false, "code": "no_archive" }),
        ),
        Made::Missing { missing, report } => {
            let head = output.pick(
                "アーカイブに必要な検証情報が足りません。何も書き込んでいません。",
                "Evidence for an archive is missing. Nothing was written.",
            );
            let mut text = format!("{head}\n");
            for one in missing {
                text.push_str(&format!("  ? {one}\n"));
            }
            (
                text,
                json!({ "done": false, "code": "evidence_missing", "missing": missing, "report": report }),
            )
        }
        Made::Fails { report } => {
            let text = verify::text(report, output, false);
            let level = report.level.as_deref().unwrap_or("-");
            let head = output
                .pick(
                    "アーカイブになりません（水準 {}）。",
                    "This does not make an archive (level {}).",
                )
                .replace("{}", level);
            (
                format!("{head}\n{text}"),
                json!({ "done": false, "code": "not_an_archive", "report": report }),
            )
        }
    }
}

fn until(end: &StampEnd, output: Output) -> String {
    let because = match &end.because {
        EndOf::Certificate(subject) => subject,
        EndOf::Algorithm(name) => name,
    };
    output
        .pick(
            "最新のアーカイブタイムスタンプは {until} まで有効です（{because}）。",
            "The newest archive stamp stands until {until} ({because}).",
        )
        .replace("{until}", &crate::output::japan_time(&rfc3339(end.until)))
        .replace("{because}", because)
}

fn ends(end: &StampEnd) -> Value {
    match &end.because {
        EndOf::Certificate(subject) => json!({ "certificate": subject }),
        EndOf::Algorithm(name) => json!({ "algorithm": name }),
    }
}
