//! The account as a table: [RFC 4180](https://www.rfc-editor.org/rfc/rfc4180), with cells no spreadsheet takes for formulas.
//!
//! A cell that begins as a formula does and is no plain number is led by an apostrophe. In Shift_JIS (Windows-31J) a character
//! that encoding lacks is written as its number, `&#134071;`, so that none is lost unseen.

use std::ops::Range;

use time::{Date, Month};

use super::row::{List, Row};

/// Byte order mark.
pub(super) const MARK: &str = "\u{feff}";
/// Column names.
pub(super) const HEAD: &str = "position,time_utc,time_jst,kind,facility,facility_seq,person_id,person_name,\
                               assurance,partner,submission,patient,scope,category,sha256,outcome,address\r\n";

/// Appends a row.
pub(super) fn push(out: &mut Vec<u8>, row: &Row<'_>) {
    let (entry, actor) = (row.entry, &row.entry.actor);
    number(out, Some(row.position));
    cell(out, entry.time.as_str());
    japan(out, entry.time.as_str());
    cell(out, entry.kind.as_str());
    cell(out, row.facility);
    number(out, row.sequence);
    cell(out, actor.person_id.as_str());
    cell(out, actor.person_name.as_str());
    cell(out, actor.assurance.as_str());
    list(out, &row.partner);
    cell(out, entry.submission.as_str());
    cell(out, entry.patient.as_str());
    list(out, &row.scope);
    list(out, &row.categories);
    cell(out, row.sha256);
    list(out, &row.outcome);
    cell(out, actor.address.as_str());
    // The last comma ends the row.
    out.pop();
    out.extend_from_slice(b"\r\n");
}

/// Appends the row of an erased record: its position, and that it is erased.
pub(super) fn push_erased(out: &mut Vec<u8>, position: u64) {
    number(out, Some(position));
    let between = HEAD.split(',').count() - 3;
    out.extend(std::iter::repeat_n(b',', between));
    out.extend_from_slice(b"erased,\r\n");
}

/// Rows in another encoding than UTF-8. Its tables take these three for others, which no reader could tell: they are written as
/// their numbers, like what it lacks, and so is an ampersand that would read as the begin of one.
pub(super) fn shift_jis(utf8: &[u8]) -> Vec<u8> {
    // Rows are made of text: nothing is replaced here.
    let mut text = String::from_utf8_lossy(utf8);
    for (lost, number) in [
        ("&#", "&#38;#"),
        ("\u{2212}", "&#8722;"),
        ("\u{a5}", "&#165;"),
        ("\u{203e}", "&#8254;"),
    ] {
        if text.contains(lost) {
            text = text.replace(lost, number).into();
        }
    }
    encoding_rs::SHIFT_JIS.encode(&text).0.into_owned()
}

fn number(out: &mut Vec<u8>, number: Option<u64>) {
    if let Some(number) = number {
        digits(out, number, 1);
    }
    out.push(b',');
}

/// Writes a number with so many digits at least.
fn digits(out: &mut Vec<u8>, mut number: u64, least: usize) {
    let start = out.len();
    while number > 0 || out.len() < start + least {
        // A digit.
        out.push(b'0' + (number % 10) as u8);
        number /= 10;
    }
    out.get_mut(start..).unwrap_or_default().reverse();
}

fn cell(out: &mut Vec<u8>, text: &str) {
    let start = out.len();
    out.extend_from_slice(text.as_bytes());
    finish(out, start);
}

fn list(out: &mut Vec<u8>, list: &List<'_>) {
    let (start, joined) = (out.len(), list.joined());
    list.each(|part| {
        if joined && out.len() > start {
            out.push(b';');
        }
        out.extend_from_slice(part.as_bytes());
    });
    finish(out, start);
}

/// Whether a byte puts its cell into quotes.
const QUOTED: [bool; 256] = {
    let mut quoted = [false; 256];
    (quoted[b',' as usize], quoted[b'"' as usize]) = (true, true);
    (quoted[b'\r' as usize], quoted[b'\n' as usize]) = (true, true);
    quoted
};

