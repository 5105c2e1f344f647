//! The trail as a feed to the operator's log server: DICOM audit messages over syslog,
//! [RFC 5424](https://www.rfc-editor.org/rfc/rfc5424) over TLS ([RFC 5425](https://www.rfc-editor.org/rfc/rfc5425)).
//!
//! At least once, from a position kept on disk, or in the store that relays share: one of them feeds at a time. Syslog has no acknowledgement: each batch is a connection of its own, ended by
//! `close_notify`, and counts as received when the other side has ended its own direction with `close_notify` too (RFC 5425 §4.4):
//! an end without it may be anybody's on the way, or a server that was killed. The operator may say that a server has none.
//! Nothing waits for the feed: while it cannot send, it lags, and its figures say how far.
//!
//! ```text
//! frame   = length of message ‖ SP ‖ message
//! message = <85>1 SP time SP host SP hikyaku-relay SP - SP DICOM+RFC3881 SP - SP BOM ‖ AuditMessage
//! ```

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use formats::trail::{Actor, Filter};
use rustls_pki_types::ServerName;
use serde::{Deserialize, Serialize};
use time::Date;
use time::macros::offset;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::account::{Query, Read, concerned};
use crate::clock;
use crate::config::Syslog;
use crate::context::Context;
use crate::folder::private_file;
use crate::observe;
use crate::server::tls::{self, TlsError};
use crate::store::{Batch, Notes, StoreError};

/// Records in one connection.
const BATCH: usize = 512;
/// Pause between looks for new records.
const LOOK: Duration = Duration::from_secs(1);
/// Pauses after a failure: the first, and the longest they grow to.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// A connection is made, and a batch sent and taken, in this time or not at all.
const CONNECT: Duration = Duration::from_secs(15);
const SEND: Duration = Duration::from_secs(120);
/// Facility 10 (security), severity 5 (notice): PS3.15 A.6.
const PRIORITY: u8 = 85;

/// Why a batch was not sent.
#[derive(Debug, thiserror::Error)]
enum FeedError {
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0} is no name a certificate can bear")]
    Name(String),
    #[error("no answer in time")]
    Slow,
    #[error(
        "the server ended the connection without close_notify: whether it has the records cannot be told, and they are sent again \
         (syslog.close_notify = \"optional\" takes it for a yes)"
    )]
    Cut,
}

/// How far the feed to an address has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Progress {
    address: String,
    /// Position of the next record to send.
    next: u64,
}

