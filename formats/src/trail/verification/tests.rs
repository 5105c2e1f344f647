//! Every manner of tampering with an export, and that an honest one passes.

mod concealed;

use std::collections::BTreeMap;

use super::*;
use crate::trail::cosignature::tests::{line as cosignature, witness};
use crate::trail::{
    Actor, Class, Erased, Event, ExportLine, LogKey, Record, commitment, subtree, tree, with_cosignatures,
};

/// A log of two facilities: `a` has every position that 3 divides, `b` the others; `a` has its head at 36 and was read at 39.
struct Log {
    key: LogKey,
    bodies: Vec<String>,
    nodes: BTreeMap<u64, [u8; 32]>,
}

const SIZE: u64 = 40;

fn facility(name: &str) -> FacilityCode {
    format!("x-{name}").parse().unwrap()
}

fn salt(position: u64) -> [u8; 32] {
    [u8::try_from(position % 251).unwrap(); 32]
}

fn read(by: Option<&str>) -> Event {
    Event::TrailRead {
        facility: by.map(facility),
        from: String::new(),
        to: String::new(),
        format: "jsonl".into(),
        filter: None,
        concerned: Vec::new(),
    }
}

/// The records of such a log, numbered for those they concern.
fn records(size: u64, change: impl Fn(u64, &mut Record)) -> Vec<Record> {
    let mut numbers = BTreeMap::<FacilityCode, u64>::new();
    let one = |position: u64| {
        let whose = facility(if position.is_multiple_of(3) { "a" } else { "b" });
        let event = match position {
            36 => Event::Head {
                facility: whose,
                day: "2026-11-22".into(),
            },
            39 => read(Some("a")),
            _ => Event::FacilityAdded {
                facility: whose,
                name: format!("TEST {position}"),
            },
        };
        let mut record = Record {
            v: 1,
            time: "2026-11-22T01:00:00.000Z".into(),
            facility_seq: BTreeMap::new(),
            actor: Actor::default(),
            event,
        };
        change(position, &mut record);
        for concerned in record.event.facilities() {
            let number = numbers.entry(concerned.clone()).or_default();
            *number += 1;
            record.facility_seq.insert(concerned, *number);
        }
        record
    };
    (0..size).map(one).collect()
}

impl Log {
    fn new(size: u64, change: impl Fn(u64, &mut Record)) -> Self {
        Self::of(&records(size, change))
    }

    fn of(records: &[Record]) -> Self {
        Self::of_bodies(records.iter().map(|record| record.encode().unwrap()).collect())
    }

    fn of_bodies(bodies: Vec<String>) -> Self {
        let mut nodes = BTreeMap::new();
        for (position, body) in (0..).zip(&bodies) {
            let entry = commitment(&salt(position), body.as_bytes());
            let new = tree::append(position, &entry, |number| nodes.get(&number).copied()).unwrap();
            nodes.extend(new);
        }
        Self {
            key: LogKey::from_seed("relay.example/trail", &[5; 32]).unwrap().0,
            bodies,
            nodes,
        }
    }

    fn checkpoint(&self, size: u64) -> String {
        let root = tree::root(size, |number| self.nodes.get(&number).copied()).unwrap();
        self.key.sign(size, &root).unwrap()
    }

    fn earlier(&self, size: u64) -> (String, Checkpoint) {
        let checkpoint = Checkpoint::verify(&self.checkpoint(size), self.key.vkey()).unwrap();
        (format!("at {size}"), checkpoint)
    }

    fn line(&self, position: u64) -> String {
        let body = &self.bodies[usize::try_from(position).unwrap()];
        let mut line = Vec::new();
        let entry = commitment(&salt(position), body.as_bytes());
        Entry::push_record(&mut line, position, body, &salt(position), &entry);
        String::from_utf8(line).unwrap()
    }

    fn erased(&self, position: u64) -> String {
        let body = &self.bodies[usize::try_from(position).unwrap()];
        let mut line = Vec::new();
        Entry::push_erased(&mut line, position, &commitment(&salt(position), body.as_bytes()));
        String::from_utf8(line).unwrap()
    }

    fn skipped(&self, from: u64, to: u64) -> String {
        let nodes = cover(from, to)
            .into_iter()
            .map(|(level, index)| self.nodes[&subtree(level, index)]);
        let mut line = Vec::new();
        Skipped {
            from,
            to,
            nodes: nodes.collect(),
        }
        .push(&mut line);
        String::from_utf8(line).unwrap()
    }

    fn head(&self, of: Option<&str>, size: u64) -> String {
        let head = ExportHead {
            facility: of.map(facility),
            extract: false,
            checkpoint: self.checkpoint(size),
            witnessed: Vec::new(),
        };
        let mut line = Vec::new();
        head.push(&mut line);
        String::from_utf8(line).unwrap()
    }

