//! One test suite for every store that keeps its data.

use super::file::FileStore;
use super::*;
use crate::skip;
use crate::types::keys::BlobId;
use crate::types::settings::{Durability, FileMode};
use crate::types::uid::VersionUid;
use std::collections::{BTreeMap, BTreeSet};

#[path = "../../tests/common/s3_server.rs"]
#[allow(dead_code)]
mod s3_server;

fn get(store: &dyn BlobStore, uid: &BlobUid) -> Option<Vec<u8>> {
    let mut data = vec![42; 7];
    let found = store.get(Wanted { uid, block: 0, size: 4, again: false }, &mut data).expect("get");
    found.then_some(data)
}

fn names(store: &dyn BlobStore, prefix: &str) -> BTreeSet<BlobUid> {
    let mut all = BTreeSet::new();
    store
        .list(prefix, &mut |uid| {
            assert!(all.insert(uid.clone()), "{uid} came twice");
            Ok(())
        })
        .expect("list");
    all
}

/// The sizes of all blobs, and whether they were all stored a moment ago.
fn surveyed(store: &dyn BlobStore, prefix: &str) -> (BTreeMap<BlobUid, u64>, bool) {
    let (mut sizes, mut young) = (BTreeMap::new(), true);
    let now = Timestamp::now().unix();
    store
        .survey(prefix, &mut |found| {
            let Found::Blob { uid, bytes, stored } = found else { panic!("{found:?}") };
            assert_eq!(sizes.insert(uid.clone(), bytes.expect("a size")), None, "{uid} came twice");
            young &= (now - stored.expect("a time")).abs() < 100;
            Ok(())
        })
        .expect("surveyed");
    (sizes, young)
}

fn suite(store: &dyn BlobStore) {
    store.check().expect("reachable");
    let uids: Vec<BlobUid> = (0..20).map(|_| BlobUid::generate()).collect();
    for (n, uid) in uids.iter().enumerate() {
        assert_eq!(get(store, uid), None);
        store.put(uid, &vec![n as u8; n * 1000]).expect("put");
    }
    store.sync().expect("sync");
    for (n, uid) in uids.iter().enumerate() {
        assert_eq!(get(store, uid), Some(vec![n as u8; n * 1000]), "also the empty one");
    }
    store.put(&uids[0], b"again").expect("put replaces");
    assert_eq!(get(store, &uids[0]).as_deref(), Some(&b"again"[..]));

    assert_eq!(names(store, ""), uids.iter().cloned().collect());
    for length in [1, 2, 3, 4, 7, 32] {
        let prefix = &uids[3].as_str()[..length];
        let want: BTreeSet<_> = uids.iter().filter(|u| u.as_str().starts_with(prefix)).cloned().collect();
        assert_eq!(names(store, prefix), want, "{prefix}");
    }
    assert!(names(store, "zz").is_empty());
    let sizes = uids.iter().enumerate().map(|(n, uid)| (uid.clone(), n as u64 * 1000));
    let sizes = sizes.chain([(uids[0].clone(), 5)]).collect();
    assert_eq!(surveyed(store, ""), (sizes, true));
    let one = uids[3].as_str();
    assert_eq!(surveyed(store, one).0.len(), 1, "{one} alone");
    assert!(
        store
            .clock()
            .expect("asked")
            .is_none_or(|clock| clock.since(Timestamp::now()).num_seconds().abs() < 60)
    );
    let stopped = store.list("", &mut |_| Err(Error::refused("enough")));
    assert!(matches!(stopped, Err(Error::Refused(_))));

    let mut gone = uids[..5].to_vec();
    gone.push(BlobUid::generate());
    assert!(store.delete(&gone).is_empty(), "a missing one counts as deleted");
    assert_eq!(names(store, ""), uids[5..].iter().cloned().collect());
    assert_eq!(get(store, &uids[1]), None);

    std::thread::scope(|scope| {
        for part in uids[5..].chunks(3) {
            scope.spawn(move || {
                part.iter().for_each(|uid| store.put(uid, uid.as_str().as_bytes()).expect("put"))
            });
        }
    });
    assert!(uids[5..].iter().all(|uid| get(store, uid).as_deref() == Some(uid.as_str().as_bytes())));
    suite_of_objects(store);
}

