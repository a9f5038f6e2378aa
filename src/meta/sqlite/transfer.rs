//! Rows as dumps hold them, out and in.

use super::Abort;
use super::catalogue::{add_tags, timestamp};
use crate::failpoint;
use crate::meta::{DumpRow, DumpRows};
use crate::types::block::Encryption;
use crate::types::error::Error;
use crate::types::time::Timestamp;
use crate::types::version::Version;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, Transaction, ffi, params};

fn from_row(row: &Row) -> rusqlite::Result<DumpRow> {
    let text = |column: usize| -> rusqlite::Result<Option<String>> {
        Ok(row.get::<_, Option<String>>(column)?.filter(|text| !text.is_empty()))
    };
    Ok(DumpRow {
        id: row.get(0)?,
        uid: text(1)?,
        date: timestamp(row, 2)?.unwrap_or(Timestamp::from_naive(Default::default())),
        checksum: text(3)?,
        size: row.get(4)?,
        valid: row.get::<_, i64>(5)? != 0,
        encryption: Encryption { version: row.get(6)?, envkey: text(7)?, nonce: text(8)? },
    })
}

pub(super) fn dump_rows(
    connection: &Connection,
    version: i64,
    from: u64,
    limit: usize,
) -> rusqlite::Result<Vec<DumpRow>> {
    let mut statement = connection.prepare_cached(
        "SELECT m.block_id, b.uid, b.date, b.checksum, b.size, b.valid, b.enc_version, b.enc_envkey, b.enc_nonce
         FROM block_map m JOIN blobs b ON b.id = m.blob_id
         WHERE m.version_id = ? AND m.block_id >= ? ORDER BY m.block_id LIMIT ?",
    )?;
    statement.query_map(params![version, from, limit as i64], from_row)?.collect()
}

/// Inserts a version with its rows, as they come.
pub(super) fn import(t: &Transaction, version: &Version, rows: DumpRows<'_>) -> Result<(), Abort> {
    if version_exists(t, &version.uid)? {
        return Err(Abort::Because(Error::VersionExists(format!(
            "Version {} already exists and cannot be imported.",
            version.uid
        ))));
    }
    insert_version(t, version)?;
    for row in rows {
        let row = row.map_err(Abort::Because)?;
        insert_row(t, &version.uid, &row).map_err(|e| match e.sqlite_error_code() {
            Some(ErrorCode::ConstraintViolation) => {
                let why = match e.sqlite_error().map(|e| e.extended_code) {
                    Some(ffi::SQLITE_CONSTRAINT_PRIMARYKEY) => "the dump has it twice".to_owned(),
                    // The trigger's own text, such as that a cleanup is deleting the blob.
                    _ => e.to_string(),
                };
                Abort::Because(Error::DumpFormat(format!(
                    "Block {} cannot be imported: {why}. Nothing was imported.",
                    row.id
                )))
            }
            _ => Abort::Sql(e),
        })?;
    }
    failpoint::pass("import-before-commit");
    Ok(())
}

fn version_exists(connection: &Connection, uid: &str) -> rusqlite::Result<bool> {
    let found = connection.query_row("SELECT 1 FROM versions WHERE uid = ?", [uid], |_| Ok(())).optional()?;
    Ok(found.is_some())
}

fn insert_version(t: &Transaction, version: &Version) -> rusqlite::Result<()> {
    t.execute(
        "INSERT INTO versions (uid, date, expire, name, snapshot_name, size, size_bytes, valid, protected)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        params![
            version.uid,
            version.date.to_database(),
            version.expire.map(|t| t.to_database()),
            version.name,
            version.snapshot_name,
            version.size,
            version.size_bytes,
            version.valid,
            version.protected
        ],
    )?;
    add_tags(t, &version.uid, &version.tags)
}

/// Inserts through the view, whose trigger finds the blob's row or makes it, and refuses a blob that is being
/// deleted.
fn insert_row(t: &Transaction, version_uid: &str, row: &DumpRow) -> rusqlite::Result<()> {
    t.prepare_cached(
        "INSERT INTO blocks (uid, version_uid, id, date, checksum, size, valid, enc_version, enc_envkey, enc_nonce)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        row.uid,
        version_uid,
        row.id,
        row.date.to_database(),
        row.checksum,
        row.size,
        row.valid,
        row.encryption.version,
        row.encryption.envkey,
        row.encryption.nonce
    ])?;
    Ok(())
}
