//! How far an upload is, and what has been read of it.

use std::sync::Arc;

use formats::asice::Container;

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

    /// Takes out the reading, brought up to the offset from the disk where it is behind.
    ///
    /// # Errors
    /// What the disk says.
    pub(crate) async fn read_up(&mut self, upload: &Upload) -> Result<Box<Reading>, Problem> {
        let kept = self.reading.take().filter(|reading| reading.position() <= self.offset);
        let mut reading = kept.unwrap_or_else(|| Box::new(Reading::new(upload.length)));
        if reading.position() == self.offset {
            return Ok(reading);
        }
        let (path, end) = (upload.path.clone(), self.offset);
        let caught_up = tokio::task::spawn_blocking(move || reading.catch_up(&path, end).map(|()| reading));
        Ok(caught_up.await.map_err(|error| Problem::internal(&error))??)
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
