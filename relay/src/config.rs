//! Configuration: as typed (`File`) and as validated (`Config`). Only `main` reads the file.
//!
//! Secrets are paths, never values. Paths are relative to the folder of the file. Every error names the key and what it may be.

mod file;
mod log;
mod network;
mod quantity;
mod s3;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use file::{
    ArchiveFile, BackupFile, CertificateFile, ContainersFile, File, KeysFile, LimitsFile, ListenerFile, LogFile,
    RetentionFile, StoreFile, SyslogFile, TimestampsFile, TokenFile, TrustFile, WitnessFile,
};
pub use log::{Log, TokenPlace, Witness};
pub use network::PrivateTarget;
pub use quantity::bytes;
pub use s3::S3Place;

use crate::store::{IndexKind, PostgresAddress};
use serde::{Deserialize, Serialize};

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read the configuration {path} (--config FILE names another)")]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is no TOML, lacks a key, or has one too many.
    #[error("{path}: {what}")]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// Where and what, in several lines.
        what: String,
    },
    /// There is no table `[keys]`.
    #[error(
        "[keys] is missing: what the relay keeps is sealed with its keys. Add the table\n\n[keys]\n\
         identities = [\"keys/identity.txt\"]\nrecipients = \"keys/recipients.txt\"\n\n\
         and make the files with `age-keygen -o keys/identity.txt` and `age-keygen -y keys/identity.txt > keys/recipients.txt` \
         (`hikyaku-relay init` makes all of it in a new folder)"
    )]
    NoKeys,
    /// A value is not one of those allowed.
    #[error("{key} = {value:?}: {allowed}")]
    Value {
        /// Key with its table, as `limits.max_container`.
        key: &'static str,
        /// What was there.
        value: String,
        /// What may be there.
        allowed: &'static str,
    },
}

/// A configuration whose values make sense. Whether its files exist is seen when they are opened.
#[derive(Debug, Clone)]
pub struct Config {
    /// The relay's name as people see it.
    pub name: String,
    /// Folder of trail, index, containers and uploads.
    pub data: PathBuf,
    /// Where devices speak.
    pub api: Listener,
    /// Where enrolment (later: people) happens.
    pub portal: Listener,
    /// The relay's own TLS certificate.
    pub tls: CertificatePaths,
    /// The relay's CA for devices.
    pub ca: CertificatePaths,
    /// The trail's log.
    pub log: Log,
    /// Keys of what lies at rest.
    pub keys: KeyPaths,
    /// Whom it trusts, and what it may fetch.
    pub trust: Trust,
    /// RFC 3161 services behind `POST /v1/timestamps`, in the order they are tried; empty: the proxy is off.
    pub timestamps: Vec<http::Uri>,
    /// Bounds.
    pub limits: Limits,
    /// Archives of what was accepted.
    pub archive: Archive,
    /// How long records and containers are kept.
    pub retention: Retention,
    /// Where the trail is fed to.
    pub syslog: Option<Syslog>,
    /// The store that several relays share; `None`: the embedded one, in the data folder.
    pub store: Option<PostgresAddress>,
    /// In what the embedded store has its index.
    pub index: IndexKind,
    /// The bucket of containers and uploads that several relays share; `None`: they lie in the data folder.
    pub containers: Option<S3Place>,
    /// The service of backups that go to a bucket, without the bucket's name.
    pub backup: Option<S3Place>,
}

/// Archives.
#[derive(Debug, Clone)]
pub struct Archive {
    /// An archive gets a new stamp so long before its newest one ends.
    pub renew_before: Duration,
}

/// Accounts of who saw what are kept so long at least.
pub const SHORTEST_ACCOUNT: Duration = Duration::from_secs(formats::trail::KEPT_DAYS * 86_400);

/// How long records and containers are kept.
#[derive(Debug, Clone)]
pub struct Retention {
    /// Records of submissions and looks, from the end of their month; [`SHORTEST_ACCOUNT`] at least.
    pub account: Duration,
    /// After every recipient has had the container.
    pub containers: Duration,
    /// The last part of that time, in which its recipients are told.
    pub offer: Duration,
}

