//! Runs a relay whose trail and index live in memory, asks how it is, and stops it. For tests of other software.
//!
//!     cargo run -p examples --bin relay_in_memory

use std::sync::Arc;

use formats::trail::LogKey;
use formats::wire::FacilityCode;
use kit::Services;
use relay::Relay;
use relay::admin::{self, Command};
use relay::config::Config;
use relay::store::{MemoryStore, Store};
use time::OffsetDateTime;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // Everything but the store is as in production: a folder with configuration, keys and anchors.
    let folder = tempfile::tempdir()?;
    let place = folder.path().join("relay");
    admin::init(&place, "localhost", OffsetDateTime::now_utc())?;
    let services = Services::start().await;
    services.hpki().write_trust(&place.join("trust"));
    let mut config = Config::load(&place.join("relay.toml"))?;
    // Free ports of this machine alone.
    config.api.listen = "127.0.0.1:0".parse()?;
    config.portal.listen = "127.0.0.1:0".parse()?;

    let key = LogKey::parse(std::fs::read_to_string(&config.log.key)?.trim())?;
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(key)?);
    let running = Relay::start_on(config, Arc::clone(&store)).await?;
    println!("API     https://{}\nportal  https://{}", running.api, running.portal);

    // The operator's commands work on it as they do on any relay; every one is a record of the trail.
    let facility: FacilityCode = "1310000001".parse()?;
    let command = Command::FacilityAdd {
        code: facility,
        name: "さくら内科医院".to_owned(),
    };
    let answer = admin::execute(&store, "PIN", command, &mut |_| Ok(())).await?;
    println!("enrol with  {}", answer["code"].as_str().unwrap_or_default());
    println!("records     {}", store.size().await?);
    println!("checkpoint\n{}", store.checkpoint().await?);
    running.stop().await;
    Ok(())
}
