//! Start and stop: opens the rooms, binds both listeners, runs the background work, and lets what is under way end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::{Face, Listening, Seats, bind, tls};
use crate::ca::{CaError, RelayCa};
use crate::config::{Config, KeyPaths};
use crate::containers::{ContainerError, Containers};
use crate::context::{Context, Rooms};
use crate::enrol::Throttle;
use crate::evidence::Fetcher;
use crate::evidence::news::News;
use crate::folder::create_or_close;
use crate::keys::{Keys, KeysError};
use crate::log::{self, LogSigner, SignerError};
use crate::objects::{Objects, ObjectsError};
use crate::store::{self, ClockGuard, Store, StoreError};
use crate::timestamps::Stamps;
use crate::trust::{self, CurrentTrust, TrustError};
use crate::upload::Uploads;
use crate::{archive, expiry, intake, observe, reserve, retention, revise, routes, syslog};

/// Why the relay does not start. Each says which file, key or address is in the way.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The trust directory.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The device CA.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// TLS certificate or key.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    /// The log key.
    #[error(transparent)]
    LogKey(#[from] SignerError),
    /// Keys of what lies at rest.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The containers.
    #[error(transparent)]
    Containers(#[from] ContainerError),
    /// The bucket.
    #[error(transparent)]
    Objects(#[from] ObjectsError),
    /// The store.
    #[error("{0}")]
    Store(String),
    /// A listener, or a folder.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl From<StoreError> for StartError {
    fn from(error: StoreError) -> Self {
        Self::Store(error.to_string())
    }
}

/// The relay.
pub struct Relay;

/// A relay that runs. Dropping it ends it at once; [`Running::stop`] lets work under way end.
pub struct Running {
    /// Address of the API listener.
    pub api: SocketAddr,
    /// Address of the portal listener.
    pub portal: SocketAddr,
    store: Arc<dyn Store>,
    #[cfg_attr(not(unix), expect(dead_code, reason = "commands come over a Unix socket"))]
    trust: Arc<CurrentTrust>,
    #[cfg_attr(not(unix), expect(dead_code, reason = "commands come over a Unix socket"))]
    keys: Keys,
    context: Context,
    stop: watch::Sender<bool>,
    listeners: JoinSet<()>,
    background: Vec<JoinHandle<()>>,
}

impl Relay {
    /// Starts on the store the configuration names.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(config: Config) -> Result<Running, StartError> {
        let (data, shared, key) = (config.data.clone(), config.store.clone(), LogSigner::open(&config)?);
        let index = config.index;
        let vkey = key.vkey().to_owned();
        create_or_close(&data)?;
        let keys = open_keys(&config.keys).await?;
        let at_rest = keys.clone();
        let opened =
            tokio::task::spawn_blocking(move || store::open(&data, index, shared.as_ref(), key, &at_rest)).await;
        let store = opened.map_err(|error| StartError::Store(error.to_string()))?;
        let store = store.map_err(|error| StartError::Store(error.to_string()))?;
        #[cfg(unix)]
        let admin = (
            config.data.clone(),
            RelayCa::load(&config.ca.certificate, &config.ca.key)?.pin()?,
        );
        let running = Self::start_with(config, store, vkey, keys).await?;
        #[cfg(unix)]
        let running = running.administered(admin.0, admin.1);
        Ok(running)
    }

    /// Starts on `store`, such as a `MemoryStore`; everything else is as configured. Port 0 takes a free port.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start_on(config: Config, store: Arc<dyn Store>) -> Result<Running, StartError> {
        let vkey = LogSigner::open(&config)?.vkey().to_owned();
        let keys = open_keys(&config.keys).await?;
        Self::start_with(config, store, vkey, keys).await
    }

    /// Starts on a store that signs with the key `log_vkey` verifies and seals with `keys`: they are rotated and destroyed as one.
    async fn start_with(
        config: Config,
        store: Arc<dyn Store>,
        log_vkey: String,
        keys: Keys,
    ) -> Result<Running, StartError> {
        observe::count();
        let guard = Arc::new(ClockGuard::new(config.limits.clock_drift));
        store.guard(Arc::clone(&guard));
        let trust = Arc::new(CurrentTrust::open(&config.trust.directory)?);
        let ca = RelayCa::load(&config.ca.certificate, &config.ca.key)?;
        let (api_tls, portal_tls) = tls::acceptors(&config.tls, &config.ca.certificate)?;
        create_or_close(&config.data)?;
        let api = bind(config.api.listen).await?;
        let portal = bind(config.portal.listen).await?;
        let (api_address, portal_address) = (api.local_addr()?, portal.local_addr()?);
        let expiry = config.limits.upload_expiry;
        let (containers, uploads) = match &config.containers {
            None => (
                Containers::open(&config.data, keys.clone())?,
                Uploads::open(&config.data, keys.clone(), expiry)?,
            ),
            Some(place) => {
                let rows = store.uploads();
                let rows = rows.ok_or_else(|| StartError::Store("containers.s3 needs store.postgres".into()))?;
                let objects = Objects::open(place)?;
                objects.probe().await?;
                let containers = Containers::shared(objects.clone(), keys.clone());
                // What relays work with is no bucket half filled: no restore may clear it.
                if let Some(carried) = containers.carried() {
                    carried.end().await?;
                }
                let uploads = Uploads::shared(rows, objects, containers.clone(), keys.clone(), expiry);
                (containers, uploads)
            }
        };
        // What was changed by hand while the relay was down is in the trail too.
        match trust::record(&*store, &trust.current()).await {
            Ok(true) => tracing::info!(
                digest = trust::summary(&trust.current()).digest,
                "trust has changed; recorded"
            ),
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "a change of trust could not be recorded"),
        }
        let (news, rest) = (Arc::new(News::default()), config.limits.longest_rest());
        let kept = config.data.join("evidence");
        let fetcher = Arc::new(Fetcher::open(kept, config.trust.clone(), rest, Arc::clone(&news))?);
        let context = Context::new(Rooms {
            log_vkey,
            kept: log::Kept::open(&config, store.notes())?,
            contradictions: log::Contradictions::default(),
            containers,
            uploads,
            store: Arc::clone(&store),
            trust: Arc::clone(&trust),
            ca,
            fetcher: Arc::clone(&fetcher),
            stamps: Stamps::new(
                &config,
                Arc::clone(&trust),
                Arc::clone(&fetcher),
                Arc::clone(&news),
                Arc::clone(&guard),
            ),
            guard,
            news,
            plan: intake::Plan::default(),
            throttle: Throttle::default(),
            reports: intake::Reports::default(),
            holding: tokio::sync::Mutex::default(),
            stopping: AtomicBool::new(false),
            config: with_ports(config, api_address, portal_address),
        });
        let limits = &context.config.limits;
        // Seats of their own, so that strangers at the portal cannot keep devices out.
        let at_portal = (limits.connections / 4).max(1);
        let at_api = limits.connections.saturating_sub(at_portal).max(1);
        let seats = |connections| Seats::new(connections, limits.connections_per_address);
        let (api_seats, portal_seats) = (seats(at_api), seats(at_portal));
        let (stop, stopped) = watch::channel(false);
        let mut listeners = JoinSet::new();
        for (face, listener, tls, router, seats) in [
            (Face::Api, api, api_tls, routes::api(&context), api_seats),
            (Face::Portal, portal, portal_tls, routes::portal(&context), portal_seats),
        ] {
            let listening = Listening {
                face,
                listener,
                tls,
                router,
                context: context.clone(),
                seats,
            };
            listeners.spawn(listening.serve(stopped.clone()));
        }
        let (reaping, stamping) = (context.clone(), context.clone());
        let background = vec![
            tokio::spawn(fetcher.watch()),
            tokio::spawn(async move { reaping.uploads.reap(&reaping).await }),
            tokio::spawn(reserve::keep(context.clone())),
            tokio::spawn(intake::retry(context.clone())),
            tokio::spawn(intake::sweep_once(context.clone())),
            tokio::spawn(revise::watch(context.clone())),
            tokio::spawn(expiry::watch(context.clone())),
            tokio::spawn(async move { stamping.stamps.watch().await }),
            tokio::spawn(archive::keep(context.clone())),
            tokio::spawn(retention::keep(context.clone())),
            tokio::spawn(syslog::feed(context.clone())),
            tokio::spawn(log::keep_heads(context.clone())),
            tokio::spawn(log::keep_stamps(context.clone())),
            tokio::spawn(log::keep_witnesses(context.clone())),
        ];
        for reason in context.hindrances().await {
            tracing::warn!(reason, "not ready");
        }
        tracing::info!(api = %api_address, portal = %portal_address, "the relay is up");
        Ok(Running {
            api: api_address,
            portal: portal_address,
            store,
            trust: Arc::clone(&context.trust),
            keys,
            context,
            stop,
            listeners,
            background,
        })
    }
}

