//! The whole file and its revisions: every object any revision knows, and what one revision sees.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::PdfError;
use super::object::{Dictionary, Object, Parser, Reference};
use super::stream;
use super::xref::{self, Entry};

/// Most cross-reference sections.
const MAX_SECTIONS: usize = 512;
/// Most entries of all sections together.
const MAX_ENTRIES: usize = 500_000;
/// Bytes all object streams may inflate to together.
const MAX_INFLATED: usize = 32 * 1024 * 1024;
/// Most object streams that cannot be read. Each may have cost as much as all good ones.
const MAX_BROKEN: usize = 4;

/// A file as read. Sections are in the order of the chain, the newest first.
pub(super) struct Document<'b> {
    pub(super) bytes: &'b [u8],
    pub(super) sections: Vec<Link>,
    /// Sorted by number, then section.
    rows: Vec<Row>,
    /// By offset.
    object_streams: BTreeMap<u32, ObjectStream>,
    /// Bytes that may still be parsed: many entries may name few bytes.
    budget: Cell<usize>,
}

/// A section's place, and the references of its trailer.
pub(super) struct Link {
    pub(super) offset: usize,
    pub(super) trailer: Dictionary,
}

/// An entry of one section.
#[derive(Clone, Copy)]
pub(super) struct Row {
    pub(super) number: u32,
    pub(super) section: u16,
    pub(super) entry: Entry,
}

/// Objects of an object stream, ISO 32000-1 §7.5.7.
struct ObjectStream {
    decoded: Vec<u8>,
    /// Number and position in `decoded`.
    objects: Vec<(u32, usize)>,
}

/// What is seen from one section down the chain: the file as it was then.
#[derive(Clone, Copy)]
pub(super) struct View<'d, 'b> {
    pub(super) document: &'d Document<'b>,
    pub(super) from: u16,
    /// Where the file ended then.
    end: usize,
}

impl<'b> Document<'b> {
    pub(super) fn read(bytes: &'b [u8]) -> Result<Self, PdfError> {
        let (mut sections, mut rows) = (Vec::new(), Vec::new());
        let mut seen = HashSet::new();
        let mut next = Some(xref::start(bytes)?);
        while let Some(offset) = next {
            if !seen.insert(offset) {
                return Err(PdfError::Malformed("the cross-reference sections form a loop"));
            }
            if sections.len() == MAX_SECTIONS {
                return Err(PdfError::TooMuch("it has more revisions than are read"));
            }
            let section = xref::read(bytes, offset, MAX_ENTRIES.saturating_sub(rows.len()))?;
            if section.trailer.get("Encrypt").is_some() {
                return Err(PdfError::Encrypted);
            }
            next = match section.trailer.get("Prev") {
                None => None,
                Some(Object::Integer(previous)) => {
                    Some(usize::try_from(*previous).map_err(|_| PdfError::Malformed("Prev is out of range"))?)
                }
                Some(_) => return Err(PdfError::Malformed("Prev is not a number")),
            };
            let index = u16::try_from(sections.len()).unwrap_or(u16::MAX);
            rows.extend(section.entries.into_iter().map(|(number, entry)| Row {
                number,
                section: index,
                entry,
            }));
            sections.push(Link {
                offset: section.offset,
                // A trailer may hold anything; what is asked of it later is where catalog and information stand.
                trailer: section.trailer.references_of(&["Root", "Info"]),
            });
        }
        rows.sort_by_key(|row| (row.number, row.section));
        let mut document = Self {
            bytes,
            sections,
            rows,
            object_streams: BTreeMap::new(),
            budget: Cell::new(bytes.len().saturating_mul(4).saturating_add(4 * 1024 * 1024)),
        };
        document.inflate()?;
        Ok(document)
    }

    /// The file as it is now.
    pub(super) fn newest(&self) -> View<'_, 'b> {
        View {
            document: self,
            from: 0,
            end: self.bytes.len(),
        }
    }

    /// The file as it was when it ended at `end`, if the chain leads through its newest section then.
    pub(super) fn revision(&self, end: usize) -> Option<View<'_, 'b>> {
        let start = xref::start(self.bytes.get(..end)?).ok()?;
        let from = self.sections.iter().position(|section| section.offset == start)?;
        Some(View {
            document: self,
            from: u16::try_from(from).ok()?,
            end,
        })
    }

