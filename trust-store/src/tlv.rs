//! A cursor over DER (X.690 §10): tags of one byte, definite minimal lengths, nothing copied, nothing nested by recursion.

use const_oid::ObjectIdentifier;
use time::{Date, Duration, Month, OffsetDateTime, Time};

pub(crate) const BOOLEAN: u8 = 0x01;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OID: u8 = 0x06;
pub(crate) const ENUMERATED: u8 = 0x0a;
pub(crate) const UTC_TIME: u8 = 0x17;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;

/// Bytes that are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub(crate) &'static str);

/// One value with its tag.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tlv<'a> {
    pub(crate) tag: u8,
    pub(crate) value: &'a [u8],
    /// Tag, length and value.
    pub(crate) whole: &'a [u8],
}

impl<'a> Tlv<'a> {
    /// The values inside.
    pub(crate) fn inside(self) -> Cursor<'a> {
        Cursor(self.value)
    }
}

/// What is still to be read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a>(pub(crate) &'a [u8]);

impl<'a> Cursor<'a> {
    /// The one SEQUENCE that `bytes` must be, and its inside.
    pub(crate) fn sequence_of(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut cursor = Self(bytes);
        let inside = cursor.expect(SEQUENCE)?.inside();
        cursor.finish()?;
        Ok(inside)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn finish(&self) -> Result<(), Malformed> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Malformed("trailing bytes"))
        }
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    pub(crate) fn next(&mut self) -> Result<Tlv<'a>, Malformed> {
        const TRUNCATED: Malformed = Malformed("truncated");
        let all = self.0;
        let tag = *all.first().ok_or(TRUNCATED)?;
        if tag & 0x1f == 0x1f {
            return Err(Malformed("a tag of several bytes"));
        }
        let first = *all.get(1).ok_or(TRUNCATED)?;
        let (header, length) = if first < 0x80 {
            (2, usize::from(first))
        } else {
            let count = usize::from(first & 0x7f);
            if !(1..=4).contains(&count) {
                return Err(Malformed("an indefinite or oversized length"));
            }
            let octets = all.get(2..2 + count).ok_or(TRUNCATED)?;
            let length = octets
                .iter()
                .fold(0_usize, |sum, octet| (sum << 8) | usize::from(*octet));
            if octets.first() == Some(&0) || length < 0x80 {
                return Err(Malformed("a length that is not minimal"));
            }
            (2 + count, length)
        };
        let end = header.checked_add(length).ok_or(TRUNCATED)?;
        let whole = all.get(..end).ok_or(TRUNCATED)?;
        let value = all.get(header..end).ok_or(TRUNCATED)?;
        self.0 = all.get(end..).ok_or(TRUNCATED)?;
        Ok(Tlv { tag, value, whole })
    }

    pub(crate) fn expect(&mut self, tag: u8) -> Result<Tlv<'a>, Malformed> {
        if self.peek() == Some(tag) {
            self.next()
        } else {
            Err(Malformed("another tag than expected"))
        }
    }

    pub(crate) fn optional(&mut self, tag: u8) -> Result<Option<Tlv<'a>>, Malformed> {
        if self.peek() == Some(tag) {
            self.next().map(Some)
        } else {
            Ok(None)
        }
    }

    pub(crate) fn oid(&mut self) -> Result<ObjectIdentifier, Malformed> {
        oid(self.expect(OID)?.value)
    }

    pub(crate) fn boolean(&mut self) -> Result<Option<bool>, Malformed> {
        self.optional(BOOLEAN)?.map(|tlv| boolean(tlv.value)).transpose()
    }

    /// UTCTime or GeneralizedTime.
    pub(crate) fn time(&mut self) -> Result<OffsetDateTime, Malformed> {
        let tlv = self.next()?;
        match tlv.tag {
            UTC_TIME => utc_time(tlv.value),
            GENERALIZED_TIME => generalized_time(tlv.value),
            _ => Err(Malformed("a time of another type")),
        }
    }

    /// As [`Cursor::time`], and fractions of a second too, which RFC 5280 forbids and some OCSP responders write.
    pub(crate) fn fractional_time(&mut self) -> Result<OffsetDateTime, Malformed> {
        const BAD: Malformed = Malformed("fractions of a second that do not parse");
        let whole_seconds = 14;
        let tlv = self.next()?;
        match (tlv.tag, tlv.value.get(whole_seconds)) {
            (GENERALIZED_TIME, Some(b'.')) => {
                let (seconds, rest) = tlv.value.split_at_checked(whole_seconds).ok_or(BAD)?;
                let digits = rest
                    .strip_prefix(b".")
                    .and_then(|rest| rest.strip_suffix(b"Z"))
                    .ok_or(BAD)?;
                if !(1..=9).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
                    return Err(BAD);
                }
                let nanoseconds = digits
                    .iter()
                    .chain(std::iter::repeat(&b'0'))
                    .take(9)
                    .fold(0_i64, |sum, digit| sum * 10 + i64::from(digit - b'0'));
                let whole = generalized_time(&[seconds, b"Z"].concat())?;
                Ok(whole.saturating_add(Duration::nanoseconds(nanoseconds)))
            }
            (GENERALIZED_TIME, _) => generalized_time(tlv.value),
            (UTC_TIME, _) => utc_time(tlv.value),
            _ => Err(Malformed("a time of another type")),
        }
    }
}

pub(crate) fn oid(value: &[u8]) -> Result<ObjectIdentifier, Malformed> {
    ObjectIdentifier::from_bytes(value).map_err(|_| Malformed("an object identifier that does not parse"))
}

