//! Encoding and decoding of blobs.

use crate::data::{BLOCK, Data, blocks};
use crate::large::MASTER_KEY;
use backy2::crypt::{Decoder, Encoder, Keyring};
use backy2::types::block::Encryption;
use backy2::types::settings::MasterKey;
use divan::counter::BytesCount;
use divan::{Bencher, black_box};

/// The number of different blocks that take turns; together they are larger than a cache.
const COUNT: usize = 8;
const KINDS: [(u32, Data); 6] = [
    (0, Data::Random),
    (0, Data::Files),
    (0, Data::HalfZero),
    (1, Data::Random),
    (1, Data::Files),
    (1, Data::HalfZero),
];

/// Bytes for the throughput. Version 0 passes the data on without reading it, so it has none.
fn touched(version: u32) -> usize {
    if version == 0 { 0 } else { BLOCK }
}

fn keys() -> Keyring {
    Keyring::new(Some(&MasterKey::from_hex(MASTER_KEY).expect("a key")))
}

/// Arguments: the encryption version, and the kind of data.
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

/// Arguments: the encryption version, and the kind of data. The throughput counts plain bytes.
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
        // Decoding changes the blob, so each run gets a copy.
        .with_inputs(|| turn.next().expect("they never end").clone())
        .bench_local_values(|(mut blob, how)| {
            decoder.decode(&mut blob, &how, BLOCK as u64, &mut plain).expect("decoded");
            black_box(plain.len());
            blob
        });
}
