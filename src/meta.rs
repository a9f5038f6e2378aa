//! The metadata: versions, the blobs they name, and what was deleted.
//!
//! The verbs of [`MetaStore`] are coarse and transactional: none is meant to be called once a block by a
//! loop, and what concerns ranges of unchanged blocks is one statement that no row leaves the database for.

pub mod copy;
mod metadata;
mod open;
mod postgres;
mod reports;
mod revision;
mod since;
mod sql;
mod sqlite;
#[cfg(test)]
mod tests;
pub mod url;

pub use metadata::Metadata;
pub use open::{Access, LockTables, Opened, create, open};
pub use reports::{DumpRow, DumpRows, Healed, PastRun, Rekeyed, Rewrap, Rewrapped, Usage};
pub use revision::State;
pub use since::{GoingBack, LoneVersion, Since, since_upgrade};
pub use sqlite::{Begun, begun, claims};

use crate::types::block::{Blob, BlockRow, Encryption, Geometry};
use crate::types::checksum::Checksum;
use crate::types::error::Result;
use crate::types::keys::{BlobId, VersionKey};
use crate::types::time::Timestamp;
use crate::types::uid::{BlobUid, VersionUid};
use crate::types::version::{Count, ImageId, NewVersion, Origin, Statistics, Version};
use std::collections::HashMap;
use std::ops::Range;

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

/// What [`MetaStore::carry`] took over from the base.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// Number of rows, with and without data.
    pub blocks: u64,
    /// Those without data.
    pub sparse: Count,
}

/// What [`MetaStore::finish_version`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finish {
    /// All blocks are there: the version is valid now.
    Valid,
    /// These blocks must be stored (again): they have no row, or named a blob that has gone bad.
    Missing(Vec<Range<u64>>),
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

/// The metadata store. One connection, owned by one thread.
///
/// Every verb is one transaction: it happens as a whole or not at all. Errors are
/// [`crate::types::Error::Metadata`] unless said otherwise.
pub trait MetaStore: Send {
    /// Where it is, for messages; without passwords.
    fn location(&self) -> &str;

    /// Whether anything can be written to it.
    fn is_writable(&self) -> bool;

    /// The same, with the reason.
    ///
    /// # Errors
    /// [`crate::types::Error::Database`] or [`crate::types::Error::Full`]: it cannot be written.
    fn check_writable(&self) -> Result<()>;

    /// A number that changes whenever others have changed the database, if only by adding blocks. Cheap. Says nothing
    /// about changes made through this connection.
    fn change_counter(&mut self) -> Result<u64>;

    /// The versions that pass `filter`, by name, then date.
    fn versions(&mut self, filter: &VersionFilter) -> Result<Listed>;

    /// One version.
    ///
    /// # Errors
    /// [`crate::types::Error::VersionNotFound`].
    fn version(&mut self, uid: &VersionUid) -> Result<Version>;

    /// Protects a version from `rm`, or ends that.
    fn set_protected(&mut self, version: &Version, protected: bool) -> Result<()>;

    /// The newest date, not after `until`, of a version of `name` that has `tag`, valid or not.
    fn last_tagged(&mut self, name: &str, tag: &str, until: Timestamp) -> Result<Option<Timestamp>>;

    /// Adds tags; those that are there already stay.
    fn add_tags(&mut self, version: &Version, tags: &[String]) -> Result<()>;

    /// Removes tags; those that are not there do not matter.
    fn remove_tags(&mut self, version: &Version, tags: &[String]) -> Result<()>;

    /// Sets or clears the expiry.
    fn set_expire(&mut self, version: &Version, expire: Option<Timestamp>) -> Result<()>;

    /// Past runs, of one version uid or of all, oldest first; with `limit` only so many of the newest.
    fn past_runs(&mut self, version_uid: Option<&VersionUid>, limit: Option<u64>) -> Result<Vec<PastRun>>;

    /// What `version` takes, or every version, by key; one that has no blocks is not in it.
    fn usage(&mut self, version: Option<&Version>) -> Result<HashMap<VersionKey, Usage>>;

    /// At most `limit` rows of `version` from block `from` on, by block, as dumps hold them; without stray ones.
    fn dump_rows(&mut self, version: &Version, from: u64, limit: usize) -> Result<Vec<DumpRow>>;

