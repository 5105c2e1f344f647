//! One run at a time at a place: what one has found there no other removes or replaces before a generation names it.
//!
//! A folder has a file `lock`, which the system lets go with the process. A bucket has an object for each run under `runs`, written
//! again while it works; one that was not for an hour, by the clock of the bucket, is of a run that broke off.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::{Duration, Instant};

use super::{BackupError, Target};
use crate::folder::private_file;

/// A run is told to be alive this often.
const OFTEN: Duration = Duration::from_secs(60);
/// A run that was not told to be alive for so long is none.
const BROKEN_OFF: Duration = Duration::from_secs(3600);

const FOLDER: &str = "lock";

/// Keeps other runs from a place while it is held.
pub(super) struct Alone(Held);

enum Held {
    Folder(#[expect(dead_code, reason = "held, not read")] File),
    Bucket { name: String, written: Instant },
}

impl Alone {
    /// Takes a place for a run that writes or removes.
    ///
    /// # Errors
    /// [`BackupError::Target`] if another run has it; nothing was changed.
    pub(super) async fn at(target: &Target) -> Result<Self, BackupError> {
        let Some(folder) = target.folder() else {
            return Self::in_bucket(target).await;
        };
        let file = private_file()
            .create(true)
            .truncate(false)
            .write(true)
            .open(folder.join(FOLDER));
        let file = file.map_err(|error| target.says(&error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self(Held::Folder(file))),
            Err(TryLockError::WouldBlock) => Err(taken(target)),
            // A share that knows no locks.
            Err(TryLockError::Error(error)) if error.kind() == std::io::ErrorKind::Unsupported => {
                Ok(Self(Held::Folder(file)))
            }
            Err(TryLockError::Error(error)) => Err(target.says(&error)),
        }
    }

    async fn in_bucket(target: &Target) -> Result<Self, BackupError> {
        let name = uuid::Uuid::now_v7().simple().to_string();
        target.put_run(&name).await?;
        // Both times are the bucket's. Of two that begin in the same moment each sees the other, and none goes on.
        let runs = target.runs().await?;
        let own = runs.iter().find(|(run, _)| *run == name).map_or(0, |(_, at)| *at);
        let long = i64::try_from(BROKEN_OFF.as_secs()).unwrap_or(i64::MAX);
        let others = runs.into_iter().filter(|(run, _)| *run != name);
        let (over, working): (Vec<_>, Vec<_>) = others.partition(|(_, at)| at.saturating_add(long) < own);
        if !working.is_empty() {
            target.remove_run(&name).await?;
            return Err(taken(target));
        }
        for (run, _) in over {
            target.remove_run(&run).await?;
        }
        Ok(Self(Held::Bucket {
            name,
            written: Instant::now(),
        }))
    }

    /// Tells that this run goes on.
    ///
    /// # Errors
    /// [`BackupError::Target`]: it stood still for so long that another has taken the place.
    pub(super) async fn goes_on(&mut self, target: &Target) -> Result<(), BackupError> {
        let Held::Bucket { name, written } = &mut self.0 else {
            return Ok(());
        };
        if written.elapsed() < OFTEN {
            return Ok(());
        }
        if !target.has_run(name).await? {
            return Err(taken(target));
        }
        target.put_run(name).await?;
        *written = Instant::now();
        Ok(())
    }

    /// Lets the place go.
    pub(super) async fn end(self, target: &Target) {
        if let Held::Bucket { name, .. } = self.0
            && let Err(error) = target.remove_run(&name).await
        {
            tracing::warn!(%error, "the next run waits an hour");
        }
    }
}

fn taken(target: &Target) -> BackupError {
    let what = match target.folder() {
        Some(_) => "another backup or prune is at work there; nothing was changed",
        None => {
            "another backup or prune is at work there; nothing was changed. One that broke off counts for an hour: remove what lies \
             under runs/ if you know that none works"
        }
    };
    target.says(&std::io::Error::other(what))
}

/// Whether two places are one, so that it is taken once.
pub(super) fn same(one: &Target, other: &Target) -> bool {
    let real = |folder: &Path| folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    match (one.folder(), other.folder()) {
        (Some(one), Some(other)) => real(one) == real(other),
        _ => one.place().trim_end_matches('/') == other.place().trim_end_matches('/'),
    }
}
