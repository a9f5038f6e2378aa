//! Rules about the copies of metadata in the store.

use super::ALWAYS;
use super::given::*;
use crate::copies::RowSum;
use crate::meta::*;
use crate::types::block_set::BlockSet;
use crate::types::keys::{BlobId, EntryId};
use crate::types::time::Timestamp;
use crate::types::uid::VersionUid;
use crate::types::version::{ImageId, NewVersion, SnapshotOrigin, Version};

const KEY: [u8; 32] = [5; 32];
const LAST: BlobId = BlobId(i64::MAX);

/// The uids of the due copies, and none of them is due from here on.
fn taken(meta: &mut Metadata) -> Vec<VersionUid> {
    let due = meta.due_copies(0, 100).expect("lists");
    for due in &due {
        assert!(meta.settle_copy(due).expect("settles"));
    }
    assert_eq!(meta.due_copies(0, 100).expect("lists"), []);
    due.into_iter().map(|due| due.uid).collect()
}

fn blob_of(meta: &mut Metadata, version: &Version, block: usize) -> crate::types::block::Blob {
    rows(meta, version)[block].blob.clone().expect("a blob")
}

pub fn changes_are_due(meta: &mut Metadata) {
    assert_eq!(meta.last_due().expect("asks"), Some(0));
    let (first, _) = version_of(meta, "x", &[1, 2]);
    let second = begin(meta, "y", 1);
    let hit = known(meta, 1).expect("a hit");
    reuse(meta, &second, 0, &hit);
    finish(meta, &second);
    let mark = meta.last_due().expect("asks");
    assert_eq!(taken(meta), [first.uid.clone(), second.uid.clone()]);
    let (one, both) = ([first.uid.clone()], [first.uid.clone(), second.uid.clone()]);
    let mut changes_one = |change: &mut dyn FnMut(&mut Metadata)| {
        change(meta);
        assert_eq!(taken(meta), one);
        // The same again changes nothing.
        change(meta);
        assert_eq!(taken(meta), [] as [VersionUid; 0]);
    };
    changes_one(&mut |meta| meta.set_protected(&first, true).expect("protects"));
    changes_one(&mut |meta| meta.set_protected(&first, false).expect("protects"));
    changes_one(&mut |meta| meta.set_expire(&first, Some(Timestamp::from_unix(9))).expect("sets"));
    changes_one(&mut |meta| meta.set_expire(&first, None).expect("sets"));
    changes_one(&mut |meta| meta.add_tags(&first, &["new".into()]).expect("adds"));
    changes_one(&mut |meta| meta.remove_tags(&first, &["new".into()]).expect("removes"));
    changes_one(&mut |meta| meta.mark_version_invalid(&first).expect("marks"));
    changes_one(&mut |meta| assert!(meta.mark_version_valid(&first, &[]).expect("marks").valid));
    meta.add_statistics(&statistics(&first)).expect("adds");
    assert_eq!(taken(meta), one);

    let blob = blob_of(meta, &first, 0);
    meta.mark_blobs_invalid(std::slice::from_ref(&blob)).expect("marks");
    let mut found = taken(meta);
    found.sort();
    let mut wanted = both.to_vec();
    wanted.sort();
    assert_eq!(found, wanted, "both name the bad blob");
    meta.mark_version_valid(&first, &[blob.id]).expect("marks");
    taken(meta);
    meta.mark_version_invalid(&first).expect("marks");
    taken(meta);
    assert_eq!(meta.remove_blocks(&first, 1, 0).expect("removes"), 1);
    assert_eq!(taken(meta), one);
    meta.remove_version(&first, 0).expect("removes");
    assert_eq!(taken(meta), one, "its copy must go");
    meta.set_protected(&second, true).expect("protects");
    let due = meta.due_copies(mark.expect("a token"), 9).expect("lists");
    assert_eq!(due.len(), 1, "later changes have higher tokens");
    assert_eq!(meta.due_copies(due[0].token, 9).expect("lists"), []);
}

