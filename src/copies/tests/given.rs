//! Values as databases may hold them: mostly ordinary ones, and some with any text and any number.

use crate::copies::{BlockMap, CopiedBlob, CopiedKey, CopiedRun, CopiedVersion};
use crate::types::checksum::Checksum;
use crate::types::hex::to_hex;
use crate::types::keys::{BlobId, VersionKey};
use crate::types::time::Timestamp;
use crate::types::uid::{BlobUid, VersionUid};
use crate::types::version::{Count, ImageId, SnapshotOrigin, Statistics, Version};
use chrono::DateTime;
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use uuid::Uuid;
use zeroize::Zeroizing;

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        vec(any::<char>(), 0..12).prop_map(|text| text.into_iter().collect()),
        vec(any::<u8>(), 0..70).prop_map(|bytes| to_hex(&bytes)),
        "[0-9a-fA-F]{0,9}",
    ]
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![any::<u64>(), 0..300u64, Just(u64::MAX)]
}

fn signed() -> impl Strategy<Value = i64> {
    prop_oneof![any::<i64>(), -5..300i64, Just(4_194_304), Just(i64::MAX), Just(i64::MIN)]
}

fn date() -> impl Strategy<Value = Timestamp> {
    // All years of a date.
    let range = Timestamp::beginning().naive().and_utc().timestamp_micros()..253_402_300_800_000_000;
    range.prop_map(|at| {
        Timestamp::from_naive(DateTime::from_timestamp_micros(at).expect("a date").naive_utc())
    })
}

fn uid() -> impl Strategy<Value = BlobUid> {
    let uuid = any::<u128>().prop_map(|value| BlobUid::of(Uuid::from_u128(value)));
    prop_oneof![3 => uuid, 1 => any_text().prop_map(BlobUid::from)]
}

fn key() -> impl Strategy<Value = CopiedKey> {
    prop_oneof![
        Just(CopiedKey::None),
        any::<[u8; 32]>().prop_map(|key| CopiedKey::Plain(Zeroizing::new(key))),
        any_text().prop_map(CopiedKey::Wrapped),
    ]
}

prop_compose! {
    fn blob()(
        uid in uid(), checksum in option::of(any_text()), size in signed(),
        enc_version in prop_oneof![0..2u32, any::<u32>()], key in key(), nonce in option::of(any_text()),
        date in date(),
    ) -> CopiedBlob {
        let checksum = checksum.map(Checksum::from);
        CopiedBlob { id: BlobId(0), uid, checksum, size, enc_version, key, nonce, date }
    }
}

/// Ascending blobs.
pub(super) fn blobs() -> impl Strategy<Value = Vec<CopiedBlob>> {
    let numbered = |(id, blob)| CopiedBlob { id: BlobId(id), ..blob };
    btree_map(signed(), blob(), 0..12).prop_map(move |blobs| blobs.into_iter().map(numbered).collect())
}

/// Blocks in runs, with gaps.
fn blocks() -> impl Strategy<Value = BlockMap> {
    let piece = (0..3u64, 1..5u64, signed());
    let gap = prop_oneof![9 => Just(0), 1 => 0..i64::MAX as u64 - 1000];
    (gap, vec(piece, 0..30)).prop_map(|(mut block, pieces)| {
        let mut map = BlockMap::default();
        for (gap, count, blob) in pieces {
            block += gap;
            for n in 0..count as i64 {
                map.push(block, BlobId(blob.saturating_add(n))).expect("it is behind the others");
                block += 1;
            }
        }
        map
    })
}

fn count() -> impl Strategy<Value = Count> {
    (number(), number()).prop_map(|(blocks, bytes)| Count { blocks, bytes })
}

prop_compose! {
    fn run()(
        date in date(), name in any_text(), size in count(), read in count(), written in count(), dedup in count(),
        sparse in count(), duration in number(),
    ) -> CopiedRun {
        CopiedRun { date, name, size, statistics: Statistics { read, written, dedup, sparse }, duration }
    }
}

prop_compose! {
    fn origin()(
        cluster in any_text(), pool in signed(), namespace in any_text(), image in any_text(), snapshot in number(),
        taken in signed(),
    ) -> SnapshotOrigin {
        SnapshotOrigin { image: ImageId { cluster, pool, namespace, image }, snapshot, taken }
    }
}

prop_compose! {
    fn row()(
        key in signed(), uid in any_text(), date in date(), expire in option::of(date()), name in any_text(),
        snapshot_name in any_text(), size in number(), size_bytes in number(), valid: bool, protected: bool,
        tags in vec(any_text(), 0..4),
    ) -> Version {
        let (key, uid) = (VersionKey(key), VersionUid::from(uid));
        Version { key, uid, date, expire, name, snapshot_name, size, size_bytes, valid, protected, tags }
    }
}

prop_compose! {
    /// A version with everything that belongs to it.
    pub(super) fn version()(
        version in row(), origin in option::of(origin()), runs in vec(run(), 0..3), hash_function in any_text(),
        block_size: u32, blocks in blocks(), bad in btree_set(signed().prop_map(BlobId), 0..5), row_sum: [u8; 32],
        encrypted: bool,
    ) -> CopiedVersion {
        CopiedVersion { version, origin, runs, hash_function, block_size, blocks, bad, row_sum, encrypted }
    }
}
