//! Rules about a database that is filled from copies.

use super::given::*;
use crate::copies::{BlockMap, CopiedBlob, CopiedKey, CopiedRun, CopiedVersion, RowSum};
use crate::meta::*;
use crate::types::error::Error;
use crate::types::keys::{BlobId, EntryId, VersionKey};
use crate::types::time::Timestamp;
use crate::types::uid::BlobUid;
use crate::types::version::{ImageId, SnapshotOrigin, Statistics, Version};

const KEY: [u8; 32] = [3; 32];

fn blob(id: i64) -> CopiedBlob {
    CopiedBlob {
        id: BlobId(id),
        uid: BlobUid::generate(),
        checksum: (id % 2 == 0).then(|| format!("{id:0128x}").into()),
        size: i64::from(BLOCK),
        enc_version: 1,
        key: CopiedKey::None,
        nonce: Some("ab".into()),
        date: Timestamp::from_unix(1000 + id),
    }
}

fn copied(key: i64, blobs: &[i64]) -> CopiedVersion {
    let mut blocks = BlockMap::default();
    for (block, id) in blobs.iter().enumerate() {
        blocks.push(block as u64, BlobId(*id)).expect("ascends");
    }
    let new = new_version(&format!("v{key}"), blobs.len() as u64);
    let image = ImageId { cluster: "c".into(), pool: 1, namespace: String::new(), image: "i".into() };
    CopiedVersion {
        version: Version {
            key: VersionKey(key),
            uid: new.uid,
            date: Timestamp::from_unix(5),
            expire: Some(Timestamp::from_unix(7)),
            name: new.name,
            snapshot_name: "s".into(),
            size: new.size,
            size_bytes: new.size_bytes,
            valid: true,
            protected: true,
            tags: vec!["a".into(), "b".into()],
        },
        origin: Some(SnapshotOrigin { image, snapshot: 3, taken: 4 }),
        runs: vec![CopiedRun {
            date: Timestamp::from_unix(6),
            name: "run".into(),
            size: Default::default(),
            statistics: Statistics::default(),
            duration: 9,
        }],
        hash_function: "sha512".into(),
        block_size: BLOCK,
        blocks,
        bad: Default::default(),
        row_sum: [0; 32],
        encrypted: true,
    }
}

fn new_row(blob: &CopiedBlob) -> NewBlobRow<'_> {
    NewBlobRow { blob, envkey: Some(format!("key{}", blob.id)), valid: blob.id.0 != 9 }
}

pub fn filling(meta: &mut Metadata) {
    let hole = -i64::from(BLOCK);
    let (one, two) = (copied(4, &[7, hole, 8, 9]), copied(2, &[7, 8]));
    let blobs = [blob(7), blob(8), blob(9)];
    // The same key, and the same identity under another key.
    let twins = [
        CopiedBlob { uid: BlobUid::generate(), ..blob(7) },
        CopiedBlob { id: BlobId(10), ..blobs[1].clone() },
    ];
    meta.refuse_rows().expect("it is empty");
    let fill = |filling: &mut Filling<'_>| {
        filling.store("uuid", Some("envkey"))?;
        assert_eq!(filling.blobs(&blobs.each_ref().map(new_row))?, 3);
        let twin = |blob| NewBlobRow { envkey: Some("key8".into()), ..new_row(blob) };
        assert_eq!(filling.blobs(&twins.each_ref().map(twin))?, 0);
        assert_eq!(filling.blobs_among(1..9)?, [7, 8]);
        filling.list("list", &[BlobId(7), BlobId(8), BlobId(9), BlobId(11)])?;
        let keys = [filling.version(&one)?, filling.version(&two)?];
        assert_eq!(keys, [VersionKey(4), VersionKey(2)]);
        let third = filling.version(&copied(4, &[]))?;
        assert_eq!(third, VersionKey(5), "its own key is taken");
        filling.blocks(keys[0], &one.blocks)?;
        filling.blocks(keys[1], &two.blocks)?;
        let mut sum = RowSum::new(&KEY);
        filling.rows(keys[0], &(0..i64::MAX as u64), &mut |row| sum.add(row))?;
        filling.rows(keys[1], &(0..1), &mut |row| sum.sub(row))?;
        filling.invalidate(keys[0], true)?;
        filling.run(&one.version.uid, &one.runs[0])?;
        let gone = BlobUid::generate();
        filling.unnamed(&[(&gone, 5), (&gone, 5), (&blobs[0].uid, 5)], 77)?;
        filling.finish(VersionKey(20), BlobId(30), &keys[..1])?;
        Ok((sum.bytes(), third))
    };
    let (sum, third) = meta.rebuild(fill).expect("filled");

    let mut expected = RowSum::new(&KEY);
    for (block, blob) in [(2, &blobs[1]), (3, &blobs[2])] {
        expected.add(crate::copies::SummedRow {
            block,
            uid: blob.uid.as_str(),
            checksum: blob.checksum.as_ref().map(|checksum| checksum.as_str()),
            size: blob.size,
            enc_version: 1,
        });
    }
    assert_eq!(sum, expected.bytes());
    what_was_filled_in(meta, &one, &blobs);
    work_goes_on(meta, third);
}

