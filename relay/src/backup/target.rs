//! Where backups are kept, through the `object_store` joint: a folder, such as a disk that is taken away afterwards; or a bucket, whose
//! objects may be locked so that nobody removes them.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use formats::digest::sha256;
use futures_util::TryStreamExt as _;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt as _};
use time::OffsetDateTime;
use trust_store::report::rfc3339;

use super::{BackupError, Generation};
use crate::config::S3Place;
use crate::folder::create_private;
use crate::objects::{LockError, Locks, Objects};

/// A place for backups.
#[derive(Debug, Clone)]
pub struct Target {
    store: Arc<dyn ObjectStore>,
    place: String,
    /// The same, where it is a bucket.
    objects: Option<Objects>,
    lock: Option<Lock>,
}

/// Data objects are locked until a day.
#[derive(Debug, Clone)]
struct Lock {
    locks: Arc<Locks>,
    until: OffsetDateTime,
}

/// What of a generation is locked.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Held {
    /// Until when nobody can remove any of it, RFC 3339 UTC.
    pub until: String,
    /// Its objects.
    pub objects: u64,
    /// Of these, the ones that an earlier generation had locked for less time.
    pub extended: u64,
}

const OBJECTS: &str = "objects";
const GENERATIONS: &str = "generations";
const KEYS: &str = "keys";
const RUNS: &str = "runs";
/// How places in a bucket begin.
const S3: &str = "s3://";

impl Target {
    /// Whether a place is one in a bucket: then [`Target::open`] needs to know the service.
    #[must_use]
    pub fn in_bucket(place: &str) -> bool {
        place.starts_with(S3)
    }

    /// A folder, made for its owner alone if `new`; or `s3://BUCKET/PREFIX` of the service `s3`.
    ///
    /// # Errors
    /// [`BackupError::Target`] if it is not there or cannot be used.
    pub fn open(place: &str, new: bool, s3: Option<&S3Place>) -> Result<Self, BackupError> {
        let failed = |what: String| BackupError::Target {
            place: place.to_owned(),
            what,
        };
        if Self::in_bucket(place) {
            let (bucket, prefix) = named(place, s3).map_err(failed)?;
            let objects = Objects::open(&bucket).map_err(|error| failed(error.to_string()))?;
            let objects = objects.below(&prefix);
            return Ok(Self {
                store: Arc::clone(objects.store()),
                place: place.to_owned(),
                objects: Some(objects),
                lock: None,
            });
        }
        if place.contains("://") {
            return Err(failed("must be a folder, or s3://BUCKET/PREFIX".into()));
        }
        let folder = Path::new(place);
        if new {
            create_private(folder).map_err(|error| failed(error.to_string()))?;
        }
        let store = LocalFileSystem::new_with_prefix(folder).map_err(|error| failed(error.to_string()))?;
        Ok(Self {
            store: Arc::new(store.with_fsync(true)),
            place: place.to_owned(),
            objects: None,
            lock: None,
        })
    }

    /// The same, with every object and generation locked until then. The bucket must have object lock. Keys are never locked.
    ///
    /// # Errors
    /// [`BackupError::Target`]: it is a folder.
    pub fn locked(mut self, s3: Option<&S3Place>, until: OffsetDateTime) -> Result<Self, BackupError> {
        let failed = |what: String| BackupError::Target {
            place: self.place.clone(),
            what,
        };
        if self.objects.is_none() {
            let what = "a folder cannot be locked: take the disk away instead, or name s3://BUCKET/PREFIX";
            return Err(failed(what.into()));
        }
        let (bucket, prefix) = named(&self.place, s3).map_err(failed)?;
        let locks = Locks::open(&bucket, &prefix).map_err(|error| failed(error.to_string()))?;
        self.lock = Some(Lock {
            locks: Arc::new(locks),
            // As the server keeps it.
            until: until.replace_nanosecond(0).unwrap_or(until),
        });
        Ok(self)
    }

    /// Fails where a key that is removed would stay as an earlier version: what is erased must be erased here too.
    ///
    /// # Errors
    /// [`BackupError::Target`].
    pub(super) async fn forgets(&self) -> Result<(), BackupError> {
        let Some(objects) = &self.objects else { return Ok(()) };
        if objects.keeps_versions().await.map_err(|error| self.says(&error))? {
            let what = "this bucket keeps versions of what is removed, so keys that the relay destroys would stay in it: give \
                        --keys-to a folder, or a bucket without versioning and object lock";
            return Err(self.says(&std::io::Error::other(what)));
        }
        Ok(())
    }

    /// Sees to it that these objects are locked, those of earlier generations too.
    pub(super) async fn hold(&self, objects: &[String], held: &mut Option<Held>) -> Result<(), BackupError> {
        let Some(Lock { locks, until }) = &self.lock else {
            return Ok(());
        };
        let held = held.get_or_insert_with(|| Held {
            until: rfc3339(*until),
            objects: 0,
            extended: 0,
        });
        for object in objects {
            let key = key(object);
            let unlocked = |error| not_locked(object, &error);
            let kept = locks.until(&key).await.map_err(unlocked)?;
            held.objects += 1;
            if kept.is_none_or(|kept| kept < *until) {
                locks.extend(&key, *until).await.map_err(unlocked)?;
                held.extended += 1;
            }
        }
        Ok(())
    }

    /// The folder it is, unless it is a bucket.
    pub(super) fn folder(&self) -> Option<&Path> {
        self.objects.is_none().then(|| Path::new(&self.place))
    }

