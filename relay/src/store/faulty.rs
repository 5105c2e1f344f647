//! `FaultyStore`: any store, whose n-th write fails; to see that nothing is lost when the world fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use formats::trail::Trusted;
use formats::wire::{DeviceId, FacilityCode, MemberId, Receipt, SubmissionId};
use time::OffsetDateTime;
use tokio::sync::oneshot;

use super::{
    Batch, ClockGuard, Code, Device, Due, Facility, Member, Month, NamedContainer, Notes, Read, RetentionStep, Row,
    Stamped, Store, StoreError, StoredRecord, SubmissionRow, Ticket, UploadRows,
};

/// How the write fails.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Nothing is committed; the ticket says so.
    Refused(StoreError),
    /// All is committed, but the answer is lost.
    AnswerLost,
}

/// A store whose n-th write fails.
pub struct FaultyStore<S> {
    inner: S,
    fault: Fault,
    countdown: AtomicU64,
}

impl<S: Store> FaultyStore<S> {
    /// `inner`, whose `n`-th write from now on (1 is the next) fails, and no other.
    pub fn new(inner: S, n: u64, fault: Fault) -> Self {
        Self {
            inner,
            fault,
            countdown: AtomicU64::new(n),
        }
    }
}

impl<S: Store> Store for FaultyStore<S> {
    fn commit(&self, batch: Batch) -> Ticket {
        let due = self
            .countdown
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1))
            == Ok(1);
        if !due {
            return self.inner.commit(batch);
        }
        let (answer, ticket) = oneshot::channel();
        match &self.fault {
            Fault::Refused(error) => drop(answer.send(Err(error.clone()))),
            Fault::AnswerLost => drop((answer, self.inner.commit(batch))),
        }
        Ticket(ticket)
    }

    fn guard(&self, guard: Arc<ClockGuard>) {
        self.inner.guard(guard);
    }
    fn now(&self) -> Read<'_, Option<OffsetDateTime>> {
        self.inner.now()
    }
    fn undecided(&self) -> Read<'_, Vec<SubmissionId>> {
        self.inner.undecided()
    }
    fn uploads(&self) -> Option<Arc<dyn UploadRows>> {
        self.inner.uploads()
    }
    fn notes(&self) -> Option<Arc<dyn Notes>> {
        self.inner.notes()
    }
    fn rewrap(&self) -> Read<'_, u64> {
        self.inner.rewrap()
    }
    fn lease(&self, name: &'static str, length: Duration) -> Read<'_, bool> {
        self.inner.lease(name, length)
    }
    fn facility(&self, code: &FacilityCode) -> Read<'_, Option<Facility>> {
        self.inner.facility(code)
    }
    fn facilities(&self) -> Read<'_, Vec<Facility>> {
        self.inner.facilities()
    }
    fn device(&self, facility: &FacilityCode, device: &DeviceId) -> Read<'_, Option<Device>> {
        self.inner.device(facility, device)
    }
    fn devices(&self, facility: &FacilityCode) -> Read<'_, Vec<Device>> {
        self.inner.devices(facility)
    }
    fn member(&self, facility: &FacilityCode, member: &MemberId) -> Read<'_, Option<Member>> {
        self.inner.member(facility, member)
    }
    fn members(&self, facility: &FacilityCode) -> Read<'_, Vec<Member>> {
        self.inner.members(facility)
    }
    fn code(&self, code_sha256: &str) -> Read<'_, Option<Code>> {
        self.inner.code(code_sha256)
    }
    fn submission(&self, id: &SubmissionId) -> Read<'_, Option<SubmissionRow>> {
        self.inner.submission(id)
    }
    fn inbox(&self, facility: &FacilityCode, after: u64, limit: usize) -> Read<'_, Vec<SubmissionRow>> {
        self.inner.inbox(facility, after, limit)
    }
    fn submissions(&self, after: Option<&SubmissionId>, limit: usize) -> Read<'_, Vec<SubmissionRow>> {
        self.inner.submissions(after, limit)
    }
    fn containers(&self, ids: Vec<SubmissionId>) -> Read<'_, Vec<Option<NamedContainer>>> {
        self.inner.containers(ids)
    }
    fn trusted(&self) -> Read<'_, Option<Trusted>> {
        self.inner.trusted()
    }
    fn pending(&self) -> Read<'_, Vec<SubmissionRow>> {
        self.inner.pending()
    }
    fn archives_due(&self, before: &str, limit: usize) -> Read<'_, Vec<SubmissionId>> {
        self.inner.archives_due(before, limit)
    }
    fn retention_due(
        &self,
        step: RetentionStep,
        after: Option<&Due>,
        before: &str,
        limit: usize,
    ) -> Read<'_, Vec<Due>> {
        self.inner.retention_due(step, after, before, limit)
    }
    fn submission_records(&self, id: &SubmissionId) -> Read<'_, Vec<StoredRecord>> {
        self.inner.submission_records(id)
    }
    fn records(&self, facility: Option<&FacilityCode>, from: u64, limit: usize) -> Read<'_, Vec<StoredRecord>> {
        self.inner.records(facility, from, limit)
    }
    fn months(&self) -> Read<'_, Vec<Month>> {
        self.inner.months()
    }
    fn stored_bytes(&self, facility: &FacilityCode) -> Read<'_, u64> {
        self.inner.stored_bytes(facility)
    }
    fn size(&self) -> Read<'_, u64> {
        self.inner.size()
    }
    fn stamped(&self) -> Read<'_, Option<Stamped>> {
        self.inner.stamped()
    }
    fn nodes(&self, numbers: Vec<u64>) -> Read<'_, Vec<[u8; 32]>> {
        self.inner.nodes(numbers)
    }
    fn receipt(&self, id: &SubmissionId, position: u64) -> Read<'_, Option<Receipt>> {
        self.inner.receipt(id, position)
    }
    fn checkpoint(&self) -> Read<'_, String> {
        self.inner.checkpoint()
    }
    fn rows(&self, from: &[u8], limit: usize) -> Read<'_, Vec<Row>> {
        self.inner.rows(from, limit)
    }
}
