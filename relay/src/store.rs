//! What the relay must not forget: the trait, and the values that go in and out.
//!
//! Every write is a batch of events with the conditions under which they may happen; both or neither are committed.
//! What answers queries is an index, derived from the records alone.

mod clock_guard;
mod committer;
pub mod conformance;
mod engine;
mod faulty;
mod file;
mod index;
mod memory;
mod notes;
mod open;
mod postgres;
mod redb;
mod replay;
mod replica;
mod round;
mod scribe;
mod sled;
mod uploads;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use clock_guard::ClockGuard;
pub(crate) use committer::format_time;
pub use engine::{Embedded, Engine};
pub use faulty::{Fault, FaultyStore};
pub use file::{FileStore, IndexKind, OpenError};
pub use index::Row;
pub use memory::MemoryStore;
pub use notes::Notes;
pub use open::{StoreOpenError, open};
pub use postgres::notes;
pub use postgres::{PostgresAddress, PostgresError, PostgresReader, PostgresStore};
pub use replica::{Applied, IndexCopy, Replica, ReplicaError};
pub use uploads::{Grown, UploadRow, UploadRows};

use formats::trail::{Actor, Class, Event, Record, Revision, Trusted, commitment};
use formats::wire::{
    DeviceId, FacilityCode, MemberId, Receipt, RecipientState, RevisedVerdict, SubmissionId, SubmissionState,
};
use futures_util::future::BoxFuture;
use time::OffsetDateTime;

use crate::month_keys::{KeyId, MonthKeyError};

