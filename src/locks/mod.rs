//! Locks, by which processes keep out of each other's way.
//!
//! On a host they are lock files, the same as those of release 2.13; where the database is PostgreSQL, which several
//! hosts may share, each is registered there, too. The names are the same:
//!
//! | name | file in `lock_dir` | shared | exclusive |
//! | --- | --- | --- | --- |
//! | `backy` | `backy_backy.lock` | every command, for an instant at its start | full cleanup, rekey, upgrade of the database |
//! | UID | `backy_UID.lock` | a version in use as base, or being restored | one being written, removed or rekeyed |
//! | `backy-cleanup-fast` | `backy_backy-cleanup-fast.lock` | – | the fast cleanup |
//! | `rbd-…` | `backy_rbd-….lock` | a snapshot that is read | one that is being made or removed |
//!
//! [`Locks`] takes and releases them, and knows the rules of the table. Nothing waits for a
//! lock longer than each verb says, so that there can be no deadlock.

mod database;
mod dir;
mod holders;
pub mod process;
mod registry;
mod verbs;

use crate::types::error::Result;
use crate::types::settings::FileMode;
use std::path::Path;
use std::sync::Arc;

pub use database::Database;
pub use dir::LockDir;
pub use holders::Holder;

/// A lock, or who has it, where that is known.
type Taken = std::result::Result<Guard, Option<Holder>>;

/// The locks of an installation. Its clones know of each other's guards.
#[derive(Clone, Debug)]
pub struct Locks {
    dir: LockDir,
    database: Option<Arc<Database>>,
}

/// A lock that is held until this is dropped.
#[derive(Debug)]
#[must_use = "the lock is released as soon as this is dropped"]
pub struct Guard {
    // In this order: whoever finds the file free must find the registration gone.
    _registered: Option<database::Lock>,
    _file: dir::Guard,
}

impl Locks {
    /// Locks of this host alone, whose files have this mode. The folder is looked at when the first lock is taken,
    /// and never created.
    pub fn new(dir: &Path, mode: FileMode) -> Self {
        Locks { dir: LockDir::new(dir, mode), database: None }
    }

    /// Registers what is locked from now on in the database, too.
    pub fn share(&mut self, database: Database) {
        self.database = Some(Arc::new(database));
    }

    /// As [`Locks::startup_check`], for the other hosts: a look at what is registered.
    ///
    /// # Errors
    /// [`crate::types::Error::Locked`] where somebody needs to be alone; the database fails.
    pub fn shared_check(&self) -> Result<()> {
        match &self.database {
            Some(database) => database.check_alone(verbs::GLOBAL).and_then(verbs::pass),
            None => Ok(()),
        }
    }

    fn dir(&self) -> &LockDir {
        &self.dir
    }

    /// Takes the lock `name` together with others who take it shared. Does not wait.
    fn try_shared(&self, name: &str) -> Result<Taken> {
        let file = self.dir.try_shared(name)?;
        self.register(file, |database| database.take(name, false, false))
    }

    /// Takes the lock `name` for itself alone. Does not wait.
    fn try_exclusive(&self, name: &str) -> Result<Taken> {
        let file = self.dir.try_exclusive(name)?;
        self.register(file, |database| database.take(name, true, false))
    }

    /// The same where no other process may have any lock in the database.
    fn try_alone(&self, name: &str) -> Result<Taken> {
        let file = self.dir.try_exclusive(name)?;
        self.register(file, |database| database.take(name, true, true))
    }

    fn register(
        &self,
        file: Option<dir::Guard>,
        take: impl FnOnce(&Arc<Database>) -> Result<std::result::Result<database::Lock, Holder>>,
    ) -> Result<Taken> {
        let Some(file) = file else { return Ok(Err(None)) };
        let registered = match &self.database {
            None => None,
            Some(database) => match take(database)? {
                Ok(lock) => Some(lock),
                Err(holder) => return Ok(Err(Some(holder))),
            },
        };
        Ok(Ok(Guard { _registered: registered, _file: file }))
    }

    /// Who holds what, on this host and, with a shared database, on all others.
    ///
    /// # Errors
    /// The folder cannot be read; the database fails.
    pub fn list(&self) -> Result<Vec<Holder>> {
        let mut all = holders::local(self.dir.path_of_all())?;
        if let Some(database) = &self.database {
            // What is registered says more than its file.
            let registered = database.list()?;
            all.retain(|local| !registered.iter().any(|r| r.name == local.name && r.pid == local.pid));
            all.extend(registered);
        }
        all.sort_by(|a, b| (a.since, &a.name, a.pid).cmp(&(b.since, &b.name, b.pid)));
        Ok(all)
    }
}
