//! The keys of a backup: those of months and of containers. They lie apart from the generations, each under its path in the data
//! folder, and go with the relay's own: what is erased by its key is erased in every generation.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;

use bytes::Bytes;
use formats::trail::{Class, Event};
use formats::wire::{SubmissionId, SubmissionState};

use super::making::{CONTAINERS, KEYS, io, names, temporary};
use super::{BackupError, Target};
use crate::check::{CheckError, Place};
use crate::clock;
use crate::containers::{BESIDE_KEY, CONTAINER_KEY};
use crate::intake::REFUSED;
use crate::store::{Replica, ReplicaError};

/// Whether a file of the data folder, named by its path there, is a key that lies beside what it seals.
pub(super) fn is_key(path: &str) -> bool {
    let file = path.rsplit('/').next().unwrap_or_default();
    path.starts_with(CONTAINERS) && matches!(file, CONTAINER_KEY | BESIDE_KEY)
}

/// The keys a relay has now: paths in its data folder, with `/`. What marks a key as destroyed is one of them.
pub(super) fn keys_below(data: &Path) -> Result<HashSet<String>, BackupError> {
    let mut found = HashSet::new();
    let mut open = vec![KEYS.to_owned(), CONTAINERS.to_owned()];
    while let Some(folder) = open.pop() {
        for name in names(&data.join(&folder))? {
            let path = format!("{folder}/{name}");
            if data.join(&path).is_dir() {
                open.push(path);
            } else if (folder == KEYS && !temporary(&path)) || is_key(&path) {
                found.insert(path);
            }
        }
    }
    Ok(found)
}

/// Copies what the backup does not have as it is here. Read, not told by times: the place may have another clock.
pub(super) async fn add(data: &Path, here: &HashSet<String>, keys: &Target) -> Result<(), BackupError> {
    let kept = keys.keys().await?;
    for name in here {
        let path = data.join(name);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            // Destroyed meanwhile.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(io(&path)(error)),
        };
        let same = kept.contains_key(name) && keys.key(name).await?.as_deref() == Some(&bytes);
        if !same {
            keys.put_key(name, Bytes::from(bytes)).await?;
        }
    }
    Ok(())
}

/// What the backup has and the relay has not any more.
#[derive(Debug, Default)]
pub(super) struct Gone {
    /// Destroyed, as the relay says.
    destroyed: Vec<String>,
    /// Missing, though nothing says that it was destroyed.
    pub(super) lost: BTreeSet<String>,
}

/// Finds out what is gone, and why. `newest` is the highest number of records of any generation. A container's key that was there
/// before the generation was measured stays until the next run, for this generation speaks of its container.
pub(super) async fn gone(
    place: Place<'_>,
    before: &HashSet<String>,
    after: &HashSet<String>,
    keys: &Target,
    newest: u64,
) -> Result<Gone, BackupError> {
    let (mut gone, mut open) = (Gone::default(), Vec::new());
    for name in keys.keys().await?.into_keys() {
        if after.contains(&name) || (is_key(&name) && before.contains(&name)) {
            continue;
        }
        if is_key(&name) {
            open.push(name);
        } else if let Some(month) = name.strip_suffix(".key") {
            match after.contains(&format!("{month}.destroyed")) {
                true => gone.destroyed.push(name),
                false => drop(gone.lost.insert(name)),
            }
        }
    }
    // Without every key of the trail nobody can say what it says of containers.
    if !gone.lost.is_empty() || open.is_empty() {
        return Ok(gone);
    }
    let trail = Told::read(place)?;
    for name in open {
        match trail.of(&name, newest)? {
            Fate::Destroyed => gone.destroyed.push(name),
            Fate::Needed => drop(gone.lost.insert(name)),
            Fate::Unknown => {}
        }
    }
    Ok(gone)
}

/// Removes from the backup what the relay has destroyed, unless something is lost; answers how many.
pub(super) async fn remove(gone: &Gone, keys: &Target) -> Result<u64, BackupError> {
    if !gone.lost.is_empty() {
        return Ok(0);
    }
    for name in &gone.destroyed {
        keys.remove_key(name).await?;
    }
    Ok(gone.destroyed.len() as u64)
}

/// What the trail says about a key of a container that is not there.
enum Fate {
    /// What it opened is erased.
    Destroyed,
    /// What it opens should be there.
    Needed,
    /// No record names what it opens: it stays in the backup, which may know a longer trail.
    Unknown,
}

/// What the trail says about containers.
struct Told {
    replica: Replica,
    /// Months of accounts whose key was destroyed.
    months: BTreeSet<String>,
    /// Digests of the reports of refusals.
    refusals: HashSet<String>,
}

impl Told {
    fn read(place: Place<'_>) -> Result<Self, BackupError> {
        let replica = Replica::new(place.data, place.keys, &place.scratch.join("told"));
        let mut told = Self {
            replica: replica.map_err(CheckError::from)?,
            months: BTreeSet::new(),
            refusals: HashSet::new(),
        };
        let (months, refusals) = (&mut told.months, &mut told.refusals);
        let followed = told
            .replica
            .follow(u64::MAX, |applied| match applied.record.map(|record| &record.event) {
                Some(Event::KeyDestroyed { class, month, .. }) if *class == Class::Account => {
                    months.insert(month.clone());
                }
                Some(Event::Refused {
                    report_sha256: Some(digest),
                    ..
                }) => {
                    refusals.insert(digest.clone());
                }
                _ => {}
            });
        match followed {
            Ok(_) => Ok(told),
            Err(ReplicaError::Trail(error)) => Err(error.into()),
            Err(ReplicaError::Store(error)) => Err(CheckError::from(error).into()),
        }
    }

    fn of(&self, key: &str, newest: u64) -> Result<Fate, BackupError> {
        let mut parts = key.rsplit('/');
        let (file, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        // A trail that is shorter than a generation's does not know what that one names.
        let all = self.replica.size() >= newest;
        if let Some(digest) = name.strip_prefix(REFUSED) {
            return Ok(match self.refusals.contains(digest) {
                true => Fate::Needed,
                false if all && !self.months.is_empty() => Fate::Destroyed,
                false => Fate::Unknown,
            });
        }
        let id = name.split('.').next().and_then(|id| id.parse::<SubmissionId>().ok());
        let row = match id {
            Some(id) => self.replica.submission(&id).map_err(CheckError::from)?,
            None => None,
        };
        let aside = parts.next() != Some(CONTAINERS);
        if let Some(row) = row.filter(|row| row.submission.stored_as == name && !aside) {
            let erased = (row.erased.is_some() && file == CONTAINER_KEY) || row.state == SubmissionState::Refused;
            return Ok(if erased { Fate::Destroyed } else { Fate::Needed });
        }
        let newest_erased = self.months.last();
        let over = made(name).is_some_and(|month| newest_erased.is_some_and(|erased| month <= *erased));
        Ok(if all && over { Fate::Destroyed } else { Fate::Unknown })
    }
}

/// The month in which a name was made: it ends with a UUIDv7.
fn made(name: &str) -> Option<String> {
    let id = uuid::Uuid::try_parse(name.rsplit('.').next()?).ok()?;
    let seconds = i64::try_from(id.get_timestamp()?.to_unix().0).ok()?;
    let made = time::OffsetDateTime::from_unix_timestamp(seconds).ok()?;
    clock::rfc3339(made).get(..7).map(ToOwned::to_owned)
}
