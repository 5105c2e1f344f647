//! The trail on disk: append-only segment files with group commit, the commit point of the embedded store.
//!
//! A group of records is one write and one sync. A group that never became whole is a torn tail: it was never acknowledged, is
//! cut off at the next start, kept in a file beside, and reported. A broken group with whole ones after it, or whose records the
//! index has seen, is damage, and stops the relay.

mod group;
pub(crate) mod remade;
mod run;
mod sealed;
mod segment;

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

pub(crate) use group::Group;
pub use group::{MAX_GROUP, Place};
pub(crate) use sealed::{OpenKey, SealedRecord};
use segment::segments;

use crate::folder::{create_private, full, private_file, replace};
use crate::reserve;

/// A segment that has grown beyond this is closed, and the next begun.
pub const SEGMENT_BYTES: u64 = 64 << 20;

/// Why the trail cannot be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum TrailError {
    /// Another process has it.
    #[error("{0} is in use by another process")]
    Locked(PathBuf),
    /// Bytes that were once durable are not what was written.
    #[error(
        "{file} is damaged at byte {offset}, record {position}: {what}. Nothing was changed. Restore this file from a backup; \
         the records before it are good"
    )]
    Damaged {
        /// Which file.
        file: PathBuf,
        /// Where.
        offset: u64,
        /// Position of the first record that cannot be read.
        position: u64,
        /// In words.
        what: &'static str,
    },
    /// What the system says.
    #[error("{0}: {1}")]
    Io(PathBuf, io::Error),
}

/// Why a group was not kept.
#[derive(Debug)]
pub(crate) enum AppendError {
    /// No space; what was half written is cut off again.
    Full,
    /// Whether it is on disk cannot be known: no more writes.
    Broken(String),
}

/// How bytes reach the disk; tests put faults here.
pub(crate) trait Medium: Send + 'static {
    /// Appends all bytes.
    fn write(&mut self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }
    /// Makes what was appended durable.
    fn sync(&mut self, file: &File) -> io::Result<()> {
        file.sync_data()
    }
}

/// The disk as it is.
pub(crate) struct Disk;

impl Medium for Disk {}

/// The writing end. There is one, in one process: it holds a lock.
pub(crate) struct Trail {
    folder: PathBuf,
    medium: Box<dyn Medium>,
    segment: u64,
    file: File,
    length: u64,
    size: u64,
    roll_at: u64,
    _lock: File,
}

/// What was found at the end of the trail when it was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    /// Which file.
    pub file: PathBuf,
    /// How long it is now.
    pub kept: u64,
    /// How many bytes were cut off.
    pub cut: u64,
    /// The file that keeps them.
    pub aside: PathBuf,
}

impl Trail {
    /// Opens the trail in `folder`, made if it is not there. What is not whole at its end stays until [`Trail::cut`].
    pub(crate) fn open(folder: &Path, medium: Box<dyn Medium>) -> Result<Self, TrailError> {
        let at = |path: &Path| {
            let path = path.to_path_buf();
            move |error| TrailError::Io(path, error)
        };
        create_private(folder).map_err(at(folder))?;
        let lock = lock(folder)?;
        let all = segments(folder)?;
        let (segment, file, length, size) = match all.last() {
            None => {
                let (file, length) = segment::create(folder, 0).map_err(at(folder))?;
                (0, file, length, 0)
            }
            Some(&first) => {
                let path = segment::path(folder, first);
                let end = segment::end(folder, first, true)?;
                let file = OpenOptions::new()
                    .read(true)
                    .write(true)
                    .open(&path)
                    .map_err(at(&path))?;
                (first, file, end.length, end.next)
            }
        };
        Ok(Self {
            folder: folder.to_path_buf(),
            medium,
            segment,
            file,
            length,
            size,
            roll_at: SEGMENT_BYTES,
            _lock: lock,
        })
    }

