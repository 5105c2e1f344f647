//! Which key: the month and class of the records under it.

use std::fmt;
use std::str::FromStr;

use formats::trail::Class;

/// Month (UTC, of the record's time) and class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 8]);

impl KeyId {
    /// The key of a record of this class and time (RFC 3339 UTC, or its month alone); `None` if that is no time.
    #[must_use]
    pub fn of(class: Class, time: &str) -> Option<Self> {
        let class = match class {
            Class::Standing => b'S',
            Class::Account => b'A',
        };
        let month = time.as_bytes().first_chunk::<7>()?;
        let [a, b, c, d, e, f, g] = *month;
        Self::parse([a, b, c, d, e, f, g, class])
    }

    /// From its bytes: `YYYY-MM`, then `S` or `A`.
    #[must_use]
    pub fn parse(bytes: [u8; 8]) -> Option<Self> {
        let [a, b, c, d, dash, m, n, class] = bytes;
        let digits = [a, b, c, d, m, n].iter().all(u8::is_ascii_digit);
        let month = matches!((m, n), (b'0', b'1'..=b'9') | (b'1', b'0'..=b'2'));
        (digits && dash == b'-' && month && matches!(class, b'S' | b'A')).then_some(Self(bytes))
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }

    /// The month, `2026-11`.
    #[must_use]
    pub fn month(&self) -> &str {
        let [month @ .., _] = &self.0;
        std::str::from_utf8(month).unwrap_or_default()
    }

    /// The class.
    #[must_use]
    pub fn class(&self) -> Class {
        match self.0 {
            [.., b'S'] => Class::Standing,
            _ => Class::Account,
        }
    }
}

/// As files of keys are named: `2026-11.account`.
impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let class = match self.class() {
            Class::Standing => "standing",
            Class::Account => "account",
        };
        write!(f, "{}.{class}", self.month())
    }
}

impl FromStr for KeyId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = "a key is named by month and class, such as 2026-11.account";
        let (month, class) = text.split_once('.').ok_or(refused)?;
        let class = match class {
            "standing" => Class::Standing,
            "account" => Class::Account,
            _ => return Err(refused),
        };
        Self::of(class, month).filter(|_| month.len() == 7).ok_or(refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_names_go_both_ways() {
        let id = KeyId::of(Class::Account, "2026-11-22T01:00:00.000Z").unwrap();
        assert_eq!(id.as_bytes(), b"2026-11A");
        assert_eq!((id.month(), id.class()), ("2026-11", Class::Account));
        assert_eq!(id.to_string(), "2026-11.account");
        assert_eq!(id.to_string().parse(), Ok(id));
        let standing: KeyId = "2026-02.standing".parse().unwrap();
        assert_eq!(KeyId::parse(*standing.as_bytes()), Some(standing));
        for none in [
            "",
            "2026-11",
            "2026-13.account",
            "2026-11-01.account",
            "2026-11.other",
            "26-1111.account",
        ] {
            assert!(none.parse::<KeyId>().is_err(), "{none}");
        }
        assert!(KeyId::parse(*b"2026-00A").is_none() && KeyId::parse(*b"2026-11X").is_none());
        assert!(KeyId::of(Class::Account, "").is_none());
    }
}
