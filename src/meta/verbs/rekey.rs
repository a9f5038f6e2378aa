//! Wraps the keys of all blobs with a new master key.

use super::copies;
use crate::failpoint;
use crate::meta::sql::{Db, Fallible, Fault, Work, values};
use crate::meta::{Metadata, Rekeyed, Rewrap, Rewrapped};
use crate::types::error::{Error, Result};
use crate::types::keys::BlobId;
use crate::types::uid::BlobUid;

impl Metadata {
    /// Wraps the keys of all encrypted blobs, and of the store, with a new master key. The caller must have exclusive use of the
    /// installation.
    ///
    /// # Errors
    /// [`crate::types::Error::WrongKey`] if no key can be opened. Nothing is changed then.
    pub fn rekey(&mut self, rewrap: Rewrap<'_>) -> Result<Rekeyed> {
        self.write("rekeying", Work::Small, |db| rekey(db, rewrap))
    }
}

/// The row that would be the same blob as `b` if the key of `b` were ?1.
const TWIN: &str =
    "SELECT twin.id FROM blobs b JOIN blobs twin ON twin.uid = b.uid AND twin.id > 0 AND twin.id <> b.id
         AND coalesce(twin.checksum, '') = coalesce(b.checksum, '') AND twin.size = b.size
         AND twin.enc_version = b.enc_version AND twin.enc_envkey = ?1
     WHERE b.id = ?2";

fn rekey(db: &mut dyn Db, rewrap: Rewrap<'_>) -> Fallible<Rekeyed> {
    let mut rekeyed = Rekeyed::default();
    let mut after = BlobId(0);
    loop {
        let sql =
            "SELECT b.id, b.enc_envkey, (SELECT count(*) FROM block_map m WHERE m.blob_id = b.id), b.uid
             FROM blobs b WHERE b.id > ?1 AND b.enc_version = 1 ORDER BY b.id LIMIT 1000";
        let batch = db.all(sql, values![after], |row| {
            Ok((BlobId(row.int(0)?), row.opt_text(1)?, row.size(2)?, BlobUid::from(row.text(3)?)))
        })?;
        let Some(last) = batch.last() else { break };
        after = last.0;
        for (id, envkey, rows, uid) in batch {
            match rewrap(envkey.as_deref().unwrap_or_default()) {
                Rewrapped::Anew(wrapped) => {
                    match db.first(TWIN, values![&wrapped, id], |row| Ok(BlobId(row.int(0)?)))? {
                        None => {
                            let sql = "UPDATE blobs SET enc_envkey = ?1 WHERE id = ?2";
                            db.execute(sql, values![&wrapped, id])?;
                        }
                        Some(twin) => merge(db, id, twin)?,
                    }
                    rekeyed.opened += 1;
                    rekeyed.rows += rows;
                }
                Rewrapped::Already => rekeyed.already += 1,
                Rewrapped::Damaged => rekeyed.damaged.push(uid),
            }
        }
    }
    if rekeyed.opened == 0 && (rekeyed.already > 0 || !rekeyed.damaged.is_empty()) {
        return Err(Fault::Because(wrong_key(rekeyed.already)));
    }
    let mut count = |condition: &str| -> Fallible<u64> {
        let sql =
            format!("SELECT count(*) FROM block_map m JOIN blobs b ON b.id = m.blob_id WHERE {condition}");
        Ok(db.number(&sql, &[])?.unsigned_abs())
    };
    rekeyed.sparse = count("m.blob_id <= 0")?;
    rekeyed.other = count("m.blob_id > 0 AND b.enc_version <> 1")?;
    rekey_store(db, rewrap)?;
    failpoint::pass("rekey-before-commit");
    Ok(rekeyed)
}

/// Wraps the key of the store anew, if the old master key opens it.
fn rekey_store(db: &mut dyn Db, rewrap: Rewrap<'_>) -> Fallible<()> {
    let sql = "SELECT name, envkey FROM stores WHERE envkey IS NOT NULL";
    for (name, envkey) in db.all(sql, &[], |row| Ok((row.text(0)?, row.text(1)?)))? {
        if let Rewrapped::Anew(wrapped) = rewrap(&envkey) {
            db.execute("UPDATE stores SET envkey = ?1 WHERE name = ?2", values![&wrapped, &name])?;
        }
    }
    Ok(())
}

fn wrong_key(already: u64) -> Error {
    let text = match already {
        0 => "The old key does not open the key of any stored blob. Nothing was changed.",
        _ => {
            "The old key does not open the key of any stored blob, and the configured one opens some: they were \
             rekeyed already. Nothing was changed."
        }
    };
    Error::WrongKey(text.into())
}

/// Merges two rows of the same blob: what names `id` names `twin` from now on. The rows had different master keys, as
/// after the import of a dump from before an earlier rekey, and would be equal now.
fn merge(db: &mut dyn Db, id: BlobId, twin: BlobId) -> Fallible<()> {
    let naming = "id IN (SELECT version_id FROM block_map WHERE blob_id = ?1)";
    copies::make_due(db, naming, values![id])?;
    db.execute("UPDATE block_map SET blob_id = ?1 WHERE blob_id = ?2", values![twin, id])?;
    // If the two rows disagree about the blob, it is bad.
    db.execute(
        "UPDATE blobs SET valid = 0 WHERE id = ?1 AND EXISTS (SELECT 1 FROM blobs WHERE id = ?2 AND valid = 0)",
        values![twin, id],
    )?;
    db.execute("DELETE FROM blobs WHERE id = ?1", values![id])?;
    Ok(())
}
