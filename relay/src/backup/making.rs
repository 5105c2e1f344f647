//! Making a backup beside a running relay: files, the trail's length, what is new since, and the generation last of all.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use formats::trail::Checkpoint;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use trust_store::report::rfc3339;

use super::alone::{self, Alone};
use super::listing::{self, Entry, Reading, Writing};
use super::origin::{Item, Origin, Root};
use super::{BackupError, Content, Generation, Held, Target, apart, trail};
use crate::check::{self, Place};
use crate::containers::Containers;
use crate::log::remembered;
use crate::pace::Pace;
use crate::trail::TrailReader;

/// How a backup is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct How {
    /// Now.
    pub now: OffsetDateTime,
    /// Every file is read, and what the backup has of it too: damage is found, and an object that is damaged is written anew.
    pub full: bool,
    /// Also a trail that is shorter than that of the newest generation, after an older one was restored.
    pub shorter: bool,
}

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
    /// What of it is locked, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locked: Option<Held>,
}

/// Passes over the files before it is given up.
const PASSES: usize = 6;
/// A file is there before its record: between a pass and the look at the trail there is time for the record.
const PAUSE: Duration = Duration::from_millis(300);
/// Folder of the keys of months.
pub(super) const KEYS: &str = "keys";
/// Folder of sealed containers, each with its keys beside it.
pub(super) const CONTAINERS: &str = "containers";

/// A run.
pub(super) struct Run<'a, 'p> {
    pub(super) origin: Origin<'a>,
    target: &'a Target,
    pace: &'a mut Pace<'p>,
    alone: &'a mut Alone,
    full: bool,
    /// Files that are not what an earlier generation has of them, though nothing has written to them.
    rotten: BTreeSet<String>,
    new_bytes: u64,
    files: u64,
    bytes: u64,
    /// A file of the pass before that is another one now.
    pub(super) changed: Option<String>,
    /// Segments of a trail that lies in a database, as they were copied last.
    pub(super) segments: Vec<Entry>,
}

/// Adds a generation to `target`: what the relay at `place` keeps now, or the relays that share a database and the bucket of
/// `containers`. `also` are files and folders kept for reference, such as the
/// configuration, each with its name there.
///
/// # Errors
/// [`BackupError`]; without a generation at its end a run leaves only objects, which the next one uses. With
/// [`BackupError::KeysLost`] there is a generation, and no key was removed; with [`BackupError::Rotten`] there is one too.
pub async fn make(
    place: Place<'_>,
    containers: Option<&Containers>,
    also: &[(String, PathBuf)],
    target: &Target,
    keys: &Target,
    how: How,
    pace: &mut Pace<'_>,
) -> Result<Made, BackupError> {
    keys.forgets().await?;
    let mut alone = Alone::at(target).await?;
    let apart = match alone::same(target, keys) {
        true => None,
        false => match Alone::at(keys).await {
            Ok(apart) => Some(apart),
            Err(error) => {
                alone.end(target).await;
                return Err(error);
            }
        },
    };
    let made = made(place, containers, also, (target, keys, &mut alone), how, pace).await;
    alone.end(target).await;
    if let Some(apart) = apart {
        apart.end(keys).await;
    }
    made
}