    /// All of it.
    fn whole(&self) -> Vec<String> {
        std::iter::once(self.head(None, SIZE))
            .chain((0..SIZE).map(|position| self.line(position)))
            .collect()
    }

    /// The records of `a`.
    fn of_a(&self) -> Vec<String> {
        self.without(&[])
    }

    /// The records of `a` but those at some positions.
    fn without(&self, hidden: &[u64]) -> Vec<String> {
        let mut lines = vec![self.head(Some("a"), SIZE)];
        let own = |position: &u64| {
            self.bodies[usize::try_from(*position).unwrap()].contains("\"x-a\":") && !hidden.contains(position)
        };
        let mut next = 0;
        for position in (0..SIZE).filter(own) {
            if next < position {
                lines.push(self.skipped(next, position));
            }
            lines.push(self.line(position));
            next = position + 1;
        }
        if next < SIZE {
            lines.push(self.skipped(next, SIZE));
        }
        lines
    }

    /// All of it but what is erased.
    fn erasing(&self, erased: &[u64]) -> Vec<String> {
        let mut lines = self.whole();
        for position in erased {
            lines[usize::try_from(*position).unwrap() + 1] = self.erased(*position);
        }
        lines
    }

    fn verify(&self, lines: &[String], earlier: Vec<(String, Checkpoint)>) -> Result<TrailVerdict, Finding> {
        let ExportLine::Head(head) = ExportLine::read(lines[0].as_bytes(), None).unwrap() else {
            panic!("no first line")
        };
        self.watched(&head, &lines[1..], earlier, &[])
    }

    fn watched(
        &self,
        head: &ExportHead,
        lines: &[String],
        earlier: Vec<(String, Checkpoint)>,
        witnesses: &[WitnessKey],
    ) -> Result<TrailVerdict, Finding> {
        let mut verification = Verification::new(head, self.key.vkey(), witnesses, earlier)?;
        for line in lines {
            match ExportLine::read(line.as_bytes(), verification.facility()).unwrap() {
                ExportLine::Head(head) => verification.again(&head, self.key.vkey(), witnesses)?,
                ExportLine::Entry(entry) => verification.entry(&entry)?,
                ExportLine::Skipped(skipped) => verification.skipped(&skipped)?,
            }
        }
        verification.finish()
    }
}

fn honest() -> Log {
    Log::new(SIZE, |_, _| ())
}

fn found(result: Result<TrailVerdict, Finding>) -> (FindingKind, u64) {
    let finding = result.unwrap_err();
    (finding.kind, finding.position)
}

#[test]
fn an_honest_export_passes_against_every_earlier_checkpoint() {
    let log = honest();
    let earlier = (0..=SIZE).map(|size| log.earlier(size)).collect();
    let verdict = log.verify(&log.whole(), earlier).unwrap();
    assert_eq!((verdict.records, verdict.erased, verdict.sequence), (SIZE, 0, None));
    assert!(verdict.conclusive() && verdict.earlier.iter().all(|earlier| earlier.agrees == Some(true)));
}

#[test]
fn a_facilitys_export_passes_and_says_how_far_it_is_complete() {
    let log = honest();
    let verdict = log
        .verify(&log.of_a(), vec![log.earlier(3), log.earlier(8), log.earlier(SIZE)])
        .unwrap();
    assert_eq!((verdict.records, verdict.sequence), (14, Some((1, 14))));
    assert_eq!(verdict.head, Some((13, "2026-11-22".into())));
    assert_eq!((verdict.head_age(), verdict.whole()), (Some(0), true));
    let reading = verdict.reading.clone().unwrap();
    assert_eq!((reading.position, reading.closes), (39, true));
    assert_eq!(reading.root, log.earlier(40).1.root, "what a printed page names");
    let agrees: Vec<_> = verdict.earlier.iter().map(|earlier| earlier.agrees).collect();
    assert_eq!(
        agrees,
        [Some(true), Some(true), Some(true)],
        "8 lies between two subtrees"
    );
    assert!(verdict.conclusive());
    let mut wide = vec![log.head(Some("c"), SIZE), log.skipped(0, SIZE)];
    let verdict = log.verify(&wide, vec![log.earlier(32), log.earlier(33)]).unwrap();
    let agrees: Vec<_> = verdict.earlier.iter().map(|earlier| earlier.agrees).collect();
    assert_eq!(agrees, [Some(true), None], "33 lies within a subtree");
    assert!(!verdict.conclusive());
    wide = vec![log.head(Some("c"), SIZE), log.skipped(0, 33), log.skipped(33, SIZE)];
    let verdict = log.verify(&wide, vec![log.earlier(33)]).unwrap();
    let agrees: Vec<_> = verdict.earlier.iter().map(|earlier| earlier.agrees).collect();
    assert_eq!(agrees, [Some(true)], "an export that is cut there can tell");
}

