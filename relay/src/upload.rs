//! Uploads: tus 1.0 with creation, creation-with-upload, checksum (sha256), expiration and termination.
//!
//! An upload is a folder whose file grows, sealed, and a small file that says what it is; both are on disk before the client
//! hears of them, so that a restart loses no acknowledged byte. Where relays share a bucket it is sealed parts there and a row in
//! their database, and any of them goes on where another stopped. A newer request takes the upload over from an older one that
//! hangs.

mod append;
mod body;
mod claim;
mod growing;
mod headers;
mod parted;
mod progress;
mod reading;
mod sealing;
mod shelf;
mod slip;
mod station;
mod under_way;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::context::Context;
use crate::objects::of_bucket;
use crate::peer::Peer;
use crate::problem::{Code, Problem};
use crate::store::StoreError;
use headers::{Wish, tus};
pub(crate) use progress::Progress;
pub(crate) use reading::Reading;
pub(crate) use shelf::{PER_FACILITY, Uploads, bytes_per_facility};
pub(crate) use under_way::Upload;

const OFFSET: &str = "upload-offset";
const LENGTH: &str = "upload-length";
const EXPIRES: &str = "upload-expires";

/// `OPTIONS /v1/uploads`: what this relay speaks.
pub(crate) async fn options(State(context): State<Context>) -> Result<Response, Problem> {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    tus(headers);
    headers.insert("tus-version", HeaderValue::from_static("1.0.0"));
    headers.insert(
        "tus-extension",
        HeaderValue::from_static("creation,creation-with-upload,checksum,expiration,termination"),
    );
    headers.insert("tus-checksum-algorithm", HeaderValue::from_static("sha256"));
    headers.insert("tus-max-size", context.config.limits.max_container.into());
    Ok(response)
}

/// `POST /v1/uploads`: size, quota and room are judged before any byte is taken.
pub(crate) async fn create(
    State(context): State<Context>,
    peer: Peer,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    headers::version(&headers)?;
    let wish = Wish::read(&headers)?;
    let with_bytes = headers.get(CONTENT_TYPE).is_some();
    if with_bytes {
        headers::media_type(&headers)?;
    }
    let upload = context.uploads.create(&context, &peer, wish).await?;
    let mut response = if with_bytes {
        append::append(&context, &peer, &upload, 0, &headers, body).await?
    } else {
        let mut response = ().into_response();
        response.headers_mut().insert(OFFSET, 0.into());
        response
    };
    *response.status_mut() = StatusCode::CREATED;
    let location = format!("/v1/uploads/{}", upload.id);
    response.headers_mut().insert(LOCATION, headers::value(&location)?);
    dress(&mut response, &upload)?;
    Ok(response)
}

/// `HEAD /v1/uploads/{id}`: how far it is. Takes over from a request that hangs, so that the answer stays true.
pub(crate) async fn offset(
    State(context): State<Context>,
    peer: Peer,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    headers::version(&headers)?;
    let upload = context.uploads.find(&peer, &id).await?;
    let progress = upload.take_over().await?;
    let mut response = ().into_response();
    response.headers_mut().insert(OFFSET, progress.offset.into());
    response.headers_mut().insert(LENGTH, upload.length.into());
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    dress(&mut response, &upload)?;
    Ok(response)
}

/// `PATCH /v1/uploads/{id}`: the next bytes.
pub(crate) async fn append(
    State(context): State<Context>,
    peer: Peer,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    headers::version(&headers)?;
    headers::media_type(&headers)?;
    let upload = context.uploads.find(&peer, &id).await?;
    let at = headers::number(&headers, OFFSET)?.ok_or_else(|| headers::invalid("Upload-Offset is missing"))?;
    let mut response = append::append(&context, &peer, &upload, at, &headers, body).await?;
    dress(&mut response, &upload)?;
    Ok(response)
}

/// `DELETE /v1/uploads/{id}`
pub(crate) async fn terminate(
    State(context): State<Context>,
    peer: Peer,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    headers::version(&headers)?;
    let upload = context.uploads.find(&peer, &id).await?;
    let progress = upload.take_over().await?;
    context.uploads.remove(&upload).await;
    drop(progress);
    let mut response = StatusCode::NO_CONTENT.into_response();
    tus(response.headers_mut());
    Ok(response)
}

fn dress(response: &mut Response, upload: &Upload) -> Result<(), Problem> {
    tus(response.headers_mut());
    let expires = headers::http_date(upload.expires());
    response.headers_mut().insert(EXPIRES, headers::value(&expires)?);
    Ok(())
}

impl From<std::io::Error> for Problem {
    fn from(error: std::io::Error) -> Self {
        let cause = error.get_ref();
        if cause.is_some_and(|cause| cause.is::<claim::TakenOver>()) {
            return Code::StateConflict.into();
        }
        if let Some(error) = cause.and_then(|cause| cause.downcast_ref::<StoreError>()) {
            return error.clone().into();
        }
        if let Some(error) = of_bucket(&error) {
            tracing::error!(%error, "the bucket does not answer as it must");
            return Code::StoreUnavailable.into();
        }
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Code::NoSpace.into(),
            _ => Self::internal(&error),
        }
    }
}
