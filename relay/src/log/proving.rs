//! Tiles, proofs, and what makes an export prove itself: all from the tree's nodes, which the index keeps and which never change.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use formats::trail::{ExportHead, InclusionProof, Skipped, Tile, TileKind, cover, entry_bundle, subtree, tree};
use formats::wire::FacilityCode;

use crate::store::{Store, StoreError};

/// Bytes of a tile, and whether it is there in the tree of the newest checkpoint.
///
/// # Errors
/// [`StoreError`] if the store cannot be read.
pub async fn tile(store: &dyn Store, tile: &Tile) -> Result<Option<Vec<u8>>, StoreError> {
    if !tile.within(store.size().await?) {
        return Ok(None);
    }
    if tile.kind == TileKind::Entries {
        let positions = tile.positions();
        let count = usize::try_from(positions.end - positions.start).unwrap_or(usize::MAX);
        let records = store.records(None, positions.start, count).await?;
        let commitments: Vec<_> = records.iter().map(|record| record.commitment).collect();
        return Ok((commitments.len() == count).then(|| entry_bundle(&commitments)));
    }
    Ok(Some(store.nodes(tile.nodes()).await?.concat()))
}

/// The proof that the tree of `size` entries begins with that of `earlier`.
///
/// # Errors
/// [`StoreError`] if the store cannot be read; `Broken` if `earlier` is beyond `size`.
pub async fn prove_consistency(store: &dyn Store, size: u64, earlier: u64) -> Result<Vec<[u8; 32]>, StoreError> {
    with_nodes(store, |read| tree::prove_consistency(size, earlier, read)).await
}

/// The root of the tree of the first `size` entries.
///
/// # Errors
/// [`StoreError`] if the store cannot be read; `Broken` if there are not so many.
pub async fn root(store: &dyn Store, size: u64) -> Result<[u8; 32], StoreError> {
    with_nodes(store, |read| tree::root(size, read)).await
}

/// The `.tlog-proof` of the record at `position` under the newest checkpoint; `None` if there is no such record. An erased record's
/// proof shows its position alone.
///
/// # Errors
/// [`StoreError`] if the store cannot be read.
pub async fn prove(store: &dyn Store, position: u64) -> Result<Option<InclusionProof>, StoreError> {
    let note = store.checkpoint().await?;
    let size = size_of(&note)?;
    let records = store.records(None, position, 1).await?;
    let Some(record) = records
        .first()
        .filter(|record| record.position == position && position < size)
    else {
        return Ok(None);
    };
    let path = with_nodes(store, |read| tree::prove(size, position, read)).await?;
    Ok(Some(match &record.content {
        Some(content) => InclusionProof::of_record(position, &content.salt, &content.body, path, note),
        None => InclusionProof {
            extra: None,
            index: position,
            path,
            checkpoint: note,
        },
    }))
}

/// What an export that proves itself needs besides its records: where it ends, its first line, and the lines that stand for what it
/// leaves out.
#[derive(Debug, Clone)]
pub struct Outline {
    head: ExportHead,
    end: u64,
    /// Sizes of earlier checkpoints: what is left out is cut there, so that their roots can be computed.
    cuts: BTreeSet<u64>,
}

