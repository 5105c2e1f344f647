//! Every address of `/v1` and what serves it. One table; the OpenAPI document is held to it by a test.

mod general;
mod trail;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::routing::{MethodFilter, MethodRouter, on};
use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::context::Context;
use crate::problem::{Code, Problem};
use crate::{deliver, enrol, intake, timestamps, upload, view};

/// JSON bodies are small; uploads read their body as a stream and are bounded elsewhere.
const JSON_BODY: usize = 64 * 1024;

/// One address with one method.
struct Route {
    #[cfg_attr(not(test), expect(dead_code, reason = "the test holds the OpenAPI document to it"))]
    method: &'static str,
    path: &'static str,
    serves: MethodRouter<Context>,
}

fn route<H, T>(method: &'static str, path: &'static str, handler: H) -> Route
where
    H: Handler<T, Context>,
    T: 'static,
{
    let filter = match method {
        "HEAD" => MethodFilter::HEAD,
        "POST" => MethodFilter::POST,
        "PATCH" => MethodFilter::PATCH,
        "DELETE" => MethodFilter::DELETE,
        "OPTIONS" => MethodFilter::OPTIONS,
        _ => MethodFilter::GET,
    };
    Route {
        method,
        path,
        serves: on(filter, handler),
    }
}

/// For devices.
fn api_routes() -> Vec<Route> {
    let mut routes = vec![
        route("OPTIONS", "/v1/uploads", upload::options),
        route("POST", "/v1/uploads", upload::create),
        route("OPTIONS", "/v1/uploads/{id}", upload::options),
        route("HEAD", "/v1/uploads/{id}", upload::offset),
        route("PATCH", "/v1/uploads/{id}", upload::append),
        route("DELETE", "/v1/uploads/{id}", upload::terminate),
        route("POST", "/v1/submissions", intake::submit),
        route("GET", "/v1/submissions/{id}", view::status),
        route("GET", "/v1/submissions/{id}/events", view::events),
        route("GET", "/v1/submissions/{id}/receipt", view::receipt),
        route("GET", "/v1/submissions/{id}/report", view::report),
        route("GET", "/v1/submissions/{id}/evidence", view::evidence),
        route("GET", "/v1/submissions/{id}/archive", view::archive),
        route("HEAD", "/v1/submissions/{id}/container", deliver::container_size),
        route("GET", "/v1/submissions/{id}/container", deliver::container),
        route("HEAD", "/v1/submissions/{id}/files/{*path}", deliver::file_size),
        route("GET", "/v1/submissions/{id}/files/{*path}", deliver::file),
        route("POST", "/v1/submissions/{id}/acknowledgement", deliver::acknowledge),
        route("GET", "/v1/inbox", view::inbox),
        route("POST", "/v1/timestamps", timestamps::stamp),
        route("GET", "/v1/policy", general::policy),
        route("GET", "/v1/trail", trail::account),
        route("GET", "/v1/trail/checkpoint", trail::checkpoint),
        route("GET", "/v1/trail/checkpoint/witnessed", trail::witnessed),
        route("GET", "/v1/trail/tile/{*path}", trail::tile),
        route("POST", "/v1/devices/renewal", enrol::renew),
    ];
    routes.extend(common_routes());
    routes
}

/// For who has no device certificate yet, and for the operator's monitoring.
fn portal_routes() -> Vec<Route> {
    let mut routes = vec![
        route("POST", "/v1/enrolment", enrol::enrol),
        route("GET", "/metrics", general::metrics),
    ];
    routes.extend(common_routes());
    routes
}

fn common_routes() -> Vec<Route> {
    vec![
        route("GET", "/v1/openapi.json", general::openapi),
        route("GET", "/v1/problems/{code}", general::problem),
        route("GET", "/healthz", general::health),
        route("GET", "/readyz", general::readiness),
    ]
}

/// What the API listener serves.
pub(crate) fn api(context: &Context) -> Router {
    router(api_routes(), context)
}

/// What the portal listener serves.
pub(crate) fn portal(context: &Context) -> Router {
    router(portal_routes(), context)
}

fn router(routes: Vec<Route>, context: &Context) -> Router {
    let mut router = Router::new();
    for route in routes {
        router = router.route(route.path, route.serves);
    }
    router
        .layer(DefaultBodyLimit::max(JSON_BODY))
        .with_state(context.clone())
}

/// A JSON body.
///
/// # Errors
/// `bad_request` with the place where it is wrong.
pub(crate) fn json<T: DeserializeOwned>(body: &Bytes) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| Problem::new(Code::BadRequest).finding(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_openapi_document_and_the_table_agree() {
        let document: serde_json::Value = serde_json::from_str(general::OPENAPI).unwrap();
        let mut described = BTreeSet::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                if method != "parameters" {
                    assert!(operation["summary"].is_string(), "{method} {path} has no summary");
                    assert!(operation["responses"].is_object(), "{method} {path} has no responses");
                    described.insert((method.to_uppercase(), path.clone()));
                }
            }
        }
        let served: BTreeSet<_> = api_routes()
            .into_iter()
            .chain(portal_routes())
            .map(|route| (route.method.to_owned(), route.path.replace("{*", "{")))
            .collect();
        assert_eq!(described, served);
    }

    #[test]
    fn every_problem_is_described_in_the_openapi_document() {
        let document: serde_json::Value = serde_json::from_str(general::OPENAPI).unwrap();
        let listed: BTreeSet<_> = document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"]
            .as_array()
            .unwrap()
            .iter()
            .map(|code| code.as_str().unwrap())
            .collect();
        let known: BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(listed, known);
    }
}
