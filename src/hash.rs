//! Digests of blocks, and the test for blocks of zeros.

use crate::types::checksum::Digest;
use crate::types::settings::HashFunction;
use blake2::{Blake2b512, Blake2s256};
use md5::Md5;
use sha1::Sha1;
use sha2::{Sha224, Sha256, Sha384, Sha512};
use sha3::{Sha3_224, Sha3_256, Sha3_384, Sha3_512};
use sha512::{Kernel, Variant};

mod sha512;

/// Computes digests with one hash function. It is cheap to copy and has no state.
#[derive(Clone, Copy, Debug)]
pub struct Hasher {
    function: HashFunction,
    /// The code that computes several digests at once, if there is any for this function.
    lanes: Option<(Kernel, Variant)>,
}

impl Hasher {
    /// A hasher for `function`.
    pub fn new(function: HashFunction) -> Self {
        let variant = match function {
            HashFunction::Sha512 => Some(Variant::Sha512),
            HashFunction::Sha384 => Some(Variant::Sha384),
            _ => None,
        };
        Hasher { function, lanes: variant.map(|variant| (Kernel::best(), variant)) }
    }

    /// The hash function.
    pub fn function(&self) -> HashFunction {
        self.function
    }

    /// The best number of blocks for one call of [`Hasher::digest_all`]: 8 with AVX-512 or 4 with AVX2 for SHA-512 and
    /// SHA-384, otherwise 1.
    pub fn lanes(&self) -> usize {
        self.lanes.map_or(1, |(kernel, _)| kernel.lanes())
    }

    /// The digest of `data`.
    pub fn digest(&self, data: &[u8]) -> Digest {
        fn of<D: sha2::Digest>(data: &[u8]) -> Digest {
            Digest::new(&D::digest(data))
        }
        match self.function {
            HashFunction::Md5 => of::<Md5>(data),
            HashFunction::Sha1 => of::<Sha1>(data),
            HashFunction::Sha224 => of::<Sha224>(data),
            HashFunction::Sha256 => of::<Sha256>(data),
            HashFunction::Sha384 => of::<Sha384>(data),
            HashFunction::Sha512 => of::<Sha512>(data),
            HashFunction::Blake2b => of::<Blake2b512>(data),
            HashFunction::Blake2s => of::<Blake2s256>(data),
            HashFunction::Sha3_224 => of::<Sha3_224>(data),
            HashFunction::Sha3_256 => of::<Sha3_256>(data),
            HashFunction::Sha3_384 => of::<Sha3_384>(data),
            HashFunction::Sha3_512 => of::<Sha3_512>(data),
            HashFunction::Blake3 => Digest::new(blake3::hash(data).as_bytes()),
        }
    }

    /// The digests of several blocks, in the same order. The blocks may have any lengths.
    pub fn digest_all<'a>(&self, blocks: impl IntoIterator<Item = &'a [u8]>) -> Vec<Digest> {
        let blocks: Vec<&[u8]> = blocks.into_iter().collect();
        match self.lanes {
            Some((kernel, variant)) if blocks.len() > 1 => kernel.digest_all(variant, &blocks, Digest::new),
            _ => blocks.iter().map(|block| self.digest(block)).collect(),
        }
    }
}

/// Whether all bytes are zero.
pub fn is_zero(data: &[u8]) -> bool {
    // Works on small groups of words: the compiler turns a group into a few vector instructions, and in a block with
    // data the loop ends at the first group with data.
    const GROUP: usize = 256;
    let mut groups = data.chunks_exact(GROUP);
    let group_is_zero = |group: &[u8]| {
        group
            .chunks_exact(8)
            .fold(0u64, |all, word| all | u64::from_ne_bytes(word.try_into().unwrap_or([0xff; 8])))
            == 0
    };
    groups.by_ref().all(group_is_zero) && groups.remainder().iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The digests of "abc", as Python's hashlib prints them.
    #[test]
    fn all_functions_are_those_of_hashlib() {
        for (function, hex) in [
            ("md5", "900150983cd24fb0d6963f7d28e17f72"),
            ("sha1", "a9993e364706816aba3e25717850c26c9cd0d89d"),
            ("sha224", "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7"),
            ("sha256", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (
                "sha384",
                "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
            ),
            (
                "sha512",
                "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
            ),
            (
                "blake2b",
                "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d17d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923",
            ),
            ("blake2s", "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982"),
            ("sha3_224", "e642824c3f8cf24ad09234ee7d3c766fc9a3a5168d0c94ad73b46fdf"),
            ("sha3_256", "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532"),
            (
                "sha3_384",
                "ec01498288516fc926459f58e2c6ad8df9b473cb0fc08c2596da7cf0e49be4b298d88cea927ac7f539f1edf228376d25",
            ),
            (
                "sha3_512",
                "b751850b1a57168a5693cd924b6b096e08f621827444f70d884f5d0240d2712e10e116e9192af3c91a7ec57647e3934057340b4cf408d5a56592f8274eec53f0",
            ),
            // hashlib lacks this one. The digest comes from the authors' own program.
            ("blake3", "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"),
        ] {
            let function: HashFunction = function.parse().expect(function);
            assert_eq!(Hasher::new(function).digest(b"abc").hex(), hex, "{function}");
        }
    }

    #[test]
    fn a_single_byte_anywhere_is_not_zero() {
        assert!(is_zero(&[]));
        for length in [1, 7, 8, 255, 256, 257, 1000] {
            let mut data = vec![0; length];
            assert!(is_zero(&data));
            for at in 0..length {
                data[at] = 1;
                assert!(!is_zero(&data), "{at} of {length}");
                data[at] = 0;
            }
        }
    }
}
