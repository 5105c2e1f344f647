//! Where bytes become durable and are read, off the async workers: the growing file and its reading, moved through
//! blocking tasks.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::growing::Growing;
use super::{Reading, Upload};
use crate::problem::Problem;

/// The file of one upload while a request writes to it.
pub(super) struct Station {
    growing: Growing,
    upload: Arc<Upload>,
    pub(super) reading: Box<Reading>,
}

impl Station {
    /// Opens the file at the acknowledged offset; what a cut-off write left beyond it is written again.
    ///
    /// # Errors
    /// What the disk says.
    pub(super) async fn open(upload: Arc<Upload>, at: u64, reading: Box<Reading>) -> Result<Self, Problem> {
        blocking(move || {
            let growing = Growing::open(&upload.folder, &upload.seals()?, upload.length, at)?;
            Ok(Self {
                growing,
                upload,
                reading,
            })
        })
        .await
    }

    /// Bytes of the upload that are here.
    pub(super) fn end(&self) -> u64 {
        self.growing.end()
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
            self.growing.write(&chunks)?;
            Ok(self)
        })
        .await
    }

    /// Waits until the disk has it.
    ///
    /// # Errors
    /// As [`Station::write`].
    pub(super) async fn sync(self) -> Result<Self, Problem> {
        blocking(move || self.growing.sync().map(|()| self)).await
    }

    /// Cuts the file back.
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
        blocking(move || self.reading.catch_up(&self.growing).map(|()| self)).await
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
