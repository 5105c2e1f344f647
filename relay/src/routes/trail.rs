//! The trail as a facility may read it: its own account, and the log's newest checkpoint.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use formats::wire::SubmissionId;
use http::HeaderMap;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde::Deserialize;
use time::OffsetDateTime;

use crate::account::{self, Encoding, Format};
use crate::clock;
use crate::context::Context;
use crate::peer::Peer;
use crate::problem::{Code, Problem};

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
    format: Option<Format>,
    encoding: Option<Encoding>,
}

/// `GET /v1/trail?from=&to=&patient=&person=&submission=&after=&format=&encoding=`: the own facility's records; that they were
/// read is recorded first.
pub(super) async fn account(
    State(context): State<Context>,
    peer: Peer,
    Query(query): Query<TrailQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let person = peer.person_if_named(&context, &headers).await?;
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
        },
        format,
        encoding,
        actor: person.map_or_else(|| peer.actor(), |person| peer.actor_for(&person)),
        now: clock::now(),
    };
    let stream = account::export(Arc::clone(&context.store), request).await?;
    let headers = [(CONTENT_TYPE, format.media_type(encoding)), (CACHE_CONTROL, "no-store")];
    Ok((headers, Body::from_stream(stream)).into_response())
}

/// `GET /v1/trail/checkpoint`: the newest signed checkpoint (C2SP tlog-checkpoint).
pub(super) async fn checkpoint(State(context): State<Context>, _peer: Peer) -> Result<Response, Problem> {
    let checkpoint = context.store.checkpoint().await?;
    Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8")], checkpoint).into_response())
}

fn moment(text: Option<&str>) -> Result<Option<OffsetDateTime>, Problem> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let time = clock::parse_rfc3339(text);
    time.map(Some)
        .ok_or_else(|| Problem::new(Code::BadRequest).finding(format!("{text} is not an RFC 3339 time")))
}
