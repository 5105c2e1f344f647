//! The configuration as typed: one struct per table, defaults where the operator may be silent.

use std::path::PathBuf;

use serde::Deserialize;

use crate::store::IndexKind;

/// `relay.toml` as typed.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    missing_docs,
    reason = "the meaning of each key stands at its validated twin in `Config`"
)]
pub struct File {
    pub name: String,
    pub data: PathBuf,
    pub api: ListenerFile,
    pub portal: ListenerFile,
    pub tls: CertificateFile,
    pub ca: CertificateFile,
    pub log: LogFile,
    pub keys: Option<KeysFile>,
    pub trust: TrustFile,
    #[serde(default)]
    pub timestamps: TimestampsFile,
    #[serde(default)]
    pub limits: LimitsFile,
    #[serde(default)]
    pub archive: ArchiveFile,
    #[serde(default)]
    pub retention: RetentionFile,
    pub syslog: Option<SyslogFile>,
    pub store: Option<StoreFile>,
    pub containers: Option<ContainersFile>,
    pub backup: Option<BackupFile>,
}

/// `[api]`, `[portal]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see `Listener`")]
pub struct ListenerFile {
    pub listen: String,
    pub url: String,
}

/// `[tls]`, `[ca]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see `CertificatePaths`")]
pub struct CertificateFile {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// `[log]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see `Log`")]
pub struct LogFile {
    pub name: String,
    pub key: Option<PathBuf>,
    pub token: Option<TokenFile>,
    #[serde(default = "default_stamp_every")]
    pub stamp_every: String,
    #[serde(default = "default_witness_every")]
    pub witness_every: String,
    #[serde(default)]
    pub witness: Vec<WitnessFile>,
}

/// `[log.token]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see `TokenPlace`")]
pub struct TokenFile {
    pub module: PathBuf,
    pub token: String,
    pub key: String,
    pub pin: PathBuf,
}

/// `[[log.witness]]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see `Witness`")]
pub struct WitnessFile {
    pub url: String,
    pub vkey: String,
}

fn default_stamp_every() -> String {
    "24h".into()
}

fn default_witness_every() -> String {
    "10s".into()
}

/// `[keys]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see `KeyPaths`")]
pub struct KeysFile {
    pub identities: Vec<PathBuf>,
    pub recipients: PathBuf,
    pub pin: Option<PathBuf>,
}

/// `[trust]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see `Trust`")]
pub struct TrustFile {
    pub directory: PathBuf,
    #[serde(default = "default_fetch_hosts")]
    pub fetch_hosts: Vec<String>,
    #[serde(default)]
    pub fetch_private: Vec<String>,
    #[serde(default = "default_refresh")]
    pub refresh: String,
    #[serde(default = "default_fetch_age")]
    pub fetch_age: String,
    #[serde(default = "default_fetch_timeout")]
    pub fetch_timeout: String,
}

/// The distribution points named in HPKI certificates.
fn default_fetch_hosts() -> Vec<String> {
    ["cert.medis.or.jp", "crl.pki.med.or.jp", "hpki.mhlw.go.jp"]
        .map(String::from)
        .to_vec()
}

fn default_refresh() -> String {
    "6h".into()
}

fn default_fetch_age() -> String {
    "10s".into()
}

fn default_fetch_timeout() -> String {
    "15s".into()
}

/// `[timestamps]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "see `Config::timestamps`")]
pub struct TimestampsFile {
    pub urls: Vec<String>,
}

/// `[store]`; without `postgres` the store is embedded.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see `Config::index` and `PostgresAddress`")]
pub struct StoreFile {
    pub index: Option<IndexKind>,
    pub postgres: Option<String>,
    pub password: Option<PathBuf>,
    pub ca: Option<PathBuf>,
    #[serde(default)]
    pub private_network: bool,
}

/// `[containers]`; without the table they lie in the data folder.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see `S3Place`")]
pub struct ContainersFile {
    pub s3: String,
    pub endpoint: String,
    #[serde(default = "default_region")]
    pub region: String,
    pub credentials: Option<PathBuf>,
    pub ca: Option<PathBuf>,
    #[serde(default)]
    pub private_network: bool,
}

/// `[backup]`; without the table backups go to folders.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see `S3Place`")]
pub struct BackupFile {
    pub endpoint: String,
    #[serde(default = "default_region")]
    pub region: String,
    pub credentials: Option<PathBuf>,
    pub ca: Option<PathBuf>,
    #[serde(default)]
    pub private_network: bool,
}

fn default_region() -> String {
    "us-east-1".into()
}

/// `[archive]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "see `Archive`")]
pub struct ArchiveFile {
    pub renew_before: String,
}

impl Default for ArchiveFile {
    fn default() -> Self {
        Self {
            renew_before: "90d".into(),
        }
    }
}

/// `[retention]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "see `Retention`")]
pub struct RetentionFile {
    pub account: String,
    pub containers: String,
    pub offer: String,
}

impl Default for RetentionFile {
    fn default() -> Self {
        Self {
            account: "5y".into(),
            containers: "90d".into(),
            offer: "14d".into(),
        }
    }
}

/// `[syslog]`; without the table the trail is fed to nobody.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see `Syslog`")]
pub struct SyslogFile {
    pub address: String,
    pub ca: PathBuf,
    pub client: Option<CertificateFile>,
    pub close_notify: Option<String>,
}

/// `[limits]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "see `Limits`")]
pub struct LimitsFile {
    pub max_container: String,
    pub upload_expiry: String,
    pub pending_deadline: String,
    pub pending_retry: String,
    pub pending_per_facility: u32,
    pub timestamps_per_device_per_hour: u32,
    pub clock_drift: String,
    pub reserve: String,
    pub quota_per_facility: Option<String>,
    pub refusal_reports: String,
    pub drain: Option<String>,
    pub connections: usize,
    pub connections_per_address: usize,
}

impl Default for LimitsFile {
    fn default() -> Self {
        Self {
            max_container: "8GiB".into(),
            upload_expiry: "24h".into(),
            pending_deadline: "72h".into(),
            pending_retry: "1m".into(),
            pending_per_facility: 100,
            timestamps_per_device_per_hour: 600,
            clock_drift: "2m".into(),
            reserve: "256MiB".into(),
            quota_per_facility: None,
            refusal_reports: "64MiB".into(),
            drain: None,
            connections: 1000,
            connections_per_address: 200,
        }
    }
}
