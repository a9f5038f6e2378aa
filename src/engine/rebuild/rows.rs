//! The blocks of versions, and the sums of their rows.

use super::survey::row_key;
use crate::copies::{BlockMap, RowSum};
use crate::meta::{Filled, Filling};
use crate::types::block_set::BlockSet;
use crate::types::keys::VersionKey;

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
        let changed = before.map(|before| (before, before.blocks.changed(&blocks)));
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn blocks_without_a_row_are_left_out(
            blocks in proptest::collection::btree_map(0u64..40, -2i64..30, 0..40),
            rows in proptest::collection::btree_set(1u64..30, 0..30),
        ) {
            let kept = blocks.iter().filter(|(_, blob)| **blob <= 0 || rows.contains(&blob.unsigned_abs()));
            let kept: BTreeMap<u64, i64> = kept.map(|(block, blob)| (*block, *blob)).collect();
            let rows = rows.iter().map(|id| *id..*id + 1).collect();
            prop_assert_eq!(with_rows(&BlockMap::of(&blocks), &rows), BlockMap::of(&kept));
        }
    }
}
