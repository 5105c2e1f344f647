//! A transaction that is on its way while another relay takes over: it fails, by nothing but its epoch where nothing else is against
//! it, or because the server has ended it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{cluster, holds, open, send};

/// What stands between a relay and its database.
struct Between {
    folder: tempfile::TempDir,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Default)]
struct Inner {
    /// Statements that begin so are kept back.
    at: Option<&'static str>,
    held: bool,
    /// SQLSTATEs of the errors the server has told.
    errors: Vec<String>,
}

impl State {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while this is a statement to keep back.
    fn pass(&self, statement: &[u8]) {
        let mut inner = self.inner();
        while inner.at.is_some_and(|at| statement.starts_with(at.as_bytes())) {
            inner.held = true;
            self.changed.notify_all();
            inner = self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Between {
    fn start(database: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join(".s.PGSQL.5432")).unwrap();
        let (state, server) = (Arc::<State>::default(), database.join(".s.PGSQL.5432"));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), Ok(server)) = (client, UnixStream::connect(&server)) else {
                    return;
                };
                let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let (there, back) = (Arc::clone(&shared), Arc::clone(&shared));
                std::thread::spawn(move || {
                    let _ended = statements(from, &to, &there);
                    let _closed = to.shutdown(Shutdown::Both);
                });
                std::thread::spawn(move || {
                    let _ended = answers(server, &client, &back);
                    let _closed = client.shutdown(Shutdown::Both);
                });
            }
        });
        Self { folder, state }
    }

    fn keep_back(&self, at: &'static str) {
        let mut inner = self.state.inner();
        (inner.at, inner.held) = (Some(at), false);
        inner.errors.clear();
    }

    fn release(&self) {
        self.state.inner().at = None;
        self.state.changed.notify_all();
    }

    fn holds_one(&self) -> bool {
        self.state.inner().held
    }

    fn told(&self, code: &str) -> bool {
        self.state.inner().errors.iter().any(|told| told == code)
    }
}

/// One message: type where it has one, length, content.
fn message(from: &mut UnixStream, typed: bool) -> io::Result<(u8, Vec<u8>)> {
    let mut head = vec![0; if typed { 5 } else { 4 }];
    from.read_exact(&mut head)?;
    let length = u32::from_be_bytes(head[head.len() - 4..].try_into().unwrap()) as usize;
    let begin = head.len();
    let kind = if typed { head[0] } else { 0 };
    head.resize(begin + length - 4, 0);
    from.read_exact(&mut head[begin..])?;
    Ok((kind, head))
}

fn statements(mut from: UnixStream, mut to: &UnixStream, state: &State) -> io::Result<()> {
    let (_, start) = message(&mut from, false)?;
    to.write_all(&start)?;
    loop {
        let (kind, bytes) = message(&mut from, true)?;
        if kind == b'Q' {
            state.pass(&bytes[5..]);
        }
        to.write_all(&bytes)?;
    }
}

fn answers(mut from: UnixStream, mut to: &UnixStream, state: &State) -> io::Result<()> {
    loop {
        let (kind, bytes) = message(&mut from, true)?;
        if kind == b'E' {
            let fields = bytes[5..].split(|byte| *byte == 0);
            let code = fields
                .filter_map(|field| field.strip_prefix(b"C"))
                .next()
                .unwrap_or_default();
            state.inner().errors.push(String::from_utf8_lossy(code).into_owned());
        }
        to.write_all(&bytes)?;
    }
}

async fn until(what: &str, mut reached: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !tokio::task::block_in_place(&mut reached) {
        assert!(begun.elapsed() < Duration::from_secs(40), "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_is_overtaken_fails_and_its_letter_is_written_once() {
    let Some(cluster) = cluster("a_transaction_that_is_overtaken_fails_and_its_letter_is_written_once") else {
        return;
    };
    // Division by zero is the guard's; the other is the server's own, which ends a transaction whose relay is silent in it.
    for (at, code) in [("BEGIN", "22012"), ("COMMIT", "25P03")] {
        let place = cluster.database();
        let database = place.rsplit_once('=').unwrap().1.to_owned();
        let between = Between::start(&cluster.socket());
        let through = format!("host={} user=relay dbname={database}", between.folder.path().display());
        let first = open(&through).await;
        let mut acknowledged = BTreeMap::new();
        acknowledged.insert(1, send(&first, 1).await.unwrap().positions[0]);
        let second = open(&place).await;
        let log = || cluster.sql(&database, "SELECT epoch, size FROM hikyaku_log");
        let before = log();

        between.keep_back(at);
        let writer = Arc::clone(&first);
        let sent = tokio::spawn(async move { send(&writer, 2).await });
        until("the transaction is on its way", || between.holds_one()).await;
        until("the other takes over", || log() != before).await;
        // Of a session that the server has ended its relay hears at once, and hands its letter to the other.
        if at == "BEGIN" {
            let size = |log: &str| log.split('|').next_back().unwrap().to_owned();
            assert_eq!(
                size(&log()),
                size(&before),
                "nothing is written meanwhile: the size is no guard"
            );
            assert!(!sent.is_finished());
        }
        between.release();
        until("this very transaction fails", || between.told(code)).await;

        acknowledged.insert(2, sent.await.unwrap().unwrap().positions[0]);
        acknowledged.insert(3, send(&first, 3).await.unwrap().positions[0]);
        assert_eq!(acknowledged.values().copied().collect::<Vec<_>>(), [0, 1, 2], "{at}");
        for store in [&first, &second] {
            holds(store, &acknowledged, &BTreeSet::new()).await;
        }
    }
}
