//! What can be seen of submissions without opening a document: inbox, state, events, receipt, report, evidence, archive.
//!
//! Sender and recipients only; for everyone else the submission does not exist. A recipient sees itself, not who else receives.

use std::io;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use formats::trail::{Event, Record};
use formats::wire::{
    FacilityCode, InboxItem, InboxPage, Receipt, RecipientStatus, SubmissionEvent, SubmissionId, SubmissionState,
    SubmissionStatus,
};
use futures_util::stream::BoxStream;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use serde::Deserialize;
use time::OffsetDateTime;

use crate::clock;
use crate::context::Context;
use crate::intake::kept;
use crate::peer::Peer;
use crate::problem::{Code, Problem};
use crate::revise::{evidence_name, report_name};
use crate::store::{Month, SubmissionRow};

/// Largest page of an inbox.
const PAGE: usize = 200;

/// Query of `GET /v1/inbox`.
#[derive(Debug, Deserialize)]
pub(crate) struct InboxQuery {
    after: Option<u64>,
    limit: Option<usize>,
}

/// `GET /v1/inbox?after=&limit=`
pub(crate) async fn inbox(
    State(context): State<Context>,
    peer: Peer,
    Query(query): Query<InboxQuery>,
) -> Result<Json<InboxPage>, Problem> {
    let limit = query.limit.unwrap_or(50).clamp(1, PAGE);
    // One more than asked for tells whether there is a following page.
    let mut rows = context
        .store
        .inbox(&peer.facility.code, query.after.unwrap_or(0), limit + 1)
        .await?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(SubmissionRow::inbox_position);
    let items = rows
        .into_iter()
        .filter_map(|row| item(row, &peer.facility.code))
        .collect();
    Ok(Json(InboxPage { items, next }))
}

fn item(row: SubmissionRow, facility: &FacilityCode) -> Option<InboxItem> {
    let (_, state) = row.recipients.iter().find(|(recipient, _)| recipient == facility)?;
    Some(InboxItem {
        revised: row.revised_verdict(),
        position: row.inbox_position(),
        id: row.submission.submission,
        state: *state,
        received: row.received,
        sender: row.submission.sender,
        documents: row.submission.documents,
        archive: row.archive.is_some(),
        erase_after: row.erase_after.filter(|_| row.erased.is_none()),
        erased: row.erased,
    })
}

/// How the asking facility stands to a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Sender,
    Recipient,
}

/// The submission, if it is the peer's to see.
///
/// A recipient sees it once it is accepted: before, nothing has been sent to it.
async fn visible(context: &Context, peer: &Peer, id: &str) -> Result<(SubmissionRow, Standing), Problem> {
    let id: SubmissionId = id.parse().map_err(|_| Code::NotFound)?;
    let Some(row) = context.store.submission(&id).await? else {
        return Err(unknown(context, &id).await?.into());
    };
    let facility = &peer.facility.code;
    if row.submission.sender.facility == *facility {
        return Ok((row, Standing::Sender));
    }
    let addressed = row.recipients.iter().any(|(recipient, _)| recipient == facility);
    if addressed && row.state == SubmissionState::Accepted {
        return Ok((row, Standing::Recipient));
    }
    Err(Code::NotFound.into())
}

/// Why there is no such submission: its id tells of a time whose records are erased, whoever asks and whether it ever was; else
/// there is none.
pub(crate) async fn unknown(context: &Context, id: &SubmissionId) -> Result<Code, Problem> {
    let made = uuid::Uuid::try_parse(id.as_str())
        .ok()
        .and_then(|id| id.get_timestamp());
    let seconds = made.and_then(|made| i64::try_from(made.to_unix().0).ok());
    let made = seconds.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    let Some(made) = made.map(clock::rfc3339) else {
        return Ok(Code::NotFound);
    };
    let months = context.store.months().await?;
    let erased = |month: &Month| month.destroyed && made.starts_with(&month.month);
    Ok(if months.iter().any(erased) {
        Code::RecordsErased
    } else {
        Code::NotFound
    })
}

/// `GET /v1/submissions/{id}`
pub(crate) async fn status(
    State(context): State<Context>,
    peer: Peer,
    Path(id): Path<String>,
) -> Result<Json<SubmissionStatus>, Problem> {
    let (row, standing) = visible(&context, &peer, &id).await?;
    let revised = row.revised_verdict();
    let pending = crate::intake::pending_answer(&context, &row);
    let submission = row.submission;
    let recipients = submission
        .recipients
        .into_iter()
        .filter(|party| standing == Standing::Sender || party.facility == peer.facility.code)
        .filter_map(|party| {
            let (_, state) = row
                .recipients
                .iter()
                .find(|(facility, _)| *facility == party.facility)?;
            Some(RecipientStatus {
                recipient: party,
                state: *state,
            })
        })
        .collect();
    Ok(Json(SubmissionStatus {
        id: submission.submission,
        state: row.state,
        received: row.received,
        sender: submission.sender,
        recipients,
        documents: submission.documents,
        size: submission.size,
        container_sha256: submission.container_sha256,
        pending,
        revised,
    }))
}

/// `GET /v1/submissions/{id}/events`: what became of it, record by record.
pub(crate) async fn events(
    State(context): State<Context>,
    peer: Peer,
    Path(id): Path<String>,
) -> Result<Json<Vec<SubmissionEvent>>, Problem> {
    let (row, standing) = visible(&context, &peer, &id).await?;
    let records = context.store.submission_records(&row.submission.submission).await?;
    let mut events = Vec::new();
    for stored in records {
        let Some(event) = stored.record()?.and_then(|record| line(stored.position, record)) else {
            continue;
        };
        let own = event
            .recipient
            .as_ref()
            .is_none_or(|recipient| *recipient == peer.facility.code);
        if standing == Standing::Sender || own {
            events.push(event);
        }
    }
    Ok(Json(events))
}

