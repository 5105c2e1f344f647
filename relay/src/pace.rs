//! The pace of long reading beside a working relay: so many bytes a second, no more, and word of how far it has come.

use std::time::{Duration, Instant};

/// How fast, and who is told.
pub struct Pace<'a> {
    rate: Option<u64>,
    begun: Instant,
    bytes: u64,
    watch: &'a dyn Fn(&str, u64),
}

/// Bytes between two rests.
pub(crate) const STEP: usize = 1 << 20;

impl<'a> Pace<'a> {
    /// At most `rate` bytes a second on average; `watch` is told what is being done, and the bytes so far.
    #[must_use]
    pub fn new(rate: Option<u64>, watch: &'a dyn Fn(&str, u64)) -> Self {
        Self {
            rate,
            begun: Instant::now(),
            bytes: 0,
            watch,
        }
    }

    /// Bytes so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// `bytes` were read for `step`: rests as long as the rate asks for. Blocks; the programs that use it do nothing else.
    pub(crate) fn spend(&mut self, step: &str, bytes: u64) {
        self.bytes += bytes;
        (self.watch)(step, self.bytes);
        let Some(rate) = self.rate else { return };
        let due = Duration::from_secs_f64(self.bytes as f64 / rate as f64);
        let early = due.saturating_sub(self.begun.elapsed());
        if early > Duration::from_millis(1) {
            std::thread::sleep(early);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn what_is_read_is_told_and_takes_its_time() {
        let told = Cell::new(0);
        let watch = |step: &str, bytes| {
            assert_eq!(step, "trail");
            told.set(bytes);
        };
        let mut pace = Pace::new(Some(1000), &watch);
        let begun = Instant::now();
        pace.spend("trail", 30);
        pace.spend("trail", 20);
        // A sleep is never shorter than asked for.
        assert!(begun.elapsed() >= Duration::from_millis(49));
        assert_eq!((pace.bytes(), told.get()), (50, 50));
    }
}
