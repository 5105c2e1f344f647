//! The little of a record's body that numbers and completeness rest on, read without building the record: its time, the number it
//! bears for each facility, and what it says of days, erasures and readings.
//!
//! A body counts as a record only if it is canonical JSON (RFC 8785), has the members of its kind, and is numbered for those it
//! concerns, no more and no less. The kinds most records are of are read by [`form`]; every other body is read whole.

mod form;

use std::fmt;

use time::macros::format_description;
use time::{Date, Month};

use super::{Class, Erased, Event, Filter, Kind, Record};
use crate::wire::{FacilityCode, facility_code};

/// A facility's code without an allocation of its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CodeText {
    text: [u8; Self::LONGEST],
    length: u8,
}

impl CodeText {
    /// `x-` and 32 more.
    const LONGEST: usize = 34;

    fn read(text: &[u8]) -> Option<Self> {
        if !facility_code(text) {
            return None;
        }
        let mut code = Self {
            text: [0; Self::LONGEST],
            length: u8::try_from(text.len()).ok()?,
        };
        code.text.get_mut(..text.len())?.copy_from_slice(text);
        Some(code)
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let text = self.text.get(..self.length.into()).unwrap_or_default();
        // A code is ASCII.
        std::str::from_utf8(text).unwrap_or_default()
    }
}

impl From<&FacilityCode> for CodeText {
    fn from(code: &FacilityCode) -> Self {
        // Every code is one.
        Self::read(code.as_str().as_bytes()).unwrap_or(Self {
            text: [0; Self::LONGEST],
            length: 0,
        })
    }
}

impl fmt::Debug for CodeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A record's time: its digits, `2026-11-22T01:00:00.000Z` as 20261122010000000. Later is larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Time(u64);

impl Time {
    fn read(text: &[u8]) -> Option<Self> {
        const FORM: &[u8; 24] = b"0000-00-00T00:00:00.000Z";
        if text.len() != FORM.len() {
            return None;
        }
        let mut digits = 0;
        for (byte, form) in text.iter().zip(FORM) {
            match (byte, form) {
                (b'0'..=b'9', b'0') => digits = digits * 10 + u64::from(byte - b'0'),
                (byte, form) if byte == form => {}
                _ => return None,
            }
        }
        Some(Self(digits))
    }

    /// The day in Japan, as a Julian day number; `None` if the digits are no day.
    #[must_use]
    pub fn day_in_japan(self) -> Option<i64> {
        let (day, hour) = (self.0 / 1_000_000_000, self.0 / 10_000_000 % 100);
        let part = |value: u64| u8::try_from(value % 100).ok();
        let year = i32::try_from(day / 10_000).ok()?;
        let month = Month::try_from(part(day / 100)?).ok()?;
        let date = Date::from_calendar_date(year, month, part(day)?).ok()?;
        Some(i64::from(date.to_julian_day()) + i64::from(hour >= 15))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (day, clock) = (self.0 / 1_000_000_000, self.0 % 1_000_000_000);
        let (year, month, day) = (day / 10_000, day / 100 % 100, day % 100);
        let (hour, minute) = (clock / 10_000_000, clock / 100_000 % 100);
        let (second, rest) = (clock / 1_000 % 100, clock % 1_000);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{rest:03}Z"
        )
    }
}

/// The Julian day number of a day, `2026-11-22`.
pub(super) fn day(text: &str) -> Option<i64> {
    let day = Date::parse(text, format_description!("[year]-[month]-[day]")).ok()?;
    // It reads a sign before the year too.
    (text.len() == 10).then(|| i64::from(day.to_julian_day()))
}

/// What is known of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Its time.
    pub time: Time,
    /// The number it bears for each facility it concerns, by code; of a facility's export, that facility's alone.
    pub numbers: Vec<(CodeText, u64)>,
    /// What it says that completeness rests on.
    pub said: Said,
    /// It is of a kind, or has members, that this program does not know.
    pub newer: bool,
}

