//! Hands out the blocks to read, one at a time, to all reader threads.

use crate::io::Source;
use crate::types::block::Geometry;
use crate::types::block_set::BlockSet;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Mutex;

/// The next piece of work for a reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Read this block.
    Read(u64),
    /// The source reports these blocks as holes, so there is nothing to read.
    Holes(Range<u64>),
}

/// The blocks that remain. The cursor asks the source for holes only when it gets there, so a large sparse source is
/// asked once per extent.
pub(crate) struct Cursor<'a> {
    source: &'a dyn Source,
    geometry: Geometry,
    state: Mutex<Position>,
}

struct Position {
    left: VecDeque<Range<u64>>,
    /// The last answer of the source: a byte range with data.
    extent: Range<u64>,
}

impl<'a> Cursor<'a> {
    /// Hands out `blocks`.
    pub(crate) fn new(source: &'a dyn Source, geometry: Geometry, blocks: &BlockSet) -> Self {
        let left = blocks.ranges().iter().cloned().collect();
        Cursor { source, geometry, state: Mutex::new(Position { left, extent: 0..0 }) }
    }

    /// The next piece of work, or `None` at the end.
    pub(crate) fn next(&self) -> Option<Work> {
        let mut state = self.state.lock().unwrap_or_else(|e| e.into_inner());
        let range = state.left.pop_front()?;
        let offset = self.geometry.offset(range.start);
        if state.extent.end <= offset {
            // There is no data up to the end. Treat this as if data began there.
            let end = self.geometry.offset(self.geometry.blocks());
            state.extent = self.source.next_data(offset).unwrap_or(end..end);
        }
        let first = state.extent.start / u64::from(self.geometry.block_size());
        let (work, rest) = if first > range.start {
            let end = first.min(range.end);
            (Work::Holes(range.start..end), end..range.end)
        } else {
            (Work::Read(range.start), range.start + 1..range.end)
        };
        if !rest.is_empty() {
            state.left.push_front(rest);
        }
        Some(work)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::error::Result;

    /// A source that has data only in some byte ranges.
    struct Sparse(u64, Vec<Range<u64>>);

    impl Source for Sparse {
        fn url(&self) -> &str {
            "test://"
        }
        fn size(&self) -> u64 {
            self.0
        }
        fn read_at(&self, _: u64, _: &mut [u8]) -> Result<()> {
            Ok(())
        }
        fn next_data(&self, offset: u64) -> Option<Range<u64>> {
            self.1.iter().find(|r| r.end > offset).map(|r| r.start.max(offset)..r.end)
        }
    }

    fn all<const N: usize>(source: &Sparse, ranges: [Range<u64>; N]) -> Vec<Work> {
        let cursor = Cursor::new(source, Geometry::new(source.0, 10), &ranges.into());
        std::iter::from_fn(|| cursor.next()).collect()
    }

    #[test]
    fn a_block_with_a_byte_of_data_is_read_and_others_are_holes() {
        let source = Sparse(95, vec![12..13, 38..41, 94..95]);
        use Work::{Holes, Read};
        assert_eq!(
            all(&source, [0..10]),
            [Holes(0..1), Read(1), Holes(2..3), Read(3), Read(4), Holes(5..9), Read(9)]
        );
        assert_eq!(all(&source, [2..4, 6..8]), [Holes(2..3), Read(3), Holes(6..8)]);
        assert_eq!(all(&Sparse(95, vec![]), [0..4, 5..10]), [Holes(0..4), Holes(5..10)]);
        assert_eq!(all(&source, []), []);
    }
}
