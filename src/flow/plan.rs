//! Decides for each block of a backup whether to carry it over from the base, call it sparse, or read it.
//!
//! Pure: it computes sets of blocks from sets of blocks.

use crate::types::block::Geometry;
use crate::types::block_set::BlockSet;
use crate::types::hints::Hints;

/// The blocks that can be carried over from a base.
#[derive(Clone, Debug)]
pub struct BaseBlocks {
    /// Shape of the base. Its block size is that of the source.
    pub geometry: Geometry,
    /// Blocks of the base that cannot be used: their blob is invalid, or they have no row.
    pub unusable: BlockSet,
}

/// Three disjoint sets, which together are all blocks except those that an interrupted run has stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Carried over from the base.
    pub carry: BlockSet,
    /// Known to be zero, and not read.
    pub sparse: BlockSet,
    /// Read from the source.
    pub read: BlockSet,
}

impl Plan {
    /// Plans the backup of a source of shape `source`. `present` are blocks that an interrupted run has
    /// stored already.
    ///
    /// Without hints everything is read: unchanged blocks are found by their checksum.
    pub fn new(
        source: Geometry,
        hints: Option<&Hints>,
        base: Option<&BaseBlocks>,
        present: &BlockSet,
    ) -> Plan {
        let all = BlockSet::from(0..source.blocks()).subtract(present);
        let Some(hints) = hints else { return Plan { read: all, ..Plan::default() } };
        let read = all.intersect(&hints.read);
        let sparse = all.intersect(&hints.sparse);
        let rest = all.subtract(&read).subtract(&sparse);
        let Some(base) = base else {
            return Plan { carry: BlockSet::default(), sparse: sparse.union(&rest), read };
        };
        let beyond = BlockSet::from(base.geometry.blocks()..u64::MAX);
        let within = rest.subtract(&beyond);
        let carry = within.subtract(&base.unusable).subtract(&resized(source, base));
        Plan {
            sparse: sparse.union(&rest.intersect(&beyond)),
            read: read.union(&within.subtract(&carry)),
            carry,
        }
    }
}

/// Selects up to ten of `blocks` to compare with the source: the first five, and others at random. Returns them in
/// ascending order. A hints file of another image, or another source, will hardly pass that comparison.
pub fn sample(blocks: &BlockSet, random: &mut fastrand::Rng) -> Vec<u64> {
    const CHECKS: u64 = 10;
    let total = blocks.count();
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
    chosen.into_iter().filter_map(|n| blocks.nth(n)).collect()
}

/// The block whose length differs from the base, because the image has grown or shrunk at its end.
fn resized(source: Geometry, base: &BaseBlocks) -> BlockSet {
    let last = source.blocks().min(base.geometry.blocks());
    match last.checked_sub(1) {
        Some(id) if source.length(id) != base.geometry.length(id) => (id..last).into(),
        _ => BlockSet::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BLOCK: u32 = 4;

    fn blocks() -> impl Strategy<Value = BlockSet> {
        proptest::collection::vec((0u64..14, 0u64..4), 0..4)
            .prop_map(|list| list.into_iter().map(|(start, length)| start..start + length).collect())
    }

    /// The rules of a backup for one block, as the specification words them.
    fn model(id: u64, source: Geometry, hints: Option<&Hints>, base: Option<&BaseBlocks>) -> &'static str {
        let Some(hints) = hints else { return "read" };
        if hints.read.contains(id) {
            return "read";
        }
        if hints.sparse.contains(id) {
            return "sparse";
        }
        match base {
            None => "sparse",
            Some(base) if id >= base.geometry.blocks() => "sparse",
            Some(base) if base.unusable.contains(id) => "read",
            Some(base) if base.geometry.length(id) != source.length(id) => "read",
            Some(_) => "carry",
        }
    }

    proptest! {
        #[test]
        fn every_block_has_the_state_of_the_model(
            size in 0u64..50, base_size in proptest::option::of(0u64..50), hinted: bool,
            read in blocks(), gone in blocks(), unusable in blocks(), present in blocks(),
        ) {
            let source = Geometry::new(size, BLOCK);
            let hints = hinted.then(|| Hints { sparse: gone.subtract(&read), read });
            let base = base_size.map(|size| BaseBlocks { geometry: Geometry::new(size, BLOCK), unusable });
            let plan = Plan::new(source, hints.as_ref(), base.as_ref(), &present);
            for id in 0..source.blocks() + 3 {
                let states = [("carry", &plan.carry), ("sparse", &plan.sparse), ("read", &plan.read)];
                let found: Vec<&str> = states.iter().filter(|(_, set)| set.contains(id)).map(|(s, _)| *s).collect();
                let want: &[&str] = if id < source.blocks() && !present.contains(id) { &[model(id, source, hints.as_ref(), base.as_ref())] } else { &[] };
                prop_assert_eq!(&found[..], want, "block {}", id);
            }
        }

        #[test]
        fn checks_are_of_the_given_blocks(carry in blocks(), seed: u64) {
            let checks = sample(&carry, &mut fastrand::Rng::with_seed(seed));
            prop_assert_eq!(checks.len() as u64, carry.count().min(10));
            prop_assert!(checks.iter().all(|id| carry.contains(*id)));
            prop_assert!(checks.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }

    #[test]
    fn half_of_the_checks_come_from_the_start() {
        let checks = sample(&[5..8, 100..1_000_000].into(), &mut fastrand::Rng::with_seed(1));
        assert_eq!((checks.len(), &checks[..5]), (10, &[5, 6, 7, 100, 101][..]));
        assert!(checks[9] > 1000, "{checks:?}");
    }
}
