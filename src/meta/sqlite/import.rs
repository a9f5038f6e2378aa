//! Imports the rows of a version, one by one.

use super::db::Statements;
use crate::meta::sql::{Fallible, Fault, ImportSql};
use crate::meta::{DumpRow, DumpRows};
use crate::types::checksum::Checksum;
use crate::types::error::Error;
use crate::types::uid::BlobUid;
use crate::types::version::Version;
use rusqlite::{ErrorCode, ffi, params};

impl ImportSql for Statements<'_> {
    /// Inserts through the view. Its trigger finds or creates the row of the blob, and refuses a blob that is being
    /// deleted.
    fn import_rows(&mut self, version: &Version, rows: DumpRows<'_>) -> Fallible<()> {
        let mut insert = self.prepare(
            "INSERT INTO blocks (uid, version_uid, id, date, checksum, size, valid, enc_version, enc_envkey, enc_nonce)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?;
        for row in rows {
            let row = row.map_err(Fault::Because)?;
            let inserted = insert.execute(params![
                row.uid.as_ref().map(BlobUid::as_str),
                version.uid.as_str(),
                row.id,
                row.date.to_database(),
                row.checksum.as_ref().map(Checksum::as_str),
                row.size,
                row.valid,
                row.encryption.version,
                row.encryption.envkey,
                row.encryption.nonce
            ]);
            inserted.map_err(|e| refused(e, &row))?;
        }
        Ok(())
    }
}

/// The error for a row that the database refuses.
fn refused(e: rusqlite::Error, row: &DumpRow) -> Fault {
    let rusqlite::Error::SqliteFailure(ffi::Error { extended_code, code: ErrorCode::ConstraintViolation }, _) =
        e
    else {
        return e.into();
    };
    let DumpRow { id, uid, .. } = row;
    Fault::Because(Error::DumpFormat(match (extended_code, uid) {
        (ffi::SQLITE_CONSTRAINT_PRIMARYKEY, _) => format!("block {id} occurs twice"),
        (ffi::SQLITE_CONSTRAINT_TRIGGER, Some(uid)) => {
            format!("block {id} names the blob {uid}, which a cleanup is deleting")
        }
        _ => format!("block {id} cannot be imported: {e}"),
    }))
}
