//! Compares every kernel that this processor can run with the standard's examples and with the library.

use super::{Kernel, Variant};
use crate::types::hex::to_hex;
use proptest::prelude::*;
use sha2::{Digest, Sha384, Sha512};

/// The kernels that this processor can run. Others are not tested, and the output says so. That is no error even if all
/// parts are required: nobody can install a processor. AVX2 is required, because nearly all processors have it.
fn kernels() -> Vec<Kernel> {
    let mut kernels = vec![Kernel::Single];
    #[cfg(target_arch = "x86_64")]
    for (kernel, available, feature) in [
        (Kernel::Avx2, super::avx2::available(), "AVX2"),
        (Kernel::Avx512, super::avx512::available(), "AVX-512"),
    ] {
        if available {
            kernels.push(kernel);
        } else {
            println!("SKIPPED SHA-512 by {feature}: this processor lacks it");
            let required = std::env::var_os("BACKY2_REQUIRE_ALL").is_some() && feature == "AVX2";
            assert!(!required, "{feature} is required");
        }
    }
    kernels
}

fn digests(kernel: Kernel, variant: Variant, messages: &[&[u8]]) -> Vec<String> {
    kernel.digest_all(variant, messages, to_hex)
}

/// The examples of FIPS 180-4 that NIST publishes, and a million letters.
#[test]
fn the_standards_examples_hold_in_every_lane() {
    let long = b"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu";
    let million = vec![b'a'; 1_000_000];
    let examples: [(&[u8], &str, &str); 3] = [
        (
            b"abc",
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
            "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
        ),
        (
            long,
            "8e959b75dae313da8cf4f72814fc143f8f7779c6eb9f7fa17299aeadb6889018501d289e4900f7e4331b99dec4b5433ac7d329eeb6dd26545e96e55b874be909",
            "09330c33f71147e83d192fc782cd1b4753111b173b3b05d22fa08086e3b0f712fcc7c71a557e2db966c3e9fa91746039",
        ),
        (
            &million,
            "e718483d0ce769644e2e42c7bc15b4638e1f98b13b2044285632a803afa973ebde0ff244877ea60a4cb0432ce577c31beb009c5c2c49aa2e4eadb217ad8cc09b",
            "9d0e1809716474cb086e834e310a4a1ced149e9c00f248527972cec5704c2a5b07b8b3dc38ecc4ebae97ddd87f3d8985",
        ),
    ];
    for kernel in kernels() {
        for (message, sha512, sha384) in examples {
            let messages = vec![message; kernel.lanes()];
            assert_eq!(
                digests(kernel, Variant::Sha512, &messages),
                vec![sha512; kernel.lanes()],
                "{kernel:?}"
            );
            assert_eq!(
                digests(kernel, Variant::Sha384, &messages),
                vec![sha384; kernel.lanes()],
                "{kernel:?}"
            );
        }
        assert_eq!(digests(kernel, Variant::Sha512, &[]), Vec::<String>::new());
    }
}

/// The padding needs a block of its own from 112 bytes on: every length around the ends of blocks.
#[test]
fn every_short_length_is_that_of_the_library() {
    let data: Vec<u8> = (0..600_u32).map(|i| (i * 7 + i / 256) as u8).collect();
    for kernel in kernels() {
        for shift in 0..kernel.lanes() {
            let messages: Vec<&[u8]> = (0..520).map(|length| &data[shift..shift + length]).collect();
            let expected: Vec<String> = messages.iter().map(|m| to_hex(&Sha512::digest(m))).collect();
            assert_eq!(digests(kernel, Variant::Sha512, &messages), expected, "{kernel:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Any number of messages of any lengths: lanes are refilled, and left one by one.
    #[test]
    fn any_mix_of_lengths_is_that_of_the_library(
        parts in proptest::collection::vec((0usize..5000, 0usize..3000), 0..30),
        seed in any::<u64>(),
    ) {
        let mut random = fastrand::Rng::with_seed(seed);
        let data: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(8000).collect();
        let messages: Vec<&[u8]> = parts.iter().map(|(at, length)| &data[*at..at + length]).collect();
        let sha512: Vec<String> = messages.iter().map(|m| to_hex(&Sha512::digest(m))).collect();
        let sha384: Vec<String> = messages.iter().map(|m| to_hex(&Sha384::digest(m))).collect();
        for kernel in kernels() {
            prop_assert_eq!(&digests(kernel, Variant::Sha512, &messages), &sha512);
            prop_assert_eq!(&digests(kernel, Variant::Sha384, &messages), &sha384);
        }
    }
}
