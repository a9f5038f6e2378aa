//! Upgrades the database of an older release to the current schema.
//!
//! [`build`](super::build) makes a new file beside the old one. The new file replaces the old one when it is
//! complete. The content of the old file never changes; it stays under another name.

use super::build::{self, Extent};
use super::open::{self, Obstacle, use_wal};
use super::watch::UpgradeWatch;
use super::{Sqlite, error};
use crate::failpoint;
use crate::meta::SchemaState;
use crate::monitor::Monitor;
use crate::sys::durable::sync_folder;
use crate::sys::private;
use crate::types::error::{Error, Result};
use crate::types::reason::because;
use crate::types::settings::FileMode;
use rusqlite::{Connection, OpenFlags};
use rustix::fs::{Gid, Mode, Uid};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Upgrades `database`. The old file stays beside it as `NAME.before-upgrade`. Checks again whether an upgrade is
/// necessary, and returns whether it was.
///
/// The caller must have exclusive use of the database, and must have opened it after getting that.
///
/// # Errors
/// Too little space, a signal, or a failure of the database. Nothing is changed then.
pub(super) fn upgrade(database: &mut Sqlite, monitor: &dyn Monitor) -> Result<bool> {
    if !matches!(database.state()?, SchemaState::Old { .. }) {
        return Ok(false);
    }
    let watch = UpgradeWatch::new(monitor.handle());
    let place = Place::of(database)?;
    place.tidy();
    let done = hold(database).and_then(|()| place.make(&watch, monitor)).and_then(|()| {
        failpoint::pass("upgrade-middle");
        place.swap()
    });
    if done.is_err() {
        // Otherwise a nightly run that fails would leave more files each time.
        place.tidy();
        // The connection will not be used any more.
        let _ = database.connection.execute_batch("ROLLBACK");
    }
    done?;
    // Closing the old connection also releases its lock on the old file.
    *database = Sqlite::open(&database.path)?;
    use_wal(&database.connection);
    monitor.info("The database is upgraded. backy2 2.13 can go on using it, except for rekey.");
    Ok(true)
}

/// Makes a temporary upgraded copy of a database that cannot be written. Data written to it is lost when the process
/// ends.
///
/// # Errors
/// A signal, or a failure of the database.
pub(super) fn upgraded_copy(database: &Sqlite, folder: &Path, monitor: &dyn Monitor) -> Result<Sqlite> {
    let location = database.location.clone();
    let unusable = |e: io::Error| {
        let folder = folder.display();
        Error::database(because(
            format!("A copy of the database {location} cannot be made in cachedir {folder}"),
            e,
        ))
    };
    let folder = std::fs::canonicalize(folder).map_err(unusable)?;
    let (_, path) = private::temporary(&folder, "backy2-", FileMode::PRIVATE).map_err(unusable)?;
    let watch = UpgradeWatch::new(monitor.handle());
    let built = (|| -> Made<Connection> {
        let connection = begin(&database.path, &path, &watch)?;
        let extent = measure(&connection, &database.path, &watch)?;
        check_space(extent, &folder, &location)?;
        sorting_in(&connection, Some(&folder));
        let built = build::build(&connection, extent, &location, &watch);
        sorting_in(&connection, None);
        built?;
        Ok(connection)
    })();
    // Remove the name now. The open file stays until the process ends.
    let _ = std::fs::remove_file(&path);
    let connection = built.map_err(|failure| failure.into_error(&location, &watch))?;
    let failed = |e: rusqlite::Error| error(&location, "copying the database", e);
    connection.execute_batch("DETACH old; PRAGMA main.journal_mode = MEMORY").map_err(failed)?;
    finished(connection, database).map_err(failed)
}

/// Reads the versions, tags and statistics of an old database into memory.
///
/// # Errors
/// The database fails.
pub(super) fn catalogue(database: &Sqlite) -> Result<Sqlite> {
    let failed = |e: rusqlite::Error| error(&database.location, "reading the catalogue", e);
    let connection = Connection::open_in_memory().map_err(failed)?;
    build::attach(&connection, &database.path).map_err(failed)?;
    build::build_catalogue(&connection).map_err(failed)?;
    connection.execute_batch("DETACH old").map_err(failed)?;
    finished(connection, database).map_err(failed)
}

