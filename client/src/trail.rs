//! `hikyaku trail verify`: whether an export of the trail, or one record's proof, is what the relay's log signed. Offline.

mod export;
mod lines;
mod proof;

use std::path::{Path, PathBuf};

use formats::trail::{Checkpoint, Earlier, TrailVerdict, Verification, WitnessKey, checkpoint_in};

use crate::context::Context;
use crate::error::{Code, Exit, Failure};
use crate::files;
use crate::output::{Line, Output, Tone};

pub use lines::Stopped;

/// Options of `trail`.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Write the facility's own account, with what proves it, into a folder. The reading is recorded.
    Export(export::Options),
    /// Verify an export (.jsonl) or a record's proof (.tlog-proof), offline
    Verify(Verify),
}

/// Options of `trail verify`.
#[derive(Debug, clap::Args)]
struct Verify {
    /// The export (.jsonl), or a proof (.tlog-proof)
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The log's verification key, or a file with it
    #[arg(long, value_name = "VKEY")]
    log_key: String,
    /// Verification key of a witness that must have cosigned, or a file with it; may be repeated
    #[arg(long, value_name = "VKEY")]
    witness: Vec<String>,
    /// A checkpoint kept earlier, a .tlog-proof with one, or what a printed page names (SIZE:ROOT): the log must still begin as it
    /// did then; may be repeated
    #[arg(long, value_name = "FILE|SIZE:ROOT")]
    checkpoint: Vec<String>,
}

/// Runs it.
///
/// # Errors
/// What could not be tried: files, keys. A trail that is not what was signed is no error but a finding.
pub fn run(context: &Context, options: &Options) -> Result<Exit, Failure> {
    let options = match &options.verb {
        Verb::Export(options) => return export::run(context, options),
        Verb::Verify(options) => options,
    };
    let log_key = key(&options.log_key);
    let mut witnesses = Vec::new();
    for witness in &options.witness {
        let parsed = WitnessKey::parse(&key(witness));
        witnesses.push(parsed.map_err(|error| Failure::new(Code::Arguments, format!("--witness {witness}: {error}")))?);
    }
    let mut earlier = Vec::new();
    for named in &options.checkpoint {
        if let Some(printed) = Checkpoint::printed(named) {
            earlier.push((named.clone(), printed));
            continue;
        }
        let path = Path::new(named);
        let text = String::from_utf8(files::read_small(path)?).map_err(|_| malformed(path, "not UTF-8"))?;
        let checkpoint = Checkpoint::verify(checkpoint_in(&text), &log_key);
        earlier.push((
            named.clone(),
            checkpoint.map_err(|error| malformed(path, &error.to_string()))?,
        ));
    }
    if options
        .file
        .extension()
        .is_some_and(|extension| extension == "tlog-proof")
    {
        return proof::verify(context.output, &options.file, &log_key, &witnesses, &earlier);
    }
    match export(&options.file, &log_key, &witnesses, earlier) {
        Ok(verdict) => {
            shown(context.output, &verdict);
            Ok(if verdict.conclusive() {
                Exit::Done
            } else {
                Exit::Indeterminate
            })
        }
        Err(Stopped::Found(finding)) => {
            let [ja, en] = finding.sentences();
            let sentence = context.output.pick(&ja, &en).to_owned();
            context
                .output
                .print_lines(&finding.to_json(), &[Line::new(Tone::Bad, sentence)]);
            Ok(Exit::Refused)
        }
        Err(Stopped::Malformed(line)) => Err(malformed(&options.file, &format!("line {line}"))),
        Err(Stopped::Io(error)) => Err(files::unreadable(&options.file, &error)),
    }
}

/// Verifies an export, line by line; memory does not grow with it.
///
/// # Errors
/// [`Stopped`]: what it is not, or that it cannot be read.
pub fn export(
    file: &Path,
    log_key: &str,
    witnesses: &[WitnessKey],
    earlier: Vec<(String, Checkpoint)>,
) -> Result<TrailVerdict, Stopped> {
    let file = std::fs::File::open(file)?;
    let (head, rest) = lines::head(file)?;
    let mut verification = Verification::new(&head, log_key, witnesses, earlier)?;
    lines::each(rest, head.facility.as_ref(), &mut verification, (log_key, witnesses))?;
    Ok(verification.finish()?)
}

fn shown(output: Output, verdict: &TrailVerdict) {
    let doubtful = |earlier: &Earlier| earlier.agrees.is_none();
    let doubt = verdict.earlier.iter().any(doubtful) || !verdict.conclusive();
    let mut lines: Vec<Line> = Vec::new();
    for [ja, en] in verdict.sentences() {
        let tone = if lines.is_empty() { Tone::Good } else { Tone::Plain };
        lines.push(Line::new(tone, output.pick(&ja, &en)));
    }
    if doubt {
        let text = output.pick(
            "求められたすべてを確かめられたわけではありません。",
            "not all that was asked could be told",
        );
        lines.push(Line::new(Tone::Doubt, text));
    }
    output.print_lines(&verdict.to_json(), &lines);
}

/// A key as typed, or the text of the file of that name.
fn key(text: &str) -> String {
    match std::fs::read_to_string(text) {
        Ok(file) if file.len() < 4096 => file.trim().to_owned(),
        _ => text.trim().to_owned(),
    }
}

fn malformed(path: &Path, what: &str) -> Failure {
    Failure::new(Code::FileMalformed, format!("{}: {what}", path.display()))
}
