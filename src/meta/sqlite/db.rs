//! Statements on SQLite.

use crate::meta::sql::rules::applied;
use crate::meta::sql::{Db, Dialect, Fallible, Fault, Marks, Row, Value, Visit};
use crate::types::time::Timestamp;
use rusqlite::types::{ToSqlOutput, Type, ValueRef};
use rusqlite::{CachedStatement, Connection, ToSql};

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
    renewing: ("INSERT OR REPLACE", ""),
};

/// Up to this size of a file, in bytes, its indexes are also compared with its tables. That reads pages in random order:
/// for 1.1 GB it takes 25 seconds instead of 2.
const THOROUGH: i64 = 256 << 20;

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Fault::Driver(Box::new(error))
    }
}

/// A connection, inside or outside a transaction.
pub(super) struct Statements<'c>(pub &'c Connection);

impl<'c> Statements<'c> {
    /// Prepares a statement, once for the connection.
    pub(super) fn prepare(&self, sql: &str) -> rusqlite::Result<CachedStatement<'c>> {
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
    fn lock_marks(&mut self, _: Marks) -> Fallible<()> {
        Ok(())
    }

    /// Nothing to do: SQLite allows only one writer.
    fn alone_in_covering(&mut self) -> Fallible<()> {
        Ok(())
    }

    fn change_counter(&mut self) -> Fallible<u64> {
        Ok(self.0.query_row("PRAGMA data_version", [], |row| row.get(0))?)
    }

    fn integrity(&mut self, limit: usize) -> Fallible<Vec<String>> {
        let size = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
        let bytes: i64 = self.0.query_row(size, [], |row| row.get(0))?;
        let pragma = if bytes <= THOROUGH { "integrity_check" } else { "quick_check" };
        let mut statement = self.0.prepare(&applied(&format!("PRAGMA {pragma}({limit})")))?;
        let rows = statement.query_map([], |row| row.get(0))?;
        let complaints = rows.collect::<rusqlite::Result<Vec<String>>>()?;
        Ok(complaints.into_iter().filter(|complaint| complaint != "ok").collect())
    }

    fn clock(&mut self) -> Fallible<Option<Timestamp>> {
        Ok(None)
    }
}
