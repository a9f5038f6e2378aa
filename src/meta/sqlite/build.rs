//! Creates a database of the current schema from one of an older release, which is not changed.
//!
//! All revisions are converted in the same way: rows of the old tables are copied by column name. So the order of
//! columns does not matter, nor do half-finished migrations of 2.13. The old database is attached as `old` and only
//! read. The new one is useless until it is complete, so it needs no journal.

use super::open::{CACHE, LARGE_CACHE, uri};
use super::schema::DDL;
use super::watch::UpgradeWatch;
use crate::meta::revision::STATISTICS;
use crate::types::error::{Error, Result};
use rusqlite::types::ValueRef;
use rusqlite::{CachedStatement, Connection, OptionalExtension, ToSql, params};
use std::collections::BTreeSet;
use std::path::Path;

/// Number of recently used blobs that are found without a query. Each takes 32 bytes of memory.
const RECENT: usize = 1 << 20;
/// Number of rows between two progress reports.
const REPORT: u64 = 1000;

/// The amount of work.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    /// Rows of `blocks` that belong to a version.
    pub rows: u64,
    /// Upper limit of the number of different uids in these rows.
    pub blobs: u64,
}

impl Extent {
    /// Estimated maximum disk space in bytes for the new database and for sorting its indexes.
    pub(super) fn bytes(self) -> u64 {
        (8 << 20) + self.rows * 80 + self.blobs * 1200
    }
}

/// Attaches the database at `path` to `connection` as `old`, read-only.
pub(super) fn attach(connection: &Connection, path: &Path) -> rusqlite::Result<()> {
    let attach = |how: &str| {
        connection.execute("ATTACH ? AS old", [uri(path, how)])?;
        connection.query_row("SELECT count(*) FROM old.sqlite_master", [], |_| Ok(()))
    };
    // `immutable` is for a database in WAL mode on a read-only file system.
    attach("mode=ro").or_else(|_| {
        let _ = connection.execute_batch("DETACH old");
        attach("immutable=1")
    })
}

/// Determines the size of the attached database.
pub(super) fn extent(connection: &Connection, size: u64, watch: &UpgradeWatch) -> rusqlite::Result<Extent> {
    // In 2.13 a row takes about 600 bytes with its indexes. Counting it takes about ten instructions.
    watch.count("1/4: counting the blocks", size / 60);
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let rows = number("SELECT count(*) FROM old.blocks WHERE version_uid IN (SELECT uid FROM old.versions)")?;
    let indexed = "SELECT 1 FROM old.sqlite_master m, pragma_index_info(m.name, 'old') i
                   WHERE m.type = 'index' AND m.tbl_name = 'blocks' AND i.seqno = 0 AND i.name = 'uid'";
    let blobs = match connection.query_row(indexed, [], |_| Ok(())).optional()? {
        Some(()) => number("SELECT count(*) FROM (SELECT 1 FROM old.blocks GROUP BY uid)")?,
        // Counting the blobs would require sorting them.
        None => rows,
    };
    Ok(Extent { rows: rows.unsigned_abs(), blobs: blobs.unsigned_abs() })
}

/// Fills the empty database of `connection` from the attached old one.
pub(super) fn build(
    connection: &Connection,
    extent: Extent,
    place: &str,
    watch: &UpgradeWatch,
) -> Result<()> {
    let failed = |e: rusqlite::Error| {
        watch.interruption(&e).unwrap_or_else(|| super::error(place, "upgrading the database", e))
    };
    begin(connection).map_err(failed)?;
    connection.execute_batch("BEGIN").map_err(failed)?;
    connection.execute_batch(DDL).map_err(failed)?;
    copy_catalogue(connection).map_err(failed)?;
    let later = drop_indexes(connection).map_err(failed)?;
    watch.count_no_more();
    map_blocks(connection, extent, watch).map_err(failed)?;
    make_indexes(connection, &later, extent, watch).map_err(failed)?;
    check(connection, extent, place, watch)?;
    connection.execute_batch("COMMIT").map_err(failed)
}

