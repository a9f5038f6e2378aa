//! Listings: the same rows as a table, as `|`-separated lines for scripts, or as JSON.

use super::Context;
use super::csv_list::Choice;
use super::table::{Align, Column, Table};
use crate::types::error::Result;
use crate::types::time::Timestamp;
use serde_json::{Map, Value};

/// A column for rows of type `T`.
pub(crate) trait Field<T>: Choice {
    /// The key in JSON.
    fn key(self) -> &'static str {
        self.title()
    }

    /// The alignment of the column.
    fn align(self) -> Align;

    /// The text of the cell in `row`. `human` (`-r`) shows sizes with units.
    fn cell(self, row: &T, human: bool) -> String;

    /// The JSON value of the cell in `row`: bytes as numbers, dates as RFC 3339.
    fn value(self, row: &T) -> Value;
}

/// Makes a table of the rows, in the given order, with these columns.
pub(crate) fn table<T, F: Field<T>>(rows: &[T], fields: &[F], human: bool) -> Table {
    let column = |field: &F| Column { title: field.title(), align: field.align() };
    let cells = |row: &T| fields.iter().map(|field| field.cell(row, human)).collect();
    Table { columns: fields.iter().map(column).collect(), rows: rows.iter().map(cells).collect() }
}

/// Prints the rows in the form that the command line asks for. In JSON they form the list `what`; `identity` adds
/// fields that identify a row and are not in the table.
///
/// # Errors
/// Stdout cannot be written.
pub(crate) fn show<T, F: Field<T>>(
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

/// An `identity` for [`show`] that adds nothing.
pub(crate) fn complete<T>(_: &T) -> Map<String, Value> {
    Map::new()
}

/// A date as an RFC 3339 string in UTC, with microseconds.
pub(crate) fn date(time: Timestamp) -> Value {
    Value::String(time.naive().format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string())
}