fn line(position: u64, record: Record) -> Option<SubmissionEvent> {
    let (kind, recipient, scope) = match record.event {
        Event::Accepted(_) => ("Accepted", None, Vec::new()),
        Event::Pending { .. } => ("PendingEvidence", None, Vec::new()),
        Event::Refused { .. } => ("Refused", None, Vec::new()),
        Event::Delivered(access) => ("Delivered", Some(access.recipient), access.scope),
        Event::Viewed(access) => ("Viewed", Some(access.recipient), access.scope),
        Event::Acknowledged { recipient, .. } => ("Acknowledged", Some(recipient), Vec::new()),
        Event::VerdictRevised { revision, .. } => ("VerdictRevised", None, vec![revision.because]),
        Event::ArchiveMade { .. } => ("ArchiveMade", None, Vec::new()),
        Event::ErasureAnnounced { .. } => ("ErasureAnnounced", None, Vec::new()),
        Event::ContainerErased { .. } => ("ContainerErased", None, Vec::new()),
        _ => return None,
    };
    let device = record.actor.device.map(String::from);
    Some(SubmissionEvent {
        position,
        time: record.time,
        kind: kind.to_owned(),
        recipient,
        actor: record.actor.person_name.or(device),
        scope,
    })
}

/// `GET /v1/submissions/{id}/receipt`: for the sender; it names all recipients.
pub(crate) async fn receipt(
    State(context): State<Context>,
    peer: Peer,
    Path(id): Path<String>,
) -> Result<Json<Receipt>, Problem> {
    let (row, standing) = visible(&context, &peer, &id).await?;
    if standing != Standing::Sender || row.state != SubmissionState::Accepted {
        return Err(Code::NotFound.into());
    }
    let receipt = context.store.receipt(&row.submission.submission, row.position).await?;
    Ok(Json(receipt.ok_or(Code::NotFound)?))
}

/// `GET /v1/submissions/{id}/report`: the verdict as it was made at intake, or revised since, or why the submission was refused.
pub(crate) async fn report(
    State(context): State<Context>,
    peer: Peer,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    match visible(&context, &peer, &id).await {
        Ok((row, _)) => {
            let newest = row.revised.as_ref().map(|revised| &revised.revision.report_sha256);
            let name = match newest {
                Some(sha256) => report_name(sha256),
                None => kept::report_file(&context.containers, &row.submission).await?,
            };
            beside(&context, &row, &name).await
        }
        // Its id is free: a later refusal under it may have a report.
        Err(problem) if matches!(problem.code(), Code::NotFound | Code::RecordsErased) => {
            match refused(&context, &peer, &id).await {
                Err(other) if other.code() == Code::NotFound => Err(problem),
                report => report,
            }
        }
        Err(problem) => Err(problem),
    }
}

/// The report of the newest refusal under this id, for the facility that was refused, while the id is free.
async fn refused(context: &Context, peer: &Peer, id: &str) -> Result<Response, Problem> {
    let id: SubmissionId = id.parse().map_err(|_| Code::NotFound)?;
    if context.store.submission(&id).await?.is_some() {
        return Err(Code::NotFound.into());
    }
    let records = context.store.submission_records(&id).await?;
    for stored in records.iter().rev() {
        if let Some(Event::Refused {
            facility,
            report_sha256: Some(digest),
            ..
        }) = stored.record()?.map(|record| record.event)
            && facility == peer.facility.code
        {
            return Ok(streamed(
                crate::intake::kept_report(&context.containers, &digest).await?,
            ));
        }
    }
    Err(Code::NotFound.into())
}

/// Query of `GET /v1/submissions/{id}/evidence`.
#[derive(Debug, Deserialize)]
pub(crate) struct EvidenceQuery {
    #[serde(default)]
    current: bool,
}

/// `GET /v1/submissions/{id}/evidence?current=`: what the verdict was made from; `current`: and what has to be added to judge now.
pub(crate) async fn evidence(
    State(context): State<Context>,
    peer: Peer,
    Path(id): Path<String>,
    Query(query): Query<EvidenceQuery>,
) -> Result<Response, Problem> {
    let (row, _) = visible(&context, &peer, &id).await?;
    if query.current
        && let Some(evidence) = crate::archive::current_evidence(&context, &row).await
    {
        return Ok(([(CONTENT_TYPE, "application/json")], evidence).into_response());
    }
    let newest = row.revised.as_ref().map(|revised| &revised.revision.evidence_sha256);
    let name = match newest {
        Some(sha256) => evidence_name(sha256),
        None => kept::evidence_file(&context.containers, &row.submission).await?,
    };
    beside(&context, &row, &name).await
}

/// `GET /v1/submissions/{id}/archive`: the entries that turn the container into its archive.
pub(crate) async fn archive(
    State(context): State<Context>,
    peer: Peer,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let (row, _) = visible(&context, &peer, &id).await?;
    let archive = crate::archive::current(&context, &row).await?;
    Ok(([(CONTENT_TYPE, "application/json")], archive).into_response())
}

async fn beside(context: &Context, row: &SubmissionRow, what: &str) -> Result<Response, Problem> {
    let found = context
        .containers
        .stream_beside(&row.submission.stored_as, what)
        .await?;
    Ok(streamed(found))
}

/// As it is read: a report may be tens of megabytes long, and many may ask at once.
fn streamed((size, stream): (u64, BoxStream<'static, io::Result<Bytes>>)) -> Response {
    let headers = [
        (CONTENT_TYPE, "application/json".to_owned()),
        (CONTENT_LENGTH, size.to_string()),
    ];
    (headers, Body::from_stream(stream)).into_response()
}
