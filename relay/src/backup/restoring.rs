//! Restoring: everything is brought, held against its digest, compared with the trail, and only then put in place.

use std::collections::HashSet;
use std::fs::File;
use std::io::Write as _;
use std::path::{Component, Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::listing::{self, Entry};
use super::making::{KEYS, io};
use super::{BackupError, Generation, Target, apart, shared};
use crate::check::{self, Place, Report};
use crate::containers::Containers;
use crate::folder::{create_private, private_file};
use crate::keys::Keys;
use crate::log::LogSigner;
use crate::pace::Pace;
use crate::store::{FileStore, PostgresAddress, PostgresStore};

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Restored {
    /// Name of the generation.
    pub name: String,
    /// The generation.
    #[serde(flatten)]
    pub generation: Generation,
    /// How trail and files were compared.
    pub compared: Report,
}

/// With what a relay signs and what lies at rest is opened.
pub struct Own {
    /// The log's key.
    pub log: LogSigner,
    /// Keys of what lies at rest.
    pub keys: Keys,
}

/// Where a generation is put.
#[derive(Debug, Clone)]
pub enum Destination {
    /// A data folder, which must be empty or not there.
    Folder(PathBuf),
    /// What relays share: an empty database, and an empty bucket or data folder for the containers.
    Shared {
        /// The database.
        database: Box<PostgresAddress>,
        /// The bucket of the containers; `None`: the data folder.
        bucket: Option<Containers>,
        /// The data folder of this relay.
        data: PathBuf,
    },
}

/// Puts a generation (the newest if `None`) where relays find it. Whether it was made of a data folder or of what relays share makes
/// no difference.
///
/// # Errors
/// [`BackupError`]; then a folder is as it was, and a database counts as empty; so does a bucket, for the next run. With `despite` a
/// generation that differs from its trail is put in place too.
pub async fn restore(
    target: &Target,
    keys: &Target,
    generation: Option<&str>,
    to: &Destination,
    own: Own,
    despite: bool,
    pace: &mut Pace<'_>,
) -> Result<Restored, BackupError> {
    let (folder, carried) = match to {
        Destination::Folder(folder) => (folder, None),
        Destination::Shared { bucket, data, .. } => (data, bucket.as_ref().and_then(Containers::carried)),
    };
    if carried.is_none() && folder.exists() && std::fs::read_dir(folder).map_err(io(folder))?.next().is_some() {
        return Err(BackupError::NotEmpty(folder.into()));
    }
    let (name, generation) = chosen(target, generation).await?;
    if let Destination::Shared { database, .. } = to {
        tokio::task::block_in_place(|| PostgresStore::empty(database, &own.keys))?;
    }
    if let Some(carried) = &carried
        && !carried.begin().await?
    {
        return Err(BackupError::BucketNotEmpty);
    }
    let staging = beside(folder, "restoring");
    let scratch = beside(folder, "scratch");
    for folder in [&staging, &scratch] {
        remove(folder)?;
        create_private(folder).map_err(io(folder))?;
    }
    let mut list = listing::bring(target, &generation.listing, &scratch.join("list")).await?;
    let mut folders = HashSet::new();
    while let Some(entry) = list.next()? {
        match (&carried, entry.path.strip_prefix("containers/")) {
            (Some(carried), Some(path)) => {
                let (folder, file) = path.rsplit_once('/').ok_or_else(|| leads_elsewhere(path))?;
                shared::bring(target, keys, &entry, carried, (folder, file), pace).await?;
                folders.insert(folder.to_owned());
            }
            _ => bring(target, &entry, &staging, pace).await?,
        }
    }
    for name in keys.keys().await?.into_keys() {
        if let (Some(carried), true) = (&carried, apart::is_key(&name)) {
            shared::key(keys, &name, carried, &folders).await?;
            continue;
        }
        let path = inside(&staging, &name)?;
        // The key of a container that came after this generation belongs to nothing in it.
        let wanted = name.starts_with(KEYS) || (apart::is_key(&name) && path.parent().is_some_and(Path::is_dir));
        if wanted && let Some(bytes) = keys.key(&name).await? {
            write(&path, [bytes])?;
        }
    }
    create_private(&staging.join("trail")).map_err(io(&staging))?;
    let place = Place {
        data: &staging,
        vkey: own.log.vkey(),
        shared: None,
        keys: &own.keys,
        scratch: &scratch,
        note: generation.checkpoint.as_deref(),
        live: false,
    };
    let containers = match to {
        Destination::Shared {
            bucket: Some(bucket), ..
        } => bucket.clone(),
        _ => Containers::open(&staging, own.keys.clone())?,
    };
    let compared = check::check(place, &containers, pace).await?;
    if !compared.differences.is_empty() && !despite {
        remove(&staging)?;
        remove(&scratch)?;
        return Err(BackupError::Differs(Box::new(compared)));
    }
    match to {
        Destination::Folder(_) => drop(FileStore::rebuild(&staging, own.log, &own.keys)?),
        Destination::Shared { database, .. } => {
            // Once the database has its trail, who was cut off here cannot run it again: all of the bucket comes before.
            if let Some(carried) = &carried {
                shared::log(&staging, carried).await?;
            }
            shared::load(&staging, database, own).await?;
            if let Some(carried) = &carried {
                carried.end().await?;
            }
            remove(&staging.join("trail"))?;
            remove(&staging.join(KEYS))?;
        }
    }
    remove(&scratch)?;
    match &carried {
        Some(_) => shared::rest(&staging, folder)?,
        None => {
            if folder.exists() {
                std::fs::remove_dir(folder).map_err(io(folder))?;
            }
            std::fs::rename(&staging, folder).map_err(io(folder))?;
        }
    }
    sync(folder)?;
    Ok(Restored {
        name,
        generation,
        compared,
    })
}

pub(super) async fn chosen(target: &Target, name: Option<&str>) -> Result<(String, Generation), BackupError> {
    let name = match name {
        Some(name) => name.to_owned(),
        None => target
            .generations()
            .await?
            .pop()
            .ok_or_else(|| BackupError::NoGeneration("at all".into()))?,
    };
    let generation = target.generation(&name).await?;
    Ok((name, generation))
}

/// Writes a file of the generation, each object and the whole held against their digests.
pub(super) async fn bring(
    target: &Target,
    entry: &Entry,
    staging: &Path,
    pace: &mut Pace<'_>,
) -> Result<(), BackupError> {
    let path = inside(staging, &entry.path)?;
    let mut file = create(&path)?;
    let io = |error| BackupError::Io(path.clone(), error);
    let mut whole = Whole::default();
    for object in entry.content.objects() {
        let bytes = target.object(object, &entry.path).await?;
        pace.spend("restoring", bytes.len() as u64);
        whole.add(&bytes);
        file.write_all(&bytes).map_err(io)?;
    }
    whole.is(entry)?;
    file.sync_all().map_err(io)?;
    sync(&path)
}

/// What a file's objects make.
#[derive(Default)]
pub(super) struct Whole {
    digest: Sha256,
    /// Bytes so far.
    pub(super) size: u64,
}

impl Whole {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.digest.update(bytes);
        self.size += bytes.len() as u64;
    }

    /// Fails if it is not what the list says.
    pub(super) fn is(self, entry: &Entry) -> Result<(), BackupError> {
        if self.size == entry.content.size && hex::encode(self.digest.finalize()) == entry.content.sha256 {
            return Ok(());
        }
        Err(BackupError::Object {
            object: entry.content.sha256.clone(),
            what: "not what its objects make",
            of: entry.path.clone(),
        })
    }
}

