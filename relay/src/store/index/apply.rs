//! What a record does to the index, and what must hold before it. Total: a record that is in the trail is applied.

use std::collections::BTreeMap;

use formats::trail::{Event, Record, Revision, tree};
use formats::wire::{FacilityCode, RecipientState, SubmissionId, SubmissionState};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::{format_description, offset};

use super::erasure::{begin, concern};
use super::months::{MonthRow, State, count_in, month};
use super::named::told;
use super::query::has_place;
use super::{Fetch, Key, LAYOUT, Pending, lacks_a_node, node, number, row};
use crate::month_keys::KeyId;
use crate::store::{
    ArchiveRow, Code, Condition, Device, Facility, HoldRow, Member, RetentionStep, RevisedRow, Stamped, StoreError,
    SubmissionRow,
};
use crate::trail::Place;

/// A record about to be applied, as stored and, if it is not erased, parsed.
pub(in crate::store) struct Entry<'a> {
    pub(in crate::store) position: u64,
    pub(in crate::store) commitment: [u8; 32],
    /// The key it lies under.
    pub(in crate::store) key: KeyId,
    pub(in crate::store) record: Option<&'a Record>,
    /// Where it lies, if it is in a file.
    pub(in crate::store) place: Option<Place>,
}

/// Applies a record: rows of the tree and the trail first, then what it means.
pub(in crate::store) fn apply(index: &mut Pending<'_>, entry: &Entry<'_>) -> Result<(), StoreError> {
    let position = entry.position;
    let nodes =
        tree::append(position, &entry.commitment, |number| node(&*index, number)).map_err(|_| lacks_a_node())?;
    for (number, hash) in nodes {
        index.put_node(number, &hash)?;
    }
    if position == 0 {
        index.put(Key::layout(), LAYOUT.to_vec());
    }
    if let Some(place) = entry.place.filter(|_| has_place(position)) {
        let place = [place.segment.to_be_bytes(), place.offset.to_be_bytes()].concat();
        index.put(Key::place(position), place);
    }
    index.put(Key::applied(), (position + 1).to_be_bytes().to_vec());
    count_in(index, entry.key, position, entry.record.is_some())?;
    let Some(record) = entry.record else {
        return Ok(());
    };
    for (facility, sequence) in &record.facility_seq {
        index.put(Key::sequence(facility), sequence.to_be_bytes().to_vec());
        let concern = concern(record.event.class(), record.event.submission());
        index.put(Key::facility_record(facility, position), concern);
    }
    if let Some(id) = record.event.submission() {
        index.put(Key::submission_record(id, position), told(&record.event));
    }
    index.put(Key::time(), record.time.clone().into_bytes());
    mean(index, entry.key, position, record)
}

/// The numbers the next record of this event bears for each facility it concerns.
pub(in crate::store) fn next_sequence(
    index: &impl Fetch,
    event: &Event,
) -> Result<BTreeMap<FacilityCode, u64>, StoreError> {
    let next = |facility: FacilityCode| Ok((number(index, &Key::sequence(&facility))? + 1, facility));
    event
        .facilities()
        .into_iter()
        .map(|facility| next(facility).map(|(next, facility)| (facility, next)))
        .collect()
}

