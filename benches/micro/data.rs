//! Test data for the benches.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

/// The default size of blocks, in bytes.
pub const BLOCK: usize = 4 << 20;
const PAGE: usize = 4096;

/// The content of a block.
#[derive(Clone, Copy, Debug)]
pub enum Data {
    /// Noise, which cannot be compressed.
    Random,
    /// Files of the operating system, one after the other.
    Files,
    /// Data in which every other run of pages is zero, as in the image of a machine.
    HalfZero,
}

/// `count` blocks with different data.
pub fn blocks(data: Data, count: usize) -> Vec<Vec<u8>> {
    let all = match data {
        Data::Random => noise(BLOCK * count),
        Data::Files => files(BLOCK * count),
        Data::HalfZero => half_zero(&files(BLOCK * count)),
    };
    all.chunks(BLOCK).map(<[u8]>::to_vec).collect()
}

/// Pseudo-random bytes, the same in each call.
pub fn noise(length: usize) -> Vec<u8> {
    let mut data = vec![0; length];
    fastrand::Rng::with_seed(1).fill(&mut data);
    data
}

/// The first `length` bytes of the files in /usr/bin and /usr/lib, sorted by name; repeated if they are too short.
fn files(length: usize) -> Vec<u8> {
    let mut data = Vec::with_capacity(length);
    while data.len() < length {
        let before = data.len();
        for folder in ["/usr/bin", "/usr/lib"] {
            let entries = std::fs::read_dir(folder).expect("a folder of the system");
            let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
            paths.sort();
            for path in paths.iter().filter(|path| path.is_file()) {
                let left = (length - data.len()) as u64;
                if let Ok(file) = File::open(path) {
                    // Files that cannot be read are skipped; the length stays the same.
                    let _ = file.take(left).read_to_end(&mut data);
                }
            }
        }
        assert!(data.len() > before, "there are no files to measure with");
    }
    data
}

/// `data`, in which every other run of 1 to 64 pages is zero.
fn half_zero(data: &[u8]) -> Vec<u8> {
    let mut data = data.to_vec();
    let mut random = fastrand::Rng::with_seed(2);
    let (mut at, mut clear) = (0, false);
    while at < data.len() {
        let end = (at + PAGE * random.usize(1..=64)).min(data.len());
        if clear {
            data[at..end].fill(0);
        }
        (at, clear) = (end, !clear);
    }
    data
}
