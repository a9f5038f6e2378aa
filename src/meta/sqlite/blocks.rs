//! Looks up blobs and commits blocks, row by row. Without a server a statement costs little.

use super::db::Statements;
use crate::failpoint;
use crate::meta::sql::{BlockSql, Db, Fallible, values};
use crate::meta::verbs::{hole, keep};
use crate::meta::{Fingerprint, Known, NewBlob, NewRow};
use crate::types::keys::{BlobId, VersionKey};
use crate::types::time::Timestamp;
use rusqlite::{OptionalExtension, params};

impl BlockSql for Statements<'_> {
    fn find_known(&mut self, wanted: &[Fingerprint]) -> Fallible<Vec<Option<Known>>> {
        // A blob that no block uses is not a match, because 2.13 may have deleted its data.
        let mut look_up = self.prepare(
            "SELECT id, uid FROM blobs WHERE checksum = ? AND size = ? AND enc_version = ? AND valid = 1 AND id > 0
               AND EXISTS (SELECT 1 FROM block_map WHERE blob_id = blobs.id) LIMIT 1",
        )?;
        let mut found = Vec::with_capacity(wanted.len());
        for f in wanted {
            let known = look_up.query_row(params![f.checksum.as_str(), f.size, f.enc_version], |row| {
                Ok(Known { id: BlobId(row.get(0)?), uid: row.get::<_, String>(1)?.into() })
            });
            found.push(known.optional()?);
        }
        Ok(found)
    }

    fn commit_blocks(&mut self, version: VersionKey, rows: &[NewRow]) -> Fallible<Vec<u64>> {
        keep(self, version)?;
        // Update the heartbeat for processes that cannot check in another way whether this one is alive.
        let heard = "UPDATE claims SET heard = ?1 WHERE exclusive = 1 AND name = (SELECT uid FROM versions WHERE id = ?2)";
        self.execute(heard, values![Timestamp::now().unix(), version])?;
        let mut plain =
            self.prepare("INSERT INTO block_map (version_id, block_id, blob_id) VALUES (?, ?, ?)")?;
        // The blob may have been removed or marked bad since it was found. In that case no row is inserted.
        let mut reuse = self.prepare(
            "INSERT INTO block_map (version_id, block_id, blob_id)
             SELECT ?1, ?2, id FROM blobs WHERE id = ?3 AND uid = ?4 AND valid = 1
               AND EXISTS (SELECT 1 FROM block_map WHERE blob_id = blobs.id)",
        )?;
        let mut rejected = Vec::new();
        for (n, row) in rows.iter().enumerate() {
            match row {
                NewRow::Sparse { id, size } => {
                    plain.execute(params![version.0, id, hole(self, *size)?.0])?;
                }
                NewRow::Reuse { id, known } => {
                    if reuse.execute(params![version.0, id, known.id.0, known.uid.as_str()])? == 0 {
                        rejected.push(*id);
                    }
                }
                NewRow::Store { ids, blob } => {
                    let blob_id = self.insert_blob(blob)?;
                    for id in ids {
                        plain.execute(params![version.0, id, blob_id.0])?;
                    }
                }
            }
            if n == rows.len() / 2 {
                failpoint::pass("commit-middle");
            }
        }
        Ok(rejected)
    }
}

impl Statements<'_> {
    fn insert_blob(&self, blob: &NewBlob) -> rusqlite::Result<BlobId> {
        self.prepare(
            "INSERT INTO blobs (uid, checksum, size, valid, enc_version, enc_envkey, enc_nonce, date)
             VALUES (?, ?, ?, 1, ?, ?, ?, ?)",
        )?
        .execute(params![
            blob.uid.as_str(),
            blob.fingerprint.checksum.as_str(),
            blob.fingerprint.size,
            blob.encryption.version,
            blob.encryption.envkey,
            blob.encryption.nonce,
            Timestamp::now().to_database()
        ])?;
        Ok(BlobId(self.0.last_insert_rowid()))
    }
}
