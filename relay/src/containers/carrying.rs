//! What lies in a bucket as the files of a data folder, and files of a data folder into a bucket: so that a backup of either is one of
//! both. Nothing is opened: sealed bytes are carried, and wrapped keys.
//!
//! ```text
//! containers/UPLOAD/NAME/container.parts, parts/UPLOAD/…  ⇄  containers/NAME.UPLOAD/container.asice.sealed and container.key
//! containers/UPLOAD/NAME/report.json.sealed …             ⇄  containers/NAME.UPLOAD/report.json.sealed …
//! orphans/UPLOAD/NAME/…                                   ⇄  containers/orphans/NAME.UPLOAD/…
//! log/…                                                   ⇄  log/…
//! ```

use std::collections::{HashMap, VecDeque};
use std::time::SystemTime;

use bytes::Bytes;
use formats::digest::sha256;
use futures_util::TryStreamExt as _;
use object_store::path::Path as Key;
use object_store::{ObjectMeta, ObjectStore as _};

use super::bucket::{self, ASIDE, Bucket, CONTAINERS, LIST};
use super::parts::{PART, PARTS, Part, PartList, part_key};
use super::{
    BESIDE_KEY, CONTAINER, CONTAINER_KEY, ContainerError, Containers, ORPHANS, Place, from_io, from_store, sealed_name,
};
use crate::keys::WRAPPED;
use crate::objects::Objects;
use crate::seal::{HEAD, content_size, damaged, last_segment, places, sealed_size};

/// Where the log keeps what binds it to the world.
const LOG: &str = "log";
/// There while a bucket is being filled: what it holds then may be cleared.
const FILLING: &str = "restoring";
/// A file beside a container, or of the log, is no larger.
pub(crate) const LONGEST: u64 = 64 << 20;

/// A bucket as files.
#[derive(Debug, Clone)]
pub(crate) struct Carried(Bucket);

/// A file that is not a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CarriedFile {
    /// Its name in its folder.
    pub(crate) name: String,
    /// Bytes.
    pub(crate) size: u64,
    /// Another number once it is another file.
    pub(crate) version: u64,
}

/// A file's bytes, piece by piece.
pub(crate) enum Pieces {
    /// At once.
    Whole(Option<Bytes>),
    /// A container: its head, then its parts.
    Parts(Objects, VecDeque<Option<Key>>),
}

/// A container that is put into a bucket, piece by piece.
pub(crate) struct Filling<'a> {
    carried: &'a Carried,
    folder: String,
    upload: String,
    /// Bytes of its content.
    length: u64,
    /// Bytes that came and are not yet in a part.
    waiting: Vec<u8>,
    /// Whether its head came.
    begun: bool,
    parts: Vec<Part>,
}

impl Containers {
    /// The bucket they lie in, as files; `None`: they are files.
    pub(crate) fn carried(&self) -> Option<Carried> {
        match &self.place {
            Place::Disk(_) => None,
            Place::Bucket(bucket) => Some(Carried(bucket.clone())),
        }
    }
}

impl Pieces {
    /// The next; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, ContainerError> {
        match self {
            Self::Whole(bytes) => Ok(bytes.take()),
            Self::Parts(objects, keys) => match keys.pop_front() {
                None => Ok(None),
                Some(None) => Ok(Some(Bytes::from_static(&HEAD))),
                Some(Some(key)) => objects.whole(&key, LONGEST).await.map(Some).map_err(from_store),
            },
        }
    }
}

impl Carried {
    /// The folders below `containers`, as in a data folder.
    pub(crate) async fn folders(&self) -> Result<Vec<String>, ContainerError> {
        let mut folders = self.0.names_in(CONTAINERS).await?;
        let aside = self.0.names_in(ASIDE).await?;
        folders.extend(aside.iter().map(|name| format!("{ORPHANS}/{name}")));
        Ok(folders)
    }

    /// The files of a folder, in the order of their names.
    pub(crate) async fn files(&self, folder: &str) -> Result<Vec<CarriedFile>, ContainerError> {
        let (below, name) = below(folder);
        let mut files = Vec::new();
        for meta in self
            .0
            .0
            .list(&bucket::folder_in(below, name)?)
            .await
            .map_err(from_store)?
        {
            match meta.location.filename() {
                None | Some(BESIDE_KEY) => {}
                // What a container is does not change.
                Some(LIST) => match self.list(folder).await {
                    Err(ContainerError::Absent) => {}
                    list => files.push(CarriedFile {
                        name: sealed_name(CONTAINER),
                        size: sealed_size(list?.size),
                        version: 0,
                    }),
                },
                Some(file) => files.push(file_of(file, &meta)),
            }
        }
        files.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(files)
    }

