//! The way to a running relay: a Unix socket in its data folder that its owner alone may open; JSON lines.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{AdminError, Command};
use crate::check::CheckError;
use crate::config::KeyPaths;
use crate::containers::Containers;
use crate::keys::Keys;
use crate::store::Store;
use crate::trust::CurrentTrust;

/// Longest command line, bytes.
const MAX_COMMAND: u64 = 64 << 10;

/// A line of an answer.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Line {
    /// Bytes of an export, base64.
    Part(String),
    /// The end: done.
    Done(Value),
    /// The end: not done.
    Failed(String),
}

/// What commands are about.
#[derive(Clone)]
pub struct Served {
    /// The trail and its index.
    pub store: Arc<dyn Store>,
    /// Pin of the relay's CA, for one-time codes.
    pub pin: String,
    /// Whom the relay trusts.
    pub trust: Arc<CurrentTrust>,
    /// Keys of what lies at rest.
    pub keys: Keys,
    /// The containers.
    pub containers: Containers,
    /// The data folder.
    pub data: PathBuf,
}

/// Answers commands on `path` until the task is dropped.
///
/// # Errors
/// If the socket cannot be made.
#[cfg(unix)]
pub async fn serve(path: &Path, served: Served) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    // The store's lock says that no other relay runs here: what lies there is left over.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = tokio::net::UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    loop {
        let (stream, _) = listener.accept().await?;
        let served = served.clone();
        tokio::spawn(async move {
            if let Err(error) = answer(served, stream).await {
                tracing::warn!(%error, "an administration connection ended early");
            }
        });
    }
}

#[cfg(unix)]
async fn answer(served: Served, stream: tokio::net::UnixStream) -> io::Result<()> {
    use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
    let (reading, mut writing) = stream.into_split();
    let mut line = String::new();
    BufReader::new(reading.take(MAX_COMMAND)).read_line(&mut line).await?;
    // Bounded, so that a long export waits for its reader instead of gathering in memory.
    let (lines, mut written) = tokio::sync::mpsc::channel::<Line>(4);
    let work = tokio::spawn(async move {
        let end = match serde_json::from_str::<Command>(&line) {
            Err(_) => Line::Failed("the command is not one this relay knows".into()),
            Ok(Command::TrustReload {}) => super::reload(&served.store, &served.trust).await.into(),
            Ok(Command::RotateKeys { paths, reload_only }) => rotate(served, paths, reload_only).await.into(),
            Ok(command) => {
                let parts = lines.clone();
                let mut part = |bytes: &[u8]| {
                    let text = STANDARD.encode(bytes);
                    let sent = tokio::task::block_in_place(|| parts.blocking_send(Line::Part(text)));
                    sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
                };
                super::execute(&served.store, &served.pin, command, &mut part)
                    .await
                    .into()
            }
        };
        let _gone = lines.send(end).await;
    });
    while let Some(line) = written.recv().await {
        let mut text = serde_json::to_string(&line)?;
        text.push('\n');
        writing.write_all(text.as_bytes()).await?;
    }
    work.await.map_err(io::Error::other)
}

#[cfg(unix)]
async fn rotate(served: Served, paths: KeyPaths, reload_only: bool) -> Result<Value, AdminError> {
    let keys = served.keys.clone();
    let reloaded = tokio::task::spawn_blocking(move || keys.reload(&paths)).await;
    let reloaded = reloaded.map_err(io::Error::other)?;
    reloaded.map_err(|error| AdminError::Argument(format!("nothing was changed: {error}")))?;
    if reload_only {
        return Ok(serde_json::json!({ "reloaded": true }));
    }
    let shared = super::SharedKeys {
        store: served.store,
        containers: served.containers,
    };
    super::rotate_keys(&served.data, &served.keys, Some(shared)).await
}

#[cfg(unix)]
impl From<Result<Value, AdminError>> for Line {
    fn from(answer: Result<Value, AdminError>) -> Self {
        match answer {
            Ok(value) => Self::Done(value),
            Err(error) => Self::Failed(error.to_string()),
        }
    }
}

/// Asks the relay that listens on `path`; `None` if none does. Exported bytes go to `export`.
///
/// # Errors
/// [`AdminError::Argument`] with the relay's own sentence, [`AdminError::Io`] if the connection breaks.
#[cfg(unix)]
pub fn ask(
    path: &Path,
    command: &Command,
    export: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> Result<Option<Value>, AdminError> {
    use std::io::{BufRead as _, BufReader, Write as _};
    let Ok(mut stream) = std::os::unix::net::UnixStream::connect(path) else {
        return Ok(None);
    };
    let text = serde_json::to_string(command).map_err(io::Error::from)?;
    writeln!(stream, "{text}")?;
    for line in BufReader::new(stream).lines() {
        match serde_json::from_str(&line?).map_err(io::Error::from)? {
            Line::Part(text) => export(&STANDARD.decode(text).map_err(io::Error::other)?)?,
            Line::Done(value) => return Ok(Some(value)),
            Line::Failed(reason) => return Err(AdminError::Argument(reason)),
        }
    }
    Err(AdminError::Io(io::ErrorKind::UnexpectedEof.into()))
}

/// Asks the relay that must be running, for who has no other way.
///
/// # Errors
/// [`CheckError`] with what the relay says, or that it is gone.
pub(crate) fn question(path: &Path, command: &Command) -> Result<Value, CheckError> {
    #[cfg(unix)]
    let answer = ask(path, command, &mut |_| Ok(())).map_err(|error| CheckError::Relay(error.to_string()))?;
    #[cfg(not(unix))]
    let answer: Option<Value> = {
        let _nobody = (path, command);
        None
    };
    answer.ok_or_else(|| CheckError::Relay("it stopped meanwhile; run check again".into()))
}