    /// As it was named.
    pub(super) fn place(&self) -> &str {
        &self.place
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
        self.write_data(&Key::from_iter([GENERATIONS, &name]), bytes.into())
            .await?;
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

    /// Writes an object under its digest, if it is not there; with `anew`, also if what is there is something else. Answers the
    /// digest, and whether it was written.
    pub(super) async fn put(&self, bytes: Bytes, anew: bool) -> Result<(String, bool), BackupError> {
        let object = hex::encode(sha256(&bytes));
        let good = match anew {
            false => self.has(&object).await?,
            true => match self.object(&object, "what is written").await {
                Ok(_) => true,
                Err(BackupError::Object { .. }) => false,
                Err(error) => return Err(error),
            },
        };
        if good {
            return Ok((object, false));
        }
        self.write_data(&key(&object), bytes).await?;
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

    /// Runs that are at work here, and when each told so last (Unix seconds, by the clock of the place).
    pub(super) async fn runs(&self) -> Result<Vec<(String, i64)>, BackupError> {
        self.names(RUNS).await
    }

    pub(super) async fn has_run(&self, run: &str) -> Result<bool, BackupError> {
        Ok(self.read(&Key::from_iter([RUNS, run])).await?.is_some())
    }

    pub(super) async fn put_run(&self, run: &str) -> Result<(), BackupError> {
        let told = Bytes::from_static(b"at work\n");
        self.write(&Key::from_iter([RUNS, run]), told).await
    }

    pub(super) async fn remove_run(&self, run: &str) -> Result<(), BackupError> {
        self.remove(&Key::from_iter([RUNS, run])).await
    }

    /// Names below a folder of it, and when each was written (Unix seconds).
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
        if found.meta.size > super::PART as u64 {
            let large = format!("{key} is larger than anything a backup holds");
            return Err(self.says(&std::io::Error::other(large)));
        }
        found.bytes().await.map(Some).map_err(|error| self.says(&error))
    }

    /// Writes a key; where it is a bucket, what was put is looked up again.
    async fn write(&self, key: &Key, bytes: Bytes) -> Result<(), BackupError> {
        let written = match &self.objects {
            Some(objects) => objects.put(key, bytes).await,
            None => self.store.put(key, bytes.into()).await.map(drop),
        };
        written.map_err(|error| self.says(&error))
    }

    /// Writes data, locked where that is asked for.
    async fn write_data(&self, key: &Key, bytes: Bytes) -> Result<(), BackupError> {
        let Some(Lock { locks, until }) = &self.lock else {
            return self.write(key, bytes).await;
        };
        let locked = locks.put(key, bytes, *until).await;
        locked.map_err(|error| not_locked(key.as_ref(), &error))
    }

    async fn remove(&self, key: &Key) -> Result<(), BackupError> {
        match self.store.delete(key).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.says(&error)),
        }
    }

    pub(super) fn says(&self, error: &dyn std::error::Error) -> BackupError {
        BackupError::Target {
            place: self.place.clone(),
            what: error.to_string(),
        }
    }
}

fn not_locked(object: &str, error: &LockError) -> BackupError {
    BackupError::NotLocked {
        object: object.to_owned(),
        what: error.to_string(),
    }
}

/// Bucket and prefix of a place `s3://BUCKET/PREFIX`.
fn named(place: &str, s3: Option<&S3Place>) -> Result<(S3Place, String), String> {
    let s3 = s3.ok_or("needs the table [backup] of the configuration: endpoint, credentials, ca")?;
    let rest = place.strip_prefix(S3).unwrap_or_default();
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let prefix = prefix.trim_end_matches('/');
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let parts = |part: &str| !part.is_empty() && !part.starts_with('.') && part.bytes().all(plain);
    let bucket = s3
        .named(bucket)
        .filter(|_| prefix.is_empty() || prefix.split('/').all(parts));
    let bucket = bucket.ok_or("must be s3://BUCKET/PREFIX, of letters, digits, '-', '_' and '.'")?;
    Ok((bucket, prefix.to_owned()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_buckets_are_read_and_nothing_else_is() {
        let s3 = S3Place {
            bucket: String::new(),
            endpoint: "http://127.0.0.1:1".into(),
            region: "us-east-1".into(),
            credentials: None,
            ca: None,
        };
        let read = |place| named(place, Some(&s3)).map(|(place, prefix)| (place.bucket, prefix));
        assert_eq!(read("s3://backups"), Ok(("backups".into(), String::new())));
        assert_eq!(read("s3://backups/a/b_c/"), Ok(("backups".into(), "a/b_c".into())));
        for none in [
            "s3://",
            "s3://B",
            "s3://backups/../a",
            "s3://backups/a//b",
            "s3://backups/a b",
        ] {
            assert!(read(none).is_err(), "{none}");
        }
        assert!(named("s3://backups", None).unwrap_err().contains("[backup]"));
        for none in ["ftp://x", "s3://backups"] {
            assert!(Target::open(none, true, None).is_err(), "{none}");
        }
        let folder = tempfile::tempdir().unwrap();
        let folder = Target::open(folder.path().to_str().unwrap(), true, None).unwrap();
        let refused = folder.locked(Some(&s3), OffsetDateTime::UNIX_EPOCH).unwrap_err();
        assert!(refused.to_string().contains("cannot be locked"), "{refused}");
    }
}