/// Wraps the finished connection as a replacement for `database`.
fn finished(mut connection: Connection, database: &Sqlite) -> rusqlite::Result<Sqlite> {
    connection.progress_handler(0, None::<fn() -> bool>)?;
    let connection = open::prepare(connection, open::Use::Read, open::wait)?;
    Ok(Sqlite::on(connection, &database.path, database.location.clone(), Some(Obstacle::Rights)))
}

impl Sqlite {
    /// The path under which the upgrade keeps the old file.
    ///
    /// # Errors
    /// The database file no longer exists.
    pub fn kept_copy(&self) -> Result<PathBuf> {
        Ok(Place::of(self)?.kept)
    }
}

/// Locks the old file against writers.
fn hold(database: &Sqlite) -> Result<()> {
    let failed = |e: rusqlite::Error| error(&database.location, "locking the database", e);
    // Transactions in the journal of WAL mode would be missing in the file that is kept.
    let mode = "PRAGMA journal_mode = DELETE";
    let mode: String = database.connection.query_row(mode, [], |row| row.get(0)).map_err(failed)?;
    if mode.eq_ignore_ascii_case("wal") {
        return Err(Error::Locked(format!(
            "The database {} must be upgraded, but another program has it open. Nothing was changed. Try \
             again when it has ended.",
            database.location
        )));
    }
    database.connection.execute_batch("BEGIN IMMEDIATE").map_err(failed)
}

/// The files of an upgrade.
struct Place {
    location: String,
    /// The database, with all links resolved.
    old: PathBuf,
    /// The new file.
    new: PathBuf,
    kept: PathBuf,
    folder: PathBuf,
}

/// The reason why the new database could not be made.
enum Failure {
    Sqlite(&'static str, rusqlite::Error),
    Because(Error),
}

type Made<T> = std::result::Result<T, Failure>;

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Because(error)
    }
}

impl Failure {
    fn into_error(self, location: &str, watch: &UpgradeWatch) -> Error {
        match self {
            Failure::Sqlite(what, e) => watch.interruption(&e).unwrap_or_else(|| error(location, what, e)),
            Failure::Because(error) => error,
        }
    }
}

impl Place {
    fn of(database: &Sqlite) -> Result<Self> {
        let location = database.location.clone();
        let old = std::fs::canonicalize(&database.path).map_err(|e| {
            Error::database(because(format!("The database {location} cannot be upgraded"), e))
        })?;
        let beside = |end: &str| {
            let mut name = old.clone().into_os_string();
            name.push(end);
            PathBuf::from(name)
        };
        let folder = old.parent().unwrap_or(Path::new("/")).to_owned();
        Ok(Place { location, new: beside(".upgrade.part"), kept: beside(".before-upgrade"), folder, old })
    }

    fn kept_part(&self) -> PathBuf {
        self.kept.with_extension("before-upgrade.part")
    }

    /// Removes the remains of an attempt that failed or was killed.
    fn tidy(&self) {
        for path in [&self.new, &self.kept_part()] {
            let _ = std::fs::remove_file(path);
        }
    }

    fn failed(&self, what: &str, e: io::Error) -> Error {
        let what = format!("The database {} must be upgraded, but {what}", self.location);
        Error::database(because(what, e).advise("Nothing was changed."))
    }

    /// Makes the new file, complete and durable.
    fn make(&self, watch: &UpgradeWatch, monitor: &dyn Monitor) -> Result<()> {
        let unusable = |e| self.failed(&format!("{} cannot be made", self.new.display()), e);
        let file = private::create(&self.new, FileMode::PRIVATE).map_err(unusable)?;
        self.as_the_old_one(&file).map_err(unusable)?;
        drop(file);
        self.fill(watch, monitor).map_err(|failure| failure.into_error(&self.location, watch))?;
        // SQLite has closed the file by now. Earlier, closing this descriptor would have released SQLite's locks.
        File::open(&self.new).and_then(|file| file.sync_all()).map_err(unusable)
    }

    fn fill(&self, watch: &UpgradeWatch, monitor: &dyn Monitor) -> Made<()> {
        monitor.announce(&format!(
            "The database {} was made by an older release and is being upgraded, which can take minutes. \
             The old database is kept as {}.",
            self.location,
            self.kept.display()
        ));
        let connection = begin(&self.old, &self.new, watch)?;
        let extent = measure(&connection, &self.old, watch)?;
        check_space(extent, &self.folder, &self.location)?;
        monitor.info(&format!(
            "{} blocks will be mapped, which needs up to {} MiB beside the database.",
            extent.rows,
            extent.bytes() >> 20
        ));
        sorting_in(&connection, Some(&self.folder));
        let built = build::build(&connection, extent, &self.location, watch);
        sorting_in(&connection, None);
        built?;
        connection.close().map_err(|(_, e)| Failure::Sqlite("closing the new database", e))
    }