impl Outline {
    /// Under the newest checkpoint. `witnessed`: of each witness the newest it has cosigned ([`Kept::witnessed`](super::Kept::witnessed));
    /// `cuts`: sizes of checkpoints its reader holds.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    pub async fn new(
        store: &dyn Store,
        facility: Option<FacilityCode>,
        extract: bool,
        witnessed: Vec<String>,
        cuts: &[u64],
    ) -> Result<Self, StoreError> {
        let checkpoint = store.checkpoint().await?;
        let end = size_of(&checkpoint)?;
        let mut cuts: BTreeSet<u64> = cuts.iter().copied().collect();
        cuts.extend(store.stamped().await?.map(|stamped| stamped.size));
        let mut head = ExportHead {
            facility,
            extract,
            checkpoint,
            witnessed: Vec::new(),
        };
        for note in witnessed {
            let size = size_of(&note)?;
            if size <= end {
                cuts.insert(size);
                head.witnessed.push(note);
            }
        }
        Ok(Self { head, end, cuts })
    }

    /// The position after the last record: the size of the checkpoint's tree.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Whether records are left out by time, patient or person.
    #[must_use]
    pub fn is_extract(&self) -> bool {
        self.head.extract
    }

    /// Writes the first line.
    pub fn push_head(&self, out: &mut Vec<u8>) {
        self.head.push(out);
    }

    /// The lines that stand for the records of each range; none for an empty one.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    pub async fn skipped(&self, store: &dyn Store, gaps: &[Range<u64>]) -> Result<Vec<Vec<u8>>, StoreError> {
        let pieces: Vec<Vec<Range<u64>>> = gaps.iter().map(|gap| self.pieces(gap)).collect();
        let numbers = pieces.iter().flatten().flat_map(|piece| cover(piece.start, piece.end));
        let numbers: Vec<u64> = numbers.map(|(level, index)| subtree(level, index)).collect();
        let mut nodes = if numbers.is_empty() {
            Vec::new()
        } else {
            store.nodes(numbers).await?
        }
        .into_iter();
        let lines = pieces.into_iter().map(|pieces| {
            let mut out = Vec::new();
            for piece in pieces {
                let count = cover(piece.start, piece.end).len();
                Skipped {
                    from: piece.start,
                    to: piece.end,
                    nodes: nodes.by_ref().take(count).collect(),
                }
                .push(&mut out);
            }
            out
        });
        Ok(lines.collect())
    }

    /// A range cut at the sizes of earlier checkpoints.
    fn pieces(&self, gap: &Range<u64>) -> Vec<Range<u64>> {
        let (mut at, to) = (gap.start, gap.end.min(self.end));
        let mut pieces = Vec::new();
        while at < to {
            let next = self.cuts.range(at + 1..to).next().copied().unwrap_or(to);
            pieces.push(at..next);
            at = next;
        }
        pieces
    }
}

/// The size a checkpoint of the log's own states.
fn size_of(note: &str) -> Result<u64, StoreError> {
    let size = note.lines().nth(1).and_then(|size| size.parse().ok());
    size.ok_or_else(|| StoreError::Broken("the log's checkpoint is unreadable; run `hikyaku-relay rebuild`".into()))
}

/// Computes something from nodes that the store reads when they are asked for. Twice: which are wanted is known only by asking.
async fn with_nodes<T>(
    store: &dyn Store,
    compute: impl Fn(&dyn Fn(u64) -> Option<[u8; 32]>) -> Result<T, tree::MissingNode>,
) -> Result<T, StoreError> {
    let wanted = std::cell::RefCell::new(BTreeSet::new());
    let asked = compute(&|number| {
        wanted.borrow_mut().insert(number);
        Some([0; 32])
    });
    let broken = |_| StoreError::Broken("the log has no such record".into());
    asked.map_err(broken)?;
    let numbers: Vec<u64> = wanted.into_inner().into_iter().collect();
    let nodes = store.nodes(numbers.clone()).await?;
    let nodes: HashMap<u64, [u8; 32]> = numbers.into_iter().zip(nodes).collect();
    compute(&|number| nodes.get(&number).copied()).map_err(broken)
}

#[cfg(test)]
mod tests {
    use formats::trail::{Actor, Checkpoint, Event, ExportLine, LogKey, Verification};
    use time::macros::datetime;

    use super::*;
    use crate::store::{Batch, MemoryStore};

