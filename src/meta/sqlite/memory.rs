//! A database in memory, for tests that need a great many states of one.

use super::{Sqlite, open, schema};
use crate::meta::sql::rules::applied;
use rusqlite::Connection;

impl Sqlite {
    /// A new database, with the schema as the test has changed it on this thread.
    pub(in crate::meta) fn in_memory() -> Sqlite {
        let connection = Connection::open_in_memory().expect("opens");
        connection.execute_batch(&applied(schema::DDL)).expect("makes the tables");
        let connection = open::prepare(connection, true, open::wait).expect("prepares");
        Sqlite::on(connection, "memory".as_ref(), "sqlite in memory".into(), None)
    }

    /// What it works on, for SQL that is no verb.
    pub(in crate::meta) fn connection(&self) -> &Connection {
        &self.connection
    }
}
