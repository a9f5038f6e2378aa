//! Makes PostgreSQL databases of 2.x from the SQLite files of the fixtures.

use super::database::{literal, sqlite_rows};

/// Creates the tables and indexes of a file in an empty database, with 2.x's types, and copies all rows.
pub fn copy(file: &rusqlite::Connection, client: &mut postgres::Client) {
    let ask = |sql: &str| sqlite_rows(file, sql).expect(sql);
    let made = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type = 'index', rowid";
    for row in ask(made) {
        let sql = row[0].as_deref().expect("no NULL").replace("DATETIME", "TIMESTAMP");
        // In these tables 2.x let the database number the rows.
        let counts = sql.starts_with("CREATE TABLE stats") || sql.starts_with("CREATE TABLE deleted_blocks");
        let sql = if counts { sql.replace("\tid INTEGER NOT NULL", "\tid BIGSERIAL NOT NULL") } else { sql };
        client.batch_execute(&sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }
    // Versions first, as other tables refer to them.
    let tables = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name <> 'versions'";
    for table in ask(tables) {
        let table = table[0].as_deref().expect("no NULL");
        for row in ask(&format!("SELECT * FROM {table}")) {
            let values: Vec<String> = row.iter().map(|value| literal(value.as_deref())).collect();
            let insert = format!("INSERT INTO {table} VALUES ({})", values.join(", "));
            client.batch_execute(&insert).unwrap_or_else(|error| panic!("{insert}: {error:?}"));
        }
    }
    for table in ["stats", "deleted_blocks"] {
        let sequence = format!(
            "SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) + 1 FROM {table}), false)
             WHERE EXISTS (SELECT 1 FROM pg_class WHERE relname = '{table}_id_seq')"
        );
        if client.simple_query(&format!("SELECT id FROM {table} LIMIT 0")).is_ok() {
            client.batch_execute(&sequence).expect("a sequence goes on behind the rows");
        }
    }
}
