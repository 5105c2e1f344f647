//! The keys of the trail's records: one for each month and class, so that destroying one erases all that was said under it.
//!
//! A key is durable before the first record under it. Opened ones stay in memory; where they are kept is a [`Shelf`].

mod folder;
mod id;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::folder::full;
use crate::keys::{DataKey, Keys, KeysError};
use crate::trail::OpenKey;
pub use folder::Folder;
pub use id::KeyId;

/// Why the key of a month cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum MonthKeyError {
    /// No space for a new one.
    #[error("no space left for the key of a month's records")]
    Full,
    /// It is there and does not open, or the disk fails.
    #[error("key {0}: {1}")]
    Unusable(KeyId, String),
    /// Where the keys are cannot be read.
    #[error("the keys of the trail's records cannot be listed: {0}")]
    Unlisted(String),
}

impl MonthKeyError {
    fn of(id: KeyId, error: &KeysError) -> Self {
        match error {
            KeysError::Io(error) if full(error) => Self::Full,
            other => Self::Unusable(id, other.to_string()),
        }
    }
}

/// Where keys are kept. All of it blocks.
pub trait Shelf: Send + Sync + 'static {
    /// Which there are.
    ///
    /// # Errors
    /// [`MonthKeyError::Unlisted`].
    fn ids(&self) -> Result<Vec<KeyId>, MonthKeyError>;
    /// One of them; `None` if it is not there.
    ///
    /// # Errors
    /// [`MonthKeyError::Unusable`].
    fn key(&self, id: KeyId) -> Result<Option<DataKey>, MonthKeyError>;
    /// Puts a new one, durably. Where another was first, its key stays.
    ///
    /// # Errors
    /// [`MonthKeyError::Full`] or [`MonthKeyError::Unusable`]: also for one that was destroyed.
    fn put(&self, id: KeyId, key: &DataKey) -> Result<(), MonthKeyError>;
    /// Removes one, durably, and keeps in mind that it was destroyed; one that is not there is no error.
    ///
    /// # Errors
    /// [`MonthKeyError::Unusable`].
    fn destroy(&self, id: KeyId) -> Result<(), MonthKeyError>;
    /// Which were destroyed: a trail restored from before their destruction does not know it.
    ///
    /// # Errors
    /// [`MonthKeyError::Unlisted`].
    fn destroyed(&self) -> Result<Vec<KeyId>, MonthKeyError>;
    /// Wraps every one to the recipients of now, where that is not done to the files of the data folder; answers how many. One that
    /// is destroyed meanwhile does not come back.
    ///
    /// # Errors
    /// [`MonthKeyError`] at the first that cannot be; those before it are good.
    fn rewrap_all(&self) -> Result<u64, MonthKeyError>;
}

/// The keys of the trail's records.
pub struct MonthKeys {
    shelf: Box<dyn Shelf>,
    /// What was asked for: opened, or not there.
    opened: RwLock<HashMap<KeyId, Option<Arc<OpenKey>>>>,
}

impl MonthKeys {
    /// Those on a shelf.
    #[must_use]
    pub fn on(shelf: impl Shelf) -> Self {
        Self {
            shelf: Box::new(shelf),
            opened: RwLock::default(),
        }
    }

    /// Those below a relay's data folder.
    #[must_use]
    pub fn of_data(data: &Path, keys: &Keys) -> Self {
        Self::on(Folder::of(data, keys))
    }

    /// Keys that last as long as the process.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::on(Memory::default())
    }

    /// Which there are.
    pub(crate) fn ids(&self) -> Result<Vec<KeyId>, MonthKeyError> {
        self.shelf.ids()
    }

    /// Which were destroyed. One that came back, with a copy of the keys, is destroyed again.
    pub(crate) fn destroyed(&self) -> Result<Vec<KeyId>, MonthKeyError> {
        let (destroyed, there) = (self.shelf.destroyed()?, self.ids()?);
        for id in destroyed.iter().filter(|id| there.contains(id)) {
            self.destroy(*id)?;
        }
        Ok(destroyed)
    }

    /// The key, to open with; `None` if it is not there.
    pub(crate) fn of(&self, id: KeyId) -> Result<Option<Arc<OpenKey>>, MonthKeyError> {
        if let Some(known) = self.opened.read().unwrap_or_else(PoisonError::into_inner).get(&id) {
            return Ok(known.clone());
        }
        let mut opened = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = opened.get(&id) {
            return Ok(known.clone());
        }
        let found = self.shelf.key(id)?.map(|key| open(id, &key)).transpose()?;
        opened.insert(id, found.clone());
        Ok(found)
    }

    /// The key, to seal with; made if it is not there.
    pub(crate) fn of_or_new(&self, id: KeyId) -> Result<Arc<OpenKey>, MonthKeyError> {
        if let Some(known) = self.of(id)? {
            return Ok(known);
        }
        let mut opened = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        // Another may have made it since.
        if let Some(Some(known)) = opened.get(&id) {
            return Ok(Arc::clone(known));
        }
        if self.shelf.destroyed()?.contains(&id) {
            let why = "it was destroyed, and what was said under it again would be lost at the next start: is the clock right?";
            return Err(MonthKeyError::Unusable(id, why.into()));
        }
        let new = DataKey::generate().map_err(|error| MonthKeyError::Unusable(id, error.to_string()))?;
        self.shelf.put(id, &new)?;
        let kept = self.shelf.key(id)?;
        let kept = kept.ok_or_else(|| MonthKeyError::Unusable(id, "it is gone after it was made".into()))?;
        let key = open(id, &kept)?;
        opened.insert(id, Some(Arc::clone(&key)));
        Ok(key)
    }

    /// As [`Shelf::rewrap_all`].
    pub(crate) fn rewrap_all(&self) -> Result<u64, MonthKeyError> {
        self.shelf.rewrap_all()
    }

    /// Forgets what was opened: another process may have made keys, or destroyed some.
    pub(crate) fn forget(&self) {
        self.opened.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Destroys a key: what is sealed under it can be read by nobody any more.
    pub(crate) fn destroy(&self, id: KeyId) -> Result<(), MonthKeyError> {
        let mut opened = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        opened.insert(id, None);
        self.shelf.destroy(id)
    }
}

