//! Canonical JSON, [RFC 8785](https://www.rfc-editor.org/rfc/rfc8785), of what records are made of, in one pass and one buffer.
//!
//! A commit waits for the body of its record; the library for all of JSON takes half of the commit's time for it. What is not
//! known here (names beyond ASCII, fractions, numbers beyond 2^53) is left to that library, and both write the same.

use std::io::{self, Write as _};

use serde::Serialize;
use serde_json::ser::{CharEscape, Formatter, Serializer};

/// Bytes of a body, as most are.
const BODY: usize = 2048;
/// Integers up to here are written as they are. RFC 8785 §3.2.2.3: beyond, a number is a double.
const EXACT: u64 = 1 << 53;

/// The canonical form; `None`: it has something that is not known here, or cannot be written at all.
pub(super) fn canonical(value: &impl Serialize) -> Option<String> {
    let mut written = Vec::new();
    let canonical = Canonical {
        out: Vec::with_capacity(BODY),
        ..Canonical::default()
    };
    value
        .serialize(&mut Serializer::with_formatter(&mut written, canonical))
        .ok()?;
    String::from_utf8(written).ok()
}

/// Writes into memory of its own, where members of an object are put in order when it ends.
#[derive(Default)]
struct Canonical {
    out: Vec<u8>,
    /// The objects that are open: where each begins, and its first member.
    open: Vec<(usize, usize)>,
    members: Vec<Member>,
    room: Vec<u8>,
    arrays: usize,
}

/// A member of an object, as places in the buffer.
#[derive(Clone, Copy)]
struct Member {
    begin: usize,
    /// Where its name ends, the quote included.
    named: usize,
    end: usize,
}

impl Canonical {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    /// Hands over what is written, where nothing is open any more.
    fn hand_over<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        if self.open.is_empty() && self.arrays == 0 {
            writer.write_all(&self.out)?;
            self.out.clear();
        }
        Ok(())
    }

    /// Its name, without quotes.
    fn name(&self, member: &Member) -> &[u8] {
        self.out
            .get(member.begin + 1..member.named.saturating_sub(1))
            .unwrap_or_default()
    }

    /// Puts the members from `first` on in the order of their names: the object begins at `start`.
    fn sort(&mut self, start: usize, first: usize) {
        let members = self.members.get(first..).unwrap_or_default();
        if members.is_sorted_by(|a, b| self.name(a) <= self.name(b)) {
            return;
        }
        let mut members = members.to_vec();
        members.sort_by(|a, b| self.name(a).cmp(self.name(b)));
        self.room.clear();
        for member in members {
            if !self.room.is_empty() {
                self.room.push(b',');
            }
            let text = self.out.get(member.begin..member.end).unwrap_or_default();
            self.room.extend_from_slice(text);
        }
        self.out.truncate(start + 1);
        self.out.extend_from_slice(&self.room);
    }
}

fn unknown() -> io::Error {
    io::ErrorKind::Unsupported.into()
}

/// Methods of a formatter that write a number.
macro_rules! numbers {
    ($($name:ident: $kind:ty),*) => {$(
        fn $name<W: ?Sized + io::Write>(&mut self, writer: &mut W, number: $kind) -> io::Result<()> {
            self.write_i64(writer, number.into())
        }
    )*};
}

impl Formatter for Canonical {
    numbers!(write_i8: i8, write_i16: i16, write_i32: i32, write_u8: u8, write_u16: u16, write_u32: u32);

