//! Removing versions, and the blobs that nothing names any more.
//!
//! The order of the steps keeps every reference valid. `rm` drops rows and lists uids. A cleanup drops the rows of
//! blobs that nothing names and, in the same transaction, dooms the uids that have no row left. Then it deletes their
//! data, and after that the entries. A doomed uid cannot come back, because the view's trigger refuses it and new blobs
//! have new uids.

use super::{copies, marks};
use crate::failpoint;
use crate::meta::sql::{Db, Fallible, Value, Work, values};
use crate::meta::{Candidates, Deletable, Fate, Metadata};
use crate::types::error::Result;
use crate::types::keys::EntryId;
use crate::types::uid::BlobUid;
use crate::types::version::Version;

impl Metadata {
    /// Removes a version, and lists the blobs that only it named in `deleted_blocks` with the time `now` (Unix
    /// seconds). Returns the number of its rows.
    pub fn remove_version(&mut self, version: &Version, now: i64) -> Result<u64> {
        self.write("removing a version", Work::Bulk, |db| {
            // References are not checked here (see `Work::Bulk`). Only rows of `block_map` and tags refer to a version,
            // and they are deleted first.
            db.alone_in_removing()?;
            let rows = list_unnamed(db, "version_id = ?1", values![version.key], now)?;
            failpoint::pass("rm-middle");
            db.execute("DELETE FROM tags WHERE version_uid = ?1", values![&version.uid])?;
            marks::forget(db, version.key)?;
            db.execute("DELETE FROM versions WHERE id = ?1", values![version.key])?;
            Ok(rows)
        })
    }

    /// Removes up to `limit` blocks of a version that is marked as bad, as [`Metadata::remove_version`] would. Returns
    /// their number.
    pub fn remove_blocks(&mut self, version: &Version, limit: usize, now: i64) -> Result<u64> {
        self.write("removing blocks of a version", Work::Bulk, |db| {
            db.alone_in_removing()?;
            let first = format!(
                "version_id = ?1 AND block_id IN
                   (SELECT block_id FROM block_map WHERE version_id = ?1 ORDER BY block_id LIMIT {limit})"
            );
            copies::make_due(db, "id = ?1", values![version.key])?;
            list_unnamed(db, &first, values![version.key], now)
        })
    }

    /// Uids of blobs that a cleanup has doomed and not deleted yet: the first `limit` uids after `after`, in byte
    /// order.
    pub fn doomed(&mut self, after: Option<&BlobUid>, limit: usize) -> Result<Vec<BlobUid>> {
        self.read("looking for unfinished deletions", |db| {
            let sql = "SELECT DISTINCT uid FROM deleted_blocks WHERE delete_candidate = 1 AND uid > ?1 AND uid <> ''
                       ORDER BY uid LIMIT ?2";
            db.all(sql, values![behind(after), limit], |row| Ok(row.text(0)?.into()))
        })
    }

    /// Checks up to `limit` entries of `deleted_blocks` after entry `after`. Leaves out uids whose newest entry is not
    /// older than `before` (Unix seconds). Drops the rows of their blobs that no block names, and dooms the uids that
    /// have no row left.
    pub fn take_delete_candidates(
        &mut self,
        after: EntryId,
        before: i64,
        limit: usize,
    ) -> Result<Candidates> {
        self.write("looking for deletable blobs", Work::Scattered, |db| {
            db.take_candidates(after, before, limit)
        })
    }

    /// Sets the time of entries of `deleted_blocks` to `now` if it is later than `plausible` (Unix seconds). Returns
    /// the number of these entries.
    pub fn restamp_deleted(&mut self, now: i64, plausible: i64) -> Result<u64> {
        self.write("correcting times of deletions", Work::Small, |db| {
            db.execute("UPDATE deleted_blocks SET time = ?1 WHERE time > ?2", values![now, plausible])
        })
    }

    /// Removes the entries of doomed uids whose data is deleted.
    pub fn forget_deleted(&mut self, uids: &[BlobUid]) -> Result<()> {
        self.write("forgetting deleted blobs", Work::Small, |db| {
            for uid in uids {
                db.execute(
                    "DELETE FROM deleted_blocks WHERE uid = ?1 AND delete_candidate = 1",
                    values![uid],
                )?;
            }
            Ok(())
        })
    }

