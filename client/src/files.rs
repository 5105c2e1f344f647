//! Files on disk: read with a bound, written whole or not at all.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use crate::error::{Code, Failure};

/// Largest file read into memory: certificates, signatures, envelopes, CRLs.
pub const MAX_SMALL_FILE: u64 = 64 * 1024 * 1024;

/// The bytes of a file that is expected to be small.
///
/// # Errors
/// [`Code::FileUnreadable`], also for files above [`MAX_SMALL_FILE`].
pub fn read_small(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = open(path)?
        .take(MAX_SMALL_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(path, &error))?;
    if read as u64 > MAX_SMALL_FILE {
        return Err(Failure::new(
            Code::FileUnreadable,
            format!("{}: larger than {MAX_SMALL_FILE} bytes", path.display()),
        ));
    }
    Ok(bytes)
}

/// Opens a file for reading.
///
/// # Errors
/// [`Code::FileUnreadable`], also for a directory.
pub fn open(path: &Path) -> Result<File, Failure> {
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    let metadata = file.metadata().map_err(|error| unreadable(path, &error))?;
    if metadata.is_dir() {
        return Err(Failure::new(
            Code::FileUnreadable,
            format!("{}: a directory", path.display()),
        ));
    }
    Ok(file)
}

/// Writes a file beside its final place, syncs it, then renames it: after a power cut it is there whole or not at all.
///
/// # Errors
/// [`Code::FileUnwritable`].
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let mut draft = Draft::create(path)?;
    draft.file.write_all(bytes).map_err(|error| unwritable(path, &error))?;
    draft.commit()
}

/// A file being written; removed again unless [`Draft::commit`] gives it its name.
#[derive(Debug)]
pub struct Draft {
    /// Where to write.
    pub file: File,
    place: PathBuf,
    target: PathBuf,
    committed: bool,
}

impl Draft {
    /// Begins a file that shall become `target`.
    ///
    /// # Errors
    /// [`Code::FileUnwritable`].
    pub fn create(target: &Path) -> Result<Self, Failure> {
        let mut name = target.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.part", std::process::id()));
        let place = target.with_file_name(name);
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            options.mode(0o600);
        }
        let file = options.open(&place).map_err(|error| unwritable(target, &error))?;
        Ok(Self {
            file,
            place,
            target: target.to_owned(),
            committed: false,
        })
    }

    /// Syncs the file and gives it its name.
    ///
    /// # Errors
    /// [`Code::FileUnwritable`]; then nothing is left behind.
    pub fn commit(mut self) -> Result<(), Failure> {
        self.file.sync_all().map_err(|error| unwritable(&self.target, &error))?;
        fs::rename(&self.place, &self.target).map_err(|error| unwritable(&self.target, &error))?;
        self.committed = true;
        sync_directory_of(&self.target);
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.committed {
            let _ = fs::remove_file(&self.place);
        }
    }
}

/// Makes a directory, on Unix for its owner only.
///
/// # Errors
/// [`Code::FileUnwritable`].
pub fn create_directory(path: &Path) -> Result<(), Failure> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(path).map_err(|error| unwritable(path, &error))
}

/// A rename is durable once its directory is synced; where that cannot be asked for (Windows), the system decides.
pub(crate) fn sync_directory_of(path: &Path) {
    #[cfg(unix)]
    {
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        if let Ok(directory) = File::open(directory.unwrap_or(Path::new("."))) {
            let _ = directory.sync_all();
        }
    }
    #[cfg(not(unix))]
    let _ = path;
}

/// A read error as a failure.
#[must_use]
pub fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Code::FileUnreadable, format!("{}: {error}", path.display()))
}

/// A write error as a failure.
#[must_use]
pub fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Code::FileUnwritable, format!("{}: {error}", path.display()))
}
