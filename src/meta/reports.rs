//! What is told of versions and past runs, and what dumps and `rekey` are about.

use crate::types::block::Encryption;
use crate::types::checksum::Checksum;
use crate::types::error::Result;
use crate::types::time::Timestamp;
use crate::types::uid::{BlobUid, VersionUid};
use crate::types::version::{Count, Statistics};

/// What a version takes, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Blocks with data.
    pub real: u64,
    /// Sparse blocks.
    pub null: u64,
    /// Saved because blocks of this version alone share blobs.
    pub dedup_own: u64,
    /// Blocks whose blob other versions have too.
    pub dedup_others: u64,
    /// Blocks whose blob nothing else names.
    pub individual: u64,
    /// The version's share of its blobs: each counts by the part of its rows that are this version's.
    pub space: u64,
    /// Blobs that would go with the version.
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
    /// What was done.
    pub statistics: Statistics,
    /// Whole seconds.
    pub duration: u64,
}

/// A block as dumps hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DumpRow {
    /// Block.
    pub id: u64,
    /// Name of the blob, or `None` for a sparse block.
    pub uid: Option<BlobUid>,
    /// When the blob was stored.
    pub date: Timestamp,
    /// Checksum of the plain data.
    pub checksum: Option<Checksum>,
    /// Plain bytes.
    pub size: u64,
    /// Whether the data is good.
    pub valid: bool,
    /// How it is encrypted.
    pub encryption: Encryption,
}

/// What [`Metadata::rekey`] did, counted in blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rekeyed {
    /// Blobs whose key was wrapped anew.
    pub opened: u64,
    /// Blocks whose blob's key was wrapped anew.
    pub rows: u64,
    /// Sparse blocks.
    pub sparse: u64,
    /// Blocks of another encryption version.
    pub other: u64,
    /// Blobs whose key opens with the new key already.
    pub already: u64,
    /// Uids of blobs whose key opens with neither.
    pub damaged: Vec<BlobUid>,
}

/// What the two master keys make of a blob's wrapped key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rewrapped {
    /// The old one opens it: this is the key (hex) as the new one wraps it.
    Anew(String),
    /// The new one opens it already.
    Already,
    /// Neither opens it.
    Damaged,
}

/// Tries both master keys on a wrapped key (hex).
pub type Rewrap<'a> = &'a mut dyn FnMut(&str) -> Rewrapped;

/// The rows of a dump, read while they are imported.
pub type DumpRows<'a> = &'a mut dyn Iterator<Item = Result<DumpRow>>;

/// What [`super::Metadata::mark_version_valid`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Healed {
    /// Whether the version is valid: none of its blobs is bad.
    pub valid: bool,
    /// Uids of the other versions that are valid again, as only the mended blobs had made them invalid.
    pub others: Vec<VersionUid>,
}
