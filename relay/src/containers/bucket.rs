//! Containers as objects of a bucket. `containers/UPLOAD/NAME/` has a container's list of parts and what lies beside it, where
//! `NAME.UPLOAD` is what the container is stored as; its parts lie in `parts/UPLOAD/`.

use std::collections::BTreeMap;
use std::time::SystemTime;

use bytes::Bytes;
use object_store::ObjectStoreExt as _;
use object_store::path::Path as Key;
use tokio::runtime::Handle;

use super::parts::{PARTS, PartList, PartsSource, parts_of};
use super::{BESIDE_KEY, CONTAINER, CONTAINER_KEY, ContainerError, Stored, checked, from_io, from_store, sealed_name};
use crate::keys::WRAPPED;
use crate::objects::Objects;

/// The list of a container's parts.
pub(super) const LIST: &str = "container.parts";
/// A list is no longer: of 8 GiB it has 70 KiB.
pub(super) const LONGEST_LIST: u64 = 4 << 20;
/// What containers lie under.
pub(super) const CONTAINERS: &str = "containers";
/// What was put aside lies under.
pub(super) const ASIDE: &str = "orphans";

/// The bucket, as containers are kept in it.
#[derive(Debug, Clone)]
pub(super) struct Bucket(pub(super) Objects);

impl Bucket {
    /// What is stored, and how many bytes of content it has; of a container its parts.
    pub(super) async fn open(&self, stored_as: &str, file: &str) -> Result<(Stored, u64), ContainerError> {
        let handle = Handle::current();
        if file == CONTAINER {
            let list = self.list(stored_as).await?;
            let source = PartsSource::new(self.0.clone(), handle, split(stored_as)?.1, &list.parts, list.size);
            return Ok((Stored::Parts(source), list.size));
        }
        let key = place(stored_as, &sealed_name(checked(file)?))?;
        let size = self.0.store().head(&key).await.map_err(from_store)?.size;
        let size =
            crate::seal::content_size(size).ok_or_else(|| from_io(crate::seal::damaged("no file has this size")))?;
        let store = std::sync::Arc::clone(self.0.store());
        Ok((Stored::Object { store, key, handle }, size))
    }

    pub(super) async fn list(&self, stored_as: &str) -> Result<PartList, ContainerError> {
        self.list_in(CONTAINERS, stored_as).await
    }

    /// The list of a container below `containers` or `orphans`.
    pub(super) async fn list_in(&self, below: &str, stored_as: &str) -> Result<PartList, ContainerError> {
        let key = place_in(below, stored_as, LIST)?;
        let text = self.0.whole(&key, LONGEST_LIST).await.map_err(from_store)?;
        PartList::from_json(&text).map_err(from_io)
    }

    /// The parts of an upload are those of a container now.
    pub(super) async fn adopt(&self, stored_as: &str, list: &PartList) -> Result<(), ContainerError> {
        let text = list.to_json().map_err(from_io)?;
        self.0
            .put(&place(stored_as, LIST)?, text.into())
            .await
            .map_err(from_store)
    }

    /// A key as it lies there, wrapped.
    pub(super) async fn key(&self, stored_as: &str, file: &'static str) -> Result<Vec<u8>, ContainerError> {
        if file == CONTAINER_KEY {
            return Ok(self.list(stored_as).await?.wrapped);
        }
        let key = place(stored_as, file)?;
        Ok(self.0.whole(&key, WRAPPED as u64).await.map_err(from_store)?.into())
    }

    /// Keeps the key of what lies beside a container; `false` if there is one, made by another meanwhile.
    pub(super) async fn put_key(&self, stored_as: &str, wrapped: Vec<u8>) -> Result<bool, ContainerError> {
        let key = place(stored_as, BESIDE_KEY)?;
        self.0.put_new(&key, wrapped.into()).await.map_err(from_store)
    }

    pub(super) async fn put(&self, stored_as: &str, file: &str, sealed: Bytes) -> Result<(), ContainerError> {
        let key = place(stored_as, &sealed_name(checked(file)?))?;
        self.0.put(&key, sealed).await.map_err(from_store)
    }

    /// When a file beside a container was put, or whatever lies there newest where there is no such file.
    pub(super) async fn written(&self, stored_as: &str, file: &str) -> Result<Option<SystemTime>, ContainerError> {
        let mut newest = None;
        for meta in self.0.list(&folder(stored_as)?).await.map_err(from_store)? {
            let put = SystemTime::from(meta.last_modified);
            if meta.location.filename() == Some(&sealed_name(file)) {
                return Ok(Some(put));
            }
            newest = newest.max(Some(put));
        }
        Ok(newest)
    }

    /// The list goes first: with it the key. Other lists of the same parts, which intakes left whose outcome nobody learnt, have
    /// the same key and go before it.
    pub(super) async fn erase(&self, stored_as: &str) -> Result<(), ContainerError> {
        let (list, upload) = (place(stored_as, LIST)?, split(stored_as)?.1);
        self.0.store().head(&list).await.map_err(from_store)?;
        for other in self.lists(CONTAINERS, upload).await? {
            if other != stored_as {
                self.forsake(&other).await?;
            }
        }
        self.0.remove(&list).await.map_err(from_store)?;
        self.clear_parts(upload).await
    }

    /// The parts go too, unless they are listed elsewhere: that container may be the one its record names.
    pub(super) async fn delete(&self, stored_as: &str) -> Result<(), ContainerError> {
        self.forsake(stored_as).await?;
        let upload = split(stored_as)?.1;
        if self.lists(CONTAINERS, upload).await?.is_empty() {
            self.clear_parts(upload).await?;
        }
        Ok(())
    }

