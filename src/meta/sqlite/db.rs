//! SQLite's implementation of the verbs.

use crate::failpoint;
use crate::meta::sql::rules::applied;
use crate::meta::sql::{Db, Dialect, Fallible, Fault, Field, Row, Value, Visit, values};
use crate::meta::verbs::{hole, keep};
use crate::meta::{Candidates, DumpRow, DumpRows, Fingerprint, Known, NewBlob, NewRow};
use crate::types::checksum::Checksum;
use crate::types::error::Error;
use crate::types::keys::{BlobId, VersionKey};
use crate::types::time::Timestamp;
use crate::types::uid::BlobUid;
use crate::types::version::Version;
use rusqlite::types::{ToSqlOutput, Type, ValueRef};
use rusqlite::{CachedStatement, Connection, ErrorCode, OptionalExtension, ToSql, ffi, params};

const DIALECT: Dialect = Dialect {
    // `rowid` is `id` in our schema. It also exists in the schema of 2.13, so the catalogue of a database that was
    // not upgraded yet can be listed.
    key: "rowid",
    keep: "",
    join: "CROSS JOIN",
    sorted: "",
    tags: "version_uid, name",
    temporary: "PRAGMA temp.cache_size = -16384;
         CREATE TEMP TABLE gone (id INTEGER PRIMARY KEY);
         CREATE TEMP TABLE unnamed (uid TEXT PRIMARY KEY, size BIGINT) WITHOUT ROWID;",
    temporary_end: "DROP TABLE temp.gone; DROP TABLE temp.unnamed;",
};

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Fault::Driver { text: error.to_string(), error: Box::new(error) }
    }
}

/// A connection, inside or outside a transaction.
pub(super) struct Statements<'c>(pub &'c Connection);

impl<'c> Statements<'c> {
    fn prepare(&self, sql: &str) -> rusqlite::Result<CachedStatement<'c>> {
        self.0.prepare_cached(&applied(sql))
    }
}

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Value::Null => ToSqlOutput::Borrowed(ValueRef::Null),
            Value::Int(value) => ToSqlOutput::from(*value),
            Value::Text(text) => ToSqlOutput::from(*text),
            Value::Time(time) => ToSqlOutput::from(time.to_database()),
        })
    }
}

impl Row for rusqlite::Row<'_> {
    fn name(&self, column: usize) -> String {
        self.as_ref().column_name(column).map_or_else(|_| format!("column {column}"), str::to_owned)
    }

    fn opt_int(&self, column: usize) -> Fallible<Option<i64>> {
        Ok(self.get(column)?)
    }

    fn opt_text(&self, column: usize) -> Fallible<Option<String>> {
        Ok(self.get(column)?)
    }

    fn opt_time(&self, column: usize) -> Fallible<Option<Timestamp>> {
        let Some(text) = (self as &dyn Row).filled(column)? else { return Ok(None) };
        let time = Timestamp::parse(&text).ok_or_else(|| {
            let why = format!("{text:?} is no date").into();
            rusqlite::Error::FromSqlConversionFailure(column, Type::Text, why)
        })?;
        Ok(Some(time))
    }
}