    async fn log(records: u64) -> (MemoryStore, LogKey) {
        let key = LogKey::from_seed("relay.example/trail", &[5; 32]).unwrap().0;
        let store = MemoryStore::new(key.clone()).unwrap();
        for number in 0..records {
            let event = Event::FacilityAdded {
                facility: format!("x-{}", number % 3).parse().unwrap(),
                name: format!("TEST {number}"),
            };
            let batch = Batch {
                actor: Actor::default(),
                time: datetime!(2026-11-22 01:00 UTC),
                events: vec![event],
                conditions: Vec::new(),
            };
            store.commit(batch).committed().await.unwrap();
        }
        (store, key)
    }

    #[tokio::test]
    async fn tiles_make_the_root_they_are_of() {
        let (store, key) = log(300).await;
        let read = async |path: &str| tile(&store, &Tile::parse(path).unwrap()).await.unwrap();
        let (full, partial) = (read("0/000").await.unwrap(), read("0/001.p/44").await.unwrap());
        assert_eq!((full.len(), partial.len()), (8192, 44 * 32));
        let mut frontier = formats::trail::Frontier::default();
        for leaf in full.chunks(32).chain(partial.chunks(32)) {
            frontier.push(leaf.try_into().unwrap());
        }
        let checkpoint = Checkpoint::verify(&store.checkpoint().await.unwrap(), key.vkey()).unwrap();
        assert_eq!((checkpoint.size, checkpoint.root), (300, frontier.root()));
        assert_eq!(read("1/000.p/1").await.unwrap().len(), 32);
        let bundle = read("entries/001.p/44").await.unwrap();
        let leaves = bundle
            .chunks(34)
            .map(|entry| tree::leaf(entry[2..].try_into().unwrap()));
        assert!(leaves.eq(partial.chunks(32).map(|leaf| <[u8; 32]>::try_from(leaf).unwrap())));
        for beyond in ["0/001", "0/001.p/45", "1/000.p/2", "2/000.p/1", "entries/001.p/45"] {
            assert_eq!(read(beyond).await, None, "{beyond}");
        }
    }

    #[tokio::test]
    async fn proofs_verify() {
        let (store, key) = log(20).await;
        for position in 0..20 {
            let proof = prove(&store, position).await.unwrap().unwrap();
            let proven = InclusionProof::parse(&proof.encode())
                .unwrap()
                .verify_record(key.vkey())
                .unwrap();
            assert!(proven.body.contains(&format!("TEST {position}\"")));
        }
        assert!(prove(&store, 20).await.unwrap().is_none());
        assert!(prove_consistency(&store, 20, 21).await.is_err());
        assert_eq!(prove_consistency(&store, 20, 0).await, Ok(Vec::new()));
    }

    #[tokio::test]
    async fn what_is_left_out_is_cut_at_the_checkpoints_its_reader_holds() {
        let (store, key) = log(100).await;
        let outline = Outline::new(&store, None, true, Vec::new(), &[9, 64, 200])
            .await
            .unwrap();
        let lines = outline.skipped(&store, &[0..0, 0..50, 50..1000]).await.unwrap();
        let ranges: Vec<_> = lines
            .concat()
            .split(|byte| *byte == b'\n')
            .filter_map(|line| match ExportLine::read(line, None) {
                Ok(ExportLine::Skipped(skipped)) => Some((skipped.from, skipped.to)),
                _ => None,
            })
            .collect();
        assert_eq!(ranges, [(0, 9), (9, 50), (50, 64), (64, 100)]);
        let mut head = Vec::new();
        outline.push_head(&mut head);
        let Ok(ExportLine::Head(head)) = ExportLine::read(&head, None) else {
            panic!("no first line")
        };
        let mut verification = Verification::new(&head, key.vkey(), &[], Vec::new()).unwrap();
        for line in lines
            .concat()
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            let Ok(ExportLine::Skipped(skipped)) = ExportLine::read(line, None) else {
                panic!("another line")
            };
            verification.skipped(&skipped).unwrap();
        }
        assert_eq!(verification.finish().unwrap().records, 0);
    }
}
