//! `[log]`: the log's name and key, how often its checkpoint is stamped, and who cosigns it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::file::{LogFile, WitnessFile};
use super::{ConfigError, duration, refused};

/// The trail's log.
#[derive(Debug, Clone)]
pub struct Log {
    /// Origin in checkpoints, C2SP signed-note key name.
    pub name: String,
    /// File with the signed-note signing key (`PRIVATE+KEY+…`); not read where there is a token.
    pub key: PathBuf,
    /// The token that has the key instead.
    pub token: Option<TokenPlace>,
    /// The checkpoint is time-stamped so often; a day at most.
    pub stamp_every: Duration,
    /// The checkpoint is handed to the witnesses so often at most.
    pub witness_every: Duration,
    /// Who cosigns it.
    pub witnesses: Vec<Witness>,
}

/// An Ed25519 key in a PKCS #11 token.
#[derive(Debug, Clone)]
pub struct TokenPlace {
    /// The PKCS #11 module.
    pub module: PathBuf,
    /// Label of the token.
    pub token: String,
    /// Label of private and public key.
    pub key: String,
    /// File with the user's PIN.
    pub pin: PathBuf,
}

/// A witness of the log, C2SP tlog-witness.
#[derive(Debug, Clone)]
pub struct Witness {
    /// Where it takes checkpoints: its submission prefix and `/add-checkpoint`.
    pub add_checkpoint: http::Uri,
    /// By what its cosignatures are checked.
    pub key: formats::trail::WitnessKey,
}

/// Validates the table.
pub(super) fn log(file: LogFile, base: &Path) -> Result<Log, ConfigError> {
    let key = file.key.unwrap_or_default();
    if key.as_os_str().is_empty() == file.token.is_none() {
        let allowed = "must be the file of the log's key, and left out where log.token names a token that has it";
        return Err(refused("log.key", &key.display().to_string(), allowed));
    }
    let stamp_every = duration("log.stamp_every", &file.stamp_every)?;
    if stamp_every > Duration::from_secs(86_400) {
        return Err(refused("log.stamp_every", &file.stamp_every, "must be 24h at most"));
    }
    Ok(Log {
        name: log_name(file.name)?,
        key: base.join(key),
        token: file.token.map(|token| TokenPlace {
            module: base.join(token.module),
            token: token.token,
            key: token.key,
            pin: base.join(token.pin),
        }),
        stamp_every,
        witness_every: duration("log.witness_every", &file.witness_every)?,
        witnesses: file.witness.iter().map(witness).collect::<Result<_, _>>()?,
    })
}

/// Checkpoint and cosignature are signed: TLS would add a second question of trust and no safety.
fn witness(file: &WitnessFile) -> Result<Witness, ConfigError> {
    let allowed = "must be the http:// submission prefix of a witness (C2SP tlog-witness); https:// is not supported";
    let url = format!("{}/add-checkpoint", file.url.trim_end_matches('/'));
    let uri: Option<http::Uri> = url.parse().ok();
    let uri = uri.filter(|uri| uri.scheme_str() == Some("http") && uri.host().is_some());
    let key = formats::trail::WitnessKey::parse(&file.vkey);
    Ok(Witness {
        add_checkpoint: uri.ok_or_else(|| refused("log.witness.url", &file.url, allowed))?,
        key: key.map_err(|_| {
            refused(
                "log.witness.vkey",
                &file.vkey,
                "must be the verification key of a witness (type 0x04)",
            )
        })?,
    })
}

fn log_name(name: String) -> Result<String, ConfigError> {
    let good = !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+');
    let allowed = "must be a name without spaces and without +, such as relay.example/trail";
    if good {
        Ok(name)
    } else {
        Err(refused("log.name", &name, allowed))
    }
}
