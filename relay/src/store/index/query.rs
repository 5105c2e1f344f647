//! The questions of the `Store` trait, asked of the index.

use std::cell::RefCell;
use std::collections::BTreeMap;

use formats::trail::{Trusted, tree};
use formats::wire::{DeviceId, FacilityCode, MemberId, Receipt, SubmissionId};
use serde::de::DeserializeOwned;

use super::keys::{position, timed};
use super::months::{destroyed, missing};
use super::named::container;
use super::nodes::nodes;
use super::{Key, Row, Table, months, number, parse, row, unreadable};
use crate::month_keys::MonthKeys;
use crate::store::{
    Code, Device, Due, Facility, Member, Month, NamedContainer, RetentionStep, Stamped, StoreError, StoredRecord,
    SubmissionRow,
};
use crate::trail::{Place, SealedRecord};

/// Where bodies are read.
pub(in crate::store) trait Bodies: Send + Sync + 'static {
    /// The records at these positions, in this order, as they lie; `table` knows the place of each where there are places.
    fn bodies(&self, table: &dyn Table, positions: &[u64]) -> Result<Vec<SealedRecord>, StoreError>;

    /// The same for ascending positions, and no more of them once they have `most` bytes together.
    fn run(&self, table: &dyn Table, positions: &[u64], most: usize) -> Result<Vec<SealedRecord>, StoreError> {
        let (mut found, mut bytes) = (Vec::new(), 0);
        for some in positions.chunks(CHUNK) {
            let more = self.bodies(table, some)?;
            bytes += more.iter().map(SealedRecord::length).sum::<usize>();
            found.extend(more);
            if bytes >= most {
                break;
            }
        }
        Ok(found)
    }
}

/// Of so many records that follow each other the index knows the place of the first.
const STRIDE: u64 = 16;

/// Whether the index knows the place of the record at this position.
pub(super) fn has_place(position: u64) -> bool {
    position.is_multiple_of(STRIDE)
}

/// A record at this position or before it, and where the index says that it lies.
pub(in crate::store) fn place(table: &dyn Table, position: u64) -> Result<(u64, Place), StoreError> {
    let position = position - position % STRIDE;
    let place = table.fetch(Key::place(position).as_bytes())?.ok_or_else(unreadable)?;
    let (segment, offset) = place.split_first_chunk().ok_or_else(unreadable)?;
    let offset = u64::from_be_bytes(offset.try_into().map_err(|_| unreadable())?);
    let segment = u64::from_be_bytes(*segment);
    Ok((position, Place { segment, offset }))
}

/// Index and bodies, for reading.
pub(in crate::store) struct Query<'a> {
    pub(in crate::store) table: &'a dyn Table,
    pub(in crate::store) bodies: &'a dyn Bodies,
    pub(in crate::store) keys: &'a MonthKeys,
}

/// What a record says, where its key is there.
pub(in crate::store) fn open(keys: &MonthKeys, sealed: SealedRecord) -> Result<StoredRecord, StoreError> {
    let mut stored = sealed.erased();
    if let Some(key) = keys.of(sealed.key)? {
        let (position, id) = (sealed.position, sealed.key);
        let content = sealed.open(&key).ok_or_else(|| {
            StoreError::Broken(format!(
                "record {position} does not open with the key {id}: one of them is damaged; restore it from a backup"
            ))
        })?;
        stored.content = Some(content);
    }
    Ok(stored)
}