    /// Makes a version with all of its rows, or nothing.
    ///
    /// # Errors
    /// [`crate::types::Error::VersionExists`]; whatever `rows` gives; a row that cannot be (twice the same
    /// block, a blob that is being deleted).
    fn import(&mut self, version: &Version, rows: DumpRows<'_>) -> Result<()>;

    /// Wraps the keys of all encrypted blobs anew, or none. Needs exclusive use.
    ///
    /// # Errors
    /// [`crate::types::Error::WrongKey`] if none opens.
    fn rekey(&mut self, rewrap: Rewrap<'_>) -> Result<Rekeyed>;

    /// Makes a version without blocks; it is invalid until [`MetaStore::finish_version`].
    fn begin_version(&mut self, version: &NewVersion) -> Result<Version>;

    /// Which snapshot `version` was made from, where that was recorded.
    fn origin(&mut self, version: &Version) -> Result<Option<Origin>>;

    /// The versions made from snapshots of `image`, valid or not, by date.
    fn versions_of(&mut self, image: &ImageId) -> Result<Vec<(Version, Origin)>>;

    /// Records that a snapshot of that name is about to be made; twice is as good as once.
    fn note_snapshot(&mut self, image: &ImageId, name: &str) -> Result<()>;

    /// The snapshots that were recorded so, by name.
    fn noted_snapshots(&mut self, image: &ImageId) -> Result<Vec<String>>;

    /// Forgets a snapshot that is gone.
    fn forget_snapshot(&mut self, image: &ImageId, name: &str) -> Result<()>;

    /// Takes the valid rows of `base` in `ranges` over into `version`.
    fn carry(&mut self, base: &Version, version: &Version, ranges: &[Range<u64>]) -> Result<Carried>;

    /// Makes the blocks in `ranges` sparse.
    fn set_sparse(&mut self, version: &Version, geometry: Geometry, ranges: &[Range<u64>]) -> Result<()>;

    /// Blocks of `version` that have no row.
    fn missing(&mut self, version: &Version) -> Result<Vec<Range<u64>>>;

    /// Blocks of `version` that no other version should be based on: without a row, or with an invalid blob.
    fn unusable(&mut self, version: &Version) -> Result<Vec<Range<u64>>>;

    /// For each fingerprint a valid blob with that data which some block names.
    fn find_known(&mut self, wanted: &[Fingerprint]) -> Result<Vec<Option<Known>>>;

    /// Commits rows. The data of every new blob in it must be durable. Returns the blocks whose reused blob
    /// has gone away or gone bad since it was found: they must be stored anew.
    fn commit_blocks(&mut self, version: &Version, rows: &[NewRow]) -> Result<Vec<u64>>;

    /// Makes the version valid and adds the statistics, if all blocks are there and none is of an invalid
    /// blob; else drops the rows with invalid blobs and says what is missing.
    fn finish_version(&mut self, version: &Version, statistics: &StatisticsRow) -> Result<Finish>;

    /// Adds the statistics of a run that did not finish.
    fn add_statistics(&mut self, statistics: &StatisticsRow) -> Result<()>;

    /// At most `limit` rows of `version` from block `from` on, by block. Those of blocks that the version does not have
    /// are left out: see [`MetaStore::stray_row`].
    fn rows(&mut self, version: &Version, from: u64, limit: usize, which: Rows) -> Result<Vec<BlockRow>>;

    /// The number of a block that `version` has a row for though it is below 0 or beyond its end.
    fn stray_row(&mut self, version: &Version) -> Result<Option<i64>>;

    /// Bytes of the sparse blocks of `version`.
    fn hole_bytes(&mut self, version: &Version) -> Result<u64>;

    /// The sparse blocks of `version` from block `from` on.
    fn sparse_ranges(&mut self, version: &Version, from: u64) -> Result<Vec<Range<u64>>>;

    /// Some blocks with valid blobs, the newest first: of `version`, or of any; of one encryption version, or
    /// of any.
    fn sample(
        &mut self,
        version: Option<&Version>,
        enc_version: Option<u32>,
        limit: usize,
    ) -> Result<Vec<BlockRow>>;

    /// Size of the first block of `version`, or of the newest version, if that has several blocks; and the
    /// uid of that version.
    fn first_block_size(&mut self, version: Option<&Version>) -> Result<Option<(VersionUid, u64)>>;

    /// Marks blobs as bad, by uid and checksum, and every version that names one. Returns the versions.
    fn mark_blobs_invalid(&mut self, blobs: &[Blob]) -> Result<Vec<VersionUid>>;

    /// Marks a version as bad.
    fn mark_version_invalid(&mut self, version: &Version) -> Result<()>;

    /// Marks blobs of a version as good, by the ids of those that were bad and have been verified, and then the version,
    /// unless it has another bad one: somebody else has found that since. Other versions that were valid until one of
    /// their blobs was marked become valid again, if they are whole and none of their blobs is bad any more.
    fn mark_version_valid(&mut self, version: &Version, mended: &[BlobId]) -> Result<Healed>;

    /// Removes a version, and lists the blobs that only it named in `deleted_blocks` with the time `now`
    /// (unix seconds). Returns the number of its rows.
    fn remove_version(&mut self, version: &Version, now: i64) -> Result<u64>;

    /// Removes up to `limit` blocks of a version that is marked as bad, as [`MetaStore::remove_version`] would. Returns
    /// their number.
    fn remove_blocks(&mut self, version: &Version, limit: usize, now: i64) -> Result<u64>;

    /// Blobs that a cleanup doomed and that are not deleted yet: the first `limit` of those behind `after`, in
    /// byte order.
    fn doomed(&mut self, after: Option<&BlobUid>, limit: usize) -> Result<Vec<BlobUid>>;

    /// Looks at up to `limit` entries of `deleted_blocks` behind entry `after`, of those uids whose newest
    /// entry is from before `before` (unix seconds): drops the blob rows that nothing names, and dooms the
    /// uids that then have none.
    fn take_delete_candidates(&mut self, after: i64, before: i64, limit: usize) -> Result<Candidates>;

    /// Gives entries of `deleted_blocks` that are of a time after `plausible` the time `now` (unix seconds). Returns their
    /// number.
    fn restamp_deleted(&mut self, now: i64, plausible: i64) -> Result<u64>;

    /// Forgets doomed uids whose data is gone.
    fn forget_deleted(&mut self, uids: &[BlobUid]) -> Result<()>;

    /// What a cleanup would do with the entries behind `after`, in byte order, at most `limit`, with the same `before`
    /// as [`MetaStore::take_delete_candidates`]. Changes nothing.
    fn deletable(&mut self, after: Option<&BlobUid>, before: i64, limit: usize) -> Result<Vec<Deletable>>;

    /// Which of `uids` no block names. Changes nothing; [`MetaStore::without_row`] is for who deletes.
    fn unnamed(&mut self, uids: &[BlobUid]) -> Result<Vec<BlobUid>>;

    /// Drops all blob rows that nothing names. Needs exclusive use.
    fn drop_unnamed_blobs(&mut self) -> Result<u64>;

    /// Which of `uids` have no blob row.
    fn without_row(&mut self, uids: &[BlobUid]) -> Result<Vec<BlobUid>>;
}
