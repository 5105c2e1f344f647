//! What is wrong with an export, and where first.

/// What is wrong, and where first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// In which way.
    pub kind: FindingKind,
    /// The first position it concerns; where only a range is known, its begin.
    pub position: u64,
    /// The position after the range, where only a range is known.
    pub until: Option<u64>,
    /// The earlier checkpoint it was found by, as its caller named it.
    pub checkpoint: Option<String>,
}

/// In which way an export is not what the log signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FindingKind {
    /// A record is not the one committed.
    Changed,
    /// A record is missing.
    Removed,
    /// A record is there twice, or does not belong there.
    Inserted,
    /// Records are there in another order.
    Reordered,
    /// The end is missing.
    Truncated,
    /// The log itself is not the one that was signed earlier.
    Forked,
    /// The checkpoint is not signed by the log.
    NotSigned,
    /// A signature of a known witness is wrong.
    WronglyWitnessed,
    /// A record is said to be erased, and no record says that its key was destroyed, or not of so many.
    Concealed,
    /// What was committed is no record.
    NoRecord,
    /// A record bears numbers for others than it concerns, or numbers that do not follow.
    Misnumbered,
    /// A record is dated before the one before it.
    Backdated,
}

impl FindingKind {
    /// The stable word for programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Removed => "removed",
            Self::Inserted => "inserted",
            Self::Reordered => "reordered",
            Self::Truncated => "truncated",
            Self::Forked => "forked",
            Self::NotSigned => "not_signed",
            Self::WronglyWitnessed => "wrongly_witnessed",
            Self::Concealed => "concealed",
            Self::NoRecord => "no_record",
            Self::Misnumbered => "misnumbered",
            Self::Backdated => "backdated",
        }
    }
}

impl Finding {
    pub(super) fn at(kind: FindingKind, position: u64) -> Self {
        Self {
            kind,
            position,
            until: None,
            checkpoint: None,
        }
    }

    pub(super) fn between(kind: FindingKind, position: u64, until: u64) -> Self {
        Self {
            until: Some(until),
            ..Self::at(kind, position)
        }
    }
}