#[test]
fn an_account_without_its_begin_or_end_is_not_conclusive() {
    let log = honest();
    assert!(log.verify(&log.of_a(), Vec::new()).unwrap().conclusive());
    // Nothing at all is shown of it, or nothing after some record, be it a head.
    let nothing = vec![log.head(Some("a"), SIZE), log.skipped(0, SIZE)];
    let verdict = log.verify(&nothing, Vec::new()).unwrap();
    assert_eq!((verdict.records, verdict.conclusive()), (0, false));
    for last in (0..39).step_by(3) {
        let hidden: Vec<u64> = (last + 1..SIZE).collect();
        let verdict = log.verify(&log.without(&hidden), Vec::new()).unwrap();
        assert!(!verdict.conclusive() && !verdict.whole(), "{last}");
        let told = verdict.sentences();
        assert!(told.iter().any(|[_, en]| en.contains("does not end")), "{told:?}");
    }
    assert_eq!(
        found(log.verify(&log.without(&[0]), Vec::new())),
        (FindingKind::Removed, 0),
        "nor without its first"
    );
    // A head of a day that has not been says nothing of days that have.
    for (day, conclusive) in [("2026-11-22", true), ("2026-11-23", false), ("2027-11-22", false)] {
        let other = Log::new(SIZE, |_, record| {
            if let Event::Head { day: of, .. } = &mut record.event {
                *of = day.into();
            }
        });
        let verdict = other.verify(&other.of_a(), Vec::new()).unwrap();
        assert_eq!(verdict.conclusive(), conclusive, "{day}: {:?}", verdict.sentences());
    }
    // A reading that was narrowed, or of another form, closes nothing.
    for format in ["csv", "jsonl"] {
        let other = Log::new(SIZE, |position, record| {
            if let (39, Event::TrailRead { from, format: of, .. }) = (position, &mut record.event) {
                *of = format.into();
                if format == "jsonl" {
                    *from = "2026-11-01T00:00:00Z".into();
                }
            }
        });
        assert!(!other.verify(&other.of_a(), Vec::new()).unwrap().conclusive());
    }
    // Heads that stopped long before the reading, or never began.
    for (day, conclusive) in [("2026-11-20", true), ("2026-11-19", false), ("2026-10-22", false)] {
        let old = Log::new(SIZE, |_, record| {
            if let Event::Head { day: of, .. } = &mut record.event {
                *of = day.into();
            }
        });
        let verdict = old.verify(&old.of_a(), Vec::new()).unwrap();
        assert_eq!(verdict.conclusive(), conclusive, "{day}");
    }
    let headless = Log::new(SIZE, |position, record| {
        if position == 36 {
            record.event = Event::DeviceRevoked {
                facility: facility("a"),
                device: "d1".parse().unwrap(),
            };
        }
        if position < 3 {
            record.time = "2026-10-22T01:00:00.000Z".into();
        }
    });
    assert!(!headless.verify(&headless.of_a(), Vec::new()).unwrap().conclusive());
}

#[test]
fn a_changed_record_is_found() {
    let log = honest();
    let mut lines = log.whole();
    lines[8] = lines[8].replace("TEST 7", "TEST 8");
    assert_eq!(found(log.verify(&lines, Vec::new())), (FindingKind::Changed, 7));
    // Whoever computes the commitment anew as well is found by the root, between the checkpoints at hand.
    let other = Log::new(SIZE, |position, record| {
        if let (21, Event::FacilityAdded { name, .. }) = (position, &mut record.event) {
            name.push('!');
        }
    });
    lines = log.whole();
    lines[22] = other.line(21);
    let finding = log
        .verify(&lines, vec![log.earlier(8), log.earlier(16), log.earlier(24)])
        .unwrap_err();
    assert_eq!(
        (finding.kind, finding.position, finding.until),
        (FindingKind::Changed, 16, Some(24))
    );
    let mut lines = log.of_a();
    lines[2] = log.skipped(5, 7).replace("[5,7]", "[1,3]");
    assert_eq!(found(log.verify(&lines, Vec::new())), (FindingKind::Changed, 0));
}

