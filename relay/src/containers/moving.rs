//! A finished upload becomes a container, and back: folders moved on the disk of this machine.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::{CONTAINER, CONTAINER_KEY, HALF};
use crate::folder::{create_private, private_file, sync_folder};

/// Moves the folder of an upload to that of a container; body and key arrive together. Where a container lies already under its
/// name, which no other upload bears, that one is it: an intake whose outcome nobody learnt has left it.
///
/// # Errors
/// What the disk says; the upload is then where it was.
pub(super) fn adopt(upload: &Path, folder: &Path) -> io::Result<()> {
    if folder.join(body()).exists() && folder.join(CONTAINER_KEY).exists() {
        if upload.exists() {
            fs::remove_dir_all(upload)?;
        }
        return sync_parents(upload, folder);
    }
    File::open(upload.join(body()))?.sync_all()?;
    strip(upload)?;
    if let Err(error) = fs::rename(upload, folder) {
        if error.kind() != io::ErrorKind::CrossesDevices {
            return Err(error);
        }
        copy_over(upload, folder)?;
    }
    sync_parents(upload, folder)
}

/// Moves it back without what was put beside it.
///
/// # Errors
/// What the disk says.
pub(super) fn give_back(folder: &Path, upload: &Path) -> io::Result<()> {
    strip(folder)?;
    if let Err(error) = fs::rename(folder, upload) {
        if error.kind() != io::ErrorKind::CrossesDevices {
            return Err(error);
        }
        copy_over(folder, upload)?;
    }
    sync_parents(folder, upload)
}

/// Leaves body and key alone: an upload's tail is no part of a container, and what lies beside one none of an upload.
fn strip(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name() != *body() && entry.file_name() != *CONTAINER_KEY {
            fs::remove_file(entry.path())?;
        }
    }
    sync_folder(folder)
}

fn body() -> String {
    format!("{CONTAINER}.sealed")
}

/// The slow way, where uploads lie on another file system: a whole copy under another name first.
fn copy_over(from: &Path, to: &Path) -> io::Result<()> {
    let half = half_of(to);
    if half.exists() {
        fs::remove_dir_all(&half)?;
    }
    create_private(&half)?;
    for file in [CONTAINER_KEY, &body()] {
        let mut copy = private_file().write(true).create_new(true).open(half.join(file))?;
        io::copy(&mut File::open(from.join(file))?, &mut copy)?;
        copy.sync_all()?;
    }
    sync_folder(&half)?;
    fs::rename(&half, to)?;
    to.parent().map_or(Ok(()), sync_folder)?;
    fs::remove_dir_all(from)
}

/// The whole name counts: two uploads of one id that are copied at once share no half.
fn half_of(folder: &Path) -> PathBuf {
    let mut name = folder.as_os_str().to_owned();
    name.push(HALF);
    name.into()
}

fn sync_parents(one: &Path, other: &Path) -> io::Result<()> {
    for path in [other, one] {
        path.parent().map_or(Ok(()), sync_folder)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_across_file_systems_brings_body_and_key_and_leaves_nothing() {
        let place = tempfile::tempdir().unwrap();
        let (from, to) = (place.path().join("upload"), place.path().join("a.b"));
        fs::create_dir(&from).unwrap();
        fs::write(from.join(body()), b"body").unwrap();
        fs::write(from.join(CONTAINER_KEY), b"key").unwrap();
        // What a crash left half way, and what another upload of the same id is being copied to.
        let (half, others) = (place.path().join("a.b.part"), place.path().join("a.c.part"));
        fs::create_dir(&half).unwrap();
        fs::create_dir(&others).unwrap();
        fs::write(others.join(body()), b"another").unwrap();
        // As that half was named while both shared it.
        let shared = place.path().join("a.part");
        fs::create_dir(&shared).unwrap();
        copy_over(&from, &to).unwrap();
        assert!(shared.exists() && others.join(body()).exists());
        fs::remove_dir_all(&others).unwrap();
        fs::remove_dir(&shared).unwrap();
        assert!(!from.exists());
        assert_eq!(fs::read(to.join(body())).unwrap(), b"body");
        assert_eq!(fs::read(to.join(CONTAINER_KEY)).unwrap(), b"key");
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
    }
}
