//! Where what binds the log to the world is kept, beside the trail: in the data folder, or where every relay finds it.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::PathBuf;

use bytes::Bytes;
use formats::trail::{Checkpoint, cosignatures};

use super::{FOLDER, keep_file};
use crate::config::Config;
use crate::objects::{Key, Objects, ObjectsError, to_io};

/// The newest checkpoint that witnesses have cosigned.
pub(super) const WITNESSED: &str = "witnessed";
/// The newest that each witness has cosigned, by its name.
const WITNESSES: &str = "witnesses.json";
/// A checkpoint with its signatures is no larger.
pub(super) const NOTE: u64 = 64 << 10;
/// Nor are those of all witnesses.
const NOTES: u64 = 64 * NOTE;

/// Where it is kept.
#[derive(Debug, Clone)]
pub enum Kept {
    /// The folder `log` of the data folder.
    Disk(PathBuf),
    /// Below `log` in the bucket.
    Bucket(Objects),
}

impl Kept {
    /// Where a configuration keeps it.
    ///
    /// # Errors
    /// [`ObjectsError`] where it is a bucket that cannot be used.
    pub fn open(config: &Config) -> Result<Self, ObjectsError> {
        Ok(match &config.containers {
            None => Self::Disk(config.data.join(FOLDER)),
            Some(place) => Self::Bucket(Objects::open(place)?),
        })
    }

    /// Keeps a file, durably; what was there is replaced whole.
    ///
    /// # Errors
    /// What disk or bucket say.
    pub(super) async fn put(&self, name: &str, bytes: Vec<u8>) -> io::Result<()> {
        match self {
            Self::Disk(folder) => {
                let path = folder.join(name);
                let kept = tokio::task::spawn_blocking(move || keep_file(&path, &bytes)).await;
                kept.map_err(io::Error::other)?
            }
            Self::Bucket(objects) => objects.put(&key(name), bytes.into()).await.map_err(to_io),
        }
    }

    async fn read(&self, name: &str, most: u64) -> io::Result<Bytes> {
        match self {
            Self::Disk(folder) => {
                let path = folder.join(name);
                let read = tokio::task::spawn_blocking(move || {
                    let mut note = Vec::new();
                    std::fs::File::open(path)?.take(most + 1).read_to_end(&mut note)?;
                    Ok::<_, io::Error>(note)
                });
                Ok(read.await.map_err(io::Error::other)??.into())
            }
            Self::Bucket(objects) => objects.whole(&key(name), most).await.map_err(to_io),
        }
    }

    /// The newest checkpoint that witnesses have cosigned; `None` if there is none, or it is not the log's.
    pub async fn newest_witnessed(&self, log_vkey: &str) -> Option<String> {
        let note = self.read(WITNESSED, NOTE).await.ok();
        let note = note.filter(|note| note.len() as u64 <= NOTE)?;
        let note = String::from_utf8(note.into()).ok()?;
        of_log(&note, log_vkey).then_some(note)
    }

    /// Of each witness the newest checkpoint that it has cosigned, each once.
    pub async fn witnessed(&self, log_vkey: &str) -> Vec<String> {
        let mut notes: Vec<String> = self.by_witness(log_vkey).await.into_values().collect();
        notes.sort_unstable();
        notes.dedup();
        if notes.is_empty() {
            notes.extend(self.newest_witnessed(log_vkey).await);
        }
        notes
    }

    /// The same by the witness's name.
    pub(super) async fn by_witness(&self, log_vkey: &str) -> BTreeMap<String, String> {
        let read = self.read(WITNESSES, NOTES).await.ok();
        let kept = read.filter(|kept| kept.len() as u64 <= NOTES);
        let kept = kept.and_then(|kept| serde_json::from_slice::<BTreeMap<String, String>>(&kept).ok());
        let mut kept = kept.unwrap_or_default();
        kept.retain(|_, note| of_log(note, log_vkey));
        kept
    }

    /// Keeps what witnesses have cosigned.
    ///
    /// # Errors
    /// What disk or bucket say.
    pub(super) async fn put_witnesses(&self, by_witness: &BTreeMap<String, String>) -> io::Result<()> {
        self.put(WITNESSES, serde_json::to_vec(by_witness)?).await
    }
}

/// Whether a note is a checkpoint of the log, and well-formed with all its lines.
fn of_log(note: &str, log_vkey: &str) -> bool {
    Checkpoint::verify(note, log_vkey).is_ok() && cosignatures(note, &[]).is_ok()
}

fn key(name: &str) -> Key {
    Key::from_iter(std::iter::once(FOLDER).chain(name.split('/')))
}
