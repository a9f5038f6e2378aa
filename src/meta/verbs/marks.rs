//! The marks on bad blobs and invalid versions.

use super::backup;
use crate::meta::sql::{Db, Fallible, Marks, Work, values};
use crate::meta::{Healed, Metadata};
use crate::types::block::Blob;
use crate::types::error::Result;
use crate::types::keys::{BlobId, VersionKey};
use crate::types::uid::VersionUid;
use crate::types::version::Version;
use std::collections::BTreeSet;

impl Metadata {
    /// Marks blobs as bad, by uid and checksum, and every version that names one of them as invalid. Returns these
    /// versions.
    pub fn mark_blobs_invalid(&mut self, blobs: &[Blob]) -> Result<Vec<VersionUid>> {
        self.write("marking blocks invalid", Work::Small, |db| blobs_invalid(db, blobs))
    }

    /// Marks a version as invalid.
    pub fn mark_version_invalid(&mut self, version: &Version) -> Result<()> {
        self.write("marking a version invalid", Work::Small, |db| {
            db.execute("UPDATE versions SET valid = 0 WHERE id = ?1", values![version.key])?;
            forget(db, version.key)
        })
    }

    /// Marks the blobs `mended` of a version as good. They were bad, and the caller has verified them. The version
    /// becomes valid unless it has another bad blob, which another process may have found in the meantime. Other
    /// versions that were valid until one of their blobs was marked become valid again if they are complete and have no
    /// bad blob any more.
    pub fn mark_version_valid(&mut self, version: &Version, mended: &[BlobId]) -> Result<Healed> {
        self.write("marking a version valid", Work::Small, |db| version_valid(db, version.key, mended))
    }
}

fn blobs_invalid(db: &mut dyn Db, blobs: &[Blob]) -> Fallible<Vec<VersionUid>> {
    db.lock_marks(Marks::Change)?;
    // Several rows may have the same uid and checksum, because the import of an old dump may have added a second one.
    let mark = "UPDATE blobs SET valid = 0 WHERE uid = ?1 AND checksum IS NOT DISTINCT FROM ?2";
    let join = db.dialect().join;
    let affected = format!(
        "SELECT DISTINCT v.uid FROM blobs b {join} block_map m ON m.blob_id = b.id
         JOIN versions v ON v.id = m.version_id
         WHERE b.uid = ?1 AND b.checksum IS NOT DISTINCT FROM ?2"
    );
    let mut versions: BTreeSet<VersionUid> = BTreeSet::new();
    for blob in blobs {
        let parameters = values![&blob.uid, blob.checksum.as_ref()];
        db.execute(mark, parameters)?;
        versions.extend(db.all(&affected, parameters, |row| Ok(row.text(0)?.into()))?);
    }
    for uid in &versions {
        // A version that was invalid before has another reason, which a good blob does not remove.
        db.execute(
            "INSERT INTO invalidated (version_uid) SELECT uid FROM versions WHERE uid = ?1 AND valid <> 0
             ON CONFLICT DO NOTHING",
            values![uid],
        )?;
        db.execute("UPDATE versions SET valid = 0 WHERE uid = ?1", values![uid])?;
    }
    Ok(versions.into_iter().collect())
}

/// Forgets that a mark on a blob made the version invalid, so that it does not become valid when the blob is good
/// again.
pub(super) fn forget(db: &mut dyn Db, version: VersionKey) -> Fallible<()> {
    let sql = "DELETE FROM invalidated WHERE version_uid = (SELECT uid FROM versions WHERE id = ?1)";
    db.execute(sql, values![version])?;
    Ok(())
}

/// See [`Metadata::mark_version_valid`]. A blob that another process has marked as bad in the meantime stays bad.
fn version_valid(db: &mut dyn Db, version: VersionKey, mended: &[BlobId]) -> Fallible<Healed> {
    db.lock_marks(Marks::Change)?;
    for blob in mended {
        db.execute(
            "UPDATE blobs SET valid = 1 WHERE id = ?1 AND valid = 0
               AND EXISTS (SELECT 1 FROM block_map WHERE blob_id = blobs.id AND version_id = ?2)",
            values![*blob, version],
        )?;
    }
    let valid = backup::invalid(db, version)?.is_empty();
    if valid {
        make_valid(db, version)?;
    }
    let others = if mended.is_empty() { Vec::new() } else { heal(db)? };
    Ok(Healed { valid, others })
}

fn make_valid(db: &mut dyn Db, version: VersionKey) -> Fallible<()> {
    db.execute("UPDATE versions SET valid = 1 WHERE id = ?1", values![version])?;
    forget(db, version)
}

/// Makes versions valid again that a mark on a blob has made invalid, if they are complete and have no bad blob. There
/// are only a few such versions.
fn heal(db: &mut dyn Db) -> Fallible<Vec<VersionUid>> {
    let sql = "SELECT v.id, v.size, v.uid FROM invalidated i JOIN versions v ON v.uid = i.version_uid
         WHERE v.valid = 0 ORDER BY v.uid";
    let candidates =
        db.all(sql, &[], |row| Ok((VersionKey(row.int(0)?), row.int(1)?, row.text(2)?.into())))?;
    let mut healed = Vec::new();
    for (version, size, uid) in candidates {
        // A version with a damaged size cannot be complete.
        let Ok(size) = u64::try_from(size) else { continue };
        if backup::unusable(db, version, size)?.is_empty() {
            make_valid(db, version)?;
            healed.push(uid);
        }
    }
    Ok(healed)
}
