//! PDF values, ISO 32000-1 §7.3, and the parser that reads one of them: no recursion, bounded depth, count and size.

use std::ops::Range;

use super::PdfError;

/// Deepest nesting of arrays and dictionaries.
const MAX_DEPTH: usize = 64;
/// Most values in one object. A page tree's largest node and a form's field list stay far below.
const MAX_VALUES: usize = 250_000;
/// Longest name in bytes; ISO 32000-1 Annex C says 127.
const MAX_NAME: usize = 1024;

/// `12 0 R`, or the `12 0` of `12 0 obj`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Reference {
    pub(super) number: u32,
    pub(super) generation: u16,
}

/// One value. A stream is its dictionary; its bytes are read where they are needed.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Object {
    Null,
    Boolean(bool),
    Integer(i64),
    /// As written: reals are only ever compared.
    Real(Box<[u8]>),
    Name(Box<[u8]>),
    String(Box<[u8]>),
    Array(Vec<Object>),
    Dictionary(Dictionary),
    Reference(Reference),
}

/// `<< … >>`. No key occurs twice: two readers would take different ones.
#[derive(Clone, Default)]
pub(super) struct Dictionary {
    entries: Vec<Entry>,
}

#[derive(Clone)]
struct Entry {
    key: Box<[u8]>,
    value: Object,
    /// Where the value stands, in the bytes parsed.
    span: Range<usize>,
}

impl PartialEq for Dictionary {
    /// By keys and values, wherever they stand. Keys are sorted.
    fn eq(&self, other: &Self) -> bool {
        self.entries.len() == other.entries.len() && self.iter().zip(other.iter()).all(|(one, two)| one == two)
    }
}

impl Eq for Dictionary {}

impl Dictionary {
    pub(super) fn get(&self, key: &str) -> Option<&Object> {
        self.entry(key).map(|entry| &entry.value)
    }

    pub(super) fn span(&self, key: &str) -> Option<Range<usize>> {
        self.entry(key).map(|entry| entry.span.clone())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &Object)> {
        self.entries.iter().map(|entry| (&*entry.key, &entry.value))
    }

    pub(super) fn name(&self, key: &str) -> Option<&[u8]> {
        self.get(key).and_then(Object::name)
    }

    /// Those of these keys whose values are references.
    pub(super) fn references_of(&self, keys: &[&str]) -> Self {
        let wanted = |entry: &&Entry| {
            let named = keys.iter().any(|key| key.as_bytes() == &*entry.key);
            named && entry.value.reference().is_some()
        };
        Self {
            entries: self.entries.iter().filter(wanted).cloned().collect(),
        }
    }

    pub(super) fn integer(&self, key: &str) -> Option<i64> {
        match self.get(key) {
            Some(Object::Integer(value)) => Some(*value),
            _ => None,
        }
    }

    fn entry(&self, key: &str) -> Option<&Entry> {
        let found = self
            .entries
            .binary_search_by(|entry| (*entry.key).cmp(key.as_bytes()))
            .ok()?;
        self.entries.get(found)
    }

    /// Takes keys and values as they stand between `<<` and `>>`.
    fn new(values: Vec<(Object, Range<usize>)>) -> Result<Self, PdfError> {
        let mut entries = Vec::with_capacity(values.len() / 2);
        let mut values = values.into_iter();
        while let Some((key, _)) = values.next() {
            let Object::Name(key) = key else {
                return Err(PdfError::Malformed("a dictionary's key is not a name"));
            };
            let (value, span) = values
                .next()
                .ok_or(PdfError::Malformed("a dictionary's key has no value"))?;
            entries.push(Entry { key, value, span });
        }
        entries.sort_by(|one, two| one.key.cmp(&two.key));
        let twice = entries
            .iter()
            .zip(entries.iter().skip(1))
            .any(|(one, two)| one.key == two.key);
        if twice {
            return Err(PdfError::Malformed("a dictionary has a key twice"));
        }
        // Null is the same as absent (§7.3.7).
        entries.retain(|entry| entry.value != Object::Null);
        Ok(Self { entries })
    }
}

impl Object {
    pub(super) fn name(&self) -> Option<&[u8]> {
        match self {
            Self::Name(name) => Some(name),
            _ => None,
        }
    }

    pub(super) fn string(&self) -> Option<&[u8]> {
        match self {
            Self::String(bytes) => Some(bytes),
            _ => None,
        }
    }

