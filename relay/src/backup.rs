//! Backups of a relay that goes on working: several generations in one place, each whole, sharing what they have in common.
//!
//! ```text
//! objects/AB/ABCD…     at most 8 MiB of a file, named by its SHA-256; written once, never changed
//! generations/NAME     one backup: time, checkpoint, and which objects hold its list of files; written last
//! keys/PATH            the keys of months and containers, apart: what a relay says it has destroyed goes with the next run
//! lock, runs/ID        who is at work there
//! ```
//! A generation is consistent because the trail only grows and everything it names was there before it was named: files are
//! copied, the trail's length is noted, then what is new since is copied too, until nothing that was copied has changed.

mod alone;
mod apart;
mod listing;
mod making;
mod origin;
mod pruning;
mod restoring;
mod shared;
mod target;
mod trail;
mod verifying;

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use making::{How, Made, make};
pub use pruning::{Pruned, prune};
pub use restoring::{Destination, Own, Restored, restore};
pub use target::{Held, Target};
pub use verifying::{Verified, Which, verify};

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
        "backup object {object} is {what}; it holds part of {of}. While the relay has that file, `hikyaku-relay backup --full` writes \
         it anew; else use another generation, or another copy of the backup"
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
        keys = named(.1)
    )]
    KeysLost(String, BTreeSet<String>),
    /// The trail has fewer records than it had.
    #[error(
        "the trail ends after {records} records, and {known} were there before, says {by}: it was cut off, or restored from an older \
         backup. No generation was made; `hikyaku-relay check` says more (docs/recovery.md, The trail is damaged). After an older \
         generation was restored on purpose: `backup --shorter-trail`, once"
    )]
    TrailShort {
        /// In the trail, to the end of its last whole group.
        records: u64,
        /// There were once.
        known: u64,
        /// Who says so.
        by: String,
    },
    /// Files that never change in place are not what they were when they were copied.
    #[error(
        "generation {0} was written, with these files as an earlier one has them: they are something else now, though nothing has \
         written to them: {files}. `hikyaku-relay check` says whether they are damaged here. If they are not, the earlier copy is: \
         `touch` them and run it again",
        files = named(.1)
    )]
    Rotten(String, BTreeSet<String>),
    /// The backup lacks keys of what its newest generation holds.
    #[error(
        "generation {0} cannot be opened whole: the backup lacks {keys}. Run `hikyaku-relay backup` while the relay has them; where \
         keys are kept elsewhere, name that place with --keys-from",
        keys = named(.1)
    )]
    KeysMissing(String, BTreeSet<String>),
    /// Keys of the backup do not open.
    #[error(
        "no identity of this configuration opens these keys of the backup, or they are damaged: {keys}. Run `hikyaku-relay backup` \
         while the relay has them, or name the identity they were sealed to in keys.identities",
        keys = named(.0)
    )]
    KeysShut(BTreeSet<String>),
    /// More than one of these, and how many more that are not told.
    #[error("{}{}", lines(.0), more(*.1))]
    Several(Vec<BackupError>, usize),
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

/// Names on a line: some of them, and how many more.
fn named(names: &BTreeSet<String>) -> String {
    const TOLD: usize = 20;
    let told: Vec<&str> = names.iter().take(TOLD).map(String::as_str).collect();
    match names.len().saturating_sub(TOLD) {
        0 => told.join(", "),
        more => format!("{}, and {more} more", told.join(", ")),
    }
}

fn lines(errors: &[BackupError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn more(count: usize) -> String {
    match count {
        0 => String::new(),
        count => format!("\nand {count} more"),
    }
}

#[cfg(test)]
mod tests;
