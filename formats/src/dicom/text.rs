//! Text of DICOM values: character repertoires of PS3.3 §C.12.1.1.2 and code extensions of PS3.5 §6.1.
//!
//! Japanese hospitals write names in ISO 2022: JIS X 0201 and JIS X 0208 in one value, switched by escape sequences.

use encoding_rs::{EUC_JP, EUC_KR, Encoding, GB18030, ISO_2022_JP, SHIFT_JIS, UTF_8, WINDOWS_1252};

const ESCAPE: u8 = 0x1b;

/// A value in the default repertoire, padding removed.
pub(super) fn plain(value: &[u8]) -> String {
    trim(&String::from_utf8_lossy(value))
}

/// (0008,0005) Specific Character Set.
pub(super) struct Charset {
    initial: &'static Encoding,
}

impl Default for Charset {
    fn default() -> Self {
        Self { initial: UTF_8 }
    }
}

impl Charset {
    /// The first value says how a text begins; escape sequences say the rest themselves.
    pub(super) fn parse(value: &str) -> Self {
        let first = value.split('\\').next().unwrap_or_default().trim();
        let label = match first
            .strip_prefix("ISO_IR ")
            .or_else(|| first.strip_prefix("ISO 2022 IR "))
            .unwrap_or(first)
        {
            "13" => return Self { initial: SHIFT_JIS }, // its single bytes are JIS X 0201
            "100" => return Self { initial: WINDOWS_1252 },
            "101" => "iso-8859-2",
            "109" => "iso-8859-3",
            "110" => "iso-8859-4",
            "126" => "iso-8859-7",
            "127" => "iso-8859-6",
            "138" => "iso-8859-8",
            "144" => "iso-8859-5",
            "148" => "iso-8859-9",
            "166" => "windows-874",
            "149" => return Self { initial: EUC_KR },
            "GB18030" | "GBK" | "58" => return Self { initial: GB18030 },
            _ => return Self::default(), // 6 and 192: ASCII and UTF-8; unknown ones show as replacement characters
        };
        Self {
            initial: Encoding::for_label(label.as_bytes()).unwrap_or(UTF_8),
        }
    }

    /// The value as text, padding removed.
    pub(super) fn decode(&self, value: &[u8]) -> String {
        let mut text = String::new();
        let mut segments = value.split(|byte| *byte == ESCAPE);
        if let Some(first) = segments.next() {
            text.push_str(&self.initial.decode_without_bom_handling(first).0);
        }
        for segment in segments {
            self.decode_segment(segment, &mut text);
        }
        trim(&text)
    }

    /// One segment, beginning with the rest of its escape sequence.
    fn decode_segment(&self, segment: &[u8], text: &mut String) {
        // Delimiters of a person's name return to the initial repertoire (PS3.5 §6.1.2.5.3), in double-byte sets too.
        let tail_at = |body: &[u8]| {
            body.iter()
                .position(|byte| matches!(byte, b'^' | b'=' | b'\\'))
                .unwrap_or(body.len())
        };
        if let Some(body) = segment.strip_prefix(b"$B").or_else(|| segment.strip_prefix(b"$@")) {
            // Within JIS X 0208 these bytes may be halves of a character: leave the whole run to the decoder.
            let mut run = vec![ESCAPE, b'$', b'B'];
            run.extend_from_slice(body);
            text.push_str(&ISO_2022_JP.decode_without_bom_handling(&run).0);
        } else if let Some(body) = segment.strip_prefix(b"$(D") {
            let euc: Vec<u8> = body
                .chunks(2)
                .flat_map(|pair| std::iter::once(0x8f).chain(pair.iter().map(|byte| byte | 0x80)))
                .collect();
            text.push_str(&EUC_JP.decode_without_bom_handling(&euc).0);
        } else if let Some(body) = segment.strip_prefix(b"$)C") {
            text.push_str(&EUC_KR.decode_without_bom_handling(body).0);
        } else if let Some(body) = segment
            .strip_prefix(b"(J")
            .or_else(|| segment.strip_prefix(b")I"))
            .or_else(|| segment.strip_prefix(b"(I"))
        {
            let (kana, tail) = body.split_at_checked(tail_at(body)).unwrap_or((body, &[]));
            text.push_str(&SHIFT_JIS.decode_without_bom_handling(kana).0);
            text.push_str(&self.initial.decode_without_bom_handling(tail).0);
        } else if let Some(body) = segment.strip_prefix(b"(B") {
            text.push_str(&self.initial.decode_without_bom_handling(body).0);
        } else {
            let body = segment.get(2..).unwrap_or_default();
            text.push_str(&self.initial.decode_without_bom_handling(body).0);
        }
    }
}

fn trim(text: &str) -> String {
    text.trim_matches(|c: char| c == ' ' || c == '\0').to_owned()
}
