//! The figures of an account, counted from the same records as its rows.

use std::collections::BTreeMap;

use formats::trail::{Checkpoint, Erased};
use formats::wire::FacilityCode;

use super::Query;
use super::form::OfLog;
use super::row::Row;

/// So many partners, and so many persons, have lines of their own.
const LINES: usize = 500;

/// Of what the account is.
pub(super) struct About {
    /// Code and name; `None`: all of the relay.
    pub(super) facility: Option<(FacilityCode, String)>,
    /// RFC 3339 UTC or empty.
    pub(super) from: String,
    /// RFC 3339 UTC or empty.
    pub(super) to: String,
    /// To what it is narrowed, in words; empty: all of the period.
    pub(super) extract: Vec<(Narrowed, String)>,
    /// Position of the record that says it was read.
    pub(super) reading: u64,
    /// Name of the log.
    pub(super) log: String,
    /// Root over everything up to the record of the reading, hex, in groups as people compare it.
    pub(super) root: String,
}

/// What an extract is narrowed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Narrowed {
    Patient,
    Person,
    Submission,
    After,
}

impl About {
    pub(super) fn new(query: &Query, name: Option<String>, (from, to): (String, String), of_log: &OfLog) -> Self {
        let narrowed = [
            (Narrowed::Patient, query.patient.clone()),
            (Narrowed::Person, query.person.clone()),
            (Narrowed::Submission, query.submission.as_ref().map(ToString::to_string)),
            (Narrowed::After, query.after.map(|after| after.to_string())),
        ];
        Self {
            facility: query.facility.clone().map(|code| (code, name.unwrap_or_default())),
            from,
            to,
            extract: narrowed
                .into_iter()
                .filter_map(|(by, value)| Some((by, value?)))
                .collect(),
            reading: of_log.reading,
            log: of_log.relay.clone(),
            root: Checkpoint::in_groups(&of_log.root),
        }
    }
}

/// First and last of something.
#[derive(Default, Clone)]
pub(super) struct Span {
    pub(super) first: Option<(u64, String)>,
    pub(super) last: Option<(u64, String)>,
}

/// How often each billing category was among what was sent, received, looked at.
#[derive(Default, Clone, Copy)]
pub(super) struct Exchanged {
    pub(super) sent: u64,
    pub(super) received: u64,
    pub(super) looked: u64,
}

/// What one person did.
#[derive(Default, Clone, Copy)]
pub(super) struct Acts {
    pub(super) sent: u64,
    pub(super) viewed: u64,
    pub(super) imported: u64,
}

/// The two questions of the facility standard (施設基準): how many records answer them in full.
#[derive(Default, Clone, Copy)]
pub(super) struct Criteria {
    /// What was provided.
    pub(super) provided: u64,
    /// Of these, with scope and time.
    pub(super) provided_recorded: u64,
    /// Looks.
    pub(super) looks: u64,
    /// Of these, with what was looked at and the person's name.
    pub(super) looks_recorded: u64,
}

/// The figures.
pub(super) struct Summary {
    pub(super) about: About,
    pub(super) records: u64,
    pub(super) erased: u64,
    pub(super) span: Span,
    /// First and last of the facility's own numbers, and how many between are not in the account.
    pub(super) numbers: Option<(u64, u64)>,
    numbered: u64,
    /// What the facility lost by erasure, as the records of it say.
    lost: Vec<Erased>,
    pub(super) kinds: BTreeMap<String, u64>,
    pub(super) categories: BTreeMap<String, Exchanged>,
    /// By the partner's code; those beyond [`LINES`] together under the empty code.
    pub(super) partners: BTreeMap<String, Exchanged>,
    /// By facility, member id and name; those beyond [`LINES`] together under empty ones.
    pub(super) persons: BTreeMap<(String, String, String), Acts>,
    pub(super) criteria: Criteria,
}

impl Summary {
    pub(super) fn new(about: About) -> Self {
        Self {
            about,
            records: 0,
            erased: 0,
            span: Span::default(),
            numbers: None,
            numbered: 0,
            lost: Vec::new(),
            kinds: BTreeMap::new(),
            categories: BTreeMap::new(),
            partners: BTreeMap::new(),
            persons: BTreeMap::new(),
            criteria: Criteria::default(),
        }
    }

