//! A body as the relay writes it: canonical JSON (RFC 8785), read in one pass over its text, its texts borrowed.
//!
//! What is read here is what the parser would read. A body that has escapes, members in another order, or a value of another type
//! than the relay writes there, is left to it: `None`.

use std::borrow::Cow;

use formats::trail::run;

use super::{Document, Entry, Party, Text};

/// What is left to read.
struct Cursor<'a>(&'a str);

impl<'a> Cursor<'a> {
    fn is(&mut self, text: &str) -> bool {
        match self.0.strip_prefix(text) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    fn must(&mut self, text: &str) -> Option<()> {
        self.is(text).then_some(())
    }

    fn text(&mut self) -> Option<&'a str> {
        self.must("\"")?;
        let (text, rest) = self.0.split_at_checked(run::of(self.0.as_bytes()))?;
        self.0 = rest.strip_prefix('"')?;
        Some(text)
    }

    fn digits(&mut self) -> Option<&'a str> {
        let length = self.0.bytes().take_while(u8::is_ascii_digit).count();
        let (digits, rest) = self.0.split_at_checked(length)?;
        // Beyond that a number is written another way.
        if digits.is_empty() || digits.len() > 15 || (digits.len() > 1 && digits.starts_with('0')) {
            return None;
        }
        self.0 = rest;
        Some(digits)
    }

    /// A text, or a number as one; null is empty.
    fn value(&mut self) -> Option<Text<'a>> {
        let text = match self.0.as_bytes().first()? {
            b'"' => self.text()?,
            b'n' => self.must("null").map(|()| "")?,
            _ => self.digits()?,
        };
        Some(Text(Cow::Borrowed(text)))
    }

    /// What stands between brackets, commas between.
    fn each(&mut self, (open, close): (&str, &str), mut one: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.must(open)?;
        if self.is(close) {
            return Some(());
        }
        loop {
            one(self)?;
            if self.is(close) {
                return Some(());
            }
            self.must(",")?;
        }
    }

    fn list<T>(&mut self, to: &mut Vec<T>, mut one: impl FnMut(&mut Self) -> Option<T>) -> Option<()> {
        self.each(("[", "]"), |cursor| {
            to.push(one(cursor)?);
            Some(())
        })
    }

    /// The members of an object by their names, each once.
    fn members(&mut self, mut one: impl FnMut(&'a str, &mut Self) -> Option<()>) -> Option<()> {
        let mut last = None;
        self.each(("{", "}"), |cursor| {
            let name = cursor.text()?;
            if last.replace(name).is_some_and(|last| last >= name) {
                return None;
            }
            cursor.must(":")?;
            one(name, cursor)
        })
    }

    /// Over a value that no account shows.
    fn skip(&mut self) -> Option<()> {
        if self.0.starts_with('[') {
            self.each(("[", "]"), |cursor| cursor.value().map(drop))
        } else {
            self.value().map(drop)
        }
    }

    /// A code, or the party of an envelope.
    fn party(&mut self) -> Option<Party<'a>> {
        if !self.0.starts_with('{') {
            return self.text().map(|code| Party(Text(Cow::Borrowed(code))));
        }
        let mut code = Text::default();
        self.members(|name, cursor| match name {
            "facility" => cursor.value().map(|value| code = value),
            _ => cursor.skip(),
        })?;
        Some(Party(code))
    }

    fn document(&mut self) -> Option<Document<'a>> {
        let mut document = Document::default();
        self.members(|name, cursor| {
            let text = match name {
                "category" => &mut document.category,
                "path" => &mut document.path,
                _ => return cursor.skip(),
            };
            cursor.value().map(|value| *text = value)
        })?;
        Some(document)
    }
}

/// Reads a body into an empty entry, of which nothing counts if this is `None`.
pub(super) fn read<'a>(body: &'a str, entry: &mut Entry<'a>) -> Option<()> {
    let mut cursor = Cursor(body);
    cursor.members(|name, cursor| entry.member(name, cursor))?;
    cursor.0.is_empty().then_some(())
}

impl<'a> Entry<'a> {
    fn member(&mut self, name: &str, cursor: &mut Cursor<'a>) -> Option<()> {
        let text = match name {
            "v" => {
                self.v = cursor.digits()?.parse().ok()?;
                return Some(());
            }
            "facility_seq" => {
                let numbers = &mut self.facility_seq.0;
                return cursor.members(|code, cursor| {
                    numbers.push((Text(Cow::Borrowed(code)), cursor.digits()?.parse().ok()?));
                    Some(())
                });
            }
            "actor" => return cursor.members(|name, cursor| self.of_actor(name, cursor)),
            "sender" => return cursor.party().map(|party| self.sender = party),
            "recipients" => return cursor.list(&mut self.recipients, Cursor::party),
            "documents" => return cursor.list(&mut self.documents, Cursor::document),
            "scope" => return cursor.list(&mut self.scope, Cursor::value),
            "categories" => return cursor.list(&mut self.categories, Cursor::value),
            // Of few records.
            "revision" | "filter" | "erased" => return None,
            "time" => &mut self.time,
            "kind" => &mut self.kind,
            "facility" => &mut self.facility,
            "submission" => &mut self.submission,
            "recipient" => &mut self.recipient,
            "patient" => &mut self.patient,
            "container_sha256" => &mut self.container_sha256,
            "archive_sha256" => &mut self.archive_sha256,
            "certificate_sha256" => &mut self.certificate_sha256,
            "digest" => &mut self.digest,
            "code" => &mut self.code,
            "sub_indication" => &mut self.sub_indication,
            "name" => &mut self.name,
            "member" => &mut self.member,
            "device" => &mut self.device,
            "expires" => &mut self.expires,
            "waiting_for" => &mut self.waiting_for,
            "stamps" => &mut self.stamps,
            "stands_until" => &mut self.stands_until,
            "erase_after" => &mut self.erase_after,
            "from" => &mut self.from,
            "to" => &mut self.to,
            "format" => &mut self.format,
            "reason" => &mut self.reason,
            "month" => &mut self.month,
            "day" => &mut self.day,
            "size" => &mut self.size,
            "token_sha256" => &mut self.token_sha256,
            "gen_time" => &mut self.gen_time,
            _ => return cursor.skip(),
        };
        *text = cursor.value()?;
        Some(())
    }

