//! The trail as a facility may read it: its own account, and the log's newest checkpoint.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use formats::trail::Tile;
use formats::wire::SubmissionId;
use http::HeaderMap;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde::Deserialize;
use time::OffsetDateTime;

use crate::account::{self, Encoding, ExportError, Format};
use crate::clock;
use crate::context::Context;
use crate::log;
use crate::peer::Peer;
use crate::problem::{Code, Problem};

/// Position of the record that says an account was read.
const READING_HEADER: &str = "hikyaku-reading";
/// Checkpoints of its reader that an export is cut for.
const MOST_HELD: usize = 100;

/// Query of `GET /v1/trail`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TrailQuery {
    from: Option<String>,
    to: Option<String>,
    patient: Option<String>,
    person: Option<String>,
    submission: Option<SubmissionId>,
    after: Option<u64>,
    held: Option<String>,
    also: Option<Format>,
    reading: Option<u64>,
    format: Option<Format>,
    encoding: Option<Encoding>,
}

/// `GET /v1/trail?from=&to=&patient=&person=&submission=&after=&held=&format=&encoding=&also=&reading=`: the own facility's records,
/// for a named person; that they were read is recorded first.
pub(super) async fn account(
    State(context): State<Context>,
    peer: Peer,
    Query(query): Query<TrailQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let person = peer.person(&context, &headers).await?;
    let format = query.format.unwrap_or(Format::Jsonl);
    let encoding = query.encoding.unwrap_or_default();
    let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
    let request = account::Request {
        query: account::Query {
            facility: Some(peer.facility.code.clone()),
            from: moment(query.from.as_deref())?,
            to: moment(query.to.as_deref())?,
            patient: filled(query.patient),
            person: filled(query.person),
            submission: query.submission,
            after: query.after,
            held: sizes(query.held.as_deref())?,
            witnessed: if format == Format::Jsonl {
                by_witness(&context).await
            } else {
                Vec::new()
            },
        },
        format,
        encoding,
        also: query.also,
        reading: query.reading,
        actor: peer.actor_for(&person),
        conditions: vec![peer.active()],
        now: clock::now(),
    };
    let export = account::export(Arc::clone(&context.store), request).await;
    let account::Export { reading, parts } = export.map_err(|error| match error {
        ExportError::Store(error) => Problem::from(error),
        other => Problem::new(Code::BadRequest).finding(other.to_string()),
    })?;
    let headers = [(CONTENT_TYPE, format.media_type(encoding)), (CACHE_CONTROL, "no-store")];
    let reading = [(READING_HEADER, reading.to_string())];
    Ok((headers, reading, Body::from_stream(parts)).into_response())
}

/// `GET /v1/trail/checkpoint`: the newest signed checkpoint (C2SP tlog-checkpoint), with the cosignatures it has already.
pub(super) async fn checkpoint(State(context): State<Context>, _peer: Peer) -> Result<Response, Problem> {
    let newest = context.store.checkpoint().await?;
    let cosigned = cosigned(&context)
        .await
        .filter(|cosigned| cosigned.starts_with(&newest));
    Ok(note(cosigned.unwrap_or(newest)))
}

/// `GET /v1/trail/checkpoint/witnessed`: the newest checkpoint that witnesses have cosigned.
pub(super) async fn witnessed(State(context): State<Context>, _peer: Peer) -> Result<Response, Problem> {
    cosigned(&context).await.map(note).ok_or_else(|| Code::NotFound.into())
}

/// What each witness has cosigned. Where that cannot be read an account goes out with what is known beside it: its reader hears whose
/// is missing.
async fn by_witness(context: &Context) -> Vec<String> {
    match context.kept.witnessed(&context.log_vkey).await {
        Ok(notes) => notes,
        Err(error) => {
            tracing::warn!(%error, "an account goes out without what each witness has cosigned");
            cosigned(context).await.into_iter().collect()
        }
    }
}

async fn cosigned(context: &Context) -> Option<String> {
    context.kept.newest_witnessed(&context.log_vkey).await
}

fn note(note: String) -> Response {
    let headers = [(CONTENT_TYPE, "text/plain; charset=utf-8"), (CACHE_CONTROL, "no-cache")];
    (headers, note).into_response()
}

/// `GET /v1/trail/tile/<L>/<N>[.p/<W>]` and `…/entries/<N>[.p/<W>]` (C2SP tlog-tiles). Entries are commitments.
pub(super) async fn tile(
    State(context): State<Context>,
    _peer: Peer,
    Path(path): Path<String>,
) -> Result<Response, Problem> {
    let tile = Tile::parse(&path).map_err(|_| Code::NotFound)?;
    let bytes = log::tile(&*context.store, &tile).await?.ok_or(Code::NotFound)?;
    let headers = [
        (CONTENT_TYPE, "application/octet-stream"),
        (CACHE_CONTROL, "private, max-age=31536000, immutable"),
    ];
    Ok((headers, bytes).into_response())
}

/// Sizes of checkpoints, separated by commas.
fn sizes(text: Option<&str>) -> Result<Vec<u64>, Problem> {
    let parts = text
        .unwrap_or_default()
        .split(',')
        .filter(|part| !part.is_empty())
        .take(MOST_HELD);
    let parsed: Result<_, _> = parts.map(str::parse).collect();
    parsed.map_err(|_| Problem::new(Code::BadRequest).finding("held must be sizes of checkpoints, such as 120,4711"))
}

fn moment(text: Option<&str>) -> Result<Option<OffsetDateTime>, Problem> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let time = clock::parse_rfc3339(text);
    time.map(Some)
        .ok_or_else(|| Problem::new(Code::BadRequest).finding(format!("{text} is not an RFC 3339 time")))
}
