//! Where what binds the log to the world is kept, beside the trail: in the data folder, or where every relay finds it: the bucket,
//! or the database where relays share no bucket.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use formats::trail::{Checkpoint, cosignatures};

use super::{FOLDER, keep_file};
use crate::config::Config;
use crate::objects::{Key, Objects, ObjectsError, to_io};
use crate::store::Notes;

/// The newest checkpoint that witnesses have cosigned.
pub(super) const WITNESSED: &str = "witnessed";
/// The newest that each witness has cosigned, by its name.
const WITNESSES: &str = "witnesses.json";
/// A checkpoint with its signatures is no larger.
pub(super) const NOTE: u64 = 64 << 10;
/// Nor are those of all witnesses.
const NOTES: u64 = 64 * NOTE;

/// Where it is kept.
#[derive(Clone)]
pub enum Kept {
    /// The folder `log` of the data folder.
    Disk(PathBuf),
    /// The same; what witnesses have cosigned also in the database, where every relay reads it.
    Database(PathBuf, Arc<dyn Notes>),
    /// Below `log` in the bucket.
    Bucket(Objects),
}

impl Kept {
    /// Where a configuration keeps it; `notes` of the database, where there is one.
    ///
    /// # Errors
    /// [`ObjectsError`] where it is a bucket that cannot be used.
    pub fn open(config: &Config, notes: Option<Arc<dyn Notes>>) -> Result<Self, ObjectsError> {
        let folder = || config.data.join(FOLDER);
        Ok(match (&config.containers, notes) {
            (Some(place), _) => Self::Bucket(Objects::open(place)?),
            (None, Some(notes)) => Self::Database(folder(), notes),
            (None, None) => Self::Disk(folder()),
        })
    }

    /// Keeps a file, durably; what was there is replaced whole.
    ///
    /// # Errors
    /// What disk or bucket say.
    pub(super) async fn put(&self, name: &str, bytes: Vec<u8>) -> io::Result<()> {
        match self {
            Self::Disk(folder) | Self::Database(folder, _) => {
                let path = folder.join(name);
                let kept = tokio::task::spawn_blocking(move || keep_file(&path, &bytes)).await;
                kept.map_err(io::Error::other)?
            }
            Self::Bucket(objects) => objects.put(&key(name), bytes.into()).await.map_err(to_io),
        }
    }

    /// Keeps what witnesses have cosigned of so many records.
    async fn put_cosigned(&self, name: &str, size: u64, bytes: Vec<u8>) -> io::Result<()> {
        if let Self::Database(_, notes) = self {
            let (notes, note, content) = (Arc::clone(notes), note_of(name), bytes.clone());
            let kept = tokio::task::spawn_blocking(move || notes.put(&note, size, &content)).await;
            kept.map_err(io::Error::other)?.map_err(io::Error::other)?;
        }
        self.put(name, bytes).await
    }

    async fn read(&self, name: &str, most: u64) -> io::Result<Bytes> {
        if let Self::Database(_, notes) = self {
            let (notes, note) = (Arc::clone(notes), note_of(name));
            let read = tokio::task::spawn_blocking(move || notes.read(&note)).await;
            if let Some(content) = read.map_err(io::Error::other)?.map_err(io::Error::other)? {
                return Ok(content.into());
            }
        }
        match self {
            Self::Disk(folder) | Self::Database(folder, _) => {
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
            Self::Database(..) => format!("the note {} in hikyaku_notes", note_of(WITNESSES)),
            Self::Bucket(_) => format!("{} in the bucket", key(WITNESSES)),
        };
        io::Error::other(format!(
            "{place} holds what each witness has cosigned and cannot be read ({what}): put it back from a backup; if there is none, \
             remove it, and each witness is asked anew"
        ))
    }

    /// Keeps what witnesses have cosigned, of so many records the newest.
    ///
    /// # Errors
    /// What disk, database or bucket say.
    pub(super) async fn put_witnesses(&self, size: u64, by_witness: &BTreeMap<String, String>) -> io::Result<()> {
        let all = serde_json::to_vec(by_witness)?;
        self.put_cosigned(WITNESSES, size, all).await
    }

    /// Keeps the newest checkpoint of all, of so many records.
    ///
    /// # Errors
    /// What disk, database or bucket say.
    pub(super) async fn put_witnessed(&self, size: u64, note: String) -> io::Result<()> {
        self.put_cosigned(WITNESSED, size, note.into_bytes()).await
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk(folder) => f.debug_tuple("Disk").field(folder).finish(),
            Self::Database(folder, _) => f.debug_tuple("Database").field(folder).finish_non_exhaustive(),
            Self::Bucket(objects) => f.debug_tuple("Bucket").field(objects).finish(),
        }
    }
}

/// The note of a file.
fn note_of(name: &str) -> String {
    format!("{FOLDER}/{name}")
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
    use std::sync::Mutex;

    use formats::trail::LogKey;

    use super::*;
    use crate::store::StoreError;

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
        kept.put_witnesses(7, &all).await.unwrap();
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

    /// Notes as a database keeps them.
    #[derive(Default)]
    struct Shared(Mutex<BTreeMap<String, (u64, Vec<u8>)>>);

    impl Notes for Shared {
        fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
            Ok(self.0.lock().unwrap().get(name).map(|(_, content)| content.clone()))
        }

        fn put(&self, name: &str, number: u64, content: &[u8]) -> Result<bool, StoreError> {
            let mut notes = self.0.lock().unwrap();
            let newer = notes.get(name).is_none_or(|(kept, _)| *kept <= number);
            if newer {
                notes.insert(name.to_owned(), (number, content.to_vec()));
            }
            Ok(newer)
        }
    }

    #[tokio::test]
    async fn what_one_relay_keeps_of_witnesses_every_relay_of_the_database_shows() {
        let key = LogKey::from_seed("relay.example/trail", &[5; 32]).unwrap().0;
        let note = |size| key.sign(size, &[7; 32]).unwrap();
        let notes: Arc<dyn Notes> = Arc::new(Shared::default());
        let disks = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let [one, other] = [0, 1].map(|at: usize| {
            let folder = disks[at].path().join(FOLDER);
            std::fs::create_dir_all(&folder).unwrap();
            Kept::Database(folder, Arc::clone(&notes))
        });
        assert_eq!(other.newest_witnessed(key.vkey()).await, None);
        one.put_witnessed(7, note(7)).await.unwrap();
        let by = BTreeMap::from([("w".to_owned(), note(7))]);
        one.put_witnesses(7, &by).await.unwrap();
        for kept in [&one, &other] {
            assert_eq!(kept.newest_witnessed(key.vkey()).await, Some(note(7)));
            assert_eq!(kept.witnessed(key.vkey()).await.unwrap(), [note(7)]);
        }
        // A relay that was slow replaces nothing newer; and on its disk lies what it has seen, for its backup.
        other.put_witnessed(5, note(5)).await.unwrap();
        assert_eq!(one.newest_witnessed(key.vkey()).await, Some(note(7)));
        assert!(disks[0].path().join("log/witnessed").is_file());
        // What a relay kept before there was a database is read until the first round.
        let before = Kept::Database(disks[0].path().join(FOLDER), Arc::new(Shared::default()));
        assert_eq!(before.newest_witnessed(key.vkey()).await, Some(note(7)));
    }
}
