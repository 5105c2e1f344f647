//! The valid policy graph of RFC 9618, which replaces the tree of RFC 5280 §6.1: one node per policy and depth, so that no input
//! makes it grow exponentially; bounded besides.

use std::collections::BTreeMap;

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280::ANY_POLICY;

/// Nodes and edges of the whole graph.
const MAX_SIZE: usize = 16_384;

/// The graph would exceed its bound: such a path is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more policies and mappings than are read")]
pub(super) struct TooLarge;

struct Node {
    valid_policy: ObjectIdentifier,
    expected: Vec<ObjectIdentifier>,
    /// Positions in the level above.
    parents: Vec<usize>,
    alive: bool,
}

/// Levels from depth 0; a deleted node stays in place, dead. No level is NULL.
pub(super) struct PolicyGraph {
    levels: Vec<Vec<Node>>,
    size: usize,
}

impl PolicyGraph {
    /// §6.1.2 (a)
    pub(super) fn new() -> Self {
        let root = Node {
            valid_policy: ANY_POLICY,
            expected: vec![ANY_POLICY],
            parents: Vec::new(),
            alive: true,
        };
        Self {
            levels: vec![vec![root]],
            size: 1,
        }
    }

    pub(super) fn is_null(&self) -> bool {
        self.levels.is_empty()
    }

    /// §6.1.3 (d) and (e): the policies a certificate asserts; none makes the graph NULL.
    pub(super) fn certificate(&mut self, policies: &[ObjectIdentifier], any_allowed: bool) -> Result<(), TooLarge> {
        let Some(above) = self.levels.last() else {
            return Ok(());
        };
        let mut expecting: BTreeMap<ObjectIdentifier, Vec<usize>> = BTreeMap::new();
        let mut any_above = None;
        for (position, node) in above.iter().enumerate().filter(|(_, node)| node.alive) {
            for policy in &node.expected {
                expecting.entry(*policy).or_default().push(position);
            }
            if node.valid_policy == ANY_POLICY {
                any_above = Some(position);
            }
        }
        let node = |valid_policy, parents| Node {
            valid_policy,
            expected: vec![valid_policy],
            parents,
            alive: true,
        };
        let mut level = Vec::new();
        for policy in policies.iter().filter(|policy| **policy != ANY_POLICY) {
            if let Some(parents) = expecting.remove(policy) {
                level.push(node(*policy, parents));
            } else if let Some(position) = any_above {
                level.push(node(*policy, vec![position]));
            }
        }
        if any_allowed && policies.contains(&ANY_POLICY) {
            level.extend(expecting.into_iter().map(|(policy, parents)| node(policy, parents)));
        }
        self.grow(level.iter().map(|node| 1 + node.parents.len()).sum())?;
        self.levels.push(level);
        self.prune();
        Ok(())
    }

    /// §6.1.4 (b): the mappings of a CA, allowed or inhibited.
    pub(super) fn map(
        &mut self,
        mappings: &[(ObjectIdentifier, ObjectIdentifier)],
        allowed: bool,
    ) -> Result<(), TooLarge> {
        self.grow(mappings.len())?;
        let mut targets: BTreeMap<ObjectIdentifier, Vec<ObjectIdentifier>> = BTreeMap::new();
        for (from, to) in mappings {
            let to_all = targets.entry(*from).or_default();
            if !to_all.contains(to) {
                to_all.push(*to);
            }
        }
        let Some(level) = self.levels.last_mut() else {
            return Ok(());
        };
        let any_parents = level
            .iter()
            .find(|node| node.alive && node.valid_policy == ANY_POLICY)
            .map(|node| node.parents.clone());
        let mut grown = 0;
        for (from, to) in targets {
            match level.iter_mut().find(|node| node.alive && node.valid_policy == from) {
                Some(node) if allowed => node.expected = to,
                Some(node) => node.alive = false,
                None => {
                    if let (true, Some(parents)) = (allowed, &any_parents) {
                        grown += 1 + parents.len();
                        level.push(Node {
                            valid_policy: from,
                            expected: to,
                            parents: parents.clone(),
                            alive: true,
                        });
                    }
                }
            }
        }
        self.grow(grown)?;
        self.prune();
        Ok(())
    }

