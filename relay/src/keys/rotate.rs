//! Every data key wrapped anew, to the recipients of now. The files sealed with them stay as they are.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Keys, KeysError};

/// What came of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Rotated {
    /// Keys that are wrapped to the recipients of now.
    pub rewrapped: u64,
    /// Keys that could not be: which, and why. They are as they were.
    pub failed: Vec<(PathBuf, String)>,
}

/// Wraps anew every file `*.key` below the data folder: of containers, of uploads, of records. It can run while the relay does and
/// again after a crash. Blocking.
///
/// # Errors
/// What the disk says about a folder.
pub fn rotate(data: &Path, keys: &Keys) -> io::Result<Rotated> {
    let mut rotated = Rotated::default();
    // An upload may become a container meanwhile, and be given back: it is met on one of both ways.
    below(&data.join("uploads"), &mut |path| {
        again(keys, path, &mut Rotated::default())
    })?;
    for folder in ["keys", "containers", "uploads"] {
        below(&data.join(folder), &mut |path| again(keys, path, &mut rotated))?;
    }
    Ok(rotated)
}

fn again(keys: &Keys, path: &Path, rotated: &mut Rotated) {
    match keys.rewrap(path) {
        Ok(true) => rotated.rewrapped += 1,
        // Removed or moved meanwhile.
        Ok(false) => {}
        Err(KeysError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => rotated.failed.push((path.into(), error.to_string())),
    }
}

/// Each key file below a folder.
fn below(folder: &Path, each: &mut dyn FnMut(&Path)) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            below(&path, each)?;
        } else if path.extension().is_some_and(|extension| extension == "key") {
            each(&path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{DataKey, NewIdentity};
    use super::*;
    use crate::config::KeyPaths;

    /// Identities `old` and `new`; keys that are opened with both and wrapped to `to`.
    fn keys(folder: &Path, identities: &[&str], to: &str) -> Result<Keys, KeysError> {
        for name in ["old", "new"] {
            let path = folder.join(name);
            if !path.exists() {
                let identity = NewIdentity::generate();
                crate::folder::replace(&path, identity.file.as_bytes()).unwrap();
                fs::write(folder.join(format!("{name}.pub")), identity.recipient).unwrap();
            }
        }
        Keys::open(&KeyPaths {
            identities: identities.iter().map(|name| folder.join(name)).collect(),
            recipients: folder.join(format!("{to}.pub")),
            pin: None,
        })
    }

    #[test]
    fn after_a_rotation_that_was_cut_off_and_run_again_the_old_identity_is_needed_no_more() {
        let place = tempfile::tempdir().unwrap();
        let data = place.path().join("data");
        let old = keys(place.path(), &["old"], "old").unwrap();
        let names = [
            "containers/a/container.key",
            "containers/a/beside.key",
            "uploads/b/container.key",
            "keys/m.key",
        ];
        let made: Vec<DataKey> = names
            .iter()
            .map(|name| {
                let (path, key) = (data.join(name), DataKey::generate().unwrap());
                crate::folder::create_private(path.parent().unwrap()).unwrap();
                old.keep(&path, &key).unwrap();
                key
            })
            .collect();
        fs::write(data.join("containers/a/container.asice.sealed"), b"left alone").unwrap();
        let both = keys(place.path(), &["old", "new"], "new").unwrap();
        // The first two were done, and a third lies half written, when the machine went down.
        for name in &names[..2] {
            assert!(both.rewrap(&data.join(name)).unwrap());
        }
        fs::write(data.join("uploads/b/container.key.new"), b"age-encr").unwrap();
        for _ in 0..2 {
            let rotated = rotate(&data, &both).unwrap();
            assert_eq!((rotated.rewrapped, rotated.failed.len()), (4, 0));
        }
        let new = keys(place.path(), &["new"], "new").unwrap();
        for (name, key) in names.iter().zip(made) {
            assert_eq!(new.kept(&data.join(name)).unwrap(), key, "{name}");
            assert!(old.kept(&data.join(name)).is_err(), "{name}");
        }
        assert!(!data.join("uploads/b/container.key.new").exists());

        // One that nobody opens is told and left; the others are done all the same.
        fs::write(data.join("keys/z.key"), b"age-encryption.org/v1\n").unwrap();
        let rotated = rotate(&data, &new).unwrap();
        assert_eq!(rotated.rewrapped, 4);
        assert_eq!(rotated.failed[0].0, data.join("keys/z.key"));
        assert_eq!(fs::read(data.join("keys/z.key")).unwrap(), b"age-encryption.org/v1\n");
    }
}
