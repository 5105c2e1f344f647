//! `PostgresStore`: one trail and one index in PostgreSQL, for any number of relays. The only place that knows PostgreSQL.
//!
//! A relay writes what it wants to happen as a proposal. One relay at a time, the sequencer, holds a lease; it takes its own
//! batches and the proposals of the others in groups, judges their conditions on the index, and writes records, rows of the
//! index, the signed checkpoint and the answers in one transaction, which only commits if its lease still counts. A proposal
//! is no promise; its answer is. `ARCHITECTURE.md` §5 says why.

mod address;
mod clerk;
mod hot;
mod lease;
mod link;
mod loading;
mod newer;
mod notes;
mod proposal;
mod reading;
mod reign;
mod schema;
mod shelf;
mod table;
mod timing;
mod tls;
mod trouble;
mod uploads;

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use formats::trail::Checkpoint;
use tokio::sync::mpsc::unbounded_channel;
use uuid::Uuid;

pub use address::PostgresAddress;
use clerk::Clerk;
use lease::Leases;
use link::{Link, News};
use notes::NoteTable;
pub use notes::notes;
pub use reading::PostgresReader;
pub(in crate::store) use reading::{NOT_COMMITTED, RECORDS};
use shelf::KeyTable;
use table::PostgresTable;
use uploads::UploadTable;

use super::StoreError;
use super::engine::{Embedded, Engine};
use super::index::{Fetch as _, Key, SealedTable, is_of_this_layout};
use crate::keys::Keys;
use crate::log::LogSigner;
use crate::month_keys::MonthKeys;

/// Why the store does not open.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// The address, its password or certificate.
    #[error("store.postgres: {0}")]
    Address(String),
    /// The database cannot be reached, or refuses.
    #[error("the database: {0}")]
    Unreachable(String),
    /// It does not keep what it says it has committed.
    #[error("the database runs with {0} = off: what it says is committed may be lost. Turn it on")]
    NotDurable(&'static str),
    /// Nor does a standby that takes over.
    #[error(
        "the database runs with synchronous_commit = local: it answers before its standby has what was committed, so that one which \
         takes over lacks acknowledged letters. Set it to on (or remote_apply, remote_write)\n\
         データベースの synchronous_commit が local です。待機系への到達を待たずに応答するため、切り替え時に受領済みの文書が失われます。\
         on（または remote_apply、remote_write）に設定してください"
    )]
    WithoutStandby,
    /// Tables of a newer release.
    #[error("the database has tables of version {found}; this relay knows those up to {known}. Run the newer release")]
    Newer {
        /// Version found.
        found: i32,
        /// Newest version known here.
        known: i32,
    },
    /// There are records where a trail should be put.
    #[error("the database has a trail of {0} records already: name an empty one; nothing was changed")]
    NotEmpty(u64),
    /// The trail in it is signed with another key.
    #[error("the trail in this database is not signed with the key log.key: every relay of one trail has the same")]
    OtherKey,
    /// The index, or what it made of a record.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The store for several relays.
pub struct PostgresStore {
    engine: Engine,
}

/// So long a start waits for the first checkpoint, signed by whoever holds the lease.
const START: Duration = Duration::from_secs(20);

impl PostgresStore {
    /// Opens the store: brings the tables to this release, then reads and writes. Blocks; not to be called from async code.
    ///
    /// # Errors
    /// [`PostgresError`], with what to do.
    pub fn open(address: &PostgresAddress, key: impl Into<LogSigner>, keys: &Keys) -> Result<Self, PostgresError> {
        let link = Arc::new(Link::open(address)?);
        schema::prepare(&link)?;
        let table = Arc::new(PostgresTable(Arc::clone(&link)));
        let (jobs, waiting) = unbounded_channel();
        let key = key.into();
        let (me, vkey) = (Uuid::now_v7(), key.vkey().to_owned());
        let begun = Instant::now();
        // Another key must not sign, not even once.
        let mut signed = signed_with(&table, &vkey)?;
        let keys = Arc::new(month_keys(&link, keys));
        if !is_of_this_layout(&*table)? {
            tracing::warn!("the index is of another release; it is made anew from the records");
            let taken = reign::take(&link)?;
            reign::reindex(&link, &taken, taken.size, &key, &keys)?;
        }
        let guard = Arc::new(OnceLock::new());
        let clerk = Clerk::new(
            Arc::clone(&link),
            key,
            Arc::clone(&keys),
            me,
            waiting,
            Arc::new(News::default()),
            Arc::clone(&guard),
        );
        let thread = std::thread::Builder::new()
            .name("committer".into())
            .spawn(move || clerk.run())
            .map_err(|error| StoreError::Broken(error.to_string()))?;
        let uploads = Arc::new(UploadTable(Arc::clone(&link)));
        let notes = Arc::new(NoteTable(Arc::clone(&link)));
        let leases = Arc::new(Leases { link, me });
        let bodies = Arc::clone(&table);
        // A committer that is gone drops the answer, which the ticket reports.
        let submit = move |job| drop(jobs.send(job));
        let sealed = Arc::new(SealedTable::over(Arc::clone(&table) as _, Arc::clone(&keys)));
        let engine = Engine::with(sealed, bodies, keys, Box::new(submit), thread).shared(leases, uploads, notes, guard);
        while !signed {
            if begun.elapsed() > START {
                return Err(PostgresError::Unreachable(
                    "no relay signs the trail's checkpoint".into(),
                ));
            }
            std::thread::sleep(Duration::from_millis(20));
            signed = signed_with(&table, &vkey)?;
        }
        Ok(Self { engine })
    }

    /// Makes the index anew from the records alone, in one transaction; relays that run see the old one until then, and write
    /// nothing meanwhile. Returns the number of its rows.
    ///
    /// # Errors
    /// As [`PostgresStore::open`].
    pub fn rebuild(address: &PostgresAddress, key: impl Into<LogSigner>, keys: &Keys) -> Result<usize, PostgresError> {
        let link = Arc::new(Link::open(address)?);
        schema::prepare(&link)?;
        let keys = month_keys(&link, keys);
        let taken = reign::take(&link)?;
        reign::reindex(&link, &taken, taken.size, &key.into(), &keys)
    }
}

fn month_keys(link: &Arc<Link>, keys: &Keys) -> MonthKeys {
    MonthKeys::on(KeyTable::of(link, keys))
}

/// Whether there is a checkpoint, which must be signed with this key.
fn signed_with(table: &PostgresTable, vkey: &str) -> Result<bool, PostgresError> {
    let Some(checkpoint) = table.fetch(Key::checkpoint().as_bytes())? else {
        return Ok(false);
    };
    let checkpoint = String::from_utf8(checkpoint).map_err(|_| PostgresError::OtherKey)?;
    match Checkpoint::verify(&checkpoint, vkey) {
        Ok(_) => Ok(true),
        Err(_) => Err(PostgresError::OtherKey),
    }
}

impl Embedded for PostgresStore {
    fn engine(&self) -> &Engine {
        &self.engine
    }
}
