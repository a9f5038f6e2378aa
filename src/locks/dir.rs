//! Taking and releasing lock files.

use crate::sys::private::open_lock;
use crate::types::error::{Error, Result};
use crate::types::reason::{Reason, because};
use crate::types::settings::FileMode;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How often a lock file may vanish between opening and locking it, before it counts as held.
const ATTEMPTS: usize = 100;
pub(super) const PREFIX: &str = "backy_";
pub(super) const SUFFIX: &str = ".lock";

/// The folder of the lock files. Its clones know of each other's guards.
#[derive(Clone, Debug)]
pub(crate) struct LockDir {
    dir: PathBuf,
    mode: FileMode,
    /// The users whose files count. `None`: all users.
    owners: Option<Vec<u32>>,
    ours: Ours,
}

/// The files of all living guards, one entry for each guard.
#[derive(Clone, Debug, Default)]
struct Ours(Arc<Mutex<Vec<PathBuf>>>);

impl Ours {
    fn paths(&self) -> MutexGuard<'_, Vec<PathBuf>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A lock that is held until this is dropped. Then the file is removed, unless other processes share the lock.
#[derive(Debug)]
#[must_use = "the lock is released as soon as this is dropped"]
pub(crate) struct Guard {
    file: File,
    path: PathBuf,
    ours: Ours,
}

impl LockDir {
    /// Notes the folder. It is not used before the first lock is taken, and never created. `mode` is the mode of the
    /// files. A user who can open a file can hold its lock.
    pub(crate) fn new(dir: &Path, mode: FileMode) -> Self {
        LockDir { dir: dir.to_owned(), mode, owners: None, ours: Ours::default() }
    }

    /// A folder that everybody can write to. Only files of the users `owners` count there, so that other users cannot
    /// keep this process out.
    pub(crate) fn of_owners(dir: &Path, mode: FileMode, owners: &[u32]) -> Self {
        LockDir { owners: Some(owners.to_vec()), ..Self::new(dir, mode) }
    }

    /// Whether the lock of this file counts.
    fn counts(&self, file: &File) -> bool {
        let owner = || file.metadata().map(|metadata| metadata.uid());
        self.owners.as_ref().is_none_or(|owners| owner().is_ok_and(|owner| owners.contains(&owner)))
    }

    /// Takes the lock `name` shared. `None`: another holder has it exclusively. Does not wait. Each call counts as
    /// another holder, in this process too.
    ///
    /// # Errors
    /// [`Error::LockDir`]: the folder cannot be used, or `name` cannot be part of a file name.
    pub(crate) fn try_shared(&self, name: &str) -> Result<Option<Guard>> {
        self.take(name, FlockOperation::NonBlockingLockShared)
    }

    /// Takes the lock `name` exclusively. `None`: another holder has it. Does not wait.
    ///
    /// # Errors
    /// As for [`try_shared`](Self::try_shared).
    pub(crate) fn try_exclusive(&self, name: &str) -> Result<Option<Guard>> {
        self.take(name, FlockOperation::NonBlockingLockExclusive)
    }

