//! Which lists in the store hold the copies of which blobs.

use crate::copies::{CopiedBlob, CopiedKey};
use crate::meta::sql::{Db, Fallible, Fault, Row, Work, values};
use crate::meta::verbs::read;
use crate::meta::{IndexRow, Metadata};
use crate::types::block_set::BlockSet;
use crate::types::checksum::Checksum;
use crate::types::error::{Error, Result};
use crate::types::keys::BlobId;
use crate::types::time::Timestamp;
use crate::types::uid::BlobUid;

impl Metadata {
    /// The highest row key that the database has ever given to a blob.
    pub fn last_blob(&mut self) -> Result<BlobId> {
        self.read("looking for the newest blob", |db| db.last_id("blobs").map(BlobId))
    }

    /// The first `limit` blobs with a row key above `after`, and not above `until`, of which no list has a copy. Their keys
    /// are as the rows have them.
    pub fn uncovered_blobs(&mut self, after: BlobId, until: BlobId, limit: usize) -> Result<Vec<CopiedBlob>> {
        self.read("reading blobs without a copy", |db| uncovered(db, after, until, limit))
    }

    /// The number of blobs that valid versions name and of which no list has a copy.
    pub fn uncovered_count(&mut self) -> Result<u64> {
        self.read("counting blobs without a copy", |db| {
            const LAST: u64 = i64::MAX as u64;
            let gaps = BlockSet::from(1..LAST).subtract(&covered(db, 1, LAST)?);
            let sql = format!(
                "SELECT count(*) FROM blobs b WHERE b.id >= ?1 AND b.id < ?2 AND EXISTS
                   (SELECT 1 FROM block_map m {} versions v ON v.id = m.version_id
                    WHERE m.blob_id = b.id AND v.valid = 1)",
                db.dialect().join
            );
            let mut count = 0;
            for gap in gaps.ranges() {
                count += db.number(&sql, values![gap.start, gap.end])?.unsigned_abs();
            }
            Ok(count)
        })
    }

    /// Announces an object with a list of blobs, which is about to be written. Until it is recorded, no blob needs it.
    pub fn begin_index(&mut self, name: &str) -> Result<()> {
        self.write("announcing a list of blobs", Work::Small, |db| {
            db.execute("INSERT INTO index_objects (name, total, live) VALUES (?1, 0, 0)", values![name])?;
            Ok(())
        })
    }

    /// Records that an object has copies of the blobs `keys`, apart from blobs that another object has already. Returns the
    /// number of blobs that need the object.
    pub fn cover(&mut self, name: &str, keys: &[BlobId]) -> Result<u64> {
        self.write("recording a list of blobs", Work::Small, |db| cover(db, name, keys))
    }

    /// The objects that no blob needs. Their data can be deleted.
    pub fn unneeded_indexes(&mut self) -> Result<Vec<String>> {
        self.read("looking for lists that are not needed", |db| {
            db.all("SELECT name FROM index_objects WHERE live <= 0 ORDER BY name", &[], |row| row.text(0))
        })
    }

    /// The objects of whose blobs less than half need them, by name, which is by row key. Objects that no blob needs are
    /// left out.
    pub fn sparse_indexes(&mut self) -> Result<Vec<IndexRow>> {
        self.read("looking for lists with gaps", |db| {
            indexes(db, "WHERE live > 0 AND live < (total + 1) / 2")
        })
    }

    /// All objects with lists of blobs, by name.
    pub fn indexes(&mut self) -> Result<Vec<IndexRow>> {
        self.read("reading the lists of blobs", |db| indexes(db, ""))
    }

    /// The blobs that need one of these objects, by row key. Their keys are as the rows have them.
    pub fn blobs_of_indexes(&mut self, names: &[String]) -> Result<Vec<CopiedBlob>> {
        self.read("reading the blobs of a list", |db| {
            let mut blobs = Vec::new();
            for range in runs(db, names)?.ranges() {
                blobs.extend(blobs_in(db, range.start, range.end, usize::MAX)?);
            }
            Ok(blobs)
        })
    }

    /// Records that the object `name`, which was announced, has `total` blobs, among them all that need one of `old`. No
    /// blob needs these any more.
    pub fn replace_indexes(&mut self, name: &str, total: u64, old: &[String]) -> Result<()> {
        self.write("recording a list of blobs", Work::Small, |db| {
            db.alone_in_covering()?;
            let taken = runs(db, old)?;
            lose(db, old)?;
            record(db, name, total, &taken).map(drop)
        })
    }

    /// Records that these objects are lost. Their blobs have no copy from here on.
    pub fn lose_indexes(&mut self, names: &[String]) -> Result<()> {
        self.write("forgetting lost lists of blobs", Work::Small, |db| {
            db.alone_in_covering()?;
            lose(db, names)
        })
    }

    /// Forgets an object that was deleted.
    pub fn forget_index(&mut self, name: &str) -> Result<()> {
        self.write("forgetting a list of blobs", Work::Small, |db| {
            db.execute("DELETE FROM index_objects WHERE name = ?1 AND live <= 0", values![name])?;
            Ok(())
        })
    }
}

