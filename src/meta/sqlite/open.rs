//! Opening a SQLite file: for writing, or as well as it can be had.

use super::schema;
use crate::monitor::signalled;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use rustix::fs::{Access, access};
use std::path::Path;
use std::time::Duration;

/// How long a statement waits for another process's transaction. The longest one that is not an upgrade
/// carries or removes a version of millions of blocks, and takes seconds.
const BUSY: Duration = Duration::from_secs(60);
/// The same once a signal has come: what is safe is still to be committed.
const BUSY_AT_THE_END: Duration = Duration::from_millis(500);
/// How often it is tried again.
const RETRY: Duration = Duration::from_millis(10);

/// SQLite asks this while another process has the lock that it wants, for the `times`-th time. Whether to try again.
pub(super) fn wait(times: i32) -> bool {
    let limit = if signalled().is_some() { BUSY_AT_THE_END } else { BUSY };
    let goes_on = RETRY * times.unsigned_abs() < limit;
    if goes_on {
        std::thread::sleep(RETRY);
    }
    goes_on
}

/// Page cache, in KiB: ordinarily, and for what goes over all indexes in no order and has no buffers of blocks
/// beside it.
pub(super) const CACHE: i64 = 32 << 10;
pub(super) const LARGE_CACHE: i64 = 96 << 10;

/// Opens for writing, else for reading, else as a file that nobody changes (a database in WAL mode on a
/// read-only file system can be opened no other way).
pub(super) fn connect(path: &Path) -> rusqlite::Result<(Connection, bool)> {
    let flags = OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let first = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_READ_WRITE);
    match first.and_then(|c| prepare(c, true)) {
        Ok(mut connection) => {
            if is_writable(&mut connection, path) {
                return Ok((connection, true));
            }
        }
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

/// Whether the file and its folder, where SQLite keeps its journal, can be written. A transaction alone does not
/// tell: on a file that is open for reading SQLite begins one that only reads.
fn is_writable(connection: &mut Connection, path: &Path) -> bool {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if connection.is_readonly("main").unwrap_or(false) || access(folder, Access::WRITE_OK).is_err() {
        return false;
    }
    // Busy is not read-only: whoever waits for the lock will get it. A command that only reads must not wait.
    let _ = connection.busy_timeout(Duration::ZERO);
    let writable = match connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK") {
        Ok(()) => true,
        Err(e) => e.sqlite_error_code() == Some(ErrorCode::DatabaseBusy),
    };
    let _ = connection.busy_handler(Some(wait));
    writable
}

pub(super) fn prepare(mut connection: Connection, writable: bool) -> rusqlite::Result<Connection> {
    connection.busy_handler(Some(wait))?;
    connection.set_prepared_statement_cache_capacity(64);
    // Reads the header, and so tells whether this is a database at all.
    connection.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(()))?;
    // Temporary tables stay in files, the default: the list of what `rm` leaves unused can be long.
    connection.execute_batch("PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL;")?;
    connection.pragma_update(None, "cache_size", -CACHE)?;
    // The file of another release stays as it is until it is upgraded.
    if writable && schema::has(&connection, "schema_version")? {
        use_wal(&connection);
    }
    Ok(connection)
}

/// Readers and the one writer do not wait for each other then. Where it is not possible (another process has
/// the file open the old way, a network file system), the old way works too.
pub(super) fn use_wal(connection: &Connection) {
    let _ = connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()));
}
