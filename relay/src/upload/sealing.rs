//! What comes in, cut into segments and sealed as it comes; the bytes after the last whole one wait for the rest of theirs.

use std::io;

use crate::containers::CONTAINER;
use crate::keys::{DataKey, KeysError};
use crate::seal::{SEGMENT, Seal, SealedReader, Source, content_of, damaged, last_segment};

/// What the bytes after the last whole segment are sealed as: the segment's index, big-endian, and its beginning, sealed.
pub(super) const TAIL: &str = "tail";

/// With what an upload is sealed.
#[derive(Clone, Debug)]
pub(super) struct Seals {
    pub(super) body: Seal,
    tail: Seal,
}

impl Seals {
    /// Those of the upload `id`.
    ///
    /// # Errors
    /// As [`Seal::new`].
    pub(super) fn new(key: &DataKey, id: &str) -> io::Result<Self> {
        Ok(Self {
            body: Seal::new(key, id, CONTAINER)?,
            tail: Seal::new(key, id, TAIL)?,
        })
    }

    /// A tail and the index of its segment.
    ///
    /// # Errors
    /// `InvalidData`.
    pub(super) fn open_tail(&self, mut text: Vec<u8>) -> io::Result<(u64, Vec<u8>)> {
        let (index, sealed) = text.split_first_chunk_mut().ok_or_else(|| damaged("a tail is cut"))?;
        let index = u64::from_be_bytes(*index);
        Ok((index, self.tail.open(index, false, sealed)?.to_vec()))
    }
}

/// How far an upload is cut and sealed.
pub(super) struct Sealing {
    pub(super) seals: Seals,
    /// Bytes of the whole upload.
    pub(super) length: u64,
    /// Whole segments so far.
    pub(super) whole: u64,
    /// The bytes after them.
    pub(super) tail: Vec<u8>,
}

impl Sealing {
    /// Goes on behind `whole` segments and `tail`.
    pub(super) fn at(seals: Seals, length: u64, whole: u64, tail: Vec<u8>) -> Self {
        Self {
            seals,
            length,
            whole,
            tail,
        }
    }

    /// Bytes so far.
    pub(super) fn end(&self) -> u64 {
        content_of(self.whole, self.length).start + self.tail.len() as u64
    }

    /// Takes the next bytes; returns the segments they make whole, sealed. More than the upload's length is refused.
    ///
    /// # Errors
    /// `InvalidInput`, or if the system gives no random bytes.
    pub(super) fn seal(&mut self, chunks: &[impl AsRef<[u8]>]) -> io::Result<Vec<u8>> {
        let bytes: usize = chunks.iter().map(|chunk| chunk.as_ref().len()).sum();
        let mut sealed = Vec::with_capacity(bytes + bytes / 1024 + self.tail.len() + 64);
        for chunk in chunks {
            let mut rest = chunk.as_ref();
            while !rest.is_empty() {
                rest = self.take(rest, &mut sealed)?;
            }
        }
        Ok(sealed)
    }

    /// Takes what completes a segment, or all; returns what is left.
    fn take<'a>(&mut self, bytes: &'a [u8], sealed: &mut Vec<u8>) -> io::Result<&'a [u8]> {
        let of = content_of(self.whole, self.length);
        let wanted = usize::try_from(of.end - of.start).map_err(io::Error::other)?;
        let missing = wanted.saturating_sub(self.tail.len());
        if missing == 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "more than the upload's length",
            ));
        }
        let (now, later) = bytes.split_at(missing.min(bytes.len()));
        let last = self.whole == last_segment(self.length);
        if now.len() == wanted {
            self.seals.body.seal(self.whole, last, now, sealed)?;
            self.whole += 1;
            return Ok(later);
        }
        self.tail.extend_from_slice(now);
        if self.tail.len() == wanted {
            self.seals.body.seal(self.whole, last, &self.tail, sealed)?;
            self.tail.clear();
            self.whole += 1;
        }
        Ok(later)
    }

    /// The tail as it is kept.
    ///
    /// # Errors
    /// If the system gives no random bytes.
    pub(super) fn sealed_tail(&self) -> io::Result<Vec<u8>> {
        let mut text = self.whole.to_be_bytes().to_vec();
        self.seals.tail.seal(self.whole, false, &self.tail, &mut text)?;
        Ok(text)
    }

    /// Hands over what there is from `from` on, a segment at a time, while `each` wants more; whole segments come from `source`.
    ///
    /// # Errors
    /// What the source says; `InvalidData` for a segment that does not open: those before it were handed over.
    pub(super) fn pass(&self, source: impl Source, from: u64, each: &mut dyn FnMut(&[u8]) -> bool) -> io::Result<()> {
        let end = content_of(self.whole, self.length).start;
        let mut reader = SealedReader::new(source, self.seals.body.clone(), self.length);
        let mut position = from;
        while position < end {
            let part = reader.part(position, end.min((position / SEGMENT + 1) * SEGMENT))?;
            position += part.len() as u64;
            if !each(&part) {
                return Ok(());
            }
        }
        let behind = usize::try_from(position - end).map_err(io::Error::other)?;
        if let Some(tail) = self.tail.get(behind..).filter(|tail| !tail.is_empty()) {
            each(tail);
        }
        Ok(())
    }
}

/// Segments of an upload of this length that is whole.
pub(super) fn segments(length: u64) -> u64 {
    if length == 0 { 0 } else { last_segment(length) + 1 }
}

pub(super) fn from_keys(error: KeysError) -> io::Error {
    match error {
        KeysError::Io(error) => error,
        error => io::Error::other(error),
    }
}
