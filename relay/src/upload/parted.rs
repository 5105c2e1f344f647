//! The bytes of an upload in the bucket while this relay works on them: whole segments in parts of 4 MiB, the bytes after them in
//! its row. A part is put before the row speaks of it, and under a name of its own, so that a relay that was taken over, and does
//! not know it, spoils nothing.
//!
//! A client that sends little at a time makes small parts. They are put together as they come, each byte a few times at most, so
//! that their number stays small.

use std::io;
use std::sync::Arc;

use tokio::runtime::Handle;

use super::Upload;
use super::claim::Claim;
use super::sealing::{Sealing, segments};
use crate::containers::{PART, Part, PartsSource, part_key};
use crate::objects::to_io;
use crate::seal::{SEGMENT, content_of, places};
use crate::store::Grown;

/// An upload's parts while somebody works on them. Blocking.
pub(super) struct Parted {
    upload: Arc<Upload>,
    handle: Handle,
    /// Written with: another's ends it.
    epoch: i64,
    sealing: Sealing,
    parts: Vec<Part>,
    /// Segments in the parts.
    put: u64,
    /// Sealed segments after them.
    pending: Vec<u8>,
    /// How far the row says it is.
    noted: u64,
    /// Parts that another holds too.
    spent: Vec<Part>,
}

impl Parted {
    /// Opens an upload where its row says it is.
    ///
    /// # Errors
    /// `InvalidData` if what it says does not open, or is not at `at`.
    pub(super) fn open(upload: &Arc<Upload>, handle: Handle, at: u64) -> io::Result<Self> {
        let (epoch, grown) = upload.claim()?.held();
        let seals = upload.seals()?;
        let parts = Part::decode(&grown.parts)?;
        let whole: u64 = parts.iter().map(|part| u64::from(part.segments)).sum();
        let tail = match grown.tail.is_empty() {
            true => Vec::new(),
            false => seals.open_tail(grown.tail).and_then(|(index, tail)| {
                let fits = index == whole;
                fits.then_some(tail).ok_or_else(|| other_than("its tail"))
            })?,
        };
        let sealing = Sealing::at(seals, upload.length, whole, tail);
        if whole > segments(upload.length) || sealing.end() != grown.at || grown.at != at {
            return Err(other_than("its offset"));
        }
        Ok(Self {
            upload: Arc::clone(upload),
            handle,
            epoch,
            sealing,
            parts,
            put: whole,
            pending: Vec::new(),
            noted: at,
            spent: Vec::new(),
        })
    }

    /// Bytes of the upload that are here.
    pub(super) fn end(&self) -> u64 {
        self.sealing.end()
    }

    /// Takes the next bytes. Whole parts are put.
    ///
    /// # Errors
    /// What the bucket says; it must then be opened anew.
    pub(super) fn write(&mut self, chunks: &[impl AsRef<[u8]>]) -> io::Result<()> {
        let sealed = self.sealing.seal(chunks)?;
        self.pending.extend_from_slice(&sealed);
        while self.sealing.whole - self.put >= u64::from(PART) {
            let end = self.size(self.put, self.put + u64::from(PART))?;
            let rest = self.pending.split_off(end.min(self.pending.len()));
            let part = std::mem::replace(&mut self.pending, rest);
            self.put(part, PART)?;
        }
        Ok(())
    }

    /// Notes the parts that were put, for who takes over if this relay dies.
    ///
    /// # Errors
    /// As [`Parted::sync`].
    pub(super) fn settle(&mut self) -> io::Result<()> {
        let at = content_of(self.put, self.sealing.length).start;
        if at > self.noted {
            self.note(at, Vec::new())
        } else {
            Ok(())
        }
    }

    /// Puts what is here into bucket and row.
    ///
    /// # Errors
    /// What bucket and database say; [`super::claim::TakenOver`].
    pub(super) fn sync(&mut self) -> io::Result<()> {
        let left = self.sealing.whole - self.put;
        if left > 0 {
            let mut segments = u32::try_from(left).map_err(io::Error::other)?;
            let mut part = std::mem::take(&mut self.pending);
            while let Some(last) = self.parts.last().copied()
                && last.segments <= segments
                && last.segments + segments <= PART
            {
                let mut joined = self.got(last)?;
                joined.append(&mut part);
                (part, segments) = (joined, segments + last.segments);
                self.put -= u64::from(last.segments);
                self.spent.extend(self.parts.pop());
            }
            self.put(part, segments)?;
        }
        if self.end() == self.noted {
            return Ok(());
        }
        let tail = match self.sealing.tail.is_empty() {
            true => Vec::new(),
            false => self.sealing.sealed_tail()?,
        };
        self.note(self.end(), tail)?;
        for part in std::mem::take(&mut self.spent) {
            let objects = self.shared()?.objects.clone();
            let key = part_key(&self.upload.id, part.name);
            // What stays goes with the upload or its container.
            let _left = self.handle.block_on(objects.remove(&key));
        }
        Ok(())
    }

    /// Hands over what is here from `from` on, while `each` wants more.
    ///
    /// # Errors
    /// What the bucket says; `InvalidData` for a segment that does not open.
    pub(super) fn pass(&self, from: u64, each: &mut dyn FnMut(&[u8]) -> bool) -> io::Result<()> {
        if !self.pending.is_empty() {
            return Err(other_than("what was put"));
        }
        let (objects, length) = (self.shared()?.objects.clone(), self.sealing.length);
        let source = PartsSource::new(objects, self.handle.clone(), &self.upload.id, &self.parts, length);
        self.sealing.pass(source, from, each)
    }

    fn put(&mut self, bytes: Vec<u8>, segments: u32) -> io::Result<()> {
        // Sixty-two of its bits are random.
        let name = uuid::Uuid::now_v7().as_u64_pair().1;
        let key = part_key(&self.upload.id, name);
        let objects = self.shared()?.objects.clone();
        self.handle.block_on(objects.put(&key, bytes.into())).map_err(to_io)?;
        self.parts.push(Part { name, segments });
        self.put += u64::from(segments);
        Ok(())
    }

    fn got(&self, part: Part) -> io::Result<Vec<u8>> {
        let most = u64::from(PART) * (SEGMENT + 64);
        let key = part_key(&self.upload.id, part.name);
        let objects = self.shared()?.objects.clone();
        Ok(self.handle.block_on(objects.whole(&key, most)).map_err(to_io)?.into())
    }

    fn note(&mut self, at: u64, tail: Vec<u8>) -> io::Result<()> {
        let parts = Part::encode(&self.parts);
        let grown = Grown { at, parts, tail };
        self.upload.claim()?.advance(&self.upload.id, self.epoch, grown)?;
        self.noted = at;
        Ok(())
    }

    /// Bytes of these segments, sealed.
    fn size(&self, first: u64, after: u64) -> io::Result<usize> {
        let places = places(first..after, self.sealing.length);
        usize::try_from(places.end - places.start).map_err(io::Error::other)
    }

    fn shared(&self) -> io::Result<&super::claim::Shared> {
        self.upload.claim().map(|claim: &Claim| &*claim.shared)
    }
}

fn other_than(what: &str) -> io::Error {
    crate::seal::damaged(&format!("an upload is not where {what} says"))
}

#[cfg(test)]
mod tests;
