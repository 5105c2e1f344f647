//! The machines of clinic and hospital: each a home folder, and `hikyaku` run in it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use client::config::Home;
use client::error::Exit;
use formats::wire::SubmissionId;
use relay::admin::Command;

use crate::stage::Stage;
use crate::tell::quote;

impl Stage {
    pub(crate) fn home(&self, machine: &str) -> anyhow::Result<Home> {
        Home::locate(Some(self.folder().join(machine))).map_err(|failure| anyhow::anyhow!("{}", failure.code()))
    }

    /// A facility joins and its machine enrols with the one-time code.
    pub(crate) fn join(&self, facility: &str, name: &str, machine: &str) -> anyhow::Result<()> {
        let answer = self.admin(Command::FacilityAdd {
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

    /// A `hikyaku` command on one machine; its output is shown, and it must succeed.
    pub(crate) fn hikyaku(&self, machine: &str, arguments: &[PathBuf]) -> anyhow::Result<()> {
        let exit = self.run(machine, arguments);
        ensure!(exit == Exit::Done, "hikyaku ended with {exit:?}");
        Ok(())
    }

    pub(crate) fn run(&self, machine: &str, arguments: &[PathBuf]) -> Exit {
        let words: Vec<String> = arguments.iter().map(|word| shown(word, self.folder())).collect();
        quote(&format!("{machine} $ hikyaku {}", words.join(" ")));
        let home = self.folder().join(machine);
        let leading = [OsString::from("hikyaku"), "--home".into(), home.into_os_string()];
        client::cli::run(
            leading
                .into_iter()
                .chain(arguments.iter().map(|word| word.clone().into_os_string())),
        )
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
