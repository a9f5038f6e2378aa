//! Questions about the soundness of the whole database. None of these verbs changes anything.

use super::read::{self, OF_BLOB};
use crate::meta::sql::{Fallible, Row, Value, values};
use crate::meta::{Dangling, MapSummary, Metadata, NamedBlob};
use crate::types::block::Blob;
use crate::types::error::Result;
use crate::types::keys::{BlobId, VersionKey};
use crate::types::time::Timestamp;
use crate::types::uid::{BlobUid, VersionUid};
use crate::types::version::Count;

impl Metadata {
    /// Checks the structure of the database file. Returns up to `limit` complaints of the engine. A server checks its
    /// own files, so there it returns none.
    pub fn integrity(&mut self, limit: usize) -> Result<Vec<String>> {
        self.read("checking the structure", |db| db.integrity(limit))
    }

    /// The time of the server's clock; `None` if the database is a file.
    pub fn server_clock(&mut self) -> Result<Option<Timestamp>> {
        self.read("asking for the time", |db| db.clock())
    }

    /// The rows of each version, in the order of the versions' keys. Leaves out versions without rows.
    pub fn map_summaries(&mut self) -> Result<Vec<MapSummary>> {
        self.read("counting blocks", |db| {
            // Groups first, so that the table is read once, in the order of its key.
            let sql = "SELECT m.version_id, m.blocks, m.lowest, m.highest, v.uid FROM
                   (SELECT version_id, count(*) AS blocks, min(block_id) AS lowest, max(block_id) AS highest
                    FROM block_map GROUP BY version_id) AS m
                 LEFT JOIN versions v ON v.id = m.version_id ORDER BY 1";
            db.all(sql, &[], |row| {
                Ok(MapSummary {
                    key: VersionKey(row.int(0)?),
                    rows: row.size(1)?,
                    lowest: row.int(2)?,
                    highest: row.int(3)?,
                    uid: row.opt_text(4)?.map(VersionUid::from),
                })
            })
        })
    }

    /// Rows of `block_map` whose blob or hole has no row in `blobs`: their number, and the first `limit`.
    pub fn dangling(&mut self, limit: usize) -> Result<(u64, Vec<Dangling>)> {
        self.read("looking for blocks without blobs", |db| {
            let of = "FROM block_map m WHERE NOT EXISTS (SELECT 1 FROM blobs b WHERE b.id = m.blob_id)";
            let number = db.number(&format!("SELECT count(*) {of}"), &[])?.unsigned_abs();
            if number == 0 {
                return Ok((0, Vec::new()));
            }
            let sql = format!(
                "SELECT (SELECT uid FROM versions v WHERE v.id = m.version_id), m.block_id {of}
                 ORDER BY m.version_id, m.block_id LIMIT ?1"
            );
            let first = db.all(&sql, values![limit], |row| {
                Ok(Dangling { version: row.opt_text(0)?.map(VersionUid::from), block: row.int(1)? })
            })?;
            Ok((number, first))
        })
    }

    /// The number of tags whose version does not exist.
    pub fn lone_tags(&mut self) -> Result<u64> {
        self.read("looking for tags without versions", |db| {
            let sql = "SELECT count(*) FROM tags t WHERE NOT EXISTS (SELECT 1 FROM versions v WHERE v.uid = t.version_uid)";
            Ok(db.number(sql, &[])?.unsigned_abs())
        })
    }

    /// The number of stored blobs that blocks name although the row of the blob has no uid.
    pub fn nameless_blobs(&mut self) -> Result<u64> {
        self.read("looking for blobs without names", |db| {
            // Two look-ups in the index of uids.
            let named = "id > 0 AND EXISTS (SELECT 1 FROM block_map WHERE blob_id = blobs.id)";
            let sql = format!(
                "SELECT (SELECT count(*) FROM blobs WHERE uid IS NULL AND {named})
                      + (SELECT count(*) FROM blobs WHERE uid = '' AND {named})"
            );
            Ok(db.number(&sql, &[])?.unsigned_abs())
        })
    }

