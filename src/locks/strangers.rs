//! Programs that work on the same installation and take no lock of this one: release 2.13.

use super::verbs::{CLEANUP, COPIES, IMAGE, INSTANT, JOB, PAUSE, SNAPSHOT};
use super::{Locks, holders, process};
use crate::monitor::signalled;
use crate::types::error::{Error, Result};
use crate::types::lock::GLOBAL;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Parts of the title of 2.13: while it backs up, and while it looks at the base.
const OLD_BACKUP: &str = "[Backing up";
const OLD_PREPARATION: &str = "[Backing up (1/2";
/// How long a command waits for a process of 2.13 that is just beginning.
const BEGINNING: Duration = Duration::from_secs(5);

/// A trace of a backup by another program.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stranger {
    /// A locked file of this name, which is registered nowhere.
    Lock(String),
    /// A process with this number, whose title says so.
    Process(u32),
}

impl Locks {
    /// Makes sure that no backup by another program runs on this host. Such a program is release 2.13: it locks its new
    /// version, but not its base. It names the blocks of the base only at its end, so their blobs must not be deleted
    /// until then.
    ///
    /// # Errors
    /// [`Error::Locked`]: there is such a backup. [`Error::LockDir`].
    pub fn no_old_backup(&self, process_name: &str) -> Result<()> {
        // This program registers a lock an instant after it has locked the file. Where many backups begin, there is such a
        // lock at every look, but no lock stays so.
        let mut seen: Vec<(Stranger, Instant)> = Vec::new();
        loop {
            let found = self.old_backups(process_name)?;
            seen.retain(|(before, _)| found.contains(before));
            if let Some((stays, _)) = seen.iter().find(|(_, since)| since.elapsed() >= INSTANT) {
                return Err(self.old_backup_runs(stays)?);
            }
            if found.is_empty() {
                return Ok(());
            }
            if let Some(signal) = signalled() {
                return Err(Error::Interrupted(signal));
            }
            let new: Vec<Stranger> =
                found.into_iter().filter(|found| !seen.iter().any(|(before, _)| before == found)).collect();
            seen.extend(new.into_iter().map(|new| (new, Instant::now())));
            sleep(PAUSE);
        }
    }

    fn old_backup_runs(&self, found: &Stranger) -> Result<Error> {
        let found = match found {
            Stranger::Lock(name) => {
                let holder = self.list()?.into_iter().find(|holder| holder.name == *name);
                holder.map_or(format!("{name} is locked"), |holder| holder.to_string())
            }
            Stranger::Process(pid) => format!("process {pid}, {:?}", holders::command(*pid)),
        };
        Ok(Error::Locked(format!(
            "A backup by another program, such as release 2.13, is running ({found}). Data that it takes from its base \
             must not be deleted until it has ended. Try again then."
        )))
    }

    /// Looks for backups by another program. Either it holds the lock of a version that is not registered, or its title
    /// says so: a backup that continues a version does not lock it.
    fn old_backups(&self, process_name: &str) -> Result<Vec<Stranger>> {
        let files = self.files_of_others()?;
        let registered = self.register.as_ref().map_or(Ok(Vec::new()), |register| register.list())?;
        let special = |name: &str| {
            [GLOBAL, CLEANUP, COPIES].contains(&name)
                || [SNAPSHOT, IMAGE, JOB].iter().any(|start| name.starts_with(start))
        };
        let strangers = files
            .into_iter()
            .filter(|name| !special(name) && !registered.iter().any(|ours| ours.name == *name))
            .map(Stranger::Lock);
        let backs_up = old(process_name, |title| title.contains(OLD_BACKUP));
        Ok(strangers.chain(backs_up.map(|(pid, _)| Stranger::Process(pid))).collect())
    }

    /// Makes sure that no process of release 2.13 on this host is about to read the base of its backup. If the base were
    /// removed at that moment, it would treat all blocks as zeros. Reading takes an instant, and this waits for it.
    ///
    /// # Errors
    /// [`Error::Locked`]: there is still such a process after some seconds.
    pub fn no_old_beginning(&self, process_name: &str) -> Result<()> {
        let start = Instant::now();
        let begins = |title: &str| !title.contains('[') || title.contains(OLD_PREPARATION);
        while let Some((pid, _)) = old(process_name, begins) {
            if start.elapsed() >= BEGINNING {
                return Err(Error::Locked(format!(
                    "Another program, such as release 2.13, is preparing its work (process {pid}). It may \
                     be a backup that is based on this version. Try again in a moment."
                )));
            }
            if let Some(signal) = signalled() {
                return Err(Error::Interrupted(signal));
            }
            sleep(PAUSE);
        }
        Ok(())
    }
}

/// A process of another program with this name, if `is_so` accepts its title. Returns its id and title.
fn old(process_name: &str, is_so: impl Fn(&str) -> bool) -> Option<(u32, String)> {
    let others = process::others(process_name).into_iter().filter(|other| !other.same_executable);
    others.map(|other| (other.pid, holders::command(other.pid))).find(|(_, title)| is_so(title))
}
