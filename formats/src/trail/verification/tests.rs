//! Every manner of tampering with an export, and that an honest one passes.

use std::collections::BTreeMap;

use super::*;
use crate::trail::{Actor, Event, ExportLine, LogKey, Record, commitment, subtree, tree};

/// A log of two facilities: `a` has every position that 3 divides, `b` the others; the last of `a` is a head.
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

impl Log {
    fn new(size: u64, change: impl Fn(u64, &mut Event)) -> Self {
        let mut log = Self {
            key: LogKey::from_seed("relay.example/trail", &[5; 32]).unwrap().0,
            bodies: Vec::new(),
            nodes: BTreeMap::new(),
        };
        let mut numbers = BTreeMap::<FacilityCode, u64>::new();
        for position in 0..size {
            let whose = facility(if position % 3 == 0 { "a" } else { "b" });
            let mut event = if position == 36 {
                Event::Head {
                    facility: whose.clone(),
                    day: "2026-11-22".into(),
                }
            } else {
                Event::FacilityAdded {
                    facility: whose.clone(),
                    name: format!("TEST {position}"),
                }
            };
            change(position, &mut event);
            let number = numbers.entry(whose.clone()).or_default();
            *number += 1;
            let record = Record {
                v: 1,
                time: "2026-11-22T01:00:00.000Z".into(),
                facility_seq: [(whose, *number)].into(),
                actor: Actor::default(),
                event,
            };
            let body = record.encode().unwrap();
            let entry = commitment(&salt(position), body.as_bytes());
            let nodes = &log.nodes;
            let new = tree::append(position, &entry, |number| nodes.get(&number).copied()).unwrap();
            log.nodes.extend(new);
            log.bodies.push(body);
        }
        log
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
            witnessed: None,
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
        let mut lines = vec![self.head(Some("a"), SIZE)];
        for position in (0..SIZE).step_by(3) {
            lines.push(self.line(position));
            let next = (position + 3).min(SIZE);
            if position + 1 < next {
                lines.push(self.skipped(position + 1, next));
            }
        }
        lines
    }

    fn verify(&self, lines: &[String], earlier: Vec<(String, Checkpoint)>) -> Result<TrailVerdict, Finding> {
        let ExportLine::Head(head) = ExportLine::read(lines[0].as_bytes(), None).unwrap() else {
            panic!("no first line")
        };
        let mut verification = Verification::new(&head, self.key.vkey(), &[], earlier)?;
        for line in &lines[1..] {
            match ExportLine::read(line.as_bytes(), verification.facility()).unwrap() {
                ExportLine::Head(_) => panic!("two first lines"),
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
    assert!(verdict.conclusive(), "an export that is cut there can tell");
}

#[test]
fn erased_records_are_counted_and_prove_as_before() {
    let log = honest();
    let mut lines = log.whole();
    for position in [0, 7, 39] {
        lines[position + 1] = log.erased(position as u64);
    }
    let verdict = log.verify(&lines, vec![log.earlier(20)]).unwrap();
    assert_eq!((verdict.records, verdict.erased), (37, 3));
    let mut lines = log.of_a();
    for place in [1, 5, 7, 27] {
        let position = ExportLine::read(lines[place].as_bytes(), None).unwrap();
        let ExportLine::Entry(entry) = position else {
            panic!("{place} is left out")
        };
        lines[place] = log.erased(entry.position);
    }
    let verdict = log.verify(&lines, Vec::new()).unwrap();
    assert_eq!(
        (verdict.records, verdict.erased, verdict.sequence),
        (10, 4, Some((2, 13)))
    );
}

#[test]
fn a_changed_record_is_found() {
    let log = honest();
    let mut lines = log.whole();
    lines[8] = lines[8].replace("TEST 7", "TEST 8");
    assert_eq!(found(log.verify(&lines, Vec::new())), (FindingKind::Changed, 7));
    // Whoever computes the commitment anew as well is found by the root, between the checkpoints at hand.
    let other = Log::new(SIZE, |position, event| {
        if let (21, Event::FacilityAdded { name, .. }) = (position, event) {
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
    let rewritten = Log::new(SIZE, |position, event| {
        if let (9, Event::FacilityAdded { name, .. }) = (position, event) {
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
        witnessed: Some(rewritten.checkpoint(20)),
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
        witnessed: None,
    };
    let refused = Verification::new(&head, other.vkey(), &[], Vec::new()).unwrap_err();
    assert_eq!(refused.kind, FindingKind::NotSigned);
}
