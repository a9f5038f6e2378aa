//! Types for reports about versions and past runs, for dumps and for `rekey`.

use crate::types::block::Encryption;
use crate::types::checksum::Checksum;
use crate::types::error::Result;
use crate::types::keys::{BlobId, VersionKey};
use crate::types::time::Timestamp;
use crate::types::uid::{BlobUid, VersionUid};
use crate::types::version::{Count, Statistics};
use std::collections::BTreeSet;

/// The space that a version takes, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Blocks with data.
    pub real: u64,
    /// Sparse blocks.
    pub null: u64,
    /// Bytes saved by blobs that only blocks of this version share.
    pub dedup_own: u64,
    /// Blocks whose blob other versions use too.
    pub dedup_others: u64,
    /// Blocks whose blob no other block names.
    pub individual: u64,
    /// The version's share of its blobs: the size of each blob, divided by the number of all rows that name it.
    pub space: u64,
    /// Blobs that would be deleted with the version.
    pub space_freed: u64,
}

/// A row of the `stats` table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastRun {
    /// When the run ended.
    pub date: Timestamp,
    /// The version, which may have been removed since.
    pub version_uid: VersionUid,
    /// Name as given on the command line.
    pub name: String,
    /// Size of the image.
    pub size: Count,
    /// The work that was done.
    pub statistics: Statistics,
    /// Duration in whole seconds.
    pub duration: u64,
}

/// A block as dumps hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DumpRow {
    /// Number of the block.
    pub id: u64,
    /// Name of the blob, or `None` for a sparse block.
    pub uid: Option<BlobUid>,
    /// When the blob was stored.
    pub date: Timestamp,
    /// Checksum of the plain data.
    pub checksum: Option<Checksum>,
    /// Plain size in bytes.
    pub size: u64,
    /// Whether the data is good.
    pub valid: bool,
    /// The encryption of the blob.
    pub encryption: Encryption,
}

/// The result of [`super::Metadata::rekey`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rekeyed {
    /// Number of blobs whose key was wrapped with the new master key.
    pub opened: u64,
    /// Number of blocks that name these blobs.
    pub rows: u64,
    /// Sparse blocks.
    pub sparse: u64,
    /// Number of blocks with another encryption version.
    pub other: u64,
    /// Number of blobs whose key the new master key opens already.
    pub already: u64,
    /// Uids of blobs whose key neither master key opens.
    pub damaged: Vec<BlobUid>,
}

/// The result of trying both master keys on a blob's wrapped key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rewrapped {
    /// The old master key opens it. Holds the key as the new one wraps it, in hex.
    Anew(String),
    /// The new master key opens it already.
    Already,
    /// Neither master key opens it.
    Damaged,
}

/// Tries both master keys on a wrapped key (hex).
pub type Rewrap<'a> = &'a mut dyn FnMut(&str) -> Rewrapped;

/// The rows of a dump, read while they are imported.
pub type DumpRows<'a> = &'a mut dyn Iterator<Item = Result<DumpRow>>;

/// The result of [`super::Metadata::mark_version_valid`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Healed {
    /// Whether the version is valid: none of its blobs is bad.
    pub valid: bool,
    /// Uids of the other versions that are valid again, because only the mended blobs had made them invalid.
    pub others: Vec<VersionUid>,
}

/// The rows of `block_map` of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapSummary {
    /// The version's key.
    pub key: VersionKey,
    /// The version's uid; `None` if there is no such version.
    pub uid: Option<VersionUid>,
    /// Number of rows.
    pub rows: u64,
    /// The lowest number of a block. A damaged row may have any number.
    pub lowest: i64,
    /// The highest number of a block.
    pub highest: i64,
}

/// A row of `block_map` without a row for its blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dangling {
    /// The version; `None` if there is none either.
    pub version: Option<VersionUid>,
    /// Number of the block.
    pub block: i64,
}

/// The row of a blob, without the parts that only decoding needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedBlob {
    /// Its key.
    pub id: BlobId,
    /// The blob's name.
    pub uid: BlobUid,
    /// Plain size in bytes. A damaged row may contain any number.
    pub size: i64,
    /// Encryption version.
    pub enc_version: u32,
    /// Whether a block names it.
    pub in_use: bool,
}

/// Blobs that are marked as bad and that blocks name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BadBlobs {
    /// Number of these blobs.
    pub number: u64,
    /// The versions that name one of them.
    pub versions: BTreeSet<VersionKey>,
}

/// The command that verified a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerifiedBy {
    /// `scrub`.
    Scrub,
    /// `restore`.
    Restore,
}

/// The data that is listed for deletion, in plain bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deletions {
    /// The next cleanup deletes it.
    pub ready: Count,
    /// Its hour of grace is not over.
    pub waiting: Count,
    /// Since when the newest data that waits is listed; `None` if none waits.
    pub newest: Option<Timestamp>,
}
