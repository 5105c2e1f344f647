//! What all stores share: the `Store` trait over a table, bodies and the committer thread.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use formats::trail::{Record, Trusted};
use formats::wire::{DeviceId, FacilityCode, MemberId, Receipt, SubmissionId};
use time::OffsetDateTime;
use tokio::sync::oneshot;

use super::committer::{Committer, Job, Journal, seal};
use super::index::{Bodies, Changes, Entry, Key, Pending, Query, SealedTable, Table, apply, open};
use super::scribe::Scribe;
use super::{
    Batch, ClockGuard, Code, Device, Due, Facility, Member, Month, NamedContainer, Notes, Read, RetentionStep, Row,
    Stamped, Store, StoreError, StoredRecord, SubmissionRow, Ticket, UploadRows,
};
use crate::log::LogSigner;
use crate::month_keys::MonthKeys;
use crate::trail::{Place, SealedRecord};

/// Table, bodies and committer of a store. The committer ends when this is dropped, after what was handed to it.
pub struct Engine {
    table: Arc<dyn Table>,
    bodies: Arc<dyn Bodies>,
    keys: Arc<MonthKeys>,
    /// Hands a job to the committer; dropping it ends the committer.
    #[expect(
        clippy::type_complexity,
        reason = "it is one closure behind a lock, and has a name only here"
    )]
    submit: Mutex<Option<Box<dyn Fn(Job) + Send>>>,
    thread: Option<JoinHandle<()>>,
    leases: Option<Arc<dyn Lease>>,
    uploads: Option<Arc<dyn UploadRows>>,
    notes: Option<Arc<dyn Notes>>,
    guard: Arc<OnceLock<Arc<ClockGuard>>>,
}

/// What is held apart where several relays share a store.
pub(super) trait Lease: Send + Sync + 'static {
    /// Whether this relay holds it, for this long from now.
    fn hold(&self, name: &str, length: Duration) -> Result<bool, StoreError>;

    /// The clock of all.
    fn now(&self) -> Result<OffsetDateTime, StoreError>;

    /// Submissions of which batches speak that may still be committed, whoever handed them in.
    fn undecided(&self) -> Result<Vec<SubmissionId>, StoreError>;
}

/// A store that is an [`Engine`].
pub trait Embedded {
    /// Its engine.
    fn engine(&self) -> &Engine;

    /// Every row of the index, as text: what two indexes of one trail must agree in.
    ///
    /// # Errors
    /// [`StoreError::Broken`] if the index cannot be read.
    fn dump(&self) -> Result<Vec<String>, StoreError> {
        let rows = self.engine().table.scan(&[], &[], usize::MAX)?;
        let show = |bytes: &[u8]| bytes.escape_ascii().to_string();
        Ok(rows
            .iter()
            .map(|row| format!("{} = {}", show(&row.key), show(&row.value)))
            .collect())
    }
}

impl Engine {
    pub(super) fn start(
        table: Arc<SealedTable>,
        bodies: Arc<dyn Bodies>,
        journal: Box<dyn Journal>,
        key: LogSigner,
        keys: Arc<MonthKeys>,
    ) -> Result<Self, StoreError> {
        let (jobs, waiting) = channel();
        let committer = Committer {
            journal,
            table: Arc::clone(&table),
            scribe: Scribe::start(Arc::clone(&table), key)?,
            keys: Arc::clone(&keys),
            sweeping: true,
            undestroyed: Vec::new(),
            failing: None,
            broken: None,
        };
        let thread = std::thread::Builder::new()
            .name("committer".into())
            .spawn(move || committer.run(&waiting))
            .map_err(|error| StoreError::Broken(error.to_string()))?;
        // A committer that is gone drops the answer, which the ticket reports.
        let submit = move |job| drop(jobs.send(job));
        Ok(Self::with(table, bodies, keys, Box::new(submit), thread))
    }

    /// With a committer thread that runs already and ends when `submit` is dropped.
    pub(super) fn with(
        table: Arc<dyn Table>,
        bodies: Arc<dyn Bodies>,
        keys: Arc<MonthKeys>,
        submit: Box<dyn Fn(Job) + Send>,
        thread: JoinHandle<()>,
    ) -> Self {
        Self {
            table,
            bodies,
            keys,
            submit: Mutex::new(Some(submit)),
            thread: Some(thread),
            leases: None,
            uploads: None,
            notes: None,
            guard: Arc::default(),
        }
    }

