//! Where what binds the log to the world is kept, beside the trail: in the data folder, or where every relay finds it.

use std::io::{self, Read as _};
use std::path::PathBuf;

use bytes::Bytes;
use formats::trail::{Checkpoint, cosignatures};

use super::{FOLDER, keep_file};
use crate::config::Config;
use crate::objects::{Key, Objects, ObjectsError, to_io};

/// The newest checkpoint that witnesses have cosigned.
pub(super) const WITNESSED: &str = "witnessed";
/// A checkpoint with its signatures is no larger.
const NOTE: u64 = 64 << 10;

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

    async fn note(&self, name: &str) -> io::Result<Bytes> {
        match self {
            Self::Disk(folder) => {
                let path = folder.join(name);
                let read = tokio::task::spawn_blocking(move || {
                    let mut note = Vec::new();
                    std::fs::File::open(path)?.take(NOTE + 1).read_to_end(&mut note)?;
                    Ok::<_, io::Error>(note)
                });
                Ok(read.await.map_err(io::Error::other)??.into())
            }
            Self::Bucket(objects) => objects.whole(&key(name), NOTE).await.map_err(to_io),
        }
    }

    /// The newest checkpoint that witnesses have cosigned; `None` if there is none, or it is not the log's.
    pub async fn witnessed(&self, log_vkey: &str) -> Option<String> {
        let note = self
            .note(WITNESSED)
            .await
            .ok()
            .filter(|note| note.len() as u64 <= NOTE)?;
        let note = String::from_utf8(note.into()).ok()?;
        Checkpoint::verify(&note, log_vkey).ok()?;
        cosignatures(&note, &[]).ok().map(|_| note)
    }
}

fn key(name: &str) -> Key {
    Key::from_iter(std::iter::once(FOLDER).chain(name.split('/')))
}
