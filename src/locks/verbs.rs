//! The locks that the engine takes, and the errors if it cannot get them.

use super::process::{self, Other};
use super::{Guard, Holder, Locks, Taken};
use crate::failpoint;
use crate::monitor::signalled;
use crate::types::error::{Error, Result};
use crate::types::lock::GLOBAL;
use crate::types::uid::VersionUid;
use std::thread::sleep;
use std::time::{Duration, Instant};

pub(super) const CLEANUP: &str = "backy-cleanup-fast";
pub(super) const COPIES: &str = "backy-copies";
/// The words that begin the error of a cleanup while another one is running.
pub(crate) const OTHER_CLEANUP: &str = "Another backy cleanup is running";
/// Precedes the name of a snapshot.
pub(super) const SNAPSHOT: &str = "rbd-";
/// Precedes the name of versions.
pub(super) const JOB: &str = "job-";
/// Precedes the identity of an image.
pub(super) const IMAGE: &str = "image-";

/// How long a command tries to take the global lock. Each command holds it for an instant at its start.
const START: Duration = Duration::from_secs(1);
/// How long a command tries to take another lock. Other processes hold locks for an instant when they look whether a lock
/// is held, or are about to remove its file.
pub(super) const INSTANT: Duration = Duration::from_millis(300);
/// How long a command waits for another process that upgrades the database.
const UPGRADE: Duration = Duration::from_secs(60);
/// How long a command waits for another process that writes copies of metadata. Each holds the lock while it writes a few
/// objects.
const WRITING: Duration = Duration::from_secs(600);
/// A part of the title of a process that upgrades the database.
const UPGRADING: &str = "[Upgrading the database";
/// Time between two attempts.
pub(super) const PAUSE: Duration = Duration::from_millis(20);

impl Locks {
    /// Makes sure that no other process needs to be alone. It tries to take the global lock for about a second, and
    /// releases it.
    ///
    /// Call this after the process title is set, so that a process that takes the lock right afterwards sees this one.
    ///
    /// # Errors
    /// [`Error::Locked`]: another process needs to be alone. [`Error::LockDir`].
    pub fn startup_check(&self) -> Result<()> {
        match retry(START, || self.try_shared(GLOBAL))? {
            Taken::Granted(_) => Ok(()),
            Taken::Refused(holder) => Err(self.alone(holder)),
        }
    }

    /// Makes sure that no other process of the program runs, other releases on this host included, and that none starts
    /// until the guard is dropped. `process_name` is the configured name. Other guards of these `Locks` do not matter.
    ///
    /// # Errors
    /// [`Error::Locked`]: another process runs or holds any lock. [`Error::LockDir`].
    pub fn exclusive(&self, process_name: &str) -> Result<Guard> {
        failpoint::note("being alone");
        let guard = retry(START, || self.try_sole(GLOBAL))?.or_else(|holder| match holder {
            Some(holder) if holder.name != GLOBAL => Error::Locked(format!(
                "Other backy instances are running: {holder}. This needs to be alone: wait until they have ended."
            )),
            holder => self.alone(holder),
        })?;
        let others = process::others(process_name);
        if !others.is_empty() {
            return Err(running(&others, "This needs to be alone: wait until they have ended."));
        }
        let held = self.files_of_others()?;
        if !held.is_empty() {
            return Err(Error::Locked(format!(
                "Other backy instances are running. They hold these locks: {}. This needs to be alone: wait \
                 until they have ended.",
                held.join(", ")
            )));
        }
        Ok(guard)
    }

    /// Protects the version `uid` while it is read: other processes cannot write or remove it. They can pin it, too.
    ///
    /// # Errors
    /// [`Error::Locked`]: another process is doing that. [`Error::LockDir`].
    pub fn pin(&self, uid: &VersionUid) -> Result<Guard> {
        failpoint::note("pinning a version");
        retry(INSTANT, || self.try_shared(uid.as_str()))?.or_else(|holder| {
            Error::Locked(format!(
                "Version {uid} is locked: another backy is writing or removing it{}. Try again when \
                 that has ended.",
                by(holder)
            ))
        })
    }

