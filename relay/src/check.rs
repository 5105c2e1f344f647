//! `check`: whether trail, index, containers and what lies beside them still agree, byte for byte; beside a running relay. Trail and
//! index may be files or tables, containers files or objects of a bucket.
//!
//! It reads, at a bounded pace, and changes nothing: the trail is replayed into a scratch folder, its tree is compared with the
//! signed checkpoint, the rows of the relay's index with the rows made from the trail, and each file with the digest that its
//! record states. What the relay does meanwhile is followed, not mistaken for a difference.

mod files;
mod index;
mod trail;

pub(crate) use index::Source;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use crate::containers::{ContainerError, Containers};
use crate::keys::Keys;
use crate::pace::Pace;
use crate::store::{PostgresReader, Replica, ReplicaError, StoreError};
use crate::trail::TrailError;

/// What was compared, and what differs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Records of the trail that were read.
    pub records: u64,
    /// Number of records the signed checkpoint speaks about; `None` where there is no checkpoint.
    pub checkpoint: Option<u64>,
    /// Rows of the index that were compared; `None` where there is no index.
    pub rows: Option<u64>,
    /// Containers and files beside them that were compared.
    pub files: u64,
    /// Bytes read.
    pub bytes: u64,
    /// What differs. Empty: all agrees.
    pub differences: Vec<Difference>,
    /// What is there and belongs to nothing. It harms nothing.
    pub leftovers: Vec<Leftover>,
    /// How far the trail and the place of the containers are apart, where relays share both and they are not of one moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub apart: Option<Apart>,
}

/// Two stores that are not of one moment: one was restored from an older backup than the other, or lost something.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Apart {
    /// Submissions in the trail whose container is not there.
    pub without_container: u64,
    /// Trail position of the first and the last of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub between: Option<(u64, u64)>,
    /// Containers that no record names.
    pub without_record: u64,
}

/// Something that is not what the trail says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What kind.
    pub code: Code,
    /// Which file or folder.
    pub file: PathBuf,
    /// Trail position of the record concerned, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    /// Byte in the file, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// In one sentence.
    pub what: String,
    /// What to do.
    pub remedy: &'static str,
}

/// What kind of difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// A segment file's bytes are not those written.
    TrailDamaged,
    /// Records that were once there are not.
    TrailShort,
    /// Checkpoint and records are not of one tree, or its signature is not the log's.
    Checkpoint,
    /// The index says something else than the trail, or cannot be read.
    Index,
    /// The key of a month's records, of a container or of what lies beside it is not there, and nothing says that it was destroyed.
    KeyMissing,
    /// A container, or what lies beside it, is not there.
    FileMissing,
    /// A container, or what lies beside it, has another digest than its record states, or cannot be read.
    FileChanged,
}

/// Something that belongs to nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Leftover {
    /// Which file or folder.
    pub file: PathBuf,
    /// In one sentence.
    pub what: &'static str,
}

/// Why it could not be checked.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The relay answers no commands, yet holds the trail.
    #[error("{0} is in use, but no relay answers there: is it starting or stopping, or owned by another user?")]
    Silent(PathBuf),
    /// The running relay does not say what it was asked.
    #[error("the running relay: {0}")]
    Relay(String),
    /// What the system says.
    #[error("{0}: {1}")]
    Io(PathBuf, std::io::Error),
    /// The trail's folder.
    #[error(transparent)]
    Trail(TrailError),
    /// The scratch folder.
    #[error("the scratch folder: {0}")]
    Scratch(#[from] StoreError),
    /// The folder of containers.
    #[error(transparent)]
    Containers(#[from] ContainerError),
}

/// Where to look.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The relay's data folder.
    pub data: &'a Path,
    /// The log's public key.
    pub vkey: &'a str,
    /// The database with trail and index; `None`: they lie in the data folder.
    pub shared: Option<&'a Arc<PostgresReader>>,
    /// Keys of what lies at rest.
    pub keys: &'a Keys,
    /// A folder for the replica; about as much room as the index takes.
    pub scratch: &'a Path,
    /// The checkpoint to compare with where there is no index that has one.
    pub note: Option<&'a str>,
    /// Whether a relay may be running there. If not, its index is not looked at, and every file must be there.
    pub live: bool,
}

