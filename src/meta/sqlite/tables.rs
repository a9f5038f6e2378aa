//! Copies whole tables.

use super::db::Statements;
use crate::meta::sql::{Db, Fallible, Field, TableSql, Value, values};

impl TableSql for Statements<'_> {
    fn load(&mut self, table: &str, columns: &[&str], rows: &[Vec<Field>]) -> Fallible<()> {
        let places = vec!["?"; columns.len()].join(", ");
        let sql = format!("INSERT INTO {table} ({}) VALUES ({places})", columns.join(", "));
        let mut insert = self.prepare(&sql)?;
        for row in rows {
            insert.execute(rusqlite::params_from_iter(row.iter().map(|field| match field {
                Field::Null => Value::Null,
                Field::Int(value) => Value::Int(*value),
                Field::Text(text) => Value::Text(text),
            })))?;
        }
        Ok(())
    }

    fn last_id(&mut self, table: &str) -> Fallible<i64> {
        let db: &mut dyn Db = self;
        let given =
            db.number("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = ?1", values![table])?;
        let highest = db.number(&format!("SELECT coalesce(max(id), 0) FROM {table}"), &[])?;
        Ok(given.max(highest).max(0))
    }

    fn set_last_id(&mut self, table: &str, last: i64) -> Fallible<()> {
        self.execute("DELETE FROM sqlite_sequence WHERE name = ?1", values![table])?;
        self.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?1, ?2)", values![table, last])?;
        Ok(())
    }
}