/// A log server to which the trail is fed over TLS (RFC 5425).
#[derive(Debug, Clone)]
pub struct Syslog {
    /// As configured, `HOST:PORT`: the position the feed has come to is of this address.
    pub address: String,
    /// Its host, which its certificate must name.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// PEM: the authorities by which it is known; the system's bundle is one such file.
    pub ca: PathBuf,
    /// What the relay shows it; `None`: nothing.
    pub client: Option<CertificatePaths>,
    /// Whether it must end each connection with `close_notify`; else any end counts as received.
    pub close_notify: bool,
}

/// Where to listen, and what others call it.
#[derive(Debug, Clone)]
pub struct Listener {
    /// Address and port.
    pub listen: SocketAddr,
    /// Base URL without a slash at its end.
    pub url: String,
}

/// A certificate and its key.
#[derive(Debug, Clone)]
pub struct CertificatePaths {
    /// PEM: certificate, then its issuers.
    pub certificate: PathBuf,
    /// PEM: PKCS #8.
    pub key: PathBuf,
}

/// Keys of what lies at rest: `age` identities and recipients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyPaths {
    /// Files with identities (`AGE-SECRET-KEY-1…`, `AGE-PLUGIN-…`): each opens what was sealed to it.
    pub identities: Vec<PathBuf>,
    /// The file that lists to whom is sealed (`age1…`).
    pub recipients: PathBuf,
    /// A file with what an identity's plugin asks for: the PIN of its token.
    pub pin: Option<PathBuf>,
}

/// The port of the only scheme that is fetched by.
const HTTP: u16 = 80;

/// Whom the relay trusts, and what it may fetch.
#[derive(Debug, Clone)]
pub struct Trust {
    /// `CONTRACTS.md` §3.
    pub directory: PathBuf,
    /// Hosts from which evidence may be fetched, lower case: on any port, or `host:port` on that one. What no path vouches for yet is
    /// fetched from a host alone only on the port of its scheme.
    pub fetch_hosts: Vec<String>,
    /// Of these, which may have private addresses.
    pub fetch_private: Vec<PrivateTarget>,
    /// How often known CRLs are asked for anew.
    pub refresh: Duration,
    /// What was fetched longer ago is asked for anew before it is used, if it can be had: a card may have been revoked since.
    pub fetch_age: Duration,
    /// How long a CA's or a time stamp authority's answer is waited for.
    pub fetch_timeout: Duration,
}

impl Trust {
    /// Whether evidence may be fetched from this host at this port; `vouched`: a path to an anchor stands behind the address.
    pub(crate) fn lists(&self, host: &str, port: u16, vouched: bool) -> bool {
        let authority = format!("{host}:{port}");
        let is_listed =
            |listed: &String| *listed == authority || (listed.as_str() == host && (vouched || port == HTTP));
        self.fetch_hosts.iter().any(is_listed)
    }
}

/// Bounds.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Largest container, bytes.
    pub max_container: u64,
    /// An unfinished upload is removed after this long without a byte.
    pub upload_expiry: Duration,
    /// A submission waits this long for its evidence.
    pub pending_deadline: Duration,
    /// First pause before evidence is asked for again; it doubles up to 15 minutes.
    pub pending_retry: Duration,
    /// So many submissions of one facility may wait for evidence.
    pub pending_per_facility: u32,
    /// Time stamps per device and hour.
    pub timestamps_per_device_per_hour: u32,
    /// The clock may differ so far from that of the nearest time-stamp authority; beyond, the relay is not ready.
    pub clock_drift: Duration,
    /// Room on the disk that no upload may take: the trail and the index need it to go on. A quarter of it lies in a file
    /// that is given up when the disk fills all the same.
    pub reserve: u64,
    /// Bytes one facility may have announced and stored together; `None`: as many as there is room for.
    pub quota_per_facility: Option<u64>,
    /// Bytes of reports of refusals one facility may leave behind on a day; what is refused beyond them leaves its record alone.
    pub refusal_reports: u64,
    /// A relay that is asked to stop says that it is not ready for so long before it takes no more connections, so that a balancer
    /// sends none that would be refused.
    pub drain: Duration,
    /// Open connections, all together.
    pub connections: usize,
    /// Open connections of one network address.
    pub connections_per_address: usize,
}