    /// Cuts off what is not whole at the end, after it is kept in a file of its own. Before the first group is begun.
    pub(crate) fn cut(&mut self) -> Result<Option<TornTail>, TrailError> {
        let path = segment::path(&self.folder, self.segment);
        let io = |error| TrailError::Io(path.clone(), error);
        let found = self.file.metadata().map_err(io)?.len();
        let mut torn = None;
        if found > self.length {
            let mut tail = Vec::new();
            self.file.seek(SeekFrom::Start(self.length)).map_err(io)?;
            self.file.read_to_end(&mut tail).map_err(io)?;
            let aside = path.with_extension(format!("{}.torn", self.length));
            let kept = replace(&aside, &tail).or_else(|error| match full(&error) && reserve::give_up(&self.folder) {
                true => replace(&aside, &tail),
                false => Err(error),
            });
            kept.map_err(|error| TrailError::Io(aside.clone(), error))?;
            self.file.set_len(self.length).map_err(io)?;
            torn = Some(TornTail {
                file: path.clone(),
                kept: self.length,
                cut: found - self.length,
                aside,
            });
        }
        if self.length < segment::HEADER.len() as u64 {
            segment::begin(&mut self.file).map_err(io)?;
        }
        self.file.sync_all().map_err(io)?;
        self.length = self.file.seek(SeekFrom::End(0)).map_err(io)?;
        Ok(torn)
    }

    /// The damage it is if `seen` records were there once and the end is not whole; `None` if nothing follows the last whole group.
    pub(crate) fn damage(&self, seen: u64) -> Result<Option<TrailError>, TrailError> {
        let path = segment::path(&self.folder, self.segment);
        let found = self
            .file
            .metadata()
            .map_err(|error| TrailError::Io(path.clone(), error))?;
        Ok(
            (seen > self.size && found.len() > self.length).then_some(TrailError::Damaged {
                file: path,
                offset: self.length,
                position: self.size,
                what: "its last group is broken, and its records were there once: the index or a signed checkpoint has seen them",
            }),
        )
    }

    /// Number of records.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Begins a group at the end of the trail, in a new segment if the last one has grown enough.
    pub(crate) fn begin(&mut self) -> Result<Group, AppendError> {
        if self.length >= self.roll_at && self.size > self.segment {
            let created = segment::create(&self.folder, self.size).or_else(|error| {
                if full(&error) && reserve::give_up(&self.folder) {
                    segment::create(&self.folder, self.size)
                } else {
                    Err(error)
                }
            });
            let (file, length) = created.map_err(|error| match full(&error) {
                true => AppendError::Full,
                false => AppendError::Broken(format!("new segment: {error}")),
            })?;
            (self.segment, self.file, self.length) = (self.size, file, length);
        }
        Ok(Group::new(self.segment, self.length, self.size))
    }

    /// Writes a group and makes it durable.
    pub(crate) fn append(&mut self, group: Group) -> Result<(), AppendError> {
        let count = group.count();
        let bytes = group.finish();
        let written = self.write(&bytes);
        let again = matches!(written, Err(AppendError::Full)) && reserve::give_up(&self.folder);
        if again { self.write(&bytes) } else { written }?;
        if let Err(error) = self.medium.sync(&self.file) {
            // After a failed sync nobody knows what is on disk. Cut off what was not acknowledged, as well as it goes.
            let _unsure = self.file.set_len(self.length);
            return Err(AppendError::Broken(format!("sync: {error}")));
        }
        self.length += bytes.len() as u64;
        self.size += count;
        Ok(())
    }

    /// Appends bytes, or leaves the file as it was.
    fn write(&mut self, bytes: &[u8]) -> Result<(), AppendError> {
        let Err(error) = self.medium.write(&mut self.file, bytes) else {
            return Ok(());
        };
        let cut = self
            .file
            .set_len(self.length)
            .and_then(|()| self.file.seek(SeekFrom::Start(self.length)));
        Err(match (cut, full(&error)) {
            (Ok(_), true) => AppendError::Full,
            _ => AppendError::Broken(format!("write: {error}")),
        })
    }