    fn write_null<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.put(b"null")?;
        self.hand_over(writer)
    }
    fn write_bool<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: bool) -> io::Result<()> {
        self.put(if value { b"true" } else { b"false" })?;
        self.hand_over(writer)
    }
    fn write_i64<W: ?Sized + io::Write>(&mut self, writer: &mut W, number: i64) -> io::Result<()> {
        if number.unsigned_abs() > EXACT {
            return Err(unknown());
        }
        write!(self.out, "{number}")?;
        self.hand_over(writer)
    }
    fn write_u64<W: ?Sized + io::Write>(&mut self, writer: &mut W, number: u64) -> io::Result<()> {
        self.write_i64(writer, i64::try_from(number).map_err(|_| unknown())?)
    }
    fn write_i128<W: ?Sized + io::Write>(&mut self, _writer: &mut W, _number: i128) -> io::Result<()> {
        Err(unknown())
    }
    fn write_u128<W: ?Sized + io::Write>(&mut self, _writer: &mut W, _number: u128) -> io::Result<()> {
        Err(unknown())
    }
    fn write_f32<W: ?Sized + io::Write>(&mut self, _writer: &mut W, _number: f32) -> io::Result<()> {
        Err(unknown())
    }
    fn write_f64<W: ?Sized + io::Write>(&mut self, _writer: &mut W, _number: f64) -> io::Result<()> {
        Err(unknown())
    }
    fn write_number_str<W: ?Sized + io::Write>(&mut self, _writer: &mut W, _number: &str) -> io::Result<()> {
        Err(unknown())
    }
    fn write_raw_fragment<W: ?Sized + io::Write>(&mut self, _writer: &mut W, _text: &str) -> io::Result<()> {
        Err(unknown())
    }

    fn begin_string<W: ?Sized + io::Write>(&mut self, _writer: &mut W) -> io::Result<()> {
        self.put(b"\"")
    }
    fn end_string<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.put(b"\"")?;
        self.hand_over(writer)
    }
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, _writer: &mut W, text: &str) -> io::Result<()> {
        self.put(text.as_bytes())
    }
    /// RFC 8785 §3.2.2.2
    fn write_char_escape<W: ?Sized + io::Write>(&mut self, _writer: &mut W, escape: CharEscape) -> io::Result<()> {
        match escape {
            CharEscape::Quote => self.put(b"\\\""),
            CharEscape::ReverseSolidus => self.put(b"\\\\"),
            CharEscape::Solidus => self.put(b"/"),
            CharEscape::Backspace => self.put(b"\\b"),
            CharEscape::FormFeed => self.put(b"\\f"),
            CharEscape::LineFeed => self.put(b"\\n"),
            CharEscape::CarriageReturn => self.put(b"\\r"),
            CharEscape::Tab => self.put(b"\\t"),
            CharEscape::AsciiControl(byte) => write!(self.out, "\\u{byte:04x}"),
        }
    }

    fn begin_array<W: ?Sized + io::Write>(&mut self, _writer: &mut W) -> io::Result<()> {
        self.arrays += 1;
        self.put(b"[")
    }
    fn end_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.arrays = self.arrays.saturating_sub(1);
        self.put(b"]")?;
        self.hand_over(writer)
    }
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, _writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { self.put(b",") }
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, _writer: &mut W) -> io::Result<()> {
        self.open.push((self.out.len(), self.members.len()));
        self.put(b"{")
    }
    fn begin_object_key<W: ?Sized + io::Write>(&mut self, _writer: &mut W, first: bool) -> io::Result<()> {
        if !first {
            self.put(b",")?;
        }
        let begin = self.out.len();
        self.members.push(Member {
            begin,
            named: begin,
            end: begin,
        });
        Ok(())
    }
    fn end_object_key<W: ?Sized + io::Write>(&mut self, _writer: &mut W) -> io::Result<()> {
        let named = self.out.len();
        let member = self.members.last_mut().ok_or_else(unknown)?;
        member.named = named;
        // The order is that of UTF-16, which is that of bytes in ASCII without escapes.
        let name = self.out.get(member.begin..).unwrap_or_default();
        let plain = name.is_ascii() && !name.contains(&b'\\');
        if plain { Ok(()) } else { Err(unknown()) }
    }
    fn begin_object_value<W: ?Sized + io::Write>(&mut self, _writer: &mut W) -> io::Result<()> {
        self.put(b":")
    }
    fn end_object_value<W: ?Sized + io::Write>(&mut self, _writer: &mut W) -> io::Result<()> {
        Ok(())
    }
    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        let (start, first) = self.open.pop().ok_or_else(unknown)?;
        // Each ends before the comma of the next, the last where the object does.
        let mut end = self.out.len();
        for member in self.members.iter_mut().skip(first).rev() {
            member.end = end;
            end = member.begin.saturating_sub(1);
        }
        self.sort(start, first);
        self.members.truncate(first);
        self.put(b"}")?;
        self.hand_over(writer)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    use super::*;

    /// Any JSON; names and numbers as records have them, or any.
    fn json(plain: bool) -> impl Strategy<Value = Value> {
        let number = if plain {
            (-(1_i64 << 53)..=(1 << 53)).prop_map(Value::from).boxed()
        } else {
            prop_oneof![
                any::<u64>().prop_map(Value::from),
                any::<i64>().prop_map(Value::from),
                any::<f64>().prop_map(Value::from)
            ]
            .boxed()
        };
        let name = if plain {
            "[ !#-\\[\\]-~]{0,6}"
        } else {
            ".{0,4}|[\\x00-\\x7f]{0,4}"
        };
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            number,
            any::<String>().prop_map(Value::from),
            "[\\x00-\\x7f]*".prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 64, 8, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                prop::collection::vec((name, inner), 0..8)
                    .prop_map(|members| Value::from(members.into_iter().collect::<Map<_, _>>())),
            ]
        })
    }

    /// As a value whose members come in the order they were given.
    struct Given<'a>(&'a [(String, Value)]);

    impl Serialize for Given<'_> {
        fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            to.collect_map(self.0.iter().map(|(name, value)| (name, value)))
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn as_the_library_writes_it(value in json(true), names in prop::collection::btree_set("[ !#-\\[\\]-~]{0,6}", 0..8), seed: u64) {
            let wanted = serde_json_canonicalizer::to_string(&value).unwrap();
            prop_assert_eq!(canonical(&value), Some(wanted));
            let mut members: Vec<_> = names.into_iter().map(|name| (name, value.clone())).collect();
            // In some order.
            let length = members.len().max(1);
            members.rotate_left(usize::try_from(seed % 8).unwrap() % length);
            if seed.is_multiple_of(2) {
                members.reverse();
            }
            prop_assert_eq!(canonical(&Given(&members)), Some(serde_json_canonicalizer::to_string(&Given(&members)).unwrap()));
        }

        #[test]
        fn what_is_not_known_is_left_to_it(value in json(false)) {
            let wanted = serde_json_canonicalizer::to_string(&value).ok();
            let written = canonical(&value);
            prop_assert!(written.is_none() || written == wanted, "{:?}", written);
        }
    }

    #[test]
    fn integers_are_exact_as_far_as_doubles_are() {
        for number in [0, 1, EXACT - 1, EXACT] {
            assert_eq!(
                canonical(&number),
                Some(serde_json_canonicalizer::to_string(&number).unwrap())
            );
        }
        for value in [
            Value::from(EXACT + 1),
            Value::from(i64::MIN),
            Value::from(0.5),
            serde_json::json!({"é": 1}),
            serde_json::json!({"a\n": 1}),
        ] {
            assert_eq!(canonical(&value), None);
        }
    }
}
