//! What every command is given: how to speak, and where this machine remembers.

use std::path::PathBuf;

use crate::config::{Config, Home};
use crate::error::{Code, Failure};
use crate::output::Output;

/// What every command gets: how to speak, and where this machine remembers.
#[derive(Debug, Clone)]
pub struct Context {
    /// How this run speaks.
    pub output: Output,
    home: Option<PathBuf>,
}

impl Context {
    /// Speaks as `output` says; remembers below `home`, if one is named.
    #[must_use]
    pub fn new(output: Output, home: Option<PathBuf>) -> Self {
        Self { output, home }
    }

    /// The client's home.
    ///
    /// # Errors
    /// [`Code::Configuration`].
    pub fn home(&self) -> Result<Home, Failure> {
        Home::locate(self.home.clone())
    }

    /// `config.toml`; defaults where there is none, or no home to keep one in.
    ///
    /// # Errors
    /// [`Code::Configuration`] for a file that cannot be used.
    pub fn config(&self) -> Result<Config, Failure> {
        self.home().map_or_else(|_| Ok(Config::default()), |home| home.config())
    }

    /// Runs what talks over the network to its end.
    ///
    /// # Errors
    /// What `work` fails with, or [`Code::Configuration`] if the system gives no runtime.
    pub fn block_on<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|error| Failure::new(Code::Configuration, error.to_string()))?
            .block_on(work)
    }
}
