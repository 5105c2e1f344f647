//! `rotate-keys`: every data key wrapped to the recipients of now, wherever it lies: in the data folder, in the database, in the
//! bucket. What is sealed with the keys stays as it is.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use super::AdminError;
use crate::containers::Containers;
use crate::keys::{self, Keys, Rotated};
use crate::store::{Store, StoreError, UploadRows};

/// Where keys lie that are not files of the data folder.
pub struct SharedKeys {
    /// The database.
    pub store: Arc<dyn Store>,
    /// The bucket.
    pub containers: Containers,
}

/// Wraps every data key below `data`, and those that several relays share, to the recipients of now. It can run while relays do and
/// again after a crash.
///
/// # Errors
/// [`AdminError`], in one sentence; what was wrapped anew until then is good.
pub async fn rotate_keys(data: &Path, keys: &Keys, shared: Option<SharedKeys>) -> Result<Value, AdminError> {
    let (folder, ring) = (data.to_owned(), keys.clone());
    let mut rotated = tokio::task::spawn_blocking(move || keys::rotate(&folder, &ring))
        .await
        .map_err(std::io::Error::other)??;
    if let Some(SharedKeys { store, containers }) = shared {
        rotated.rewrapped += store.rewrap().await?;
        if let Some(rows) = store.uploads().filter(|_| containers.is_shared()) {
            // Before the lists of containers: who makes one looks at its row again after that.
            let ring = keys.clone();
            let done = tokio::task::spawn_blocking(move || uploads(&*rows, &ring)).await;
            add(&mut rotated, done.map_err(std::io::Error::other)??);
        }
        let done = containers.rewrap(keys).await;
        add(
            &mut rotated,
            done.map_err(|error| AdminError::Argument(error.to_string()))?,
        );
    }
    match rotated.failed.first() {
        None => Ok(json!({ "rewrapped": rotated.rewrapped })),
        Some((path, reason)) => Err(AdminError::Argument(format!(
            "{} keys are wrapped to the recipients of now, {} are not; the first: {}: {reason}",
            rotated.rewrapped,
            rotated.failed.len(),
            path.display()
        ))),
    }
}

fn add(rotated: &mut Rotated, more: Rotated) {
    rotated.rewrapped += more.rewrapped;
    rotated.failed.extend(more.failed);
}

/// Blocking.
fn uploads(rows: &dyn UploadRows, keys: &Keys) -> Result<Rotated, StoreError> {
    let (mut rotated, mut after) = (Rotated::default(), String::new());
    loop {
        let page = rows.wrapped(&after)?;
        let Some((last, _)) = page.last() else {
            return Ok(rotated);
        };
        after.clone_from(last);
        for (id, old) in page {
            match keys.wrapped_anew(&old) {
                Ok(new) => rotated.rewrapped += u64::from(rows.rewrap(&id, &old, &new)?),
                Err(error) => rotated
                    .failed
                    .push((PathBuf::from(format!("upload {id}")), error.to_string())),
            }
        }
    }
}