/// More differences than this are not listed.
const MOST: usize = 10_000;

const RESTORE: &str = "restore this file from a backup (docs/recovery.md)";
const KEY: &str = "copy this key back from the newest backup of the keys (docs/recovery.md, Keys are lost) before the relay stops: without \
                   it the relay does not start, and `rebuild` loses what it opens";
const REBUILD: &str = "stop the relay and run `hikyaku-relay rebuild`";

/// Compares everything.
///
/// # Errors
/// [`CheckError`] if it could not be done; what differs is no error.
pub async fn check(place: Place<'_>, containers: &Containers, pace: &mut Pace<'_>) -> Result<Report, CheckError> {
    let mut report = Report::default();
    let scratch = place.scratch.join("replica");
    let mut replica = match place.shared {
        None => Replica::new(place.data, place.keys, &scratch)?,
        Some(database) => Replica::of_database(database, &scratch)?,
    };
    let source = if place.live {
        Source::open(place, pace)?
    } else {
        Source::Absent
    };
    // Before the trail is read: it has every record that was signed for then.
    let signed = crate::log::remembered(place.data, place.vkey);
    let mut refused = Vec::new();
    trail::compare(place, &source, &mut replica, pace, &mut refused, &mut report)?;
    let keys = keys(place, &replica, &mut report)?;
    if keys {
        index::compare(place, &source, &mut replica, &mut report)?;
    }
    // An index that stands still may lack the newest records, which the next start gives it.
    trail::read(place, None, &mut replica, pace, &mut refused, &mut report)?;
    trail::remembered(place, &signed, &replica, &mut report)?;
    files::refused(containers, refused, &mut report).await?;
    // Where records cannot be read, what belongs to them is not left over.
    let whole = keys && !report.differences.iter().any(|found| found.code == Code::TrailDamaged);
    files::compare(place, containers, &mut replica, whole, pace, &mut report).await?;
    report.bytes = pace.bytes();
    Ok(report)
}

impl Place<'_> {
    /// Trail and index, for people.
    fn trail(&self) -> PathBuf {
        self.shared
            .map_or_else(|| self.data.join("trail"), |_| PathBuf::from("hikyaku_records"))
    }

    fn index(&self) -> PathBuf {
        self.shared
            .map_or_else(|| self.data.join("index"), |_| PathBuf::from("hikyaku_rows"))
    }
}

impl Report {
    fn differs(&mut self, difference: Difference) {
        if self.differences.len() < MOST {
            self.differences.push(difference);
        }
    }
}

/// Whether every month of the trail has its key, or rightly none. Where one is lost, rows and files made from its records are not
/// wrong: the key is what must come back.
fn keys(place: Place<'_>, replica: &Replica, report: &mut Report) -> Result<bool, CheckError> {
    let missing = replica.keys_missing()?;
    for id in &missing {
        let file = match place.shared {
            None => place.data.join("keys").join(format!("{id}.key")),
            Some(_) => PathBuf::from(format!("hikyaku_keys/{id}")),
        };
        report.differs(Difference {
            code: Code::KeyMissing,
            file,
            position: None,
            offset: None,
            what: format!("the key of the records of {id} is not there, and nothing says that it was destroyed"),
            remedy: KEY,
        });
    }
    Ok(missing.is_empty())
}

/// Follows the trail to its end; damage that was told already is not told again.
fn follow(replica: &mut Replica) -> Result<(), CheckError> {
    match replica.follow(u64::MAX, |_| {}) {
        Ok(_) | Err(ReplicaError::Trail(_)) => Ok(()),
        Err(ReplicaError::Store(error)) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests;
