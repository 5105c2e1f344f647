//! The object store that several relays share: an S3 bucket, reached with the HTTP and TLS the relay has already.
//!
//! An answer of 200 is a claim. What is put is looked up again, by size and tag, before anything rests on it; whether the store
//! keeps it through a power cut is its operator's setting (`docs/many-machines.md`).

mod lock;
mod wire;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use object_store::aws::AmazonS3Builder;
pub(crate) use object_store::path::Path as Key;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode, RetryConfig, UpdateVersion};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::config::S3Place;
use crate::folder::owners_alone;
pub(crate) use lock::{LockError, Locks};

/// A request that fails is tried again for so long; then the request of the client fails.
const RETRY: Duration = Duration::from_secs(20);
/// What was answered with 200 and is not there is put once more, so often.
const PUTS: usize = 3;
/// Objects removed at the same time.
const REMOVALS: usize = 8;

/// Why the object store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ObjectsError {
    /// The file with the credentials.
    #[error("containers.credentials {0}: {1}")]
    Credentials(PathBuf, String),
    /// Neither a file nor variables.
    #[error(
        "no credentials for the bucket: name a file in containers.credentials, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    )]
    NoCredentials,
    /// The certificate authority of the endpoint.
    #[error("containers.ca {0}: {1}")]
    Ca(PathBuf, String),
    /// What was written at the start could not be read again, or the bucket cannot be used at all.
    #[error("the bucket cannot be used: {0}")]
    Unusable(String),
}

/// The bucket.
#[derive(Debug, Clone)]
pub struct Objects(Arc<dyn ObjectStore>);

/// The file with the credentials, TOML.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
}

