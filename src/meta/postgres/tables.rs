//! Copies whole tables.

use super::db::Statements;
use super::rows;
use crate::meta::sql::{Db, Fallible, Fault, Field, TableSql, values};
use crate::types::reason::because;
use postgres::GenericClient;
use std::io::Write;

impl<C: GenericClient> TableSql for Statements<'_, C> {
    fn load(&mut self, table: &str, columns: &[&str], rows: &[Vec<Field>]) -> Fallible<()> {
        let sql = format!("COPY {table} ({}) FROM STDIN", columns.join(", "));
        let mut writer = self.client.copy_in(&sql)?;
        let failed = |e: std::io::Error| Fault::Value(because(format!("copying into {table}"), e));
        for row in rows {
            writer.write_all(rows::copied(row).as_bytes()).map_err(failed)?;
        }
        writer.finish()?;
        Ok(())
    }

    fn last_id(&mut self, table: &str) -> Fallible<i64> {
        let db: &mut dyn Db = self;
        // An unused sequence also has a last value. In the worst case one number is skipped.
        let given = db.number(
            "SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence(?1, 'id')), 0)",
            values![table],
        )?;
        let highest = db.number(&format!("SELECT coalesce(max(id), 0) FROM {table}"), &[])?;
        Ok(given.max(highest).max(0))
    }

    fn set_last_id(&mut self, table: &str, last: i64) -> Fallible<()> {
        let sql = "SELECT setval(pg_get_serial_sequence(?1, 'id'), greatest(?2::bigint, 1), ?2::bigint > 0)";
        self.ask(sql, &[&table, &last])?;
        Ok(())
    }
}
