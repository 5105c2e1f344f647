//! One connection from handshake to end: who it is, what it may ask, and when it must close.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http::header::{CONNECTION, HeaderName, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Method, Request, Version};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;
use tracing::Instrument;

use super::Face;
use super::linger::{Counted, Linger, Wanted};
use crate::context::Context;
use crate::observe;
use crate::peer::{Connection, DeviceName};
use crate::problem::{self, Language};

/// A handshake takes no longer.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// A request's headers take no longer.
const HEADERS: Duration = Duration::from_secs(30);
/// A connection on which no byte moves for so long is closed. Longer than any answer takes to begin.
const IDLE: Duration = Duration::from_secs(180);
/// How often the device table is asked whether an open connection may stay open.
const RECHECK: Duration = Duration::from_secs(2);

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const METHOD_OVERRIDE: HeaderName = HeaderName::from_static("x-http-method-override");

/// Everything one connection needs.
pub(super) struct Serving {
    pub(super) face: Face,
    pub(super) tls: TlsAcceptor,
    pub(super) router: Router,
    pub(super) context: Context,
    pub(super) address: SocketAddr,
    pub(super) stop: watch::Receiver<bool>,
}

impl Serving {
    pub(super) async fn run(mut self, stream: TcpStream) {
        // Small answers should not wait for more to send.
        let _ = stream.set_nodelay(true);
        let stream = match tokio::time::timeout(HANDSHAKE, self.tls.accept(stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                metrics::counter!(observe::HANDSHAKES_FAILED).increment(1);
                return tracing::info!(address = %self.address, %error, "TLS handshake failed");
            }
            Err(_) => {
                metrics::counter!(observe::HANDSHAKES_FAILED).increment(1);
                return tracing::info!(address = %self.address, "TLS handshake timed out");
            }
        };
        let device = match self.face {
            Face::Portal => None,
            Face::Api => {
                let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
                match certificate.map(|certificate| DeviceName::from_certificate(certificate)) {
                    Some(Ok(device)) => Some(device),
                    Some(Err(error)) => {
                        return tracing::warn!(address = %self.address, %error, "client certificate refused");
                    }
                    None => return,
                }
            }
        };
        metrics::gauge!(observe::CONNECTIONS).increment(1.0);
        self.speak(stream, device).await;
        metrics::gauge!(observe::CONNECTIONS).decrement(1.0);
    }

    async fn speak(
        &mut self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        device: Option<DeviceName>,
    ) {
        let pulse = Arc::new(Pulse::default());
        let linger = Linger::default();
        let wanted = linger.wanted.clone();
        let stream = Watched {
            inner: stream,
            pulse: Arc::clone(&pulse),
            is_shut: false,
            linger,
        };
        let connection = Connection {
            address: self.address,
            device: device.clone(),
        };
        let router = self.router.clone();
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            answer(router.clone(), connection.clone(), request, wanted.clone())
        });
        let mut http = auto::Builder::new(TokioExecutor::new());
        http.http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADERS)
            .max_headers(64);
        http.http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(64)
            .max_header_list_size(32 * 1024)
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(4 << 20);
        let mut serving = pin!(http.serve_connection(TokioIo::new(stream), service));
        let mut recheck = tokio::time::interval_at(tokio::time::Instant::now() + RECHECK, RECHECK);
        let mut stopping = false;
        let context = self.context.clone();
        loop {
            tokio::select! {
                ended = serving.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(address = %self.address, %error, "connection ended");
                    }
                    return;
                }
                () = stopped(&mut self.stop), if !stopping => {
                    stopping = true;
                    serving.as_mut().graceful_shutdown();
                }
                _ = recheck.tick() => {
                    if pulse.still_for() > IDLE {
                        return tracing::debug!(address = %self.address, "idle connection closed");
                    }
                    if let Some(device) = &device && ended(&context, device).await {
                        return tracing::warn!(
                            address = %self.address, facility = %device.facility, device = %device.device,
                            "connection of a revoked device closed"
                        );
                    }
                }
            }
        }
    }
}

pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the relay is gone, which is a stop too.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Whether the device was revoked. A device never seen may still speak: each request tells it why it gets nothing.
async fn ended(context: &Context, device: &DeviceName) -> bool {
    let row = context.store.device(&device.facility, &device.device).await;
    matches!(row, Ok(Some(row)) if row.revoked)
}

/// One request: its id, its span, its answer, its problem in the asked language.
async fn answer(
    router: Router,
    connection: Connection,
    request: Request<Incoming>,
    linger: Wanted,
) -> Result<Response, std::convert::Infallible> {
    let (parts, body) = request.into_parts();
    let (body, left) = Counted::new(body);
    let mut request = Request::from_parts(parts, Body::new(body));
    let id = uuid::Uuid::now_v7().to_string();
    let language = Language::asked(request.headers());
    // tus 1.0 "X-HTTP-Method-Override": for clients behind proxies that know no PATCH.
    if request.method() == Method::POST
        && let Some(method) = request.headers().get(METHOD_OVERRIDE)
        && let Ok(method) = Method::from_bytes(method.as_bytes())
        && [Method::PATCH, Method::DELETE, Method::HEAD].contains(&method)
    {
        *request.method_mut() = method;
    }
    let span = tracing::info_span!(
        "request", id, method = %request.method(), path = loggable(request.uri().path()), address = %connection.address.ip(),
        facility = connection.device.as_ref().map(|device| device.facility.as_str()),
        device = connection.device.as_ref().map(|device| device.device.as_str()),
    );
    request.extensions_mut().insert(connection);
    let (method, version) = (request.method().clone(), request.version());
    async move {
        let began = Instant::now();
        let mut response = match router.oneshot(request).await {
            Ok(response) => problem::render(response, language),
            Err(never) => match never {},
        };
        let status = response.status().as_u16();
        let took = began.elapsed();
        metrics::counter!(observe::REQUESTS, "method" => counted(&method), "status" => status.to_string()).increment(1);
        metrics::histogram!(observe::REQUEST_SECONDS).record(took.as_secs_f64());
        tracing::info!(
            status,
            milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            "answered"
        );
        let headers = response.headers_mut();
        if let Ok(id) = HeaderValue::from_str(&id) {
            headers.insert(REQUEST_ID, id);
        }
        if version < Version::HTTP_2 && left.is_much() {
            linger.set();
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
        Ok(response)
    }
    .instrument(span)
    .await
}

/// A method as a label of figures: one for all that are not served, or whoever invents methods fills the memory with series.
fn counted(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// A path without what may name a patient: file names inside a container.
fn loggable(path: &str) -> &str {
    path.split_once("/files/").map_or(path, |(before, _)| before)
}

/// When a byte last moved.
struct Pulse {
    began: Instant,
    last: AtomicU64,
}

impl Default for Pulse {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            last: AtomicU64::new(0),
        }
    }
}

impl Pulse {
    fn beat(&self) {
        let elapsed = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(elapsed, Ordering::Relaxed);
    }

    fn still_for(&self) -> Duration {
        self.began
            .elapsed()
            .saturating_sub(Duration::from_millis(self.last.load(Ordering::Relaxed)))
    }
}

/// A stream that notes when a byte moves.
struct Watched<S> {
    inner: S,
    pulse: Arc<Pulse>,
    is_shut: bool,
    linger: Linger,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        let polled = std::pin::Pin::new(&mut self.inner).poll_read(cx, buf);
        if polled.is_ready() {
            self.pulse.beat();
        }
        polled
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        let polled = std::pin::Pin::new(&mut self.inner).poll_write(cx, bytes);
        if polled.is_ready() {
            self.pulse.beat();
        }
        polled
    }

    fn poll_flush(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        let this = &mut *self;
        if !this.is_shut {
            std::task::ready!(std::pin::Pin::new(&mut this.inner).poll_shutdown(cx))?;
            this.is_shut = true;
        }
        this.linger.poll(&mut this.inner, cx).map(Ok)
    }
}
