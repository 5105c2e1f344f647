//! How the object store is spoken to: HTTP/1.1 over hyper, TLS 1.2 or 1.3 over rustls with the operator's certificate authority.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use http_body_util::{BodyExt as _, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector as Tcp;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse, HttpResponseBody,
    HttpService,
};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

const CONNECT: Duration = Duration::from_secs(5);
/// So long one answer may take, its body included: no request moves more than a few MiB.
const ANSWER: Duration = Duration::from_secs(15);
/// No answer is longer: parts of containers have 4 MiB, lists a thousand lines.
const LONGEST: usize = 32 << 20;
/// Connections kept for the next request.
const IDLE: usize = 32;

/// Makes the client.
#[derive(Clone)]
pub(super) struct Connector(Client<HttpsConnector<Tcp>, HttpRequestBody>);

impl Connector {
    /// Trusts the authorities of a PEM file for `https://`, and no other.
    pub(super) fn new(ca: Option<&Path>) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        if let Some(ca) = ca {
            for certificate in CertificateDer::pem_file_iter(ca).map_err(|error| error.to_string())? {
                let certificate = certificate.map_err(|error| error.to_string())?;
                // A bundle has some that nobody can use.
                let _unusable = roots.add(certificate);
            }
            if roots.is_empty() {
                return Err("no certificate in it".into());
            }
        }
        let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut tcp = Tcp::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT));
        let https = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(IDLE)
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_timer(TokioTimer::new())
            .build(https);
        Ok(Self(client))
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}

impl HttpConnector for Connector {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

// As `async_trait` writes it, which the trait is declared with.
impl HttpService for Connector {
    fn call<'a: 'b, 'b>(&'a self, request: HttpRequest) -> BoxFuture<'b, Result<HttpResponse, HttpError>>
    where
        Self: 'b,
    {
        Box::pin(async move {
            let answered = tokio::time::timeout(ANSWER, async {
                let response = self.0.request(request).await.map_err(|error| {
                    let kind = if error.is_connect() {
                        HttpErrorKind::Connect
                    } else {
                        HttpErrorKind::Interrupted
                    };
                    HttpError::new(kind, error)
                })?;
                let (parts, body) = response.into_parts();
                let body = Limited::new(body, LONGEST).collect().await;
                let body = body.map_err(|error| HttpError::new_boxed(HttpErrorKind::Interrupted, error))?;
                Ok(HttpResponse::from_parts(parts, HttpResponseBody::from(body.to_bytes())))
            });
            match answered.await {
                Ok(answered) => answered,
                Err(late) => Err(HttpError::new(HttpErrorKind::Timeout, late)),
            }
        })
    }
}
