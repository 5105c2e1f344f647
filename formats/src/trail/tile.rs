//! Tiles of the log, [C2SP tlog-tiles](https://c2sp.org/tlog-tiles): 256 nodes of one level of the tree, or the entries below
//! 256 leaves, by the name under which they are published.

use std::ops::Range;

/// Levels of the tree that one tile spans.
const HEIGHT: u8 = 8;
/// Nodes of a full tile.
const FULL: u32 = 256;
/// Tiles of a level above this begin beyond position 2^64.
const HIGHEST: u8 = 7;

/// What a tile has in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TileKind {
    /// Nodes; level 0 has the leaves' hashes, level n the roots of full tiles of level n − 1.
    Nodes(u8),
    /// The entries themselves: commitments, never the bodies.
    Entries,
}

/// One tile, full or partial. What it has never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tile {
    /// What is in it.
    pub kind: TileKind,
    index: u64,
    width: u32,
}

/// No tile has this name, or none of a tree that can exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the path of a tile (C2SP tlog-tiles)")]
pub struct TileError;

impl Tile {
    /// Reads what follows `tile/` in a path: `<L>/<N>[.p/<W>]` or `entries/<N>[.p/<W>]`.
    ///
    /// # Errors
    /// [`TileError`], also for levels no tree reaches.
    pub fn parse(path: &str) -> Result<Self, TileError> {
        let (level, rest) = path.split_once('/').ok_or(TileError)?;
        // The crate stops at a width of 0, whatever its spelling.
        if path
            .split_once(".p/")
            .is_some_and(|(_, width)| width.starts_with(['0', '+']))
        {
            return Err(TileError);
        }
        let kind = match level {
            "entries" => TileKind::Entries,
            digits => TileKind::Nodes(digits.parse().map_err(|_| TileError)?),
        };
        // The crate's own paths name the height, and call the entries data.
        let own = match kind {
            TileKind::Nodes(number) if number <= HIGHEST && number.to_string() == level => format!("tile/8/{path}"),
            TileKind::Nodes(_) => return Err(TileError),
            TileKind::Entries => format!("tile/8/data/{rest}"),
        };
        let tile = tlog_tiles::Tile::from_path(&own).map_err(|_| TileError)?;
        let parsed = Self {
            kind,
            index: tile.level_index(),
            width: tile.width(),
        };
        if parsed.width == 0 || parsed.range().is_none() {
            return Err(TileError);
        }
        Ok(parsed)
    }

    /// What follows `tile/` in its path.
    #[must_use]
    pub fn path(&self) -> String {
        let level = match self.kind {
            TileKind::Nodes(level) => level.to_string(),
            TileKind::Entries => "entries".to_owned(),
        };
        let own = tlog_tiles::Tile::new(HEIGHT, 0, self.index, self.width, false).path();
        format!("{level}/{}", own.strip_prefix("tile/8/0/").unwrap_or_default())
    }

    /// Whether the tree of `size` entries has all of it.
    #[must_use]
    pub fn within(&self, size: u64) -> bool {
        self.range().is_some_and(|range| range.end <= size)
    }

    /// The entries below it, by position.
    #[must_use]
    pub fn positions(&self) -> Range<u64> {
        self.range().unwrap_or_default()
    }

    /// The nodes in it, by number.
    #[must_use]
    pub fn nodes(&self) -> Vec<u64> {
        let level = match self.kind {
            TileKind::Nodes(level) => level * HEIGHT,
            TileKind::Entries => 0,
        };
        let first = self.index * u64::from(FULL);
        (first..first + u64::from(self.width))
            .map(|n| tlog_tiles::stored_hash_index(level, n))
            .collect()
    }

    fn range(&self) -> Option<Range<u64>> {
        let shift = match self.kind {
            TileKind::Nodes(level) => u32::from(level) * u32::from(HEIGHT),
            TileKind::Entries => 0,
        };
        let each = 1_u64.checked_shl(shift)?;
        let first = self.index.checked_mul(FULL.into())?;
        let end = first.checked_add(self.width.into())?;
        Some(first.checked_mul(each)?..end.checked_mul(each)?)
    }
}

/// A bundle of entries: each 32 bytes, led by its length as two bytes, big-endian.
#[must_use]
pub fn entry_bundle(commitments: &[[u8; 32]]) -> Vec<u8> {
    commitments
        .iter()
        .flat_map(|commitment| [0, 32].into_iter().chain(*commitment))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_specification() {
        let tile = Tile::parse("0/x001/x234/067").unwrap();
        assert_eq!(
            (tile.kind, tile.index, tile.width),
            (TileKind::Nodes(0), 1_234_067, 256)
        );
        assert_eq!(tile.positions(), 1_234_067 * 256..1_234_068 * 256);
        let partial = Tile::parse("entries/273.p/112").unwrap();
        assert_eq!((partial.kind, partial.positions()), (TileKind::Entries, 69_888..70_000));
        assert!(partial.within(70_000) && !partial.within(69_999));
        for path in [
            "0/x001/x234/067",
            "entries/273.p/112",
            "1/000",
            "2/000.p/1",
            "7/000.p/1",
        ] {
            assert_eq!(Tile::parse(path).unwrap().path(), path);
        }
        assert_eq!(Tile::parse("1/001").unwrap().positions(), 65_536..131_072);
        assert_eq!(Tile::parse("1/000.p/2").unwrap().nodes(), [510, 1021]);
    }

    #[test]
    fn what_is_no_tile_is_refused() {
        for path in [
            "",
            "0",
            "0/",
            "0/1",
            "0/0001",
            "00/001",
            "-1/001",
            "+1/001",
            "8/000",
            "63/000",
            "64/000",
            "0/001.p/0",
            "0/001.p/256",
            "0/001.p/01",
            "0/001.p/00",
            "0/001.p/+0",
            "entries/001.p/0",
            "0/x001",
            "0/001/002",
            "entries/1",
            "data/001",
            "x/001",
            "0/..",
            "7/256",
            "0/x999/x999/x999/x999/x999/x999/999",
            "1/x072/x057/x594/x037/x927/936",
        ] {
            assert_eq!(Tile::parse(path), Err(TileError), "{path}");
        }
    }

    #[test]
    fn a_bundle_is_lengths_and_entries() {
        let bundle = entry_bundle(&[[1; 32], [2; 32]]);
        assert_eq!(bundle.len(), 68);
        assert_eq!((&bundle[..3], &bundle[34..37]), (&[0, 32, 1][..], &[0, 32, 2][..]));
    }
}