/// Copies only the catalogue: versions, tags and statistics.
pub(super) fn build_catalogue(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(DDL)?;
    copy_catalogue(connection)
}

fn begin(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "foreign_keys", false)?;
    connection.pragma_update(Some("main"), "cache_size", -LARGE_CACHE)?;
    // Nobody else uses the new file, and it only counts as a whole. It is flushed when it is complete.
    connection.execute_batch(
        "PRAGMA main.locking_mode = EXCLUSIVE; PRAGMA main.journal_mode = OFF; PRAGMA main.synchronous = OFF;",
    )
}

/// Drops the indexes, to create them after the rows, except for the one that finds blobs. Returns the SQL that
/// creates them.
fn drop_indexes(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let all: Vec<(String, String)> = connection
        .prepare(
            "SELECT name, sql FROM main.sqlite_master WHERE type = 'index' AND sql IS NOT NULL
               AND tbl_name IN ('blobs', 'block_map') AND name <> 'ix_blobs_uid'",
        )?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (name, _) in &all {
        connection.execute_batch(&format!("DROP INDEX main.{name}"))?;
    }
    Ok(all.into_iter().map(|(_, sql)| sql).collect())
}

/// The columns of an old table; empty if there is no such table.
pub(super) fn columns(connection: &Connection, table: &str) -> rusqlite::Result<BTreeSet<String>> {
    let mut statement = connection.prepare(&format!("PRAGMA old.table_info({table})"))?;
    statement.query_map([], |row| row.get(1))?.collect()
}

/// An SQL expression for `column` of an old table, or for `default` if that release did not have the column.
fn column(columns: &BTreeSet<String>, column: &str, default: &str) -> String {
    if columns.contains(column) { format!("coalesce(o.{column}, {default})") } else { default.to_owned() }
}

fn copy_catalogue(connection: &Connection) -> rusqlite::Result<()> {
    let have = columns(connection, "versions")?;
    // For some time expiries were dates without a time, and 2.13 reads only full timestamps.
    let expire = if have.contains("expire") {
        "CASE WHEN length(o.expire) = 10 THEN o.expire || ' 00:00:00.000000' ELSE nullif(o.expire, '') END"
    } else {
        "NULL"
    };
    connection.execute_batch(&format!(
        "INSERT INTO main.versions (uid, date, expire, name, snapshot_name, size, size_bytes, valid, protected)
         SELECT o.uid, o.date, {expire}, o.name, {}, o.size, o.size_bytes, o.valid, {}
         FROM old.versions o ORDER BY o.date, o.rowid",
        column(&have, "snapshot_name", "''"),
        column(&have, "protected", "0"),
    ))?;
    if !columns(connection, "tags")?.is_empty() {
        connection.execute_batch(
            "INSERT OR IGNORE INTO main.tags (version_uid, name)
             SELECT o.version_uid, o.name FROM old.tags o JOIN main.versions v ON v.uid = o.version_uid",
        )?;
    }
    if !columns(connection, "deleted_blocks")?.is_empty() {
        connection.execute_batch(
            "INSERT INTO main.deleted_blocks (id, uid, size, delete_candidate, time)
             SELECT o.id, o.uid, o.size, 0, o.time FROM old.deleted_blocks o",
        )?;
    }
    // The migrations of 2.13 rename `stats` to `stats_old` between two steps.
    for table in ["stats_old", "stats"] {
        if columns(connection, table)?.is_empty() {
            continue;
        }
        connection.execute_batch(&format!(
            "INSERT INTO main.stats ({STATISTICS}) SELECT {STATISTICS} FROM old.{table} o
             WHERE NOT EXISTS (SELECT 1 FROM main.stats s WHERE s.version_uid = o.version_uid AND s.date = o.date)
             ORDER BY o.date, o.rowid"
        ))?;
    }
    Ok(())
}

