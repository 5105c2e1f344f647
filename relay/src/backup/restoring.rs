//! Restoring: everything is brought, held against its digest, compared with the trail, and only then put in place.

use std::fs::File;
use std::io::Write as _;
use std::path::{Component, Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::listing::{self, Entry};
use super::making::KEYS;
use super::{BackupError, Generation, Target, apart};
use crate::check::{self, Place, Report};
use crate::containers::Containers;
use crate::folder::{create_private, private_file};
use crate::keys::Keys;
use crate::log::LogSigner;
use crate::pace::Pace;
use crate::store::FileStore;

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

/// Reads every object of a generation (the newest if `None`) and holds it against its digest. Answers its name and what it is.
///
/// # Errors
/// [`BackupError`] at the first that is missing or damaged.
pub async fn verify(
    target: &Target,
    generation: Option<&str>,
    scratch: &Path,
    pace: &mut Pace<'_>,
) -> Result<(String, Generation), BackupError> {
    let (name, generation) = chosen(target, generation).await?;
    let mut list = listing::bring(target, &generation.listing, &scratch.join("list")).await?;
    while let Some(entry) = list.next()? {
        for object in entry.content.objects() {
            let bytes = target.object(object, &entry.path).await?;
            pace.spend("objects", bytes.len() as u64);
        }
    }
    Ok((name, generation))
}

/// With what a relay signs and what lies at rest is opened.
pub struct Own {
    /// The log's key.
    pub log: LogSigner,
    /// Keys of what lies at rest.
    pub keys: Keys,
}

/// Puts a generation (the newest if `None`) in the place of the data folder `to`, which must be empty or not there.
///
/// # Errors
/// [`BackupError`]; then `to` is as it was. With `despite` a generation that differs from its trail is put in place too.
pub async fn restore(
    target: &Target,
    keys: &Target,
    generation: Option<&str>,
    to: &Path,
    own: Own,
    despite: bool,
    pace: &mut Pace<'_>,
) -> Result<Restored, BackupError> {
    let io = |path: &Path| {
        let path = path.to_path_buf();
        move |error| BackupError::Io(path, error)
    };
    if to.exists() && std::fs::read_dir(to).map_err(io(to))?.next().is_some() {
        return Err(BackupError::NotEmpty(to.into()));
    }
    let (name, generation) = chosen(target, generation).await?;
    let staging = beside(to, "restoring");
    let scratch = beside(to, "scratch");
    for folder in [&staging, &scratch] {
        remove(folder)?;
        create_private(folder).map_err(io(folder))?;
    }
    let mut list = listing::bring(target, &generation.listing, &scratch.join("list")).await?;
    while let Some(entry) = list.next()? {
        bring(target, &entry, &staging, pace).await?;
    }
    for name in keys.keys().await?.into_keys() {
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
        keys: &own.keys,
        scratch: &scratch,
        note: generation.checkpoint.as_deref(),
        live: false,
    };
    let containers = Containers::open(&staging, own.keys.clone())?;
    let compared = check::check(place, &containers, pace).await?;
    if !compared.differences.is_empty() && !despite {
        remove(&staging)?;
        remove(&scratch)?;
        return Err(BackupError::Differs(Box::new(compared)));
    }
    drop(FileStore::rebuild(&staging, own.log, &own.keys)?);
    remove(&scratch)?;
    if to.exists() {
        std::fs::remove_dir(to).map_err(io(to))?;
    }
    std::fs::rename(&staging, to).map_err(io(to))?;
    sync(to)?;
    Ok(Restored {
        name,
        generation,
        compared,
    })
}

async fn chosen(target: &Target, name: Option<&str>) -> Result<(String, Generation), BackupError> {
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
async fn bring(target: &Target, entry: &Entry, staging: &Path, pace: &mut Pace<'_>) -> Result<(), BackupError> {
    let path = inside(staging, &entry.path)?;
    let mut file = create(&path)?;
    let io = |error| BackupError::Io(path.clone(), error);
    let (mut whole, mut size) = (Sha256::new(), 0);
    for object in entry.content.objects() {
        let bytes = target.object(object, &entry.path).await?;
        pace.spend("restoring", bytes.len() as u64);
        whole.update(&bytes);
        size += bytes.len() as u64;
        file.write_all(&bytes).map_err(io)?;
    }
    if size != entry.content.size || hex::encode(whole.finalize()) != entry.content.sha256 {
        return Err(BackupError::Object {
            object: entry.content.sha256.clone(),
            what: "not what its objects make",
            of: entry.path.clone(),
        });
    }
    file.sync_all().map_err(io)?;
    sync(&path)
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
        Err(BackupError::Generation(format!(
            "with a file {name:?}, which leads elsewhere,"
        )))
    }
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

fn beside(to: &Path, suffix: &str) -> PathBuf {
    let mut name = to.as_os_str().to_owned();
    name.push(format!(".{suffix}"));
    name.into()
}

fn remove(folder: &Path) -> Result<(), BackupError> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(BackupError::Io(folder.into(), error)),
        _ => Ok(()),
    }
}
