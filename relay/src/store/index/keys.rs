//! The index's keys: one byte for the subspace, then its parts; numbers big-endian, so that they sort.

use formats::wire::{DeviceId, FacilityCode, MemberId, SubmissionId};

use crate::month_keys::KeyId;
use crate::store::RetentionStep;

/// code → `Facility`
const FACILITY: u8 = b'f';
/// facility, device → `Device`
const DEVICE: u8 = b'd';
/// facility, member → `Member`
const MEMBER: u8 = b'm';
/// hash of the code → `Code`, while unused
const CODE: u8 = b'c';
/// id → `SubmissionRow`
const SUBMISSION: u8 = b's';
/// facility, position → id: the inbox
const INBOX: u8 = b'i';
/// id → nothing: what waits for evidence
const PENDING: u8 = b'p';
/// time, id → nothing: until when the newest archive stands; no time: there is none yet
const ARCHIVE: u8 = b'v';
/// time, id → nothing: when the last recipient had it
const DELIVERED: u8 = b'x';
/// time, id → nothing: when the container will be erased
const ANNOUNCED: u8 = b'y';
/// id, position → what it says of the container: records of a submission
const SUBMISSION_RECORD: u8 = b'r';
/// facility, position → class, submission: records of a facility
const FACILITY_RECORD: u8 = b'a';
/// facility → its highest `facility_seq`
const SEQUENCE: u8 = b'q';
/// number of the row → nodes of the tree
const NODE: u8 = b'h';
/// position, of some → segment, offset
const PLACE: u8 = b'l';
/// month and class → `MonthRow`
const MONTH: u8 = b'k';
/// month and class, facility → position from which rows of erased records are still to be removed
const ERASURE: u8 = b'w';
/// facility → bytes of what it has sent and is still held
const STORED: u8 = b'b';
/// how far the index has come, and what goes with it
const META: u8 = b'z';

/// A key, or the beginning of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct Key(Vec<u8>);

/// Between a text and what follows it; in no identifier.
const END: u8 = 0;

