//! Versions whose copies in the store are due, and what such a copy has.
//!
//! Triggers list versions that change, so that changes by 2.13 count too. Only a change of the blocks of a complete
//! version is listed by the verb that makes it ([`make_due`]).

use super::usage::{RUN, past_run};
use super::{catalogue, origins};
use crate::copies::{BlockMap, CopiedRun, RowSum};
use crate::meta::sql::{Db, Fallible, Fault, Row, Value, Work, values};
use crate::meta::{DueCopy, Metadata, PastRun, SchemaState, Seal, SummedBlob, VersionContent};
use crate::types::block_set::BlockSet;
use crate::types::error::Result;
use crate::types::keys::BlobId;
use crate::types::reason::because;
use crate::types::uid::VersionUid;
use crate::types::version::Version;
use std::collections::{HashMap, HashSet};

impl Metadata {
    /// The highest token of a due copy; every later change of a version gets a higher one. `None` if the database has no
    /// tables for copies yet.
    pub fn last_due(&mut self) -> Result<Option<i64>> {
        match self.state()? {
            SchemaState::Current => self.read("looking for due copies", |db| {
                Ok(Some(db.number("SELECT coalesce(max(token), 0) FROM copies_due", &[])?))
            }),
            _ => Ok(None),
        }
    }

    /// The first `limit` due copies with a token above `after`, by token.
    pub fn due_copies(&mut self, after: i64, limit: usize) -> Result<Vec<DueCopy>> {
        self.read("listing due copies", |db| {
            let sql = "SELECT token, version_uid FROM copies_due WHERE token > ?1 ORDER BY token LIMIT ?2";
            db.all(sql, values![after, limit], |row| {
                Ok(DueCopy { token: row.int(0)?, uid: row.text(1)?.into() })
            })
        })
    }

    /// Lists the copy of a version as due, unless it is, and returns the entry. Call it before the copy is written, so
    /// that a crash in between leaves the entry.
    pub fn expect_copy(&mut self, uid: &VersionUid) -> Result<DueCopy> {
        self.write("listing a due copy", Work::Small, |db| {
            db.execute(
                "INSERT INTO copies_due (version_uid) VALUES (?1) ON CONFLICT DO NOTHING",
                values![uid],
            )?;
            let token = db.number("SELECT token FROM copies_due WHERE version_uid = ?1", values![uid])?;
            Ok(DueCopy { token, uid: uid.clone() })
        })
    }

    /// The uids of all versions that may have a copy: those that there are, and those that were removed while the copy was
    /// not deleted yet.
    pub fn uids_with_copies(&mut self) -> Result<HashSet<String>> {
        self.read("listing versions", |db| {
            let sql = "SELECT uid FROM versions UNION SELECT version_uid FROM copies_due";
            Ok(db.all(sql, &[], |row| row.text(0))?.into_iter().collect())
        })
    }

    /// Takes an entry from the list, as the copy is up to date now. Returns `false` if the version has changed since the
    /// entry was read: then it stays.
    pub fn settle_copy(&mut self, due: &DueCopy) -> Result<bool> {
        self.write("settling a due copy", Work::Small, |db| settle(db, due))
    }

    /// Lists the copies of all versions as due, and forgets all lists of blobs: nothing in the store can be relied on.
    pub fn forget_copies(&mut self) -> Result<()> {
        self.write("listing all copies as due", Work::Small, forget_all)
    }

    /// What the copy of a version has. Read the entry of a due copy before: it shows whether the version has changed
    /// while it was read. `None` if there is no such version.
    pub fn version_content(&mut self, uid: &VersionUid) -> Result<Option<VersionContent>> {
        self.read("reading a version", |db| content(db, uid))
    }

    /// Whether the copy of a version is due. A database without tables for copies has none, so that all are due.
    pub fn is_copy_due(&mut self, uid: &VersionUid) -> Result<bool> {
        if self.state()? != SchemaState::Current {
            return Ok(true);
        }
        self.read("looking for a due copy", |db| {
            let sql = "SELECT count(*) FROM copies_due WHERE version_uid = ?1";
            Ok(db.number(sql, values![uid])? > 0)
        })
    }

    /// The sum of all rows of a version that name a blob, with this key.
    pub fn row_sum(&mut self, version: &Version, key: &[u8; 32]) -> Result<[u8; 32]> {
        Ok(self.seal_of_rows(version, key, &BlockSet::default())?.sum)
    }

