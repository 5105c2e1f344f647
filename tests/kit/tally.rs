//! What a fault left behind, counted: one line for each fault, kept where `tests/run` prints and sums them.

use std::fmt;
use std::io::Write as _;

/// What was found after a fault.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Submissions somebody has a receipt for.
    pub acknowledged: u64,
    /// Of these, what cannot be fetched whole, or whose receipt the log no longer bears out.
    pub lost: u64,
    /// Submissions that are there more than once.
    pub duplicated: u64,
    /// Containers that were shown to somebody and of which no record says so.
    pub unrecorded_views: u64,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            acknowledged,
            lost,
            duplicated,
            unrecorded_views,
        } = self;
        write!(
            f,
            "acknowledged {acknowledged}, lost {lost}, duplicated {duplicated}, unrecorded views {unrecorded_views}"
        )
    }
}

impl Tally {
    /// Keeps it in the file that `HIKYAKU_TALLY` names, then judges it.
    ///
    /// # Panics
    /// If anything is lost, twice or unrecorded, if nothing was acknowledged at all, or if the file cannot be written.
    pub fn tell(self, fault: &str) {
        println!("{fault}: {self}");
        if let Some(file) = std::env::var_os("HIKYAKU_TALLY") {
            let Self {
                acknowledged,
                lost,
                duplicated,
                unrecorded_views,
            } = self;
            let line = format!("{fault}\t{acknowledged}\t{lost}\t{duplicated}\t{unrecorded_views}\n");
            let file = std::fs::File::options().create(true).append(true).open(file);
            let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
            assert!(written.is_ok(), "HIKYAKU_TALLY: {written:?}");
        }
        let expected = Self {
            acknowledged: self.acknowledged.max(1),
            ..Self::default()
        };
        assert_eq!(self, expected, "{fault}");
    }
}