/// Ends the cell that begins at `start`: as it is, or quoted, or kept from being a formula.
fn finish(out: &mut Vec<u8>, start: usize) {
    let cell = out.get(start..).unwrap_or_default();
    let quoted = cell.iter().any(|byte| QUOTED[usize::from(*byte)]);
    if !quoted && !formula(cell) {
        out.push(b',');
        return;
    }
    let cell = out.split_off(start);
    if quoted {
        out.push(b'"');
    }
    if formula(&cell) {
        out.push(b'\'');
    }
    for byte in cell {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    if quoted {
        out.push(b'"');
    }
    out.push(b',');
}

/// Whether a spreadsheet would run it. What is a number is one with a sign too.
fn formula(cell: &[u8]) -> bool {
    let leads = match cell.first() {
        None => false,
        Some(b'=' | b'+' | b'-' | b'@' | b'\t' | b'\r' | b'\n') => true,
        Some(0xef | 0xe2) => ["＝", "＋", "－", "＠", "−"]
            .iter()
            .any(|sign| cell.starts_with(sign.as_bytes())),
        Some(_) => false,
    };
    leads && !plain_number(cell)
}

fn plain_number(cell: &[u8]) -> bool {
    let Some((b'+' | b'-', digits)) = cell.split_first() else {
        return false;
    };
    let mut parts = digits.split(|byte| *byte == b'.');
    let whole = |part: Option<&[u8]>| part.is_some_and(|part| !part.is_empty() && part.iter().all(u8::is_ascii_digit));
    whole(parts.next()) && (!digits.contains(&b'.') || whole(parts.next())) && parts.next().is_none()
}

/// Japan's time of a record's time: `2026-11-22T01:00:00.000Z` as `2026-11-22T10:00:00.000+09:00`.
fn japan(out: &mut Vec<u8>, utc: &str) {
    if let Some((date, hour)) = in_japan(utc) {
        let (year, month, day) = date.to_calendar_date();
        // It was read from four digits.
        digits(out, u64::from(year.unsigned_abs()), 4);
        for (before, part) in [(b'-', u8::from(month)), (b'-', day), (b'T', hour)] {
            out.push(before);
            digits(out, part.into(), 2);
        }
        out.extend_from_slice(utc.get(13..23).unwrap_or_default().as_bytes());
        out.extend_from_slice(b"+09:00");
    }
    out.push(b',');
}

/// A record's time as people in Japan read it.
pub(super) fn japan_text(utc: &str) -> String {
    match in_japan(utc) {
        Some((date, hour)) => {
            let (year, month, day) = date.to_calendar_date();
            let rest = utc.get(13..19).unwrap_or_default();
            format!("{year:04}-{:02}-{day:02} {hour:02}{rest}", u8::from(month))
        }
        None => utc.to_owned(),
    }
}

fn in_japan(utc: &str) -> Option<(Date, u8)> {
    let part = |range: Range<usize>| {
        let mut digits = utc.as_bytes().get(range)?.iter();
        digits.try_fold(0_u16, |number, digit| {
            digit.is_ascii_digit().then(|| number * 10 + u16::from(digit - b'0'))
        })
    };
    if utc.len() != 24 || !utc.ends_with('Z') {
        return None;
    }
    let month = Month::try_from(u8::try_from(part(5..7)?).ok()?).ok()?;
    let date = Date::from_calendar_date(part(0..4)?.into(), month, u8::try_from(part(8..10)?).ok()?).ok()?;
    let hour = u8::try_from(part(11..13)?).ok()?.checked_add(9)?;
    if hour < 24 {
        Some((date, hour))
    } else {
        Some((date.next_day()?, hour - 24))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let mut out = Vec::new();
        cell(&mut out, text);
        out.pop();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn formulas_are_text_and_numbers_stay_numbers() {
        for (cell, written) in [
            ("=1+1", "'=1+1"),
            ("+81-3-1234", "'+81-3-1234"),
            ("-2+3", "'-2+3"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("＝1+1", "'＝1+1"),
            ("−1+cmd", "'−1+cmd"),
            ("–1", "–1"),
            ("=A1,\"B\"", "\"'=A1,\"\"B\"\"\""),
            ("-12", "-12"),
            ("+12.50", "+12.50"),
            ("-1.2.3", "'-1.2.3"),
            ("-.5", "'-.5"),
            ("-", "'-"),
            ("00123", "00123"),
            ("（株）", "（株）"),
            ("a,b", "\"a,b\""),
            ("", ""),
        ] {
            assert_eq!(shown(cell), written);
        }
    }

    #[test]
    fn numbers_are_written_with_their_digits() {
        for wanted in [0, 1, 9, 10, 99, 100, 12_345, u64::MAX] {
            let mut out = b"7".to_vec();
            number(&mut out, Some(wanted));
            assert_eq!(out, format!("7{wanted},").into_bytes());
            out.clear();
            digits(&mut out, wanted, 4);
            assert_eq!(out, format!("{wanted:04}").into_bytes());
        }
    }

    #[test]
    fn an_erased_record_has_a_row_of_as_many_columns() {
        let mut row = Vec::new();
        push_erased(&mut row, 17);
        let row = String::from_utf8(row).unwrap();
        assert!(row.starts_with("17,,") && row.ends_with(",erased,\r\n"), "{row}");
        assert_eq!(row.split(',').count(), HEAD.split(',').count());
        let place = |line: &str, name: &str| line.trim_end().split(',').position(|cell| cell == name);
        assert_eq!(place(&row, "erased"), place(HEAD, "outcome"));
    }

    #[test]
    fn japan_is_nine_hours_ahead_over_every_end_of_day_month_and_year() {
        for (utc, there) in [
            ("0007-02-03T04:05:06.007Z", "0007-02-03T13:05:06.007+09:00"),
            ("+026-11-22T01:02:03.004Z", ""),
            ("2026-11-22T01:02:03.004Z", "2026-11-22T10:02:03.004+09:00"),
            ("2026-12-31T15:00:00.000Z", "2027-01-01T00:00:00.000+09:00"),
            ("2028-02-28T23:59:59.999Z", "2028-02-29T08:59:59.999+09:00"),
            ("soon", ""),
            ("2026-13-01T00:00:00.000Z", ""),
        ] {
            let mut out = Vec::new();
            japan(&mut out, utc);
            out.pop();
            assert_eq!(String::from_utf8(out).unwrap(), there);
        }
    }

    #[test]
    fn what_shift_jis_lacks_is_written_as_its_number() {
        for (text, written) in [
            ("−1 ¥5 ‾", "&#8722;1 &#165;5 &#8254;"),
            ("&#134071; & #", "&#38;#134071; & #"),
            ("－1 \\5 ~", "－1 \\5 ~"),
        ] {
            let bytes = shift_jis(text.as_bytes());
            assert_eq!(encoding_rs::SHIFT_JIS.decode(&bytes).0, written);
        }
        let bytes = shift_jis("髙橋 𠮷野 〜\r\n".as_bytes());
        assert_eq!(bytes.get(..2), Some(&[0xfb, 0xfc][..]), "Windows-31J has the ladder 髙");
        let (text, _, broken) = encoding_rs::SHIFT_JIS.decode(&bytes);
        assert_eq!((&*text, broken), ("髙橋 &#134071;野 &#12316;\r\n", false));
    }
}
