//! Converts values of the shared statements to PostgreSQL's types and back.

use crate::meta::sql::{Fallible, Fault, Field, Row, Value};
use crate::types::time::Timestamp;
use chrono::NaiveDateTime;
use postgres::Statement;
use postgres::types::{FromSql, ToSql, Type};

/// The parameters of a statement, converted to the types that it expects.
pub(super) struct Bound<'v>(Vec<Box<dyn ToSql + Sync + 'v>>);

impl<'v> Bound<'v> {
    pub(super) fn new(statement: &Statement, values: &'v [Value<'v>]) -> Fallible<Self> {
        let types = statement.params();
        if types.len() != values.len() {
            let (want, have) = (types.len(), values.len());
            return Err(Fault::Value(format!("{have} parameters for a statement that has {want}").into()));
        }
        types.iter().zip(values).map(|(ty, value)| bind(ty, value)).collect::<Fallible<_>>().map(Bound)
    }

    pub(super) fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.0.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect()
    }
}

fn bind<'v>(ty: &Type, value: &'v Value<'v>) -> Fallible<Box<dyn ToSql + Sync + 'v>> {
    let misfit = || Fault::Value(format!("{value:?} is no {ty}").into());
    let int = match value {
        Value::Int(value) => Some(*value),
        _ => None,
    };
    Ok(match (value, ty) {
        (Value::Int(_) | Value::Null, &Type::INT8) => Box::new(int),
        (Value::Int(_) | Value::Null, &Type::INT4) => {
            Box::new(int.map(i32::try_from).transpose().map_err(|_| misfit())?)
        }
        (Value::Text(text), &Type::TEXT | &Type::VARCHAR | &Type::BPCHAR) => Box::new(*text),
        (Value::Time(time), &Type::TIMESTAMP) => Box::new(time.naive()),
        (Value::Null, &Type::TEXT | &Type::VARCHAR | &Type::BPCHAR) => Box::new(None::<String>),
        (Value::Null, &Type::TIMESTAMP) => Box::new(None::<NaiveDateTime>),
        _ => return Err(misfit()),
    })
}

/// A line in COPY's text format: fields separated by tabs, with `\N` for NULL.
pub(super) fn copied(row: &[Field]) -> String {
    let mut line = String::new();
    for (n, field) in row.iter().enumerate() {
        if n > 0 {
            line.push('\t');
        }
        match field {
            Field::Null => line.push_str("\\N"),
            Field::Int(value) => line.push_str(&value.to_string()),
            Field::Text(text) => text.chars().for_each(|c| match c {
                '\\' => line.push_str("\\\\"),
                '\t' => line.push_str("\\t"),
                '\n' => line.push_str("\\n"),
                '\r' => line.push_str("\\r"),
                c => line.push(c),
            }),
        }
    }
    line.push('\n');
    line
}

/// A row of a result.
pub(super) struct Typed<'r>(pub &'r postgres::Row);

impl Typed<'_> {
    fn get<'a, T: FromSql<'a>>(&'a self, column: usize) -> Fallible<Option<T>> {
        Ok(self.0.try_get(column)?)
    }
}

impl Row for Typed<'_> {
    fn name(&self, column: usize) -> String {
        self.0.columns().get(column).map_or_else(|| format!("column {column}"), |c| c.name().to_owned())
    }

    fn opt_int(&self, column: usize) -> Fallible<Option<i64>> {
        match self.0.columns().get(column).map(|c| c.type_()) {
            Some(&Type::INT4) => Ok(self.get::<i32>(column)?.map(i64::from)),
            Some(&Type::BOOL) => Ok(self.get::<bool>(column)?.map(i64::from)),
            _ => self.get(column),
        }
    }

    fn opt_text(&self, column: usize) -> Fallible<Option<String>> {
        self.get(column)
    }

    fn opt_time(&self, column: usize) -> Fallible<Option<Timestamp>> {
        Ok(self.get(column)?.map(Timestamp::from_naive))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_for_copy_keep_every_character() {
        let text = |text: &str| Field::Text(text.to_owned());
        let row = [Field::Int(-3), Field::Null, text("a\tb\\N\r\n"), text("")];
        assert_eq!(copied(&row), "-3\t\\N\ta\\tb\\\\N\\r\\n\t\n");
    }
}
