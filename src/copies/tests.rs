//! Tests of both formats.

mod given;
mod vectors;

use super::*;
use crate::crypt::{Sealer, StoreKey};
use crate::types::keys::BlobId;
use crate::types::object::ObjectName;
use given::{blobs, version};
use proptest::prelude::*;
use uuid::Uuid;
use wire::{Reader, Writer};

/// Memory that a decoded value may take for each byte that it was decoded from.
const FACTOR: usize = 40;

/// The bytes in the memory of these blobs.
fn memory_of(blobs: &Vec<CopiedBlob>) -> usize {
    let texts = blobs.iter().map(|blob| {
        let key = if let CopiedKey::Wrapped(text) = &blob.key { text.capacity() } else { 0 };
        let checksum = blob.checksum.as_ref().map_or(0, |checksum| 16 + checksum.as_str().len());
        16 + blob.uid.as_str().len() + checksum + key + blob.nonce.as_ref().map_or(0, String::capacity)
    });
    texts.sum::<usize>() + blobs.capacity() * size_of::<CopiedBlob>()
}

/// Decodes `bytes` in both formats. Whatever succeeds is encoded as the same bytes.
fn check(bytes: &[u8]) -> Result<(), TestCaseError> {
    if let Ok(blobs) = decode_index(bytes) {
        prop_assert!(memory_of(&blobs) <= FACTOR * bytes.len());
        prop_assert_eq!(&encode_index(&blobs).expect("they ascend")[..], bytes);
    }
    if let Ok(version) = CopiedVersion::decode(bytes) {
        let lists = size_of_val(version.blocks.extents())
            + size_of_val(&*version.runs)
            + version.version.tags.iter().map(|tag| size_of_val(tag) + tag.capacity()).sum::<usize>();
        prop_assert!(lists <= FACTOR * bytes.len());
        prop_assert_eq!(&version.encode()[..], bytes);
    }
    Ok(())
}

