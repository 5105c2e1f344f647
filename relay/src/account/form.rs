//! The forms of an account, and the writer that turns pages of records into one of them.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::entry::Entry;
use super::row::Row;
use super::summary::{About, Summary};
use super::{Query, csv, dicom, fhir, pdf};
use crate::store::{StoreError, StoredRecord};

/// In which form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A table, RFC 4180.
    #[default]
    Csv,
    /// One JSON object a line: position, body as committed, salt; for an erased record its commitment; and what proves them.
    Jsonl,
    /// One FHIR R4 `AuditEvent` a line (BALP).
    Fhir,
    /// One DICOM PS3.15 A.5 `AuditMessage` a line.
    Dicom,
    /// One page to print: figures of the same records.
    Pdf,
}

/// In which characters a CSV is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Encoding {
    /// UTF-8 with byte order mark.
    #[default]
    #[serde(rename = "utf-8")]
    Utf8,
    /// Windows-31J.
    #[serde(rename = "shift_jis")]
    ShiftJis,
}

impl Format {
    /// As in `?format=`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
            Self::Fhir => "fhir",
            Self::Dicom => "dicom",
            Self::Pdf => "pdf",
        }
    }

    /// As in the trail.
    pub(super) fn in_trail(self, encoding: Encoding) -> &'static str {
        match (self, encoding) {
            (Self::Csv, Encoding::ShiftJis) => "csv shift_jis",
            _ => self.as_str(),
        }
    }

    /// Media type.
    #[must_use]
    pub fn media_type(self, encoding: Encoding) -> &'static str {
        match (self, encoding) {
            (Self::Csv, Encoding::Utf8) => "text/csv; charset=utf-8",
            (Self::Csv, Encoding::ShiftJis) => "text/csv; charset=Shift_JIS",
            (Self::Jsonl, _) => "application/jsonl",
            (Self::Fhir, _) => "application/fhir+ndjson",
            // Documents one after the other: no XML document together.
            (Self::Dicom, _) => "text/plain; charset=utf-8",
            (Self::Pdf, _) => "application/pdf",
        }
    }
}

impl FromStr for Format {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "csv" => Ok(Self::Csv),
            "jsonl" => Ok(Self::Jsonl),
            "fhir" => Ok(Self::Fhir),
            "dicom" => Ok(Self::Dicom),
            "pdf" => Ok(Self::Pdf),
            _ => Err("the format must be csv, jsonl, fhir, dicom or pdf"),
        }
    }
}

impl FromStr for Encoding {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.to_ascii_lowercase().as_str() {
            "utf-8" => Ok(Self::Utf8),
            "shift_jis" => Ok(Self::ShiftJis),
            _ => Err("the encoding must be utf-8 or shift_jis"),
        }
    }
}

/// Turns pages of records into a form.
pub(super) struct Writer {
    query: Query,
    format: Format,
    encoding: Encoding,
    of_log: OfLog,
    /// The root, hex.
    root: String,
    summary: Summary,
}

/// What an account says of the log it is from.
pub(super) struct OfLog {
    /// Its name, which stands for the relay.
    pub(super) relay: String,
    /// Position of the record that says the account was read.
    pub(super) reading: u64,
    /// Root over everything up to that record, itself included.
    pub(super) root: [u8; 32],
}

impl Writer {
    pub(super) fn new(
        query: Query,
        (format, encoding): (Format, Encoding),
        (from, to): (String, String),
        of_log: OfLog,
        name: Option<String>,
    ) -> Self {
        let about = About::new(&query, name, (from, to), &of_log);
        Self {
            query,
            format,
            encoding,
            root: hex::encode(of_log.root),
            of_log,
            summary: Summary::new(about),
        }
    }

    pub(super) fn query(&self) -> &Query {
        &self.query
    }

