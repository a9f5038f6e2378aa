//! A database in memory, for tests that need very many states of a database.

use super::{Sqlite, open, schema};
use crate::meta::sql::rules::applied;
use rusqlite::Connection;

impl Sqlite {
    /// A new database. Its schema includes the changes that the test has made on this thread.
    pub(in crate::meta) fn in_memory() -> Sqlite {
        let connection = Connection::open_in_memory().expect("opens");
        connection.execute_batch(&applied(schema::DDL)).expect("makes the tables");
        let connection = open::prepare(connection, open::Use::Write, open::wait).expect("prepares");
        Sqlite::on(connection, "memory".as_ref(), "sqlite in memory".into(), None)
    }

    /// The connection, for SQL that is not part of a verb.
    pub(in crate::meta) fn connection(&self) -> &Connection {
        &self.connection
    }
}
