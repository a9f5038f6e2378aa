//! Checks that the path of a database still leads to the open file. A deleted file accepts commits, but nobody will
//! ever see them.

use rustix::fs::{CWD, Mode, OFlags, fstat, openat, stat};
use std::cell::Cell;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// Device and inode number of a file.
type FileNumbers = (u64, u64);

/// The file that was opened.
pub(super) struct Anchor {
    path: PathBuf,
    /// Opened with O_PATH, because closing a normal descriptor would release SQLite's locks on the file.
    file: OwnedFd,
    wal: PathBuf,
    /// The -wal file. From the first transaction on, it exists as long as any process has the database open.
    log: Cell<Option<FileNumbers>>,
}

impl Anchor {
    /// Remembers the file that is at `path` now. Returns `None` if there is none.
    pub(super) fn new(path: &Path) -> Option<Self> {
        let file = openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?;
        let mut wal = path.to_owned().into_os_string();
        wal.push("-wal");
        Some(Anchor { path: path.to_owned(), file, wal: wal.into(), log: Cell::new(None) })
    }

    /// Whether the database is still in its place. Call this within a transaction and after it.
    pub(super) fn holds(&self) -> bool {
        let Ok(open) = fstat(&self.file) else { return false };
        if at(&self.path) != Some((open.st_dev, open.st_ino)) {
            return false;
        }
        let now = at(&self.wal);
        match self.log.get() {
            None => {
                self.log.set(now);
                true
            }
            before => before == now,
        }
    }
}

fn at(path: &Path) -> Option<FileNumbers> {
    stat(path).ok().map(|stat| (stat.st_dev, stat.st_ino))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_file_that_is_deleted_or_replaced_is_noticed_and_so_is_its_log() {
        let folder = tempfile::tempdir().expect("tempdir");
        let path = folder.path().join("db");
        assert!(Anchor::new(&path).is_none());
        let (log, aside) = (folder.path().join("db-wal"), folder.path().join("aside"));
        fs::write(&path, "x").expect("written");
        let anchor = Anchor::new(&path).expect("there");
        assert!(anchor.holds());
        fs::write(&log, "log").expect("written");
        assert!(anchor.holds() && anchor.holds());
        fs::rename(&log, &aside).expect("moved");
        assert!(!anchor.holds());
        fs::write(&log, "another").expect("written");
        assert!(!anchor.holds());
        fs::rename(&aside, &log).expect("moved back");
        assert!(anchor.holds());
        fs::rename(&path, &aside).expect("moved");
        assert!(!anchor.holds());
        fs::write(&path, "another").expect("written");
        assert!(!anchor.holds());
        fs::rename(&aside, &path).expect("moved back");
        assert!(anchor.holds());
        fs::remove_file(&path).expect("removed");
        assert!(!anchor.holds());
    }
}