    /// Gives the new file the owner and the mode of the old one.
    fn as_the_old_one(&self, new: &File) -> io::Result<()> {
        let (old, now) = (std::fs::metadata(&self.old)?, new.metadata()?);
        if (old.uid(), old.gid()) != (now.uid(), now.gid()) {
            rustix::fs::fchown(new, Some(Uid::from_raw(old.uid())), Some(Gid::from_raw(old.gid())))?;
        }
        Ok(rustix::fs::fchmod(new, Mode::from_raw_mode(old.mode() & 0o777))?)
    }

    /// Keeps the old file under another name, and moves the new one into its place. At every moment there is a
    /// complete database. A copy from an earlier upgrade is replaced, because the administrator must have put that
    /// one back as the database.
    fn swap(&self) -> Result<()> {
        let part = self.kept_part();
        let kept = std::fs::hard_link(&self.old, &part).or_else(|e| match e.kind() {
            // Not all file systems support links. A copy is safe, because nobody writes to the file now.
            ErrorKind::AlreadyExists => Err(e),
            _ => copy(&self.old, &part),
        });
        kept.and_then(|()| std::fs::rename(&part, &self.kept))
            .map_err(|e| self.failed(&format!("{} cannot be made", self.kept.display()), e))?;
        // If both names were links to the same file, the renaming had no effect.
        let _ = std::fs::remove_file(&part);
        failpoint::pass("upgrade-kept");
        std::fs::rename(&self.new, &self.old)
            .and_then(|()| sync_folder(&self.folder))
            .map_err(|e| self.failed("the new file cannot replace it", e))
    }
}

/// Copies a file that SQLite has open. It does not close its descriptor, because that would release SQLite's locks.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = std::mem::ManuallyDrop::new(File::open(from)?);
    let mut target = private::create(to, FileMode::PRIVATE)?;
    io::copy(&mut *source, &mut target)?;
    rustix::fs::fchmod(&target, Mode::from_raw_mode(source.metadata()?.mode() & 0o777))?;
    target.sync_all()
}

/// Opens the empty file `new` with the database `old` attached.
fn begin(old: &Path, new: &Path, watch: &UpgradeWatch) -> Made<Connection> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NOFOLLOW | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let failed = |e| Failure::Sqlite("opening the database", e);
    let mut connection = Connection::open_with_flags(new, flags).map_err(failed)?;
    watch.attach(&mut connection).map_err(failed)?;
    build::attach(&connection, old).map_err(failed)?;
    Ok(connection)
}

fn measure(connection: &Connection, old: &Path, watch: &UpgradeWatch) -> Made<Extent> {
    let size = std::fs::metadata(old).map_or(0, |m| m.len());
    build::extent(connection, size, watch).map_err(|e| Failure::Sqlite("counting the blocks", e))
}

/// Sets the folder in which SQLite sorts indexes: beside the new file, not in the system's folder for temporary
/// files. The setting applies to the whole process, but nothing else sorts yet. SQLite's alternative is an
/// environment variable, which is not safe to set when there are threads.
pub(super) fn sorting_in(connection: &Connection, folder: Option<&Path>) {
    let folder = folder.map(Path::to_string_lossy).unwrap_or_default();
    // If SQLite does not support this setting, it uses the system's folder.
    let _ = connection.pragma_update(None, "temp_store_directory", &*folder);
}

fn check_space(extent: Extent, folder: &Path, location: &str) -> Result<()> {
    let Ok(fs) = rustix::fs::statvfs(folder) else { return Ok(()) };
    let (free, needed) = (fs.f_bavail.saturating_mul(fs.f_frsize), extent.bytes());
    if free < needed {
        return Err(Error::database(format!(
            "The database {location} must be upgraded, which needs up to {} MiB in {}; {} MiB are free. \
             Nothing was changed. Free some space and try again.",
            needed >> 20,
            folder.display(),
            free >> 20
        )));
    }
    Ok(())
}
