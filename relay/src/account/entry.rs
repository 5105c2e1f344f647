//! A record's body as the accounts read it: one pass, nothing copied that need not be, every kind of record in one shape.
//!
//! It reads what it knows and lets the rest be: a kind of record that is new still has its row, with position, time, kind,
//! facilities, person and address.

mod scan;

use std::borrow::Cow;
use std::fmt;

use formats::trail::Erased;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// What a body says. What is absent or null is empty.
#[derive(Default, Deserialize)]
#[cfg_attr(test, derive(PartialEq))]
#[serde(default)]
pub(super) struct Entry<'a> {
    v: u32,
    #[serde(borrow)]
    pub(super) time: Text<'a>,
    pub(super) kind: Text<'a>,
    pub(super) facility_seq: Sequences<'a>,
    pub(super) actor: Who<'a>,
    /// The facility of what concerns one alone.
    pub(super) facility: Text<'a>,
    pub(super) submission: Text<'a>,
    pub(super) sender: Party<'a>,
    pub(super) recipients: Vec<Party<'a>>,
    pub(super) recipient: Text<'a>,
    pub(super) patient: Text<'a>,
    pub(super) documents: Vec<Document<'a>>,
    pub(super) scope: Vec<Text<'a>>,
    pub(super) categories: Vec<Text<'a>>,
    pub(super) container_sha256: Text<'a>,
    pub(super) archive_sha256: Text<'a>,
    pub(super) certificate_sha256: Text<'a>,
    pub(super) digest: Text<'a>,
    pub(super) code: Text<'a>,
    pub(super) sub_indication: Text<'a>,
    pub(super) revision: Revision<'a>,
    pub(super) name: Text<'a>,
    pub(super) member: Text<'a>,
    pub(super) device: Text<'a>,
    pub(super) expires: Text<'a>,
    pub(super) waiting_for: Text<'a>,
    pub(super) stamps: Text<'a>,
    pub(super) stands_until: Text<'a>,
    pub(super) erase_after: Text<'a>,
    pub(super) from: Text<'a>,
    pub(super) to: Text<'a>,
    pub(super) format: Text<'a>,
    pub(super) filter: Filter<'a>,
    pub(super) reason: Text<'a>,
    pub(super) month: Text<'a>,
    erased: serde_json::Value,
    pub(super) day: Text<'a>,
    pub(super) size: Text<'a>,
    pub(super) token_sha256: Text<'a>,
    pub(super) gen_time: Text<'a>,
}

/// Who did it.
#[derive(Default, Deserialize)]
#[cfg_attr(test, derive(PartialEq))]
#[serde(default)]
pub(super) struct Who<'a> {
    #[serde(borrow)]
    pub(super) facility: Text<'a>,
    pub(super) device: Text<'a>,
    pub(super) person_id: Text<'a>,
    pub(super) person_name: Text<'a>,
    pub(super) assurance: Text<'a>,
    pub(super) address: Text<'a>,
}

/// A document of a submission.
#[derive(Default, Deserialize)]
#[cfg_attr(test, derive(PartialEq))]
#[serde(default)]
pub(super) struct Document<'a> {
    #[serde(borrow)]
    pub(super) path: Text<'a>,
    pub(super) category: Text<'a>,
}

/// A later verdict.
#[derive(Default, Deserialize)]
#[cfg_attr(test, derive(PartialEq))]
#[serde(default)]
pub(super) struct Revision<'a> {
    #[serde(borrow)]
    pub(super) indication: Text<'a>,
    pub(super) sub_indication: Text<'a>,
    pub(super) because: Text<'a>,
    pub(super) report_sha256: Text<'a>,
}

/// What a reading of the trail was narrowed to.
#[derive(Default, Deserialize)]
#[cfg_attr(test, derive(PartialEq))]
#[serde(default)]
pub(super) struct Filter<'a> {
    #[serde(borrow)]
    pub(super) patient: Text<'a>,
    pub(super) person: Text<'a>,
    pub(super) submission: Text<'a>,
    pub(super) after: Text<'a>,
    pub(super) position: Text<'a>,
    pub(super) narrowed: Text<'a>,
}

