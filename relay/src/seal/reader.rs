//! A sealed file as its content: read, and read from anywhere. Only the segments that are asked for are opened.

use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;

use super::{SEGMENT, Seal, content_of, damaged, last_segment, places};

/// Segments opened at once: few enough that a thousand downloads fit in memory.
const AT_ONCE: u64 = 4;

/// Bytes of a stored file from anywhere. Blocking.
pub(crate) trait Source {
    /// Exactly these bytes.
    ///
    /// # Errors
    /// What the disk says; `UnexpectedEof` beyond the end.
    fn bytes(&mut self, range: Range<u64>) -> io::Result<Vec<u8>>;
}

impl<R: Read + Seek> Source for R {
    fn bytes(&mut self, range: Range<u64>) -> io::Result<Vec<u8>> {
        self.seek(SeekFrom::Start(range.start))?;
        // At most [`AT_ONCE`] segments are asked for.
        let mut bytes = vec![0; usize::try_from(range.end - range.start).map_err(io::Error::other)?];
        self.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

/// The content of a sealed file. Blocking.
pub(crate) struct SealedReader<S> {
    source: S,
    seal: Seal,
    /// Bytes of the content.
    size: u64,
    position: u64,
    /// Opened segments, and where in the content they begin.
    opened: (u64, Vec<u8>),
}

impl<S: Source> SealedReader<S> {
    /// Reads a file with `size` bytes of content.
    pub(crate) fn new(source: S, seal: Seal, size: u64) -> Self {
        Self {
            source,
            seal,
            size,
            position: 0,
            opened: (0, Vec::new()),
        }
    }

    /// Bytes of the content.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// The content from `start` on, as far as one look at the file yields it; empty at `end` or at the end.
    ///
    /// # Errors
    /// `InvalidData` for what is damaged, cut or exchanged; what the source says.
    pub(crate) fn part(&mut self, start: u64, end: u64) -> io::Result<Vec<u8>> {
        let end = end.min(self.size);
        if start >= end {
            return Ok(Vec::new());
        }
        let first = start / SEGMENT;
        let after = (first + AT_ONCE).min((end - 1) / SEGMENT + 1);
        let mut content = self.segments(first..after)?;
        let from = usize::try_from(start - first * SEGMENT).map_err(io::Error::other)?;
        let to = usize::try_from(end - first * SEGMENT).map_err(io::Error::other)?;
        content.truncate(to);
        content.drain(..from.min(content.len()));
        Ok(content)
    }

    fn segments(&mut self, range: Range<u64>) -> io::Result<Vec<u8>> {
        let last = last_segment(self.size);
        let mut bytes = self
            .source
            .bytes(places(range.clone(), self.size))
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => damaged("it is cut"),
                _ => error,
            })?;
        let mut content = Vec::with_capacity(bytes.len());
        let mut rest = bytes.as_mut_slice();
        for index in range {
            let of = content_of(index, self.size);
            let length = usize::try_from(of.end - of.start + super::OVERHEAD).map_err(io::Error::other)?;
            let (segment, after) = rest.split_at_mut_checked(length).ok_or_else(|| damaged("it is cut"))?;
            content.extend(self.seal.open(index, index == last, segment)?);
            rest = after;
        }
        Ok(content)
    }
}

impl<S: Source> Read for SealedReader<S> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let within = |opened: &(u64, Vec<u8>), position: u64| {
            let from = usize::try_from(position.checked_sub(opened.0)?).ok()?;
            (from < opened.1.len()).then_some(from)
        };
        let from = match within(&self.opened, self.position) {
            Some(from) => from,
            None => {
                let first = self.position / SEGMENT * SEGMENT;
                self.opened = (first, self.part(first, self.size)?);
                match within(&self.opened, self.position) {
                    Some(from) => from,
                    None => return Ok(0),
                }
            }
        };
        let ready = self.opened.1.get(from..).unwrap_or_default();
        let count = ready.len().min(into.len());
        into[..count].copy_from_slice(&ready[..count]);
        self.position += count as u64;
        Ok(count)
    }
}

impl<S: Source> Seek for SealedReader<S> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(by) => self.size.checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        self.position = position.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "before the start"))?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::super::{SEALED, content_size};
    use super::*;
    use crate::keys::DataKey;

    fn content(size: u64) -> Vec<u8> {
        (0..size).map(|at| (at % 251) as u8).collect()
    }

    fn read(seal: &Seal, sealed: &[u8]) -> io::Result<Vec<u8>> {
        let size = content_size(sealed.len() as u64).ok_or_else(|| damaged("no such size"))?;
        let mut found = Vec::new();
        SealedReader::new(Cursor::new(sealed), seal.clone(), size).read_to_end(&mut found)?;
        Ok(found)
    }

    #[test]
    fn every_range_of_every_size_is_read() {
        let seal = Seal::new(&DataKey::generate().unwrap(), "019", "a").unwrap();
        for size in [0, 1, SEGMENT, SEGMENT + 1, 5 * SEGMENT, 5 * SEGMENT + 77] {
            let content = content(size);
            let sealed = seal.whole(&content).unwrap();
            assert_eq!(read(&seal, &sealed).unwrap(), content, "{size}");
            let mut reader = SealedReader::new(Cursor::new(sealed), seal.clone(), size);
            for start in [0, 1, SEGMENT - 1, SEGMENT, 4 * SEGMENT + 5, size] {
                reader.seek(SeekFrom::Start(start)).unwrap();
                let mut some = Vec::new();
                (&mut reader).take(70_000).read_to_end(&mut some).unwrap();
                let from = start.min(size) as usize;
                let to = (start + 70_000).min(size) as usize;
                assert!(some == content[from..to.max(from)], "{start} of {size}");
            }
            assert_eq!(reader.seek(SeekFrom::End(0)).unwrap(), size);
            assert!(reader.seek(SeekFrom::End(-(size as i64) - 1)).is_err());
        }
    }

    #[test]
    fn cutting_appending_and_reordering_are_seen() {
        let seal = Seal::new(&DataKey::generate().unwrap(), "019", "a").unwrap();
        let whole = seal.whole(&content(3 * SEGMENT)).unwrap();
        let segment = |index: usize| &whole[16 + index * SEALED as usize..][..SEALED as usize];
        let head = &whole[..16];
        for (what, bad) in [
            ("cut behind a segment", [head, segment(0), segment(1)].concat()),
            ("cut in a segment", whole[..whole.len() - 9].to_vec()),
            ("two exchanged", [head, segment(1), segment(0), segment(2)].concat()),
            (
                "one twice",
                [head, segment(0), segment(1), segment(1), segment(2)].concat(),
            ),
            ("one left out", [head, segment(0), segment(2)].concat()),
            ("lengthened", [whole.as_slice(), segment(2)].concat()),
            ("bytes behind it", [whole.as_slice(), &[0; 40]].concat()),
            ("emptied", head.to_vec()),
        ] {
            assert!(read(&seal, &bad).is_err(), "{what}");
        }
    }
}
