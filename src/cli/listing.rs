//! Listings: the same rows as a table for people, as `|` for scripts, or as JSON.

use super::Context;
use super::csv_list::Choice;
use super::table::{Align, Column, Table};
use crate::types::error::Result;
use crate::types::time::Timestamp;
use serde_json::{Map, Value};

/// A column over rows of type `T`.
pub trait Field<T>: Choice {
    /// Its name in JSON.
    fn key(self) -> &'static str {
        self.title()
    }

    /// Where its text stands.
    fn align(self) -> Align;

    /// Its text in a row; `human` is `-r`.
    fn cell(self, row: &T, human: bool) -> String;

    /// Its value in JSON: bytes as numbers, dates as RFC 3339.
    fn value(self, row: &T) -> Value;
}

/// The rows, in the order given, with these columns.
pub fn table<T, F: Field<T>>(rows: &[T], fields: &[F], human: bool) -> Table {
    let column = |field: &F| Column { title: field.title(), align: field.align() };
    let cells = |row: &T| fields.iter().map(|field| field.cell(row, human)).collect();
    Table { columns: fields.iter().map(column).collect(), rows: rows.iter().map(cells).collect() }
}

/// Prints the rows as the command line asked for. In JSON they are the list `what`; `identity` adds what a
/// row of the table lacks to be told from others.
///
/// # Errors
/// Stdout cannot be written.
pub fn show<T, F: Field<T>>(
    context: &Context,
    what: &str,
    rows: &[T],
    fields: &[F],
    identity: impl Fn(&T) -> Map<String, Value>,
) -> Result<()> {
    if !context.json {
        return context.terminal.print(&table(rows, fields, context.style.human).render(context.style));
    }
    let object = |row: &T| {
        let mut object = identity(row);
        object.extend(fields.iter().map(|field| (field.key().to_owned(), field.value(row))));
        Value::Object(object)
    };
    let list: Vec<Value> = rows.iter().map(object).collect();
    context.print_json(&serde_json::json!({ what: list }))
}

/// Nothing to add.
pub fn complete<T>(_: &T) -> Map<String, Value> {
    Map::new()
}

/// A date as RFC 3339 in UTC, with microseconds.
pub fn date(time: Timestamp) -> Value {
    Value::String(time.naive().format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string())
}
