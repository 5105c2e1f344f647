//! Month keys as files: `<month>.<class>.key`, each an `age` file to the relay's recipients; `<month>.<class>.destroyed`, empty, for one
//! that was destroyed.

use std::io;
use std::path::{Path, PathBuf};

use super::{KeyId, MonthKeyError, Shelf};
use crate::folder::{create_private, half_written, replace, sync_folder};
use crate::keys::{DataKey, Keys, KeysError};

/// How files end that stand for a destroyed key.
const DESTROYED: &str = ".destroyed";

/// The folder `keys` of the relay's data folder.
pub struct Folder {
    path: PathBuf,
    keys: Keys,
}

impl Folder {
    /// Those below the relay's data folder. It is made with the first key.
    #[must_use]
    pub fn of(data: &Path, keys: &Keys) -> Self {
        Self {
            path: data.join("keys"),
            keys: keys.clone(),
        }
    }

    fn file(&self, id: KeyId) -> PathBuf {
        self.path.join(format!("{id}.key"))
    }

    /// Removes copies of keys that a crash has left beside them: who destroys a key must not leave one. For who holds the trail
    /// alone.
    ///
    /// # Errors
    /// What the disk says.
    pub(crate) fn tidy(data: &Path) -> io::Result<()> {
        let folder = data.join("keys");
        let entries = match std::fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        let copy = half_written(Path::new(".key"));
        let mut removed = false;
        for entry in entries {
            let path = entry?.path();
            let name = path.to_string_lossy();
            if name.ends_with(&*copy.to_string_lossy()) {
                std::fs::remove_file(&path)?;
                removed = true;
            }
        }
        if removed { sync_folder(&folder) } else { Ok(()) }
    }

    /// Files named by a key, with this ending.
    fn named(&self, ending: &str) -> Result<Vec<KeyId>, MonthKeyError> {
        let unlisted = |error: io::Error| MonthKeyError::Unlisted(format!("{}: {error}", self.path.display()));
        let mut ids = Vec::new();
        let entries = match std::fs::read_dir(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(ids),
            other => other.map_err(unlisted)?,
        };
        for entry in entries {
            let name = entry.map_err(unlisted)?.file_name();
            let id = name.to_str().and_then(|name| name.strip_suffix(ending));
            ids.extend(id.and_then(|id| id.parse::<KeyId>().ok()));
        }
        ids.sort_unstable();
        Ok(ids)
    }
}

impl Shelf for Folder {
    fn ids(&self) -> Result<Vec<KeyId>, MonthKeyError> {
        self.named(".key")
    }

    fn destroyed(&self) -> Result<Vec<KeyId>, MonthKeyError> {
        self.named(DESTROYED)
    }

    fn key(&self, id: KeyId) -> Result<Option<DataKey>, MonthKeyError> {
        match self.keys.kept(&self.file(id)) {
            Ok(key) => Ok(Some(key)),
            Err(KeysError::Io(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(MonthKeyError::of(id, &error)),
        }
    }

    fn put(&self, id: KeyId, key: &DataKey) -> Result<(), MonthKeyError> {
        // One relay at a time has the data folder.
        if self.path.join(format!("{id}{DESTROYED}")).exists() {
            return Err(MonthKeyError::Unusable(id, "it was destroyed".into()));
        }
        if self.file(id).exists() {
            return Ok(());
        }
        let kept = create_private(&self.path)
            .and_then(|()| self.path.parent().map_or(Ok(()), sync_folder))
            .map_err(KeysError::Io)
            .and_then(|()| self.keys.keep(&self.file(id), key));
        kept.map_err(|error| MonthKeyError::of(id, &error))
    }

    fn destroy(&self, id: KeyId) -> Result<(), MonthKeyError> {
        let unusable = |error: io::Error| MonthKeyError::Unusable(id, error.to_string());
        // An empty file in its place: this key is not lost.
        create_private(&self.path).map_err(unusable)?;
        replace(&self.path.join(format!("{id}{DESTROYED}")), &[]).map_err(unusable)?;
        self.keys.destroy(&self.file(id)).map_err(unusable)
    }

    /// `keys::rotate` goes through the data folder.
    fn rewrap_all(&self) -> Result<u64, MonthKeyError> {
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::for_tests;

    #[test]
    fn no_copy_of_a_destroyed_key_stays() {
        let data = tempfile::tempdir().unwrap();
        let shelf = Folder::of(data.path(), &for_tests());
        let [one, other] = ["2021-03.account", "2021-04.account"].map(|id| id.parse::<KeyId>().unwrap());
        for id in [one, other] {
            shelf.put(id, &DataKey::generate().unwrap()).unwrap();
            // As a crash within a rotation leaves it.
            std::fs::copy(shelf.file(id), half_written(&shelf.file(id))).unwrap();
        }
        let left = || {
            let files = std::fs::read_dir(data.path().join("keys")).unwrap();
            let mut names: Vec<_> = files
                .map(|file| file.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        };
        shelf.destroy(one).unwrap();
        assert_eq!(
            left(),
            [
                "2021-03.account.destroyed",
                "2021-04.account.key",
                "2021-04.account.key.new"
            ]
        );
        Folder::tidy(data.path()).unwrap();
        assert_eq!(left(), ["2021-03.account.destroyed", "2021-04.account.key"]);
        assert!(shelf.key(other).unwrap().is_some());

        // A write that fails leaves none either: a folder is in the way.
        std::fs::create_dir(shelf.file(one)).unwrap();
        shelf.put(one, &DataKey::generate().unwrap()).unwrap_err();
        assert!(!half_written(&shelf.file(one)).exists());
    }
}