pub fn settling(meta: &mut Metadata) {
    let (version, _) = version_of(meta, "x", &[1]);
    let due = meta.expect_copy(&version.uid).expect("lists");
    assert_eq!(meta.expect_copy(&version.uid).expect("it is there"), due);
    meta.set_protected(&version, true).expect("protects");
    assert!(!meta.settle_copy(&due).expect("asks"), "it has changed");
    let later = meta.expect_copy(&version.uid).expect("it is there");
    assert!(later.token > due.token);
    assert!(meta.settle_copy(&later).expect("settles"));
    assert!(!meta.settle_copy(&later).expect("asks"), "it is gone");
    let again = meta.expect_copy(&version.uid).expect("lists");
    assert!(again.token > later.token, "tokens are not used again");
    let unknown = meta.expect_copy(&"unknown".into()).expect("lists");
    assert!(meta.settle_copy(&unknown).expect("settles"));
}

pub fn finishing(meta: &mut Metadata) {
    let version = begin(meta, "x", 1);
    let due = meta.expect_copy(&version.uid).expect("lists");
    let finish = |meta: &mut Metadata, due: &DueCopy| {
        meta.finish_version(&version, &statistics(&version), Some(due)).expect("finishes")
    };
    assert_eq!(finish(meta, &due), Finish::Missing([0..1].into()));
    let later = meta.expect_copy(&version.uid).expect("lists");
    assert!(later.token > due.token, "the copy says that the version is valid, so it is due");
    store(meta, &version, &[0], 1);
    assert_eq!(finish(meta, &due), Finish::Valid);
    assert_eq!(taken(meta), std::slice::from_ref(&version.uid), "the token was an old one");
    meta.mark_version_invalid(&version).expect("marks");
    let due = meta.expect_copy(&version.uid).expect("lists");
    assert_eq!(finish(meta, &due), Finish::Valid);
    assert_eq!(taken(meta), [] as [VersionUid; 0]);
}

pub fn content(meta: &mut Metadata) {
    let image = ImageId { cluster: "c".into(), pool: 1, namespace: String::new(), image: "i".into() };
    let origin = SnapshotOrigin { image, snapshot: 4, taken: 5 };
    let new = NewVersion { origin: Some(origin.clone()), ..new_version("vm", 5) };
    let version = meta.begin_version(&new).expect("begins");
    assert_eq!(meta.version_content(&"unknown".into()).expect("reads"), None);
    let read = |meta: &mut Metadata| meta.version_content(&version.uid).expect("reads").expect("there");
    let empty = read(meta);
    assert_eq!((&empty.version, empty.is_complete()), (&version, false));
    store(meta, &version, &[1, 4], 1);
    store(meta, &version, &[2], 2);
    meta.commit_blocks(&version, &[NewRow::Sparse { id: 0, size: 4096 }]).expect("commits");
    meta.add_statistics(&statistics(&version)).expect("adds");
    assert!(!read(meta).is_complete());
    store(meta, &version, &[3], 3);
    let bad = blob_of(meta, &version, 2);
    meta.mark_blobs_invalid(std::slice::from_ref(&bad)).expect("marks");
    meta.add_statistics(&statistics(&version)).expect("adds");
    let content = read(meta);
    assert!(content.is_complete());
    assert_eq!((content.origin, content.runs.len()), (Some(origin), 2));
    assert_eq!(content.bad.into_iter().collect::<Vec<_>>(), [bad.id]);
    let blobs: Vec<(u64, BlobId)> = content.blocks.blocks().collect();
    let rows: Vec<(u64, BlobId)> = rows(meta, &version)
        .into_iter()
        .map(|row| (row.id, row.blob.map_or(BlobId(-4096), |blob| blob.id)))
        .collect();
    assert_eq!(blobs, rows);
}

