//! Tests of runs whose store loses blobs.

use super::*;
use crate::io::null::NullSource;
use crate::meta::Rows;
use crate::meta::url::DatabaseUrl;
use crate::meta::{Metadata, create};
use crate::monitor::{Handle, Silent};
use crate::store::{GetError, Objects, Wanted};
use crate::types::settings::{FileMode, HashFunction};
use crate::types::time::Timestamp;
use crate::types::version::NewVersion;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A store that loses all blobs. Only the first flush reports that.
#[derive(Default)]
struct Forgetful {
    flushes: AtomicUsize,
}

fn lost() -> Error {
    Error::Store { store: "test".into(), reason: "lost".into() }
}

impl Objects for Forgetful {}

impl BlobStore for Forgetful {
    fn location(&self) -> String {
        "test".into()
    }
    fn put(&self, _: &BlobUid, _: &[u8]) -> Result<()> {
        Ok(())
    }
    fn get(&self, _: Wanted<'_>, _: &mut Vec<u8>) -> std::result::Result<bool, GetError> {
        Ok(false)
    }
    fn delete(&self, _: &[BlobUid]) -> Vec<(BlobUid, Error)> {
        Vec::new()
    }
    fn list(&self, _: &str, _: &mut dyn FnMut(&BlobUid) -> Result<()>) -> Result<()> {
        Ok(())
    }
    fn sync(&self) -> Result<()> {
        // Lets the writers store more blobs in the meantime.
        std::thread::sleep(std::time::Duration::from_millis(50));
        if self.flushes.fetch_add(1, Ordering::Relaxed) == 0 { Err(lost()) } else { Ok(()) }
    }
    fn check(&self) -> Result<()> {
        Ok(())
    }
}

#[test]
fn nothing_counts_that_was_stored_before_a_flush_has_failed() {
    let folder = tempfile::tempdir().expect("tempdir");
    let url = DatabaseUrl::File(folder.path().join("db"));
    create(&url, FileMode::PRIVATE, Handle::silent()).expect("initialises");
    let mut meta = Metadata::open(&url, Handle::silent()).expect("opens");
    let (blocks, block_size) = (300, 64);
    let geometry = Geometry::new(blocks * block_size, block_size as u32);
    let new = NewVersion {
        uid: "v".into(),
        date: Timestamp::now(),
        expire: None,
        name: "n".into(),
        snapshot_name: String::new(),
        size: blocks,
        size_bytes: blocks * block_size,
        tags: Vec::new(),
        origin: None,
    };
    let version = meta.begin_version(&new).expect("begins");
    let store = Forgetful::default();
    let ingest = Ingest {
        source: &NullSource::new("null://", blocks * block_size, block_size as u32),
        store: &store,
        version: &version,
        monitor: &Silent,
        keys: Keyring::new(None),
        hasher: Hasher::new(HashFunction::Sha512),
        geometry,
        enc_version: 0,
        deduplication: true,
        reads: 2,
        writes: 2,
        throttle: Throttle::new(0),
    };
    let ended = ingest.run(&mut meta, &(0..blocks).into(), &mut Tally::default());
    assert!(matches!(ended, Err(Error::Store { .. })), "{ended:?}");
    assert_eq!(store.flushes.into_inner(), 1, "a second flush would report no loss");
    assert!(meta.rows(&version, 0, 1000, Rows::All).expect("reads").is_empty());
}
