//! Reading the blocks of a version.

use crate::meta::Rows;
use crate::types::block::{Blob, BlockRow, Encryption};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::ops::Range;

const COLUMNS: &str =
    "m.block_id, b.id, b.uid, b.checksum, b.size, b.valid, b.enc_version, b.enc_envkey, b.enc_nonce";

fn from_row(row: &Row) -> rusqlite::Result<BlockRow> {
    let key: i64 = row.get(1)?;
    let text = |column: usize| -> rusqlite::Result<Option<String>> {
        Ok(row.get::<_, Option<String>>(column)?.filter(|text| !text.is_empty()))
    };
    let blob = match key > 0 {
        false => None,
        true => Some(Blob {
            id: key,
            uid: row.get(2)?,
            checksum: text(3)?,
            size: row.get(4)?,
            valid: row.get::<_, i64>(5)? != 0,
            encryption: Encryption { version: row.get(6)?, envkey: text(7)?, nonce: text(8)? },
        }),
    };
    Ok(BlockRow { id: row.get(0)?, blob })
}

pub(super) fn rows(
    connection: &Connection,
    version: i64,
    from: u64,
    limit: usize,
    which: Rows,
) -> rusqlite::Result<Vec<BlockRow>> {
    let stored = if which == Rows::Stored { "AND m.blob_id > 0" } else { "" };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM block_map m JOIN blobs b ON b.id = m.blob_id
         WHERE m.version_id = ? AND m.block_id >= ? {stored} ORDER BY m.block_id LIMIT ?"
    ))?;
    statement.query_map(params![version, from, limit as i64], from_row)?.collect()
}

pub(super) fn sparse_ranges(
    connection: &Connection,
    version: i64,
    from: u64,
) -> rusqlite::Result<Vec<Range<u64>>> {
    let mut statement = connection.prepare(
        "SELECT min(block_id), max(block_id) + 1 FROM
           (SELECT block_id, block_id - row_number() OVER (ORDER BY block_id) AS island
            FROM block_map WHERE version_id = ? AND block_id >= ? AND blob_id <= 0)
         GROUP BY island ORDER BY 1",
    )?;
    statement.query_map(params![version, from], |row| Ok(row.get(0)?..row.get(1)?))?.collect()
}

pub(super) fn sample(
    connection: &Connection,
    version: Option<i64>,
    enc_version: Option<u32>,
    limit: usize,
) -> rusqlite::Result<Vec<BlockRow>> {
    // Without a version the newest blobs are tried, each with one of the rows that name it; with one, its
    // first rows: either way only as many rows are visited as it takes.
    let (from, order) = match version {
        Some(_) => ("block_map m CROSS JOIN blobs b ON b.id = m.blob_id AND m.version_id = ?1", "m.block_id"),
        None => ("blobs b CROSS JOIN block_map m ON m.blob_id = b.id AND ?1 IS NULL", "b.id DESC"),
    };
    let group = if version.is_none() { "GROUP BY b.id" } else { "" };
    let sql = format!(
        "SELECT {COLUMNS} FROM {from}
         WHERE m.blob_id > 0 AND b.valid = 1 AND b.checksum IS NOT NULL AND (?2 IS NULL OR b.enc_version = ?2)
         {group} ORDER BY {order} LIMIT ?3"
    );
    connection.prepare(&sql)?.query_map(params![version, enc_version, limit as i64], from_row)?.collect()
}

pub(super) fn first_block_size(
    connection: &Connection,
    version: Option<i64>,
) -> rusqlite::Result<Option<(String, u64)>> {
    let sql = "SELECT v.uid, b.size FROM versions v
               JOIN block_map m ON m.version_id = v.id AND m.block_id = 0
               JOIN blobs b ON b.id = m.blob_id
               WHERE v.size > 1 AND (?1 IS NULL OR v.id = ?1) ORDER BY v.id DESC LIMIT 1";
    connection.query_row(sql, [version], |row| Ok((row.get(0)?, row.get(1)?))).optional()
}
