//! The largest tree of which a checkpoint is kept beside the trail, `stamps/N.checkpoint` or `witnessed`: so many records there
//! were, whatever became of trail and index.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use formats::trail::Checkpoint;

use super::FOLDER;
use super::kept::{NOTE, WITNESSED};

/// A checkpoint that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remembered {
    /// Where.
    pub(crate) file: PathBuf,
    /// Number of records it is signed for.
    pub(crate) size: u64,
    /// The root of their tree.
    pub(crate) root: [u8; 32],
}

/// What is kept below the data folder `data` and signed by the log, the largest last. Others' files say nothing.
pub(crate) fn remembered(data: &Path, vkey: &str) -> Vec<Remembered> {
    let folder = data.join(FOLDER);
    let mut files = vec![folder.join(WITNESSED)];
    let stamps = std::fs::read_dir(folder.join("stamps")).into_iter().flatten().flatten();
    files.extend(
        stamps
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "checkpoint")),
    );
    let mut found: Vec<_> = files.into_iter().filter_map(|file| read(file, vkey)).collect();
    found.sort_by_key(|one| one.size);
    found
}

fn read(file: PathBuf, vkey: &str) -> Option<Remembered> {
    let mut note = String::new();
    std::fs::File::open(&file)
        .ok()?
        .take(NOTE)
        .read_to_string(&mut note)
        .ok()?;
    let head = Checkpoint::verify(&note, vkey).ok()?;
    Some(Remembered {
        file,
        size: head.size,
        root: head.root,
    })
}