/// Whether a condition holds.
pub(in crate::store) fn holds(index: &impl Fetch, condition: &Condition) -> Result<bool, StoreError> {
    let submission = |id: &SubmissionId| row::<SubmissionRow>(index, &Key::submission(id));
    Ok(match condition {
        Condition::FacilityAbsent(code) => index.fetch(Key::facility(code).as_bytes())?.is_none(),
        Condition::CodeUnused(facility, sha256) => {
            row::<Code>(index, &Key::code(sha256))?.is_some_and(|code| code.facility == *facility)
        }
        Condition::DeviceAbsent(facility, device) => index.fetch(Key::device(facility, device).as_bytes())?.is_none(),
        Condition::DeviceActive(facility, device) => {
            row::<Device>(index, &Key::device(facility, device))?.is_some_and(|device| !device.revoked)
        }
        Condition::MemberAbsent(facility, member) => index.fetch(Key::member(facility, member).as_bytes())?.is_none(),
        Condition::SubmissionAbsent(id) => submission(id)?.is_none(),
        Condition::SubmissionIs(id, state) => submission(id)?.is_some_and(|row| row.state == *state),
        Condition::Recipient(id, facility) => submission(id)?.is_some_and(|row| {
            let open = |(code, state): &(FacilityCode, _)| code == facility && *state != RecipientState::Stopped;
            row.state == SubmissionState::Accepted && row.recipients.iter().any(open)
        }),
        Condition::VerdictStands(id) => {
            submission(id)?.is_some_and(|row| row.state == SubmissionState::Accepted && row.revised.is_none())
        }
        Condition::Held(id) => submission(id)?.is_some_and(|row| row.hold.is_some()),
        Condition::NotHeld(id) => submission(id)?.is_some_and(|row| row.hold.is_none()),
        Condition::MonthClosed {
            class,
            month: name,
            last,
            seen,
        } => match KeyId::of(*class, name) {
            Some(id) => {
                let open = |state| matches!(state, State::Read | State::Unread);
                let same = |row: MonthRow| open(row.state) && row.last == *last;
                month(index, id)?.is_some_and(same) && number(index, &Key::held())? <= *seen
            }
            None => false,
        },
        Condition::HeadDue(facility, day) => {
            row::<Facility>(index, &Key::facility(facility))?.is_some_and(|row| row.head.is_none_or(|head| head < *day))
        }
        Condition::LastStamped(size) => row::<Stamped>(index, &Key::stamped())?.map(|row| row.size) == *size,
        Condition::Kept(id) => {
            submission(id)?.is_some_and(|row| row.state == SubmissionState::Accepted && row.erased.is_none())
        }
    })
}