/// Copies the blocks, version by version, oldest first. The first block that uses a blob creates its row.
fn map_blocks(connection: &Connection, extent: Extent, watch: &UpgradeWatch) -> rusqlite::Result<()> {
    const STEP: &str = "2/4: mapping the blocks";
    let have = columns(connection, "blocks")?;
    let mut select = connection.prepare(&format!(
        "SELECT o.id, coalesce(o.size, 0), o.valid, o.date, nullif(o.uid, ''), nullif(o.checksum, ''), {},
                nullif({}, ''), nullif({}, '')
         FROM old.blocks o WHERE o.version_uid = ? ORDER BY o.id",
        column(&have, "enc_version", "0"),
        column(&have, "enc_envkey", "''"),
        column(&have, "enc_nonce", "''")
    ))?;
    let versions: Vec<(i64, String)> = connection
        .prepare("SELECT id, uid FROM main.versions ORDER BY id")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut mapper = Mapper::new(connection)?;
    let mut done: u64 = 0;
    watch.report(STEP, 0, extent.rows);
    for (version, uid) in versions {
        let mut rows = select.query([uid])?;
        while let Some(row) = rows.next()? {
            mapper.map(version, row)?;
            done += 1;
            if done.is_multiple_of(REPORT) {
                watch.report(STEP, done, extent.rows);
                if watch.is_over() {
                    return Err(interrupted());
                }
            }
        }
    }
    Ok(())
}

/// The error that SQLite returns for an interrupted statement.
fn interrupted() -> rusqlite::Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_INTERRUPT);
    rusqlite::Error::SqliteFailure(code, Some("interrupted".to_owned()))
}

/// Finds or creates the blob of each row.
struct Mapper<'c> {
    hole: CachedStatement<'c>,
    find: CachedStatement<'c>,
    insert: CachedStatement<'c>,
    spoil: CachedStatement<'c>,
    map: CachedStatement<'c>,
    connection: &'c Connection,
    /// Digests of blob identities, with the ids of the blobs.
    recent: Vec<(u128, i64)>,
}

impl<'c> Mapper<'c> {
    fn new(connection: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Mapper {
            hole: connection.prepare_cached(
                "INSERT INTO main.blobs (id, size, valid, enc_version, date) VALUES (-?1, ?1, 1, 0, ?2)
                 ON CONFLICT (id) DO UPDATE SET date = min(date, excluded.date)",
            )?,
            find: connection.prepare_cached(
                "SELECT id FROM main.blobs WHERE uid = ?1 AND id > 0 AND checksum IS ?2 AND size = ?3
                   AND enc_version = ?4 AND enc_envkey IS ?5",
            )?,
            insert: connection.prepare_cached(
                "INSERT INTO main.blobs (uid, checksum, size, enc_version, enc_envkey, valid, enc_nonce, date)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?,
            spoil: connection.prepare_cached("UPDATE main.blobs SET valid = 0 WHERE id = ?1")?,
            map: connection.prepare_cached("INSERT INTO main.block_map VALUES (?1, ?2, ?3)")?,
            connection,
            recent: vec![(0, 0); RECENT],
        })
    }

    fn map(&mut self, version: i64, row: &rusqlite::Row<'_>) -> rusqlite::Result<()> {
        let (id, size): (i64, i64) = (row.get(0)?, row.get(1)?);
        let blob = match row.get_ref(4)? {
            ValueRef::Null => self.hole(size, row.get_ref(3)?)?,
            _ => self.blob(row)?,
        };
        self.map.execute(params![version, id, blob]).map(drop)
    }

    fn hole(&mut self, size: i64, date: ValueRef<'_>) -> rusqlite::Result<i64> {
        // No digest of a blob is this small.
        let key = u128::from(size.unsigned_abs());
        let place = &mut self.recent[(key as usize) & (RECENT - 1)];
        if *place != (key, -size) || size == 0 {
            self.hole.execute(params![size, Raw(date)])?;
            *place = (key, -size);
        }
        Ok(-size)
    }