impl Objects {
    /// The bucket of a configuration. Nothing is asked of it yet.
    ///
    /// # Errors
    /// [`ObjectsError`].
    pub fn open(place: &S3Place) -> Result<Self, ObjectsError> {
        let (credentials, connector) = (Credentials::of(place)?, wire::Connector::of(place)?);
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&place.bucket)
            .with_endpoint(&place.endpoint)
            .with_region(&place.region)
            .with_access_key_id(credentials.access_key_id)
            .with_secret_access_key(credentials.secret_access_key)
            .with_allow_http(place.endpoint.starts_with("http://"))
            .with_virtual_hosted_style_request(false)
            // Not every server has it.
            .with_disable_bulk_delete(true)
            .with_retry(RetryConfig {
                backoff: BackoffConfig {
                    init_backoff: Duration::from_millis(50),
                    max_backoff: Duration::from_secs(2),
                    base: 2.0,
                },
                max_retries: 20,
                retry_timeout: RETRY,
            })
            .with_http_connector(connector);
        if let Some(token) = credentials.session_token {
            builder = builder.with_token(token);
        }
        let store = builder
            .build()
            .map_err(|error| ObjectsError::Unusable(error.to_string()))?;
        Ok(Self(Arc::new(store)))
    }

    /// What lies below a prefix of it.
    pub(crate) fn below(&self, prefix: &str) -> Self {
        if prefix.is_empty() {
            return self.clone();
        }
        Self(Arc::new(PrefixStore::new(Arc::clone(&self.0), prefix)))
    }

    /// Whether it keeps what is removed or replaced as an earlier version.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) async fn keeps_versions(&self) -> object_store::Result<bool> {
        let name = uuid::Uuid::now_v7().simple().to_string();
        let key = Key::from_iter(["probes", name.as_str()]);
        let put = self.0.put(&key, Bytes::from(name.clone()).into()).await?;
        self.remove(&key).await?;
        Ok(put.version.is_some_and(|version| version != "null"))
    }

    /// One that is gone with this program.
    #[cfg(test)]
    pub(crate) fn in_memory() -> Self {
        Self(Arc::new(object_store::memory::InMemory::new()))
    }

    /// The store itself.
    pub(crate) fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.0
    }

    /// Writes an object, finds it again, reads it and removes it: whether the bucket is there, may be written, and answers with
    /// what was put.
    ///
    /// # Errors
    /// [`ObjectsError::Unusable`].
    pub async fn probe(&self) -> Result<(), ObjectsError> {
        let name = uuid::Uuid::now_v7().simple().to_string();
        let key = Key::from_iter(["probes", name.as_str()]);
        let tried = async {
            self.put(&key, Bytes::from(name.clone())).await?;
            let part = self.0.get_range(&key, 1..name.len() as u64).await?;
            let listed = self.list(&Key::from("probes")).await?;
            self.0.delete(&key).await?;
            Ok::<_, object_store::Error>((part, listed))
        };
        let (part, listed) = tried.await.map_err(|error| ObjectsError::Unusable(told(&error)))?;
        if part != name.as_bytes()[1..] {
            return Err(ObjectsError::Unusable("a range is not the bytes that were put".into()));
        }
        if !listed.iter().any(|meta| meta.location == key) {
            return Err(ObjectsError::Unusable("what was put is not listed".into()));
        }
        Ok(())
    }

    /// Puts an object, replacing what was there, and returns when the store shows it with the size and tag it was put with.
    ///
    /// # Errors
    /// What the store says; also if it answers with success and does not have it.
    pub(crate) async fn put(&self, key: &Key, content: Bytes) -> object_store::Result<()> {
        for _ in 0..PUTS {
            let put = self.0.put(key, content.clone().into()).await?;
            if self.shows(key, content.len(), put.e_tag.as_deref()).await? {
                return Ok(());
            }
            tracing::error!(%key, "the object store answered with success and does not have what was put");
        }
        Err(not_there())
    }

    /// Puts an object where none is; `false` if there is one, which stays.
    ///
    /// # Errors
    /// As [`Objects::put`].
    pub(crate) async fn put_new(&self, key: &Key, content: Bytes) -> object_store::Result<bool> {
        for _ in 0..PUTS {
            match self
                .0
                .put_opts(key, content.clone().into(), PutMode::Create.into())
                .await
            {
                Err(object_store::Error::AlreadyExists { .. }) => return Ok(false),
                put => {
                    let tag = put?.e_tag;
                    if self.shows(key, content.len(), tag.as_deref()).await? {
                        return Ok(true);
                    }
                }
            }
            tracing::error!(%key, "the object store answered with success and does not have what was put");
        }
        Err(not_there())
    }

    /// Replaces an object that still bears this tag; `false` if there is none any more, or another.
    ///
    /// # Errors
    /// As [`Objects::put`].
    pub(crate) async fn replace(&self, key: &Key, content: Bytes, tag: &str) -> object_store::Result<bool> {
        for _ in 0..PUTS {
            let same = UpdateVersion {
                e_tag: Some(tag.to_owned()),
                version: None,
            };
            let put = self
                .0
                .put_opts(key, content.clone().into(), PutMode::Update(same).into());
            let put = match put.await {
                Err(object_store::Error::Precondition { .. } | object_store::Error::NotFound { .. }) => {
                    return Ok(false);
                }
                put => put?,
            };
            if self.shows(key, content.len(), put.e_tag.as_deref()).await? {
                return Ok(true);
            }
            tracing::error!(%key, "the object store answered with success and does not have what was put");
        }
        Err(not_there())
    }

    /// Whether the store keeps what [`Objects::replace`] says: it must not put over what is another, or gone.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) async fn compares(&self) -> object_store::Result<bool> {
        let name = uuid::Uuid::now_v7().simple().to_string();
        let key = Key::from_iter(["probes", name.as_str()]);
        let put = self.0.put(&key, Bytes::from_static(b"one").into()).await?;
        let tag = put.e_tag.unwrap_or_default();
        let right = self.replace(&key, Bytes::from_static(b"two"), &tag).await?;
        let stale = self.replace(&key, Bytes::from_static(b"three"), &tag).await?;
        self.remove(&key).await?;
        let gone = self.replace(&key, Bytes::from_static(b"four"), &tag).await?;
        if gone {
            self.remove(&key).await?;
        }
        Ok(right && !stale && !gone)
    }

    /// Whether there is an object.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) async fn has(&self, key: &Key) -> object_store::Result<bool> {
        match self.0.head(key).await {
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            found => found.map(|_| true),
        }
    }

    async fn shows(&self, key: &Key, length: usize, tag: Option<&str>) -> object_store::Result<bool> {
        let found = match self.0.head(key).await {
            Err(object_store::Error::NotFound { .. }) => return Ok(false),
            found => found?,
        };
        let same = match (tag, found.e_tag.as_deref()) {
            (Some(put), Some(found)) => put == found,
            _ => true,
        };
        Ok(found.size == length as u64 && same)
    }

    /// A small object, whole: no more than `most` bytes.
    ///
    /// # Errors
    /// What the store says; a larger one is an error too.
    pub(crate) async fn whole(&self, key: &Key, most: u64) -> object_store::Result<Bytes> {
        let size = self.0.head(key).await?.size;
        if size > most {
            return Err(object_store::Error::Generic {
                store: "S3",
                source: format!("{key} is larger than {most} bytes").into(),
            });
        }
        if size == 0 {
            return Ok(Bytes::new());
        }
        self.0.get_range(key, 0..size).await
    }

    /// The same with its tag.
    ///
    /// # Errors
    /// As [`Objects::whole`].
    pub(crate) async fn tagged(&self, key: &Key, most: u64) -> object_store::Result<(Bytes, String)> {
        let found = self.0.get(key).await?;
        if found.meta.size > most {
            return Err(object_store::Error::Generic {
                store: "S3",
                source: format!("{key} is larger than {most} bytes").into(),
            });
        }
        let tag = found.meta.e_tag.clone().unwrap_or_default();
        Ok((found.bytes().await?, tag))
    }

    /// What lies below a key.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) async fn list(&self, below: &Key) -> object_store::Result<Vec<ObjectMeta>> {
        self.0.list(Some(below)).try_collect().await
    }

    /// Removes an object; one that is not there is no error.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) async fn remove(&self, key: &Key) -> object_store::Result<()> {
        match self.0.delete(key).await {
            Err(object_store::Error::NotFound { .. }) => Ok(()),
            removed => removed,
        }
    }

    /// Removes all that lies below a key.
    ///
    /// # Errors
    /// What the store says; some may be gone then.
    pub(crate) async fn clear(&self, below: &Key) -> object_store::Result<()> {
        let listed = self.list(below).await?.into_iter().map(|meta| Ok(meta.location));
        futures_util::stream::iter(listed)
            .try_for_each_concurrent(REMOVALS, |key| async move { self.remove(&key).await })
            .await
    }
}

