//! The parameters and results of the verbs.

use super::PastRun;
use crate::types::block::{Encryption, Geometry};
use crate::types::block_set::BlockSet;
use crate::types::checksum::Checksum;
use crate::types::keys::{BlobId, EntryId};
use crate::types::time::Timestamp;
use crate::types::uid::{BlobUid, VersionUid};
use crate::types::version::{Count, Statistics, Version};

/// The versions to list. Empty fields do not restrict the list.
#[derive(Clone, Debug, Default)]
pub struct VersionFilter {
    /// Exact name.
    pub name: Option<String>,
    /// Exact snapshot name.
    pub snapshot_name: Option<String>,
    /// Only versions with this tag.
    pub tag: Option<String>,
    /// Only versions whose expiry is before this moment.
    pub expired_at: Option<Timestamp>,
}

/// A list of versions, and of rows that cannot be read. One bad row does not hide the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// The versions, by name, then date.
    pub versions: Vec<Version>,
    /// A text for each row that cannot be read, with the version's uid.
    pub unreadable: Vec<String>,
}

/// A blob that a new block could reuse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The blob's row.
    pub id: BlobId,
    /// Its name, checked again when the row is committed.
    pub uid: BlobUid,
}

/// The properties that identify the data of a block.
#[derive(Clone, Debug)]
pub struct Fingerprint {
    /// Its checksum.
    pub checksum: Checksum,
    /// Plain size in bytes.
    pub size: u64,
    /// Encryption version that a reused blob must have.
    pub enc_version: u32,
}

/// A blob that has just been stored durably.
#[derive(Clone, Debug)]
pub struct NewBlob {
    /// Its name in the store.
    pub uid: BlobUid,
    /// Checksum and size of the plain data.
    pub fingerprint: Fingerprint,
    /// The encryption of the blob.
    pub encryption: Encryption,
}

/// One row, or several that name the same new blob, to be committed.
#[derive(Clone, Debug)]
pub enum NewRow {
    /// The block is all zeros.
    Sparse {
        /// Number of the block.
        id: u64,
        /// Its length in bytes.
        size: u64,
    },
    /// The block's data is in a blob that other blocks use.
    Reuse {
        /// Number of the block.
        id: u64,
        /// The blob.
        known: Known,
    },
    /// The block's data was stored. Other blocks of the same run may have the same data.
    Store {
        /// Numbers of the blocks, at least one.
        ids: Vec<u64>,
        /// The blob.
        blob: NewBlob,
    },
}

/// The result of [`super::Metadata::carry`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// Number of rows, with and without data.
    pub blocks: u64,
    /// The rows without data.
    pub sparse: Count,
}

/// The result of [`super::Metadata::finish_version`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finish {
    /// All blocks are there: the version is valid now.
    Valid,
    /// These blocks must be stored, because they have no row, or named a bad blob.
    Missing(BlockSet),
}

/// A row for the `stats` table.
#[derive(Clone, Debug)]
pub struct StatisticsRow {
    /// When the run ended.
    pub date: Timestamp,
    /// The version.
    pub version_uid: VersionUid,
    /// Name as given on the command line.
    pub name: String,
    /// Shape of the image.
    pub geometry: Geometry,
    /// The work that was done.
    pub statistics: Statistics,
    /// Duration in whole seconds.
    pub duration: u64,
}

impl StatisticsRow {
    /// The row as it will be read back.
    pub fn past(&self) -> PastRun {
        PastRun {
            date: self.date,
            version_uid: self.version_uid.clone(),
            name: self.name.clone(),
            size: Count { blocks: self.geometry.blocks(), bytes: self.geometry.size_bytes() },
            statistics: self.statistics,
            duration: self.duration,
        }
    }
}

/// The rows of a version to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// All rows.
    All,
    /// Only rows with data.
    Stored,
}

/// A batch of entries of `deleted_blocks` that a cleanup has checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Candidates {
    /// Blobs that no row names, and that no row can name from now on. Their data must be deleted.
    pub doomed: Vec<BlobUid>,
    /// Number of entries that were dropped because a row names the blob.
    pub in_use: u64,
    /// The entry after which the next batch begins; `None` after the last batch.
    pub next: Option<EntryId>,
}

/// An entry of `deleted_blocks`, as a cleanup would see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deletable {
    /// Name of the blob.
    pub uid: BlobUid,
    /// Plain size in bytes.
    pub size: u64,
    /// The time since which nothing names it, in Unix seconds.
    pub time: i64,
    /// The fate of the entry in a cleanup.
    pub fate: Fate,
}

/// The fate of an entry of `deleted_blocks` in a cleanup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The cleanup would delete the data.
    Goes,
    /// The cleanup would drop the entry, because a row names the blob.
    InUse,
    /// The cleanup would leave it for now, because the hour of grace is not over.
    Waits,
}

/// What a database remembers of its store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreRow {
    /// The UUID of the store's identity.
    pub uuid: String,
    /// The store key as the master key wraps it, as 80 hex digits. `None` if there was no master key.
    pub envkey: Option<String>,
    /// Whether the identity was written to the store. If not, it may or may not be there.
    pub made: bool,
}

/// A blob that should be in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampleBlob {
    /// Its name.
    pub uid: BlobUid,
    /// Plain bytes.
    pub size: u64,
    /// Whether nothing explains its absence: it is neither marked as bad nor listed for deletion.
    pub certain: bool,
}
