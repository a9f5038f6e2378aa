//! SQL for both engines.
//!
//! [`Db`] is an open transaction of either engine. It runs statements with parameters `?1`, `?2`, …, returns the rows
//! of their results, and has the few methods that each engine implements in its own way.

pub(super) mod rules;

use super::{Candidates, DumpRows, Fingerprint, Known, NewRow};
use crate::types::checksum::Checksum;
use crate::types::error::Error;
use crate::types::keys::{BlobId, EntryId, VersionKey};
use crate::types::reason::{Reason, because};
use crate::types::time::Timestamp;
use crate::types::uid::{BlobUid, VersionUid};
use crate::types::version::Version;

/// A parameter of a statement.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    /// NULL of any type.
    Null,
    /// A number, or a flag, which is 0 or 1.
    Int(i64),
    /// Text.
    Text(&'a str),
    /// A point in time.
    Time(Timestamp),
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Value::Int(value)
    }
}
impl From<u64> for Value<'_> {
    /// A number that does not fit is a damaged size, and becomes the largest number.
    fn from(value: u64) -> Self {
        Value::Int(i64::try_from(value).unwrap_or(i64::MAX))
    }
}
impl From<u32> for Value<'_> {
    fn from(value: u32) -> Self {
        Value::Int(i64::from(value))
    }
}
impl From<usize> for Value<'_> {
    fn from(value: usize) -> Self {
        Value::from(value as u64)
    }
}
impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Value::Int(i64::from(value))
    }
}
impl From<Timestamp> for Value<'_> {
    fn from(value: Timestamp) -> Self {
        Value::Time(value)
    }
}
impl<'a> From<&'a str> for Value<'a> {
    fn from(value: &'a str) -> Self {
        Value::Text(value)
    }
}
impl<'a> From<&'a String> for Value<'a> {
    fn from(value: &'a String) -> Self {
        Value::Text(value)
    }
}
impl From<VersionKey> for Value<'_> {
    fn from(value: VersionKey) -> Self {
        Value::Int(value.0)
    }
}
impl From<BlobId> for Value<'_> {
    fn from(value: BlobId) -> Self {
        Value::Int(value.0)
    }
}
impl From<EntryId> for Value<'_> {
    fn from(value: EntryId) -> Self {
        Value::Int(value.0)
    }
}
impl<'a> From<&'a VersionUid> for Value<'a> {
    fn from(value: &'a VersionUid) -> Self {
        Value::Text(value.as_str())
    }
}
impl<'a> From<&'a BlobUid> for Value<'a> {
    fn from(value: &'a BlobUid) -> Self {
        Value::Text(value.as_str())
    }
}
impl<'a> From<&'a Checksum> for Value<'a> {
    fn from(value: &'a Checksum) -> Self {
        Value::Text(value.as_str())
    }
}
impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}

/// A value of a row that is copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Null,
    Int(i64),
    Text(String),
}

/// The parameters of a statement.
macro_rules! values {
    ($($value:expr),* $(,)?) => { &[$($crate::meta::sql::Value::from($value)),*] };
}
pub(super) use values;

/// The reason why a transaction is rolled back.
#[derive(Debug)]
pub(super) enum Fault {
    /// The driver of the engine failed. Only that engine knows the type and the meaning of the error.
    Driver(Box<dyn std::error::Error + Send + Sync>),
    /// A value is not valid.
    Value(Reason),
    /// Another error.
    Because(Error),
}

impl Fault {
    /// The fault of a row that cannot be read. `whose` names the row, such as `version UID, block 7`.
    pub(super) fn of_row(self, whose: &str) -> Self {
        match self {
            Fault::Value(why) => Fault::Value(why.during(whose)),
            Fault::Driver(error) => Fault::Value(because(whose, error)),
            because => because,
        }
    }

    /// The driver's error, if it is of type `E`.
    pub(super) fn driver<E: std::error::Error + 'static>(&self) -> Option<&E> {
        match self {
            Fault::Driver(error) => error.downcast_ref(),
            _ => None,
        }
    }

    /// Extracts the driver's error.
    ///
    /// # Errors
    /// The fault itself, if it is not an error of type `E`.
    pub(super) fn into_driver<E: std::error::Error + 'static>(self) -> std::result::Result<E, Fault> {
        match self {
            Fault::Driver(error) => error.downcast().map(|error| *error).map_err(Fault::Driver),
            other => Err(other),
        }
    }
}