    /// What was put aside, and when.
    pub(super) async fn aside(&self) -> Result<Vec<(String, SystemTime)>, ContainerError> {
        let mut found = BTreeMap::new();
        for meta in self.0.list(&Key::from(ASIDE)).await.map_err(from_store)? {
            if let Some(name) = name_of(&meta.location) {
                let since = found.entry(name).or_insert(SystemTime::UNIX_EPOCH);
                *since = (*since).max(meta.last_modified.into());
            }
        }
        Ok(found.into_iter().collect())
    }

    /// Removes what was put aside under this name, its list first; the parts too, unless they are listed elsewhere.
    pub(super) async fn drop_aside(&self, stored_as: &str) -> Result<(), ContainerError> {
        let list = place_in(ASIDE, stored_as, LIST)?;
        self.0.remove(&list).await.map_err(from_store)?;
        let folder = folder_in(ASIDE, stored_as)?;
        self.0.clear(&folder).await.map_err(from_store)?;
        let upload = split(stored_as)?.1;
        for below in [CONTAINERS, ASIDE] {
            if !self.lists(below, upload).await?.is_empty() {
                return Ok(());
            }
        }
        self.clear_parts(upload).await
    }

    /// Names of the containers, below `containers` or `orphans`, that list an upload's parts.
    async fn lists(&self, below: &str, upload: &str) -> Result<Vec<String>, ContainerError> {
        let below = Key::from_iter([below, checked(upload)?]);
        let listed = self.0.list(&below).await.map_err(from_store)?;
        let lists = listed.iter().filter(|meta| meta.location.filename() == Some(LIST));
        Ok(lists.filter_map(|meta| name_of(&meta.location)).collect())
    }

    /// Removes what lies at a container's place, but none of its parts: they are an upload's again, or another's.
    pub(super) async fn forsake(&self, stored_as: &str) -> Result<(), ContainerError> {
        self.0.remove(&place(stored_as, LIST)?).await.map_err(from_store)?;
        self.0.clear(&folder(stored_as)?).await.map_err(from_store)
    }

    /// Moves list and what lies beside it; the parts stay where they are.
    pub(super) async fn put_aside(&self, stored_as: &str) -> Result<(), ContainerError> {
        let (name, upload) = split(stored_as)?;
        let listed = self.0.list(&folder(stored_as)?).await.map_err(from_store)?;
        for meta in &listed {
            let file = meta.location.filename().unwrap_or_default();
            let to = Key::from_iter([ASIDE, upload, name, file]);
            self.0.store().copy(&meta.location, &to).await.map_err(from_store)?;
        }
        self.forsake(stored_as).await
    }

    pub(super) async fn names(&self) -> Result<Vec<String>, ContainerError> {
        self.names_in(CONTAINERS).await
    }

    /// Names of all below `containers` or `orphans`.
    pub(super) async fn names_in(&self, below: &str) -> Result<Vec<String>, ContainerError> {
        let listed = self.0.list(&Key::from(below)).await.map_err(from_store)?;
        let mut names: Vec<String> = listed.iter().filter_map(|meta| name_of(&meta.location)).collect();
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    /// Whether a container is made of an upload's parts, of whatever name.
    pub(super) async fn has_any(&self, upload: &str) -> Result<bool, ContainerError> {
        let below = Key::from_iter([CONTAINERS, checked(upload)?]);
        Ok(!self.0.list(&below).await.map_err(from_store)?.is_empty())
    }

    /// Whether a container of an upload's parts was put aside.
    pub(super) async fn is_aside(&self, upload: &str) -> Result<bool, ContainerError> {
        let below = Key::from_iter([ASIDE, checked(upload)?]);
        Ok(!self.0.list(&below).await.map_err(from_store)?.is_empty())
    }

    /// Removes the parts of an upload.
    pub(super) async fn clear_parts(&self, upload: &str) -> Result<(), ContainerError> {
        self.0.clear(&parts_of(checked(upload)?)).await.map_err(from_store)
    }
}

fn folder(stored_as: &str) -> Result<Key, ContainerError> {
    folder_in(CONTAINERS, stored_as)
}

fn place(stored_as: &str, file: &str) -> Result<Key, ContainerError> {
    place_in(CONTAINERS, stored_as, file)
}

/// Where a container and what lies beside it are, below `containers` or `orphans`.
pub(super) fn folder_in(below: &str, stored_as: &str) -> Result<Key, ContainerError> {
    let (name, upload) = split(stored_as)?;
    Ok(Key::from_iter([below, upload, name]))
}

/// One file there.
pub(super) fn place_in(below: &str, stored_as: &str, file: &str) -> Result<Key, ContainerError> {
    let (name, upload) = split(stored_as)?;
    Ok(Key::from_iter([below, upload, name, file]))
}

/// Name and upload; what has no point in it is an upload without a name.
pub(super) fn split(stored_as: &str) -> Result<(&str, &str), ContainerError> {
    let stored_as = checked(stored_as)?;
    Ok(stored_as.rsplit_once('.').unwrap_or((PARTS, stored_as)))
}

/// What an object below `containers` or `orphans` belongs to.
fn name_of(object: &Key) -> Option<String> {
    let mut parts = object.parts().skip(1);
    let (upload, name) = (parts.next()?, parts.next()?);
    Some(join(name.as_ref(), upload.as_ref()))
}

pub(super) fn join(name: &str, upload: &str) -> String {
    if name == PARTS {
        upload.to_owned()
    } else {
        format!("{name}.{upload}")
    }
}

#[cfg(test)]
mod tests;