    /// The sum of all rows of a version that name a blob, with this key, and whether all blobs are encrypted, those of the
    /// blocks `except` aside.
    pub fn seal_of_rows(&mut self, version: &Version, key: &[u8; 32], except: &BlockSet) -> Result<Seal> {
        self.read("adding up rows", |db| {
            let sql = format!(
                "SELECT m.block_id, {SUMMED} FROM block_map m JOIN blobs b ON b.id = m.blob_id
                 WHERE m.version_id = ?1 AND m.block_id >= 0 AND m.block_id < ?2 AND m.blob_id > 0"
            );
            let (mut sum, mut encrypted) = (RowSum::new(key), true);
            db.each(&sql, values![version.key, version.size], &mut |row| {
                let (block, blob) = (row.count(0)?, summed(row, 1)?);
                encrypted &= blob.enc_version != 0 || except.contains(block);
                sum.add(blob.at(block));
                Ok(())
            })?;
            Ok(Seal { sum: sum.bytes(), encrypted })
        })
    }

    /// What counts of the blobs with these row keys. Blobs without a row are left out.
    pub fn summed_blobs(&mut self, keys: &BlockSet) -> Result<HashMap<BlobId, SummedBlob>> {
        self.read("reading blobs", |db| {
            let sql = format!("SELECT b.id, {SUMMED} FROM blobs b WHERE b.id >= ?1 AND b.id < ?2");
            let mut found = HashMap::new();
            for range in keys.ranges() {
                db.each(&sql, values![range.start, range.end], &mut |row| {
                    found.insert(BlobId(row.int(0)?), summed(row, 1)?);
                    Ok(())
                })?;
            }
            Ok(found)
        })
    }
}

/// The columns of a [`SummedBlob`].
const SUMMED: &str = "b.uid, b.checksum, b.size, b.enc_version";

/// Reads [`SUMMED`] from column `first` on. A damaged value is taken as lists of blobs take it.
fn summed(row: &dyn Row, first: usize) -> Fallible<SummedBlob> {
    Ok(SummedBlob {
        uid: row.opt_text(first)?.unwrap_or_default(),
        checksum: row.filled(first + 1)?,
        size: row.int(first + 2)?,
        enc_version: u32::try_from(row.int(first + 3)?).unwrap_or(u32::MAX),
    })
}

/// Takes an entry from the list, unless it has another token by now.
pub(super) fn settle(db: &mut dyn Db, due: &DueCopy) -> Fallible<bool> {
    let sql = "DELETE FROM copies_due WHERE version_uid = ?1 AND token = ?2";
    Ok(db.execute(sql, values![&due.uid, due.token])? > 0)
}

/// Lists the copies of the versions that meet `condition` as due, with new tokens.
pub(super) fn make_due(db: &mut dyn Db, condition: &str, parameters: &[Value]) -> Fallible<()> {
    let (begin, end) = db.dialect().renewing;
    let sql = format!(
        "{begin} INTO copies_due (version_uid) SELECT uid FROM versions WHERE {condition} ORDER BY uid {end}"
    );
    db.execute(&sql, parameters)?;
    Ok(())
}

pub(super) fn forget_all(db: &mut dyn Db) -> Fallible<()> {
    make_due(db, "1 = 1", &[])?;
    db.execute("DELETE FROM index_runs", &[])?;
    db.execute("UPDATE index_objects SET live = 0", &[])?;
    Ok(())
}

fn content(db: &mut dyn Db, uid: &VersionUid) -> Fallible<Option<VersionContent>> {
    let Some(version) = catalogue::version(db, uid)? else { return Ok(None) };
    let origin = origins::of(db, uid)?;
    let sql = format!("SELECT {RUN} FROM stats WHERE version_uid = ?1 ORDER BY id");
    let runs = db.all(&sql, values![uid], |row| past_run(row).map(copied))?;
    let mut blocks = BlockMap::default();
    let sql = "SELECT block_id, blob_id FROM block_map
               WHERE version_id = ?1 AND block_id >= 0 AND block_id < ?2 ORDER BY block_id";
    db.each(sql, values![version.key, version.size], &mut |row| {
        let pushed = blocks.push(row.size(0)?, BlobId(row.int(1)?));
        pushed.map_err(|error| Fault::Value(because(format!("version {uid}"), error)))
    })?;
    let sql = format!(
        "SELECT DISTINCT b.id FROM blobs b {} block_map m ON m.blob_id = b.id
         WHERE b.valid = 0 AND m.version_id = ?1",
        db.dialect().join
    );
    let bad = db.all(&sql, values![version.key], |row| row.int(0).map(BlobId))?.into_iter().collect();
    Ok(Some(VersionContent { version, origin, runs, blocks, bad }))
}

fn copied(run: PastRun) -> CopiedRun {
    let PastRun { date, name, size, statistics, duration, .. } = run;
    CopiedRun { date, name, size, statistics, duration }
}
