//! Stored containers, and their evidence and reports beside them, through the `object_store` joint.
//!
//! Every write returns only when file and folder are on disk: the trail may speak of what is here.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use formats::wire::SubmissionId;
use futures_util::stream::{BoxStream, StreamExt as _};
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt as _};

use crate::folder::{create_private, make_private, private_file};

/// File name of the container in its folder.
pub(crate) const CONTAINER: &str = "container.asice";
/// Folder of what no record names, among those of containers.
pub(crate) const ORPHANS: &str = "orphans";

/// Why a container or what lies beside it was not stored or opened.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// There is none of this name.
    #[error("no such container")]
    Absent,
    /// The disk is full; nothing was kept.
    #[error("no space left for containers")]
    Full,
    /// Everything else the disk or the object store says.
    #[error("container store: {0}")]
    Store(String),
}

/// The stored containers.
#[derive(Debug, Clone)]
pub struct Containers {
    store: Arc<dyn ObjectStore>,
    folder: PathBuf,
}

/// A container opened for reading.
pub struct Opened {
    /// Bytes of the whole container.
    pub size: u64,
    /// The bytes asked for.
    pub stream: BoxStream<'static, Result<Bytes, ContainerError>>,
}

impl Containers {
    /// Opens the folder `containers` of the relay's data folder, making it if it is not there.
    ///
    /// # Errors
    /// [`ContainerError`] if the folder cannot be made.
    pub fn open(data: &Path) -> Result<Self, ContainerError> {
        let folder = data.join("containers");
        create_private(&folder).map_err(from_io)?;
        sync_folder(data).map_err(from_io)?;
        let store = LocalFileSystem::new_with_prefix(&folder)
            .map_err(from_store)?
            .with_fsync(true);
        Ok(Self {
            store: Arc::new(store),
            folder,
        })
    }

    /// A new name to store a container of this submission under. Two uploads of one id never share a name, so that the
    /// one which loses the race removes only its own.
    #[must_use]
    pub fn name(id: &SubmissionId) -> String {
        format!("{id}.{}", uuid::Uuid::now_v7().simple())
    }

    /// Makes a finished upload the stored container `stored_as`, durably. The upload's file is moved, not copied, where
    /// both lie on one file system.
    ///
    /// # Errors
    /// [`ContainerError`]; the upload is then still where it was.
    pub async fn adopt(&self, upload: PathBuf, stored_as: &str) -> Result<(), ContainerError> {
        let folder = self.folder.join(checked(stored_as)?);
        let parent = self.folder.clone();
        blocking(move || {
            File::open(&upload)?.sync_all()?;
            make_private(&upload)?;
            create_private(&folder)?;
            let target = folder.join(CONTAINER);
            if let Err(error) = std::fs::rename(&upload, &target) {
                if error.kind() != io::ErrorKind::CrossesDevices {
                    return Err(error);
                }
                copy_over(&upload, &folder, &target)?;
            }
            sync_folder(&folder)?;
            sync_folder(&parent)
        })
        .await
    }

    /// Opens a container: all of it, or these bytes of it.
    ///
    /// # Errors
    /// [`ContainerError::Absent`], or what the store says; a range beyond its end is an error too.
    pub async fn open_range(&self, stored_as: &str, range: Option<Range<u64>>) -> Result<Opened, ContainerError> {
        let key = self.key(stored_as, CONTAINER)?;
        let options = GetOptions {
            range: range.map(GetRange::Bounded),
            ..GetOptions::default()
        };
        let found = self.store.get_opts(&key, options).await.map_err(from_store)?;
        let size = found.meta.size;
        Ok(Opened {
            size,
            stream: found.into_stream().map(|part| part.map_err(from_store)).boxed(),
        })
    }

    /// Where the container lies as a file, for readers that must seek.
    ///
    /// # Errors
    /// [`ContainerError::Absent`] if it is not there.
    pub fn file(&self, stored_as: &str) -> Result<PathBuf, ContainerError> {
        let path = self.folder.join(checked(stored_as)?).join(CONTAINER);
        if path.is_file() {
            Ok(path)
        } else {
            Err(ContainerError::Absent)
        }
    }