    /// Opens a file of a folder.
    pub(crate) async fn open(&self, folder: &str, file: &str) -> Result<Pieces, ContainerError> {
        if file == sealed_name(CONTAINER) {
            let (list, upload) = (self.list(folder).await?, bucket::split(below(folder).1)?.1);
            let parts = list.parts.iter().map(|part| Some(part_key(upload, part.name)));
            return Ok(Pieces::Parts(
                self.0.0.clone(),
                std::iter::once(None).chain(parts).collect(),
            ));
        }
        let (below, name) = below(folder);
        let key = bucket::place_in(below, name, file)?;
        let whole = self.0.0.whole(&key, LONGEST).await.map_err(from_store)?;
        Ok(Pieces::Whole(Some(whole)))
    }

    /// Files of the log, by their path below `log`.
    pub(crate) async fn log(&self) -> Result<Vec<CarriedFile>, ContainerError> {
        let found = self.0.0.list(&Key::from(LOG)).await.map_err(from_store)?;
        let mut files: Vec<CarriedFile> = found
            .iter()
            .map(|meta| {
                let path: Vec<_> = meta.location.parts().skip(1).collect();
                let path: Vec<&str> = path.iter().map(AsRef::as_ref).collect();
                file_of(&path.join("/"), meta)
            })
            .collect();
        files.sort_by(|one, other| one.name.split('/').cmp(other.name.split('/')));
        Ok(files)
    }

    /// Opens a file of the log.
    pub(crate) async fn open_log(&self, path: &str) -> Result<Pieces, ContainerError> {
        let whole = self.0.0.whole(&log_key(path), LONGEST).await.map_err(from_store)?;
        Ok(Pieces::Whole(Some(whole)))
    }

    /// Keys that lie there, by their path in a data folder, and when each was changed.
    pub(crate) async fn keys(&self) -> Result<HashMap<String, SystemTime>, ContainerError> {
        let mut keys = HashMap::new();
        for (below, prefix) in [(CONTAINERS, ""), (ASIDE, "orphans/")] {
            let below = Key::from(below);
            let mut found = self.0.0.store().list(Some(&below));
            while let Some(meta) = found.try_next().await.map_err(from_store)? {
                let file = match meta.location.filename() {
                    Some(LIST) => CONTAINER_KEY,
                    Some(BESIDE_KEY) => BESIDE_KEY,
                    _ => continue,
                };
                let mut parts = meta.location.parts().skip(1);
                if let (Some(upload), Some(name)) = (parts.next(), parts.next()) {
                    let name = bucket::join(name.as_ref(), upload.as_ref());
                    keys.insert(format!("{CONTAINERS}/{prefix}{name}/{file}"), meta.last_modified.into());
                }
            }
        }
        Ok(keys)
    }

    /// One of them, wrapped; `None` if it is gone.
    pub(crate) async fn key(&self, path: &str) -> Result<Option<Bytes>, ContainerError> {
        let split = path.strip_prefix("containers/").and_then(|path| path.rsplit_once('/'));
        let (folder, file) = split.ok_or(ContainerError::Absent)?;
        let found = if file == CONTAINER_KEY {
            self.list(folder).await.map(|list| list.wrapped.into())
        } else {
            let (below, name) = below(folder);
            let key = bucket::place_in(below, name, file)?;
            self.0.0.whole(&key, WRAPPED as u64).await.map_err(from_store)
        };
        match found {
            Err(ContainerError::Absent) => Ok(None),
            found => found.map(Some),
        }
    }

    /// Begins to fill it: it must be empty, or left half filled; then it is cleared. `false` if it is neither.
    pub(crate) async fn begin(&self) -> Result<bool, ContainerError> {
        let objects = &self.0.0;
        // Some servers make a bucket with its first object.
        let usable = objects.probe().await;
        usable.map_err(|error| ContainerError::Unavailable(error.to_string()))?;
        let filling = objects.has(&Key::from(FILLING)).await.map_err(from_store)?;
        for below in [CONTAINERS, ASIDE, PARTS, LOG].map(Key::from) {
            let first = objects.store().list(Some(&below)).try_next().await;
            if first.map_err(from_store)?.is_none() {
                continue;
            }
            if !filling {
                return Ok(false);
            }
            objects.clear(&below).await.map_err(from_store)?;
        }
        let note = Bytes::from_static(b"a restore is under way, or was cut off: run it again\n");
        objects.put(&Key::from(FILLING), note).await.map_err(from_store)?;
        Ok(true)
    }

    /// It is filled.
    pub(crate) async fn end(&self) -> Result<(), ContainerError> {
        self.0.0.remove(&Key::from(FILLING)).await.map_err(from_store)
    }

