//! One cross-reference section: a table with its trailer, a cross-reference stream, or both (ISO 32000-1 §7.5.4, §7.5.8).

use super::PdfError;
use super::object::{Dictionary, Object, Parser, is_space};
use super::stream;

/// Highest object number, ISO 32000-1 Annex C.
const MAX_NUMBER: u64 = 8_388_607;
/// Bytes a cross-reference stream may inflate to.
const MAX_STREAM: usize = 16 * 1024 * 1024;

/// Where an object stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// Nowhere, or no longer.
    Free,
    /// At a place in the file.
    Offset { offset: u32, generation: u16 },
    /// Inside an object stream.
    Compressed { stream: u32, index: u32 },
}

/// A section as read.
pub(super) struct Section {
    /// Where it begins.
    pub(super) offset: usize,
    pub(super) entries: Vec<(u32, Entry)>,
    pub(super) trailer: Dictionary,
}

/// Where the newest section of `bytes` begins: they end with `startxref`, a number and `%%EOF`, but for white space.
pub(super) fn start(bytes: &[u8]) -> Result<usize, PdfError> {
    const WRONG: PdfError = PdfError::Malformed("it does not end with startxref and %%EOF");
    let end = bytes
        .iter()
        .rposition(|byte| !is_space(*byte))
        .map_or(0, |last| last + 1);
    let begin = end.saturating_sub(64);
    let tail = bytes.get(begin..end).unwrap_or_default();
    let keyword = tail
        .windows(9)
        .rposition(|window| window == b"startxref")
        .ok_or(WRONG)?;
    let mut parser = Parser::at(tail, keyword);
    if !parser.keyword(b"startxref") {
        return Err(WRONG);
    }
    let offset = parser.unsigned().ok_or(WRONG)?;
    parser.skip_space();
    if parser.rest() != b"%%EOF" {
        return Err(WRONG);
    }
    usize::try_from(offset)
        .ok()
        .filter(|offset| *offset < begin + keyword)
        .ok_or(WRONG)
}

/// The section at `offset`; at most `room` entries.
pub(super) fn read(bytes: &[u8], offset: usize, room: usize) -> Result<Section, PdfError> {
    let mut parser = Parser::at(bytes, offset);
    if !parser.keyword(b"xref") {
        return read_stream(bytes, offset, room);
    }
    let mut entries = read_table(&mut parser, room)?;
    let trailer = parser.value()?;
    let trailer = trailer
        .dictionary()
        .ok_or(PdfError::Malformed("a trailer is no dictionary"))?
        .clone();
    if let Some(hybrid) = trailer.integer("XRefStm") {
        let hybrid = usize::try_from(hybrid).map_err(|_| PdfError::Malformed("XRefStm is out of range"))?;
        let hidden = read_stream(bytes, hybrid, room.saturating_sub(entries.len()))?;
        // Objects of the stream are free in the table, so that old readers do not see them.
        entries.retain(|(number, entry)| {
            *entry != Entry::Free || hidden.entries.binary_search_by_key(number, |(one, _)| *one).is_err()
        });
        entries.extend(hidden.entries);
    }
    let entries = sorted(entries)?;
    Ok(Section {
        offset,
        entries,
        trailer,
    })
}

/// The subsections after `xref`, up to and with `trailer`.
pub(super) fn read_table(parser: &mut Parser<'_>, room: usize) -> Result<Vec<(u32, Entry)>, PdfError> {
    const WRONG: PdfError = PdfError::Malformed("a cross-reference table is broken");
    let mut entries = Vec::new();
    while !parser.keyword(b"trailer") {
        let first = parser.unsigned().ok_or(WRONG)?;
        let count = parser.unsigned().ok_or(WRONG)?;
        for number in (first..).take(usize::try_from(count).map_err(|_| WRONG)?) {
            let offset = parser.unsigned().ok_or(WRONG)?;
            let generation = parser.unsigned().ok_or(WRONG)?;
            let entry = if parser.keyword(b"n") {
                offset_entry(offset, generation)?
            } else if parser.keyword(b"f") {
                Entry::Free
            } else {
                return Err(WRONG);
            };
            push(&mut entries, number, entry, room)?;
        }
    }
    Ok(entries)
}

/// Raw bytes of the stream whose dictionary ended at the parser's position; `endstream` must follow them.
pub(super) fn raw_stream<'b>(parser: &mut Parser<'b>, length: i64) -> Result<&'b [u8], PdfError> {
    const WRONG: PdfError = PdfError::Malformed("a stream is not where or as long as it says");
    if !parser.keyword(b"stream") {
        return Err(WRONG);
    }
    let line: usize = match parser.rest() {
        [b'\r', b'\n', ..] => 2,
        [b'\n', ..] => 1,
        _ => return Err(WRONG),
    };
    let length = usize::try_from(length).map_err(|_| WRONG)?;
    let end = line.checked_add(length).ok_or(WRONG)?;
    let raw = parser.rest().get(line..end).ok_or(WRONG)?;
    parser.position += end;
    parser.keyword(b"endstream").then_some(raw).ok_or(WRONG)
}

