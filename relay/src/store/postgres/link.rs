//! The way to the database: sessions, a few kept for reading, made anew when they are lost.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Client, Row, Statement};

use super::PostgresError;
use super::address::PostgresAddress;
use super::tls::Tls;
use super::trouble::Trouble;
use crate::store::StoreError;

/// Sessions that read at the same time, at most.
const READERS: usize = 8;
/// So long one question may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// So long a read is tried again while the database is away.
const READ: Duration = Duration::from_secs(10);
/// The other relays hear of new proposals, and of answers.
pub(super) const PROPOSED: &str = "hikyaku_proposed";
pub(super) const ANSWERED: &str = "hikyaku_answered";

/// The way to the database. It has a thread of its own, so that it can be used and dropped anywhere.
pub(super) struct Link {
    runtime: Handle,
    config: tokio_postgres::Config,
    tls: Tls,
    idle: Mutex<Vec<Session>>,
    seats: Semaphore,
    /// Dropped, it ends the thread.
    _alive: oneshot::Sender<()>,
}

/// What the database told without being asked.
#[derive(Default)]
pub(super) struct News {
    proposed: AtomicBool,
    answered: AtomicBool,
    woken: Notify,
}

impl News {
    fn tell(&self, channel: &str) {
        match channel {
            PROPOSED => self.proposed.store(true, Ordering::SeqCst),
            ANSWERED => self.answered.store(true, Ordering::SeqCst),
            _ => return,
        }
        self.woken.notify_one();
    }

    /// Whether there were proposals since this was last asked.
    pub(super) fn proposed(&self) -> bool {
        self.proposed.swap(false, Ordering::SeqCst)
    }

    /// Whether there were answers since this was last asked.
    pub(super) fn answered(&self) -> bool {
        self.answered.swap(false, Ordering::SeqCst)
    }

    /// Waits for either.
    pub(super) async fn woken(&self) {
        self.woken.notified().await;
    }
}

impl Link {
    /// Starts the thread; nothing is connected yet.
    pub(super) fn open(address: &PostgresAddress) -> Result<Self, PostgresError> {
        let (config, tls) = address.resolve()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| StoreError::Broken(error.to_string()))?;
        let handle = runtime.handle().clone();
        let (alive, ended) = oneshot::channel::<()>();
        std::thread::Builder::new()
            .name("postgres".into())
            .spawn(move || {
                let _ended = runtime.block_on(ended);
            })
            .map_err(|error| StoreError::Broken(error.to_string()))?;
        Ok(Self {
            runtime: handle,
            config,
            tls,
            idle: Mutex::default(),
            seats: Semaphore::new(READERS),
            _alive: alive,
        })
    }

    /// Waits, blocking, for something without end. Who runs on a runtime's thread lets its other work go on elsewhere.
    pub(super) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        tokio::task::block_in_place(|| self.runtime.block_on(future))
    }

    /// Waits, blocking, for one thing asked of the database.
    pub(super) fn run<T>(&self, future: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
        self.wait(async { timeout(PATIENCE, future).await.unwrap_or_else(|_| Err(silent())) })
    }

    /// A new session; what the database tells unasked goes to `news`.
    pub(super) async fn session(&self, news: Option<Arc<News>>) -> Result<Session, Trouble> {
        let (client, mut connection) = self.config.connect(self.tls.clone()).await?;
        self.runtime.spawn(async move {
            while let Some(Ok(message)) = std::future::poll_fn(|cx| connection.poll_message(cx)).await {
                if let (AsyncMessage::Notification(told), Some(news)) = (message, &news) {
                    news.tell(told.channel());
                }
            }
        });
        Ok(Session {
            client,
            prepared: Mutex::default(),
        })
    }

    /// Reads. What is lost with its connection is asked again, as long as the database may still come back.
    pub(super) fn read<T>(&self, ask: impl AsyncFn(&Session) -> Result<T, Trouble>) -> Result<T, StoreError> {
        self.wait(async {
            let _seat = self.seats.acquire().await;
            let (begun, mut pause) = (Instant::now(), Duration::from_millis(20));
            loop {
                let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
                let asked = async {
                    let session = match kept {
                        Some(session) => session,
                        None => self.session(None).await?,
                    };
                    let found = ask(&session).await?;
                    Ok((session, found))
                };
                let trouble = match timeout(PATIENCE, asked).await.unwrap_or_else(|_| Err(silent())) {
                    Ok((session, found)) => {
                        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(session);
                        return Ok(found);
                    }
                    Err(trouble) => trouble,
                };
                // They were lost together.
                self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
                if !trouble.passes() || begun.elapsed() + pause > READ {
                    return Err(trouble.into());
                }
                sleep(pause).await;
                pause = (pause * 2).min(Duration::from_millis(500));
            }
        })
    }
}

fn silent() -> Trouble {
    Trouble::Lost("it does not answer".into())
}

/// One connection, with its prepared statements.
pub(super) struct Session {
    client: Client,
    prepared: Mutex<BTreeMap<&'static str, Statement>>,
}

impl Session {
    /// A statement, prepared once.
    pub(super) async fn prepare(&self, sql: &'static str) -> Result<Statement, Trouble> {
        let known = self
            .prepared
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(sql)
            .cloned();
        if let Some(statement) = known {
            return Ok(statement);
        }
        let statement = self.client.prepare(sql).await?;
        let mut prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        prepared.insert(sql, statement.clone());
        Ok(statement)
    }

    pub(super) async fn query(&self, sql: &'static str, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Trouble> {
        let statement = self.prepare(sql).await?;
        Ok(self.client.query(&statement, values).await?)
    }

    /// Number of rows it changed.
    pub(super) async fn execute(&self, sql: &'static str, values: &[&(dyn ToSql + Sync)]) -> Result<u64, Trouble> {
        let statement = self.prepare(sql).await?;
        self.send(&statement, values).await
    }

    /// Sends a prepared statement when first polled, without waiting for those before it.
    pub(super) async fn send(&self, statement: &Statement, values: &[&(dyn ToSql + Sync)]) -> Result<u64, Trouble> {
        Ok(self.client.execute(statement, values).await?)
    }

    /// A statement without values.
    pub(super) async fn say(&self, sql: &str) -> Result<(), Trouble> {
        Ok(self.client.batch_execute(sql).await?)
    }

    /// A statement that a database may not know; whether it did.
    pub(super) async fn try_say(&self, sql: &str) -> Result<bool, Trouble> {
        match self.say(sql).await {
            Ok(()) => Ok(true),
            Err(Trouble::Refused(_)) => Ok(false),
            Err(trouble) => Err(trouble),
        }
    }
}
