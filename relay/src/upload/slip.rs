//! The slip beside an upload's bytes: what a restart needs to know of it, durable before the client hears of it.

use std::fs;
use std::io;
use std::path::Path;

use formats::wire::{FacilityCode, SubmissionId};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::growing::{body, on_disk};
use crate::folder::replace;

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
pub(super) fn restored(folder: &Path, slip: &Slip) -> io::Result<(u64, OffsetDateTime)> {
    let offset = on_disk(folder, slip.length)?.min(slip.checked.unwrap_or(u64::MAX));
    let touched = fs::metadata(body(folder))?.modified()?;
    Ok((offset, touched.into()))
}

pub(super) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes a folder and what is in it.
pub(super) fn remove_folder_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Durable when it returns: what was there is replaced whole.
pub(super) fn write_slip(path: &Path, slip: &Slip) -> io::Result<()> {
    replace(path, &serde_json::to_vec(slip).map_err(io::Error::other)?)
}