    /// What the sections before `section` list, newest first for each number.
    pub(super) fn rows_before(&self, section: u16) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| row.section < section)
    }

    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Object streams of every revision, once: they are few, and their objects are asked for many times.
    fn inflate(&mut self) -> Result<(), PdfError> {
        let streams: BTreeSet<u32> = self
            .rows
            .iter()
            .filter_map(|row| match row.entry {
                Entry::Compressed { stream, .. } => Some(stream),
                _ => None,
            })
            .collect();
        let places: Vec<Row> = self
            .rows
            .iter()
            .filter(|row| streams.contains(&row.number))
            .copied()
            .collect();
        let (mut room, mut objects, mut broken) = (MAX_INFLATED, MAX_ENTRIES, 0);
        let mut found = BTreeMap::new();
        for row in places {
            let Entry::Offset { offset, .. } = row.entry else {
                continue;
            };
            if found.contains_key(&offset) {
                continue;
            }
            let view = View {
                document: self,
                from: row.section,
                end: self.bytes.len(),
            };
            // One that cannot be read is missed where its objects are asked for.
            match ObjectStream::read(&view, row, room, objects) {
                Ok(stream) => {
                    room = room.saturating_sub(stream.decoded.len());
                    objects = objects.saturating_sub(stream.objects.len());
                    found.insert(offset, stream);
                }
                Err(PdfError::TooMuch(what)) => return Err(PdfError::TooMuch(what)),
                Err(_) => {
                    broken += 1;
                    if broken > MAX_BROKEN {
                        return Err(PdfError::TooMuch("too many of its object streams are broken"));
                    }
                }
            }
        }
        self.object_streams = found;
        Ok(())
    }

    /// Parsing so many bytes is paid for.
    pub(super) fn spend(&self, bytes: usize) -> Result<(), PdfError> {
        // An object costs something even where it is short.
        let left = self.budget.get().checked_sub(bytes.saturating_add(8));
        self.budget.set(left.unwrap_or(0));
        left.map(|_| ())
            .ok_or(PdfError::TooMuch("its objects overlap too often"))
    }
}

impl ObjectStream {
    /// At most `room` bytes and `most` objects.
    fn read(view: &View<'_, '_>, row: Row, room: usize, most: usize) -> Result<Self, PdfError> {
        const WRONG: PdfError = PdfError::Malformed("an object stream is broken");
        let Entry::Offset { generation, .. } = row.entry else {
            return Err(WRONG);
        };
        let reference = Reference {
            number: row.number,
            generation,
        };
        let (dictionary, decoded) = view.stream(reference, room)?.ok_or(WRONG)?;
        let size = |key| {
            dictionary
                .integer(key)
                .and_then(|value| usize::try_from(value).ok())
                .ok_or(WRONG)
        };
        let (count, first) = (size("N")?, size("First")?);
        if dictionary.name("Type") != Some(b"ObjStm") {
            return Err(WRONG);
        }
        if count > most {
            return Err(PdfError::TooMuch("its object streams hold more objects than are read"));
        }
        let mut parser = Parser::at(decoded.get(..first).ok_or(WRONG)?, 0);
        let mut objects = Vec::new();
        for _ in 0..count {
            let number = parser
                .unsigned()
                .and_then(|number| u32::try_from(number).ok())
                .ok_or(WRONG)?;
            let offset = parser
                .unsigned()
                .and_then(|offset| usize::try_from(offset).ok())
                .ok_or(WRONG)?;
            objects.push((number, first.checked_add(offset).ok_or(WRONG)?));
        }
        Ok(Self { decoded, objects })
    }
}

