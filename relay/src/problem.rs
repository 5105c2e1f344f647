//! What goes wrong becomes an answer: RFC 9457 problem documents in the asked language. The only place that knows status codes
//! of failures; the rows are in [`table`](Code).

mod table;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use formats::wire;
use http::header::{ACCEPT_LANGUAGE, CONTENT_LANGUAGE, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::store::{Condition, StoreError};

pub use table::Code;

/// Why a request was not done. Answered in the caller's language by [`render`].
#[derive(Debug, Clone)]
pub struct Problem {
    code: Code,
    detail: Option<[String; 2]>,
    report: Option<Box<serde_json::Value>>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// A problem without particulars.
    #[must_use]
    pub fn new(code: Code) -> Self {
        Self {
            code,
            detail: None,
            report: None,
            headers: Vec::new(),
        }
    }

    /// With what happened, to which thing, in Japanese and English.
    #[must_use]
    pub fn detail(mut self, ja: impl Into<String>, en: impl Into<String>) -> Self {
        self.detail = Some([ja.into(), en.into()]);
        self
    }

    /// With particulars that exist in English only, such as a parser's finding.
    #[must_use]
    pub fn finding(self, en: impl Into<String>) -> Self {
        let en = en.into();
        let ja = format!("{}：{en}", self.code.row().title[0]);
        self.detail(ja, en)
    }

    /// With the validation report.
    #[must_use]
    pub fn report(mut self, report: serde_json::Value) -> Self {
        self.report = Some(Box::new(report));
        self
    }

    /// With a further response header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Its code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.code
    }

    /// An error nobody outside should read: logged here, told to the caller without its detail.
    #[must_use]
    pub fn internal(error: &(dyn std::fmt::Display + Sync)) -> Self {
        tracing::error!(error = %error, "internal error");
        Self::new(Code::Internal)
    }

    fn document(&self, language: Language) -> wire::Problem {
        let row = self.code.row();
        let title = language.of(&row.title);
        wire::Problem {
            kind: format!("/v1/problems/{}", row.code),
            title: (*title).to_owned(),
            status: row.status,
            detail: self
                .detail
                .as_ref()
                .map_or_else(|| (*title).to_owned(), |detail| language.of(detail).clone()),
            code: row.code.to_owned(),
            action: (*language.of(&row.action)).to_owned(),
            report: self.report.as_deref().cloned(),
        }
    }
}

impl From<Code> for Problem {
    fn from(code: Code) -> Self {
        Self::new(code)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full => Self::new(Code::NoSpace),
            StoreError::TooLarge => Self::new(Code::TooLarge),
            StoreError::Conflict(condition) => Self::new(match condition {
                Condition::SubmissionAbsent(_) => Code::IdConflict,
                Condition::DeviceActive(..) => Code::DeviceRevoked,
                Condition::DeviceAbsent(..) => Code::DeviceExists,
                Condition::CodeUnused(..) => Code::CodeInvalid,
                Condition::Recipient(..) => Code::NotFound,
                Condition::Kept(_) => Code::ContainerErased,
                _ => Code::StateConflict,
            }),
            StoreError::Clock(reason) => Self::new(Code::StoreUnavailable).detail(
                format!("中継所の時計が疑わしいため、何も記録しません: {reason}"),
                format!("The relay's clock is in doubt, and nothing is recorded: {reason}"),
            ),
            StoreError::Broken(reason) => {
                tracing::error!(reason, "the store is broken");
                Self::new(Code::StoreUnavailable)
            }
        }
    }
}

/// A problem travels as a response without body; [`render`] writes the body once the language is known.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.code.status();
        response.extensions_mut().insert(self);
        response
    }
}

/// The language of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Japanese, the default.
    Ja,
    /// English.
    En,
}

impl Language {
    /// The language asked for: the first of ja and en by weight in Accept-Language (RFC 9110 §12.5.4), Japanese if neither is.
    #[must_use]
    pub fn asked(headers: &HeaderMap) -> Self {
        let Some(wish) = headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()) else {
            return Self::Ja;
        };
        let mut best = (Self::Ja, 0.0_f32);
        for part in wish.split(',').take(32) {
            let mut pieces = part.split(';');
            let tag = pieces.next().unwrap_or_default().trim().to_ascii_lowercase();
            let weight = pieces
                .find_map(|piece| piece.trim().strip_prefix("q=")?.parse::<f32>().ok())
                .unwrap_or(1.0);
            let language = match tag.split('-').next() {
                Some("ja") => Self::Ja,
                Some("en") => Self::En,
                _ => continue,
            };
            if weight > best.1 {
                best = (language, weight);
            }
        }
        best.0
    }

    fn of<T>(self, pair: &[T; 2]) -> &T {
        match self {
            Self::Ja => &pair[0],
            Self::En => &pair[1],
        }
    }

    fn tag(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Ja => "ja",
            Self::En => "en",
        })
    }
}

