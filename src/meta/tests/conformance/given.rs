//! Versions, blobs and rows for the rules.

use crate::meta::{Fingerprint, Finish, Known, Metadata, NewBlob, NewRow, Rows, StatisticsRow};
use crate::types::block::{BlockRow, Encryption, Geometry};
use crate::types::time::Timestamp;
use crate::types::uid::{BlobUid, VersionUid};
use crate::types::version::{NewVersion, Statistics, Version};

/// Bytes of a block.
pub const BLOCK: u32 = 4096;

pub fn fingerprint(data: u32) -> Fingerprint {
    Fingerprint { checksum: format!("{data:0128x}").into(), size: u64::from(BLOCK), enc_version: 0 }
}

pub fn new_blob(data: u32) -> NewBlob {
    NewBlob { uid: BlobUid::generate(), fingerprint: fingerprint(data), encryption: Encryption::default() }
}

pub fn new_version(name: &str, blocks: u64) -> NewVersion {
    NewVersion {
        uid: VersionUid::generate(),
        date: Timestamp::now(),
        expire: None,
        name: name.into(),
        snapshot_name: String::new(),
        size: blocks,
        size_bytes: blocks * u64::from(BLOCK),
        tags: vec!["t".into()],
        origin: None,
    }
}

pub fn begin(meta: &mut Metadata, name: &str, blocks: u64) -> Version {
    meta.begin_version(&new_version(name, blocks)).expect("begins")
}

pub fn statistics(version: &Version) -> StatisticsRow {
    StatisticsRow {
        date: Timestamp::now(),
        version_uid: version.uid.clone(),
        name: version.name.clone(),
        geometry: Geometry::new(version.size_bytes, BLOCK),
        statistics: Statistics::default(),
        duration: 0,
    }
}

pub fn store(meta: &mut Metadata, version: &Version, ids: &[u64], data: u32) -> NewBlob {
    let blob = new_blob(data);
    let row = NewRow::Store { ids: ids.to_vec(), blob: blob.clone() };
    assert_eq!(meta.commit_blocks(version, &[row]).expect("commits"), [0u64; 0]);
    blob
}

pub fn finish(meta: &mut Metadata, version: &Version) -> Finish {
    meta.finish_version(version, &statistics(version), None).expect("finishes")
}

/// A valid version with a blob for each element of `data`.
pub fn version_of(meta: &mut Metadata, name: &str, data: &[u32]) -> (Version, Vec<NewBlob>) {
    let version = begin(meta, name, data.len() as u64);
    let blobs =
        data.iter().enumerate().map(|(id, data)| store(meta, &version, &[id as u64], *data)).collect();
    assert_eq!(finish(meta, &version), Finish::Valid);
    (version, blobs)
}

pub fn known(meta: &mut Metadata, data: u32) -> Option<Known> {
    meta.find_known(&[fingerprint(data)]).expect("looks up").remove(0)
}

pub fn reuse(meta: &mut Metadata, version: &Version, id: u64, known: &Known) -> Vec<u64> {
    meta.commit_blocks(version, &[NewRow::Reuse { id, known: known.clone() }]).expect("commits")
}

pub fn rows(meta: &mut Metadata, version: &Version) -> Vec<BlockRow> {
    meta.rows(version, 0, 1000, Rows::All).expect("reads")
}

pub fn uids(blobs: &[NewBlob]) -> Vec<BlobUid> {
    let mut uids: Vec<BlobUid> = blobs.iter().map(|b| b.uid.clone()).collect();
    uids.sort();
    uids
}
