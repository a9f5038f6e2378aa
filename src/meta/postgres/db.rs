//! PostgreSQL's side of the verbs.

use super::rows::{self, Bound};
use super::{blocks, candidates, import};
use crate::meta::sql::rules::applied;
use crate::meta::sql::{Db, Dialect, Fallible, Fault, Field, Value, Visit, values};
use crate::meta::{Candidates, DumpRows, Fingerprint, Known, NewRow};
use crate::types::keys::VersionKey;
use crate::types::version::Version;
use postgres::fallible_iterator::FallibleIterator;
use postgres::types::ToSql;
use postgres::{GenericClient, Statement};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;

const DIALECT: Dialect = Dialect {
    key: "id",
    keep: " FOR KEY SHARE",
    join: "JOIN",
    sorted: " ORDER BY 1, 2",
    // As they are in the table, which is the order in which they were added: so 2.13 reads them.
    tags: "ctid",
    // Their statistics are not known: what is read of them comes from an index or is read as a whole.
    temporary: "CREATE TEMP TABLE IF NOT EXISTS gone (id BIGINT PRIMARY KEY) ON COMMIT DELETE ROWS;
         CREATE TEMP TABLE IF NOT EXISTS unnamed (uid VARCHAR(32) COLLATE \"C\" PRIMARY KEY, size BIGINT)
             ON COMMIT DELETE ROWS;
         TRUNCATE gone, unnamed",
    temporary_end: "",
};

/// For a database that was not upgraded yet: its versions have no keys, and nothing but the catalogue is looked at.
const OLD: Dialect = Dialect { key: "CAST(0 AS BIGINT)", ..DIALECT };

/// Locks of the database that are held until the end of a transaction, by their numbers: `back`, and what for.
pub(super) const LOCKS: i32 = 0x6261_636b;
/// Held by who removes rows of versions, alone.
const REMOVING: i32 = 1;
/// Held by who brings in blobs by their old names, together, and by who dooms such names, alone. The trigger of the
/// view has it too.
pub(super) const NAMING: i32 = 2;
/// Held by who marks blobs, alone, and by who makes sure that none of a version is marked, together. 3 and 4 are those
/// of an upgrade and of who takes a lock in `src/locks`.
const MARKING: i32 = 5;

impl From<postgres::Error> for Fault {
    fn from(error: postgres::Error) -> Self {
        Fault::Driver { text: crate::pg::describe(&error), error: Box::new(error) }
    }
}

/// A connection, within a transaction or not.
pub(super) struct Statements<'c, C> {
    pub client: &'c mut C,
    pub prepared: &'c mut HashMap<String, Statement>,
    /// The tables are those of an older release.
    pub old: bool,
}

