//! The bytes of a group of records: framed, counted, hashed, so that half a group is known from a whole one.
//!
//! ```text
//! group  = magic (8) ‖ length of frames (u32 LE) ‖ count (u32 LE) ‖ SHA-256 of length, count, frames (32) ‖ frames
//! frame  = length of what follows the CRC (u32 LE) ‖ CRC-32 of it (u32 LE) ‖ sealed record
//! ```

use std::io::{self, BufRead, Read as _};

use formats::trail::MAX_BODY;
use sha2::{Digest as _, Sha256};

use super::sealed::{OVERHEAD, SealedRecord};

/// Begins every group.
pub(super) const MAGIC: &[u8; 8] = b"HKGROUP1";
const HEAD: usize = 8 + 4 + 4 + 32;
/// Largest frames of a group in bytes.
pub const MAX_GROUP: usize = 64 << 20;
/// Bytes of a frame before the sealed record.
pub(super) const FRAME_HEAD: usize = 4 + 4;
/// Largest frame in bytes.
pub(super) const MAX_FRAME: u64 = (FRAME_HEAD + OVERHEAD + MAX_BODY) as u64;

/// Where a record lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Position of the first record of its segment file.
    pub segment: u64,
    /// Byte at which its frame begins.
    pub offset: u64,
}

/// A group in the making.
pub(crate) struct Group {
    /// Segment and byte at which it begins, if it goes into a file.
    begins: Option<Place>,
    next: u64,
    count: u32,
    frames: Vec<u8>,
}

impl Group {
    pub(crate) fn new(segment: u64, start: u64, next: u64) -> Self {
        Self {
            begins: Some(Place { segment, offset: start }),
            ..Self::without_place(next)
        }
    }

    /// A group that goes into no file.
    pub(crate) fn without_place(next: u64) -> Self {
        Self {
            begins: None,
            next,
            count: 0,
            frames: Vec::new(),
        }
    }

    /// Position of the record that is added next.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Records in it.
    pub(crate) fn count(&self) -> u64 {
        self.count.into()
    }

    /// Bytes of its frames.
    pub(crate) fn length(&self) -> usize {
        self.frames.len()
    }

    /// Where the record that is added next will lie, if the group goes into a file.
    pub(crate) fn place(&self) -> Option<Place> {
        self.begins.map(|begins| Place {
            segment: begins.segment,
            offset: begins.offset + (HEAD + self.frames.len()) as u64,
        })
    }

    /// Adds a record, which has the position [`Group::next`].
    pub(crate) fn add(&mut self, record: &SealedRecord) {
        let length = u32::try_from(record.length()).unwrap_or(u32::MAX);
        self.frames.extend_from_slice(&length.to_le_bytes());
        let begins = self.frames.len();
        self.frames.extend_from_slice(&[0; 4]);
        record.push(&mut self.frames);
        let crc = self.frames.get(begins + 4..).map(crc32fast::hash).unwrap_or_default();
        if let Some(place) = self.frames.get_mut(begins..begins + 4) {
            place.copy_from_slice(&crc.to_le_bytes());
        }
        self.next += 1;
        self.count += 1;
    }

    /// Takes back what was added after `count` records of `length` bytes.
    pub(crate) fn truncate(&mut self, count: u64, length: usize) {
        self.next -= self.count() - count;
        self.count = u32::try_from(count).unwrap_or(self.count);
        self.frames.truncate(length);
    }

    pub(super) fn finish(self) -> Vec<u8> {
        let length = u32::try_from(self.frames.len()).unwrap_or(u32::MAX).to_le_bytes();
        let count = self.count.to_le_bytes();
        [
            MAGIC,
            &length[..],
            &count,
            digest(&length, &count, &self.frames).as_slice(),
            &self.frames,
        ]
        .concat()
    }
}

fn digest(length: &[u8], count: &[u8], frames: &[u8]) -> [u8; 32] {
    Sha256::new()
        .chain_update(length)
        .chain_update(count)
        .chain_update(frames)
        .finalize()
        .into()
}

/// A whole group at the beginning of `bytes`: its frames and its length; `None` if it is not whole.
pub(super) fn whole(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let (head, rest) = bytes.split_at_checked(HEAD)?;
    let (magic, head) = head.split_at_checked(8)?;
    let (length, head) = head.split_at_checked(4)?;
    let (count, hash) = head.split_at_checked(4)?;
    let size = usize::try_from(u32::from_le_bytes(length.try_into().ok()?)).ok()?;
    let frames = rest.get(..size)?;
    (magic == MAGIC && digest(length, count, frames) == hash).then_some((frames, HEAD + size))
}

/// Bytes before the first frame of a group.
pub(super) const fn head() -> usize {
    HEAD
}

/// Length and CRC-32 of a frame's sealed record; `None` if no record is so long.
fn frame_head(head: [u8; FRAME_HEAD]) -> Option<(usize, u32)> {
    let [a, b, c, d, crc @ ..] = head;
    let length = u32::from_le_bytes([a, b, c, d]);
    let fits = u64::from(length) + FRAME_HEAD as u64 <= MAX_FRAME;
    Some((usize::try_from(length).ok().filter(|_| fits)?, u32::from_le_bytes(crc)))
}

fn sealed_record(bytes: &[u8], crc: u32) -> Option<SealedRecord> {
    (crc32fast::hash(bytes) == crc)
        .then(|| SealedRecord::parse(bytes))
        .flatten()
}

/// Reads one frame, which is [`FRAME_HEAD`] and the record's length long; `None` if it is none. Never takes more memory than what
/// is there.
pub(super) fn read_frame(from: &mut impl BufRead) -> io::Result<Option<SealedRecord>> {
    // Most lie whole in what is read already.
    if let Some((head, rest)) = from.fill_buf()?.split_first_chunk() {
        let Some((length, crc)) = frame_head(*head) else {
            return Ok(None);
        };
        if let Some(bytes) = rest.get(..length) {
            let record = sealed_record(bytes, crc);
            from.consume(FRAME_HEAD + length);
            return Ok(record);
        }
    }
    let mut head = [0; FRAME_HEAD];
    if let Err(error) = from.read_exact(&mut head) {
        return if error.kind() == io::ErrorKind::UnexpectedEof {
            Ok(None)
        } else {
            Err(error)
        };
    }
    let Some((length, crc)) = frame_head(head) else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    from.take(length as u64).read_to_end(&mut bytes)?;
    Ok(sealed_record(&bytes, crc).filter(|_| bytes.len() == length))
}
