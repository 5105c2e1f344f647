//! The keys of a backup: those of months and of containers. They lie apart from the generations, each under its path in the data
//! folder, and go with the relay's own: what is erased by its key is erased in every generation.

use std::collections::HashSet;
use std::path::Path;
use std::time::SystemTime;

use bytes::Bytes;

use super::making::{CONTAINERS, KEYS, io, names, temporary};
use super::{BackupError, Target};
use crate::containers::{BESIDE_KEY, CONTAINER_KEY};

/// Whether a file of the data folder, named by its path there, is a key that lies beside what it seals.
pub(super) fn is_key(path: &str) -> bool {
    let file = path.rsplit('/').next().unwrap_or_default();
    path.starts_with(CONTAINERS) && matches!(file, CONTAINER_KEY | BESIDE_KEY)
}

/// The keys a relay has now: paths in its data folder, with `/`. What marks a key as destroyed is one of them.
pub(super) fn keys_below(data: &Path) -> Result<HashSet<String>, BackupError> {
    let mut found = HashSet::new();
    let mut open = vec![KEYS.to_owned(), CONTAINERS.to_owned()];
    while let Some(folder) = open.pop() {
        for name in names(&data.join(&folder))? {
            let path = format!("{folder}/{name}");
            if data.join(&path).is_dir() {
                open.push(path);
            } else if (folder == KEYS && !temporary(&path)) || is_key(&path) {
                found.insert(path);
            }
        }
    }
    Ok(found)
}

/// Copies what the backup does not have, or has of before it was last changed.
pub(super) async fn add(data: &Path, here: &HashSet<String>, keys: &Target) -> Result<(), BackupError> {
    let kept = keys.keys().await?;
    for name in here {
        let path = data.join(name);
        let (found, bytes) = match path.metadata().and_then(|found| Ok((found, std::fs::read(&path)?))) {
            Ok(read) => read,
            // Destroyed meanwhile.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(io(&path)(error)),
        };
        let same = match kept.get(name) {
            // Few, and what erasure of records depends on: read.
            Some(_) if name.starts_with(KEYS) => keys.key(name).await?.as_deref() == Some(&bytes),
            Some(kept) => {
                kept.size == bytes.len() as u64
                    && found
                        .modified()
                        .is_ok_and(|changed| changed < SystemTime::from(kept.last_modified))
            }
            None => false,
        };
        if !same {
            keys.put_key(name, Bytes::from(bytes)).await?;
        }
    }
    Ok(())
}

/// Removes from the backup what the relay has destroyed; answers how many. A container's key that was there before the generation
/// was measured stays until the next run, for this generation speaks of its container.
pub(super) async fn remove(
    before: &HashSet<String>,
    after: &HashSet<String>,
    keys: &Target,
) -> Result<u64, BackupError> {
    let mut removed = 0;
    for name in keys.keys().await?.keys() {
        let stays = after.contains(name) || (is_key(name) && before.contains(name));
        if !stays {
            keys.remove_key(name).await?;
            removed += 1;
        }
    }
    Ok(removed)
}