    /// Writes a file beside a container (`evidence.json`, `report.json`), durably. What was there is replaced whole.
    ///
    /// # Errors
    /// [`ContainerError`].
    pub async fn put_beside(&self, stored_as: &str, file: &str, content: Bytes) -> Result<(), ContainerError> {
        let key = self.key(stored_as, file)?;
        let folder = self.folder.join(stored_as);
        let made = folder.clone();
        // Before the object store makes it for everybody.
        blocking(move || create_private(&made)).await?;
        self.store.put(&key, content.into()).await.map_err(from_store)?;
        let path = folder.join(file);
        blocking(move || make_private(&path)).await
    }

    /// Reads a file beside a container.
    ///
    /// # Errors
    /// [`ContainerError::Absent`], or what the store says.
    pub async fn beside(&self, stored_as: &str, file: &str) -> Result<Bytes, ContainerError> {
        let key = self.key(stored_as, file)?;
        self.store
            .get(&key)
            .await
            .map_err(from_store)?
            .bytes()
            .await
            .map_err(from_store)
    }

    /// Removes a container alone; what lies beside it stays.
    ///
    /// # Errors
    /// [`ContainerError::Absent`] if there is none, or what the disk says.
    pub async fn erase(&self, stored_as: &str) -> Result<(), ContainerError> {
        let folder = self.folder.join(checked(stored_as)?);
        blocking(move || {
            std::fs::remove_file(folder.join(CONTAINER))?;
            sync_folder(&folder)
        })
        .await
    }

    /// The same as it is read, with its size.
    ///
    /// # Errors
    /// [`ContainerError::Absent`], or what the store says.
    pub async fn stream_beside(
        &self,
        stored_as: &str,
        file: &str,
    ) -> Result<(u64, BoxStream<'static, io::Result<Bytes>>), ContainerError> {
        let key = self.key(stored_as, file)?;
        let found = self.store.get(&key).await.map_err(from_store)?;
        let size = found.meta.size;
        let parts = found.into_stream().map(|part| part.map_err(io::Error::other));
        Ok((size, parts.boxed()))
    }

    /// Removes a file beside a container.
    ///
    /// # Errors
    /// [`ContainerError::Absent`] if there is none, or what the store says.
    pub async fn drop_beside(&self, stored_as: &str, file: &str) -> Result<(), ContainerError> {
        self.store.delete(&self.key(stored_as, file)?).await.map_err(from_store)
    }

    /// Removes a container and everything beside it; one that is not there is no error.
    ///
    /// # Errors
    /// [`ContainerError`].
    pub async fn delete(&self, stored_as: &str) -> Result<(), ContainerError> {
        let folder = self.folder.join(checked(stored_as)?);
        let parent = self.folder.clone();
        blocking(move || match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => sync_folder(&parent),
        })
        .await
    }

    /// Moves a container and everything beside it into the folder `orphans`, where nothing finds it but its operator.
    ///
    /// # Errors
    /// [`ContainerError`]; it is then where it was.
    pub async fn put_aside(&self, stored_as: &str) -> Result<(), ContainerError> {
        let folder = self.folder.join(checked(stored_as)?);
        let (aside, parent) = (self.folder.join(ORPHANS), self.folder.clone());
        let target = aside.join(stored_as);
        blocking(move || {
            create_private(&aside)?;
            std::fs::rename(&folder, target)?;
            sync_folder(&aside)?;
            sync_folder(&parent)
        })
        .await
    }

    /// The names of all that is stored.
    ///
    /// # Errors
    /// [`ContainerError`].
    pub async fn names(&self) -> Result<Vec<String>, ContainerError> {
        let folder = self.folder.clone();
        blocking(move || {
            let entries = std::fs::read_dir(&folder)?;
            let names = entries.map(|entry| Ok(entry?.file_name().into_string().ok()));
            Ok(names.collect::<io::Result<Vec<_>>>()?.into_iter().flatten().collect())
        })
        .await
    }

    fn key(&self, stored_as: &str, file: &str) -> Result<Key, ContainerError> {
        Ok(Key::from_iter([checked(stored_as)?, checked(file)?]))
    }
}

/// Names are made by the relay; that one leads out of the folder is refused all the same.
fn checked(name: &str) -> Result<&str, ContainerError> {
    let plain = name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
    if plain && (1..=128).contains(&name.len()) && !name.starts_with('.') {
        Ok(name)
    } else {
        Err(ContainerError::Absent)
    }
}

/// The slow way, where uploads lie on another file system: a whole copy beside the target, then its name.
fn copy_over(upload: &Path, folder: &Path, target: &Path) -> io::Result<()> {
    let half = folder.join("container.part");
    let mut copy = private_file().write(true).create(true).truncate(true).open(&half)?;
    io::copy(&mut File::open(upload)?, &mut copy)?;
    copy.sync_all()?;
    std::fs::rename(&half, target)?;
    std::fs::remove_file(upload)
}