    /// What stands before the records. What goes on from an earlier export is appended to it: nothing.
    pub(super) fn head(&mut self) -> Vec<u8> {
        match (self.format, self.encoding) {
            (Format::Csv, _) if self.query.after.is_some() => Vec::new(),
            (Format::Csv, Encoding::Utf8) => [csv::MARK, csv::HEAD].concat().into_bytes(),
            (Format::Csv, Encoding::ShiftJis) => csv::HEAD.into(),
            _ => Vec::new(),
        }
    }

    /// A page of records.
    pub(super) fn page(&mut self, page: &[StoredRecord]) -> Result<Vec<u8>, StoreError> {
        let mut out = Vec::with_capacity(page.len() * 512);
        let mut entry = Entry::default();
        for stored in page {
            self.record(&mut out, stored, &mut entry)?;
        }
        if (self.format, self.encoding) == (Format::Csv, Encoding::ShiftJis) {
            out = csv::shift_jis(&out);
        }
        Ok(out)
    }

    /// Whether a record is among what was asked for. What is erased cannot be told to be of a patient or person.
    pub(super) fn wants(&self, stored: &StoredRecord) -> Result<bool, StoreError> {
        if !self.query.is_extract() || stored.position == self.of_log.reading {
            return Ok(true);
        }
        let Some(content) = &stored.content else {
            return Ok(false);
        };
        let entry = Entry::read(&content.body).ok_or_else(|| not_a_record(stored))?;
        Ok(self.wanted(&entry))
    }

    /// One record, read into `entry`.
    fn record<'a>(
        &mut self,
        out: &mut Vec<u8>,
        stored: &'a StoredRecord,
        entry: &mut Entry<'a>,
    ) -> Result<(), StoreError> {
        let Some(content) = &stored.content else {
            // What is erased cannot be told to be of a patient or person.
            self.summary.erased();
            if self.format == Format::Csv && !self.query.is_extract() {
                csv::push_erased(out, stored.position);
            }
            return Ok(());
        };
        entry.take(&content.body).ok_or_else(|| not_a_record(stored))?;
        let closes = stored.position == self.of_log.reading;
        if !closes && !self.wanted(entry) {
            return Ok(());
        }
        let mut row = Row::of(
            stored.position,
            entry,
            self.query.facility.as_ref().map(|code| code.as_str()),
        );
        if closes {
            // Where it can be looked up: the log up to here, as the printed page and `trail verify` name it.
            row.sha256 = &self.root;
        }
        match self.format {
            Format::Csv => csv::push(out, &row),
            // Written with its proof, by `proven`.
            Format::Jsonl => {}
            Format::Fhir => fhir::push(out, &row, &self.of_log.relay),
            Format::Dicom => dicom::push(out, &row, &self.of_log.relay),
            Format::Pdf => self.summary.add(&row),
        }
        Ok(())
    }

    fn wanted(&self, entry: &Entry<'_>) -> bool {
        let query = &self.query;
        let is = |asked: Option<&str>, found: &str| asked.is_none_or(|asked| asked == found);
        let actor = &entry.actor;
        // Ids of persons are a facility's own: those of its partners may be the same.
        let own = query
            .facility
            .as_ref()
            .is_none_or(|of| of.as_str() == actor.facility.as_str());
        let person = query
            .person
            .as_ref()
            .is_none_or(|person| (own && *person == actor.person_id.as_str()) || *person == actor.person_name.as_str());
        person
            && is(query.patient.as_deref(), entry.patient.as_str())
            && is(
                query.submission.as_ref().map(|id| id.as_str()),
                entry.submission.as_str(),
            )
    }

    /// What stands behind the records.
    pub(super) fn end(&mut self) -> Result<Vec<u8>, StoreError> {
        Ok(match self.format {
            Format::Pdf => pdf::write(&self.summary),
            _ => Vec::new(),
        })
    }
}

fn not_a_record(stored: &StoredRecord) -> StoreError {
    StoreError::Broken(format!("record {}: not a trail record of version 1", stored.position))
}