/// Records read together where their sizes are not known before.
const CHUNK: usize = 128;
/// Bytes after which a page of records ends.
const MOST: usize = 4 << 20;
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
        let id = |row: &Row| std::str::from_utf8(&row.value).ok()?.parse().ok();
        let ids: Option<Vec<SubmissionId>> = found.iter().map(id).collect();
        let rows = self.submission_rows(&ids.ok_or_else(unreadable)?)?;
        rows.into_iter().map(|row| row.ok_or_else(unreadable)).collect()
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
        found.iter().map(|row| parse(&row.key, &row.value)).collect()
    }

    pub(in crate::store) fn trusted(&self) -> Result<Option<Trusted>, StoreError> {
        row(self.table, &Key::trusted())
    }

    pub(in crate::store) fn pending(&self) -> Result<Vec<SubmissionRow>, StoreError> {
        let space = Key::all_pending();
        let id = |row: &Row| {
            std::str::from_utf8(row.key.get(space.as_bytes().len()..)?)
                .ok()?
                .parse()
                .ok()
        };
        let ids: Option<Vec<SubmissionId>> = self.keys(space.as_bytes())?.iter().map(id).collect();
        let rows = self.submission_rows(&ids.ok_or_else(unreadable)?)?;
        // Decided between the two reads: no longer pending.
        Ok(rows.into_iter().flatten().filter(|row| row.pending.is_some()).collect())
    }

    fn submission_rows(&self, ids: &[SubmissionId]) -> Result<Vec<Option<SubmissionRow>>, StoreError> {
        let keys: Vec<Key> = ids.iter().map(Key::submission).collect();
        let found = self.table.fetch_all(&keys)?;
        found
            .into_iter()
            .zip(&keys)
            .map(|(row, key)| row.map(|row| parse(key.as_bytes(), &row)).transpose())
            .collect()
    }

    pub(in crate::store) fn containers(&self, ids: &[SubmissionId]) -> Result<Vec<Option<NamedContainer>>, StoreError> {
        ids.iter().map(|id| container(self.table, id)).collect()
    }

    pub(in crate::store) fn archives_due(&self, before: &str, limit: usize) -> Result<Vec<SubmissionId>, StoreError> {
        let due = self.until(&Key::archives(), None, before, limit)?;
        Ok(due.into_iter().map(|due| due.id).collect())
    }

    pub(in crate::store) fn retention_due(
        &self,
        step: RetentionStep,
        after: Option<&Due>,
        before: &str,
        limit: usize,
    ) -> Result<Vec<Due>, StoreError> {
        let after = after.map(|due| Key::retention(step, &due.time, &due.id));
        self.until(&Key::retained(step), after, before, limit)
    }

    /// Times and ids of a space of them, behind a key and up to a time.
    fn until(&self, space: &Key, after: Option<Key>, before: &str, limit: usize) -> Result<Vec<Due>, StoreError> {
        // The next possible key is right behind it.
        let from = after.map_or_else(|| space.as_bytes().to_vec(), |key| [key.as_bytes(), &[0]].concat());
        let found = self.table.scan(space.as_bytes(), &from, limit)?;
        let mut due = Vec::new();
        for row in &found {
            let (time, id) = timed(&row.key).ok_or_else(unreadable)?;
            if time > before {
                break;
            }
            let time = time.to_owned();
            due.push(Due { time, id });
        }
        Ok(due)
    }

    pub(in crate::store) fn submission_records(&self, id: &SubmissionId) -> Result<Vec<StoredRecord>, StoreError> {
        self.bodies_of(&self.keys(Key::submission_records(id).as_bytes())?)
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
            return self.run_of(&found);
        }
        let end = self.size()?.min(from.saturating_add(limit as u64));
        let positions: Vec<u64> = (from..end).collect();
        self.opened(self.bodies.run(self.table, &positions, MOST)?)
    }

    /// The same as [`Query::bodies_of`], and no more once they have [`MOST`] bytes.
    fn run_of(&self, rows: &[Row]) -> Result<Vec<StoredRecord>, StoreError> {
        let positions: Option<Vec<u64>> = rows.iter().map(|row| position(&row.key)).collect();
        self.opened(self.bodies.run(self.table, &positions.ok_or_else(unreadable)?, MOST)?)
    }

    /// The records at these positions. One whose key is not there was erased, and the index knows that.
    fn open(&self, positions: &[u64]) -> Result<Vec<StoredRecord>, StoreError> {
        self.opened(self.bodies.bodies(self.table, positions)?)
    }

    fn opened(&self, sealed: Vec<SealedRecord>) -> Result<Vec<StoredRecord>, StoreError> {
        let mut found = Vec::with_capacity(sealed.len());
        for sealed in sealed {
            let key = sealed.key;
            let stored = open(self.keys, sealed)?;
            if stored.content.is_none() && !destroyed(self.table, key)? {
                return Err(missing(key));
            }
            found.push(stored);
        }
        Ok(found)
    }

    pub(in crate::store) fn months(&self) -> Result<Vec<Month>, StoreError> {
        let found = months(self.table)?.into_iter();
        Ok(found
            .map(|(id, row)| Month {
                class: id.class(),
                month: id.month().to_owned(),
                first: row.first,
                last: row.last,
                destroyed: row.state.is_destroyed(),
            })
            .collect())
    }

    pub(in crate::store) fn stored_bytes(&self, facility: &FacilityCode) -> Result<u64, StoreError> {
        number(self.table, &Key::stored(facility))
    }

    /// The records at whose positions these keys end.
    fn bodies_of(&self, rows: &[Row]) -> Result<Vec<StoredRecord>, StoreError> {
        let positions: Option<Vec<u64>> = rows.iter().map(|row| position(&row.key)).collect();
        self.open(&positions.ok_or_else(unreadable)?)
    }

    pub(in crate::store) fn size(&self) -> Result<u64, StoreError> {
        number(self.table, &Key::applied())
    }

    pub(in crate::store) fn stamped(&self) -> Result<Option<Stamped>, StoreError> {
        row(self.table, &Key::stamped())
    }

    pub(in crate::store) fn nodes(&self, numbers: &[u64]) -> Result<Vec<[u8; 32]>, StoreError> {
        nodes(self.table, numbers)?.ok_or_else(unreadable)
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
        let record = self.open(&[position])?.pop().ok_or_else(unreadable)?;
        let Some(content) = record.content else {
            return Ok(None);
        };
        let proof = self.over_nodes(|read| tree::prove(size, position, read).map_err(|_| unreadable()))?;
        Ok(Some(Receipt::new(
            id.clone(),
            position,
            content.body,
            &content.salt,
            &proof,
            &checkpoint,
        )))
    }

    /// Computes from nodes of the tree. Which it needs does not depend on their values: they are counted first, then read at
    /// once.
    fn over_nodes<T>(
        &self,
        compute: impl Fn(&dyn Fn(u64) -> Option<[u8; 32]>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let wanted = RefCell::new(Vec::new());
        compute(&|number| {
            wanted.borrow_mut().push(number);
            Some([0; 32])
        })?;
        let wanted = wanted.into_inner();
        let found = nodes(self.table, &wanted)?.ok_or_else(unreadable)?;
        let nodes: BTreeMap<u64, [u8; 32]> = wanted.into_iter().zip(found).collect();
        compute(&|number| nodes.get(&number).copied())
    }

    fn all<T: DeserializeOwned>(&self, prefix: &Key) -> Result<Vec<T>, StoreError> {
        self.keys(prefix.as_bytes())?
            .iter()
            .map(|row| parse(&row.key, &row.value))
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
