//! The kinds most records are of, read in one pass over the body's bytes: letters, looks, acknowledgements, what happens to a
//! container, daily heads.
//!
//! A body whose texts have escapes, or that has another member than these kinds have, is left to the parser: `None`. What is read
//! here has the members of its kind, all of them, in the order of RFC 8785, each of its type, and nothing between.

use super::{CodeText, Facts, NotARecord, Said, Time};
use crate::trail::run;
use crate::wire::{small_id, submission_id};

/// What is left to read.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn is(&mut self, text: &[u8]) -> bool {
        match self.0.strip_prefix(text) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    fn must(&mut self, text: &[u8]) -> Option<()> {
        self.is(text).then_some(())
    }

    /// A text without escapes, its quotes included.
    fn text(&mut self) -> Option<&'a [u8]> {
        self.must(b"\"")?;
        self.rest_of_text()
    }

    /// The same, its first quote read.
    fn rest_of_text(&mut self) -> Option<&'a [u8]> {
        let (text, rest) = self.0.split_at_checked(run::of(self.0))?;
        self.0 = rest.strip_prefix(b"\"")?;
        Some(text)
    }

    fn text_or_null(&mut self) -> Option<()> {
        self.id_or_null(|_| true)
    }

    /// A text that is such an id.
    fn id(&mut self, valid: fn(&[u8]) -> bool) -> Option<()> {
        valid(self.text()?).then_some(())
    }

    fn id_or_null(&mut self, valid: fn(&[u8]) -> bool) -> Option<()> {
        if self.is(b"null") { Some(()) } else { self.id(valid) }
    }

    fn code(&mut self) -> Option<CodeText> {
        CodeText::read(self.text()?)
    }

    fn number(&mut self) -> Option<u64> {
        let length = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at_checked(length)?;
        // Beyond that a canonical number is written another way.
        if digits.is_empty() || digits.len() > 15 || (digits.len() > 1 && digits.starts_with(b"0")) {
            return None;
        }
        self.0 = rest;
        Some(
            digits
                .iter()
                .fold(0, |number, digit| number * 10 + u64::from(digit - b'0')),
        )
    }

    /// What stands between brackets, commas between.
    fn each(&mut self, (open, close): (&[u8], &[u8]), mut one: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.must(open)?;
        if self.is(close) {
            return Some(());
        }
        loop {
            one(self)?;
            if self.is(close) {
                return Some(());
            }
            self.must(b",")?;
        }
    }

    fn one_of(&mut self, known: &[&[u8]]) -> Option<()> {
        let text = self.text()?;
        known.contains(&text).then_some(())
    }
}

const LIST: (&[u8], &[u8]) = (b"[", b"]");
const OBJECT: (&[u8], &[u8]) = (b"{", b"}");

const CATEGORIES: [&[u8]; 8] = [
    b"letter",
    b"lab",
    b"image",
    b"image-report",
    b"prescription",
    b"injection",
    b"summary",
    b"other",
];
const DOCUMENTS: [&[u8]; 8] = [
    b"Referral",
    b"DischargeSummary",
    b"ImageStudy",
    b"VisitingNurseInstruction",
    b"MedicationReport",
    b"VisitingNurseReport",
    b"Reply",
    b"Other",
];

/// Members, one bit each, in their order.
mod member {
    pub(super) const NAMES: [&[u8]; 33] = [
        b"actor",
        b"archive_sha256",
        b"categories",
        b"container_sha256",
        b"day",
        b"documents",
        b"erase_after",
        b"evidence_sha256",
        b"facility",
        b"facility_seq",
        b"hc_roles",
        b"in_reply_to",
        b"kind",
        b"manifest_sha256",
        b"patient",
        b"policy_sha256",
        b"purpose",
        b"recipient",
        b"recipients",
        b"report_sha256",
        b"scope",
        b"sender",
        b"signature_value_sha256",
        b"signed_at",
        b"signer",
        b"size",
        b"stamped",
        b"stamps",
        b"stands_until",
        b"stored_as",
        b"submission",
        b"time",
        b"v",
    ];