pub fn sums(meta: &mut Metadata) {
    let version = begin(meta, "x", 4);
    store(meta, &version, &[0, 3], 1);
    store(meta, &version, &[1], 2);
    meta.commit_blocks(&version, &[NewRow::Sparse { id: 2, size: 4096 }]).expect("commits");
    let blocks = meta.version_content(&version.uid).expect("reads").expect("there").blocks;
    let keys: BlockSet = blocks.blocks().filter_map(|(_, blob)| u64::try_from(blob.0).ok()).collect();
    let blobs = meta.summed_blobs(&keys).expect("reads");
    assert_eq!(blobs.len(), 2);
    let mut sum = RowSum::new(&KEY);
    for (block, blob) in blocks.blocks().filter(|(_, blob)| blob.0 > 0) {
        sum.add(blobs[&blob].at(block));
    }
    assert_eq!(meta.row_sum(&version, &KEY).expect("adds up"), sum.bytes());
    assert_ne!(meta.row_sum(&version, &[6; 32]).expect("adds up"), sum.bytes());
    assert!(meta.summed_blobs(&[1000..2000].into()).expect("reads").is_empty());
}

/// Writes a list of the blobs that have no copy.
fn covered(meta: &mut Metadata, name: &str, limit: usize) -> Vec<BlobId> {
    let blobs = meta.uncovered_blobs(BlobId(0), LAST, limit).expect("reads");
    let keys: Vec<BlobId> = blobs.into_iter().map(|blob| blob.id).collect();
    meta.begin_index(name).expect("announces");
    assert_eq!(meta.cover(name, &keys).expect("records"), keys.len() as u64);
    keys
}

fn index(name: &str, total: u64, live: u64) -> IndexRow {
    IndexRow { name: name.into(), total, live }
}

pub fn covering(meta: &mut Metadata) {
    assert_eq!(meta.last_blob().expect("asks"), BlobId(0));
    let (version, blobs) = version_of(meta, "x", &[1, 2, 3, 4, 5]);
    let holes = begin(meta, "holes", 1);
    meta.commit_blocks(&holes, &[NewRow::Sparse { id: 0, size: 9 }]).expect("commits");
    let found = meta.uncovered_blobs(BlobId(0), LAST, 99).expect("reads");
    let row = blob_of(meta, &version, 1);
    assert_eq!(
        found.iter().map(|blob| &blob.uid).collect::<Vec<_>>(),
        blobs.iter().map(|b| &b.uid).collect::<Vec<_>>()
    );
    assert_eq!((found[1].id, &found[1].checksum, found[1].size), (row.id, &row.checksum, 4096));
    let keys: Vec<BlobId> = found.iter().map(|blob| blob.id).collect();
    assert_eq!(meta.last_blob().expect("asks"), keys[4]);
    let ids = |meta: &mut Metadata, after: i64, until: BlobId, limit: usize| -> Vec<BlobId> {
        let blobs = meta.uncovered_blobs(BlobId(after), until, limit).expect("reads");
        blobs.into_iter().map(|blob| blob.id).collect()
    };
    assert_eq!(ids(meta, keys[0].0, keys[3], 99), keys[1..4]);
    assert_eq!(ids(meta, keys[0].0, LAST, 2), keys[1..3]);
    assert_eq!(ids(meta, keys[4].0, LAST, 2), []);
    assert_eq!(meta.uncovered_count().expect("counts"), 5);

    meta.begin_index("a").expect("announces");
    assert_eq!(meta.indexes().expect("lists"), [index("a", 0, 0)]);
    assert_eq!(meta.cover("a", &[keys[1], keys[3]]).expect("records"), 2);
    assert_eq!(ids(meta, 0, LAST, 99), [keys[0], keys[2], keys[4]]);
    assert_eq!(meta.uncovered_count().expect("counts"), 3);
    // A second process has found the same blobs uncovered.
    meta.begin_index("b").expect("announces");
    assert_eq!(meta.cover("b", &keys).expect("records"), 3);
    assert_eq!(ids(meta, 0, LAST, 99), []);
    assert_eq!(meta.indexes().expect("lists"), [index("a", 2, 2), index("b", 5, 3)]);
    meta.begin_index("c").expect("announces");
    assert_eq!(meta.cover("c", &keys).expect("records"), 0);
    assert_eq!(meta.unneeded_indexes().expect("lists"), ["c"]);
    let needing: Vec<BlobId> =
        meta.blobs_of_indexes(&["b".into()]).expect("reads").into_iter().map(|blob| blob.id).collect();
    assert_eq!(needing, [keys[0], keys[2], keys[4]]);
    meta.forget_index("c").expect("forgets");
    assert!(meta.cover("c", &keys).is_err(), "it was forgotten");
    let later = begin(meta, "later", 1);
    store(meta, &later, &[0], 6);
    assert_eq!(ids(meta, 0, LAST, 99).len(), 1, "a new blob has no copy");
    assert_eq!(meta.uncovered_count().expect("counts"), 0, "no valid version needs it yet");
}

