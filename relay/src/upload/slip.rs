//! The slip beside an upload's bytes: what a restart needs to know of it, durable before the client hears of it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use formats::wire::{FacilityCode, SubmissionId};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::folder::private_file;

/// What an upload is, as its file beside says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Slip {
    pub(super) facility: FacilityCode,
    pub(super) length: u64,
    pub(super) sha256: Option<String>,
    /// The submission it became.
    pub(super) submission: Option<SubmissionId>,
    /// While its client states hashes: how far they were found right. What lies beyond is not kept by a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) checked: Option<u64>,
}

/// Where an upload stands after a restart, and when a byte last arrived. What a request cut off had written is kept, for it is
/// on disk before the client hears of it — but not what was sent under a hash that was never compared.
pub(super) fn restored(path: &Path, slip: &Slip) -> io::Result<(u64, OffsetDateTime)> {
    let file = fs::OpenOptions::new().write(true).open(path)?;
    let metadata = file.metadata()?;
    let touched = metadata.modified()?;
    let offset = metadata.len().min(slip.length).min(slip.checked.unwrap_or(u64::MAX));
    file.set_len(offset)?;
    file.sync_all()?;
    file.set_modified(touched)?;
    Ok((offset, touched.into()))
}

pub(super) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Durable when it returns: what was there is replaced whole.
pub(super) fn write_slip(path: &Path, slip: &Slip) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = private_file().write(true).create(true).truncate(true).open(&beside)?;
    file.write_all(&serde_json::to_vec(slip).map_err(io::Error::other)?)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    path.parent().map_or(Ok(()), sync_folder)
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(folder)?.sync_all()
    } else {
        Ok(())
    }
}
