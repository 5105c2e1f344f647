//! A stored file as bytes from anywhere, from the disk or another object store, and its content as a stream.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use object_store::path::Path as Key;
use object_store::{GetResultPayload, ObjectStore, ObjectStoreExt as _};
use tokio::runtime::Handle;

use super::parts::PartsSource;
use crate::seal::{SealedReader, Source};

/// A file of a container, opened. One that lies on this machine can be read to its end even if it is removed meanwhile.
pub(crate) enum Stored {
    /// On this machine.
    File(File),
    /// A container in the bucket.
    Parts(PartsSource),
    /// A small file in the bucket.
    Object {
        store: Arc<dyn ObjectStore>,
        key: Key,
        handle: Handle,
    },
}

impl Stored {
    /// The file and its size.
    pub(super) async fn open(store: Arc<dyn ObjectStore>, key: Key) -> object_store::Result<(Self, u64)> {
        let found = store.get(&key).await?;
        let size = found.meta.size;
        let stored = match found.payload {
            GetResultPayload::File(file, _) => Self::File(file),
            _ => Self::Object {
                store,
                key,
                handle: Handle::current(),
            },
        };
        Ok((stored, size))
    }
}

impl Source for Stored {
    fn bytes(&mut self, range: Range<u64>) -> io::Result<Vec<u8>> {
        match self {
            Self::File(file) => file.bytes(range),
            Self::Parts(parts) => parts.bytes(range),
            Self::Object { store, key, handle } => {
                let found = handle.block_on(store.get_range(key, range));
                Ok(found.map_err(io::Error::other)?.into())
            }
        }
    }
}

/// These bytes of the content, read and opened off the threads that answer.
pub(super) fn stream(reader: SealedReader<Stored>, range: Range<u64>) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::try_unfold((reader, range), |(mut reader, range)| async move {
        if range.is_empty() {
            return Ok(None);
        }
        let read = tokio::task::spawn_blocking(move || {
            let part = reader.part(range.start, range.end)?;
            if part.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let rest = range.start + part.len() as u64..range.end;
            Ok(Some((Bytes::from(part), (reader, rest))))
        });
        read.await.map_err(io::Error::other)?
    })
}
