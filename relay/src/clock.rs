//! The wall clock and its one text form: RFC 3339, UTC, milliseconds. The pure crates get the time as an argument from here.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Now.
#[must_use]
pub(crate) fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

/// As text.
#[must_use]
pub(crate) fn rfc3339(time: OffsetDateTime) -> String {
    let time = time.to_offset(time::UtcOffset::UTC);
    let millisecond = time.replace_millisecond(time.millisecond()).unwrap_or(time);
    millisecond.format(&Rfc3339).unwrap_or_default()
}

/// From text; `None` if it is no RFC 3339 time.
#[must_use]
pub(crate) fn parse_rfc3339(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok()
}
