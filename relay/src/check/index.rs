//! The index: each row of the relay's own beside the row made from the trail.
//!
//! A running relay goes on while its rows are read. A row counts as different only if what the relay says was true at no
//! moment between a look at the trail before the question and one after the answer.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use formats::digest::sha256;

use super::{CheckError, Code, Difference, MOST, Place, REBUILD, Report, follow};
use crate::pace::{Pace, STEP};
use crate::store::{IndexCopy, PostgresReader, Replica, ReplicaError, Row};
use crate::trail::{Still, TrailError, TrailReader};

/// Rows asked for at once.
const PAGE: usize = 500;
/// How often a row that differs is asked for again before it is told.
const ROUNDS: usize = 5;

/// Where the relay's own index is read.
pub(crate) enum Source {
    /// From the running relay, by its socket.
    Running(PathBuf),
    /// From a copy of its files, while no relay runs.
    Stopped(IndexCopy, #[expect(dead_code, reason = "held, not read")] Still),
    /// There is one that cannot be read.
    Unreadable(String, #[expect(dead_code, reason = "held, not read")] Still),
    /// In the database, beside relays that may be running.
    Database(Arc<PostgresReader>),
    /// There is none.
    Absent,
}

impl Source {
    /// Finds out whether a relay runs; if none does, keeps it from starting meanwhile.
    pub(crate) fn open(place: Place<'_>, pace: &mut Pace<'_>) -> Result<Self, CheckError> {
        if let Some(database) = place.shared {
            return Ok(Self::Database(Arc::clone(database)));
        }
        let socket = place.data.join("admin.sock");
        #[cfg(unix)]
        if std::os::unix::net::UnixStream::connect(&socket).is_ok() {
            return Ok(Self::Running(socket));
        }
        let still = match TrailReader::new(&place.data.join("trail")).still() {
            Ok(still) => still,
            Err(TrailError::Locked(folder)) => return Err(CheckError::Silent(folder)),
            Err(error) => return Err(CheckError::Trail(error)),
        };
        let (index, copy) = (place.data.join("index"), place.scratch.join("index"));
        if !index.exists() {
            return Ok(Self::Absent);
        }
        // sled writes when it opens: it is given a copy.
        copy_folder(&index, &copy, pace)?;
        match IndexCopy::open(place.data, place.keys, &copy) {
            Ok(index) => Ok(Self::Stopped(index, still)),
            Err(error) => Ok(Self::Unreadable(error.to_string(), still)),
        }
    }

    /// The newest signed checkpoint it knows.
    pub(crate) fn checkpoint(&self) -> Result<Option<String>, CheckError> {
        match self {
            Self::Running(socket) => {
                let answer = crate::admin::question(socket, &crate::admin::Command::Checkpoint {})?;
                Ok(answer["checkpoint"].as_str().map(ToOwned::to_owned))
            }
            Self::Stopped(index, _) => Ok(index.checkpoint().unwrap_or_default()),
            Self::Database(database) => Ok(database.checkpoint()?),
            Self::Unreadable(..) | Self::Absent => Ok(None),
        }
    }

    /// How far an index that stands still has come.
    pub(super) fn applied(&self) -> Result<Option<u64>, CheckError> {
        match self {
            Self::Stopped(index, _) => Ok(Some(index.applied()?)),
            Self::Running(_) | Self::Database(_) | Self::Unreadable(..) | Self::Absent => Ok(None),
        }
    }

    fn rows(&self, from: &[u8], limit: usize) -> Result<Vec<Said>, CheckError> {
        let rows = match self {
            Self::Running(socket) => {
                let (from, limit) = (hex::encode(from), limit as u64);
                let answer = crate::admin::question(socket, &crate::admin::Command::IndexDigests { from, limit })?;
                return serde_json::from_value::<Vec<(String, String)>>(answer)
                    .ok()
                    .and_then(|rows| rows.into_iter().map(said).collect())
                    .ok_or_else(|| CheckError::Relay("its rows cannot be read".into()));
            }
            Self::Stopped(index, _) => index.rows(from, limit)?,
            Self::Database(database) => database.rows(from, limit)?,
            Self::Unreadable(..) | Self::Absent => Vec::new(),
        };
        Ok(rows.into_iter().map(Said::of).collect())
    }

    fn value(&self, key: &[u8]) -> Result<Option<[u8; 32]>, CheckError> {
        let found = self.rows(key, 1)?.into_iter().next();
        Ok(found.filter(|row| row.key == key).map(|row| row.value))
    }
}

/// A row as it is compared: what it says never leaves the relay that is asked.
struct Said {
    key: Vec<u8>,
    /// SHA-256 of its value.
    value: [u8; 32],
}

impl Said {
    fn of(row: Row) -> Self {
        Self {
            key: row.key,
            value: sha256(&row.value),
        }
    }
}

fn said((key, value): (String, String)) -> Option<Said> {
    Some(Said {
        key: hex::decode(key).ok()?,
        value: hex::decode(value).ok()?.try_into().ok()?,
    })
}

/// Compares all rows.
pub(super) fn compare(
    place: Place<'_>,
    source: &Source,
    replica: &mut Replica,
    report: &mut Report,
) -> Result<(), CheckError> {
    match source {
        Source::Absent => return Ok(()),
        Source::Unreadable(why, _) => {
            report.differs(told(place, format!("the index cannot be read: {why}"), None));
            return Ok(());
        }
        Source::Running(_) | Source::Stopped(..) | Source::Database(_) => {}
    }
    // Behind damage there is nothing to compare the rows with.
    if report
        .differences
        .iter()
        .any(|found| found.code == Code::TrailDamaged || found.code == Code::TrailShort)
    {
        return Ok(());
    }
    let mut suspects = Vec::new();
    report.rows = Some(walk(source, replica, &mut suspects)?);
    let differing = confirm(source, replica, suspects)?;
    let many = differing.len();
    for (key, both) in differing.into_iter().take(100) {
        let what = match (both.ours, both.theirs) {
            (Some(_), None) => "lacks the row",
            (None, Some(_)) => "has a row the trail does not know:",
            _ => "has another value in the row",
        };
        report.differs(told(place, format!("the index {what} {}", shown(&key)), position(&key)));
    }
    if many > 100 {
        report.differs(told(place, format!("{many} rows of the index differ or more"), None));
    }
    Ok(())
}

fn told(place: Place<'_>, what: String, position: Option<u64>) -> Difference {
    Difference {
        code: Code::Index,
        file: place.index(),
        position,
        offset: None,
        what,
        remedy: REBUILD,
    }
}

/// A key as it can be read: its letter, and the rest with bytes that are no text escaped. Keys hold no patient.
fn shown(key: &[u8]) -> String {
    key.escape_ascii().to_string()
}

/// The trail position at the end of the keys that have one.
fn position(key: &[u8]) -> Option<u64> {
    let numbered = matches!(key.first(), Some(b'l' | b'i' | b'r' | b'a'));
    let last = key.last_chunk::<8>().filter(|_| numbered)?;
    Some(u64::from_be_bytes(*last))
}

/// Goes through both in the order of keys; answers how many rows the relay has, and remembers keys whose values differ.
fn walk(source: &Source, replica: &Replica, suspects: &mut Vec<Vec<u8>>) -> Result<u64, CheckError> {
    let (mut count, mut from) = (0, Vec::new());
    loop {
        let theirs = source.rows(&from, PAGE)?;
        count += theirs.len() as u64;
        let end = theirs
            .last()
            .filter(|_| theirs.len() == PAGE)
            .map(|row| row.key.clone());
        let mut theirs: BTreeMap<Vec<u8>, [u8; 32]> = theirs.into_iter().map(|row| (row.key, row.value)).collect();
        // Of our rows those up to the last of theirs, page by page.
        let mut ours_from = from.clone();
        loop {
            let ours = replica.rows(&ours_from, PAGE)?;
            let Some(last) = ours.last() else { break };
            ours_from = after(&last.key);
            let beyond = end.as_ref().is_some_and(|end| last.key >= *end) || ours.len() < PAGE;
            for row in ours {
                if end.as_ref().is_some_and(|end| row.key > *end) {
                    break;
                }
                if theirs.remove(&row.key) != Some(sha256(&row.value)) {
                    suspects.push(row.key);
                }
            }
            if beyond {
                break;
            }
        }
        suspects.extend(theirs.into_keys());
        suspects.retain(|key| !Replica::is_apart(key));
        match end {
            Some(end) if suspects.len() < MOST => from = after(&end),
            _ => return Ok(count),
        }
    }
}

fn after(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

/// What both say of one key, by its SHA-256.
#[derive(Default)]
struct Values {
    ours: Option<[u8; 32]>,
    theirs: Option<[u8; 32]>,
}

/// Asks again for what differs, until it was seen to agree.
fn confirm(
    source: &Source,
    replica: &mut Replica,
    suspects: Vec<Vec<u8>>,
) -> Result<BTreeMap<Vec<u8>, Values>, CheckError> {
    let running = matches!(source, Source::Running(_) | Source::Database(_));
    let mut open: BTreeMap<Vec<u8>, Values> = suspects.into_iter().map(|key| (key, Values::default())).collect();
    for round in 0..ROUNDS {
        if running && round > 0 && !open.is_empty() {
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        if running {
            follow(replica)?;
        }
        let mut agreed = Vec::new();
        for (key, values) in &mut open {
            *values = Values {
                ours: replica.value(key)?.map(|value| sha256(&value)),
                theirs: source.value(key)?,
            };
            if values.ours == values.theirs {
                agreed.push(key.clone());
            }
        }
        if running {
            let caught_up = replica.follow(u64::MAX, |applied| {
                for (key, value) in applied.rows() {
                    if open.get(key).is_some_and(|both| both.theirs == value.map(sha256)) {
                        agreed.push(key.to_vec());
                    }
                }
            });
            match caught_up {
                Ok(_) | Err(ReplicaError::Trail(_)) => {}
                Err(ReplicaError::Store(error)) => return Err(error.into()),
            }
        }
        for key in agreed {
            open.remove(&key);
        }
    }
    Ok(open)
}

pub(super) fn copy_folder(from: &Path, to: &Path, pace: &mut Pace<'_>) -> Result<(), CheckError> {
    use std::io::{Read as _, Write as _};
    let io = |path: &Path| {
        let path = path.to_path_buf();
        move |error| CheckError::Io(path, error)
    };
    crate::folder::create_private(to).map_err(io(to))?;
    for entry in std::fs::read_dir(from).map_err(io(from))? {
        let entry = entry.map_err(io(from))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().map_err(io(&source))?.is_dir() {
            copy_folder(&source, &target, pace)?;
            continue;
        }
        let mut reading = std::fs::File::open(&source).map_err(io(&source))?;
        let mut writing = std::fs::File::create(&target).map_err(io(&target))?;
        let mut part = vec![0; STEP];
        loop {
            let count = reading.read(&mut part).map_err(io(&source))?;
            let Some(read) = part.get(..count).filter(|read| !read.is_empty()) else {
                break;
            };
            writing.write_all(read).map_err(io(&target))?;
            pace.spend("index", count as u64);
        }
    }
    Ok(())
}
