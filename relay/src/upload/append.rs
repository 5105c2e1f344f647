//! The next bytes of an upload: from the socket to the disk, durable before they are acknowledged.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use formats::asice::Container;
use formats::digest::{DigestAlgorithm, MultiHasher};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use tokio::sync::OwnedMutexGuard;

use super::{OFFSET, Upload, headers};
use crate::context::Context;
use crate::intake;
use crate::observe;
use crate::peer::Peer;
use crate::problem::{Code, Problem};

/// Bytes written at once.
const CHUNK: usize = 256 * 1024;
/// A body that brings nothing for so long is over.
const SILENCE: Duration = Duration::from_secs(60);

/// How far an upload is.
pub(crate) struct Progress {
    pub(crate) offset: u64,
    /// Why nothing more is taken.
    pub(crate) refused: Option<Problem>,
    /// The container, once all of it is there and has been read.
    pub(crate) container: Option<Arc<Container>>,
}

impl Progress {
    pub(super) fn at(offset: u64) -> Self {
        Self {
            offset,
            refused: None,
            container: None,
        }
    }

    /// Ends the upload for a fault of its own; a fault of the relay's may pass.
    pub(crate) fn refuse(&mut self, problem: &Problem) {
        if problem.code().status().is_client_error() {
            self.refused = Some(problem.clone());
        }
    }
}

/// Takes a request's body at offset `at`.
///
/// # Errors
/// `offset_mismatch`, `too_large`, `checksum_mismatch` (nothing of the request is kept), and for a complete container what
/// [`intake::first_look`] finds.
pub(super) async fn append(
    context: &Context,
    peer: &Peer,
    upload: &Arc<Upload>,
    at: u64,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let checksum = headers::checksum(headers)?;
    let mut progress = upload.take_over().await;
    if let Some(refused) = &progress.refused {
        return Err(refused.clone());
    }
    if progress.offset != at {
        return Err(Problem::new(Code::OffsetMismatch).detail(
            format!("中継所の位置は {} です。", progress.offset),
            format!("The relay stands at {}.", progress.offset),
        ));
    }
    let ended = receive(upload, &mut progress, body, checksum).await;
    upload.touch();
    ended?;
    if progress.offset == upload.length
        && progress.container.is_none()
        && let Err(problem) = intake::first_look(context, peer, upload, &mut progress).await
    {
        progress.refuse(&problem);
        return Err(problem);
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    response.headers_mut().insert(OFFSET, progress.offset.into());
    Ok(response)
}

/// Body to disk. However it ends, what was kept is durable and the offset says how much that is.
async fn receive(
    upload: &Arc<Upload>,
    progress: &mut OwnedMutexGuard<Progress>,
    mut body: Body,
    checksum: Option<Vec<u8>>,
) -> Result<(), Problem> {
    let start = progress.offset;
    let mut taken_over = upload.watch();
    taken_over.mark_unchanged();
    let mut writer = Some(Writer::open(upload.path.clone(), start).await?);
    let mut hasher = checksum.as_ref().map(|_| MultiHasher::new([DigestAlgorithm::Sha256]));
    let mut waiting: Vec<Bytes> = Vec::new();
    let mut held = 0;
    let mut end = start;
    let outcome = loop {
        let frame = tokio::select! {
            frame = tokio::time::timeout(SILENCE, body.frame()) => frame,
            _ = taken_over.changed() => break Err(Problem::new(Code::StateConflict)),
        };
        let data = match frame {
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => data,
                Err(_) => continue,
            },
            Ok(None) => break Ok(()),
            Ok(Some(Err(_))) | Err(_) => break Err(headers::invalid("the body ended early")),
        };
        end += data.len() as u64;
        if end > upload.length {
            break Err(Problem::new(Code::TooLarge).finding("more bytes than Upload-Length"));
        }
        if let Some(hasher) = &mut hasher {
            hasher.update(&data);
        }
        held += data.len();
        waiting.push(data);
        if held >= CHUNK {
            held = 0;
            writer = write(writer, std::mem::take(&mut waiting), false).await?;
        }
    };
    write(writer, waiting, true).await?;
    let mut kept = std::fs::metadata(&upload.path)?.len().min(upload.length);
    let matches = match (checksum, hasher) {
        (Some(stated), Some(hasher)) => hasher.finish().get(DigestAlgorithm::Sha256) == Some(stated.as_slice()),
        _ => true,
    };
    if !matches {
        // Bytes whose hash is wrong or unknown are not kept.
        OpenOptions::new().write(true).open(&upload.path)?.set_len(start)?;
        kept = start;
    }
    progress.offset = kept;
    metrics::counter!(observe::UPLOAD_BYTES).increment(kept - start);
    outcome?;
    if matches {
        Ok(())
    } else {
        Err(Code::ChecksumMismatch.into())
    }
}

async fn write(writer: Option<Writer>, chunks: Vec<Bytes>, last: bool) -> Result<Option<Writer>, Problem> {
    let Some(mut writer) = writer else {
        return Ok(None);
    };
    let done = tokio::task::spawn_blocking(move || {
        for chunk in &chunks {
            writer.0.write_all(chunk)?;
        }
        if last {
            writer.0.sync_data()?;
        }
        io::Result::Ok(writer)
    });
    Ok(Some(done.await.map_err(|error| Problem::internal(&error))??))
}

struct Writer(File);

impl Writer {
    async fn open(path: PathBuf, at: u64) -> Result<Self, Problem> {
        let opened = tokio::task::spawn_blocking(move || {
            let mut file = OpenOptions::new().write(true).open(path)?;
            // What a cut-off write left beyond the acknowledged offset is written again.
            file.set_len(at)?;
            file.seek(SeekFrom::Start(at))?;
            io::Result::Ok(Self(file))
        });
        Ok(opened.await.map_err(|error| Problem::internal(&error))??)
    }
}
