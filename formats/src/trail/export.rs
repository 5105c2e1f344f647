//! An export of the trail as JSON Lines that proves itself: what stands in each line, written and read. `CONTRACTS.md` §9.
//!
//! ```text
//! {"trail":"hikyaku-trail/1","facility":null,"extract":false,"checkpoint":"…","witnessed":[]}       the first line
//! {"position":0,"body":"…","salt":"…","commitment":"…"}                                             a record
//! {"position":1,"commitment":"…","erased":true}                                                     an erased record
//! {"skipped":[2,7],"nodes":["…","…"]}                                                               records of others
//! ```
//! Positions follow each other without a gap from 0 to the checkpoint's size. Where the export leaves records out it gives the
//! roots of the whole subtrees over them, the fewest there are ([`cover`](super::cover)): so the reader computes the log's root as
//! for a whole export, and learns nothing of what was left out.

#[cfg(test)]
mod agreement;
mod plain;

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::{Facts, MAX_BODY, NotARecord, commitment, cover, tree};
use crate::wire::FacilityCode;

/// No line is longer, in bytes: a body of [`MAX_BODY`] whose every byte is escaped.
pub const EXPORT_LINE: usize = MAX_BODY * 6 + (64 << 10);
/// What the first line says it is.
const FORMAT: &str = "hikyaku-trail/1";
/// A first line names no more cosigned checkpoints.
const MOST_WITNESSED: usize = 64;

/// A line is not one of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a line of a trail's export")]
pub struct ExportError;

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportHead {
    /// Whose records; `None`: all.
    pub facility: Option<FacilityCode>,
    /// Whether further records were left out, by time, patient or person: then nothing is said about completeness.
    pub extract: bool,
    /// The signed checkpoint the export ends with.
    pub checkpoint: String,
    /// Of each witness the newest checkpoint that it has cosigned, each once, none larger.
    pub witnessed: Vec<String>,
}

/// A line of an export, its hashes computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExportLine {
    /// The first.
    Head(Box<ExportHead>),
    /// A record.
    Entry(Entry),
    /// Records left out.
    Skipped(Skipped),
}

/// A record as the log knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its position.
    pub position: u64,
    /// Hash of its leaf.
    pub leaf: [u8; 32],
    /// What is known of it.
    pub kind: EntryKind,
}

/// What is known of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// Its body is there.
    Record(Facts),
    /// Its body is there and is a record that does not concern the facility whose export this is.
    Foreign,
    /// Its body is there, and what was committed is no record, or one that is numbered for others than it concerns.
    Wrong(NotARecord),
    /// Its body is there and is not what was committed.
    Changed,
    /// Its body was erased.
    Erased,
}

/// Records left out, from a position to before another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The first.
    pub from: u64,
    /// The one after the last.
    pub to: u64,
    /// Roots of the subtrees over them, as [`cover`](super::cover) has them.
    pub nodes: Vec<[u8; 32]>,
}

impl ExportHead {
    /// Writes the line, its end included.
    pub fn push(&self, out: &mut Vec<u8>) {
        let line = serde_json::json!({
            "trail": FORMAT,
            "facility": self.facility,
            "extract": self.extract,
            "checkpoint": self.checkpoint,
            "witnessed": self.witnessed,
        });
        out.extend(line.to_string().into_bytes());
        out.push(b'\n');
    }
}

impl Entry {
    /// A record with its body. `facility`: whose export this is.
    #[must_use]
    pub fn of_record(position: u64, salt: &[u8; 32], body: &str, facility: Option<&FacilityCode>) -> Self {
        Self::committed(position, &commitment(salt, body.as_bytes()), body, facility)
    }

    fn committed(position: u64, commitment: &[u8; 32], body: &str, facility: Option<&FacilityCode>) -> Self {
        let kind = match Facts::read(body) {
            Err(wrong) => EntryKind::Wrong(wrong),
            Ok(facts) => match facility {
                None => EntryKind::Record(facts),
                Some(facility) => facts.of(facility).map_or(EntryKind::Foreign, EntryKind::Record),
            },
        };
        Self {
            position,
            leaf: tree::leaf(commitment),
            kind,
        }
    }