proptest! {
    #[test]
    fn blobs_survive_unchanged(blobs in blobs()) {
        let bytes = encode_index(&blobs).expect("they ascend");
        let decoded = decode_index(&bytes);
        prop_assert_eq!(decoded.as_ref(), Ok(&blobs));
        // The buffer did not grow, so that no copy of a key is left in freed memory.
        prop_assert!(bytes.len() <= 1 + wire::LONGEST + blobs.iter().map(CopiedBlob::most).sum::<usize>());
    }

    #[test]
    fn versions_survive_unchanged(version in version()) {
        let decoded = CopiedVersion::decode(&version.encode());
        prop_assert_eq!(decoded.as_ref(), Ok(&version));
        let map = &version.blocks;
        prop_assert_eq!(map.blocks().count() as u64, map.count());
    }

    #[test]
    fn cut_and_longer_bytes_are_refused(version in version(), blobs in blobs(), more in 1..9usize) {
        let bytes = version.encode();
        for length in 0..bytes.len() {
            prop_assert!(CopiedVersion::decode(&bytes[..length]).is_err(), "{} of {}", length, bytes.len());
        }
        let longer = [&bytes[..], &vec![0; more]].concat();
        prop_assert_eq!(CopiedVersion::decode(&longer), Err(CopyError::TooLong(more)));

        let bytes = encode_index(&blobs).expect("they ascend");
        for length in 0..bytes.len() {
            prop_assert!(decode_index(&bytes[..length]).is_err(), "{} of {}", length, bytes.len());
        }
        let longer = [&bytes[..], &vec![0; more]].concat();
        prop_assert_eq!(decode_index(&longer), Err(CopyError::TooLong(more)));
    }

    #[test]
    fn sealed_copies_are_refused_after_any_change(
        blobs in blobs(), with_key: bool, place: proptest::sample::Index, bit in 0..8u8, length: proptest::sample::Index,
    ) {
        let key = with_key.then(|| StoreKey::generate().expect("random numbers"));
        let sealer = |store| Sealer::new(Uuid::from_u128(store), key.as_ref()).expect("derives");
        let (name, other) = (ObjectName::new_index(BlobId(7)), ObjectName::new_index(BlobId(8)));
        let bytes = encode_index(&blobs).expect("they ascend");
        let object = sealer(1).seal(&name, &bytes).expect("seals");
        let open = |object: &[u8]| sealer(1).open(&name, object.to_vec(), 1 << 20);
        prop_assert_eq!(open(&object), Ok(bytes));
        let mut flipped = object.clone();
        flipped[place.index(object.len())] ^= 1 << bit;
        prop_assert!(open(&flipped).is_err());
        prop_assert!(open(&object[..length.index(object.len())]).is_err());
        prop_assert!(sealer(1).open(&other, object.clone(), 1 << 20).is_err());
        prop_assert!(sealer(2).open(&name, object.clone(), 1 << 20).is_err());
        let stranger = StoreKey::generate().expect("random numbers");
        let stranger = Sealer::new(Uuid::from_u128(1), Some(&stranger)).expect("derives");
        prop_assert!(stranger.open(&name, object, 1 << 20).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_decode_or_are_refused(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), known: bool) {
        if let (Some(first), true) = (bytes.first_mut(), known) {
            *first = 1;
        }
        check(&bytes)?;
    }

    #[test]
    fn damaged_bytes_decode_or_are_refused(
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4), seed: u32,
        index: bool,
    ) {
        let mut bytes = if index { vectors::index(seed) } else { vectors::version(seed) };
        for (place, value) in damage {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        check(&bytes)?;
    }
}

#[test]
fn claims_are_not_believed() {
    // A million items in a few bytes, then more than any memory has.
    for claim in [&b"\xc0\x84\x3d"[..], b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"] {
        let bytes = [b"\x01", claim, &[0; 1000]].concat();
        assert_eq!(decode_index(&bytes), Err(CopyError::Truncated));
        let version = vectors::version(0);
        let extents = version.len() - vectors::BLOCK_MAP;
        let bytes = [&version[..extents], claim, &[0; 1000]].concat();
        assert_eq!(CopiedVersion::decode(&bytes), Err(CopyError::Truncated));
    }
    // 1000 bytes have room for 166 items of 6 bytes.
    for (claim, fits) in [(166, true), (167, false)] {
        let mut to = Writer::new(0);
        to.number(claim);
        to.fixed(&[0; 1000]);
        let bytes = to.finish();
        let list = Reader::new(&bytes).expect("the first byte").list::<u64>(6);
        assert_eq!(list.map(|(count, list)| (count, list.capacity())).ok(), fits.then_some((166, 166)));
    }
}

/// Each of these would be a second encoding of a value, or stand for none.
#[test]
fn other_encodings_are_refused() {
    let blob = |kinds: u8, uid: &str, checksum: Option<&str>| {
        let mut to = Writer::new(0);
        to.number(1);
        to.byte(kinds);
        to.signed(1);
        to.text(uid);
        checksum.iter().for_each(|text| to.text(text));
        // Size, encryption version and date.
        to.fixed(&[0; 3]);
        decode_index(&to.finish()).map(|blobs| blobs.len())
    };
    let (text, hex, canonical) = (1 | 2 << 1, 1 | 1 << 1, "1c078580d26VPZgMJVaCy83fWSbTAuiT");
    assert_eq!(blob(text, "odd", Some("xyz")), Ok(1));
    assert_eq!(blob(hex, "odd", Some("xyz")), Ok(1));
    assert_eq!(blob(text, "odd", Some("ab")), Err(CopyError::Malformed("checksum")));
    assert_eq!(blob(1 | 3 << 1, "odd", None), Err(CopyError::Malformed("checksum")));
    assert_eq!(blob(1 | 3 << 5, "odd", None), Err(CopyError::Malformed("nonce")));
    assert_eq!(blob(1 | 1 << 7, "odd", None), Err(CopyError::Malformed("kinds of text")));
    assert_eq!(blob(1, canonical, None), Err(CopyError::Malformed("uid")));

    // Gap, blocks less 1 doubled plus 1 for holes, difference of the row key.
    let map = |extents: &[(u64, u64, i64)]| {
        let mut to = Writer::new(0);
        to.number(extents.len() as u64);
        for (gap, count, key) in extents {
            to.number(*gap);
            to.number(*count);
            to.signed(*key);
        }
        let bytes = to.finish();
        let mut from = Reader::new(&bytes)?;
        BlockMap::read(&mut from).map(|map| map.count())
    };
    let malformed = Err(CopyError::Malformed("blocks"));
    assert_eq!(map(&[(0, 2, 0), (0, 2, 1), (0, 3, 0), (1, 3, 0)]), Ok(8));
    let (longest, last) = (u64::MAX - 1, i64::MAX as u64);
    assert_eq!(map(&[(0, longest | 1, 0)]), Ok(1 << 63), "a hole in all blocks");
    assert_eq!(map(&[(last, 0, 0)]), Ok(1));
    for bad in [
        // Two extents that are one.
        &[(0, 2, 0), (0, 2, 0)][..],
        &[(0, 3, 0), (0, 3, 0)],
        // A blob that is a hole, and a hole that is a blob.
        &[(0, 0, -1)],
        &[(0, 1, 1)],
        // Row keys and blocks above 2^63 - 1.
        &[(0, 2, i64::MAX - 1)],
        &[(0, longest, 0)],
        &[(last + 1, 0, 0)],
        &[(last, 2, 0)],
        &[(last, 0, 0), (0, 0, 5)],
        &[(last, 0, 0), (u64::MAX, 0, 5)],
    ] {
        assert_eq!(map(bad), malformed, "{bad:?}");
    }
}

#[test]
fn other_formats_are_refused() {
    assert_eq!(decode_index(&[]), Err(CopyError::Truncated));
    assert_eq!(decode_index(&[2, 0]), Err(CopyError::Newer(2)));
    assert_eq!(CopiedVersion::decode(&[255]), Err(CopyError::Newer(255)));
    assert_eq!(decode_index(&[0, 0]), Err(CopyError::Malformed("format")));
    // 0 in two bytes, and a number of 65 bits.
    assert_eq!(decode_index(&[1, 0x80, 0]), Err(CopyError::Malformed("number")));
    let long = [&[1][..], &[0xff; 9], &[2]].concat();
    assert_eq!(decode_index(&long), Err(CopyError::Malformed("number")));
}

#[test]
fn order_is_demanded() {
    let blobs = vectors::blobs(1);
    let swapped = [blobs[1].clone(), blobs[0].clone()];
    let twice = [blobs[0].clone(), blobs[0].clone()];
    for bad in [swapped, twice] {
        assert_eq!(encode_index(&bad), Err(CopyError::Order("row keys")));
    }
    let mut map = BlockMap::default();
    map.push(5, BlobId(1)).expect("the first");
    let before = map.clone();
    for (block, blob) in [(5, 2), (4, 2), (0, 2), (1 << 63, 2), (u64::MAX, 2)] {
        assert_eq!(map.push(block, BlobId(blob)), Err(CopyError::Order("blocks")));
    }
    assert_eq!(map, before);
    map.push(i64::MAX as u64, BlobId(2)).expect("the last");
}

#[test]
fn blocks_become_few_extents() {
    let blocks =
        [(0, 7), (1, 8), (2, 9), (3, 9), (4, -4), (5, -4), (6, -2), (8, -2), (9, 0), (10, 1), (11, i64::MAX)];
    let mut map = BlockMap::default();
    for (block, blob) in blocks {
        map.push(block, BlobId(blob)).expect("ascending");
    }
    let extents: Vec<_> = map.extents().iter().map(|e| (e.first, e.count, e.blob.0)).collect();
    let expected =
        [(0, 3, 7), (3, 1, 9), (4, 2, -4), (6, 1, -2), (8, 1, -2), (9, 1, 0), (10, 1, 1), (11, 1, i64::MAX)];
    assert_eq!(extents, expected);
    assert!(map.blocks().map(|(block, blob)| (block, blob.0)).eq(blocks));
}

/// The bytes of a version of a million blocks and of a list of a thousand blobs, as [`Sealer`] stores them.
#[test]
fn copies_are_small() {
    let key = StoreKey::generate().expect("random numbers");
    let sealer = Sealer::new(Uuid::from_u128(1), Some(&key)).expect("derives");
    let size = |bytes: &[u8]| sealer.seal(&ObjectName::new_index(BlobId(1)), bytes).expect("seals").len();
    let fragmented = size(&vectors::large(32).encode());
    assert!((80_000..95_000).contains(&fragmented), "{fragmented} bytes for runs of 32 blocks");
    let whole = size(&vectors::large(1_000_000).encode());
    assert!((150..250).contains(&whole), "{whole} bytes for one run");
    let index = size(&encode_index(&vectors::ordinary(1000)).expect("they ascend"));
    // Uid, checksum, key and nonce of a blob are 128 random bytes.
    assert!((128_000..135_000).contains(&index), "{index} bytes for 1000 blobs");
}
