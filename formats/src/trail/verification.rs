//! Whether an export is what the log signed: computes the root line by line, and finds what was changed, removed, inserted,
//! reordered, cut off, or rewritten against an earlier checkpoint. `CONTRACTS.md` §9.

mod told;

use super::{
    Checkpoint, CheckpointError, Cosignature, Entry, EntryKind, ExportHead, Frontier, Skipped, WitnessKey,
    cosignatures, cover,
};
use crate::wire::FacilityCode;

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
        }
    }
}

impl Finding {
    fn at(kind: FindingKind, position: u64) -> Self {
        Self {
            kind,
            position,
            until: None,
            checkpoint: None,
        }
    }
}

/// An earlier checkpoint of the same log, and how it fares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Earlier {
    /// As its caller named it.
    pub name: String,
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// Whether the log begins with its tree; `None` if the export left out so much that it cannot be told.
    pub agrees: Option<bool>,
}

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
    /// Records without, erased.
    pub erased: u64,
    /// Lowest and highest `facility_seq` that are shown, of a facility's export.
    pub sequence: Option<(u64, u64)>,
    /// Number and day of the newest daily head, of a facility's export: nothing is missing up to it.
    pub head: Option<(u64, String)>,
    /// The earlier checkpoints, in the order they were given; then the witnessed one, if the export has one.
    pub earlier: Vec<Earlier>,
    /// For each witness that was asked for: the size it has cosigned, and its cosignature.
    pub witnesses: Vec<(String, Option<(u64, Cosignature)>)>,
}

impl TrailVerdict {
    /// Whether everything that was asked could be answered.
    #[must_use]
    pub fn conclusive(&self) -> bool {
        self.earlier.iter().all(|earlier| earlier.agrees.is_some())
            && self.witnesses.iter().all(|(_, cosigned)| cosigned.is_some())
    }
}

/// A verification under way: the first line, then every other in its order, then the verdict.
#[derive(Debug)]
pub struct Verification {
    verdict: TrailVerdict,
    /// So many of the earlier checkpoints are the caller's own, the first ones.
    given: usize,
    frontier: Frontier,
    /// Sizes at which an earlier root is due, ascending, each with its place among the earlier ones.
    due: Vec<(u64, usize)>,
    /// How many of them are done.
    done: usize,
    /// Position that was due when another came.
    missing: Option<u64>,
    /// Highest number so far, and erased records since.
    last: Option<u64>,
    unnumbered: u64,
    /// Position after the last record whose number is known.
    numbered: u64,
}

impl Verification {
    /// Begins with the first line. `earlier`: checkpoints the caller has, each with a name for it.
    ///
    /// # Errors
    /// [`Finding`]: not signed by the log, wrongly witnessed, or shorter than an earlier checkpoint.
    pub fn new(
        head: &ExportHead,
        log_key: &str,
        witnesses: &[WitnessKey],
        earlier: Vec<(String, Checkpoint)>,
    ) -> Result<Self, Finding> {
        let unsigned = |_| Finding::at(FindingKind::NotSigned, 0);
        let checkpoint = Checkpoint::verify(&head.checkpoint, log_key).map_err(unsigned)?;
        let mut earlier: Vec<_> = earlier
            .into_iter()
            .map(|(name, checkpoint)| Earlier {
                name,
                checkpoint,
                agrees: None,
            })
            .collect();
        let given = earlier.len();
        let mut cosigned = vec![(checkpoint.size, cosigned(&head.checkpoint, witnesses)?)];
        if let Some(note) = &head.witnessed {
            let witnessed = Checkpoint::verify(note, log_key).map_err(unsigned)?;
            cosigned.push((witnessed.size, self::cosigned(note, witnesses)?));
            earlier.push(Earlier {
                name: "witnessed".into(),
                checkpoint: witnessed,
                agrees: None,
            });
        }
        if let Some(longer) = earlier.iter().find(|earlier| earlier.checkpoint.size > checkpoint.size) {
            return Err(Finding {
                checkpoint: Some(longer.name.clone()),
                ..Finding::at(FindingKind::Truncated, checkpoint.size)
            });
        }
        let newest = |witness: &WitnessKey| {
            let by_it = |(size, found): &(u64, Vec<Cosignature>)| {
                let found = found.iter().find(|one| one.witness == witness.name())?;
                Some((*size, found.clone()))
            };
            (witness.name().to_owned(), cosigned.iter().find_map(by_it))
        };
        let mut due: Vec<_> = earlier.iter().map(|earlier| earlier.checkpoint.size).zip(0..).collect();
        due.sort_unstable();
        let mut verification = Self {
            verdict: TrailVerdict {
                checkpoint,
                facility: head.facility.clone(),
                extract: head.extract,
                records: 0,
                erased: 0,
                sequence: None,
                head: None,
                earlier,
                witnesses: witnesses.iter().map(newest).collect(),
            },
            given,
            frontier: Frontier::default(),
            due,
            done: 0,
            missing: None,
            last: None,
            unnumbered: 0,
            numbered: 0,
        };
        verification.compare();
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
        let next = Self::new(head, log_key, witnesses, Vec::new())?;
        let before = &self.verdict;
        let same = next.verdict.facility == before.facility && next.verdict.extract == before.extract;
        if !same || next.verdict.checkpoint.size < before.checkpoint.size {
            return Err(Finding::at(FindingKind::Inserted, due));
        }
        let (cosigned, old) = (next.verdict.witnesses, before.checkpoint.clone());
        self.verdict.witnesses = cosigned;
        self.verdict.checkpoint = next.verdict.checkpoint;
        // Where everything is shown the earlier root can be computed on the way.
        if self.verdict.facility.is_none() && !self.verdict.extract && old.size >= due {
            self.due.push((old.size, self.verdict.earlier.len()));
            self.due.sort_unstable();
            self.verdict.earlier.push(Earlier {
                name: "before it went on".into(),
                checkpoint: old,
                agrees: None,
            });
            self.compare();
        }
        Ok(())
    }

