//! The relay as the client sees it: `/v1` over TLS 1.3 with the device certificate, and uploads that resume (tus 1.0).
//!
//! The relay is known by its CA alone: no public authority can vouch for another machine in its place.

mod body;
mod tls;
mod upload;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use formats::wire::{
    EnrolmentAnswer, EnrolmentRequest, InboxPage, MemberId, PendingAnswer, Problem, Purpose, Receipt, RelayPolicy,
    SubmissionEvent, SubmissionId, SubmissionRequest, SubmissionStatus,
};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Code, Failure};
pub(crate) use body::Pace;
pub use tls::{Identity, Pin};
pub use upload::Upload;

/// Largest answer read as JSON: an inbox page, a report, the policy with its anchors. As values it takes several times as much.
const MAX_ANSWER: usize = 16 << 20;
/// Largest problem read. It may carry a report, which stays a tree of values.
const MAX_PROBLEM: usize = 4 << 20;
/// Largest answer kept as it comes: evidence, archive.
const MAX_FILE: usize = 64 << 20;
/// How long one answer may take, uploads and downloads excepted.
const ANSWER_TIME: Duration = Duration::from_secs(120);

pub(crate) type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// Why the relay did not do it.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// It answered with a problem.
    #[error("{}: {}", .0.code, .0.detail)]
    Problem(Box<Problem>),
    /// It could not be reached, or the connection broke. Trying again may help.
    #[error("{0}")]
    Unreachable(String),
    /// Another machine answers there: its certificate is not of the CA this machine knows, or knows the pin of.
    #[error("{0} is another machine")]
    OtherRelay(String),
    /// It wants a device certificate, and this machine showed none: the API listener in the place of the portal.
    #[error("{0} asks for a device certificate")]
    CertificateRequired(String),
    /// It answered something that is not the contract.
    #[error("{0}")]
    Unexpected(String),
    /// The file to send could not be read.
    #[error("{0}")]
    File(#[from] std::io::Error),
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::Problem(problem) => Self::relay(*problem),
            ApiError::Unreachable(cause) => Self::new(Code::RelayUnreachable, cause),
            ApiError::OtherRelay(base) => Self::new(Code::OtherRelay, base),
            ApiError::CertificateRequired(base) => Self::new(Code::PortalNeeded, base),
            ApiError::Unexpected(what) => Self::new(Code::RelayAnswer, what),
            ApiError::File(error) => Self::new(Code::FileUnreadable, error.to_string()),
        }
    }
}

/// What became of a submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Accepted: 201, or 200 for the same submission again.
    Receipt(Box<Receipt>),
    /// 202: held until evidence can be had.
    Pending(PendingAnswer),
}

/// A connection to one listener of the relay.
#[derive(Clone)]
pub struct RelayApi {
    base: String,
    language: &'static str,
    client: Client<HttpsConnector<HttpConnector>, Body>,
}

impl std::fmt::Debug for RelayApi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RelayApi({})", self.base)
    }
}

impl RelayApi {
    /// The API listener at `base`, as an enrolled device. `language` is `ja` or `en`.
    ///
    /// # Errors
    /// [`ApiError::Unexpected`] if the URL, key or certificates cannot be used.
    pub fn enrolled(base: &str, identity: &Identity, language: &'static str) -> Result<Self, ApiError> {
        Self::over(base, tls::enrolled(identity)?, language)
    }

    /// The portal listener at `base`, known by the pin of its CA only.
    ///
    /// # Errors
    /// [`ApiError::Unexpected`] if the URL cannot be used.
    pub fn pinned(base: &str, pin: Pin, language: &'static str) -> Result<Self, ApiError> {
        Self::over(base, tls::pinned(pin)?, language)
    }

    fn over(base: &str, config: rustls::ClientConfig, language: &'static str) -> Result<Self, ApiError> {
        let base = base.trim_end_matches('/').to_owned();
        let uri: http::Uri = base
            .parse()
            .map_err(|_| ApiError::Unexpected(format!("{base} is not a URL")))?;
        if uri.scheme_str() != Some("https") || uri.host().is_none() {
            return Err(ApiError::Unexpected(format!("{base} is not an https URL")));
        }
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_only()
            .enable_http1()
            .build();
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(Duration::from_secs(20))
            .build(connector);
        Ok(Self { base, language, client })
    }

    /// `POST /v1/enrolment`
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn enrol(&self, request: &EnrolmentRequest) -> Result<EnrolmentAnswer, ApiError> {
        decode(self.send("/v1/enrolment", request).await?).await
    }

