//! Where backups are kept, through the `object_store` joint: a folder, such as a disk that is taken away afterwards.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use formats::digest::sha256;
use futures_util::TryStreamExt as _;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt as _};

use super::{BackupError, Generation};
use crate::folder::create_private;

/// A place for backups.
#[derive(Debug, Clone)]
pub struct Target {
    store: Arc<dyn ObjectStore>,
    place: String,
}

const OBJECTS: &str = "objects";
const GENERATIONS: &str = "generations";
const KEYS: &str = "keys";

impl Target {
    /// A folder; made, for its owner alone, if `new`.
    ///
    /// # Errors
    /// [`BackupError::Target`] if it is not there or cannot be used.
    pub fn open(place: &str, new: bool) -> Result<Self, BackupError> {
        let failed = |what: String| BackupError::Target {
            place: place.to_owned(),
            what,
        };
        if place.contains("://") {
            return Err(failed("only folders are places for backups yet".into()));
        }
        let folder = Path::new(place);
        if new {
            create_private(folder).map_err(|error| failed(error.to_string()))?;
        }
        let store = LocalFileSystem::new_with_prefix(folder).map_err(|error| failed(error.to_string()))?;
        Ok(Self {
            store: Arc::new(store.with_fsync(true)),
            place: place.to_owned(),
        })
    }

    /// Names of the generations, the oldest first.
    ///
    /// # Errors
    /// [`BackupError::Target`].
    pub async fn generations(&self) -> Result<Vec<String>, BackupError> {
        let mut found: Vec<String> = self
            .names(GENERATIONS)
            .await?
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        found.sort();
        Ok(found)
    }

    /// One generation by its name.
    ///
    /// # Errors
    /// [`BackupError`]: none of this name, or a damaged one.
    pub async fn generation(&self, name: &str) -> Result<Generation, BackupError> {
        if !plain(name) {
            return Err(BackupError::NoGeneration(name.into()));
        }
        let read = self.read(&Key::from_iter([GENERATIONS, name])).await?;
        let bytes = read.ok_or_else(|| BackupError::NoGeneration(name.into()))?;
        let damaged = || BackupError::Generation(name.into());
        let parsed: Generation = serde_json::from_slice(&bytes).map_err(|_| damaged())?;
        if name_of(&parsed, &bytes) == name && parsed.version == 1 {
            Ok(parsed)
        } else {
            Err(damaged())
        }
    }

    /// Writes a generation, which makes it one. Answers its name.
    pub(super) async fn put_generation(&self, generation: &Generation) -> Result<String, BackupError> {
        let bytes = serde_json::to_vec(generation).map_err(|error| self.says(&error))?;
        let name = name_of(generation, &bytes);
        self.write(&Key::from_iter([GENERATIONS, &name]), bytes.into()).await?;
        Ok(name)
    }

    pub(super) async fn remove_generation(&self, name: &str) -> Result<(), BackupError> {
        self.remove(&Key::from_iter([GENERATIONS, name])).await
    }

    /// Whether an object is there.
    pub(super) async fn has(&self, object: &str) -> Result<bool, BackupError> {
        match self.store.head(&key(object)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(self.says(&error)),
        }
    }

    /// Writes an object under its digest, if it is not there. Answers the digest, and whether it was written.
    pub(super) async fn put(&self, bytes: Bytes) -> Result<(String, bool), BackupError> {
        let object = hex::encode(sha256(&bytes));
        if self.has(&object).await? {
            return Ok((object, false));
        }
        self.write(&key(&object), bytes).await?;
        Ok((object, true))
    }

    /// Reads an object and holds it against its name.
    pub(super) async fn object(&self, object: &str, of: &str) -> Result<Bytes, BackupError> {
        let bad = |what| BackupError::Object {
            object: object.into(),
            what,
            of: of.into(),
        };
        let bytes = self.read(&key(object)).await?.ok_or_else(|| bad("missing"))?;
        if hex::encode(sha256(&bytes)) == object {
            Ok(bytes)
        } else {
            Err(bad("damaged"))
        }
    }

    /// All objects: name and when it was written (Unix seconds).
    pub(super) async fn objects(&self) -> Result<Vec<(String, i64)>, BackupError> {
        self.names(OBJECTS).await
    }

    pub(super) async fn remove_object(&self, object: &str) -> Result<(), BackupError> {
        self.remove(&key(object)).await
    }

    /// The keys that are kept, by their path in a data folder.
    pub(super) async fn keys(&self) -> Result<HashMap<String, ObjectMeta>, BackupError> {
        let found = self.store.list(Some(&Key::from(KEYS)));
        let found = found.map_ok(|meta| {
            let path: Vec<_> = meta.location.parts().skip(1).collect();
            let path: Vec<&str> = path.iter().map(AsRef::as_ref).collect();
            (path.join("/"), meta)
        });
        found.try_collect().await.map_err(|error| self.says(&error))
    }

    pub(super) async fn key(&self, path: &str) -> Result<Option<Bytes>, BackupError> {
        self.read(&apart(path)).await
    }

    pub(super) async fn put_key(&self, path: &str, bytes: Bytes) -> Result<(), BackupError> {
        self.write(&apart(path), bytes).await
    }

    pub(super) async fn remove_key(&self, path: &str) -> Result<(), BackupError> {
        self.remove(&apart(path)).await
    }

    async fn names(&self, below: &str) -> Result<Vec<(String, i64)>, BackupError> {
        let found = self.store.list(Some(&Key::from(below)));
        let found = found.try_filter_map(|meta| async move {
            let name = meta.location.filename().map(ToOwned::to_owned);
            Ok(name.map(|name| (name, meta.last_modified.timestamp())))
        });
        found.try_collect().await.map_err(|error| self.says(&error))
    }

    async fn read(&self, key: &Key) -> Result<Option<Bytes>, BackupError> {
        let found = match self.store.get(key).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(self.says(&error)),
        };
        found.bytes().await.map(Some).map_err(|error| self.says(&error))
    }

    async fn write(&self, key: &Key, bytes: Bytes) -> Result<(), BackupError> {
        let written = self.store.put(key, bytes.into()).await;
        written.map(drop).map_err(|error| self.says(&error))
    }

    async fn remove(&self, key: &Key) -> Result<(), BackupError> {
        match self.store.delete(key).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.says(&error)),
        }
    }

    fn says(&self, error: &dyn std::error::Error) -> BackupError {
        BackupError::Target {
            place: self.place.clone(),
            what: error.to_string(),
        }
    }
}

fn apart(path: &str) -> Key {
    Key::from_iter(std::iter::once(KEYS).chain(path.split('/')))
}

fn key(object: &str) -> Key {
    Key::from_iter([OBJECTS, object.get(..2).unwrap_or("00"), object])
}

/// A name is the time, which sorts, and the beginning of the digest of its bytes.
fn name_of(generation: &Generation, bytes: &[u8]) -> String {
    let time: String = generation.made.chars().filter(char::is_ascii_alphanumeric).collect();
    let digest = hex::encode(sha256(bytes));
    format!("{time}-{}", digest.get(..16).unwrap_or_default())
}

fn plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}
