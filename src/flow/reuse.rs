//! Checks that a stored blob is still intact before a new block uses it. A blob may have been lost or truncated
//! without anybody noticing. Stores that know the size of a blob without reading it compare that size.

use crate::crypt::may_hold;
use crate::store::{BlobStore, GetError, Presence, Wanted};
use crate::types::error::Result;
use crate::types::uid::BlobUid;

/// Describes what is wrong with the blob `uid`, which should hold a block of `size` bytes in encryption version
/// `enc_version`. Returns `None` if nothing wrong is visible. `block` is the number of the block that would use it.
///
/// # Errors
/// The store as a whole fails.
pub(crate) fn flaw(
    store: &dyn BlobStore,
    uid: &BlobUid,
    block: u64,
    size: u64,
    enc_version: u32,
) -> Result<Option<String>> {
    if wrong(store.presence(uid)?, size, enc_version).is_none() {
        return Ok(None);
    }
    // Read the blob before it counts as bad.
    flaw_of_read(store, uid, block, size, enc_version)
}

/// As [`flaw`], but always reads the blob, past any cache that a client of a remote store may have.
///
/// # Errors
/// The store as a whole fails.
pub(crate) fn flaw_of_read(
    store: &dyn BlobStore,
    uid: &BlobUid,
    block: u64,
    size: u64,
    enc_version: u32,
) -> Result<Option<String>> {
    let mut data = Vec::new();
    let found = match store.get(Wanted { uid, block, size, again: true }, &mut data) {
        Ok(true) => Presence::Bytes(data.len() as u64),
        Ok(false) => Presence::Missing,
        Err(GetError::Unreadable(why)) => return Ok(Some(format!("cannot be read: {why}"))),
        Err(GetError::Store(error)) => return Err(error),
    };
    Ok(wrong(found, size, enc_version))
}

/// Whether a blob of encryption version `enc_version` with `bytes` bytes can hold a block of `size` bytes.
pub(crate) fn is_possible(enc_version: u32, bytes: u64, size: u64) -> bool {
    may_hold(enc_version, bytes, size)
}

fn wrong(found: Presence, size: u64, enc_version: u32) -> Option<String> {
    match found {
        Presence::Unknown => None,
        Presence::Missing => Some("is missing from the data store".to_owned()),
        Presence::Bytes(bytes) if is_possible(enc_version, bytes, size) => None,
        Presence::Bytes(bytes) => Some(format!("has {bytes} bytes, which is impossible")),
    }
}

/// The message for a block whose data could not be shared.
pub(crate) fn message(block: u64, uid: &BlobUid, flaw: &str) -> String {
    format!(
        "Block {block}: a stored blob should have the same data, but it {flaw} (UID {uid}). The data is \
         stored again."
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::file::FileStore;
    use crate::types::error::Error;
    use crate::types::settings::{Durability, FileMode};

    #[test]
    fn a_blob_of_an_impossible_size_is_not_reused() {
        let folder = tempfile::tempdir().expect("tempdir");
        let store = FileStore::new(folder.path(), Durability::None, FileMode::PRIVATE);
        let uid = BlobUid::generate();
        let look = |version| flaw(&store, &uid, 0, 1000, version).expect("the store is there");
        assert!(look(0).is_some_and(|flaw| flaw.contains("missing")));
        for (bytes, plain, encrypted) in [
            (0, false, false),
            (32, false, false),
            (33, false, true),
            (999, false, true),
            (1000, true, true),
            (1001, false, true),
            (1200, false, false),
        ] {
            store.put(&uid, &vec![1; bytes]).expect("put");
            assert_eq!((look(0).is_none(), look(1).is_none()), (plain, encrypted), "{bytes} bytes");
        }
        let gone = FileStore::new(&folder.path().join("gone"), Durability::None, FileMode::PRIVATE);
        assert!(matches!(flaw(&gone, &uid, 0, 1000, 0), Err(Error::Store { .. })));
    }
}
