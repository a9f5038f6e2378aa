//! Reading the blocks of a version.

use crate::meta::sql::{Db, Fallible, Row, Value, values};
use crate::meta::{Metadata, Rows};
use crate::types::block::{Blob, BlockRow, Encryption};
use crate::types::block_set::BlockSet;
use crate::types::checksum::Checksum;
use crate::types::error::Result;
use crate::types::keys::{BlobId, VersionKey};
use crate::types::uid::VersionUid;
use crate::types::version::Version;
use std::ops::Range;

impl Metadata {
    /// At most `limit` rows of `version` from block `from` on, by block. Leaves out rows of blocks that the version
    /// does not have: see [`Metadata::stray_row`].
    pub fn rows(&mut self, version: &Version, from: u64, limit: usize, which: Rows) -> Result<Vec<BlockRow>> {
        self.read("reading blocks", |db| {
            let stored = if which == Rows::Stored { "AND m.blob_id > 0" } else { "" };
            let sql = format!(
                "SELECT m.block_id, {OF_BLOB} FROM block_map m JOIN blobs b ON b.id = m.blob_id
                 WHERE m.version_id = ?1 AND m.block_id >= ?2 AND m.block_id < ?4 {stored} ORDER BY m.block_id LIMIT ?3"
            );
            db.all(&sql, values![version.key, from, limit, version.size], of_version(version, 0, from_row))
        })
    }

    /// The number of a block that has a row although it is below 0 or beyond the end of `version`. `None` if there is
    /// no such row.
    pub fn stray_row(&mut self, version: &Version) -> Result<Option<i64>> {
        self.read("looking for stray rows", |db| {
            // These are two look-ups in the index.
            let sql = "SELECT block_id FROM block_map WHERE version_id = ?1 AND block_id < 0
                 UNION ALL SELECT block_id FROM block_map WHERE version_id = ?1 AND block_id >= ?2 LIMIT 1";
            db.first(sql, values![version.key, version.size], |row| row.int(0))
        })
    }

    /// Bytes of the sparse blocks of `version`.
    pub fn hole_bytes(&mut self, version: &Version) -> Result<u64> {
        self.read("adding up sparse blocks", |db| {
            // The id of a hole is its negated size. A hole that is larger than any block can be is damaged, and does
            // not count.
            let sql = format!("SELECT {HOLES_SIZE} FROM block_map WHERE version_id = ?1 AND {IS_HOLE}");
            Ok(db.first(&sql, values![version.key], |row| row.count(0))?.unwrap_or_default())
        })
    }

    /// The sparse blocks of `version` from block `from` on.
    pub fn sparse_ranges(&mut self, version: &Version, from: u64) -> Result<BlockSet> {
        self.read("reading sparse blocks", |db| {
            let sparse = "version_id = ?1 AND block_id >= ?2 AND blob_id <= 0";
            blocks_with_rows(db, sparse, values![version.key, from])
        })
    }

    /// Some blocks with valid blobs: with `version` its first ones, otherwise blocks of any version, the newest blobs
    /// first. With `enc_version`, only blobs of that encryption version.
    pub fn sample(
        &mut self,
        version: Option<&Version>,
        enc_version: Option<u32>,
        limit: usize,
    ) -> Result<Vec<BlockRow>> {
        self.read("reading some blocks", |db| sample(db, version.map(|v| v.key), enc_version, limit))
    }

    /// Size of the first block of `version`, or of the newest version with several blocks, and the uid of that version.
    /// `None` if `version` has only one block, or no version has several.
    pub fn first_block_size(&mut self, version: Option<&Version>) -> Result<Option<(VersionUid, u64)>> {
        self.read("reading a block's size", |db| first_block_size(db, version.map(|v| v.key)))
    }
}

/// The columns of a blob `b` that [`from_row`] reads behind the number of a block.
pub(super) const OF_BLOB: &str =
    "b.id, b.uid, b.checksum, b.size, b.valid, b.enc_version, b.enc_envkey, b.enc_nonce";

/// Reads a block and its blob.
pub(super) fn from_row(row: &dyn Row) -> Fallible<BlockRow> {
    let key = row.int(1)?;
    let blob = if key > 0 {
        Some(Blob {
            id: BlobId(key),
            // A damaged name or size must affect only this block.
            uid: row.opt_text(2)?.unwrap_or_default().into(),
            checksum: row.filled(3)?.map(Checksum::from),
            size: row.int(4)?,
            valid: row.flag(5)?,
            encryption: encryption(row, 6)?,
        })
    } else {
        None
    };
    Ok(BlockRow { id: row.count(0)?, blob })
}

