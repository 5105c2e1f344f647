//! What erasure does to the index: the rows of a month's records go, step by step, until it is as one made anew without them.

use std::collections::BTreeMap;

use formats::trail::{Class, Erased};
use formats::wire::{FacilityCode, SubmissionId};

use super::apply::forget;
use super::keys::{erasure, position};
use super::months::{State, missing, month};
use super::{Fetch as _, Key, Pending, Row, Table, row, unreadable};
use crate::month_keys::{KeyId, MonthKeys};
use crate::store::{StoreError, SubmissionRow};

/// How far an erasure has come.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::store) enum Swept {
    /// There is none.
    Nothing,
    /// There is more to do.
    Part,
    /// No row of a month is left: its key can go.
    All(KeyId),
}

/// The trail says that a key is destroyed: what is left under it is noted as still to be removed.
pub(super) fn begin(
    index: &mut Pending<'_>,
    (class, name): (Class, &str),
    erased: &BTreeMap<FacilityCode, Erased>,
) -> Result<(), StoreError> {
    let id = KeyId::of(class, name).ok_or_else(unreadable)?;
    let Some(mut found) = month(&*index, id)? else {
        return Ok(());
    };
    found.state = match found.state {
        State::Unread | State::Gone => State::Gone,
        State::Read | State::Mixed | State::Destroyed => {
            for facility in erased.keys() {
                index.put(Key::erasure(id, facility), found.first.to_be_bytes().to_vec());
            }
            State::Destroyed
        }
    };
    index.put_month(id, found);
    Ok(())
}

/// What a facility's row says of a record: its class, then the submission it is about.
pub(super) fn concern(class: Class, submission: Option<&SubmissionId>) -> Vec<u8> {
    let class = match class {
        Class::Standing => b'S',
        Class::Account => b'A',
    };
    [&[class], submission.map_or("", SubmissionId::as_str).as_bytes()].concat()
}

/// Removes rows of erased records, after looking at `most` at most.
pub(in crate::store) fn sweep(table: &dyn Table, most: usize) -> Result<Swept, StoreError> {
    let space = Key::erasures();
    let Some(work) = table.scan(space.as_bytes(), space.as_bytes(), 1)?.pop() else {
        return unfinished(table);
    };
    let (id, facility) = erasure(&work.key).ok_or_else(unreadable)?;
    let from = u64::from_be_bytes(work.value.try_into().map_err(|_| unreadable())?);
    let last = month(table, id)?.ok_or_else(unreadable)?.last;
    let records = Key::facility_records(&facility);
    let rows = table.scan(
        records.as_bytes(),
        Key::facility_record(&facility, from).as_bytes(),
        most,
    )?;
    let mut index = Pending::new(table);
    let mut next = None;
    for Row { key, value } in &rows {
        let position = position(key).ok_or_else(unreadable)?;
        next = Some(position + 1).filter(|next| *next <= last);
        if position > last {
            break;
        }
        remove(&mut index, id, &facility, position, value)?;
    }
    match next.filter(|_| rows.len() == most) {
        Some(next) => index.put(Key::erasure(id, &facility), next.to_be_bytes().to_vec()),
        None => index.remove(Key::erasure(id, &facility)),
    }
    table.write(index.into_changes())?;
    Ok(Swept::Part)
}

/// A month whose rows are all gone, but not yet said to be.
fn unfinished(table: &dyn Table) -> Result<Swept, StoreError> {
    let found = super::months(table)?.into_iter();
    let Some((id, mut row)) = found.clone().find(|(_, row)| row.state == State::Destroyed) else {
        return Ok(Swept::Nothing);
    };
    row.state = State::Gone;
    let mut index = Pending::new(table);
    index.put_month(id, row);
    table.write(index.into_changes())?;
    Ok(Swept::All(id))
}

/// A month that the index and the keys do not agree about: read without its key, or its rows not removed before its key went.
///
/// # Errors
/// [`StoreError::Broken`] if a key is not there that nothing says to be destroyed.
pub(in crate::store) fn without_key(table: &dyn Table, keys: &MonthKeys) -> Result<Option<KeyId>, StoreError> {
    let (destroyed, there) = (keys.destroyed()?, keys.ids()?);
    for (id, row) in super::months(table)? {
        match row.state {
            State::Unread if destroyed.contains(&id) => {}
            State::Unread | State::Mixed => return Ok(Some(id)),
            State::Read if destroyed.contains(&id) => return Ok(Some(id)),
            State::Destroyed if !there.contains(&id) => return Ok(Some(id)),
            State::Read if !there.contains(&id) => return Err(missing(id)),
            State::Read | State::Destroyed | State::Gone => {}
        }
    }
    Ok(None)
}

/// Destroys what a crash left of keys whose rows are gone.
///
/// # Errors
/// As [`without_key`], and for a month that could not be read.
pub(in crate::store) fn settle(table: &dyn Table, keys: &MonthKeys) -> Result<(), StoreError> {
    if let Some(id) = without_key(table, keys)? {
        return Err(missing(id));
    }
    let there = keys.ids()?;
    for (id, row) in super::months(table)? {
        if row.state == State::Gone && there.contains(&id) {
            keys.destroy(id)?;
            tracing::info!(key = %id, "the key of a month's records is destroyed");
        }
    }
    Ok(())
}

/// Removes what the index knows of one record, if it is one of those erased.
fn remove(
    index: &mut Pending<'_>,
    id: KeyId,
    facility: &FacilityCode,
    position: u64,
    concern: &[u8],
) -> Result<(), StoreError> {
    if concern.first() != id.as_bytes().last() {
        return Ok(());
    }
    index.remove(Key::facility_record(facility, position));
    let submission = concern.get(1..).filter(|id| !id.is_empty());
    let Some(submission) = submission else { return Ok(()) };
    let text = std::str::from_utf8(submission).map_err(|_| unreadable())?;
    let submission: SubmissionId = text.parse().map_err(|_| unreadable())?;
    index.remove(Key::submission_record(&submission, position));
    let key = Key::submission(&submission);
    if index
        .fetch(key.as_bytes())?
        .is_some_and(|row| row.starts_with(id.as_bytes()))
        && let Some(row) = row::<SubmissionRow>(&*index, &key)?
    {
        forget(index, &row)?;
    }
    Ok(())
}
