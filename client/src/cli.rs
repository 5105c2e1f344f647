//! The command line: options, dispatch, exit codes. What the commands do stands in their own modules.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::context::Context;
use crate::error::{Code, Exit, Failure, choose_language};
use crate::output::Output;
use crate::{archive, card, chain, diagnose, enrol, fetch, inbox, inspect, send, sign, status, trail, verify};

/// `hikyaku`: signs, sends, fetches and verifies medical documents.
#[derive(Debug, Parser)]
#[command(name = "hikyaku", version, about, max_term_width = 110)]
struct Cli {
    /// Print JSON instead of text
    #[arg(long, global = true, display_order = 900)]
    json: bool,
    /// Language of messages: ja or en [default: HIKYAKU_LANG, else the locale]
    #[arg(long, global = true, value_name = "LANG", display_order = 901)]
    lang: Option<String>,
    /// Directory of configuration and outbox [default: HIKYAKU_HOME, else ~/.config/hikyaku]
    #[arg(long, global = true, value_name = "DIR", display_order = 902)]
    home: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show readers, cards, certificates, professions and PIN states
    Card(card::Options),
    /// Sign a letter and its attachments into a container, or a file into a detached signature
    Sign(sign::Options),
    /// Verify a container or a signature, offline
    Verify(verify::Options),
    /// Describe a certificate, CRL, signature, time stamp, container, DICOM file or letter
    Inspect(inspect::Options),
    /// Judge one certificate by RFC 5280 alone
    Chain(chain::Options),
    /// Report versions, drivers and readers for a support desk, without secrets
    Diagnose(diagnose::Options),
    /// Enrol this machine with a relay
    Enroll(enrol::Options),
    /// Sign and send a letter, send a finished container, or send what waits in the outbox
    Send(send::Options),
    /// Show what has become of a letter, or list the outbox and what was sent lately
    Status(status::Options),
    /// List what waits for this facility
    Inbox(inbox::Options),
    /// Fetch a letter, verify it and unpack it
    Fetch(fetch::Options),
    /// Make a file that outlives its certificates (B-LTA), or renew a folder of them
    Archive(archive::Options),
    /// Verify an export of the relay's audit trail, or the proof of a record
    Trail(trail::Options),
}

/// Runs one command line and says how it ended.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return not_parsed(&error, arguments.iter().any(|argument| argument == "--json")),
    };
    let output = Output {
        json: cli.json,
        language: choose_language(cli.lang.as_deref()),
    };
    let context = Context::new(output, cli.home);
    let result = match cli.command {
        Command::Card(options) => card::run(&context, &options),
        Command::Sign(options) => sign::run(&context, &options),
        Command::Verify(options) => verify::run(&context, &options),
        Command::Inspect(options) => inspect::run(&context, &options),
        Command::Chain(options) => chain::run(&context, &options),
        Command::Diagnose(options) => diagnose::run(&context, &options),
        Command::Enroll(options) => enrol::run(&context, &options),
        Command::Send(options) => send::run(&context, &options),
        Command::Status(options) => status::run(&context, &options),
        Command::Inbox(options) => inbox::run(&context, &options),
        Command::Fetch(options) => fetch::run(&context, &options),
        Command::Archive(options) => archive::run(&context, &options),
        Command::Trail(options) => trail::run(&context, &options),
    };
    result.unwrap_or_else(|failure| {
        context.output.print_failure(&failure);
        failure.exit()
    })
}

fn not_parsed(error: &clap::Error, json: bool) -> Exit {
    if !error.use_stderr() {
        let _ = error.print();
        return Exit::Done;
    }
    if json {
        let output = Output {
            json,
            language: choose_language(None),
        };
        let text = error.to_string();
        output.print_failure(&Failure::new(Code::Arguments, text.lines().next().unwrap_or_default()));
    } else {
        let _ = error.print();
    }
    Exit::CouldNotTry
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