impl<C: GenericClient> Statements<'_, C> {
    /// Prepares a statement, once in a session.
    pub fn prepare(&mut self, sql: &str) -> Fallible<Statement> {
        let sql = applied(sql);
        if let Some(statement) = self.prepared.get(&*sql) {
            return Ok(statement.clone());
        }
        // The shared statements have the placeholders of SQLite.
        let statement = self.client.prepare(&sql.replace('?', "$"))?;
        self.prepared.insert(sql.into_owned(), statement.clone());
        Ok(statement)
    }

    /// Runs a statement with parameters of this engine's own types.
    pub fn run(&mut self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Fallible<u64> {
        let statement = self.prepare(sql)?;
        super::pause::point(sql);
        Ok(self.client.execute(&statement, parameters)?)
    }

    /// Reads all rows with parameters of this engine's own types.
    pub fn ask(&mut self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Fallible<Vec<postgres::Row>> {
        let statement = self.prepare(sql)?;
        super::pause::point(sql);
        Ok(self.client.query(&statement, parameters)?)
    }

    /// Takes a lock that lasts until the end of the transaction; waits for it.
    pub fn lock(&mut self, which: i32, shared: bool) -> Fallible<()> {
        let sql = match shared {
            true => "SELECT pg_advisory_xact_lock_shared(?1, ?2)",
            false => "SELECT pg_advisory_xact_lock(?1, ?2)",
        };
        self.ask(sql, &[&LOCKS, &which])?;
        Ok(())
    }
}

impl<C: GenericClient> Db for Statements<'_, C> {
    fn dialect(&self) -> &'static Dialect {
        if self.old { &OLD } else { &DIALECT }
    }

    fn execute(&mut self, sql: &str, values: &[Value]) -> Fallible<u64> {
        let statement = self.prepare(sql)?;
        super::pause::point(sql);
        let bound = Bound::new(&statement, values)?;
        Ok(self.client.execute(&statement, &bound.parameters())?)
    }

    fn batch(&mut self, sql: &str) -> Fallible<()> {
        match sql {
            "" => Ok(()),
            _ => Ok(self.client.batch_execute(&applied(sql))?),
        }
    }

    fn each(&mut self, sql: &str, values: &[Value], visit: Visit<'_>) -> Fallible<()> {
        let statement = self.prepare(sql)?;
        super::pause::point(sql);
        let bound = Bound::new(&statement, values)?;
        let mut rows = self.client.query_raw(&statement, bound.parameters())?;
        while let Some(row) = rows.next()? {
            visit(&rows::Typed(&row))?;
        }
        Ok(())
    }

    fn alone_in_removing(&mut self) -> Fallible<()> {
        self.lock(REMOVING, false)
    }

    fn lock_marks(&mut self, alone: bool) -> Fallible<()> {
        self.lock(MARKING, !alone)
    }

    /// Made of the numbers of all transactions that are over and of those that run.
    fn change_counter(&mut self) -> Fallible<u64> {
        let rows = self.ask("SELECT txid_current_snapshot()::text", &[])?;
        let mut hasher = DefaultHasher::new();
        for row in rows {
            row.try_get::<_, String>(0)?.hash(&mut hasher);
        }
        Ok(hasher.finish())
    }

    fn find_known(&mut self, wanted: &[Fingerprint]) -> Fallible<Vec<Option<Known>>> {
        blocks::find_known(self, wanted)
    }

    fn commit_blocks(&mut self, version: VersionKey, rows: &[NewRow]) -> Fallible<Vec<u64>> {
        blocks::commit(self, version, rows)
    }

    fn take_candidates(&mut self, after: i64, before: i64, limit: usize) -> Fallible<Candidates> {
        candidates::take(self, after, before, limit)
    }

    fn load(&mut self, table: &str, columns: &[&str], rows: &[Vec<Field>]) -> Fallible<()> {
        let sql = format!("COPY {table} ({}) FROM STDIN", columns.join(", "));
        let mut writer = self.client.copy_in(&sql)?;
        let failed = |e: std::io::Error| Fault::Value(format!("copying into {table}: {e}"));
        for row in rows {
            writer.write_all(rows::copied(row).as_bytes()).map_err(failed)?;
        }
        writer.finish()?;
        Ok(())
    }

    fn last_id(&mut self, table: &str) -> Fallible<i64> {
        let db: &mut dyn Db = self;
        // A sequence that was never asked has a last value, too: at worst a number is left out.
        let given = db.number(
            "SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence(?1, 'id')), 0)",
            values![table],
        )?;
        let highest = db.number(&format!("SELECT coalesce(max(id), 0) FROM {table}"), &[])?;
        Ok(given.max(highest).max(0))
    }

    fn set_last_id(&mut self, table: &str, last: i64) -> Fallible<()> {
        let sql = "SELECT setval(pg_get_serial_sequence(?1, 'id'), greatest(?2::bigint, 1), ?2::bigint > 0)";
        self.ask(sql, &[&table, &last])?;
        Ok(())
    }

    fn import_rows(&mut self, version: &Version, rows: DumpRows<'_>) -> Fallible<()> {
        import::rows(self, version, rows)
    }
}