impl<'b> View<'_, 'b> {
    /// Where an object stands; `None`: this revision does not know it.
    pub(super) fn entry(&self, number: u32) -> Option<Entry> {
        let rows = self.document.rows();
        let first = rows.partition_point(|row| (row.number, row.section) < (number, self.from));
        let row = rows.get(first).filter(|row| row.number == number)?;
        (row.entry != Entry::Free).then_some(row.entry)
    }

    pub(super) fn trailer(&self) -> Option<&Dictionary> {
        self.document
            .sections
            .get(usize::from(self.from))
            .map(|section| &section.trailer)
    }

    /// The object a reference names; Null where there is none.
    pub(super) fn resolve(&self, reference: Reference) -> Result<Object, PdfError> {
        Ok(self.locate(reference)?.map_or(Object::Null, |(object, _)| object))
    }

    /// A value itself, or what it refers to.
    pub(super) fn follow(&self, object: &Object) -> Result<Object, PdfError> {
        match object {
            Object::Reference(reference) => match self.resolve(*reference)? {
                Object::Reference(_) => Err(PdfError::Malformed("a reference leads to a reference")),
                found => Ok(found),
            },
            direct => Ok(direct.clone()),
        }
    }

    /// A dictionary's value, followed; Null where it has none.
    pub(super) fn get(&self, dictionary: &Dictionary, key: &str) -> Result<Object, PdfError> {
        dictionary.get(key).map_or(Ok(Object::Null), |value| self.follow(value))
    }

    /// The object and where it ends in the file; no place for one inside an object stream.
    pub(super) fn locate(&self, reference: Reference) -> Result<Option<(Object, Option<usize>)>, PdfError> {
        const WRONG: PdfError = PdfError::Malformed("an object is not what the cross-reference table says");
        match self.entry(reference.number) {
            None | Some(Entry::Free) => Ok(None),
            Some(Entry::Offset { offset, generation }) => {
                let start = usize::try_from(offset).map_err(|_| WRONG)?;
                let bytes = self.document.bytes.get(..self.end).unwrap_or_default();
                let mut parser = Parser::at(bytes, start);
                let read = read_indirect(&mut parser);
                // Also what was read in vain costs.
                self.document.spend(parser.position.saturating_sub(start))?;
                let (header, value, end) = read?;
                if header != reference || generation != reference.generation {
                    return Err(WRONG);
                }
                Ok(Some((value, Some(end))))
            }
            Some(Entry::Compressed { stream, index }) => {
                let Some(Entry::Offset { offset, .. }) = self.entry(stream) else {
                    return Err(WRONG);
                };
                let stream = self.document.object_streams.get(&offset).ok_or(WRONG)?;
                let index = usize::try_from(index).map_err(|_| WRONG)?;
                let (number, position) = *stream.objects.get(index).ok_or(WRONG)?;
                if number != reference.number || reference.generation != 0 {
                    return Err(WRONG);
                }
                let mut parser = Parser::at(&stream.decoded, position);
                let value = parser.value();
                self.document.spend(parser.position.saturating_sub(position))?;
                Ok(Some((value?, None)))
            }
        }
    }

    /// Dictionary and decoded bytes of a stream; `None` where the reference leads to none.
    pub(super) fn stream(&self, reference: Reference, room: usize) -> Result<Option<(Dictionary, Vec<u8>)>, PdfError> {
        let found = self.stream_and_end(reference, room)?;
        Ok(found.map(|(dictionary, decoded, _)| (dictionary, decoded)))
    }

    /// The same, and where its bytes end in the file.
    pub(super) fn stream_and_end(
        &self,
        reference: Reference,
        room: usize,
    ) -> Result<Option<(Dictionary, Vec<u8>, usize)>, PdfError> {
        let Some((Object::Dictionary(dictionary), Some(end))) = self.locate(reference)? else {
            return Ok(None);
        };
        let length = self.stream_length(&dictionary)?;
        let mut parser = Parser::at(self.document.bytes, end);
        let raw = xref::raw_stream(&mut parser, length);
        self.document.spend(parser.position.saturating_sub(end))?;
        let raw = raw?;
        let decoded = stream::decode(&dictionary, raw, room)?;
        Ok(Some((dictionary, decoded, parser.position)))
    }

    /// `/Length`, which may stand elsewhere.
    pub(super) fn stream_length(&self, dictionary: &Dictionary) -> Result<i64, PdfError> {
        match self.get(dictionary, "Length")? {
            Object::Integer(length) => Ok(length),
            _ => Err(PdfError::Malformed("a stream has no length")),
        }
    }

    /// The document catalog.
    pub(super) fn catalog(&self) -> Result<Dictionary, PdfError> {
        const WRONG: PdfError = PdfError::Malformed("there is no document catalog");
        let root = self
            .trailer()
            .and_then(|trailer| trailer.get("Root"))
            .and_then(Object::reference)
            .ok_or(WRONG)?;
        self.resolve(root)?.dictionary().cloned().ok_or(WRONG)
    }
}

/// Header, value and the place where the value ends; `stream` or `endobj` must follow.
fn read_indirect(parser: &mut Parser<'_>) -> Result<(Reference, Object, usize), PdfError> {
    let header = parser.object_header()?;
    let value = parser.value()?;
    let end = parser.position;
    parser.skip_space();
    let is_stream = value.dictionary().is_some() && parser.rest().starts_with(b"stream");
    if is_stream || parser.keyword(b"endobj") {
        Ok((header, value, end))
    } else {
        Err(PdfError::Malformed("an object has no end"))
    }
}