async fn made(
    place: Place<'_>,
    containers: Option<&Containers>,
    also: &[(String, PathBuf)],
    (target, keys, alone): (&Target, &Target, &mut Alone),
    how: How,
    pace: &mut Pace<'_>,
) -> Result<Made, BackupError> {
    // Held to the end: where no relay runs, none starts meanwhile.
    let source = check::Source::open(place, pace)?;
    let checkpoint = source.checkpoint()?;
    let mut known = Known::of_log(place, checkpoint.as_deref());
    let mut newest_records = 0;
    for name in target.generations().await? {
        // `backup verify` names one that is damaged.
        newest_records = newest_records.max(target.generation(&name).await.map_or(0, |found| found.records));
    }
    let mut segments = Vec::new();
    let mut earlier = match target.generations().await?.last() {
        None => Reading::none(),
        Some(newest) => match target.generation(newest).await {
            Ok(found) => {
                if !how.shorter {
                    known.or(found.records, || format!("generation {newest}"));
                }
                let newest = found;
                let list = place.scratch.join("earlier");
                match listing::bring(target, &newest.listing, &list).await {
                    Ok(earlier) => {
                        let known = place
                            .shared
                            .and_then(|database| trail::goes_on(database, place.vkey, &newest));
                        if let Some(known) = known.filter(|_| !how.full) {
                            segments = trail::segments(Reading::open(&list)?, known)?;
                        }
                        earlier
                    }
                    Err(BackupError::Object { .. }) => Reading::none(),
                    Err(error) => return Err(error),
                }
            }
            // What cannot be read is copied again; `backup verify` names it.
            Err(BackupError::Generation(_)) => Reading::none(),
            Err(error) => return Err(error),
        },
    };
    let mut run = Run {
        origin: Origin::new(place, containers),
        target,
        pace,
        alone,
        full: how.full,
        rotten: BTreeSet::new(),
        new_bytes: 0,
        files: 0,
        bytes: 0,
        changed: None,
        segments,
    };
    let mut records = 0;
    let mut extents = Vec::new();
    for pass in 0..PASSES {
        // Before the trail is measured: a key that is destroyed after that belongs to this generation still.
        let before = run.origin.keys().await?;
        apart::add(&run.origin, &before, keys).await?;
        if pass > 0 {
            std::thread::sleep(PAUSE);
            match place.shared {
                None => {
                    extents = measure(&place.data.join("trail"))?;
                    records = extents.last().map_or(0, |last: &Extent| last.next);
                }
                Some(database) => records = database.size()?,
            }
            known.reached(records)?;
        }
        (run.files, run.bytes, run.changed) = (0, 0, None);
        let list = run.pass(pass, &mut earlier, &extents, records, also).await?;
        if pass > 0 && run.changed.is_none() {
            let (files, bytes) = (run.files, run.bytes);
            let item = Item::file(&list, None)?.ok_or_else(|| gone(&list))?;
            let listing = run.content(&item, "list").await?.ok_or_else(|| gone(&list))?;
            let mut locked = None;
            target.hold(listing.objects(), &mut locked).await?;
            let mut held = Reading::open(&list)?;
            while let Some(entry) = held.next()? {
                run.alone.goes_on(target).await?;
                target.hold(entry.content.objects(), &mut locked).await?;
            }
            let generation = Generation {
                version: 1,
                made: rfc3339(how.now),
                records,
                checkpoint,
                files,
                bytes,
                listing,
            };
            let after = run.origin.keys().await?;
            apart::add(&run.origin, &after, keys).await?;
            let gone = apart::gone(place, &before, &after, keys, newest_records).await?;
            let keys_removed = apart::remove(&gone, keys).await?;
            let name = target.put_generation(&generation).await?;
            if !gone.lost.is_empty() {
                return Err(BackupError::KeysLost(name, gone.lost));
            }
            if !run.rotten.is_empty() {
                return Err(BackupError::Rotten(name, run.rotten));
            }
            return Ok(Made {
                name,
                generation,
                new_bytes: run.new_bytes,
                keys_removed,
                locked,
            });
        }
        earlier = Reading::open(&list)?;
    }
    Err(BackupError::Restless(run.changed.unwrap_or_default()))
}

/// How many records there were once, and who says so.
struct Known(u64, String);

impl Known {
    /// As the log has signed it: looked at before the trail is measured, which has every record that was signed for then.
    fn of_log(place: Place<'_>, checkpoint: Option<&str>) -> Self {
        let note = checkpoint.and_then(|note| Checkpoint::verify(note, place.vkey).ok());
        let mut known = Self(note.map_or(0, |note| note.size), "the newest signed checkpoint".into());
        if let Some(kept) = remembered(place.data, place.vkey).pop() {
            known.or(kept.size, || kept.file.display().to_string());
        }
        known
    }

    fn or(&mut self, records: u64, by: impl FnOnce() -> String) {
        if records > self.0 {
            *self = Self(records, by());
        }
    }