    pub(super) fn array(&self) -> Option<&[Self]> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    pub(super) fn dictionary(&self) -> Option<&Dictionary> {
        match self {
            Self::Dictionary(dictionary) => Some(dictionary),
            _ => None,
        }
    }

    pub(super) fn reference(&self) -> Option<Reference> {
        match self {
            Self::Reference(reference) => Some(*reference),
            _ => None,
        }
    }

    /// Every reference in it. The depth is the parser's.
    pub(super) fn references(&self) -> Vec<Reference> {
        let (mut found, mut waiting) = (Vec::new(), vec![self]);
        while let Some(object) = waiting.pop() {
            match object {
                Self::Reference(reference) => found.push(*reference),
                Self::Array(items) => waiting.extend(items),
                Self::Dictionary(dictionary) => waiting.extend(dictionary.iter().map(|(_, value)| value)),
                _ => {}
            }
        }
        found
    }
}

/// Reads values from bytes, from a position on.
pub(super) struct Parser<'b> {
    bytes: &'b [u8],
    pub(super) position: usize,
}

/// What may stand where a value is expected.
enum Token {
    Value(Object),
    Open(Opened),
    Close(Opened),
    /// `R`
    ReferenceMark,
    /// Any other bare word.
    Word,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Opened {
    Array,
    Dictionary,
}

/// An array or dictionary whose end has not come yet.
struct Frame {
    opened: Opened,
    start: usize,
    values: Vec<(Object, Range<usize>)>,
}

const CUT: PdfError = PdfError::Malformed("an object ends in the middle");

impl<'b> Parser<'b> {
    pub(super) fn at(bytes: &'b [u8], position: usize) -> Self {
        Self { bytes, position }
    }

    /// The value at the position. Whether two integers and an `R` follow each other is looked at here too.
    pub(super) fn value(&mut self) -> Result<Object, PdfError> {
        let mut open: Vec<Frame> = Vec::new();
        let mut count = 0_usize;
        loop {
            self.skip_space();
            let start = self.position;
            let finished = match self.token()? {
                Token::Value(value) => {
                    if open.is_empty() {
                        return Ok(self.reference_after(&value).unwrap_or(value));
                    }
                    Some((value, start..self.position))
                }
                Token::Open(opened) => {
                    if open.len() >= MAX_DEPTH {
                        return Err(PdfError::TooMuch("an object is nested too deep"));
                    }
                    open.push(Frame {
                        opened,
                        start,
                        values: Vec::new(),
                    });
                    None
                }
                Token::Close(closed) => {
                    let frame = open.pop().filter(|frame| frame.opened == closed);
                    let frame = frame.ok_or(PdfError::Malformed("brackets do not match"))?;
                    let value = match closed {
                        Opened::Array => Object::Array(frame.values.into_iter().map(|(value, _)| value).collect()),
                        Opened::Dictionary => Object::Dictionary(Dictionary::new(frame.values)?),
                    };
                    if open.is_empty() {
                        return Ok(value);
                    }
                    Some((value, frame.start..self.position))
                }
                Token::ReferenceMark => {
                    let frame = open.last_mut().ok_or(PdfError::Malformed("an R stands alone"))?;
                    refer(frame, self.position)?;
                    None
                }
                Token::Word => return Err(PdfError::Malformed("an unknown word stands inside an object")),
            };
            if let (Some(value), Some(frame)) = (finished, open.last_mut()) {
                count += 1;
                if count > MAX_VALUES {
                    return Err(PdfError::TooMuch("an object holds too many values"));
                }
                frame.values.push(value);
            }
        }
    }

    /// `N G obj`.
    pub(super) fn object_header(&mut self) -> Result<Reference, PdfError> {
        const WRONG: PdfError = PdfError::Malformed("no object stands where the cross-reference table says");
        let number = self.unsigned().ok_or(WRONG)?;
        let generation = self.unsigned().ok_or(WRONG)?;
        self.keyword(b"obj").then_some(()).ok_or(WRONG)?;
        Ok(Reference {
            number: u32::try_from(number).map_err(|_| WRONG)?,
            generation: u16::try_from(generation).map_err(|_| WRONG)?,
        })
    }

