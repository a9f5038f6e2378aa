//! Metadata in an SQLite file.

pub(super) mod access;
mod anchor;
mod blocks;
mod build;
mod candidates;
pub mod claims;
mod db;
mod guard;
mod import;
#[cfg(test)]
mod memory;
mod open;
mod reserve;
mod schema;
pub(super) mod since;
mod tables;
mod upgrade;
mod watch;

use super::SchemaState;
use super::sql::{Db, Fallible, Fault, Work};
use crate::monitor::signalled;
use crate::types::error::{Error, Result};
use crate::types::reason::{Reason, because};
use crate::types::remedy::Remedy;
use anchor::Anchor;
use db::Statements;
use open::{Obstacle, Reserve, Unopened, Wait};
use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use std::path::{Path, PathBuf};

pub(super) use schema::initialise;
pub(crate) use schema::{Begun, begun};

/// An open database.
pub struct Sqlite {
    connection: Connection,
    path: PathBuf,
    location: String,
    obstacle: Option<Obstacle>,
    /// Set if the command frees space and may use the reserve: the number of bytes of the reserve that it must leave.
    spends: Option<u64>,
    /// Identifies the file at `path`; `None` if no such file is open.
    anchor: Option<Anchor>,
    references: References,
}

/// Whether SQLite checks the references of each row that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum References {
    Checked,
    /// They are not checked, or it is not certain that they are.
    Unchecked,
}

