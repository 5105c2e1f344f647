//! Containers as folders on the disk of this machine.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt as _};
use tokio::sync::mpsc::Sender;

use super::{
    BESIDE_KEY, CONTAINER, CONTAINER_KEY, ContainerError, GOING, ORPHANS, Stored, blocking, checked, from_io,
    from_store, moving, sealed_name,
};
use crate::folder::{create_private, half_written, make_private, sync_folder};
use crate::keys::{DataKey, Keys, KeysError};

/// The folder, as containers are kept in it.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    store: Arc<dyn ObjectStore>,
    folder: PathBuf,
}

impl Disk {
    pub(super) fn open(data: &Path) -> Result<Self, ContainerError> {
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

    pub(super) async fn adopt(&self, upload: PathBuf, stored_as: &str) -> Result<(), ContainerError> {
        let folder = self.of(stored_as)?;
        blocking(move || moving::adopt(&upload, &folder)).await
    }

    pub(super) async fn give_back(&self, stored_as: &str, upload: PathBuf) -> Result<(), ContainerError> {
        let folder = self.of(stored_as)?;
        blocking(move || moving::give_back(&folder, &upload)).await
    }

    /// What is stored, and how many bytes of content it has.
    pub(super) async fn open_file(&self, stored_as: &str, file: &str) -> Result<(Stored, u64), ContainerError> {
        let key = key(stored_as, file)?;
        let (stored, sealed) = Stored::open(Arc::clone(&self.store), key).await.map_err(from_store)?;
        let size = crate::seal::content_size(sealed);
        Ok((
            stored,
            size.ok_or_else(|| from_io(crate::seal::damaged("no file has this size")))?,
        ))
    }

    /// Blocking.
    pub(super) fn data_key(&self, stored_as: &str, file: &str, keys: &Keys) -> Result<DataKey, KeysError> {
        keys.kept(&self.folder.join(stored_as).join(file))
    }

    /// The key of what lies beside a container, made where there is none. Blocking; for one at a time.
    pub(super) fn make_key(&self, stored_as: &str, keys: &Keys) -> Result<DataKey, KeysError> {
        let folder = self.folder.join(stored_as);
        let path = folder.join(BESIDE_KEY);
        // Before the object store makes it for everybody.
        if !folder.exists() {
            create_private(&folder)?;
            sync_folder(&self.folder)?;
        }
        match keys.kept(&path) {
            Err(KeysError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
                let new = DataKey::generate()?;
                keys.keep(&path, &new)?;
                Ok(new)
            }
            kept => kept,
        }
    }

    pub(super) async fn put(&self, stored_as: &str, file: &str, sealed: Bytes) -> Result<(), ContainerError> {
        let key = key(stored_as, file)?;
        self.store.put(&key, sealed.into()).await.map_err(from_store)?;
        let path = self.folder.join(stored_as).join(sealed_name(file));
        blocking(move || make_private(&path)).await
    }

    pub(super) async fn erase(&self, stored_as: &str, keys: Keys) -> Result<(), ContainerError> {
        let folder = self.of(stored_as)?;
        blocking(move || {
            keys.destroy(&folder.join(CONTAINER_KEY))?;
            std::fs::remove_file(folder.join(sealed_name(CONTAINER)))?;
            sync_folder(&folder)
        })
        .await
    }

    pub(super) async fn delete(&self, stored_as: &str) -> Result<(), ContainerError> {
        let folder = self.of(stored_as)?;
        let parent = self.folder.clone();
        blocking(move || remove(&folder, &parent, &parent.join(ORPHANS))).await
    }

    pub(super) async fn put_aside(&self, stored_as: &str) -> Result<(), ContainerError> {
        let folder = self.of(stored_as)?;
        let (aside, parent) = (self.folder.join(ORPHANS), self.folder.clone());
        let name = stored_as.to_owned();
        blocking(move || {
            create_private(&aside)?;
            // From now on its time counts.
            if cfg!(unix) {
                File::open(&folder)?.set_modified(SystemTime::now())?;
            }
            let mut target = aside.join(&name);
            let mut number = 1_u32;
            // One of this name may lie there already; neither is lost.
            while target.exists() {
                target = aside.join(format!("{number}.{name}"));
                number += 1;
            }
            std::fs::rename(&folder, target)?;
            sync_folder(&aside)?;
            sync_folder(&parent)
        })
        .await
    }

    pub(super) async fn aside(&self) -> Result<Vec<(String, SystemTime)>, ContainerError> {
        let aside = self.folder.join(ORPHANS);
        blocking(move || {
            let entries = match std::fs::read_dir(&aside) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
                other => other?,
            };
            let mut found = Vec::new();
            for entry in entries {
                let entry = entry?;
                let since = entry.metadata()?.modified()?;
                found.extend(entry.file_name().into_string().ok().map(|name| (name, since)));
            }
            Ok(found)
        })
        .await
    }

