//! Reads and imports rows in the form that dumps have.

use super::{catalogue, read};
use crate::failpoint;
use crate::meta::sql::{Db, Fallible, Fault, Row, Work, values};
use crate::meta::{DumpRow, DumpRows, Metadata};
use crate::types::checksum::Checksum;
use crate::types::error::{Error, Result};
use crate::types::uid::BlobUid;
use crate::types::version::Version;

impl Metadata {
    /// At most `limit` rows of `version` from block `from` on, by block, as dumps hold them, without stray rows.
    pub fn dump_rows(&mut self, version: &Version, from: u64, limit: usize) -> Result<Vec<DumpRow>> {
        self.read("reading blocks", |db| {
            let sql =
                "SELECT m.block_id, b.uid, b.date, b.checksum, b.size, b.valid, b.enc_version, b.enc_envkey, b.enc_nonce
                 FROM block_map m JOIN blobs b ON b.id = m.blob_id
                 WHERE m.version_id = ?1 AND m.block_id >= ?2 AND m.block_id < ?4 ORDER BY m.block_id LIMIT ?3";
            db.all(sql, values![version.key, from, limit, version.size], read::of_version(version, 0, from_row))
        })
    }

    /// Creates a version with all its rows.
    ///
    /// # Errors
    /// [`crate::types::Error::VersionExists`]; the errors of `rows`; [`crate::types::Error::DumpFormat`] for an
    /// impossible row: a block that occurs twice, or a blob that a cleanup is deleting. Nothing is kept then.
    pub fn import(&mut self, version: &Version, rows: DumpRows<'_>) -> Result<()> {
        self.write("importing a version", Work::Once, |db| {
            announce(db, version)?;
            db.import_rows(version, rows)?;
            settle(db, version)?;
            failpoint::pass("import-before-commit");
            Ok(())
        })
    }
}

fn from_row(row: &dyn Row) -> Fallible<DumpRow> {
    Ok(DumpRow {
        id: row.size(0)?,
        uid: row.filled(1)?.map(BlobUid::from),
        date: row.time(2)?,
        checksum: row.filled(3)?.map(Checksum::from),
        size: row.size(4)?,
        valid: row.flag(5)?,
        encryption: read::encryption(row, 6)?,
    })
}

/// Inserts the version without its rows.
fn announce(db: &mut dyn Db, version: &Version) -> Fallible<()> {
    let there = db.number("SELECT count(*) FROM versions WHERE uid = ?1", values![&version.uid])?;
    if there > 0 {
        return Err(Fault::Because(Error::VersionExists(format!(
            "Version {} already exists and cannot be imported.",
            version.uid
        ))));
    }
    catalogue::insert_version(db, version)
}

/// Marks all versions as invalid that name a bad blob of this version. A blob is bad if the dump and the database
/// disagree about it.
fn settle(db: &mut dyn Db, version: &Version) -> Fallible<()> {
    db.execute(
        "UPDATE versions SET valid = 0 WHERE valid = 1 AND id IN (
             SELECT all_of.version_id FROM versions v
             JOIN block_map m ON m.version_id = v.id JOIN blobs b ON b.id = m.blob_id AND b.valid = 0
             JOIN block_map all_of ON all_of.blob_id = b.id
             WHERE v.uid = ?1)",
        values![&version.uid],
    )?;
    Ok(())
}