    /// A record whose body was erased.
    #[must_use]
    pub fn erased(position: u64, commitment: &[u8; 32]) -> Self {
        Self {
            position,
            leaf: tree::leaf(commitment),
            kind: EntryKind::Erased,
        }
    }

    /// Writes the line of a record, its end included.
    pub fn push_record(out: &mut Vec<u8>, position: u64, body: &str, salt: &[u8; 32], commitment: &[u8; 32]) {
        out.extend(format!("{{\"position\":{position},\"body\":").into_bytes());
        // A string is always written into memory.
        let _always = serde_json::to_writer(&mut *out, body);
        let (salt, commitment) = (STANDARD.encode(salt), STANDARD.encode(commitment));
        out.extend(format!(",\"salt\":\"{salt}\",\"commitment\":\"{commitment}\"}}\n").into_bytes());
    }

    /// Writes the line of an erased record, its end included.
    pub fn push_erased(out: &mut Vec<u8>, position: u64, commitment: &[u8; 32]) {
        let commitment = STANDARD.encode(commitment);
        let line = format!("{{\"position\":{position},\"commitment\":\"{commitment}\",\"erased\":true}}\n");
        out.extend(line.into_bytes());
    }
}

impl Skipped {
    /// Writes the line, its end included.
    pub fn push(&self, out: &mut Vec<u8>) {
        let nodes: Vec<String> = self
            .nodes
            .iter()
            .map(|node| format!("\"{}\"", STANDARD.encode(node)))
            .collect();
        let (from, to, nodes) = (self.from, self.to, nodes.join(","));
        out.extend(format!("{{\"skipped\":[{from},{to}],\"nodes\":[{nodes}]}}\n").into_bytes());
    }
}

/// Text, borrowed where it has no escapes.
#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Cosigned checkpoints; one alone may stand as it is.
#[derive(Deserialize)]
#[serde(untagged)]
enum Notes {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    trail: Option<String>,
    facility: Option<FacilityCode>,
    extract: Option<bool>,
    checkpoint: Option<String>,
    witnessed: Option<Notes>,
    position: Option<u64>,
    #[serde(borrow)]
    body: Option<Text<'a>>,
    #[serde(borrow)]
    salt: Option<Text<'a>>,
    #[serde(borrow)]
    commitment: Option<Text<'a>>,
    erased: Option<bool>,
    skipped: Option<[u64; 2]>,
    #[serde(borrow)]
    nodes: Option<Vec<Text<'a>>>,
}

impl ExportLine {
    /// Reads a line and computes its hashes. `facility`: whose export this is, as its first line says.
    ///
    /// # Errors
    /// [`ExportError`].
    pub fn read(line: &[u8], facility: Option<&FacilityCode>) -> Result<Self, ExportError> {
        Self::read_in(line, facility, &mut Vec::new())
    }

    /// The same, with room for a body that is used again from line to line.
    ///
    /// # Errors
    /// [`ExportError`].
    pub fn read_in(line: &[u8], facility: Option<&FacilityCode>, room: &mut Vec<u8>) -> Result<Self, ExportError> {
        if line.len() > EXPORT_LINE {
            return Err(ExportError);
        }
        if let Some(plain) = plain::record(line, room) {
            let entry = commitment(&plain.salt, plain.body.as_bytes());
            return Ok(Self::record(
                plain.position,
                &entry,
                plain.body,
                facility,
                Some(plain.commitment),
            ));
        }
        Self::parsed(line, facility)
    }

    /// A line as the parser reads it.
    fn parsed(line: &[u8], facility: Option<&FacilityCode>) -> Result<Self, ExportError> {
        let line = serde_json::from_slice(line).map_err(|_| ExportError)?;
        Self::of(line, facility).ok_or(ExportError)
    }

