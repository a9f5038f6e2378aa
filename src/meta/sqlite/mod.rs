//! Metadata in a SQLite file.

mod backup;
mod catalogue;
mod cleanup;
mod marks;
mod read;
mod schema;
pub mod upgrade;

use super::{
    Candidates, Carried, Fingerprint, Finish, Known, MetaStore, NewRow, Rows, State, StatisticsRow,
    VersionFilter,
};
use crate::types::block::{Blob, BlockRow, Geometry};
use crate::types::error::{Error, Result};
use crate::types::time::Timestamp;
use crate::types::version::{NewVersion, Version};
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use schema::initialise;

/// How long a statement waits for another process's transaction. The longest one that is not an upgrade
/// carries or removes a version of millions of blocks, and takes seconds.
const BUSY: Duration = Duration::from_secs(60);

/// An open database.
pub struct Sqlite {
    connection: Connection,
    path: PathBuf,
    location: String,
    writable: bool,
}

impl Sqlite {
    /// Opens the database at `path`, which must exist. One that cannot be written is opened for reading.
    ///
    /// # Errors
    /// [`Error::Database`]: there is none, or it is no database.
    pub fn open(path: &Path) -> Result<Self> {
        let location = format!("sqlite:///{}", path.display());
        let unusable = |text: String| Error::Database(format!("Invalid database ({location}). {text}"));
        match std::fs::metadata(path) {
            Ok(meta) if meta.len() == 0 => {
                return Err(unusable("It is empty. Please run initdb first.".into()));
            }
            Ok(_) => {}
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(unusable("It does not exist. Please run initdb first.".into()));
            }
            Err(e) => return Err(unusable(e.to_string())),
        }
        let (connection, writable) = connect(path).map_err(|e| unusable(e.to_string()))?;
        Ok(Sqlite { connection, path: path.to_owned(), location, writable })
    }

    /// What the database needs before it can be used.
    ///
    /// # Errors
    /// [`Error::Database`]: not initialised, or of a release that this one does not know.
    pub fn state(&self) -> Result<State> {
        schema::state(&self.connection, &self.location)
    }

    /// Runs `work` in a read transaction of its own statements.
    fn read<T>(&self, what: &str, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        work(&self.connection).map_err(|e| error(&self.location, what, &e))
    }

    /// Runs `work` in one write transaction: all of it happens, or nothing.
    fn write<T>(&mut self, what: &str, work: impl FnOnce(&Transaction) -> rusqlite::Result<T>) -> Result<T> {
        let location = &self.location;
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|e| error(location, what, &e))?;
        let done = work(&transaction).map_err(|e| error(location, what, &e))?;
        transaction.commit().map_err(|e| error(location, what, &e))?;
        Ok(done)
    }
}

/// Says what was being done when the database failed.
fn error(location: &str, what: &str, error: &rusqlite::Error) -> Error {
    let hint = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy) => ". Another process has been writing to it for a minute",
        Some(ErrorCode::DiskFull) => ". Free some space and try again",
        Some(ErrorCode::DatabaseCorrupt) => ". Check it with `sqlite3 FILE 'pragma integrity_check'`",
        Some(ErrorCode::ReadOnly) => ". Check the rights of the file and of its folder",
        _ => "",
    };
    Error::Metadata { database: location.to_owned(), message: format!("{what}: {error}{hint}") }
}

/// Opens for writing, else for reading, else as a file that nobody changes (a database in WAL mode on a
/// read-only file system can be opened no other way).
fn connect(path: &Path) -> rusqlite::Result<(Connection, bool)> {
    let flags = OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let first = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_READ_WRITE);
    match first.and_then(|c| prepare(c, true)) {
        Ok(connection) if is_writable(&connection) => return Ok((connection, true)),
        Ok(_) => {}
        Err(e) if e.sqlite_error_code() == Some(ErrorCode::NotADatabase) => return Err(e),
        Err(_) => {}
    }
    let read_only = flags | OpenFlags::SQLITE_OPEN_READ_ONLY;
    let second = Connection::open_with_flags(path, read_only).and_then(|c| prepare(c, false));
    if let Ok(connection) = second {
        return Ok((connection, false));
    }
    let escaped = path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let connection = Connection::open_with_flags(format!("file:{escaped}?immutable=1"), read_only)?;
    Ok((prepare(connection, false)?, false))
}

/// A transaction that is rolled back tells whether the file, its folder and its file system can be written.
fn is_writable(connection: &Connection) -> bool {
    // Busy is not read-only: whoever waits for the lock will get it. A command that only reads must not wait.
    let _ = connection.busy_timeout(Duration::ZERO);
    let writable = match connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK") {
        Ok(()) => true,
        Err(e) => e.sqlite_error_code() == Some(ErrorCode::DatabaseBusy),
    };
    let _ = connection.busy_timeout(BUSY);
    writable
}

fn prepare(connection: Connection, writable: bool) -> rusqlite::Result<Connection> {
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(64);
    // Reads the header, and so tells whether this is a database at all.
    connection.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(()))?;
    connection.execute_batch(
        "PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -32768; PRAGMA synchronous = FULL;",
    )?;
    if writable {
        // Readers and the one writer do not wait for each other. Where it is not possible (another process
        // has it open the old way, a network file system), the old way works too.
        let _ = connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()));
    }
    Ok(connection)
}