impl Limits {
    /// A CA or time stamp authority that fails is left alone so long at most: what waits is judged again within one retry
    /// interval of its return.
    pub(crate) fn longest_rest(&self) -> Duration {
        self.pending_retry.min(Duration::from_secs(60))
    }
}

impl Config {
    /// Reads and validates a file.
    ///
    /// # Errors
    /// [`ConfigError`], in words for the operator.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.into(),
            source,
        })?;
        let file: File = toml::from_str(&text).map_err(|error| ConfigError::Syntax {
            path: path.into(),
            what: error.to_string(),
        })?;
        let path = std::path::absolute(path).map_err(|source| ConfigError::Read {
            path: path.into(),
            source,
        })?;
        Self::from_file(file, path.parent().unwrap_or(Path::new("/")))
    }

    /// Validates what was typed; paths are relative to `base`.
    ///
    /// # Errors
    /// [`ConfigError::Value`] for the first value that cannot be.
    pub fn from_file(file: File, base: &Path) -> Result<Self, ConfigError> {
        let timestamps = file
            .timestamps
            .urls
            .iter()
            .map(|url| upstream(url))
            .collect::<Result<_, _>>()?;
        let store = file.store.unwrap_or_default();
        let index = store.index;
        let store = shared(store, base)?;
        if store.is_some() && index.is_some() {
            return Err(refused(
                "store.index",
                "…",
                "is for the embedded store: not beside store.postgres",
            ));
        }
        Ok(Self {
            name: one_line("name", file.name)?,
            data: base.join(file.data),
            api: listener("api.listen", "api.url", file.api)?,
            portal: listener("portal.listen", "portal.url", file.portal)?,
            tls: file.tls.under(base),
            ca: file.ca.under(base),
            log: log::log(file.log, base)?,
            keys: file.keys.ok_or(ConfigError::NoKeys)?.under(base)?,
            trust: trust(file.trust, base)?,
            timestamps,
            limits: limits(&file.limits, store.is_some())?,
            archive: Archive {
                renew_before: duration("archive.renew_before", &file.archive.renew_before)?,
            },
            retention: retention(&file.retention)?,
            syslog: file.syslog.map(|file| syslog(file, base)).transpose()?,
            containers: bucket(file.containers, store.is_some(), base)?,
            backup: file.backup.map(|file| s3::backup(file, base)).transpose()?,
            store,
            index: index.unwrap_or_default(),
        })
    }
}

fn bucket(file: Option<ContainersFile>, shared: bool, base: &Path) -> Result<Option<S3Place>, ConfigError> {
    let Some(file) = file else { return Ok(None) };
    if !shared {
        let allowed = "needs store.postgres: how far uploads are is kept there";
        return Err(refused("containers.s3", &file.s3, allowed));
    }
    s3::place(file, base).map(Some)
}

fn shared(file: StoreFile, base: &Path) -> Result<Option<PostgresAddress>, ConfigError> {
    let Some(postgres) = file.postgres else {
        // A line that was lost would begin another trail, in a folder.
        if file.password.is_some() || file.ca.is_some() || file.private_network {
            let allowed = "is missing: password, ca and private_network are of no use without it";
            return Err(refused("store.postgres", "", allowed));
        }
        return Ok(None);
    };
    let below = |path: PathBuf| base.join(path);
    let (password, ca) = (file.password.map(below), file.ca.map(below));
    // What was typed may hold a password: it is not repeated.
    PostgresAddress::parse(&postgres, password, ca, file.private_network)
        .map(Some)
        .map_err(|allowed| refused("store.postgres", "…", allowed))
}

