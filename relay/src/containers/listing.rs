//! What lies where containers are kept, named as on a disk wherever that is: for who compares it with the trail.

use std::path::PathBuf;
use std::time::SystemTime;

use object_store::ObjectStore as _;
use object_store::path::Path as Key;

use super::bucket::{self, ASIDE, CONTAINERS, LIST};
use super::parts::{PARTS, parts_of};
use super::{
    CONTAINER, CONTAINER_KEY, ContainerError, Containers, ORPHANS, Place, blocking, from_io, from_store, sealed_name,
};

/// What lies at one container's place.
pub(crate) struct Folder {
    /// Names of its files.
    pub(crate) files: Vec<String>,
    /// When something there was changed last.
    pub(crate) touched: SystemTime,
}

impl Containers {
    /// Where a file is, for people: path or key.
    pub(crate) fn shown(&self, stored_as: &str, file: &str) -> PathBuf {
        match &self.place {
            Place::Disk(disk) => disk.folder().join(stored_as).join(sealed_name(file)),
            Place::Bucket(_) => {
                let name = if file == CONTAINER {
                    LIST.into()
                } else {
                    sealed_name(file)
                };
                let key = bucket::place_in(CONTAINERS, stored_as, &name);
                key.map_or_else(|_| PathBuf::from(stored_as), |key| PathBuf::from(key.to_string()))
            }
        }
    }

    /// Whether there is a file beside a container.
    pub(crate) async fn has_beside(&self, stored_as: &str, file: &str) -> Result<bool, ContainerError> {
        match &self.place {
            Place::Disk(_) => Ok(self.shown(stored_as, file).exists()),
            Place::Bucket(bucket) => {
                let key = bucket::place_in(CONTAINERS, stored_as, &sealed_name(file))?;
                bucket.0.has(&key).await.map_err(from_store)
            }
        }
    }

    /// What lies at a container's place.
    pub(crate) async fn folder(&self, stored_as: &str) -> Result<Folder, ContainerError> {
        match &self.place {
            Place::Disk(disk) => {
                let folder = disk.folder().join(stored_as);
                blocking(move || {
                    let touched = folder.metadata()?.modified()?;
                    let mut files = Vec::new();
                    for entry in std::fs::read_dir(&folder)? {
                        files.extend(entry?.file_name().into_string().ok());
                    }
                    files.sort();
                    Ok(Folder { files, touched })
                })
                .await
            }
            Place::Bucket(bucket) => {
                let below = bucket::folder_in(CONTAINERS, stored_as)?;
                let (mut files, mut touched) = (Vec::new(), SystemTime::UNIX_EPOCH);
                for meta in bucket.0.list(&below).await.map_err(from_store)? {
                    touched = touched.max(meta.last_modified.into());
                    match meta.location.filename() {
                        Some(LIST) => files.extend([CONTAINER_KEY.to_owned(), sealed_name(CONTAINER)]),
                        Some(file) => files.push(file.to_owned()),
                        None => {}
                    }
                }
                files.sort();
                Ok(Folder { files, touched })
            }
        }
    }

    /// What was put aside.
    pub(crate) async fn aside(&self) -> Result<Vec<PathBuf>, ContainerError> {
        match &self.place {
            Place::Disk(disk) => {
                let folder = disk.folder().join(ORPHANS);
                let read = std::fs::read_dir(&folder);
                let entries = match read {
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
                    read => read.map_err(from_io)?,
                };
                let mut found = Vec::new();
                for entry in entries {
                    found.push(entry.map_err(from_io)?.path());
                }
                found.sort();
                Ok(found)
            }
            Place::Bucket(bucket) => {
                let names = bucket.names_in(ASIDE).await?;
                Ok(names
                    .iter()
                    .map(|name| PathBuf::from(format!("{ASIDE}/{name}")))
                    .collect())
            }
        }
    }

    /// Ids of uploads of which there are parts in the bucket, none of them put for so long, and no container of them.
    pub(crate) async fn lone_parts(&self, age: std::time::Duration) -> Result<Vec<String>, ContainerError> {
        let Place::Bucket(bucket) = &self.place else {
            return Ok(Vec::new());
        };
        let below = Key::from(PARTS);
        let found = bucket.0.store().list_with_delimiter(Some(&below)).await;
        let mut lone = Vec::new();
        for prefix in found.map_err(from_store)?.common_prefixes {
            let Some(upload) = prefix.filename() else { continue };
            if bucket.has_any(upload).await? || bucket.is_aside(upload).await? {
                continue;
            }
            let parts = bucket.0.list(&parts_of(upload)).await.map_err(from_store)?;
            let old = |at: SystemTime| at.elapsed().is_ok_and(|since| since >= age);
            if parts.iter().all(|part| old(part.last_modified.into())) {
                lone.push(upload.to_owned());
            }
        }
        Ok(lone)
    }
}
