//! The questions that a check of the installation asks.

use super::given::*;
use crate::meta::{Metadata, NamedBlob};
use crate::types::block::Geometry;
use crate::types::keys::BlobId;
use crate::types::time::Timestamp;
use crate::types::uid::BlobUid;
use crate::types::version::Count;

pub fn sound(meta: &mut Metadata) {
    let nothing = |meta: &mut Metadata| {
        assert_eq!(meta.integrity(10).expect("checks"), [""; 0]);
        assert_eq!(meta.dangling(10).expect("looks"), (0, vec![]));
        assert_eq!((meta.lone_tags().expect("looks"), meta.nameless_blobs().expect("looks")), (0, 0));
    };
    nothing(meta);
    assert_eq!(meta.map_summaries().expect("counts"), []);
    assert_eq!(meta.blob_count().expect("counts"), Count::default());
    let (version, _) = version_of(meta, "x", &[1, 2, 3]);
    let other = begin(meta, "y", 9);
    meta.set_sparse(&other, Geometry::new(9 * u64::from(BLOCK), BLOCK), &[4..6].into()).expect("records");
    nothing(meta);
    let summaries = meta.map_summaries().expect("counts");
    let short: Vec<_> = summaries.iter().map(|row| (row.key, row.rows, row.lowest, row.highest)).collect();
    assert_eq!(short, [(version.key, 3, 0, 2), (other.key, 2, 4, 5)]);
    assert!(summaries.iter().all(|row| row.uid.is_some()));
    assert_eq!(meta.blob_count().expect("counts"), Count { blocks: 3, bytes: 3 * u64::from(BLOCK) });
    let clock = meta.server_clock().expect("asks");
    assert!(clock.is_none_or(|clock| clock.since(Timestamp::now()).num_seconds().abs() < 60), "{clock:?}");
}

/// All blobs by uid, in pages of `limit`.
fn paged(meta: &mut Metadata, from: &str, to: Option<&str>, limit: usize) -> Vec<NamedBlob> {
    let mut all: Vec<NamedBlob> = Vec::new();
    loop {
        let page = meta.blobs_by_uid(all.last(), from, to, limit).expect("lists");
        if page.is_empty() {
            return all;
        }
        assert!(page.len() <= limit);
        all.extend(page);
    }
}

pub fn blobs_by_pages(meta: &mut Metadata) {
    let (version, blobs) = version_of(meta, "x", &[1, 2, 3, 4, 5]);
    let (gone, unnamed) = version_of(meta, "y", &[6]);
    meta.remove_version(&gone, 0).expect("removes");
    let all = uids(&[blobs, unnamed.clone()].concat());
    for limit in [1, 2, 100] {
        let listed = paged(meta, "", None, limit);
        assert!(listed.iter().map(|blob| &blob.uid).eq(&all), "{limit}: {listed:?}");
        assert!(listed.iter().all(|blob| blob.in_use == (blob.uid != unnamed[0].uid)));
        assert!(listed.iter().all(|blob| (blob.size, blob.enc_version) == (i64::from(BLOCK), 0)));
    }
    let middle = paged(meta, all[1].as_str(), Some(all[4].as_str()), 2);
    assert!(middle.iter().map(|blob| &blob.uid).eq(&all[1..4]));

    let mut in_use = Vec::new();
    let mut after = BlobId(0);
    while let Some(blob) = meta.blobs_in_use(after, 1).expect("lists").pop() {
        after = blob.id;
        in_use.push(blob);
    }
    assert_eq!(in_use.len(), 5);
    let stranger = BlobUid::generate();
    let asked = [in_use[0].uid.clone(), unnamed[0].uid.clone(), stranger.clone()];
    assert_eq!(meta.unknown_to_all(&asked).expect("looks up"), [stranger]);
    assert_eq!(meta.versions_naming(&in_use[0].uid, 9).expect("looks up"), [version.uid]);
    assert!(meta.versions_naming(&unnamed[0].uid, 9).expect("looks up").is_empty());
}
