//! A relay that lies: it has the true relay's certificate and what enrolled clients trust, and answers what the test says.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::desk::Desk;
use crate::https::{Https, Reply};
use crate::relay::RelayProcess;

/// Who sends nothing for so long has gone.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a client asked.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Header lines, names in lower case.
    pub fields: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

/// What it is answered.
#[derive(Debug, Clone)]
pub enum Lie {
    /// An answer with these header lines and a body of its true length.
    Answer(u16, Vec<(String, String)>, Vec<u8>),
    /// Status line, header lines, and then the same bytes without end, until the client has enough.
    Endless(Vec<(String, String)>, Vec<u8>),
    /// The bytes of an answer as they are.
    Raw(Vec<u8>),
}

impl Lie {
    /// JSON.
    #[must_use]
    pub fn json(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::Answer(
            status,
            vec![("content-type".into(), "application/json".into())],
            body.into(),
        )
    }

    /// What the true relay said.
    #[must_use]
    pub fn truth(reply: &Reply) -> Self {
        let framing = ["content-length", "transfer-encoding", "connection"];
        let fields = reply
            .headers
            .iter()
            .filter(|(name, _)| !framing.contains(&name.as_str()));
        let fields = fields.map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()));
        Self::Answer(reply.status, fields.collect(), reply.body.clone())
    }
}

/// How a lying relay answers: what was asked, and a way to ask the true relay the same.
pub type Liar = dyn Fn(&Asked, &dyn Fn() -> Reply) -> Lie + Send + Sync;

/// A lying relay, in front of a true one.
pub struct MaliciousRelay {
    port: u16,
    liar: Arc<Mutex<Arc<Liar>>>,
}

impl std::fmt::Debug for MaliciousRelay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MaliciousRelay({})", self.port)
    }
}

impl MaliciousRelay {
    /// Takes the place of `relay` for `desk`, whose configuration it changes. Until told otherwise it says the truth.
    ///
    /// # Panics
    /// If the relay's keys or the desk's configuration cannot be read.
    #[must_use]
    pub fn before(relay: &RelayProcess, desk: &Desk) -> Self {
        let keys = relay.folder().join("keys");
        let chain = fs::read(keys.join("tls.pem")).expect("the relay's certificate");
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&chain)
            .collect::<Result<_, _>>()
            .expect("certificates");
        let key = PrivateKeyDer::from_pem_file(keys.join("tls.key")).expect("the relay's key");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("a certificate with its key");
        let config = Arc::new(config);
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let file = desk.home().join("config.toml");
        let text = fs::read_to_string(&file).expect("an enrolled desk");
        let text = text.replace(&relay.api_url(), &format!("https://127.0.0.1:{port}"));
        fs::write(&file, text).expect("the desk's configuration");
        let truth = desk.https(relay);
        let liar: Arc<Liar> = Arc::new(|_, ask| Lie::truth(&ask()));
        let liar = Arc::new(Mutex::new(liar));
        let telling = Arc::clone(&liar);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, truth) = (Arc::clone(&config), truth.clone());
                let liar = Arc::clone(&telling.lock().unwrap_or_else(PoisonError::into_inner));
                // A client that has heard enough closes the connection: that is no failure.
                std::thread::spawn(move || drop(answer(stream, config, &truth, &liar)));
            }
        });
        Self { port, liar }
    }

    /// From now on it answers so.
    pub fn says(&self, liar: impl Fn(&Asked, &dyn Fn() -> Reply) -> Lie + Send + Sync + 'static) {
        *self.liar.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(liar);
    }
}

fn answer(stream: TcpStream, config: Arc<ServerConfig>, truth: &Https, liar: &Arc<Liar>) -> anyhow::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut stream = StreamOwned::new(ServerConnection::new(config)?, stream);
    let Some(asked) = asked(&mut stream)? else {
        return Ok(());
    };
    let ask = || {
        let mut request = http::Request::builder()
            .method(asked.method.as_str())
            .uri(asked.target.as_str());
        let own = ["host", "content-length", "connection", "transfer-encoding"];
        for (name, value) in asked.fields.iter().filter(|(name, _)| !own.contains(&name.as_str())) {
            request = request.header(name, value);
        }
        truth.send(request, &asked.body).expect("the true relay answers")
    };
    let (status, fields, body, endless) = match liar(&asked, &ask) {
        Lie::Answer(status, fields, body) => (status, fields, body, false),
        Lie::Endless(fields, piece) => (200, fields, piece, true),
        Lie::Raw(bytes) => {
            stream.write_all(&bytes)?;
            stream.conn.send_close_notify();
            return Ok(stream.flush()?);
        }
    };
    let mut head = format!("HTTP/1.1 {status} Said\r\nconnection: close\r\n");
    for (name, value) in fields {
        head += &format!("{name}: {value}\r\n");
    }
    if !endless {
        head += &format!("content-length: {}\r\n", body.len());
    }
    stream.write_all(head.as_bytes())?;
    stream.write_all(b"\r\n")?;
    if asked.method != "HEAD" {
        stream.write_all(&body)?;
    }
    if endless {
        loop {
            stream.write_all(&body)?;
        }
    }
    stream.conn.send_close_notify();
    Ok(stream.flush()?)
}

/// One request, HTTP/1.1; `None` if the connection ends without one.
fn asked(stream: &mut impl Read) -> anyhow::Result<Option<Asked>> {
    let (mut bytes, mut block) = (Vec::new(), [0; 16 << 10]);
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        match stream.read(&mut block)? {
            0 => return Ok(None),
            read => bytes.extend_from_slice(&block[..read]),
        }
    };
    let head = std::str::from_utf8(&bytes[..end])?.to_owned();
    let mut lines = head.split("\r\n");
    let mut first = lines.next().unwrap_or_default().split(' ');
    let (method, target) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
    let fields: Vec<_> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = fields.iter().find(|(name, _)| name == "content-length");
    let length = length.map_or(Ok(0), |(_, value)| value.parse::<usize>())?;
    let mut body = bytes.split_off(end + 4);
    while body.len() < length {
        match stream.read(&mut block)? {
            0 => return Ok(None),
            read => body.extend_from_slice(&block[..read]),
        }
    }
    Ok(Some(Asked {
        method: method.to_owned(),
        target: target.to_owned(),
        fields,
        body,
    }))
}
