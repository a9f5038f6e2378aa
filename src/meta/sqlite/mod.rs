//! Metadata in a SQLite file.

mod db;
#[cfg(test)]
mod memory;
mod open;
mod schema;
pub mod upgrade;

use super::State;
use super::sql::{Db, Engine, Fallible, Fault, Work};
use crate::monitor::signalled;
use crate::types::error::{Error, Result};
use db::Statements;
use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use std::path::{Path, PathBuf};

pub use schema::{Begun, begun, initialise};

/// An open database.
pub struct Sqlite {
    connection: Connection,
    path: PathBuf,
    location: String,
    writable: bool,
}

impl Sqlite {
    /// Opens the database at `path`, which must exist. One that cannot be written is opened for reading.
    ///
    /// # Errors
    /// [`Error::Database`]: there is none, or it is no database.
    pub fn open(path: &Path) -> Result<Self> {
        let location = format!("sqlite:///{}", path.display());
        let unusable = |text: String| Error::Database(format!("Invalid database ({location}). {text}"));
        match std::fs::metadata(path) {
            Ok(meta) if meta.len() == 0 => {
                return Err(unusable("It is empty. Please run initdb first.".into()));
            }
            Ok(_) => {}
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(unusable("It does not exist. Please run initdb first.".into()));
            }
            Err(e) => return Err(unusable(e.to_string())),
        }
        let (connection, writable) = open::connect(path).map_err(|e| unusable(e.to_string()))?;
        Ok(Sqlite { connection, path: path.to_owned(), location, writable })
    }

    /// What the database needs before it can be used.
    ///
    /// # Errors
    /// [`Error::Database`]: not initialised, or of a release that this one does not know.
    pub fn state(&self) -> Result<State> {
        schema::state(&self.connection, &self.location)
    }

    /// Brings a database in [`State::Behind`] up to date.
    ///
    /// # Errors
    /// What the database says; nothing is changed then.
    pub fn add_tables(&mut self) -> Result<()> {
        schema::add(&mut self.connection, &self.location)
    }

    fn check_references(&self, on: bool) -> Result<()> {
        let switched = self.connection.pragma_update(None, "foreign_keys", on);
        switched.map_err(|e| error(&self.location, "switching the check of references", &e))
    }

    fn page_cache(&self, kib: i64) {
        // Where it cannot be had, it is only slower.
        let _ = self.connection.pragma_update(None, "cache_size", -kib);
    }

    fn fault(&self, what: &str, fault: Fault) -> Error {
        match fault {
            Fault::Sqlite(e) => error(&self.location, what, &e),
            Fault::Because(error) => error,
            Fault::Value(text) => {
                Error::Metadata { database: self.location.clone(), message: format!("{what}: {text}") }
            }
            Fault::Postgres(e) => Error::Internal(format!("{what}: PostgreSQL in a SQLite database: {e}")),
        }
    }

    /// Runs `work` in one write transaction: all of it happens, or nothing.
    fn transact<T>(&mut self, what: &str, mut work: impl FnMut(&mut dyn Db) -> Fallible<T>) -> Result<T> {
        let done = (|| {
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = work(&mut Statements(&transaction))?;
            transaction.commit()?;
            Ok(done)
        })();
        done.map_err(|fault| self.fault(what, fault))
    }
}

impl Engine for Sqlite {
    fn place(&self) -> &str {
        &self.location
    }

    fn can_write(&self) -> bool {
        self.writable
    }

    fn read<T>(&mut self, what: &str, mut work: impl FnMut(&mut dyn Db) -> Fallible<T>) -> Result<T> {
        work(&mut Statements(&self.connection)).map_err(|fault| self.fault(what, fault))
    }

    fn write<T>(
        &mut self,
        what: &str,
        kind: Work,
        work: impl FnMut(&mut dyn Db) -> Fallible<T>,
    ) -> Result<T> {
        match kind {
            Work::Small => self.transact(what, work),
            Work::Bulk => {
                // SQLite would look up the other end of each row, which takes as long as the rest of the work. Within
                // a transaction the switch does nothing.
                self.check_references(false)?;
                let done = self.transact(what, work);
                self.check_references(true)?;
                done
            }
            Work::Scattered | Work::Once => {
                self.page_cache(open::LARGE_CACHE);
                let done = self.transact(what, work);
                self.page_cache(open::CACHE);
                done
            }
        }
    }
}

/// Says what was being done when the database failed.
fn error(location: &str, what: &str, error: &rusqlite::Error) -> Error {
    let hint = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy) if let Some(signal) = signalled() => return Error::Interrupted(signal),
        Some(ErrorCode::DatabaseBusy) => ". Another process has been writing to it for a minute",
        Some(ErrorCode::DiskFull) => ". Free some space and try again",
        Some(ErrorCode::DatabaseCorrupt) => ". Check it with `sqlite3 FILE 'pragma integrity_check'`",
        Some(ErrorCode::ReadOnly) => ". Check the rights of the file and of its folder",
        _ => "",
    };
    Error::Metadata { database: location.to_owned(), message: format!("{what}: {error}{hint}") }
}

#[cfg(test)]
mod tests;
