//! Two readers of one line: what is taken apart by hand, the parser reads the same, whoever wrote the line.

use proptest::prelude::*;
use proptest::sample::Index;

use super::{Entry, ExportLine, plain};
use crate::trail::commitment;
use crate::wire::FacilityCode;

const OF: &str = "1310000001";

/// What may stand where it should not.
const PIECES: [&[u8]; 40] = [
    b"\"",
    b"\\",
    b"\\\"",
    b"\\\\",
    b"\\/",
    b"\\b",
    b"\\f",
    b"\\n",
    b"\\u0000",
    b"\\u0041",
    b"\\ud800",
    b"\\udc00",
    b"\\ud83d\\ude00",
    b"\\u",
    b"\\x41",
    b"\0",
    b"\x1f",
    b"\x7f",
    b"\xff",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xef\xbb\xbf",
    b"{",
    b"}",
    b"[",
    b",",
    b":",
    b" ",
    b"\t",
    b"\r",
    b"\n",
    b"0",
    b"-",
    b"+",
    b"e1",
    b".0",
    b"null",
    b"=",
    b"18446744073709551616",
];
/// What else may stand for a part of a line.
const INSTEAD: [(&str, &str); 24] = [
    ("{\"position\":", "{ \"position\":"),
    ("{\"position\":", "{\"\\u0070osition\":"),
    ("{\"position\":", "{\"position\":0"),
    ("{\"position\":", "{\"position\":-"),
    ("{\"position\":", "{\"position\":\"1\",\"x\":"),
    ("{\"position\":", "{\"position\":1,\"position\":"),
    ("{\"position\":", "{\"position\":1,\"erased\":true,\"x\":"),
    ("{\"position\":", "{\"position\":18446744073709551615,\"x\":"),
    ("{\"position\":", "{\"position\":18446744073709551616,\"x\":"),
    (",\"body\":", ".0,\"body\":"),
    (",\"body\":", "e0,\"body\":"),
    (",\"body\":", " ,\"body\":"),
    (",\"body\":", ",\"body\":null,\"body\":"),
    (",\"body\":", ",\"body\":\"\",\"salt\":\"\",\"x\":"),
    (",\"salt\":\"", ",\"salt\":\"\\u0041"),
    (",\"salt\":\"", ",\"salt\": \""),
    (",\"salt\":\"", ",\"salt\":\"="),
    ("\",\"commitment\":\"", "\",\"commitment\":\"A"),
    ("\",\"commitment\":\"", "\",\"commitment\":null}"),
    ("\",\"commitment\":\"", "\"}"),
    ("=\"}", "\"}"),
    ("=\"}", "=\"} "),
    ("=\"}", "=\",\"erased\":null}"),
    ("=\"}", "=\",\"erased\":false}"),
];

/// Reads a line in both ways; whether it was taken apart by hand.
fn agree(line: &[u8]) -> bool {
    let (mut room, facility) = (b"left from another line".to_vec(), OF.parse::<FacilityCode>().unwrap());
    for whose in [None, Some(&facility)] {
        let (read, parsed) = (
            ExportLine::read_in(line, whose, &mut room),
            ExportLine::parsed(line, whose),
        );
        assert_eq!(read, parsed, "{}", line.escape_ascii());
    }
    plain::record(line, &mut room).is_some()
}

fn line(position: u64, body: &str, salt: [u8; 32]) -> Vec<u8> {
    let mut line = Vec::new();
    Entry::push_record(&mut line, position, body, &salt, &commitment(&salt, body.as_bytes()));
    line
}

/// Bodies as records have them, and any text at all.
fn body() -> impl Strategy<Value = String> {
    prop_oneof![
        (any::<u64>(), "[^\\x00-\\x1f]*").prop_map(|(number, text)| {
            serde_json::json!({"facility_seq": {OF: number}, "kind": "Head", "day": text}).to_string()
        }),
        any::<String>(),
        "[\"\\\\/\\x00-\\x20a-c飛]*",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn as_written(position: u64, body in body(), salt: [u8; 32]) {
        let by_hand = agree(&line(position, &body, salt));
        let escaped = |c: char| c < ' ' && !"\n\r\t".contains(c);
        prop_assert_eq!(by_hand, !body.contains(escaped));
    }

    /// Bytes put in, taken out and exchanged, anywhere in a line.
    #[test]
    fn as_an_attacker_leaves_it(
        position: u64,
        body in body(),
        salt: [u8; 32],
        edits in prop::collection::vec((any::<Index>(), 0_usize..4, any::<Index>(), any::<u8>()), 1..4),
    ) {
        let mut line = line(position, &body, salt);
        for (at, kind, piece, byte) in edits {
            let at = at.index(line.len());
            match kind {
                0 => { line.splice(at..at, PIECES[piece.index(PIECES.len())].iter().copied()); }
                1 => { line.remove(at); }
                2 => line[at] = byte,
                _ => line.truncate(at + 1),
            }
            if line.is_empty() {
                break;
            }
            agree(&line);
        }
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        agree(&bytes);
    }
}

#[test]
fn every_piece_at_every_place() {
    let written = line(70_000, "{\"a\":\"飛脚\\n\"}\\", [3; 32]);
    let mut by_hand = 0;
    for at in 0..=written.len() {
        for piece in PIECES {
            by_hand += u32::from(agree(&[&written[..at], piece, &written[at..]].concat()));
            let over = written.get(at + piece.len()..).unwrap_or_default();
            by_hand += u32::from(agree(&[&written[..at], piece, over].concat()));
        }
    }
    assert!(by_hand > 100, "{by_hand}");
    let written = String::from_utf8(written).unwrap();
    for (part, instead) in INSTEAD {
        assert!(written.contains(part), "{part}");
        let line = written.replacen(part, instead, 1);
        assert!(!agree(line.as_bytes()) || instead == "=\"} ", "{line}");
    }
}
