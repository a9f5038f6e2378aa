//! The verbs of a backup.

use super::catalogue::add_statistics;
use super::cleanup::list_unnamed;
use crate::failpoint;
use crate::meta::{Carried, Fingerprint, Finish, Known, NewBlob, NewRow, StatisticsRow};
use crate::types::block::Geometry;
use crate::types::hints::{merge, subtract};
use crate::types::time::Timestamp;
use crate::types::version::{Count, Version};
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use std::ops::Range;

/// Runs without the check of references: what a row of the base names is there, as the base keeps it from going
/// away, and whether the version is there is asked here.
pub(super) fn carry(
    t: &Transaction,
    base: i64,
    version: i64,
    ranges: &[Range<u64>],
) -> rusqlite::Result<Carried> {
    // The invalid blobs are few and come from their own index: cheaper than a look at every blob.
    let mut insert = t.prepare(
        "INSERT INTO block_map (version_id, block_id, blob_id)
         SELECT ?1, block_id, blob_id FROM block_map
         WHERE version_id = ?2 AND block_id >= ?3 AND block_id < ?4
           AND blob_id NOT IN (SELECT id FROM blobs WHERE valid = 0)
           AND EXISTS (SELECT 1 FROM versions WHERE id = ?1)",
    )?;
    let mut holes = t.prepare(
        "SELECT count(*), coalesce(-sum(blob_id), 0) FROM block_map
         WHERE version_id = ? AND block_id >= ? AND block_id < ? AND blob_id <= 0",
    )?;
    let mut carried = Carried::default();
    for range in ranges {
        carried.blocks += insert.execute(params![version, base, range.start, range.end])? as u64;
        carried.sparse += holes.query_row(params![version, range.start, range.end], |row| {
            Ok(Count { blocks: row.get(0)?, bytes: row.get(1)? })
        })?;
    }
    Ok(carried)
}

pub(super) fn set_sparse(
    t: &Transaction,
    version: i64,
    geometry: Geometry,
    ranges: &[Range<u64>],
) -> rusqlite::Result<()> {
    let mut insert = t.prepare(
        "WITH RECURSIVE ids (id) AS (SELECT ?2 WHERE ?2 < ?3 UNION ALL SELECT id + 1 FROM ids WHERE id + 1 < ?3)
         INSERT INTO block_map (version_id, block_id, blob_id) SELECT ?1, id, ?4 FROM ids",
    )?;
    for range in ranges.iter().filter(|r| r.start < r.end) {
        // All blocks have the same length but, perhaps, the last one.
        let last = range.end - 1;
        let (full, tail) = (range.start..last, geometry.length(last) as u64);
        if !full.is_empty() {
            let hole = hole(t, u64::from(geometry.block_size()))?;
            insert.execute(params![version, full.start, full.end, hole])?;
        }
        insert.execute(params![version, last, range.end, hole(t, tail)?])?;
    }
    Ok(())
}

/// The id of the blob that stands for a hole of `size` bytes, made if need be.
fn hole(t: &Transaction, size: u64) -> rusqlite::Result<i64> {
    let id = -(size as i64);
    t.prepare_cached(
        "INSERT OR IGNORE INTO blobs (id, size, valid, enc_version, date) VALUES (?, ?, 1, 0, ?)",
    )?
    .execute(params![id, size, Timestamp::now().to_database()])?;
    Ok(id)
}

pub(super) fn missing(connection: &Connection, version: i64, size: u64) -> rusqlite::Result<Vec<Range<u64>>> {
    let sql = "SELECT count(*) FROM block_map WHERE version_id = ? AND block_id >= 0 AND block_id < ?";
    let rows: u64 = connection.query_row(sql, params![version, size], |row| row.get(0))?;
    if rows == size {
        return Ok(Vec::new());
    }
    // Neighbouring rows are one island: first block and, by its distance to the row number, the group.
    let mut islands = connection.prepare(
        "SELECT min(block_id), max(block_id) + 1 FROM
           (SELECT block_id, block_id - row_number() OVER (ORDER BY block_id) AS island
            FROM block_map WHERE version_id = ? AND block_id >= 0 AND block_id < ?)
         GROUP BY island ORDER BY 1",
    )?;
    let present: Vec<Range<u64>> = islands
        .query_map(params![version, size], |row| Ok(row.get(0)?..row.get(1)?))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(subtract(&[0..size], &present))
}

