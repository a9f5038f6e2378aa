//! What a backup does with each block: carry it over from the base, call it sparse, or read it.
//!
//! Pure: from sets of blocks to sets of blocks.

use crate::types::block::Geometry;
use crate::types::hints::{Hints, count, intersect, merge, subtract};
use std::ops::Range;

/// The version that unchanged blocks are taken from.
#[derive(Clone, Debug)]
pub struct Base {
    /// Its shape; the block size is the source's.
    pub geometry: Geometry,
    /// Blocks of it that cannot be used: their blob is invalid, or they have no row.
    pub unusable: Vec<Range<u64>>,
}

/// The three sets that together are all blocks but those that were there before. Each is ascending and
/// disjoint, and so are they among each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Taken over from the base.
    pub carry: Vec<Range<u64>>,
    /// Known to be zero, and not read.
    pub sparse: Vec<Range<u64>>,
    /// Read from the source.
    pub read: Vec<Range<u64>>,
}

impl Plan {
    /// Plans the backup of a source of shape `source`. `present` are blocks that an interrupted run has
    /// stored already.
    ///
    /// Without hints everything is read: unchanged blocks are found by their checksum.
    pub fn new(source: Geometry, hints: Option<&Hints>, base: Option<&Base>, present: &[Range<u64>]) -> Plan {
        let all = subtract(&[0..source.blocks()], present);
        let Some(hints) = hints else { return Plan { read: all, ..Plan::default() } };
        let mut read = intersect(&all, &hints.read);
        let mut sparse = intersect(&all, &hints.sparse);
        let rest = subtract(&subtract(&all, &read), &sparse);
        let Some(base) = base else {
            return Plan { carry: Vec::new(), sparse: merge([sparse, rest].concat()), read };
        };
        let beyond = [base.geometry.blocks()..u64::MAX];
        sparse.extend(intersect(&rest, &beyond));
        let within = subtract(&rest, &beyond);
        let carry = subtract(&within, &merge([base.unusable.clone(), resized(source, base)].concat()));
        read.extend(subtract(&within, &carry));
        Plan { carry, sparse: merge(sparse), read: merge(read) }
    }
}

/// Up to ten blocks of `ranges` (ascending and disjoint), ascending, to be compared with the source: the first five and
/// others at random. A hints file of another image, or another source, will hardly pass that.
pub fn sample(ranges: &[Range<u64>], random: &mut fastrand::Rng) -> Vec<u64> {
    const CHECKS: u64 = 10;
    let total = count(ranges);
    let nth = |n: u64| {
        let mut n = n;
        ranges.iter().find_map(|range| {
            let length = range.end - range.start;
            if n < length {
                return Some(range.start + n);
            }
            n -= length;
            None
        })
    };
    let mut chosen: Vec<u64> = (0..total.min(CHECKS / 2)).collect();
    if total <= CHECKS {
        chosen = (0..total).collect();
    }
    while (chosen.len() as u64) < total.min(CHECKS) {
        let n = random.u64(CHECKS / 2..total);
        if !chosen.contains(&n) {
            chosen.push(n);
        }
    }
    chosen.sort_unstable();
    chosen.into_iter().filter_map(nth).collect()
}

/// The block that ends in another place than in the base: the image was grown or shrunk at its end.
fn resized(source: Geometry, base: &Base) -> Vec<Range<u64>> {
    let last = source.blocks().min(base.geometry.blocks());
    match last.checked_sub(1) {
        Some(id) if source.length(id) != base.geometry.length(id) => vec![id..last],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BLOCK: u32 = 4;

    fn ranges() -> impl Strategy<Value = Vec<Range<u64>>> {
        proptest::collection::vec((0u64..14, 0u64..4), 0..4)
            .prop_map(|list| merge(list.into_iter().map(|(start, length)| start..start + length).collect()))
    }

    fn has(ranges: &[Range<u64>], id: u64) -> bool {
        ranges.iter().any(|range| range.contains(&id))
    }

    /// The rules of a backup for one block, as the specification words them.
    fn model(id: u64, source: Geometry, hints: Option<&Hints>, base: Option<&Base>) -> &'static str {
        let Some(hints) = hints else { return "read" };
        if has(&hints.read, id) {
            return "read";
        }
        if has(&hints.sparse, id) {
            return "sparse";
        }
        match base {
            None => "sparse",
            Some(base) if id >= base.geometry.blocks() => "sparse",
            Some(base) if has(&base.unusable, id) => "read",
            Some(base) if base.geometry.length(id) != source.length(id) => "read",
            Some(_) => "carry",
        }
    }

    proptest! {
        #[test]
        fn every_block_has_the_state_of_the_model(
            size in 0u64..50, base_size in proptest::option::of(0u64..50), hinted: bool,
            read in ranges(), gone in ranges(), unusable in ranges(), present in ranges(),
        ) {
            let source = Geometry::new(size, BLOCK);
            let hints = hinted.then(|| Hints { sparse: subtract(&gone, &read), read });
            let base = base_size.map(|size| Base { geometry: Geometry::new(size, BLOCK), unusable });
            let plan = Plan::new(source, hints.as_ref(), base.as_ref(), &present);
            for id in 0..source.blocks() + 3 {
                let states = [("carry", &plan.carry), ("sparse", &plan.sparse), ("read", &plan.read)];
                let found: Vec<&str> = states.iter().filter(|(_, r)| has(r, id)).map(|(s, _)| *s).collect();
                let want: &[&str] = match id < source.blocks() && !has(&present, id) {
                    true => &[model(id, source, hints.as_ref(), base.as_ref())],
                    false => &[],
                };
                prop_assert_eq!(&found[..], want, "block {}", id);
            }
            for set in [&plan.carry, &plan.sparse, &plan.read] {
                prop_assert_eq!(&merge(set.to_vec()), set, "ascending and disjoint");
            }
        }

        #[test]
        fn checks_are_of_the_given_blocks(carry in ranges(), seed: u64) {
            let checks = sample(&carry, &mut fastrand::Rng::with_seed(seed));
            prop_assert_eq!(checks.len() as u64, count(&carry).min(10));
            prop_assert!(checks.iter().all(|id| has(&carry, *id)));
            prop_assert!(checks.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }

    #[test]
    fn half_of_the_checks_come_from_the_start() {
        let checks = sample(&[5..8, 100..1_000_000], &mut fastrand::Rng::with_seed(1));
        assert_eq!((checks.len(), &checks[..5]), (10, &[5, 6, 7, 100, 101][..]));
        assert!(checks[9] > 1000, "{checks:?}");
    }
}