    /// The fates of the first `limit` entries after `after`, in byte order, in a cleanup. `before` is as in
    /// [`Metadata::take_delete_candidates`]. Changes nothing.
    pub fn deletable(
        &mut self,
        after: Option<&BlobUid>,
        before: i64,
        limit: usize,
    ) -> Result<Vec<Deletable>> {
        self.read("looking at deletable blobs", |db| {
            let sql = "SELECT uid, max(coalesce(size, 0)), max(time), max(delete_candidate),
                    EXISTS (SELECT 1 FROM blobs b JOIN block_map m ON m.blob_id = b.id WHERE b.uid = d.uid)
                 FROM deleted_blocks d WHERE uid > ?1 AND uid <> '' GROUP BY uid ORDER BY uid LIMIT ?2";
            db.all(sql, values![behind(after), limit], |row| {
                let (newest, doomed, named) = (row.int(2)?, row.flag(3)?, row.flag(4)?);
                let fate = match (doomed, named) {
                    (true, _) => Fate::Goes,
                    (false, _) if newest >= before => Fate::Waits,
                    (false, true) => Fate::InUse,
                    (false, false) => Fate::Goes,
                };
                Ok(Deletable { uid: row.text(0)?.into(), size: row.size(1)?, time: newest, fate })
            })
        })
    }

    /// Those of `uids` that no block names. Changes nothing. Call [`Metadata::without_row`] before data is deleted.
    pub fn unnamed(&mut self, uids: &[BlobUid]) -> Result<Vec<BlobUid>> {
        self.read("looking for unnamed blobs", |db| {
            let is_named =
                "SELECT EXISTS (SELECT 1 FROM blobs b JOIN block_map m ON m.blob_id = b.id WHERE b.uid = ?1)";
            those_without(db, uids, is_named)
        })
    }

    /// Drops the rows of all blobs that no block names. The caller must have exclusive use of the installation.
    pub fn drop_unnamed_blobs(&mut self) -> Result<u64> {
        self.write("dropping rows of unused blobs", Work::Small, |db| {
            db.execute(
                "DELETE FROM blobs WHERE id > 0 AND NOT EXISTS (SELECT 1 FROM block_map WHERE blob_id = blobs.id)",
                &[],
            )
        })
    }

    /// Those of `uids` that have no row in `blobs`.
    pub fn without_row(&mut self, uids: &[BlobUid]) -> Result<Vec<BlobUid>> {
        self.write("looking up blobs", Work::Small, |db| {
            // This is a writing transaction, although it writes nothing. The caller deletes the data of these blobs,
            // and a process that was declared dead must not do that.
            those_without(db, uids, "SELECT EXISTS (SELECT 1 FROM blobs WHERE uid = ?1)")
        })
    }
}

/// Those of `uids` for which the statement `exists` returns 0. Its parameter is the uid.
fn those_without(db: &mut dyn Db, uids: &[BlobUid], exists: &str) -> Fallible<Vec<BlobUid>> {
    let mut without = Vec::new();
    for uid in uids {
        if db.number(exists, values![uid])? == 0 {
            without.push(uid.clone());
        }
    }
    Ok(without)
}

/// Deletes the rows of `block_map` that meet `condition`. Lists those of their uids that no row names any more in
/// `deleted_blocks`. Returns the number of rows.
pub(super) fn list_unnamed(
    db: &mut dyn Db,
    condition: &str,
    parameters: &[Value],
    now: i64,
) -> Fallible<u64> {
    // All statements work in the order of a key. Otherwise they would read and write the same pages again and again.
    let join = db.dialect().join;
    db.batch(db.dialect().temporary)?;
    db.execute(
        &format!(
            "INSERT INTO gone SELECT DISTINCT blob_id FROM block_map WHERE {condition} AND blob_id > 0
             ORDER BY blob_id"
        ),
        parameters,
    )?;
    let rows = db.execute(&format!("DELETE FROM block_map WHERE {condition}"), parameters)?;
    db.execute(
        &format!(
            "INSERT INTO unnamed
             SELECT b.uid, b.size FROM gone {join} blobs b ON b.id = gone.id
             WHERE b.uid <> '' AND NOT EXISTS (SELECT 1 FROM block_map WHERE blob_id = gone.id) ORDER BY b.uid
             ON CONFLICT DO NOTHING"
        ),
        &[],
    )?;
    // Compare uids, not rows, because two rows may share the data.
    db.execute(
        "DELETE FROM unnamed WHERE EXISTS
           (SELECT 1 FROM blobs b JOIN block_map m ON m.blob_id = b.id WHERE b.uid = unnamed.uid)",
        &[],
    )?;
    db.execute("UPDATE deleted_blocks SET time = ?1 WHERE uid IN (SELECT uid FROM unnamed)", values![now])?;
    db.execute(
        "INSERT INTO deleted_blocks (uid, size, delete_candidate, time) SELECT uid, size, 0, ?1 FROM unnamed
         WHERE NOT EXISTS (SELECT 1 FROM deleted_blocks d WHERE d.uid = unnamed.uid) ORDER BY uid",
        values![now],
    )?;
    db.batch(db.dialect().temporary_end)?;
    Ok(rows)
}

/// The text after which the names after `after` come; empty for all names.
fn behind(after: Option<&BlobUid>) -> &str {
    after.map_or("", BlobUid::as_str)
}