#[test]
fn removed_inserted_reordered_truncated_are_found() {
    let log = honest();
    for place in 1..=40 {
        let mut lines = log.whole();
        lines.remove(place);
        let expected = if place == 40 {
            FindingKind::Truncated
        } else {
            FindingKind::Removed
        };
        let position = place as u64 - 1;
        assert_eq!(found(log.verify(&lines, Vec::new())), (expected, position));

        let mut lines = log.whole();
        lines.insert(place, log.line(4));
        let kind = found(log.verify(&lines, Vec::new())).0;
        let expected = if place < 5 {
            FindingKind::Reordered
        } else {
            FindingKind::Inserted
        };
        assert_eq!(
            kind,
            if place == 5 { FindingKind::Inserted } else { expected },
            "{place}"
        );

        let mut lines = log.whole();
        lines.truncate(place);
        assert_eq!(
            found(log.verify(&lines, Vec::new())),
            (FindingKind::Truncated, position)
        );
    }
    let mut lines = log.whole();
    lines.swap(10, 20);
    assert_eq!(found(log.verify(&lines, Vec::new())), (FindingKind::Reordered, 9));
    let mut lines = log.whole();
    lines.push(log.line(39).replace(":39,", ":40,"));
    assert_eq!(found(log.verify(&lines, Vec::new())), (FindingKind::Inserted, 40));
    let mut lines = log.whole();
    lines[5] = log.skipped(4, 5);
    assert_eq!(
        found(log.verify(&lines, Vec::new())),
        (FindingKind::Removed, 4),
        "all means all"
    );
}

#[test]
fn what_a_facilitys_export_leaves_out_is_found_by_its_numbers() {
    let log = honest();
    // The log's root comes out right, but the fourth record of the facility is not shown.
    let mut lines = log.of_a();
    lines[7] = log.skipped(9, 10);
    let finding = log.verify(&lines, Vec::new()).unwrap_err();
    assert_eq!(
        (finding.kind, finding.position, finding.until),
        (FindingKind::Removed, 7, Some(12))
    );
    let mut lines = log.of_a();
    lines[1] = log.skipped(0, 1);
    assert_eq!(found(log.verify(&lines, Vec::new())), (FindingKind::Removed, 0));
    let mut lines = log.of_a();
    lines.splice(2..3, [log.line(1), log.line(2)]);
    assert_eq!(
        found(log.verify(&lines, Vec::new())),
        (FindingKind::Inserted, 1),
        "of another facility"
    );
}

#[test]
fn history_rewritten_and_signed_again_is_found_by_an_earlier_checkpoint() {
    let log = honest();
    let rewritten = Log::new(SIZE, |position, record| {
        if let (9, Event::FacilityAdded { name, .. }) = (position, &mut record.event) {
            name.push('!');
        }
    });
    let whole = rewritten.whole();
    assert!(rewritten.verify(&whole, Vec::new()).is_ok(), "by itself it is whole");
    let finding = rewritten
        .verify(&whole, vec![log.earlier(9), log.earlier(10), log.earlier(30)])
        .unwrap_err();
    assert_eq!(
        (finding.kind, finding.position, finding.until),
        (FindingKind::Forked, 9, Some(10))
    );
    assert_eq!(finding.checkpoint.as_deref(), Some("at 10"));
    let lines = rewritten.of_a();
    assert_eq!(
        found(rewritten.verify(&lines, vec![log.earlier(30)])),
        (FindingKind::Forked, 0)
    );
    // A checkpoint the file itself brings is of the rewritten log, and says nothing of how long both were one.
    let mut head = Vec::new();
    ExportHead {
        facility: None,
        extract: false,
        checkpoint: rewritten.checkpoint(SIZE),
        witnessed: vec![rewritten.checkpoint(20)],
    }
    .push(&mut head);
    let mut lines = whole.clone();
    lines[0] = String::from_utf8(head).unwrap();
    let finding = rewritten.verify(&lines, vec![log.earlier(30)]).unwrap_err();
    assert_eq!(
        (finding.kind, finding.position, finding.until),
        (FindingKind::Forked, 0, Some(30))
    );
    // Cut off and signed again.
    let mut lines = vec![log.head(None, 30)];
    lines.extend((0..30).map(|position| log.line(position)));
    assert!(log.verify(&lines, Vec::new()).is_ok());
    let finding = log.verify(&lines, vec![log.earlier(31)]).unwrap_err();
    assert_eq!((finding.kind, finding.position), (FindingKind::Truncated, 30));
}

#[test]
fn a_checkpoint_of_another_key_is_no_checkpoint() {
    let log = honest();
    let (other, _) = LogKey::from_seed("relay.example/trail", &[6; 32]).unwrap();
    let head = ExportHead {
        facility: None,
        extract: false,
        checkpoint: log.checkpoint(SIZE),
        witnessed: Vec::new(),
    };
    let refused = Verification::new(&head, other.vkey(), &[], Vec::new()).unwrap_err();
    assert_eq!(refused.kind, FindingKind::NotSigned);
}
