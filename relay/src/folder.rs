//! Folders with what patients and facilities trust the relay with: containers, trail, uploads.

use std::io;
use std::path::Path;

/// Makes a folder, and what is missing above it, for its owner alone. One that is there already is left as it is.
///
/// # Errors
/// What the disk says.
pub fn create_private(path: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}