impl wire::Connector {
    /// The way to the endpoint of a configuration.
    fn of(place: &S3Place) -> Result<Self, ObjectsError> {
        Self::new(place.ca.as_deref()).map_err(|reason| ObjectsError::Ca(place.ca.clone().unwrap_or_default(), reason))
    }
}

impl Credentials {
    /// Those of a configuration.
    fn of(place: &S3Place) -> Result<Self, ObjectsError> {
        match &place.credentials {
            Some(path) => Self::read(path),
            None => Self::from_environment().ok_or(ObjectsError::NoCredentials),
        }
    }

    fn read(path: &Path) -> Result<Self, ObjectsError> {
        let refused = |reason: String| ObjectsError::Credentials(path.into(), reason);
        owners_alone(path).map_err(|error| refused(error.to_string()))?;
        let text = std::fs::read_to_string(path).map_err(|error| refused(error.to_string()))?;
        let text = Zeroizing::new(text);
        // What a parser says may repeat a secret.
        toml::from_str(&text)
            .map_err(|_| refused("must hold access_key_id = \"…\" and secret_access_key = \"…\"".into()))
    }

    fn from_environment() -> Option<Self> {
        Some(Self {
            access_key_id: std::env::var("AWS_ACCESS_KEY_ID").ok()?,
            secret_access_key: std::env::var("AWS_SECRET_ACCESS_KEY").ok()?,
            session_token: std::env::var("AWS_SESSION_TOKEN").ok(),
        })
    }
}

fn not_there() -> object_store::Error {
    object_store::Error::Generic {
        store: "S3",
        source: "what was put is not there".into(),
    }
}

/// An error with its causes.
fn told(error: &object_store::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

/// What the bucket said, where an error of a file is its.
pub(crate) fn of_bucket(error: &io::Error) -> Option<&object_store::Error> {
    error.get_ref()?.downcast_ref()
}

/// As the errors of files are.
pub(crate) fn to_io(error: object_store::Error) -> io::Error {
    match error {
        object_store::Error::NotFound { .. } => io::Error::new(io::ErrorKind::NotFound, error),
        error => io::Error::other(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_put_is_there_and_a_key_is_made_once() {
        let objects = Objects::in_memory();
        objects.probe().await.unwrap();
        assert!(objects.list(&Key::from("probes")).await.unwrap().is_empty());
        let key = Key::from_iter(["a", "b"]);
        assert!(objects.put_new(&key, Bytes::from_static(b"one")).await.unwrap());
        assert!(!objects.put_new(&key, Bytes::from_static(b"two")).await.unwrap());
        assert_eq!(objects.whole(&key, 3).await.unwrap(), &b"one"[..]);
        assert!(objects.whole(&key, 2).await.is_err(), "larger than asked for");
        // Nothing is put over what is another, or gone.
        assert!(objects.compares().await.unwrap());
        let (one, tag) = objects.tagged(&key, 3).await.unwrap();
        assert_eq!(one, &b"one"[..]);
        assert!(objects.replace(&key, Bytes::from_static(b"two"), &tag).await.unwrap());
        assert!(!objects.replace(&key, Bytes::from_static(b"six"), &tag).await.unwrap());
        assert_eq!(objects.whole(&key, 3).await.unwrap(), &b"two"[..]);
        objects.put(&key, Bytes::new()).await.unwrap();
        assert!(objects.whole(&key, 2).await.unwrap().is_empty());
        objects.clear(&Key::from("a")).await.unwrap();
        objects.remove(&key).await.unwrap();
        assert!(objects.whole(&key, 2).await.is_err());
    }

    #[cfg(unix)]
    #[test]
    fn credentials_that_others_may_read_are_refused_and_never_repeated() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s3.toml");
        std::fs::write(&path, "access_key_id = \"a\"\nsecret_access_key = \"hush\"\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let told = Credentials::read(&path).err().unwrap().to_string();
        assert!(told.contains("chmod 600"), "{told}");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(Credentials::read(&path).unwrap().secret_access_key, "hush");
        std::fs::write(&path, "secret_access_key = hush").unwrap();
        let told = Credentials::read(&path).err().unwrap().to_string();
        assert!(!told.contains("hush"), "{told}");
    }
}