    /// Digits alone, after white space.
    pub(super) fn unsigned(&mut self) -> Option<u64> {
        self.skip_space();
        let rest = self.bytes.get(self.position..)?;
        let length = rest.iter().take(20).take_while(|byte| byte.is_ascii_digit()).count();
        let value = std::str::from_utf8(rest.get(..length)?).ok()?.parse().ok()?;
        self.position += length;
        Some(value)
    }

    /// Steps over `word` after white space, if a delimiter follows it.
    pub(super) fn keyword(&mut self, word: &[u8]) -> bool {
        self.skip_space();
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let ends = rest.get(word.len()).is_none_or(|next| !is_regular(*next));
        let here = rest.starts_with(word) && ends;
        if here {
            self.position += word.len();
        }
        here
    }

    /// Steps over white space and comments; a `%%EOF` is none.
    pub(super) fn skip_space(&mut self) {
        while let Some(byte) = self.peek() {
            match byte {
                _ if is_space(byte) => self.position += 1,
                b'%' if !self.rest().starts_with(b"%%EOF") => {
                    let line = self.rest().iter().position(|byte| matches!(byte, b'\r' | b'\n'));
                    self.position += line.unwrap_or(self.rest().len());
                }
                _ => return,
            }
        }
    }

    pub(super) fn rest(&self) -> &'b [u8] {
        self.bytes.get(self.position..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.position).copied()
    }

    /// Outside of arrays nothing but `N G R` begins with an integer and is longer.
    fn reference_after(&mut self, value: &Object) -> Option<Object> {
        let Object::Integer(number) = value else { return None };
        let mut ahead = Self::at(self.bytes, self.position);
        let generation = ahead.unsigned()?;
        if !ahead.keyword(b"R") {
            return None;
        }
        let reference = Reference {
            number: u32::try_from(*number).ok()?,
            generation: u16::try_from(generation).ok()?,
        };
        self.position = ahead.position;
        Some(Object::Reference(reference))
    }

    fn token(&mut self) -> Result<Token, PdfError> {
        let first = self.peek().ok_or(CUT)?;
        let second = self.bytes.get(self.position + 1).copied();
        Ok(match (first, second) {
            (b'<', Some(b'<')) => {
                self.position += 2;
                Token::Open(Opened::Dictionary)
            }
            (b'>', Some(b'>')) => {
                self.position += 2;
                Token::Close(Opened::Dictionary)
            }
            (b'[', _) => {
                self.position += 1;
                Token::Open(Opened::Array)
            }
            (b']', _) => {
                self.position += 1;
                Token::Close(Opened::Array)
            }
            (b'/', _) => Token::Value(Object::Name(self.read_name()?)),
            (b'(', _) => Token::Value(Object::String(self.read_literal()?)),
            (b'<', _) => Token::Value(Object::String(self.read_hex()?)),
            (b'+' | b'-' | b'.' | b'0'..=b'9', _) => Token::Value(self.read_number()?),
            _ => self.read_word()?,
        })
    }

    fn read_name(&mut self) -> Result<Box<[u8]>, PdfError> {
        self.position += 1;
        let length = self.rest().iter().take_while(|byte| is_regular(**byte)).count();
        if length > MAX_NAME {
            return Err(PdfError::TooMuch("a name is too long"));
        }
        let mut written = self.rest().iter().take(length);
        let mut name = Vec::with_capacity(length);
        while let Some(byte) = written.next() {
            if *byte != b'#' {
                name.push(*byte);
                continue;
            }
            let digits = written
                .next()
                .and_then(|one| hex_digit(*one))
                .zip(written.next().and_then(|two| hex_digit(*two)));
            let (high, low) = digits.ok_or(PdfError::Malformed("a name has a broken escape"))?;
            name.push(high << 4 | low);
        }
        self.position += length;
        Ok(name.into())
    }

    fn read_literal(&mut self) -> Result<Box<[u8]>, PdfError> {
        self.position += 1;
        let mut string = Vec::new();
        let mut depth = 1_usize;
        loop {
            let byte = self.next().ok_or(CUT)?;
            match byte {
                b'(' => depth += 1,
                b')' => {
                    depth -= 1;
                    if depth == 0 {
                        return Ok(string.into());
                    }
                }
                b'\\' => {
                    self.read_escape(&mut string)?;
                    continue;
                }
                // An end of line is one line feed, however written (§7.3.4.2).
                b'\r' => {
                    if self.peek() == Some(b'\n') {
                        self.position += 1;
                    }
                    string.push(b'\n');
                    continue;
                }
                _ => {}
            }
            string.push(byte);
        }
    }