    /// Puts a file beside a container, or a key.
    pub(crate) async fn put(&self, folder: &str, file: &str, bytes: Bytes) -> Result<(), ContainerError> {
        let (below, name) = below(folder);
        let key = bucket::place_in(below, name, super::checked(file)?)?;
        self.0.0.put(&key, bytes).await.map_err(from_store)
    }

    /// Puts a file of the log.
    pub(crate) async fn put_log(&self, path: &str, bytes: Bytes) -> Result<(), ContainerError> {
        self.0.0.put(&log_key(path), bytes).await.map_err(from_store)
    }

    /// Begins to put a container whose file has `sealed` bytes.
    pub(crate) fn fill(&self, folder: &str, sealed: u64) -> Result<Filling<'_>, ContainerError> {
        let length = content_size(sealed).ok_or_else(|| from_io(damaged("no file has this size")))?;
        Ok(Filling {
            carried: self,
            upload: bucket::split(below(folder).1)?.1.to_owned(),
            folder: folder.to_owned(),
            length,
            waiting: Vec::new(),
            begun: false,
            parts: Vec::new(),
        })
    }

    async fn list(&self, folder: &str) -> Result<PartList, ContainerError> {
        let (below, name) = below(folder);
        self.0.list_in(below, name).await
    }
}

impl Filling<'_> {
    /// The next bytes of the file.
    pub(crate) async fn add(&mut self, bytes: &[u8]) -> Result<(), ContainerError> {
        self.waiting.extend_from_slice(bytes);
        if !self.begun && self.waiting.len() >= HEAD.len() {
            let rest = self.waiting.split_off(HEAD.len());
            if self.waiting != HEAD {
                return Err(from_io(damaged("its head is another")));
            }
            (self.waiting, self.begun) = (rest, true);
        }
        while self.begun && self.waiting.len() as u64 >= self.next(PART) && self.done() + u64::from(PART) <= self.all()
        {
            self.part(PART).await?;
        }
        Ok(())
    }

    /// Puts the rest and, with its wrapped key, the list. Without a key, which was destroyed, there is no container.
    pub(crate) async fn end(mut self, key: Bytes) -> Result<(), ContainerError> {
        let left = u32::try_from(self.all() - self.done()).map_err(|error| from_io(std::io::Error::other(error)))?;
        if self.waiting.len() as u64 != self.next(left) {
            return Err(from_io(damaged("it is cut")));
        }
        if left > 0 {
            self.part(left).await?;
        }
        let list = PartList {
            size: self.length,
            wrapped: key.into(),
            parts: self.parts,
        };
        let text = list.to_json().map_err(from_io)?;
        self.carried.put(&self.folder, LIST, text.into()).await
    }

    /// Segments of it.
    fn all(&self) -> u64 {
        last_segment(self.length) + 1
    }

    /// Segments in parts.
    fn done(&self) -> u64 {
        self.parts.iter().map(|part| u64::from(part.segments)).sum()
    }

    /// Bytes of the next segments.
    fn next(&self, segments: u32) -> u64 {
        let range = places(self.done()..self.done() + u64::from(segments), self.length);
        range.end.saturating_sub(range.start)
    }

    async fn part(&mut self, segments: u32) -> Result<(), ContainerError> {
        let size = usize::try_from(self.next(segments)).map_err(|error| from_io(std::io::Error::other(error)))?;
        let rest = self.waiting.split_off(size.min(self.waiting.len()));
        let bytes = std::mem::replace(&mut self.waiting, rest);
        let name = self.parts.len() as u64 + 1;
        let key = part_key(&self.upload, name);
        self.carried.0.0.put(&key, bytes.into()).await.map_err(from_store)?;
        self.parts.push(Part { name, segments });
        Ok(())
    }
}

/// Where in the bucket a folder is, and its name there.
fn below(folder: &str) -> (&'static str, &str) {
    match folder.strip_prefix("orphans/") {
        Some(name) => (ASIDE, name),
        None => (CONTAINERS, folder),
    }
}

fn log_key(path: &str) -> Key {
    Key::from_iter(std::iter::once(LOG).chain(path.split('/')))
}

fn file_of(name: &str, meta: &ObjectMeta) -> CarriedFile {
    let told = format!("{} {}", meta.e_tag.as_deref().unwrap_or_default(), meta.last_modified);
    let version = sha256(told.as_bytes())
        .first_chunk()
        .map_or(0, |bytes| u64::from_be_bytes(*bytes));
    CarriedFile {
        name: name.to_owned(),
        size: meta.size,
        version,
    }
}
