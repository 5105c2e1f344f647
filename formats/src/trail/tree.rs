//! The Merkle tree over the commitments: [RFC 6962](https://www.rfc-editor.org/rfc/rfc6962) §2.1, stored node by node.
//!
//! Nodes have numbers (Crosby and Wallach's order); each is written once and never changes. Two per record on average.

use tlog_tiles::{Hash, HashReader};

/// A node that should be there cannot be read, or a proof was asked for what the tree has not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the tree lacks a node")]
pub struct MissingNode;

/// The nodes to write for the entry at `position`, given all earlier ones: number and hash.
///
/// # Errors
/// [`MissingNode`] if `read` does not know a node of the entries before.
pub fn append(
    position: u64,
    entry: &[u8; 32],
    read: impl Fn(u64) -> Option<[u8; 32]>,
) -> Result<Vec<(u64, [u8; 32])>, MissingNode> {
    let first = tlog_tiles::stored_hash_index(0, position);
    let nodes = tlog_tiles::stored_hashes(position, entry, &Nodes(read)).map_err(|_| MissingNode)?;
    Ok((first..).zip(nodes.into_iter().map(|node| node.0)).collect())
}

/// The root of the first `size` entries.
///
/// # Errors
/// [`MissingNode`] if `read` does not know a node.
pub fn root(size: u64, read: impl Fn(u64) -> Option<[u8; 32]>) -> Result<[u8; 32], MissingNode> {
    Ok(tlog_tiles::tree_hash(size, &Nodes(read)).map_err(|_| MissingNode)?.0)
}

/// The inclusion proof of the entry at `position` in the tree of the first `size` entries.
///
/// # Errors
/// [`MissingNode`] if `position` is not below `size` or `read` does not know a node.
pub fn prove(size: u64, position: u64, read: impl Fn(u64) -> Option<[u8; 32]>) -> Result<Vec<[u8; 32]>, MissingNode> {
    let proof = tlog_tiles::prove_record(size, position, &Nodes(read)).map_err(|_| MissingNode)?;
    Ok(proof.into_iter().map(|node| node.0).collect())
}

/// Whether `proof` shows that the tree of `size` entries with this `root` has `entry` at `position`.
#[must_use]
pub fn includes(root: &[u8; 32], size: u64, position: u64, entry: &[u8; 32], proof: &[[u8; 32]]) -> bool {
    // A tree of u64::MAX entries is 64 levels deep; a longer proof proves nothing.
    if proof.len() > 64 {
        return false;
    }
    let proof = proof.iter().map(|node| Hash(*node)).collect();
    tlog_tiles::check_record(&proof, size, Hash(*root), position, tlog_tiles::record_hash(entry)).is_ok()
}

/// The proof that the tree of `size` entries begins with the tree of its first `earlier` entries. RFC 6962 §2.1.2; empty for
/// `earlier` 0.
///
/// # Errors
/// [`MissingNode`] if `earlier` is beyond `size` or `read` does not know a node.
pub fn prove_consistency(
    size: u64,
    earlier: u64,
    read: impl Fn(u64) -> Option<[u8; 32]>,
) -> Result<Vec<[u8; 32]>, MissingNode> {
    if earlier == 0 {
        return Ok(Vec::new());
    }
    let proof = tlog_tiles::prove_tree(size, earlier, &Nodes(read)).map_err(|_| MissingNode)?;
    Ok(proof.into_iter().map(|node| node.0).collect())
}

/// Whether `proof` shows that the tree of `size` entries with this `root` begins with the tree of `earlier` entries with the root
/// `earlier_root`.
#[must_use]
pub fn consistent(root: &[u8; 32], size: u64, earlier_root: &[u8; 32], earlier: u64, proof: &[[u8; 32]]) -> bool {
    if earlier == 0 {
        return proof.is_empty() && *earlier_root == tlog_tiles::EMPTY_HASH.0;
    }
    if proof.len() > 64 {
        return false;
    }
    let proof = proof.iter().map(|node| Hash(*node)).collect();
    tlog_tiles::check_tree(&proof, size, Hash(*root), earlier, Hash(*earlier_root)).is_ok()
}

/// The hash of an entry's leaf: SHA-256(0 ‖ entry).
#[must_use]
pub fn leaf(entry: &[u8; 32]) -> [u8; 32] {
    tlog_tiles::record_hash(entry).0
}

