//! Versions: what a backup makes.

use super::keys::VersionKey;
use super::time::Timestamp;
use super::uid::VersionUid;

/// A version as the catalogue lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The key of its row.
    pub key: VersionKey,
    /// Its name, which means it in every database.
    pub uid: VersionUid,
    /// When the backup began.
    pub date: Timestamp,
    /// When the user wants it gone.
    pub expire: Option<Timestamp>,
    /// Name of what was backed up.
    pub name: String,
    /// Name of the snapshot it was taken from, or empty.
    pub snapshot_name: String,
    /// Number of blocks.
    pub size: u64,
    /// Size of the image in bytes.
    pub size_bytes: u64,
    /// Whether all of its blocks are safely stored, as far as is known.
    pub valid: bool,
    /// Whether `rm` refuses it.
    pub protected: bool,
    /// Sorted.
    pub tags: Vec<String>,
}

/// A version that is about to be made.
#[derive(Clone, Debug)]
pub struct NewVersion {
    /// Its name, which means it in every database.
    pub uid: VersionUid,
    /// When the backup began.
    pub date: Timestamp,
    /// When the user wants it gone.
    pub expire: Option<Timestamp>,
    /// Name of what is backed up.
    pub name: String,
    /// Name of the snapshot it is taken from, or empty.
    pub snapshot_name: String,
    /// Number of blocks.
    pub size: u64,
    /// Size of the image in bytes.
    pub size_bytes: u64,
    /// Without duplicates.
    pub tags: Vec<String>,
    /// Which snapshot it is of, where that is certain.
    pub origin: Option<Origin>,
}

/// An RBD image, by what never means another one: names are changed and given again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageId {
    /// The identity of the Ceph cluster.
    pub cluster: String,
    /// The pool's number.
    pub pool: i64,
    /// The namespace in the pool, or empty.
    pub namespace: String,
    /// The image's identity in the pool.
    pub image: String,
}

/// The snapshot of an RBD image that a version was made from: what proves later that a list of changes since
/// then is one of changes since that version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The image.
    pub image: ImageId,
    /// The snapshot's number in the pool.
    pub snapshot: u64,
    /// When it was made, in nanoseconds since 1970.
    pub taken: i64,
}

/// A count of blocks and of the bytes in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Number of blocks.
    pub blocks: u64,
    /// Their plain bytes.
    pub bytes: u64,
}

impl Count {
    /// Counts one block of `bytes` bytes.
    pub fn add(&mut self, bytes: u64) {
        *self += Count { blocks: 1, bytes };
    }
}

/// Nothing overflows: damaged rows may claim any size.
impl std::ops::AddAssign for Count {
    fn add_assign(&mut self, other: Count) {
        self.blocks = self.blocks.saturating_add(other.blocks);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

impl std::ops::SubAssign for Count {
    fn sub_assign(&mut self, other: Count) {
        self.blocks = self.blocks.saturating_sub(other.blocks);
        self.bytes = self.bytes.saturating_sub(other.bytes);
    }
}

/// What a backup did, for the `stats` table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// All that was read from the source, blocks of zeros and check blocks too.
    pub read: Count,
    /// Newly stored, in plain bytes.
    pub written: Count,
    /// Carried from the base, or read and known already.
    pub dedup: Count,
    /// Neither read nor stored.
    pub sparse: Count,
}
