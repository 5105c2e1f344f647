//! The little of a record's body that numbers and completeness rest on, read without building the record: its time, the number it
//! bears for each facility, and what it says of days, erasures and readings.
//!
//! A body counts as a record only if it is canonical JSON (RFC 8785), has the members of its kind, and is numbered for those it
//! concerns, no more and no less. The kinds most records are of are read by [`form`]; every other body is read whole.

mod form;
mod time;

use std::fmt;

use super::{Class, Erased, Event, Filter, Kind, MAX_BODY, Record};
use crate::wire::{FacilityCode, facility_code};
pub(super) use time::day;
pub use time::{Month, Time};

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
    /// The month its records are of.
    pub month: Month,
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
        // Both ways refuse it, and neither holds it twice before.
        if body.len() > MAX_BODY {
            return Err(NotARecord::Malformed);
        }
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
            said: Said::of(&record.event).ok_or(NotARecord::Malformed)?,
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
    /// `None`: a month that is none.
    fn of(event: &Event) -> Option<Self> {
        Some(match event {
            Event::Head { facility, day } => Self::Head(facility.into(), day.clone()),
            Event::KeyDestroyed {
                class: Class::Account,
                month,
                first,
                last,
                records,
                erased,
            } => Self::Destroyed(Box::new(Destroyed {
                month: Month::read(month)?,
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
        })
    }
}

#[cfg(test)]
mod tests;
