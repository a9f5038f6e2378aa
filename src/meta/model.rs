//! What the verbs of the metadata take and give.

use super::PastRun;
use crate::types::block::{Encryption, Geometry};
use crate::types::block_set::BlockSet;
use crate::types::checksum::Checksum;
use crate::types::keys::BlobId;
use crate::types::time::Timestamp;
use crate::types::uid::{BlobUid, VersionUid};
use crate::types::version::{Count, Statistics, Version};

/// Which versions to list; empty fields do not restrict.
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

/// Versions, and what is wrong with the rows of others. One bad row keeps nobody from the rest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// By name, then date.
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

/// What identifies a block's data.
#[derive(Clone, Debug)]
pub struct Fingerprint {
    /// Its checksum.
    pub checksum: Checksum,
    /// Plain bytes.
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
    /// How it is encrypted.
    pub encryption: Encryption,
}

/// One row, or several that name the same new blob, to be committed.
#[derive(Clone, Debug)]
pub enum NewRow {
    /// The block is all zeros.
    Sparse {
        /// Block.
        id: u64,
        /// Its length in bytes.
        size: u64,
    },
    /// The block's data is in a blob that other blocks use.
    Reuse {
        /// Block.
        id: u64,
        /// The blob.
        known: Known,
    },
    /// The block's data was stored; further blocks of the same run have the same data.
    Store {
        /// Blocks, at least one.
        ids: Vec<u64>,
        /// The blob.
        blob: NewBlob,
    },
}

/// What [`super::Metadata::carry`] took over from the base.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// Number of rows, with and without data.
    pub blocks: u64,
    /// Those without data.
    pub sparse: Count,
}

/// What [`super::Metadata::finish_version`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finish {
    /// All blocks are there: the version is valid now.
    Valid,
    /// These blocks must be stored (again): they have no row, or named a blob that has gone bad.
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
    /// What was done.
    pub statistics: Statistics,
    /// Whole seconds.
    pub duration: u64,
}

impl StatisticsRow {
    /// The same as it will be read back.
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

/// Which rows of a version to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// All.
    All,
    /// Only those with data.
    Stored,
}

/// A batch of entries of `deleted_blocks` that cleanup has looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Candidates {
    /// No row names these any more, and from now on none can: their data is to be deleted.
    pub doomed: Vec<BlobUid>,
    /// Entries that were dropped because a row names the blob.
    pub in_use: u64,
    /// Where the next batch goes on; `None` after the last one.
    pub next: Option<i64>,
}

/// An entry of `deleted_blocks`, as a cleanup would see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deletable {
    /// Name of the blob.
    pub uid: BlobUid,
    /// Plain bytes.
    pub size: u64,
    /// Since when nothing names it, in unix seconds.
    pub time: i64,
    /// What a cleanup would do with it.
    pub fate: Fate,
}

/// What a cleanup would do with an entry of `deleted_blocks`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It would delete the data.
    Goes,
    /// It would drop the entry: a row names the blob.
    InUse,
    /// It would leave it for now: the hour of grace is not over.
    Waits,
}
