//! What is known of the health of blobs and versions.

use crate::types::block::Blob;
use rusqlite::{Transaction, params};
use std::collections::BTreeSet;

pub(super) fn blobs_invalid(t: &Transaction, blobs: &[Blob]) -> rusqlite::Result<Vec<String>> {
    // Every row with that uid and checksum: an old export may have brought a second one.
    let mut mark =
        t.prepare_cached("UPDATE blobs SET valid = 0 WHERE id > 0 AND uid = ? AND checksum IS ?")?;
    let mut affected = t.prepare_cached(
        "SELECT DISTINCT v.uid FROM blobs b CROSS JOIN block_map m ON m.blob_id = b.id
         JOIN versions v ON v.id = m.version_id WHERE b.id > 0 AND b.uid = ? AND b.checksum IS ?",
    )?;
    let mut versions = BTreeSet::new();
    for blob in blobs {
        mark.execute(params![blob.uid, blob.checksum])?;
        for uid in affected.query_map(params![blob.uid, blob.checksum], |row| row.get::<_, String>(0))? {
            versions.insert(uid?);
        }
    }
    let mut invalidate = t.prepare_cached("UPDATE versions SET valid = 0 WHERE uid = ?")?;
    for uid in &versions {
        invalidate.execute([uid])?;
    }
    Ok(versions.into_iter().collect())
}

pub(super) fn version_invalid(t: &Transaction, version: i64) -> rusqlite::Result<()> {
    t.execute("UPDATE versions SET valid = 0 WHERE id = ?", [version])?;
    Ok(())
}

pub(super) fn version_valid(t: &Transaction, version: i64) -> rusqlite::Result<()> {
    t.execute(
        "UPDATE blobs SET valid = 1 WHERE valid = 0
           AND EXISTS (SELECT 1 FROM block_map WHERE blob_id = blobs.id AND version_id = ?)",
        [version],
    )?;
    t.execute("UPDATE versions SET valid = 1 WHERE id = ?", [version])?;
    Ok(())
}
