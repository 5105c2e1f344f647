//! The trust directory in use: replaced whole when it is read anew, and every change of it a record of the trail.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use formats::digest::sha256;
use formats::trail::{Actor, Event, Trusted};
use trust_store::{AnchorSet, TrustStore};

use super::{TrustError, open};
use crate::clock;
use crate::store::{Batch, Store, StoreError};

/// The trust directory in use. Who judges keeps the one it began with.
#[derive(Debug)]
pub struct CurrentTrust {
    directory: PathBuf,
    current: RwLock<Arc<TrustStore>>,
    news: tokio::sync::Notify,
}

impl CurrentTrust {
    /// Reads the directory.
    ///
    /// # Errors
    /// As [`open`].
    pub fn open(directory: &Path) -> Result<Self, TrustError> {
        Ok(Self {
            directory: directory.to_owned(),
            current: RwLock::new(Arc::new(open(directory)?)),
            news: tokio::sync::Notify::new(),
        })
    }

    /// As last read.
    #[must_use]
    pub fn current(&self) -> Arc<TrustStore> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the directory anew. If it cannot be used, what was read before stays in use.
    ///
    /// # Errors
    /// As [`open`].
    pub fn reload(&self) -> Result<Arc<TrustStore>, TrustError> {
        let read = Arc::new(open(&self.directory)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&read);
        self.news.notify_one();
        Ok(read)
    }

    /// Waits until it is read anew.
    pub(crate) async fn changed(&self) {
        self.news.notified().await;
    }
}

/// By what a trust store judges, in digests.
#[must_use]
pub fn summary(trust: &TrustStore) -> Trusted {
    let sorted = |ders: Vec<&Vec<u8>>| {
        let mut digests: Vec<String> = ders.into_iter().map(|der| hex::encode(sha256(der))).collect();
        digests.sort_unstable();
        digests.dedup();
        digests
    };
    let set = |set: &AnchorSet| sorted(set.0.iter().map(|anchor| &anchor.der).collect());
    let anchors = &trust.anchors;
    Trusted {
        digest: hex::encode(trust.digest()),
        policy: hex::encode(trust.policy.digest()),
        hpki: set(&anchors.hpki),
        accredited: set(&anchors.accredited),
        jpki: set(&anchors.jpki),
        tsa: set(&anchors.tsa),
        intermediates: sorted(anchors.intermediates.iter().collect()),
    }
}

/// Records by what is judged from now on, unless the trail says so already. Whether it was recorded.
///
/// # Errors
/// What the store says.
pub async fn record(store: &dyn Store, trust: &TrustStore) -> Result<bool, StoreError> {
    let trusted = summary(trust);
    let before = store.trusted().await?;
    if before.as_ref() == Some(&trusted) {
        return Ok(false);
    }
    let event = Event::TrustChanged {
        before: before.map(|before| before.digest),
        trusted,
    };
    let batch = Batch {
        actor: Actor::default(),
        time: clock::now(),
        events: vec![event],
        conditions: Vec::new(),
    };
    store.commit(batch).committed().await?;
    Ok(true)
}