impl Db for Statements<'_> {
    fn dialect(&self) -> &'static Dialect {
        &DIALECT
    }

    fn execute(&mut self, sql: &str, values: &[Value]) -> Fallible<u64> {
        Ok(self.prepare(sql)?.execute(rusqlite::params_from_iter(values))? as u64)
    }

    fn batch(&mut self, sql: &str) -> Fallible<()> {
        Ok(self.0.execute_batch(&applied(sql))?)
    }

    fn each(&mut self, sql: &str, values: &[Value], visit: Visit<'_>) -> Fallible<()> {
        let mut statement = self.prepare(sql)?;
        let mut rows = statement.query(rusqlite::params_from_iter(values))?;
        while let Some(row) = rows.next()? {
            visit(row)?;
        }
        Ok(())
    }

    /// Nothing to do: SQLite allows only one writer.
    fn alone_in_removing(&mut self) -> Fallible<()> {
        Ok(())
    }

    /// Nothing to do: SQLite allows only one writer.
    fn lock_marks(&mut self, _: bool) -> Fallible<()> {
        Ok(())
    }

    fn change_counter(&mut self) -> Fallible<u64> {
        Ok(self.0.query_row("PRAGMA data_version", [], |row| row.get(0))?)
    }

    fn find_known(&mut self, wanted: &[Fingerprint]) -> Fallible<Vec<Option<Known>>> {
        // A blob that no block uses is not a match, because 2.13 may have deleted its data.
        let mut look_up = self.prepare(
            "SELECT id, uid FROM blobs WHERE checksum = ? AND size = ? AND enc_version = ? AND valid = 1 AND id > 0
               AND EXISTS (SELECT 1 FROM block_map WHERE blob_id = blobs.id) LIMIT 1",
        )?;
        let mut found = Vec::with_capacity(wanted.len());
        for f in wanted {
            let known = look_up.query_row(params![f.checksum.as_str(), f.size, f.enc_version], |row| {
                Ok(Known { id: BlobId(row.get(0)?), uid: row.get::<_, String>(1)?.into() })
            });
            found.push(known.optional()?);
        }
        Ok(found)
    }

    fn commit_blocks(&mut self, version: VersionKey, rows: &[NewRow]) -> Fallible<Vec<u64>> {
        keep(self, version)?;
        // Update the heartbeat for processes that cannot check in another way whether this one is alive.
        let heard = "UPDATE claims SET heard = ?1 WHERE exclusive = 1 AND name = (SELECT uid FROM versions WHERE id = ?2)";
        self.execute(heard, values![Timestamp::now().unix(), version])?;
        let mut plain =
            self.prepare("INSERT INTO block_map (version_id, block_id, blob_id) VALUES (?, ?, ?)")?;
        // The blob may have been removed or marked bad since it was found. In that case no row is inserted.
        let mut reuse = self.prepare(
            "INSERT INTO block_map (version_id, block_id, blob_id)
             SELECT ?1, ?2, id FROM blobs WHERE id = ?3 AND uid = ?4 AND valid = 1
               AND EXISTS (SELECT 1 FROM block_map WHERE blob_id = blobs.id)",
        )?;
        let mut rejected = Vec::new();
        for (n, row) in rows.iter().enumerate() {
            match row {
                NewRow::Sparse { id, size } => {
                    plain.execute(params![version.0, id, hole(self, *size)?.0])?;
                }
                NewRow::Reuse { id, known } => {
                    if reuse.execute(params![version.0, id, known.id.0, known.uid.as_str()])? == 0 {
                        rejected.push(*id);
                    }
                }
                NewRow::Store { ids, blob } => {
                    let blob_id = self.insert_blob(blob)?;
                    for id in ids {
                        plain.execute(params![version.0, id, blob_id.0])?;
                    }
                }
            }
            if n == rows.len() / 2 {
                failpoint::pass("commit-middle");
            }
        }
        Ok(rejected)
    }

    fn take_candidates(&mut self, after: i64, before: i64, limit: usize) -> Fallible<Candidates> {
        // Rows of old releases without a uid are useless.
        self.execute("DELETE FROM deleted_blocks WHERE uid IS NULL OR uid = ''", &[])?;
        let db: &mut dyn Db = self;
        let entries = db.all(
            "SELECT id, uid FROM deleted_blocks d WHERE id > ?1 AND delete_candidate = 0
               AND (SELECT max(time) FROM deleted_blocks n WHERE n.uid = d.uid) < ?2
             ORDER BY id LIMIT ?3",
            values![after, before, limit],
            |row| Ok((row.int(0)?, BlobUid::from(row.text(1)?))),
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

    fn load(&mut self, table: &str, columns: &[&str], rows: &[Vec<Field>]) -> Fallible<()> {
        let places = vec!["?"; columns.len()].join(", ");
        let sql = format!("INSERT INTO {table} ({}) VALUES ({places})", columns.join(", "));
        let mut insert = self.prepare(&sql)?;
        for row in rows {
            insert.execute(rusqlite::params_from_iter(row.iter().map(|field| match field {
                Field::Null => Value::Null,
                Field::Int(value) => Value::Int(*value),
                Field::Text(text) => Value::Text(text),
            })))?;
        }
        Ok(())
    }

    fn last_id(&mut self, table: &str) -> Fallible<i64> {
        let db: &mut dyn Db = self;
        let given =
            db.number("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = ?1", values![table])?;
        let highest = db.number(&format!("SELECT coalesce(max(id), 0) FROM {table}"), &[])?;
        Ok(given.max(highest).max(0))
    }

    fn set_last_id(&mut self, table: &str, last: i64) -> Fallible<()> {
        self.execute("DELETE FROM sqlite_sequence WHERE name = ?1", values![table])?;
        self.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?1, ?2)", values![table, last])?;
        Ok(())
    }

    /// Inserts through the view. Its trigger finds or creates the row of the blob, and refuses a blob that is being
    /// deleted.
    fn import_rows(&mut self, version: &Version, rows: DumpRows<'_>) -> Fallible<()> {
        let mut insert = self.prepare(
            "INSERT INTO blocks (uid, version_uid, id, date, checksum, size, valid, enc_version, enc_envkey, enc_nonce)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?;
        for row in rows {
            let row = row.map_err(Fault::Because)?;
            let inserted = insert.execute(params![
                row.uid.as_ref().map(BlobUid::as_str),
                version.uid.as_str(),
                row.id,
                row.date.to_database(),
                row.checksum.as_ref().map(Checksum::as_str),
                row.size,
                row.valid,
                row.encryption.version,
                row.encryption.envkey,
                row.encryption.nonce
            ]);
            inserted.map_err(|e| refused(e, &row))?;
        }
        Ok(())
    }
}

impl Statements<'_> {
    fn insert_blob(&self, blob: &NewBlob) -> rusqlite::Result<BlobId> {
        self.prepare(
            "INSERT INTO blobs (uid, checksum, size, valid, enc_version, enc_envkey, enc_nonce, date)
             VALUES (?, ?, ?, 1, ?, ?, ?, ?)",
        )?
        .execute(params![
            blob.uid.as_str(),
            blob.fingerprint.checksum.as_str(),
            blob.fingerprint.size,
            blob.encryption.version,
            blob.encryption.envkey,
            blob.encryption.nonce,
            Timestamp::now().to_database()
        ])?;
        Ok(BlobId(self.0.last_insert_rowid()))
    }
}

/// The error for a row that the database refuses.
fn refused(e: rusqlite::Error, row: &DumpRow) -> Fault {
    let rusqlite::Error::SqliteFailure(ffi::Error { extended_code, code: ErrorCode::ConstraintViolation }, _) =
        e
    else {
        return e.into();
    };
    let DumpRow { id, uid, .. } = row;
    Fault::Because(Error::DumpFormat(match (extended_code, uid) {
        (ffi::SQLITE_CONSTRAINT_PRIMARYKEY, _) => format!("block {id} occurs twice"),
        (ffi::SQLITE_CONSTRAINT_TRIGGER, Some(uid)) => {
            format!("block {id} names the blob {uid}, which a cleanup is deleting")
        }
        _ => format!("block {id} cannot be imported: {e}"),
    }))
}
