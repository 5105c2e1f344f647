//! The next bytes of an upload: from the socket to the disk and through the reading, durable before they are acknowledged.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use formats::digest::{DigestAlgorithm, MultiHasher};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;

use super::station::Station;
use super::{OFFSET, Upload, headers};
use crate::context::Context;
use crate::intake;
use crate::observe;
use crate::peer::Peer;
use crate::problem::{Code, Problem};

/// Bytes written and read at once.
const CHUNK: usize = 512 * 1024;
/// A body that brings nothing for so long is over.
const SILENCE: Duration = Duration::from_secs(60);

/// Takes a request's body at offset `at`.
///
/// # Errors
/// `offset_mismatch`, `too_large`, `checksum_mismatch` (nothing of the request is kept), and what [`intake::look`] refuses.
pub(super) async fn append(
    context: &Context,
    peer: &Peer,
    upload: &Arc<Upload>,
    at: u64,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let checksum = headers::checksum(headers)?;
    let (context, peer, upload) = (context.clone(), peer.clone(), Arc::clone(upload));
    // A client that hangs up must not stop it between bytes and offset, or between refusal and record: it runs on its own.
    let taken = tokio::spawn(async move { take(&context, &peer, &upload, at, checksum, body).await });
    let offset = taken.await.map_err(|error| Problem::internal(&error))??;
    let mut response = StatusCode::NO_CONTENT.into_response();
    response.headers_mut().insert(OFFSET, offset.into());
    Ok(response)
}

async fn take(
    context: &Context,
    peer: &Peer,
    upload: &Arc<Upload>,
    at: u64,
    checksum: Option<Vec<u8>>,
    body: Body,
) -> Result<u64, Problem> {
    let mut progress = upload.take_over().await?;
    if let Some(refused) = &progress.refused {
        return Err(refused.clone());
    }
    let reading = progress.read_up(upload).await?;
    if progress.offset != at {
        progress.reading = Some(reading);
        return Err(Problem::new(Code::OffsetMismatch).detail(
            format!("中継所の位置は {} です。", progress.offset),
            format!("The relay stands at {}.", progress.offset),
        ));
    }
    let station = Station::open(Arc::clone(upload), at, reading).await?;
    // Before its first byte, so that no restart takes for checked what is not.
    upload.note_checked(checksum.is_some().then_some(at)).await?;
    let (station, ended) = receive(context, peer, upload, station, body, checksum).await?;
    upload.touch();
    progress.offset = station.end();
    progress.reading = Some(station.reading);
    metrics::counter!(observe::UPLOAD_BYTES).increment(progress.offset.saturating_sub(at));
    match ended {
        Ok(()) => {}
        Err(Stop::Broken(problem)) => return Err(problem),
        Err(Stop::Refused(problem)) => {
            upload.give_up(&mut progress, &problem).await;
            return Err(problem);
        }
    }
    if progress.offset == upload.length {
        intake::complete(context, peer, upload, &mut progress).await?;
    }
    Ok(progress.offset)
}

/// Why a body ended before its end.
enum Stop {
    /// Something with the request; the upload goes on.
    Broken(Problem),
    /// Something with the container; the upload is over.
    Refused(Problem),
}

/// Body to disk and through the reading. However it ends, what the station keeps is durable.
///
/// # Errors
/// What the disk says; nothing of the request is then acknowledged.
async fn receive(
    context: &Context,
    peer: &Peer,
    upload: &Arc<Upload>,
    mut station: Station,
    mut body: Body,
    checksum: Option<Vec<u8>>,
) -> Result<(Station, Result<(), Stop>), Problem> {
    let start = station.end();
    let mut taken_over = upload.watch();
    taken_over.mark_unchanged();
    // Bytes whose hash is stated are read once it was found right: a broken line must not become a refusal.
    let reads = checksum.is_none();
    let mut hasher = checksum.as_ref().map(|_| MultiHasher::new([DigestAlgorithm::Sha256]));
    let mut waiting: Vec<Bytes> = Vec::new();
    let (mut held, mut end) = (0, start);
    let mut ended = loop {
        let frame = tokio::select! {
            frame = tokio::time::timeout(SILENCE, body.frame()) => frame,
            _ = taken_over.changed() => break Err(Stop::Broken(Code::StateConflict.into())),
        };
        let data = match frame {
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => data,
                Err(_) => continue,
            },
            Ok(None) => break Ok(()),
            Ok(Some(Err(_))) | Err(_) => break Err(Stop::Broken(headers::invalid("the body ended early"))),
        };
        end += data.len() as u64;
        if end > upload.length {
            let problem = Problem::new(Code::TooLarge).finding("more bytes than Upload-Length");
            break Err(Stop::Broken(problem));
        }
        if let Some(hasher) = &mut hasher {
            hasher.update(&data);
        }
        held += data.len();
        waiting.push(data);
        if held >= CHUNK {
            held = 0;
            station = station.write(std::mem::take(&mut waiting), reads).await?;
            if reads && let Err(problem) = intake::look(context, peer, upload, &mut station.reading).await {
                break Err(Stop::Refused(problem));
            }
        }
    };
    if let Err(Stop::Refused(_)) = ended {
        return Ok((station, ended));
    }
    station = station.write(waiting, reads).await?;
    let matches = match (checksum, hasher) {
        (Some(stated), Some(hasher)) => hasher.finish().get(DigestAlgorithm::Sha256) == Some(stated.as_slice()),
        _ => true,
    };
    if matches {
        station = station.sync().await?.catch_up().await?;
        if !reads {
            upload.note_checked(Some(station.end())).await?;
        }
        if let Err(problem) = intake::look(context, peer, upload, &mut station.reading).await {
            ended = Err(Stop::Refused(problem));
        }
    } else {
        // Bytes whose hash is wrong or unknown are not kept.
        station = station.cut(start).await?;
        if ended.is_ok() {
            ended = Err(Stop::Broken(Code::ChecksumMismatch.into()));
        }
    }
    Ok((station, ended))
}