pub(crate) fn boolean(value: &[u8]) -> Result<bool, Malformed> {
    match value {
        [0] => Ok(false),
        [0xff] => Ok(true),
        _ => Err(Malformed("a BOOLEAN that is neither")),
    }
}

/// A small INTEGER that is not negative; larger ones saturate.
pub(crate) fn small_integer(value: &[u8]) -> Result<u32, Malformed> {
    match value.first() {
        None => Err(Malformed("an empty INTEGER")),
        Some(first) if *first >= 0x80 => Err(Malformed("a negative INTEGER")),
        Some(_) => Ok(value
            .iter()
            .try_fold(0_u32, |sum, octet| sum.checked_mul(256)?.checked_add(u32::from(*octet)))
            .unwrap_or(u32::MAX)),
    }
}

/// Named bits of a BIT STRING's content, bit 0 lowest; at most 32 are kept.
pub(crate) fn named_bits(value: &[u8]) -> Result<u32, Malformed> {
    let (unused, octets) = value.split_first().ok_or(Malformed("an empty BIT STRING"))?;
    if *unused > 7 || (octets.is_empty() && *unused != 0) {
        return Err(Malformed("a BIT STRING with wrong unused bits"));
    }
    let mut bits = 0_u32;
    for (index, octet) in octets.iter().take(4).enumerate() {
        bits |= u32::from(octet.reverse_bits()) << (8 * index);
    }
    Ok(bits)
}

/// The octets of a BIT STRING without unused bits.
pub(crate) fn octets_of_bits(value: &[u8]) -> Result<&[u8], Malformed> {
    match value.split_first() {
        Some((0, octets)) => Ok(octets),
        _ => Err(Malformed("a BIT STRING with unused bits")),
    }
}

/// RFC 5280 §4.1.2.5.1: `YYMMDDHHMMSSZ`, years 1950 to 2049.
pub(crate) fn utc_time(value: &[u8]) -> Result<OffsetDateTime, Malformed> {
    let [years @ .., _, _, _, _, _, _, _, _, _, _, b'Z'] = value else {
        return Err(Malformed("a UTCTime that does not parse"));
    };
    if years.len() != 2 {
        return Err(Malformed("a UTCTime that does not parse"));
    }
    let year = digits(value, 0, 2)?;
    let century = if year < 50 { 2000 } else { 1900 };
    instant(century + year, value.get(2..).unwrap_or_default())
}

/// RFC 5280 §4.1.2.5.2: `YYYYMMDDHHMMSSZ`, no fractions.
pub(crate) fn generalized_time(value: &[u8]) -> Result<OffsetDateTime, Malformed> {
    if value.len() != 15 || value.last() != Some(&b'Z') {
        return Err(Malformed("a GeneralizedTime that does not parse"));
    }
    instant(digits(value, 0, 4)?, value.get(4..).unwrap_or_default())
}

fn instant(year: u16, rest: &[u8]) -> Result<OffsetDateTime, Malformed> {
    const BAD: Malformed = Malformed("a time that does not exist");
    let part = |at| digits(rest, at, 2).and_then(|value| u8::try_from(value).map_err(|_| BAD));
    let month = Month::try_from(part(0)?).map_err(|_| BAD)?;
    let date = Date::from_calendar_date(i32::from(year), month, part(2)?).map_err(|_| BAD)?;
    let time = Time::from_hms(part(4)?, part(6)?, part(8)?).map_err(|_| BAD)?;
    Ok(date.with_time(time).assume_utc())
}

fn digits(value: &[u8], at: usize, count: usize) -> Result<u16, Malformed> {
    const BAD: Malformed = Malformed("a time that is not digits");
    value
        .get(at..at + count)
        .ok_or(BAD)?
        .iter()
        .try_fold(0_u16, |sum, octet| {
            if octet.is_ascii_digit() {
                Ok(sum * 10 + u16::from(octet - b'0'))
            } else {
                Err(BAD)
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_definite_minimal_and_inside() {
        for bad in [
            &[0x30, 0x80, 0, 0][..],
            &[0x30, 0x81, 0x05, 0, 0, 0, 0, 0],
            &[0x30, 0x05, 0],
            &[0x1f, 0x01, 0],
            &[],
        ] {
            assert!(Cursor(bad).next().is_err(), "{bad:x?}");
        }
        let tlv = Cursor(&[0x04, 0x02, 0xaa, 0xbb, 0xcc]).next().unwrap();
        assert_eq!((tlv.value, tlv.whole.len()), (&[0xaa, 0xbb][..], 4));
    }

    #[test]
    fn years_of_utc_time_turn_at_fifty() {
        assert_eq!(utc_time(b"500101000000Z").unwrap().year(), 1950);
        assert_eq!(utc_time(b"491231235959Z").unwrap().year(), 2049);
        assert!(utc_time(b"4912312359Z").is_err());
        assert!(generalized_time(b"20230229000000Z").is_err());
    }

    #[test]
    fn fractions_are_read_where_asked_for_and_nowhere_else() {
        let written = |text: &str| [&[GENERALIZED_TIME, text.len() as u8], text.as_bytes()].concat();
        let read = |text: &str| Cursor(&written(text)).fractional_time();
        let whole = read("20260101000000Z").unwrap();
        assert_eq!(
            read("20260101000000.194663Z").unwrap() - whole,
            Duration::microseconds(194_663)
        );
        assert!(Cursor(&written("20260101000000.194663Z")).time().is_err());
        for bad in [
            "20260101000000.Z",
            "20260101000000.5",
            "20260101000000.-5Z",
            "20260101000000.1234567890Z",
            "2026010100000.5Z",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
