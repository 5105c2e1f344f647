//! Where markup ends in a stream of XML bytes, so that the XML reader is only asked about what is there.
//!
//! It need not know XML better than that: where it is mistaken, the reader misses bytes or finds too many and refuses.

/// What the next byte is part of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Tokens {
    /// Text, up to the next `<`.
    #[default]
    Text,
    /// `<` has passed.
    Opened,
    /// A tag; the quote that is open in it.
    Tag(Option<u8>),
    /// `<?`, and whether the last byte may begin its end.
    Instruction(bool),
    /// `<!`.
    Bang,
    /// `<!-`.
    Dash,
    /// `<!--`, and how many bytes of its end have passed.
    Comment(u8),
    /// `<![`, and how many bytes of its end have passed.
    Section(u8),
}

impl Tokens {
    /// Takes bytes up to the next end of markup; returns where it lies, or `None` having taken all.
    pub(super) fn end(&mut self, bytes: &[u8]) -> Option<usize> {
        let at = bytes.iter().position(|byte| self.ends_with(*byte))?;
        *self = Self::Text;
        Some(at + 1)
    }

    fn ends_with(&mut self, byte: u8) -> bool {
        *self = match (*self, byte) {
            (Self::Text, b'<') => Self::Opened,
            (Self::Text, _) => Self::Text,
            (Self::Opened, b'?') => Self::Instruction(false),
            (Self::Opened, b'!') => Self::Bang,
            (Self::Instruction(true), b'>') | (Self::Opened | Self::Tag(None), b'>') => return true,
            (Self::Instruction(_), _) => Self::Instruction(byte == b'?'),
            (Self::Opened | Self::Tag(None), b'"' | b'\'') => Self::Tag(Some(byte)),
            (Self::Opened, _) => Self::Tag(None),
            (Self::Tag(Some(quote)), _) if quote == byte => Self::Tag(None),
            (Self::Tag(quote), _) => Self::Tag(quote),
            (Self::Bang, b'-') => Self::Dash,
            (Self::Bang, b'[') => Self::Section(0),
            (Self::Dash, b'-') => Self::Comment(0),
            // A DOCTYPE, or nothing XML knows: refused whole, wherever it ends.
            (Self::Bang | Self::Dash, _) => return true,
            (Self::Comment(2) | Self::Section(2), b'>') => return true,
            (Self::Comment(passed), _) => Self::Comment(if byte == b'-' { (passed + 1).min(2) } else { 0 }),
            (Self::Section(passed), _) => Self::Section(if byte == b']' { (passed + 1).min(2) } else { 0 }),
        };
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_end_where_markup_ends() {
        let table: &[(&str, &[&str])] = &[
            ("<a b='>' c=\">\">x</a>", &["<a b='>' c=\">\">", "x</a>"]),
            ("<?x a>b ?><b/> ", &["<?x a>b ?>", "<b/>"]),
            ("<!-- -> - --><a>", &["<!-- -> - -->", "<a>"]),
            ("<!--->--><a>", &["<!--->-->", "<a>"]),
            ("x<![CDATA[ <a> ]> ]]]>]]><a>", &["x<![CDATA[ <a> ]> ]]]>", "]]><a>"]),
            ("<!DOCTYPE", &["<!D"]),
            ("<a", &[]),
        ];
        for (text, expected) in table {
            for piece in [1, 3, usize::MAX] {
                let (mut tokens, mut found, mut token) = (Tokens::default(), Vec::new(), Vec::new());
                for mut bytes in text.as_bytes().chunks(piece.min(text.len())) {
                    while let Some(end) = tokens.end(bytes) {
                        token.extend_from_slice(&bytes[..end]);
                        found.push(String::from_utf8(std::mem::take(&mut token)).unwrap());
                        bytes = &bytes[end..];
                    }
                    token.extend_from_slice(bytes);
                }
                assert_eq!(&found[..expected.len()], *expected, "{text} {piece}");
            }
        }
    }
}