    /// A record whose line states this commitment.
    fn record(
        position: u64,
        entry: &[u8; 32],
        body: &str,
        facility: Option<&FacilityCode>,
        stated: Option<[u8; 32]>,
    ) -> Self {
        let mut line = Entry::committed(position, entry, body, facility);
        if stated.is_some_and(|stated| stated != *entry) {
            line.kind = EntryKind::Changed;
        }
        Self::Entry(line)
    }

    fn of(line: Line<'_>, facility: Option<&FacilityCode>) -> Option<Self> {
        match line {
            Line {
                position: Some(position),
                body: Some(body),
                salt: Some(salt),
                commitment: stated,
                trail: None,
                facility: None,
                extract: None,
                checkpoint: None,
                witnessed: None,
                erased: None,
                skipped: None,
                nodes: None,
            } => {
                let entry = commitment(&bytes(&salt)?, body.0.as_bytes());
                let stated = match stated {
                    Some(stated) => Some(bytes(&stated)?),
                    None => None,
                };
                Some(Self::record(position, &entry, &body.0, facility, stated))
            }
            Line {
                position: Some(position),
                commitment: Some(commitment),
                erased: Some(true),
                body: None,
                salt: None,
                trail: None,
                facility: None,
                extract: None,
                checkpoint: None,
                witnessed: None,
                skipped: None,
                nodes: None,
            } => Some(Self::Entry(Entry::erased(position, &bytes(&commitment)?))),
            Line {
                skipped: Some([from, to]),
                nodes: Some(nodes),
                position: None,
                commitment: None,
                erased: None,
                body: None,
                salt: None,
                trail: None,
                facility: None,
                extract: None,
                checkpoint: None,
                witnessed: None,
            } => {
                let nodes: Vec<[u8; 32]> = nodes.iter().map(bytes).collect::<Option<_>>()?;
                let whole = from < to && nodes.len() == cover(from, to).len();
                whole.then_some(Self::Skipped(Skipped { from, to, nodes }))
            }
            Line {
                trail: Some(trail),
                facility,
                extract: Some(extract),
                checkpoint: Some(checkpoint),
                witnessed,
                position: None,
                commitment: None,
                erased: None,
                body: None,
                salt: None,
                skipped: None,
                nodes: None,
            } if trail == FORMAT => {
                let witnessed = match witnessed {
                    None => Vec::new(),
                    Some(Notes::One(note)) => vec![note],
                    Some(Notes::Many(notes)) => notes,
                };
                (witnessed.len() <= MOST_WITNESSED).then(|| {
                    Self::Head(Box::new(ExportHead {
                        facility,
                        extract,
                        checkpoint,
                        witnessed,
                    }))
                })
            }
            _ => None,
        }
    }
}

