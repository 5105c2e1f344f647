//! The log's key, wherever it lies: in a file, or in a token that never gives it away.

use formats::trail::{CheckpointError, LogKey};

use super::TokenKey;
use crate::config::Config;
use crate::folder::owners_alone;

/// What signs checkpoints. The committer thread owns it.
pub enum LogSigner {
    /// A signed-note signing key in a file.
    File(LogKey),
    /// An Ed25519 key in a PKCS #11 token.
    Token(TokenKey),
}

/// Why there is no signer.
#[derive(Debug, thiserror::Error)]
#[error("log key {place}: {reason}")]
pub struct SignerError {
    /// Its file, or its token and label.
    pub place: String,
    /// Why it cannot be used.
    pub reason: String,
}

impl LogSigner {
    /// Opens the key as configured.
    ///
    /// # Errors
    /// [`SignerError`]; also if it is the key of a log of another name.
    pub fn open(config: &Config) -> Result<Self, SignerError> {
        let signer = match &config.log.token {
            None => {
                let path = &config.log.key;
                let refused = |reason: String| SignerError {
                    place: path.display().to_string(),
                    reason,
                };
                owners_alone(path).map_err(|error| refused(error.to_string()))?;
                let text = std::fs::read_to_string(path).map_err(|error| refused(error.to_string()))?;
                let key = LogKey::parse(text.trim()).map_err(|error| refused(error.to_string()))?;
                if key.name() != config.log.name {
                    let reason = format!(
                        "log.name is {:?}, but this is the key of {:?}",
                        config.log.name,
                        key.name()
                    );
                    return Err(refused(reason));
                }
                Self::File(key)
            }
            Some(place) => {
                let key = TokenKey::open(&config.log.name, place).map_err(|reason| SignerError {
                    place: format!("{} in token {}", place.key, place.token),
                    reason,
                })?;
                Self::Token(key)
            }
        };
        Ok(signer)
    }

    /// The log's verification key.
    #[must_use]
    pub fn vkey(&self) -> &str {
        match self {
            Self::File(key) => key.vkey(),
            Self::Token(key) => key.vkey(),
        }
    }

    /// Signs the head of a tree.
    ///
    /// # Errors
    /// [`CheckpointError`]; a token that does not sign is asked once more, through a new session.
    pub(crate) fn sign(&self, size: u64, root: &[u8; 32]) -> Result<String, CheckpointError> {
        match self {
            Self::File(key) => key.sign(size, root),
            Self::Token(key) => key.sign(size, root),
        }
    }
}

impl From<LogKey> for LogSigner {
    fn from(key: LogKey) -> Self {
        Self::File(key)
    }
}
