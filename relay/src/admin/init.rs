//! `init`: a folder from which a relay can be served: configuration, keys, trust folder.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use formats::trail::LogKey;
use time::{Duration, OffsetDateTime};

use crate::ca::{CaError, NewKey, RelayCa, certificate_pem};
use crate::folder::create_private;
use crate::keys::NewIdentity;

/// Why a folder was not made.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// It has something in it.
    #[error("{0} is not empty; nothing was changed")]
    NotEmpty(PathBuf),
    /// What the system says.
    #[error("{0}: {1}")]
    Io(PathBuf, std::io::Error),
    /// Keys or certificates.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// The log's key.
    #[error("the log's key could not be made")]
    LogKey,
}

/// The relay's CA lasts so long; its own TLS certificate half of it.
const CA_LIFE: Duration = Duration::days(7300);

/// Makes the folder. `host` is how clients reach the relay.
///
/// # Errors
/// [`InitError`]; a folder that is not empty is left as it is.
pub fn init(folder: &Path, host: &str, now: OffsetDateTime) -> Result<(), InitError> {
    let io = |path: &Path| {
        let path = path.to_path_buf();
        move |error| InitError::Io(path, error)
    };
    std::fs::create_dir_all(folder).map_err(io(folder))?;
    if std::fs::read_dir(folder).map_err(io(folder))?.next().is_some() {
        return Err(InitError::NotEmpty(folder.into()));
    }
    let data = folder.join("data");
    create_private(&data).map_err(io(&data))?;
    for name in ["keys", "trust/hpki", "trust/tsa", "trust/intermediates"] {
        let path = folder.join(name);
        std::fs::create_dir_all(&path).map_err(io(&path))?;
    }
    // Clocks differ by minutes: what is made now is valid since an hour ago.
    let begin = now - Duration::hours(1);
    let (ca_key, tls_key) = (NewKey::generate()?, NewKey::generate()?);
    let ca = RelayCa::create("Hikyaku relay CA", &ca_key, begin, begin + CA_LIFE)?;
    let names = [host.to_owned(), "localhost".into(), "127.0.0.1".into(), "::1".into()];
    let tls = ca.issue_server(&tls_key.spki, &names, begin, begin + CA_LIFE / 2)?;
    let mut seed = [0; 32];
    aws_lc_rs::rand::fill(&mut seed).map_err(|_| InitError::LogKey)?;
    let (log, log_key) = LogKey::from_seed(&format!("{host}/trail"), &seed).map_err(|_| InitError::LogKey)?;

    secret(&folder.join("keys/ca.key"), &ca_key.pem)?;
    secret(&folder.join("keys/tls.key"), &tls_key.pem)?;
    secret(&folder.join("keys/log.key"), &format!("{log_key}\n"))?;
    let identity = NewIdentity::generate();
    secret(&folder.join("keys/identity.txt"), &identity.file)?;
    let plain = |name: &str, text: &str| std::fs::write(folder.join(name), text).map_err(io(&folder.join(name)));
    plain("keys/ca.pem", &ca.certificate_pem()?)?;
    plain(
        "keys/tls.pem",
        &format!("{}{}", certificate_pem(&tls)?, ca.certificate_pem()?),
    )?;
    plain("keys/log.vkey", &format!("{}\n", log.vkey()))?;
    plain(
        "keys/recipients.txt",
        &format!(
            "# Who opens what the relay keeps: age recipients, one a line.\n{}\n",
            identity.recipient
        ),
    )?;
    plain("trust/policy.toml", include_str!("init/policy.toml"))?;
    plain(
        "relay.toml",
        &include_str!("init/relay.toml").replace("relay.example", host),
    )
}

/// Writes a file only its owner may read.
fn secret(path: &Path, text: &str) -> Result<(), InitError> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
    written.map_err(|error| InitError::Io(path.into(), error))
}
