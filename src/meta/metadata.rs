//! The open metadata of an installation, with either engine.

use super::SchemaState;
use super::postgres::Postgres;
use super::sql::{Db, Fallible, Work};
use super::sqlite::Sqlite;
use super::url::DatabaseUrl;
use crate::failpoint;
use crate::monitor::Handle;
use crate::pg::Fence;
use crate::types::error::Result;

/// An open database. It has one connection, and one thread owns it.
///
/// Its verbs are in `verbs`. Each verb is one transaction: it happens as a whole or not at all. Errors of verbs are
/// [`crate::types::Error::Metadata`] unless said otherwise.
pub struct Metadata(Engine);

enum Engine {
    Sqlite(Box<Sqlite>),
    Postgres(Box<Postgres>),
}
use Engine::*;

impl Metadata {
    /// Opens the database without a check of its schema, as a second connection or to ask for its [`Metadata::state`].
    /// `monitor` receives messages about lost connections to a server.
    ///
    /// # Errors
    /// [`crate::types::Error::Database`]: the database does not exist, or it cannot be reached.
    /// [`crate::types::Error::Locked`]: another process keeps it locked.
    pub fn open(url: &DatabaseUrl, monitor: Handle) -> Result<Self> {
        Ok(match url {
            DatabaseUrl::File(path) => Sqlite::open(path)?.into(),
            DatabaseUrl::Server(address) => {
                Postgres::open((**address).clone(), monitor, Fence::default())?.into()
            }
        })
    }

    /// The state of the database: whether it is current or must be upgraded first.
    ///
    /// # Errors
    /// [`crate::types::Error::Database`]: the database is not initialised, or was made by an unknown release.
    pub fn state(&mut self) -> Result<SchemaState> {
        match &mut self.0 {
            Sqlite(database) => database.state(),
            Postgres(database) => database.state(),
        }
    }

    /// The location of the database for messages, without passwords.
    pub fn location(&self) -> &str {
        match &self.0 {
            Sqlite(database) => database.location(),
            Postgres(database) => database.location(),
        }
    }

    /// Whether anything can be written to the database.
    pub fn is_writable(&self) -> bool {
        self.check_writable().is_ok()
    }

    /// Checks whether anything can be written to the database.
    ///
    /// # Errors
    /// [`crate::types::Error::Database`] or [`crate::types::Error::Full`]: the database cannot be written.
    pub fn check_writable(&self) -> Result<()> {
        match &self.0 {
            Sqlite(database) => database.check_writable(),
            Postgres(database) => database.check_writable(),
        }
    }

    /// Creates the reserve of disk space beside a database file, unless it exists or space is short. Does nothing on a
    /// server.
    pub fn keep_reserve(&self) {
        match &self.0 {
            Sqlite(database) => database.keep_reserve(),
            Postgres(_) => {}
        }
    }
}

impl From<Sqlite> for Metadata {
    fn from(database: Sqlite) -> Self {
        Metadata(Sqlite(Box::new(database)))
    }
}

impl From<Postgres> for Metadata {
    fn from(database: Postgres) -> Self {
        Metadata(Postgres(Box::new(database)))
    }
}

impl Metadata {
    /// Runs `work`, which only reads. `what` names the operation in errors. An engine runs `work` again after a failure
    /// that may pass.
    pub(super) fn read<T>(&mut self, what: &str, work: impl FnMut(&mut dyn Db) -> Fallible<T>) -> Result<T> {
        failpoint::note(what);
        match &mut self.0 {
            Sqlite(database) => database.read(what, work),
            Postgres(database) => database.read(what, work),
        }
    }

    /// Runs `work` in one transaction. All of it takes effect, or nothing. `what` names the operation in errors. An
    /// engine runs `work` again after a failure that may pass, but never after a commit.
    pub(super) fn write<T>(
        &mut self,
        what: &str,
        kind: Work,
        work: impl FnMut(&mut dyn Db) -> Fallible<T>,
    ) -> Result<T> {
        failpoint::note(what);
        match &mut self.0 {
            Sqlite(database) => database.write(what, kind, work),
            Postgres(database) => database.write(what, kind, work),
        }
    }
}

/// For the tests of an engine itself.
#[cfg(test)]
impl Metadata {
    pub(super) fn sqlite(&self) -> &super::sqlite::Sqlite {
        match &self.0 {
            Sqlite(database) => database,
            Postgres(_) => panic!("this database is on a server"),
        }
    }

    pub(super) fn sqlite_mut(&mut self) -> &mut super::sqlite::Sqlite {
        match &mut self.0 {
            Sqlite(database) => database,
            Postgres(_) => panic!("this database is on a server"),
        }
    }
}
