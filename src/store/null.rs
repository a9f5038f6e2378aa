//! A store that keeps nothing, for measuring everything else.

use super::{BlobStore, GetError, Objects, Wanted};
use crate::types::error::{Error, Result};
use crate::types::generated::generated;
use crate::types::uid::BlobUid;

/// Discards blobs. Reads return the generated data of the block.
pub(crate) struct NullStore;

impl Objects for NullStore {}

impl BlobStore for NullStore {
    fn location(&self) -> String {
        "null".into()
    }

    fn put(&self, _uid: &BlobUid, _data: &[u8]) -> Result<()> {
        Ok(())
    }

    fn get(&self, wanted: Wanted<'_>, data: &mut Vec<u8>) -> std::result::Result<bool, GetError> {
        data.clear();
        data.resize(usize::try_from(wanted.size).unwrap_or_default(), 0);
        generated(wanted.block, data);
        Ok(true)
    }

    fn delete(&self, _uids: &[BlobUid]) -> Vec<(BlobUid, Error)> {
        Vec::new()
    }

    fn list(&self, _prefix: &str, _each: &mut dyn FnMut(&BlobUid) -> Result<()>) -> Result<()> {
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn check(&self) -> Result<()> {
        Ok(())
    }

    fn is_generated(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_give_the_generated_data_of_the_block() {
        let store = NullStore;
        let uid = BlobUid::from("x");
        store.put(&uid, b"data").expect("put");
        let mut data = vec![1; 3];
        let wanted = Wanted { uid: &uid, block: 258, size: 18, again: false };
        assert!(store.get(wanted, &mut data).expect("get"));
        assert_eq!(data, b"\x02\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0  ");
        assert!(store.is_generated());
    }
}