/// What the relay must not forget. Every write takes the events that explain it and commits both or neither.
///
/// Reads see every batch whose [`Ticket`] has resolved.
pub trait Store: Send + Sync + 'static {
    /// Hands a batch to the committer. The ticket resolves when all of it is durable and visible, or nothing of it is.
    fn commit(&self, batch: Batch) -> Ticket;

    /// Whether this relay may do what only one of those that share the store does at a time. Once it may, it may for `length`
    /// from now, and others may not; asking again in that time keeps it. An embedded store has one relay.
    fn lease(&self, name: &'static str, length: Duration) -> Read<'_, bool>;

    /// Wraps the keys of months that lie in the store itself to the recipients of now; answers how many.
    fn rewrap(&self) -> Read<'_, u64>;

    /// From now on nothing is committed while this guard doubts the clock here. Where several relays share the store, the time of
    /// records is the store's own, what comes from a relay whose clock differs from it is refused, and such a relay writes nothing.
    fn guard(&self, guard: Arc<ClockGuard>);

    /// The store's own clock, where several relays share it.
    fn now(&self) -> Read<'_, Option<OffsetDateTime>>;

    /// Submissions of which batches speak that were handed in before and may still be committed: of other relays that share the
    /// store, or of this one before it was started again. An embedded store knows none.
    fn undecided(&self) -> Read<'_, Vec<SubmissionId>>;

    /// Uploads under way, where several relays share the store; `None`: they are each relay's own.
    fn uploads(&self) -> Option<Arc<dyn UploadRows>>;

    /// Notes beside the trail, where several relays share the store; `None`: they are each relay's own.
    fn notes(&self) -> Option<Arc<dyn Notes>>;

    /// One facility.
    fn facility(&self, code: &FacilityCode) -> Read<'_, Option<Facility>>;
    /// All facilities, by code.
    fn facilities(&self) -> Read<'_, Vec<Facility>>;
    /// One device.
    fn device(&self, facility: &FacilityCode, device: &DeviceId) -> Read<'_, Option<Device>>;
    /// A facility's devices, by id.
    fn devices(&self, facility: &FacilityCode) -> Read<'_, Vec<Device>>;
    /// One person.
    fn member(&self, facility: &FacilityCode, member: &MemberId) -> Read<'_, Option<Member>>;
    /// A facility's persons, by id.
    fn members(&self, facility: &FacilityCode) -> Read<'_, Vec<Member>>;
    /// An unused enrolment code by its hash (hex).
    fn code(&self, code_sha256: &str) -> Read<'_, Option<Code>>;
    /// One submission, Accepted or PendingEvidence. Ids are unique across facilities.
    fn submission(&self, id: &SubmissionId) -> Read<'_, Option<SubmissionRow>>;
    /// What waits for or has reached a facility, oldest first: positions greater than `after`, at most `limit`.
    fn inbox(&self, facility: &FacilityCode, after: u64, limit: usize) -> Read<'_, Vec<SubmissionRow>>;
    /// Submissions by id, Accepted or PendingEvidence: those after `after`, at most `limit`.
    fn submissions(&self, after: Option<&SubmissionId>, limit: usize) -> Read<'_, Vec<SubmissionRow>>;
    /// The container each of these submissions has, by what its records say; `None`: none names one. Nothing sealed is opened for
    /// it. One whose letter was refused after it had waited is still named.
    fn containers(&self, ids: Vec<SubmissionId>) -> Read<'_, Vec<Option<NamedContainer>>>;
    /// All that is PendingEvidence.
    fn pending(&self) -> Read<'_, Vec<SubmissionRow>>;
    /// Accepted submissions that have no archive, then those whose newest archive stamp stands until `before` (RFC 3339 UTC) at
    /// most, the earliest first; at most `limit`. Those whose container is erased are not among them.
    fn archives_due(&self, before: &str, limit: usize) -> Read<'_, Vec<SubmissionId>>;
    /// Submissions that came to this step of retention, or whose time for the next has come, at `before` (RFC 3339 UTC) at the
    /// latest, the earliest first; at most `limit`, behind `after` where there is one.
    fn retention_due(&self, step: RetentionStep, after: Option<&Due>, before: &str, limit: usize)
    -> Read<'_, Vec<Due>>;
    /// Records that concern a submission, oldest first.
    fn submission_records(&self, id: &SubmissionId) -> Read<'_, Vec<StoredRecord>>;
    /// Records from position `from` on, at most `limit`; only those that concern `facility` where one is given. Fewer where they
    /// are large: none is the end, fewer than asked for is not.
    fn records(&self, facility: Option<&FacilityCode>, from: u64, limit: usize) -> Read<'_, Vec<StoredRecord>>;
    /// By what the relay judged when that last changed; `None` before the first such record.
    fn trusted(&self) -> Read<'_, Option<Trusted>>;
    /// The months of the trail's records with their keys, oldest first.
    fn months(&self) -> Read<'_, Vec<Month>>;
    /// Bytes of what a facility has sent and the relay still holds.
    fn stored_bytes(&self, facility: &FacilityCode) -> Read<'_, u64>;
    /// Number of records in the log.
    fn size(&self) -> Read<'_, u64>;
    /// The newest time stamp over a checkpoint; `None` before the first.
    fn stamped(&self) -> Read<'_, Option<Stamped>>;
    /// Nodes of the log's tree by number (`formats::trail::tree`), in the order asked for. They never change.
    fn nodes(&self, numbers: Vec<u64>) -> Read<'_, Vec<[u8; 32]>>;
    /// The record at `position` with an inclusion proof against the newest checkpoint.
    fn receipt(&self, id: &SubmissionId, position: u64) -> Read<'_, Option<Receipt>>;
    /// The newest signed checkpoint (C2SP tlog-checkpoint).
    fn checkpoint(&self) -> Read<'_, String>;
    /// Rows of the index by key, from `from` on, at most `limit`: what `check` compares.
    fn rows(&self, from: &[u8], limit: usize) -> Read<'_, Vec<Row>>;
}

/// A pending read.
pub type Read<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// Events to commit together.
#[derive(Clone)]
pub struct Batch {
    /// Who does it.
    pub actor: Actor,
    /// Now; the committer raises it to the time of the record before, if the clock went back.
    pub time: OffsetDateTime,
    /// What happens, in this order.
    pub events: Vec<Event>,
    /// What must hold at the moment of commit.
    pub conditions: Vec<Condition>,
}

