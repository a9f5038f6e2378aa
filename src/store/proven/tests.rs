//! A folder that is exchanged while it is used.

use super::*;
use crate::store::file::FileStore;
use crate::store::identity::Identity;
use crate::types::settings::{Durability, FileMode};
use std::path::Path;

/// A folder with an identity and a blob, and the name of the blob.
fn store(root: &Path) -> (Box<FileStore>, String, BlobUid) {
    std::fs::create_dir(root).expect("made");
    let store = Box::new(FileStore::new(root, Durability::None, FileMode::PRIVATE));
    let (identity, uid) = (Identity::new(&Identity::new_uuid(), true), BlobUid::generate());
    store.put_object(&ObjectName::Identity, identity.line().as_bytes()).expect("put");
    let writer = FileStore::new(root, Durability::None, FileMode::PRIVATE);
    writer.put(&uid, b"data").expect("put");
    (store, identity.uuid, uid)
}

fn get(store: &dyn BlobStore, uid: &BlobUid) -> std::result::Result<bool, GetError> {
    store.get(Wanted { uid, block: 0, size: 4, again: false }, &mut Vec::new())
}

/// Asks for `uid`, which is not there, in every way. Nothing may count as missing.
fn nothing_is_missing(store: &dyn BlobStore, uid: &BlobUid) {
    assert!(matches!(get(store, uid), Err(GetError::Store(Error::WrongStore { .. }))));
    assert!(matches!(store.presence(uid), Err(Error::WrongStore { .. })));
    assert!(matches!(store.check(), Err(Error::WrongStore { .. })));
    let uids = [uid.clone(), BlobUid::generate()];
    let failed = store.delete(&uids);
    assert!(failed.iter().map(|(uid, _)| uid).eq(&uids), "nothing counts as deleted");
    assert!(failed.iter().all(|(_, error)| matches!(error, Error::WrongStore { .. })));
}

#[test]
fn a_blob_is_missing_only_from_the_right_store() {
    let folder = tempfile::tempdir().expect("tempdir");
    let (root, aside) = (folder.path().join("root"), folder.path().join("aside"));
    let (inner, uuid, uid) = store(&root);
    for proof in [Proof::Identity(uuid.clone()), Proof::Witness(uid.clone(), 4)] {
        let inner = FileStore::new(&root, Durability::None, FileMode::PRIVATE);
        let proven = Proven::new(Box::new(inner), proof);
        let missing = BlobUid::generate();
        assert!(
            get(&proven, &uid).expect("there")
                && !get(&proven, &missing).expect("the store is the right one")
        );
        assert_eq!(proven.presence(&missing).expect("told"), Presence::Missing);
        assert!(proven.delete(std::slice::from_ref(&missing)).is_empty());
        proven.check().expect("the right one");

        std::fs::rename(&root, &aside).expect("moved");
        std::fs::create_dir(&root).expect("nothing is mounted there");
        nothing_is_missing(&proven, &missing);
        std::fs::remove_dir(&root).expect("removed");
        std::fs::rename(&aside, &root).expect("moved back");
        assert!(!get(&proven, &missing).expect("it is back"));
    }
    let proven = Proven::new(inner, Proof::Identity(uuid));
    std::fs::rename(&root, &aside).expect("moved");
    store(&root);
    nothing_is_missing(&proven, &uid);
}

#[test]
fn a_flush_counts_only_in_the_right_store() {
    let folder = tempfile::tempdir().expect("tempdir");
    let root = folder.path().join("root");
    let (inner, uuid, _) = store(&root);
    let proven = Proven::new(inner, Proof::Identity(uuid));
    proven.put(&BlobUid::generate(), b"data").expect("put");
    proven.sync().expect("the right one");
    let object = ObjectName::version(&"a".into()).expect("a plain uid");
    proven.put_object(&object, b"data").expect("the right one");
    std::fs::write(root.join("backy2.store"), Identity::new(&Identity::new_uuid(), true).line())
        .expect("written");
    assert!(matches!(proven.sync(), Err(Error::WrongStore { .. })));
    assert!(matches!(proven.put_object(&object, b"data"), Err(Error::WrongStore { .. })));
    std::fs::write(root.join("backy2.store"), "").expect("written");
    assert!(matches!(proven.sync(), Err(Error::WrongStore { .. })));
}

#[test]
fn without_a_proof_nothing_is_missing() {
    let folder = tempfile::tempdir().expect("tempdir");
    let (inner, _, uid) = store(&folder.path().join("root"));
    let proven = Proven::new(inner, Proof::Nothing);
    proven.check().expect("there may be no blob yet");
    assert!(get(&proven, &uid).expect("read"));
    assert!(matches!(get(&proven, &BlobUid::generate()), Err(GetError::Store(Error::WrongStore { .. }))));
}
