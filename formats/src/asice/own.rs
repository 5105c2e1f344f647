//! What an entry of the container itself is, by its name: ETSI EN 319 162-1 §4.4.3 and annex A.

use crate::envelope::ENVELOPE_PATH;

/// The entries that belong to the container itself. The stars of `META-INF/*signature*.p7s` do not match a slash.
pub(super) enum Own {
    Mimetype,
    Envelope,
    Manifest,
    Signature,
    Archive,
    Token,
    Other,
}

pub(super) fn kind(name: &str) -> Own {
    let Some(meta) = name.strip_prefix("META-INF/") else {
        return if name == ENVELOPE_PATH {
            Own::Envelope
        } else {
            Own::Mimetype
        };
    };
    let flat = !meta.contains('/');
    if flat && meta.starts_with("ASiCManifest") && meta.ends_with(".xml") {
        Own::Manifest
    } else if flat && meta.contains("signature") && meta.ends_with(".p7s") {
        Own::Signature
    } else if flat && meta.starts_with("ASiCArchiveManifest") && meta.ends_with(".xml") {
        Own::Archive
    } else if is_token(name) {
        Own::Token
    } else {
        Own::Other
    }
}

pub(super) fn is_token(name: &str) -> bool {
    let meta = name.strip_prefix("META-INF/");
    meta.is_some_and(|meta| !meta.contains('/') && meta.contains("timestamp") && meta.ends_with(".tst"))
}

pub(super) fn is_own(name: &str) -> bool {
    name == "mimetype" || name.starts_with("META-INF/")
}
