//! Which schema a database has, and making a new one.

use super::error;
use super::open::{BUSY, use_wal};
use crate::meta::State;
use crate::types::error::{Error, Result};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};
use std::path::Path;

/// The DDL of a new database.
pub(super) const DDL: &str = concat!(include_str!("schema.sql"), include_str!("rbd.sql"));
/// What revision 2 has and revision 1 has not.
const ADDITIONS: &str = include_str!("rbd.sql");
/// The revision of [`DDL`], as in its table `schema_version`.
const REVISION: i64 = 2;
/// A revision that lacks [`ADDITIONS`] and nothing else.
const WITHOUT_ADDITIONS: i64 = 1;
/// The revisions of 2.x, oldest first; the empty one is from before there was `alembic_version`.
const OLD_REVISIONS: [&str; 9] = [
    "",
    "bbe7904bfc3a",
    "29c655b78818",
    "828da0fbbe8d",
    "cd3f15ae79f8",
    "9e0939e3bc6d",
    "85966fcda5e6",
    "5260034b8125",
    "30349b678801",
];

/// Whether the database has a table or view of that name.
pub(super) fn has(connection: &Connection, name: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM sqlite_master WHERE type IN ('table', 'view') AND name = ?";
    Ok(connection.query_row(sql, [name], |_| Ok(())).optional()?.is_some())
}

/// What the database needs before it can be used.
pub(super) fn state(connection: &Connection, location: &str) -> Result<State> {
    let failed = |e: rusqlite::Error| error(location, "reading the schema", &e);
    let invalid = |text: &str| Error::Database(format!("Invalid database ({location}). {text}"));
    if has(connection, "schema_version").map_err(failed)? {
        let revision: Option<i64> = connection
            .query_row("SELECT max(revision) FROM schema_version", [], |r| r.get(0))
            .map_err(failed)?;
        return match revision {
            Some(REVISION) => Ok(State::Current),
            Some(WITHOUT_ADDITIONS) => Ok(State::Behind),
            Some(newer) => Err(invalid(&format!(
                "Its schema has revision {newer}, this release knows {REVISION}. Use the newer release that made it."
            ))),
            None => Err(invalid("Its table schema_version is empty.")),
        };
    }
    for table in ["versions", "blocks"] {
        if !has(connection, table).map_err(failed)? {
            return Err(invalid(&format!("It has no table {table}. Please run initdb first.")));
        }
    }
    let revision = match has(connection, "alembic_version").map_err(failed)? {
        true => connection
            .query_row("SELECT version_num FROM alembic_version", [], |r| r.get::<_, String>(0))
            .optional()
            .map_err(failed)?
            .unwrap_or_default(),
        false => String::new(),
    };
    if !OLD_REVISIONS.contains(&&revision[..]) {
        return Err(invalid(&format!(
            "Its schema has the revision {revision}, which no release of backy2 2.x is known to have made. \
             Nothing was changed."
        )));
    }
    let catalogue_is_current = OLD_REVISIONS.last() == Some(&&revision[..]);
    Ok(State::Old { revision, catalogue_is_current })
}

/// Adds the tables that a database of revision 1 of the schema lacks. The others stay as they are, so that whoever
/// else uses the database now is not disturbed.
///
/// # Errors
/// What the database says; nothing is changed then.
pub(super) fn add(connection: &mut Connection, location: &str) -> Result<()> {
    let failed = |e: rusqlite::Error| error(location, "adding tables", &e);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    // Another process may have been faster.
    if state(&transaction, location)? == State::Behind {
        transaction.execute_batch(ADDITIONS).map_err(failed)?;
    }
    transaction.commit().map_err(failed)
}

/// Makes a database with the current schema in `path`.
///
/// # Errors
/// [`Error::Refused`] if it has tables already; nothing is changed then.
pub fn initialise(path: &Path) -> Result<()> {
    let location = format!("sqlite:///{}", path.display());
    let failed = |e: rusqlite::Error| error(&location, "making the database", &e);
    let mut connection = Connection::open(path).map_err(failed)?;
    connection.busy_timeout(BUSY).map_err(failed)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let tables: i64 = transaction
        .query_row("SELECT count(*) FROM sqlite_master WHERE type IN ('table', 'view')", [], |r| r.get(0))
        .map_err(failed)?;
    if tables > 0 {
        return Err(Error::Refused(format!(
            "The database {location} has tables already. Nothing was changed. To use it, call the other commands; \
             to start anew, move the file away first."
        )));
    }
    transaction.execute_batch(DDL).map_err(failed)?;
    transaction.commit().map_err(failed)?;
    use_wal(&connection);
    Ok(())
}
