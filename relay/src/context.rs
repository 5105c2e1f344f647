//! What every request needs: the rooms of the relay, opened once, shared by all.

use std::ops::Deref;
use std::sync::Arc;

use crate::ca::RelayCa;
use crate::config::Config;
use crate::containers::Containers;
use crate::enrol::Throttle;
use crate::evidence::Fetcher;
use crate::store::Store;
use crate::timestamps::Stamps;
use crate::trust::CurrentTrust;
use crate::upload::Uploads;

/// The rooms, behind one pointer.
#[derive(Clone)]
pub struct Context(Arc<Rooms>);

/// The rooms.
pub struct Rooms {
    pub(crate) config: Config,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) containers: Containers,
    pub(crate) trust: Arc<CurrentTrust>,
    pub(crate) ca: RelayCa,
    pub(crate) fetcher: Arc<Fetcher>,
    pub(crate) uploads: Uploads,
    pub(crate) stamps: Stamps,
    pub(crate) throttle: Throttle,
    /// Held by who adds to what waits for evidence.
    pub(crate) holding: tokio::sync::Mutex<()>,
    pub(crate) log_vkey: String,
}

impl Context {
    pub(crate) fn new(rooms: Rooms) -> Self {
        Self(Arc::new(rooms))
    }

    /// Why the relay cannot work now; empty if it can.
    pub(crate) async fn hindrances(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        let trust = self.trust.current();
        if trust.anchors.hpki.0.is_empty() {
            reasons.push("no trust anchor for signers in trust/hpki".to_owned());
        }
        if trust.anchors.tsa.0.is_empty() {
            reasons.push("no trust anchor for time stamps in trust/tsa".to_owned());
        }
        reasons.extend(self.stamps.drift_beyond(self.config.limits.clock_drift));
        if let Err(error) = self.store.size().await {
            reasons.push(error.to_string());
        }
        reasons
    }
}

impl Deref for Context {
    type Target = Rooms;

    fn deref(&self) -> &Rooms {
        &self.0
    }
}
