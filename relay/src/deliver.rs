//! Documents leave the relay: container, single files, ranges of both. Looking is an act: the record of who looks is durable
//! before the first byte goes out.
//!
//! Every request that sends bytes is recorded, the resumption of a broken download too: whoever reads the account sees in the
//! scope which bytes went out each time, and no judgement of the relay's stands between the act and its record. A request that
//! sends no bytes (HEAD, an unsatisfiable range) is not recorded.

mod locate;
mod range;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use formats::digest::sha256;
use formats::envelope::Category;
use formats::trail::{Access, Event};
use formats::wire::{
    DocumentSummary, Purpose, RecipientState, RecipientStatus, RevisedVerdict, SubmissionId, SubmissionState,
};
use futures_util::{StreamExt, TryStreamExt};
use http::header::{ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Deserialize;

use crate::clock;
use crate::context::Context;
use crate::observe;
use crate::peer::Peer;
use crate::problem::{Code, Problem};
use crate::store::{Batch, Condition, StoreError, SubmissionRow};
use crate::view;
pub(crate) use locate::entries_below;
use range::Portion;

const CONTAINER_TYPE: &str = "application/vnd.etsi.asic-e+zip";

/// Query of downloads.
#[derive(Debug, Deserialize)]
pub(crate) struct PurposeQuery {
    purpose: Option<Purpose>,
}

/// What is sent: bytes of the stored container, and what they are called.
struct Representation {
    /// Where they begin in the container.
    start: u64,
    size: u64,
    media_type: String,
    etag: String,
    /// Path in the container, `*` for all of it.
    scope: String,
}

/// `HEAD /v1/submissions/{id}/container`: size and entity tag; no byte, no record.
pub(crate) async fn container_size(
    State(context): State<Context>,
    peer: Peer,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let row = held(&context, &peer, &id).await?;
    whole(&row).head()
}

/// `GET /v1/submissions/{id}/container?purpose=`
pub(crate) async fn container(
    State(context): State<Context>,
    peer: Peer,
    Path(id): Path<String>,
    Query(query): Query<PurposeQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let row = held(&context, &peer, &id).await?;
    let sent = whole(&row);
    send(
        &context,
        &peer,
        row,
        sent,
        query.purpose.unwrap_or(Purpose::Import),
        &headers,
    )
    .await
}

/// `HEAD /v1/submissions/{id}/files/{path}`
pub(crate) async fn file_size(
    State(context): State<Context>,
    peer: Peer,
    Path((id, path)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let row = held(&context, &peer, &id).await?;
    one_file(&context, &row, &path).await?.head()
}

/// `GET /v1/submissions/{id}/files/{path}?purpose=`
pub(crate) async fn file(
    State(context): State<Context>,
    peer: Peer,
    Path((id, path)): Path<(String, String)>,
    Query(query): Query<PurposeQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let row = held(&context, &peer, &id).await?;
    let sent = one_file(&context, &row, &path).await?;
    send(
        &context,
        &peer,
        row,
        sent,
        query.purpose.unwrap_or(Purpose::View),
        &headers,
    )
    .await
}

/// `POST /v1/submissions/{id}/acknowledgement`: the recipient has it. Said again, it stays said.
pub(crate) async fn acknowledge(
    State(context): State<Context>,
    peer: Peer,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<RecipientStatus>, Problem> {
    let row = addressed(&context, &peer, &id).await?;
    let person = peer.person_if_named(&context, &headers).await?;
    let facility = &peer.facility.code;
    let party = row
        .submission
        .recipients
        .iter()
        .find(|party| party.facility == *facility);
    let recipient = party.cloned().ok_or(Code::NotFound)?;
    let (_, state) = row
        .recipients
        .iter()
        .find(|(code, _)| code == facility)
        .ok_or(Code::NotFound)?;
    match state {
        RecipientState::Acknowledged => {}
        RecipientState::Stopped => return Err(Code::VerdictRevised.into()),
        RecipientState::Waiting => {
            return Err(Problem::new(Code::StateConflict).detail(
                "まだ取り出していない送信は受領確認できません。",
                "What has not been fetched cannot be acknowledged.",
            ));
        }
        RecipientState::Delivered | RecipientState::Viewed => {
            let event = Event::Acknowledged {
                submission: row.submission.submission.clone(),
                sender: row.submission.sender.facility.clone(),
                recipient: facility.clone(),
                patient: row.submission.patient.clone(),
            };
            let actor = person.map_or_else(|| peer.actor(), |person| peer.actor_for(&person));
            commit(&context, &peer, &row.submission.submission, actor, event, None).await?;
        }
    }
    Ok(Json(RecipientStatus {
        recipient,
        state: RecipientState::Acknowledged,
    }))
}

/// The submission, if it is accepted and addressed to the peer; its sender has its own copy.
async fn addressed(context: &Context, peer: &Peer, id: &str) -> Result<SubmissionRow, Problem> {
    let id: SubmissionId = id.parse().map_err(|_| Code::NotFound)?;
    let Some(row) = context.store.submission(&id).await? else {
        return Err(view::unknown(context, &id).await?.into());
    };
    let ours = row
        .recipients
        .iter()
        .any(|(recipient, _)| *recipient == peer.facility.code);
    if !ours || row.state != SubmissionState::Accepted {
        return Err(Code::NotFound.into());
    }
    match row.revised_verdict() {
        Some(revised) => Err(stopped(&revised)),
        None => Ok(row),
    }
}

/// Delivered no more: what came to light, and where the new report is.
fn stopped(revised: &RevisedVerdict) -> Problem {
    let verdict = revised.sub_indication.as_deref().unwrap_or(&revised.indication);
    Problem::new(Code::VerdictRevised).detail(
        format!("{verdict}: {}", revised.because),
        format!("{verdict}: {}", revised.because),
    )
}

/// [`addressed`], with its container still here.
async fn held(context: &Context, peer: &Peer, id: &str) -> Result<SubmissionRow, Problem> {
    let row = addressed(context, peer, id).await?;
    if row.erased.is_some() {
        return Err(Code::ContainerErased.into());
    }
    Ok(row)
}

fn whole(row: &SubmissionRow) -> Representation {
    Representation {
        start: 0,
        size: row.submission.size,
        media_type: CONTAINER_TYPE.to_owned(),
        etag: format!("\"{}\"", row.submission.container_sha256),
        scope: "*".to_owned(),
    }
}

async fn one_file(context: &Context, row: &SubmissionRow, path: &str) -> Result<Representation, Problem> {
    let submission = &row.submission;
    let found = locate::entry(&context.containers, &submission.stored_as, submission.size, path).await?;
    let document = submission
        .documents
        .iter()
        .find(|document| document.path == path || (document.path.ends_with('/') && path.starts_with(&document.path)));
    let media_type = match document {
        Some(document) => document.media_type.clone(),
        None if path == "submission.json" => "application/json".to_owned(),
        None => "application/octet-stream".to_owned(),
    };
    let tag = sha256(format!("{}\n{path}", submission.container_sha256).as_bytes());
    Ok(Representation {
        start: found.start,
        size: found.end - found.start,
        media_type,
        etag: format!("\"{}\"", hex::encode(tag)),
        scope: path.to_owned(),
    })
}

/// Billing categories of the documents a path touches, each once.
fn categories(documents: &[DocumentSummary], path: &str) -> Vec<Category> {
    let mut found = Vec::new();
    for document in documents {
        let below = document.path.ends_with('/') && path.starts_with(&document.path);
        let touched = path == "*" || path == document.path || below;
        if touched && !found.contains(&document.category) {
            found.push(document.category);
        }
    }
    found
}

/// Records who looks, waits until that is durable, then sends.
async fn send(
    context: &Context,
    peer: &Peer,
    row: SubmissionRow,
    sent: Representation,
    purpose: Purpose,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let person = peer.person(context, headers).await?;
    let portion = Portion::asked(headers, sent.size, &sent.etag)?;
    let bytes = portion.bytes(sent.size);
    let submission = row.submission;
    // Opened before the record, so that a damaged store is not recorded as a delivery.
    let range = sent.start + bytes.start..sent.start + bytes.end;
    let stream = if range.is_empty() {
        futures_util::stream::empty().boxed()
    } else {
        context
            .containers
            .open_range(&submission.stored_as, Some(range))
            .await?
            .stream
    };
    let scope = match &portion {
        Portion::Whole => sent.scope.clone(),
        Portion::Part(part) => format!("{} bytes {}-{}", sent.scope, part.start, part.end - 1),
    };
    let access = Access {
        submission: submission.submission.clone(),
        sender: submission.sender.facility,
        recipient: peer.facility.code.clone(),
        patient: submission.patient,
        purpose,
        categories: categories(&submission.documents, &sent.scope),
        scope: vec![scope],
    };
    let event = match purpose {
        Purpose::Import => Event::Delivered(access),
        Purpose::View => Event::Viewed(access),
    };
    let kept = Some(Condition::Kept(submission.submission.clone()));
    commit(
        context,
        peer,
        &submission.submission,
        peer.actor_for(&person),
        event,
        kept,
    )
    .await?;
    metrics::counter!(observe::DELIVERED_BYTES).increment(bytes.end - bytes.start);
    let stream = stream.inspect_err(|error| tracing::error!(%error, "a stored container cannot be read"));
    let mut response = Response::new(Body::from_stream(stream));
    sent.headers(response.headers_mut(), bytes.end - bytes.start)?;
    if let Portion::Part(part) = portion {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let range = format!("bytes {}-{}/{}", part.start, part.end - 1, sent.size);
        response.headers_mut().insert(CONTENT_RANGE, value(&range)?);
    }
    Ok(response)
}

async fn commit(
    context: &Context,
    peer: &Peer,
    id: &SubmissionId,
    actor: formats::trail::Actor,
    event: Event,
    kept: Option<Condition>,
) -> Result<(), Problem> {
    let mut conditions = vec![
        peer.active(),
        Condition::Recipient(id.clone(), peer.facility.code.clone()),
    ];
    conditions.extend(kept);
    let batch = Batch {
        actor,
        time: clock::now(),
        events: vec![event],
        conditions,
    };
    match context.store.commit(batch).committed().await {
        Ok(_) => Ok(()),
        // Stopped between the look at its state and the record.
        Err(StoreError::Conflict(Condition::Recipient(..))) => {
            let row = context.store.submission(id).await?;
            let revised = row.and_then(|row| row.revised_verdict());
            Err(revised.map_or_else(|| Code::NotFound.into(), |revised| stopped(&revised)))
        }
        Err(error) => Err(error.into()),
    }
}

impl Representation {
    fn head(&self) -> Result<Response, Problem> {
        let mut response = ().into_response();
        self.headers(response.headers_mut(), self.size)?;
        Ok(response)
    }

    fn headers(&self, headers: &mut HeaderMap, length: u64) -> Result<(), Problem> {
        headers.insert(CONTENT_TYPE, value(&self.media_type)?);
        headers.insert(CONTENT_LENGTH, length.into());
        headers.insert(ETAG, value(&self.etag)?);
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(())
    }
}

fn value(text: &str) -> Result<HeaderValue, Problem> {
    HeaderValue::from_str(text).map_err(|error| Problem::internal(&error))
}
