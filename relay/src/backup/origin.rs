//! What a backup is made of: files of the data folder; or, where relays share them, records and keys of the months in a database, and
//! containers in a bucket. All of it is named as in a data folder.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use super::apart::{self, Keys};
use super::making::{CONTAINERS, KEYS, io, names, temporary};
use super::{BackupError, PART};
use crate::check::Place;
use crate::containers::{Carried, CarriedFile, ContainerError, Containers, Pieces};

/// The folder of what binds the log to the world.
const LOG: &str = "log";
/// What came with a generation this relay was restored from.
const RESTORED: &str = "restored-config";
/// What is no state, or belongs to one run of the relay, or is made anew from the rest; keys and trail, which are seen to apart.
const LEFT_OUT: [&str; 8] = [
    "index",
    "uploads",
    "evidence",
    "admin.sock",
    "clock",
    "trail",
    KEYS,
    RESTORED,
];

/// Where it is copied from.
pub(super) struct Origin<'a> {
    pub(super) place: Place<'a>,
    /// The bucket of the containers; `None`: they lie in the data folder.
    carried: Option<Carried>,
}

/// Folders and files that are looked through.
pub(super) enum Root {
    /// On this machine.
    Disk(PathBuf),
    /// Containers in the bucket.
    Containers,
    /// What lies under `log` in the bucket.
    Log,
    /// The trail.
    Trail,
}

/// One file.
pub(super) struct Item {
    /// Bytes, if it is still there.
    pub(super) size: u64,
    /// Another number once it is another file.
    pub(super) version: u64,
    from: From,
}

enum From {
    File(PathBuf, u64),
    Beside(Carried, String, String),
    Log(Carried, String),
}

/// A file being read, part by part.
pub(super) enum Reading {
    File(std::io::Take<File>, PathBuf),
    Pieces(Pieces, Vec<u8>),
}

impl<'a> Origin<'a> {
    pub(super) fn new(place: Place<'a>, containers: Option<&Containers>) -> Self {
        Self {
            place,
            carried: containers.and_then(Containers::carried),
        }
    }

    /// What is looked through, by name.
    pub(super) fn roots(&self) -> Result<Vec<(String, Root)>, BackupError> {
        let mut roots = vec![("trail".to_owned(), Root::Trail)];
        for name in names(self.place.data)? {
            let elsewhere = self.carried.is_some() && [CONTAINERS, LOG].contains(&name.as_str());
            if !LEFT_OUT.contains(&name.as_str()) && !elsewhere {
                roots.push((name.clone(), Root::Disk(self.place.data.join(&name))));
            }
        }
        if self.carried.is_some() {
            roots.extend([(CONTAINERS.to_owned(), Root::Containers), (LOG.to_owned(), Root::Log)]);
        }
        Ok(roots)
    }

    /// Folders below `containers` in the bucket.
    pub(super) async fn folders(&self) -> Result<Vec<String>, BackupError> {
        match &self.carried {
            None => Ok(Vec::new()),
            Some(carried) => Ok(carried.folders().await?),
        }
    }

    /// Files of such a folder, with their paths.
    pub(super) async fn files(&self, folder: &str) -> Result<Vec<(String, Item)>, BackupError> {
        let Some(carried) = &self.carried else {
            return Ok(Vec::new());
        };
        let item = |file: CarriedFile| {
            let path = format!("{CONTAINERS}/{folder}/{}", file.name);
            let from = From::Beside(carried.clone(), folder.to_owned(), file.name);
            (path, Item::of(file.size, file.version, from))
        };
        Ok(carried.files(folder).await?.into_iter().map(item).collect())
    }

    /// Files of the log in the bucket, with their paths.
    pub(super) async fn log(&self) -> Result<Vec<(String, Item)>, BackupError> {
        let Some(carried) = &self.carried else {
            return Ok(Vec::new());
        };
        let item = |file: CarriedFile| {
            let path = format!("{LOG}/{}", file.name);
            (
                path,
                Item::of(file.size, file.version, From::Log(carried.clone(), file.name)),
            )
        };
        Ok(carried.log().await?.into_iter().map(item).collect())
    }