/// No blob needs these objects from here on.
fn lose(db: &mut dyn Db, names: &[String]) -> Fallible<()> {
    for name in names {
        db.execute("DELETE FROM index_runs WHERE object = ?1", values![name])?;
        db.execute("UPDATE index_objects SET live = 0 WHERE name = ?1", values![name])?;
    }
    Ok(())
}

fn indexes(db: &mut dyn Db, condition: &str) -> Fallible<Vec<IndexRow>> {
    let sql = format!("SELECT name, total, live FROM index_objects {condition} ORDER BY name");
    db.all(&sql, &[], |row| Ok(IndexRow { name: row.text(0)?, total: row.count(1)?, live: row.count(2)? }))
}

/// The row keys in the runs of some objects.
fn runs(db: &mut dyn Db, names: &[String]) -> Fallible<BlockSet> {
    let sql = "SELECT first_id, last_id + 1 FROM index_runs WHERE object = ?1";
    let mut found = Vec::new();
    for name in names {
        found.extend(db.all(sql, values![name], read::range)?);
    }
    found.sort_by_key(|range| range.start);
    Ok(found.into_iter().collect())
}

/// The row keys in the runs of all objects that are not outside of `first` to `last`.
fn covered(db: &mut dyn Db, first: u64, last: u64) -> Fallible<BlockSet> {
    let sql = "SELECT first_id, last_id + 1 FROM index_runs WHERE last_id >= ?1 AND first_id <= ?2 ORDER BY first_id";
    Ok(db.all(sql, values![first, last], read::range)?.into_iter().collect())
}

fn uncovered(db: &mut dyn Db, after: BlobId, until: BlobId, limit: usize) -> Fallible<Vec<CopiedBlob>> {
    let first = u64::try_from(after.0).unwrap_or(0) + 1;
    let last = u64::try_from(until.0).unwrap_or(0);
    let mut blobs = Vec::new();
    if first > last {
        return Ok(blobs);
    }
    let gaps = BlockSet::from(first..last + 1).subtract(&covered(db, first, last)?);
    for gap in gaps.ranges() {
        blobs.extend(blobs_in(db, gap.start, gap.end, limit - blobs.len())?);
        if blobs.len() >= limit {
            break;
        }
    }
    Ok(blobs)
}

/// The first `limit` blobs with row keys from `start` up to, but not including, `end`.
pub(super) fn blobs_in(db: &mut dyn Db, start: u64, end: u64, limit: usize) -> Fallible<Vec<CopiedBlob>> {
    let sql = "SELECT id, uid, checksum, size, enc_version, enc_envkey, enc_nonce, date FROM blobs
               WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT ?3";
    db.all(sql, values![start, end, limit], from_row)
}

fn from_row(row: &dyn Row) -> Fallible<CopiedBlob> {
    let encryption = read::encryption(row, 4)?;
    Ok(CopiedBlob {
        id: BlobId(row.int(0)?),
        // Damage of one row must not keep others from being copied.
        uid: BlobUid::from(row.opt_text(1)?.unwrap_or_default()),
        checksum: row.filled(2)?.map(Checksum::from),
        size: row.int(3)?,
        enc_version: encryption.version,
        key: encryption.envkey.map_or(CopiedKey::None, CopiedKey::Wrapped),
        nonce: encryption.nonce,
        date: row.time(7).unwrap_or_else(|_| Timestamp::from_unix(0)),
    })
}

pub(super) fn cover(db: &mut dyn Db, name: &str, keys: &[BlobId]) -> Fallible<u64> {
    db.alone_in_covering()?;
    let keys: BlockSet = keys.iter().filter_map(|key| u64::try_from(key.0).ok()).collect();
    let (Some(first), Some(last)) = (keys.ranges().first(), keys.ranges().last()) else { return Ok(0) };
    let new = keys.subtract(&covered(db, first.start, last.end - 1)?);
    record(db, name, keys.count(), &new)
}

/// Adds runs to an object that was announced. Returns how many of these blobs have a row.
fn record(db: &mut dyn Db, name: &str, total: u64, keys: &BlockSet) -> Fallible<u64> {
    let mut live = 0;
    for range in keys.ranges() {
        db.execute(
            "INSERT INTO index_runs (first_id, last_id, object) VALUES (?1, ?2, ?3)",
            values![range.start, range.end - 1, name],
        )?;
        let sql = "SELECT count(*) FROM blobs WHERE id >= ?1 AND id < ?2";
        live += db.number(sql, values![range.start, range.end])?;
    }
    let sql = "UPDATE index_objects SET total = ?1, live = ?2 WHERE name = ?3";
    if db.execute(sql, values![total, live, name])? == 0 {
        let text = format!("the list of blobs {name} was forgotten while it was written");
        return Err(Fault::Because(Error::internal(text)));
    }
    Ok(live.unsigned_abs())
}