    /// Reserves the version `uid` for this process, to write or remove it.
    ///
    /// # Errors
    /// [`Error::Locked`]: another process is doing that, or has pinned it. [`Error::LockDir`].
    pub fn own(&self, uid: &VersionUid) -> Result<Guard> {
        failpoint::note("owning a version");
        retry(INSTANT, || self.try_exclusive(uid.as_str()))?.or_else(|holder| {
            Error::Locked(format!(
                "Version {uid} is locked: another backy is writing, removing or reading it, has it mounted, serves it, or \
                 uses it as the base of a backup{}. Try again when that has ended.",
                by(holder)
            ))
        })
    }

    /// Makes sure that this is the only fast cleanup.
    ///
    /// # Errors
    /// [`Error::Locked`]: there is another one. [`Error::LockDir`].
    pub fn cleanup(&self) -> Result<Guard> {
        failpoint::note("locking the cleanup");
        retry(INSTANT, || self.try_exclusive(CLEANUP))?.or_else(|holder| {
            Error::Locked(format!("{OTHER_CLEANUP}{}. Try again when it has ended.", by(holder)))
        })
    }

    /// Keeps other processes from writing copies of metadata. Waits for those that do.
    ///
    /// # Errors
    /// [`Error::Locked`]: another process keeps the lock. [`Error::LockDir`]. [`Error::Interrupted`].
    pub fn copies(&self) -> Result<Guard> {
        failpoint::note("locking the copies");
        retry(WRITING, || self.try_exclusive(COPIES))?.or_else(|holder| {
            Error::Locked(format!(
                "Another backy has been writing copies of metadata for more than {} minutes{}. Try again when it has \
                 ended.",
                WRITING.as_secs() / 60,
                by(holder)
            ))
        })
    }

    /// Keeps other runs from making versions with the name `name`. `None`: another run is doing that.
    ///
    /// # Errors
    /// [`Error::LockDir`].
    pub fn own_job(&self, name: &str) -> Result<Option<Guard>> {
        Ok(self.try_exclusive(&of_job(name))?.guard())
    }

    /// The run that makes versions with the name `name`, if it is known.
    ///
    /// # Errors
    /// As for [`Locks::list`].
    pub fn holder_of_job(&self, name: &str) -> Result<Option<Holder>> {
        let name = of_job(name);
        Ok(self.held()?.into_iter().find(|holder| holder.name == name))
    }

    /// Protects a snapshot of an RBD image while it is read: other incremental backups cannot remove it. `name` consists of
    /// the names of the image and of the snapshot. `None`: another process is making or removing it.
    ///
    /// # Errors
    /// [`Error::LockDir`].
    pub fn use_snapshot(&self, name: &str) -> Result<Option<Guard>> {
        Ok(self.try_shared(&format!("{SNAPSHOT}{name}"))?.guard())
    }

    /// Reserves a snapshot of an RBD image for this process, to make or remove it. `None`: another process uses it.
    ///
    /// # Errors
    /// [`Error::LockDir`].
    pub fn own_snapshot(&self, name: &str) -> Result<Option<Guard>> {
        Ok(self.try_exclusive(&format!("{SNAPSHOT}{name}"))?.guard())
    }

    /// Makes sure that this is the only incremental backup of an image. `image` is the identity of the image, and `url` is
    /// the name that the user gave.
    ///
    /// # Errors
    /// [`Error::Locked`]: there is another one. [`Error::LockDir`].
    pub fn own_image(&self, image: &str, url: &str) -> Result<Guard> {
        retry(INSTANT, || self.try_exclusive(&format!("{IMAGE}{image}")))?.or_else(|holder| {
            Error::Locked(format!(
                "Another incremental backup of {url} is running{}. Nothing was done: try again when it has ended.",
                by(holder)
            ))
        })
    }

