//! Backups of a relay that goes on working: several generations in one place, each whole, sharing what they have in common.
//!
//! ```text
//! objects/AB/ABCD…     at most 8 MiB of a file, named by its SHA-256; written once, never changed
//! generations/NAME     one backup: time, checkpoint, and which objects hold its list of files; written last
//! keys/PATH            the keys of months and containers, apart: what a relay says it has destroyed goes with the next run
//! ```
//! A generation is consistent because the trail only grows and everything it names was there before it was named: files are
//! copied, the trail's length is noted, then what is new since is copied too, until nothing that was copied has changed.

mod apart;
mod listing;
mod making;
mod origin;
mod pruning;
mod restoring;
mod shared;
mod target;
mod trail;

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use making::{Made, make};
pub use pruning::{Pruned, prune};
pub use restoring::{Destination, Own, Restored, restore, verify};
pub use target::{Held, Target};

use crate::check::{CheckError, Report};
use crate::containers::ContainerError;
use crate::store::{OpenError, PostgresError, StoreError};
use crate::trail::TrailError;

/// Largest object, bytes.
pub(crate) const PART: usize = 8 << 20;

/// One backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generation {
    /// Always 1.
    pub version: u32,
    /// When it was begun, RFC 3339 UTC.
    pub made: String,
    /// Number of records of its trail.
    pub records: u64,
    /// The signed checkpoint of when it was begun, over at most so many records.
    pub checkpoint: Option<String>,
    /// Number of its files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Its list of files.
    pub(crate) listing: Content,
}

/// A file's content as objects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Content {
    /// Bytes.
    pub(crate) size: u64,
    /// SHA-256 of all of it, hex.
    pub(crate) sha256: String,
    /// SHA-256 of each object, hex, where there is more than one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) parts: Vec<String>,
}

impl Content {
    /// Names of its objects, in order.
    pub(crate) fn objects(&self) -> &[String] {
        match self.parts.as_slice() {
            [] if self.size > 0 => std::slice::from_ref(&self.sha256),
            parts => parts,
        }
    }
}

/// Why there is no backup, or nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The place of the backup.
    #[error("backup at {place}: {what}")]
    Target {
        /// Where.
        place: String,
        /// What it says, and what to do.
        what: String,
    },
    /// What should be immutable is not.
    #[error("{object} is not locked: {what} No generation was written")]
    NotLocked {
        /// Which object.
        object: String,
        /// Why.
        what: String,
    },
    /// An object of the backup is not what its name says, or is not there.
    #[error(
        "backup object {object} is {what}; it holds part of {of}. Use another generation, or another copy of the backup"
    )]
    Object {
        /// Its name.
        object: String,
        /// `missing` or `damaged`.
        what: &'static str,
        /// Which file of the generation.
        of: String,
    },
    /// There is no such generation.
    #[error("there is no generation {0}; `hikyaku-relay backup list` names them")]
    NoGeneration(String),
    /// A generation cannot be read.
    #[error("generation {0} is damaged: it is not what its name says. Use another one")]
    Generation(String),
    /// Files kept changing.
    #[error("files kept being replaced while they were copied, such as {0}: nothing was written; run it again")]
    Restless(String),
    /// The relay lacks keys that it has not destroyed.
    #[error(
        "generation {0} was written, but the relay lacks keys that it has not destroyed: {keys}. The backup has them and no key was \
         removed from it: copy them back now (docs/recovery.md, Keys are lost)",
        keys = .1.iter().cloned().collect::<Vec<_>>().join(", ")
    )]
    KeysLost(String, BTreeSet<String>),
    /// There is something where it should be restored to.
    #[error("{0} is not empty: move it away first; nothing was changed")]
    NotEmpty(PathBuf),
    /// There is something in the bucket where it should be restored to.
    #[error("the bucket of the containers is not empty: name another, or empty it first; nothing was changed")]
    BucketNotEmpty,
    /// The database.
    #[error("the database: {0}")]
    Database(#[from] StoreError),
    /// The database a backup is restored to.
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    /// What was restored does not agree with itself.
    #[error("what the backup holds does not agree with its trail; nothing was put in place")]
    Differs(Box<Report>),
    /// What the system says.
    #[error("{0}: {1}")]
    Io(PathBuf, std::io::Error),
    /// The relay, or the comparison.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// The trail.
    #[error(transparent)]
    Trail(#[from] TrailError),
    /// The restored containers.
    #[error(transparent)]
    Containers(#[from] ContainerError),
    /// The restored store.
    #[error(transparent)]
    Store(#[from] OpenError),
}

#[cfg(test)]
mod tests;