impl Sqlite {
    /// Opens the database at `path`, which must exist. If it cannot be written, it is opened read-only.
    ///
    /// # Errors
    /// [`Error::Database`]: the file does not exist or is not a database. [`Error::Locked`]: another process keeps it
    /// locked.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_with(path, open::wait)
    }

    /// Opens the database for a command that frees space. On a full disk it uses the reserve that is kept for this, but
    /// for the last `kept` bytes.
    ///
    /// # Errors
    /// As [`Sqlite::open`].
    pub fn open_to_free(path: &Path, kept: u64) -> Result<Self> {
        loop {
            let opened = Self::open(path);
            let is_full = match &opened {
                Ok(database) => database.obstacle == Some(Obstacle::Full),
                Err(error) => matches!(error, Error::Full { .. }),
            };
            if is_full && reserve::spend(path, kept) {
                continue;
            }
            return opened.map(|database| Sqlite { spends: Some(kept), ..database });
        }
    }

    /// Creates the reserve beside the database, unless it exists or space is short.
    pub fn keep_reserve(&self) {
        if self.obstacle.is_none() {
            reserve::keep(&self.path);
        }
    }

    fn open_with(path: &Path, wait: Wait) -> Result<Self> {
        let location = format!("sqlite:///{}", path.display());
        let unusable = |text: &str| {
            let reason = Reason::from(format!("Invalid database ({location}). {text}"));
            Error::database(reason.remedy(Remedy::RebuildDatabase))
        };
        let unreadable = |cause: Box<dyn std::error::Error + Send + Sync>| {
            Error::database(because(format!("Invalid database ({location})"), cause))
        };
        match std::fs::metadata(path) {
            Ok(meta) if meta.len() == 0 => {
                return Err(unusable("It is empty. Please run initdb first."));
            }
            Ok(meta) => guard::check_owner(path, &meta, &location)?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(unusable("It does not exist. Please run initdb first."));
            }
            Err(e) => return Err(unreadable(e.into())),
        }
        let anchor = Anchor::new(path);
        let (connection, obstacle) = open::connect(path, wait).map_err(|why| match why {
            Unopened::Busy => match signalled() {
                Some(signal) => Error::Interrupted(signal),
                None => Error::Locked(format!(
                    "Another process has kept the database {location} locked for more than {} seconds. Try \
                 again later; `fuser {}` shows the process.",
                    open::BUSY.as_secs(),
                    path.display()
                )),
            },
            Unopened::Journal(Obstacle::Full) => Error::Full {
                reason: open::full(path, Reserve::Left).during("its journal cannot be applied"),
                database: location.clone(),
            },
            Unopened::Journal(Obstacle::Rights) => unusable(
                "It has a journal (a file beside it that ends in -wal or -journal), which cannot be applied here. Check \
                 the rights of these files and of their folder. If the file system is mounted read-only, copy the \
                 database together with its journal to another place.",
            ),
            Unopened::Failed(e) => unreadable(e.into()),
        })?;
        guard::check_schema(&connection, &location)?;
        Ok(Sqlite { anchor, ..Self::on(connection, path, location, obstacle) })
    }

    fn on(connection: Connection, path: &Path, location: String, obstacle: Option<Obstacle>) -> Self {
        Sqlite {
            connection,
            path: path.to_owned(),
            location,
            obstacle,
            spends: None,
            anchor: None,
            references: References::Checked,
        }
    }

    fn finds_no_room(&self, fault: &Fault) -> bool {
        fault.driver().is_some_and(|error| open::is_full(error, &self.path))
    }

    /// Frees space for a transaction that failed on a full disk, and reduces the space that later ones need. Returns
    /// whether part of the reserve was freed.
    fn make_room(&mut self) -> bool {
        let Some(kept) = self.spends else { return false };
        let spent = reserve::spend(&self.path, kept);
        // Also free the space that the failed transaction used in the log. Ignore errors here, because the next
        // transaction will report a full disk.
        let _ = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        let _ = self.connection.execute_batch("PRAGMA wal_autocheckpoint = 64; PRAGMA temp_store = MEMORY");
        spent
    }

    /// The state of the database: whether it is current or must be upgraded first.
    ///
    /// # Errors
    /// [`Error::Database`]: the database is not initialised, or was made by an unknown release.
    pub fn state(&self) -> Result<SchemaState> {
        schema::state(&self.connection, &self.location)
    }

    /// Updates a database in [`SchemaState::Behind`] to the current schema.
    ///
    /// # Errors
    /// The database fails. Nothing is changed then.
    pub fn add_tables(&mut self) -> Result<()> {
        schema::add(&mut self.connection, &self.location)
    }

    /// Switches the check of references on or off, unless it is so already.
    fn switch_references(&mut self, wanted: References) -> Result<()> {
        const WHAT: &str = "switching the check of references";
        if self.references == wanted {
            return Ok(());
        }
        self.references = References::Unchecked;
        let on = wanted == References::Checked;
        let switched = self.connection.pragma_update(None, "foreign_keys", on);
        // Within a transaction SQLite ignores the switch, without an error.
        let asked = switched.and_then(|()| {
            self.connection.pragma_query_value(None, "foreign_keys", |row| row.get::<_, bool>(0))
        });
        match asked {
            Ok(now) if now == on => {
                self.references = wanted;
                Ok(())
            }
            Ok(_) => Err(Error::Metadata {
                database: self.location.clone(),
                reason: format!("{WHAT}: SQLite has not done it").into(),
            }),
            Err(e) => Err(error(&self.location, WHAT, e)),
        }
    }

    /// The state of the reserve when the disk is found full. A command that may use the reserve has done so before.
    fn reserve(&self) -> Reserve {
        if self.spends.is_some() { Reserve::Spent } else { Reserve::Left }
    }

    fn page_cache(&self, kib: i64) {
        // Without this setting the database is only slower.
        let _ = self.connection.pragma_update(None, "cache_size", -kib);
    }

    fn fault(&self, what: &str, fault: Fault) -> Error {
        match fault.into_driver::<rusqlite::Error>() {
            Ok(e) if open::is_full(&e, &self.path) => Error::Full {
                database: self.location.clone(),
                reason: open::full(&self.path, self.reserve()).during(what),
            },
            Ok(e) => error(&self.location, what, e),
            Err(Fault::Because(error)) => error,
            Err(Fault::Value(reason)) => {
                Error::Metadata { database: self.location.clone(), reason: reason.during(what) }
            }
            Err(Fault::Driver(error)) => {
                Error::Metadata { database: self.location.clone(), reason: because(what, error) }
            }
        }
    }

    /// Runs `work` in one write transaction. All of it takes effect, or nothing.
    fn transact<T>(&mut self, what: &str, mut work: impl FnMut(&mut dyn Db) -> Fallible<T>) -> Result<T> {
        loop {
            match self.attempt(&mut work) {
                // This loop ends, because the reserve is finite.
                Err(fault) if self.finds_no_room(&fault) && self.make_room() => {}
                done => return done.map_err(|fault| self.fault(what, fault)),
            }
        }
    }

    fn attempt<T>(&mut self, work: &mut impl FnMut(&mut dyn Db) -> Fallible<T>) -> Fallible<T> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let done = in_place(&self.anchor, &self.path).and_then(|()| work(&mut Statements(&transaction)))?;
        in_place(&self.anchor, &self.path)?;
        transaction.commit()?;
        // A commit to a file that nobody can find again counts as failed.
        in_place(&self.anchor, &self.path)?;
        Ok(done)
    }
}