impl MetaStore for Sqlite {
    fn location(&self) -> &str {
        &self.location
    }
    fn is_writable(&self) -> bool {
        self.writable
    }
    fn versions(&mut self, filter: &VersionFilter) -> Result<Vec<Version>> {
        self.read("listing versions", |c| catalogue::versions(c, filter))
    }
    fn version(&mut self, uid: &str) -> Result<Version> {
        self.read("looking up a version", |c| catalogue::version(c, uid))?
            .ok_or_else(|| Error::VersionNotFound(uid.to_owned()))
    }
    fn set_protected(&mut self, version: &Version, protected: bool) -> Result<()> {
        self.write("changing the protection", |t| catalogue::set_protected(t, version, protected))
    }
    fn last_tagged(&mut self, name: &str, tag: &str) -> Result<Option<Timestamp>> {
        self.read("looking up tags", |c| catalogue::last_tagged(c, name, tag))
    }
    fn add_tags(&mut self, version: &Version, tags: &[String]) -> Result<()> {
        self.write("adding tags", |t| catalogue::add_tags(t, &version.uid, tags))
    }
    fn begin_version(&mut self, version: &NewVersion) -> Result<Version> {
        self.write("making a version", |t| catalogue::begin_version(t, version))?;
        self.version(&version.uid)
    }
    fn carry(&mut self, base: &Version, version: &Version, ranges: &[Range<u64>]) -> Result<Carried> {
        self.write("carrying unchanged blocks", |t| backup::carry(t, base.key, version.key, ranges))
    }
    fn set_sparse(&mut self, version: &Version, geometry: Geometry, ranges: &[Range<u64>]) -> Result<()> {
        self.write("recording sparse blocks", |t| backup::set_sparse(t, version.key, geometry, ranges))
    }
    fn missing(&mut self, version: &Version) -> Result<Vec<Range<u64>>> {
        self.read("looking for missing blocks", |c| backup::missing(c, version.key, version.size))
    }
    fn unusable(&mut self, version: &Version) -> Result<Vec<Range<u64>>> {
        self.read("looking for invalid blocks", |c| backup::unusable(c, version.key, version.size))
    }
    fn find_known(&mut self, wanted: &[Fingerprint]) -> Result<Vec<Option<Known>>> {
        self.read("looking up checksums", |c| backup::find_known(c, wanted))
    }
    fn commit_blocks(&mut self, version: &Version, rows: &[NewRow]) -> Result<Vec<u64>> {
        self.write("committing blocks", |t| backup::commit_blocks(t, version.key, rows))
    }
    fn finish_version(&mut self, version: &Version, statistics: &StatisticsRow) -> Result<Finish> {
        self.write("finishing the version", |t| backup::finish_version(t, version, statistics))
    }
    fn add_statistics(&mut self, statistics: &StatisticsRow) -> Result<()> {
        self.write("adding statistics", |t| catalogue::add_statistics(t, statistics))
    }
    fn rows(&mut self, version: &Version, from: u64, limit: usize, which: Rows) -> Result<Vec<BlockRow>> {
        self.read("reading blocks", |c| read::rows(c, version.key, from, limit, which))
    }
    fn sparse_ranges(&mut self, version: &Version, from: u64) -> Result<Vec<Range<u64>>> {
        self.read("reading sparse blocks", |c| read::sparse_ranges(c, version.key, from))
    }
    fn sample(
        &mut self,
        version: Option<&Version>,
        enc_version: Option<u32>,
        limit: usize,
    ) -> Result<Vec<BlockRow>> {
        self.read("reading some blocks", |c| read::sample(c, version.map(|v| v.key), enc_version, limit))
    }
    fn first_block_size(&mut self, version: Option<&Version>) -> Result<Option<(String, u64)>> {
        self.read("reading a block's size", |c| read::first_block_size(c, version.map(|v| v.key)))
    }
    fn mark_blobs_invalid(&mut self, blobs: &[Blob]) -> Result<Vec<String>> {
        self.write("marking blocks invalid", |t| marks::blobs_invalid(t, blobs))
    }
    fn mark_version_invalid(&mut self, version: &Version) -> Result<()> {
        self.write("marking a version invalid", |t| marks::version_invalid(t, version.key))
    }
    fn mark_version_valid(&mut self, version: &Version) -> Result<()> {
        self.write("marking a version valid", |t| marks::version_valid(t, version.key))
    }
    fn remove_version(&mut self, version: &Version, now: i64) -> Result<u64> {
        self.write("removing a version", |t| cleanup::remove_version(t, version, now))
    }
    fn doomed(&mut self) -> Result<Vec<String>> {
        self.read("looking for unfinished deletions", cleanup::doomed)
    }
    fn take_delete_candidates(&mut self, after: i64, before: i64, limit: usize) -> Result<Candidates> {
        self.write("looking for deletable blobs", |t| cleanup::take_candidates(t, after, before, limit))
    }
    fn forget_deleted(&mut self, uids: &[String]) -> Result<()> {
        self.write("forgetting deleted blobs", |t| cleanup::forget(t, uids))
    }
    fn drop_unnamed_blobs(&mut self) -> Result<u64> {
        self.write("dropping rows of unused blobs", cleanup::drop_unnamed)
    }
    fn without_row(&mut self, uids: &[String]) -> Result<Vec<String>> {
        self.read("looking up blobs", |c| cleanup::without_row(c, uids))
    }
}

#[cfg(test)]
mod tests;
