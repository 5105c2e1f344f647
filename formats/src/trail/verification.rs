//! Whether an export is what the log signed: computes the root line by line, and finds what was changed, removed, inserted,
//! reordered, cut off, concealed, or rewritten against an earlier checkpoint. `CONTRACTS.md` §9.

mod completeness;
mod earlier;
mod finding;
mod told;

use completeness::{Completeness, Of};
use earlier::{Compared, cosigned};

use super::facts::day;
use super::{
    Checkpoint, CodeText, Cosignature, Entry, EntryKind, ExportHead, Facts, Frontier, NotARecord, Said, Skipped, Time,
    WitnessKey, cover,
};
use crate::wire::FacilityCode;
pub use earlier::Earlier;
pub use finding::{Finding, FindingKind};

/// A head is so many days old at most when an account is read: that of yesterday, or, before it is written, of the day before.
const HEAD_AGE: i64 = 2;

/// What an export was found to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrailVerdict {
    /// The checkpoint it ends with.
    pub checkpoint: Checkpoint,
    /// Whose records; `None`: all.
    pub facility: Option<FacilityCode>,
    /// Whether records were left out by time, patient or person.
    pub extract: bool,
    /// Records with their bodies.
    pub records: u64,
    /// Records without, erased; of a facility's export, its own.
    pub erased: u64,
    /// Records of kinds, or with members, that this program does not know.
    pub newer: u64,
    /// Records are said to be erased that are shown, or, of an extract, nothing shown says that they are erased.
    pub doubtful: bool,
    /// Times of the first and the last record shown.
    pub span: Option<(Time, Time)>,
    /// Lowest and highest `facility_seq` that are shown, of a facility's export.
    pub sequence: Option<(u64, u64)>,
    /// Number and day of the newest daily head, of a facility's export.
    pub head: Option<(u64, String)>,
    /// The last record of it that says that such an export was read.
    pub reading: Option<Reading>,
    /// The earlier checkpoints, in the order they were given; then those the export brings and that could be compared.
    pub earlier: Vec<Earlier>,
    /// For each witness that was asked for: the size it has cosigned, and its cosignature.
    pub witnesses: Vec<(String, Option<(u64, Cosignature)>)>,
}

/// The record that says that the trail was read, and the log up to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// Its position.
    pub position: u64,
    /// Root over everything up to it, itself included.
    pub root: [u8; 32],
    /// It is of JSON Lines without a period or filter, and the last record shown: the export ends with its own reading.
    pub closes: bool,
}

impl TrailVerdict {
    /// Whether everything that was asked could be answered.
    #[must_use]
    pub fn conclusive(&self) -> bool {
        self.earlier.iter().all(|earlier| earlier.agrees.is_some())
            && self.witnesses.iter().all(|(_, cosigned)| cosigned.is_some())
            && self.newer == 0
            && !self.doubtful
            && (self.facility.is_none() || self.extract || self.whole())
    }

    /// Of a facility's export, whether it has a begin and an end: it is closed by its own reading, and has the head of the day
    /// before, unless it is younger than a head. Between, its numbers tell.
    #[must_use]
    pub fn whole(&self) -> bool {
        let closed = self.reading.as_ref().is_some_and(|reading| reading.closes);
        // No head is of a day that has not been.
        closed && self.head_age().is_some_and(|days| (0..=HEAD_AGE).contains(&days))
    }

    /// Days of Japan from the newest head, or, where there is none, from the record with number 1, to the last record.
    #[must_use]
    pub fn head_age(&self) -> Option<i64> {
        let (first, last) = self.span?;
        let from = match &self.head {
            Some((_, head)) => day(head)?,
            None => self
                .sequence
                .filter(|(lowest, _)| *lowest == 1)
                .and_then(|_| first.day_in_japan())?,
        };
        Some(last.day_in_japan()? - from)
    }
}

/// A verification under way: the first line, then every other in its order, then the verdict.
#[derive(Debug)]
pub struct Verification {
    verdict: TrailVerdict,
    frontier: Frontier,
    compared: Compared,
    completeness: Completeness,
    /// Cosignatures of the checkpoint it ends with.
    cosigned: Vec<Cosignature>,
    witnesses: Vec<String>,
    /// Position that was due when another came.
    missing: Option<u64>,
    /// Position of the last record shown.
    shown: Option<u64>,
}

