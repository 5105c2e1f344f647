//! Tells the steps of the demo, each with its time.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// Numbers the steps and keeps the time.
pub(crate) struct Teller {
    begun: Instant,
    steps: usize,
}

impl Teller {
    pub(crate) fn begin() -> Self {
        println!("Hikyaku 飛脚: a signed referral letter travels from a clinic to a hospital.");
        Self {
            begun: Instant::now(),
            steps: 0,
        }
    }

    /// Announces a step, takes it, and says how long it took.
    pub(crate) fn step<T, E: Display>(&mut self, title: &str, take: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        self.steps += 1;
        println!("\n{}. {title}", self.steps);
        let begun = Instant::now();
        let outcome = take();
        let mark = if outcome.is_ok() { '✓' } else { '✗' };
        println!("   {mark} {}", seconds(begun.elapsed()));
        outcome
    }

    pub(crate) fn note(&self, text: &str) {
        quote(text);
    }

    pub(crate) fn end(&self) {
        println!(
            "\nDone in {}. `cargo demo -- --keep DIR` leaves everything to look at.",
            seconds(self.begun.elapsed())
        );
    }
}

/// A line from inside a step.
pub(crate) fn quote(text: &str) {
    for line in text.lines() {
        println!("   │ {line}");
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}
