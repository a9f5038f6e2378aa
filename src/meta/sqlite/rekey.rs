//! Wrapping the keys of all blobs anew.

use super::Abort;
use crate::failpoint;
use crate::meta::{Rekeyed, Rewrap};
use crate::types::error::Error;
use rusqlite::{Transaction, params};

pub(super) fn rekey(t: &Transaction, rewrap: Rewrap<'_>) -> Result<Rekeyed, Abort> {
    let mut update = t.prepare("UPDATE blobs SET enc_envkey = ? WHERE id = ?")?;
    let mut read = t.prepare(
        "SELECT b.id, b.enc_envkey, (SELECT count(*) FROM block_map m WHERE m.blob_id = b.id), b.uid
         FROM blobs b WHERE b.id > ? AND b.enc_version = 1 ORDER BY b.id LIMIT 1000",
    )?;
    let mut rekeyed = Rekeyed::default();
    let mut after = 0i64;
    loop {
        let batch: Vec<(i64, Option<String>, u64, String)> = read
            .query_map([after], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
            .collect::<rusqlite::Result<_>>()?;
        let Some(last) = batch.last() else { break };
        after = last.0;
        for (id, envkey, rows, uid) in batch {
            match rewrap(envkey.as_deref().unwrap_or_default()) {
                Some(wrapped) => {
                    update.execute(params![wrapped, id])?;
                    rekeyed.opened += 1;
                    rekeyed.rows += rows;
                }
                None => rekeyed.damaged.push(uid),
            }
        }
    }
    if rekeyed.opened == 0 && !rekeyed.damaged.is_empty() {
        return Err(Abort::Because(Error::WrongKey(
            "The old key does not open the key of any stored blob. Nothing was changed.".into(),
        )));
    }
    let count = |condition: &str| {
        let sql =
            format!("SELECT count(*) FROM block_map m JOIN blobs b ON b.id = m.blob_id WHERE {condition}");
        t.query_row(&sql, [], |row| row.get(0))
    };
    rekeyed.sparse = count("m.blob_id <= 0")?;
    rekeyed.other = count("m.blob_id > 0 AND b.enc_version <> 1")?;
    failpoint::pass("rekey-before-commit");
    Ok(rekeyed)
}
