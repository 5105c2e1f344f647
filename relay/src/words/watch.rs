//! How far long work has come, on standard error, where somebody looks.

use std::cell::RefCell;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A line that tells what is being done, how much is done, and how fast. Silent where standard error is no terminal.
pub(crate) struct Watch {
    bar: ProgressBar,
    step: RefCell<String>,
}

impl Watch {
    /// A new line; none with `--json`.
    pub(crate) fn new(json: bool) -> Self {
        let bar = if json {
            ProgressBar::hidden()
        } else {
            ProgressBar::new_spinner()
        };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}: {bytes} at {bytes_per_sec}, {elapsed}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Self {
            bar,
            step: RefCell::default(),
        }
    }

    /// So many bytes are done, and this is what is being done.
    pub(crate) fn tell(&self, step: &str, bytes: u64) {
        if *self.step.borrow() != step {
            self.step.replace(step.to_owned());
            self.bar.set_message(step.to_owned());
        }
        self.bar.set_position(bytes);
    }

    /// Clears the line.
    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }
}
