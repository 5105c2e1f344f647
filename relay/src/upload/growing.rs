//! The file of an upload, sealed as it grows. Whole segments stand in the file the container will be; the bytes after them in a
//! small one beside it, replaced whole: so nothing acknowledged is ever cut off before what replaces it is on disk.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::containers::{CONTAINER, CONTAINER_KEY};
use crate::folder::{create_private, private_file, replace};
use crate::keys::{DataKey, Keys, KeysError};
use crate::seal::{
    HEAD, SEGMENT, Seal, SealedReader, content_of, damaged, last_segment, places, sealed_size, whole_segments,
};

/// The file of the bytes after the last whole segment: the segment's index, big-endian, and its beginning, sealed.
const TAIL: &str = "tail";
/// Bytes of a tail's file that are not its content: index, nonce and tag.
const TAIL_OVERHEAD: u64 = 8 + 28;

/// With what an upload is sealed.
#[derive(Clone, Debug)]
pub(super) struct Seals {
    body: Seal,
    tail: Seal,
}

impl Seals {
    fn new(key: &DataKey, id: &str) -> io::Result<Self> {
        Ok(Self {
            body: Seal::new(key, id, CONTAINER)?,
            tail: Seal::new(key, id, TAIL)?,
        })
    }

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
    seals: Seals,
    /// Bytes of the whole upload.
    length: u64,
    /// Whole segments in the file.
    whole: u64,
    /// The bytes after them.
    tail: Vec<u8>,
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
            seals: seals.clone(),
            length,
            whole,
            tail: Vec::new(),
        };
        let rest = usize::try_from(at.saturating_sub(growing.end())).map_err(io::Error::other)?;
        let kept = growing.kept_tail()?;
        growing.tail = match &kept {
            Some((index, tail)) if *index == whole && tail.len() >= rest => tail.clone(),
            _ if rest == 0 => Vec::new(),
            // A request that was cut off had gone on from there.
            _ => growing.segment(whole)?,
        };
        growing.tail.truncate(rest);
        let same = kept
            .as_ref()
            .is_some_and(|(index, tail)| *index == whole && *tail == growing.tail);
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
        content_of(self.whole, self.length).start + self.tail.len() as u64
    }

    /// Takes the next bytes; more than the upload's length is refused.
    ///
    /// # Errors
    /// What the disk says; the file must then be opened anew.
    pub(super) fn write(&mut self, chunks: &[impl AsRef<[u8]>]) -> io::Result<()> {
        let bytes: usize = chunks.iter().map(|chunk| chunk.as_ref().len()).sum();
        let mut sealed = Vec::with_capacity(bytes + bytes / 1024 + self.tail.len() + 64);
        for chunk in chunks {
            let mut rest = chunk.as_ref();
            while !rest.is_empty() {
                rest = self.take(rest, &mut sealed)?;
            }
        }
        self.file.write_all(&sealed)
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

    /// Waits until the disk has it.
    ///
    /// # Errors
    /// What the disk says.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()?;
        // The old tail is part of a whole segment now, which is on disk; an older one than the file is no tail any more.
        if self.tail.is_empty() { Ok(()) } else { self.keep_tail() }
    }

    /// Hands over what is here from `from` on, a segment at a time, while `each` wants more.
    ///
    /// # Errors
    /// What the disk says; `InvalidData` for a segment that does not open: those before it were handed over.
    pub(super) fn pass(&self, from: u64, each: &mut dyn FnMut(&[u8]) -> bool) -> io::Result<()> {
        let end = content_of(self.whole, self.length).start;
        let mut reader = SealedReader::new(File::open(body(&self.folder))?, self.seals.body.clone(), self.length);
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

    fn segment(&self, index: u64) -> io::Result<Vec<u8>> {
        let of = content_of(index, self.length);
        let file = File::open(body(&self.folder))?;
        SealedReader::new(file, self.seals.body.clone(), self.length).part(of.start, of.end)
    }

    fn kept_tail(&self) -> io::Result<Option<(u64, Vec<u8>)>> {
        kept_tail(&self.folder, &self.seals)
    }

    fn keep_tail(&self) -> io::Result<()> {
        let mut text = self.whole.to_be_bytes().to_vec();
        self.seals.tail.seal(self.whole, false, &self.tail, &mut text)?;
        replace(&self.folder.join(TAIL), &text)
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
    let mut text = match fs::read(folder.join(TAIL)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read?,
    };
    let (index, sealed) = text.split_first_chunk_mut().ok_or_else(|| damaged("a tail is cut"))?;
    let index = u64::from_be_bytes(*index);
    let tail = seals.tail.open(index, false, sealed)?.to_vec();
    Ok(Some((index, tail)))
}

/// Segments of an upload of this length that is whole.
fn segments(length: u64) -> u64 {
    if length == 0 { 0 } else { last_segment(length) + 1 }
}

pub(super) fn body(folder: &Path) -> PathBuf {
    folder.join(format!("{CONTAINER}.sealed"))
}

fn from_keys(error: KeysError) -> io::Error {
    match error {
        KeysError::Io(error) => error,
        error => io::Error::other(error),
    }
}

#[cfg(test)]
mod tests;
