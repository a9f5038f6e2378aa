//! Walks that cannot go on must end, and say why.

use super::*;
use crate::crypt::Keyring;
use crate::hash::Hasher;
use crate::meta::url::DatabaseUrl;
use crate::meta::{Fingerprint, NewBlob, NewRow};
use crate::meta::{Metadata, create};
use crate::monitor::{Handle, Silent};
use crate::store::{BlobStore, GetError, Objects, Wanted};
use crate::types::block::Encryption;
use crate::types::error::Error;
use crate::types::settings::HashFunction;
use crate::types::time::Timestamp;
use crate::types::uid::BlobUid;
use crate::types::version::NewVersion;

/// A store that cannot be read, as when the network is gone.
struct Unreachable;

fn gone() -> Error {
    Error::Store { store: "test".into(), reason: "gone".into() }
}

impl Objects for Unreachable {}

impl BlobStore for Unreachable {
    fn location(&self) -> String {
        "test".into()
    }
    fn put(&self, _: &BlobUid, _: &[u8]) -> Result<()> {
        Err(gone())
    }
    fn get(&self, _: Wanted<'_>, _: &mut Vec<u8>) -> std::result::Result<bool, GetError> {
        Err(GetError::Store(gone()))
    }
    fn delete(&self, _: &[BlobUid]) -> Vec<(BlobUid, Error)> {
        Vec::new()
    }
    fn list(&self, _: &str, _: &mut dyn FnMut(&BlobUid) -> Result<()>) -> Result<()> {
        Err(gone())
    }
    fn sync(&self) -> Result<()> {
        Err(gone())
    }
    fn check(&self) -> Result<()> {
        Ok(())
    }
}

struct Nowhere;

impl Sink for Nowhere {
    fn accept(&self, _: u64, _: Option<&[u8]>, _: Option<&Damage>, _: &mut Vec<u8>) -> Result<Agreement> {
        Ok(Agreement::Same)
    }
}

#[derive(Default)]
struct Count {
    started: u64,
    done: u64,
}

impl Observer for Count {
    fn started(&mut self, _: u64) {
        self.started += 1;
    }
    fn done(&mut self, _: &mut Metadata, _: Report) -> Result<()> {
        self.done += 1;
        Ok(())
    }
}

/// A version with `blocks` blocks, all in one blob.
fn version(meta: &mut Metadata, blocks: u64) -> Version {
    let new = NewVersion {
        uid: "v".into(),
        date: Timestamp::now(),
        expire: None,
        name: "n".into(),
        snapshot_name: String::new(),
        size: blocks,
        size_bytes: blocks * 16,
        tags: Vec::new(),
        origin: None,
    };
    let version = meta.begin_version(&new).expect("begins");
    let fingerprint = Fingerprint { checksum: "00".into(), size: 16, enc_version: 0 };
    let blob = NewBlob { uid: "abcd".into(), fingerprint, encryption: Encryption::default() };
    meta.commit_blocks(&version, &[NewRow::Store { ids: (0..blocks).collect(), blob }]).expect("commits");
    version
}

#[test]
fn a_store_that_fails_at_every_read_ends_the_walk() {
    let folder = tempfile::tempdir().expect("tempdir");
    let url = DatabaseUrl::File(folder.path().join("db"));
    create(&url, crate::types::settings::FileMode::PRIVATE, Handle::silent()).expect("initialises");
    let mut meta = Metadata::open(&url, Handle::silent()).expect("opens");
    // More blocks than are under way at any time.
    let version = version(&mut meta, 2000);
    let keys = Keyring::new(None);
    let hasher = Hasher::new(HashFunction::Sha512);
    let fetch = Fetch::new(&Unreachable, &keys, hasher, 3, 0);
    let walk = Walk { fetch: &fetch, geometry: Geometry::new(32_000, 16), monitor: &Silent, deliveries: 1 };
    let route = Route { from: 0, rows: Rows::All, percentile: 100 };
    let mut count = Count::default();
    let ended = walk.run(&mut meta, &version, route, &Nowhere, &mut count);
    assert!(matches!(ended, Err(Error::Store { .. })), "{ended:?}");
    assert_eq!(count.done, 0);
    assert!(count.started < 200, "nothing new starts after the first error: {}", count.started);
}