/// 32 bytes of base64.
fn bytes(text: &Text<'_>) -> Option<[u8; 32]> {
    let mut room = [0; 36];
    let length = STANDARD.decode_slice(text.0.as_bytes(), &mut room).ok()?;
    room.first_chunk().filter(|_| length == 32).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trail::{Actor, Event, Record};

    fn written(push: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut line = Vec::new();
        push(&mut line);
        assert!(line.ends_with(b"\n") && line.iter().filter(|byte| **byte == b'\n').count() == 1);
        line
    }

    #[test]
    fn lines_read_back() {
        let facility: FacilityCode = "1310000001".parse().unwrap();
        let head = ExportHead {
            facility: Some(facility.clone()),
            extract: true,
            checkpoint: "a\nb\n".into(),
            witnessed: vec!["c\nd\n".into(), "e".into()],
        };
        let line = written(|out| head.push(out));
        assert_eq!(ExportLine::read(&line, None), Ok(ExportLine::Head(Box::new(head))));
        for (witnessed, notes) in [("null", 0), ("\"a\"", 1), ("[]", 0)] {
            let line = format!(r#"{{"trail":"{FORMAT}","extract":false,"checkpoint":"","witnessed":{witnessed}}}"#);
            let Ok(ExportLine::Head(head)) = ExportLine::read(line.as_bytes(), None) else {
                panic!("{line}")
            };
            assert_eq!(head.witnessed.len(), notes);
        }

        let record = Record {
            v: 1,
            time: "2026-11-22T01:00:00.000Z".into(),
            facility_seq: [(facility.clone(), 7)].into(),
            actor: Actor::default(),
            event: Event::FacilityAdded {
                facility: facility.clone(),
                name: "飛脚\n\\".into(),
            },
        };
        let body = record.encode().unwrap();
        let body = body.as_str();
        let entry = commitment(&[3; 32], body.as_bytes());
        let line = written(|out| Entry::push_record(out, 5, body, &[3; 32], &entry));
        let other: FacilityCode = "1310000002".parse().unwrap();
        let of = |facility| Entry::of_record(5, &[3; 32], body, facility);
        for whose in [None, Some(&facility)] {
            assert_eq!(ExportLine::read(&line, whose), Ok(ExportLine::Entry(of(whose))));
        }
        let EntryKind::Record(facts) = of(Some(&facility)).kind else {
            panic!("no record")
        };
        assert_eq!(facts.numbers.len(), 1);
        let none = Entry::of_record(5, &[3; 32], "{}", None).kind;
        assert_eq!(none, EntryKind::Wrong(NotARecord::Malformed));
        assert_eq!(of(Some(&other)).kind, EntryKind::Foreign);
        assert_eq!(of(None).leaf, tree::leaf(&entry));

        let line = written(|out| Entry::push_erased(out, 6, &entry));
        assert_eq!(
            ExportLine::read(&line, None),
            Ok(ExportLine::Entry(Entry::erased(6, &entry)))
        );
        let skipped = Skipped {
            from: 2,
            to: 7,
            nodes: vec![[1; 32], [2; 32], [3; 32]],
        };
        let line = written(|out| skipped.push(out));
        assert_eq!(ExportLine::read(&line, None), Ok(ExportLine::Skipped(skipped)));
    }

    #[test]
    fn a_body_that_is_not_the_one_committed_is_known_by_its_line() {
        let entry = commitment(&[3; 32], b"{}");
        let line = String::from_utf8(written(|out| Entry::push_record(out, 5, "{}", &[3; 32], &entry))).unwrap();
        let changed = ExportLine::read(line.replace("{}", "{ }").as_bytes(), None).unwrap();
        assert!(matches!(
            changed,
            ExportLine::Entry(Entry {
                kind: EntryKind::Changed,
                ..
            })
        ));
    }

    #[test]
    fn what_is_no_line_is_refused() {
        let salt = STANDARD.encode([3; 32]);
        for line in [
            String::new(),
            "{}".into(),
            "[]".into(),
            r#"{"position":5}"#.into(),
            format!(r#"{{"position":5,"body":"{{}}","salt":"{salt}","more":1}}"#),
            format!(r#"{{"position":5,"body":"{{}}","salt":"{salt}","erased":true}}"#),
            format!(r#"{{"position":-5,"body":"{{}}","salt":"{salt}"}}"#),
            format!(r#"{{"position":5,"position":5,"body":"{{}}","salt":"{salt}"}}"#),
            format!(r#"{{"position":5,"body":"{{}}","salt":"{salt}AA"}}"#),
            format!(r#"{{"position":5,"commitment":"{salt}","erased":false}}"#),
            format!(r#"{{"skipped":[7,7],"nodes":["{salt}"]}}"#),
            format!(r#"{{"skipped":[2,7],"nodes":["{salt}"]}}"#),
            r#"{"trail":"hikyaku-trail/2","extract":false,"checkpoint":""}"#.into(),
        ] {
            assert_eq!(ExportLine::read(line.as_bytes(), None), Err(ExportError), "{line}");
        }
    }
}
