//! The numbers of one facility: where some are missing, and what it is said to have lost.

use super::{Between, Of};
use crate::trail::verification::{Finding, FindingKind};
use crate::trail::{Erased, Month, Time};

/// Numbers that are not shown, and the positions between which their records lie.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gap {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) after: u64,
    pub(super) before: u64,
    /// Of the facility's records around them.
    pub(super) times: Between,
}

/// Numbers that went with a key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lost {
    pub(super) erased: Erased,
    /// Of which records the key was.
    pub(super) month: Month,
    /// Position of the record that says so.
    pub(super) said: u64,
}

/// The numbers of one facility.
#[derive(Debug, Default)]
pub(super) struct Counter {
    /// The first number shown.
    pub(super) first: u64,
    /// The last.
    pub(super) last: u64,
    /// Position after its record.
    pub(super) after: u64,
    /// Its time.
    pub(super) time: Time,
    /// Erased records before it.
    pub(super) erased: u64,
    pub(super) gaps: Vec<Gap>,
    pub(super) lost: Vec<Lost>,
}

impl Counter {
    /// How many numbers are missing, if each is of what was lost; and whether it lost more than is missing.
    pub(super) fn explained(&self, of: Of) -> Result<(u64, bool), Finding> {
        let kind = if of == Of::All {
            FindingKind::Misnumbered
        } else {
            FindingKind::Removed
        };
        let mut all = self.lost.clone();
        all.sort_unstable_by_key(|lost| lost.erased.first);
        let mut gaps = self.gaps.iter();
        let mut left = gaps.next().copied();
        let (mut missing, mut doubtful) = (0, false);
        let mut before: Option<Lost> = None;
        for one in all {
            let Lost {
                erased: lost,
                month,
                said,
            } = one;
            if lost.first == 0 || lost.last < lost.first || lost.last == u64::MAX {
                return Err(Finding::at(FindingKind::Misnumbered, said));
            }
            if before.is_some_and(|before| lost.first <= before.erased.last) {
                return Err(Finding::at(FindingKind::Misnumbered, said));
            }
            // Times never fall, and a key is destroyed once.
            if before.is_some_and(|before| month <= before.month) {
                return Err(Finding::at(FindingKind::Concealed, said));
            }
            before = Some(one);
            let mut count = 0;
            while let Some(gap) = left.take() {
                if gap.first < lost.first {
                    return Err(Finding::between(kind, gap.after, gap.before));
                }
                if gap.first > lost.last {
                    left = Some(gap);
                    break;
                }
                if !gap.times.holds(month) {
                    return Err(Finding::between(FindingKind::Concealed, gap.after, gap.before));
                }
                count += gap.last.min(lost.last) - gap.first + 1;
                if count > lost.records {
                    return Err(Finding::between(kind, gap.after, gap.before));
                }
                left = if gap.last > lost.last {
                    Some(Gap {
                        first: lost.last + 1,
                        ..gap
                    })
                } else {
                    gaps.next().copied()
                };
            }
            missing += count;
            doubtful |= count < lost.records;
        }
        match left {
            Some(gap) => Err(Finding::between(kind, gap.after, gap.before)),
            None => Ok((missing, doubtful)),
        }
    }
}