    /// `POST /v1/devices/renewal`
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn renew(&self, request: &EnrolmentRequest) -> Result<EnrolmentAnswer, ApiError> {
        decode(self.send("/v1/devices/renewal", request).await?).await
    }

    /// `GET /v1/policy`
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn policy(&self) -> Result<RelayPolicy, ApiError> {
        self.json("/v1/policy").await
    }

    /// `GET /v1/inbox`, the page after position `after`.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn inbox(&self, after: u64) -> Result<InboxPage, ApiError> {
        self.json(&format!("/v1/inbox?after={after}&limit=100")).await
    }

    /// `GET /v1/submissions/{id}`
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn status(&self, id: &SubmissionId) -> Result<SubmissionStatus, ApiError> {
        let status: SubmissionStatus = self.json(&format!("/v1/submissions/{id}")).await?;
        if status.id == *id {
            Ok(status)
        } else {
            Err(ApiError::Unexpected(format!(
                "it speaks of another submission than {id}"
            )))
        }
    }

    /// `GET /v1/submissions/{id}/events`
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn events(&self, id: &SubmissionId) -> Result<Vec<SubmissionEvent>, ApiError> {
        self.json(&format!("/v1/submissions/{id}/events")).await
    }

    /// `GET /v1/submissions/{id}/receipt`
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn receipt(&self, id: &SubmissionId) -> Result<Receipt, ApiError> {
        self.json(&format!("/v1/submissions/{id}/receipt")).await
    }

    /// `GET /v1/submissions/{id}/evidence`: one JSON file, as the relay keeps it.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn evidence(&self, id: &SubmissionId) -> Result<String, ApiError> {
        self.evidence_at(&format!("/v1/submissions/{id}/evidence")).await
    }

    /// `GET /v1/submissions/{id}/evidence?current=true`: the same with what has to be added to judge now.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn current_evidence(&self, id: &SubmissionId) -> Result<String, ApiError> {
        self.evidence_at(&format!("/v1/submissions/{id}/evidence?current=true"))
            .await
    }

    async fn evidence_at(&self, path: &str) -> Result<String, ApiError> {
        let response = self.get(path, None, None).await?;
        let bytes = body::collect(response, MAX_FILE).await?;
        String::from_utf8(bytes).map_err(|_| ApiError::Unexpected("the evidence is not text".to_owned()))
    }

    /// `GET /v1/submissions/{id}/archive`: one JSON file, `formats::asice::archive`.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn archive(&self, id: &SubmissionId) -> Result<String, ApiError> {
        let response = self.get(&format!("/v1/submissions/{id}/archive"), None, None).await?;
        let bytes = body::collect(response, MAX_FILE).await?;
        String::from_utf8(bytes).map_err(|_| ApiError::Unexpected("the archive is not text".to_owned()))
    }

    /// `GET /v1/submissions/{id}/container`, from byte `from` on, as `person`.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn container(
        &self,
        id: &SubmissionId,
        person: &MemberId,
        purpose: Purpose,
        from: u64,
    ) -> Result<Response<Incoming>, ApiError> {
        let purpose = match purpose {
            Purpose::View => "view",
            Purpose::Import => "import",
        };
        self.get(
            &format!("/v1/submissions/{id}/container?purpose={purpose}"),
            Some(person),
            Some(from),
        )
        .await
    }

    /// `GET /v1/trail` with its query, as `person`: that they read the account is recorded.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn trail(&self, path: &str, person: &MemberId) -> Result<Response<Incoming>, ApiError> {
        self.get(path, Some(person), None).await
    }

    /// `POST /v1/submissions/{id}/acknowledgement`
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn acknowledge(&self, id: &SubmissionId, person: &MemberId) -> Result<(), ApiError> {
        let request = self
            .request(Method::POST, &format!("/v1/submissions/{id}/acknowledgement"))
            .header("hikyaku-person", person.as_str());
        self.answer(request.body(empty())).await.map(|_| ())
    }

    /// `POST /v1/submissions` for a finished upload.
    ///
    /// # Errors
    /// [`ApiError`]; a refusal is a [`ApiError::Problem`] with the report.
    pub async fn submit(&self, upload: &str) -> Result<Answer, ApiError> {
        let request = SubmissionRequest {
            upload: upload.to_owned(),
        };
        let response = self.send("/v1/submissions", &request).await?;
        if response.status() == StatusCode::ACCEPTED {
            decode(response).await.map(Answer::Pending)
        } else {
            decode(response).await.map(|receipt| Answer::Receipt(Box::new(receipt)))
        }
    }

    /// `POST /v1/timestamps`: the DER of an RFC 3161 request goes in, that of a response comes out.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn timestamp(&self, query: Vec<u8>) -> Result<Vec<u8>, ApiError> {
        let request = self
            .request(Method::POST, "/v1/timestamps")
            .header(header::CONTENT_TYPE, "application/timestamp-query")
            .body(full(query));
        body::collect(self.answer(request).await?, MAX_ANSWER).await
    }

    async fn json<T: DeserializeOwned>(&self, path: &str) -> Result<T, ApiError> {
        decode(self.get(path, None, None).await?).await
    }

    async fn get(
        &self,
        path: &str,
        person: Option<&MemberId>,
        from: Option<u64>,
    ) -> Result<Response<Incoming>, ApiError> {
        let mut request = self.request(Method::GET, path);
        if let Some(person) = person {
            request = request.header("hikyaku-person", person.as_str());
        }
        if let Some(from) = from.filter(|from| *from > 0) {
            request = request.header(header::RANGE, format!("bytes={from}-"));
        }
        self.answer(request.body(empty())).await
    }

    async fn send(&self, path: &str, body: &impl Serialize) -> Result<Response<Incoming>, ApiError> {
        let body = serde_json::to_vec(body).map_err(|error| ApiError::Unexpected(error.to_string()))?;
        let request = self
            .request(Method::POST, path)
            .header(header::CONTENT_TYPE, "application/json")
            .body(full(body));
        self.answer(request).await
    }

    fn request(&self, method: Method, path: &str) -> http::request::Builder {
        Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(header::ACCEPT_LANGUAGE, self.language)
    }

    /// Sends a request whose answer comes soon; an answer of 400 or more becomes its problem. Nobody is sent elsewhere.
    async fn answer(&self, request: http::Result<Request<Body>>) -> Result<Response<Incoming>, ApiError> {
        tokio::time::timeout(ANSWER_TIME, self.exchange(request))
            .await
            .map_err(|_| ApiError::Unreachable(format!("{} does not answer", self.base)))?
    }

    async fn exchange(&self, request: http::Result<Request<Body>>) -> Result<Response<Incoming>, ApiError> {
        let request = request.map_err(|error| ApiError::Unexpected(error.to_string()))?;
        let response = self
            .client
            .request(request)
            .await
            .map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        if status.as_u16() < 400 {
            return Err(ApiError::Unexpected(format!("{} answered {status}", self.base)));
        }
        let body = body::collect(response, MAX_PROBLEM).await?;
        match serde_json::from_slice(&body) {
            Ok(problem) => Err(ApiError::Problem(Box::new(problem))),
            // The answer to a HEAD has no body, whatever it would say.
            Err(_) if body.is_empty() => Err(ApiError::Problem(Box::new(bare(status)))),
            Err(_) => Err(ApiError::Unexpected(format!("{} answered {status}", self.base))),
        }
    }

    /// What TLS says has a meaning of its own; else the innermost cause says most, such as "connection refused".
    fn unreachable(&self, error: &hyper_util::client::legacy::Error) -> ApiError {
        match tls::refusal(error) {
            Some(tls::Refusal::OtherIssuer) => return ApiError::OtherRelay(self.base.clone()),
            Some(tls::Refusal::CertificateRequired) => return ApiError::CertificateRequired(self.base.clone()),
            None => {}
        }
        let mut cause: &dyn std::error::Error = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        ApiError::Unreachable(format!("{}: {cause}", self.base))
    }
}

/// A status alone as a problem (RFC 9457 §4.2.1).
fn bare(status: StatusCode) -> Problem {
    Problem {
        kind: "about:blank".to_owned(),
        title: status.to_string(),
        status: status.as_u16(),
        detail: status.to_string(),
        code: format!("http_{}", status.as_u16()),
        action: String::new(),
        report: None,
    }
}

pub(crate) fn empty() -> Body {
    full(Vec::new())
}

fn full(bytes: Vec<u8>) -> Body {
    Full::new(Bytes::from(bytes))
        .map_err(|never| match never {})
        .boxed_unsync()
}

async fn decode<T: DeserializeOwned>(response: Response<Incoming>) -> Result<T, ApiError> {
    let body = body::collect(response, MAX_ANSWER).await?;
    serde_json::from_slice(&body)
        .map_err(|error| ApiError::Unexpected(format!("an answer outside the contract: {error}")))
}

/// One process-wide choice of cryptography for TLS.
fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
