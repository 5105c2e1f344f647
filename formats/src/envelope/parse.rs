//! From bytes to an [`Envelope`]: I-JSON first, then field by field, so that an error can name the field.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserialize;
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime};

use super::{
    Category, Document, DocumentKind, ENVELOPE_PATH, Envelope, EnvelopeError, MAX_ENVELOPE_SIZE, Party, Patient, Sex,
};
use crate::asice::names;
use crate::wire::{FacilityCode, SubmissionId};

pub(super) fn envelope(bytes: &[u8]) -> Result<Envelope, EnvelopeError> {
    if bytes.len() > MAX_ENVELOPE_SIZE {
        return Err(EnvelopeError::TooLarge);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| EnvelopeError::NotUtf8)?;
    if text.starts_with('\u{feff}') {
        return Err(EnvelopeError::NotUtf8);
    }
    let json: Json = serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        if error.is_data() {
            EnvelopeError::DuplicateField { line, column }
        } else {
            EnvelopeError::NotJson { line, column }
        }
    })?;

    let mut fields = Fields::open(json, "")?;
    let version = fields.take("version")?;
    if !matches!(version, Json::Number(Some(1))) {
        return Err(fields.error("version", "is not 1"));
    }
    let envelope = Envelope {
        version: 1,
        id: fields.parsed("id", "is not a UUIDv7 in lower case")?,
        created: fields.text("created")?,
        sender: party(fields.take("sender")?, "sender")?,
        recipients: fields.list("recipients", party)?,
        patient: patient(fields.take("patient")?)?,
        documents: fields.list("documents", document)?,
        in_reply_to: match fields.optional_text("in_reply_to")? {
            Some(id) => Some(
                id.parse::<SubmissionId>()
                    .map_err(|_| fields.error("in_reply_to", "is neither null nor a UUIDv7 in lower case"))?,
            ),
            None => None,
        },
    };
    fields.close()?;
    if OffsetDateTime::parse(&envelope.created, &Rfc3339).is_err() {
        return Err(field("created", "is not an RFC 3339 date and time"));
    }
    let mut addresses = BTreeSet::new();
    for (index, party) in envelope.recipients.iter().enumerate() {
        if !addresses.insert((&party.facility, &party.department, &party.person)) {
            return Err(field(format!("recipients[{index}]"), "is there twice"));
        }
    }
    Ok(envelope)
}

fn party(json: Json, name: &str) -> Result<Party, EnvelopeError> {
    let mut fields = Fields::open(json, name)?;
    let party = Party {
        facility: fields.parsed::<FacilityCode>("facility", "is neither ten digits nor x- and up to 32 of a-z0-9-")?,
        name: fields.text("name")?,
        department: fields.optional_text("department")?,
        person: fields.optional_text("person")?,
    };
    fields.close()?;
    Ok(party)
}

fn patient(json: Json) -> Result<Patient, EnvelopeError> {
    let mut fields = Fields::open(json, "patient")?;
    let patient = Patient {
        id: fields.text("id")?,
        name: fields.text("name")?,
        kana: fields.optional_text("kana")?,
        birth_date: fields.text("birth_date")?,
        sex: fields.word::<Sex>("sex", "is not M, F, O or U")?,
    };
    let shaped = patient.birth_date.len() == 10 && !patient.birth_date.starts_with(['+', '-']);
    if !shaped || Date::parse(&patient.birth_date, format_description!("[year]-[month]-[day]")).is_err() {
        return Err(fields.error("birth_date", "is not a real date YYYY-MM-DD"));
    }
    fields.close()?;
    Ok(patient)
}

fn document(json: Json, name: &str) -> Result<Document, EnvelopeError> {
    let mut fields = Fields::open(json, name)?;
    let document = Document {
        path: fields.text("path")?,
        kind: fields.word::<DocumentKind>("kind", "is not a kind of document")?,
        category: fields.word::<Category>("category", "is not a category")?,
        media_type: fields.text("media_type")?,
        title: fields.text("title")?,
    };
    let path = document.path.strip_suffix('/').unwrap_or(&document.path);
    if names::check(path).is_err() || names::is_reserved(path) || path == ENVELOPE_PATH {
        return Err(fields.error("path", "is not a path of a document inside the container"));
    }
    if !is_media_type(&document.media_type) {
        return Err(fields.error("media_type", "is not a media type"));
    }
    fields.close()?;
    Ok(document)
}

const NOT_ONE_LINE: &str = "has a control character or one that reorders text";

/// Names and titles are read on screens, in logs and in tables: none may break its line or dress it as another.
fn is_one_line(text: &str) -> bool {
    !text.contains(|c| names::is_control(c) || matches!(c, '\u{2028}' | '\u{2029}'))
}

