//! Making a backup beside a running relay: files, the trail's length, what is new since, and the generation last of all.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use trust_store::report::rfc3339;

use super::listing::{self, Entry, Reading, Writing};
use super::{BackupError, Content, Generation, PART, Target, apart};
use crate::check::{self, Place};
use crate::pace::Pace;
use crate::trail::TrailReader;

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Made {
    /// Name of the generation.
    pub name: String,
    /// What it holds.
    #[serde(flatten)]
    pub generation: Generation,
    /// Bytes that were not in the backup before.
    pub new_bytes: u64,
    /// Keys that the relay has destroyed and that were removed here too.
    pub keys_removed: u64,
}

/// Passes over the files before it is given up.
const PASSES: usize = 6;
/// A file is there before its record: between a pass and the look at the trail there is time for the record.
const PAUSE: Duration = Duration::from_millis(300);
/// Folder of the keys of months.
pub(super) const KEYS: &str = "keys";
/// Folder of sealed containers, each with its keys beside it.
pub(super) const CONTAINERS: &str = "containers";
/// What is no state, or belongs to one run of the relay, or is made anew from the rest; and the keys, which are kept apart.
const LEFT_OUT: [&str; 6] = ["index", "uploads", "evidence", "admin.sock", "trail", KEYS];

/// A run.
struct Run<'a, 'p> {
    place: Place<'a>,
    target: &'a Target,
    pace: &'a mut Pace<'p>,
    new_bytes: u64,
    files: u64,
    bytes: u64,
    /// A file of the pass before that is another one now.
    changed: Option<String>,
}

/// Adds a generation to `target`: what `place.data` holds now. `also` are files and folders kept for reference, such as the
/// configuration, each with its name there.
///
/// # Errors
/// [`BackupError`]; without a generation at its end a run leaves only objects, which the next one uses. With
/// [`BackupError::KeysLost`] there is a generation, and no key was removed.
pub async fn make(
    place: Place<'_>,
    also: &[(String, PathBuf)],
    target: &Target,
    keys: &Target,
    now: OffsetDateTime,
    pace: &mut Pace<'_>,
) -> Result<Made, BackupError> {
    // Held to the end: where no relay runs, none starts meanwhile.
    let source = check::Source::open(place, pace)?;
    let checkpoint = source.checkpoint()?;
    let mut newest_records = 0;
    for name in target.generations().await? {
        // `backup verify` names one that is damaged.
        newest_records = newest_records.max(target.generation(&name).await.map_or(0, |found| found.records));
    }
    let mut earlier = match target.generations().await?.last() {
        None => Reading::none(),
        Some(newest) => match target.generation(newest).await {
            Ok(newest) => listing::bring(target, &newest.listing, &place.scratch.join("earlier")).await?,
            // What cannot be read is copied again; `backup verify` names it.
            Err(BackupError::Generation(_)) => Reading::none(),
            Err(error) => return Err(error),
        },
    };
    let mut run = Run {
        place,
        target,
        pace,
        new_bytes: 0,
        files: 0,
        bytes: 0,
        changed: None,
    };
    let mut extents = Vec::new();
    for pass in 0..PASSES {
        // Before the trail is measured: a key that is destroyed after that belongs to this generation still.
        let before = apart::keys_below(place.data)?;
        apart::add(place.data, &before, keys).await?;
        if pass > 0 {
            std::thread::sleep(PAUSE);
            extents = measure(&place.data.join("trail"))?;
        }
        (run.files, run.bytes, run.changed) = (0, 0, None);
        let list = run.pass(pass, &mut earlier, &extents, also).await?;
        if pass > 0 && run.changed.is_none() {
            let (records, files, bytes) = (
                extents.last().map_or(0, |last: &Extent| last.next),
                run.files,
                run.bytes,
            );
            let listing = run.content(&list, None, "list").await?.ok_or_else(|| gone(&list))?;
            let generation = Generation {
                version: 1,
                made: rfc3339(now),
                records,
                checkpoint,
                files,
                bytes,
                listing,
            };
            let after = apart::keys_below(place.data)?;
            apart::add(place.data, &after, keys).await?;
            let gone = apart::gone(place, &before, &after, keys, newest_records).await?;
            let keys_removed = apart::remove(&gone, keys).await?;
            let name = target.put_generation(&generation).await?;
            if !gone.lost.is_empty() {
                return Err(BackupError::KeysLost(name, gone.lost));
            }
            return Ok(Made {
                name,
                generation,
                new_bytes: run.new_bytes,
                keys_removed,
            });
        }
        earlier = Reading::open(&list)?;
    }
    Err(BackupError::Restless(run.changed.unwrap_or_default()))
}

/// How far a segment goes.
struct Extent {
    path: PathBuf,
    length: u64,
    /// Position after its last record.
    next: u64,
}

/// The trail as it is now, to the end of its last whole group.
fn measure(trail: &Path) -> Result<Vec<Extent>, BackupError> {
    let reader = TrailReader::new(trail);
    let files = reader.files()?;
    let mut found = Vec::new();
    let last = files.len().saturating_sub(1);
    for (at, file) in files.iter().enumerate() {
        let (length, next) = if at == last {
            reader.extent(file.first, true)?
        } else {
            let size = file.path.metadata().map_err(io(&file.path))?.len();
            (size, files.get(at + 1).map_or(0, |next| next.first))
        };
        found.push(Extent {
            path: file.path.clone(),
            length,
            next,
        });
    }
    Ok(found)
}

