//! The blocks of versions: which have changed between two of them, and the sums of their rows.

use super::survey::row_key;
use crate::copies::{BlockMap, RowSum};
use crate::meta::{Filled, Filling};
use crate::types::block_set::BlockSet;
use crate::types::keys::{BlobId, VersionKey};
use std::ops::Range;

/// The blocks of `map` whose blobs have a row, and its holes.
pub(super) fn with_rows(map: &BlockMap, rows: &BlockSet) -> BlockMap {
    let mut kept = BlockMap::default();
    for (block, blob) in map.blocks() {
        if row_key(blob).is_none_or(|id| rows.contains(id)) {
            // Blocks of a map ascend, so that each can be added.
            let _ = kept.push(block, blob);
        }
    }
    kept
}

/// A version whose rows are in the database, and their sum.
pub(super) struct Summed {
    pub(super) key: VersionKey,
    pub(super) blocks: BlockMap,
    pub(super) sum: [u8; 32],
}

impl Summed {
    /// The sum of the rows of a version. It is computed from that of `before`, if that is less work.
    pub(super) fn new(
        filling: &mut Filling<'_>,
        rows_key: &[u8; 32],
        key: VersionKey,
        blocks: BlockMap,
        before: Option<&Summed>,
    ) -> Filled<Self> {
        let changed = before.map(|before| (before, changed(&before.blocks, &blocks)));
        let near = changed.filter(|(_, changed)| changed.count() < blocks.count() / 2);
        let mut sum = RowSum::new(rows_key);
        match &near {
            Some((before, changed)) => {
                sum = RowSum::resume(rows_key, before.sum);
                for range in changed.ranges() {
                    filling.rows(before.key, range, &mut |row| sum.sub(row))?;
                    filling.rows(key, range, &mut |row| sum.add(row))?;
                }
            }
            None => filling.rows(key, &(0..i64::MAX as u64), &mut |row| sum.add(row))?,
        }
        Ok(Summed { key, blocks, sum: sum.bytes() })
    }
}

/// The blocks that are not the same in both maps.
fn changed(one: &BlockMap, other: &BlockMap) -> BlockSet {
    let (mut left, mut right) = (Pieces::new(one), Pieces::new(other));
    let mut changed = Vec::new();
    loop {
        let (range, same) = match (left.next.clone(), right.next.clone()) {
            (None, None) => break,
            (Some(piece), None) => (piece.blocks, false),
            (None, Some(piece)) => (piece.blocks, false),
            (Some(a), Some(b)) if a.blocks.start == b.blocks.start => {
                let end = a.blocks.end.min(b.blocks.end);
                (a.blocks.start..end, a.blob == b.blob && (a.is_hole() == b.is_hole()))
            }
            (Some(a), Some(b)) => {
                let start = a.blocks.start.min(b.blocks.start);
                let (first, second) = if start == a.blocks.start { (a, b) } else { (b, a) };
                (start..first.blocks.end.min(second.blocks.start), false)
            }
        };
        left.drop_until(range.end);
        right.drop_until(range.end);
        if !same {
            changed.push(range);
        }
    }
    changed.into_iter().collect()
}

/// Part of an extent.
#[derive(Clone)]
struct Piece {
    blocks: Range<u64>,
    blob: BlobId,
}

impl Piece {
    fn is_hole(&self) -> bool {
        self.blob.0 <= 0
    }
}

/// The extents of a map from some block on.
struct Pieces<'m> {
    rest: std::slice::Iter<'m, crate::copies::Extent>,
    next: Option<Piece>,
}

impl<'m> Pieces<'m> {
    fn new(map: &'m BlockMap) -> Self {
        let mut pieces = Pieces { rest: map.extents().iter(), next: None };
        pieces.advance();
        pieces
    }

    fn advance(&mut self) {
        self.next = self
            .rest
            .next()
            .map(|e| Piece { blocks: e.first..e.first.saturating_add(e.count), blob: e.blob });
    }

    /// Goes to the first piece that is not before `block`.
    fn drop_until(&mut self, block: u64) {
        let Some(piece) = &mut self.next else { return };
        if piece.blocks.end <= block {
            return self.advance();
        }
        if piece.blocks.start < block {
            if !piece.is_hole() {
                piece.blob.0 += (block - piece.blocks.start) as i64;
            }
            piece.blocks.start = block;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn map(blocks: &BTreeMap<u64, i64>) -> BlockMap {
        let mut map = BlockMap::default();
        blocks.iter().for_each(|(block, blob)| map.push(*block, BlobId(*blob)).expect("in order"));
        map
    }

    proptest! {
        #[test]
        fn exactly_the_blocks_that_differ_have_changed(
            one in proptest::collection::btree_map(0u64..40, -2i64..30, 0..40),
            other in proptest::collection::btree_map(0u64..40, -2i64..30, 0..40),
            same in 0usize..40,
        ) {
            // Parts of them agree.
            let mut other = other;
            other.extend(one.iter().take(same).map(|(block, blob)| (*block, *blob)));
            let expected: BlockSet =
                (0..40).filter(|block| one.get(block) != other.get(block)).map(|block| block..block + 1).collect();
            prop_assert_eq!(changed(&map(&one), &map(&other)), expected);
        }

        #[test]
        fn blocks_without_a_row_are_left_out(
            blocks in proptest::collection::btree_map(0u64..40, -2i64..30, 0..40),
            rows in proptest::collection::btree_set(1u64..30, 0..30),
        ) {
            let kept = blocks.iter().filter(|(_, blob)| **blob <= 0 || rows.contains(&blob.unsigned_abs()));
            let kept: BTreeMap<u64, i64> = kept.map(|(block, blob)| (*block, *blob)).collect();
            let rows = rows.iter().map(|id| *id..*id + 1).collect();
            prop_assert_eq!(with_rows(&map(&blocks), &rows), map(&kept));
        }
    }
}