    /// Closes a segment once it has so many bytes, instead of [`SEGMENT_BYTES`].
    #[cfg(test)]
    fn roll_at(&mut self, bytes: u64) {
        self.roll_at = bytes;
    }
}

/// The reading end; any number of readers beside the one that writes.
#[derive(Debug)]
pub(crate) struct TrailReader {
    folder: PathBuf,
}

/// One segment file, for who looks at files rather than records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SegmentFile {
    /// Position of its first record.
    pub(crate) first: u64,
    /// Where it lies.
    pub(crate) path: PathBuf,
}

/// A lock that keeps a relay from starting on a trail, taken without writing anything.
pub(crate) struct Still(#[expect(dead_code, reason = "held, not read")] Option<File>);

impl TrailReader {
    /// The segment files, ascending.
    pub(crate) fn files(&self) -> Result<Vec<SegmentFile>, TrailError> {
        let all = segments(&self.folder)?;
        Ok(all
            .into_iter()
            .map(|first| SegmentFile {
                first,
                path: segment::path(&self.folder, first),
            })
            .collect())
    }

    /// Reads one segment file alone: bytes that are good, and the position after its last record.
    pub(crate) fn extent(&self, first: u64, last: bool) -> Result<(u64, u64), TrailError> {
        let end = segment::end(&self.folder, first, last)?;
        Ok((end.length, end.next))
    }

    /// Keeps a relay from starting here while this is held.
    pub(crate) fn still(&self) -> Result<Still, TrailError> {
        let path = self.folder.join("lock");
        let io = |error| TrailError::Io(path.clone(), error);
        match File::open(&path) {
            Ok(file) => match file.try_lock() {
                Ok(()) => Ok(Still(Some(file))),
                Err(std::fs::TryLockError::WouldBlock) => Err(TrailError::Locked(self.folder.clone())),
                Err(std::fs::TryLockError::Error(error)) => Err(io(error)),
            },
            // A trail that no relay has opened yet has no lock.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Still(None)),
            Err(error) => Err(io(error)),
        }
    }

    pub(crate) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_path_buf(),
        }
    }

    /// Hands every record from `from` on to `each`, with its place, until the end of the trail.
    pub(crate) fn replay<E: From<TrailError>>(
        &self,
        from: u64,
        mut each: impl FnMut(SealedRecord, Place) -> Result<(), E>,
    ) -> Result<(), E> {
        let all = segments(&self.folder)?;
        let start = all.partition_point(|first| *first <= from).saturating_sub(1);
        let mut expected = None;
        for first in all.iter().skip(start).copied() {
            if expected.is_some_and(|expected| expected != first) {
                return Err(E::from(TrailError::Damaged {
                    file: segment::path(&self.folder, first),
                    offset: 0,
                    position: expected.unwrap_or(0),
                    what: "the segment before it ends too early or is missing",
                }));
            }
            let last = all.last() == Some(&first);
            expected = Some(segment::replay(&self.folder, first, last, &mut |record, place| {
                if record.position < from {
                    Ok(())
                } else {
                    each(record, place)
                }
            })?);
        }
        Ok(())
    }
}