/// Feeds the trail to the configured server until the task is dropped. A server that is new gets the trail from its beginning.
pub(crate) async fn feed(context: Context) {
    let Some(config) = context.config.syslog.clone() else {
        return;
    };
    let place = Place::of(&context);
    let mut going = None;
    let mut pause = FIRST_PAUSE;
    loop {
        if !context.leads("syslog").await {
            // Another feeds; when it ends, this one goes on where that one came to.
            going = None;
            tokio::time::sleep(LOOK).await;
            continue;
        }
        match step(&context, &config, &place, &mut going).await {
            Ok(true) => pause = FIRST_PAUSE,
            Ok(false) => {
                pause = FIRST_PAUSE;
                tokio::time::sleep(LOOK).await;
            }
            Err(error) => {
                metrics::counter!(observe::SYSLOG_FAILED).increment(1);
                tracing::warn!(address = config.address, %error, "the syslog feed waits");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// Sends one batch if there is something to send; says whether there was.
async fn step(
    context: &Context,
    config: &Syslog,
    place: &Place,
    going: &mut Option<(u64, Date)>,
) -> Result<bool, FeedError> {
    let today = clock::now().to_offset(offset!(+9)).date();
    if going.is_none_or(|(_, day)| day != today) {
        let next = match going {
            Some((next, _)) => *next,
            None => place.read(config).await?,
        };
        announce(context, config, next).await?;
        *going = Some((next, today));
    }
    let Some((next, _)) = going else { return Ok(false) };
    let size = context.store.size().await?;
    metrics::gauge!(observe::SYSLOG_LAG).set(lag(size, *next));
    if *next >= size {
        return Ok(false);
    }
    let page = context.store.records(None, *next, BATCH).await?;
    let Some(last) = page.last().map(|stored| stored.position) else {
        return Ok(false);
    };
    let (host, relay) = (host(&context.config.api.url), &context.config.log.name);
    let mut frames = Vec::new();
    let mut count = 0;
    for stored in &page {
        // What is erased before it was fed has nothing left to say.
        if let Some((time, message)) = crate::account::audit_message(stored, relay) {
            frame(&mut frames, &time, host, &message);
            count += 1;
        }
    }
    timeout(SEND, send(config, &frames))
        .await
        .map_err(|_| FeedError::Slow)??;
    *next = last + 1;
    let progress = Progress {
        address: config.address.clone(),
        next: *next,
    };
    if !place.write(progress).await? {
        // Another has fed more meanwhile.
        *going = None;
        return Ok(true);
    }
    metrics::counter!(observe::SYSLOG_SENT).increment(count);
    metrics::gauge!(observe::SYSLOG_LAG).set(lag(size, *next));
    Ok(true)
}

#[expect(clippy::cast_precision_loss, reason = "a figure")]
fn lag(size: u64, next: u64) -> f64 {
    size.saturating_sub(next) as f64
}

/// A feed reads the trail: that it does is recorded, for every facility, when it begins and once on each day of Japan.
async fn announce(context: &Context, config: &Syslog, next: u64) -> Result<(), StoreError> {
    let reading = Read {
        facility: None,
        from: String::new(),
        to: String::new(),
        format: format!("syslog {}", config.address),
        filter: next.checked_sub(1).map(|after| Filter {
            after: Some(after),
            ..Filter::default()
        }),
    };
    let concerned = concerned(&*context.store, &Query::default()).await?;
    let batch = Batch {
        actor: Actor::default(),
        time: clock::now(),
        events: reading.events(concerned),
        conditions: Vec::new(),
    };
    context.store.commit(batch).committed().await.map(drop)
}

/// Sends frames over a connection of their own, and waits until the other side has taken all of them.
async fn send(config: &Syslog, frames: &[u8]) -> Result<(), FeedError> {
    let connector = tls::connector(&config.ca, config.client.as_ref())?;
    let name = ServerName::try_from(config.host.clone()).map_err(|_| FeedError::Name(config.host.clone()))?;
    let stream = timeout(CONNECT, TcpStream::connect((config.host.as_str(), config.port)));
    let stream = stream.await.map_err(|_| FeedError::Slow)??;
    let stream = timeout(CONNECT, connector.connect(name, stream))
        .await
        .map_err(|_| FeedError::Slow)??;
    let (mut reading, mut writing) = tokio::io::split(stream);
    writing.write_all(frames).await?;
    // close_notify, then the end of our direction.
    writing.shutdown().await?;
    ended(&mut reading, config.close_notify).await
}

/// Waits for the other side's end, which must be `close_notify` where that is asked for.
async fn ended(reading: &mut (impl AsyncRead + Unpin), close_notify: bool) -> Result<(), FeedError> {
    let mut ignored = [0; 512];
    loop {
        match reading.read(&mut ignored).await {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(error.into()),
            Err(_) if close_notify => return Err(FeedError::Cut),
            // A server that had left bytes unread would reset the connection.
            Err(_) => return Ok(()),
        }
    }
}

fn frame(to: &mut Vec<u8>, time: &str, host: &str, audit: &str) {
    let message = format!("<{PRIORITY}>1 {time} {host} hikyaku-relay - DICOM+RFC3881 - \u{feff}{audit}");
    to.extend_from_slice(format!("{} ", message.len()).as_bytes());
    to.extend_from_slice(message.as_bytes());
}

/// The host of a base URL as RFC 5424 takes it: printable ASCII, at most 255.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = rest.rsplit_once(':').map_or(rest, |(host, _)| host);
    if host.is_empty() || host.len() > 255 { "-" } else { host }
}

/// Where it is kept how far the feed has come.
enum Place {
    File(PathBuf),
    Shared(Arc<dyn Notes>),
}

impl Place {
    fn of(context: &Context) -> Self {
        match context.store.notes() {
            Some(notes) => Self::Shared(notes),
            None => Self::File(context.config.data.join("syslog.json")),
        }
    }

    async fn read(&self, config: &Syslog) -> Result<u64, FeedError> {
        let notes = match self {
            Self::File(path) => return Ok(read_progress(path, config)),
            Self::Shared(notes) => Arc::clone(notes),
        };
        let name = note_of(&config.address);
        let kept = tokio::task::spawn_blocking(move || notes.read(&name)).await;
        let kept = kept.map_err(io::Error::other)??;
        let progress = kept.and_then(|kept| serde_json::from_slice::<Progress>(&kept).ok());
        Ok(progress.map_or(0, |progress| progress.next))
    }

    /// Whether it is the farthest.
    async fn write(&self, progress: Progress) -> Result<bool, FeedError> {
        let notes = match self {
            Self::File(path) => return Ok(write_progress(path, &progress).map(|()| true)?),
            Self::Shared(notes) => Arc::clone(notes),
        };
        let written = tokio::task::spawn_blocking(move || {
            let content = serde_json::to_vec(&progress).unwrap_or_default();
            notes.put(&note_of(&progress.address), progress.next, &content)
        });
        Ok(written.await.map_err(io::Error::other)??)
    }
}

/// Each address has a note of its own.
fn note_of(address: &str) -> String {
    format!("syslog {address}")
}

/// Where the feed goes on. A file that is not there or of another address says: at the beginning.
fn read_progress(path: &Path, config: &Syslog) -> u64 {
    let read = std::fs::read(path).ok();
    let progress = read.and_then(|bytes| serde_json::from_slice::<Progress>(&bytes).ok());
    progress
        .filter(|progress| progress.address == config.address)
        .map_or(0, |progress| progress.next)
}

/// Written beside its place, synced, renamed, the folder synced.
fn write_progress(path: &Path, progress: &Progress) -> io::Result<()> {
    use std::io::Write as _;
    let draft = PathBuf::from(format!("{}.part", path.display()));
    let mut file = private_file().write(true).create(true).truncate(true).open(&draft)?;
    file.write_all(serde_json::to_string(progress)?.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&draft, path)?;
    if let Some(folder) = path.parent().filter(|_| cfg!(unix)) {
        std::fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_counts_its_octets() {
        let mut frames = Vec::new();
        frame(
            &mut frames,
            "2026-11-22T01:00:00.000Z",
            host("https://relay.example:8443"),
            "<A>医</A>",
        );
        let text = String::from_utf8(frames).unwrap();
        let (length, message) = text.split_once(' ').unwrap();
        assert_eq!(length.parse(), Ok(message.len()));
        assert_eq!(
            message,
            "<85>1 2026-11-22T01:00:00.000Z relay.example hikyaku-relay - DICOM+RFC3881 - \u{feff}<A>医</A>"
        );
        assert_eq!(host("https://[::1]:8443"), "[::1]");
    }

    /// Some bytes, then the end as TLS tells of one without `close_notify`.
    struct CutOff(bool);

    impl AsyncRead for CutOff {
        fn poll_read(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            buffer: &mut tokio::io::ReadBuf<'_>,
        ) -> std::task::Poll<io::Result<()>> {
            std::task::Poll::Ready(if std::mem::replace(&mut self.0, true) {
                Err(io::ErrorKind::UnexpectedEof.into())
            } else {
                buffer.put_slice(b"bye");
                Ok(())
            })
        }
    }

    #[tokio::test]
    async fn an_end_that_nobody_signed_is_no_receipt_unless_the_operator_says_so() {
        let cut = ended(&mut CutOff(false), true).await;
        assert!(matches!(cut, Err(FeedError::Cut)), "{cut:?}");
        assert!(ended(&mut CutOff(false), false).await.is_ok());
        assert!(ended(&mut &b"bye"[..], true).await.is_ok());
    }

    #[test]
    fn a_position_belongs_to_its_address() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("syslog.json");
        let config = |address: &str| Syslog {
            address: address.into(),
            host: "log.example".into(),
            port: 6514,
            ca: "ca.pem".into(),
            client: None,
            close_notify: true,
        };
        assert_eq!(read_progress(&path, &config("log.example:6514")), 0);
        let progress = Progress {
            address: "log.example:6514".into(),
            next: 7,
        };
        write_progress(&path, &progress).unwrap();
        assert_eq!(read_progress(&path, &config("log.example:6514")), 7);
        assert_eq!(read_progress(&path, &config("other.example:6514")), 0);
        std::fs::write(&path, "torn").unwrap();
        assert_eq!(read_progress(&path, &config("log.example:6514")), 0);
    }
}
