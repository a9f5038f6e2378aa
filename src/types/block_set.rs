//! Sets of blocks.

use super::block::Geometry;
use std::ops::Range;

/// A set of blocks, as ranges of block numbers. The ranges are ascending and not empty, and no two of them touch.
/// Only this file makes ranges of a set, so every set has that form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockSet {
    ranges: Vec<Range<u64>>,
}

impl BlockSet {
    /// The ranges, ascending.
    pub fn ranges(&self) -> &[Range<u64>] {
        &self.ranges
    }

    /// The blocks, ascending.
    pub fn blocks(&self) -> impl Iterator<Item = u64> {
        self.ranges.iter().cloned().flatten()
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Number of blocks.
    pub fn count(&self) -> u64 {
        self.ranges.iter().map(|range| range.end - range.start).sum()
    }

    /// Number of bytes in its blocks.
    pub fn bytes(&self, geometry: Geometry) -> u64 {
        self.ranges.iter().map(|range| geometry.bytes(range)).sum()
    }

    /// Whether the set contains block `id`.
    pub fn contains(&self, id: u64) -> bool {
        let behind = self.ranges.partition_point(|range| range.end <= id);
        self.ranges.get(behind).is_some_and(|range| range.start <= id)
    }

    /// The block at position `n`, counted from 0, in ascending order.
    pub fn nth(&self, mut n: u64) -> Option<u64> {
        self.ranges.iter().find_map(|range| {
            let length = range.end - range.start;
            if n < length {
                return Some(range.start + n);
            }
            n -= length;
            None
        })
    }

    /// Adds the blocks of `range`.
    pub fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        // Merge all ranges that touch the new one.
        let first = self.ranges.partition_point(|before| before.end < range.start);
        let behind = self.ranges.partition_point(|before| before.start <= range.end);
        let touched = &self.ranges[first..behind];
        let start = touched.first().map_or(range.start, |touched| touched.start.min(range.start));
        let end = touched.last().map_or(range.end, |touched| touched.end.max(range.end));
        self.ranges.splice(first..behind, [start..end]);
    }

    /// The blocks that are in either set.
    pub fn union(&self, other: &BlockSet) -> BlockSet {
        self.ranges.iter().chain(&other.ranges).cloned().collect()
    }

    /// The blocks of this set that are not in `away`.
    pub fn subtract(&self, away: &BlockSet) -> BlockSet {
        let away = &away.ranges;
        let mut left = Vec::with_capacity(self.ranges.len());
        let mut skip = 0;
        for range in &self.ranges {
            let mut start = range.start;
            while skip < away.len() && away[skip].end <= start {
                skip += 1;
            }
            for hole in away[skip..].iter().take_while(|hole| hole.start < range.end) {
                if start < hole.start {
                    left.push(start..hole.start);
                }
                start = start.max(hole.end);
            }
            if start < range.end {
                left.push(start..range.end);
            }
        }
        BlockSet { ranges: left }
    }

    /// The blocks that are in both sets.
    pub fn intersect(&self, other: &BlockSet) -> BlockSet {
        self.subtract(&self.subtract(other))
    }
}

impl From<Range<u64>> for BlockSet {
    fn from(range: Range<u64>) -> Self {
        [range].into()
    }
}

impl<const N: usize> From<[Range<u64>; N]> for BlockSet {
    fn from(ranges: [Range<u64>; N]) -> Self {
        ranges.into_iter().collect()
    }
}

/// From ranges in any order, which may overlap or be empty.
impl FromIterator<Range<u64>> for BlockSet {
    fn from_iter<I: IntoIterator<Item = Range<u64>>>(ranges: I) -> Self {
        BlockSet { ranges: joined(ranges) }
    }
}

/// From single blocks in any order.
impl FromIterator<u64> for BlockSet {
    fn from_iter<I: IntoIterator<Item = u64>>(ids: I) -> Self {
        ids.into_iter().map(|id| id..id + 1).collect()
    }
}

/// Sorts the ranges, joins ranges that touch, and drops empty ones. The numbers may be blocks or bytes.
pub fn joined(ranges: impl IntoIterator<Item = Range<u64>>) -> Vec<Range<u64>> {
    let mut sorted: Vec<Range<u64>> = ranges.into_iter().filter(|range| !range.is_empty()).collect();
    sorted.sort_by_key(|range| range.start);
    let mut joined: Vec<Range<u64>> = Vec::with_capacity(sorted.len());
    for range in sorted {
        match joined.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}

#[cfg(test)]
impl<const N: usize> PartialEq<[Range<u64>; N]> for BlockSet {
    fn eq(&self, ranges: &[Range<u64>; N]) -> bool {
        self.ranges == *ranges
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Some ranges, in any order.
    fn ranges(random: &mut fastrand::Rng) -> Vec<Range<u64>> {
        let range = |random: &mut fastrand::Rng| {
            let start = random.u64(0..20);
            start..start + random.u64(0..6)
        };
        (0..random.usize(0..5)).map(|_| range(random)).collect()
    }

    fn is_well_formed(set: &BlockSet) -> bool {
        set.ranges.iter().all(|range| !range.is_empty())
            && set.ranges.windows(2).all(|pair| pair[0].end < pair[1].start)
    }

    #[test]
    fn sets_contain_exactly_the_numbers_of_their_ranges() {
        for seed in 0..2000u64 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (some, others) = (ranges(&mut random), ranges(&mut random));
            let is_in = |ranges: &[Range<u64>], id: u64| ranges.iter().any(|range| range.contains(&id));
            let (a, b): (BlockSet, BlockSet) =
                (some.iter().cloned().collect(), others.iter().cloned().collect());
            let mut grown = a.clone();
            others.iter().for_each(|range| grown.insert(range.clone()));
            assert_eq!(grown, a.union(&b), "{some:?} {others:?}");
            for id in 0..30 {
                let (in_a, in_b) = (is_in(&some, id), is_in(&others, id));
                assert_eq!(a.contains(id), in_a);
                assert_eq!(a.union(&b).contains(id), in_a || in_b);
                assert_eq!(a.subtract(&b).contains(id), in_a && !in_b);
                assert_eq!(a.intersect(&b).contains(id), in_a && in_b);
            }
            for set in [&a, &b, &grown, &a.subtract(&b), &a.intersect(&b)] {
                assert!(is_well_formed(set), "{set:?}");
                let blocks: Vec<u64> = set.blocks().collect();
                assert_eq!(set.count(), blocks.len() as u64);
                assert_eq!(blocks.iter().copied().collect::<BlockSet>(), *set);
                assert_eq!((0..set.count()).filter_map(|n| set.nth(n)).collect::<Vec<u64>>(), blocks);
                assert_eq!(set.nth(set.count()), None);
            }
        }
    }

    #[test]
    fn the_last_block_counts_with_its_own_bytes() {
        let set = BlockSet::from([0..1, 2..3]);
        assert_eq!(set.bytes(Geometry::new(10, 4)), 6);
    }
}