fn mean(index: &mut Pending<'_>, under: KeyId, position: u64, record: &Record) -> Result<(), StoreError> {
    match &record.event {
        Event::FacilityAdded { facility, name } => {
            let row = Facility {
                code: facility.clone(),
                name: name.clone(),
                // Before it joined there is nothing to close: its first head is that of this day.
                head: day_before(&record.time),
            };
            index.put_row(Key::facility(facility), &row)
        }
        Event::CodeIssued {
            facility,
            code_sha256,
            expires,
        } => {
            let row = Code {
                facility: facility.clone(),
                expires: expires.clone(),
            };
            index.put_row(Key::code(code_sha256), &row)
        }
        Event::DeviceEnrolled {
            facility,
            device,
            code_sha256,
            certificate_sha256,
            not_after,
        } => {
            index.remove(Key::code(code_sha256));
            let row = Device {
                facility: facility.clone(),
                id: device.clone(),
                certificate_sha256: certificate_sha256.clone(),
                not_after: not_after.clone(),
                revoked: false,
            };
            index.put_row(Key::device(facility, device), &row)
        }
        Event::DeviceRenewed {
            facility,
            device,
            certificate_sha256,
            not_after,
        } => {
            let key = Key::device(facility, device);
            let Some(mut row) = row::<Device>(&*index, &key)? else {
                return Ok(());
            };
            row.certificate_sha256.clone_from(certificate_sha256);
            row.not_after.clone_from(not_after);
            index.put_row(key, &row)
        }
        Event::DeviceRevoked { facility, device } => {
            let key = Key::device(facility, device);
            let Some(mut row) = row::<Device>(&*index, &key)? else {
                return Ok(());
            };
            row.revoked = true;
            index.put_row(key, &row)
        }
        Event::MemberAdded { facility, member, name } => {
            let row = Member {
                facility: facility.clone(),
                id: member.clone(),
                name: name.clone(),
            };
            index.put_sealed(Key::member(facility, member), under, &row)
        }
        Event::Accepted(submission) => accepted(index, position, record, submission),
        Event::Pending {
            submission,
            waiting_for,
            deadline,
        } => {
            let key = Key::submission(&submission.submission);
            if row::<SubmissionRow>(&*index, &key)?.is_some_and(|row| row.state == SubmissionState::Accepted) {
                return Ok(());
            }
            let new = SubmissionRow {
                position,
                received: record.time.clone(),
                state: SubmissionState::PendingEvidence,
                submission: (**submission).clone(),
                recipients: waiting(submission),
                pending: Some((waiting_for.clone(), deadline.clone())),
                archive: None,
                delivered: None,
                erase_after: None,
                erased: None,
                revised: None,
                hold: None,
            };
            if row::<SubmissionRow>(&*index, &key)?.is_none() {
                stored(index, submission, u64::saturating_add)?;
            }
            index.put(Key::pending(&submission.submission), Vec::new());
            index.put_submission(new)
        }
        // Only the refusal of what waits ends it: another container under the same id is refused beside it.
        Event::Refused {
            facility,
            submission: Some(id),
            container_sha256,
            ..
        } => {
            let key = Key::submission(id);
            let Some(mut row) = row::<SubmissionRow>(&*index, &key)? else {
                return Ok(());
            };
            let same = row.submission.sender.facility == *facility
                && container_sha256.as_ref() == Some(&row.submission.container_sha256);
            if row.state != SubmissionState::PendingEvidence || !same {
                return Ok(());
            }
            index.remove(Key::pending(id));
            // What is held stays until the hold is lifted; until then its id is not free.
            if row.hold.is_some() {
                row.state = SubmissionState::Refused;
                row.pending = None;
                return index.put_submission(row);
            }
            stored(index, &row.submission, u64::saturating_sub)?;
            index.remove_submission(id);
            Ok(())
        }
        Event::Delivered(access) => raise(
            index,
            record,
            &access.submission,
            &access.recipient,
            RecipientState::Delivered,
        ),
        Event::Viewed(access) => raise(
            index,
            record,
            &access.submission,
            &access.recipient,
            RecipientState::Viewed,
        ),
        Event::Acknowledged {
            submission, recipient, ..
        } => raise(index, record, submission, recipient, RecipientState::Acknowledged),
        Event::ArchiveMade {
            submission,
            archive_sha256,
            stands_until,
            ..
        } => kept(index, submission, |index, row| {
            index.remove(Key::archive(stands_until_of(row), submission));
            index.put(Key::archive(stands_until, submission), Vec::new());
            row.archive = Some(ArchiveRow {
                sha256: archive_sha256.clone(),
                stands_until: stands_until.clone(),
            });
            Ok(())
        }),
        Event::ErasureAnnounced {
            submission,
            erase_after,
            ..
        } => kept(index, submission, |index, row| {
            forget_retention(index, row);
            row.erase_after = Some(erase_after.clone());
            note_retention(index, row);
            Ok(())
        }),
        Event::ContainerErased { submission, .. } => kept(index, submission, |index, row| {
            forget_retention(index, row);
            // Its recipients hold their own; what is not held is not renewed.
            index.remove(Key::archive(stands_until_of(row), submission));
            stored(index, &row.submission, u64::saturating_sub)?;
            row.erased = Some(record.time.clone());
            Ok(())
        }),
        Event::HoldSet { submission, reason, .. } => {
            index.put(Key::held(), (position + 1).to_be_bytes().to_vec());
            change(index, submission, |index, row| {
                forget_retention(index, row);
                row.hold = Some(HoldRow {
                    since: record.time.clone(),
                    reason: reason.clone(),
                });
                Ok(())
            })
        }
        Event::HoldLifted { submission, .. } => {
            let key = Key::submission(submission);
            let Some(mut row) = row::<SubmissionRow>(&*index, &key)? else {
                return Ok(());
            };
            if row.state == SubmissionState::Refused {
                stored(index, &row.submission, u64::saturating_sub)?;
                index.remove_submission(submission);
                return Ok(());
            }
            row.hold = None;
            note_retention(index, &row);
            index.put_submission(row)
        }
        Event::KeyDestroyed {
            class, month, erased, ..
        } => begin(index, (*class, month), erased),
        Event::VerdictRevised {
            submission, revision, ..
        } => revised(index, position, record, submission, revision),
        Event::Head { facility, day } => {
            let key = Key::facility(facility);
            let Some(mut row) = row::<Facility>(&*index, &key)? else {
                return Ok(());
            };
            row.head = Some(day.clone());
            index.put_row(key, &row)
        }
        Event::CheckpointStamped { size, token_sha256, .. } => {
            let row = Stamped {
                size: *size,
                time: record.time.clone(),
                token_sha256: token_sha256.clone(),
            };
            index.put_row(Key::stamped(), &row)
        }
        Event::TrustChanged { trusted, .. } => index.put_row(Key::trusted(), trusted),
        Event::Refused { submission: None, .. } | Event::TrailRead { .. } => Ok(()),
    }
}

