//! Sizes and durations as people write them.

use std::time::Duration;

/// What a size may look like.
pub(super) const BYTES: &str = "must be a whole number above 0 with B, KiB, MiB, GiB or TiB, such as \"8GiB\"";
/// What a duration may look like.
pub(super) const DURATION: &str = "must be a whole number above 0 with s, m, h, d or y (365 days), such as \"24h\"";

/// A size in bytes, as `8GiB`; `None` if it is none.
#[must_use]
pub fn bytes(text: &str) -> Option<u64> {
    scaled(
        text,
        &[
            ("B", 1),
            ("KiB", 1 << 10),
            ("MiB", 1 << 20),
            ("GiB", 1 << 30),
            ("TiB", 1 << 40),
        ],
    )
}

/// A duration of whole seconds.
pub(super) fn duration(text: &str) -> Option<Duration> {
    scaled(
        text,
        &[("s", 1), ("m", 60), ("h", 3600), ("d", 86_400), ("y", 365 * 86_400)],
    )
    .map(Duration::from_secs)
}

fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(end);
    let factor = units.iter().find(|(name, _)| *name == unit.trim_start())?.1;
    number
        .parse::<u64>()
        .ok()?
        .checked_mul(factor)
        .filter(|value| *value > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_as_written() {
        assert_eq!(bytes("8GiB"), Some(8 << 30));
        assert_eq!(bytes("512 KiB"), Some(512 << 10));
        assert_eq!(bytes("1B"), Some(1));
        assert_eq!(duration("90m"), Some(Duration::from_secs(5400)));
        assert_eq!(duration("7d"), Some(Duration::from_secs(604_800)));
        assert_eq!(duration("5y"), duration("1825d"));
    }

    #[test]
    fn refused_rather_than_guessed() {
        for text in [
            "",
            "8",
            "GiB",
            "8GB",
            "8gib",
            "-1GiB",
            "1.5GiB",
            "0B",
            "99999999999TiB",
            "８GiB",
        ] {
            assert_eq!(bytes(text), None, "{text}");
        }
        for text in ["", "24", "h", "24H", "24 hours", "0s", "-5m"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }
}
