//! The right edge of a growing tree: all that is needed to add entries and to tell the root, and no more. RFC 6962 §2.1.

use tlog_tiles::{Hash, node_hash};

use super::tree::MissingNode;

/// The tree of the first entries of a log, as the roots of its whole subtrees, the largest first. At most 64 of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Hash>,
}

impl Frontier {
    /// Number of entries.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds an entry by the hash of its leaf ([`leaf`](super::tree::leaf)).
    pub fn push(&mut self, leaf: &[u8; 32]) {
        let mut node = Hash(*leaf);
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                node = node_hash(left, node);
            }
        }
        self.peaks.push(node);
        self.size += 1;
    }

    /// Adds 2^`level` entries by the root over them.
    ///
    /// # Errors
    /// [`MissingNode`] if such a subtree does not begin here.
    pub fn push_subtree(&mut self, level: u8, root: &[u8; 32]) -> Result<(), MissingNode> {
        let entries = 1_u64.checked_shl(level.into()).ok_or(MissingNode)?;
        let size = self.size.checked_add(entries).ok_or(MissingNode)?;
        if !self.size.is_multiple_of(entries) {
            return Err(MissingNode);
        }
        let mut node = Hash(*root);
        for _ in 0..(self.size >> level).trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                node = node_hash(left, node);
            }
        }
        self.peaks.push(node);
        self.size = size;
        Ok(())
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> [u8; 32] {
        let mut peaks = self.peaks.iter().rev();
        let Some(last) = peaks.next() else {
            return tlog_tiles::EMPTY_HASH.0;
        };
        peaks.fold(*last, |right, left| node_hash(*left, right)).0
    }
}

/// The fewest whole subtrees that lie side by side over the entries from `from` to before `to`: level and index of each.
#[must_use]
pub fn cover(from: u64, to: u64) -> Vec<(u8, u64)> {
    let (mut at, mut found) = (from, Vec::new());
    while at < to {
        let aligned = if at == 0 { 63 } else { at.trailing_zeros().min(63) };
        let level = aligned.min((to - at).ilog2());
        found.push((u8::try_from(level).unwrap_or(63), at >> level));
        at += 1 << level;
    }
    found
}

/// The number of the node that is the root of the subtree `(level, index)`.
#[must_use]
pub fn subtree(level: u8, index: u64) -> u64 {
    tlog_tiles::stored_hash_index(level, index)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::trail::tree;

    #[test]
    fn every_root_entry_by_entry_and_by_subtrees() {
        let mut nodes = HashMap::new();
        let mut frontier = Frontier::default();
        for position in 0..200_u64 {
            let entry = [u8::try_from(position).unwrap(); 32];
            nodes.extend(tree::append(position, &entry, |n| nodes.get(&n).copied()).unwrap());
            frontier.push(&tree::leaf(&entry));
            let size = position + 1;
            let root = tree::root(size, |n| nodes.get(&n).copied()).unwrap();
            assert_eq!((frontier.size(), frontier.root()), (size, root));
            // The first third entry by entry, then what lies between as subtrees, then the rest.
            let (a, b) = (size / 3, size - size / 4);
            let mut mixed = Frontier::default();
            let entries = |range: std::ops::Range<u64>, to: &mut Frontier| {
                for position in range {
                    to.push(&nodes[&subtree(0, position)]);
                }
            };
            entries(0..a, &mut mixed);
            for (level, index) in cover(a, b) {
                mixed.push_subtree(level, &nodes[&subtree(level, index)]).unwrap();
            }
            entries(b..size, &mut mixed);
            assert_eq!(mixed, frontier, "{a} {b} {size}");
        }
        assert_eq!(
            frontier.push_subtree(4, &[0; 32]),
            Err(MissingNode),
            "200 is no multiple of 16"
        );
        assert_eq!(frontier.push_subtree(64, &[0; 32]), Err(MissingNode));
        assert_eq!(Frontier::default().root(), tree::root(0, |_| None).unwrap());
    }

    #[test]
    fn covers_are_small_and_whole() {
        assert_eq!(cover(0, 7), [(2, 0), (1, 2), (0, 6)]);
        assert_eq!(cover(3, 3), []);
        assert_eq!(cover(u64::MAX - 1, u64::MAX), [(0, u64::MAX - 1)]);
        assert!(cover(1, u64::MAX).len() <= 126);
    }
}