impl Verification {
    /// Begins with the first line. `earlier`: checkpoints the caller has, each with a name for it.
    ///
    /// # Errors
    /// [`Finding`]: not signed by the log, or wrongly witnessed.
    pub fn new(
        head: &ExportHead,
        log_key: &str,
        witnesses: &[WitnessKey],
        earlier: Vec<(String, Checkpoint)>,
    ) -> Result<Self, Finding> {
        let checkpoint = signed(&head.checkpoint, log_key)?;
        let of = match &head.facility {
            _ if head.extract => Of::Extract,
            None => Of::All,
            Some(facility) => Of::Facility(facility.into()),
        };
        let mut verification = Self {
            verdict: TrailVerdict {
                checkpoint,
                facility: head.facility.clone(),
                extract: head.extract,
                records: 0,
                erased: 0,
                newer: 0,
                doubtful: false,
                span: None,
                sequence: None,
                head: None,
                reading: None,
                earlier: Vec::new(),
                witnesses: Vec::new(),
            },
            frontier: Frontier::default(),
            compared: Compared::new(earlier),
            completeness: Completeness::new(of),
            cosigned: cosigned(&head.checkpoint, witnesses)?,
            witnesses: witnesses.iter().map(|witness| witness.name().to_owned()).collect(),
            missing: None,
            shown: None,
        };
        verification.bring(head, log_key, witnesses)?;
        Ok(verification)
    }