impl CertificateFile {
    fn under(self, base: &Path) -> CertificatePaths {
        CertificatePaths {
            certificate: base.join(self.certificate),
            key: base.join(self.key),
        }
    }
}

impl KeysFile {
    fn under(self, base: &Path) -> Result<KeyPaths, ConfigError> {
        if self.identities.is_empty() {
            let allowed = "must be a list of at least one file, such as keys/identity.txt";
            return Err(refused("keys.identities", "[]", allowed));
        }
        Ok(KeyPaths {
            identities: self.identities.iter().map(|path| base.join(path)).collect(),
            recipients: base.join(self.recipients),
            pin: self.pin.map(|path| base.join(path)),
        })
    }
}

fn listener(listen: &'static str, url: &'static str, file: ListenerFile) -> Result<Listener, ConfigError> {
    let allowed = "must be an address and a port, such as 0.0.0.0:8443";
    let address = file
        .listen
        .parse()
        .map_err(|_| refused(listen, &file.listen, allowed))?;
    Ok(Listener {
        listen: address,
        url: base_url(url, &file.url)?,
    })
}

/// Clients come back to these addresses with their certificates: TLS only, and nothing after the port.
fn base_url(key: &'static str, text: &str) -> Result<String, ConfigError> {
    let allowed = "must be https://HOST or https://HOST:PORT, without a path";
    let uri: http::Uri = text.parse().map_err(|_| refused(key, text, allowed))?;
    let bare = uri.scheme_str() == Some("https") && uri.host().is_some() && uri.path() == "/" && uri.query().is_none();
    let plain = uri
        .authority()
        .is_some_and(|authority| !authority.as_str().contains('@'));
    if bare && plain {
        Ok(text.trim_end_matches('/').to_owned())
    } else {
        Err(refused(key, text, allowed))
    }
}

fn upstream(text: &str) -> Result<http::Uri, ConfigError> {
    let key = "timestamps.urls";
    // A token is signed: TLS would add a second question of trust and no safety.
    let allowed = "must be http:// addresses of RFC 3161 services; https:// is not supported";
    let uri: http::Uri = text.parse().map_err(|_| refused(key, text, allowed))?;
    let known = uri.scheme_str() == Some("http") && uri.host().is_some();
    if known {
        Ok(uri)
    } else {
        Err(refused(key, text, allowed))
    }
}

fn one_line(key: &'static str, text: String) -> Result<String, ConfigError> {
    let good = !text.trim().is_empty() && text.len() <= 200 && !text.chars().any(char::is_control);
    if good {
        Ok(text)
    } else {
        Err(refused(key, &text, "must be one line of 1 to 200 bytes"))
    }
}

fn trust(file: TrustFile, base: &Path) -> Result<Trust, ConfigError> {
    let mut fetch_hosts = Vec::new();
    for host in file.fetch_hosts {
        fetch_hosts.push(network::host_or_authority(&host).ok_or_else(|| {
            refused(
                "trust.fetch_hosts",
                &host,
                "must be host names such as crl.pki.med.or.jp, alone or with a port, without scheme or path",
            )
        })?);
    }
    let mut fetch_private = Vec::new();
    for target in file.fetch_private {
        fetch_private.push(PrivateTarget::parse(&target).ok_or_else(|| {
            refused(
                "trust.fetch_private",
                &target,
                "must be host names, addresses, or networks such as 10.1.0.0/16",
            )
        })?);
    }
    let refresh = duration("trust.refresh", &file.refresh)?;
    Ok(Trust {
        directory: base.join(file.directory),
        fetch_hosts,
        fetch_private,
        refresh,
        fetch_age: duration("trust.fetch_age", &file.fetch_age)?,
        fetch_timeout: duration("trust.fetch_timeout", &file.fetch_timeout)?,
    })
}

