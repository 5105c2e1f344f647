//! The machines of clinic and hospital: each a home folder, and `hikyaku` run in it.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, ensure};
use client::config::Home;
use formats::wire::SubmissionId;
use relay::admin;

use crate::stage::Stage;
use crate::tell::quote;

/// First argument of this program when it plays `hikyaku`.
const AS_HIKYAKU: &str = "as-hikyaku";

/// Runs the client's command line instead of the demo, if this process was started as a machine's `hikyaku`.
pub(crate) fn play() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    arguments.next().filter(|first| first == AS_HIKYAKU)?;
    let exit = client::cli::run([OsString::from("hikyaku")].into_iter().chain(arguments));
    Some(ExitCode::from(exit as u8))
}

impl Stage {
    pub(crate) fn home(&self, machine: &str) -> anyhow::Result<Home> {
        Home::locate(Some(self.folder().join(machine))).map_err(|failure| anyhow::anyhow!("{}", failure.code()))
    }

    /// A facility joins and its machine enrols with the one-time code.
    pub(crate) fn join(&self, facility: &str, name: &str, machine: &str) -> anyhow::Result<()> {
        let answer = self.admin(admin::Command::FacilityAdd {
            code: facility.parse()?,
            name: name.to_owned(),
        })?;
        let code = answer["code"].as_str().context("a one-time code")?;
        let portal = self.portal();
        self.hikyaku(
            machine,
            &["enroll", "--relay", &portal, "--code", code].map(PathBuf::from),
        )
    }

    /// A `hikyaku` command on one machine, as a program of its own; all it says is shown, and it must succeed.
    pub(crate) fn hikyaku(&self, machine: &str, arguments: &[PathBuf]) -> anyhow::Result<()> {
        let words: Vec<String> = arguments.iter().map(|word| shown(word, self.folder())).collect();
        quote(&format!("{machine} $ hikyaku {}", words.join(" ")));
        // Both streams through one pipe, so that lines come in the order in which they were said.
        let (reader, writer) = std::io::pipe()?;
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args([AS_HIKYAKU, "--home"])
            .arg(self.folder().join(machine))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer);
        let mut child = command.spawn()?;
        drop(command); // and with it this side's ends for writing, else the pipe never ends
        for line in BufReader::new(reader).lines() {
            quote(&format!("  {}", line?));
        }
        let status = child.wait()?;
        ensure!(status.success(), "hikyaku ended with {status}");
        Ok(())
    }

    /// The submission whose receipt a machine keeps.
    pub(crate) fn sent(&self, machine: &str) -> Option<SubmissionId> {
        let entry = std::fs::read_dir(self.folder().join(machine).join("sent"))
            .ok()?
            .flatten()
            .next()?;
        entry.file_name().to_str()?.parse().ok()
    }
}

/// An argument as people would type it.
fn shown(word: &Path, folder: &Path) -> String {
    let text = word.strip_prefix(folder).unwrap_or(word).display().to_string();
    if text.len() > 60 {
        format!("{}…", text.chars().take(24).collect::<String>())
    } else {
        text
    }
}
