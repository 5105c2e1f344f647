//! Nodes of the log's tree: many of them in one row, so that a record writes one row for its nodes and a proof reads few.
//!
//! Nodes come in the order of their numbers. A row is whole but for the last, which grows.

use super::{Fetch, Key, Pending};
use crate::store::StoreError;

/// Nodes in a row.
const TOGETHER: u64 = 32;
const SIZE: usize = 32;

/// The row a node is in, and where in it.
fn seat(number: u64) -> (Key, usize) {
    // Below 32 whatever the number.
    let at = usize::try_from(number % TOGETHER).unwrap_or_default();
    (Key::nodes(number / TOGETHER), at * SIZE)
}

fn in_row(row: &[u8], at: usize) -> Option<[u8; SIZE]> {
    row.get(at..)?.first_chunk().copied()
}

/// Reads a node of the tree.
pub(in crate::store) fn node(from: &(impl Fetch + ?Sized), number: u64) -> Option<[u8; SIZE]> {
    let (row, at) = seat(number);
    in_row(&from.fetch(row.as_bytes()).ok()??, at)
}

/// Reads nodes of the tree, in the order asked for; `None` if one is not there.
pub(super) fn nodes(from: &(impl Fetch + ?Sized), numbers: &[u64]) -> Result<Option<Vec<[u8; SIZE]>>, StoreError> {
    let mut rows: Vec<u64> = numbers.iter().map(|number| number / TOGETHER).collect();
    rows.sort_unstable();
    rows.dedup();
    let keys: Vec<Key> = rows.iter().map(|row| Key::nodes(*row)).collect();
    let found = from.fetch_all(&keys)?;
    let one = |number: &u64| {
        let row = rows.binary_search(&(number / TOGETHER)).ok()?;
        in_row(found.get(row)?.as_ref()?, seat(*number).1)
    };
    Ok(numbers.iter().map(one).collect())
}

impl Pending<'_> {
    /// Adds the node that comes next.
    pub(super) fn put_node(&mut self, number: u64, node: &[u8; SIZE]) -> Result<(), StoreError> {
        let (key, at) = seat(number);
        let row = match self.changes.0.get_mut(key.as_bytes()) {
            Some(row) => row,
            None => {
                let below = self.fetch(key.as_bytes())?;
                self.changes.0.entry(key.into_bytes()).or_insert(below)
            }
        };
        let row = row.get_or_insert_with(|| Vec::with_capacity(SIZE * 4));
        if row.len() != at {
            return Err(super::lacks_a_node());
        }
        row.extend_from_slice(node);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Table as _;
    use super::*;
    use crate::store::memory::MemoryTable;

    #[test]
    fn nodes_are_found_again_over_rows_and_writes() {
        let table = MemoryTable::default();
        let value = |number: u64| [u8::try_from(number % 251).unwrap(); SIZE];
        let mut next = 0;
        for some in [1, 30, 1, 1, 40, 64, 7] {
            let mut below = Pending::new(&table);
            for _ in 0..some {
                let mut index = Pending::new(&below);
                index.put_node(next, &value(next)).unwrap();
                let left_out = Pending::new(&index).put_node(next + 2, &value(0));
                assert!(left_out.is_err() || seat(next + 2).1 == 0, "one is left out");
                assert!(Pending::new(&index).put_node(next, &value(0)).is_err(), "it is there");
                let changes = index.into_changes();
                below.merge(changes);
                next += 1;
                assert_eq!(node(&below, next - 1), Some(value(next - 1)));
            }
            table.write(below.into_changes()).unwrap();
            assert_eq!(
                (node(&table, next - 1), node(&table, next)),
                (Some(value(next - 1)), None)
            );
        }
        let numbers: Vec<u64> = (0..next).rev().collect();
        let wanted: Vec<_> = numbers.iter().copied().map(value).collect();
        assert_eq!(nodes(&table, &numbers).unwrap(), Some(wanted));
        assert_eq!(nodes(&table, &[0, next]).unwrap(), None);
    }
}