/// Makes renames and new files in a folder durable; Windows does this by itself and has no handle for it.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(folder)?.sync_all()
    } else {
        Ok(())
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, ContainerError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(from_io),
        Err(_) => Err(ContainerError::Store("the disk task stopped".into())),
    }
}

fn from_io(error: io::Error) -> ContainerError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ContainerError::Full,
        io::ErrorKind::NotFound => ContainerError::Absent,
        _ => ContainerError::Store(error.to_string()),
    }
}

fn from_store(error: object_store::Error) -> ContainerError {
    if let object_store::Error::NotFound { .. } = error {
        return ContainerError::Absent;
    }
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(error) = cause {
        let full = error
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::StorageFull);
        if full {
            return ContainerError::Full;
        }
        cause = error.source();
    }
    ContainerError::Store(error.to_string())
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt as _;

    use super::*;

    async fn read(containers: &Containers, name: &str, range: Option<Range<u64>>) -> Result<Vec<u8>, ContainerError> {
        let opened = containers.open_range(name, range).await?;
        let parts: Vec<Bytes> = opened.stream.try_collect().await?;
        Ok(parts.concat())
    }

    #[tokio::test]
    async fn an_upload_becomes_a_container_with_files_beside_it() {
        let data = tempfile::tempdir().unwrap();
        let upload = data.path().join("upload");
        std::fs::write(&upload, b"0123456789").unwrap();
        let containers = Containers::open(data.path()).unwrap();
        let id: SubmissionId = "0193569a-7c00-7000-8000-000000000001".parse().unwrap();
        let name = Containers::name(&id);
        assert_ne!(name, Containers::name(&id));

        containers.adopt(upload.clone(), &name).await.unwrap();
        assert!(!upload.exists());
        assert_eq!(read(&containers, &name, None).await.unwrap(), b"0123456789");
        assert_eq!(read(&containers, &name, Some(3..5)).await.unwrap(), b"34");
        assert_eq!(containers.open_range(&name, Some(3..5)).await.unwrap().size, 10);
        assert!(containers.open_range(&name, Some(10..12)).await.is_err());
        assert_eq!(std::fs::read(containers.file(&name).unwrap()).unwrap(), b"0123456789");

        containers
            .put_beside(&name, "report.json", Bytes::from_static(b"{}"))
            .await
            .unwrap();
        containers
            .put_beside(&name, "report.json", Bytes::from_static(b"[]"))
            .await
            .unwrap();
        assert_eq!(containers.beside(&name, "report.json").await.unwrap(), &b"[]"[..]);
        assert!(matches!(
            containers.beside(&name, "evidence.json").await,
            Err(ContainerError::Absent)
        ));

        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let folder = data.path().join("containers").join(&name);
            let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!((mode(&data.path().join("containers")), mode(&folder)), (0o700, 0o700));
            for file in [CONTAINER, "report.json"] {
                assert_eq!(mode(&folder.join(file)), 0o600, "{file}");
            }
        }

        containers.delete(&name).await.unwrap();
        containers.delete(&name).await.unwrap();
        assert!(matches!(
            read(&containers, &name, None).await,
            Err(ContainerError::Absent)
        ));
        assert!(matches!(containers.file(&name), Err(ContainerError::Absent)));
    }

    #[tokio::test]
    async fn no_name_leads_out_of_the_folder() {
        let data = tempfile::tempdir().unwrap();
        let containers = Containers::open(data.path()).unwrap();
        for name in ["", ".", "..", "../x", "a/b", "a\\b", ".hidden", "名前"] {
            assert!(
                matches!(read(&containers, name, None).await, Err(ContainerError::Absent)),
                "{name}"
            );
            assert!(
                containers.put_beside(name, "report.json", Bytes::new()).await.is_err(),
                "{name}"
            );
            assert!(containers.delete(name).await.is_err(), "{name}");
        }
    }

    #[tokio::test]
    async fn a_missing_upload_leaves_nothing() {
        let data = tempfile::tempdir().unwrap();
        let containers = Containers::open(data.path()).unwrap();
        assert!(containers.adopt(data.path().join("nothing"), "x").await.is_err());
        assert!(containers.file("x").is_err());
    }
}
