//! Files that hold a wrapped key: small, replaced whole, durable.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use super::WRAPPED;
use crate::folder::{half_written, replace, sync_folder};

/// # Errors
/// What the disk says; a file that is too long for a key is refused.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut wrapped = Vec::new();
    File::open(path)?.take(WRAPPED as u64 + 1).read_to_end(&mut wrapped)?;
    if wrapped.len() > WRAPPED {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "longer than a wrapped key"));
    }
    Ok(wrapped)
}

/// # Errors
/// What the disk says.
pub(super) fn write(path: &Path, wrapped: &[u8]) -> io::Result<()> {
    replace(path, wrapped)
}

/// Removes it, and first the copy that a crash while it was replaced has left.
///
/// # Errors
/// What the disk says.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    let mut removed = false;
    for path in [&half_written(path), path] {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => {
                other?;
                removed = true;
            }
        }
    }
    match path.parent().filter(|_| removed) {
        Some(folder) => sync_folder(folder),
        None => Ok(()),
    }
}