fn write(path: &Path, parts: impl IntoIterator<Item = bytes::Bytes>) -> Result<(), BackupError> {
    let io = |error| BackupError::Io(path.into(), error);
    let mut file = create(path)?;
    for part in parts {
        file.write_all(&part).map_err(io)?;
    }
    file.sync_all().map_err(io)?;
    sync(path)
}

fn create(path: &Path) -> Result<File, BackupError> {
    let io = |error| BackupError::Io(path.into(), error);
    create_private(path.parent().unwrap_or(path)).map_err(io)?;
    private_file().write(true).create_new(true).open(path).map_err(io)
}

/// A path that a backup names, below `folder` and nowhere else.
fn inside(folder: &Path, name: &str) -> Result<PathBuf, BackupError> {
    let path = Path::new(name);
    let plain = path.components().all(|part| matches!(part, Component::Normal(_))) && !name.is_empty();
    if plain {
        Ok(folder.join(path))
    } else {
        Err(leads_elsewhere(name))
    }
}

fn leads_elsewhere(name: &str) -> BackupError {
    BackupError::Generation(format!("with a file {name:?}, which leads elsewhere,"))
}

/// Makes the name of a file durable.
fn sync(path: &Path) -> Result<(), BackupError> {
    if !cfg!(unix) {
        return Ok(());
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or_else(|| Path::new("."));
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| BackupError::Io(folder.into(), error))
}

pub(super) fn beside(to: &Path, suffix: &str) -> PathBuf {
    let mut name = to.as_os_str().to_owned();
    name.push(format!(".{suffix}"));
    name.into()
}

pub(super) fn remove(folder: &Path) -> Result<(), BackupError> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(BackupError::Io(folder.into(), error)),
        _ => Ok(()),
    }
}
