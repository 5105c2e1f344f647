//! Whether the records of an export are all there are: each facility's numbers follow each other, and where some are missing, a
//! record shown later says that their key was destroyed, of so many and no more. Times never fall.
//!
//! What it keeps grows with facilities, and with the gaps that erased months leave between what stands for ever, not with records.

use std::collections::HashMap;
use std::ops::Range;

use super::{Finding, FindingKind};
use crate::trail::{CodeText, Destroyed, Erased, Facts, Said, Time};

/// No more gaps and erasures are kept: a hundred years of a thousand facilities.
const MOST: usize = 1 << 22;

/// Of what the export is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// All records.
    All,
    /// All of one facility.
    Facility(CodeText),
    /// An extract: nothing is said of what is missing.
    Extract,
}

/// Numbers that are not shown, and the positions between which their records lie.
#[derive(Debug, Clone, Copy)]
struct Gap {
    first: u64,
    last: u64,
    after: u64,
    before: u64,
}

/// The numbers of one facility.
#[derive(Debug, Default)]
struct Counter {
    /// The first number shown.
    first: u64,
    /// The last.
    last: u64,
    /// Position after its record.
    after: u64,
    /// Erased records before it.
    erased: u64,
    gaps: Vec<Gap>,
    /// What it lost, and the position of the record that says so.
    lost: Vec<(Erased, u64)>,
}

/// Records under a key that was destroyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Gone {
    first: u64,
    last: u64,
    records: u64,
}

/// What was seen so far.
#[derive(Debug)]
pub(super) struct Completeness {
    of: Of,
    time: Time,
    begun: Option<Time>,
    counters: HashMap<CodeText, Counter>,
    /// Positions of erased records.
    erased: Vec<Range<u64>>,
    erased_count: u64,
    gone: Vec<Gone>,
    kept: usize,
}

/// What the whole shows.
#[derive(Debug, Default)]
pub(super) struct Shown {
    /// Records of what it is about that are erased.
    pub(super) erased: u64,
    /// Not all that is said to be erased is: an erasure is under way. Or, of an extract, nothing says that it was.
    pub(super) doubtful: bool,
}

impl Completeness {
    pub(super) fn new(of: Of) -> Self {
        Self {
            of,
            time: Time::default(),
            begun: None,
            counters: HashMap::new(),
            erased: Vec::new(),
            erased_count: 0,
            gone: Vec::new(),
            kept: 0,
        }
    }

    /// Times of the first and the last record shown.
    pub(super) fn span(&self) -> Option<(Time, Time)> {
        self.begun.map(|begun| (begun, self.time))
    }

    /// Lowest and highest number shown, of a facility.
    pub(super) fn numbers(&self, facility: CodeText) -> Option<(u64, u64)> {
        let counter = self.counters.get(&facility).filter(|counter| counter.last > 0)?;
        Some((counter.first, counter.last))
    }

    /// An erased record.
    pub(super) fn erased(&mut self, position: u64) -> Result<(), Finding> {
        self.erased_count += 1;
        match self.erased.last_mut().filter(|range| range.end == position) {
            Some(range) => range.end += 1,
            None => {
                self.keep(position)?;
                self.erased.push(position..position + 1);
            }
        }
        Ok(())
    }

    /// A record.
    pub(super) fn record(&mut self, position: u64, facts: &Facts) -> Result<(), Finding> {
        if facts.time < self.time {
            return Err(Finding::at(FindingKind::Backdated, position));
        }
        self.time = facts.time;
        self.begun.get_or_insert(facts.time);
        for (code, number) in &facts.numbers {
            self.count(position, *code, *number)?;
        }
        match &facts.said {
            Said::Destroyed(destroyed) => self.destroyed(position, destroyed),
            Said::Nothing | Said::Head(..) | Said::Read(..) => Ok(()),
        }
    }

    fn count(&mut self, position: u64, code: CodeText, number: u64) -> Result<(), Finding> {
        let erased = self.erased_count;
        let counter = self.counters.entry(code).or_default();
        let due = counter.last + 1;
        if number < due || number == u64::MAX {
            return Err(Finding::at(FindingKind::Misnumbered, position));
        }
        let gap = (number > due && self.of != Of::Extract).then_some(Gap {
            first: due,
            last: number - 1,
            after: counter.after,
            before: position,
        });
        if let Some(gap) = gap {
            // Where all is shown, so many erased records must lie between.
            if self.of == Of::All && number - due > erased - counter.erased {
                return Err(Finding::between(FindingKind::Misnumbered, gap.after, gap.before));
            }
            counter.gaps.push(gap);
        }
        if counter.last == 0 {
            counter.first = number;
        }
        (counter.last, counter.after, counter.erased) = (number, position + 1, erased);
        if gap.is_some() { self.keep(position) } else { Ok(()) }
    }

