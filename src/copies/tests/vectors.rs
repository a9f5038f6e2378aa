//! Values with known encodings, and large ones.

use crate::copies::{BlockMap, CopiedBlob, CopiedKey, CopiedRun, CopiedVersion, decode_index, encode_index};
use crate::types::hex::to_hex;
use crate::types::keys::{BlobId, VersionKey};
use crate::types::time::Timestamp;
use crate::types::uid::BlobUid;
use crate::types::version::{Count, ImageId, SnapshotOrigin, Statistics, Version};
use std::iter::repeat_with;
use zeroize::Zeroizing;

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).expect(text)
}

/// One blob as this program makes them, and two as it would not.
pub(super) fn blobs(seed: u32) -> [CopiedBlob; 3] {
    let ordinary = CopiedBlob {
        id: BlobId(5 + i64::from(seed)),
        uid: "1c078580d26VPZgMJVaCy83fWSbTAuiT".into(),
        checksum: Some("00ff".into()),
        size: 4_194_304,
        enc_version: 1,
        key: CopiedKey::Plain(Zeroizing::new([7; 32])),
        nonce: Some("000102030405060708090a0b0c0d0e0f".into()),
        date: at("2026-03-01 12:00:00.000001"),
    };
    let bare = CopiedBlob {
        id: BlobId(6 + i64::from(seed)),
        uid: "odd uid".into(),
        checksum: None,
        size: -1,
        enc_version: 0,
        key: CopiedKey::None,
        nonce: None,
        date: at("1969-12-31 23:59:59.999999"),
    };
    let odd = CopiedBlob {
        id: BlobId(i64::MAX),
        uid: "".into(),
        checksum: Some("ABCD".into()),
        size: i64::MIN,
        enc_version: 300,
        key: CopiedKey::Wrapped("00aa".into()),
        nonce: Some("".into()),
        date: at("9999-12-31 23:59:59.999999"),
    };
    [ordinary, bare, odd]
}

/// [`blobs`], encoded.
pub(super) fn index(seed: u32) -> Vec<u8> {
    encode_index(&blobs(seed)).expect("they ascend").to_vec()
}

/// Bytes of the block map at the end of [`version`].
pub(super) const BLOCK_MAP: usize = 30;

fn blocks() -> BlockMap {
    let blocks =
        [(0, 7), (1, 8), (2, 9), (3, 9), (4, -4096), (5, -4096), (6, -100), (400, 10), (i64::MAX as u64, 1)];
    let mut map = BlockMap::default();
    for (block, blob) in blocks {
        map.push(block, BlobId(blob)).expect("ascending");
    }
    map
}

fn copied(seed: u32) -> CopiedVersion {
    let count = |blocks, bytes| Count { blocks, bytes };
    CopiedVersion {
        version: Version {
            key: VersionKey(3 + i64::from(seed)),
            uid: "2f4a0d6e-cb1c-11f0-8de9-0242ac120002".into(),
            date: at("2026-03-01 12:00:00"),
            expire: Some(at("2027-03-01")),
            name: "vm\u{e9}".into(),
            snapshot_name: "".into(),
            size: 401,
            size_bytes: 1_638_400,
            valid: true,
            protected: false,
            tags: vec!["b2_daily".into(), "".into()],
        },
        origin: Some(SnapshotOrigin {
            image: ImageId { cluster: "fsid".into(), pool: -2, namespace: "".into(), image: "12ab".into() },
            snapshot: 300,
            taken: -1,
        }),
        runs: vec![CopiedRun {
            date: at("1970-01-01 00:00:01"),
            name: "vm".into(),
            size: count(401, 1_638_400),
            statistics: Statistics {
                read: count(1, 2),
                written: count(3, 4),
                dedup: count(5, 6),
                sparse: count(7, u64::MAX),
            },
            duration: 60,
        }],
        hash_function: "sha512".into(),
        block_size: 4096,
        blocks: blocks(),
        bad: [BlobId(9), BlobId(7), BlobId(300)].into(),
        row_sum: [0xab; 32],
        encrypted: true,
    }
}

/// A version that has something in every field, encoded.
pub(super) fn version(seed: u32) -> Vec<u8> {
    copied(seed).encode().to_vec()
}

/// A version of a million blocks, in runs of `run` blobs that follow each other, in an order that looks random.
pub(super) fn large(run: u64) -> CopiedVersion {
    let mut random = fastrand::Rng::with_seed(1);
    let mut starts: Vec<u64> = (0..1_000_000 / run).map(|n| 1 + n * run).collect();
    random.shuffle(&mut starts);
    let mut blocks = BlockMap::default();
    let ids = starts.iter().flat_map(|start| *start..start + run);
    for (block, id) in (0..).zip(ids) {
        blocks.push(block, BlobId(id as i64)).expect("ascending");
    }
    assert_eq!(blocks.count(), 1_000_000);
    CopiedVersion { blocks, ..copied(0) }
}

/// Blobs as a backup makes them.
pub(super) fn ordinary(number: i64) -> Vec<CopiedBlob> {
    let mut random = fastrand::Rng::with_seed(1);
    let mut hex = |bytes| to_hex(&repeat_with(|| random.u8(..)).take(bytes).collect::<Vec<_>>());
    let mut random_key = fastrand::Rng::with_seed(2);
    let start = at("2026-03-01 12:00:00");
    let blob = |id| CopiedBlob {
        id: BlobId(id),
        uid: BlobUid::generate(),
        checksum: Some(hex(64).into()),
        size: 4_194_304,
        enc_version: 1,
        key: CopiedKey::Plain(Zeroizing::new(std::array::from_fn(|_| random_key.u8(..)))),
        nonce: Some(hex(16)),
        date: start.after(chrono::TimeDelta::milliseconds(id * 40)),
    };
    (1..=number).map(blob).collect()
}

/// The bytes were made by another program, from the description of the format.
#[test]
fn both_formats_are_known() {
    let known = "01033a0a192e760cfbcf4e11bf4a060f11fcd5de0200ff8080800401070707070707070707070707070707070707070707070707070707070707070710000102030405060708090a0b0c0d0e0f82c0f8daa6fda5060100076f646420756964818080040083c0f8daa6fda5062df8ffffffffffffff7f000441424344fdffffffffffffffff01ac020200aa0080809bc79983a28407";
    assert_eq!(to_hex(&index(0)), known);
    assert_eq!(decode_index(&index(0)), Ok(blobs(0).to_vec()));
    let known = "011d062432663461306436652d636231632d313166302d386465392d30323432616331323030303280c0f8daa6fda5068080baadb6a6b40604766dc3a9009103808064020862325f6461696c7900046673696403000431326162ac02010673686135313280200180897a02766d910380806401020304050607ffffffffffffffffff013c030e01a202abababababababababababababababababababababababababababababababab0600040c0000010003ff3f0001b83e89030000eefcffffffffffff7f0013";
    assert_eq!(to_hex(&version(0)), known);
    assert_eq!(CopiedVersion::decode(&version(0)), Ok(copied(0)));
}