    pub(super) async fn drop_aside(&self, name: &str) -> Result<(), ContainerError> {
        let aside = self.folder.join(ORPHANS);
        let folder = aside.join(checked(name)?);
        blocking(move || remove(&folder, &aside, &aside)).await
    }

    pub(super) async fn written(&self, stored_as: &str, file: &str) -> Option<SystemTime> {
        let folder = self.of(stored_as).ok()?;
        let file = folder.join(sealed_name(file));
        let when = |path: &Path| path.metadata().and_then(|found| found.modified()).ok();
        blocking(move || Ok(when(&file).or_else(|| when(&folder)))).await.ok()?
    }

    /// Hands on the names by so many, until nobody wants them.
    pub(super) async fn pages(&self, page: usize, to: Sender<Result<Vec<String>, ContainerError>>) {
        let folder = self.folder.clone();
        let told = to.clone();
        let listed = blocking(move || {
            let mut names = Vec::new();
            for entry in std::fs::read_dir(&folder)? {
                names.extend(entry?.file_name().into_string().ok());
                if names.len() == page && told.blocking_send(Ok(std::mem::take(&mut names))).is_err() {
                    return Ok(());
                }
            }
            let _left = told.blocking_send(Ok(names));
            Ok(())
        });
        if let Err(error) = listed.await {
            let _left = to.send(Err(error)).await;
        }
    }

    pub(super) async fn names(&self) -> Result<Vec<String>, ContainerError> {
        let folder = self.folder.clone();
        blocking(move || {
            let entries = std::fs::read_dir(&folder)?;
            let names = entries.map(|entry| Ok(entry?.file_name().into_string().ok()));
            Ok(names.collect::<io::Result<Vec<_>>>()?.into_iter().flatten().collect())
        })
        .await
    }

    /// Where they lie.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    fn of(&self, stored_as: &str) -> Result<PathBuf, ContainerError> {
        Ok(self.folder.join(checked(stored_as)?))
    }
}

/// Removes a folder of `parent`: its keys first, so that whatever stops it leaves nothing that can be read; then its name, so that a
/// folder of which half is left is not taken for one that is being made.
fn remove(folder: &Path, parent: &Path, aside: &Path) -> io::Result<()> {
    for key in [CONTAINER_KEY, BESIDE_KEY] {
        let key = folder.join(key);
        for path in [&half_written(&key), &key] {
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound && path.exists() => return Err(error),
                _ => {}
            }
        }
    }
    let Some(name) = folder.file_name() else { return Ok(()) };
    let mut going = aside.join(name);
    if !is_going(&going) {
        create_private(aside)?;
        let mut marked = OsString::from(GOING);
        marked.push(name);
        going = aside.join(marked);
        // What was left of an earlier one of this name.
        clear(&going)?;
        match std::fs::rename(folder, &going) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return sync_folder(parent),
            done => done?,
        }
        sync_folder(parent)?;
    }
    clear(&going)?;
    sync_folder(aside)
}

fn is_going(folder: &Path) -> bool {
    let name = folder.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with(GOING))
}

fn clear(folder: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn key(stored_as: &str, file: &str) -> Result<Key, ContainerError> {
    Ok(Key::from_iter([checked(stored_as)?, &sealed_name(checked(file)?)]))
}