/// Something that must hold at the moment of commit, else [`StoreError::Conflict`] and nothing happens.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Condition {
    /// No such facility yet.
    FacilityAbsent(FacilityCode),
    /// The code exists, is unused, and belongs to this facility.
    CodeUnused(FacilityCode, String),
    /// No such device yet.
    DeviceAbsent(FacilityCode, DeviceId),
    /// The device exists and is not revoked.
    DeviceActive(FacilityCode, DeviceId),
    /// No such person yet.
    MemberAbsent(FacilityCode, MemberId),
    /// No submission Accepted or PendingEvidence has this id.
    SubmissionAbsent(SubmissionId),
    /// The submission is in this state.
    SubmissionIs(SubmissionId, SubmissionState),
    /// The submission is Accepted, addressed to this facility, and not Stopped.
    Recipient(SubmissionId, FacilityCode),
    /// The submission is Accepted and its verdict has not been revised.
    VerdictStands(SubmissionId),
    /// The submission is Accepted and its container is not erased.
    Kept(SubmissionId),
    /// The submission is held.
    Held(SubmissionId),
    /// The submission is there, and not held.
    NotHeld(SubmissionId),
    /// The key of this month and class is not destroyed, nothing came under it after this position, and nothing was held from
    /// this size of the log on.
    MonthClosed {
        /// Class.
        class: Class,
        /// `2026-11`
        month: String,
        /// Position of the last record under the key.
        last: u64,
        /// Number of records when holds were last looked at.
        seen: u64,
    },
    /// The facility exists, and its newest daily head is of a day before this one.
    HeadDue(FacilityCode, String),
    /// The newest stamped checkpoint has this size; `None`: there is none yet.
    LastStamped(Option<u64>),
}

/// The promise of a commit.
pub struct Ticket(pub tokio::sync::oneshot::Receiver<Result<Committed, StoreError>>);

impl Ticket {
    /// Waits until the batch is durable and visible.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if a condition did not hold, [`StoreError::Full`] or [`StoreError::Broken`] if it could not be kept.
    pub async fn committed(self) -> Result<Committed, StoreError> {
        self.0
            .await
            .unwrap_or(Err(StoreError::Broken("the committer has stopped".into())))
    }
}

/// A committed batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// Position of each event's record, in order.
    pub positions: Vec<u64>,
}

/// Why the store did not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// A condition did not hold.
    #[error("condition not met: {0:?}")]
    Conflict(Condition),
    /// No space left; nothing was committed, reads go on.
    #[error("no space left for the trail")]
    Full,
    /// The batch is larger than the trail takes; nothing was committed.
    #[error("the batch is larger than the trail takes")]
    TooLarge,
    /// The clock is in doubt; nothing was committed. It passes when the clock is right.
    #[error("{0}")]
    Clock(String),
    /// The store can take no more writes until the relay restarts.
    #[error("the store is broken: {0}")]
    Broken(String),
}

impl From<MonthKeyError> for StoreError {
    fn from(error: MonthKeyError) -> Self {
        match error {
            MonthKeyError::Full => Self::Full,
            other => Self::Broken(other.to_string()),
        }
    }
}

impl StoreError {
    /// Whether it is certain that nothing was committed. A broken store may have made the batch durable before it broke.
    #[must_use]
    pub fn left_nothing(&self) -> bool {
        !matches!(self, Self::Broken(_))
    }
}

/// A facility.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Facility {
    /// Code.
    pub code: FacilityCode,
    /// Name.
    pub name: String,
    /// Day of its newest daily head, `2026-11-22`; before the first, the day before it joined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
}

/// A submission, and when it came to a step of retention or is due for the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// RFC 3339 UTC.
    pub time: String,
    /// Which.
    pub id: SubmissionId,
}

/// A time stamp over a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Stamped {
    /// Size of the checkpoint's tree.
    pub size: u64,
    /// When that was recorded, RFC 3339 UTC.
    pub time: String,
    /// SHA-256 of the token, hex.
    pub token_sha256: String,
}

/// A device.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Device {
    /// Facility.
    pub facility: FacilityCode,
    /// Id.
    pub id: DeviceId,
    /// SHA-256 of its newest certificate, hex.
    pub certificate_sha256: String,
    /// RFC 3339 UTC.
    pub not_after: String,
    /// Revoked at once and for all.
    pub revoked: bool,
}

/// A person.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Member {
    /// Facility.
    pub facility: FacilityCode,
    /// Id.
    pub id: MemberId,
    /// Name.
    pub name: String,
}

/// An enrolment code.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Code {
    /// Facility.
    pub facility: FacilityCode,
    /// RFC 3339 UTC.
    pub expires: String,
}

/// The container of a submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedContainer {
    /// Its name.
    pub stored_as: String,
    /// Its submission was accepted.
    pub accepted: bool,
    /// It is recorded that it is erased.
    pub erased: bool,
}

