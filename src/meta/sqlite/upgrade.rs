//! Bringing the database of an older release to the current schema.
//!
//! A new file is made beside the old one ([`build`](super::build)), and takes its place when it is complete. The old
//! file is never written to; it stays under another name.

use super::build::{self, Extent};
use super::open::{self, Obstacle, use_wal};
use super::watch::Watch;
use super::{Sqlite, error};
use crate::failpoint;
use crate::meta::State;
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

/// Upgrades `database`, whose old file stays beside it as `NAME.before-upgrade`. Whether there is anything to do is
/// looked at again. Returns whether there was.
///
/// The caller makes sure that nobody else uses the database, and has opened it after that.
///
/// # Errors
/// Too little space, a signal, or what the database says; nothing is changed then.
pub fn upgrade(database: &mut Sqlite, monitor: &dyn Monitor) -> Result<bool> {
    if !matches!(database.state()?, State::Old { .. }) {
        return Ok(false);
    }
    let watch = Watch::new(monitor.handle());
    let place = Place::of(database)?;
    place.tidy();
    let done = hold(database).and_then(|()| place.make(&watch, monitor)).and_then(|()| {
        failpoint::pass("upgrade-middle");
        place.swap()
    });
    if done.is_err() {
        // A nightly run that fails must not leave anything every time.
        place.tidy();
        // The connection is of no more use.
        let _ = database.connection.execute_batch("ROLLBACK");
    }
    done?;
    // With the old connection its lock on the old file goes.
    *database = Sqlite::open(&database.path)?;
    use_wal(&database.connection);
    monitor.info("The database is upgraded. backy2 2.13 can go on using it, except for rekey.");
    Ok(true)
}

/// A temporary upgraded copy of a database that cannot be written: what is read is right, what is written is
/// gone with the process.
///
/// # Errors
/// A signal, or what the database says.
pub fn upgraded_copy(database: &Sqlite, folder: &Path, monitor: &dyn Monitor) -> Result<Sqlite> {
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
    let watch = Watch::new(monitor.handle());
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
    // The name goes at once; the open file stays until the process ends.
    let _ = std::fs::remove_file(&path);
    let connection = built.map_err(|failure| failure.told(&location, &watch))?;
    let failed = |e: rusqlite::Error| error(&location, "copying the database", e);
    connection.execute_batch("DETACH old; PRAGMA main.journal_mode = MEMORY").map_err(failed)?;
    finished(connection, database).map_err(failed)
}

/// The versions, tags and statistics of a database that is older than they are, in memory.
///
/// # Errors
/// What the database says.
pub fn catalogue(database: &Sqlite) -> Result<Sqlite> {
    let failed = |e: rusqlite::Error| error(&database.location, "reading the catalogue", e);
    let connection = Connection::open_in_memory().map_err(failed)?;
    build::attach(&connection, &database.path).map_err(failed)?;
    build::build_catalogue(&connection).map_err(failed)?;
    connection.execute_batch("DETACH old").map_err(failed)?;
    finished(connection, database).map_err(failed)
}

/// What stands for `database` from now on.
fn finished(mut connection: Connection, database: &Sqlite) -> rusqlite::Result<Sqlite> {
    connection.progress_handler(0, None::<fn() -> bool>)?;
    let connection = open::prepare(connection, false, open::wait)?;
    Ok(Sqlite::on(connection, &database.path, database.location.clone(), Some(Obstacle::Rights)))
}

impl Sqlite {
    /// Where the upgrade keeps the file from before.
    ///
    /// # Errors
    /// The database has gone.
    pub fn kept_copy(&self) -> Result<PathBuf> {
        Ok(Place::of(self)?.kept)
    }
}

/// Keeps everybody from writing to the old file.
fn hold(database: &Sqlite) -> Result<()> {
    let failed = |e: rusqlite::Error| error(&database.location, "locking the database", e);
    // What stands in the journal of WAL mode would not be in the file that stays.
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
    /// The database, behind all links.
    old: PathBuf,
    /// What is being made.
    new: PathBuf,
    kept: PathBuf,
    folder: PathBuf,
}

/// What failed while the new database was made.
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
    fn told(self, location: &str, watch: &Watch) -> Error {
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

    /// Removes what an attempt has left that was killed, or that has failed.
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
    fn make(&self, watch: &Watch, monitor: &dyn Monitor) -> Result<()> {
        let unusable = |e| self.failed(&format!("{} cannot be made", self.new.display()), e);
        let file = private::create(&self.new, FileMode::PRIVATE).map_err(unusable)?;
        self.as_the_old_one(&file).map_err(unusable)?;
        drop(file);
        self.fill(watch, monitor).map_err(|failure| failure.told(&self.location, watch))?;
        // SQLite has closed it: its own locks would go with this descriptor.
        File::open(&self.new).and_then(|file| file.sync_all()).map_err(unusable)
    }

    fn fill(&self, watch: &Watch, monitor: &dyn Monitor) -> Made<()> {
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

    /// Keeps the old file under its other name, and puts the new one into its place: at each moment there is a whole
    /// database. An earlier one that was kept has become the old one of now, by way of the administrator.
    fn swap(&self) -> Result<()> {
        let part = self.kept_part();
        let kept = std::fs::hard_link(&self.old, &part).or_else(|e| match e.kind() {
            // Not every file system has links. Nobody writes to the file meanwhile.
            ErrorKind::AlreadyExists => Err(e),
            _ => copy(&self.old, &part),
        });
        kept.and_then(|()| std::fs::rename(&part, &self.kept))
            .map_err(|e| self.failed(&format!("{} cannot be made", self.kept.display()), e))?;
        // Where both names were those of one file already, the renaming has done nothing.
        let _ = std::fs::remove_file(&part);
        failpoint::pass("upgrade-kept");
        std::fs::rename(&self.new, &self.old)
            .and_then(|()| sync_folder(&self.folder))
            .map_err(|e| self.failed("the new file cannot replace it", e))
    }
}

/// Copies a file that SQLite has open, without closing a descriptor of it: with that SQLite's locks would go.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = std::mem::ManuallyDrop::new(File::open(from)?);
    let mut target = private::create(to, FileMode::PRIVATE)?;
    io::copy(&mut *source, &mut target)?;
    rustix::fs::fchmod(&target, Mode::from_raw_mode(source.metadata()?.mode() & 0o777))?;
    target.sync_all()
}

/// Opens the empty file `new`, with the database `old` attached.
fn begin(old: &Path, new: &Path, watch: &Watch) -> Made<Connection> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NOFOLLOW | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let failed = |e| Failure::Sqlite("opening the database", e);
    let mut connection = Connection::open_with_flags(new, flags).map_err(failed)?;
    watch.attach(&mut connection).map_err(failed)?;
    build::attach(&connection, old).map_err(failed)?;
    Ok(connection)
}

fn measure(connection: &Connection, old: &Path, watch: &Watch) -> Made<Extent> {
    let size = std::fs::metadata(old).map_or(0, |m| m.len());
    build::extent(connection, size, watch).map_err(|e| Failure::Sqlite("counting the blocks", e))
}

/// Where SQLite puts what it sorts for an index: beside the new file, and not where the system has its temporary files.
/// The setting is one of the process, and nothing else sorts yet. There is no other way that is safe once there are
/// threads: SQLite reads the environment.
pub(super) fn sorting_in(connection: &Connection, folder: Option<&Path>) {
    let folder = folder.map(Path::to_string_lossy).unwrap_or_default();
    // Where it is not to be had, the system's folder is used.
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