    fn of_actor(&mut self, name: &str, cursor: &mut Cursor<'a>) -> Option<()> {
        let actor = &mut self.actor;
        let text = match name {
            "facility" => &mut actor.facility,
            "device" => &mut actor.device,
            "person_id" => &mut actor.person_id,
            "person_name" => &mut actor.person_name,
            "assurance" => &mut actor.assurance,
            "address" => &mut actor.address,
            _ => return cursor.skip(),
        };
        *text = cursor.value()?;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use formats::envelope::Category;
    use formats::trail::{Access, Actor, Event, Record};
    use formats::wire::Purpose;

    use super::*;
    use crate::store::conformance::submission;

    fn bodies() -> Vec<String> {
        let sent = submission(1, "x-a", &["x-b", "x-c"]);
        let access = Access {
            submission: sent.submission.clone(),
            sender: "x-a".parse().unwrap(),
            recipient: "x-b".parse().unwrap(),
            patient: "12345".into(),
            purpose: Purpose::View,
            scope: vec!["letter/letter.pdf".into(), "*".into()],
            categories: vec![Category::Letter, Category::Lab],
        };
        let archived = Event::ArchiveMade {
            submission: sent.submission.clone(),
            sender: "x-a".parse().unwrap(),
            recipients: vec!["x-b".parse().unwrap()],
            patient: "12345".into(),
            container_sha256: "00".into(),
            archive_sha256: "01".into(),
            stamps: 2,
            stamped: "2026-11-25T01:00:00Z".into(),
            stands_until: "2036-11-25T01:00:00Z".into(),
        };
        let refused = Event::Refused {
            facility: "x-a".parse().unwrap(),
            submission: None,
            code: "TEST".into(),
            sub_indication: None,
            container_sha256: None,
            report_sha256: None,
        };
        let actor = Actor {
            person_name: Some("看護　一郎".into()),
            address: Some("192.0.2.17".into()),
            ..Actor::default()
        };
        let events = [
            Event::Accepted(Box::new(sent)),
            Event::Viewed(access),
            archived,
            refused,
        ];
        let body = |event: Event| {
            let record = Record {
                v: 1,
                time: "2026-11-22T01:00:00.000Z".into(),
                facility_seq: event.facilities().into_iter().zip(9..).collect(),
                actor: actor.clone(),
                event,
            };
            record.encode().unwrap()
        };
        events.into_iter().map(body).collect()
    }

    fn read(body: &str) -> Option<Entry<'_>> {
        let mut entry = Entry::default();
        super::read(body, &mut entry).map(|()| entry)
    }

    fn parsed(body: &str) -> Option<Entry<'_>> {
        serde_json::from_str(body).ok()
    }

    #[test]
    fn what_is_read_is_what_the_parser_reads_whatever_byte_is_another() {
        for body in bodies() {
            assert!(read(&body).is_some() && read(&body) == parsed(&body), "{body}");
            let mut same = 0;
            for (at, _) in body.char_indices() {
                let (before, rest) = body.split_at(at);
                let mut chars = rest.chars();
                chars.next();
                for other in [
                    "", "\"", "\\", "{", "}", "[", "]", ",", ":", "0", "7", "-", ".", "e", " ", "\n", "医",
                ] {
                    let changed = format!("{before}{other}{}", chars.as_str());
                    if let Some(entry) = read(&changed) {
                        assert!(parsed(&changed) == Some(entry), "{changed}");
                        same += 1;
                    }
                }
                assert!(read(before).is_none(), "{before}");
            }
            assert!(same > 1000, "texts with another character are texts");
        }
    }

    #[test]
    fn nothing_is_left_of_the_body_before() {
        let bodies = bodies();
        let rare = r#"{"filter":{"patient":"1"},"kind":"TrailRead","revision":{"because":"x"},"v":1}"#;
        let all = || bodies.iter().map(String::as_str).chain([rare, r#"{"scope":["a",1,{"#]);
        for before in all() {
            for body in all() {
                let mut entry = Entry::default();
                entry.take(before);
                let taken = entry.take(body).map(|()| entry);
                assert!(taken == Entry::read(body), "{before} {body}");
            }
        }
    }

    #[test]
    fn what_it_does_not_know_is_the_parsers() {
        for body in [
            r#"{"kind":"Refused","code":"b","v":1}"#,
            r#"{"code":"a\u0041","v":1}"#,
            r#"{"code":true,"v":1}"#,
            r#"{"revision":{"because":"x"},"v":1}"#,
            r#"{"new":{"of":1},"v":1}"#,
            r#"{ "v":1}"#,
        ] {
            assert!(read(body).is_none() && parsed(body).is_some(), "{body}");
        }
        for body in [
            r#"{"code":"a","code":"b","v":1}"#,
            r#"{"code":-1,"v":1}"#,
            r#"{"size":01,"v":1}"#,
        ] {
            assert!(read(body).is_none() && parsed(body).is_none(), "{body}");
        }
    }
}
