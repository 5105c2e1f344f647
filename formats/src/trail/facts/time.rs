//! Times, months and days as records write them.

use std::fmt;

use time::macros::format_description;
use time::{Date, Month as Name};

/// A record's time: its digits, `2026-11-22T01:00:00.000Z` as 20261122010000000. Later is larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Time(u64);

impl Time {
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        const FORM: &[u8; 24] = b"0000-00-00T00:00:00.000Z";
        if text.len() != FORM.len() {
            return None;
        }
        let mut digits = 0;
        for (byte, form) in text.iter().zip(FORM) {
            match (byte, form) {
                (b'0'..=b'9', b'0') => digits = digits * 10 + u64::from(byte - b'0'),
                (byte, form) if byte == form => {}
                _ => return None,
            }
        }
        Some(Self(digits))
    }

    /// The month, UTC.
    #[must_use]
    pub fn month(self) -> Month {
        Month(self.0 / 100_000_000_000)
    }

    /// The day in Japan, as a Julian day number; `None` if the digits are no day.
    #[must_use]
    pub fn day_in_japan(self) -> Option<i64> {
        let hour = self.0 / 10_000_000 % 100;
        Some(self.day()? + i64::from(hour >= 15))
    }

    /// The day, UTC.
    fn day(self) -> Option<i64> {
        let day = self.0 / 1_000_000_000;
        self.month().day(u8::try_from(day % 100).ok()?)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (day, clock) = (self.0 / 1_000_000_000, self.0 % 1_000_000_000);
        let (year, month, day) = (day / 10_000, day / 100 % 100, day % 100);
        let (hour, minute) = (clock / 10_000_000, clock / 100_000 % 100);
        let (second, rest) = (clock / 1_000 % 100, clock % 1_000);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{rest:03}Z"
        )
    }
}

/// A month of UTC: its digits, `2026-11` as 202611. Later is larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month(u64);

impl Month {
    pub(super) fn read(text: &str) -> Option<Self> {
        let (year, month) = text.split_at_checked(4)?;
        let digits = |text: &str| {
            let all = text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<u64>().ok().filter(|_| all)
        };
        let month = digits(month.strip_prefix('-').filter(|month| month.len() == 2)?)?;
        (1..=12).contains(&month).then_some(Self(digits(year)? * 100 + month))
    }

    /// Whether it ended so many days before `time`, or more.
    #[must_use]
    pub fn ended_before(self, time: Time, days: u64) -> bool {
        let next = if self.0 % 100 == 12 { self.0 + 89 } else { self.0 + 1 };
        let over = Self(next).day(1).and_then(|day| day.checked_add_unsigned(days));
        over.zip(time.day()).is_some_and(|(over, day)| over <= day)
    }

    /// The Julian day number of a day of it; `None` if there is no such day.
    fn day(self, day: u8) -> Option<i64> {
        let month = Name::try_from(u8::try_from(self.0 % 100).ok()?).ok()?;
        let date = Date::from_calendar_date(i32::try_from(self.0 / 100).ok()?, month, day).ok()?;
        Some(i64::from(date.to_julian_day()))
    }
}

/// The Julian day number of a day, `2026-11-22`.
pub(in crate::trail) fn day(text: &str) -> Option<i64> {
    let day = Date::parse(text, format_description!("[year]-[month]-[day]")).ok()?;
    // It reads a sign before the year too.
    (text.len() == 10).then(|| i64::from(day.to_julian_day()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_are_read_and_end() {
        for wrong in [
            "",
            "2026-1",
            "2026-00",
            "2026-13",
            "+026-11",
            "2026-+1",
            "2026-111",
            "2026/11",
            "２０２６-11",
        ] {
            assert_eq!(Month::read(wrong), None, "{wrong}");
        }
        let time = |text: &str| Time::read(text.as_bytes()).unwrap();
        let (november, december) = (Month::read("2025-11").unwrap(), Month::read("2025-12").unwrap());
        assert!(november < december && december < time("2026-01-01T00:00:00.000Z").month());
        assert_eq!(time("2025-11-30T23:59:59.999Z").month(), november);
        for (month, at, days, over) in [
            (november, "2025-11-30T23:59:59.999Z", 0, false),
            (november, "2025-12-01T00:00:00.000Z", 0, true),
            (november, "2026-11-30T23:59:59.999Z", 365, false),
            (november, "2026-12-01T00:00:00.000Z", 365, true),
            (december, "2026-12-31T23:59:59.999Z", 365, false),
            (december, "2027-01-01T00:00:00.000Z", 365, true),
            (november, "2099-13-01T00:00:00.000Z", 365, false),
        ] {
            assert_eq!(month.ended_before(time(at), days), over, "{month:?} {at} {days}");
        }
    }
}