/// What a record says that completeness rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// Nothing.
    Nothing,
    /// The daily head of a facility.
    Head(CodeText, String),
    /// The key of records was destroyed.
    Destroyed(Box<Destroyed>),
    /// The trail of a facility (`None`: of the whole relay) was read; and whether that was as JSON Lines, all there was up to this
    /// record.
    Read(Option<CodeText>, bool),
}

/// What was erased with a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destroyed {
    /// Position of the first record under the key.
    pub first: u64,
    /// Of the last; records of the other class may lie between.
    pub last: u64,
    /// How many there were.
    pub records: u64,
    /// What each facility lost; of a facility's export, that facility alone.
    pub erased: Vec<(CodeText, Erased)>,
}

/// Why a body does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotARecord {
    /// It is no canonical JSON, or lacks what its kind has.
    #[error("not a trail record")]
    Malformed,
    /// Its numbers are not for those it concerns.
    #[error("numbered for others than it concerns")]
    Misnumbered,
}

impl Facts {
    /// Reads a body.
    ///
    /// # Errors
    /// [`NotARecord`].
    pub fn read(body: &str) -> Result<Self, NotARecord> {
        match form::read(body.as_bytes()) {
            Some(read) => read,
            None => Self::whole(body),
        }
    }

    /// Of a body in no form that is read by its own.
    fn whole(body: &str) -> Result<Self, NotARecord> {
        let value: serde_json::Value = serde_json::from_str(body).map_err(|_| NotARecord::Malformed)?;
        let canonical = serde_json_canonicalizer::to_string(&value).map_err(|_| NotARecord::Malformed)?;
        if canonical != body {
            return Err(NotARecord::Malformed);
        }
        let Ok(record) = Record::parse(body) else {
            return Self::newer(&value).ok_or(NotARecord::Malformed);
        };
        let time = Time::read(record.time.as_bytes()).ok_or(NotARecord::Malformed)?;
        let written = record.encode().map_err(|_| NotARecord::Malformed)?;
        let newer = written != body;
        if newer && !serde_json::from_str(&written).is_ok_and(|written| within(&written, &value)) {
            return Err(NotARecord::Malformed);
        }
        let concerned = record.event.facilities();
        // Whom a record with members this program does not know concerns, it does not know either.
        if !newer && !record.facility_seq.keys().eq(&concerned) {
            return Err(NotARecord::Misnumbered);
        }
        let numbers = record.facility_seq.iter();
        Ok(Self {
            time,
            numbers: numbers.map(|(code, number)| (CodeText::from(code), *number)).collect(),
            said: Said::of(&record.event),
            newer,
        })
    }

    /// Of a record of a kind that came later.
    fn newer(value: &serde_json::Value) -> Option<Self> {
        let kind = value.get("kind")?.as_str()?;
        let known = Kind::named(kind).is_some() || value.get("v")?.as_u64()? != 1;
        let numbers = value.get("facility_seq")?.as_object()?.iter();
        let numbers = numbers.map(|(code, number)| Some((CodeText::read(code.as_bytes())?, number.as_u64()?)));
        let newer = Self {
            time: Time::read(value.get("time")?.as_str()?.as_bytes())?,
            numbers: numbers.collect::<Option<_>>()?,
            said: Said::Nothing,
            newer: true,
        };
        (!known).then_some(newer)
    }

    /// Leaves out what is of other facilities; `None` if it does not concern this one.
    #[must_use]
    pub fn of(mut self, facility: &FacilityCode) -> Option<Self> {
        let facility = CodeText::from(facility);
        self.numbers.retain(|(code, _)| *code == facility);
        if let Said::Destroyed(destroyed) = &mut self.said {
            destroyed.erased.retain(|(code, _)| *code == facility);
        }
        (!self.numbers.is_empty()).then_some(self)
    }
}

