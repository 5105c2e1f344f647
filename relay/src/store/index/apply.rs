//! What a record does to the index, and what must hold before it. Total: a record that is in the trail is applied.

use std::collections::BTreeMap;

use formats::trail::{Event, Record, Revision, tree};
use formats::wire::{FacilityCode, RecipientState, SubmissionId, SubmissionState};

use super::{Fetch, Key, Pending, node, number, row};
use crate::store::{
    ArchiveRow, Code, Condition, Device, Facility, Member, RetentionStep, RevisedRow, StoreError, StoredRecord,
    SubmissionRow,
};
use crate::trail::Place;

/// A record about to be applied, as stored and, if it is not erased, parsed.
pub(in crate::store) struct Entry<'a> {
    pub(in crate::store) record: Option<&'a Record>,
    pub(in crate::store) stored: &'a StoredRecord,
    /// Where it lies, if it is in a file.
    pub(in crate::store) place: Option<Place>,
}

/// Applies a record: rows of the tree and the trail first, then what it means.
pub(in crate::store) fn apply(index: &mut Pending<'_>, entry: &Entry<'_>) -> Result<(), StoreError> {
    let position = entry.stored.position;
    let nodes = tree::append(position, &entry.stored.commitment, |number| node(&*index, number))
        .map_err(|_| StoreError::Broken("the index lacks a node of the tree; run `hikyaku-relay rebuild`".into()))?;
    for (number, hash) in nodes {
        index.put(Key::node(number), hash.to_vec());
    }
    if let Some(place) = entry.place {
        let place = [place.segment.to_be_bytes(), place.offset.to_be_bytes()].concat();
        index.put(Key::place(position), place);
    }
    index.put(Key::applied(), (position + 1).to_be_bytes().to_vec());
    let Some(record) = entry.record else {
        return Ok(());
    };
    for (facility, sequence) in &record.facility_seq {
        index.put(Key::sequence(facility), sequence.to_be_bytes().to_vec());
        index.put(Key::facility_record(facility, position), Vec::new());
    }
    if let Some(id) = record.event.submission() {
        index.put(Key::submission_record(id, position), Vec::new());
    }
    index.put(Key::time(), record.time.clone().into_bytes());
    mean(index, position, record)
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
        Condition::Kept(id) => {
            submission(id)?.is_some_and(|row| row.state == SubmissionState::Accepted && row.erased.is_none())
        }
    })
}

fn mean(index: &mut Pending<'_>, position: u64, record: &Record) -> Result<(), StoreError> {
    match &record.event {
        Event::FacilityAdded { facility, name } => {
            let row = Facility {
                code: facility.clone(),
                name: name.clone(),
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
            index.put_row(Key::member(facility, member), &row)
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
            let row = SubmissionRow {
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
            };
            index.put(Key::pending(&submission.submission), Vec::new());
            index.put_row(key, &row)
        }
        // Only the refusal of what waits ends it: another container under the same id is refused beside it.
        Event::Refused {
            facility,
            submission: Some(id),
            container_sha256,
            ..
        } => {
            let key = Key::submission(id);
            let Some(row) = row::<SubmissionRow>(&*index, &key)? else {
                return Ok(());
            };
            let same = row.submission.sender.facility == *facility
                && container_sha256.as_ref() == Some(&row.submission.container_sha256);
            if row.state == SubmissionState::PendingEvidence && same {
                index.remove(Key::pending(id));
                index.remove(key);
            }
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
        }),
        Event::ErasureAnnounced {
            submission,
            erase_after,
            ..
        } => kept(index, submission, |index, row| {
            forget_retention(index, row);
            index.put(
                Key::retention(RetentionStep::Announced, erase_after, submission),
                Vec::new(),
            );
            row.erase_after = Some(erase_after.clone());
        }),
        Event::ContainerErased { submission, .. } => kept(index, submission, |index, row| {
            forget_retention(index, row);
            // Its recipients hold their own; what is not held is not renewed.
            index.remove(Key::archive(stands_until_of(row), submission));
            row.erased = Some(record.time.clone());
        }),
        Event::VerdictRevised {
            submission, revision, ..
        } => revised(index, position, record, submission, revision),
        Event::TrustChanged { trusted, .. } => index.put_row(Key::trusted(), trusted),
        Event::Refused { submission: None, .. } | Event::TrailRead { .. } => Ok(()),
    }
}

fn accepted(
    index: &mut Pending<'_>,
    position: u64,
    record: &Record,
    submission: &formats::trail::Submission,
) -> Result<(), StoreError> {
    let id = &submission.submission;
    let key = Key::submission(id);
    if row::<SubmissionRow>(&*index, &key)?.is_some_and(|row| row.state == SubmissionState::Accepted) {
        return Ok(());
    }
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
    };
    index.remove(Key::pending(id));
    index.put(Key::archive("", id), Vec::new());
    for (facility, _) in &row.recipients {
        index.put(Key::inbox(facility, position), id.as_str().as_bytes().to_vec());
    }
    index.put_row(key, &row)
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
    // What is delivered no more is not renewed.
    index.remove(Key::archive(stands_until_of(&row), id));
    row.revised = Some(RevisedRow {
        position,
        time: record.time.clone(),
        revision: revision.clone(),
    });
    index.put_row(key, &row)
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
    change: impl FnOnce(&mut Pending<'_>, &mut SubmissionRow),
) -> Result<(), StoreError> {
    let key = Key::submission(id);
    match row::<SubmissionRow>(&*index, &key)? {
        Some(mut row) if row.state == SubmissionState::Accepted && row.erased.is_none() => {
            change(index, &mut row);
            index.put_row(key, &row)
        }
        _ => Ok(()),
    }
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
    let key = Key::submission(id);
    let Some(mut row) = row::<SubmissionRow>(&*index, &key)? else {
        return Ok(());
    };
    for (recipient, state) in &mut row.recipients {
        if recipient == facility {
            *state = (*state).max(to);
        }
    }
    if row.delivered.is_none() && row.recipients.iter().all(|(_, state)| has_it(*state)) {
        index.put(Key::retention(RetentionStep::Delivered, &record.time, id), Vec::new());
        row.delivered = Some(record.time.clone());
    }
    index.put_row(key, &row)
}
