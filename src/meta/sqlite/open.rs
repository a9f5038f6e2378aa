//! Opens an SQLite file: for writing if possible, otherwise for reading.

use super::{guard, reserve, schema};
use crate::monitor::signalled;
use crate::sys::space;
use crate::types::reason::Reason;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use rustix::fs::{Access, access};
use std::path::Path;
use std::time::Duration;

/// How long a statement waits for the transaction of another process. Apart from upgrades, the longest transactions
/// carry or remove a version of millions of blocks and take seconds.
pub(super) const BUSY: Duration = Duration::from_secs(60);
/// The same after a signal. It allows for committing data that is already safe.
const BUSY_AT_THE_END: Duration = Duration::from_millis(500);
/// Pause between two attempts to get the lock.
const RETRY: Duration = Duration::from_millis(10);

/// How long optional work waits for transactions of other processes. Most are finished by then.
pub(super) const BRIEFLY: Duration = Duration::from_millis(200);
/// A busy handler. SQLite calls it when another process holds a lock, with the number of earlier calls. Returns
/// whether to try again.
pub(super) type Wait = fn(i32) -> bool;

/// The usual busy handler: tries again for `BUSY`, or for a shorter time after a signal.
pub(super) fn wait(times: i32) -> bool {
    let limit = if signalled().is_some() { BUSY_AT_THE_END } else { BUSY };
    let goes_on = RETRY * times.unsigned_abs() < limit;
    if goes_on {
        std::thread::sleep(RETRY);
    }
    goes_on
}

/// Size of the page cache in KiB: normally, and for work that accesses all indexes in random order and has no block
/// buffers at the same time.
pub(super) const CACHE: i64 = 32 << 10;
pub(super) const LARGE_CACHE: i64 = 96 << 10;

/// The reason why a database cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// The disk is full.
    Full,
    /// Permissions are missing, or the file system is mounted read-only.
    Rights,
}

/// The reason why a database cannot even be read.
#[derive(Debug)]
pub(super) enum Unopened {
    /// Another process kept the database locked for as long as we waited.
    Busy,
    /// Its journal contains transactions that are not yet in the database, and it cannot be read or applied here.
    Journal(Obstacle),
    /// Another error of SQLite.
    Failed(rusqlite::Error),
}

/// Opens the database for writing, otherwise for reading, otherwise as an immutable file. A database in WAL mode on a
/// read-only file system can only be opened as an immutable file.
pub(super) fn connect(path: &Path, wait: Wait) -> Result<(Connection, Option<Obstacle>), Unopened> {
    let flags = OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let first = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_READ_WRITE);
    let obstacle = match first.and_then(|c| prepare(c, Use::Write, wait)) {
        Ok(mut connection) => match obstacle(&mut connection, path, wait) {
            None => return Ok((connection, None)),
            Some(obstacle) => obstacle,
        },
        Err(e) => match e.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => return Err(Unopened::Failed(e)),
            Some(ErrorCode::DatabaseBusy) => return Err(Unopened::Busy),
            _ => lacking(&e, path),
        },
    };
    let read_only = flags | OpenFlags::SQLITE_OPEN_READ_ONLY;
    match Connection::open_with_flags(path, read_only).and_then(|c| prepare(c, Use::Read, wait)) {
        Ok(connection) => return Ok((connection, Some(obstacle))),
        Err(e) if e.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => return Err(Unopened::Busy),
        // Without the journal, its transactions would be missing.
        Err(_) if has_journal(path) => return Err(Unopened::Journal(obstacle)),
        Err(_) => {}
    }
    let connection = Connection::open_with_flags(uri(path, "immutable=1"), read_only);
    let connection = connection.and_then(|c| prepare(c, Use::Read, wait)).map_err(Unopened::Failed)?;
    Ok((connection, Some(obstacle)))
}

/// Whether there is a journal that is not empty.
fn has_journal(path: &Path) -> bool {
    ["-wal", "-journal"].iter().any(|ending| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        std::fs::metadata(name).is_ok_and(|meta| meta.len() > 0)
    })
}

/// The obstacle that this error shows.
pub(super) fn lacking(error: &rusqlite::Error, path: &Path) -> Obstacle {
    if is_full(error, path) { Obstacle::Full } else { Obstacle::Rights }
}

/// Whether the error was caused by a full disk. SQLite reports a full disk for some calls only. For others it reports
/// that reading or writing failed, or that a file cannot be opened.
pub(super) fn is_full(error: &rusqlite::Error, path: &Path) -> bool {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => true,
        Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) => space::is_full(reserve::folder(path)),
        _ => false,
    }
}

/// Whether there is still a reserve to free space with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reserve {
    /// Commands that free space can use it.
    Left,
    /// It is used up.
    Spent,
}

/// The message for a full disk.
pub(super) fn full(path: &Path, reserve: Reserve) -> Reason {
    let folder = reserve::folder(path).display();
    let what = format!("the disk of {folder} is full, or a quota is used up");
    if reserve == Reserve::Spent {
        Reason::from(what + ", and the reserve beside the database is used up too")
            .advise("A few MiB are enough: move something else away, and try again")
    } else {
        Reason::from(what).advise(
            "Free some space. `backy2 rm` and `backy2 cleanup` work even now, with the reserve beside the database; \
             `cleanup` deletes the data of removed versions after an hour, or at once if you force it",
        )
    }
}

