//! The trail of a database as segment files of a generation. Of what a generation has already only the last segment is made again.

use formats::trail::Checkpoint;

use super::listing::{Entry, Reading, Writing};
use super::making::{Copying, Run};
use super::{BackupError, Generation, PART};
use crate::store::PostgresReader;
use crate::trail::remade::{self, Remade};

const FOLDER: &str = "trail/";

/// Up to which record the trail in a database is known to be the one of a generation: it may have been restored to an earlier moment
/// since, and a generation goes beyond the checkpoint with which it was begun.
pub(super) fn goes_on(database: &PostgresReader, vkey: &str, generation: &Generation) -> Option<u64> {
    let known = Checkpoint::verify(generation.checkpoint.as_deref()?, vkey).ok()?;
    (database.root(known.size) == Some(known.root)).then_some(known.size)
}

/// The segments of a list that begin within so many records.
pub(super) fn segments(mut list: Reading, known: u64) -> Result<Vec<Entry>, BackupError> {
    let mut found = Vec::new();
    while let Some(entry) = list.next()? {
        if first(&entry).is_some_and(|first| first <= known) {
            found.push(entry);
        }
    }
    Ok(found)
}

fn first(entry: &Entry) -> Option<u64> {
    remade::first(entry.path.strip_prefix(FOLDER)?)
}

impl Run<'_, '_> {
    /// Adds the first `records` of the database's trail to the list.
    pub(super) async fn trail(
        &mut self,
        list: &mut Writing,
        earlier: &mut Reading,
        records: u64,
    ) -> Result<(), BackupError> {
        let (mut kept, mut next) = (Vec::new(), 0);
        let known = std::mem::take(&mut self.segments);
        // A segment with another behind it is full.
        for pair in known.windows(2) {
            let [this, behind] = pair else { continue };
            match first(behind) {
                Some(behind) if first(this) == Some(next) && behind <= records => {
                    kept.push(this.clone());
                    next = behind;
                }
                _ => break,
            }
        }
        while next < records {
            let (entry, after) = self.segment(next, records).await?;
            kept.push(entry);
            next = after;
        }
        for entry in &kept {
            // The list of before is gone through in step.
            let changed = &mut self.changed;
            let _known = earlier.at(&entry.path, &mut |entry| *changed = Some(entry.path))?;
            self.list(list, entry)?;
        }
        self.segments = kept;
        Ok(())
    }

    /// The segment that begins with a record; and the position behind it.
    async fn segment(&mut self, first: u64, records: u64) -> Result<(Entry, u64), BackupError> {
        let database = self.origin.place.shared.cloned();
        let (mut bytes, mut copying) = (Vec::new(), Copying::default());
        let mut segment = Remade::begin(first, &mut bytes);
        let (mut next, mut full) = (first, false);
        while let Some(database) = &database
            && next < records
            && !full
        {
            for record in database.page::<BackupError>(next, records)? {
                full = segment.add(&record, &mut bytes);
                next += 1;
                if full {
                    break;
                }
            }
            while bytes.len() >= PART {
                let rest = bytes.split_off(PART);
                let part = std::mem::replace(&mut bytes, rest);
                self.part(&mut copying, part, "trail").await?;
            }
        }
        segment.flush(&mut bytes);
        while !bytes.is_empty() {
            let rest = bytes.split_off(PART.min(bytes.len()));
            let part = std::mem::replace(&mut bytes, rest);
            self.part(&mut copying, part, "trail").await?;
        }
        let entry = Entry {
            path: format!("{FOLDER}{}", remade::name(first)),
            modified: 0,
            content: copying.end(),
        };
        Ok((entry, next))
    }
}
