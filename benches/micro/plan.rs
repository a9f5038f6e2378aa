//! Plans for a million blocks.

use backy2::flow::plan::{BaseBlocks, Plan, sample};
use backy2::types::block::Geometry;
use backy2::types::block_set::BlockSet;
use backy2::types::hints::{Hint, Hints};
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};

/// The blocks of 4 TiB.
const BLOCKS: u64 = 1 << 20;
const BLOCK: u32 = 4 << 20;

fn geometry() -> Geometry {
    Geometry::new(BLOCKS * u64::from(BLOCK), BLOCK)
}

/// Hints for `count` changed blocks, in random order.
fn changed(count: usize) -> Vec<Hint> {
    let ids: Vec<u64> = (0..BLOCKS).collect();
    let ids = fastrand::Rng::with_seed(1).choose_multiple(ids, count);
    let block = u64::from(BLOCK);
    ids.into_iter().map(|id| Hint { offset: id * block, length: block, exists: true }).collect()
}

/// Makes block ranges from hints.
#[divan::bench(args = [1000, 300_000], max_time = 1)]
fn hints(bencher: Bencher, count: usize) {
    let hints = changed(count);
    bencher
        .counter(ItemsCount::new(count))
        .bench_local(|| Hints::new(black_box(&hints), "hints", geometry()).expect("good hints"));
}

/// Plans which blocks are carried, sparse and read. The argument is the number of changed blocks; a thousand blocks of
/// the base are unusable.
#[divan::bench(args = [1000, 300_000], max_time = 1)]
fn plan(bencher: Bencher, count: usize) {
    let hints = Hints::new(&changed(count), "hints", geometry()).expect("good hints");
    let unusable = (0..1000).map(|n| n * 1000).collect();
    let base = BaseBlocks { geometry: geometry(), unusable };
    bencher
        .counter(ItemsCount::new(BLOCKS))
        .bench_local(|| Plan::new(geometry(), black_box(Some(&hints)), Some(&base), &BlockSet::default()));
}

/// Plans without hints, so everything is read.
#[divan::bench(max_time = 0.5)]
fn without_hints(bencher: Bencher) {
    bencher.bench_local(|| Plan::new(black_box(geometry()), None, None, &BlockSet::default()));
}

/// Selects blocks of the plan to compare with the source.
#[divan::bench(args = [1000, 300_000], max_time = 0.5)]
fn blocks_to_check(bencher: Bencher, count: usize) {
    let hints = Hints::new(&changed(count), "hints", geometry()).expect("good hints");
    let base = BaseBlocks { geometry: geometry(), unusable: BlockSet::default() };
    let plan = Plan::new(geometry(), Some(&hints), Some(&base), &BlockSet::default());
    let mut random = fastrand::Rng::with_seed(1);
    bencher.bench_local(|| sample(&plan.carry, black_box(&mut random)));
}