    fn blob(&mut self, row: &rusqlite::Row<'_>) -> rusqlite::Result<i64> {
        let [size, valid, date, uid, checksum, enc_version, envkey, nonce] =
            [1, 2, 3, 4, 5, 6, 7, 8].map(|n| row.get_ref(n));
        let identity = [Raw(uid?), Raw(checksum?), Raw(size?), Raw(enc_version?), Raw(envkey?)];
        let key = digest(&identity);
        let place = (key as usize) & (RECENT - 1);
        let good = !matches!(valid?, ValueRef::Integer(0));
        let known = match self.recent[place] {
            (there, blob) if there == key => Some(blob),
            _ => self.find.query_row(rusqlite::params_from_iter(&identity), |row| row.get(0)).optional()?,
        };
        let blob = match known {
            Some(blob) => {
                // If rows disagree about a blob, bad wins.
                if !good {
                    self.spoil.execute([blob])?;
                }
                blob
            }
            None => {
                let [uid, checksum, size, enc_version, envkey] = &identity;
                let (nonce, date) = (Raw(nonce?), Raw(date?));
                self.insert.execute(params![
                    uid,
                    checksum,
                    size,
                    enc_version,
                    envkey,
                    i64::from(good),
                    nonce,
                    date
                ])?;
                self.connection.last_insert_rowid()
            }
        };
        self.recent[place] = (key, blob);
        Ok(blob)
    }
}

/// A value that is copied to the new database unchanged.
struct Raw<'r>(ValueRef<'r>);

impl ToSql for Raw<'_> {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        Ok(rusqlite::types::ToSqlOutput::Borrowed(self.0))
    }
}

/// A digest of the identity of a blob. It is long enough to assume that there are no collisions.
fn digest(identity: &[Raw<'_>]) -> u128 {
    let mut hasher = blake3::Hasher::new();
    for Raw(value) in identity {
        let (kind, number);
        let bytes = match value {
            ValueRef::Null => {
                kind = b'n';
                &[][..]
            }
            ValueRef::Integer(value) => {
                (kind, number) = (b'i', value.to_le_bytes());
                &number
            }
            ValueRef::Real(value) => {
                (kind, number) = (b'r', value.to_le_bytes());
                &number
            }
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
                kind = b't';
                *bytes
            }
        };
        hasher.update(&[kind]);
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    }
    let mut first = [0; 16];
    hasher.finalize_xof().fill(&mut first);
    // Small numbers are reserved for holes.
    u128::from_le_bytes(first) | (1 << 127)
}

fn make_indexes(
    connection: &Connection,
    sql: &[String],
    extent: Extent,
    watch: &UpgradeWatch,
) -> rusqlite::Result<()> {
    // Estimated instructions per entry, from measurements.
    watch.count("3/4: making the indexes", extent.rows * 14 + extent.blobs * 50);
    // Sorting works on pieces of this size in memory. Signals are not noticed while a piece is sorted.
    connection.pragma_update(Some("main"), "cache_size", -CACHE)?;
    sql.iter().try_for_each(|sql| connection.execute_batch(sql))
}

/// Checks that all rows have arrived and that all references are valid.
fn check(connection: &Connection, extent: Extent, place: &str, watch: &UpgradeWatch) -> Result<()> {
    watch.count("4/4: checking", extent.rows * 8 + extent.blobs * 6);
    let failed = |e: rusqlite::Error| {
        watch.interruption(&e).unwrap_or_else(|| super::error(place, "checking the upgrade", e))
    };
    let count = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(failed);
    let after = count("SELECT count(*) FROM main.block_map")?.unsigned_abs();
    let broken = count(
        "SELECT (SELECT count(*) FROM (SELECT blob_id FROM main.block_map GROUP BY blob_id) m
                 WHERE NOT EXISTS (SELECT 1 FROM main.blobs b WHERE b.id = m.blob_id))
              + (SELECT count(*) FROM main.tags t
                 WHERE NOT EXISTS (SELECT 1 FROM main.versions v WHERE v.uid = t.version_uid))",
    )?;
    if extent.rows != after || broken != 0 {
        return Err(Error::database(format!(
            "The database {place} cannot be upgraded: of {} blocks {after} were mapped, and {broken} references are \
             broken. Nothing was changed.",
            extent.rows
        )));
    }
    Ok(())
}
