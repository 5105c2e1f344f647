//! Where bytes become durable and are read, off the async workers: the growing file and its reading, moved through blocking tasks.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::PathBuf;

use bytes::Bytes;

use super::Reading;
use crate::problem::Problem;

/// The file of one upload while a request writes to it.
pub(super) struct Station {
    file: File,
    path: PathBuf,
    /// Bytes in the file.
    pub(super) end: u64,
    pub(super) reading: Box<Reading>,
}

impl Station {
    /// Opens the file at the acknowledged offset; what a cut-off write left beyond it is written again.
    ///
    /// # Errors
    /// What the disk says.
    pub(super) async fn open(path: PathBuf, at: u64, reading: Box<Reading>) -> Result<Self, Problem> {
        blocking(move || {
            let mut file = OpenOptions::new().write(true).open(&path)?;
            file.set_len(at)?;
            file.seek(SeekFrom::Start(at))?;
            Ok(Self {
                file,
                path,
                end: at,
                reading,
            })
        })
        .await
    }

    /// Writes, and reads if `reads`.
    ///
    /// # Errors
    /// What the disk says; the station is lost, and what it wrote since the acknowledged offset with it.
    pub(super) async fn write(mut self, chunks: Vec<Bytes>, reads: bool) -> Result<Self, Problem> {
        blocking(move || {
            for chunk in &chunks {
                self.file.write_all(chunk)?;
                self.end += chunk.len() as u64;
                if reads {
                    self.reading.push(chunk);
                }
            }
            Ok(self)
        })
        .await
    }

    /// Waits until the disk has it.
    ///
    /// # Errors
    /// As [`Station::write`].
    pub(super) async fn sync(self) -> Result<Self, Problem> {
        blocking(move || self.file.sync_data().map(|()| self)).await
    }

    /// Cuts the file back.
    ///
    /// # Errors
    /// As [`Station::write`].
    pub(super) async fn cut(mut self, at: u64) -> Result<Self, Problem> {
        blocking(move || {
            self.file.set_len(at)?;
            self.file.seek(SeekFrom::Start(at))?;
            self.end = at;
            Ok(self)
        })
        .await
    }

    /// Reads what was written without being read.
    ///
    /// # Errors
    /// As [`Station::write`].
    pub(super) async fn catch_up(mut self) -> Result<Self, Problem> {
        blocking(move || self.reading.catch_up(&self.path, self.end).map(|()| self)).await
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