/// Whether a body has all a record of its kind has, and more only in members.
fn within(written: &serde_json::Value, body: &serde_json::Value) -> bool {
    use serde_json::Value;
    match (written, body) {
        (Value::Object(written), Value::Object(body)) => written
            .iter()
            .all(|(name, value)| body.get(name).is_some_and(|body| within(value, body))),
        (Value::Array(written), Value::Array(body)) => {
            written.len() == body.len() && written.iter().zip(body).all(|(written, body)| within(written, body))
        }
        (written, body) => written == body,
    }
}

impl Said {
    fn of(event: &Event) -> Self {
        match event {
            Event::Head { facility, day } => Self::Head(facility.into(), day.clone()),
            Event::KeyDestroyed {
                class: Class::Account,
                first,
                last,
                records,
                erased,
                ..
            } => Self::Destroyed(Box::new(Destroyed {
                first: *first,
                last: *last,
                records: *records,
                erased: erased.iter().map(|(code, erased)| (code.into(), *erased)).collect(),
            })),
            Event::TrailRead {
                facility,
                from,
                to,
                format,
                filter,
                ..
            } => {
                let after = |filter: &Filter| Filter {
                    after: filter.after,
                    ..Filter::default()
                };
                let all = from.is_empty()
                    && to.is_empty()
                    && filter.as_ref().is_none_or(|filter| *filter == after(filter))
                    && format.split('+').any(|form| form == "jsonl");
                Self::Read(facility.as_ref().map(CodeText::from), all)
            }
            // What stands for ever has no key that could be destroyed.
            _ => Self::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::envelope::Category;
    use crate::trail::receipt::tests::accepted;
    use crate::trail::{Access, Actor, Record};
    use crate::wire::{Assurance, Purpose};

    fn code(text: &str) -> FacilityCode {
        text.parse().unwrap()
    }

    fn body(event: Event) -> String {
        let facility_seq = event.facilities().into_iter().zip(7..).collect();
        let actor = Actor {
            facility: Some(code("1320000002")),
            device: Some("desk-1".parse().unwrap()),
            person_id: Some("staff".parse().unwrap()),
            person_name: Some("TEST 一郎".into()),
            assurance: Some(Assurance::AssertedByDevice),
            address: Some("192.0.2.17".into()),
        };
        let record = Record {
            v: 1,
            time: "2026-11-22T01:02:03.004Z".into(),
            facility_seq,
            actor,
            event,
        };
        record.encode().unwrap()
    }

    fn access() -> Access {
        Access {
            submission: accepted().submission,
            sender: code("1310000001"),
            recipient: code("x-b"),
            patient: "12345".into(),
            purpose: Purpose::View,
            scope: vec!["letter/letter.pdf".into(), "*".into()],
            categories: vec![Category::Letter, Category::ImageReport],
        }
    }

    fn common() -> (SubmissionFields, Vec<Event>) {
        let submission = accepted();
        let fields = SubmissionFields {
            submission: submission.submission.clone(),
            sender: submission.sender.facility.clone(),
            recipients: vec![code("1320000002"), code("x-b")],
        };
        let destroyed = Event::KeyDestroyed {
            class: Class::Account,
            month: "2021-11".into(),
            first: 3,
            last: 9,
            records: 5,
            erased: BTreeMap::from([(
                code("x-b"),
                Erased {
                    records: 4,
                    first: 2,
                    last: 6,
                },
            )]),
        };
        let read = |facility: Option<&str>, concerned: &[&str], format: &str, filter| Event::TrailRead {
            facility: facility.map(code),
            from: String::new(),
            to: String::new(),
            format: format.into(),
            filter,
            concerned: concerned.iter().map(|text| code(text)).collect(),
        };
        let after = Filter {
            after: Some(7),
            ..Filter::default()
        };
        let (sender, recipients) = (fields.sender.clone(), fields.recipients.clone());
        let id = fields.submission.clone();
        let events = vec![
            Event::Accepted(Box::new(accepted())),
            Event::Pending {
                submission: Box::new(accepted()),
                waiting_for: "a CRL".into(),
                deadline: "2026-11-25T01:00:00Z".into(),
            },
            Event::Viewed(access()),
            Event::Delivered(Access {
                purpose: Purpose::Import,
                categories: Vec::new(),
                ..access()
            }),
            Event::Acknowledged {
                submission: id.clone(),
                sender: sender.clone(),
                recipient: code("x-b"),
                patient: "12345".into(),
            },
            Event::ErasureAnnounced {
                submission: id.clone(),
                sender: sender.clone(),
                recipients: recipients.clone(),
                patient: "12345".into(),
                erase_after: "2026-12-25T01:00:00Z".into(),
            },
            Event::ContainerErased {
                submission: id.clone(),
                sender: sender.clone(),
                recipients: recipients.clone(),
                patient: "12345".into(),
                container_sha256: "00".into(),
            },
            Event::ArchiveMade {
                submission: id.clone(),
                sender,
                recipients,
                patient: "12\"345".into(),
                container_sha256: "00".into(),
                archive_sha256: "01".into(),
                stamps: 1,
                stamped: "2026-11-25T01:00:00Z".into(),
                stands_until: "2036-11-25T01:00:00Z".into(),
            },
            Event::Refused {
                facility: code("x-b"),
                submission: None,
                code: "envelope_invalid".into(),
                sub_indication: None,
                container_sha256: None,
                report_sha256: None,
            },
            Event::FacilityAdded {
                facility: code("x-b"),
                name: "TEST\u{1}医院".into(),
            },
            Event::Head {
                facility: code("x-b"),
                day: "2026-11-21".into(),
            },
            destroyed,
            read(Some("x-b"), &[], "jsonl+csv", Some(after)),
            read(None, &["1310000001", "x-b"], "jsonl", None),
            read(Some("x-b"), &[], "csv", None),
            Event::CheckpointStamped {
                size: 7,
                root: "AA==".into(),
                checkpoint_sha256: "00".into(),
                token_sha256: "00".into(),
                gen_time: "2026-11-25T01:00:00Z".into(),
            },
        ];
        (fields, events)
    }

    struct SubmissionFields {
        submission: crate::wire::SubmissionId,
        sender: FacilityCode,
        recipients: Vec<FacilityCode>,
    }

    #[test]
    fn both_ways_of_reading_say_the_same() {
        let mut by_form = 0;
        for event in common().1 {
            let text = body(event.clone());
            let whole = Facts::whole(&text).unwrap();
            let numbers: Vec<_> = event.facilities().iter().map(CodeText::from).zip(7..).collect();
            assert_eq!((&whole.numbers, whole.newer), (&numbers, false), "{text}");
            assert_eq!(whole.time.to_string(), "2026-11-22T01:02:03.004Z");
            assert_eq!(Facts::read(&text).as_ref(), Ok(&whole), "{text}");
            let Some(read) = form::read(text.as_bytes()) else {
                continue;
            };
            by_form += 1;
            assert_eq!(read.as_ref(), Ok(&whole), "{text}");
        }
        assert!(by_form >= 7, "what most records are is read by its form");
    }

    #[test]
    fn what_is_no_record_or_numbered_for_others_is_found_either_way() {
        for event in common().1 {
            let text = body(event);
            // Not canonical, another version, members too few, texts that are none.
            for (from, to) in [
                ("{\"actor\"", "{ \"actor\""),
                (",\"v\":1", ",\"v\":2"),
                ("{\"actor\"", "\n{\"actor\""),
                (",\"v\":1", ",\"v\":1.0"),
                ("\"time\":\"2026-11-22T", "\"time\":\"2026-11-22 "),
                ("\"device\":\"desk-1\",", ""),
                ("\"kind\":", "\"kind\":\"Viewed\",\"kind\":"),
            ] {
                let wrong = text.replacen(from, to, 1);
                assert_ne!(wrong, text, "{from}");
                assert_eq!(Facts::read(&wrong), Err(NotARecord::Malformed), "{wrong}");
            }
            for cut in [1, text.len() / 2, text.len() - 1] {
                let cut = text.get(..cut).unwrap_or_default();
                assert_eq!(Facts::read(cut), Err(NotARecord::Malformed), "{cut}");
            }
            // One whom it concerns is left out; one whom it does not concern is put in.
            let numbers = Facts::read(&text).unwrap().numbers;
            let seq = |numbers: &[(CodeText, u64)]| {
                let numbers: Vec<_> = numbers.iter().map(|(code, n)| format!("\"{code:?}\":{n}")).collect();
                format!("\"facility_seq\":{{{}}}", numbers.join(","))
            };
            let right = seq(&numbers);
            assert!(text.contains(&right));
            let mut others = numbers.clone();
            others.push((CodeText::from(&code("x-zzz")), 4));
            let mut wrongs = vec![seq(&others)];
            if let Some((_, rest)) = numbers.split_first() {
                wrongs.push(seq(rest));
            }
            for wrong in wrongs {
                let wrong = text.replacen(&right, &wrong, 1);
                assert_eq!(Facts::read(&wrong), Err(NotARecord::Misnumbered), "{wrong}");
            }
        }
    }

    #[test]
    fn what_came_later_is_told_and_not_taken_for_wrong() {
        let looked = body(Event::Viewed(access()));
        let kind = Facts::read(&looked.replace("\"Viewed\"", "\"Zoomed\"")).unwrap();
        assert!(kind.newer && kind.numbers.len() == 2);
        let member = Facts::read(&looked.replace(",\"v\":1}", ",\"v\":1,\"zoom\":2}")).unwrap();
        assert!(member.newer && member.numbers.len() == 2);
        assert_eq!(
            Facts::read(&looked.replace("\"Viewed\"", "\"Head\"")),
            Err(NotARecord::Malformed),
            "a kind that is known has its members"
        );
    }

    #[test]
    fn what_completeness_rests_on_is_read() {
        let said: Vec<Said> = common()
            .1
            .into_iter()
            .map(|event| Facts::read(&body(event)).unwrap().said)
            .collect();
        let b = CodeText::from(&code("x-b"));
        assert!(said.contains(&Said::Head(b, "2026-11-21".into())));
        for read in [
            Said::Read(Some(b), true),
            Said::Read(None, true),
            Said::Read(Some(b), false),
        ] {
            assert_eq!(said.iter().filter(|said| **said == read).count(), 1, "{read:?}");
        }
        let destroyed = said.iter().find_map(|said| match said {
            Said::Destroyed(destroyed) => Some(destroyed),
            _ => None,
        });
        let destroyed = destroyed.unwrap();
        assert_eq!((destroyed.first, destroyed.last, destroyed.records), (3, 9, 5));
        assert_eq!(destroyed.erased[0].1.records, 4);
        let looked = Facts::read(&body(Event::Viewed(access()))).unwrap();
        assert_eq!(looked.clone().of(&code("x-c")), None);
        assert_eq!(looked.of(&code("x-b")).unwrap().numbers, [(b, 8)]);
    }

    #[test]
    fn days_are_counted() {
        for (text, expected) in [
            ("1970-01-01", Some(2_440_588)),
            ("2000-03-01", Some(2_440_588 + 11_017)),
            ("2026-11-22", Some(2_440_588 + 20_779)),
            ("2024-02-29", Some(2_440_588 + 19_782)),
            ("2026-02-29", None),
            ("2026-13-01", None),
            ("+2026-11-22", None),
            ("soon", None),
        ] {
            assert_eq!(day(text), expected, "{text}");
        }
        let japan = |text: &str| Time::read(text.as_bytes()).and_then(Time::day_in_japan);
        assert_eq!(japan("2026-11-21T14:59:59.999Z"), day("2026-11-21"));
        assert_eq!(japan("2026-11-21T15:00:00.000Z"), day("2026-11-22"));
        assert_eq!(japan("2026-13-21T15:00:00.000Z"), None);
        assert!(Time::read(b"2026-11-21T15:00:00.000Z") > Time::read(b"2026-11-21T14:59:59.999Z"));
    }
}
