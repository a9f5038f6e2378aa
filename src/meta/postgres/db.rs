//! Statements on PostgreSQL.

use super::rows::{self, Bound};
use crate::meta::sql::rules::applied;
use crate::meta::sql::{Db, Dialect, Fallible, Fault, Marks, Value, Visit};
use crate::pg::advisory::{CLASS, Lock, Mode};
use crate::types::time::Timestamp;
use chrono::NaiveDateTime;
use postgres::fallible_iterator::FallibleIterator;
use postgres::types::ToSql;
use postgres::{GenericClient, Statement};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

const DIALECT: Dialect = Dialect {
    key: "id",
    keep: " FOR KEY SHARE",
    join: "JOIN",
    sorted: " ORDER BY 1, 2",
    // Tags in the order of the table, in which they were added. 2.13 reads them in the same order.
    tags: "ctid",
    // The server has no statistics of temporary tables. Statements read them by index or as a whole.
    temporary: "CREATE TEMP TABLE IF NOT EXISTS gone (id BIGINT PRIMARY KEY) ON COMMIT DELETE ROWS;
         CREATE TEMP TABLE IF NOT EXISTS unnamed (uid VARCHAR(32) COLLATE \"C\" PRIMARY KEY, size BIGINT)
             ON COMMIT DELETE ROWS;
         TRUNCATE gone, unnamed",
    temporary_end: "",
    renewing: ("INSERT", "ON CONFLICT (version_uid) DO UPDATE SET token = excluded.token"),
};

/// The dialect for a database that was not upgraded yet. Its versions have no keys, and only the catalogue is read.
const OLD: Dialect = Dialect { key: "CAST(0 AS BIGINT)", ..DIALECT };

impl From<postgres::Error> for Fault {
    fn from(error: postgres::Error) -> Self {
        Fault::Driver(Box::new(error))
    }
}

/// A connection, inside or outside a transaction.
pub(super) struct Statements<'c, C> {
    pub client: &'c mut C,
    pub prepared: &'c mut HashMap<String, Statement>,
    /// The tables are those of an older release.
    pub old: bool,
}

impl<C: GenericClient> Statements<'_, C> {
    /// Prepares a statement, once per session.
    pub(super) fn prepare(&mut self, sql: &str) -> Fallible<Statement> {
        let sql = applied(sql);
        if let Some(statement) = self.prepared.get(&*sql) {
            return Ok(statement.clone());
        }
        // The shared statements use SQLite's placeholders.
        let statement = self.client.prepare(&sql.replace('?', "$"))?;
        self.prepared.insert(sql.into_owned(), statement.clone());
        Ok(statement)
    }

    /// Runs a statement with parameters of PostgreSQL's types.
    pub(super) fn run(&mut self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Fallible<u64> {
        let statement = self.prepare(sql)?;
        super::pause::point(sql);
        Ok(self.client.execute(&statement, parameters)?)
    }

    /// Reads all rows of a query with parameters of PostgreSQL's types.
    pub(super) fn ask(
        &mut self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Fallible<Vec<postgres::Row>> {
        let statement = self.prepare(sql)?;
        super::pause::point(sql);
        Ok(self.client.query(&statement, parameters)?)
    }

    /// Waits for an advisory lock and holds it until the end of the transaction.
    pub(super) fn lock(&mut self, which: Lock, mode: Mode) -> Fallible<()> {
        let sql = match mode {
            Mode::Shared => "SELECT pg_advisory_xact_lock_shared(?1, ?2)",
            Mode::Exclusive => "SELECT pg_advisory_xact_lock(?1, ?2)",
        };
        self.ask(sql, &[&CLASS, &which.number()])?;
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
        self.lock(Lock::Removing, Mode::Exclusive)
    }

    fn lock_marks(&mut self, to: Marks) -> Fallible<()> {
        let mode = match to {
            Marks::Check => Mode::Shared,
            Marks::Change => Mode::Exclusive,
        };
        self.lock(Lock::Marking, mode)
    }

    fn alone_in_covering(&mut self) -> Fallible<()> {
        self.lock(Lock::Covering, Mode::Exclusive)?;
        // A cleanup holds it while it deletes rows of blobs. All other commands that do so are alone.
        self.lock(Lock::Naming, Mode::Shared)
    }

    /// Hashes the server's snapshot: it changes when any transaction begins or ends.
    fn change_counter(&mut self) -> Fallible<u64> {
        let rows = self.ask("SELECT txid_current_snapshot()::text", &[])?;
        let mut hasher = DefaultHasher::new();
        for row in rows {
            row.try_get::<_, String>(0)?.hash(&mut hasher);
        }
        Ok(hasher.finish())
    }

    /// The server checks its files itself, with the checksums of its pages.
    fn integrity(&mut self, _limit: usize) -> Fallible<Vec<String>> {
        Ok(Vec::new())
    }

    fn clock(&mut self) -> Fallible<Option<Timestamp>> {
        let sql = "SELECT CAST(clock_timestamp() AT TIME ZONE 'UTC' AS TIMESTAMP)";
        let rows = self.ask(sql, &[])?;
        let time = rows.first().map(|row| row.try_get::<_, NaiveDateTime>(0)).transpose()?;
        Ok(time.map(Timestamp::from_naive))
    }
}
