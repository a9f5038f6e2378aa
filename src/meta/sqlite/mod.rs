//! Metadata in a SQLite file.

mod backup;
mod catalogue;
mod cleanup;
mod marks;
mod open;
mod origins;
mod read;
mod rekey;
mod schema;
mod transfer;
pub mod upgrade;
mod usage;

use super::{
    Candidates, Carried, DumpRow, DumpRows, Fingerprint, Finish, Known, MetaStore, NewRow, PastRun, Rekeyed,
    Rewrap, Rows, State, StatisticsRow, Usage, VersionFilter,
};
use crate::types::block::{Blob, BlockRow, Geometry};
use crate::types::error::{Error, Result};
use crate::types::time::Timestamp;
use crate::types::version::{ImageId, NewVersion, Origin, Version};
use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};
use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

pub use schema::initialise;

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
        let (connection, writable) = open::connect(path).map_err(|e| unusable(e.to_string()))?;
        Ok(Sqlite { connection, path: path.to_owned(), location, writable })
    }

    /// What the database needs before it can be used.
    ///
    /// # Errors
    /// [`Error::Database`]: not initialised, or of a release that this one does not know.
    pub fn state(&self) -> Result<State> {
        schema::state(&self.connection, &self.location)
    }

    /// Brings a database in [`State::Behind`] up to date.
    ///
    /// # Errors
    /// What the database says; nothing is changed then.
    pub fn add_tables(&mut self) -> Result<()> {
        schema::add(&mut self.connection, &self.location)
    }

    /// Runs `work` in a read transaction of its own statements.
    fn read<T>(&self, what: &str, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        work(&self.connection).map_err(|e| error(&self.location, what, &e))
    }

    /// Runs `work` in one write transaction: all of it happens, or nothing.
    fn write<T>(&mut self, what: &str, work: impl FnOnce(&Transaction) -> rusqlite::Result<T>) -> Result<T> {
        self.transact(what, |t| work(t).map_err(Abort::Sql))
    }

    /// As [`Sqlite::write`], for work that takes all references for granted and sees to them itself: SQLite would
    /// look up the other end of each row, which takes as long as the rest of the work.
    fn write_in_bulk<T>(
        &mut self,
        what: &str,
        work: impl FnOnce(&Transaction) -> rusqlite::Result<T>,
    ) -> Result<T> {
        // Within a transaction the switch does nothing.
        self.check_references(false)?;
        let done = self.write(what, work);
        self.check_references(true)?;
        done
    }

    fn check_references(&self, on: bool) -> Result<()> {
        let switched = self.connection.pragma_update(None, "foreign_keys", on);
        switched.map_err(|e| error(&self.location, "switching the check of references", &e))
    }

    /// Runs `work` with a larger page cache: each row that it makes or deletes has its places in all indexes, far
    /// from those of the row before.
    fn with_large_cache<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        // Where it cannot be had, it is only slower.
        let _ = self.connection.pragma_update(None, "cache_size", -open::LARGE_CACHE);
        let done = work(self);
        let _ = self.connection.pragma_update(None, "cache_size", -open::CACHE);
        done
    }

    /// As [`Sqlite::write`], for work that can also fail in another way than by SQL.
    fn transact<T>(
        &mut self,
        what: &str,
        work: impl FnOnce(&Transaction) -> std::result::Result<T, Abort>,
    ) -> Result<T> {
        let location = &self.location;
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|e| error(location, what, &e))?;
        let done = work(&transaction).map_err(|abort| match abort {
            Abort::Sql(e) => error(location, what, &e),
            Abort::Because(error) => error,
        })?;
        transaction.commit().map_err(|e| error(location, what, &e))?;
        Ok(done)
    }
}

/// Why a transaction is rolled back.
enum Abort {
    /// The database failed.
    Sql(rusqlite::Error),
    /// Something else did.
    Because(Error),
}

impl From<rusqlite::Error> for Abort {
    fn from(error: rusqlite::Error) -> Self {
        Abort::Sql(error)
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

impl MetaStore for Sqlite {
    fn location(&self) -> &str {
        &self.location
    }
    fn is_writable(&self) -> bool {
        self.writable
    }
    fn change_counter(&mut self) -> Result<u64> {
        self.read("looking for changes", catalogue::change_counter)
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
    fn remove_tags(&mut self, version: &Version, tags: &[String]) -> Result<()> {
        self.write("removing tags", |t| catalogue::remove_tags(t, &version.uid, tags))
    }
    fn set_expire(&mut self, version: &Version, expire: Option<Timestamp>) -> Result<()> {
        self.write("setting the expiry", |t| catalogue::set_expire(t, &version.uid, expire))
    }
    fn past_runs(&mut self, version_uid: Option<&str>, limit: Option<u64>) -> Result<Vec<PastRun>> {
        self.read("reading statistics", |c| usage::past_runs(c, version_uid, limit))
    }
    fn usage(&mut self, version: Option<&Version>) -> Result<HashMap<i64, Usage>> {
        self.read("adding up sizes", |c| usage::usage(c, version.map(|v| v.key)))
    }
    fn dump_rows(&mut self, version: &Version, from: u64, limit: usize) -> Result<Vec<DumpRow>> {
        self.read("reading blocks", |c| transfer::dump_rows(c, version.key, from, limit))
    }
    fn import(&mut self, version: &Version, rows: DumpRows<'_>) -> Result<()> {
        self.with_large_cache(|s| s.transact("importing a version", |t| transfer::import(t, version, rows)))
    }
    fn rekey(&mut self, rewrap: Rewrap<'_>) -> Result<Rekeyed> {
        self.transact("rekeying", |t| rekey::rekey(t, rewrap))
    }
    fn begin_version(&mut self, version: &NewVersion) -> Result<Version> {
        self.write("making a version", |t| catalogue::begin_version(t, version))?;
        self.version(&version.uid)
    }
    fn origin(&mut self, version: &Version) -> Result<Option<Origin>> {
        self.read("looking up a snapshot", |c| origins::origin(c, &version.uid))
    }
    fn versions_of(&mut self, image: &ImageId) -> Result<Vec<(Version, Origin)>> {
        self.read("listing versions of an image", |c| origins::versions_of(c, image))
    }
    fn note_snapshot(&mut self, image: &ImageId, name: &str) -> Result<()> {
        self.write("noting a snapshot", |t| origins::note(t, image, name))
    }
    fn noted_snapshots(&mut self, image: &ImageId) -> Result<Vec<String>> {
        self.read("listing snapshots", |c| origins::noted(c, image))
    }
    fn forget_snapshot(&mut self, image: &ImageId, name: &str) -> Result<()> {
        self.write("forgetting a snapshot", |t| origins::forget(t, image, name))
    }
    fn carry(&mut self, base: &Version, version: &Version, ranges: &[Range<u64>]) -> Result<Carried> {
        self.write_in_bulk("carrying unchanged blocks", |t| backup::carry(t, base.key, version.key, ranges))
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
        self.write_in_bulk("removing a version", |t| cleanup::remove_version(t, version, now))
    }
    fn doomed(&mut self, after: &str, limit: usize) -> Result<Vec<String>> {
        self.read("looking for unfinished deletions", |c| cleanup::doomed(c, after, limit))
    }
    fn take_delete_candidates(&mut self, after: i64, before: i64, limit: usize) -> Result<Candidates> {
        let work = |t: &Transaction| cleanup::take_candidates(t, after, before, limit);
        self.with_large_cache(|s| s.write("looking for deletable blobs", work))
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