pub fn lists_go(meta: &mut Metadata) {
    let (first, _) = version_of(meta, "x", &[1, 2, 3]);
    covered(meta, "a", 99);
    let (second, _) = version_of(meta, "y", &[4]);
    let keep = begin(meta, "z", 1);
    store(meta, &keep, &[0], 5);
    finish(meta, &keep);
    covered(meta, "b", 99);
    assert_eq!(meta.sparse_indexes().expect("lists"), []);
    meta.remove_version(&first, 0).expect("removes");
    assert_eq!(meta.unneeded_indexes().expect("lists"), [] as [String; 0], "the blobs still have rows");
    meta.take_delete_candidates(EntryId::START, ALWAYS, 10).expect("takes");
    assert_eq!(meta.unneeded_indexes().expect("lists"), ["a"]);
    meta.forget_index("a").expect("forgets");
    let (third, _) = version_of(meta, "w", &[6, 7, 8]);
    let three = known(meta, 8).expect("a hit");
    let shares = begin(meta, "v", 1);
    reuse(meta, &shares, 0, &three);
    finish(meta, &shares);
    let keys = covered(meta, "c", 99);
    meta.remove_version(&third, 0).expect("removes");
    meta.remove_version(&second, 0).expect("removes");
    meta.drop_unnamed_blobs().expect("drops");
    assert_eq!(meta.indexes().expect("lists"), [index("b", 2, 1), index("c", 3, 1)]);
    assert_eq!(meta.sparse_indexes().expect("lists"), [index("c", 3, 1)]);

    meta.begin_index("d").expect("announces");
    meta.replace_indexes("d", 2, &["b".into(), "c".into()]).expect("records");
    assert_eq!(meta.unneeded_indexes().expect("lists"), ["b", "c"]);
    assert_eq!(meta.uncovered_blobs(BlobId(0), LAST, 9).expect("reads"), []);
    let blobs = meta.blobs_of_indexes(&["d".into()]).expect("reads");
    assert_eq!((blobs.len(), blobs[1].id), (2, keys[2]));
    for name in ["b", "c", "d"] {
        meta.forget_index(name).expect("forgets");
    }
    assert_eq!(meta.indexes().expect("lists"), [index("d", 2, 2)], "it is needed");
    meta.lose_indexes(&["d".into(), "unknown".into()]).expect("forgets");
    assert_eq!(meta.unneeded_indexes().expect("lists"), ["d"]);
    assert_eq!(meta.uncovered_blobs(BlobId(0), LAST, 9).expect("reads").len(), 2);
}

pub fn forgetting(meta: &mut Metadata) {
    let (version, _) = version_of(meta, "x", &[1]);
    covered(meta, "a", 99);
    taken(meta);
    meta.remember_store("uuid", None).expect("records");
    meta.set_store_key("key").expect("records");
    assert_eq!(meta.unneeded_indexes().expect("lists"), ["a"], "it was made without the key");
    assert_eq!(taken(meta), std::slice::from_ref(&version.uid));
    assert_eq!(covered(meta, "b", 99).len(), 1);
    meta.set_store_key("other").expect("the first one counts");
    assert_eq!(taken(meta), [] as [VersionUid; 0]);
    meta.forget_copies().expect("forgets");
    assert_eq!(meta.unneeded_indexes().expect("lists"), ["a", "b"]);
    assert_eq!(taken(meta), [version.uid]);
}
