//! Restoring to what relays share: containers go straight into the bucket; trail, keys of months and what is small are staged on this
//! machine, compared with them, and only then put into the database.

use std::collections::HashSet;
use std::path::Path;

use super::listing::Entry;
use super::making::{KEYS, io, names};
use super::restoring::{Own, Whole, remove};
use super::{BackupError, Target};
use crate::containers::{BESIDE_KEY, CONTAINER, CONTAINER_KEY, Carried, LONGEST, sealed_name};
use crate::pace::Pace;
use crate::store::{PostgresAddress, PostgresStore};
use crate::trail::TrailReader;

/// Brings a file of `containers` into the bucket, each object and the whole held against their digests.
pub(super) async fn bring(
    target: &Target,
    keys: &Target,
    entry: &Entry,
    carried: &Carried,
    (folder, file): (&str, &str),
    pace: &mut Pace<'_>,
) -> Result<(), BackupError> {
    let mut whole = Whole::default();
    if file == sealed_name(CONTAINER) {
        // Without its key, which was destroyed, there is no container.
        let Some(key) = keys.key(&format!("containers/{folder}/{CONTAINER_KEY}")).await? else {
            return Ok(());
        };
        let mut filling = carried.fill(folder, entry.content.size)?;
        for object in entry.content.objects() {
            let bytes = target.object(object, &entry.path).await?;
            pace.spend("restoring", bytes.len() as u64);
            whole.add(&bytes);
            filling.add(&bytes).await?;
        }
        whole.is(entry)?;
        return Ok(filling.end(key).await?);
    }
    // It is gathered whole: no more of it is read than any such file has, and than its list says.
    if entry.content.size > LONGEST {
        return Err(BackupError::Object {
            object: entry.content.sha256.clone(),
            what: "larger than any file beside a container",
            of: entry.path.clone(),
        });
    }
    let mut content = Vec::new();
    for object in entry.content.objects() {
        let bytes = target.object(object, &entry.path).await?;
        pace.spend("restoring", bytes.len() as u64);
        whole.add(&bytes);
        if whole.size > entry.content.size {
            break;
        }
        content.extend_from_slice(&bytes);
    }
    whole.is(entry)?;
    Ok(carried.put(folder, file, content.into()).await?)
}

/// Brings a key of what lies beside a container; that of the container lies in its list.
pub(super) async fn key(
    keys: &Target,
    path: &str,
    carried: &Carried,
    folders: &HashSet<String>,
) -> Result<(), BackupError> {
    let split = path.strip_prefix("containers/").and_then(|path| path.rsplit_once('/'));
    // The key of a container that came after this generation belongs to nothing in it.
    if let Some((folder, BESIDE_KEY)) = split
        && folders.contains(folder)
        && let Some(bytes) = keys.key(path).await?
    {
        carried.put(folder, BESIDE_KEY, bytes).await?;
    }
    Ok(())
}

/// Puts staged trail and keys of months into the database.
pub(super) async fn load(staging: &Path, database: &PostgresAddress, own: Own) -> Result<(), BackupError> {
    let mut wrapped = Vec::new();
    for name in names(&staging.join(KEYS))? {
        let path = staging.join(KEYS).join(&name);
        if let Some(id) = name.strip_suffix(".destroyed") {
            wrapped.push((id.to_owned(), Vec::new()));
        } else if let Some(id) = name.strip_suffix(".key")
            && !path.with_extension("destroyed").exists()
        {
            wrapped.push((id.to_owned(), std::fs::read(&path).map_err(io(&path))?));
        }
    }
    let (trail, database) = (TrailReader::new(&staging.join("trail")), database.clone());
    let loaded =
        tokio::task::spawn_blocking(move || PostgresStore::load(&database, own.log, &own.keys, &trail, &wrapped));
    loaded
        .await
        .map_err(|error| io(staging)(std::io::Error::other(error)))??;
    Ok(())
}

/// Puts the staged files of the log into the bucket.
pub(super) async fn log(staging: &Path, carried: &Carried) -> Result<(), BackupError> {
    let folder = staging.join("log");
    let mut open = names(&folder)?;
    while let Some(name) = open.pop() {
        let path = folder.join(&name);
        if path.is_dir() {
            open.extend(names(&path)?.iter().map(|file| format!("{name}/{file}")));
        } else {
            let bytes = std::fs::read(&path).map_err(io(&path))?;
            carried.put_log(&name, bytes.into()).await?;
        }
    }
    remove(&folder)
}

/// Puts what is left into the data folder, in the place of what is there under the same name.
pub(super) fn rest(staging: &Path, data: &Path) -> Result<(), BackupError> {
    crate::folder::create_private(data).map_err(io(data))?;
    // Made by whoever opens the staged folder.
    remove(&staging.join("containers"))?;
    for name in names(staging)? {
        let to = data.join(&name);
        if to.is_dir() {
            remove(&to)?;
        }
        std::fs::rename(staging.join(&name), &to).map_err(io(&to))?;
    }
    remove(staging)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::backup::Content;
    use crate::containers::Containers;
    use crate::keys::for_tests;
    use crate::objects::Objects;

    #[tokio::test]
    async fn no_more_of_a_file_is_gathered_than_there_can_be() {
        let place = tempfile::tempdir().unwrap();
        let target = Target::open(place.path().to_str().unwrap(), true, None).unwrap();
        let containers = Containers::shared(Objects::in_memory(), for_tests());
        let carried = containers.carried().unwrap();
        let (object, _) = target.put(Bytes::from_static(b"four"), false).await.unwrap();
        let absent = "00".repeat(32);
        let said = async |size, parts: [&String; 2]| {
            let folder = "0193569a-7c00-7000-8000-000000000001.0193569a7c0070008000000000000001";
            let entry = Entry {
                path: format!("containers/{folder}/report.json.sealed"),
                modified: 0,
                content: Content {
                    size,
                    sha256: "11".repeat(32),
                    parts: parts.into_iter().cloned().collect(),
                },
            };
            let watch = |_: &str, _| {};
            let mut pace = Pace::new(None, &watch);
            let file = (folder, "report.json.sealed");
            let brought = bring(&target, &target, &entry, &carried, file, &mut pace).await;
            brought.unwrap_err().to_string()
        };
        let large = said(LONGEST + 1, [&absent, &absent]).await;
        assert!(large.contains("larger than any file beside a container"), "{large}");
        assert!(said(LONGEST, [&absent, &absent]).await.contains("missing"));
        // What its objects make beyond what the list says is not read any more.
        let more = said(3, [&object, &absent]).await;
        assert!(more.contains("not what its objects make"), "{more}");
        assert!(said(4, [&object, &absent]).await.contains("missing"));
    }
}