impl Run<'_, '_> {
    /// Goes over all files once; answers their list. What `earlier` has already is not read again.
    async fn pass(
        &mut self,
        pass: usize,
        earlier: &mut Reading,
        extents: &[Extent],
        also: &[(String, PathBuf)],
    ) -> Result<PathBuf, BackupError> {
        let mut list = Writing::create(&self.place.scratch.join(format!("pass{pass}")))?;
        let mut roots: Vec<(String, PathBuf)> = also.to_vec();
        for name in names(self.place.data)? {
            if !LEFT_OUT.contains(&name.as_str()) {
                roots.push((name.clone(), self.place.data.join(&name)));
            }
        }
        let trail = "trail".to_owned();
        roots.push((trail.clone(), self.place.data.join(&trail)));
        roots.sort_by(|one, other| listing::order(&one.0, &other.0));
        for (name, path) in roots {
            if name == trail {
                for extent in extents {
                    let file = extent.path.file_name().unwrap_or_default().to_string_lossy();
                    self.file(
                        &mut list,
                        earlier,
                        pass,
                        &format!("{trail}/{file}"),
                        &extent.path,
                        Some(extent.length),
                    )
                    .await?;
                }
                continue;
            }
            // A stack of what is still to come, the next on top.
            let mut open = vec![(name, path)];
            while let Some((name, path)) = open.pop() {
                if path.is_dir() {
                    let below = names(&path)?.into_iter().rev();
                    open.extend(below.map(|file| (format!("{name}/{file}"), path.join(file))));
                } else if !temporary(&name) && !apart::is_key(&name) {
                    self.file(&mut list, earlier, pass, &name, &path, None).await?;
                }
            }
        }
        self.rest(pass, earlier)?;
        list.end()
    }

    /// What the pass before had beyond the last file of this one is gone now.
    fn rest(&mut self, pass: usize, earlier: &mut Reading) -> Result<(), BackupError> {
        while let Some(entry) = earlier.next()? {
            if pass > 0 {
                self.changed = Some(entry.path);
            }
        }
        Ok(())
    }

    async fn file(
        &mut self,
        list: &mut Writing,
        earlier: &mut Reading,
        pass: usize,
        name: &str,
        path: &Path,
        length: Option<u64>,
    ) -> Result<(), BackupError> {
        let changed = &mut self.changed;
        let known = earlier.at(name, &mut |entry| *changed = Some(entry.path))?;
        let found = match path.metadata() {
            Ok(found) if found.is_file() => found,
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(io(path)(error)),
        };
        let size = length.unwrap_or(found.len());
        let since = found
            .modified()
            .ok()
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let modified = since
            .and_then(|since| u64::try_from(since.as_nanos()).ok())
            .unwrap_or(0);
        let same = |known: &Entry| known.content.size == size && (known.modified == modified || length.is_some());
        // How far the witnesses or a feed have come: as it was first seen, so that it is never ahead of the trail.
        let first = pass > 0 && length.is_none() && !name.starts_with(CONTAINERS);
        let entry = match known {
            // A segment of the same length is the same: the trail only grows.
            Some(known) if same(&known) => Entry { modified, ..known },
            Some(known) if first => known,
            known => {
                if known.is_some() || first {
                    self.changed = Some(name.to_owned());
                }
                let Some(content) = self.content(path, length, name).await? else {
                    return Ok(());
                };
                Entry {
                    path: name.to_owned(),
                    modified,
                    content,
                }
            }
        };
        self.files += 1;
        self.bytes += entry.content.size;
        list.add(&entry)
    }

    /// Copies what a file holds, up to `length`; `None` if it is gone.
    async fn content(&mut self, path: &Path, length: Option<u64>, step: &str) -> Result<Option<Content>, BackupError> {
        let step = step.split('/').next().unwrap_or_default();
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io(path)(error)),
        };
        let mut file = file.take(length.unwrap_or(u64::MAX));
        let (mut whole, mut size, mut parts) = (Sha256::new(), 0, Vec::new());
        loop {
            let mut part = Vec::new();
            file.by_ref()
                .take(PART as u64)
                .read_to_end(&mut part)
                .map_err(io(path))?;
            if part.is_empty() {
                break;
            }
            let count = part.len() as u64;
            whole.update(&part);
            size += count;
            self.pace.spend(step, count);
            let (object, new) = self.target.put(part.into()).await?;
            parts.push(object);
            self.new_bytes += if new { count } else { 0 };
        }
        if parts.len() == 1 {
            parts.clear();
        }
        Ok(Some(Content {
            size,
            sha256: hex::encode(whole.finalize()),
            parts,
        }))
    }
}

/// Half-written files, and those of one run.
pub(super) fn temporary(name: &str) -> bool {
    let file = name.rsplit('/').next().unwrap_or_default();
    file.contains('#') || file.ends_with(".part") || file.ends_with(".new") || file.ends_with(".tmp")
}

pub(super) fn names(folder: &Path) -> Result<Vec<String>, BackupError> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        // Erased meanwhile.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io(folder)(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        found.extend(entry.map_err(io(folder))?.file_name().into_string().ok());
    }
    found.sort();
    Ok(found)
}

pub(super) fn io(path: &Path) -> impl Fn(std::io::Error) -> BackupError {
    let path = path.to_path_buf();
    move |error| BackupError::Io(path.clone(), error)
}

fn gone(path: &Path) -> BackupError {
    BackupError::Io(path.into(), std::io::ErrorKind::NotFound.into())
}
