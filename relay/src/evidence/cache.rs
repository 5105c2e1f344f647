//! Answers kept on disk, so that a restart during an outage forgets nothing: one file each, its key in the first line, the
//! answer after it.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use formats::digest::sha256;

use super::question::Kept;

/// Where they are kept.
#[derive(Debug, Clone)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    /// What was kept, at most `limit` files. Files that are no answer any more are left out and will be replaced.
    pub(super) fn read(&self, limit: usize) -> io::Result<Vec<(String, Kept)>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.0)?.take(limit) {
            let entry = entry?;
            if entry.path().extension().is_none_or(|extension| extension != "kept") {
                continue;
            }
            let fetched = entry.metadata()?.modified()?.into();
            let bytes = fs::read(entry.path())?;
            let mut halves = bytes.splitn(2, |byte| *byte == b'\n');
            let (Some(key), Some(answer)) = (halves.next(), halves.next()) else {
                continue;
            };
            if let Ok(key) = str::from_utf8(key)
                && let Ok(kept) = Kept::read(key, answer.to_vec(), fetched)
            {
                all.push((key.to_owned(), kept));
            }
        }
        // Newest first.
        all.sort_by_key(|(_, kept)| std::cmp::Reverse(kept.fetched));
        Ok(all)
    }

    /// Keeps one, in one step.
    pub(super) fn keep(&self, key: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.path(key, bytes);
        let beside = path.with_extension(format!("{}.new", uuid::Uuid::now_v7().simple()));
        let mut file = fs::File::create(&beside)?;
        file.write_all(key.as_bytes())?;
        file.write_all(b"\n")?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(beside, path)
    }

    /// Keeps it no longer.
    pub(super) fn forget(&self, key: &str, bytes: &[u8]) {
        if let Err(error) = fs::remove_file(self.path(key, bytes))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "an answer that is no longer needed stays on disk");
        }
    }

    fn path(&self, key: &str, bytes: &[u8]) -> PathBuf {
        let short = |bytes: &[u8]| hex::encode(sha256(bytes).get(..12).unwrap_or_default());
        self.0.join(format!("{}-{}.kept", short(key.as_bytes()), short(bytes)))
    }
}
