//! The verbs of a backup.

use super::catalogue::add_statistics;
use super::cleanup::list_unnamed;
use super::read::{HOLES_SIZE, blocks_with_rows, range};
use super::{copies, marks};
use crate::failpoint;
use crate::meta::sql::{Db, Fallible, Fault, Marks, Work, values};
use crate::meta::{Carried, DueCopy, Fingerprint, Finish, Known, Metadata, NewRow, StatisticsRow};
use crate::types::block::Geometry;
use crate::types::block_set::BlockSet;
use crate::types::error::{Error, Result};
use crate::types::keys::{BlobId, VersionKey};
use crate::types::time::Timestamp;
use crate::types::version::{Count, Version};

impl Metadata {
    /// Copies the valid rows of `base` for `blocks` into `version`.
    pub fn carry(&mut self, base: &Version, version: &Version, blocks: &BlockSet) -> Result<Carried> {
        self.write("carrying unchanged blocks", Work::Bulk, |db| {
            // References are not checked here (see `Work::Bulk`). The base keeps its blobs from being removed, and the
            // statement itself checks that the version exists. Invalid blobs are few and have their own index, which is
            // cheaper than a check of every blob.
            let insert = "INSERT INTO block_map (version_id, block_id, blob_id)
                 SELECT ?1, block_id, blob_id FROM block_map
                 WHERE version_id = ?2 AND block_id >= ?3 AND block_id < ?4
                   AND blob_id NOT IN (SELECT id FROM blobs WHERE valid = 0)
                   AND EXISTS (SELECT 1 FROM versions WHERE id = ?1)";
            let holes = format!(
                "SELECT count(*), {HOLES_SIZE} FROM block_map
                 WHERE version_id = ?1 AND block_id >= ?2 AND block_id < ?3 AND blob_id <= 0"
            );
            let mut carried = Carried::default();
            for range in blocks.ranges() {
                carried.blocks +=
                    db.execute(insert, values![version.key, base.key, range.start, range.end])?;
                let sparse = db.first(&holes, values![version.key, range.start, range.end], |row| {
                    Ok(Count { blocks: row.size(0)?, bytes: row.size(1)? })
                })?;
                carried.sparse += sparse.unwrap_or_default();
            }
            Ok(carried)
        })
    }

    /// Makes `blocks` sparse.
    pub fn set_sparse(&mut self, version: &Version, geometry: Geometry, blocks: &BlockSet) -> Result<()> {
        self.write("recording sparse blocks", Work::Small, |db| set_sparse(db, version.key, geometry, blocks))
    }

    /// Blocks of `version` that have no row.
    pub fn missing(&mut self, version: &Version) -> Result<BlockSet> {
        self.read("looking for missing blocks", |db| missing(db, version.key, version.size))
    }

    /// Blocks of `version` that must not be carried into another version: they have no row, or an invalid blob.
    pub fn unusable(&mut self, version: &Version) -> Result<BlockSet> {
        self.read("looking for invalid blocks", |db| unusable(db, version.key, version.size))
    }

    /// Looks for a blob for each fingerprint. The blob must be valid, and at least one block must name it.
    pub fn find_known(&mut self, wanted: &[Fingerprint]) -> Result<Vec<Option<Known>>> {
        self.read("looking up checksums", |db| db.find_known(wanted))
    }

    /// Commits rows of a version. The data of every new blob among them must be durable. Returns the blocks whose
    /// reused blob was removed or became bad since it was found. They must be stored again.
    pub fn commit_blocks(&mut self, version: &Version, rows: &[NewRow]) -> Result<Vec<u64>> {
        self.write("committing blocks", Work::Small, |db| db.commit_blocks(version.key, rows))
    }

    /// Makes the version valid and adds the statistics if all blocks are there and none of them names an invalid blob.
    /// Otherwise drops the rows of invalid blobs and returns the missing blocks. `copy` is the entry from before the copy
    /// of the version was written, as it is when it is valid. It is settled, unless the version has changed since then.
    pub fn finish_version(
        &mut self,
        version: &Version,
        statistics: &StatisticsRow,
        copy: Option<&DueCopy>,
    ) -> Result<Finish> {
        self.write("finishing the version", Work::Small, |db| {
            keep(db, version.key)?;
            db.lock_marks(Marks::Check)?;
            // The changes of this transaction are in the copy, and give the entry a new token.
            let is_copied = copy.map_or(Ok(false), |copy| copies::settle(db, copy))?;
            let bad = invalid(db, version.key)?;
            if !bad.is_empty() {
                drop_rows(db, version.key, &bad, statistics.date.unix())?;
                marks::forget(db, version.key)?;
            }
            let missing = missing(db, version.key, version.size)?;
            if !missing.is_empty() {
                // The copy says that the version is valid.
                copies::make_due(db, "id = ?1", values![version.key])?;
                return Ok(Finish::Missing(missing));
            }
            failpoint::pass("before-valid");
            db.execute("UPDATE versions SET valid = 1 WHERE id = ?1", values![version.key])?;
            marks::forget(db, version.key)?;
            add_statistics(db, statistics)?;
            if is_copied {
                db.execute("DELETE FROM copies_due WHERE version_uid = ?1", values![&version.uid])?;
            }
            Ok(Finish::Valid)
        })
    }
}

