//! Wrapping the keys of all blobs anew.

use super::Abort;
use crate::failpoint;
use crate::meta::{Rekeyed, Rewrap, Rewrapped};
use crate::types::error::Error;
use rusqlite::{Transaction, params};

pub(super) fn rekey(t: &Transaction, rewrap: Rewrap<'_>) -> Result<Rekeyed, Abort> {
    let mut update = t.prepare("UPDATE OR IGNORE blobs SET enc_envkey = ? WHERE id = ?")?;
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
                Rewrapped::Anew(wrapped) => {
                    if update.execute(params![wrapped, id])? == 0 {
                        merge(t, id, &wrapped)?;
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
        let text = match rekeyed.already {
            0 => "The old key does not open the key of any stored blob. Nothing was changed.",
            _ => {
                "The old key does not open the key of any stored blob, and the configured one opens some: they were \
                 rekeyed already. Nothing was changed."
            }
        };
        return Err(Abort::Because(Error::WrongKey(text.into())));
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

/// Two rows were the same blob under two master keys, as after the import of a dump from before an earlier
/// rekey. Now they would be equal: what names `id` names the other one.
fn merge(t: &Transaction, id: i64, envkey: &str) -> rusqlite::Result<()> {
    let twin: i64 = t.query_row(
        "SELECT twin.id FROM blobs b JOIN blobs twin ON twin.uid = b.uid AND twin.id > 0 AND twin.id <> b.id
             AND coalesce(twin.checksum, '') = coalesce(b.checksum, '') AND twin.size = b.size
             AND twin.enc_version = b.enc_version AND twin.enc_envkey = ?
         WHERE b.id = ?",
        params![envkey, id],
        |row| row.get(0),
    )?;
    t.execute("UPDATE block_map SET blob_id = ? WHERE blob_id = ?", [twin, id])?;
    // Of two opinions about a blob, the bad one counts.
    t.execute(
        "UPDATE blobs SET valid = 0 WHERE id = ? AND EXISTS (SELECT 1 FROM blobs WHERE id = ? AND valid = 0)",
        [twin, id],
    )?;
    t.execute("DELETE FROM blobs WHERE id = ?", [id])?;
    Ok(())
}
