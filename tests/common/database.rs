//! The databases of installations, SQLite or PostgreSQL, with the same functions to query and change them.
//!
//! The test binary chooses the engine: `tests/postgresql` uses PostgreSQL, the others SQLite by default.

use super::install::Install;
use super::postgres;
use rusqlite::types::ValueRef;
use std::sync::Arc;

/// The database engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// A file in the folder of the installation.
    Sqlite,
    /// A database on a server of the tests.
    Postgres,
}

/// A row, with its values as text.
pub type Row = Vec<Option<String>>;

/// Tables whose rows belong to running processes. [`Install::dump`] leaves them out.
const PASSING: [&str; 3] = ["lock_holders", "locks", "writers"];

impl Engine {
    /// The engine of this test binary.
    pub fn usual() -> Engine {
        match env!("CARGO_CRATE_NAME") {
            "postgresql" => Engine::Postgres,
            _ => Engine::Sqlite,
        }
    }

    /// A database for a new installation; `None` for SQLite, which needs only a file.
    ///
    /// If PostgreSQL is not installed, all tests of the binary are skipped together: the process ends.
    pub fn database(self) -> Option<postgres::Database> {
        if self == Engine::Sqlite {
            return None;
        }
        let Some(server) = postgres::Server::get("all tests on PostgreSQL") else {
            // A macro's output would be captured and shown only after a failure.
            let told = "SKIPPED all tests on PostgreSQL: its server is not installed\n";
            let _ = std::io::Write::write_all(&mut std::io::stderr(), told.as_bytes());
            std::process::exit(0);
        };
        Some(postgres::Database::new(&server))
    }
}

/// All rows of a query on an SQLite database.
pub fn sqlite_rows(connection: &rusqlite::Connection, sql: &str) -> rusqlite::Result<Vec<Row>> {
    let mut statement = connection.prepare(sql)?;
    let columns = statement.column_count();
    let rows =
        statement.query_map([], |row| (0..columns).map(|column| text(row.get_ref(column)?)).collect())?;
    rows.collect()
}

fn text(value: ValueRef<'_>) -> rusqlite::Result<Option<String>> {
    Ok(match value {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(number.to_string()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
    })
}

/// An open transaction that keeps others from writing until it ends, and from nothing else. It stands for a long one,
/// such as the removal of a version with millions of blocks.
pub struct Writer(Session);

enum Session {
    Sqlite(rusqlite::Connection),
    Postgres(::postgres::Client),
}

impl Writer {
    /// Commits the transaction.
    pub fn commit(mut self) {
        self.0.run("COMMIT").expect("committed");
    }
}

impl Session {
    fn run(&mut self, sql: &str) -> Result<(), String> {
        match self {
            Session::Sqlite(connection) => connection.execute_batch(sql).map_err(|error| error.to_string()),
            Session::Postgres(client) => client.batch_execute(sql).map_err(|error| format!("{error:?}")),
        }
    }
}

/// A text as an SQL literal.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A value as an SQL literal.
pub fn literal(value: Option<&str>) -> String {
    value.map_or_else(|| "NULL".to_owned(), quoted)
}

/// An SQL expression for the last `digits` digits of a number, with leading zeros.
pub fn padded(number: &str, digits: usize) -> String {
    let zeros = "0".repeat(digits);
    format!("substr('{zeros}' || ({number}), length('' || ({number})) + 1)")
}

/// The time `hours` hours ago, in the format of the database.
pub fn hours_ago(hours: i64) -> String {
    let time = chrono::Utc::now().naive_utc() - chrono::TimeDelta::hours(hours);
    time.format("%Y-%m-%d %H:%M:%S%.6f").to_string()
}

impl Install {
    /// The engine of this installation's database.
    pub fn engine(&self) -> Engine {
        if self.postgres().is_some() { Engine::Postgres } else { Engine::Sqlite }
    }

    /// The PostgreSQL server of this installation's database.
    pub fn server(&self) -> Option<&Arc<postgres::Server>> {
        self.postgres().map(postgres::Database::server)
    }

    /// Opens the SQLite file for queries.
    pub fn sqlite(&self) -> rusqlite::Connection {
        let connection = rusqlite::Connection::open(self.path("backy.sqlite")).expect("opens");
        connection.busy_timeout(std::time::Duration::from_secs(20)).expect("timeout");
        connection
    }

    fn session(&self) -> Session {
        match self.postgres() {
            Some(database) => Session::Postgres(database.client()),
            None => Session::Sqlite(self.sqlite()),
        }
    }

    /// All rows of a query.
    pub fn table(&self, sql: &str) -> Vec<Row> {
        let rows = match self.postgres() {
            Some(database) => database.rows(sql),
            None => sqlite_rows(&self.sqlite(), sql).map_err(|error| error.to_string()),
        };
        rows.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// The first column of a query's rows; it must not be NULL.
    pub fn texts(&self, sql: &str) -> Vec<String> {
        let first = |mut row: Row| row.swap_remove(0).expect("no NULL");
        self.table(sql).into_iter().map(first).collect()
    }

    /// The first column of a query's rows, as numbers.
    pub fn numbers(&self, sql: &str) -> Vec<i64> {
        self.texts(sql).iter().map(|text| text.parse().expect("a number")).collect()
    }

    /// The first number that a query returns.
    pub fn count(&self, sql: &str) -> i64 {
        *self.numbers(sql).first().expect(sql)
    }

    /// Changes the database without the program. Returns the error text if the database refuses the change.
    pub fn try_change(&self, sql: &str) -> Result<(), String> {
        self.session().run(sql)
    }

    /// Changes the database without the program.
    pub fn change(&self, sql: &str) {
        self.try_change(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// Begins a writing transaction.
    pub fn writer(&self) -> Writer {
        let mut session = self.session();
        session
            .run(match self.engine() {
                Engine::Sqlite => "BEGIN IMMEDIATE; UPDATE versions SET protected = protected",
                Engine::Postgres => {
                    "BEGIN; LOCK TABLE versions, blobs, block_map, deleted_blocks, tags, stats \
                 IN SHARE ROW EXCLUSIVE MODE"
                }
            })
            .expect("begun");
        Writer(session)
    }

    /// Removes everything that `initdb` has created.
    pub fn lose_database(&self) {
        match self.engine() {
            Engine::Sqlite => std::fs::remove_file(self.path("backy.sqlite")).expect("removed"),
            Engine::Postgres => self.change("DROP SCHEMA public CASCADE; CREATE SCHEMA public"),
        }
    }

    /// The whole content of the database: its schema, and all rows of all tables.
    pub fn dump(&self) -> Vec<String> {
        if self.engine() == Engine::Sqlite {
            return if self.path("backy.sqlite").exists() {
                super::fixture::dump(&self.sqlite())
            } else {
                Vec::new()
            };
        }
        let rows = |query: &str| -> Vec<String> {
            let mut lines: Vec<String> =
                self.table(query).into_iter().map(|row| format!("{row:?}")).collect();
            lines.sort();
            lines
        };
        let mut all = rows(
            "SELECT c.relname, c.relkind, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull \
             FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 \
             WHERE c.relnamespace = 'public'::regnamespace AND c.relkind <> 'S'",
        );
        let tables = self.texts(
            "SELECT relname FROM pg_class \
             WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') ORDER BY relname",
        );
        for table in tables.iter().filter(|table| !PASSING.contains(&table.as_str())) {
            all.extend(rows(&format!("SELECT '{table}', t.* FROM {table} t")));
        }
        all
    }
}
