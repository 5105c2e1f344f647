//! The file of an upload, sealed as it grows. Whole segments stand in the file the container will be; the bytes after them in a
//! small one beside it, replaced whole: so nothing acknowledged is ever cut off before what replaces it is on disk.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::sealing::{Sealing, Seals, TAIL, from_keys, segments};
use crate::containers::{CONTAINER, CONTAINER_KEY};
use crate::folder::{create_private, private_file, replace};
use crate::keys::{DataKey, Keys};
use crate::seal::{HEAD, SEGMENT, SealedReader, content_of, places, sealed_size, whole_segments};

/// Bytes of a tail's file that are not its content: index, nonce and tag.
const TAIL_OVERHEAD: u64 = 8 + 28;

impl Seals {
    /// Makes the folder of a new upload: its key and its file without content. Durable but for the folder's own name.
    ///
    /// # Errors
    /// What the disk says, or why the key cannot be wrapped.
    pub(super) fn create(folder: &Path, id: &str, keys: &Keys) -> io::Result<Self> {
        create_private(folder)?;
        let mut file = private_file().write(true).create_new(true).open(body(folder))?;
        file.write_all(&HEAD)?;
        file.sync_all()?;
        let key = DataKey::generate()?;
        keys.keep(&folder.join(CONTAINER_KEY), &key).map_err(from_keys)?;
        Self::new(&key, id)
    }

    /// Those of an upload that is there.
    ///
    /// # Errors
    /// As [`Seals::create`].
    pub(super) fn open(folder: &Path, id: &str, keys: &Keys) -> io::Result<Self> {
        Self::new(&keys.kept(&folder.join(CONTAINER_KEY)).map_err(from_keys)?, id)
    }
}

/// An upload's file while somebody works on it. Blocking.
pub(super) struct Growing {
    folder: PathBuf,
    file: File,
    /// Where its whole segments are those in the file.
    sealing: Sealing,
}

impl Growing {
    /// Opens the file of an upload of `length` bytes where it has `at` of them; what lies beyond is dropped.
    ///
    /// # Errors
    /// What the disk says; `InvalidData` if the bytes before `at` do not open.
    pub(super) fn open(folder: &Path, seals: &Seals, length: u64, at: u64) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(body(folder))?;
        let whole = if at >= length { segments(length) } else { at / SEGMENT };
        let mut growing = Self {
            folder: folder.into(),
            file,
            sealing: Sealing::at(seals.clone(), length, whole, Vec::new()),
        };
        let rest = usize::try_from(at.saturating_sub(growing.end())).map_err(io::Error::other)?;
        let kept = growing.kept_tail()?;
        let mut tail = match &kept {
            Some((index, tail)) if *index == whole && tail.len() >= rest => tail.clone(),
            _ if rest == 0 => Vec::new(),
            // A request that was cut off had gone on from there.
            _ => growing.segment(whole)?,
        };
        tail.truncate(rest);
        let same = kept
            .as_ref()
            .is_some_and(|(index, kept)| *index == whole && *kept == tail);
        growing.sealing.tail = tail;
        if !same && (rest > 0 || kept.is_some_and(|(index, _)| index >= whole)) {
            growing.keep_tail()?;
        }
        let end = places(0..whole, length).end;
        growing.file.set_len(end)?;
        growing.file.seek(SeekFrom::Start(end))?;
        Ok(growing)
    }

    /// Bytes of the upload that are here.
    pub(super) fn end(&self) -> u64 {
        self.sealing.end()
    }

    /// Takes the next bytes; more than the upload's length is refused.
    ///
    /// # Errors
    /// What the disk says; the file must then be opened anew.
    pub(super) fn write(&mut self, chunks: &[impl AsRef<[u8]>]) -> io::Result<()> {
        let sealed = self.sealing.seal(chunks)?;
        self.file.write_all(&sealed)
    }

    /// Waits until the disk has it.
    ///
    /// # Errors
    /// What the disk says.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()?;
        // The old tail is part of a whole segment now, which is on disk; an older one than the file is no tail any more.
        if self.sealing.tail.is_empty() {
            Ok(())
        } else {
            self.keep_tail()
        }
    }

    /// Hands over what is here from `from` on, a segment at a time, while `each` wants more.
    ///
    /// # Errors
    /// What the disk says; `InvalidData` for a segment that does not open: those before it were handed over.
    pub(super) fn pass(&self, from: u64, each: &mut dyn FnMut(&[u8]) -> bool) -> io::Result<()> {
        self.sealing.pass(File::open(body(&self.folder))?, from, each)
    }

    fn segment(&self, index: u64) -> io::Result<Vec<u8>> {
        let Sealing { seals, length, .. } = &self.sealing;
        let of = content_of(index, *length);
        let file = File::open(body(&self.folder))?;
        SealedReader::new(file, seals.body.clone(), *length).part(of.start, of.end)
    }

    fn kept_tail(&self) -> io::Result<Option<(u64, Vec<u8>)>> {
        kept_tail(&self.folder, &self.sealing.seals)
    }

    fn keep_tail(&self) -> io::Result<()> {
        replace(&self.folder.join(TAIL), &self.sealing.sealed_tail()?)
    }
}

/// How many bytes of an upload are on disk, as sizes tell: nothing is opened. What a power cut has left of a request that was not
/// acknowledged may not open; who reads on finds out ([`before`]).
///
/// # Errors
/// What the disk says.
pub(super) fn on_disk(folder: &Path, length: u64) -> io::Result<u64> {
    let size = fs::metadata(body(folder))?.len();
    if size >= sealed_size(length) {
        return Ok(length);
    }
    let whole = whole_segments(size);
    let start = content_of(whole, length).start;
    let tail = match fs::read(folder.join(TAIL)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(start),
        read => read?,
    };
    let index = tail.first_chunk().map_or(0, |index| u64::from_be_bytes(*index));
    let more = (tail.len() as u64).saturating_sub(TAIL_OVERHEAD);
    Ok(if index == whole { start + more } else { start })
}

/// How many bytes are good where the one at `bad` is not: up to its segment, and what is kept of that as a tail.
///
/// # Errors
/// What the disk says.
pub(super) fn before(folder: &Path, seals: &Seals, bad: u64) -> io::Result<u64> {
    let index = bad / SEGMENT;
    let tail = kept_tail(folder, seals)?.filter(|(kept, _)| *kept == index);
    Ok(index * SEGMENT + tail.map_or(0, |(_, tail)| tail.len() as u64))
}

fn kept_tail(folder: &Path, seals: &Seals) -> io::Result<Option<(u64, Vec<u8>)>> {
    let text = match fs::read(folder.join(TAIL)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read?,
    };
    seals.open_tail(text).map(Some)
}

pub(super) fn body(folder: &Path) -> PathBuf {
    folder.join(format!("{CONTAINER}.sealed"))
}

#[cfg(test)]
mod tests;
