//! Versions, tags and statistics.

use super::origins;
use crate::meta::{StatisticsRow, VersionFilter};
use crate::types::time::Timestamp;
use crate::types::version::{NewVersion, Version};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, named_params, params};

// `rowid` is `id` in our schema and exists in the schema of 2.13, so that the catalogue of a database that
// was not upgraded yet can be listed.
const SELECT: &str =
    "SELECT rowid, uid, date, expire, name, snapshot_name, size, size_bytes, valid, protected,
    (SELECT group_concat(name, char(0)) FROM tags WHERE version_uid = versions.uid) FROM versions";

pub(super) fn timestamp(row: &Row, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    let Some(text) = row.get::<_, Option<String>>(column)? else { return Ok(None) };
    if text.is_empty() {
        return Ok(None);
    }
    Timestamp::parse(&text).map(Some).ok_or_else(|| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, format!("{text:?} is no date").into())
    })
}

fn from_row(row: &Row) -> rusqlite::Result<Version> {
    let mut tags: Vec<String> = match row.get::<_, Option<String>>(10)? {
        Some(joined) => joined.split('\0').map(str::to_owned).collect(),
        None => Vec::new(),
    };
    tags.sort();
    Ok(Version {
        key: row.get(0)?,
        uid: row.get(1)?,
        date: timestamp(row, 2)?.unwrap_or(Timestamp::from_naive(Default::default())),
        expire: timestamp(row, 3)?,
        name: row.get(4)?,
        snapshot_name: row.get(5)?,
        size: row.get(6)?,
        size_bytes: row.get(7)?,
        valid: row.get::<_, i64>(8)? != 0,
        protected: row.get::<_, i64>(9)? != 0,
        tags,
    })
}

pub(super) fn versions(connection: &Connection, filter: &VersionFilter) -> rusqlite::Result<Vec<Version>> {
    let sql = format!(
        "{SELECT} WHERE (:name IS NULL OR name = :name)
           AND (:snapshot IS NULL OR snapshot_name = :snapshot)
           AND (:tag IS NULL OR EXISTS (SELECT 1 FROM tags WHERE version_uid = versions.uid AND tags.name = :tag))
           AND (:expired IS NULL OR (expire <> '' AND expire < :expired))
         ORDER BY name, date, rowid"
    );
    let mut statement = connection.prepare(&sql)?;
    let parameters = named_params! {
        ":name": filter.name,
        ":snapshot": filter.snapshot_name,
        ":tag": filter.tag,
        ":expired": filter.expired_at.map(|t| t.to_database()),
    };
    statement.query_map(parameters, from_row)?.collect()
}

pub(super) fn version(connection: &Connection, uid: &str) -> rusqlite::Result<Option<Version>> {
    connection.query_row(&format!("{SELECT} WHERE uid = ?"), [uid], from_row).optional()
}

pub(super) fn set_protected(
    connection: &Connection,
    version: &Version,
    protected: bool,
) -> rusqlite::Result<()> {
    connection.execute("UPDATE versions SET protected = ? WHERE uid = ?", params![protected, version.uid])?;
    Ok(())
}

pub(super) fn last_tagged(
    connection: &Connection,
    name: &str,
    tag: &str,
) -> rusqlite::Result<Option<Timestamp>> {
    let sql = "SELECT max(v.date) FROM versions v JOIN tags t ON t.version_uid = v.uid
               WHERE v.name = ? AND t.name = ?";
    connection.query_row(sql, [name, tag], |row| timestamp(row, 0))
}

pub(super) fn add_tags(connection: &Connection, uid: &str, tags: &[String]) -> rusqlite::Result<()> {
    let mut insert =
        connection.prepare_cached("INSERT OR IGNORE INTO tags (version_uid, name) VALUES (?, ?)")?;
    for tag in tags {
        insert.execute([uid, tag])?;
    }
    Ok(())
}

pub(super) fn remove_tags(connection: &Connection, uid: &str, tags: &[String]) -> rusqlite::Result<()> {
    let mut delete = connection.prepare_cached("DELETE FROM tags WHERE version_uid = ? AND name = ?")?;
    for tag in tags {
        delete.execute([uid, tag])?;
    }
    Ok(())
}

pub(super) fn set_expire(
    connection: &Connection,
    uid: &str,
    expire: Option<Timestamp>,
) -> rusqlite::Result<()> {
    let expire = expire.map(|t| t.to_database());
    connection.execute("UPDATE versions SET expire = ? WHERE uid = ?", params![expire, uid])?;
    Ok(())
}

pub(super) fn begin_version(connection: &Connection, new: &NewVersion) -> rusqlite::Result<()> {
    let new = new.clone();
    let version = Version {
        key: 0,
        uid: new.uid,
        date: new.date,
        expire: new.expire,
        name: new.name,
        snapshot_name: new.snapshot_name,
        size: new.size,
        size_bytes: new.size_bytes,
        valid: false,
        protected: false,
        tags: new.tags,
    };
    insert_version(connection, &version)?;
    new.origin.map_or(Ok(()), |origin| origins::record(connection, &version.uid, &origin))
}

/// Inserts a version as it is, but for its key, which the database gives.
pub(super) fn insert_version(connection: &Connection, version: &Version) -> rusqlite::Result<()> {
    connection.execute(
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
    add_tags(connection, &version.uid, &version.tags)
}

pub(super) fn add_statistics(connection: &Connection, row: &StatisticsRow) -> rusqlite::Result<()> {
    let s = &row.statistics;
    connection.execute(
        "INSERT INTO stats (date, version_uid, version_name, version_size_bytes, version_size_blocks, bytes_read,
             blocks_read, bytes_written, blocks_written, bytes_found_dedup, blocks_found_dedup, bytes_sparse,
             blocks_sparse, duration_seconds)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        params![
            row.date.to_database(),
            row.version_uid,
            row.name,
            row.geometry.size_bytes(),
            row.geometry.blocks(),
            s.read.bytes,
            s.read.blocks,
            s.written.bytes,
            s.written.blocks,
            s.dedup.bytes,
            s.dedup.blocks,
            s.sparse.bytes,
            s.sparse.blocks,
            row.duration
        ],
    )?;
    Ok(())
}

pub(super) fn change_counter(connection: &Connection) -> rusqlite::Result<u64> {
    connection.query_row("PRAGMA data_version", [], |row| row.get(0))
}