/// Makes sure that the version exists, and that it stays until the transaction ends.
pub(in crate::meta) fn keep(db: &mut dyn Db, version: VersionKey) -> Fallible<()> {
    let sql = format!("SELECT 1 FROM versions WHERE id = ?1{}", db.dialect().keep);
    if db.first(&sql, values![version], |row| row.int(0))?.is_some() {
        return Ok(());
    }
    let text = "The version was removed while it was being written. Nothing more was stored for it.";
    Err(Fault::Because(Error::Locked(text.into())))
}

fn set_sparse(db: &mut dyn Db, version: VersionKey, geometry: Geometry, blocks: &BlockSet) -> Fallible<()> {
    if blocks.is_empty() {
        return Ok(());
    }
    keep(db, version)?;
    let insert = "INSERT INTO block_map (version_id, block_id, blob_id)
         WITH RECURSIVE ids (id) AS (
             SELECT CAST(?2 AS BIGINT) UNION ALL SELECT id + 1 FROM ids WHERE id + 1 < CAST(?3 AS BIGINT))
         SELECT CAST(?1 AS BIGINT), id, CAST(?4 AS BIGINT) FROM ids";
    for range in blocks.ranges() {
        // All blocks have the same length, except perhaps the last one.
        let last = range.end - 1;
        if range.start < last {
            let hole = hole(db, u64::from(geometry.block_size()))?;
            db.execute(insert, values![version, range.start, last, hole])?;
        }
        let hole = hole(db, geometry.length(last) as u64)?;
        db.execute(insert, values![version, last, range.end, hole])?;
    }
    Ok(())
}

/// The id of the blob that stands for a hole of `size` bytes. Creates the blob if necessary.
pub(in crate::meta) fn hole(db: &mut dyn Db, size: u64) -> Fallible<BlobId> {
    let id = BlobId(-(size as i64));
    db.execute(
        "INSERT INTO blobs (id, size, valid, enc_version, date) VALUES (?1, ?2, 1, 0, ?3) ON CONFLICT DO NOTHING",
        values![id, size, Timestamp::now()],
    )?;
    Ok(id)
}

fn missing(db: &mut dyn Db, version: VersionKey, size: u64) -> Fallible<BlockSet> {
    let of_image = "version_id = ?1 AND block_id >= 0 AND block_id < ?2";
    let sql = format!("SELECT count(*) FROM block_map WHERE {of_image}");
    if db.number(&sql, values![version, size])?.unsigned_abs() == size {
        return Ok(BlockSet::default());
    }
    let present = blocks_with_rows(db, of_image, values![version, size])?;
    Ok(BlockSet::from(0..size).subtract(&present))
}

/// Blocks of a version whose blob is invalid.
pub(super) fn invalid(db: &mut dyn Db, version: VersionKey) -> Fallible<BlockSet> {
    let sql = format!(
        "SELECT m.block_id, m.block_id + 1 FROM blobs b {} block_map m ON m.blob_id = b.id
         WHERE b.valid = 0 AND m.version_id = ?1 ORDER BY 1",
        db.dialect().join
    );
    Ok(db.all(&sql, values![version], range)?.into_iter().collect())
}

pub(super) fn unusable(db: &mut dyn Db, version: VersionKey, size: u64) -> Fallible<BlockSet> {
    let missing = missing(db, version, size)?;
    Ok(missing.union(&invalid(db, version)?))
}

/// Removes rows of an unfinished version, and lists the blobs that nothing names any more.
fn drop_rows(db: &mut dyn Db, version: VersionKey, blocks: &BlockSet, now: i64) -> Fallible<()> {
    db.alone_in_removing()?;
    let condition = "version_id = ?1 AND block_id >= ?2 AND block_id < ?3";
    for range in blocks.ranges() {
        list_unnamed(db, condition, values![version, range.start, range.end], now)?;
    }
    Ok(())
}
