//! Cheap questions about the whole database, for an overview. Their cost does not grow with the number of blocks.

use super::usage::{RUN, past_run};
use crate::meta::sql::{Fallible, Value, values};
use crate::meta::{BadBlobs, Deletions, Metadata, PastRun};
use crate::types::error::Result;
use crate::types::keys::{BlobId, VersionKey};
use crate::types::time::Timestamp;
use crate::types::uid::VersionUid;
use crate::types::version::Count;

/// Number of uids in one statement.
const AT_ONCE: usize = 200;

impl Metadata {
    /// The past runs of these versions, in no particular order.
    pub fn runs_of(&mut self, versions: &[&VersionUid]) -> Result<Vec<PastRun>> {
        self.read("reading statistics", |db| {
            let mut runs = Vec::new();
            for uids in versions.chunks(AT_ONCE) {
                let places: Vec<String> = (1..=uids.len()).map(|n| format!("?{n}")).collect();
                let sql = format!("SELECT {RUN} FROM stats WHERE version_uid IN ({})", places.join(", "));
                let uids: Vec<Value> = uids.iter().map(|uid| Value::from(*uid)).collect();
                runs.extend(db.all(&sql, &uids, past_run)?);
            }
            Ok(runs)
        })
    }

    /// The highest key of a blob; `None` if there has never been a row in `blobs`, not even one of a hole. There are at
    /// most as many blobs.
    pub fn highest_blob(&mut self) -> Result<Option<BlobId>> {
        self.read("looking up the newest blob", |db| {
            let highest = db.first("SELECT max(id) FROM blobs", &[], |row| row.opt_int(0))?;
            Ok(highest.flatten().map(BlobId))
        })
    }

    /// The blobs marked as bad that blocks name, and the versions of these blocks. Looks at no more than `limit` bad
    /// blobs.
    pub fn bad_blobs(&mut self, limit: usize) -> Result<BadBlobs> {
        self.read("looking for bad blobs", |db| {
            let join = db.dialect().join;
            let sql = format!(
                "SELECT DISTINCT b.id, m.version_id FROM (SELECT id FROM blobs WHERE valid = 0 LIMIT {limit}) b
                 {join} block_map m ON m.blob_id = b.id ORDER BY 1"
            );
            let mut bad = BadBlobs::default();
            let mut last = None;
            db.each(&sql, &[], &mut |row| {
                let blob = row.int(0)?;
                if last.replace(blob) != Some(blob) {
                    bad.number += 1;
                }
                bad.versions.insert(VersionKey(row.int(1)?));
                Ok(())
            })?;
            Ok(bad)
        })
    }

    /// The entries of `deleted_blocks`: those older than `before` (Unix seconds), which a cleanup deletes, and the others.
    /// Some of the blobs may be in use again.
    pub fn deletions(&mut self, before: i64) -> Result<Deletions> {
        self.read("adding up deletions", |db| {
            let sums = |condition: &str| {
                format!(
                    "SELECT count(*), CAST(coalesce(sum(size), 0) AS BIGINT), max(time) FROM deleted_blocks
                     WHERE {condition}"
                )
            };
            let count = |row: &dyn crate::meta::sql::Row| -> Fallible<(Count, Option<i64>)> {
                Ok((Count { blocks: row.count(0)?, bytes: row.count(1)? }, row.opt_int(2)?))
            };
            let goes = sums("time < ?1 OR delete_candidate = 1");
            let waits = sums("time >= ?1 AND delete_candidate = 0");
            let (ready, _) = db.first(&goes, values![before], count)?.unwrap_or_default();
            let (waiting, newest) = db.first(&waits, values![before], count)?.unwrap_or_default();
            Ok(Deletions { ready, waiting, newest: newest.map(Timestamp::from_unix) })
        })
    }
}