    /// A record that is erased.
    pub(super) fn erased(&mut self) {
        self.erased += 1;
    }

    /// How many of the facility's numbers are not in the account, and how many of these are erased. Counted from 1, or, where the
    /// account begins later, from its first.
    pub(super) fn missing(&self) -> (u64, u64) {
        let Some((first, last)) = self.numbers else {
            return (0, 0);
        };
        let begins_later = !self.about.from.is_empty() || !self.about.extract.is_empty();
        let first = if begins_later { first } else { 1 };
        let gaps = (last - first + 1).saturating_sub(self.numbered);
        let within = self.lost.iter().filter(|lost| lost.last >= first && lost.first <= last);
        let erased = within.map(|lost| lost.records).sum::<u64>().min(gaps);
        (gaps - erased, erased)
    }

    /// A record as its row.
    pub(super) fn add(&mut self, row: &Row<'_>) {
        let entry = row.entry;
        let mark = (row.position, entry.time.as_str().to_owned());
        self.records += 1;
        self.span.first.get_or_insert_with(|| mark.clone());
        self.span.last = Some(mark);
        // The reading that closes an account lies behind its period: records between are none of it.
        let behind = row.position == self.about.reading && !self.about.to.is_empty();
        if let Some(number) = row.sequence.filter(|_| self.about.facility.is_some() && !behind) {
            self.numbered += 1;
            let (first, _) = self.numbers.unwrap_or((number, number));
            self.numbers = Some((first.min(number), number));
        }
        if let Some(lost) = self.of().and_then(|of| entry.erased(of)) {
            self.lost.push(lost);
        }
        *self.kinds.entry(entry.kind.as_str().to_owned()).or_default() += 1;
        match entry.kind.as_str() {
            "Accepted" => self.accepted(row),
            "Delivered" | "Viewed" => self.looked(row),
            _ => {}
        }
    }

    fn accepted(&mut self, row: &Row<'_>) {
        let entry = row.entry;
        let sent = self.of().is_none_or(|of| of == entry.sender.0.as_str());
        let count = |exchanged: &mut Exchanged| {
            *(if sent {
                &mut exchanged.sent
            } else {
                &mut exchanged.received
            }) += 1;
        };
        row.categories
            .each(|category| count(self.categories.entry(category.to_owned()).or_default()));
        let mut partners = Vec::new();
        row.partner.each(|partner| partners.push(partner.to_owned()));
        for partner in partners {
            count(line(&mut self.partners, partner));
        }
        if sent {
            self.criteria.provided += 1;
            let recorded = !row.scope.text().is_empty() && !entry.time.is_empty();
            self.criteria.provided_recorded += u64::from(recorded);
            self.person(row, |acts| acts.sent += 1);
        }
    }

    fn looked(&mut self, row: &Row<'_>) {
        let entry = row.entry;
        row.categories
            .each(|category| self.categories.entry(category.to_owned()).or_default().looked += 1);
        line(&mut self.partners, row.partner.text()).looked += 1;
        let viewed = entry.kind.as_str() == "Viewed";
        self.criteria.looks += 1;
        let recorded = !row.scope.text().is_empty() && !entry.actor.person_name.is_empty();
        self.criteria.looks_recorded += u64::from(recorded);
        self.person(row, |acts| {
            *(if viewed { &mut acts.viewed } else { &mut acts.imported }) += 1
        });
    }

    fn person(&mut self, row: &Row<'_>, count: impl FnOnce(&mut Acts)) {
        let actor = &row.entry.actor;
        let key = (
            actor.facility.as_str().to_owned(),
            actor.person_id.as_str().to_owned(),
            actor.person_name.as_str().to_owned(),
        );
        count(line(&mut self.persons, key));
    }

    fn of(&self) -> Option<&str> {
        self.about.facility.as_ref().map(|(code, _)| code.as_str())
    }
}

/// The line of a key: its own, or, where there are too many, the one of all others.
fn line<K: Ord + Default, V: Default>(lines: &mut BTreeMap<K, V>, key: K) -> &mut V {
    let key = if lines.len() < LINES || lines.contains_key(&key) {
        key
    } else {
        K::default()
    };
    lines.entry(key).or_default()
}
