//! Removing versions, and the blobs that nothing names any more.
//!
//! The order that keeps every reference good: `rm` drops rows and lists uids; cleanup drops blob rows that
//! nothing names and, in the same transaction, dooms the uids that have none left; only then their data is
//! deleted; only then the entries go. A doomed uid cannot come back: the view's trigger refuses it, and new
//! blobs have new uids.

use crate::failpoint;
use crate::meta::Candidates;
use crate::types::version::Version;
use rusqlite::{Connection, Params, Transaction, params};

/// Runs without the check of references: nothing but rows of `block_map` and tags refers to a version, and they go
/// first, in the same transaction.
pub(super) fn remove_version(t: &Transaction, version: &Version, now: i64) -> rusqlite::Result<u64> {
    let rows = list_unnamed(t, "version_id = ?", [version.key], now)?;
    failpoint::pass("rm-middle");
    t.execute("DELETE FROM tags WHERE version_uid = ?", [&version.uid])?;
    t.execute("DELETE FROM versions WHERE id = ?", [version.key])?;
    Ok(rows)
}

/// Deletes the rows of `block_map` that meet `condition`, and lists in `deleted_blocks` those of their uids
/// that no row names any more. Returns the number of rows.
pub(super) fn list_unnamed(
    t: &Transaction,
    condition: &str,
    parameters: impl Params + Clone,
    now: i64,
) -> rusqlite::Result<u64> {
    // All in the order of a key: what comes in no order reads and writes the same pages again and again.
    t.execute_batch(
        "PRAGMA temp.cache_size = -16384;
         CREATE TEMP TABLE gone (id INTEGER PRIMARY KEY);
         CREATE TEMP TABLE unnamed (uid TEXT PRIMARY KEY, size BIGINT) WITHOUT ROWID;",
    )?;
    t.execute(
        &format!(
            "INSERT OR IGNORE INTO temp.gone
             SELECT blob_id FROM block_map WHERE {condition} AND blob_id > 0 ORDER BY blob_id"
        ),
        parameters.clone(),
    )?;
    let rows = t.execute(&format!("DELETE FROM block_map WHERE {condition}"), parameters)? as u64;
    t.execute(
        "INSERT OR IGNORE INTO temp.unnamed
         SELECT b.uid, b.size FROM temp.gone CROSS JOIN blobs b ON b.id = gone.id
         WHERE b.uid <> '' AND NOT EXISTS (SELECT 1 FROM block_map WHERE blob_id = gone.id) ORDER BY b.uid",
        [],
    )?;
    // By uid, not by row: two rows may share the data.
    t.execute(
        "DELETE FROM temp.unnamed WHERE EXISTS
           (SELECT 1 FROM blobs b JOIN block_map m ON m.blob_id = b.id WHERE b.uid = unnamed.uid)",
        [],
    )?;
    t.execute("UPDATE deleted_blocks SET time = ? WHERE uid IN (SELECT uid FROM temp.unnamed)", [now])?;
    t.execute(
        "INSERT INTO deleted_blocks (uid, size, delete_candidate, time) SELECT uid, size, 0, ? FROM temp.unnamed
         WHERE NOT EXISTS (SELECT 1 FROM deleted_blocks d WHERE d.uid = unnamed.uid) ORDER BY uid",
        [now],
    )?;
    t.execute_batch("DROP TABLE temp.gone; DROP TABLE temp.unnamed;")?;
    Ok(rows)
}

pub(super) fn doomed(connection: &Connection, after: &str, limit: usize) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT DISTINCT uid FROM deleted_blocks WHERE delete_candidate = 1 AND uid > ?1 AND uid <> ''
               ORDER BY uid LIMIT ?2";
    connection.prepare(sql)?.query_map(params![after, limit as i64], |row| row.get(0))?.collect()
}

pub(super) fn take_candidates(
    t: &Transaction,
    after: i64,
    before: i64,
    limit: usize,
) -> rusqlite::Result<Candidates> {
    // Rows of old releases without a uid say nothing.
    t.execute("DELETE FROM deleted_blocks WHERE uid IS NULL OR uid = ''", [])?;
    let entries: Vec<(i64, String)> = t
        .prepare(
            "SELECT id, uid FROM deleted_blocks d WHERE id > ?1 AND delete_candidate = 0
               AND (SELECT max(time) FROM deleted_blocks n WHERE n.uid = d.uid) < ?2
             ORDER BY id LIMIT ?3",
        )?
        .query_map(params![after, before, limit as i64], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut candidates = Candidates {
        next: (entries.len() == limit).then(|| entries.last().map_or(after, |(id, _)| *id)),
        ..Candidates::default()
    };
    let mut drop_rows = t.prepare(
        "DELETE FROM blobs WHERE uid = ? AND id > 0
           AND NOT EXISTS (SELECT 1 FROM block_map WHERE blob_id = blobs.id)",
    )?;
    let mut in_use = t.prepare("SELECT EXISTS (SELECT 1 FROM blobs WHERE uid = ?)")?;
    let mut forget = t.prepare("DELETE FROM deleted_blocks WHERE uid = ?")?;
    let mut doom = t.prepare("UPDATE deleted_blocks SET delete_candidate = 1 WHERE uid = ?")?;
    for (_, uid) in entries {
        drop_rows.execute([&uid])?;
        if in_use.query_row([&uid], |row| row.get(0))? {
            candidates.in_use += 1;
            forget.execute([&uid])?;
        } else if doom.execute([&uid])? > 0 && candidates.doomed.last() != Some(&uid) {
            candidates.doomed.push(uid);
        }
    }
    candidates.doomed.sort();
    candidates.doomed.dedup();
    Ok(candidates)
}

pub(super) fn forget(t: &Transaction, uids: &[String]) -> rusqlite::Result<()> {
    let mut forget = t.prepare("DELETE FROM deleted_blocks WHERE uid = ? AND delete_candidate = 1")?;
    for uid in uids {
        forget.execute([uid])?;
    }
    Ok(())
}

pub(super) fn drop_unnamed(t: &Transaction) -> rusqlite::Result<u64> {
    let sql =
        "DELETE FROM blobs WHERE id > 0 AND NOT EXISTS (SELECT 1 FROM block_map WHERE blob_id = blobs.id)";
    Ok(t.execute(sql, [])? as u64)
}

pub(super) fn without_row(connection: &Connection, uids: &[String]) -> rusqlite::Result<Vec<String>> {
    let mut known = connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM blobs WHERE uid = ?)")?;
    let mut unknown = Vec::new();
    for uid in uids {
        if !known.query_row([uid], |row| row.get::<_, bool>(0))? {
            unknown.push(uid.clone());
        }
    }
    Ok(unknown)
}