struct Nodes<F>(F);

impl<F: Fn(u64) -> Option<[u8; 32]>> HashReader for Nodes<F> {
    fn read_hashes(&self, numbers: &[u64]) -> Result<Vec<Hash>, tlog_tiles::Error> {
        numbers
            .iter()
            .map(|number| (self.0)(*number).map(Hash).ok_or(tlog_tiles::Error::IndexesNotInTree))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use sha2::{Digest, Sha256};

    use super::*;

    fn node(parts: &[&[u8]]) -> [u8; 32] {
        Sha256::digest(parts.concat()).into()
    }

    /// RFC 6962 §2.1 as it is written, without storing anything.
    fn by_definition(entries: &[[u8; 32]]) -> [u8; 32] {
        match entries {
            [] => node(&[]),
            [entry] => node(&[&[0], entry]),
            _ => {
                let (left, right) = entries.split_at(entries.len().next_power_of_two() / 2);
                node(&[&[1], &by_definition(left), &by_definition(right)])
            }
        }
    }

    #[test]
    fn every_root_and_proof_of_the_first_seventy() {
        let entries: Vec<[u8; 32]> = (0..70_u8).map(|i| node(&[&[i]])).collect();
        let mut nodes = HashMap::new();
        for (position, entry) in (0..).zip(&entries) {
            nodes.extend(append(position, entry, |number| nodes.get(&number).copied()).unwrap());
            let size = position + 1;
            let root = root(size, |number| nodes.get(&number).copied()).unwrap();
            assert_eq!(root, by_definition(&entries[..size as usize]), "root of {size}");
            for (shown, entry) in (0..size).zip(&entries) {
                let proof = prove(size, shown, |number| nodes.get(&number).copied()).unwrap();
                assert!(includes(&root, size, shown, entry, &proof), "{shown} in {size}");
                assert!(
                    !includes(&root, size, shown, &[7; 32], &proof),
                    "another entry at {shown} in {size}"
                );
                assert!(!includes(&root, size, size, entry, &proof), "beyond the end of {size}");
                assert!(
                    !includes(&root, size, shown, entry, &[proof, vec![[0; 32]]].concat()),
                    "a longer proof"
                );
            }
        }
    }

    #[test]
    fn every_earlier_tree_of_the_first_forty() {
        let mut nodes = HashMap::new();
        let mut roots = vec![root(0, |_| None).unwrap()];
        for position in 0..40_u64 {
            let entry = node(&[&position.to_be_bytes()]);
            nodes.extend(append(position, &entry, |number| nodes.get(&number).copied()).unwrap());
            roots.push(root(position + 1, |number| nodes.get(&number).copied()).unwrap());
            let size = position + 1;
            for earlier in 0..=size {
                let proof = prove_consistency(size, earlier, |number| nodes.get(&number).copied()).unwrap();
                let shows = |old: u64, old_root: &[u8; 32], proof: &[[u8; 32]]| {
                    consistent(&roots[size as usize], size, old_root, old, proof)
                };
                let old = &roots[earlier as usize];
                assert!(shows(earlier, old, &proof), "{earlier} in {size}");
                assert!(!shows(earlier, &[7; 32], &proof), "another root at {earlier} in {size}");
                assert!(
                    !shows(earlier, old, &[proof.clone(), vec![[0; 32]]].concat()),
                    "a longer proof"
                );
                assert!(!shows(size + 1, old, &proof), "a later tree");
                if earlier > 0 && earlier < size {
                    assert!(!shows(earlier, old, &proof[1..]), "a shorter proof");
                }
            }
        }
        assert_eq!(prove_consistency(3, 4, |_| Some([0; 32])), Err(MissingNode));
        assert!(!consistent(&[0; 32], u64::MAX, &[0; 32], 1 << 60, &vec![[0; 32]; 1000]));
    }

    #[test]
    fn a_missing_node_is_an_error() {
        assert_eq!(append(1, &[0; 32], |_| None), Err(MissingNode));
        assert_eq!(root(3, |_| None), Err(MissingNode));
        assert_eq!(prove(3, 3, |_| Some([0; 32])), Err(MissingNode));
        assert!(!includes(&[0; 32], u64::MAX, 1 << 60, &[0; 32], &vec![[0; 32]; 1000]));
    }
}
