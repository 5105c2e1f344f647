//! A way to the bucket on which things go wrong: it refuses, is slow, or says that it has put what it has not.

use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum S3Fault {
    /// Every request is answered with 503.
    Refuses,
    /// Every answer is so late.
    Slow(Duration),
    /// So many of the next objects are answered with 200, and nothing is put.
    Loses(u64),
    /// What it says of locks is left out: as a server answers that takes their headers and does nothing.
    Unlocked,
}

/// The way. It lives on a thread of its own and ends when this is dropped.
#[derive(Debug)]
pub struct S3Faults {
    port: u16,
    state: Arc<State>,
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

#[derive(Debug)]
struct State {
    to: u16,
    fault: Mutex<Option<S3Fault>>,
    met: AtomicU64,
}

impl S3Faults {
    /// A way to the server that listens on port `to` of this machine.
    ///
    /// # Panics
    /// If no port can be had.
    #[must_use]
    pub fn before(to: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port on loopback");
        listener.set_nonblocking(true).expect("a listener can be non-blocking");
        let port = listener.local_addr().expect("a bound listener has an address").port();
        let state = Arc::new(State {
            to,
            fault: Mutex::new(None),
            met: AtomicU64::new(0),
        });
        let (stop, mut stopped) = oneshot::channel::<Infallible>();
        let shared = Arc::clone(&state);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime for the way").block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                loop {
                    let accepted = tokio::select! {
                        accepted = listener.accept() => accepted,
                        _ = &mut stopped => return,
                    };
                    let Ok((stream, _)) = accepted else { continue };
                    let state = Arc::clone(&shared);
                    tokio::spawn(async move {
                        let answer = service_fn(|request| pass(Arc::clone(&state), request));
                        let serving = http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
                        // Who hangs up is served no more.
                        let _ended = serving.await;
                    });
                }
            });
        });
        Self {
            port,
            state,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// The endpoint of a relay's configuration.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// From now on this goes wrong; `None`: nothing.
    pub fn set(&self, fault: Option<S3Fault>) {
        *self.state.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// Requests that a fault has met.
    #[must_use]
    pub fn met(&self) -> u64 {
        self.state.met.load(Ordering::SeqCst)
    }
}

impl Drop for S3Faults {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

impl State {
    /// What goes wrong with this request.
    fn fault(&self, request: &Request<Incoming>) -> Option<S3Fault> {
        let mut fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        let met = match &mut *fault {
            Some(S3Fault::Loses(left)) if request.method() != Method::PUT || *left == 0 => None,
            Some(S3Fault::Loses(left)) => {
                *left -= 1;
                Some(S3Fault::Loses(1))
            }
            other => *other,
        };
        self.met.fetch_add(u64::from(met.is_some()), Ordering::SeqCst);
        met
    }
}

async fn pass(state: Arc<State>, request: Request<Incoming>) -> anyhow::Result<Response<Full<Bytes>>> {
    match state.fault(&request) {
        Some(S3Fault::Refuses) => {
            let _read = request.into_body().collect().await;
            return Ok(answer(StatusCode::SERVICE_UNAVAILABLE));
        }
        Some(S3Fault::Loses(_)) => {
            let _read = request.into_body().collect().await;
            let mut lie = answer(StatusCode::OK);
            let tag = http::HeaderValue::from_static("\"00000000000000000000000000000000\"");
            lie.headers_mut().insert(http::header::ETAG, tag);
            return Ok(lie);
        }
        Some(S3Fault::Slow(late)) => tokio::time::sleep(late).await,
        Some(S3Fault::Unlocked) | None => {}
    }
    let unlocked = matches!(
        *state.fault.lock().unwrap_or_else(PoisonError::into_inner),
        Some(S3Fault::Unlocked)
    );
    let stream = TcpStream::connect(("127.0.0.1", state.to)).await?;
    let (mut sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(driver);
    // As signed, its host included.
    let (parts, body) = request.into_parts();
    let body = Full::new(body.collect().await?.to_bytes());
    let (mut parts, body) = sender
        .send_request(Request::from_parts(parts, body))
        .await?
        .into_parts();
    if unlocked {
        parts.headers.remove("x-amz-object-lock-mode");
        parts.headers.remove("x-amz-object-lock-retain-until-date");
    }
    Ok(Response::from_parts(parts, Full::new(body.collect().await?.to_bytes())))
}

fn answer(status: StatusCode) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::new()));
    *answer.status_mut() = status;
    answer
}