    /// The number of rows for blobs, and the sum of their plain sizes in bytes.
    pub fn blob_count(&mut self) -> Result<Count> {
        self.read("counting blobs", |db| {
            let sql = "SELECT count(*), CAST(coalesce(sum(size), 0) AS BIGINT) FROM blobs WHERE id > 0";
            let count =
                db.first(sql, &[], |row| Ok(Count { blocks: row.count(0)?, bytes: row.count(1)? }))?;
            Ok(count.unwrap_or_default())
        })
    }

    /// The next `limit` rows for blobs, in the byte order of their uids: those behind the row `after`, from the uid `from`
    /// on and before the uid `to`. Rows without a uid are left out.
    pub fn blobs_by_uid(
        &mut self,
        after: Option<&NamedBlob>,
        from: &str,
        to: Option<&str>,
        limit: usize,
    ) -> Result<Vec<NamedBlob>> {
        self.read("listing blobs", |db| {
            let (uid, id) = after.map_or((from, 0), |after| (after.uid.as_str(), after.id.0));
            let mut parameters: Vec<Value> = vec![uid.into(), id.into(), limit.into()];
            parameters.extend(to.map(Value::from));
            let end = if to.is_some() { "AND b.uid < ?4" } else { "" };
            let sql = format!(
                "SELECT b.id, b.uid, b.size, b.enc_version, EXISTS (SELECT 1 FROM block_map m WHERE m.blob_id = b.id)
                 FROM blobs b WHERE b.uid >= ?1 AND (b.uid > ?1 OR b.id > ?2) AND b.uid <> '' AND b.id > 0 {end}
                 ORDER BY b.uid, b.id LIMIT ?3"
            );
            db.all(&sql, &parameters, named_blob)
        })
    }

    /// The next `limit` blobs that blocks name and that have a uid, in the order of their rows, behind the row `after`.
    pub fn blobs_in_use(&mut self, after: BlobId, limit: usize) -> Result<Vec<Blob>> {
        self.read("listing blobs", |db| {
            let sql = format!(
                "SELECT 0, {OF_BLOB} FROM blobs b
                 WHERE b.id > ?1 AND b.id > 0 AND b.uid <> ''
                   AND EXISTS (SELECT 1 FROM block_map m WHERE m.blob_id = b.id)
                 ORDER BY b.id LIMIT ?2"
            );
            let rows = db.all(&sql, values![after, limit], read::from_row)?;
            Ok(rows.into_iter().filter_map(|row| row.blob).collect())
        })
    }

    /// Those of `uids` that have neither a row for a blob nor an entry in the list of deletable blobs.
    pub fn unknown_to_all(&mut self, uids: &[BlobUid]) -> Result<Vec<BlobUid>> {
        self.read("looking up blobs", |db| {
            let mut unknown = Vec::new();
            for uid in uids {
                let sql = "SELECT (SELECT count(*) FROM blobs WHERE uid = ?1)
                                + (SELECT count(*) FROM deleted_blocks WHERE uid = ?1)";
                if db.number(sql, values![uid])? == 0 {
                    unknown.push(uid.clone());
                }
            }
            Ok(unknown)
        })
    }

    /// Some versions that name the blob: at most `limit`.
    pub fn versions_naming(&mut self, uid: &BlobUid, limit: usize) -> Result<Vec<VersionUid>> {
        self.read("looking up versions of a blob", |db| {
            let join = db.dialect().join;
            let sql = format!(
                "SELECT DISTINCT v.uid FROM blobs b {join} block_map m ON m.blob_id = b.id
                 JOIN versions v ON v.id = m.version_id WHERE b.uid = ?1 ORDER BY 1 LIMIT ?2"
            );
            db.all(&sql, values![uid, limit], |row| Ok(row.text(0)?.into()))
        })
    }
}

fn named_blob(row: &dyn Row) -> Fallible<NamedBlob> {
    Ok(NamedBlob {
        id: BlobId(row.int(0)?),
        uid: row.text(1)?.into(),
        size: row.int(2)?,
        // A damaged number becomes one that no release knows.
        enc_version: u32::try_from(row.int(3)?).unwrap_or(u32::MAX),
        in_use: row.flag(4)?,
    })
}
