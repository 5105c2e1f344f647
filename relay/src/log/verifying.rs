//! The live trail under the same verification as an export: every record against the signed checkpoint, and against earlier ones.

use formats::trail::{Checkpoint, Entry, EntryKind, ExportHead, Finding, TrailVerdict, Verification};

use crate::store::{Store, StoreError};

/// Records read at once.
const PAGE: usize = 512;

/// Reads all of the trail. `earlier`: checkpoints the operator holds, each with a name.
///
/// # Errors
/// [`StoreError`] if it cannot be read; what it was found to be is the answer.
pub async fn verify(
    store: &dyn Store,
    log_vkey: &str,
    earlier: Vec<(String, Checkpoint)>,
    witnessed: Vec<String>,
) -> Result<Result<TrailVerdict, Finding>, StoreError> {
    let head = ExportHead {
        facility: None,
        extract: false,
        checkpoint: store.checkpoint().await?,
        witnessed,
    };
    let mut verification = match Verification::new(&head, log_vkey, &[], earlier) {
        Ok(verification) => verification,
        Err(finding) => return Ok(Err(finding)),
    };
    let (mut next, end) = (0, verification.end());
    while next < end {
        let records = store.records(None, next, PAGE).await?;
        let Some(last) = records.last() else { break };
        next = last.position + 1;
        for stored in records.iter().filter(|stored| stored.position < end) {
            let mut entry = Entry::erased(stored.position, &stored.commitment);
            if let Some(content) = &stored.content {
                let leaf = entry.leaf;
                entry = Entry::of_record(stored.position, &content.salt, &content.body, None);
                if entry.leaf != leaf {
                    entry.kind = EntryKind::Changed;
                }
            }
            if let Err(finding) = verification.entry(&entry) {
                return Ok(Err(finding));
            }
        }
    }
    Ok(verification.finish())
}
