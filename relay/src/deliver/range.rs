//! One byte range of a representation, RFC 9110 §14.

use std::ops::Range;

use http::HeaderMap;
use http::header::{IF_RANGE, RANGE};

use crate::problem::{Code, Problem};

/// Which bytes to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Portion {
    /// All of them: 200.
    Whole,
    /// Some of them: 206.
    Part(Range<u64>),
}

impl Portion {
    /// What the request asks of `size` bytes whose entity tag is `etag`. Several ranges, other units and an If-Range that does
    /// not match are answered with the whole, as RFC 9110 §14.2 allows.
    ///
    /// # Errors
    /// `range_invalid` if no byte of the range exists.
    pub(super) fn asked(headers: &HeaderMap, size: u64, etag: &str) -> Result<Self, Problem> {
        let Some(range) = headers.get(RANGE).and_then(|value| value.to_str().ok()) else {
            return Ok(Self::Whole);
        };
        if headers
            .get(IF_RANGE)
            .is_some_and(|value| value.as_bytes() != etag.as_bytes())
        {
            return Ok(Self::Whole);
        }
        let Some((first, last)) = range.strip_prefix("bytes=").and_then(|one| one.trim().split_once('-')) else {
            return Ok(Self::Whole);
        };
        let part = match (first.parse::<u64>(), last.parse::<u64>()) {
            (Ok(first), Ok(last)) if first <= last => first..last.saturating_add(1).min(size),
            (Ok(first), Err(_)) if last.is_empty() => first..size,
            (Err(_), Ok(suffix)) if first.is_empty() => size.saturating_sub(suffix)..size,
            _ => return Ok(Self::Whole),
        };
        if part.is_empty() {
            return Err(Problem::new(Code::RangeInvalid).header(
                http::header::CONTENT_RANGE,
                format!("bytes */{size}").try_into().map_err(|_| Code::Internal)?,
            ));
        }
        Ok(Self::Part(part))
    }

    pub(super) fn bytes(&self, size: u64) -> Range<u64> {
        match self {
            Self::Whole => 0..size,
            Self::Part(range) => range.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(range: &str, if_range: Option<&'static str>) -> Result<Portion, Code> {
        let mut headers = HeaderMap::new();
        headers.insert(RANGE, range.parse().unwrap());
        if let Some(tag) = if_range {
            headers.insert(IF_RANGE, tag.parse().unwrap());
        }
        Portion::asked(&headers, 100, "\"tag\"").map_err(|problem| problem.code())
    }

    #[test]
    fn single_ranges() {
        assert_eq!(asked("bytes=0-9", None), Ok(Portion::Part(0..10)));
        assert_eq!(asked("bytes=90-", None), Ok(Portion::Part(90..100)));
        assert_eq!(asked("bytes=-5", None), Ok(Portion::Part(95..100)));
        assert_eq!(asked("bytes=-500", None), Ok(Portion::Part(0..100)));
        assert_eq!(asked("bytes=10-18446744073709551615", None), Ok(Portion::Part(10..100)));
        assert_eq!(asked("bytes=100-", None), Err(Code::RangeInvalid));
        assert_eq!(asked("bytes=-0", None), Err(Code::RangeInvalid));
    }

    #[test]
    fn what_is_no_single_range_gets_the_whole() {
        for range in [
            "bytes=0-1,5-6",
            "bytes=9-2",
            "bytes=a-b",
            "bytes=-",
            "lines=1-2",
            "bytes",
        ] {
            assert_eq!(asked(range, None), Ok(Portion::Whole), "{range}");
        }
    }

    #[test]
    fn a_range_counts_only_for_the_same_representation() {
        assert_eq!(asked("bytes=0-9", Some("\"tag\"")), Ok(Portion::Part(0..10)));
        assert_eq!(asked("bytes=0-9", Some("\"other\"")), Ok(Portion::Whole));
    }
}