/// The result of a part of a transaction.
pub(super) type Fallible<T> = std::result::Result<T, Fault>;

/// A row of a result. Columns count from 0.
pub(super) trait Row {
    /// The name of a column.
    fn name(&self, column: usize) -> String;
    fn opt_int(&self, column: usize) -> Fallible<Option<i64>>;
    fn opt_text(&self, column: usize) -> Fallible<Option<String>>;
    /// NULL and empty text are both `None`.
    fn opt_time(&self, column: usize) -> Fallible<Option<Timestamp>>;
}

impl dyn Row + '_ {
    pub(super) fn int(&self, column: usize) -> Fallible<i64> {
        self.opt_int(column)?.ok_or_else(|| Fault::Value(format!("{} is NULL", self.name(column)).into()))
    }

    /// A number that must not be negative.
    pub(super) fn size(&self, column: usize) -> Fallible<u64> {
        let value = self.int(column)?;
        u64::try_from(value)
            .map_err(|_| Fault::Value(format!("{} is negative: {value}", self.name(column)).into()))
    }

    /// A number that is only shown or added up. A negative number is damaged and counts as 0.
    pub(super) fn count(&self, column: usize) -> Fallible<u64> {
        Ok(u64::try_from(self.int(column)?).unwrap_or(0))
    }

    pub(super) fn flag(&self, column: usize) -> Fallible<bool> {
        Ok(self.int(column)? != 0)
    }

    pub(super) fn text(&self, column: usize) -> Fallible<String> {
        self.opt_text(column)?.ok_or_else(|| Fault::Value(format!("{} is NULL", self.name(column)).into()))
    }

    /// Text; empty text counts as none.
    pub(super) fn filled(&self, column: usize) -> Fallible<Option<String>> {
        Ok(self.opt_text(column)?.filter(|text| !text.is_empty()))
    }

    pub(super) fn time(&self, column: usize) -> Fallible<Timestamp> {
        Ok(self.opt_time(column)?.unwrap_or(Timestamp::from_naive(Default::default())))
    }
}

/// A function that is called with each row of a result.
pub(super) type Visit<'v> = &'v mut dyn FnMut(&dyn Row) -> Fallible<()>;

/// The differences between the SQL of the two engines.
pub(super) struct Dialect {
    /// The column that is the key of `versions`. It also exists in a database that was not upgraded yet.
    pub key: &'static str,
    /// The end of a SELECT that keeps the rows from being deleted until the transaction ends.
    pub keep: &'static str,
    /// A join whose left side is the outer loop. SQLite needs this hint; PostgreSQL finds out by itself.
    pub join: &'static str,
    /// The end of a grouped SELECT that sorts by its first two columns, if grouping alone does not.
    pub sorted: &'static str,
    /// The order in which the tags of a version are listed.
    pub tags: &'static str,
    /// Creates the temporary tables `gone (id)` and `unnamed (uid, size)`, which exist until the transaction ends.
    pub temporary: &'static str,
    /// Drops these tables, if the end of the transaction does not.
    pub temporary_end: &'static str,
    /// The two ends of an INSERT into `copies_due` that gives rows which exist already a new token.
    pub renewing: (&'static str, &'static str),
}