fn objects(store: &dyn BlobStore, folder: ObjectFolder, after: Option<&ObjectName>) -> Vec<ObjectName> {
    let mut all = Vec::new();
    let mut each = |name: &ObjectName| -> Result<()> {
        all.push(name.clone());
        Ok(())
    };
    store.list_objects(folder, after, &mut each).expect("listed");
    all
}

/// Objects, beside the blobs that are there.
fn suite_of_objects(store: &dyn BlobStore) {
    assert!(store.keeps_objects());
    let blobs = names(store, "");
    let index: Vec<ObjectName> = (1..=7).map(|n| ObjectName::new_index(BlobId(n * 1000))).collect();
    let mut versions: Vec<ObjectName> =
        (0..3).filter_map(|_| ObjectName::version(&VersionUid::generate())).collect();
    versions.sort();
    let all: Vec<&ObjectName> = [&ObjectName::Identity].into_iter().chain(&index).chain(&versions).collect();
    for (n, name) in all.iter().enumerate() {
        assert_eq!(store.get_object(name, 9).expect("asked"), None, "{name}");
        store.delete_object(name).expect("a missing one counts as deleted");
        store.put_object(name, &vec![n as u8; n]).expect("put");
    }
    for (n, name) in all.iter().enumerate() {
        assert_eq!(store.get_object(name, n as u64).expect("read"), Some(vec![n as u8; n]), "{name}");
    }
    let error = store.get_object(all[5], 4).expect_err("it has 5 bytes");
    assert!(matches!(error, GetError::Unreadable(_)), "{error:?}");
    store.put_object(all[5], b"again").expect("put replaces");
    assert_eq!(store.get_object(all[5], 9).expect("read").as_deref(), Some(&b"again"[..]));

    assert_eq!(objects(store, ObjectFolder::Index, None), index);
    assert_eq!(objects(store, ObjectFolder::Index, Some(&index[2])), index[3..]);
    assert!(objects(store, ObjectFolder::Index, index.last()).is_empty());
    assert_eq!(objects(store, ObjectFolder::Versions, None), versions);
    let stopped = store.list_objects(ObjectFolder::Index, None, &mut |_| Err(Error::refused("enough")));
    assert!(matches!(stopped, Err(Error::Refused(_))));

    assert_eq!(names(store, ""), blobs, "objects are no blobs");
    all.iter().for_each(|name| store.delete_object(name).expect("deleted"));
    assert_eq!(store.get_object(all[0], 9).expect("asked"), None);
    assert!(objects(store, ObjectFolder::Index, None).is_empty());
}

#[test]
fn the_file_store_keeps_the_contract() {
    for sync in [Durability::File, Durability::Filesystem, Durability::None] {
        let folder = tempfile::tempdir().expect("tempdir");
        suite(&FileStore::new(folder.path(), sync, FileMode::PRIVATE));
    }
}

fn bucket(server: &s3_server::S3Server) -> crate::config::DataConfig {
    let text = format!(
        "[DEFAULTS]\n[MetaBackend]\n[DataBackend]\ntype: s3\nendpoint_url: {}\nbucket_name: {}\n\
         aws_access_key_id: {}\naws_secret_access_key: {}\n",
        server.endpoint(),
        s3_server::BUCKET,
        server.key,
        server.secret
    );
    let folder = tempfile::tempdir().expect("tempdir");
    let file = folder.path().join("backy.cfg");
    std::fs::write(&file, text).expect("write");
    crate::config::load(&crate::config::Origin::File(file), &crate::config::Places::of_system())
        .expect("good")
        .data
}

#[test]
fn a_bucket_of_rclone_keeps_the_contract() {
    match s3_server::S3Server::rclone() {
        Ok(server) => suite(&*open(&bucket(&server), &crate::monitor::Silent).expect("opens")),
        Err(reason) => skip::skip("a_bucket_of_rclone_keeps_the_contract", &reason),
    }
}

