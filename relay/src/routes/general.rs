//! What belongs to no walk: policy, problems, the OpenAPI document, health, readiness, figures.

use axum::Json;
use axum::extract::{Extension, Path, State};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use formats::wire::{RelayLimits, RelayPolicy};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use serde_json::json;

use crate::context::Context;
use crate::observe;
use crate::peer::{Connection, Peer};
use crate::problem::{self, Code, Language, Problem};
use crate::upload;

/// OpenAPI 3.1 of everything here.
pub(super) const OPENAPI: &str = include_str!("openapi.json");

/// `GET /v1/policy`: what a client needs to judge as the relay does.
pub(super) async fn policy(State(context): State<Context>, _peer: Peer) -> Json<RelayPolicy> {
    let trust = context.trust.current();
    let anchors = &trust.anchors;
    let certificates = |set: &trust_store::AnchorSet| set.0.iter().map(|anchor| STANDARD.encode(&anchor.der)).collect();
    let limits = &context.config.limits;
    let authorities = context.config.timestamps.iter();
    Json(RelayPolicy {
        version: 1,
        policy_toml: trust.policy.to_toml(),
        hpki_anchors: certificates(&anchors.hpki),
        accredited_anchors: certificates(&anchors.accredited),
        jpki_anchors: certificates(&anchors.jpki),
        tsa_anchors: certificates(&anchors.tsa),
        intermediates: anchors.intermediates.iter().map(|der| STANDARD.encode(der)).collect(),
        log_vkey: context.log_vkey.clone(),
        timestamps: !context.config.timestamps.is_empty(),
        tsas: authorities.filter_map(|uri| uri.host()).map(str::to_owned).collect(),
        max_container_bytes: limits.max_container,
        limits: Some(RelayLimits {
            uploads_per_facility: upload::PER_FACILITY as u64,
            upload_bytes_per_facility: upload::bytes_per_facility(limits.max_container),
            upload_expiry_seconds: limits.upload_expiry.as_secs(),
            pending_per_facility: limits.pending_per_facility,
            pending_deadline_seconds: limits.pending_deadline.as_secs(),
            timestamps_per_device_per_hour: limits.timestamps_per_device_per_hour,
        }),
    })
}

/// `GET /v1/openapi.json`
pub(super) async fn openapi() -> Response {
    ([(CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

/// `GET /v1/problems/{code}`: what a problem means.
pub(super) async fn problem(Path(code): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    let description = problem::describe(&code, Language::asked(&headers)).ok_or(Code::NotFound)?;
    Ok(Json(description).into_response())
}

/// `GET /healthz`: the process answers.
pub(super) async fn health() -> Response {
    Json(json!({ "healthy": true })).into_response()
}

/// `GET /readyz`: it can take submissions in; otherwise why not. Devices and the machine itself are told more: how those the
/// relay depends on last answered. While they do not, letters wait, so that the relay stays ready.
pub(super) async fn readiness(
    State(context): State<Context>,
    Extension(connection): Extension<Connection>,
) -> Response {
    let reasons = context.hindrances().await;
    let status = if reasons.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let mut said = json!({ "ready": reasons.is_empty(), "reasons": reasons });
    if connection.device.is_some() || connection.address.ip().to_canonical().is_loopback() {
        said["timestamps"] = json!(context.stamps.health());
        said["expiring"] = json!(expiring(&context));
        said["evidence_hosts"] = json!(context.fetcher.hosts());
        said["pending"] = json!(context.pending().await);
    }
    let mut response = Json(said).into_response();
    *response.status_mut() = status;
    // The body says more than a problem would, and monitoring expects this shape.
    response.extensions_mut().insert(problem::AsIs);
    response
}

/// What is near its end or past it.
fn expiring(context: &Context) -> Vec<serde_json::Value> {
    let now = crate::clock::now();
    let near = |ending: crate::expiry::Ending| {
        let near = ending.near(now)?;
        Some(
            json!({ "purpose": ending.purpose, "name": ending.name, "ends": crate::clock::rfc3339(ending.at), "near": near }),
        )
    };
    crate::expiry::all(context).into_iter().filter_map(near).collect()
}

/// `GET /metrics`: for the operator on the machine itself only.
pub(super) async fn metrics(Extension(connection): Extension<Connection>) -> Result<Response, Problem> {
    if !connection.address.ip().to_canonical().is_loopback() {
        return Err(Code::NotFound.into());
    }
    let media_type = "text/plain; version=0.0.4; charset=utf-8";
    Ok(([(CONTENT_TYPE, media_type)], observe::figures()).into_response())
}
