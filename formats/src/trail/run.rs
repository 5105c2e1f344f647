//! How far a text in JSON goes on without a quote, a backslash or a control character, eight bytes at a time. RFC 8259 §7.

const ONES: u64 = u64::MAX / 255;
const HIGH: u64 = ONES << 7;

/// So many of the eight bytes, first to last, are none of these.
pub(super) fn of_word(word: &[u8; 8]) -> usize {
    let word = u64::from_le_bytes(*word);
    // A byte that is zero, or less than n, borrows from those above it alone: the lowest that is marked is one.
    let zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
    let marks = zero(word ^ (ONES * u64::from(b'"'))) | zero(word ^ (ONES * u64::from(b'\\'))) | control;
    (marks.trailing_zeros() / 8) as usize
}

/// So many bytes of a text.
#[must_use]
pub fn of(text: &[u8]) -> usize {
    let (words, rest) = text.as_chunks::<8>();
    for (place, word) in words.iter().enumerate() {
        let run = of_word(word);
        if run < 8 {
            return place * 8 + run;
        }
    }
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
    words.len() * 8 + rest.iter().position(special).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_at_every_place() {
        for byte in 0..=u8::MAX {
            for place in 0..20 {
                for other in [b'a', 0x7f, 0x80, 0xff, 0x21, 0x23, 0x5b, 0x5d, 0x20] {
                    let mut text = [other; 20];
                    text[place] = byte;
                    // What comes behind a special one does not change where it is.
                    text[19] = b'"';
                    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
                    let expected = text.iter().position(special).unwrap();
                    assert_eq!(of(&text), expected, "{byte} {place} {other}");
                    assert_eq!(of(&text[..19]), expected.min(19));
                }
            }
        }
    }
}