    /// §6.1.5 (g): the policies valid for the whole path, as the user asked; empty `asked` stands for anyPolicy.
    pub(super) fn user_constrained(&self, asked: &[ObjectIdentifier]) -> Vec<ObjectIdentifier> {
        let any_at = |depth: usize, position: &usize| {
            let node = self.levels.get(depth).and_then(|level| level.get(*position));
            node.is_some_and(|node| node.alive && node.valid_policy == ANY_POLICY)
        };
        let mut authority: Vec<ObjectIdentifier> = Vec::new();
        for (above, level) in self.levels.iter().skip(1).enumerate() {
            let children_of_any = level
                .iter()
                .filter(|node| node.alive && node.valid_policy != ANY_POLICY);
            let found = children_of_any.filter(|node| node.parents.iter().any(|position| any_at(above, position)));
            authority.extend(found.map(|node| node.valid_policy));
        }
        let any_at_end = self
            .levels
            .last()
            .is_some_and(|level| level.iter().any(|node| node.alive && node.valid_policy == ANY_POLICY));
        if any_at_end {
            authority.push(ANY_POLICY);
        }
        authority.sort_unstable();
        authority.dedup();
        if asked.is_empty() || asked.contains(&ANY_POLICY) {
            authority
        } else {
            asked
                .iter()
                .filter(|policy| any_at_end || authority.contains(policy))
                .copied()
                .collect()
        }
    }

    fn grow(&mut self, by: usize) -> Result<(), TooLarge> {
        self.size = self.size.saturating_add(by);
        if self.size > MAX_SIZE { Err(TooLarge) } else { Ok(()) }
    }

    /// Deletes nodes without children above the last level; a graph without nodes there is NULL.
    fn prune(&mut self) {
        let mut wanted: Option<Vec<usize>> = None;
        for level in self.levels.iter_mut().rev() {
            if let Some(wanted) = &wanted {
                for (position, node) in level.iter_mut().enumerate() {
                    node.alive = node.alive && wanted.binary_search(&position).is_ok();
                }
            }
            let mut parents: Vec<usize> = level
                .iter()
                .filter(|node| node.alive)
                .flat_map(|node| node.parents.iter().copied())
                .collect();
            parents.sort_unstable();
            parents.dedup();
            wanted = Some(parents);
        }
        if !self
            .levels
            .last()
            .is_some_and(|level| level.iter().any(|node| node.alive))
        {
            self.levels.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(number: u32) -> ObjectIdentifier {
        ObjectIdentifier::new(&format!("1.2.3.{number}")).unwrap()
    }

    #[test]
    fn crossing_mappings_do_not_explode() {
        let mut graph = PolicyGraph::new();
        let policies: Vec<_> = (0..40).map(policy).collect();
        let every: Vec<_> = policies
            .iter()
            .flat_map(|from| policies.iter().map(|to| (*from, *to)))
            .collect();
        let mut end = Ok(());
        for _ in 0..16 {
            end = graph
                .certificate(&policies, true)
                .and_then(|()| graph.map(&every, true));
            if end.is_err() {
                break;
            }
        }
        assert_eq!(end, Err(TooLarge));
    }

    #[test]
    fn mapped_policies_are_reported_in_the_anchors_words() {
        let mut graph = PolicyGraph::new();
        graph.certificate(&[policy(1)], true).unwrap();
        graph.map(&[(policy(1), policy(2))], true).unwrap();
        graph.certificate(&[policy(2)], true).unwrap();
        assert_eq!(graph.user_constrained(&[]), [policy(1)]);
        assert_eq!(graph.user_constrained(&[policy(2)]), []);
    }

    #[test]
    fn another_policy_makes_it_null() {
        let mut graph = PolicyGraph::new();
        graph.certificate(&[policy(1)], true).unwrap();
        graph.certificate(&[policy(2)], true).unwrap();
        assert!(graph.is_null());
    }
}