/// A submission as the index knows it.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SubmissionRow {
    /// Trail position of its newest Accepted or Pending record.
    pub position: u64,
    /// Time of that record.
    pub received: String,
    /// State.
    pub state: SubmissionState,
    /// The submission.
    pub submission: formats::trail::Submission,
    /// Each recipient's state, in the envelope's order.
    pub recipients: Vec<(FacilityCode, RecipientState)>,
    /// For PendingEvidence: what is waited for, and until when.
    pub pending: Option<(String, String)>,
    /// Set once its verdict was revised.
    #[serde(default)]
    pub revised: Option<RevisedRow>,
    /// The newest archive.
    #[serde(default)]
    pub archive: Option<ArchiveRow>,
    /// When the last of its recipients had it, RFC 3339 UTC.
    #[serde(default)]
    pub delivered: Option<String>,
    /// When its container will be erased, once that is announced, RFC 3339 UTC.
    #[serde(default)]
    pub erase_after: Option<String>,
    /// When its container was erased, RFC 3339 UTC.
    #[serde(default)]
    pub erased: Option<String>,
    /// While it is held.
    #[serde(default)]
    pub hold: Option<HoldRow>,
}

/// A hold as the index knows it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct HoldRow {
    /// Since when, RFC 3339 UTC.
    pub since: String,
    /// Why, in the operator's words.
    pub reason: String,
}

/// The records of one month and class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Month {
    /// Class.
    pub class: Class,
    /// UTC: `2026-11`.
    pub month: String,
    /// Position of the first.
    pub first: u64,
    /// Position of the last; records of the other class may lie between.
    pub last: u64,
    /// Whether their key is destroyed.
    pub destroyed: bool,
}

/// The newest archive of a submission.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ArchiveRow {
    /// SHA-256 of the archive file, hex.
    pub sha256: String,
    /// Until when its newest stamp can be checked by itself, RFC 3339 UTC.
    pub stands_until: String,
}

/// How far a submission has come on its container's way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetentionStep {
    /// Every recipient has it; counted from then.
    Delivered,
    /// Its erasure is announced; counted to then.
    Announced,
}

/// A revision as the index knows it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RevisedRow {
    /// Trail position of its record.
    pub position: u64,
    /// Time of that record.
    pub time: String,
    /// The new verdict.
    pub revision: Revision,
}

impl SubmissionRow {
    /// Under which key it lies: that of the record it begins with.
    pub(crate) fn key(&self) -> Option<KeyId> {
        KeyId::of(Class::Account, &self.received)
    }

    /// Where it stands in the inboxes of its recipients.
    #[must_use]
    pub fn inbox_position(&self) -> u64 {
        self.revised.as_ref().map_or(self.position, |revised| revised.position)
    }

    /// Why it is delivered no more, as sender and recipients are told.
    #[must_use]
    pub fn revised_verdict(&self) -> Option<RevisedVerdict> {
        let RevisedRow {
            position,
            time,
            revision,
        } = self.revised.clone()?;
        Some(RevisedVerdict {
            position,
            time,
            indication: revision.indication,
            sub_indication: revision.sub_indication,
            because: revision.because,
        })
    }
}

/// A record as stored. Position and commitment stay for ever; the content until it is erased.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// Position in the log.
    pub position: u64,
    /// The log's entry: HMAC-SHA-256 of the body under the salt.
    pub commitment: [u8; 32],
    /// What it says; `None` once it is erased.
    pub content: Option<Content>,
}

/// What a record says, and the key of its commitment.
#[derive(Clone, PartialEq, Eq)]
pub struct Content {
    /// Canonical JSON.
    pub body: String,
    /// 32 random bytes.
    pub salt: [u8; 32],
}

impl StoredRecord {
    /// A record that is not erased.
    #[must_use]
    pub fn new(position: u64, content: Content) -> Self {
        Self {
            position,
            commitment: commitment(&content.salt, content.body.as_bytes()),
            content: Some(content),
        }
    }

    /// What it says, parsed; `None` once it is erased.
    ///
    /// # Errors
    /// [`StoreError::Broken`] if its body is not one.
    pub fn record(&self) -> Result<Option<Record>, StoreError> {
        let parse = |content: &Content| Record::parse(&content.body);
        let parsed = self.content.as_ref().map(parse).transpose();
        parsed.map_err(|error| StoreError::Broken(format!("record {}: {error}", self.position)))
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Content({} bytes)", self.body.len())
    }
}

impl fmt::Debug for StoredRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoredRecord({})", self.position)
    }
}

#[cfg(test)]
mod tests;
