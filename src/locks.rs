//! Locks between processes.
//!
//! On a host, locks are lock files, the same as those of release 2.13. Each lock is also registered in the database,
//! because several hosts may share a database on PostgreSQL, and because lock files get lost. The names are the same:
//!
//! | name | file in `lock_dir` | shared | exclusive |
//! | --- | --- | --- | --- |
//! | `backy` | `backy_backy.lock` | every command, for an instant at its start | `cleanup --full`, `rekey`, `migrate-db`, an upgrade of the database |
//! | UID | `backy_UID.lock` | a version that is read: as a base, by a restore, in a mount, … | one that is written or removed |
//! | `backy-cleanup-fast` | `backy_backy-cleanup-fast.lock` | – | the fast cleanup |
//! | `backy-copies` | `backy_backy-copies.lock` | – | writing copies of metadata |
//! | `job-NAME` | `backy_job-NAME.lock` | – | a job of `run` that makes versions of that name |
//! | `rbd-…` | `backy_rbd-….lock` | a snapshot that is read | one that is being made or removed |
//! | `image-…` | `backy_image-….lock` | – | an image, by `backup --incremental` |
//!
//! [`Locks`] takes and releases them, and knows the rules of the table. Each verb says how long it waits for a lock. No
//! wait is without a limit, so there can be no deadlock.

mod dir;
mod holders;
pub(crate) mod process;
mod registry;
mod server;
mod strangers;
mod verbs;

use crate::types::error::{Error, Result};
use crate::types::lock::{GLOBAL, Hold, Identity, Wish};
use crate::types::reason::because;
use crate::types::settings::FileMode;
use std::fmt;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

pub(crate) use dir::LockDir;
pub(crate) use holders::Holder;
pub(crate) use server::ServerRegister;
pub(crate) use verbs::OTHER_CLEANUP;

/// The result of an attempt to take a lock.
enum Taken {
    Granted(Guard),
    /// Another process has it. Holds that process, if it is known.
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
    /// This process has it.
    Refused(Holder),
}

/// A register of locks in a database.
pub trait Register: fmt::Debug + Send + Sync {
    /// Takes a lock. Each call counts as another holder, in this process too.
    ///
    /// # Errors
    /// The database fails, or other processes took this one for dead.
    fn take(self: Arc<Self>, wish: &Wish<'_>) -> Result<Registration>;

    /// The living process that holds the lock `name` exclusively.
    ///
    /// # Errors
    /// The database fails.
    fn holder_alone(&self, name: &str) -> Result<Option<Holder>>;

    /// All registered locks.
    ///
    /// # Errors
    /// The database fails.
    fn list(&self) -> Result<Vec<Holder>>;

    /// The registered locks of processes that are dead. They do not count.
    ///
    /// # Errors
    /// The database fails.
    fn dead(&self) -> Result<Vec<Holder>>;
}

/// A registered lock, until this is dropped.
pub trait Registered: fmt::Debug + Send + Sync {}

/// The locks of an installation. Its clones know of each other's guards.
#[derive(Clone, Debug)]
pub struct Locks {
    dir: LockDir,
    /// The folder in which 2.13 has its lock files, if it is another one.
    beside: Option<LockDir>,
    register: Option<Arc<dyn Register>>,
}

/// A lock that is held until this is dropped.
#[derive(Debug)]
#[must_use = "the lock is released as soon as this is dropped"]
pub struct Guard {
    // They are dropped in this order. A process that finds the file free must find the registration gone.
    _registered: Option<Box<dyn Registered>>,
    _beside: Option<dir::Guard>,
    file: dir::Guard,
}

impl Guard {
    /// The lock file, for a process that this one starts. While any process has it open, no other one on this host gets the
    /// lock, even if this process is killed.
    ///
    /// # Errors
    /// [`Error::Resources`]: too many files are open.
    pub(crate) fn to_inherit(&self) -> Result<File> {
        let file = self.file.descriptor();
        file.map_err(|error| Error::resources(because("a lock cannot be handed to another process", error)))
    }
}

impl Locks {
    /// Locks of this host only. Their files have the mode `mode`. The folder is not used before the first lock is taken,
    /// and never created.
    pub fn new(dir: &Path, mode: FileMode) -> Self {
        Locks { dir: LockDir::new(dir, mode), beside: None, register: None }
    }