    fn read_escape(&mut self, string: &mut Vec<u8>) -> Result<(), PdfError> {
        let byte = self.next().ok_or(CUT)?;
        match byte {
            b'n' => string.push(b'\n'),
            b'r' => string.push(b'\r'),
            b't' => string.push(b'\t'),
            b'b' => string.push(8),
            b'f' => string.push(12),
            b'\r' => {
                if self.peek() == Some(b'\n') {
                    self.position += 1;
                }
            }
            b'\n' => {}
            b'0'..=b'7' => {
                let mut value = u16::from(byte - b'0');
                for _ in 0..2 {
                    let Some(digit) = self.peek().filter(|next| (b'0'..=b'7').contains(next)) else {
                        break;
                    };
                    value = value << 3 | u16::from(digit - b'0');
                    self.position += 1;
                }
                // High-order overflow is ignored (§7.3.4.2).
                string.push(value.to_le_bytes()[0]);
            }
            other => string.push(other),
        }
        Ok(())
    }

    fn read_hex(&mut self) -> Result<Box<[u8]>, PdfError> {
        self.position += 1;
        let length = self.rest().iter().position(|byte| *byte == b'>').ok_or(CUT)?;
        let mut string = Vec::with_capacity(length / 2 + 1);
        let mut high = None;
        for byte in self.rest().iter().take(length).filter(|byte| !is_space(**byte)) {
            let digit = hex_digit(*byte).ok_or(PdfError::Malformed("a hexadecimal string holds something else"))?;
            match high.take() {
                None => high = Some(digit),
                Some(high) => string.push(high << 4 | digit),
            }
        }
        if let Some(high) = high {
            string.push(high << 4);
        }
        self.position += length + 1;
        Ok(string.into())
    }

    fn read_number(&mut self) -> Result<Object, PdfError> {
        let length = self
            .rest()
            .iter()
            .take(64)
            .take_while(|byte| is_regular(**byte))
            .count();
        let written = self.rest().get(..length).unwrap_or_default();
        self.position += length;
        let digits = written
            .strip_prefix(b"+")
            .or(written.strip_prefix(b"-"))
            .unwrap_or(written);
        let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
        if plain {
            let text = std::str::from_utf8(written).unwrap_or_default();
            return text
                .parse()
                .map(Object::Integer)
                .map_err(|_| PdfError::Malformed("a number is too large"));
        }
        if digits
            .iter()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-'))
        {
            return Ok(Object::Real(written.into()));
        }
        Err(PdfError::Malformed("a number is malformed"))
    }

    fn read_word(&mut self) -> Result<Token, PdfError> {
        let length = self
            .rest()
            .iter()
            .take(16)
            .take_while(|byte| is_regular(**byte))
            .count();
        let word = self.rest().get(..length).unwrap_or_default();
        self.position += length;
        Ok(match word {
            b"" => return Err(PdfError::Malformed("a delimiter stands where a value should")),
            b"true" => Token::Value(Object::Boolean(true)),
            b"false" => Token::Value(Object::Boolean(false)),
            b"null" => Token::Value(Object::Null),
            b"R" => Token::ReferenceMark,
            _ => Token::Word,
        })
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.position += 1;
        Some(byte)
    }
}

/// Makes the last two integers of a frame a reference.
fn refer(frame: &mut Frame, end: usize) -> Result<(), PdfError> {
    const WRONG: PdfError = PdfError::Malformed("a reference is malformed");
    let (generation, _) = frame.values.pop().ok_or(WRONG)?;
    let (number, span) = frame.values.pop().ok_or(WRONG)?;
    let (Object::Integer(number), Object::Integer(generation)) = (number, generation) else {
        return Err(WRONG);
    };
    let reference = Reference {
        number: u32::try_from(number).map_err(|_| WRONG)?,
        generation: u16::try_from(generation).map_err(|_| WRONG)?,
    };
    frame.values.push((Object::Reference(reference), span.start..end));
    Ok(())
}

pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, 0 | b'\t' | b'\n' | 12 | b'\r' | b' ')
}

fn is_regular(byte: u8) -> bool {
    !is_space(byte)
        && !matches!(
            byte,
            b'(' | b')' | b'<' | b'>' | b'[' | b']' | b'{' | b'}' | b'/' | b'%'
        )
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests;
