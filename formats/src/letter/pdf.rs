//! PDF letters: recognised, looked at from outside, never rendered.

use super::{Letter, LetterForm};

pub(super) fn describe(bytes: &[u8]) -> Letter {
    let mut letter = Letter::of(LetterForm::Pdf);
    if !bytes.starts_with(b"%PDF-") {
        letter.warnings.push("bytes stand before the PDF header".to_owned());
    }
    let tail = bytes.get(bytes.len().saturating_sub(1024)..).unwrap_or(bytes);
    if !contains(tail, b"%%EOF") {
        letter.warnings.push("the end of the PDF is missing".to_owned());
    }
    if contains(bytes, b"/Encrypt") {
        letter
            .warnings
            .push("the PDF is encrypted: the recipient may not be able to open it".to_owned());
    }
    if contains(bytes, b"/ByteRange") {
        letter.inner_signature = Some(if contains(bytes, b"ETSI.CAdES.detached") {
            "PAdES signature"
        } else if contains(bytes, b"adbe.pkcs7") {
            "PDF signature (adbe.pkcs7)"
        } else {
            "PDF signature of an unknown kind"
        });
    }
    letter
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}
