//! Stored containers, and their evidence and reports beside them: in the data folder, or in a bucket that several relays share.
//! All of it is sealed
//! ([`crate::keys`], `CONTRACTS.md` §10): a container has a data key of its own, what lies beside it another, so that a container
//! can be erased by its key while its report stays.
//!
//! Every write returns only when file and folder are on disk, or the bucket shows what was put: the trail may speak of what is
//! here.

mod bucket;
mod carrying;
mod disk;
mod listing;
mod moving;
mod parts;
mod rewrapping;
mod stored;

use std::collections::{HashMap, HashSet};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use formats::wire::SubmissionId;
use futures_util::TryStreamExt as _;
use futures_util::stream::BoxStream;
use tokio::sync::mpsc::{Receiver, channel};

use crate::folder::full;
use crate::keys::{DataKey, Keys, KeysError, Rotated};
use crate::objects::Objects;
use crate::seal::{Seal, SealedReader};
use bucket::Bucket;
pub(crate) use carrying::{Carried, CarriedFile, LONGEST, Pieces};
use disk::Disk;
#[cfg(test)]
pub(crate) use parts::parts_of;
pub(crate) use parts::{PART, Part, PartList, PartsSource, part_key};
pub(crate) use stored::Stored;

/// Name of the container in its folder.
pub(crate) const CONTAINER: &str = "container.asice";
/// The file of the key the container is sealed with.
pub(crate) const CONTAINER_KEY: &str = "container.key";
/// The file of the key that everything beside it is sealed with.
pub(crate) const BESIDE_KEY: &str = "beside.key";
/// Folder of what no record names, among those of containers.
pub(crate) const ORPHANS: &str = "orphans";
/// So begins the name, there, of what is being removed and has no key any more.
pub(crate) const GOING: &str = "going.";
/// So ends the name of the copy, not yet whole, of what comes from another file system.
pub(crate) const HALF: &str = ".part";
/// Names listed at once.
const PAGE: usize = 1024;
/// Data keys kept in memory: a token is not asked for each range of a study.
const KNOWN: usize = 1024;

/// Why a container or what lies beside it was not stored or opened.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// There is none of this name.
    #[error("no such container")]
    Absent,
    /// The disk is full; nothing was kept.
    #[error("no space left for containers")]
    Full,
    /// Its key cannot be used.
    #[error(transparent)]
    Key(KeysError),
    /// The bucket cannot be reached, or does not keep what it is given. It may pass.
    #[error("the bucket: {0}")]
    Unavailable(String),
    /// Everything else the disk or the object store says; also of a file that is damaged, cut or exchanged.
    #[error("container store: {0}")]
    Store(String),
}

/// The stored containers.
#[derive(Debug, Clone)]
pub struct Containers {
    place: Place,
    keys: Keys,
    /// Data keys by container and file.
    known: Arc<Mutex<HashMap<(String, &'static str), DataKey>>>,
    /// Held by who makes the key of what lies beside a container.
    making: Arc<Mutex<()>>,
    /// What was adopted since these were opened, until that is [settled](Self::settle).
    adopted: Arc<Mutex<Option<HashSet<String>>>>,
}

/// Where they lie.
#[derive(Debug, Clone)]
enum Place {
    /// In the data folder.
    Disk(Disk),
    /// Where every relay finds them.
    Bucket(Bucket),
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
    pub fn open(data: &Path, keys: Keys) -> Result<Self, ContainerError> {
        Ok(Self::at(Place::Disk(Disk::open(data)?), keys))
    }

    /// Those in a bucket.
    #[must_use]
    pub fn shared(objects: Objects, keys: Keys) -> Self {
        Self::at(Place::Bucket(Bucket(objects)), keys)
    }

    fn at(place: Place, keys: Keys) -> Self {
        Self {
            place,
            keys,
            known: Arc::default(),
            making: Arc::default(),
            adopted: Arc::new(Mutex::new(Some(HashSet::new()))),
        }
    }

    /// Whether other relays keep theirs here too.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self.place, Place::Bucket(_))
    }

    /// The name to store a finished upload under. Two uploads of one id never share a name, so that the one which loses the race
    /// removes only its own; and the upload's id, to which its segments are bound, ends it.
    #[must_use]
    pub fn name(id: &SubmissionId, upload: &str) -> String {
        format!("{id}.{upload}")
    }

    /// Makes a finished upload the stored container `stored_as`, durably. The upload's folder is moved, not copied, where both
    /// lie on one file system.
    ///
    /// # Errors
    /// [`ContainerError`]; the upload is then still where it was.
    pub async fn adopt(&self, upload: PathBuf, stored_as: &str) -> Result<(), ContainerError> {
        // Before it is there: who lists what is there finds it among these.
        if let Some(adopted) = &mut *self.adopted.lock().unwrap_or_else(PoisonError::into_inner) {
            adopted.insert(stored_as.to_owned());
        }
        match &self.place {
            Place::Disk(disk) => disk.adopt(upload, stored_as).await,
            Place::Bucket(_) => Err(misplaced()),
        }
    }