    fn destroyed(&mut self, position: u64, destroyed: &Destroyed) -> Result<(), Finding> {
        let Destroyed { first, last, .. } = *destroyed;
        let records = destroyed.records;
        if first > last || last >= position || records > last - first + 1 {
            return Err(Finding::at(FindingKind::Concealed, position));
        }
        // One erasure may speak in several records, each of other facilities.
        let gone = Gone { first, last, records };
        if self.gone.last() != Some(&gone) {
            self.keep(position)?;
            self.gone.push(gone);
        }
        for (code, erased) in &destroyed.erased {
            self.keep(position)?;
            let counter = self.counters.entry(*code).or_default();
            counter.lost.push((*erased, position));
        }
        Ok(())
    }

    /// Bounds what is kept.
    fn keep(&mut self, position: u64) -> Result<(), Finding> {
        self.kept += 1;
        if self.kept > MOST {
            return Err(Finding::at(FindingKind::Concealed, position));
        }
        Ok(())
    }

    /// Whether what is missing is what was erased.
    pub(super) fn finish(&self) -> Result<Shown, Finding> {
        let mut shown = Shown::default();
        if self.of == Of::Extract {
            shown.erased = self.erased_count;
            shown.doubtful = self.erased_count > 0;
            return Ok(shown);
        }
        self.positions(&mut shown)?;
        let mut found = Vec::new();
        for counter in self.counters.values() {
            match counter.explained(self.of) {
                Ok((missing, doubtful)) => {
                    shown.doubtful |= doubtful;
                    if self.of != Of::All {
                        shown.erased += missing;
                    }
                }
                Err(finding) => found.push(finding),
            }
        }
        match found.into_iter().min_by_key(|finding| finding.position) {
            Some(finding) => Err(finding),
            None => Ok(shown),
        }
    }

    /// Each erased record lies among those whose key was destroyed, and there are no more of them.
    fn positions(&self, shown: &mut Shown) -> Result<(), Finding> {
        let mut gone = self.gone.clone();
        gone.sort_unstable();
        gone.dedup();
        let mut erased = self.erased.iter().cloned().peekable();
        let mut left = erased.next();
        let mut before = 0;
        for Gone { first, last, records } in gone {
            if first < before {
                return Err(Finding::at(FindingKind::Concealed, first));
            }
            before = last + 1;
            let mut count = 0;
            while let Some(range) = left.take() {
                if range.start < first {
                    return Err(Finding::at(FindingKind::Concealed, range.start));
                }
                if range.start > last {
                    left = Some(range);
                    break;
                }
                count += range.end.min(last + 1) - range.start;
                left = if range.end > last + 1 {
                    Some(last + 1..range.end)
                } else {
                    erased.next()
                };
            }
            if count > records {
                return Err(Finding::between(FindingKind::Concealed, first, last + 1));
            }
            if self.of == Of::All {
                shown.erased += count;
                shown.doubtful |= count < records;
            }
        }
        match left {
            Some(range) => Err(Finding::at(FindingKind::Concealed, range.start)),
            None => Ok(()),
        }
    }
}

impl Counter {
    /// How many numbers are missing, if each is of what was lost; and whether it lost more than is missing.
    fn explained(&self, of: Of) -> Result<(u64, bool), Finding> {
        let kind = if of == Of::All {
            FindingKind::Misnumbered
        } else {
            FindingKind::Removed
        };
        let mut lost = self.lost.clone();
        lost.sort_unstable_by_key(|(lost, _)| lost.first);
        let mut gaps = self.gaps.iter();
        let mut left = gaps.next().copied();
        let (mut missing, mut doubtful, mut before) = (0, false, 0);
        for (lost, said) in lost {
            if lost.first <= before || lost.last < lost.first || lost.last == u64::MAX {
                return Err(Finding::at(FindingKind::Misnumbered, said));
            }
            before = lost.last;
            let mut count = 0;
            while let Some(gap) = left.take() {
                if gap.first < lost.first {
                    return Err(Finding::between(kind, gap.after, gap.before));
                }
                if gap.first > lost.last {
                    left = Some(gap);
                    break;
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