/// `path` as an SQLite URI with one parameter.
pub(super) fn uri(path: &Path, parameter: &str) -> String {
    let escaped = path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    format!("file:{escaped}?{parameter}")
}

/// Checks whether the file and its folder, which holds the journal, can be written. Beginning a transaction is not
/// enough, because SQLite also begins one on a file that is open read-only.
fn obstacle(connection: &mut Connection, path: &Path, wait: Wait) -> Option<Obstacle> {
    let folder = reserve::folder(path);
    if connection.is_readonly("main").unwrap_or(false) || access(folder, Access::WRITE_OK).is_err() {
        return Some(Obstacle::Rights);
    }
    // A busy database can still be written later. Do not wait here, because the command may only want to read.
    let _ = connection.busy_timeout(Duration::ZERO);
    let obstacle = match connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK") {
        Err(e) if e.sqlite_error_code() != Some(ErrorCode::DatabaseBusy) => Some(lacking(&e, path)),
        _ => None,
    };
    let _ = connection.busy_handler(Some(wait));
    obstacle
}

/// The use of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// To write. The database is switched to WAL mode.
    Write,
    /// To read, or to write a file of another release, whose journal mode stays.
    Read,
}

/// Sets up a new connection.
pub(super) fn prepare(mut connection: Connection, to: Use, wait: Wait) -> rusqlite::Result<Connection> {
    connection.busy_handler(Some(wait))?;
    connection.set_prepared_statement_cache_capacity(64);
    guard::harden(&connection)?;
    // This reads the header, so it fails if the file is not a database.
    connection.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(()))?;
    // Temporary tables stay in files, the default, because the list of unused blobs after `rm` can be long.
    connection.execute_batch("PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL;")?;
    connection.pragma_update(None, "cache_size", -CACHE)?;
    // A file of another release keeps its journal mode until it is upgraded.
    if to == Use::Write && schema::has(&connection, "schema_version")? {
        use_wal(&connection);
    }
    Ok(connection)
}

/// Switches to WAL mode, in which readers and the writer do not wait for each other. If that is not possible, for
/// example on a network file system or while another process has the file open in the old mode, the old mode works
/// too.
pub(super) fn use_wal(connection: &Connection) {
    let _ = connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::Metadata;
    use crate::meta::sqlite::{Sqlite, initialise};
    use crate::types::error::Error;
    use crate::types::settings::FileMode;
    use std::path::PathBuf;

    fn database() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("tempdir");
        let path = folder.path().join("backy.sqlite");
        initialise(&path, FileMode::PRIVATE).expect("initialises");
        (folder, path)
    }

    fn refused(path: &Path) -> Error {
        Sqlite::open_with(path, |_| false).err().expect("not opened")
    }

    #[test]
    fn a_database_that_another_process_keeps_for_itself_is_not_read_in_the_middle_of_its_work() {
        for journal in ["DELETE", "WAL"] {
            let (_folder, path) = database();
            let other = Connection::open(&path).expect("opens");
            let sql = format!(
                "PRAGMA journal_mode = {journal}; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE;
                 INSERT INTO deleted_blocks (delete_candidate, time) VALUES (0, 0)"
            );
            other.execute_batch(&sql).expect("begins");
            match refused(&path) {
                Error::Locked(text) => {
                    assert!(text.contains("Another process") && text.contains("fuser"), "{text}")
                }
                other => panic!("{journal}: {other:?}"),
            }
            drop(other);
            assert!(Sqlite::open(&path).is_ok(), "{journal}");
        }
    }

    #[test]
    fn transactions_in_the_journal_are_never_left_out() {
        let (folder, path) = database();
        let other = Connection::open(&path).expect("opens");
        other.execute_batch("INSERT INTO stats (date, version_name, version_size_bytes, version_size_blocks, bytes_read,
            blocks_read, bytes_written, blocks_written, bytes_found_dedup, blocks_found_dedup, bytes_sparse, blocks_sparse,
            duration_seconds) VALUES ('2026-01-01', 'x', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)").expect("inserts");
        // A copy as in a snapshot. The file that SQLite needs beside the journal cannot be created there.
        let copy = folder.path().join("copy.sqlite");
        std::fs::copy(&path, &copy).expect("copied");
        std::fs::copy(folder.path().join("backy.sqlite-wal"), folder.path().join("copy.sqlite-wal"))
            .expect("copied");
        std::fs::create_dir(folder.path().join("copy.sqlite-shm")).expect("in the way");
        match Sqlite::open_with(&copy, |_| false) {
            Ok(opened) => assert_eq!(Metadata::from(opened).past_runs(None, None).expect("lists").len(), 1),
            Err(Error::Database(text)) => {
                assert!(text.line().contains("-wal") && text.line().contains("Check the rights"), "{text}")
            }
            Err(other) => panic!("{other:?}"),
        }
        // If the journal is empty, all data is in the file.
        std::fs::write(folder.path().join("copy.sqlite-wal"), "").expect("emptied");
        assert!(!Metadata::from(Sqlite::open(&copy).expect("opens")).is_writable());
    }
}
