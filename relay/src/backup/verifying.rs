//! Verifying: every object against its digest, each once; whether the newest generation has the keys of all it holds; and whether
//! the identities at hand open them.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;

use super::listing::{self, Entry};
use super::making::{CONTAINERS, KEYS};
use super::restoring::{bring, chosen};
use super::{BackupError, Generation, Target};
use crate::containers::{BESIDE_KEY, CONTAINER, CONTAINER_KEY, sealed_name};
use crate::keys::Keys;
use crate::pace::Pace;
use crate::trail::TrailReader;

/// Which generations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which<'a> {
    /// The newest.
    Newest,
    /// That of this name.
    Named(&'a str),
    /// All.
    All,
}

/// What was looked at, all of it whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Generations by their names.
    pub generations: Vec<(String, Generation)>,
    /// Keys that were opened; `None`: without identities.
    pub keys: Option<u64>,
}

/// Errors that are told one by one.
const TOLD: usize = 100;

/// Reads every object of these generations once and holds it against its digest. Of the newest generation also: each sealed file has
/// its key in `keys`, and each month of the trail its key, or what says that it was destroyed. Older ones lack keys rightly. With
/// `identities` every key of the backup is opened.
///
/// # Errors
/// [`BackupError`]: all that is missing or damaged, or does not open.
pub async fn verify(
    target: &Target,
    keys: &Target,
    which: Which<'_>,
    identities: Option<&Keys>,
    scratch: &Path,
    pace: &mut Pace<'_>,
) -> Result<Verified, BackupError> {
    let all = target.generations().await?;
    let names = match which {
        Which::Newest => vec![chosen(target, None).await?.0],
        Which::Named(name) => vec![name.to_owned()],
        Which::All if all.is_empty() => vec![chosen(target, None).await?.0],
        Which::All => all.clone(),
    };
    let (mut generations, mut read, mut wrong) = (Vec::new(), HashSet::new(), Vec::new());
    for name in names {
        let mut looking = Looking {
            target,
            folder: scratch,
            wanted: (all.last() == Some(&name)).then(BTreeSet::new),
            read: &mut read,
            wrong: &mut wrong,
        };
        match looking.generation(&name, pace).await {
            Ok(generation) => {
                let wanted = looking.wanted.take().unwrap_or_default();
                let lacking = lacking(wanted, keys).await?;
                if !lacking.is_empty() {
                    wrong.push(BackupError::KeysMissing(name.clone(), lacking));
                }
                generations.push((name, generation));
            }
            Err(error @ (BackupError::Generation(_) | BackupError::Object { .. })) => wrong.push(error),
            Err(error) => return Err(error),
        }
    }
    let mut opened = None;
    if let Some(identities) = identities {
        let (count, shut) = open(keys, identities, pace).await?;
        if !shut.is_empty() {
            wrong.push(BackupError::KeysShut(shut));
        }
        opened = Some(count);
    }
    match wrong.len() {
        0 => Ok(Verified {
            generations,
            keys: opened,
        }),
        1 => Err(wrong.remove(0)),
        many => {
            wrong.truncate(TOLD);
            Err(BackupError::Several(wrong, many.saturating_sub(TOLD)))
        }
    }
}

/// Keys that are not there, though nothing says that they were destroyed.
async fn lacking(wanted: BTreeSet<String>, keys: &Target) -> Result<BTreeSet<String>, BackupError> {
    let kept = keys.keys().await?;
    let there = |key: &String| {
        let marker = key.strip_suffix(".key").map(|key| format!("{key}.destroyed"));
        kept.contains_key(key) || marker.is_some_and(|marker| kept.contains_key(&marker))
    };
    Ok(wanted.into_iter().filter(|key| !there(key)).collect())
}

/// Opens every key: how many there are, and those that no identity opens.
async fn open(keys: &Target, identities: &Keys, pace: &mut Pace<'_>) -> Result<(u64, BTreeSet<String>), BackupError> {
    let (mut count, mut shut) = (0, BTreeSet::new());
    for name in keys.keys().await?.into_keys().filter(|name| name.ends_with(".key")) {
        let Some(wrapped) = keys.key(&name).await? else {
            continue;
        };
        pace.spend("keys", wrapped.len() as u64);
        count += 1;
        if identities.unwrap(&wrapped).is_err() {
            shut.insert(name);
        }
    }
    Ok((count, shut))
}

/// Going through one generation.
struct Looking<'a> {
    target: &'a Target,
    folder: &'a Path,
    /// Keys it needs, as they are named in a data folder; `None`: it is not asked.
    wanted: Option<BTreeSet<String>>,
    /// Objects that were read.
    read: &'a mut HashSet<String>,
    wrong: &'a mut Vec<BackupError>,
}

impl Looking<'_> {
    async fn generation(&mut self, name: &str, pace: &mut Pace<'_>) -> Result<Generation, BackupError> {
        let generation = self.target.generation(name).await?;
        let mut list = listing::bring(self.target, &generation.listing, &self.folder.join("list")).await?;
        while let Some(entry) = list.next()? {
            let mut good = true;
            for object in entry.content.objects() {
                if !self.read.insert(object.clone()) {
                    continue;
                }
                match self.target.object(object, &entry.path).await {
                    Ok(bytes) => pace.spend("objects", bytes.len() as u64),
                    Err(error @ BackupError::Object { .. }) => {
                        good = false;
                        self.wrong.push(error);
                    }
                    Err(error) => return Err(error),
                }
            }
            if good && let Some(mut wanted) = self.wanted.take() {
                let found = self.keys_of(&entry, &mut wanted, pace).await;
                self.wanted = Some(wanted);
                match found {
                    // Told already, where it was read for another generation.
                    Ok(()) | Err(BackupError::Object { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(generation)
    }

    /// The keys without which a file says nothing.
    async fn keys_of(
        &self,
        entry: &Entry,
        wanted: &mut BTreeSet<String>,
        pace: &mut Pace<'_>,
    ) -> Result<(), BackupError> {
        let Some((folder, file)) = entry.path.rsplit_once('/') else {
            return Ok(());
        };
        if folder.split('/').next() == Some(CONTAINERS) && file.ends_with(&sealed_name("")) {
            let key = match file == sealed_name(CONTAINER) {
                true => CONTAINER_KEY,
                false => BESIDE_KEY,
            };
            wanted.insert(format!("{folder}/{key}"));
        }
        if folder == "trail" && file.ends_with(".seg") {
            // One segment at a time: a trail may be larger than the disk has room for.
            let below = self.folder.join("segment");
            bring(self.target, entry, &below, pace).await?;
            TrailReader::new(&below.join(folder)).replay(0, |record, _| {
                wanted.insert(format!("{KEYS}/{}.key", record.key));
                Ok::<(), BackupError>(())
            })?;
            super::restoring::remove(&below)?;
        }
        Ok(())
    }
}
