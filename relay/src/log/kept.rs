//! Where what binds the log to the world is kept, beside the trail: in the data folder, or where every relay finds it.

use std::collections::BTreeMap;
use std::fmt::Display;
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
    ///
    /// # Errors
    /// What each witness has cosigned is there and cannot be read: what says it, and what to do.
    pub async fn witnessed(&self, log_vkey: &str) -> io::Result<Vec<String>> {
        let mut notes: Vec<String> = self.by_witness(log_vkey).await?.into_values().collect();
        notes.sort_unstable();
        notes.dedup();
        if notes.is_empty() {
            notes.extend(self.newest_witnessed(log_vkey).await);
        }
        Ok(notes)
    }

    /// The same by the witness's name. Where nothing was kept yet there is none.
    ///
    /// # Errors
    /// It is there and cannot be read: what says it, and what to do.
    pub(super) async fn by_witness(&self, log_vkey: &str) -> io::Result<BTreeMap<String, String>> {
        let kept = match self.read(WITNESSES, NOTES).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(error) => return Err(self.unreadable(&error)),
            Ok(kept) if kept.len() as u64 > NOTES => {
                return Err(self.unreadable(&format!("it is larger than {NOTES} bytes")));
            }
            Ok(kept) => kept,
        };
        let mut kept: BTreeMap<String, String> =
            serde_json::from_slice(&kept).map_err(|error| self.unreadable(&error))?;
        kept.retain(|_, note| of_log(note, log_vkey));
        Ok(kept)
    }

    fn unreadable(&self, what: &dyn Display) -> io::Error {
        let place = match self {
            Self::Disk(folder) => folder.join(WITNESSES).display().to_string(),
            Self::Bucket(_) => format!("{} in the bucket", key(WITNESSES)),
        };
        io::Error::other(format!(
            "{place} holds what each witness has cosigned and cannot be read ({what}): put it back from a backup; if there is none, \
             remove it, and each witness is asked anew"
        ))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_cannot_be_read_is_not_taken_for_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::Disk(folder.path().to_owned());
        let key = formats::trail::LogKey::from_seed("relay.example/trail", &[5; 32])
            .unwrap()
            .0;
        let note = key.sign(7, &[7; 32]).unwrap();
        let file = folder.path().join(WITNESSES);
        assert_eq!(kept.by_witness(key.vkey()).await.unwrap(), BTreeMap::new(), "none yet");
        let all = BTreeMap::from([("one".to_owned(), note.clone())]);
        kept.put_witnesses(&all).await.unwrap();
        assert_eq!(kept.by_witness(key.vkey()).await.unwrap(), all);
        assert_eq!(kept.witnessed(key.vkey()).await.unwrap(), [note]);
        let whole = std::fs::read(&file).unwrap();
        for torn in [
            &whole[..whole.len() / 2],
            b"",
            b"[]",
            &[b' '; NOTES as usize + 1],
            b"{\"one\": 7}",
        ] {
            std::fs::write(&file, torn).unwrap();
            let said = kept.by_witness(key.vkey()).await.unwrap_err().to_string();
            assert!(
                said.contains(file.to_str().unwrap()) && said.contains("remove it"),
                "{said}"
            );
            assert!(kept.witnessed(key.vkey()).await.is_err());
        }
        std::fs::remove_file(&file).unwrap();
        std::fs::create_dir(&file).unwrap();
        assert!(kept.by_witness(key.vkey()).await.is_err(), "what the disk says");
        let bucket = Kept::Bucket(Objects::in_memory());
        assert_eq!(bucket.by_witness(key.vkey()).await.unwrap(), BTreeMap::new());
        bucket.put(WITNESSES, b"{".to_vec()).await.unwrap();
        let said = bucket.by_witness(key.vkey()).await.unwrap_err().to_string();
        assert!(said.contains("log/witnesses.json in the bucket"), "{said}");
    }
}
