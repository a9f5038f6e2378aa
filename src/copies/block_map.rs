//! The blocks of a version, as extents.

use super::wire::{Reader, Writer};
use super::{CopyError, difference};
use crate::types::block_set::BlockSet;
use crate::types::keys::BlobId;

/// The name of this part in errors.
const PART: &str = "blocks";
/// Bytes that an extent has at least.
const LEAST: usize = 3;

/// Blocks that follow each other, and their blobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The first block.
    pub first: u64,
    /// Number of blocks, at least 1.
    pub count: u64,
    /// The blob of the first block. Above 0, the blobs of the other blocks have the row keys that follow it. From 0
    /// down it stands for a hole, which all blocks of the extent are.
    pub blob: BlobId,
}

impl Extent {
    fn is_hole(&self) -> bool {
        self.blob.0 <= 0
    }

    /// The block behind the last one.
    fn end(&self) -> u64 {
        self.first + self.count
    }

    /// The row key that continues the extent; `None` if there is none.
    fn next_blob(&self) -> Option<i64> {
        if self.is_hole() { Some(self.blob.0) } else { self.blob.0.checked_add_unsigned(self.count) }
    }

    fn blocks(self) -> impl Iterator<Item = (u64, BlobId)> {
        let step = u64::from(!self.is_hole());
        (0..self.count).map(move |n| (self.first + n, BlobId(self.blob.0.wrapping_add_unsigned(n * step))))
    }
}

/// Which blob each block of a version has. Blocks may be missing, as in an incomplete version. Block numbers go up to
/// 2^63 - 1, as in a database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockMap {
    /// Ascending, and as few as possible.
    extents: Vec<Extent>,
}

#[cfg(test)]
impl BlockMap {
    /// A map of these blocks and row keys.
    pub(crate) fn of(blocks: &std::collections::BTreeMap<u64, i64>) -> Self {
        let mut map = BlockMap::default();
        blocks.iter().for_each(|(block, blob)| map.push(*block, BlobId(*blob)).expect("in order"));
        map
    }
}

impl BlockMap {
    /// Adds a block behind all others.
    ///
    /// # Errors
    /// [`CopyError::Order`]: the block is not behind the last one, or it is above 2^63 - 1. The map is unchanged.
    pub fn push(&mut self, block: u64, blob: BlobId) -> Result<(), CopyError> {
        self.push_extent(Extent { first: block, count: 1, blob }).map(drop)
    }

    /// The extents, ascending. No two of them could be one.
    pub fn extents(&self) -> &[Extent] {
        &self.extents
    }

    /// The blocks, ascending, with their blobs.
    pub fn blocks(&self) -> impl Iterator<Item = (u64, BlobId)> {
        self.extents.iter().copied().flat_map(Extent::blocks)
    }

    /// The blob of a block; `None` if the block is missing.
    pub fn get(&self, block: u64) -> Option<BlobId> {
        let behind = self.extents.partition_point(|extent| extent.first <= block);
        let extent = self.extents[..behind].last().filter(|extent| block < extent.end())?;
        let step = if extent.is_hole() { 0 } else { block - extent.first };
        extent.blob.0.checked_add_unsigned(step).map(BlobId)
    }

    /// The blocks that are not the same in both maps.
    pub fn changed(&self, other: &BlockMap) -> BlockSet {
        difference::changed(self, other)
    }

    /// Number of blocks.
    pub fn count(&self) -> u64 {
        self.extents.iter().map(|extent| extent.count).sum()
    }

    /// Returns whether `extent` did not continue the last one. Its `count` is at least 1.
    fn push_extent(&mut self, extent: Extent) -> Result<bool, CopyError> {
        let end = self.extents.last().map_or(0, Extent::end);
        let highest = extent.first.checked_add(extent.count - 1);
        if extent.first < end || highest.is_none_or(|highest| highest > i64::MAX as u64) {
            return Err(CopyError::Order(PART));
        }
        let last = self
            .extents
            .last_mut()
            .filter(|last| last.end() == extent.first && last.next_blob() == Some(extent.blob.0));
        let is_new = last.is_none();
        match last {
            Some(last) => last.count += extent.count,
            None => self.extents.push(extent),
        }
        Ok(is_new)
    }

    /// Each extent: the blocks that are missing before it; its blocks less 1, doubled, plus 1 for a hole; its first
    /// row key, as difference to what would follow the last extent of its kind.
    pub(super) fn write(&self, to: &mut Writer) {
        to.number(self.extents.len() as u64);
        let (mut end, mut expected) = (0, Expected::default());
        for extent in &self.extents {
            to.number(extent.first - end);
            to.number((extent.count - 1) << 1 | u64::from(extent.is_hole()));
            to.difference(expected.of(extent.is_hole()), extent.blob.0);
            expected.after(extent);
            end = extent.end();
        }
    }

    pub(super) fn read(from: &mut Reader) -> Result<Self, CopyError> {
        let malformed = || CopyError::Malformed(PART);
        let (count, extents) = from.list(LEAST)?;
        let mut map = BlockMap { extents };
        let (mut end, mut expected): (u64, _) = (0, Expected::default());
        for _ in 0..count {
            let first = end.checked_add(from.number()?).ok_or_else(malformed)?;
            let count_and_kind = from.number()?;
            let is_hole = count_and_kind & 1 == 1;
            let blob = BlobId(from.difference(expected.of(is_hole))?);
            let extent = Extent { first, count: (count_and_kind >> 1) + 1, blob };
            let last_blob = blob.0.checked_add_unsigned(extent.count - 1);
            let fits = extent.is_hole() == is_hole && (is_hole || last_blob.is_some());
            if !fits || !map.push_extent(extent).map_err(|_| malformed())? {
                return Err(malformed());
            }
            expected.after(&extent);
            end = extent.end();
        }
        Ok(map)
    }
}

/// The row keys that would follow the last extents of both kinds.
struct Expected {
    stored: i64,
    hole: i64,
}

impl Default for Expected {
    fn default() -> Self {
        Expected { stored: 1, hole: 0 }
    }
}

impl Expected {
    fn of(&mut self, is_hole: bool) -> &mut i64 {
        if is_hole { &mut self.hole } else { &mut self.stored }
    }

    /// [`Writer::difference`] has set the first row key of `extent`.
    fn after(&mut self, extent: &Extent) {
        if !extent.is_hole() {
            self.stored = extent.blob.0.wrapping_add_unsigned(extent.count);
        }
    }
}