    /// The keys there are now, by their paths. What marks a key as destroyed
    /// is one of them.
    pub(super) async fn keys(&self) -> Result<Keys, BackupError> {
        let mut found = HashMap::new();
        match self.place.shared {
            None => below(self.place.data, KEYS, &mut found)?,
            Some(database) => {
                for (id, wrapped) in database.wrapped()? {
                    let ending = if wrapped.is_empty() { "destroyed" } else { "key" };
                    found.insert(format!("{KEYS}/{id}.{ending}"), None);
                }
            }
        }
        match &self.carried {
            None => below(self.place.data, CONTAINERS, &mut found)?,
            Some(carried) => found.extend(carried.keys().await?.into_iter().map(|(key, at)| (key, Some(at)))),
        }
        Ok(Keys(found))
    }

    /// One of them; `None` if it is gone.
    pub(super) async fn key(&self, path: &str) -> Result<Option<Bytes>, BackupError> {
        let month = path.strip_prefix(KEYS).and_then(|rest| rest.strip_prefix('/'));
        if let (Some(name), Some(database)) = (month, self.place.shared) {
            let found = database.wrapped()?.into_iter().find_map(|(id, wrapped)| {
                let ending = if wrapped.is_empty() { "destroyed" } else { "key" };
                (name == format!("{id}.{ending}")).then_some(wrapped)
            });
            return Ok(found.map(Bytes::from));
        }
        if let (None, Some(carried)) = (month, &self.carried) {
            return Ok(carried.key(path).await?);
        }
        let path = self.place.data.join(path);
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes.into())),
            // Destroyed meanwhile.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io(&path)(error)),
        }
    }
}

/// The keys in files below a folder.
fn below(data: &Path, top: &str, found: &mut HashMap<String, Option<SystemTime>>) -> Result<(), BackupError> {
    let mut open = vec![top.to_owned()];
    while let Some(folder) = open.pop() {
        for name in names(&data.join(&folder))? {
            let path = format!("{folder}/{name}");
            match data.join(&path).metadata() {
                Ok(meta) if meta.is_dir() => open.push(path),
                Ok(_) if (folder == KEYS && !temporary(&path)) || apart::is_key(&path) => {
                    found.insert(path, None);
                }
                // Not a key, or destroyed meanwhile.
                _ => {}
            }
        }
    }
    Ok(())
}

impl Item {
    fn of(size: u64, version: u64, from: From) -> Self {
        Self { size, version, from }
    }

    /// A file on this machine, up to `length` where that is given; `None` if there is none.
    pub(super) fn file(path: &Path, length: Option<u64>) -> Result<Option<Self>, BackupError> {
        let found = match path.metadata() {
            Ok(found) if found.is_file() => found,
            Ok(_) => return Ok(None),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io(path)(error)),
        };
        let since = found
            .modified()
            .ok()
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let modified = since.and_then(|since| u64::try_from(since.as_nanos()).ok());
        let size = length.unwrap_or(found.len());
        let from = From::File(path.into(), length.unwrap_or(u64::MAX));
        Ok(Some(Self::of(size, modified.unwrap_or(0), from)))
    }

    /// Opens it; `None` if it is gone.
    pub(super) async fn open(&self) -> Result<Option<Reading>, BackupError> {
        let pieces = match &self.from {
            From::File(path, length) => {
                return match File::open(path) {
                    Ok(file) => Ok(Some(Reading::File(file.take(*length), path.clone()))),
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                    Err(error) => Err(io(path)(error)),
                };
            }
            From::Beside(carried, folder, file) => carried.open(folder, file).await,
            From::Log(carried, path) => carried.open_log(path).await,
        };
        match pieces {
            Err(ContainerError::Absent) => Ok(None),
            pieces => Ok(Some(Reading::Pieces(pieces?, Vec::new()))),
        }
    }
}

impl Reading {
    /// The next [`PART`] bytes; fewer at the end, and none behind it. `None`: it went away while it was read.
    pub(super) async fn part(&mut self) -> Result<Option<Vec<u8>>, BackupError> {
        match self {
            Self::File(file, path) => {
                let mut part = Vec::new();
                file.by_ref()
                    .take(PART as u64)
                    .read_to_end(&mut part)
                    .map_err(io(path))?;
                Ok(Some(part))
            }
            Self::Pieces(pieces, waiting) => {
                while waiting.len() < PART {
                    match pieces.next().await {
                        Err(ContainerError::Absent) => return Ok(None),
                        Ok(None) => break,
                        piece => waiting.extend_from_slice(&piece?.unwrap_or_default()),
                    }
                }
                let rest = waiting.split_off(PART.min(waiting.len()));
                Ok(Some(std::mem::replace(waiting, rest)))
            }
        }
    }
}
