//! The stage: test HPKI and relay, all below one temporary folder.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use formats::trail::LogKey;
use kit::Services;
use relay::admin::{self, Command};
use relay::config::{Config, File};
use relay::{Relay, Running};
use time::OffsetDateTime;
use tokio::runtime::Runtime;

pub(crate) const CLINIC: &str = "1310000001";
pub(crate) const HOSPITAL: &str = "1320000002";

pub(crate) struct Stage {
    pub(crate) services: Services,
    folder: tempfile::TempDir,
    runtime: Runtime,
    relay: Running,
    pin: String,
}

impl Stage {
    pub(crate) fn build() -> anyhow::Result<Self> {
        let services = Services::start_blocking(0);
        let folder = tempfile::tempdir()?;
        let place = folder.path().join("relay");
        admin::init(&place, "localhost", OffsetDateTime::now_utc())?;
        services.hpki().write_trust(&place.join("trust"));
        let mut file: toml::Table = toml::from_str(&std::fs::read_to_string(place.join("relay.toml"))?)?;
        adapt(&mut file, &services);
        let config = Config::from_file(file.try_into::<File>()?, &place)?;
        let runtime = Runtime::new()?;
        let pin = relay::ca::RelayCa::load(&config.ca.certificate, &config.ca.key)?.pin()?;
        let relay = runtime.block_on(Relay::start(config))?;
        Ok(Self {
            services,
            folder,
            runtime,
            relay,
            pin,
        })
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn trust(&self) -> PathBuf {
        self.folder().join("relay/trust")
    }

    pub(crate) fn api(&self) -> String {
        format!("https://{}", self.relay.api)
    }

    pub(crate) fn portal(&self) -> String {
        format!("https://{}", self.relay.portal)
    }

    pub(crate) fn log_vkey(&self) -> anyhow::Result<String> {
        let key = std::fs::read_to_string(self.folder().join("relay/keys/log.key"))?;
        Ok(LogKey::parse(key.trim())?.vkey().to_owned())
    }

    /// One of the operator's commands, as `hikyaku-relay` gives it to a running relay.
    pub(crate) fn admin(&self, command: Command) -> anyhow::Result<serde_json::Value> {
        self.export(command).map(|(answer, _)| answer)
    }

    /// The same, with what it exports.
    pub(crate) fn export(&self, command: Command) -> anyhow::Result<(serde_json::Value, Vec<u8>)> {
        let exported = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&exported);
        let mut write = move |bytes: &[u8]| {
            sink.lock()
                .map_err(|_| std::io::ErrorKind::Other)?
                .extend_from_slice(bytes);
            Ok(())
        };
        let store = self.relay.store();
        let answer = self
            .runtime
            .block_on(admin::execute(&store, &self.pin, command, &mut write))?;
        let bytes = exported.lock().map(|bytes| bytes.clone()).unwrap_or_default();
        Ok((answer, bytes))
    }

    pub(crate) fn serve(self) {
        println!("\nrelay API     {}\nrelay portal  {}", self.api(), self.portal());
        println!(
            "HPKI, TSA     {}\nfolder        {}",
            self.services.url(),
            self.folder().display()
        );
        println!("Ctrl-C ends it.");
        let _ = self.runtime.block_on(tokio::signal::ctrl_c());
        self.runtime.block_on(self.relay.stop());
    }
}

/// Free ports on loopback, CRLs and stamps from the test HPKI, which lives on a private address.
fn adapt(file: &mut toml::Table, services: &Services) {
    let mut set = |table: &str, key: &str, value: toml::Value| {
        let table = file.entry(table).or_insert_with(|| toml::Table::new().into());
        if let Some(table) = table.as_table_mut() {
            table.insert(key.to_owned(), value);
        }
    };
    for listener in ["api", "portal"] {
        set(listener, "listen", "127.0.0.1:0".into());
        set(listener, "url", "https://127.0.0.1:0".into());
    }
    set("trust", "fetch_hosts", vec!["127.0.0.1"].into());
    set("trust", "fetch_private", vec!["127.0.0.1"].into());
    set("timestamps", "urls", vec![services.tsa_url()].into());
}
