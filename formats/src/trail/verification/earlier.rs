//! Checkpoints an export is compared with: those its reader kept, those it brings itself, and what witnesses have cosigned. A
//! cosignature counts only of a tree the records were found to make.

use std::collections::BTreeSet;

use super::{Finding, FindingKind};
use crate::trail::{Checkpoint, CheckpointError, Cosignature, Frontier, WitnessKey, cosignatures};

/// An export brings no more checkpoints of its own: more are not looked at.
const MOST: usize = 10_000;

/// An earlier checkpoint of the same log, and how it fares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Earlier {
    /// As its caller named it.
    pub name: String,
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// Whether the log begins with its tree; `None` if the export left out so much that it cannot be told.
    pub agrees: Option<bool>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Compared {
    all: Vec<Earlier>,
    /// So many of them are the caller's own, the first ones.
    given: usize,
    /// Sizes at which a root is due, each with its place among all.
    due: BTreeSet<(u64, usize)>,
    /// Cosignatures, each with the place of the checkpoint it is of.
    cosigned: Vec<(usize, Cosignature)>,
}

impl Compared {
    pub(super) fn new(given: Vec<(String, Checkpoint)>) -> Self {
        let mut compared = Self {
            given: given.len(),
            ..Self::default()
        };
        for (name, checkpoint) in given {
            compared.add(name, checkpoint, Vec::new());
        }
        compared
    }

    /// A checkpoint that the export brings itself. One it is past already is compared with nothing.
    pub(super) fn bring(&mut self, name: &str, checkpoint: Checkpoint, cosigned: Vec<Cosignature>) {
        if self.all.len() < self.given + MOST {
            self.add(name.to_owned(), checkpoint, cosigned);
        }
    }

    fn add(&mut self, name: String, checkpoint: Checkpoint, cosigned: Vec<Cosignature>) {
        let place = self.all.len();
        self.due.insert((checkpoint.size, place));
        self.cosigned
            .extend(cosigned.into_iter().map(|cosigned| (place, cosigned)));
        self.all.push(Earlier {
            name,
            checkpoint,
            agrees: None,
        });
    }

    /// Compares with those due at this size. One whose size was passed in the midst of a subtree cannot be compared.
    pub(super) fn at(&mut self, frontier: &Frontier) {
        let size = frontier.size();
        while let Some((due, place)) = self.due.first().copied().filter(|(due, _)| *due <= size) {
            self.due.pop_first();
            if let Some(earlier) = self.all.get_mut(place).filter(|_| due == size) {
                earlier.agrees = Some(frontier.root() == earlier.checkpoint.root);
            }
        }
    }

    /// The first that is longer than the log.
    pub(super) fn longer(&self, size: u64) -> Option<&Earlier> {
        self.all.iter().find(|earlier| earlier.checkpoint.size > size)
    }

    /// The shortest whose root is another.
    pub(super) fn contradicts(&self) -> Option<&Earlier> {
        let disagrees = |earlier: &&Earlier| earlier.agrees == Some(false);
        self.all.iter().filter(disagrees).min_by_key(|one| one.checkpoint.size)
    }

    /// The longest below `size` whose root was right; `given`: of the caller's own alone. What a forked file brings itself is of
    /// the fork, and tells not how far both logs are one.
    pub(super) fn right_below(&self, size: u64, given: bool) -> u64 {
        let most = if given { self.given } else { self.all.len() };
        let right = self
            .all
            .iter()
            .take(most)
            .filter(|earlier| earlier.agrees == Some(true));
        let sizes = right.map(|earlier| earlier.checkpoint.size);
        sizes.filter(|right| *right < size).max().unwrap_or(0)
    }

    /// For each witness the largest size it has cosigned of the log that the records make, and its cosignature.
    pub(super) fn witnessed(&self, witnesses: &[String]) -> Vec<(String, Option<(u64, Cosignature)>)> {
        let by = |name: &String| {
            let of = self.cosigned.iter().filter(|(_, cosigned)| cosigned.witness == *name);
            let agreeing = of.filter_map(|(place, cosigned)| {
                let earlier = self.all.get(*place).filter(|one| one.agrees == Some(true))?;
                Some((earlier.checkpoint.size, cosigned.clone()))
            });
            (name.clone(), agreeing.max_by_key(|(size, _)| *size))
        };
        witnesses.iter().map(by).collect()
    }

    /// The caller's own, and of those the export brings the ones that could be compared.
    pub(super) fn told(self) -> Vec<Earlier> {
        let given = self.given;
        let all = self.all.into_iter().enumerate();
        all.filter(|(place, earlier)| *place < given || earlier.agrees.is_some())
            .map(|(_, earlier)| earlier)
            .collect()
    }
}

/// The cosignatures of known witnesses on a checkpoint.
pub(super) fn cosigned(note: &str, witnesses: &[WitnessKey]) -> Result<Vec<Cosignature>, Finding> {
    cosignatures(note, witnesses).map_err(|error| {
        let kind = match error {
            CheckpointError::Signature | CheckpointError::Key => FindingKind::WronglyWitnessed,
            CheckpointError::Malformed | CheckpointError::Origin => FindingKind::NotSigned,
        };
        Finding::at(kind, 0)
    })
}
