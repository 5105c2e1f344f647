//! HTTPS as a device speaks it, one request at a time: for what no ordinary client would send.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;
use tokio::runtime::Runtime;

/// No answer of the house takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A listener of the relay and who speaks to it.
#[derive(Debug, Clone)]
pub struct Https {
    port: u16,
    config: Arc<ClientConfig>,
}

/// A TCP connection from 127.0.0.`host` to a port of this machine. Neither side waits long on it.
///
/// # Errors
/// If there is none.
pub fn tcp_from(host: u8, port: u16) -> std::io::Result<std::net::TcpStream> {
    let stream = block_on(async {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind(([127, 0, 0, host], 0).into())?;
        socket.connect(([127, 0, 0, 1], port).into()).await?.into_std()
    })?;
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.set_write_timeout(Some(Duration::from_secs(1)))?;
    Ok(stream)
}

/// An open connection.
#[derive(Debug)]
pub struct Connection {
    port: u16,
    sender: SendRequest<UnsyncBoxBody<Bytes, std::io::Error>>,
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Status.
    pub status: u16,
    /// Header fields.
    pub headers: HeaderMap,
    /// Body.
    pub body: Vec<u8>,
}

impl Https {
    /// `identity`: certificate chain and key, PEM; `None` for the portal, or to see a device without certificate refused.
    ///
    /// # Errors
    /// If the PEM cannot be used.
    pub fn new(port: u16, relay_ca: &[u8], identity: Option<(&[u8], &[u8])>) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(relay_ca) {
            roots.add(certificate?)?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots);
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let chain = CertificateDer::pem_slice_iter(chain).collect::<Result<Vec<_>, _>>()?;
                builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key)?)?
            }
        };
        Ok(Self {
            port,
            config: Arc::new(config),
        })
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// If there is no listener, or the handshake fails.
    pub fn open(&self) -> anyhow::Result<Connection> {
        block_on(async {
            let stream = tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await?;
            stream.set_nodelay(true)?;
            let name = ServerName::try_from("127.0.0.1")?;
            let tls = tokio_rustls::TlsConnector::from(Arc::clone(&self.config));
            let stream = tls.connect(name, stream).await.context("TLS handshake")?;
            let (sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            tokio::spawn(driver);
            Ok(Connection {
                port: self.port,
                sender,
            })
        })
    }

    /// A connection from the loopback address 127.0.0.`host`, for bytes no HTTP client would send.
    ///
    /// # Errors
    /// If there is no connection, or the handshake fails.
    pub fn raw_from(&self, host: u8) -> anyhow::Result<StreamOwned<ClientConnection, std::net::TcpStream>> {
        let stream = tcp_from(host, self.port)?;
        let name = ServerName::try_from("127.0.0.1")?;
        let mut tls = StreamOwned::new(ClientConnection::new(Arc::clone(&self.config), name)?, stream);
        while tls.conn.is_handshaking() {
            tls.conn.complete_io(&mut tls.sock)?;
        }
        Ok(tls)
    }

    /// One request on a connection of its own.
    ///
    /// # Errors
    /// As [`open`](Self::open) and [`Connection::send`].
    pub fn send(&self, request: http::request::Builder, body: &[u8]) -> anyhow::Result<Reply> {
        self.open()?.send(request, body)
    }

    /// One request over HTTP/2, on a connection of its own.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_http2(&self, request: http::request::Builder, body: Vec<u8>) -> anyhow::Result<Reply> {
        let target = request.uri_ref().cloned().unwrap_or_default();
        let request = request.uri(format!("https://127.0.0.1:{}{target}", self.port));
        let request = request.body(Full::new(Bytes::from(body)))?;
        let answer = async {
            let stream = tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await?;
            let tls = tokio_rustls::TlsConnector::from(Arc::clone(&self.config));
            let stream = tls.connect(ServerName::try_from("127.0.0.1")?, stream).await?;
            let executor = hyper_util::rt::TokioExecutor::new();
            let (mut sender, driver) = hyper::client::conn::http2::handshake(executor, TokioIo::new(stream)).await?;
            tokio::spawn(driver);
            reply(sender.send_request(request).await?).await
        };
        block_on(async { tokio::time::timeout(PATIENCE, answer).await }).context("no answer")?
    }

    /// `GET path`.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn get(&self, path: &str) -> anyhow::Result<Reply> {
        self.send(Request::get(path), &[])
    }

    /// A request whose body is announced with `length` bytes and breaks off after `body`.
    ///
    /// # Errors
    /// If there is no connection; that the request itself fails is what is wanted.
    pub fn break_off(&self, request: http::request::Builder, length: usize, body: &[u8]) -> anyhow::Result<()> {
        let mut connection = self.open()?;
        let pieces = [
            Ok(Frame::data(Bytes::copy_from_slice(body))),
            Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset)),
        ];
        let body = StreamBody::new(futures_util::stream::iter(pieces)).boxed_unsync();
        let request = request
            .header("host", format!("127.0.0.1:{}", self.port))
            .header("content-length", length)
            .body(body)?;
        let ended = block_on(async { tokio::time::timeout(PATIENCE, connection.sender.send_request(request)).await });
        anyhow::ensure!(ended?.is_err(), "the request was answered although it broke off");
        Ok(())
    }
}

impl Connection {
    /// One request, answered.
    ///
    /// # Errors
    /// If the other side closes the connection.
    pub fn send(&mut self, request: http::request::Builder, body: &[u8]) -> anyhow::Result<Reply> {
        let body = Full::new(Bytes::copy_from_slice(body))
            .map_err(|never| match never {})
            .boxed_unsync();
        let request = request.header("host", format!("127.0.0.1:{}", self.port)).body(body)?;
        let answer = async {
            self.sender.ready().await?;
            reply(self.sender.send_request(request).await?).await
        };
        block_on(async { tokio::time::timeout(PATIENCE, answer).await }).context("no answer")?
    }
}

impl Reply {
    /// The body as JSON; null if it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// Code of the problem, if the answer is one.
    #[must_use]
    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    /// A header field; empty if absent.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

async fn reply(response: Response<Incoming>) -> anyhow::Result<Reply> {
    let (parts, body) = response.into_parts();
    Ok(Reply {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body: body.collect().await?.to_bytes().to_vec(),
    })
}

/// One runtime for all tests of a program: their connections outlive the call that opened them.
fn block_on<T>(work: impl Future<Output = T>) -> T {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime for connections")
    });
    runtime.block_on(work)
}
