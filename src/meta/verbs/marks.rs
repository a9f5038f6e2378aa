//! What is known of the health of blobs and versions.

use super::backup;
use crate::meta::sql::{Db, Fallible, Work, values};
use crate::meta::{Healed, Metadata};
use crate::types::block::Blob;
use crate::types::error::Result;
use crate::types::keys::{BlobId, VersionKey};
use crate::types::uid::VersionUid;
use crate::types::version::Version;
use std::collections::BTreeSet;

impl Metadata {
    /// Marks blobs as bad, by uid and checksum, and every version that names one. Returns the versions.
    pub fn mark_blobs_invalid(&mut self, blobs: &[Blob]) -> Result<Vec<VersionUid>> {
        self.write("marking blocks invalid", Work::Small, |db| blobs_invalid(db, blobs))
    }

    /// Marks a version as bad.
    pub fn mark_version_invalid(&mut self, version: &Version) -> Result<()> {
        self.write("marking a version invalid", Work::Small, |db| {
            db.execute("UPDATE versions SET valid = 0 WHERE id = ?1", values![version.key])?;
            forget(db, version.key)
        })
    }

    /// Marks blobs of a version as good, by the ids of those that were bad and have been verified, and then the version,
    /// unless it has another bad one: somebody else has found that since. Other versions that were valid until one of
    /// their blobs was marked become valid again, if they are whole and none of their blobs is bad any more.
    pub fn mark_version_valid(&mut self, version: &Version, mended: &[BlobId]) -> Result<Healed> {
        self.write("marking a version valid", Work::Small, |db| version_valid(db, version.key, mended))
    }
}

pub(super) fn blobs_invalid(db: &mut dyn Db, blobs: &[Blob]) -> Fallible<Vec<VersionUid>> {
    db.lock_marks(true)?;
    // Every row with that uid and checksum: an old export may have brought a second one.
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
        // One that was not valid had another reason, which a good blob does not take away.
        db.execute(
            "INSERT INTO invalidated (version_uid) SELECT uid FROM versions WHERE uid = ?1 AND valid <> 0
             ON CONFLICT DO NOTHING",
            values![uid],
        )?;
        db.execute("UPDATE versions SET valid = 0 WHERE uid = ?1", values![uid])?;
    }
    Ok(versions.into_iter().collect())
}

/// Whatever happens to its blobs, the version does not become valid by that.
pub(super) fn forget(db: &mut dyn Db, version: VersionKey) -> Fallible<()> {
    let sql = "DELETE FROM invalidated WHERE version_uid = (SELECT uid FROM versions WHERE id = ?1)";
    db.execute(sql, values![version])?;
    Ok(())
}

/// A blob that was good when it was read and is bad now stays so: what is newer counts.
pub(super) fn version_valid(db: &mut dyn Db, version: VersionKey, mended: &[BlobId]) -> Fallible<Healed> {
    db.lock_marks(true)?;
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

/// Makes those versions valid again that were so until a blob was marked, and are whole and without bad blobs. They are
/// few: most have another one.
fn heal(db: &mut dyn Db) -> Fallible<Vec<VersionUid>> {
    let sql = "SELECT v.id, v.size, v.uid FROM invalidated i JOIN versions v ON v.uid = i.version_uid
         WHERE v.valid = 0 ORDER BY v.uid";
    let candidates =
        db.all(sql, &[], |row| Ok((VersionKey(row.int(0)?), row.int(1)?, row.text(2)?.into())))?;
    let mut healed = Vec::new();
    for (version, size, uid) in candidates {
        // A damaged row is whole in no way.
        let Ok(size) = u64::try_from(size) else { continue };
        if backup::unusable(db, version, size)?.is_empty() {
            make_valid(db, version)?;
            healed.push(uid);
        }
    }
    Ok(healed)
}
