//! Takes entries for a cleanup from the list of deletable blobs, while other processes may use the same database.

use super::db::Statements;
use crate::meta::Candidates;
use crate::meta::sql::{CandidateSql, Db, Fallible};
use crate::pg::advisory::{Lock, Mode};
use crate::types::keys::EntryId;
use crate::types::uid::BlobUid;
use postgres::GenericClient;
use std::collections::BTreeSet;

impl<C: GenericClient> CandidateSql for Statements<'_, C> {
    fn take_candidates(&mut self, after: EntryId, before: i64, limit: usize) -> Fallible<Candidates> {
        self.lock(Lock::Naming, Mode::Exclusive)?;
        // Rows of old releases without a uid are useless.
        self.execute("DELETE FROM deleted_blocks WHERE uid IS NULL OR uid = ''", &[])?;
        // Skip entries that another cleanup or an `rm` has locked.
        let entries = self.ask(
            "SELECT id, uid FROM deleted_blocks d WHERE id > ?1 AND delete_candidate = 0
               AND (SELECT max(time) FROM deleted_blocks n WHERE n.uid = d.uid) < ?2
             ORDER BY id LIMIT ?3 FOR UPDATE SKIP LOCKED",
            &[&after.0, &before, &(limit as i64)],
        )?;
        let mut last = after;
        let mut uids: BTreeSet<BlobUid> = BTreeSet::new();
        for entry in &entries {
            last = EntryId(entry.try_get(0)?);
            uids.insert(entry.try_get::<_, &str>(1)?.into());
        }
        let next = (entries.len() == limit).then_some(last);
        drop_rows(self, &uids)?;
        let left = self.ask(
            "SELECT uid, bool_or((SELECT max(blob_id) FROM block_map WHERE blob_id = b.id) IS NOT NULL) FROM blobs b
             WHERE uid = ANY (?1) GROUP BY uid",
            &[&list(&uids)],
        )?;
        let mut in_use = Vec::new();
        for row in &left {
            let uid: &str = row.try_get(0)?;
            uids.remove(&BlobUid::from(uid));
            // A remaining blob that no block uses was locked by a transaction that may be about to use it. Its entry
            // stays for the next cleanup.
            if row.try_get(1)? {
                in_use.push(uid);
            }
        }
        let kept = self.run("DELETE FROM deleted_blocks WHERE uid = ANY (?1)", &[&in_use])?;
        let doomed = list(&uids);
        self.run("UPDATE deleted_blocks SET delete_candidate = 1 WHERE uid = ANY (?1)", &[&doomed])?;
        Ok(Candidates { doomed: uids.into_iter().collect(), in_use: kept, next })
    }
}

fn list(uids: &BTreeSet<BlobUid>) -> Vec<&str> {
    uids.iter().map(BlobUid::as_str).collect()
}

/// Deletes the rows of those blobs that no block uses. It locks the rows first and skips rows locked by others,
/// because a transaction that locks such a row is about to use the blob. Then it checks again, to see use that was
/// committed in the meantime.
fn drop_rows<C: GenericClient>(db: &mut Statements<'_, C>, uids: &BTreeSet<BlobUid>) -> Fallible<()> {
    let locked = db.ask(
        "SELECT id FROM blobs b WHERE uid = ANY (?1)
           AND (SELECT max(blob_id) FROM block_map WHERE blob_id = b.id) IS NULL
         FOR UPDATE SKIP LOCKED",
        &[&list(uids)],
    )?;
    let ids: Vec<i64> = locked.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    db.run(
        "DELETE FROM blobs WHERE id = ANY (?1)
           AND (SELECT max(blob_id) FROM block_map WHERE blob_id = blobs.id) IS NULL",
        &[&ids],
    )?;
    Ok(())
}
