//! Rules about the overview of the whole database.

use super::given::*;
use crate::meta::*;
use crate::types::keys::BlobId;
use crate::types::time::Timestamp;
use crate::types::version::Count;
use std::collections::HashMap;

pub fn overview(meta: &mut Metadata) {
    assert_eq!(meta.bad_blobs(9).expect("asks"), BadBlobs::default());
    assert_eq!(meta.deletions(0).expect("asks"), Deletions::default());
    assert_eq!(meta.runs_of(&[]).expect("asks"), []);
    let (first, _) = version_of(meta, "x", &[1, 2]);
    let second = begin(meta, "y", 1);
    let one = known(meta, 1).expect("a hit");
    reuse(meta, &second, 0, &one);
    finish(meta, &second);
    let (third, _) = version_of(meta, "z", &[3]);
    assert!(meta.highest_blob().expect("asks").is_some_and(|highest| highest >= BlobId(3)));
    // More than one statement.
    let many: Vec<_> = std::iter::repeat_n(&first.uid, 300).chain([&third.uid]).collect();
    let runs = meta.runs_of(&many).expect("asks");
    assert_eq!(runs.iter().filter(|run| run.version_uid == third.uid).count(), 1);
    assert!(runs.iter().all(|run| run.version_uid != second.uid));

    let blobs: Vec<_> = rows(meta, &first).into_iter().filter_map(|row| row.blob).collect();
    meta.mark_blobs_invalid(&blobs).expect("marks");
    let bad = meta.bad_blobs(9).expect("asks");
    assert_eq!((bad.number, bad.versions), (2, [first.key, second.key].into()));
    assert_eq!(meta.bad_blobs(1).expect("asks").number, 1, "no more than asked for");
    meta.remove_version(&first, 100).expect("removes");
    let bad = meta.bad_blobs(9).expect("asks");
    assert_eq!((bad.number, bad.versions), (1, [second.key].into()), "nothing needs the other one");
    meta.remove_version(&second, 200).expect("removes");
    let block = Count { blocks: 1, bytes: u64::from(BLOCK) };
    let at = |before| meta.deletions(before).expect("asks");
    let newest = Some(Timestamp::from_unix(200));
    let [none, between, all] = [100, 200, 201].map(at);
    let both = Count { blocks: 2, bytes: 2 * block.bytes };
    assert_eq!(none, Deletions { ready: Count::default(), waiting: both, newest });
    assert_eq!(between, Deletions { ready: block, waiting: block, newest });
    assert_eq!(all, Deletions { ready: both, waiting: Count::default(), newest: None });
}

pub fn verifications(meta: &mut Metadata) {
    let (first, _) = version_of(meta, "x", &[1]);
    let (second, _) = version_of(meta, "y", &[2]);
    assert_eq!(meta.verifications().expect("lists"), HashMap::new());
    let at = Timestamp::from_unix;
    let due = meta.last_due().expect("asks");
    let mut record = |version, share, time| {
        meta.record_verification(version, VerifiedBy::Scrub, share, at(time)).expect("records");
    };
    record(&first, 100, 1000);
    record(&second, 100, 1500);
    record(&first, 10, 3000);
    let found = meta.verifications().expect("lists");
    let whole = HashMap::from([(first.uid.clone(), at(1000)), (second.uid.clone(), at(1500))]);
    assert_eq!(found, whole, "a share of a version is not the whole version");
    meta.record_verification(&first, VerifiedBy::Restore, 100, at(4000)).expect("records");
    assert_eq!(meta.verifications().expect("lists").get(&first.uid), Some(&at(4000)), "the last one counts");
    assert_eq!(meta.last_due().expect("asks"), due, "copies in the store do not contain it");
    meta.remove_version(&first, 0).expect("removes");
    let left = HashMap::from([(second.uid.clone(), at(1500))]);
    assert_eq!(meta.verifications().expect("lists"), left);
    meta.record_verification(&first, VerifiedBy::Restore, 100, at(5000)).expect("does nothing");
    assert_eq!(meta.verifications().expect("lists"), left, "a version that is gone has no record");
}