fn read_stream(bytes: &[u8], offset: usize, room: usize) -> Result<Section, PdfError> {
    const WRONG: PdfError = PdfError::Malformed("no cross-reference section stands where one should");
    let mut parser = Parser::at(bytes, offset);
    parser.object_header().map_err(|_| WRONG)?;
    let value = parser.value()?;
    let trailer = value
        .dictionary()
        .filter(|dictionary| dictionary.name("Type") == Some(b"XRef"))
        .ok_or(WRONG)?;
    let raw = raw_stream(&mut parser, trailer.integer("Length").ok_or(WRONG)?)?;
    let decoded = stream::decode(trailer, raw, MAX_STREAM)?;
    let widths = widths(trailer).ok_or(WRONG)?;
    let row: usize = widths.iter().sum();
    let mut rows = decoded.chunks_exact(row.max(1));
    let mut entries = Vec::new();
    for (first, count) in subsections(trailer).ok_or(WRONG)? {
        for number in (first..).take(usize::try_from(count).map_err(|_| WRONG)?) {
            let entry = rows.next().and_then(|row| read_row(row, widths)).ok_or(WRONG)??;
            push(&mut entries, number, entry, room)?;
        }
    }
    if rows.next().is_some() {
        return Err(PdfError::Malformed("a cross-reference stream holds more than it says"));
    }
    Ok(Section {
        offset,
        entries: sorted(entries)?,
        trailer: trailer.clone(),
    })
}

/// `/W`: three field widths.
fn widths(trailer: &Dictionary) -> Option<[usize; 3]> {
    let widths: Vec<usize> = trailer
        .get("W")?
        .array()?
        .iter()
        .map(|width| match width {
            Object::Integer(width @ 0..=8) => usize::try_from(*width).ok(),
            _ => None,
        })
        .collect::<Option<_>>()?;
    let widths = <[usize; 3]>::try_from(widths).ok()?;
    (widths.iter().sum::<usize>() > 0).then_some(widths)
}

/// `/Index`, by default all of `/Size`.
fn subsections(trailer: &Dictionary) -> Option<Vec<(u64, u64)>> {
    let number = |object: &Object| match object {
        Object::Integer(value) => u64::try_from(*value).ok(),
        _ => None,
    };
    let Some(index) = trailer.get("Index") else {
        return Some(vec![(0, number(trailer.get("Size")?)?)]);
    };
    index
        .array()?
        .chunks(2)
        .map(|pair| match pair {
            [first, count] => Some((number(first)?, number(count)?)),
            _ => None,
        })
        .collect()
}

fn read_row(row: &[u8], widths: [usize; 3]) -> Option<Result<Entry, PdfError>> {
    let [kind, second, third] = widths;
    let field = |from: usize, width: usize| {
        let bytes = row.get(from..from + width)?;
        Some(bytes.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte)))
    };
    let form = if kind == 0 { 1 } else { field(0, kind)? };
    let (second, third) = (field(kind, second)?, field(kind + second, third)?);
    Some(match form {
        0 => Ok(Entry::Free),
        1 => offset_entry(second, third),
        2 => match (u32::try_from(second), u32::try_from(third)) {
            (Ok(stream), Ok(index)) => Ok(Entry::Compressed { stream, index }),
            _ => Err(PdfError::Malformed("a cross-reference entry is out of range")),
        },
        _ => Err(PdfError::Malformed("a cross-reference entry is of no known kind")),
    })
}

fn offset_entry(offset: u64, generation: u64) -> Result<Entry, PdfError> {
    const WRONG: PdfError = PdfError::Malformed("a cross-reference entry is out of range");
    Ok(Entry::Offset {
        offset: u32::try_from(offset).map_err(|_| WRONG)?,
        generation: u16::try_from(generation).map_err(|_| WRONG)?,
    })
}

fn push(entries: &mut Vec<(u32, Entry)>, number: u64, entry: Entry, room: usize) -> Result<(), PdfError> {
    if entries.len() >= room || number > MAX_NUMBER {
        return Err(PdfError::TooMuch("it has more objects than are read"));
    }
    entries.push((u32::try_from(number).unwrap_or_default(), entry));
    Ok(())
}

/// By number; no number twice, because two readers would take different ones.
fn sorted(mut entries: Vec<(u32, Entry)>) -> Result<Vec<(u32, Entry)>, PdfError> {
    entries.sort_by_key(|(number, _)| *number);
    let twice = entries
        .iter()
        .zip(entries.iter().skip(1))
        .any(|(one, two)| one.0 == two.0);
    if twice {
        return Err(PdfError::Malformed("a cross-reference section lists an object twice"));
    }
    Ok(entries)
}
