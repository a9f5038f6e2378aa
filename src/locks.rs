//! Locks, by which processes keep out of each other's way.
//!
//! On a host they are lock files, the same as those of release 2.13. Each is registered in the database, too: several
//! hosts may share one of PostgreSQL, and lock files get lost. The names are the same:
//!
//! | name | file in `lock_dir` | shared | exclusive |
//! | --- | --- | --- | --- |
//! | `backy` | `backy_backy.lock` | every command, for an instant at its start | full cleanup, rekey, upgrade of the database |
//! | UID | `backy_UID.lock` | a version in use as base, or being restored | one being written, removed or rekeyed |
//! | `backy-cleanup-fast` | `backy_backy-cleanup-fast.lock` | – | the fast cleanup |
//! | `rbd-…` | `backy_rbd-….lock` | a snapshot that is read | one that is being made or removed |
//! | `image-…` | `backy_image-….lock` | – | an image, by `backup --incremental` |
//!
//! [`Locks`] takes and releases them, and knows the rules of the table. Nothing waits for a
//! lock longer than each verb says, so that there can be no deadlock.

mod database;
mod dir;
mod holders;
pub(crate) mod process;
mod registry;
pub(crate) mod verbs;

use crate::types::error::{Error, Result};
use crate::types::settings::FileMode;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

pub(crate) use database::Database;
pub(crate) use dir::LockDir;
pub(crate) use holders::{Holder, Identity};

/// How a lock is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Together with other holders.
    Shared,
    /// By one holder.
    Exclusive,
    /// By one holder, while no other process holds any lock in the database.
    Sole,
}

impl Hold {
    /// Whether nobody else may hold the same lock.
    pub fn is_exclusive(self) -> bool {
        self != Hold::Shared
    }
}

/// The result of an attempt to take a lock.
enum Taken {
    Granted(Guard),
    /// The holder, if it is known.
    Refused(Option<Holder>),
}

impl Taken {
    /// The guard, if the lock was free.
    fn guard(self) -> Option<Guard> {
        match self {
            Taken::Granted(guard) => Some(guard),
            Taken::Refused(_) => None,
        }
    }

    /// The guard, or the error that `refusal` makes of the holder.
    fn or_else(self, refusal: impl FnOnce(Option<Holder>) -> Error) -> Result<Guard> {
        match self {
            Taken::Granted(guard) => Ok(guard),
            Taken::Refused(holder) => Err(refusal(holder)),
        }
    }
}

/// The result of an attempt to register a lock.
pub enum Registration {
    /// The lock is registered until this is dropped.
    Granted(Box<dyn Registered>),
    /// This process holds it.
    Refused(Holder),
}

/// Where locks are registered beside their files.
pub trait Register: fmt::Debug + Send + Sync {
    /// Takes a lock. Each call counts as another holder, in this process too.
    ///
    /// # Errors
    /// The database fails; this process was taken for dead.
    fn take(self: Arc<Self>, name: &str, hold: Hold) -> Result<Registration>;

    /// Who holds the lock `name` alone and is alive.
    ///
    /// # Errors
    /// The database fails.
    fn holder_alone(&self, name: &str) -> Result<Option<Holder>>;

    /// All registered locks.
    ///
    /// # Errors
    /// The database fails.
    fn list(&self) -> Result<Vec<Holder>>;
}

/// A registered lock, until this is dropped.
pub trait Registered: fmt::Debug + Send + Sync {}

/// The locks of an installation. Its clones know of each other's guards.
#[derive(Clone, Debug)]
pub struct Locks {
    dir: LockDir,
    /// Where 2.13 has its lock files, too, if that is another folder.
    beside: Option<LockDir>,
    register: Option<Arc<dyn Register>>,
}

/// A lock that is held until this is dropped.
#[derive(Debug)]
#[must_use = "the lock is released as soon as this is dropped"]
pub struct Guard {
    // In this order: whoever finds the file free must find the registration gone.
    _registered: Option<Box<dyn Registered>>,
    _beside: Option<dir::Guard>,
    _file: dir::Guard,
}

