//! How far an upload is, and what has been read of it.

use std::io;
use std::sync::Arc;

use formats::asice::Container;
use tokio::runtime::Handle;

use super::body::Body;
use super::station::blocking;
use super::{Reading, Upload};
use crate::problem::Problem;

/// How far an upload is.
pub(crate) struct Progress {
    pub(crate) offset: u64,
    /// Why nothing more is taken.
    pub(crate) refused: Option<Problem>,
    /// `None` after a restart, and while somebody works on it.
    pub(super) reading: Option<Box<Reading>>,
    /// The container, once all of it is there and has been read.
    pub(crate) container: Option<Arc<Container>>,
}

impl Progress {
    pub(super) fn at(offset: u64) -> Self {
        Self {
            offset,
            refused: None,
            reading: None,
            container: None,
        }
    }

    /// Takes out the reading, brought up to the offset from the disk where it is behind. Bytes that a power cut has torn, and of
    /// which nobody was told, are found here: the offset is then before them.
    ///
    /// # Errors
    /// What the disk says.
    pub(crate) async fn read_up(&mut self, upload: &Arc<Upload>) -> Result<Box<Reading>, Problem> {
        let kept = self.reading.take().filter(|reading| reading.position() <= self.offset);
        let reading = kept.unwrap_or_else(|| Box::new(Reading::new(upload.length)));
        if reading.position() == self.offset {
            return Ok(reading);
        }
        let (upload, end, handle) = (Arc::clone(upload), self.offset, Handle::current());
        let (reading, end) = blocking(move || up_to(&upload, &handle, reading, end)).await?;
        self.offset = end;
        Ok(reading)
    }

    /// Puts a reading back that is to go on.
    pub(crate) fn keep(&mut self, reading: Box<Reading>) {
        self.reading = Some(reading);
    }

    /// Ends the upload for a fault of its own; a fault of the relay's may pass.
    pub(crate) fn refuse(&mut self, problem: &Problem) {
        if problem.code().status().is_client_error() {
            self.refused = Some(problem.clone());
            self.reading = None;
            self.container = None;
        }
    }
}

/// Reads on up to `end`, or up to what is good.
fn up_to(
    upload: &Arc<Upload>,
    handle: &Handle,
    mut reading: Box<Reading>,
    mut end: u64,
) -> io::Result<(Box<Reading>, u64)> {
    loop {
        let passed = Body::open(upload, handle.clone(), end)
            .map_err(|error| (error, end))
            .and_then(|body| reading.catch_up(&body).map_err(|error| (error, reading.position())));
        let (error, bad) = match passed {
            Ok(()) => return Ok((reading, end)),
            Err(failed) => failed,
        };
        let good = match error.kind() {
            io::ErrorKind::InvalidData => Body::before(upload, bad)?,
            _ => None,
        };
        let Some(good) = good.filter(|good| *good < end) else {
            return Err(error);
        };
        tracing::warn!(
            id = upload.id,
            from = good,
            "bytes of an upload that a power cut has torn are asked for again"
        );
        end = good;
    }
}