    /// The same for an upload whose parts lie in the bucket, where they stay.
    ///
    /// # Errors
    /// [`ContainerError`].
    pub(crate) async fn adopt_parts(&self, list: &PartList, stored_as: &str) -> Result<(), ContainerError> {
        match &self.place {
            Place::Disk(_) => Err(misplaced()),
            Place::Bucket(bucket) => bucket.adopt(stored_as, list).await,
        }
    }

    /// Makes a container an upload again, after its record was not committed; what was put beside it goes.
    ///
    /// # Errors
    /// [`ContainerError`].
    pub async fn give_back(&self, stored_as: &str, upload: PathBuf) -> Result<(), ContainerError> {
        self.forget(stored_as);
        match &self.place {
            Place::Disk(disk) => disk.give_back(stored_as, upload).await,
            Place::Bucket(_) => Err(misplaced()),
        }
    }

    /// The same where its parts lie in the bucket.
    ///
    /// # Errors
    /// [`ContainerError`].
    pub(crate) async fn give_back_parts(&self, stored_as: &str) -> Result<(), ContainerError> {
        self.forget(stored_as);
        match &self.place {
            Place::Disk(_) => Err(misplaced()),
            Place::Bucket(bucket) => bucket.forsake(stored_as).await,
        }
    }

    /// Removes the parts of an upload that takes no more, unless a container is made of them; whether it did. Only after it is
    /// written down that nobody makes one of them any more.
    ///
    /// # Errors
    /// [`ContainerError`].
    pub(crate) async fn drop_parts(&self, upload: &str) -> Result<bool, ContainerError> {
        match &self.place {
            Place::Disk(_) => Err(misplaced()),
            Place::Bucket(bucket) if bucket.has_any(upload).await? => Ok(false),
            Place::Bucket(bucket) => bucket.clear_parts(upload).await.map(|()| true),
        }
    }

    /// Opens a container: all of it, or these bytes of it. Only the segments they lie in are read.
    ///
    /// # Errors
    /// [`ContainerError::Absent`], or what the store says; a range beyond its end is an error too.
    pub async fn open_range(&self, stored_as: &str, range: Option<Range<u64>>) -> Result<Opened, ContainerError> {
        let reader = self.read(stored_as, CONTAINER).await?;
        let size = reader.size();
        let range = range.unwrap_or(0..size);
        if range.end > size || range.start > range.end {
            return Err(ContainerError::Store(format!("no bytes {range:?} in {size}")));
        }
        let stream = Box::pin(stored::stream(reader, range).map_err(from_io));
        Ok(Opened { size, stream })
    }

    /// Opens a container for readers that must seek, which block.
    ///
    /// # Errors
    /// [`ContainerError::Absent`], or what the store says.
    pub(crate) async fn reader(&self, stored_as: &str) -> Result<SealedReader<Stored>, ContainerError> {
        self.read(stored_as, CONTAINER).await
    }

    /// That a container is there and its first and last segment are those its key has sealed. What lies between is not read.
    ///
    /// # Errors
    /// [`ContainerError::Absent`], or what the store says.
    pub(crate) async fn sound(&self, stored_as: &str) -> Result<(), ContainerError> {
        let mut reader = self.read(stored_as, CONTAINER).await?;
        let size = reader.size();
        blocking(move || {
            reader.part(0, size.min(1))?;
            reader.part(size.saturating_sub(1), size).map(drop)
        })
        .await
    }

    /// Writes a file beside a container (`evidence.json`, `report.json`), durably. What was there is replaced whole.
    ///
    /// # Errors
    /// [`ContainerError`].
    pub async fn put_beside(&self, stored_as: &str, file: &str, content: Bytes) -> Result<(), ContainerError> {
        checked(file)?;
        let data_key = match self.data_key(stored_as, BESIDE_KEY).await {
            Err(ContainerError::Absent) => self.make_key(stored_as).await?,
            known => known?,
        };
        let seal = Seal::new(&data_key, bound_to(stored_as), file).map_err(from_io)?;
        let sealed = blocking(move || seal.whole(&content)).await?;
        match &self.place {
            Place::Disk(disk) => disk.put(stored_as, file, sealed.into()).await,
            Place::Bucket(bucket) => bucket.put(stored_as, file, sealed.into()).await,
        }
    }

