//! Keys in the bucket wrapped anew, while relays go on: each is replaced only where it is still the one that was read, so that what
//! was erased meanwhile does not come back.

use std::path::PathBuf;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use object_store::path::Path as Key;
use object_store::{ObjectMeta, ObjectStore as _};

use super::bucket::{ASIDE, Bucket, CONTAINERS, LIST, LONGEST_LIST};
use super::parts::PartList;
use super::{BESIDE_KEY, ContainerError, from_io, from_store, stopped};
use crate::keys::{Keys, KeysError, Rotated, WRAPPED};

/// Objects under work at the same time.
const AT_ONCE: usize = 8;
/// A key that changes under our hands is read again, so often.
const TRIES: usize = 5;

/// Wraps every key in the bucket to the recipients of now.
pub(super) async fn rewrap(bucket: &Bucket, keys: &Keys) -> Result<Rotated, ContainerError> {
    if !bucket.0.compares().await.map_err(from_store)? {
        return Err(ContainerError::Store(
            "the bucket puts over what is another by now (it does not know If-Match): keys that are erased meanwhile could come \
             back. No key in the bucket was changed; those in the data folder and in the database, which come first, were"
                .into(),
        ));
    }
    let mut rotated = Rotated::default();
    for below in [CONTAINERS, ASIDE] {
        let below = Key::from(below);
        let found = bucket.0.store().list(Some(&below));
        let of_a_key = |meta: &ObjectMeta| matches!(meta.location.filename(), Some(LIST | BESIDE_KEY));
        let mut done = found
            .try_filter(|meta| std::future::ready(of_a_key(meta)))
            .map_ok(|meta| async move { Ok((again(bucket, keys, &meta.location).await, meta.location)) })
            .try_buffer_unordered(AT_ONCE);
        while let Some((done, key)) = done.try_next().await.map_err(from_store)? {
            match done {
                Ok(true) => rotated.rewrapped += 1,
                // Erased meanwhile.
                Ok(false) | Err(ContainerError::Absent) => {}
                Err(error) => rotated.failed.push((PathBuf::from(key.to_string()), error.to_string())),
            }
        }
    }
    Ok(rotated)
}

/// One key; `false` if it is gone.
async fn again(bucket: &Bucket, keys: &Keys, key: &Key) -> Result<bool, ContainerError> {
    let most = if key.filename() == Some(LIST) {
        LONGEST_LIST
    } else {
        WRAPPED as u64
    };
    for _ in 0..TRIES {
        let (old, tag) = bucket.0.tagged(key, most).await.map_err(from_store)?;
        let (new, keys) = (key.filename() == Some(LIST), keys.clone());
        let wrapped = tokio::task::spawn_blocking(move || anew(&keys, &old, new)).await;
        let wrapped = wrapped.map_err(|_| stopped())??;
        if bucket.0.replace(key, wrapped, &tag).await.map_err(from_store)? {
            return Ok(true);
        }
    }
    Err(ContainerError::Store("it kept being changed".into()))
}

/// What lies there with its key wrapped anew. What was wrapped is opened once before it takes the place of the old. Blocking.
fn anew(keys: &Keys, old: &[u8], listed: bool) -> Result<Bytes, ContainerError> {
    if !listed {
        return Ok(rewrapped(keys, old)?.into());
    }
    let mut list = PartList::from_json(old).map_err(from_io)?;
    list.wrapped = rewrapped(keys, &list.wrapped)?;
    Ok(list.to_json().map_err(from_io)?.into())
}

fn rewrapped(keys: &Keys, old: &[u8]) -> Result<Vec<u8>, ContainerError> {
    keys.wrapped_anew(old).map_err(|error| match error {
        KeysError::Io(error) => from_io(error),
        other => ContainerError::Key(other),
    })
}
