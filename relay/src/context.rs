//! What every request needs: the rooms of the relay, opened once, shared by all.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Serialize;

use crate::ca::RelayCa;
use crate::config::Config;
use crate::containers::Containers;
use crate::enrol::Throttle;
use crate::evidence::Fetcher;
use crate::evidence::news::News;
use crate::intake::{Plan, Reports};
use crate::log::{Contradictions, Kept};
use crate::store::{ClockGuard, Store};
use crate::timestamps::Stamps;
use crate::trust::CurrentTrust;
use crate::upload::Uploads;

/// Background work of a relay that ended is taken over after this long.
const LEAD: Duration = Duration::from_secs(180);

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
    /// What the store asks before it writes.
    pub(crate) guard: Arc<ClockGuard>,
    /// News of what submissions wait for.
    pub(crate) news: Arc<News>,
    /// When what waits is judged again.
    pub(crate) plan: Plan,
    pub(crate) throttle: Throttle,
    /// Room that reports of refusals take.
    pub(crate) reports: Reports,
    /// Held by who adds to what waits for evidence.
    pub(crate) holding: tokio::sync::Mutex<()>,
    pub(crate) log_vkey: String,
    /// Witnesses that have seen more of the log than there is.
    pub(crate) contradictions: Contradictions,
    /// What is kept of the log beside the trail.
    pub(crate) kept: Kept,
    /// It was asked to stop.
    pub(crate) stopping: AtomicBool,
}

impl Context {
    pub(crate) fn new(rooms: Rooms) -> Self {
        Self(Arc::new(rooms))
    }

    /// Whether this relay does a piece of background work, where several share a store. Asked before each turn of it. Two may
    /// still do it at once where a turn outlasts the lease: what they commit has conditions.
    pub(crate) async fn leads(&self, work: &'static str) -> bool {
        self.store.lease(work, LEAD).await.unwrap_or(false)
    }

    /// Why the clock here is in doubt, if it is: it leapt, or differs from that of time-stamp authorities or of the shared store.
    pub(crate) async fn clock_in_doubt(&self) -> Option<String> {
        let limit = self.config.limits.clock_drift;
        if let Some(reason) = self.guard.doubt().or_else(|| self.stamps.drift_beyond(limit)) {
            return Some(reason);
        }
        self.guard.apart(self.store.now().await.ok()??)
    }

    /// Why the relay cannot work now; empty if it can.
    pub(crate) async fn hindrances(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.stopping.load(Ordering::SeqCst) {
            reasons.push("the relay is stopping".to_owned());
        }
        let trust = self.trust.current();
        if trust.anchors.hpki.0.is_empty() {
            reasons.push("no trust anchor for signers in trust/hpki".to_owned());
        }
        if trust.anchors.tsa.0.is_empty() {
            reasons.push("no trust anchor for time stamps in trust/tsa".to_owned());
        }
        reasons.extend(self.clock_in_doubt().await);
        reasons.extend(self.contradictions.all());
        if let Err(error) = self.store.size().await {
            reasons.push(error.to_string());
        }
        reasons
    }
}

impl Context {
    /// What waits for evidence, for the operator; `None` if the store does not answer.
    pub(crate) async fn pending(&self) -> Option<PendingHealth> {
        let waiting = self.store.pending().await.ok()?;
        Some(PendingHealth {
            count: waiting.len(),
            bytes: waiting.iter().map(|row| row.submission.size).sum(),
            since: waiting.iter().map(|row| row.received.clone()).min(),
            waiting_for: self.plan.by_host(),
        })
    }
}

/// What waits for evidence.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct PendingHealth {
    count: usize,
    bytes: u64,
    /// When the oldest was received.
    since: Option<String>,
    /// How many wait for which host.
    waiting_for: BTreeMap<String, usize>,
}

impl Deref for Context {
    type Target = Rooms;

    fn deref(&self) -> &Rooms {
        &self.0
    }
}
