//! Fills an empty database from copies of its metadata.
//!
//! Everything happens in one transaction: a process that is killed leaves an empty database.

use super::{catalogue, copies, covering, origins};
use crate::copies::{BlockMap, CopiedBlob, CopiedRun, CopiedVersion, SummedRow};
use crate::meta::sql::{Db, Fallible, Fault, Field, Work, values};
use crate::meta::{Metadata, PastRun};
use crate::types::block_set::BlockSet;
use crate::types::error::{Error, Result};
use crate::types::keys::{BlobId, VersionKey};
use crate::types::time::Timestamp;
use crate::types::uid::{BlobUid, VersionUid};
use std::ops::Range;

/// Number of rows that are inserted at once.
const BATCH: usize = 5000;
/// The tables that are empty in a new database. Holes have rows in `blobs` before anything names them.
const EMPTY: [&str; 7] = [
    "versions",
    "tags",
    "stats",
    "deleted_blocks",
    "blobs WHERE id > 0",
    "block_map",
    "stores WHERE name = 'main'",
];

/// A blob to be inserted.
#[derive(Clone, Debug)]
pub struct NewBlobRow<'b> {
    /// The copy of its row.
    pub blob: &'b CopiedBlob,
    /// The data key, as the configured master key wraps it.
    pub envkey: Option<String>,
    /// Whether the blob is good, as far as is known.
    pub valid: bool,
}

/// An empty database that is being filled. It becomes visible to others when everything is there.
pub struct Filling<'d> {
    db: &'d mut dyn Db,
}

/// Why the filling of a database is given up. Nothing is kept then.
#[derive(Debug)]
pub struct Halt(Fault);

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Halt(Fault::Because(error))
    }
}

impl From<Fault> for Halt {
    fn from(fault: Fault) -> Self {
        Halt(fault)
    }
}

/// The result of a part of the filling.
pub type Filled<T> = std::result::Result<T, Halt>;

impl Metadata {
    /// Checks that the database has no versions, blobs or anything else that belongs to an installation.
    ///
    /// # Errors
    /// [`Error::Refused`]: it has.
    pub fn refuse_rows(&mut self) -> Result<()> {
        let place = self.location().to_owned();
        self.read("looking for rows", |db| refuse_rows(db, &place))
    }

    /// The row keys of all blobs.
    pub fn blob_keys(&mut self) -> Result<BlockSet> {
        self.read("reading the keys of blobs", |db| {
            let mut ranges: Vec<Range<u64>> = Vec::new();
            db.each("SELECT id FROM blobs WHERE id > 0 ORDER BY id", &[], &mut |row| {
                let id = row.size(0)?;
                match ranges.last_mut().filter(|last| last.end == id) {
                    Some(last) => last.end += 1,
                    None => ranges.push(id..id + 1),
                }
                Ok(())
            })?;
            Ok(ranges.into_iter().collect())
        })
    }

    /// The blobs with these row keys, by row key. Their keys are as the rows have them.
    pub fn copied_blobs(&mut self, keys: &BlockSet) -> Result<Vec<CopiedBlob>> {
        self.read("reading blobs", |db| {
            let mut blobs = Vec::new();
            for range in keys.ranges() {
                blobs.extend(covering::blobs_in(db, range.start, range.end, usize::MAX)?);
            }
            Ok(blobs)
        })
    }

    /// Fills the empty database by `fill` in one transaction. After a lost connection, `fill` is called once more, and
    /// has to begin anew.
    ///
    /// # Errors
    /// [`Error::Refused`]: the database is not empty. The errors of `fill`. Nothing is changed then.
    pub fn rebuild<T>(&mut self, mut fill: impl FnMut(&mut Filling<'_>) -> Filled<T>) -> Result<T> {
        let place = self.location().to_owned();
        self.write("rebuilding the database", Work::Whole, |db| {
            refuse_rows(db, &place)?;
            // What remains of an attempt to make a store.
            db.execute("DELETE FROM stores", &[])?;
            // Rows come by version and by row key, and are anywhere in these indexes. To sort them once is much faster.
            for (index, _) in INDEXES {
                db.batch(&format!("DROP INDEX {index}"))?;
            }
            db.batch(&format!("CREATE TEMPORARY TABLE coming AS SELECT {BLOBS} FROM blobs LIMIT 0"))?;
            let filled = fill(&mut Filling { db }).map_err(|halt| halt.0)?;
            db.batch("DROP TABLE coming")?;
            Ok(filled)
        })
    }
}

/// The indexes that are made when the tables are full, and what they are on.
const INDEXES: [(&str, &str); 3] = [
    ("ix_block_map_blob", "block_map (blob_id)"),
    ("ix_blobs_uid", "blobs (uid)"),
    ("ix_blobs_checksum", "blobs (checksum)"),
];

/// The columns of `blobs`.
const BLOBS: &str = "id, uid, checksum, size, valid, enc_version, enc_envkey, enc_nonce, date";

fn refuse_rows(db: &mut dyn Db, place: &str) -> Fallible<()> {
    for table in EMPTY {
        if db.number(&format!("SELECT count(*) FROM (SELECT 1 FROM {table} LIMIT 1) AS any_row"), &[])? > 0 {
            let name = table.split(' ').next().unwrap_or(table);
            return Err(Fault::Because(Error::refused(format!(
                "The database {place} is not empty: it has rows in {name}. Nothing was changed. To rebuild it, move it \
                 away first, or configure an empty one ([MetaBackend] engine)."
            ))));
        }
    }
    Ok(())
}

impl Filling<'_> {
    /// Records the store that the blobs are in. Another process that does the same waits here, and then fails.
    ///
    /// # Errors
    /// Those of the database.
    pub fn store(&mut self, uuid: &str, envkey: Option<&str>) -> Filled<()> {
        let sql = "INSERT INTO stores (name, uuid, envkey) VALUES ('main', ?1, ?2)";
        self.db.execute(sql, values![uuid, envkey])?;
        Ok(())
    }