    /// Reads a file beside a container.
    ///
    /// # Errors
    /// [`ContainerError::Absent`], or what the store says.
    pub async fn beside(&self, stored_as: &str, file: &str) -> Result<Bytes, ContainerError> {
        let (_, stream) = self.stream_beside(stored_as, file).await?;
        let parts: Vec<Bytes> = stream.try_collect().await.map_err(from_io)?;
        Ok(parts.concat().into())
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
        let reader = self.read(stored_as, file).await?;
        let size = reader.size();
        Ok((size, Box::pin(stored::stream(reader, 0..size))))
    }

    /// Removes a container alone, its key first; what lies beside it stays.
    ///
    /// # Errors
    /// [`ContainerError::Absent`] if there is none, or what the disk says.
    pub async fn erase(&self, stored_as: &str) -> Result<(), ContainerError> {
        self.forget(stored_as);
        match &self.place {
            Place::Disk(disk) => disk.erase(stored_as, self.keys.clone()).await,
            Place::Bucket(bucket) => bucket.erase(stored_as).await,
        }
    }

    /// Removes a container and everything beside it; one that is not there is no error.
    ///
    /// # Errors
    /// [`ContainerError`].
    pub async fn delete(&self, stored_as: &str) -> Result<(), ContainerError> {
        self.forget(stored_as);
        match &self.place {
            Place::Disk(disk) => disk.delete(stored_as).await,
            Place::Bucket(bucket) => bucket.delete(stored_as).await,
        }
    }

    /// Moves a container and everything beside it under `orphans`, where nothing finds it but its operator.
    ///
    /// # Errors
    /// [`ContainerError`]; it is then where it was.
    pub async fn put_aside(&self, stored_as: &str) -> Result<(), ContainerError> {
        self.forget(stored_as);
        match &self.place {
            Place::Disk(disk) => disk.put_aside(stored_as).await,
            Place::Bucket(bucket) => bucket.put_aside(stored_as).await,
        }
    }

    /// What was put aside, and when.
    ///
    /// # Errors
    /// [`ContainerError`].
    pub(crate) async fn orphans(&self) -> Result<Vec<(String, SystemTime)>, ContainerError> {
        match &self.place {
            Place::Disk(disk) => disk.aside().await,
            Place::Bucket(bucket) => bucket.aside().await,
        }
    }

    /// Removes what was put aside under this name.
    ///
    /// # Errors
    /// [`ContainerError`].
    pub(crate) async fn drop_aside(&self, name: &str) -> Result<(), ContainerError> {
        match &self.place {
            Place::Disk(disk) => disk.drop_aside(name).await,
            Place::Bucket(bucket) => bucket.drop_aside(name).await,
        }
    }

    /// When a file beside a container was written, or its folder where there is no such file; `None` where there is neither, and
    /// where nobody can say.
    pub(crate) async fn written(&self, stored_as: &str, file: &str) -> Option<SystemTime> {
        match &self.place {
            Place::Disk(disk) => disk.written(stored_as, file).await,
            Place::Bucket(bucket) => bucket.written(stored_as, file).await.unwrap_or_default(),
        }
    }

    /// Whether it was adopted since these were opened, and so may wait for its record.
    pub(crate) fn is_new(&self, stored_as: &str) -> bool {
        let adopted = self.adopted.lock().unwrap_or_else(PoisonError::into_inner);
        // While it is copied it has half a name more.
        let stored_as = stored_as.strip_suffix(HALF).unwrap_or(stored_as);
        adopted.as_ref().is_some_and(|adopted| adopted.contains(stored_as))
    }