/// The day of Japan before that of a record's time.
fn day_before(time: &str) -> Option<String> {
    let time = OffsetDateTime::parse(time, &Rfc3339)
        .ok()?
        .checked_to_offset(offset!(+9))?;
    time.date()
        .previous_day()?
        .format(format_description!("[year]-[month]-[day]"))
        .ok()
}

fn accepted(
    index: &mut Pending<'_>,
    position: u64,
    record: &Record,
    submission: &formats::trail::Submission,
) -> Result<(), StoreError> {
    let id = &submission.submission;
    let earlier = row::<SubmissionRow>(&*index, &Key::submission(id))?;
    if earlier
        .as_ref()
        .is_some_and(|row| row.state == SubmissionState::Accepted)
    {
        return Ok(());
    }
    if let Some(earlier) = &earlier {
        stored(index, &earlier.submission, u64::saturating_sub)?;
    }
    stored(index, submission, u64::saturating_add)?;
    let row = SubmissionRow {
        position,
        received: record.time.clone(),
        state: SubmissionState::Accepted,
        submission: submission.clone(),
        recipients: waiting(submission),
        pending: None,
        revised: None,
        archive: None,
        delivered: None,
        erase_after: None,
        erased: None,
        // What was held while it waited is held.
        hold: earlier.and_then(|earlier| earlier.hold),
    };
    index.remove(Key::pending(id));
    index.put(Key::archive("", id), Vec::new());
    for (facility, _) in &row.recipients {
        index.put(Key::inbox(facility, position), id.as_str().as_bytes().to_vec());
    }
    index.put_submission(row)
}

/// Delivery stops, and the submission moves to the end of its recipients' inboxes, where who follows them finds it anew.
fn revised(
    index: &mut Pending<'_>,
    position: u64,
    record: &Record,
    id: &SubmissionId,
    revision: &Revision,
) -> Result<(), StoreError> {
    let key = Key::submission(id);
    let Some(mut row) = row::<SubmissionRow>(&*index, &key)? else {
        return Ok(());
    };
    if row.state != SubmissionState::Accepted || row.revised.is_some() {
        return Ok(());
    }
    for (facility, state) in &mut row.recipients {
        *state = RecipientState::Stopped;
        index.remove(Key::inbox(facility, row.position));
        index.put(Key::inbox(facility, position), id.as_str().as_bytes().to_vec());
    }
    // What is delivered no more is not renewed, and its container is what the dispute is about.
    index.remove(Key::archive(stands_until_of(&row), id));
    forget_retention(index, &row);
    row.revised = Some(RevisedRow {
        position,
        time: record.time.clone(),
        revision: revision.clone(),
    });
    index.put_submission(row)
}

/// Each recipient facility once, in the envelope's order.
fn waiting(submission: &formats::trail::Submission) -> Vec<(FacilityCode, RecipientState)> {
    let mut recipients: Vec<(FacilityCode, RecipientState)> = Vec::new();
    for party in &submission.recipients {
        if recipients.iter().all(|(facility, _)| *facility != party.facility) {
            recipients.push((party.facility.clone(), RecipientState::Waiting));
        }
    }
    recipients
}