/// A transaction, or a connection that only reads. `db.rs` of each engine implements it, except for the groups that
/// have their own files.
pub(super) trait Db: BlockSql + CandidateSql + ImportSql + TableSql {
    /// The SQL that is not the same in both engines.
    fn dialect(&self) -> &'static Dialect;
    /// Runs a statement. Returns the number of rows that it has changed.
    fn execute(&mut self, sql: &str, values: &[Value]) -> Fallible<u64>;
    /// Runs statements without parameters.
    fn batch(&mut self, sql: &str) -> Fallible<()>;
    /// Calls `visit` with each row of a result, one by one.
    fn each(&mut self, sql: &str, values: &[Value], visit: Visit<'_>) -> Fallible<()>;

    /// Keeps other removals out until the transaction ends. If two removals ran at the same time, each would find that
    /// the version of the other still names the blobs that they share.
    fn alone_in_removing(&mut self) -> Fallible<()>;
    /// Keeps other transactions from marking blobs until this one ends. Without the lock, a version could seem complete
    /// while a mark on one of its blobs, or its row for a bad blob, is not committed yet.
    fn lock_marks(&mut self, to: Marks) -> Fallible<()>;
    /// Keeps other transactions from recording lists of blobs, and from deleting rows of blobs, until this one ends.
    fn alone_in_covering(&mut self) -> Fallible<()>;
    /// See [`super::Metadata::change_counter`].
    fn change_counter(&mut self) -> Fallible<u64>;
    /// See [`super::Metadata::integrity`].
    fn integrity(&mut self, limit: usize) -> Fallible<Vec<String>>;
    /// See [`super::Metadata::server_clock`].
    fn clock(&mut self) -> Fallible<Option<Timestamp>>;
}

/// Looking up blobs and committing blocks: `blocks.rs` of each engine.
pub(super) trait BlockSql {
    /// See [`super::Metadata::find_known`].
    fn find_known(&mut self, wanted: &[Fingerprint]) -> Fallible<Vec<Option<Known>>>;
    /// See [`super::Metadata::commit_blocks`].
    fn commit_blocks(&mut self, version: VersionKey, rows: &[NewRow]) -> Fallible<Vec<u64>>;
}

/// Taking entries for a cleanup from the list of deletable blobs: `candidates.rs` of each engine.
pub(super) trait CandidateSql {
    /// See [`super::Metadata::take_delete_candidates`].
    fn take_candidates(&mut self, after: EntryId, before: i64, limit: usize) -> Fallible<Candidates>;
}

/// Importing dumps: `import.rs` of each engine.
pub(super) trait ImportSql {
    /// Inserts the rows of an imported version.
    fn import_rows(&mut self, version: &Version, rows: DumpRows<'_>) -> Fallible<()>;
}

/// Copying whole tables: `tables.rs` of each engine.
pub(super) trait TableSql {
    /// Inserts rows into a table as they are, many at once. Times are text in SQLite's form.
    fn load(&mut self, table: &str, columns: &[&str], rows: &[Vec<Field>]) -> Fallible<()>;
    /// The highest number that a table has given to a row, or may have given.
    fn last_id(&mut self, table: &str) -> Fallible<i64>;
    /// Makes sure that new rows of the table get only numbers above `last`.
    fn set_last_id(&mut self, table: &str, last: i64) -> Fallible<()>;
}

impl dyn Db + '_ {
    /// All rows of a result.
    pub(super) fn all<T>(
        &mut self,
        sql: &str,
        values: &[Value],
        mut read: impl FnMut(&dyn Row) -> Fallible<T>,
    ) -> Fallible<Vec<T>> {
        let mut rows = Vec::new();
        self.each(sql, values, &mut |row| {
            rows.push(read(row)?);
            Ok(())
        })?;
        Ok(rows)
    }

    /// The only row of a result, or `None`.
    pub(super) fn first<T>(
        &mut self,
        sql: &str,
        values: &[Value],
        read: impl FnMut(&dyn Row) -> Fallible<T>,
    ) -> Fallible<Option<T>> {
        Ok(self.all(sql, values, read)?.into_iter().next())
    }

    /// The number that a statement returns; 0 if it returns no row.
    pub(super) fn number(&mut self, sql: &str, values: &[Value]) -> Fallible<i64> {
        Ok(self.first(sql, values, |row| row.int(0))?.unwrap_or_default())
    }
}

/// The purpose for which a transaction locks the marks on blobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Marks {
    /// It checks that the blobs of a version are not marked.
    Check,
    /// It marks blobs, or takes marks away.
    Change,
}

/// The kind of work that a transaction does, for engines that prepare for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// Ordinary work.
    Small,
    /// A few rows that nobody needs. If another process is writing, this fails after a moment.
    Optional,
    /// Many rows whose references are known to be right, so the engine need not check each of them.
    Bulk,
    /// Many rows, in an order that no index has.
    Scattered,
    /// As [`Work::Scattered`], but the engine cannot run it again, because its input is used up.
    Once,
    /// As both [`Work::Bulk`] and [`Work::Scattered`].
    Whole,
}
