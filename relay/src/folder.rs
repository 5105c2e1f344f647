//! Folders and files with what patients and facilities trust the relay with: containers, trail, uploads. Their owner alone may
//! open them.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
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

/// As [`create_private`], for the data folder: one that is there and open to others is closed to them, and the log says so.
///
/// # Errors
/// What the disk says, with the folder and the remedy if it belongs to another user.
pub fn create_or_close(path: &Path) -> io::Result<()> {
    create_private(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(path)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            let (folder, was) = (path.display(), format!("{mode:04o}"));
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).map_err(|error| {
                let remedy = "make it mode 0700 and owned by the relay's user";
                io::Error::new(
                    error.kind(),
                    format!("{folder} is open to other users ({was}): {remedy}"),
                )
            })?;
            tracing::warn!(%folder, was, "the data folder was open to other users; it is closed to them now (0700)");
        }
    }
    Ok(())
}

/// A folder for what is needed only for a while; removed with all that is in it when this is dropped.
#[derive(Debug)]
pub struct Scratch(std::path::PathBuf);

impl Scratch {
    /// A new folder below `parent`, or below the system's folder for temporary files.
    ///
    /// # Errors
    /// What the disk says.
    pub fn new(parent: Option<&Path>) -> io::Result<Self> {
        let parent = parent.map_or_else(std::env::temp_dir, Path::to_path_buf);
        let path = parent.join(format!("hikyaku-{}", uuid::Uuid::now_v7().simple()));
        create_private(&path)?;
        Ok(Self(path))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is the system's to clear away.
        let _left = std::fs::remove_dir_all(&self.0);
    }
}

/// How to open a file that, if it is made, is its owner's alone.
pub(crate) fn private_file() -> OpenOptions {
    #[cfg_attr(not(unix), allow(unused_mut, reason = "modes are Unix's"))]
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Makes a file its owner's alone that others' code has made.
///
/// # Errors
/// What the disk says.
pub(crate) fn make_private(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

/// Refuses a key file that others may open.
///
/// # Errors
/// Its mode and the remedy; or what the disk says.
pub fn owners_alone(path: &Path) -> io::Result<()> {
    let metadata = std::fs::metadata(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!("open to other users (mode {mode:04o}): chmod 600 {}", path.display()),
            ));
        }
    }
    #[cfg(not(unix))]
    let _ = metadata;
    Ok(())
}

/// Writes a small file, its owner's alone, durably: what was there is replaced whole, and after a crash one of both is there.
///
/// # Errors
/// What the disk says.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let beside = half_written(path);
    let written = (|| {
        let mut file = private_file().write(true).create(true).truncate(true).open(&beside)?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    })();
    if written.is_err() {
        // It may be the copy of a key, which nobody would erase.
        let _absent = std::fs::remove_file(&beside);
    }
    written?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// Where [`replace`] writes before it renames: a crash between both leaves it.
pub(crate) fn half_written(path: &Path) -> std::path::PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    beside.into()
}

/// Whether the disk has no room, or the user none on it.
pub(crate) fn full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

/// Makes renames and new files in a folder durable; Windows does this by itself and has no handle for it. The empty path is the
/// folder this process works in.
///
/// # Errors
/// What the disk says.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    let here = Path::new(".");
    let folder = if folder.as_os_str().is_empty() { here } else { folder };
    if cfg!(unix) {
        File::open(folder)?.sync_all()
    } else {
        Ok(())
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn an_open_data_folder_is_closed() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("data");
        std::fs::create_dir(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        create_or_close(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        let file = path.join("file");
        private_file().write(true).create_new(true).open(&file).unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