    /// The next line, a record.
    ///
    /// # Errors
    /// [`Finding`], if it alone shows one. A record that is missing may still come, out of its order: that is found later.
    pub fn entry(&mut self, entry: &Entry) -> Result<(), Finding> {
        if !self.follows(entry.position, entry.position)? {
            return Ok(());
        }
        match &entry.kind {
            EntryKind::Changed => return Err(Finding::at(FindingKind::Changed, entry.position)),
            EntryKind::Foreign => return Err(Finding::at(FindingKind::Inserted, entry.position)),
            EntryKind::Erased => {
                self.verdict.erased += 1;
                self.unnumbered += 1;
            }
            EntryKind::Record(sequence) => {
                self.verdict.records += 1;
                if let Some(sequence) = sequence {
                    self.count(entry.position, sequence.number)?;
                    if let Some(day) = &sequence.head {
                        self.verdict.head = Some((sequence.number, day.clone()));
                    }
                }
            }
        }
        self.frontier.push(&entry.leaf);
        self.compare();
        Ok(())
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
            self.compare();
        }
        Ok(())
    }

    /// The end of the file.
    ///
    /// # Errors
    /// [`Finding`]: the first that the whole shows.
    pub fn finish(self) -> Result<TrailVerdict, Finding> {
        let (size, end) = (self.frontier.size(), &self.verdict.checkpoint);
        if let Some(missing) = self.missing {
            return Err(Finding::at(FindingKind::Removed, missing));
        }
        if size < end.size {
            return Err(Finding::at(FindingKind::Truncated, size));
        }
        let disagrees = |earlier: &&Earlier| earlier.agrees == Some(false);
        let first = self
            .verdict
            .earlier
            .iter()
            .filter(disagrees)
            .min_by_key(|earlier| earlier.checkpoint.size);
        // Somewhere after the last size whose root was right, before the first at which it was wrong.
        let wrong = first.map_or(end.size, |earlier| earlier.checkpoint.size);
        let within = |kind, known: &[Earlier]| {
            let right = known.iter().filter(|earlier| earlier.agrees == Some(true));
            let right = right.map(|earlier| earlier.checkpoint.size);
            Finding {
                until: Some(wrong),
                ..Finding::at(kind, right.filter(|size| *size < wrong).max().unwrap_or(0))
            }
        };
        if self.frontier.root() != end.root {
            return Err(within(FindingKind::Changed, &self.verdict.earlier));
        }
        if let Some(earlier) = first {
            // What a forked file brings itself is of the fork: only what the caller had tells how far both logs are one.
            let given = self.verdict.earlier.get(..self.given).unwrap_or_default();
            return Err(Finding {
                checkpoint: Some(earlier.name.clone()),
                ..within(FindingKind::Forked, given)
            });
        }
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

    /// Numbers of a facility follow each other.
    fn count(&mut self, position: u64, number: u64) -> Result<(), Finding> {
        // Counted from 1. Of what was erased nothing says whom it concerned: a gap must have as many erased records within.
        let due = self.last.unwrap_or(0) + 1;
        let gapless = number >= due && number - due <= self.unnumbered;
        if !self.verdict.extract && !gapless {
            return Err(Finding {
                until: Some(position),
                ..Finding::at(FindingKind::Removed, self.numbered)
            });
        }
        let lowest = self.verdict.sequence.map_or(number, |(lowest, _)| lowest);
        self.verdict.sequence = Some((lowest, number));
        (self.last, self.unnumbered, self.numbered) = (Some(number), 0, position + 1);
        Ok(())
    }

    /// Compares the root with those due at this size. One whose size was passed in the midst of a subtree cannot be compared.
    fn compare(&mut self) {
        let size = self.frontier.size();
        while let Some((due, place)) = self.due.get(self.done).copied().filter(|(due, _)| *due <= size) {
            self.done += 1;
            let Some(earlier) = self.verdict.earlier.get_mut(place).filter(|_| due == size) else {
                continue;
            };
            earlier.agrees = Some(self.frontier.root() == earlier.checkpoint.root);
        }
    }
}

fn cosigned(note: &str, witnesses: &[WitnessKey]) -> Result<Vec<Cosignature>, Finding> {
    cosignatures(note, witnesses).map_err(|error| {
        let kind = match error {
            CheckpointError::Signature | CheckpointError::Key => FindingKind::WronglyWitnessed,
            CheckpointError::Malformed | CheckpointError::Origin => FindingKind::NotSigned,
        };
        Finding::at(kind, 0)
    })
}

#[cfg(test)]
mod tests;