    /// Also takes each lock in the folder `dir`, which everybody can write to. Only files of the users `owners` count
    /// there. Files that cannot be used are ignored.
    pub fn beside(mut self, dir: &Path, mode: FileMode, owners: &[u32]) -> Self {
        self.beside = Some(LockDir::of_owners(dir, mode, owners));
        self
    }

    /// Also registers each lock in a database from now on.
    pub fn share(&mut self, register: impl Register + 'static) {
        self.register = Some(Arc::new(register));
    }

    /// As [`Locks::startup_check`], for the locks in the database. Takes no lock.
    ///
    /// # Errors
    /// [`Error::Locked`]: another process needs to be alone. Or the database fails.
    pub fn shared_check(&self) -> Result<()> {
        match &self.register {
            Some(register) => register.holder_alone(GLOBAL).and_then(verbs::pass),
            None => Ok(()),
        }
    }

    /// The names of all lock files that other processes hold.
    fn files_of_others(&self) -> Result<Vec<String>> {
        let mut held = self.dir.held_by_others()?;
        if let Some(beside) = &self.beside {
            held.extend(beside.held_by_others().unwrap_or_default());
        }
        held.sort();
        held.dedup();
        Ok(held)
    }

    /// Takes the lock `name` shared. Does not wait.
    fn try_shared(&self, name: &str) -> Result<Taken> {
        self.take(name, Hold::Shared)
    }

    /// Takes the lock `name` exclusively. Does not wait.
    fn try_exclusive(&self, name: &str) -> Result<Taken> {
        self.take(name, Hold::Exclusive)
    }

    /// Takes the lock `name` exclusively, if no other process has any lock in the database. Does not wait.
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
            // A file that cannot be used belongs to another user.
            Some(Err(_)) | None => None,
        };
        let registered = match &self.register {
            None => None,
            Some(register) => {
                let wish = Wish { name, hold, by: &Identity::own() };
                match Arc::clone(register).take(&wish)? {
                    Registration::Granted(lock) => Some(lock),
                    Registration::Refused(holder) => return Ok(Taken::Refused(Some(holder))),
                }
            }
        };
        Ok(Taken::Granted(Guard { _registered: registered, _beside: beside, file }))
    }

    /// The registered locks of processes that are dead. They do not count, and the next command that takes a lock removes
    /// them. [`Locks::list`] may contain them.
    ///
    /// # Errors
    /// The database fails.
    pub fn dead(&self) -> Result<Vec<Holder>> {
        self.register.as_ref().map_or(Ok(Vec::new()), |register| register.dead())
    }

    /// As [`Locks::list`], without the dead.
    ///
    /// # Errors
    /// As [`Locks::list`].
    pub fn held(&self) -> Result<Vec<Holder>> {
        let dead = self.dead()?;
        let is = |holder: &Holder, other: &Holder| {
            (&holder.name, &holder.host, holder.pid) == (&other.name, &other.host, other.pid)
        };
        let mut all = self.list()?;
        all.retain(|holder| !dead.iter().any(|gone| is(holder, gone)));
        Ok(all)
    }

    /// All locks that are held, on this host and, with a shared database, on all others.
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
            // A registration says more than the lock file.
            let registered = register.list()?;
            all.retain(|local| !registered.iter().any(|r| r.name == local.name && r.pid == local.pid));
            all.extend(registered);
        }
        all.sort_by(|a, b| (a.since, &a.name, a.pid).cmp(&(b.since, &b.name, b.pid)));
        Ok(all)
    }
}
