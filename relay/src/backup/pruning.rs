//! Removing old generations, and the objects that no generation left needs.

use std::collections::HashSet;
use std::path::Path;

use time::OffsetDateTime;

use super::alone::Alone;
use super::{BackupError, Target, listing};

/// What was removed.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Pruned {
    /// Names of generations.
    pub generations: Vec<String>,
    /// Number of objects.
    pub objects: u64,
}

/// Objects younger than this may be of a backup under way.
const UNDER_WAY: i64 = 24 * 3600;

/// Keeps the newest `keep` generations (at least one), and every object they need.
///
/// # Errors
/// [`BackupError`]; a generation that is kept and cannot be read stops it before anything is removed.
pub async fn prune(target: &Target, keep: usize, scratch: &Path, now: OffsetDateTime) -> Result<Pruned, BackupError> {
    let mut alone = Alone::at(target).await?;
    let pruned = pruned(target, &mut alone, keep, scratch, now).await;
    alone.end(target).await;
    pruned
}

async fn pruned(
    target: &Target,
    alone: &mut Alone,
    keep: usize,
    scratch: &Path,
    now: OffsetDateTime,
) -> Result<Pruned, BackupError> {
    let mut old = target.generations().await?;
    let kept = old.split_off(old.len().saturating_sub(keep.max(1)));
    let mut needed: HashSet<[u8; 32]> = HashSet::new();
    let mut need = |objects: &[String]| {
        for object in objects {
            let mut digest = [0; 32];
            if hex::decode_to_slice(object, &mut digest).is_ok() {
                needed.insert(digest);
            }
        }
    };
    for name in &kept {
        let generation = target.generation(name).await?;
        need(generation.listing.objects());
        let mut list = listing::bring(target, &generation.listing, &scratch.join("list")).await?;
        while let Some(entry) = list.next()? {
            need(entry.content.objects());
            alone.goes_on(target).await?;
        }
    }
    let mut pruned = Pruned::default();
    for name in old {
        target.remove_generation(&name).await?;
        pruned.generations.push(name);
    }
    for (object, written) in target.objects().await? {
        let mut digest = [0; 32];
        let known = hex::decode_to_slice(&object, &mut digest).is_ok();
        if known && !needed.contains(&digest) && written < now.unix_timestamp() - UNDER_WAY {
            alone.goes_on(target).await?;
            target.remove_object(&object).await?;
            pruned.objects += 1;
        }
    }
    Ok(pruned)
}
