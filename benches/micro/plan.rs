//! Plans for a million blocks.

use backy2::flow::plan::{Base, Plan, sample};
use backy2::types::block::Geometry;
use backy2::types::hints::{Hint, Hints};
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};

/// 4 TiB.
const BLOCKS: u64 = 1 << 20;
const BLOCK: u32 = 4 << 20;

fn geometry() -> Geometry {
    Geometry::new(BLOCKS * u64::from(BLOCK), BLOCK)
}

/// So many blocks that have changed, in random order.
fn changed(count: usize) -> Vec<Hint> {
    let ids: Vec<u64> = (0..BLOCKS).collect();
    let ids = fastrand::Rng::with_seed(1).choose_multiple(ids, count);
    let block = u64::from(BLOCK);
    ids.into_iter().map(|id| Hint { offset: id * block, length: block, exists: true }).collect()
}

/// Hints to blocks.
#[divan::bench(args = [1000, 300_000], max_time = 1)]
fn hints(bencher: Bencher, count: usize) {
    let hints = changed(count);
    bencher
        .counter(ItemsCount::new(count))
        .bench_local(|| Hints::new(black_box(&hints), "hints", geometry()).expect("good hints"));
}

/// Which blocks are carried, sparse and read, given so many changed ones and a thousand that cannot be used.
#[divan::bench(args = [1000, 300_000], max_time = 1)]
fn plan(bencher: Bencher, count: usize) {
    let hints = Hints::new(&changed(count), "hints", geometry()).expect("good hints");
    let unusable = (0..1000).map(|n| n * 1000..n * 1000 + 1).collect();
    let base = Base { geometry: geometry(), unusable };
    bencher
        .counter(ItemsCount::new(BLOCKS))
        .bench_local(|| Plan::new(geometry(), black_box(Some(&hints)), Some(&base), &[]));
}

/// The same without hints: everything is read.
#[divan::bench(max_time = 0.5)]
fn without_hints(bencher: Bencher) {
    bencher.bench_local(|| Plan::new(black_box(geometry()), None, None, &[]));
}

/// A few blocks of the plan, to be compared with the source.
#[divan::bench(args = [1000, 300_000], max_time = 0.5)]
fn blocks_to_check(bencher: Bencher, count: usize) {
    let hints = Hints::new(&changed(count), "hints", geometry()).expect("good hints");
    let base = Base { geometry: geometry(), unusable: Vec::new() };
    let plan = Plan::new(geometry(), Some(&hints), Some(&base), &[]);
    let mut random = fastrand::Rng::with_seed(1);
    bencher.bench_local(|| sample(&plan.carry, black_box(&mut random)));
}
