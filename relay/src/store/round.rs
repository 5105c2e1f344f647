//! A group in the making: judges the conditions of each batch, makes its records, and applies them to the rows of the index.

use formats::trail::{Actor, Event, Record};

use super::committer::format_time;
use super::index::{Entry, Fetch, Key, Pending, apply, holds, next_sequence};
use super::{Batch, Committed, Content, StoreError};
use crate::month_keys::{KeyId, MonthKeys};
use crate::trail::{Group, MAX_GROUP, SealedRecord};

/// A group in the making.
pub(super) struct Round<'a> {
    /// The index as it will be.
    pub(super) index: Pending<'a>,
    /// The bytes of its records.
    pub(super) group: Group,
    /// Its records.
    pub(super) records: Vec<SealedRecord>,
    /// Whether it destroys a key.
    pub(super) erases: bool,
    keys: &'a MonthKeys,
}

impl<'a> Round<'a> {
    /// An empty group upon an index, whose records are sealed with these keys.
    pub(super) fn new(index: &'a dyn Fetch, keys: &'a MonthKeys, group: Group) -> Self {
        Self {
            index: Pending::new(index),
            group,
            records: Vec::new(),
            erases: false,
            keys,
        }
    }

    /// Takes a batch in: all of it, or nothing.
    pub(super) fn take(&mut self, batch: Batch) -> Result<Committed, StoreError> {
        let (records, count, length) = (self.records.len(), self.group.count(), self.group.length());
        let result = self.add(batch);
        if result.is_err() {
            self.records.truncate(records);
            self.group.truncate(count, length);
        }
        result
    }

    fn add(&mut self, batch: Batch) -> Result<Committed, StoreError> {
        for condition in batch.conditions {
            if !holds(&self.index, &condition)? {
                return Err(StoreError::Conflict(condition));
            }
        }
        let now = format_time(batch.time).ok_or_else(out_of_range)?;
        let mut index = Pending::new(&self.index);
        let (mut positions, mut erases) = (Vec::with_capacity(batch.events.len()), false);
        for event in batch.events {
            erases |= matches!(event, Event::KeyDestroyed { .. });
            let record = record(&index, &now, &batch.actor, event)?;
            let body = record.encode().map_err(|_| StoreError::TooLarge)?;
            let mut salt = [0; 32];
            aws_lc_rs::rand::fill(&mut salt).map_err(|_| StoreError::Broken("no random bytes".into()))?;
            let id = KeyId::of(record.event.class(), &record.time).ok_or_else(out_of_range)?;
            // Durable before the first record under it.
            let key = self.keys.of_or_new(id)?;
            let sealed = SealedRecord::seal(self.group.next(), &Content { body, salt }, id, &key)
                .map_err(|error| StoreError::Broken(error.to_string()))?;
            apply(
                &mut index,
                &Entry {
                    position: sealed.position,
                    commitment: sealed.commitment,
                    key: id,
                    record: Some(&record),
                    place: self.group.place(),
                },
            )?;
            positions.push(sealed.position);
            self.group.add(&sealed);
            self.records.push(sealed);
        }
        if self.group.length() > MAX_GROUP {
            return Err(StoreError::TooLarge);
        }
        let changes = index.into_changes();
        self.index.merge(changes);
        self.erases |= erases;
        Ok(Committed { positions })
    }
}

/// The record of an event: its number for each facility, and a time not before the record before.
fn record(index: &Pending<'_>, now: &str, actor: &Actor, event: Event) -> Result<Record, StoreError> {
    let earlier = index
        .fetch(Key::time().as_bytes())?
        .and_then(|time| String::from_utf8(time).ok());
    Ok(Record {
        v: 1,
        time: earlier.into_iter().fold(now.to_owned(), Ord::max),
        facility_seq: next_sequence(index, &event)?,
        actor: actor.clone(),
        event,
    })
}

fn out_of_range() -> StoreError {
    StoreError::Broken("the clock is out of range".into())
}
