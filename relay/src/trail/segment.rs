//! One segment file: `<position of its first record>.seg`, a header, then groups.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::group::{self, MAGIC};
use super::sealed::SealedRecord;
use super::{Place, TrailError};
use crate::folder::sync_folder;

/// Begins every segment file.
pub(super) const HEADER: &[u8; 16] = b"HIKYAKU-TRAIL-2\n";

/// How far a segment file is good.
pub(super) struct End {
    /// Bytes.
    pub(super) length: u64,
    /// Position after its last record.
    pub(super) next: u64,
}

/// Positions at which the segments of a trail begin, ascending.
pub(crate) fn segments(folder: &Path) -> Result<Vec<u64>, TrailError> {
    let io = |error| TrailError::Io(folder.to_path_buf(), error);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let name = entry.map_err(io)?.file_name();
        let first = name
            .to_str()
            .and_then(|name| name.strip_suffix(".seg"))
            .and_then(|digits| digits.parse::<u64>().ok());
        found.extend(first);
    }
    found.sort_unstable();
    Ok(found)
}

pub(super) fn path(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{first:020}.seg"))
}

/// Makes a new segment, durable with its name. A left-over of the same name has no record and is replaced.
pub(super) fn create(folder: &Path, first: u64) -> io::Result<(File, u64)> {
    let path = path(folder, first);
    let mut file = crate::folder::private_file()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)?;
    let made = begin(&mut file)
        .and_then(|()| file.sync_all())
        .and_then(|()| sync_folder(folder));
    if let Err(error) = made {
        let _unsure = std::fs::remove_file(&path);
        return Err(error);
    }
    Ok((file, HEADER.len() as u64))
}

/// Writes the header into an empty segment.
pub(super) fn begin(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(HEADER)
}

/// Finds how far a segment is good. Only the `last` may have a torn tail.
pub(super) fn end(folder: &Path, first: u64, last: bool) -> Result<End, TrailError> {
    let mut length = 0;
    let next = walk(folder, first, last, &mut |_, _| Ok::<(), TrailError>(()), &mut length)?;
    Ok(End { length, next })
}

/// Hands on every record of a segment; answers the position after its last. Only the `last` segment may have a torn tail.
pub(super) fn replay<E: From<TrailError>>(
    folder: &Path,
    first: u64,
    last: bool,
    each: &mut impl FnMut(SealedRecord, Place) -> Result<(), E>,
) -> Result<u64, E> {
    walk(folder, first, last, each, &mut 0)
}

fn walk<E: From<TrailError>>(
    folder: &Path,
    first: u64,
    last: bool,
    each: &mut impl FnMut(SealedRecord, Place) -> Result<(), E>,
    good: &mut u64,
) -> Result<u64, E> {
    let path = path(folder, first);
    // A segment is at most SEGMENT_BYTES and one group: read whole.
    let bytes = std::fs::read(&path).map_err(|error| TrailError::Io(path.clone(), error))?;
    let damaged = |offset: usize, position, what| {
        E::from(TrailError::Damaged {
            file: path.clone(),
            offset: offset as u64,
            position,
            what,
        })
    };
    if !bytes.starts_with(HEADER) {
        // A header is written before the segment's name is durable; a part of one is a torn creation.
        let torn = last && HEADER.starts_with(&bytes);
        return if torn {
            Ok(first)
        } else {
            Err(damaged(0, first, "its header is not a trail segment's"))
        };
    }
    let (mut offset, mut position) = (HEADER.len(), first);
    while let Some(rest) = bytes.get(offset..).filter(|rest| !rest.is_empty()) {
        let Some((frames, length)) = group::whole(rest) else {
            if !last || followed(rest) {
                return Err(damaged(
                    offset,
                    position,
                    "a group of records is broken, with good ones after it",
                ));
            }
            break;
        };
        let mut frames = frames;
        while !frames.is_empty() {
            let at = offset + length - frames.len();
            let record = group::read_frame(&mut frames).map_err(|error| TrailError::Io(path.clone(), error))?;
            match record.filter(|record| record.position == position) {
                Some(record) => each(
                    record,
                    Place {
                        segment: first,
                        offset: at as u64,
                    },
                )?,
                None => return Err(damaged(at, position, "a record is not the one that belongs there")),
            }
            position += 1;
        }
        offset += length;
    }
    *good = offset as u64;
    Ok(position)
}

/// Whether a whole group stands anywhere after a broken one. Groups are synced one after the other, so a whole one says
/// that everything before it was once durable.
fn followed(broken: &[u8]) -> bool {
    let starts = |at: &usize| broken.get(*at..).is_some_and(|rest| rest.starts_with(MAGIC));
    (1..broken.len().saturating_sub(group::head()))
        .filter(starts)
        .any(|at| broken.get(at..).is_some_and(|rest| group::whole(rest).is_some()))
}
