//! The questions of the `Store` trait, asked of the index.

use formats::trail::{Trusted, tree};
use formats::wire::{DeviceId, FacilityCode, MemberId, Receipt, SubmissionId};
use serde::de::DeserializeOwned;

use super::keys::{position, timed};
use super::{Key, Row, Table, node, number, parse, row, unreadable};
use crate::store::{Code, Device, Facility, Member, RetentionStep, StoreError, StoredRecord, SubmissionRow};
use crate::trail::Place;

/// Where bodies are read.
pub(in crate::store) trait Bodies: Send + Sync + 'static {
    /// The record at a place.
    fn body(&self, position: u64, place: Place) -> Result<StoredRecord, StoreError>;
}

/// Index and bodies, for reading.
pub(in crate::store) struct Query<'a> {
    pub(in crate::store) table: &'a dyn Table,
    pub(in crate::store) bodies: &'a dyn Bodies,
}

/// So many rows are read at once where all are asked for.
const PAGE: usize = 1000;

impl Query<'_> {
    pub(in crate::store) fn facility(&self, code: &FacilityCode) -> Result<Option<Facility>, StoreError> {
        row(self.table, &Key::facility(code))
    }
    pub(in crate::store) fn facilities(&self) -> Result<Vec<Facility>, StoreError> {
        self.all(&Key::facilities())
    }
    pub(in crate::store) fn device(&self, of: &FacilityCode, id: &DeviceId) -> Result<Option<Device>, StoreError> {
        row(self.table, &Key::device(of, id))
    }
    pub(in crate::store) fn devices(&self, facility: &FacilityCode) -> Result<Vec<Device>, StoreError> {
        self.all(&Key::devices(facility))
    }
    pub(in crate::store) fn member(&self, of: &FacilityCode, id: &MemberId) -> Result<Option<Member>, StoreError> {
        row(self.table, &Key::member(of, id))
    }
    pub(in crate::store) fn members(&self, facility: &FacilityCode) -> Result<Vec<Member>, StoreError> {
        self.all(&Key::members(facility))
    }
    pub(in crate::store) fn code(&self, sha256: &str) -> Result<Option<Code>, StoreError> {
        row(self.table, &Key::code(sha256))
    }
    pub(in crate::store) fn submission(&self, id: &SubmissionId) -> Result<Option<SubmissionRow>, StoreError> {
        row(self.table, &Key::submission(id))
    }

    pub(in crate::store) fn inbox(
        &self,
        facility: &FacilityCode,
        after: u64,
        limit: usize,
    ) -> Result<Vec<SubmissionRow>, StoreError> {
        // `after` 0 begins before everything: the first record of a trail is never an acceptance.
        let from = Key::inbox(facility, after.saturating_add(1));
        let found = self
            .table
            .scan(Key::inbox_of(facility).as_bytes(), from.as_bytes(), limit)?;
        found
            .into_iter()
            .map(|row| {
                let id = String::from_utf8(row.value)
                    .ok()
                    .and_then(|id| id.parse().ok())
                    .ok_or_else(unreadable)?;
                self.submission(&id)?.ok_or_else(unreadable)
            })
            .collect()
    }

    pub(in crate::store) fn submissions(
        &self,
        after: Option<&SubmissionId>,
        limit: usize,
    ) -> Result<Vec<SubmissionRow>, StoreError> {
        let space = Key::all_submissions();
        // Ids are of one length: the key of one with a byte more lies before that of the next.
        let from = match after {
            Some(id) => [Key::submission(id).as_bytes(), &[0]].concat(),
            None => space.as_bytes().to_vec(),
        };
        let found = self.table.scan(space.as_bytes(), &from, limit)?;
        found.iter().map(|row| parse(&row.value)).collect()
    }

    pub(in crate::store) fn trusted(&self) -> Result<Option<Trusted>, StoreError> {
        row(self.table, &Key::trusted())
    }

    pub(in crate::store) fn pending(&self) -> Result<Vec<SubmissionRow>, StoreError> {
        let space = Key::all_pending();
        let mut rows = Vec::new();
        for Row { key, .. } in self.keys(space.as_bytes())? {
            let id = key
                .get(space.as_bytes().len()..)
                .and_then(|id| std::str::from_utf8(id).ok());
            let id = id.and_then(|id| id.parse().ok()).ok_or_else(unreadable)?;
            // Decided between the two reads: no longer pending.
            rows.extend(self.submission(&id)?.filter(|row| row.pending.is_some()));
        }
        Ok(rows)
    }

    pub(in crate::store) fn archives_due(&self, before: &str, limit: usize) -> Result<Vec<SubmissionId>, StoreError> {
        self.until(&Key::archives(), before, limit)
    }

    pub(in crate::store) fn retention_due(
        &self,
        step: RetentionStep,
        before: &str,
        limit: usize,
    ) -> Result<Vec<SubmissionId>, StoreError> {
        self.until(&Key::retained(step), before, limit)
    }

    /// The ids of a space of times and ids, up to a time.
    fn until(&self, space: &Key, before: &str, limit: usize) -> Result<Vec<SubmissionId>, StoreError> {
        let found = self.table.scan(space.as_bytes(), space.as_bytes(), limit)?;
        let mut ids = Vec::new();
        for row in &found {
            let (time, id) = timed(&row.key).ok_or_else(unreadable)?;
            if time > before {
                break;
            }
            ids.push(id);
        }
        Ok(ids)
    }

    pub(in crate::store) fn submission_records(&self, id: &SubmissionId) -> Result<Vec<StoredRecord>, StoreError> {
        let found = self.keys(Key::submission_records(id).as_bytes())?;
        found
            .iter()
            .map(|row| self.record(position(&row.key).ok_or_else(unreadable)?))
            .collect()
    }

    pub(in crate::store) fn records(
        &self,
        facility: Option<&FacilityCode>,
        from: u64,
        limit: usize,
    ) -> Result<Vec<StoredRecord>, StoreError> {
        if let Some(facility) = facility {
            let prefix = Key::facility_records(facility);
            let found = self.table.scan(
                prefix.as_bytes(),
                Key::facility_record(facility, from).as_bytes(),
                limit,
            )?;
            return found
                .iter()
                .map(|row| self.record(position(&row.key).ok_or_else(unreadable)?))
                .collect();
        }
        let end = self.size()?.min(from.saturating_add(limit as u64));
        (from..end).map(|position| self.record(position)).collect()
    }

    pub(in crate::store) fn size(&self) -> Result<u64, StoreError> {
        number(self.table, &Key::applied())
    }

    pub(in crate::store) fn checkpoint(&self) -> Result<String, StoreError> {
        let text = self.table.fetch(Key::checkpoint().as_bytes())?.ok_or_else(unreadable)?;
        String::from_utf8(text).map_err(|_| unreadable())
    }

    pub(in crate::store) fn receipt(&self, id: &SubmissionId, position: u64) -> Result<Option<Receipt>, StoreError> {
        // The checkpoint first: nodes of its tree never change, whatever is committed meanwhile.
        let checkpoint = self.checkpoint()?;
        let size: u64 = checkpoint
            .lines()
            .nth(1)
            .and_then(|size| size.parse().ok())
            .ok_or_else(unreadable)?;
        if position >= size {
            return Ok(None);
        }
        let Some(content) = self.record(position)?.content else {
            return Ok(None);
        };
        let proof = tree::prove(size, position, |number| node(self.table, number)).map_err(|_| unreadable())?;
        Ok(Some(Receipt::new(
            id.clone(),
            position,
            content.body,
            &content.salt,
            &proof,
            &checkpoint,
        )))
    }

    fn record(&self, position: u64) -> Result<StoredRecord, StoreError> {
        let place = self
            .table
            .fetch(Key::place(position).as_bytes())?
            .ok_or_else(unreadable)?;
        let (segment, offset) = place.split_first_chunk().ok_or_else(unreadable)?;
        let offset = u64::from_be_bytes(offset.try_into().map_err(|_| unreadable())?);
        self.bodies.body(
            position,
            Place {
                segment: u64::from_be_bytes(*segment),
                offset,
            },
        )
    }

    fn all<T: DeserializeOwned>(&self, prefix: &Key) -> Result<Vec<T>, StoreError> {
        self.keys(prefix.as_bytes())?
            .iter()
            .map(|row| parse(&row.value))
            .collect()
    }

    fn keys(&self, prefix: &[u8]) -> Result<Vec<Row>, StoreError> {
        let (mut rows, mut from) = (Vec::new(), prefix.to_vec());
        loop {
            let page = self.table.scan(prefix, &from, PAGE)?;
            let full = page.len() == PAGE;
            rows.extend(page);
            match rows.last() {
                Some(Row { key, .. }) if full => from = [key.as_slice(), &[0]].concat(),
                _ => return Ok(rows),
            }
        }
    }
}