/// Writes the problem's body, also for failures the framework answered bare (unknown path, wrong method, unreadable body).
#[must_use]
pub fn render(mut response: Response, language: Language) -> Response {
    let problem = match response.extensions_mut().remove::<Problem>() {
        Some(problem) => problem,
        None => match bare(&response) {
            Some(code) => Problem::new(code),
            None => return response,
        },
    };
    let body = serde_json::to_vec(&problem.document(language)).unwrap_or_default();
    let headers = response.headers_mut();
    headers.remove(http::header::CONTENT_LENGTH);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(CONTENT_LANGUAGE, language.tag());
    for (name, value) in problem.headers {
        headers.insert(name, value);
    }
    *response.status_mut() = problem.code.status();
    *response.body_mut() = Body::from(body);
    response
}

/// The description of one problem, for who follows its `type`; `None` if there is no such code.
#[must_use]
pub fn describe(code: &str, language: Language) -> Option<wire::Problem> {
    let code = Code::ALL.iter().find(|known| known.as_str() == code)?;
    Some(Problem::new(*code).document(language))
}

/// Marks an answer whose body stands although its status is a failure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AsIs;

fn bare(response: &Response) -> Option<Code> {
    let status = response.status();
    if response.extensions().get::<AsIs>().is_some() {
        return None;
    }
    if !(status.is_client_error() || status.is_server_error()) {
        return None;
    }
    Some(match status {
        StatusCode::NOT_FOUND => Code::NotFound,
        StatusCode::METHOD_NOT_ALLOWED => Code::MethodNotAllowed,
        StatusCode::PAYLOAD_TOO_LARGE => Code::TooLarge,
        status if status.is_client_error() => Code::BadRequest,
        _ => Code::Internal,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(wish: &str) -> Language {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_LANGUAGE, HeaderValue::from_str(wish).unwrap());
        Language::asked(&headers)
    }

    #[test]
    fn codes_are_unique_and_complete() {
        let mut codes: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Code::ALL.len());
        for code in Code::ALL {
            let row = code.row();
            assert_eq!(code.status().as_u16(), row.status);
            assert!((400..600).contains(&row.status), "{}", row.code);
            assert!(
                row.title.iter().chain(&row.action).all(|text| !text.is_empty()),
                "{}",
                row.code
            );
            assert!(row.title[1].is_ascii() && !row.title[0].is_ascii(), "{}", row.code);
        }
    }

    #[test]
    fn the_language_is_the_asked_one_and_japanese_else() {
        assert_eq!(Language::asked(&HeaderMap::new()), Language::Ja);
        assert_eq!(asked("en"), Language::En);
        assert_eq!(asked("en-GB,ja;q=0.5"), Language::En);
        assert_eq!(asked("en;q=0.3, ja-JP;q=0.8"), Language::Ja);
        assert_eq!(asked("fr, de;q=0.9"), Language::Ja);
    }

    #[tokio::test]
    async fn an_internal_error_loses_its_detail() {
        let response = render(Problem::internal(&"/secret/path: broken").into_response(), Language::En);
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body = axum::body::to_bytes(response.into_body(), 1 << 16).await.unwrap();
        let document: wire::Problem = serde_json::from_slice(&body).unwrap();
        assert_eq!(document.code, "internal");
        assert!(!String::from_utf8_lossy(&body).contains("secret"));
    }

    #[tokio::test]
    async fn a_bare_failure_becomes_a_problem() {
        let response = render(StatusCode::METHOD_NOT_ALLOWED.into_response(), Language::Ja);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        let body = axum::body::to_bytes(response.into_body(), 1 << 16).await.unwrap();
        let document: wire::Problem = serde_json::from_slice(&body).unwrap();
        assert_eq!((document.status, document.code.as_str()), (405, "method_not_allowed"));
    }
}
