//! The search behind the sniffer: what to look for in the rest of a file once its head has said what it is.

use super::{Hazard, hazardous_name};

/// Longest pattern that may straddle two pushes, with the local header of an archive member.
const WINDOW: usize = 512;
/// The bytes of an archive member's local header before its name.
const LOCAL_HEADER: usize = 30;

/// A running search. Keeps only the last [`WINDOW`] bytes.
#[derive(Debug, Clone)]
pub(super) struct Scan {
    family: Family,
    window: Vec<u8>,
}

/// What the head says the file is, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Pdf,
    Markup,
    Zip,
    Compound,
    Other,
}

impl Scan {
    pub(super) fn for_head(head: &[u8]) -> Self {
        let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
        let family = if head.windows(5).take(1024).any(|window| window == b"%PDF-") {
            Family::Pdf
        } else if head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06") {
            Family::Zip
        } else if head.starts_with(&[0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1]) {
            Family::Compound
        } else if text.starts_with(b"<") {
            Family::Markup
        } else {
            Family::Other
        };
        Self {
            family,
            window: Vec::new(),
        }
    }

    /// Looks at the window and the new bytes together, in pieces that bound memory.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Option<Hazard> {
        if self.family == Family::Other {
            return None;
        }
        for piece in bytes.chunks(64 * 1024) {
            self.window.extend_from_slice(piece);
            if let Some(hazard) = self.search(false) {
                return Some(hazard);
            }
            let surplus = self.window.len().saturating_sub(WINDOW);
            self.window.drain(..surplus);
        }
        None
    }

    pub(super) fn finish(self) -> Option<Hazard> {
        self.search(true)
    }

    fn search(&self, end: bool) -> Option<Hazard> {
        match self.family {
            Family::Other => None,
            Family::Pdf => active_pdf(&self.window, end).then_some(Hazard::ActivePdf),
            Family::Markup => active_markup(&self.window).then_some(Hazard::Script),
            Family::Compound => {
                const VBA: &[u8] = b"_\0V\0B\0A\0_\0P\0R\0O\0J\0E\0C\0T\0";
                contains(&self.window, VBA).then_some(Hazard::Macro)
            }
            Family::Zip => {
                if contains(&self.window, b"vbaProject.bin") {
                    Some(Hazard::Macro)
                } else {
                    archived_code(&self.window).then_some(Hazard::ArchivedCode)
                }
            }
        }
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

/// PDF names that make a viewer act. A name may write any character as `#` and two hex digits (ISO 32000-1 §7.3.5).
fn active_pdf(window: &[u8], end: bool) -> bool {
    const ACTIVE: [&[u8]; 4] = [b"JavaScript", b"JS", b"Launch", b"RichMedia"];
    let mut rest = window;
    while let Some(slash) = rest.iter().position(|byte| *byte == b'/') {
        let name = rest.get(slash + 1..).unwrap_or_default();
        let mut plain = Vec::with_capacity(16);
        let mut bytes = name.iter().copied();
        let complete = loop {
            match bytes.next() {
                None => break end,
                Some(b'#') => {
                    let mut digit = || bytes.next().and_then(|byte| char::from(byte).to_digit(16));
                    match (digit(), digit()) {
                        (Some(high), Some(low)) => plain.push(u8::try_from(high * 16 + low).unwrap_or(0)),
                        _ => break true,
                    }
                }
                Some(byte) if byte.is_ascii_whitespace() || byte == 0 || b"()<>[]{}/%".contains(&byte) => break true,
                Some(byte) => plain.push(byte),
            }
            if plain.len() > 16 {
                break true;
            }
        };
        if complete && ACTIVE.contains(&plain.as_slice()) {
            return true;
        }
        rest = name;
    }
    false
}

/// Script elements, event attributes and `javascript:` links in HTML, SVG or XML.
fn active_markup(window: &[u8]) -> bool {
    let lower = window.to_ascii_lowercase();
    [
        b"<script".as_slice(),
        b":script",
        b"javascript:",
        b" onload=",
        b" onerror=",
        b" onclick=",
        b"<iframe",
        b"<object",
        b"<embed",
    ]
    .iter()
    .any(|pattern| contains(&lower, pattern))
}

/// A local file header whose member has a name that a system would run.
fn archived_code(window: &[u8]) -> bool {
    window
        .windows(4)
        .enumerate()
        .filter(|(_, magic)| *magic == b"PK\x03\x04")
        .any(|(at, _)| {
            let Some([low, high]) = window.get(at + 26..at + 28) else {
                return false;
            };
            let length = usize::from(u16::from_le_bytes([*low, *high]));
            window
                .get(at + LOCAL_HEADER..at + LOCAL_HEADER + length)
                .is_some_and(|name| hazardous_name(&String::from_utf8_lossy(name)).is_some())
        })
}