    /// The position after the last record: the size of the checkpoint's tree.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.verdict.checkpoint.size
    }

    /// Whose export this is.
    #[must_use]
    pub fn facility(&self) -> Option<&FacilityCode> {
        self.verdict.facility.as_ref()
    }

    /// A first line in the midst: an export that broke off goes on, under a newer checkpoint.
    ///
    /// # Errors
    /// [`Finding`]: not signed by the log, wrongly witnessed, of another facility, or under an older checkpoint.
    pub fn again(&mut self, head: &ExportHead, log_key: &str, witnesses: &[WitnessKey]) -> Result<(), Finding> {
        let due = self.frontier.size();
        let next = signed(&head.checkpoint, log_key)?;
        let same = head.facility == self.verdict.facility && head.extract == self.verdict.extract;
        if !same || next.size < self.verdict.checkpoint.size {
            return Err(Finding::at(FindingKind::Inserted, due));
        }
        // What was signed and cosigned before is compared like any other checkpoint, where the records still come to it.
        let old = std::mem::replace(&mut self.verdict.checkpoint, next);
        let by = std::mem::replace(&mut self.cosigned, cosigned(&head.checkpoint, witnesses)?);
        self.compared.bring("before it went on", old, by);
        self.bring(head, log_key, witnesses)
    }

    /// The checkpoints a first line brings for its witnesses' sake.
    fn bring(&mut self, head: &ExportHead, log_key: &str, witnesses: &[WitnessKey]) -> Result<(), Finding> {
        for note in &head.witnessed {
            let checkpoint = signed(note, log_key)?;
            self.compared.bring("witnessed", checkpoint, cosigned(note, witnesses)?);
        }
        self.compared.at(&self.frontier);
        Ok(())
    }

    /// The next line, a record.
    ///
    /// # Errors
    /// [`Finding`], if it alone shows one. A record that is missing may still come, out of its order: that is found later.
    pub fn entry(&mut self, entry: &Entry) -> Result<(), Finding> {
        let position = entry.position;
        if !self.follows(position, position)? {
            return Ok(());
        }
        let facts = match &entry.kind {
            EntryKind::Changed => return Err(Finding::at(FindingKind::Changed, position)),
            EntryKind::Foreign => return Err(Finding::at(FindingKind::Inserted, position)),
            EntryKind::Wrong(NotARecord::Malformed) => return Err(Finding::at(FindingKind::NoRecord, position)),
            EntryKind::Wrong(NotARecord::Misnumbered) => return Err(Finding::at(FindingKind::Misnumbered, position)),
            EntryKind::Erased => {
                self.completeness.erased(position)?;
                None
            }
            EntryKind::Record(facts) => {
                self.completeness.record(position, facts)?;
                Some(facts)
            }
        };
        self.frontier.push(&entry.leaf);
        self.compared.at(&self.frontier);
        if let Some(facts) = facts {
            self.record(position, facts);
        }
        Ok(())
    }

    /// What a record says of heads and readings.
    fn record(&mut self, position: u64, facts: &Facts) {
        self.verdict.records += 1;
        self.verdict.newer += u64::from(facts.newer);
        self.shown = Some(position);
        let own = self.verdict.facility.as_ref().map(CodeText::from);
        match &facts.said {
            Said::Head(facility, day) if own == Some(*facility) => {
                let number = facts.numbers.first().map_or(0, |(_, number)| *number);
                self.verdict.head = Some((number, day.clone()));
            }
            Said::Read(whose, all) if own == *whose => {
                self.verdict.reading = Some(Reading {
                    position,
                    root: self.frontier.root(),
                    closes: *all,
                });
            }
            Said::Nothing | Said::Head(..) | Said::Read(..) | Said::Destroyed(_) => {}
        }
    }

    /// The next line, of what was left out.
    ///
    /// # Errors
    /// As [`Verification::entry`]; where nothing may be left out, this is missing.
    pub fn skipped(&mut self, skipped: &Skipped) -> Result<(), Finding> {
        if !self.follows(skipped.from, skipped.to.saturating_sub(1))? {
            return Ok(());
        }
        if self.verdict.facility.is_none() && !self.verdict.extract {
            return Err(Finding::at(FindingKind::Removed, skipped.from));
        }
        let cover = cover(skipped.from, skipped.to);
        if cover.len() != skipped.nodes.len() {
            return Err(Finding::at(FindingKind::Changed, skipped.from));
        }
        for ((level, _), node) in cover.into_iter().zip(&skipped.nodes) {
            let pushed = self.frontier.push_subtree(level, node);
            pushed.map_err(|_| Finding::at(FindingKind::Changed, skipped.from))?;
            self.compared.at(&self.frontier);
        }
        Ok(())
    }

    /// The end of the file.
    ///
    /// # Errors
    /// [`Finding`]: the first that the whole shows.
    pub fn finish(mut self) -> Result<TrailVerdict, Finding> {
        let (size, end) = (self.frontier.size(), self.verdict.checkpoint.clone());
        if let Some(missing) = self.missing {
            return Err(Finding::at(FindingKind::Removed, missing));
        }
        if size < end.size {
            return Err(Finding::at(FindingKind::Truncated, size));
        }
        if let Some(longer) = self.compared.longer(end.size) {
            return Err(Finding {
                checkpoint: Some(longer.name.clone()),
                ..Finding::at(FindingKind::Truncated, end.size)
            });
        }
        // Somewhere after the last size whose root was right, before the first at which it was wrong.
        let first = self.compared.contradicts();
        let wrong = first.map_or(end.size, |earlier| earlier.checkpoint.size);
        if self.frontier.root() != end.root {
            let right = self.compared.right_below(wrong, false);
            return Err(Finding::between(FindingKind::Changed, right, wrong));
        }
        if let Some(earlier) = first {
            let right = self.compared.right_below(wrong, true);
            return Err(Finding {
                checkpoint: Some(earlier.name.clone()),
                ..Finding::between(FindingKind::Forked, right, wrong)
            });
        }
        let shown = self.completeness.finish()?;
        self.verdict.erased = shown.erased;
        self.verdict.doubtful = shown.doubtful;
        self.verdict.span = self.completeness.span();
        if let Some(facility) = &self.verdict.facility {
            self.verdict.sequence = self.completeness.numbers(facility.into());
        }
        if let Some(reading) = &mut self.verdict.reading {
            reading.closes &= self.shown == Some(reading.position);
        }
        // The checkpoint at the end was found to be right.
        let cosigned = self.cosigned.into_iter().map(|cosigned| (end.size, cosigned));
        let cosigned: Vec<_> = cosigned.collect();
        self.verdict.witnesses = self.compared.witnessed(&self.witnesses);
        for (name, found) in &mut self.verdict.witnesses {
            if let Some(by) = cosigned.iter().find(|(_, by)| by.witness == *name) {
                *found = Some(by.clone());
            }
        }
        self.verdict.earlier = self.compared.told();
        Ok(self.verdict)
    }

    /// Whether a line from position `from` to `last` is the next one. After a gap only what was missing is looked for.
    fn follows(&mut self, from: u64, last: u64) -> Result<bool, Finding> {
        if let Some(missing) = self.missing {
            let found = (from..=last).contains(&missing);
            return if found {
                Err(Finding::at(FindingKind::Reordered, missing))
            } else {
                Ok(false)
            };
        }
        let due = self.frontier.size();
        if from < due || last >= self.verdict.checkpoint.size {
            return Err(Finding::at(FindingKind::Inserted, from));
        }
        if from > due {
            self.missing = Some(due);
        }
        Ok(from == due)
    }
}

fn signed(note: &str, log_key: &str) -> Result<Checkpoint, Finding> {
    Checkpoint::verify(note, log_key).map_err(|_| Finding::at(FindingKind::NotSigned, 0))
}

#[cfg(test)]
mod tests;