/// Behind a balancer there is more than one relay, and so a shared store.
const DRAIN: Duration = Duration::from_secs(5);

fn limits(file: &LimitsFile, shared: bool) -> Result<Limits, ConfigError> {
    let at_least_one = |key, value: usize| {
        if value == 0 {
            Err(refused(key, "0", "must be 1 or more"))
        } else {
            Ok(value)
        }
    };
    Ok(Limits {
        max_container: size("limits.max_container", &file.max_container)?,
        upload_expiry: duration("limits.upload_expiry", &file.upload_expiry)?,
        pending_deadline: duration("limits.pending_deadline", &file.pending_deadline)?,
        pending_retry: duration("limits.pending_retry", &file.pending_retry)?,
        pending_per_facility: file.pending_per_facility,
        timestamps_per_device_per_hour: file.timestamps_per_device_per_hour,
        clock_drift: duration("limits.clock_drift", &file.clock_drift)?,
        reserve: size("limits.reserve", &file.reserve)?,
        quota_per_facility: (file.quota_per_facility.as_ref())
            .map(|text| size("limits.quota_per_facility", text))
            .transpose()?,
        refusal_reports: size("limits.refusal_reports", &file.refusal_reports)?,
        drain: match &file.drain {
            Some(text) => duration("limits.drain", text)?,
            None if shared => DRAIN,
            None => Duration::ZERO,
        },
        connections: at_least_one("limits.connections", file.connections)?,
        connections_per_address: at_least_one("limits.connections_per_address", file.connections_per_address)?,
    })
}

fn retention(file: &RetentionFile) -> Result<Retention, ConfigError> {
    let retention = Retention {
        account: duration("retention.account", &file.account)?,
        containers: duration("retention.containers", &file.containers)?,
        offer: duration("retention.offer", &file.offer)?,
    };
    if retention.account < SHORTEST_ACCOUNT {
        return Err(refused(
            "retention.account",
            &file.account,
            "must be 365d or longer: who sent what and who saw it must be answered for at least a year",
        ));
    }
    if retention.containers > retention.account {
        return Err(refused(
            "retention.containers",
            &file.containers,
            "must be no longer than retention.account: nothing is kept whose records are erased",
        ));
    }
    if retention.offer > retention.containers {
        return Err(refused(
            "retention.offer",
            &file.offer,
            "must be no longer than retention.containers",
        ));
    }
    Ok(retention)
}

fn syslog(file: SyslogFile, base: &Path) -> Result<Syslog, ConfigError> {
    let allowed = "must be HOST:PORT, such as log.example:6514";
    let authority: Option<http::uri::Authority> = file.address.parse().ok();
    let known = authority.filter(|authority| !authority.host().is_empty() && !authority.as_str().contains('@'));
    let Some((host, port)) = known.and_then(|known| Some((known.host().to_owned(), known.port_u16()?))) else {
        return Err(refused("syslog.address", &file.address, allowed));
    };
    Ok(Syslog {
        address: file.address,
        host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
        port,
        ca: base.join(file.ca),
        client: file.client.map(|client| client.under(base)),
        close_notify: match file.close_notify.as_deref() {
            None | Some("required") => true,
            Some("optional") => false,
            Some(other) => {
                let allowed = "must be \"required\" or \"optional\"";
                return Err(refused("syslog.close_notify", other, allowed));
            }
        },
    })
}

fn size(key: &'static str, text: &str) -> Result<u64, ConfigError> {
    quantity::bytes(text).ok_or_else(|| refused(key, text, quantity::BYTES))
}

fn duration(key: &'static str, text: &str) -> Result<Duration, ConfigError> {
    quantity::duration(text).ok_or_else(|| refused(key, text, quantity::DURATION))
}

fn refused(key: &'static str, value: &str, allowed: &'static str) -> ConfigError {
    ConfigError::Value {
        key,
        value: value.to_owned(),
        allowed,
    }
}

#[cfg(test)]
mod tests;
