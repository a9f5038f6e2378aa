//! Detects the schema of a database, and creates new databases.

use super::error;
use super::open::{use_wal, wait};
use crate::meta::SchemaState;
use crate::meta::revision::{self, Found, Ours};
use crate::sys::private;
use crate::types::error::{Error, Result};
use crate::types::reason::because;
use crate::types::settings::FileMode;
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior};
use std::io::ErrorKind;
use std::path::Path;

/// The SQL that creates the tables of a new database.
pub(super) const DDL: &str = concat!(
    include_str!("schema.sql"),
    include_str!("rbd.sql"),
    include_str!("claims.sql"),
    include_str!("stores.sql"),
    include_str!("copies.sql"),
    include_str!("verifications.sql")
);
/// The SQL that each revision added to the previous one.
const ADDITIONS: [(i64, &str); 5] = [
    (2, include_str!("rbd.sql")),
    (3, include_str!("claims.sql")),
    (4, include_str!("stores.sql")),
    (5, include_str!("copies.sql")),
    (6, include_str!("verifications.sql")),
];

/// Whether the database has a table or view with that name.
pub(super) fn has(connection: &Connection, name: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM sqlite_master WHERE type IN ('table', 'view') AND name = ?";
    Ok(connection.query_row(sql, [name], |_| Ok(())).optional()?.is_some())
}

/// The state of the database: whether it is current or must be upgraded first.
pub(super) fn state(connection: &Connection, location: &str) -> Result<SchemaState> {
    let found = found(connection).map_err(|e| error(location, "reading the schema", e))?;
    revision::state(location, found)
}

fn found(connection: &Connection) -> rusqlite::Result<Found> {
    let mut found = Found::default();
    if has(connection, "schema_version")? {
        let newest = "SELECT max(revision) FROM schema_version";
        found.ours = Ours::newest(connection.query_row(newest, [], |row| row.get(0))?);
        return Ok(found);
    }
    for table in ["blocks", "versions"] {
        if !has(connection, table)? {
            found.lacks = Some(table);
        }
    }
    if has(connection, "alembic_version")? {
        let theirs = "SELECT version_num FROM alembic_version";
        found.theirs = connection.query_row(theirs, [], |row| row.get(0)).optional()?;
    }
    Ok(found)
}

/// Adds the tables that a database of an earlier revision lacks. The other tables do not change, so other processes
/// can continue to use the database.
///
/// # Errors
/// The database fails. Nothing is changed then.
pub(super) fn add(connection: &mut Connection, location: &str) -> Result<()> {
    let failed = |e: rusqlite::Error| error(location, "adding tables", e);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    // Another process may have been faster.
    if let SchemaState::Behind { revision } = state(&transaction, location)? {
        for (_, tables) in ADDITIONS.iter().filter(|(added, _)| *added > revision) {
            transaction.execute_batch(tables).map_err(failed)?;
        }
    }
    transaction.commit().map_err(failed)
}

/// Creates a database with the current schema at `path`. If the file does not exist, it is created with `mode`.
///
/// # Errors
/// [`Error::Refused`] if it has tables already. Nothing is changed then.
pub(crate) fn initialise(path: &Path, mode: FileMode) -> Result<()> {
    let location = format!("sqlite:///{}", path.display());
    let failed = |e: rusqlite::Error| error(&location, "making the database", e);
    // SQLite would create a file that everybody can read. Its journal files get the mode of this file.
    match private::create(path, mode) {
        Ok(_) => {}
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
        Err(e) => {
            let reason = because(format!("The database {location} cannot be made"), e);
            return Err(Error::database(reason.advise("Does its folder exist, and may you write to it?")));
        }
    }
    let mut connection = Connection::open(path).map_err(failed)?;
    connection.busy_handler(Some(wait)).map_err(failed)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let tables: i64 = transaction
        .query_row("SELECT count(*) FROM sqlite_master WHERE type IN ('table', 'view')", [], |r| r.get(0))
        .map_err(failed)?;
    if tables > 0 {
        return Err(Error::refused(format!(
            "The database {location} has tables already. Nothing was changed. To use it, call the other commands; \
             to start anew, move the file away first."
        )));
    }
    transaction.execute_batch(DDL).map_err(failed)?;
    transaction.commit().map_err(failed)?;
    use_wal(&connection);
    Ok(())
}

/// The state of a new database file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begun {
    /// There is no file, or it has no tables.
    Nothing,
    /// The file has the tables of the current schema, but no rows.
    Tables,
    /// The file has rows, or it is not a database.
    Used,
}

/// Checks whether an earlier attempt to create a database left the file at `path`.
pub(crate) fn begun(path: &Path) -> Begun {
    if !private::is_taken(path) {
        return Begun::Nothing;
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let looked = Connection::open_with_flags(path, flags).and_then(|connection| {
        let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))?;
        if tables == 0 {
            return Ok(Begun::Nothing);
        }
        let current = matches!(state(&connection, ""), Ok(SchemaState::Current));
        const ROWS: &str =
            "SELECT (SELECT count(*) FROM versions) + (SELECT count(*) FROM blobs WHERE id > 0)
                            + (SELECT count(*) FROM deleted_blocks) + (SELECT count(*) FROM stats)";
        let rows = if current { connection.query_row(ROWS, [], |row| row.get::<_, i64>(0))? } else { 1 };
        Ok(if rows == 0 { Begun::Tables } else { Begun::Used })
    });
    looked.unwrap_or(Begun::Used)
}
