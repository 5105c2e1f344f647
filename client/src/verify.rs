//! `hikyaku verify`: judges a container, a detached signature or a signed PDF offline, with the evidence given.

mod embedded;
mod replay;
mod shown;

use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use formats::asice::Container;
use formats::pdf::SignedPdf;
use serde_json::Value;
use trust_store::{Evidence, Indication, Subject, ValidationReport};

use crate::context::Context;
use crate::error::{Code, Exit, Failure};
use crate::output::Output;
use crate::{files, sign, trust};

/// Options of `verify`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Container (.asice), signature (.p7s) or signed PDF
    #[arg(value_name = "FILE", required_unless_present = "replay")]
    pub file: Option<PathBuf>,
    /// The file a detached signature signs
    #[arg(long, value_name = "FILE")]
    pub content: Option<PathBuf>,
    /// Trust directory: hpki/, tsa/, intermediates/, policy.toml
    #[arg(long, value_name = "DIR", required_unless_present = "replay")]
    pub trust: Option<PathBuf>,
    /// Evidence: a folder of certificates, CRLs and tokens, or the .evidence.json that `fetch` kept
    #[arg(long, value_name = "DIR|FILE")]
    pub evidence: Option<PathBuf>,
    /// Judge as at this time, RFC 3339 [default: now]
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// Judge again what this report was made from; with FILE, see that it is about that file; with --trust, by those anchors
    #[arg(long, value_name = "REPORT", conflicts_with_all = ["evidence", "at"])]
    pub replay: Option<PathBuf>,
    /// Show every check, not only failures and doubts
    #[arg(long)]
    pub verbose: bool,
}

/// Runs it.
///
/// # Errors
/// What could not be tried: arguments, files, trust directory. A bad signature is no error but a report.
pub fn run(context: &Context, options: &Options) -> Result<Exit, Failure> {
    if let Some(report) = &options.replay {
        return replay::run(context, options, report);
    }
    let (Some(file), Some(trust)) = (&options.file, &options.trust) else {
        return Err(Failure::new(Code::Arguments, "FILE --trust DIR"));
    };
    let trust = trust::load(trust)?;
    let evidence = options
        .evidence
        .as_deref()
        .map_or_else(|| Ok(Evidence::default()), trust::evidence)?;
    let at = trust::moment(options.at.as_deref())?;
    let subject = read(options, file, context.output)?;
    let letters = embedded::candidates(&subject);
    let validated = trust.validate(subject, evidence, at);
    let mut report = validated.report().clone();
    for found in embedded::judge(file, &letters, &trust, validated.evidence(), at)? {
        report.embed(found);
    }
    let value = serde_json::to_value(&report).unwrap_or(Value::Null);
    let lines = shown::lines(&report, context.output, options.verbose);
    context.output.print_lines(&value, &lines);
    Ok(exit(report.indication))
}

/// The exit code of a verdict.
#[must_use]
pub fn exit(indication: Indication) -> Exit {
    match indication {
        Indication::TotalPassed => Exit::Done,
        Indication::TotalFailed => Exit::Refused,
        Indication::Indeterminate => Exit::Indeterminate,
    }
}

/// The report for people as one text: the sentence, then each question with its answer. Checks that passed only if `verbose`.
#[must_use]
pub fn text(report: &ValidationReport, output: Output, verbose: bool) -> String {
    let lines = shown::lines(report, output, verbose).into_iter();
    lines.map(|line| line.text + "\n").collect()
}

/// A file is a signature if it is one DER or BER SEQUENCE (or PEM), a PDF if it begins like one, and a container else: even if it is
/// no ZIP, so that what is wrong with it is reported.
fn read(options: &Options, path: &Path, output: Output) -> Result<Subject, Failure> {
    let mut file = files::open(path)?;
    let mut head = Vec::new();
    file.by_ref()
        .take(5)
        .read_to_end(&mut head)
        .map_err(|error| files::unreadable(path, &error))?;
    let is_signature = head.first() == Some(&0x30) || path.extension().is_some_and(|extension| extension == "p7s");
    if is_signature {
        let bytes = files::read_small(path)?;
        let content = match &options.content {
            Some(content) => Some(sign::detached_content(content, &bytes, output)?),
            None => None,
        };
        return Ok(Subject::Signature { bytes, content });
    }
    if options.content.is_some() {
        return Err(Failure::new(Code::Arguments, "--content goes with a .p7s"));
    }
    if head == b"%PDF-" {
        let pdf = SignedPdf::of(&files::read_small(path)?);
        return Ok(Subject::Pdf(Box::new(pdf)));
    }
    file.seek(SeekFrom::Start(0))
        .map_err(|error| files::unreadable(path, &error))?;
    let container = Container::read(&mut file).map_err(|error| files::unreadable(path, &error))?;
    Ok(Subject::Container(Box::new(container)))
}