impl Running {
    /// Takes the operator's commands on a socket too.
    #[cfg(unix)]
    fn administered(mut self, data: std::path::PathBuf, pin: String) -> Self {
        let served = crate::admin::Served {
            store: self.store(),
            pin,
            trust: Arc::clone(&self.trust),
            keys: self.keys.clone(),
            containers: self.context.containers.clone(),
            data,
        };
        self.background.push(tokio::spawn(async move {
            if let Err(error) = crate::admin::serve(&served.data.join("admin.sock"), served.clone()).await {
                tracing::error!(%error, "commands cannot be taken while the relay runs");
            }
        }));
        self
    }

    /// Its store.
    #[must_use]
    pub fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store)
    }

    /// Says for a while that it is not ready, takes no more connections, lets requests under way end, then returns.
    pub async fn stop(mut self) {
        self.context.stopping.store(true, Ordering::SeqCst);
        tokio::time::sleep(self.context.config.limits.drain).await;
        self.stop.send_replace(true);
        while self.listeners.join_next().await.is_some() {}
        for task in self.background.drain(..) {
            task.abort();
            let _ = task.await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for task in &self.background {
            task.abort();
        }
    }
}

/// Serves until SIGINT or SIGTERM (Ctrl-C), then stops gracefully.
///
/// # Errors
/// [`StartError`] if it does not start.
pub async fn run(config: Config) -> Result<(), StartError> {
    let running = Relay::start(config).await?;
    asked_to_stop().await?;
    tracing::info!("stopping");
    running.stop().await;
    Ok(())
}

#[cfg(unix)]
async fn asked_to_stop() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
    }
}

#[cfg(not(unix))]
async fn asked_to_stop() -> std::io::Result<()> {
    tokio::signal::ctrl_c().await
}

/// A plugin may ask a token: not on the threads that answer.
async fn open_keys(paths: &KeyPaths) -> Result<Keys, StartError> {
    let paths = paths.clone();
    let opened = tokio::task::spawn_blocking(move || Keys::open(&paths)).await;
    Ok(opened.map_err(std::io::Error::other)??)
}

/// With port 0 configured, devices must be told the port that was taken.
fn with_ports(mut config: Config, api: SocketAddr, portal: SocketAddr) -> Config {
    for (listener, taken) in [(&mut config.api, api), (&mut config.portal, portal)] {
        if listener.listen.port() == 0 {
            listener.listen = taken;
            listener.url = match listener.url.strip_suffix(":0") {
                Some(host) => format!("{host}:{}", taken.port()),
                None => listener.url.clone(),
            };
        }
    }
    config
}