impl<'a> Entry<'a> {
    /// Reads a body; `None` if it is none of version 1.
    pub(super) fn read(body: &'a str) -> Option<Self> {
        let mut entry = Self::default();
        entry.take(body)?;
        Some(entry)
    }

    /// Reads a body in the place of the one it was, and in its memory; `None` if it is none of version 1.
    pub(super) fn take(&mut self, body: &'a str) -> Option<()> {
        self.clear();
        if scan::read(body, self).is_none() {
            *self = serde_json::from_str(body).ok()?;
        }
        (self.v == 1).then_some(())
    }

    fn clear(&mut self) {
        *self = Self {
            facility_seq: Sequences(emptied(&mut self.facility_seq.0)),
            recipients: emptied(&mut self.recipients),
            documents: emptied(&mut self.documents),
            scope: emptied(&mut self.scope),
            categories: emptied(&mut self.categories),
            ..Self::default()
        };
    }

    /// Whose record it is first of all: who sent, who looked, who did it.
    pub(super) fn owner(&self) -> &str {
        [&self.facility, &self.recipient, &self.sender.0]
            .into_iter()
            .map(|code| code.as_str())
            .find(|code| !code.is_empty())
            .unwrap_or_default()
    }

    /// What a facility has lost of an erased month.
    pub(super) fn erased(&self, facility: &str) -> Option<Erased> {
        Erased::deserialize(self.erased.get(facility)?).ok()
    }

    /// The number it bears for a facility.
    pub(super) fn sequence(&self, facility: &str) -> Option<u64> {
        let found = self.facility_seq.0.iter().find(|(code, _)| code.as_str() == facility);
        found.map(|(_, number)| *number)
    }
}

fn emptied<T>(list: &mut Vec<T>) -> Vec<T> {
    let mut list = std::mem::take(list);
    list.clear();
    list
}

/// Text of the body itself where it has no escapes.
#[derive(Default, Clone, PartialEq, Eq)]
pub(super) struct Text<'a>(Cow<'a, str>);

impl Text<'_> {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text or null")
    }
    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Text(Cow::Borrowed(text)))
    }
    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Text(Cow::Owned(text.to_owned())))
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Text::default())
    }
    // A later kind of record may mean something else by the same name: it is shown, or left out, and stops no account.
    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Text(Cow::Owned(number.to_string())))
    }
    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Text(Cow::Borrowed(if value { "true" } else { "false" })))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Text::default())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Text::default())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(TextVisitor)
    }
}

/// A facility, as its code or as the party of an envelope, whose code alone counts.
#[derive(Default)]
#[cfg_attr(test, derive(PartialEq))]
pub(super) struct Party<'a>(pub(super) Text<'a>);

struct PartyVisitor;

impl<'de> Visitor<'de> for PartyVisitor {
    type Value = Party<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a facility")
    }
    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Party(Text(Cow::Borrowed(text))))
    }
    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Party(Text(Cow::Owned(text.to_owned()))))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut code = Text::default();
        while let Some(key) = map.next_key::<Text<'de>>()? {
            if key.as_str() == "facility" {
                code = map.next_value()?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Party(code))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Party<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(PartyVisitor)
    }
}

/// The number of the record for each facility it concerns.
#[derive(Default)]
#[cfg_attr(test, derive(PartialEq))]
pub(super) struct Sequences<'a>(pub(super) Vec<(Text<'a>, u64)>);

struct SequencesVisitor;

impl<'de> Visitor<'de> for SequencesVisitor {
    type Value = Sequences<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("numbers by facility")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = Vec::new();
        while let Some(entry) = map.next_entry()? {
            found.push(entry);
        }
        Ok(Sequences(found))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Sequences<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(SequencesVisitor)
    }
}
