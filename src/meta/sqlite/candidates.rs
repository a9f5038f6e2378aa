//! Takes entries for a cleanup from the list of deletable blobs.

use super::db::Statements;
use crate::meta::Candidates;
use crate::meta::sql::{CandidateSql, Db, Fallible, values};
use crate::types::keys::EntryId;
use crate::types::uid::BlobUid;

impl CandidateSql for Statements<'_> {
    fn take_candidates(&mut self, after: EntryId, before: i64, limit: usize) -> Fallible<Candidates> {
        // Rows of old releases without a uid are useless.
        self.execute("DELETE FROM deleted_blocks WHERE uid IS NULL OR uid = ''", &[])?;
        let db: &mut dyn Db = self;
        let entries = db.all(
            "SELECT id, uid FROM deleted_blocks d WHERE id > ?1 AND delete_candidate = 0
               AND (SELECT max(time) FROM deleted_blocks n WHERE n.uid = d.uid) < ?2
             ORDER BY id LIMIT ?3",
            values![after, before, limit],
            |row| Ok((EntryId(row.int(0)?), BlobUid::from(row.text(1)?))),
        )?;
        let mut candidates = Candidates {
            next: (entries.len() == limit).then(|| entries.last().map_or(after, |(id, _)| *id)),
            ..Candidates::default()
        };
        for (_, uid) in entries {
            let uid_only = values![&uid];
            db.execute(
                "DELETE FROM blobs WHERE uid = ?1 AND id > 0
                   AND NOT EXISTS (SELECT 1 FROM block_map WHERE blob_id = blobs.id)",
                uid_only,
            )?;
            if db.number("SELECT EXISTS (SELECT 1 FROM blobs WHERE uid = ?1)", uid_only)? != 0 {
                candidates.in_use += 1;
                db.execute("DELETE FROM deleted_blocks WHERE uid = ?1", uid_only)?;
            } else if db.execute("UPDATE deleted_blocks SET delete_candidate = 1 WHERE uid = ?1", uid_only)?
                > 0
                && candidates.doomed.last() != Some(&uid)
            {
                candidates.doomed.push(uid);
            }
        }
        candidates.doomed.sort();
        candidates.doomed.dedup();
        Ok(candidates)
    }
}
