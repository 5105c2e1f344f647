//! The line of a record just as [`Entry::push_record`](super::Entry::push_record) writes it, taken apart without a parser. Most of
//! an export is such lines; every other is left to the parser, and both say the same of a line.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::trail::run;

/// What stands in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plain<'a> {
    pub(super) position: u64,
    pub(super) body: &'a str,
    pub(super) salt: [u8; 32],
    pub(super) commitment: [u8; 32],
}

/// Takes a line apart; its body goes into `room`. `None`: it may be a line all the same, written in another way.
pub(super) fn record<'a>(line: &[u8], room: &'a mut Vec<u8>) -> Option<Plain<'a>> {
    let rest = line.strip_prefix(b"{\"position\":")?;
    let (position, rest) = number(rest)?;
    let (rest, length) = body(rest.strip_prefix(b",\"body\":\"")?, room)?;
    let (salt, rest) = bytes(rest.strip_prefix(b",\"salt\":\"")?)?;
    let (commitment, rest) = bytes(rest.strip_prefix(b"\",\"commitment\":\"")?)?;
    let ended = matches!(rest, b"\"}\n" | b"\"}");
    let body = std::str::from_utf8(room.get(..length)?).ok()?;
    ended.then_some(Plain {
        position,
        body,
        salt,
        commitment,
    })
}

/// A number without a sign, as JSON has it.
fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = text.split_at_checked(length)?;
    if digits.len() > 1 && digits.starts_with(b"0") {
        return None;
    }
    Some((std::str::from_utf8(digits).ok()?.parse().ok()?, rest))
}

/// The text up to its closing quote, its short escapes undone, at the begin of `room`; what follows it, and its length there.
/// RFC 8259 §7.
fn body<'a>(text: &'a [u8], room: &mut Vec<u8>) -> Option<(&'a [u8], usize)> {
    // No longer than it was, and a word more.
    if room.len() < text.len() + 8 {
        room.resize(text.len() + 8, 0);
    }
    let (mut left, mut length) = (text, 0);
    loop {
        // Eight at a time: what of them is not of the run is written over.
        while let Some(word) = left.first_chunk::<8>() {
            *room.get_mut(length..)?.first_chunk_mut::<8>()? = *word;
            let run = run::of_word(word);
            left = left.get(run..)?;
            length += run;
            if run < 8 {
                break;
            }
        }
        let (byte, rest) = match left {
            [b'"', rest @ ..] => return Some((rest, length)),
            [b'\\', escaped, rest @ ..] => {
                let byte = match escaped {
                    b'"' | b'\\' | b'/' => *escaped,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    _ => return None,
                };
                (byte, rest)
            }
            [b'\\' | 0..0x20, ..] | [] => return None,
            // The last few of a line.
            [byte, rest @ ..] => (*byte, rest),
        };
        *room.get_mut(length)? = byte;
        left = rest;
        length += 1;
    }
}

/// 32 bytes of base64.
fn bytes(text: &[u8]) -> Option<([u8; 32], &[u8])> {
    let (text, rest) = text.split_at_checked(44)?;
    let mut room = [0; 36];
    let length = STANDARD.decode_slice(text, &mut room).ok()?;
    let found = room.first_chunk().filter(|_| length == 32)?;
    Some((*found, rest))
}

#[cfg(test)]
mod tests {
    use super::super::Entry;
    use super::*;
    use crate::trail::commitment;

    #[test]
    fn what_is_written_is_taken_apart_and_nothing_else() {
        let mut room = Vec::new();
        for body in ["", "{}", "{\"a\":\"飛脚\\n\\\"\"}", "a\\b\"c\n\r\t/", "é\u{10ffff}"] {
            let (mut line, entry) = (Vec::new(), commitment(&[3; 32], body.as_bytes()));
            Entry::push_record(&mut line, 1_234_567, body, &[3; 32], &entry);
            let plain = Plain {
                position: 1_234_567,
                body,
                salt: [3; 32],
                commitment: entry,
            };
            assert_eq!(record(&line, &mut room), Some(plain));
            for cut in 0..line.len() - 1 {
                assert_eq!(record(&line[..cut], &mut room), None, "{cut}");
            }
            let text = String::from_utf8(line).unwrap();
            for (from, to) in [
                (":1234567,", ":01234567,"),
                (":1234567,", ":-1234567,"),
                (":1234567,", ":99999999999999999999,"),
                (":1234567,", ":,"),
                ("{\"position\"", "{ \"position\""),
                ("\"}\n", "\"}\n\n"),
                ("\"}\n", "\",\"more\":1}\n"),
                ("=\",\"commitment", "A\",\"commitment"),
                (",\"body\":\"", ",\"body\":\"\u{1}"),
                (",\"body\":\"", ",\"body\":\"\\q"),
                (",\"body\":\"", ",\"body\":\"\\u0041"),
            ] {
                assert_eq!(record(text.replacen(from, to, 1).as_bytes(), &mut room), None, "{to}");
            }
        }
        assert_eq!(
            record(b"{\"position\":1,\"body\":\"\xff\",\"salt\":\"", &mut room),
            None
        );
    }
}
