//! genTime: a GeneralizedTime in UTC that may carry fractions of a second, RFC 3161 §2.4.2.
//!
//! Own code, because `der` reads none with fractions and the reader of `cryptographic-message-syntax` panics beyond nine digits
//! (measured in `timestamp/tests.rs`).

use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time, UtcOffset};

use crate::tlv::{Element, TlvError, encode};

const GENERALIZED_TIME: u8 = 0x18;
const BAD_TIME: TlvError = TlvError("a time is malformed");

/// Reads it. Digits beyond nanoseconds are cut off.
pub(super) fn read(element: &Element<'_>) -> Result<OffsetDateTime, TlvError> {
    let (year, rest) = element.tagged(GENERALIZED_TIME)?.split_at_checked(4).ok_or(BAD_TIME)?;
    parse(number(year)?, rest)
}

/// DER, with the fractions the time has, trailing zeros dropped.
pub(super) fn write(time: OffsetDateTime) -> Vec<u8> {
    let time = time.to_offset(UtcOffset::UTC);
    let fraction = format!(".{:09}", time.nanosecond());
    let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
    let text = format!("{:04}{}{fraction}Z", time.year(), after_the_year(time));
    encode(GENERALIZED_TIME, &[text.as_bytes()])
}

fn after_the_year(time: OffsetDateTime) -> String {
    format!(
        "{:02}{:02}{:02}{:02}{:02}",
        u8::from(time.month()),
        time.day(),
        time.hour(),
        time.minute(),
        time.second()
    )
}

/// `rest` is MMDDhhmmss, perhaps a fraction, and Z.
fn parse(year: u32, rest: &[u8]) -> Result<OffsetDateTime, TlvError> {
    let (fields, rest) = rest.split_at_checked(10).ok_or(BAD_TIME)?;
    let mut pairs = fields.chunks(2).map(number);
    let mut field = || {
        pairs
            .next()
            .unwrap_or(Err(BAD_TIME))
            .and_then(|n| u8::try_from(n).map_err(|_| BAD_TIME))
    };
    let (month, day, hour, minute, second) = (field()?, field()?, field()?, field()?, field()?);
    let rest = rest.strip_suffix(b"Z").ok_or(BAD_TIME)?;
    let nanosecond = match rest.split_first() {
        None => 0,
        Some((b'.' | b',', digits)) => nanoseconds(digits)?,
        Some(_) => return Err(BAD_TIME),
    };
    let year = i32::try_from(year).map_err(|_| BAD_TIME)?;
    let month = Month::try_from(month).map_err(|_| BAD_TIME)?;
    let date = Date::from_calendar_date(year, month, day).map_err(|_| BAD_TIME)?;
    let time = Time::from_hms_nano(hour, minute, second, nanosecond).map_err(|_| BAD_TIME)?;
    Ok(PrimitiveDateTime::new(date, time).assume_utc())
}

fn nanoseconds(digits: &[u8]) -> Result<u32, TlvError> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(BAD_TIME);
    }
    Ok(digits
        .iter()
        .copied()
        .chain(std::iter::repeat(b'0'))
        .take(9)
        .fold(0, |sum, digit| sum * 10 + u32::from(digit.wrapping_sub(b'0'))))
}

/// Two or four decimal digits.
fn number(digits: &[u8]) -> Result<u32, TlvError> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(BAD_TIME);
    }
    Ok(digits
        .iter()
        .fold(0, |sum, digit| sum * 10 + u32::from(digit.wrapping_sub(b'0'))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generalized(text: &str) -> Result<OffsetDateTime, TlvError> {
        let bytes = encode(GENERALIZED_TIME, &[text.as_bytes()]);
        read(&Element::only(&bytes)?)
    }

    #[test]
    fn fractions_are_kept_and_written_back() {
        let time = generalized("20261122103000.197Z").unwrap();
        assert_eq!(time.millisecond(), 197);
        let encoded = write(time);
        assert_eq!(encoded.get(2..).unwrap(), b"20261122103000.197Z");
        assert_eq!(write(generalized("20261122103000Z").unwrap()).len(), 17);
        assert_eq!(
            generalized("20261122103000.1234567891234Z").unwrap().nanosecond(),
            123_456_789
        );
    }

    #[test]
    fn malformed_times_are_refused() {
        for text in [
            "",
            "Z",
            "2026112210300Z",
            "20261122103000",
            "20261322103000Z",
            "20260229103000Z",
            "20261122253000Z",
            "20261122103000.Z",
            "20261122103000.1aZ",
            "20261122103000+0900",
            "2026112210300\u{ff10}Z",
        ] {
            assert!(generalized(text).is_err(), "{text}");
        }
    }
}
