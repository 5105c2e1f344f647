//! Whether the records of an export are all there are: each facility's numbers follow each other, and where some are missing, a
//! record shown later says that their key was destroyed, of so many and no more, and of a month that was over long before and fits
//! the times of what is shown around them. Times never fall.
//!
//! What it keeps grows with facilities, and with the gaps that erased months leave between what stands for ever, not with records.

mod counter;

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::{Finding, FindingKind};
use crate::trail::{CodeText, Destroyed, Facts, KEPT_DAYS, Month, Said, Time};
use counter::{Counter, Gap, Lost};

/// No more facilities, gaps and erasures are kept: a hundred years of a thousand facilities.
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

/// Times of the records shown before and behind what is not shown.
#[derive(Debug, Clone, Copy)]
struct Between {
    since: Time,
    until: Time,
}

impl Between {
    /// Whether what is of this month can lie there.
    fn holds(self, month: Month) -> bool {
        self.since.month() <= month && month <= self.until.month()
    }
}

/// Erased records one behind the other.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    first: u64,
    /// Position behind it.
    end: u64,
    times: Between,
}

/// Records under a key that was destroyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Gone {
    first: u64,
    last: u64,
    month: Month,
    records: u64,
}

/// What was seen so far.
#[derive(Debug)]
pub(super) struct Completeness {
    of: Of,
    time: Time,
    begun: Option<Time>,
    counters: HashMap<CodeText, Counter>,
    erased: Vec<Stretch>,
    /// Nothing was shown yet behind the last of them.
    ends_erased: bool,
    erased_count: u64,
    gone: Vec<Gone>,
    kept: usize,
    most: usize,
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
            ends_erased: false,
            erased_count: 0,
            gone: Vec::new(),
            kept: 0,
            most: MOST,
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
        match self.erased.last_mut().filter(|stretch| stretch.end == position) {
            Some(stretch) => stretch.end += 1,
            None => {
                self.keep(position)?;
                // Until when they are, the next record that is shown says.
                let times = Between {
                    since: self.time,
                    until: self.time,
                };
                self.erased.push(Stretch {
                    first: position,
                    end: position + 1,
                    times,
                });
                self.ends_erased = true;
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
        if let Some(stretch) = self.erased.last_mut().filter(|_| self.ends_erased) {
            stretch.times.until = facts.time;
            self.ends_erased = false;
        }
        for (code, number) in &facts.numbers {
            self.count(position, *code, *number)?;
        }
        match &facts.said {
            Said::Destroyed(destroyed) => self.destroyed(position, destroyed, facts.time),
            Said::Nothing | Said::Head(..) | Said::Read(..) => Ok(()),
        }
    }

    fn count(&mut self, position: u64, code: CodeText, number: u64) -> Result<(), Finding> {
        let (of, erased, time) = (self.of, self.erased_count, self.time);
        let counter = self.counter(position, code)?;
        let due = counter.last + 1;
        if number < due || number == u64::MAX {
            return Err(Finding::at(FindingKind::Misnumbered, position));
        }
        let gap = (number > due && of != Of::Extract).then_some(Gap {
            first: due,
            last: number - 1,
            after: counter.after,
            before: position,
            times: Between {
                since: counter.time,
                until: time,
            },
        });
        if let Some(gap) = gap {
            // Where all is shown, so many erased records must lie between.
            if of == Of::All && number - due > erased - counter.erased {
                return Err(Finding::between(FindingKind::Misnumbered, gap.after, gap.before));
            }
            counter.gaps.push(gap);
        }
        if counter.last == 0 {
            counter.first = number;
        }
        (counter.last, counter.after, counter.time, counter.erased) = (number, position + 1, time, erased);
        if gap.is_some() { self.keep(position) } else { Ok(()) }
    }

    /// Numbers of a facility, of which nothing may have been known before.
    fn counter(&mut self, position: u64, code: CodeText) -> Result<&mut Counter, Finding> {
        let kept = self.kept;
        match self.counters.entry(code) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(_) if kept >= self.most => Err(Finding::at(FindingKind::Concealed, position)),
            Entry::Vacant(new) => {
                self.kept += 1;
                Ok(new.insert(Counter::default()))
            }
        }
    }