/// The version and its blobs are there.
fn what_was_filled_in(meta: &mut Metadata, one: &CopiedVersion, blobs: &[CopiedBlob; 3]) {
    let content = meta.version_content(&one.version.uid).expect("reads").expect("there");
    assert_eq!(content.version, Version { valid: false, ..one.version.clone() });
    assert_eq!((&content.origin, &content.runs, &content.blocks), (&one.origin, &one.runs, &one.blocks));
    assert_eq!(content.bad.into_iter().collect::<Vec<_>>(), [BlobId(9)]);
    assert_eq!(meta.store().expect("reads").expect("known").uuid, "uuid");
    let listed = meta.indexes().expect("reads");
    assert_eq!(listed, [IndexRow { name: "list".into(), total: 4, live: 3 }]);
    let due: Vec<_> = meta.due_copies(0, 10).expect("reads").into_iter().map(|due| due.uid).collect();
    assert_eq!(due, std::slice::from_ref(&one.version.uid));
    let keys = meta.blob_keys().expect("reads");
    assert_eq!(keys.ranges(), [7..10]);
    let stored = meta.copied_blobs(&keys).expect("reads");
    let with_keys = blobs
        .each_ref()
        .map(|blob| CopiedBlob { key: CopiedKey::Wrapped(format!("key{}", blob.id)), ..blob.clone() });
    assert_eq!(stored, with_keys);
}

fn work_goes_on(meta: &mut Metadata, third: VersionKey) {
    assert_eq!(meta.take_delete_candidates(EntryId::START, 78, 10).expect("takes").doomed.len(), 1);
    // The good blob heals what it alone had made invalid.
    let all = meta.versions(&VersionFilter::default()).expect("lists").versions;
    let version = all.iter().find(|version| version.key == VersionKey(4)).expect("there");
    assert!(meta.mark_version_valid(version, &[BlobId(9)]).expect("marks").valid);
    let newer = begin(meta, "new", 1);
    assert!(newer.key > VersionKey(20) && third < newer.key);
    store(meta, &newer, &[0], 1);
    assert!(meta.last_blob().expect("reads") > BlobId(30));

    let refused = meta.rebuild(|_| Ok(())).expect_err("it is not empty");
    assert!(matches!(&refused, Error::Refused(_)), "{refused:?}");
    assert!(meta.refuse_rows().is_err());
}

pub fn a_filling_that_fails_leaves_nothing(meta: &mut Metadata) {
    let one = copied(4, &[7]);
    let failed = meta.rebuild(|filling| -> Filled<()> {
        filling.store("uuid", None)?;
        filling.blobs(&[new_row(&blob(7))])?;
        filling.version(&one)?;
        Err(Error::refused("enough").into())
    });
    assert!(failed.expect_err("fails").line().contains("enough"));
    meta.refuse_rows().expect("it is still empty");
    assert_eq!(meta.store().expect("reads"), None);
    let again = |filling: &mut Filling<'_>| {
        filling.store("uuid", None)?;
        filling.finish(VersionKey(0), BlobId(0), &[])
    };
    meta.rebuild(again).expect("it can be tried again");
    assert_eq!(begin(meta, "first", 1).key, VersionKey(1));
}
