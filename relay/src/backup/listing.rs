//! The list of a generation's files: one JSON line each, ordered by path, folder by folder. Read and written as a stream.

use std::cmp::Ordering;
use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{BackupError, Content, Target};

/// A file of a generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// Where it lies in the data folder, with `/`.
    pub(super) path: String,
    /// When it was last changed, nanoseconds since 1970: with the size, what tells that it is still the same.
    pub(super) modified: u64,
    /// What it holds.
    pub(super) content: Content,
}

/// The order of entries: that of folders and names, not of bytes.
pub(super) fn order(one: &str, other: &str) -> Ordering {
    one.split('/').cmp(other.split('/'))
}

/// A list in a file, being written.
pub(super) struct Writing {
    path: PathBuf,
    file: BufWriter<File>,
}

/// A list being read, entry by entry; empty if there is none.
pub(super) struct Reading {
    path: PathBuf,
    lines: Option<std::io::Lines<BufReader<File>>>,
    ahead: Option<Entry>,
}

impl Writing {
    pub(super) fn create(path: &Path) -> Result<Self, BackupError> {
        let file = File::create(path).map_err(|error| BackupError::Io(path.into(), error))?;
        Ok(Self {
            path: path.into(),
            file: BufWriter::new(file),
        })
    }

    pub(super) fn add(&mut self, entry: &Entry) -> Result<(), BackupError> {
        let line = serde_json::to_string(entry).map_err(std::io::Error::from);
        line.and_then(|line| writeln!(self.file, "{line}"))
            .map_err(|error| BackupError::Io(self.path.clone(), error))
    }

    pub(super) fn end(mut self) -> Result<PathBuf, BackupError> {
        match self.file.flush() {
            Ok(()) => Ok(self.path),
            Err(error) => Err(BackupError::Io(self.path, error)),
        }
    }
}

impl Reading {
    pub(super) fn none() -> Self {
        Self {
            path: PathBuf::new(),
            lines: None,
            ahead: None,
        }
    }

    pub(super) fn open(path: &Path) -> Result<Self, BackupError> {
        let file = File::open(path).map_err(|error| BackupError::Io(path.into(), error))?;
        Ok(Self {
            path: path.into(),
            lines: Some(BufReader::new(file).lines()),
            ahead: None,
        })
    }

    /// The next entry.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, BackupError> {
        if let Some(ahead) = self.ahead.take() {
            return Ok(Some(ahead));
        }
        let Some(line) = self.lines.as_mut().and_then(Iterator::next) else {
            return Ok(None);
        };
        line.and_then(|line| serde_json::from_str(&line).map_err(Into::into))
            .map(Some)
            .map_err(|error| BackupError::Io(self.path.clone(), error))
    }

    /// The entry of this path, if there is one; `skipped` is told each entry before it. Paths must be asked in order.
    pub(super) fn at(&mut self, path: &str, skipped: &mut impl FnMut(Entry)) -> Result<Option<Entry>, BackupError> {
        while let Some(entry) = self.next()? {
            match order(&entry.path, path) {
                Ordering::Less => skipped(entry),
                Ordering::Equal => return Ok(Some(entry)),
                Ordering::Greater => {
                    self.ahead = Some(entry);
                    break;
                }
            }
        }
        Ok(None)
    }
}

/// Brings a list of a generation into a file.
pub(super) async fn bring(target: &Target, listing: &Content, to: &Path) -> Result<Reading, BackupError> {
    let io = |error| BackupError::Io(to.into(), error);
    let mut file = File::create(to).map_err(io)?;
    for object in listing.objects() {
        let bytes = target.object(object, "the list of files").await?;
        file.write_all(&bytes).map_err(io)?;
    }
    Reading::open(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str) -> Entry {
        Entry {
            path: path.into(),
            modified: 1,
            content: Content {
                size: 0,
                sha256: String::new(),
                parts: Vec::new(),
            },
        }
    }

    #[test]
    fn entries_are_found_in_the_order_of_folders() {
        let folder = tempfile::tempdir().unwrap();
        let mut writing = Writing::create(&folder.path().join("list")).unwrap();
        // By bytes `a.x` would come before `a/b`.
        let paths = ["a/b", "a/c", "a.x/b", "c"];
        paths.iter().for_each(|path| writing.add(&entry(path)).unwrap());
        let mut reading = Reading::open(&writing.end().unwrap()).unwrap();
        let mut gone = Vec::new();
        let mut skipped = |entry: Entry| gone.push(entry.path);
        assert!(reading.at("a/a", &mut skipped).unwrap().is_none());
        assert_eq!(reading.at("a/c", &mut skipped).unwrap().unwrap().path, "a/c");
        assert!(reading.at("b", &mut skipped).unwrap().is_none());
        assert_eq!(reading.at("c", &mut skipped).unwrap().unwrap().path, "c");
        assert!(reading.at("d", &mut skipped).unwrap().is_none());
        assert_eq!(gone, ["a/b", "a.x/b"]);
    }
}
