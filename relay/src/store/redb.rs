//! `RedbTable`: the index in redb, written behind the trail in large sorted transactions. The only place that knows redb.
//!
//! A write goes into memory, where reads see it; once enough has come together, a thread of its own hands it to redb in one durable
//! transaction. What a stop of any kind loses is the newest writes as a whole, never one among them, and the trail has them all.
//!
//! Why redb: kept by its author with a release every few weeks, licensed as Rust is, no dependency but libc, one file whose pages
//! carry checksums and whose commits end with an fsync.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::iter::Peekable;
use std::ops::Bound;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::JoinHandle;

use redb::{Database, ReadOnlyTable, ReadableDatabase as _, TableDefinition};

use super::StoreError;
use super::index::{Changes, Fetch, Row, Table};

/// File of the index in its folder.
pub(super) const FILE: &str = "index.redb";
/// Bytes redb may keep in memory.
const CACHE: usize = 64 << 20;
/// Bytes of keys and values that are written together.
pub(super) const LAYER: usize = 8 << 20;
/// Layers that wait beside the one being written.
const WAITING: usize = 1;
const ROWS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("rows");

/// The index in redb.
pub(super) struct RedbTable {
    known: Arc<RwLock<Known>>,
    orders: Mutex<Option<SyncSender<Order>>>,
    writer: Option<JoinHandle<()>>,
}

/// What reads look at, the newest first: what comes together, what is being written, what redb has.
struct Known {
    newest: Changes,
    bytes: usize,
    /// The oldest first.
    layers: VecDeque<Arc<Changes>>,
    below: Arc<ReadOnlyTable<&'static [u8], &'static [u8]>>,
    /// Why redb takes no more.
    failed: Option<String>,
}

enum Order {
    Write(Arc<Changes>),
    /// To be answered when everything before it is written.
    Tell(SyncSender<()>),
}

impl RedbTable {
    /// Opens the index in this folder, made if it is not there.
    pub(super) fn open(folder: &Path) -> Result<Self, StoreError> {
        crate::folder::create_private(folder).map_err(broken)?;
        let path = folder.join(FILE);
        let (db, below) = guarded(|| {
            let db = Database::builder()
                .set_cache_size(CACHE)
                .create(&path)
                .map_err(broken)?;
            let below = commit(&db, &Changes::default())?;
            Ok((db, below))
        })?;
        crate::folder::sync_folder(folder).map_err(broken)?;
        let known = Arc::new(RwLock::new(Known {
            newest: Changes::default(),
            bytes: 0,
            layers: VecDeque::new(),
            below: Arc::new(below),
            failed: None,
        }));
        let (orders, wanted) = sync_channel(WAITING);
        let shared = Arc::clone(&known);
        let writer = std::thread::Builder::new()
            .name("index".into())
            .spawn(move || follow(&db, &shared, &wanted))
            .map_err(broken)?;
        Ok(Self {
            known,
            orders: Mutex::new(Some(orders)),
            writer: Some(writer),
        })
    }

    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands over what has come together; with `tell` it is said when all of it is written.
    fn hand_over(&self, tell: Option<SyncSender<()>>) -> Result<(), StoreError> {
        // Held to the end: layers are handed over in the order in which they lie.
        let orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let send = |order| {
            let sent = orders.as_ref().and_then(|orders| orders.send(order).ok());
            sent.ok_or_else(|| broken("its thread has stopped"))
        };
        let layer = change(&self.known).next_layer()?;
        if let Some(layer) = layer {
            send(Order::Write(layer))?;
        }
        tell.map_or(Ok(()), |tell| send(Order::Tell(tell)))
    }
}

impl Known {
    /// What has come together becomes a layer.
    fn next_layer(&mut self) -> Result<Option<Arc<Changes>>, StoreError> {
        self.good()?;
        if self.newest.0.is_empty() {
            return Ok(None);
        }
        let layer = Arc::new(std::mem::take(&mut self.newest));
        self.bytes = 0;
        self.layers.push_back(Arc::clone(&layer));
        Ok(Some(layer))
    }

    fn good(&self) -> Result<(), StoreError> {
        self.failed.as_ref().map_or(Ok(()), |reason| Err(broken(reason)))
    }
}

