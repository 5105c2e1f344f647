//! Bodies as they come down: bounded in bytes, and in how slowly they may come.

use std::time::Duration;

use http::Response;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::Instant;

use super::ApiError;

/// A body that brings nothing for so long has lost its line.
const SILENCE: Duration = Duration::from_secs(60);
/// From then on, a body must have come at the rate of [`SLOWEST`].
const GRACE: Duration = Duration::from_secs(120);
/// Bytes a second below which no line is worth waiting for: who sends a byte a minute would keep us for ever.
const SLOWEST: f64 = 1024.0;

/// How fast a body comes.
pub(crate) struct Pace {
    began: Instant,
    bytes: u64,
}

impl Pace {
    /// A body that begins now.
    pub(crate) fn new() -> Self {
        Self {
            began: Instant::now(),
            bytes: 0,
        }
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// [`ApiError::Unreachable`] if the line breaks, is silent or too slow.
    pub(crate) async fn next(&mut self, body: &mut Incoming) -> Result<Option<bytes::Bytes>, ApiError> {
        loop {
            let frame = tokio::time::timeout(SILENCE, body.frame()).await;
            let Some(frame) = frame.map_err(|_| ApiError::Unreachable("the line is silent".to_owned()))? else {
                return Ok(None);
            };
            let frame = frame.map_err(|error| ApiError::Unreachable(error.to_string()))?;
            let bytes = frame.into_data().unwrap_or_default();
            if self.too_slow(bytes.len()) {
                return Err(ApiError::Unreachable("the answer comes too slowly".to_owned()));
            }
            if !bytes.is_empty() {
                return Ok(Some(bytes));
            }
        }
    }

    fn too_slow(&mut self, more: usize) -> bool {
        self.bytes += more as u64;
        let elapsed = self.began.elapsed();
        elapsed > GRACE && (self.bytes as f64) < elapsed.as_secs_f64() * SLOWEST
    }
}

/// A whole body of at most `most` bytes.
///
/// # Errors
/// [`ApiError::Unexpected`] if it is longer, [`ApiError::Unreachable`] as [`Pace::next`].
pub(super) async fn collect(response: Response<Incoming>, most: usize) -> Result<Vec<u8>, ApiError> {
    let (mut body, mut pace, mut all) = (response.into_body(), Pace::new(), Vec::new());
    while let Some(bytes) = pace.next(&mut body).await? {
        if all.len() + bytes.len() > most {
            return Err(ApiError::Unexpected(format!("an answer of more than {most} bytes")));
        }
        all.extend_from_slice(&bytes);
    }
    Ok(all)
}
