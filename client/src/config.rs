//! The client's home: `~/.config/hikyaku` (or `--home`, or `HIKYAKU_HOME`), its `config.toml` and the device's key and
//! certificates. Written by `enroll`, read by every command that talks to the relay or to a card.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Code, Failure};
use crate::files;

/// The directory that holds what this machine remembers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home(PathBuf);

/// `config.toml`. Every key may be absent: a machine that only signs offline needs none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Base URL of the relay's API listener.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relay: Option<String>,
    /// Base URL of the relay's portal listener, where this machine enrolled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub portal: Option<String>,
    /// Until when the device certificate is valid, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_after: Option<String>,
    /// Facility this machine is enrolled for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub facility: Option<String>,
    /// The facility's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub facility_name: Option<String>,
    /// Device id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// RFC 3161 time-stamp authority to use instead of the relay's proxy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tsa: Option<String>,
    /// PKCS #11 module of the card.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pkcs11_module: Option<PathBuf>,
    /// Slots to look at: slot numbers or parts of token labels. Empty: all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub slots: Vec<String>,
}

impl Home {
    /// `option`, else `HIKYAKU_HOME`, else the platform's configuration directory. Nothing is created.
    ///
    /// # Errors
    /// [`Code::Configuration`] if the machine names no home directory.
    pub fn locate(option: Option<PathBuf>) -> Result<Self, Failure> {
        let variable = |name: &str| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let platform = || {
            if cfg!(windows) {
                return variable("APPDATA").map(|base| base.join("hikyaku"));
            }
            variable("XDG_CONFIG_HOME")
                .or_else(|| variable("HOME").map(|home| home.join(".config")))
                .map(|base| base.join("hikyaku"))
        };
        option
            .or_else(|| variable("HIKYAKU_HOME"))
            .or_else(platform)
            .map(Self)
            .ok_or_else(|| Failure::new(Code::Configuration, "no home directory; name one with --home DIR"))
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// `config.toml`
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.0.join("config.toml")
    }

    /// Private key of the device, PEM.
    #[must_use]
    pub fn device_key(&self) -> PathBuf {
        self.0.join("device.key")
    }

    /// Certificate chain of the device, PEM.
    #[must_use]
    pub fn device_certificate(&self) -> PathBuf {
        self.0.join("device.pem")
    }

    /// Certificate of the relay's CA, PEM: the only issuer accepted for the relay.
    #[must_use]
    pub fn relay_ca(&self) -> PathBuf {
        self.0.join("relay-ca.pem")
    }

    /// The relay's policy as last heard, JSON: what is judged by when the relay cannot be reached.
    #[must_use]
    pub fn relay_policy(&self) -> PathBuf {
        self.0.join("relay-policy.json")
    }

    /// A key made for renewal, until its certificate is in place.
    #[must_use]
    pub fn next_device_key(&self) -> PathBuf {
        self.0.join("device.key.next")
    }

    /// The verification key of the relay's log, as this machine first heard it.
    #[must_use]
    pub fn log_vkey(&self) -> PathBuf {
        self.0.join("log.vkey")
    }

    /// What waits to be sent.
    #[must_use]
    pub fn outbox(&self) -> PathBuf {
        self.0.join("outbox")
    }

    /// The configuration; defaults if there is none yet.
    ///
    /// # Errors
    /// [`Code::Configuration`] if the file is there but cannot be used.
    pub fn config(&self) -> Result<Config, Failure> {
        let path = self.config_file();
        match std::fs::read_to_string(&path) {
            Ok(text) => toml::from_str(&text)
                .map_err(|error| Failure::new(Code::Configuration, format!("{}: {}", path.display(), error.message()))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Config::default()),
            Err(error) => Err(Failure::new(
                Code::Configuration,
                format!("{}: {error}", path.display()),
            )),
        }
    }

    /// Writes the configuration: whole, or not at all.
    ///
    /// # Errors
    /// [`Code::FileUnwritable`].
    pub fn save(&self, config: &Config) -> Result<(), Failure> {
        let text = toml::to_string(config).map_err(|error| Failure::new(Code::Configuration, error.to_string()))?;
        files::create_directory(&self.0)?;
        files::write_atomically(&self.config_file(), text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_named() {
        let error = toml::from_str::<Config>("rely = \"x\"").unwrap_err();
        assert!(error.message().contains("rely"), "{error}");
    }

    #[test]
    fn what_is_written_is_read_again() {
        let config = Config {
            relay: Some("https://relay.example:8443".to_owned()),
            slots: vec!["HPKI".to_owned()],
            ..Config::default()
        };
        assert_eq!(
            toml::from_str::<Config>(&toml::to_string(&config).unwrap()).unwrap(),
            config
        );
    }
}
