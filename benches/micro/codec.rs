//! Data to blobs and back.

use crate::data::{BLOCK, Data, blocks};
use crate::large::MASTER_KEY;
use backy2::crypt::{Decoder, Encoder, Keyring};
use backy2::types::block::Encryption;
use backy2::types::settings::MasterKey;
use divan::counter::BytesCount;
use divan::{Bencher, black_box};

/// So many different blocks take their turns: more than a cache holds.
const COUNT: usize = 8;
const KINDS: [(u32, Data); 6] = [
    (0, Data::Random),
    (0, Data::Files),
    (0, Data::HalfZero),
    (1, Data::Random),
    (1, Data::Files),
    (1, Data::HalfZero),
];

/// Version 0 hands the data on without looking at it: a throughput would be none.
fn touched(version: u32) -> usize {
    if version == 0 { 0 } else { BLOCK }
}

fn keys() -> Keyring {
    Keyring::new(Some(&MasterKey::from_hex(MASTER_KEY).expect("a key")))
}

/// Encryption version, and what is encoded.
#[divan::bench(args = KINDS, max_time = 0.7)]
fn encode(bencher: Bencher, (version, data): (u32, Data)) {
    let (keys, data) = (keys(), blocks(data, COUNT));
    let mut encoder = Encoder::new(version, &keys).expect("an encoder");
    let mut turn = data.iter().cycle();
    bencher.counter(BytesCount::new(touched(version))).bench_local(|| {
        let block = turn.next().expect("they never end");
        encoder.encode(black_box(block)).map(|(blob, _)| blob.len())
    });
}

/// Encryption version, and what is decoded; in plain bytes.
#[divan::bench(args = KINDS, max_time = 0.7)]
fn decode(bencher: Bencher, (version, data): (u32, Data)) {
    let keys = keys();
    let mut encoder = Encoder::new(version, &keys).expect("an encoder");
    let blobs: Vec<(Vec<u8>, Encryption)> = blocks(data, COUNT)
        .iter()
        .map(|block| encoder.encode(block).map(|(blob, how)| (blob.to_vec(), how)).expect("encoded"))
        .collect();
    let mut decoder = Decoder::new(&keys).expect("a decoder");
    let mut plain = Vec::with_capacity(BLOCK);
    let mut turn = blobs.iter().cycle();
    bencher
        .counter(BytesCount::new(touched(version)))
        // Decoding uses the blob as working memory.
        .with_inputs(|| turn.next().expect("they never end").clone())
        .bench_local_values(|(mut blob, how)| {
            decoder.decode(&mut blob, &how, BLOCK as u64, &mut plain).expect("decoded");
            black_box(plain.len());
            blob
        });
}