    /// Where several relays share the store.
    pub(super) fn shared(
        mut self,
        leases: Arc<dyn Lease>,
        uploads: Arc<dyn UploadRows>,
        notes: Arc<dyn Notes>,
        guard: Arc<OnceLock<Arc<ClockGuard>>>,
    ) -> Self {
        self.leases = Some(leases);
        self.uploads = Some(uploads);
        self.notes = Some(notes);
        self.guard = guard;
        self
    }

    fn read<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Query<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Read<'static, T> {
        let (table, bodies) = (Arc::clone(&self.table), Arc::clone(&self.bodies));
        let keys = Arc::clone(&self.keys);
        let work = move || {
            ask(&Query {
                table: &*table,
                bodies: &*bodies,
                keys: &keys,
            })
        };
        Box::pin(async move {
            match tokio::task::spawn_blocking(work).await {
                Ok(answer) => answer,
                Err(_) => Err(StoreError::Broken("a read stopped".into())),
            }
        })
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        drop(self.submit.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

/// Applies one record of the trail to the index, as part of a replay, and hands on what it says. One whose key is not there counts
/// as erased.
pub(super) fn replay_one(
    index: &mut Pending<'_>,
    keys: &MonthKeys,
    sealed: &SealedRecord,
    place: Option<Place>,
) -> Result<Option<Record>, StoreError> {
    let record = open(keys, sealed.clone())?.record()?;
    apply(
        index,
        &Entry {
            position: sealed.position,
            commitment: sealed.commitment,
            key: sealed.key,
            record: record.as_ref(),
            place,
        },
    )?;
    Ok(record)
}

/// Signs the head of what the index knows, where it is not signed yet.
pub(super) fn seal_if_needed(table: &dyn Table, key: &LogSigner) -> Result<(), StoreError> {
    let mut changes = Changes::default();
    seal(table, key, &mut changes)?;
    let new = changes.0.get(Key::checkpoint().as_bytes()).cloned().flatten();
    if table.fetch(Key::checkpoint().as_bytes())? == new {
        Ok(())
    } else {
        table.write(changes)
    }
}

impl<E: Embedded + Send + Sync + 'static> Store for E {
    fn commit(&self, batch: Batch) -> Ticket {
        let (answer, ticket) = oneshot::channel();
        if let Some(doubt) = self.engine().guard.get().and_then(|guard| guard.doubt()) {
            tracing::error!(doubt, "nothing is recorded");
            let _gone = answer.send(Err(StoreError::Clock(doubt)));
            return Ticket(ticket);
        }
        if let Some(submit) = &*self.engine().submit.lock().unwrap_or_else(PoisonError::into_inner) {
            submit(Job { batch, answer });
        }
        Ticket(ticket)
    }

    fn guard(&self, guard: Arc<ClockGuard>) {
        let _kept = self.engine().guard.set(guard);
    }

    fn now(&self) -> Read<'_, Option<OffsetDateTime>> {
        match self.engine().leases.clone() {
            None => Box::pin(std::future::ready(Ok(None))),
            Some(leases) => self.engine().read(move |_| leases.now().map(Some)),
        }
    }