/// Blocks of a version whose blob is invalid.
fn invalid(connection: &Connection, version: i64) -> rusqlite::Result<Vec<Range<u64>>> {
    let mut statement = connection.prepare(
        "SELECT m.block_id FROM blobs b CROSS JOIN block_map m ON m.blob_id = b.id
         WHERE b.valid = 0 AND m.version_id = ? ORDER BY 1",
    )?;
    let ids: Vec<Range<u64>> = statement
        .query_map([version], |row| row.get(0).map(|id: u64| id..id + 1))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(merge(ids))
}

pub(super) fn unusable(
    connection: &Connection,
    version: i64,
    size: u64,
) -> rusqlite::Result<Vec<Range<u64>>> {
    let mut ranges = missing(connection, version, size)?;
    ranges.extend(invalid(connection, version)?);
    Ok(merge(ranges))
}

pub(super) fn find_known(
    connection: &Connection,
    wanted: &[Fingerprint],
) -> rusqlite::Result<Vec<Option<Known>>> {
    // A blob that no block names is never a hit: 2.13 may have deleted its data.
    let mut look_up = connection.prepare_cached(
        "SELECT id, uid FROM blobs WHERE checksum = ? AND size = ? AND enc_version = ? AND valid = 1 AND id > 0
           AND EXISTS (SELECT 1 FROM block_map WHERE blob_id = blobs.id) LIMIT 1",
    )?;
    wanted
        .iter()
        .map(|f| {
            look_up
                .query_row(params![f.checksum, f.size, f.enc_version], |row| {
                    Ok(Known { id: row.get(0)?, uid: row.get(1)? })
                })
                .optional()
        })
        .collect()
}

pub(super) fn commit_blocks(t: &Transaction, version: i64, rows: &[NewRow]) -> rusqlite::Result<Vec<u64>> {
    let mut plain =
        t.prepare_cached("INSERT INTO block_map (version_id, block_id, blob_id) VALUES (?, ?, ?)")?;
    // The blob may have gone away or gone bad since it was found: then no row is inserted.
    let mut reuse = t.prepare_cached(
        "INSERT INTO block_map (version_id, block_id, blob_id)
         SELECT ?1, ?2, id FROM blobs WHERE id = ?3 AND uid = ?4 AND valid = 1
           AND EXISTS (SELECT 1 FROM block_map WHERE blob_id = blobs.id)",
    )?;
    let mut rejected = Vec::new();
    for (n, row) in rows.iter().enumerate() {
        match row {
            NewRow::Sparse { id, size } => {
                plain.execute(params![version, id, hole(t, *size)?])?;
            }
            NewRow::Reuse { id, known } => {
                if reuse.execute(params![version, id, known.id, known.uid])? == 0 {
                    rejected.push(*id);
                }
            }
            NewRow::Store { ids, blob } => {
                let blob_id = insert_blob(t, blob)?;
                for id in ids {
                    plain.execute(params![version, id, blob_id])?;
                }
            }
        }
        if n == rows.len() / 2 {
            failpoint::pass("commit-middle");
        }
    }
    Ok(rejected)
}

fn insert_blob(t: &Transaction, blob: &NewBlob) -> rusqlite::Result<i64> {
    t.prepare_cached(
        "INSERT INTO blobs (uid, checksum, size, valid, enc_version, enc_envkey, enc_nonce, date)
         VALUES (?, ?, ?, 1, ?, ?, ?, ?)",
    )?
    .execute(params![
        blob.uid,
        blob.fingerprint.checksum,
        blob.fingerprint.size,
        blob.encryption.version,
        blob.encryption.envkey,
        blob.encryption.nonce,
        Timestamp::now().to_database()
    ])?;
    Ok(t.last_insert_rowid())
}

pub(super) fn finish_version(
    t: &Transaction,
    version: &Version,
    statistics: &StatisticsRow,
) -> rusqlite::Result<Finish> {
    let bad = invalid(t, version.key)?;
    if !bad.is_empty() {
        drop_rows(t, version.key, &bad, statistics.date.unix())?;
    }
    let missing = missing(t, version.key, version.size)?;
    if !missing.is_empty() {
        return Ok(Finish::Missing(missing));
    }
    failpoint::pass("before-valid");
    t.execute("UPDATE versions SET valid = 1 WHERE id = ?", [version.key])?;
    add_statistics(t, statistics)?;
    Ok(Finish::Valid)
}

/// Takes rows out of a version that is not finished, and lists blobs that nothing names any more.
fn drop_rows(t: &Transaction, version: i64, ranges: &[Range<u64>], now: i64) -> rusqlite::Result<()> {
    let condition = "version_id = ?1 AND block_id >= ?2 AND block_id < ?3";
    for range in ranges {
        let parameters = params![version, range.start, range.end];
        list_unnamed(t, condition, parameters, now)?;
    }
    Ok(())
}
