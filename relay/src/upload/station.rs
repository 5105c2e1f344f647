//! Where bytes become durable and are read, off the async workers: an upload's body and its reading, moved through blocking
//! tasks.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use tokio::runtime::Handle;

use super::body::Body;
use super::{Reading, Upload};
use crate::problem::Problem;

/// One upload while a request writes to it.
pub(super) struct Station {
    body: Body,
    upload: Arc<Upload>,
    pub(super) reading: Box<Reading>,
}

impl Station {
    /// Opens it at the acknowledged offset; what a cut-off write left beyond it is written again.
    ///
    /// # Errors
    /// What the disk says.
    pub(super) async fn open(upload: Arc<Upload>, at: u64, reading: Box<Reading>) -> Result<Self, Problem> {
        let handle = Handle::current();
        blocking(move || {
            let body = Body::open(&upload, handle, at)?;
            Ok(Self { body, upload, reading })
        })
        .await
    }

    /// Bytes of the upload that are here.
    pub(super) fn end(&self) -> u64 {
        self.body.end()
    }

    /// Writes, and reads if `reads`.
    ///
    /// # Errors
    /// What the disk says; the station is lost, and what it wrote since the acknowledged offset with it.
    pub(super) async fn write(mut self, chunks: Vec<Bytes>, reads: bool) -> Result<Self, Problem> {
        blocking(move || {
            for chunk in &chunks {
                if reads {
                    self.reading.push(chunk);
                }
            }
            self.body.write(&chunks)?;
            // Bytes whose hash is stated count when it was found right.
            if reads {
                self.body.settle()?;
            }
            Ok(self)
        })
        .await
    }

    /// Waits until disk or bucket have it.
    ///
    /// # Errors
    /// As [`Station::write`].
    pub(super) async fn sync(mut self) -> Result<Self, Problem> {
        blocking(move || self.body.sync().map(|()| self)).await
    }

    /// Cuts it back.
    ///
    /// # Errors
    /// As [`Station::write`].
    pub(super) async fn cut(self, at: u64) -> Result<Self, Problem> {
        let Self { upload, reading, .. } = self;
        Self::open(upload, at, reading).await
    }

    /// Reads what was written without being read.
    ///
    /// # Errors
    /// As [`Station::write`].
    pub(super) async fn catch_up(mut self) -> Result<Self, Problem> {
        blocking(move || self.reading.catch_up(&self.body).map(|()| self)).await
    }
}

/// Work with the disk, off the threads that answer.
///
/// # Errors
/// What the disk says.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|error| Problem::internal(&error))??)
}