impl Key {
    pub(in crate::store) fn facility(code: &FacilityCode) -> Self {
        Self::text(FACILITY, code.as_str())
    }
    pub(in crate::store) fn facilities() -> Self {
        Self(vec![FACILITY])
    }
    pub(in crate::store) fn device(facility: &FacilityCode, device: &DeviceId) -> Self {
        Self::devices(facility).then(device.as_str().as_bytes())
    }
    pub(in crate::store) fn devices(facility: &FacilityCode) -> Self {
        Self::text(DEVICE, facility.as_str())
    }
    pub(in crate::store) fn member(facility: &FacilityCode, member: &MemberId) -> Self {
        Self::members(facility).then(member.as_str().as_bytes())
    }
    pub(in crate::store) fn members(facility: &FacilityCode) -> Self {
        Self::text(MEMBER, facility.as_str())
    }
    pub(in crate::store) fn code(sha256: &str) -> Self {
        Self::text(CODE, sha256)
    }
    pub(in crate::store) fn submission(id: &SubmissionId) -> Self {
        Self::text(SUBMISSION, id.as_str())
    }
    pub(in crate::store) fn all_submissions() -> Self {
        Self(vec![SUBMISSION])
    }
    pub(in crate::store) fn inbox(facility: &FacilityCode, position: u64) -> Self {
        Self::inbox_of(facility).then(&position.to_be_bytes())
    }
    pub(in crate::store) fn inbox_of(facility: &FacilityCode) -> Self {
        Self::text(INBOX, facility.as_str())
    }
    pub(in crate::store) fn pending(id: &SubmissionId) -> Self {
        Self::all_pending().then(id.as_str().as_bytes())
    }
    pub(in crate::store) fn all_pending() -> Self {
        Self(vec![PENDING])
    }
    pub(in crate::store) fn archive(stands_until: &str, id: &SubmissionId) -> Self {
        Self::text(ARCHIVE, stands_until).then(id.as_str().as_bytes())
    }
    pub(in crate::store) fn archives() -> Self {
        Self(vec![ARCHIVE])
    }
    pub(in crate::store) fn retention(step: RetentionStep, time: &str, id: &SubmissionId) -> Self {
        Self::text(Self::step(step), time).then(id.as_str().as_bytes())
    }
    pub(in crate::store) fn retained(step: RetentionStep) -> Self {
        Self(vec![Self::step(step)])
    }
    fn step(step: RetentionStep) -> u8 {
        match step {
            RetentionStep::Delivered => DELIVERED,
            RetentionStep::Announced => ANNOUNCED,
        }
    }
    pub(in crate::store) fn submission_record(id: &SubmissionId, position: u64) -> Self {
        Self::submission_records(id).then(&position.to_be_bytes())
    }
    pub(in crate::store) fn submission_records(id: &SubmissionId) -> Self {
        Self::text(SUBMISSION_RECORD, id.as_str())
    }
    pub(in crate::store) fn facility_record(facility: &FacilityCode, position: u64) -> Self {
        Self::facility_records(facility).then(&position.to_be_bytes())
    }
    pub(in crate::store) fn facility_records(facility: &FacilityCode) -> Self {
        Self::text(FACILITY_RECORD, facility.as_str())
    }
    pub(in crate::store) fn sequence(facility: &FacilityCode) -> Self {
        Self::text(SEQUENCE, facility.as_str())
    }
    pub(in crate::store) fn nodes(row: u64) -> Self {
        Self(vec![NODE]).then(&row.to_be_bytes())
    }
    pub(in crate::store) fn place(position: u64) -> Self {
        Self(vec![PLACE]).then(&position.to_be_bytes())
    }
    pub(in crate::store) fn month(id: KeyId) -> Self {
        Self::months().then(id.as_bytes())
    }
    pub(in crate::store) fn months() -> Self {
        Self(vec![MONTH])
    }
    pub(in crate::store) fn erasure(id: KeyId, facility: &FacilityCode) -> Self {
        Self::erasures_of(id).then(facility.as_str().as_bytes())
    }
    pub(in crate::store) fn erasures_of(id: KeyId) -> Self {
        Self::erasures().then(id.as_bytes())
    }
    pub(in crate::store) fn erasures() -> Self {
        Self(vec![ERASURE])
    }
    pub(in crate::store) fn stored(facility: &FacilityCode) -> Self {
        Self::text(STORED, facility.as_str())
    }
    /// Position of the newest hold.
    pub(in crate::store) fn held() -> Self {
        Self::text(META, "held")
    }
    /// How its rows are laid out.
    pub(in crate::store) fn layout() -> Self {
        Self::text(META, "layout")
    }
    /// Number of records the index has seen.
    pub(in crate::store) fn applied() -> Self {
        Self::text(META, "applied")
    }
    /// Time of the newest record.
    pub(in crate::store) fn time() -> Self {
        Self::text(META, "time")
    }
    /// By what the relay judges.
    pub(in crate::store) fn trusted() -> Self {
        Self::text(META, "trusted")
    }
    /// The newest stamp over a checkpoint.
    pub(in crate::store) fn stamped() -> Self {
        Self::text(META, "stamped")
    }
    /// The newest signed checkpoint.
    pub(in crate::store) fn checkpoint() -> Self {
        Self::text(META, "checkpoint")
    }

    pub(in crate::store) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
    pub(in crate::store) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn text(space: u8, text: &str) -> Self {
        Self([&[space], text.as_bytes(), &[END]].concat())
    }
    fn then(mut self, part: &[u8]) -> Self {
        self.0.extend(part);
        self
    }
}

/// Whether the row of this key is one of the few that nearly every record writes anew.
pub(super) fn often(key: &[u8]) -> bool {
    matches!(key.first(), Some(&(SEQUENCE | MONTH | STORED | META)))
}

/// Whether rows of this space carry personal data: persons, patients.
pub(super) fn personal(space: u8) -> bool {
    matches!(space, MEMBER | SUBMISSION)
}

/// Month, class and facility of an erasure's key, behind its first byte.
pub(super) fn erasure(key: &[u8]) -> Option<(KeyId, FacilityCode)> {
    let (id, facility) = key.get(1..)?.split_first_chunk()?;
    Some((KeyId::parse(*id)?, std::str::from_utf8(facility).ok()?.parse().ok()?))
}

/// Time and id of a key made of both, behind its first byte.
pub(super) fn timed(key: &[u8]) -> Option<(&str, SubmissionId)> {
    let text = std::str::from_utf8(key.get(1..)?).ok()?;
    let (time, id) = text.split_once(char::from(END))?;
    Some((time, id.parse().ok()?))
}

/// The position at the end of a key.
pub(super) fn position(key: &[u8]) -> Option<u64> {
    key.last_chunk().map(|bytes| u64::from_be_bytes(*bytes))
}
