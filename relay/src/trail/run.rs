//! Records one after the other: a run is looked up once and read in order, through groups and segment files.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};

use super::{Place, SealedRecord, TrailError, TrailReader, group, segment};

/// Bytes read from the file at once, at most, and for one record.
const BUFFER: usize = 128 << 10;
const ROOM: usize = 16 << 10;
/// So many records are read over to come to the next one wanted, rather than looking it up.
const STRIDE: u64 = 16;

impl TrailReader {
    /// The records at these positions, ascending, each checked; after `most` bytes no more of them. `find` says where
    /// a record lies, or one before it.
    pub(crate) fn run<E: From<TrailError>>(
        &self,
        positions: &[u64],
        most: usize,
        find: impl Fn(u64) -> Result<(u64, Place), E>,
    ) -> Result<Vec<SealedRecord>, E> {
        let (mut found, mut bytes) = (Vec::with_capacity(positions.len()), 0);
        let mut walk: Option<Walk<'_>> = None;
        for position in positions.iter().copied() {
            let near = walk
                .take()
                .filter(|walk| (walk.next..=walk.next + STRIDE).contains(&position));
            let mut from = match near {
                Some(walk) => walk,
                None => {
                    let (known, place) = find(position)?;
                    let buffer = ROOM
                        .saturating_mul(positions.len().saturating_sub(found.len()))
                        .min(BUFFER);
                    Walk::from(self, known, place, buffer)?
                }
            };
            let record = loop {
                let record = from.record()?;
                if record.position == position {
                    break record;
                }
            };
            walk = Some(from);
            bytes += record.length();
            found.push(record);
            if bytes >= most {
                break;
            }
        }
        Ok(found)
    }
}

/// A place in the trail from which records are read in order.
struct Walk<'a> {
    reader: &'a TrailReader,
    segment: u64,
    file: BufReader<File>,
    offset: u64,
    /// Position of the record that comes next.
    next: u64,
}

impl<'a> Walk<'a> {
    fn from(reader: &'a TrailReader, position: u64, place: Place, buffer: usize) -> Result<Self, TrailError> {
        let mut walk = Self::open(reader, place.segment, position, buffer)?;
        let sought = walk.file.seek(SeekFrom::Start(place.offset));
        walk.offset = sought.map_err(|error| walk.io(error))?;
        Ok(walk)
    }

    fn open(reader: &'a TrailReader, segment: u64, next: u64, buffer: usize) -> Result<Self, TrailError> {
        let path = segment::path(&reader.folder, segment);
        let file = File::open(&path).map_err(|error| TrailError::Io(path, error))?;
        Ok(Self {
            reader,
            segment,
            file: BufReader::with_capacity(buffer, file),
            offset: 0,
            next,
        })
    }

    fn record(&mut self) -> Result<SealedRecord, TrailError> {
        self.seek_frame()?;
        let frame = group::read_frame(&mut self.file).map_err(|error| self.io(error))?;
        match frame.filter(|record| record.position == self.next) {
            Some(record) => {
                self.next += 1;
                self.offset += (group::FRAME_HEAD + record.length()) as u64;
                Ok(record)
            }
            None => Err(self.damaged(self.offset)),
        }
    }

    /// Over the head of a group, or to the next segment file, where one begins here. No frame's length is that of a magic.
    fn seek_frame(&mut self) -> Result<(), TrailError> {
        let ended = self
            .file
            .fill_buf()
            .map_err(|error| TrailError::Io(segment::path(&self.reader.folder, self.segment), error))?
            .is_empty();
        if ended {
            if self.segment == self.next {
                return Err(self.damaged(self.offset));
            }
            // A segment file is named by the position that comes next: without one the trail ends here.
            *self = Self::open(self.reader, self.next, self.next, self.file.capacity())
                .map_err(|_| self.damaged(self.offset))?;
            self.skip(segment::HEADER.len())?;
        }
        let mut head = [0; 8];
        // A buffer that ends within a head is filled by reading on; it begins with a magic or it does not.
        let begins = match self.file.buffer().get(..8) {
            Some(bytes) => bytes == group::MAGIC,
            None => {
                self.file.read_exact(&mut head).map_err(|error| self.io(error))?;
                self.file.seek_relative(-8).map_err(|error| self.io(error))?;
                head == *group::MAGIC
            }
        };
        if begins { self.skip(group::head()) } else { Ok(()) }
    }

    fn skip(&mut self, bytes: usize) -> Result<(), TrailError> {
        let bytes = bytes as u64;
        let skipped = io::copy(&mut io::Read::by_ref(&mut self.file).take(bytes), &mut io::sink());
        self.offset += skipped.map_err(|error| self.io(error))?;
        Ok(())
    }

    fn io(&self, error: io::Error) -> TrailError {
        TrailError::Io(segment::path(&self.reader.folder, self.segment), error)
    }

    fn damaged(&self, offset: u64) -> TrailError {
        TrailError::Damaged {
            file: segment::path(&self.reader.folder, self.segment),
            offset,
            position: self.next,
            what: "the record there is not the one written",
        }
    }
}