    /// Makes sure that no other process on this host uses the database while it is upgraded. Waits up to a minute for
    /// another process of this program that upgrades it. So the caller must read the state of the database again.
    ///
    /// # Errors
    /// [`Error::Locked`]: another process keeps the lock, or a process with the name `process_name` runs another program.
    /// That is release 2.13, which knows only the old database. [`Error::LockDir`].
    pub fn upgrade(&self, process_name: &str) -> Result<Guard> {
        self.upgrade_within(UPGRADE, process_name)
    }

    /// The error if another process needs to be alone. If the database does not know that process, this looks for it on
    /// this host.
    fn alone(&self, holder: Option<Holder>) -> Error {
        let here = || {
            let all = self.list().unwrap_or_default();
            all.into_iter().find(|holder| holder.name == GLOBAL && holder.exclusive)
        };
        alone(holder.or_else(here))
    }

    fn upgrade_within(&self, limit: Duration, process_name: &str) -> Result<Guard> {
        let guard = retry(limit, || self.try_exclusive(GLOBAL))?.or_else(|holder| self.alone(holder))?;
        let mut others = process::others(process_name);
        // Processes of this program have not opened the database yet, or wait for this lock.
        others.retain(|other| !other.same_executable);
        if others.is_empty() {
            return Ok(guard);
        }
        Err(running(&others, "The database must be upgraded, and they must end first. Nothing was changed."))
    }
}

/// The name of the lock of a job that makes versions with the name `name`.
fn of_job(name: &str) -> String {
    // Names of versions may have any characters and any length.
    let plain = name.len() <= 100 && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    let digest = || blake3::hash(name.as_bytes()).to_hex().to_string();
    format!("{JOB}{}", if plain { name.to_owned() } else { digest() })
}

/// Calls `attempt` until it succeeds, at least once and for at most `limit`.
fn retry(limit: Duration, mut attempt: impl FnMut() -> Result<Taken>) -> Result<Taken> {
    let start = Instant::now();
    loop {
        let taken = attempt()?;
        if matches!(taken, Taken::Granted(_)) || start.elapsed() >= limit {
            return Ok(taken);
        }
        if let Some(signal) = signalled() {
            return Err(Error::Interrupted(signal));
        }
        sleep(PAUSE);
    }
}

/// The error if `holder` is a process that needs to be alone.
pub(super) fn pass(holder: Option<Holder>) -> Result<()> {
    match holder {
        None => Ok(()),
        holder => Err(alone(holder)),
    }
}

/// The holder in parentheses, if it is known.
fn by(holder: Option<Holder>) -> String {
    holder.map(|holder| format!(" ({holder})")).unwrap_or_default()
}

fn alone(holder: Option<Holder>) -> Error {
    if let Some(Holder { host, pid, command, since, .. }) = &holder
        && command.contains(UPGRADING)
    {
        let since = since.map(|since| format!(" since {since} UTC")).unwrap_or_default();
        return Error::Locked(format!(
            "The database is being upgraded by process {pid} on {host}{since}. Nothing was changed. Try again when that \
             has ended."
        ));
    }
    Error::Locked(format!(
        "A backy is running which requires exclusive access (such as cleanup --full or rekey){}. Try again when it \
         has ended.",
        by(holder)
    ))
}

