//! Uploads that survive a broken line: tus 1.0 with creation, in pieces the relay makes durable one by one.

use std::io::SeekFrom;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::stream;
use http::{Method, Response, header};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::time::Instant;

use super::{ApiError, RelayApi, empty};

/// Bytes sent before the relay is asked to make them durable. A broken line costs at most this much.
const PIECE: u64 = 64 << 20;
/// Bytes read from disk at once.
const BLOCK: usize = 256 << 10;
/// A relay that takes no byte and gives no answer for so long is not there. It syncs a piece in less.
const SILENCE: Duration = Duration::from_secs(180);
/// Where uploads lie.
const UPLOADS: &str = "/v1/uploads/";

/// An upload under way at the relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// Its path at the relay, `/v1/uploads/ID`.
    pub path: String,
    /// Bytes the relay has made durable.
    pub offset: u64,
}

impl RelayApi {
    /// Begins an upload of `length` bytes with this SHA-256 (hex).
    ///
    /// # Errors
    /// [`ApiError`]; too large, over quota and no space are told before any byte is sent.
    pub async fn create_upload(&self, length: u64, sha256: &str) -> Result<Upload, ApiError> {
        let metadata = format!(
            "filename {},sha256 {}",
            STANDARD.encode("container.asice"),
            STANDARD.encode(sha256)
        );
        let request = self
            .request(Method::POST, "/v1/uploads")
            .header("tus-resumable", "1.0.0")
            .header("upload-length", length)
            .header("upload-metadata", metadata)
            .body(empty());
        let response = self.answer(request).await?;
        let location = response
            .headers()
            .get(header::LOCATION)
            .and_then(|value| value.to_str().ok());
        let location = location.ok_or_else(|| ApiError::Unexpected("an upload without a place".to_owned()))?;
        // The place may be given as a whole URL; only its path is kept, so that no answer sends us elsewhere.
        let path = location.parse::<http::Uri>().map(|uri| uri.path().to_owned());
        let path = path.ok().filter(|path| path.starts_with(UPLOADS));
        let path = path.ok_or_else(|| ApiError::Unexpected("an upload without a place".to_owned()))?;
        Ok(Upload { path, offset: 0 })
    }

    /// How far an earlier upload has come.
    ///
    /// # Errors
    /// [`ApiError::Problem`] `upload_unknown` if the relay has forgotten it: begin again.
    pub async fn resume_upload(&self, path: &str) -> Result<Upload, ApiError> {
        let request = self
            .request(Method::HEAD, path)
            .header("tus-resumable", "1.0.0")
            .body(empty());
        let response = self.answer(request).await?;
        Ok(Upload {
            path: path.to_owned(),
            offset: offset(&response)?,
        })
    }

    /// Sends the rest of `file`; `progress` hears of every block handed to the network.
    ///
    /// # Errors
    /// [`ApiError`]; after [`ApiError::Unreachable`], [`Self::resume_upload`] tells where to go on.
    pub async fn send_upload(
        &self,
        upload: &mut Upload,
        file: &Path,
        length: u64,
        progress: impl Fn(u64) + Send + Sync + Clone + 'static,
    ) -> Result<(), ApiError> {
        let pulse = Arc::new(Mutex::new(Instant::now()));
        while upload.offset < length {
            beat(&pulse);
            let piece = PIECE.min(length - upload.offset);
            let mut source = File::open(file).await?;
            source.seek(SeekFrom::Start(upload.offset)).await?;
            let progress = {
                let (progress, pulse) = (progress.clone(), Arc::clone(&pulse));
                move |sent| {
                    beat(&pulse);
                    progress(sent);
                }
            };
            let blocks = stream::try_unfold((source.take(piece), upload.offset), move |(mut source, sent)| {
                let progress = progress.clone();
                async move {
                    let mut block = vec![0; BLOCK];
                    let read = source.read(&mut block).await?;
                    if read == 0 {
                        return Ok::<_, std::io::Error>(None);
                    }
                    block.truncate(read);
                    let sent = sent + read as u64;
                    progress(sent);
                    Ok(Some((Frame::data(Bytes::from(block)), (source, sent))))
                }
            });
            let request = self
                .request(Method::PATCH, &upload.path)
                .header("tus-resumable", "1.0.0")
                .header("upload-offset", upload.offset)
                .header(header::CONTENT_TYPE, "application/offset+octet-stream")
                .header(header::CONTENT_LENGTH, piece)
                .body(BodyExt::boxed_unsync(StreamBody::new(blocks)));
            // A slow line may need hours for a piece, but moves.
            let response = tokio::select! {
                response = self.exchange(request) => response?,
                () = still(&pulse) => return Err(ApiError::Unreachable("the line is silent".to_owned())),
            };
            let reached = offset(&response)?;
            if reached <= upload.offset || reached > length {
                return Err(ApiError::Unexpected(format!(
                    "the upload stands at {reached} of {length} bytes"
                )));
            }
            upload.offset = reached;
        }
        Ok(())
    }
}

fn beat(pulse: &Mutex<Instant>) {
    *pulse.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
}

/// Returns once nothing has moved for [`SILENCE`].
async fn still(pulse: &Mutex<Instant>) {
    loop {
        let until = *pulse.lock().unwrap_or_else(PoisonError::into_inner) + SILENCE;
        if Instant::now() >= until {
            return;
        }
        tokio::time::sleep_until(until).await;
    }
}

fn offset(response: &Response<Incoming>) -> Result<u64, ApiError> {
    let value = response
        .headers()
        .get("upload-offset")
        .and_then(|value| value.to_str().ok());
    let number = value.and_then(|value| value.parse().ok());
    number.ok_or_else(|| ApiError::Unexpected("an upload without an offset".to_owned()))
}