    fn undecided(&self) -> Read<'_, Vec<SubmissionId>> {
        match self.engine().leases.clone() {
            None => Box::pin(std::future::ready(Ok(Vec::new()))),
            Some(leases) => self.engine().read(move |_| leases.undecided()),
        }
    }

    fn uploads(&self) -> Option<Arc<dyn UploadRows>> {
        self.engine().uploads.clone()
    }

    fn notes(&self) -> Option<Arc<dyn Notes>> {
        self.engine().notes.clone()
    }

    fn rewrap(&self) -> Read<'_, u64> {
        self.engine().read(|query| Ok(query.keys.rewrap_all()?))
    }

    fn lease(&self, name: &'static str, length: Duration) -> Read<'_, bool> {
        match self.engine().leases.clone() {
            None => Box::pin(std::future::ready(Ok(true))),
            Some(leases) => self.engine().read(move |_| leases.hold(name, length)),
        }
    }

    fn facility(&self, code: &FacilityCode) -> Read<'_, Option<Facility>> {
        let code = code.clone();
        self.engine().read(move |query| query.facility(&code))
    }
    fn facilities(&self) -> Read<'_, Vec<Facility>> {
        self.engine().read(|query| query.facilities())
    }
    fn device(&self, facility: &FacilityCode, device: &DeviceId) -> Read<'_, Option<Device>> {
        let (facility, device) = (facility.clone(), device.clone());
        self.engine().read(move |query| query.device(&facility, &device))
    }
    fn devices(&self, facility: &FacilityCode) -> Read<'_, Vec<Device>> {
        let facility = facility.clone();
        self.engine().read(move |query| query.devices(&facility))
    }
    fn member(&self, facility: &FacilityCode, member: &MemberId) -> Read<'_, Option<Member>> {
        let (facility, member) = (facility.clone(), member.clone());
        self.engine().read(move |query| query.member(&facility, &member))
    }
    fn members(&self, facility: &FacilityCode) -> Read<'_, Vec<Member>> {
        let facility = facility.clone();
        self.engine().read(move |query| query.members(&facility))
    }
    fn code(&self, code_sha256: &str) -> Read<'_, Option<Code>> {
        let code = code_sha256.to_owned();
        self.engine().read(move |query| query.code(&code))
    }
    fn submission(&self, id: &SubmissionId) -> Read<'_, Option<SubmissionRow>> {
        let id = id.clone();
        self.engine().read(move |query| query.submission(&id))
    }
    fn inbox(&self, facility: &FacilityCode, after: u64, limit: usize) -> Read<'_, Vec<SubmissionRow>> {
        let facility = facility.clone();
        self.engine().read(move |query| query.inbox(&facility, after, limit))
    }
    fn submissions(&self, after: Option<&SubmissionId>, limit: usize) -> Read<'_, Vec<SubmissionRow>> {
        let after = after.cloned();
        self.engine()
            .read(move |query| query.submissions(after.as_ref(), limit))
    }
    fn containers(&self, ids: Vec<SubmissionId>) -> Read<'_, Vec<Option<NamedContainer>>> {
        self.engine().read(move |query| query.containers(&ids))
    }
    fn trusted(&self) -> Read<'_, Option<Trusted>> {
        self.engine().read(|query| query.trusted())
    }
    fn pending(&self) -> Read<'_, Vec<SubmissionRow>> {
        self.engine().read(|query| query.pending())
    }
    fn archives_due(&self, before: &str, limit: usize) -> Read<'_, Vec<SubmissionId>> {
        let before = before.to_owned();
        self.engine().read(move |query| query.archives_due(&before, limit))
    }
    fn retention_due(
        &self,
        step: RetentionStep,
        after: Option<&Due>,
        before: &str,
        limit: usize,
    ) -> Read<'_, Vec<Due>> {
        let (after, before) = (after.cloned(), before.to_owned());
        self.engine()
            .read(move |query| query.retention_due(step, after.as_ref(), &before, limit))
    }
    fn submission_records(&self, id: &SubmissionId) -> Read<'_, Vec<StoredRecord>> {
        let id = id.clone();
        self.engine().read(move |query| query.submission_records(&id))
    }
    fn records(&self, facility: Option<&FacilityCode>, from: u64, limit: usize) -> Read<'_, Vec<StoredRecord>> {
        let facility = facility.cloned();
        self.engine()
            .read(move |query| query.records(facility.as_ref(), from, limit))
    }
    fn months(&self) -> Read<'_, Vec<Month>> {
        self.engine().read(|query| query.months())
    }
    fn stored_bytes(&self, facility: &FacilityCode) -> Read<'_, u64> {
        let facility = facility.clone();
        self.engine().read(move |query| query.stored_bytes(&facility))
    }
    fn size(&self) -> Read<'_, u64> {
        self.engine().read(|query| query.size())
    }
    fn stamped(&self) -> Read<'_, Option<Stamped>> {
        self.engine().read(|query| query.stamped())
    }
    fn nodes(&self, numbers: Vec<u64>) -> Read<'_, Vec<[u8; 32]>> {
        self.engine().read(move |query| query.nodes(&numbers))
    }
    fn receipt(&self, id: &SubmissionId, position: u64) -> Read<'_, Option<Receipt>> {
        let id = id.clone();
        self.engine().read(move |query| query.receipt(&id, position))
    }
    fn checkpoint(&self) -> Read<'_, String> {
        self.engine().read(|query| query.checkpoint())
    }
    fn rows(&self, from: &[u8], limit: usize) -> Read<'_, Vec<Row>> {
        let from = from.to_vec();
        self.engine().read(move |query| query.table.scan(&[], &from, limit))
    }
}
