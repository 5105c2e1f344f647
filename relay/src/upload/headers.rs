//! The headers of tus 1.0, read and written.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};
use time::OffsetDateTime;
use time::macros::format_description;

use crate::problem::{Code, Problem};

/// What a client says when it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wish {
    /// Upload-Length.
    pub(super) length: u64,
    /// Metadata `sha256`: hex of the whole.
    pub(super) sha256: Option<String>,
}

impl Wish {
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, Problem> {
        let length = number(headers, "upload-length")?;
        let length = length.ok_or_else(|| invalid("Upload-Length is missing; it cannot be deferred"))?;
        let metadata = headers.get("upload-metadata").map(HeaderValue::to_str).transpose();
        let metadata = metadata
            .map_err(|_| invalid("Upload-Metadata is not ASCII"))?
            .unwrap_or_default();
        let mut sha256 = None;
        // `filename` and other keys are the client's own; names may tell of a patient, so they are not kept.
        for pair in metadata.split(',').map(str::trim) {
            if let Some(value) = pair.strip_prefix("sha256 ") {
                let text = STANDARD
                    .decode(value.trim())
                    .ok()
                    .and_then(|bytes| String::from_utf8(bytes).ok());
                let hex = text.filter(|text| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit()));
                sha256 = Some(
                    hex.ok_or_else(|| invalid("metadata sha256 is not 64 hex digits"))?
                        .to_ascii_lowercase(),
                );
            }
        }
        Ok(Self { length, sha256 })
    }
}

/// Upload-Checksum: the SHA-256 of this request's body.
pub(super) fn checksum(headers: &HeaderMap) -> Result<Option<Vec<u8>>, Problem> {
    let Some(value) = headers.get("upload-checksum") else {
        return Ok(None);
    };
    let digest = value.to_str().ok().and_then(|text| text.strip_prefix("sha256 "));
    let digest = digest
        .and_then(|text| STANDARD.decode(text.trim()).ok())
        .filter(|digest| digest.len() == 32);
    digest
        .map(Some)
        .ok_or_else(|| invalid("Upload-Checksum is not `sha256 BASE64`"))
}

pub(super) fn version(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.get("tus-resumable").is_some_and(|version| version == "1.0.0") {
        Ok(())
    } else {
        Err(Problem::new(Code::TusVersion).header(
            HeaderName::from_static("tus-version"),
            HeaderValue::from_static("1.0.0"),
        ))
    }
}

pub(super) fn media_type(headers: &HeaderMap) -> Result<(), Problem> {
    if headers
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind == "application/offset+octet-stream")
    {
        Ok(())
    } else {
        Err(invalid("Content-Type is not application/offset+octet-stream"))
    }
}

pub(super) fn number(headers: &HeaderMap, name: &str) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(name) else {
        return Ok(None);
    };
    let number = value
        .to_str()
        .ok()
        .filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
    let number = number.and_then(|text| text.parse().ok());
    number
        .map(Some)
        .ok_or_else(|| invalid(&format!("{name} is not a number")))
}

pub(super) fn invalid(reason: &str) -> Problem {
    Problem::new(Code::UploadInvalid).finding(reason)
}

pub(super) fn tus(headers: &mut HeaderMap) {
    headers.insert("tus-resumable", HeaderValue::from_static("1.0.0"));
}

pub(super) fn value(text: &str) -> Result<HeaderValue, Problem> {
    HeaderValue::from_str(text).map_err(|error| Problem::internal(&error))
}

/// RFC 9110 §5.6.7 IMF-fixdate.
pub(super) fn http_date(time: OffsetDateTime) -> String {
    let form =
        format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");
    time.to_offset(time::UtcOffset::UTC).format(&form).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(pairs: &[(&'static str, &str)]) -> Result<Wish, Code> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, value.parse().unwrap());
        }
        Wish::read(&headers).map_err(|problem| problem.code())
    }

    #[test]
    fn a_wish_has_a_length_and_perhaps_a_hash() {
        assert_eq!(
            wish(&[("upload-length", "10")]),
            Ok(Wish {
                length: 10,
                sha256: None
            })
        );
        let hash = "ab".repeat(32);
        let metadata = format!("filename YQ==, sha256 {}", STANDARD.encode(&hash));
        let read = wish(&[("upload-length", "10"), ("upload-metadata", &metadata)]).unwrap();
        assert_eq!(read.sha256, Some(hash));
        for bad in ["", "-1", "+1", "1e3", "99999999999999999999"] {
            assert_eq!(wish(&[("upload-length", bad)]), Err(Code::UploadInvalid), "{bad}");
        }
        assert_eq!(wish(&[("upload-defer-length", "1")]), Err(Code::UploadInvalid));
        assert_eq!(
            wish(&[("upload-length", "1"), ("upload-metadata", "sha256 AAAA")]),
            Err(Code::UploadInvalid)
        );
    }

    #[test]
    fn dates_are_those_of_http() {
        let time = OffsetDateTime::from_unix_timestamp(784_111_777).unwrap();
        assert_eq!(http_date(time), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