    /// What was adopted needs not be kept in mind any more.
    pub(crate) fn settle(&self) {
        self.adopted.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// The names of all that is stored, some at a time.
    pub(crate) fn pages(&self) -> Receiver<Result<Vec<String>, ContainerError>> {
        let (pages, wanted) = channel(1);
        let containers = self.clone();
        tokio::spawn(async move {
            match &containers.place {
                Place::Disk(disk) => disk.pages(PAGE, pages).await,
                Place::Bucket(bucket) => {
                    let _left = pages.send(bucket.names().await).await;
                }
            }
        });
        wanted
    }

    /// The names of all that is stored.
    ///
    /// # Errors
    /// [`ContainerError`].
    pub async fn names(&self) -> Result<Vec<String>, ContainerError> {
        match &self.place {
            Place::Disk(disk) => disk.names().await,
            Place::Bucket(bucket) => bucket.names().await,
        }
    }

    /// Wraps every key that lies in the bucket to the recipients of now; those in the data folder are `keys::rotate`'s. It can run
    /// while relays do, and again after it was cut off.
    ///
    /// # Errors
    /// [`ContainerError`]: the bucket cannot be used, or would bring back what is erased meanwhile.
    pub async fn rewrap(&self, keys: &Keys) -> Result<Rotated, ContainerError> {
        match &self.place {
            Place::Disk(_) => Ok(Rotated::default()),
            Place::Bucket(bucket) => rewrapping::rewrap(bucket, keys).await,
        }
    }

    async fn read(&self, stored_as: &str, file: &str) -> Result<SealedReader<Stored>, ContainerError> {
        let (stored, size) = match &self.place {
            Place::Disk(disk) => disk.open_file(stored_as, file).await?,
            Place::Bucket(bucket) => bucket.open(stored_as, file).await?,
        };
        let data_key = self.data_key(stored_as, key_file(file)).await?;
        let seal = Seal::new(&data_key, bound_to(stored_as), file).map_err(from_io)?;
        Ok(SealedReader::new(stored, seal, size))
    }

    async fn data_key(&self, stored_as: &str, file: &'static str) -> Result<DataKey, ContainerError> {
        let stored_as = checked(stored_as)?.to_owned();
        let entry = (stored_as.clone(), file);
        let known = self.known().get(&entry).cloned();
        if let Some(key) = known {
            return Ok(key);
        }
        let keys = self.keys.clone();
        let key = match &self.place {
            Place::Disk(disk) => {
                let disk = disk.clone();
                with_key(move || disk.data_key(&stored_as, file, &keys)).await?
            }
            Place::Bucket(bucket) => {
                let wrapped = bucket.key(&stored_as, file).await?;
                with_key(move || keys.unwrap(&wrapped)).await?
            }
        };
        let mut known = self.known();
        if known.len() >= KNOWN {
            known.clear();
        }
        known.insert(entry, key.clone());
        Ok(key)
    }

    /// The key of what lies beside a container, made where there is none.
    async fn make_key(&self, stored_as: &str) -> Result<DataKey, ContainerError> {
        let (stored_as, keys) = (checked(stored_as)?.to_owned(), self.keys.clone());
        match &self.place {
            Place::Disk(disk) => {
                let (disk, making) = (disk.clone(), Arc::clone(&self.making));
                with_key(move || {
                    let _one = making.lock().unwrap_or_else(PoisonError::into_inner);
                    disk.make_key(&stored_as, &keys)
                })
                .await
            }
            Place::Bucket(bucket) => {
                let key = with_key(|| Ok(DataKey::generate()?)).await?;
                let made = key.clone();
                let wrapped = tokio::task::spawn_blocking(move || keys.wrap(&made)).await;
                let wrapped = wrapped.map_err(|_| stopped())?.map_err(ContainerError::Key)?;
                if bucket.put_key(&stored_as, wrapped).await? {
                    return Ok(key);
                }
                // Another was first.
                self.data_key(&stored_as, BESIDE_KEY).await
            }
        }
    }

    /// What is moved or erased is not opened from memory.
    fn forget(&self, stored_as: &str) {
        self.known().retain(|(name, _), _| name != stored_as);
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<(String, &'static str), DataKey>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn misplaced() -> ContainerError {
    ContainerError::Store("an upload lies elsewhere than containers do".into())
}

fn stopped() -> ContainerError {
    ContainerError::Store("the disk task stopped".into())
}

/// The name of a file as it lies on the disk.
pub(crate) fn sealed_name(file: &str) -> String {
    format!("{file}.sealed")
}

fn key_file(file: &str) -> &'static str {
    if file == CONTAINER { CONTAINER_KEY } else { BESIDE_KEY }
}

/// What the segments of a container's files are bound to: the id of the upload it was, with which its name ends.
fn bound_to(stored_as: &str) -> &str {
    stored_as.rsplit_once('.').map_or(stored_as, |(_, upload)| upload)
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

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, ContainerError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(from_io),
        Err(_) => Err(stopped()),
    }
}

async fn with_key(
    work: impl FnOnce() -> Result<DataKey, KeysError> + Send + 'static,
) -> Result<DataKey, ContainerError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(key)) => Ok(key),
        Ok(Err(KeysError::Io(error))) => Err(from_io(error)),
        Ok(Err(error)) => Err(ContainerError::Key(error)),
        Err(_) => Err(stopped()),
    }
}

fn from_io(error: io::Error) -> ContainerError {
    match error.kind() {
        _ if full(&error) => ContainerError::Full,
        io::ErrorKind::NotFound => ContainerError::Absent,
        _ => ContainerError::Store(error.to_string()),
    }
}

fn from_store(error: object_store::Error) -> ContainerError {
    if let object_store::Error::NotFound { .. } = error {
        return ContainerError::Absent;
    }
    if let object_store::Error::Generic { store: "S3", .. } = error {
        return ContainerError::Unavailable(error.to_string());
    }
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(error) = cause {
        if error.downcast_ref::<io::Error>().is_some_and(full) {
            return ContainerError::Full;
        }
        cause = error.source();
    }
    ContainerError::Store(error.to_string())
}

#[cfg(test)]
pub(crate) mod tests;