    /// The names of all locks that are held now, except by guards of this `LockDir` and its clones. To find out, it takes
    /// each free lock for an instant.
    ///
    /// # Errors
    /// [`Error::LockDir`]: the folder or one of the files cannot be read.
    pub(super) fn held_by_others(&self) -> Result<Vec<String>> {
        let mut held = Vec::new();
        for entry in std::fs::read_dir(&self.dir).map_err(|e| self.error(e))? {
            let entry = entry.map_err(|e| self.error(e))?;
            let file_name = entry.file_name();
            let name = file_name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX));
            let Some(name) = name else { continue };
            if self.ours.paths().contains(&entry.path()) {
                continue;
            }
            let file = match open_lock(&entry.path(), None) {
                Ok(file) => file,
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                // A file that cannot be opened belongs to another user, and does not count.
                Err(_) if self.owners.is_some() => continue,
                Err(e) => return Err(self.error(because(format!("{}", file_name.display()), e))),
            };
            if !self.counts(&file) {
                continue;
            }
            if flock(&file, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK) {
                held.push(name.to_owned());
            }
        }
        held.sort();
        Ok(held)
    }

    fn take(&self, name: &str, operation: FlockOperation) -> Result<Option<Guard>> {
        let path = self.path(name)?;
        for _ in 0..ATTEMPTS {
            let file = match open_lock(&path, Some(self.mode)) {
                Ok(file) => file,
                // It was removed between the two ways of opening it.
                Err(e) if e.kind() == ErrorKind::NotFound && self.dir.is_dir() => continue,
                Err(e) => return Err(self.why(&path, e)),
            };
            if !self.counts(&file) {
                return Err(self.error(format!("{} belongs to another user", path.display())));
            }
            let locked = match flock(&file, operation) {
                Ok(()) => true,
                Err(Errno::WOULDBLOCK) => false,
                Err(Errno::INTR) => continue,
                Err(e) => return Err(self.error(because(format!("{} cannot be locked", path.display()), e))),
            };
            // A process that releases a lock removes the file. A lock on the removed file keeps nobody out, because all
            // others open the file that is there now.
            if !is_at(&file, &path) {
                continue;
            }
            if !locked {
                return Ok(None);
            }
            self.ours.paths().push(path.clone());
            return Ok(Some(Guard { file, path, ours: self.ours.clone() }));
        }
        Ok(None)
    }

    /// The path of the lock file. Names come from the command line, too, and must not lead to another folder.
    fn path(&self, name: &str) -> Result<PathBuf> {
        if name.is_empty() || name.contains(['/', '\0']) {
            return Err(self.error(format!("{name:?} cannot be the name of a lock")));
        }
        Ok(self.dir.join(format!("{PREFIX}{name}{SUFFIX}")))
    }

    /// The error for a file that cannot be opened.
    fn why(&self, path: &Path, error: io::Error) -> Error {
        match std::fs::metadata(&self.dir) {
            Err(e) if e.kind() == ErrorKind::NotFound => {
                self.error("there is no such folder. Create it, or set lock_dir to one that exists.")
            }
            Err(e) => self.error(e),
            Ok(metadata) if !metadata.is_dir() => self.error("it is not a folder"),
            Ok(_) if error.kind() == ErrorKind::PermissionDenied => self.error(
                because(format!("{} cannot be opened", path.display()), error)
                    .advise("Users who share an installation need a file_mode such as 0660"),
            ),
            Ok(_) => self.error(because(format!("{} cannot be opened", path.display()), error)),
        }
    }

    /// The folder.
    pub(super) fn path_of_all(&self) -> &Path {
        &self.dir
    }

    fn error(&self, reason: impl Into<Reason>) -> Error {
        Error::LockDir { path: self.dir.clone(), reason: reason.into() }
    }
}