/// Refuses to continue if the open file is no longer at its path.
fn in_place(anchor: &Option<Anchor>, path: &Path) -> Fallible<()> {
    if anchor.as_ref().is_none_or(Anchor::holds) {
        Ok(())
    } else {
        Err(Fault::Because(Error::database(format!(
            "The file of the database, {}, or its -wal file was deleted, moved or replaced while it was in \
             use. Later changes are lost with it. Put it back, and run the command again.",
            path.display()
        ))))
    }
}

/// The operations that [`crate::meta::Metadata`] needs from each engine.
impl Sqlite {
    pub(super) fn location(&self) -> &str {
        &self.location
    }

    pub(super) fn check_writable(&self) -> Result<()> {
        match self.obstacle {
            None => Ok(()),
            Some(Obstacle::Full) => Err(Error::Full {
                database: self.location.clone(),
                reason: open::full(&self.path, self.reserve()),
            }),
            Some(Obstacle::Rights) => Err(Error::database(format!(
                "The database {} cannot be written. Check the rights of the file and of its folder, and \
                 whether the file system is mounted read-only.",
                self.location
            ))),
        }
    }

    pub(super) fn read<T>(
        &mut self,
        what: &str,
        mut work: impl FnMut(&mut dyn Db) -> Fallible<T>,
    ) -> Result<T> {
        work(&mut Statements(&self.connection)).map_err(|fault| self.fault(what, fault))
    }

    pub(super) fn write<T>(
        &mut self,
        what: &str,
        kind: Work,
        work: impl FnMut(&mut dyn Db) -> Fallible<T>,
    ) -> Result<T> {
        // SQLite would check the references of each row, which takes as long as the rest of such work. The switch has no
        // effect within a transaction, so use it here.
        let is_known = matches!(kind, Work::Bulk | Work::Whole);
        let is_scattered = matches!(kind, Work::Scattered | Work::Once | Work::Whole);
        self.switch_references(if is_known { References::Unchecked } else { References::Checked })?;
        if is_scattered {
            self.page_cache(open::LARGE_CACHE);
        }
        if kind == Work::Optional {
            // If it cannot be set, the work waits longer.
            let _ = self.connection.busy_timeout(open::BRIEFLY);
        }
        let done = self.transact(what, work);
        if kind == Work::Optional {
            let _ = self.connection.busy_handler(Some(open::wait));
        }
        if is_scattered {
            self.page_cache(open::CACHE);
        }
        if is_known {
            // If this fails, the work is done all the same. The next work tries again, and fails before it begins if the
            // check cannot be switched on.
            let _ = self.switch_references(References::Checked);
        }
        done
    }
}

/// Converts an error of SQLite. The message says what operation failed, and what the user can do.
fn error(location: &str, what: &str, error: rusqlite::Error) -> Error {
    let path = Path::new(location.strip_prefix("sqlite:///").unwrap_or(location));
    if open::is_full(&error, path) {
        return Error::Full {
            database: location.to_owned(),
            reason: open::full(path, Reserve::Left).during(what),
        };
    }
    let hint = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy) if let Some(signal) = signalled() => return Error::Interrupted(signal),
        Some(ErrorCode::OperationInterrupted) if let Some(signal) = signalled() => {
            return Error::Interrupted(signal);
        }
        Some(ErrorCode::DatabaseBusy) => "Another process is writing to it",
        Some(ErrorCode::DatabaseCorrupt) => "Check it with `sqlite3 FILE 'pragma integrity_check'`",
        Some(ErrorCode::NotADatabase) => "Check that `engine` in [MetaBackend] names the right file",
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
            "Check the rights of the file and of its folder"
        }
        Some(ErrorCode::SystemIoFailure) => {
            "Check the disk (`dmesg` may show more) and the rights of the files"
        }
        Some(ErrorCode::OutOfMemory) => "Memory is short: end other programs, or raise the limit",
        _ => "",
    };
    Error::Metadata { database: location.to_owned(), reason: because(what, error).advise(hint) }
}

#[cfg(test)]
mod tests;