#[test]
fn a_bucket_of_radosgw_keeps_the_contract() {
    match s3_server::S3Server::radosgw() {
        Ok(server) => suite(&*open(&bucket(&server), &crate::monitor::Silent).expect("opens")),
        Err(reason) => skip::skip("a_bucket_of_radosgw_keeps_the_contract", &reason),
    }
}

#[test]
fn foreign_and_unfinished_files_are_no_blobs() {
    let folder = tempfile::tempdir().expect("tempdir");
    let store = FileStore::new(folder.path(), Durability::None, FileMode::PRIVATE);
    let uid = BlobUid::generate();
    store.put(&uid, b"x").expect("put");
    let place = folder.path().join(&uid.as_str()[..2]).join(&uid.as_str()[2..4]);
    std::fs::write(place.join("notes.blob"), "").expect("write");
    std::fs::write(place.join(format!("{uid}.blob.1.tmp")), "").expect("write");
    std::fs::write(place.join(format!("{}.blob", BlobUid::generate())), "elsewhere").expect("write");
    std::fs::write(folder.path().join("README"), "").expect("write");
    assert_eq!(names(&store, ""), BTreeSet::from([uid]));
    assert!(place.join("notes.blob").exists());
}

#[test]
fn a_store_that_is_gone_is_not_a_store_without_blobs() {
    let folder = tempfile::tempdir().expect("tempdir");
    let path = folder.path().join("unmounted");
    let store = FileStore::new(&path, Durability::Filesystem, FileMode::PRIVATE);
    let uid = BlobUid::generate();
    let error = store.put(&uid, b"x").expect_err("no folder").line();
    assert!(error.contains("unmounted"), "{error}");
    let wanted = Wanted { uid: &uid, block: 0, size: 1, again: false };
    assert!(matches!(store.get(wanted, &mut Vec::new()), Err(GetError::Store(_))));
    assert!(store.list("", &mut |_| Ok(())).is_err());
    assert!(store.check().is_err());
    assert!(!path.exists(), "it is not made by the way");
}

#[test]
fn a_failed_write_leaves_nothing_behind() {
    let folder = tempfile::tempdir().expect("tempdir");
    let store = FileStore::new(folder.path(), Durability::None, FileMode::PRIVATE);
    let uid = BlobUid::generate();
    let place = folder.path().join(&uid.as_str()[..2]).join(&uid.as_str()[2..4]);
    // A folder with the blob's name makes the rename fail.
    std::fs::create_dir_all(place.join(format!("{uid}.blob")).join("in the way")).expect("mkdir");
    assert!(store.put(&uid, b"x").is_err());
    assert_eq!(std::fs::read_dir(&place).expect("list").count(), 1);
    assert_eq!(
        store.delete(std::slice::from_ref(&uid)).len(),
        1,
        "a blob that cannot be deleted is reported"
    );
}

#[test]
fn a_uid_cannot_lead_out_of_the_store() {
    let folder = tempfile::tempdir().expect("tempdir");
    let store = FileStore::new(&folder.path().join("data"), Durability::None, FileMode::PRIVATE);
    std::fs::create_dir(folder.path().join("data")).expect("mkdir");
    let outside = folder.path().join("x.blob");
    std::fs::write(&outside, "mine").expect("write");
    for uid in ["../../x", "", "abc", "ab/cd/ef", "äöüäöü"] {
        let uid = &BlobUid::from(uid);
        assert!(store.put(uid, b"x").is_err(), "{uid}");
        assert!(
            store.delete(std::slice::from_ref(uid)).is_empty(),
            "{uid}: it is missing, as it cannot be there"
        );
        let wanted = Wanted { uid, block: 0, size: 1, again: false };
        assert!(matches!(store.get(wanted, &mut Vec::new()), Err(GetError::Unreadable(_))), "{uid}");
    }
    assert!(outside.exists());
}