/// Takes the lock of a trail's folder.
fn lock(folder: &Path) -> Result<File, TrailError> {
    let path = folder.join("lock");
    let io = |error| TrailError::Io(path.clone(), error);
    let file = private_file()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(TrailError::Locked(folder.to_path_buf())),
        Err(std::fs::TryLockError::Error(error)) => Err(io(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Content;

    fn key() -> OpenKey {
        OpenKey::new(&[7; 32]).unwrap()
    }

    fn write(trail: &mut Trail, count: u64) {
        for _ in 0..count {
            let mut group = trail.begin().unwrap();
            let content = Content {
                body: format!("body {}", group.next()),
                salt: [7; 32],
            };
            let id = "2026-11.account".parse().unwrap();
            group.add(&SealedRecord::seal(group.next(), &content, id, &key()).unwrap());
            trail.append(group).unwrap();
        }
    }

    fn body(record: &SealedRecord) -> String {
        record.clone().open(&key()).unwrap().body
    }

    fn replay(folder: &Path, from: u64) -> Result<Vec<(u64, Place)>, TrailError> {
        let mut found = Vec::new();
        TrailReader::new(folder).replay(from, |record, place| {
            assert_eq!(body(&record), format!("body {}", record.position));
            found.push((record.position, place));
            Ok::<(), TrailError>(())
        })?;
        Ok(found)
    }

    #[test]
    fn segments_follow_each_other_and_a_missing_one_is_damage() {
        let folder = tempfile::tempdir().unwrap();
        let mut trail = Trail::open(folder.path(), Box::new(Disk)).unwrap();
        trail.roll_at(300);
        write(&mut trail, 20);
        drop(trail);
        let all = segments(folder.path()).unwrap();
        assert!(all.len() > 3, "{all:?}");
        let found = replay(folder.path(), 0).unwrap();
        assert!(found.iter().map(|(position, _)| *position).eq(0..20));
        let reader = TrailReader::new(folder.path());
        for (position, place) in found {
            // From its own place, and from that of one before it.
            for asked in position..20.min(position + 9) {
                let one = reader
                    .run(&[asked], 1, |_| Ok::<_, TrailError>((position, place)))
                    .unwrap();
                assert_eq!(body(&one[0]), format!("body {asked}"));
            }
            assert!(
                reader
                    .run(&[position], 1, |_| Ok::<_, TrailError>((position + 1, place)))
                    .is_err()
            );
        }
        let places: std::collections::BTreeMap<u64, Place> = replay(folder.path(), 0).unwrap().into_iter().collect();
        let place = |position| Ok::<_, TrailError>((position, places[&position]));
        let read = |positions: &[u64], most: usize| {
            let run = reader.run(positions, most, place);
            run.unwrap().iter().map(|record| record.position).collect::<Vec<_>>()
        };
        // One after the other through groups and files, over short gaps, and over a long one by its place.
        let every: Vec<u64> = (0..20).collect();
        assert_eq!(read(&every, usize::MAX), every);
        assert_eq!(read(&[1, 3, 4, 19], usize::MAX), [1, 3, 4, 19]);
        assert_eq!(read(&[0, 19], usize::MAX), [0, 19]);
        assert_eq!(read(&every, 1), [0], "one at least");
        let length = reader.run(&[0], 1, place).unwrap()[0].length();
        assert_eq!(read(&every, length * 3), [0, 1, 2]);
        let wrong = reader.run(&[5], 1, |_| Ok::<_, TrailError>((5, places[&6])));
        assert!(matches!(wrong, Err(TrailError::Damaged { .. })));
        let beyond = reader.run(&[19, 20], usize::MAX, place);
        assert!(matches!(beyond, Err(TrailError::Damaged { .. })));
        assert_eq!(replay(folder.path(), 13).unwrap().len(), 7);
        let mut trail = Trail::open(folder.path(), Box::new(Disk)).unwrap();
        assert_eq!((trail.size(), trail.cut().unwrap()), (20, None));
        drop(trail);
        std::fs::remove_file(segment::path(folder.path(), all[1])).unwrap();
        assert!(matches!(replay(folder.path(), 0), Err(TrailError::Damaged { .. })));
    }

    #[test]
    fn a_segment_torn_at_its_making_is_begun_again() {
        let folder = tempfile::tempdir().unwrap();
        for length in [0, 1, 15] {
            std::fs::write(segment::path(folder.path(), 0), &segment::HEADER[..length]).unwrap();
            let mut trail = Trail::open(folder.path(), Box::new(Disk)).unwrap();
            trail.cut().unwrap();
            write(&mut trail, 1);
            assert_eq!(replay(folder.path(), 0).unwrap().len(), 1);
        }
    }
}
