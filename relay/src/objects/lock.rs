//! Objects that nobody can change or remove until a day: S3 object lock, in compliance mode, which not even the bucket's owner ends
//! earlier. What a server says it has locked is read back.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html>

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use formats::digest::sha256;
use http::{HeaderMap, Method, Request};
use object_store::aws::{AwsAuthorizer, AwsCredential};
use object_store::client::{HttpRequestBody, HttpService as _};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::wire::Connector;
use super::{Credentials, Key, ObjectsError};
use crate::config::S3Place;

const MODE: &str = "x-amz-object-lock-mode";
const UNTIL: &str = "x-amz-object-lock-retain-until-date";
/// Asked for with a lock (AWS); told of what is put otherwise too.
const CHECKSUM: &str = "x-amz-checksum-sha256";
const COMPLIANCE: &str = "COMPLIANCE";
/// What fails for reasons that pass is tried so often, with longer and longer pauses between.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(200);

/// Why an object is not locked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LockError {
    /// The server says no, or cannot be reached.
    #[error("{0}.")]
    Refused(String),
    /// It took the headers and keeps no lock.
    #[error("the server answered with success and keeps no lock on it. The bucket must have object lock.")]
    Ignored,
}

/// A bucket whose objects are locked.
#[derive(Debug)]
pub(crate) struct Locks {
    wire: Connector,
    credential: AwsCredential,
    /// Endpoint, bucket and prefix.
    base: String,
    region: String,
}

impl Locks {
    /// Objects below a prefix of a bucket.
    ///
    /// # Errors
    /// [`ObjectsError`].
    pub(crate) fn open(place: &S3Place, prefix: &str) -> Result<Self, ObjectsError> {
        let Credentials {
            access_key_id,
            secret_access_key,
            session_token,
        } = Credentials::of(place)?;
        let separated = if prefix.is_empty() {
            String::new()
        } else {
            format!("/{prefix}")
        };
        Ok(Self {
            wire: Connector::of(place)?,
            credential: AwsCredential {
                key_id: access_key_id,
                secret_key: secret_access_key,
                token: session_token,
            },
            base: format!("{}/{}{separated}", place.endpoint, place.bucket),
            region: place.region.clone(),
        })
    }

    /// Puts an object that is locked until then, and reads its lock back.
    ///
    /// # Errors
    /// [`LockError`].
    pub(crate) async fn put(&self, key: &Key, content: Bytes, until: OffsetDateTime) -> Result<(), LockError> {
        let date = rfc3339(until)?;
        let headers = [(MODE, COMPLIANCE), (UNTIL, &date)];
        self.ask(Method::PUT, key, "", &headers, content).await?;
        match self.until(key).await? {
            Some(kept) if kept >= until => Ok(()),
            _ => Err(LockError::Ignored),
        }
    }

    /// Until when an object is locked; `None`: it is not.
    ///
    /// # Errors
    /// [`LockError::Refused`], also if there is no such object.
    pub(crate) async fn until(&self, key: &Key) -> Result<Option<OffsetDateTime>, LockError> {
        let headers = self.ask(Method::HEAD, key, "", &[], Bytes::new()).await?;
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        // Governance is ended by whoever may.
        let locked = text(MODE).is_some_and(|mode| mode.eq_ignore_ascii_case(COMPLIANCE));
        let until = text(UNTIL).filter(|_| locked);
        Ok(until.and_then(|until| OffsetDateTime::parse(until, &Rfc3339).ok()))
    }

    /// Locks an object for longer, and reads its lock back.
    ///
    /// # Errors
    /// [`LockError`].
    pub(crate) async fn extend(&self, key: &Key, until: OffsetDateTime) -> Result<(), LockError> {
        let date = rfc3339(until)?;
        let body = format!(
            "<Retention xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Mode>{COMPLIANCE}</Mode>\
             <RetainUntilDate>{date}</RetainUntilDate></Retention>"
        );
        self.ask(Method::PUT, key, "?retention=", &[], body.into()).await?;
        match self.until(key).await? {
            Some(kept) if kept >= until => Ok(()),
            _ => Err(LockError::Ignored),
        }
    }

    /// One request, signed; its headers if it was answered with success.
    async fn ask(
        &self,
        method: Method,
        key: &Key,
        query: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<HeaderMap, LockError> {
        let refused = |error: &dyn std::fmt::Display| LockError::Refused(error.to_string());
        let mut last = String::new();
        for attempt in 0..TRIES {
            if attempt > 0 {
                tokio::time::sleep(PAUSE * 2_u32.pow(attempt)).await;
            }
            let mut request = Request::builder()
                .method(method.clone())
                .uri(format!("{}/{key}{query}", self.base));
            if method == Method::PUT {
                request = request.header(CHECKSUM, STANDARD.encode(sha256(&body)));
            }
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let request = request.body(HttpRequestBody::from(body.clone()));
            let mut request = request.map_err(|error| refused(&error))?;
            let signed = AwsAuthorizer::new(&self.credential, "s3", &self.region).try_authorize(&mut request, None);
            signed.map_err(|error| refused(&error))?;
            match self.wire.call(request).await {
                Ok(answer) if answer.status().is_success() => return Ok(answer.headers().clone()),
                Ok(answer) => {
                    let status = answer.status();
                    last = format!("the server says {status}");
                    if !status.is_server_error() {
                        break;
                    }
                }
                Err(error) => last = error.to_string(),
            }
        }
        Err(LockError::Refused(last))
    }
}

/// As the headers have it, in whole seconds.
fn rfc3339(time: OffsetDateTime) -> Result<String, LockError> {
    let whole = time.to_offset(time::UtcOffset::UTC).replace_nanosecond(0);
    whole
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .ok_or_else(|| LockError::Refused("the day is out of range".into()))
}
