//! Makes the images again that the fixtures are backups of.

use sha2::{Digest, Sha256};

const MEGA: usize = 4 << 20;
const PAGE: usize = 4096;
const HALF: usize = 65536;

/// `length` bytes: the digests of `SEED:0`, `SEED:1`, …, each repeated 128 times.
pub fn pattern(seed: u32, length: usize) -> Vec<u8> {
    let digest = |i: usize| Sha256::digest(format!("{seed}:{i}")).repeat(128);
    let mut data: Vec<u8> = (0..length.div_ceil(PAGE)).flat_map(digest).collect();
    data.truncate(length);
    data
}

/// Blocks of `size` bytes, each with a seed or of zeros; the last one has its own length.
fn image(size: usize, blocks: &[Option<u32>], last: Option<(u32, usize)>) -> Vec<u8> {
    let block = |seed: &Option<u32>| seed.map_or_else(|| vec![0; size], |seed| pattern(seed, size));
    let mut data: Vec<u8> = blocks.iter().flat_map(block).collect();
    data.extend(last.map_or_else(Vec::new, |(seed, length)| pattern(seed, length)));
    data
}

/// The image with that name; `tests/fixtures/images.sha256` lists their digests.
pub fn by_name(name: &str) -> Vec<u8> {
    let last = Some((2, 2 * 1048576 + 12345));
    match name {
        "A1.img" => image(MEGA, &[Some(0), None, Some(1), Some(0), None, Some(5), Some(6)], last),
        "A2.img" => image(MEGA, &[Some(0), None, Some(3), Some(0), None, None, Some(6)], last),
        "A3.img" => image(MEGA, &[Some(0), Some(7), Some(3), Some(0), None], Some((2, 1048577))),
        "A4.img" => image(MEGA, &[Some(8), Some(9), None], Some((10, 77))),
        "A5.img" => image(MEGA, &[Some(11)], Some((12, 4096))),
        "B0.img" => Vec::new(),
        "B1.img" => {
            let blocks: Vec<Option<u32>> = (0..50)
                .map(|i| Some(20 + i % 17))
                .chain((0..10).map(|_| None))
                .chain((60..75).map(Some))
                .collect();
            image(PAGE, &blocks, Some((99, 100)))
        }
        "B2.img" => {
            let mut data = by_name("B1.img");
            data[5 * PAGE + 100..5 * PAGE + 200].fill(0xff);
            data[20 * PAGE - 10..20 * PAGE + 10].fill(0xaa);
            data[30 * PAGE..33 * PAGE].fill(0);
            data
        }
        "B3.img" => by_name("B2.img")[..40 * PAGE + 1].to_vec(),
        "D1.img" => image(HALF, &[Some(200), None, Some(201), Some(200), Some(202)], Some((203, 1))),
        "D2.img" => image(HALF, &[Some(200), Some(204), Some(201), Some(200), None, Some(205)], None),
        "E1.img" => {
            let seeds = [Some(300), None, Some(301), Some(300), Some(302), Some(303), Some(304), Some(305)];
            image(HALF, &seeds, Some((306, 12345)))
        }
        "E2.img" => {
            let mut data = by_name("E1.img");
            data[2 * HALF..3 * HALF].copy_from_slice(&pattern(310, HALF));
            data[4 * HALF..5 * HALF].fill(0);
            data
        }
        other => panic!("no image is called {other}"),
    }
}

/// The digest in hex.
pub fn sha256(data: &[u8]) -> String {
    Sha256::digest(data).iter().map(|byte| format!("{byte:02x}")).collect()
}