/// Reads three columns from column `first` on.
pub(super) fn encryption(row: &dyn Row, first: usize) -> Fallible<Encryption> {
    // A damaged number becomes one that no release knows.
    let version = u32::try_from(row.int(first)?).unwrap_or(u32::MAX);
    Ok(Encryption { version, envkey: row.filled(first + 1)?, nonce: row.filled(first + 2)? })
}

/// Wraps `read`, so that the error for a row that cannot be read names the version and the block, whose number is in
/// column `id`.
pub(super) fn of_version<'v, T>(
    version: &'v Version,
    id: usize,
    read: impl Fn(&dyn Row) -> Fallible<T> + 'v,
) -> impl FnMut(&dyn Row) -> Fallible<T> + 'v {
    move |row| {
        read(row).map_err(|fault| {
            let block = row.opt_int(id).ok().flatten().map_or_else(|| "?".to_owned(), |id| id.to_string());
            fault.of_row(&format!("version {}, block {block}", version.uid))
        })
    }
}

/// Reads the two ends of a range.
pub(super) fn range(row: &dyn Row) -> Fallible<Range<u64>> {
    Ok(row.size(0)?..row.size(1)?)
}

/// The blocks of the rows of `block_map` that meet `condition`. The condition must select a single version.
pub(super) fn blocks_with_rows(db: &mut dyn Db, condition: &str, parameters: &[Value]) -> Fallible<BlockSet> {
    // Neighbouring rows form one island, because the difference between block number and row number is the same.
    let sql = format!(
        "SELECT min(block_id), max(block_id) + 1 FROM
           (SELECT block_id, block_id - row_number() OVER (ORDER BY block_id) AS island
            FROM block_map WHERE {condition}) AS present
         GROUP BY island ORDER BY 1"
    );
    Ok(db.all(&sql, parameters, range)?.into_iter().collect())
}

/// The condition for a row of `block_map` that is a hole. The size of a block has 32 bits.
pub(super) const IS_HOLE: &str = "blob_id BETWEEN -4294967295 AND -1";
/// The size of all holes together, in bytes.
pub(super) const HOLES_SIZE: &str = "CAST(coalesce(-sum(blob_id), 0) AS BIGINT)";

fn sample(
    db: &mut dyn Db,
    version: Option<VersionKey>,
    enc_version: Option<u32>,
    limit: usize,
) -> Fallible<Vec<BlockRow>> {
    // Both statements stop after `limit` rows. Without a version, they go through the newest blobs, and with one
    // through its first blocks.
    let mut parameters: Vec<Value> = vec![limit.into()];
    let mut good = "b.id > 0 AND b.valid = 1 AND b.checksum IS NOT NULL".to_owned();
    if let Some(wanted) = enc_version {
        parameters.push(wanted.into());
        good += &format!(" AND b.enc_version = ?{}", parameters.len());
    }
    let sql = match version {
        Some(version) => {
            parameters.push(version.into());
            let join = db.dialect().join;
            format!(
                "SELECT m.block_id, {OF_BLOB} FROM block_map m {join} blobs b ON b.id = m.blob_id
                 WHERE m.version_id = ?{} AND m.block_id >= 0 AND m.blob_id > 0 AND {good} ORDER BY m.block_id LIMIT ?1",
                parameters.len()
            )
        }
        None => format!(
            "SELECT (SELECT min(m.block_id) FROM block_map m WHERE m.blob_id = b.id), {OF_BLOB} FROM blobs b
             WHERE {good} AND EXISTS (SELECT 1 FROM block_map m WHERE m.blob_id = b.id)
             ORDER BY b.id DESC LIMIT ?1"
        ),
    };
    db.all(&sql, &parameters, from_row)
}

fn first_block_size(db: &mut dyn Db, version: Option<VersionKey>) -> Fallible<Option<(VersionUid, u64)>> {
    let one = if version.is_some() { "AND v.id = ?1" } else { "" };
    let sql = format!(
        "SELECT v.uid, b.size FROM versions v
         JOIN block_map m ON m.version_id = v.id AND m.block_id = 0
         JOIN blobs b ON b.id = m.blob_id
         WHERE v.size > 1 AND b.size > 0 {one} ORDER BY v.id DESC LIMIT 1"
    );
    let parameters: Vec<Value> = version.into_iter().map(Value::from).collect();
    db.first(&sql, &parameters, |row| Ok((row.text(0)?.into(), row.size(1)?)))
}
