//! What the demo's command line may say.

use std::path::PathBuf;

use anyhow::Context;

pub(crate) struct Options {
    pub(crate) keep: Option<PathBuf>,
    pub(crate) serve: bool,
}

impl Options {
    pub(crate) fn parse() -> anyhow::Result<Self> {
        let mut options = Self {
            keep: None,
            serve: false,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--keep" => options.keep = Some(arguments.next().context("--keep DIR")?.into()),
                "--serve" => options.serve = true,
                other => anyhow::bail!("{other}? There are --keep DIR and --serve."),
            }
        }
        Ok(options)
    }
}