    fn reached(&self, records: u64) -> Result<(), BackupError> {
        if records >= self.0 {
            return Ok(());
        }
        Err(BackupError::TrailShort {
            records,
            known: self.0,
            by: self.1.clone(),
        })
    }
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
        records: u64,
        also: &[(String, PathBuf)],
    ) -> Result<PathBuf, BackupError> {
        let mut list = Writing::create(&self.origin.place.scratch.join(format!("pass{pass}")))?;
        let disk = |(name, path): &(String, PathBuf)| (name.clone(), Root::Disk(path.clone()));
        let mut roots: Vec<(String, Root)> = also.iter().map(disk).collect();
        roots.extend(self.origin.roots()?);
        roots.sort_by(|one, other| listing::order(&one.0, &other.0));
        for (name, root) in roots {
            match root {
                Root::Trail if self.origin.place.shared.is_some() => {
                    self.trail(&mut list, earlier, records).await?;
                }
                Root::Trail => {
                    for extent in extents {
                        let file = extent.path.file_name().unwrap_or_default().to_string_lossy();
                        let (path, length) = (format!("{name}/{file}"), Some(extent.length));
                        if let Some(item) = Item::file(&extent.path, length)? {
                            self.file(&mut list, earlier, pass, &path, &item, true).await?;
                        }
                    }
                }
                Root::Containers => {
                    let mut folders = self.origin.folders().await?;
                    folders.sort_by(|one, other| listing::order(one, other));
                    for folder in folders {
                        for (path, item) in self.origin.files(&folder).await? {
                            self.file(&mut list, earlier, pass, &path, &item, false).await?;
                        }
                    }
                }
                Root::Log => {
                    for (path, item) in self.origin.log().await? {
                        self.file(&mut list, earlier, pass, &path, &item, false).await?;
                    }
                }
                Root::Disk(path) => self.disk(&mut list, earlier, pass, name, path).await?,
            }
        }
        self.rest(pass, earlier)?;
        list.end()
    }

    async fn disk(
        &mut self,
        list: &mut Writing,
        earlier: &mut Reading,
        pass: usize,
        name: String,
        path: PathBuf,
    ) -> Result<(), BackupError> {
        // A stack of what is still to come, the next on top.
        let mut open = vec![(name, path)];
        while let Some((name, path)) = open.pop() {
            if path.is_dir() {
                let below = names(&path)?.into_iter().rev();
                open.extend(below.map(|file| (format!("{name}/{file}"), path.join(file))));
            } else if !temporary(&name)
                && !apart::is_key(&name)
                // Nor a key that somebody put aside.
                && !name.ends_with(".key")
                && let Some(item) = Item::file(&path, None)?
            {
                self.file(list, earlier, pass, &name, &item, false).await?;
            }
        }
        Ok(())
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

    /// `grows`: a segment of the trail, which is the same if it is as long.
    async fn file(
        &mut self,
        list: &mut Writing,
        earlier: &mut Reading,
        pass: usize,
        name: &str,
        item: &Item,
        grows: bool,
    ) -> Result<(), BackupError> {
        self.alone.goes_on(self.target).await?;
        let changed = &mut self.changed;
        let known = earlier.at(name, &mut |entry| *changed = Some(entry.path))?;
        let modified = item.version;
        let same = |known: &Entry| known.content.size == item.size && (known.modified == modified || grows);
        // How far the witnesses or a feed have come: as it was first seen, so that it is never ahead of the trail.
        let first = pass > 0 && !grows && !name.starts_with(CONTAINERS);
        let whole = self.full && pass == 0;
        let entry = match known {
            // A segment of the same length is the same: the trail only grows.
            Some(known) if same(&known) && !whole => Entry { modified, ..known },
            Some(known) if first => known,
            known => {
                if known.is_some() || first {
                    self.changed = Some(name.to_owned());
                }
                let Some(content) = self.content(item, name).await? else {
                    return Ok(());
                };
                let never = grows || name.starts_with(CONTAINERS);
                let rotten = |known: &Entry| whole && never && same(known) && known.content != content;
                match known.filter(rotten) {
                    Some(known) => {
                        self.rotten.insert(name.to_owned());
                        Entry { modified, ..known }
                    }
                    None => Entry {
                        path: name.to_owned(),
                        modified,
                        content,
                    },
                }
            }
        };
        self.list(list, &entry)
    }

    pub(super) fn list(&mut self, list: &mut Writing, entry: &Entry) -> Result<(), BackupError> {
        self.files += 1;
        self.bytes += entry.content.size;
        list.add(entry)
    }

    /// Copies what a file holds; `None` if it is gone.
    async fn content(&mut self, item: &Item, step: &str) -> Result<Option<Content>, BackupError> {
        let step = step.split('/').next().unwrap_or_default();
        let Some(mut reading) = item.open().await? else {
            return Ok(None);
        };
        let mut copying = Copying::default();
        loop {
            let Some(part) = reading.part().await? else {
                return Ok(None);
            };
            if part.is_empty() {
                return Ok(Some(copying.end()));
            }
            self.part(&mut copying, part, step).await?;
        }
    }

    /// Puts the next part of what is being copied.
    pub(super) async fn part(&mut self, copying: &mut Copying, part: Vec<u8>, step: &str) -> Result<(), BackupError> {
        let count = part.len() as u64;
        copying.whole.update(&part);
        copying.size += count;
        self.pace.spend(step, count);
        self.alone.goes_on(self.target).await?;
        let (object, new) = self.target.put(part.into(), self.full).await?;
        copying.parts.push(object);
        self.new_bytes += if new { count } else { 0 };
        Ok(())
    }
}

/// What was put so far of a file.
#[derive(Default)]
pub(super) struct Copying {
    whole: Sha256,
    size: u64,
    parts: Vec<String>,
}

impl Copying {
    pub(super) fn end(mut self) -> Content {
        if self.parts.len() == 1 {
            self.parts.clear();
        }
        Content {
            size: self.size,
            sha256: hex::encode(self.whole.finalize()),
            parts: self.parts,
        }
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