impl Drop for RedbTable {
    fn drop(&mut self) {
        if let Err(error) = self.flush() {
            tracing::warn!(%error, "the index could not be closed; the next start brings it up to the trail");
        }
        drop(self.orders.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(writer) = self.writer.take() {
            let _panicked = writer.join();
        }
    }
}

/// Writes what it is given, until nobody can give it more.
fn follow(db: &Database, known: &RwLock<Known>, orders: &Receiver<Order>) {
    while let Ok(order) = orders.recv() {
        match order {
            Order::Write(layer) => {
                // What came before it is not there: nothing later may be.
                if known.read().unwrap_or_else(PoisonError::into_inner).failed.is_some() {
                    continue;
                }
                let written = guarded(|| commit(db, &layer));
                let mut known = change(known);
                match written {
                    Ok(below) => {
                        known.below = Arc::new(below);
                        known.layers.pop_front();
                    }
                    Err(error) => known.failed = Some(error.to_string()),
                }
            }
            Order::Tell(told) => drop(told.send(())),
        }
    }
}

/// Makes a layer durable; the table as it is then.
fn commit(db: &Database, layer: &Changes) -> Result<ReadOnlyTable<&'static [u8], &'static [u8]>, StoreError> {
    let mut transaction = db.begin_write().map_err(broken)?;
    // With it an index that was not closed opens at once.
    transaction.set_quick_repair(true);
    {
        let mut rows = transaction.open_table(ROWS).map_err(broken)?;
        for (key, value) in &layer.0 {
            match value {
                Some(value) => drop(rows.insert(key.as_slice(), value.as_slice()).map_err(broken)?),
                None => drop(rows.remove(key.as_slice()).map_err(broken)?),
            }
        }
    }
    transaction.commit().map_err(broken)?;
    db.begin_read().map_err(broken)?.open_table(ROWS).map_err(broken)
}

impl Fetch for RedbTable {
    fn fetch(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let known = self.read();
        let layers = known.layers.iter().rev().map(AsRef::as_ref);
        if let Some(value) = std::iter::once(&known.newest)
            .chain(layers)
            .find_map(|layer| layer.0.get(key))
        {
            return Ok(value.clone());
        }
        let below = Arc::clone(&known.below);
        drop(known);
        guarded(|| Ok(below.get(key).map_err(broken)?.map(|value| value.value().to_vec())))
    }
}

impl Table for RedbTable {
    fn scan(&self, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Row>, StoreError> {
        guarded(|| {
            let known = self.read();
            let below = known.below.range(from..).map_err(broken)?.map(|row| {
                let (key, value) = row.map_err(broken)?;
                Ok(Entry {
                    key: Cow::Owned(key.value().to_vec()),
                    value: Some(Cow::Owned(value.value().to_vec())),
                })
            });
            // The oldest first.
            let mut sources = vec![Source::new(below)];
            for layer in known.layers.iter().map(AsRef::as_ref).chain([&known.newest]) {
                let rows = layer.0.range::<[u8], _>((Bound::Included(from), Bound::Unbounded));
                sources.push(Source::new(rows.map(|(key, value)| {
                    Ok(Entry {
                        key: Cow::Borrowed(key.as_slice()),
                        value: value.as_deref().map(Cow::Borrowed),
                    })
                })));
            }
            let mut found = Vec::new();
            while found.len() < limit {
                let Some(Entry { key, value }) = next(&mut sources)? else {
                    break;
                };
                if !key.starts_with(prefix) {
                    break;
                }
                if let Some(value) = value {
                    found.push(Row {
                        key: key.into_owned(),
                        value: value.into_owned(),
                    });
                }
            }
            Ok(found)
        })
    }

    fn write(&self, changes: Changes) -> Result<(), StoreError> {
        let full = {
            let mut known = change(&self.known);
            known.good()?;
            known.bytes += changes.bytes();
            if known.newest.0.is_empty() {
                known.newest = changes;
            } else {
                known.newest.merge(changes);
            }
            known.bytes >= LAYER
        };
        if full { self.hand_over(None) } else { Ok(()) }
    }

    fn flush(&self) -> Result<(), StoreError> {
        let (tell, told) = sync_channel(1);
        self.hand_over(Some(tell))?;
        told.recv().map_err(|_| broken("its thread has stopped"))?;
        self.read().good()
    }
}

/// A key and its value, `None` where it is removed.
struct Entry<'a> {
    key: Cow<'a, [u8]>,
    value: Option<Cow<'a, [u8]>>,
}

/// Entries by key.
struct Source<'a>(Peekable<Box<dyn Iterator<Item = Result<Entry<'a>, StoreError>> + 'a>>);

impl<'a> Source<'a> {
    fn new(entries: impl Iterator<Item = Result<Entry<'a>, StoreError>> + 'a) -> Self {
        let entries: Box<dyn Iterator<Item = Result<Entry<'a>, StoreError>> + 'a> = Box::new(entries);
        Self(entries.peekable())
    }