/// Whether `file` is the file that is at `path` now.
fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::symlink_metadata(path)) {
        (Ok(ours), Ok(there)) => (ours.dev(), ours.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

impl Guard {
    /// Another descriptor of the locked file. The lock stays until all descriptors are closed.
    pub(super) fn descriptor(&self) -> io::Result<File> {
        self.file.try_clone()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // While others share the lock, the file must stay, or the next process would lock another file. If this is the
        // only holder, it gets the lock exclusively. Then no other process has locked the file, or removed it and made a
        // new one. If something fails here, an empty file remains, which does no harm.
        let alone = flock(&self.file, FlockOperation::NonBlockingLockExclusive).is_ok();
        if alone && is_at(&self.file, &self.path) {
            let _ = std::fs::remove_file(&self.path);
        }
        let mut ours = self.ours.paths();
        if let Some(at) = ours.iter().position(|path| *path == self.path) {
            ours.swap_remove(at);
        }
        // Closing the file releases the lock.
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use tempfile::TempDir;

    fn two() -> (TempDir, LockDir, LockDir) {
        let dir = tempfile::tempdir().expect("a folder");
        let (a, b) =
            (LockDir::new(dir.path(), FileMode::PRIVATE), LockDir::new(dir.path(), FileMode::PRIVATE));
        (dir, a, b)
    }

    fn names(dir: &TempDir) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(dir.path())
            .expect("listed")
            .map(|entry| entry.expect("entry").file_name().into_string().expect("text"))
            .collect();
        names.sort();
        names
    }

    #[test]
    fn one_holder_keeps_out_all_others_until_it_is_dropped() {
        let (dir, a, b) = two();
        let guard = a.try_exclusive("uid").expect("usable").expect("free");
        assert_eq!(names(&dir), ["backy_uid.lock"]);
        assert!(b.try_exclusive("uid").expect("usable").is_none());
        assert!(b.try_shared("uid").expect("usable").is_none());
        assert!(a.try_shared("uid").expect("usable").is_none(), "nor does the holder get it twice");
        let _other = b.try_exclusive("other").expect("usable").expect("free");
        drop(guard);
        assert_eq!(names(&dir), ["backy_other.lock"]);
        assert!(b.try_exclusive("uid").expect("usable").is_some());
    }

    #[test]
    fn sharing_holders_keep_the_file_until_the_last_one_goes() {
        let (dir, a, b) = two();
        let first = a.try_shared("uid").expect("usable").expect("free");
        let second = b.try_shared("uid").expect("usable").expect("shared");
        assert!(a.try_exclusive("uid").expect("usable").is_none());
        drop(first);
        assert_eq!(names(&dir), ["backy_uid.lock"]);
        assert!(a.try_exclusive("uid").expect("usable").is_none());
        let third = a.try_shared("uid").expect("usable").expect("shared");
        drop(second);
        drop(third);
        assert!(names(&dir).is_empty());
    }

    #[test]
    fn a_lock_whose_file_was_removed_keeps_out_nobody_and_removes_nothing() {
        let (dir, a, b) = two();
        let stale = a.try_exclusive("uid").expect("usable").expect("free");
        fs::remove_file(dir.path().join("backy_uid.lock")).expect("removed");
        let fresh = b.try_exclusive("uid").expect("usable").expect("free again");
        drop(stale);
        assert_eq!(names(&dir), ["backy_uid.lock"], "the file is the other's");
        assert!(a.try_exclusive("uid").expect("usable").is_none());
        drop(fresh);
        assert!(names(&dir).is_empty());
    }

    #[test]
    fn two_never_hold_it_however_often_it_is_removed() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        let (dir, _, _) = two();
        let (inside, taken) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let locks = LockDir::new(dir.path(), FileMode::PRIVATE);
                    for _ in 0..500 {
                        if let Some(guard) = locks.try_exclusive("uid").expect("usable") {
                            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                            taken.fetch_add(1, Ordering::SeqCst);
                            std::thread::yield_now();
                            inside.fetch_sub(1, Ordering::SeqCst);
                            drop(guard);
                        }
                    }
                });
            }
        });
        assert!(taken.load(Ordering::SeqCst) > 0);
        assert!(names(&dir).is_empty());
    }

    #[test]
    fn names_lead_to_no_other_folder() {
        let (dir, a, _) = two();
        for bad in ["", "../x", "a/b", "/x", "a\0b"] {
            for result in [a.try_shared(bad), a.try_exclusive(bad)] {
                let error = result.expect_err(bad);
                assert!(matches!(&error, Error::LockDir { path, .. } if path == dir.path()), "{error:?}");
            }
        }
        assert!(a.try_shared(&"x".repeat(300)).is_err(), "too long");
        assert!(names(&dir).is_empty());
        assert!(a.try_shared("..").expect("harmless").is_some());
    }

    #[test]
    fn a_folder_that_cannot_be_used_is_named() {
        let (dir, _, _) = two();
        fs::write(dir.path().join("file"), "").expect("written");
        for (name, what) in
            [("absent", "no such folder"), ("file", "not a folder"), ("file/x", "Not a directory")]
        {
            let path = dir.path().join(name);
            let error = LockDir::new(&path, FileMode::PRIVATE).try_shared("uid").expect_err(name).line();
            assert!(error.contains(path.to_str().expect("text")) && error.contains(what), "{error}");
        }
    }

    #[test]
    fn links_are_not_followed() {
        let (dir, a, _) = two();
        std::os::unix::fs::symlink("elsewhere", dir.path().join("backy_uid.lock")).expect("a link");
        a.try_exclusive("uid").expect_err("a link");
        assert!(!dir.path().join("elsewhere").exists());
    }

    #[test]
    fn lock_files_have_the_configured_mode() {
        use std::os::unix::fs::PermissionsExt;
        for (text, mode) in [("0600", 0o600), ("0660", 0o660)] {
            let dir = tempfile::tempdir().expect("a folder");
            let locks = LockDir::new(dir.path(), FileMode::parse(text).expect("good"));
            let _guard = locks.try_shared("uid").expect("usable").expect("free");
            let found = fs::metadata(dir.path().join("backy_uid.lock")).expect("there");
            assert_eq!(found.permissions().mode() & 0o7777, mode);
        }
    }

    #[test]
    fn held_locks_are_found_and_left_files_are_not_taken_for_some() {
        let (dir, a, b) = two();
        for name in ["backy_left.lock", "other_x.lock", "backy_x.other", "backy_"] {
            fs::write(dir.path().join(name), "").expect("written");
        }
        let own = [a.try_exclusive("own"), a.clone().try_shared("own2"), a.try_shared("own2")];
        let own = own.map(|guard| guard.expect("usable").expect("free"));
        let _one = b.try_shared("one").expect("usable").expect("free");
        let _two = b.try_exclusive("two").expect("usable").expect("free");
        assert_eq!(a.held_by_others().expect("listed"), ["one", "two"]);
        assert_eq!(b.held_by_others().expect("listed"), ["own", "own2"]);
        let [_, second, _] = own;
        drop(second);
        assert_eq!(a.held_by_others().expect("listed"), ["one", "two"]);
        assert!(a.try_exclusive("left").expect("usable").is_some());
        LockDir::new(&dir.path().join("absent"), FileMode::PRIVATE).held_by_others().expect_err("no folder");
    }
}
