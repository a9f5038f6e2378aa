//! The parameters and results of the verbs.

use super::PastRun;
use crate::copies::{BlockMap, CopiedRun, SummedRow};
use crate::types::block::{Encryption, Geometry};
use crate::types::block_set::BlockSet;
use crate::types::checksum::Checksum;
use crate::types::keys::{BlobId, EntryId};
use crate::types::time::Timestamp;
use crate::types::uid::{BlobUid, VersionUid};
use crate::types::version::{Count, SnapshotOrigin, Statistics, Version};
use std::collections::BTreeSet;

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

/// A version whose copy in the store is not up to date, or that was removed and may still have a copy.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DueCopy {
    /// A number that every change of the version makes larger.
    pub token: i64,
    /// The version.
    pub uid: VersionUid,
}

/// Everything in the database that belongs to one version alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionContent {
    /// Its row and its tags.
    pub version: Version,
    /// The RBD snapshot that it was made from, if that was recorded.
    pub origin: Option<SnapshotOrigin>,
    /// Its rows of statistics, in the order of their insertion.
    pub runs: Vec<CopiedRun>,
    /// The blobs of its blocks.
    pub blocks: BlockMap,
    /// Those of its blobs that are marked as bad.
    pub bad: BTreeSet<BlobId>,
}

impl VersionContent {
    /// Whether every block of the version has a row.
    pub fn is_complete(&self) -> bool {
        self.blocks.count() == self.version.size
    }
}

/// The part of a blob's row that counts in the sum of a version's rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SummedBlob {
    /// Its name.
    pub uid: String,
    /// Checksum of the plain data, if the row has one.
    pub checksum: Option<String>,
    /// Plain bytes. A damaged row may contain any number.
    pub size: i64,
    /// Encryption version.
    pub enc_version: u32,
}

impl SummedBlob {
    /// The row of a block that has this blob.
    pub fn at(&self, block: u64) -> SummedRow<'_> {
        SummedRow {
            block,
            uid: &self.uid,
            checksum: self.checksum.as_deref(),
            size: self.size,
            enc_version: self.enc_version,
        }
    }
}

/// What the copy of a version says of its rows, so that other rows are noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seal {
    /// The sum of the rows ([`crate::copies::RowSum`]).
    pub sum: [u8; 32],
    /// Whether all of their blobs are encrypted.
    pub encrypted: bool,
}

/// An object with a list of blobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexRow {
    /// Its name, without the folder.
    pub name: String,
    /// Number of blobs in the list.
    pub total: u64,
    /// Number of blobs that need this object, and have a row.
    pub live: u64,
}