    /// The bits of members by their names.
    pub(super) const fn bits(mut names: &[&[u8]]) -> u64 {
        let mut bits = 0;
        while let [name, rest @ ..] = names {
            let (mut known, mut bit) = (NAMES.as_slice(), 1);
            while let [other, rest @ ..] = known {
                if same(name, other) {
                    bits |= bit;
                }
                (known, bit) = (rest, bit << 1);
            }
            names = rest;
        }
        bits
    }

    const fn same(mut one: &[u8], mut other: &[u8]) -> bool {
        while let ([a, rest @ ..], [b, others @ ..]) = (one, other) {
            if *a != *b {
                return false;
            }
            (one, other) = (rest, others);
        }
        one.is_empty() && other.is_empty()
    }
}

/// Every record has these.
const EVERY: u64 = member::bits(&[b"actor", b"facility_seq", b"kind", b"time", b"v"]);
const LOOK: u64 = EVERY
    | member::bits(&[
        b"categories",
        b"patient",
        b"purpose",
        b"recipient",
        b"scope",
        b"sender",
        b"submission",
    ]);
const ACKNOWLEDGED: u64 = EVERY | member::bits(&[b"patient", b"recipient", b"sender", b"submission"]);
const OF_CONTAINER: u64 = EVERY | member::bits(&[b"patient", b"recipients", b"sender", b"submission"]);
const ANNOUNCED: u64 = OF_CONTAINER | member::bits(&[b"erase_after"]);
const ERASED: u64 = OF_CONTAINER | member::bits(&[b"container_sha256"]);
const ARCHIVED: u64 = ERASED | member::bits(&[b"archive_sha256", b"stamped", b"stamps", b"stands_until"]);
const HEAD: u64 = EVERY | member::bits(&[b"day", b"facility"]);
const ACCEPTED: u64 = ERASED
    | member::bits(&[
        b"documents",
        b"evidence_sha256",
        b"hc_roles",
        b"in_reply_to",
        b"manifest_sha256",
        b"policy_sha256",
        b"report_sha256",
        b"signature_value_sha256",
        b"signed_at",
        b"signer",
        b"size",
        b"stored_as",
    ]);

/// What a body has said so far.
#[derive(Default)]
struct Read<'a> {
    /// Its members.
    members: u64,
    kind: &'a [u8],
    time: Option<Time>,
    numbers: Vec<(CodeText, u64)>,
    /// Whom it names.
    named: Vec<CodeText>,
    /// They are parties of an envelope, not codes alone.
    parties: bool,
    codes: bool,
    day: &'a [u8],
}

/// Reads a body of one of these kinds.
pub(super) fn read(body: &[u8]) -> Option<Result<Facts, NotARecord>> {
    let mut cursor = Cursor(body);
    let mut read = Read {
        named: Vec::with_capacity(2),
        numbers: Vec::with_capacity(2),
        ..Read::default()
    };
    let mut place = 0;
    cursor.each(OBJECT, |cursor| {
        let name = cursor.text()?;
        // In the order of RFC 8785, each once.
        let found = member::NAMES.get(place..)?.iter().position(|known| *known == name)?;
        read.members |= 1 << (place + found);
        place += found + 1;
        cursor.must(b":")?;
        read.member(name, cursor)
    })?;
    if !cursor.0.is_empty() {
        return None;
    }
    let kind_has = match read.kind {
        b"Viewed" | b"Delivered" => LOOK,
        b"Acknowledged" => ACKNOWLEDGED,
        b"ErasureAnnounced" => ANNOUNCED,
        b"ContainerErased" => ERASED,
        b"ArchiveMade" => ARCHIVED,
        b"Accepted" => ACCEPTED,
        b"Head" => HEAD,
        _ => return None,
    };
    let of_envelope = read.kind == b"Accepted";
    if read.members != kind_has || (read.parties && !of_envelope) || (read.codes && of_envelope) {
        return None;
    }
    read.named.sort_unstable();
    read.named.dedup();
    if !read.numbers.iter().map(|(code, _)| code).eq(&read.named) {
        return Some(Err(NotARecord::Misnumbered));
    }
    let said = match (read.kind, read.named.first()) {
        (b"Head", Some(facility)) => Said::Head(*facility, std::str::from_utf8(read.day).ok()?.to_owned()),
        _ => Said::Nothing,
    };
    Some(Ok(Facts {
        time: read.time?,
        numbers: read.numbers,
        said,
        newer: false,
    }))
}