fn open(id: KeyId, key: &DataKey) -> Result<Arc<OpenKey>, MonthKeyError> {
    let opened = OpenKey::new(key).ok_or_else(|| MonthKeyError::Unusable(id, "it does not fit".into()))?;
    Ok(Arc::new(opened))
}

impl fmt::Debug for MonthKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MonthKeys")
    }
}

/// `None`: destroyed.
#[derive(Default)]
struct Memory(Mutex<BTreeMap<KeyId, Option<DataKey>>>);

impl Shelf for Memory {
    fn ids(&self) -> Result<Vec<KeyId>, MonthKeyError> {
        let keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(keys
            .iter()
            .filter(|(_, key)| key.is_some())
            .map(|(id, _)| *id)
            .collect())
    }
    fn key(&self, id: KeyId) -> Result<Option<DataKey>, MonthKeyError> {
        let keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(keys.get(&id).cloned().flatten())
    }
    fn destroyed(&self) -> Result<Vec<KeyId>, MonthKeyError> {
        let keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(keys
            .iter()
            .filter(|(_, key)| key.is_none())
            .map(|(id, _)| *id)
            .collect())
    }
    fn put(&self, id: KeyId, key: &DataKey) -> Result<(), MonthKeyError> {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        keys.entry(id).or_insert_with(|| Some(key.clone()));
        Ok(())
    }
    fn destroy(&self, id: KeyId) -> Result<(), MonthKeyError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id, None);
        Ok(())
    }
    fn rewrap_all(&self) -> Result<u64, MonthKeyError> {
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use formats::trail::Class;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_a_destroyed_one_stays_away() {
        let keys = MonthKeys::in_memory();
        let id = KeyId::of(Class::Account, "2026-11-22T01:00:00.000Z").unwrap();
        assert!(keys.of(id).unwrap().is_none());
        let made = keys.of_or_new(id).unwrap();
        let again = keys.of_or_new(id).unwrap();
        let mut sealed = Vec::new();
        made.seal_row(b"key", b"value", &mut sealed).unwrap();
        assert_eq!(again.open_row(b"key", &sealed).unwrap(), b"value");
        assert_eq!(keys.ids().unwrap(), [id]);
        keys.destroy(id).unwrap();
        assert!(keys.of(id).unwrap().is_none());
        assert!(keys.ids().unwrap().is_empty());
        assert_eq!(keys.destroyed().unwrap(), [id]);
        assert!(matches!(keys.of_or_new(id), Err(MonthKeyError::Unusable(..))));
    }

    #[test]
    fn a_key_that_is_there_is_not_replaced_and_a_destroyed_one_is_not_made_again() {
        let data = tempfile::tempdir().unwrap();
        let shelf = Folder::of(data.path(), &crate::keys::for_tests());
        let id = KeyId::of(Class::Account, "2026-11-22T01:00:00.000Z").unwrap();
        let (first, second) = (DataKey::generate().unwrap(), DataKey::generate().unwrap());
        shelf.put(id, &first).unwrap();
        shelf.put(id, &second).unwrap();
        assert!(shelf.key(id).unwrap().unwrap() == first);
        shelf.destroy(id).unwrap();
        assert!(shelf.put(id, &second).is_err());
        assert!(shelf.key(id).unwrap().is_none());
        let keys = MonthKeys::on(shelf);
        assert!(matches!(keys.of_or_new(id), Err(MonthKeyError::Unusable(..))));
        assert!(keys.ids().unwrap().is_empty());
    }
}
