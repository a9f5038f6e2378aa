//! Digests and the test for zeros.

use crate::data::{BLOCK, Data, blocks, noise};
use backy2::hash::{Hasher, is_zero};
use backy2::types::settings::HashFunction;
use divan::counter::BytesCount;
use divan::{Bencher, black_box};

/// One block, with every function.
#[divan::bench(args = HashFunction::ALL, max_time = 0.5)]
fn one(bencher: Bencher, function: HashFunction) {
    let (hasher, data) = (Hasher::new(function), noise(BLOCK));
    bencher.counter(BytesCount::new(BLOCK)).bench_local(|| hasher.digest(black_box(&data)));
}

/// As many blocks as are hashed best at once, with every function.
#[divan::bench(args = HashFunction::ALL, max_time = 0.5)]
fn all_lanes(bencher: Bencher, function: HashFunction) {
    at_once(bencher, function, Hasher::new(function).lanes());
}

/// Fewer and more blocks than there are lanes.
#[divan::bench(args = [1, 2, 3, 5, 7, 8, 9, 16], max_time = 0.5)]
fn sha512_blocks(bencher: Bencher, count: usize) {
    at_once(bencher, HashFunction::Sha512, count);
}

fn at_once(bencher: Bencher, function: HashFunction, count: usize) {
    let (hasher, data) = (Hasher::new(function), blocks(Data::Random, count));
    bencher
        .counter(BytesCount::new(BLOCK * count))
        .bench_local(|| hasher.digest_all(black_box(&data).iter().map(|block| &block[..])));
}

/// Eight blocks of one odd length.
#[divan::bench(args = [1, 111, 112, 4097, 65_537, BLOCK - 1], max_time = 0.5)]
fn sha512_of_length(bencher: Bencher, length: usize) {
    let (hasher, data) = (Hasher::new(HashFunction::Sha512), noise(length * 8));
    bencher
        .counter(BytesCount::new(length * 8))
        .bench_local(|| hasher.digest_all(black_box(&data).chunks(length)));
}

/// The end of an image: eight blocks, the last one shorter.
#[divan::bench(args = [1, 4097, BLOCK / 2], max_time = 0.5)]
fn sha512_short_last(bencher: Bencher, last: usize) {
    let (hasher, data) = (Hasher::new(HashFunction::Sha512), noise(BLOCK * 7 + last));
    bencher
        .counter(BytesCount::new(data.len()))
        .bench_local(|| hasher.digest_all(black_box(&data).chunks(BLOCK)));
}

/// The argument is the position of the first byte that is not zero; with the block's length there is none.
#[divan::bench(args = [0, 4096, BLOCK / 2, BLOCK], max_time = 0.5)]
fn zero_test(bencher: Bencher, at: usize) {
    let mut data = vec![0; BLOCK];
    if let Some(byte) = data.get_mut(at) {
        *byte = 1;
    }
    bencher.counter(BytesCount::new(at)).bench_local(|| is_zero(black_box(&data)));
}