impl Locks {
    /// Locks of this host alone, whose files have this mode. The folder is looked at when the first lock is taken,
    /// and never created.
    pub fn new(dir: &Path, mode: FileMode) -> Self {
        Locks { dir: LockDir::new(dir, mode), beside: None, register: None }
    }

    /// Takes each lock in the folder `dir` as well, which everybody can write to. Only files of the users `owners` count
    /// there, and what cannot be used is left out.
    pub fn beside(mut self, dir: &Path, mode: FileMode, owners: &[u32]) -> Self {
        self.beside = Some(LockDir::of_owners(dir, mode, owners));
        self
    }

    /// Registers what is locked from now on in the database, too.
    pub fn share(&mut self, register: impl Register + 'static) {
        self.register = Some(Arc::new(register));
    }

    /// As [`Locks::startup_check`]: a look at what is registered.
    ///
    /// # Errors
    /// [`crate::types::Error::Locked`] where somebody needs to be alone; the database fails.
    pub fn shared_check(&self) -> Result<()> {
        match &self.register {
            Some(register) => register.holder_alone(verbs::GLOBAL).and_then(verbs::pass),
            None => Ok(()),
        }
    }

    /// The names of all lock files that somebody else holds.
    fn files_of_others(&self) -> Result<Vec<String>> {
        let mut held = self.dir.held_by_others()?;
        if let Some(beside) = &self.beside {
            held.extend(beside.held_by_others().unwrap_or_default());
        }
        held.sort();
        held.dedup();
        Ok(held)
    }

    /// Takes the lock `name` together with others who take it shared. Does not wait.
    fn try_shared(&self, name: &str) -> Result<Taken> {
        self.take(name, Hold::Shared)
    }

    /// Takes the lock `name` exclusively. Does not wait.
    fn try_exclusive(&self, name: &str) -> Result<Taken> {
        self.take(name, Hold::Exclusive)
    }

    /// The same where no other process may have any lock in the database.
    fn try_sole(&self, name: &str) -> Result<Taken> {
        self.take(name, Hold::Sole)
    }

    fn take(&self, name: &str, hold: Hold) -> Result<Taken> {
        let from =
            |dir: &LockDir| if hold.is_exclusive() { dir.try_exclusive(name) } else { dir.try_shared(name) };
        let Some(file) = from(&self.dir)? else { return Ok(Taken::Refused(None)) };
        let beside = match self.beside.as_ref().map(from) {
            Some(Ok(None)) => return Ok(Taken::Refused(None)),
            Some(Ok(guard)) => guard,
            // What cannot be used there is another's.
            Some(Err(_)) | None => None,
        };
        let registered = match &self.register {
            None => None,
            Some(register) => match Arc::clone(register).take(name, hold)? {
                Registration::Granted(lock) => Some(lock),
                Registration::Refused(holder) => return Ok(Taken::Refused(Some(holder))),
            },
        };
        Ok(Taken::Granted(Guard { _registered: registered, _beside: beside, _file: file }))
    }

    /// Who holds what, on this host and, with a shared database, on all others.
    ///
    /// # Errors
    /// The folder cannot be read; the database fails.
    pub fn list(&self) -> Result<Vec<Holder>> {
        let mut all = holders::local(self.dir.path_of_all())?;
        if let Some(beside) = &self.beside {
            let more = holders::local(beside.path_of_all()).unwrap_or_default();
            let known = all.clone();
            all.extend(
                more.into_iter().filter(|m| !known.iter().any(|k| k.name == m.name && k.pid == m.pid)),
            );
        }
        if let Some(register) = &self.register {
            // What is registered says more than its file.
            let registered = register.list()?;
            all.retain(|local| !registered.iter().any(|r| r.name == local.name && r.pid == local.pid));
            all.extend(registered);
        }
        all.sort_by(|a, b| (a.since, &a.name, a.pid).cmp(&(b.since, &b.name, b.pid)));
        Ok(all)
    }
}