/// Changes the row of a submission whose container is there.
fn kept(
    index: &mut Pending<'_>,
    id: &SubmissionId,
    alter: impl FnOnce(&mut Pending<'_>, &mut SubmissionRow) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    change(index, id, |index, row| {
        if row.state == SubmissionState::Accepted && row.erased.is_none() {
            alter(index, row)
        } else {
            Ok(())
        }
    })
}

/// Changes the row of a submission, if there is one.
fn change(
    index: &mut Pending<'_>,
    id: &SubmissionId,
    alter: impl FnOnce(&mut Pending<'_>, &mut SubmissionRow) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let Some(mut row) = index.submission(id)? else {
        return Ok(());
    };
    alter(index, &mut row)?;
    index.put_submission(row)
}

/// Counts what its sender has stored here.
fn stored(
    index: &mut Pending<'_>,
    submission: &formats::trail::Submission,
    count: impl Fn(u64, u64) -> u64,
) -> Result<(), StoreError> {
    let key = Key::stored(&submission.sender.facility);
    match count(number(&*index, &key)?, submission.size) {
        0 => index.remove(key),
        bytes => index.put(key, bytes.to_be_bytes().to_vec()),
    }
    Ok(())
}

/// Removes the row of a submission and all that leads to it.
pub(super) fn forget(index: &mut Pending<'_>, row: &SubmissionRow) -> Result<(), StoreError> {
    let id = &row.submission.submission;
    for (facility, _) in &row.recipients {
        index.remove(Key::inbox(facility, row.inbox_position()));
    }
    index.remove(Key::pending(id));
    index.remove(Key::archive(stands_until_of(row), id));
    forget_retention(index, row);
    if row.erased.is_none() {
        stored(index, &row.submission, u64::saturating_sub)?;
    }
    index.remove_submission(id);
    Ok(())
}

fn stands_until_of(row: &SubmissionRow) -> &str {
    row.archive.as_ref().map_or("", |archive| archive.stands_until.as_str())
}

fn forget_retention(index: &mut Pending<'_>, row: &SubmissionRow) {
    let id = &row.submission.submission;
    if let Some(time) = &row.delivered {
        index.remove(Key::retention(RetentionStep::Delivered, time, id));
    }
    if let Some(time) = &row.erase_after {
        index.remove(Key::retention(RetentionStep::Announced, time, id));
    }
}

/// Where it stands on its container's way out; what is held or stopped stands nowhere.
fn note_retention(index: &mut Pending<'_>, row: &SubmissionRow) {
    if row.hold.is_some() || row.revised.is_some() || row.erased.is_some() {
        return;
    }
    let id = &row.submission.submission;
    match (&row.erase_after, &row.delivered) {
        (Some(time), _) => index.put(Key::retention(RetentionStep::Announced, time, id), Vec::new()),
        (None, Some(time)) => index.put(Key::retention(RetentionStep::Delivered, time, id), Vec::new()),
        (None, None) => {}
    }
}

/// Whether bytes have gone out, or more.
fn has_it(state: RecipientState) -> bool {
    matches!(
        state,
        RecipientState::Delivered | RecipientState::Viewed | RecipientState::Acknowledged
    )
}

/// States never go back.
fn raise(
    index: &mut Pending<'_>,
    record: &Record,
    id: &SubmissionId,
    facility: &FacilityCode,
    to: RecipientState,
) -> Result<(), StoreError> {
    let Some(mut row) = index.submission(id)? else {
        return Ok(());
    };
    let mut raised = false;
    for (_, state) in row.recipients.iter_mut().filter(|(recipient, _)| recipient == facility) {
        raised |= *state < to;
        *state = (*state).max(to);
    }
    if !raised {
        // As it was: most looks are not the first.
        index.keep(row);
        return Ok(());
    }
    if row.delivered.is_none() && row.recipients.iter().all(|(_, state)| has_it(*state)) {
        row.delivered = Some(record.time.clone());
        note_retention(index, &row);
    }
    index.put_submission(row)
}