    /// The key that comes next.
    fn key(&mut self) -> Option<&Cow<'a, [u8]>> {
        self.0.peek()?.as_ref().ok().map(|entry| &entry.key)
    }
}

/// The next entry of sources that lie one upon the other, the newest last.
fn next<'a>(sources: &mut [Source<'a>]) -> Result<Option<Entry<'a>>, StoreError> {
    let lowest = sources.iter_mut().filter_map(Source::key).min().cloned();
    let mut found = None;
    for source in sources {
        let due = |entry: &Result<Entry<'a>, StoreError>| match entry {
            Ok(entry) => Some(&entry.key) == lowest.as_ref(),
            Err(_) => true,
        };
        if let Some(entry) = source.0.next_if(due) {
            found = Some(entry?);
        }
    }
    Ok(found)
}

fn change(known: &RwLock<Known>) -> RwLockWriteGuard<'_, Known> {
    known.write().unwrap_or_else(PoisonError::into_inner)
}

/// redb asserts where it should answer: what it makes of a damaged file is an error here, not the end of the relay.
fn guarded<T>(done: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(done))
        .unwrap_or_else(|_| Err(broken("redb stopped: its file is damaged")))
}

fn broken(error: impl std::fmt::Display) -> StoreError {
    StoreError::Broken(format!("index: {error}"))
}

#[cfg(test)]
mod tests {
    use super::super::memory::MemoryTable;
    use super::*;

    fn changes(rows: &[(u64, Option<u64>)]) -> Changes {
        let bytes = |number: u64| format!("k{number:04}").into_bytes();
        let row = |(key, value): &(u64, Option<u64>)| (bytes(*key), value.map(bytes));
        Changes(rows.iter().map(row).collect())
    }

    /// Rows put, replaced and removed in many small writes, with what is handed over in between lying in every layer.
    #[test]
    fn layers_read_as_one_table() {
        let folder = tempfile::tempdir().unwrap();
        let (table, model) = (RedbTable::open(folder.path()).unwrap(), MemoryTable::default());
        let mut random = 1_u64;
        for round in 0..400 {
            let mut some = Vec::new();
            for _ in 0..5 {
                random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                let (key, value) = ((random >> 33) % 200, (random >> 20) % 5);
                some.push((key, (value > 0).then_some(round)));
            }
            table.write(changes(&some)).unwrap();
            model.write(changes(&some)).unwrap();
            match round % 7 {
                3 => table.hand_over(None).unwrap(),
                6 => table.flush().unwrap(),
                _ => {}
            }
            let key = format!("k{:04}", round % 200).into_bytes();
            assert_eq!(table.fetch(&key).unwrap(), model.fetch(&key).unwrap());
            for (prefix, limit) in [(&b""[..], usize::MAX), (b"k00", 7), (b"k01", 1000), (b"x", 1)] {
                assert!(table.scan(prefix, &key, limit).unwrap() == model.scan(prefix, &key, limit).unwrap());
            }
        }
        drop(table);
        let again = RedbTable::open(folder.path()).unwrap();
        assert!(again.scan(b"", b"", usize::MAX).unwrap() == model.scan(b"", b"", usize::MAX).unwrap());
    }

    /// A copy of the file while the table is open is what a stop leaves: some writes from the first on, and none behind a missing one.
    #[test]
    fn what_a_stop_leaves_has_no_gap() {
        let folder = tempfile::tempdir().unwrap();
        let table = RedbTable::open(folder.path()).unwrap();
        let mut most = 0;
        for round in 0..60 {
            table.write(changes(&[(round, Some(round))])).unwrap();
            if round % 20 == 13 {
                table.flush().unwrap();
            }
            let copy = tempfile::tempdir().unwrap();
            std::fs::copy(folder.path().join(FILE), copy.path().join(FILE)).unwrap();
            let left = RedbTable::open(copy.path())
                .unwrap()
                .scan(b"", b"", usize::MAX)
                .unwrap();
            let there = u64::try_from(left.len()).unwrap();
            let rows: Vec<_> = (0..there).map(|number| (number, Some(number))).collect();
            let expected = changes(&rows).0;
            assert!(
                left.iter()
                    .all(|row| expected.get(&row.key) == Some(&Some(row.value.clone())))
            );
            most = most.max(there);
        }
        assert!(most >= 54, "{most}");
    }
}
