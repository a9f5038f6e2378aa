//! Versions, which are the results of backups.

use super::keys::VersionKey;
use super::time::Timestamp;
use super::uid::VersionUid;

/// A version as the catalogue lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The key of the version's row.
    pub key: VersionKey,
    /// The version's name, which is the same in every database.
    pub uid: VersionUid,
    /// When the backup began.
    pub date: Timestamp,
    /// When the version may be removed, if the user gave a date.
    pub expire: Option<Timestamp>,
    /// Name of the image that was backed up.
    pub name: String,
    /// Name of the snapshot that was backed up, or empty.
    pub snapshot_name: String,
    /// Number of blocks.
    pub size: u64,
    /// Size of the image in bytes.
    pub size_bytes: u64,
    /// Whether all blocks are safely stored, as far as is known.
    pub valid: bool,
    /// Whether `rm` refuses to remove it.
    pub protected: bool,
    /// Tags, sorted.
    pub tags: Vec<String>,
}

/// A version that is about to be created.
#[derive(Clone, Debug)]
pub struct NewVersion {
    /// The version's name, which is the same in every database.
    pub uid: VersionUid,
    /// When the backup began.
    pub date: Timestamp,
    /// When the version may be removed, if the user gave a date.
    pub expire: Option<Timestamp>,
    /// Name of the image to back up.
    pub name: String,
    /// Name of the snapshot to back up, or empty.
    pub snapshot_name: String,
    /// Number of blocks.
    pub size: u64,
    /// Size of the image in bytes.
    pub size_bytes: u64,
    /// Tags, without duplicates.
    pub tags: Vec<String>,
    /// The RBD snapshot that it is made from, if that is certain.
    pub origin: Option<SnapshotOrigin>,
}

/// The identity of an RBD image. Names do not identify an image, because they can be changed and reused.
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

/// The RBD snapshot that a version was made from. It proves later that a list of changes since that snapshot is a
/// list of changes since that version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotOrigin {
    /// The image.
    pub image: ImageId,
    /// The snapshot's number in the pool.
    pub snapshot: u64,
    /// When the snapshot was made, in nanoseconds since 1970.
    pub taken: i64,
}

/// A count of blocks and of the bytes in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Number of blocks.
    pub blocks: u64,
    /// Plain size of these blocks in bytes.
    pub bytes: u64,
}

impl Count {
    /// Counts one block of `bytes` bytes.
    pub fn add(&mut self, bytes: u64) {
        *self += Count { blocks: 1, bytes };
    }
}

/// Addition and subtraction saturate, because damaged rows may claim any size.
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

/// The work of a backup, as the `stats` table records it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// All blocks read from the source, including blocks of zeros and check blocks.
    pub read: Count,
    /// Blocks newly stored, in plain bytes.
    pub written: Count,
    /// Blocks carried from the base, and blocks that were read and already known.
    pub dedup: Count,
    /// Blocks neither read nor stored.
    pub sparse: Count,
}

/// Addition saturates, as that of counts.
impl std::ops::AddAssign for Statistics {
    fn add_assign(&mut self, other: Statistics) {
        self.read += other.read;
        self.written += other.written;
        self.dedup += other.dedup;
        self.sparse += other.sparse;
    }
}
