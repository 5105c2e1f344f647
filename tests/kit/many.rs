//! Several relays of one house: one database, one bucket, the same keys; any of them answers any request.

pub mod walk;

use std::sync::Arc;

use toml::Value;

use crate::bucket::Bucket;
use crate::postgres::Postgres;
use crate::relay::{RelayOptions, RelayProcess};
use crate::services::Services;
use crate::stage::{PERSON, Pair, code};

/// Relays that share everything.
#[derive(Debug)]
pub struct Many {
    /// CRLs, CA certificates, time stamps, and their faults.
    pub services: Services,
    /// The relays.
    pub relays: Vec<RelayProcess>,
    /// The database server.
    pub postgres: Arc<Postgres>,
    /// The object store.
    pub bucket: Arc<Bucket>,
    /// The connection string of the database.
    pub database: String,
}

impl Many {
    /// So many relays; `None` where PostgreSQL or SeaweedFS is missing. `endpoint` is a way to the bucket other than the straight
    /// one; `limits` are keys of `[limits]`.
    ///
    /// # Panics
    /// If they do not start.
    #[must_use]
    pub fn start(count: usize, endpoint: Option<&str>, limits: &[(&'static str, Value)]) -> Option<Self> {
        let (postgres, bucket) = (Postgres::shared()?, Bucket::shared()?);
        let database = postgres.database();
        let path = |path: std::path::PathBuf| Value::from(path.to_str().expect("a path of UTF-8").to_owned());
        let shared = vec![
            ("store", "postgres", Value::from(database.clone())),
            ("containers", "s3", bucket.name().into()),
            (
                "containers",
                "endpoint",
                endpoint.map_or_else(|| bucket.endpoint(), str::to_owned).into(),
            ),
            ("containers", "credentials", path(bucket.credentials())),
        ];
        let services = Services::start_blocking(0);
        let mut options = RelayOptions {
            limits: limits.to_vec(),
            more: shared,
            ..RelayOptions::default()
        };
        let first = RelayProcess::start(&services, &options);
        let own = |name: &str| path(first.folder().join(name));
        options.more.extend([
            ("log", "key", own("keys/log.key")),
            ("ca", "certificate", own("keys/ca.pem")),
            ("ca", "key", own("keys/ca.key")),
            ("tls", "certificate", own("keys/tls.pem")),
            ("tls", "key", own("keys/tls.key")),
            ("keys", "identities", vec![own("keys/identity.txt")].into()),
            ("keys", "recipients", own("keys/recipients.txt")),
        ]);
        let mut relays = vec![first];
        while relays.len() < count {
            relays.push(RelayProcess::start(&services, &options));
        }
        Some(Self {
            services,
            relays,
            postgres,
            bucket,
            database,
        })
    }

    /// Two facilities nobody else uses.
    ///
    /// # Panics
    /// If a relay refuses.
    #[must_use]
    pub fn pair(&self) -> Pair {
        let (from, to) = (code(), code());
        let relay = &self.relays[0];
        Pair {
            clinic: relay.join(&from, "テスト飛脚診療所", PERSON),
            hospital: relay.join(&to, "テスト飛脚病院", PERSON),
            from,
            to,
        }
    }
}