    fn destroyed(&mut self, position: u64, destroyed: &Destroyed, time: Time) -> Result<(), Finding> {
        let Destroyed {
            month,
            first,
            last,
            records,
            ..
        } = *destroyed;
        let early = !month.ended_before(time, KEPT_DAYS);
        if early || first > last || last >= position || records > last - first + 1 {
            return Err(Finding::at(FindingKind::Concealed, position));
        }
        // One erasure may speak in several records, each of other facilities.
        let gone = Gone {
            first,
            last,
            month,
            records,
        };
        if self.gone.last() != Some(&gone) {
            self.keep(position)?;
            self.gone.push(gone);
        }
        for (code, erased) in &destroyed.erased {
            self.keep(position)?;
            let counter = self.counter(position, *code)?;
            counter.lost.push(Lost {
                erased: *erased,
                month,
                said: position,
            });
        }
        Ok(())
    }

    /// Bounds what is kept.
    fn keep(&mut self, position: u64) -> Result<(), Finding> {
        self.kept += 1;
        if self.kept > self.most {
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

    /// Each erased record lies among those whose key was destroyed, at a time of their month, and there are no more of them.
    fn positions(&self, shown: &mut Shown) -> Result<(), Finding> {
        let mut gone = self.gone.clone();
        gone.sort_unstable();
        gone.dedup();
        let mut erased = self.erased.iter().copied();
        let mut left = erased.next();
        let mut before: Option<Gone> = None;
        for one in gone {
            let Gone {
                first,
                last,
                month,
                records,
            } = one;
            // Times never fall, and a key is destroyed once.
            if before.is_some_and(|before| first <= before.last || month <= before.month) {
                return Err(Finding::at(FindingKind::Concealed, first));
            }
            before = Some(one);
            let mut count = 0;
            while let Some(stretch) = left.take() {
                if stretch.first > last {
                    left = Some(stretch);
                    break;
                }
                if stretch.first < first || !stretch.times.holds(month) {
                    return Err(Finding::at(FindingKind::Concealed, stretch.first));
                }
                count += stretch.end.min(last + 1) - stretch.first;
                left = if stretch.end > last + 1 {
                    Some(Stretch {
                        first: last + 1,
                        ..stretch
                    })
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
            Some(stretch) => Err(Finding::at(FindingKind::Concealed, stretch.first)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trail::Erased;

    #[test]
    fn what_is_kept_is_bounded() {
        let (a, b) = ("x-a".parse().unwrap(), "x-b".parse().unwrap());
        let read = |text: &str| Facts::read(text).unwrap();
        let of = |kind: &str, seq: &str| {
            read(&format!(
                r#"{{"facility_seq":{seq},"kind":"{kind}","time":"2026-11-22T01:00:00.000Z","v":1}}"#
            ))
        };
        // A kind that came later is numbered for whom it likes.
        let few = || Completeness {
            most: 2,
            ..Completeness::new(Of::All)
        };
        let mut seen = few();
        assert_eq!(seen.record(0, &of("Zoomed", r#"{"x-a":1,"x-b":1}"#)), Ok(()));
        assert_eq!(seen.record(1, &of("Zoomed", r#"{"x-a":2,"x-b":2}"#)), Ok(()));
        let more = seen.record(2, &of("Zoomed", r#"{"x-c":1}"#));
        assert_eq!(more, Err(Finding::at(FindingKind::Concealed, 2)));
        let erased = |code| {
            let lost = Erased {
                records: 1,
                first: 1,
                last: 1,
            };
            (CodeText::from(code), lost)
        };
        let destroyed = Destroyed {
            month: read_month(),
            first: 0,
            last: 0,
            records: 1,
            erased: vec![erased(&a), erased(&b)],
        };
        let mut seen = few();
        let time = of("Zoomed", "{}").time;
        let more = seen.destroyed(7, &destroyed, time);
        assert_eq!(more, Err(Finding::at(FindingKind::Concealed, 7)));
        seen.most = 5;
        (seen.kept, seen.gone) = (0, Vec::new());
        seen.counters.clear();
        assert_eq!(seen.destroyed(7, &destroyed, time), Ok(()));
        assert_eq!(
            seen.kept, 5,
            "the key, and for each facility its counter and what it lost"
        );
    }

    fn read_month() -> Month {
        let time = Facts::read(r#"{"facility_seq":{},"kind":"Zoomed","time":"2021-11-22T01:00:00.000Z","v":1}"#);
        time.unwrap().time.month()
    }
}