/// RFC 6838 §4.2 names, with RFC 2045 §5.1 parameters whose values are tokens.
fn is_media_type(text: &str) -> bool {
    fn name(text: &str) -> bool {
        (1..=127).contains(&text.len())
            && text.starts_with(|first: char| first.is_ascii_alphanumeric())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
    }
    let mut parts = text.split(';');
    let essence = parts.next().and_then(|essence| essence.split_once('/'));
    essence.is_some_and(|(kind, subtype)| name(kind) && name(subtype))
        && parts.all(|parameter| {
            parameter
                .trim_matches(' ')
                .split_once('=')
                .is_some_and(|(key, value)| name(key) && name(value))
        })
}

fn field(field: impl Into<String>, problem: &'static str) -> EnvelopeError {
    EnvelopeError::Field {
        field: field.into(),
        problem,
    }
}

/// The members of one object, taken one by one.
struct Fields {
    name: String,
    members: BTreeMap<String, Json>,
}

impl Fields {
    fn open(json: Json, name: &str) -> Result<Self, EnvelopeError> {
        match json {
            Json::Object(members) => Ok(Self {
                name: name.to_owned(),
                members,
            }),
            _ if name.is_empty() => Err(field("the whole", "is not an object")),
            _ => Err(field(name, "is not an object")),
        }
    }

    fn error(&self, member: &str, problem: &'static str) -> EnvelopeError {
        if self.name.is_empty() {
            field(member, problem)
        } else {
            field(format!("{}.{member}", self.name), problem)
        }
    }

    fn take(&mut self, member: &str) -> Result<Json, EnvelopeError> {
        self.members
            .remove(member)
            .ok_or_else(|| self.error(member, "is missing"))
    }

    fn text(&mut self, member: &str) -> Result<String, EnvelopeError> {
        match self.take(member)? {
            Json::Text(text) if is_one_line(&text) => Ok(text),
            Json::Text(_) => Err(self.error(member, NOT_ONE_LINE)),
            _ => Err(self.error(member, "is not a string of characters I-JSON allows")),
        }
    }

    fn optional_text(&mut self, member: &str) -> Result<Option<String>, EnvelopeError> {
        match self.take(member)? {
            Json::Null => Ok(None),
            Json::Text(text) if is_one_line(&text) => Ok(Some(text)),
            Json::Text(_) => Err(self.error(member, NOT_ONE_LINE)),
            _ => Err(self.error(member, "is neither null nor a string of characters I-JSON allows")),
        }
    }

    fn parsed<T: std::str::FromStr>(&mut self, member: &str, problem: &'static str) -> Result<T, EnvelopeError> {
        self.text(member)?.parse().map_err(|_| self.error(member, problem))
    }

    /// A word of a closed list, read as serde reads the enum.
    fn word<T: for<'de> Deserialize<'de>>(&mut self, member: &str, problem: &'static str) -> Result<T, EnvelopeError> {
        let text = self.text(member)?;
        let word: serde::de::value::StrDeserializer<'_, serde::de::value::Error> =
            serde::de::IntoDeserializer::into_deserializer(text.as_str());
        T::deserialize(word).map_err(|_| self.error(member, problem))
    }

    fn list<T>(
        &mut self,
        member: &str,
        read: fn(Json, &str) -> Result<T, EnvelopeError>,
    ) -> Result<Vec<T>, EnvelopeError> {
        let Json::Array(items) = self.take(member)? else {
            return Err(self.error(member, "is not a list"));
        };
        if items.is_empty() {
            return Err(self.error(member, "is empty"));
        }
        items
            .into_iter()
            .enumerate()
            .map(|(index, item)| read(item, &format!("{member}[{index}]")))
            .collect()
    }

    /// Refuses what nobody took. The unknown name itself is the sender's text and not repeated.
    fn close(self) -> Result<(), EnvelopeError> {
        match (self.members.is_empty(), self.name.is_empty()) {
            (true, _) => Ok(()),
            (false, true) => Err(field("the whole", "has an unknown field")),
            (false, false) => Err(field(self.name, "has an unknown field")),
        }
    }
}

/// Any I-JSON value (RFC 7493). serde_json bounds the depth at 128; the size is bounded before.
enum Json {
    Null,
    Other,
    Number(Option<u64>),
    Text(String),
    Array(Vec<Json>),
    Object(BTreeMap<String, Json>),
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_u64<E>(self, number: u64) -> Result<Json, E> {
        Ok(Json::Number(Some(number)))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Json, E> {
        Ok(Json::Number(None))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
        Ok(Json::Number(None))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        // RFC 7493 §2.1: no noncharacters (serde_json already refuses lone surrogates).
        let noncharacter = |c: char| matches!(u32::from(c), 0xfdd0..=0xfdef) || u32::from(c) & 0xfffe == 0xfffe;
        Ok(if text.contains(noncharacter) {
            Json::Other
        } else {
            Json::Text(text.to_owned())
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element()? {
            array.push(item);
        }
        Ok(Json::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let mut object = BTreeMap::new();
        while let Some((name, value)) = members.next_entry::<String, Json>()? {
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("duplicate field"));
            }
        }
        Ok(Json::Object(object))
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
