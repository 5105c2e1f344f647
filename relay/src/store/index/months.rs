//! The months of records as the index knows them: where each begins and ends, and whether its key is destroyed.

use super::{Fetch, Key, Pending, Row, Table, unreadable};
use crate::month_keys::KeyId;
use crate::store::StoreError;

/// The records of one month and class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct MonthRow {
    /// Position of the first.
    pub(in crate::store) first: u64,
    /// Position of the last.
    pub(in crate::store) last: u64,
    /// How it stands.
    pub(in crate::store) state: State,
}

/// How a month stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(in crate::store) enum State {
    /// All of it was read when it was applied.
    Read = 0,
    /// None of it could be: its key was not there. Good if a later record or the keys say that it was destroyed.
    Unread = 1,
    /// Some of it could be, some not. The index cannot stand so.
    Mixed = 2,
    /// The trail says that its key is destroyed; rows of it are still there.
    Destroyed = 3,
    /// The same, and no row is left.
    Gone = 4,
}

impl State {
    pub(in crate::store) fn is_destroyed(self) -> bool {
        matches!(self, Self::Destroyed | Self::Gone)
    }
}

impl MonthRow {
    fn parse(value: &[u8]) -> Option<Self> {
        let (first, rest) = value.split_first_chunk()?;
        let (last, state) = rest.split_first_chunk()?;
        let state = match state {
            [0] => State::Read,
            [1] => State::Unread,
            [2] => State::Mixed,
            [3] => State::Destroyed,
            [4] => State::Gone,
            _ => return None,
        };
        Some(Self {
            first: u64::from_be_bytes(*first),
            last: u64::from_be_bytes(*last),
            state,
        })
    }
}

impl Pending<'_> {
    pub(super) fn put_month(&mut self, id: KeyId, row: MonthRow) {
        let mut value = row.first.to_be_bytes().to_vec();
        value.extend(row.last.to_be_bytes());
        value.push(row.state as u8);
        self.put(Key::month(id), value);
    }
}

/// One month.
pub(super) fn month(from: &(impl Fetch + ?Sized), id: KeyId) -> Result<Option<MonthRow>, StoreError> {
    let value = from.fetch(Key::month(id).as_bytes())?;
    value
        .map(|value| MonthRow::parse(&value).ok_or_else(unreadable))
        .transpose()
}

/// All months, oldest first.
pub(in crate::store) fn months(table: &dyn Table) -> Result<Vec<(KeyId, MonthRow)>, StoreError> {
    let space = Key::months();
    let rows = table.scan(space.as_bytes(), space.as_bytes(), usize::MAX)?;
    let parse = |Row { key, value }: &Row| {
        let id = KeyId::parse(*key.get(1..)?.first_chunk()?)?;
        Some((id, MonthRow::parse(value)?))
    };
    rows.iter().map(|row| parse(row).ok_or_else(unreadable)).collect()
}

/// Counts a record in; whether it could be read.
pub(super) fn count_in(index: &mut Pending<'_>, id: KeyId, position: u64, read: bool) -> Result<(), StoreError> {
    let row = match month(&*index, id)? {
        None => MonthRow {
            first: position,
            last: position,
            state: if read { State::Read } else { State::Unread },
        },
        Some(row) => MonthRow {
            last: position,
            state: match (row.state, read) {
                (State::Read, false) | (State::Unread, true) => State::Mixed,
                (state, _) => state,
            },
            ..row
        },
    };
    index.put_month(id, row);
    Ok(())
}

/// Whether a month's key is rightly not there: the trail says that it is destroyed, or the keys do and the trail is older.
pub(super) fn destroyed(from: &(impl Fetch + ?Sized), id: KeyId) -> Result<bool, StoreError> {
    Ok(month(from, id)?.is_some_and(|row| row.state.is_destroyed() || row.state == State::Unread))
}

/// A key is not there although neither trail nor keys say that it was destroyed.
pub(in crate::store) fn missing(id: KeyId) -> StoreError {
    StoreError::Broken(format!(
        "the key of the records of {id} is missing, and nothing says that it was destroyed; restore \
         data/keys/{id}.key from the newest backup of the keys"
    ))
}