fn running(others: &[Other], help: &str) -> Error {
    let pids: Vec<String> = others.iter().map(|other| other.pid.to_string()).collect();
    Error::Locked(format!("Other backy instances are running (process {}). {help}", pids.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::super::process::tests::Named;
    use super::*;
    use crate::types::settings::FileMode;
    use tempfile::TempDir;

    /// No process is called so.
    const NOBODY: &str = "backy2-nobody";

    fn two() -> (TempDir, Locks, Locks) {
        let dir = tempfile::tempdir().expect("a folder");
        let (a, b) = (Locks::new(dir.path(), FileMode::PRIVATE), Locks::new(dir.path(), FileMode::PRIVATE));
        (dir, a, b)
    }

    fn refusal<T>(result: Result<T>) -> String {
        match result {
            Err(Error::Locked(text)) => text,
            Err(other) => panic!("another error: {other:?}"),
            Ok(_) => panic!("not refused"),
        }
    }

    #[test]
    fn a_command_starts_unless_another_must_be_alone() {
        let (dir, a, b) = two();
        a.startup_check().expect("nobody there");
        let shared = a.try_shared("backy").expect("usable").guard().expect("free");
        b.startup_check().expect("others may start at the same time");
        drop(shared);
        let guard = a.exclusive(NOBODY).expect("alone");
        let started = Instant::now();
        assert!(refusal(b.startup_check()).starts_with("A backy is running which requires exclusive access"));
        assert!(started.elapsed() >= START, "it has tried for a while");
        drop(guard);
        b.startup_check().expect("nobody there");
        assert_eq!(std::fs::read_dir(dir.path()).expect("listed").count(), 0, "no files are left");
    }

    #[test]
    fn a_command_waits_while_the_lock_is_held_for_an_instant() {
        let (_dir, a, b) = two();
        let guard = a.exclusive(NOBODY).expect("alone");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                sleep(PAUSE * 3);
                drop(guard);
            });
            b.startup_check().expect("free after an instant");
        });
    }

    #[test]
    fn exclusive_use_is_refused_while_a_lock_is_held() {
        let (_dir, a, b) = two();
        let pinned = b.pin(&"some-uid".into()).expect("free");
        let text = refusal(a.exclusive(NOBODY));
        assert!(text.starts_with("Other backy instances are running") && text.contains("some-uid"), "{text}");
        b.startup_check().expect("the global lock was let go of");
        drop(pinned);
        let _cleanup = a.cleanup().expect("free");
        let _guard = a.exclusive(NOBODY).expect("its own locks are no obstacle");
        assert!(refusal(b.exclusive(NOBODY)).contains("exclusive access"));
    }

    #[test]
    fn exclusive_use_is_refused_while_another_process_runs() {
        let (dir, a, _) = two();
        let other = Named::start(dir.path(), "bk-alone");
        assert!(refusal(a.exclusive("bk-alone")).contains(&format!("process {})", other.pid())));
        drop(other);
        std::fs::remove_file(dir.path().join("bk-alone")).expect("removed");
        let _guard = a.exclusive("bk-alone").expect("alone");
    }

    #[test]
    fn an_upgrade_waits_for_the_lock_and_refuses_other_programs() {
        let (dir, a, b) = two();
        let other = Named::start(dir.path(), "bk-upgrade");
        assert!(refusal(a.upgrade("bk-upgrade")).contains(&other.pid().to_string()));
        let guard = a.upgrade(NOBODY).expect("alone");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                sleep(PAUSE * 3);
                drop(guard);
            });
            let _guard = b.upgrade(NOBODY).expect("after the first one");
            assert!(refusal(a.upgrade_within(PAUSE, NOBODY)).contains("exclusive access"));
        });
    }

    #[test]
    fn versions_are_pinned_by_many_or_owned_by_one() {
        let (_dir, a, b) = two();
        let pins = [a.pin(&"uid".into()).expect("free"), b.pin(&"uid".into()).expect("shared")];
        assert!(refusal(b.own(&"uid".into())).starts_with("Version uid is locked"));
        drop(pins);
        let _owned = a.own(&"uid".into()).expect("free");
        assert!(refusal(b.pin(&"uid".into())).starts_with("Version uid is locked"));
        assert!(refusal(b.own(&"uid".into())).starts_with("Version uid is locked"));
        let _other = b.own(&"uid2".into()).expect("free");
        assert!(matches!(a.own(&"../uid".into()), Err(Error::LockDir { .. })));
    }

    #[test]
    fn there_is_one_cleanup() {
        let (_dir, a, b) = two();
        let _guard = a.cleanup().expect("free");
        assert!(refusal(b.cleanup()).starts_with("Another backy cleanup is running."));
        b.startup_check().expect("other commands may run");
    }
}
