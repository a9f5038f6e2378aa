//! What is known of the health of blobs and versions.

use super::{Db, Fallible, backup, values};
use crate::types::block::Blob;
use std::collections::BTreeSet;

pub(super) fn blobs_invalid(db: &mut dyn Db, blobs: &[Blob]) -> Fallible<Vec<String>> {
    db.lock_marks(true)?;
    // Every row with that uid and checksum: an old export may have brought a second one.
    let mark = "UPDATE blobs SET valid = 0 WHERE uid = ?1 AND checksum IS NOT DISTINCT FROM ?2";
    let join = db.dialect().join;
    let affected = format!(
        "SELECT DISTINCT v.uid FROM blobs b {join} block_map m ON m.blob_id = b.id
         JOIN versions v ON v.id = m.version_id
         WHERE b.uid = ?1 AND b.checksum IS NOT DISTINCT FROM ?2"
    );
    let mut versions = BTreeSet::new();
    for blob in blobs {
        let parameters = values![&blob.uid, blob.checksum.as_ref()];
        db.execute(mark, parameters)?;
        versions.extend(db.all(&affected, parameters, |row| row.text(0))?);
    }
    for uid in &versions {
        db.execute("UPDATE versions SET valid = 0 WHERE uid = ?1", values![uid])?;
    }
    Ok(versions.into_iter().collect())
}

pub(super) fn version_invalid(db: &mut dyn Db, version: i64) -> Fallible<()> {
    db.execute("UPDATE versions SET valid = 0 WHERE id = ?1", values![version])?;
    Ok(())
}

/// A blob that was good when it was read and is bad now stays so: what is newer counts.
pub(super) fn version_valid(db: &mut dyn Db, version: i64, mended: &[i64]) -> Fallible<bool> {
    db.lock_marks(true)?;
    for blob in mended {
        db.execute(
            "UPDATE blobs SET valid = 1 WHERE id = ?1 AND valid = 0
               AND EXISTS (SELECT 1 FROM block_map WHERE blob_id = blobs.id AND version_id = ?2)",
            values![*blob, version],
        )?;
    }
    if !backup::invalid(db, version)?.is_empty() {
        return Ok(false);
    }
    db.execute("UPDATE versions SET valid = 1 WHERE id = ?1", values![version])?;
    Ok(true)
}
