//! URIs of a manifest: relative references to entry names, percent-encoded UTF-8 (RFC 3986 §2.1).

use std::fmt::Write as _;

/// Percent-encodes a name; `/` and the unreserved characters stay.
pub(super) fn encode(name: &str) -> String {
    let mut uri = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}

/// Decodes once. Raw UTF-8 is allowed; `%` always begins an escape. `None` if an escape or the resulting UTF-8 is invalid.
pub(super) fn decode(uri: &str) -> Option<String> {
    let mut name = Vec::with_capacity(uri.len());
    let mut bytes = uri.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let high = char::from(bytes.next()?).to_digit(16)?;
            let low = char::from(bytes.next()?).to_digit(16)?;
            name.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            name.push(byte);
        }
    }
    String::from_utf8(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for name in ["letter/letter.pdf", "画像/CT 1.dcm", "100%", "a+b&c<d>\"e'", "a#b?c"] {
            assert_eq!(decode(&encode(name)).as_deref(), Some(name));
        }
        assert_eq!(encode("あ b/%"), "%E3%81%82%20b/%25");
        assert_eq!(decode("あ%20b+c").as_deref(), Some("あ b+c"));
        assert_eq!(decode("%2525").as_deref(), Some("%25"), "once");
        for bad in ["%", "%2", "%zz", "a%", "%+1", "%ff", "%e3%81"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }
}
