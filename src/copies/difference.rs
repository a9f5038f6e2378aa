//! The blocks in which two versions differ.

use super::{BlockMap, Extent};
use crate::types::block_set::BlockSet;
use crate::types::keys::BlobId;
use std::ops::Range;

/// The blocks that are not the same in both maps.
pub(super) fn changed(one: &BlockMap, other: &BlockMap) -> BlockSet {
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
    rest: std::slice::Iter<'m, Extent>,
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
            prop_assert_eq!(BlockMap::of(&one).changed(&BlockMap::of(&other)), expected);
        }

        #[test]
        fn the_blob_of_each_block_is_found(
            blocks in proptest::collection::btree_map(0u64..40, -2i64..30, 0..40),
        ) {
            let map = BlockMap::of(&blocks);
            for block in 0..42 {
                prop_assert_eq!(map.get(block), blocks.get(&block).map(|blob| BlobId(*blob)));
            }
        }
    }
}