    /// Inserts blobs. Leaves out a blob whose row key or identity another one has. Returns the number of new rows.
    ///
    /// # Errors
    /// Those of the database.
    pub fn blobs(&mut self, blobs: &[NewBlobRow<'_>]) -> Filled<u64> {
        let columns: Vec<&str> = BLOBS.split(", ").collect();
        let mut inserted = 0;
        for batch in blobs.chunks(BATCH) {
            let rows: Vec<Vec<Field>> = batch.iter().map(blob_row).collect();
            self.db.load("coming", &columns, &rows)?;
            let sql = format!(
                "INSERT INTO blobs ({BLOBS}) SELECT {BLOBS} FROM coming WHERE id > 0 ORDER BY id ON CONFLICT DO NOTHING"
            );
            inserted += self.db.execute(&sql, &[])?;
            self.db.execute("DELETE FROM coming", &[])?;
        }
        Ok(inserted)
    }

    /// Which of the row keys in `ids` a blob has, ascending.
    ///
    /// # Errors
    /// Those of the database.
    pub fn blobs_among(&mut self, ids: Range<u64>) -> Filled<Vec<u64>> {
        let sql = "SELECT id FROM blobs WHERE id >= ?1 AND id < ?2 AND id > 0 ORDER BY id";
        Ok(self.db.all(sql, values![ids.start, ids.end], |row| row.size(0))?)
    }

    /// Records that the object `name` (without its folder) has copies of the blobs `keys`, apart from those that an earlier
    /// object has.
    ///
    /// # Errors
    /// Those of the database.
    pub fn list(&mut self, name: &str, keys: &[BlobId]) -> Filled<()> {
        self.db.execute("INSERT INTO index_objects (name, total, live) VALUES (?1, 0, 0)", values![name])?;
        covering::cover(self.db, name, keys)?;
        Ok(())
    }

    /// Inserts the row, the tags and the origin of a version, with its own row key or, if another version has that one,
    /// with another one. Returns the row key.
    ///
    /// # Errors
    /// Those of the database.
    pub fn version(&mut self, copied: &CopiedVersion) -> Filled<VersionKey> {
        let mut version = copied.version.clone();
        let taken = self.db.number("SELECT count(*) FROM versions WHERE id = ?1", values![version.key])?;
        if taken > 0 || version.key.0 < 1 {
            let next = self.db.number("SELECT coalesce(max(id), 0) + 1 FROM versions", &[])?;
            version.key = VersionKey(next.max(1));
        }
        catalogue::insert_version_as(self.db, Some(version.key), &version)?;
        if let Some(origin) = &copied.origin {
            origins::record(self.db, &version.uid, origin)?;
        }
        Ok(version.key)
    }

    /// Inserts the rows for the blocks of a version. All of their blobs exist, and those of holes are made.
    ///
    /// # Errors
    /// Those of the database.
    pub fn blocks(&mut self, version: VersionKey, blocks: &BlockMap) -> Filled<()> {
        let mut holes: Vec<BlobId> = blocks.extents().iter().map(|e| e.blob).filter(|id| id.0 <= 0).collect();
        holes.sort_unstable();
        holes.dedup();
        for hole in holes {
            super::hole(self.db, hole.0.unsigned_abs())?;
        }
        let mut rows = Vec::with_capacity(BATCH);
        for (block, blob) in blocks.blocks() {
            rows.push(vec![Field::Int(version.0), Field::Int(block as i64), Field::Int(blob.0)]);
            if rows.len() == BATCH {
                self.map(&rows)?;
                rows.clear();
            }
        }
        self.map(&rows)
    }

    fn map(&mut self, rows: &[Vec<Field>]) -> Filled<()> {
        Ok(self.db.load("block_map", &["version_id", "block_id", "blob_id"], rows)?)
    }

    /// Calls `visit` with each row of a version from block `blocks.start` up to `blocks.end` that is no hole.
    ///
    /// # Errors
    /// Those of the database.
    pub fn rows(
        &mut self,
        version: VersionKey,
        blocks: &Range<u64>,
        visit: &mut dyn FnMut(SummedRow<'_>),
    ) -> Filled<()> {
        let join = self.db.dialect().join;
        let sql = format!(
            "SELECT m.block_id, b.uid, b.checksum, b.size, b.enc_version
             FROM block_map m {join} blobs b ON b.id = m.blob_id
             WHERE m.version_id = ?1 AND m.block_id >= ?2 AND m.block_id < ?3 AND m.blob_id > 0"
        );
        let between = values![version, blocks.start, blocks.end];
        self.db.each(&sql, between, &mut |row| {
            let (uid, checksum) = (row.text(1)?, row.opt_text(2)?);
            visit(SummedRow {
                block: row.size(0)?,
                uid: &uid,
                checksum: checksum.as_deref(),
                size: row.int(3)?,
                enc_version: u32::try_from(row.int(4)?).unwrap_or(u32::MAX),
            });
            Ok(())
        })?;
        Ok(())
    }

    /// Marks a version as invalid. If bad blobs are the only reason, it becomes valid when they are good again.
    ///
    /// # Errors
    /// Those of the database.
    pub fn invalidate(&mut self, version: VersionKey, by_blobs_alone: bool) -> Filled<()> {
        self.db.execute("UPDATE versions SET valid = 0 WHERE id = ?1", values![version])?;
        if by_blobs_alone {
            let sql = "INSERT INTO invalidated (version_uid) SELECT uid FROM versions WHERE id = ?1";
            self.db.execute(sql, values![version])?;
        }
        Ok(())
    }

    /// Inserts a row of statistics.
    ///
    /// # Errors
    /// Those of the database.
    pub fn run(&mut self, version: &VersionUid, run: &CopiedRun) -> Filled<()> {
        let CopiedRun { date, name, size, statistics, duration } = run.clone();
        let past = PastRun { date, version_uid: version.clone(), name, size, statistics, duration };
        Ok(catalogue::insert_run(self.db, &past)?)
    }

    /// Lists blobs that no version names, to be deleted by a later cleanup.
    ///
    /// # Errors
    /// Those of the database.
    pub fn unnamed(&mut self, blobs: &[(&BlobUid, i64)], now: i64) -> Filled<()> {
        let row = |(uid, size): &(&BlobUid, i64)| {
            vec![Field::Text(uid.to_string()), Field::Int(*size), Field::Int(0), Field::Int(now)]
        };
        for batch in blobs.chunks(BATCH) {
            let rows: Vec<Vec<Field>> = batch.iter().map(row).collect();
            self.db.load("deleted_blocks", &["uid", "size", "delete_candidate", "time"], &rows)?;
        }
        Ok(())
    }

    /// Ends the filling. Only the copies of the versions `due` are due, and new versions and blobs get row keys above
    /// `last_version` and `last_blob`.
    ///
    /// # Errors
    /// Those of the database.
    pub fn finish(&mut self, last_version: VersionKey, last_blob: BlobId, due: &[VersionKey]) -> Filled<()> {
        for (index, on) in INDEXES {
            self.db.batch(&format!("CREATE INDEX {index} ON {on}"))?;
        }
        // Two rows of a blob may share its data, and it may stand in two lists.
        self.db.execute(
            "DELETE FROM deleted_blocks WHERE EXISTS (SELECT 1 FROM blobs b WHERE b.uid = deleted_blocks.uid)
                OR id NOT IN (SELECT min(id) FROM deleted_blocks GROUP BY uid)",
            &[],
        )?;
        // Triggers have listed all versions.
        self.db.execute("DELETE FROM copies_due", &[])?;
        for key in due {
            copies::make_due(self.db, "id = ?1", values![*key])?;
        }
        for (table, last) in [("versions", last_version.0), ("blobs", last_blob.0)] {
            let highest = self.db.last_id(table)?;
            self.db.set_last_id(table, last.max(highest))?;
        }
        Ok(())
    }
}

fn blob_row(row: &NewBlobRow<'_>) -> Vec<Field> {
    let text = |text: Option<&str>| text.map_or(Field::Null, |text| Field::Text(text.to_owned()));
    let blob = row.blob;
    vec![
        Field::Int(blob.id.0),
        Field::Text(blob.uid.to_string()),
        text(blob.checksum.as_ref().map(|checksum| checksum.as_str())),
        Field::Int(blob.size),
        Field::Int(i64::from(row.valid)),
        Field::Int(i64::from(blob.enc_version)),
        text(row.envkey.as_deref()),
        text(blob.nonce.as_deref()),
        Field::Text(Timestamp::to_database(&blob.date)),
    ]
}