impl<'a> Read<'a> {
    /// A member's value.
    fn member(&mut self, name: &[u8], cursor: &mut Cursor<'a>) -> Option<()> {
        match name {
            b"actor" => actor(cursor),
            b"facility_seq" => {
                let numbers = &mut self.numbers;
                cursor.each(OBJECT, |cursor| {
                    let code = cursor.code()?;
                    cursor.must(b":")?;
                    let number = cursor.number()?;
                    if numbers.last().is_some_and(|(last, _)| *last >= code) {
                        return None;
                    }
                    numbers.push((code, number));
                    Some(())
                })
            }
            b"kind" => cursor.text().map(|kind| self.kind = kind),
            b"time" => Time::read(cursor.text()?).map(|time| self.time = Some(time)),
            b"v" => cursor.must(b"1"),
            b"day" => cursor.text().map(|day| self.day = day),
            b"sender" => self.party(cursor),
            b"recipient" | b"facility" => {
                self.named.push(cursor.code()?);
                Some(())
            }
            b"recipients" => cursor.each(LIST, |cursor| self.party(cursor)),
            b"purpose" => cursor.one_of(&[b"view", b"import"]),
            b"categories" => cursor.each(LIST, |cursor| cursor.one_of(&CATEGORIES)),
            b"scope" | b"hc_roles" => cursor.each(LIST, |cursor| cursor.text().map(drop)),
            b"documents" => cursor.each(LIST, document),
            b"submission" => cursor.id(submission_id),
            b"in_reply_to" => cursor.id_or_null(submission_id),
            b"signed_at" | b"signer" => cursor.text_or_null(),
            b"size" | b"stamps" => cursor.number().map(drop),
            // The others are texts.
            _ => cursor.text().map(drop),
        }
    }

    /// A code, or the party of an envelope.
    fn party(&mut self, cursor: &mut Cursor<'a>) -> Option<()> {
        if cursor.is(b"{\"department\":") {
            self.parties = true;
            cursor.text_or_null()?;
            cursor.must(b",\"facility\":")?;
            self.named.push(cursor.code()?);
            cursor.must(b",\"name\":")?;
            cursor.text()?;
            cursor.must(b",\"person\":")?;
            cursor.text_or_null()?;
            cursor.must(b"}")
        } else {
            self.codes = true;
            self.named.push(cursor.code()?);
            Some(())
        }
    }
}

fn actor(cursor: &mut Cursor<'_>) -> Option<()> {
    cursor.must(b"{\"address\":")?;
    cursor.text_or_null()?;
    cursor.must(b",\"assurance\":")?;
    if !cursor.is(b"null") {
        cursor.must(b"\"asserted-by-device\"")?;
    }
    cursor.must(b",\"device\":")?;
    cursor.id_or_null(small_id)?;
    cursor.must(b",\"facility\":")?;
    if !cursor.is(b"null") {
        cursor.code()?;
    }
    cursor.must(b",\"person_id\":")?;
    cursor.id_or_null(small_id)?;
    cursor.must(b",\"person_name\":")?;
    cursor.text_or_null()?;
    cursor.must(b"}")
}

fn document(cursor: &mut Cursor<'_>) -> Option<()> {
    cursor.must(b"{\"bytes\":")?;
    cursor.number()?;
    cursor.must(b",\"category\":")?;
    cursor.one_of(&CATEGORIES)?;
    cursor.must(b",\"files\":")?;
    cursor.number()?;
    cursor.must(b",\"kind\":")?;
    cursor.one_of(&DOCUMENTS)?;
    cursor.must(b",\"media_type\":")?;
    cursor.text()?;
    cursor.must(b",\"path\":")?;
    cursor.text()?;
    cursor.must(b"}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_stand_in_the_order_of_rfc_8785() {
        assert!(member::NAMES.is_sorted());
        let all = [LOOK, ACKNOWLEDGED, ANNOUNCED, ARCHIVED, HEAD, ACCEPTED];
        let used = all.into_iter().fold(0, |used, members| used | members);
        assert_eq!(
            used.count_ones() as usize,
            member::NAMES.len(),
            "every name is known by its bit"
        );
    }
}
