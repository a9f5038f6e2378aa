//! Large databases, made through the verbs that a backup uses.

use backy2::crypt::Keyring;
use backy2::hash::Hasher;
use backy2::meta::url::DatabaseUrl;
use backy2::meta::{self, Fingerprint, Finish, Metadata, NewBlob, NewRow, StatisticsRow};
use backy2::monitor::Handle;
use backy2::types::block::{Encryption, Geometry};
use backy2::types::checksum::{Checksum, Digest};
use backy2::types::hex::to_hex;
use backy2::types::settings::{FileMode, HashFunction, MasterKey};
use backy2::types::time::Timestamp;
use backy2::types::uid::{BlobUid, VersionUid};
use backy2::types::version::{NewVersion, Statistics, Version};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// The default size of blocks, in bytes.
pub const BLOCK: u32 = 4 << 20;
/// The master key of these databases, as it is written in the configuration.
pub const MASTER_KEY: &str = "0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f";
/// Rows per transaction.
const ROWS: usize = 50_000;

/// The digests of the artificial blobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksums {
    /// The digest of blob n is [`checksum`] of n.
    Different,
    /// All digests are that of a block of zeros, so that each block could belong to a sparse file. The uids of the
    /// blobs ascend, which makes large databases quickly.
    OfZeros,
}

/// The digest of blob `n` in a database with [`Checksums::Different`]: pseudo-random, the same in each call.
pub fn checksum(n: u64) -> Checksum {
    let mut digest = [0; 64];
    fastrand::Rng::with_seed(n).fill(&mut digest);
    Digest::new(&digest).into()
}

/// The properties of a new version of `blocks` blocks.
pub fn new_version(name: &str, blocks: u64) -> NewVersion {
    NewVersion {
        uid: VersionUid::generate(),
        date: Timestamp::now(),
        expire: None,
        name: name.to_owned(),
        snapshot_name: String::new(),
        size: blocks,
        size_bytes: blocks * u64::from(BLOCK),
        tags: vec!["daily".into()],
        origin: None,
    }
}

/// Makes an empty database.
pub fn open_new(path: &Path) -> Metadata {
    let url = DatabaseUrl::File(path.to_owned());
    meta::create(&url, FileMode::PRIVATE, Handle::silent()).expect("a new database");
    Metadata::open(&url, Handle::silent()).expect("a database")
}

/// Adds a valid version of `blocks` blocks, each with a blob of its own. The ids of the blobs ascend with the blocks,
/// but for `scattered` blocks all over the version, whose blobs are in random order.
pub fn add_version(
    meta: &mut Metadata,
    name: &str,
    blocks: u64,
    scattered: u64,
    checksums: Checksums,
) -> Version {
    let key = MasterKey::from_hex(MASTER_KEY).expect("a key");
    let wrapped = to_hex(&Keyring::new(Some(&key)).wrap(&[7; 32]).expect("wrapped"));
    let zeros = Hasher::new(HashFunction::Sha512).digest(&vec![0; BLOCK as usize]);
    let version = meta.begin_version(&new_version(name, blocks)).expect("a version");
    for batch in order(blocks, scattered).chunks(ROWS) {
        let rows: Vec<NewRow> = batch
            .iter()
            .map(|id| row(*id, &wrapped, (checksums == Checksums::OfZeros).then_some(zeros)))
            .collect();
        let rejected = meta.commit_blocks(&version, &rows).expect("committed");
        assert!(rejected.is_empty(), "new blobs cannot be rejected");
    }
    let statistics = StatisticsRow {
        date: Timestamp::now(),
        version_uid: version.uid.clone(),
        name: name.to_owned(),
        geometry: Geometry::new(version.size_bytes, BLOCK),
        statistics: Statistics::default(),
        duration: 1,
    };
    let finished = meta.finish_version(&version, &statistics, None).expect("finished");
    assert_eq!(finished, Finish::Valid);
    meta.version(&version.uid).expect("there")
}

/// The blocks in the order in which their blobs are inserted.
fn order(blocks: u64, scattered: u64) -> Vec<u64> {
    let mut random = fastrand::Rng::with_seed(1);
    let mut shuffled: Vec<u64> = (0..blocks).collect();
    random.shuffle(&mut shuffled);
    let mut order: Vec<u64> =
        shuffled.split_off(usize::try_from(scattered).unwrap_or(usize::MAX).min(shuffled.len()));
    order.sort_unstable();
    order.extend(shuffled);
    order
}

fn row(id: u64, wrapped: &str, digest_of_all: Option<Digest>) -> NewRow {
    static NAMES: AtomicU64 = AtomicU64::new(0);
    let (uid, checksum) = match digest_of_all {
        Some(digest) => (format!("{:032x}", NAMES.fetch_add(1, Ordering::Relaxed)).into(), digest.into()),
        None => (BlobUid::generate(), checksum(id)),
    };
    let fingerprint = Fingerprint { checksum, size: u64::from(BLOCK), enc_version: 1 };
    let encryption =
        Encryption { version: 1, envkey: Some(wrapped.to_owned()), nonce: Some("0a".repeat(16)) };
    NewRow::Store { ids: vec![id], blob: NewBlob { uid, fingerprint, encryption } }
}
