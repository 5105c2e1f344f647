//! The keys of a backup: those of months and of containers. They lie apart from the generations, each under its path in the data
//! folder, and go with the relay's own: what is erased by its key is erased in every generation.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Deref;
use std::time::{Duration, SystemTime};

use formats::trail::{Class, Event};
use formats::wire::SubmissionId;

use super::making::CONTAINERS;
use super::origin::Origin;
use super::{BackupError, Target};
use crate::check::{CheckError, Place};
use crate::clock;
use crate::containers::{BESIDE_KEY, CONTAINER_KEY};
use crate::intake::REFUSED;
use crate::store::{Replica, ReplicaError};

/// Clocks of a bucket and of the backup differ by less.
const SKEW: Duration = Duration::from_secs(86_400);

/// Keys by path; where they lie in a bucket, with when each was changed last.
#[derive(Default)]
pub(super) struct Keys(pub(super) HashMap<String, Option<SystemTime>>);

impl Deref for Keys {
    type Target = HashMap<String, Option<SystemTime>>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// Whether a file of the data folder, named by its path there, is a key that lies beside what it seals.
pub(super) fn is_key(path: &str) -> bool {
    let file = path.rsplit('/').next().unwrap_or_default();
    path.starts_with(CONTAINERS) && matches!(file, CONTAINER_KEY | BESIDE_KEY)
}

/// Copies what the backup does not have as it is here. Read, not told by times: the place may have another clock. Only where keys lie
/// in a bucket, so that reading each takes long, one that was changed long before it was copied counts as the same.
pub(super) async fn add(origin: &Origin<'_>, here: &Keys, keys: &Target) -> Result<(), BackupError> {
    let kept = keys.keys().await?;
    for (name, changed) in here.iter() {
        let old = kept
            .get(name)
            .is_some_and(|kept| changed.is_some_and(|changed| changed + SKEW < SystemTime::from(kept.last_modified)));
        if old {
            continue;
        }
        // Destroyed meanwhile, it is none.
        let Some(bytes) = origin.key(name).await? else { continue };
        let same = kept.contains_key(name) && keys.key(name).await?.as_deref() == Some(&bytes);
        if !same {
            keys.put_key(name, bytes).await?;
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
    before: &Keys,
    after: &Keys,
    keys: &Target,
    newest: u64,
) -> Result<Gone, BackupError> {
    let (mut gone, mut open) = (Gone::default(), Vec::new());
    for name in keys.keys().await?.into_keys() {
        if after.contains_key(&name) || (is_key(&name) && before.contains_key(&name)) {
            continue;
        }
        if is_key(&name) {
            open.push(name);
        } else if let Some(month) = name.strip_suffix(".key") {
            match after.contains_key(&format!("{month}.destroyed")) {
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
        let scratch = place.scratch.join("told");
        let replica = match place.shared {
            None => Replica::new(place.data, place.keys, &scratch),
            Some(database) => Replica::of_database(database, &scratch),
        };
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
            // One that was refused has a row only while it is held.
            let erased = row.erased.is_some() && file == CONTAINER_KEY;
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
