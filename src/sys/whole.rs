//! Files that are either complete or absent.

use super::close::close;
use super::durable::sync_folder;
use super::private;
use crate::failpoint;
use crate::types::settings::FileMode;
use rustix::fs::{CWD, Gid, Mode, OFlags, RenameFlags, Uid, renameat_with};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A file that is written beside its final place. [`finish`](Whole::finish) moves it there durably. If it is dropped
/// before that, it leaves no trace, and the old file stays.
#[derive(Debug)]
pub(crate) struct Whole {
    /// `None` once the file is closed.
    file: Option<File>,
    target: PathBuf,
    /// The path until the file is finished. `None` if it is not a regular file: then it is written in place.
    temporary: Option<PathBuf>,
}

impl Whole {
    /// Begins the file at `path`. An existing file is replaced, and the new one gets its mode, and its owner where
    /// possible. If `path` is a link, its target is replaced. Anything else than a regular file (a pipe, a terminal,
    /// `/dev/stdout`) is written to directly.
    ///
    /// # Errors
    /// The file cannot be written, or no file can be created beside it.
    pub(crate) fn begin(path: &Path, mode: FileMode) -> io::Result<Self> {
        if is_stream(path) {
            let file = File::options().write(true).open(path)?;
            return Ok(Whole { file: Some(file), target: path.to_owned(), temporary: None });
        }
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let (target, old) = match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(old) => {
                let old = File::from(old);
                // The path comes from the open file, so that the kernel has applied its rules for links in shared
                // folders.
                (std::fs::read_link(format!("/proc/self/fd/{}", old.as_raw_fd()))?, Some(old.metadata()?))
            }
            Err(Errno::NOENT) if private::is_taken(path) => {
                return Err(io::Error::new(ErrorKind::NotFound, "it is a link whose target does not exist"));
            }
            Err(Errno::NOENT) => (path.to_owned(), None),
            Err(e) => return Err(e.into()),
        };
        let whole = Self::beside(target, mode)?;
        if let (Some(old), Some(file)) = (old, &whole.file) {
            // Only root can give files away. If the owner changes, the new file must not have the permissions that were
            // meant for the old file's group.
            let (owner, group) = (Uid::from_raw(old.uid()), Gid::from_raw(old.gid()));
            if rustix::fs::fchown(file, Some(owner), Some(group)).is_ok() {
                let _ = rustix::fs::fchmod(file, Mode::from_raw_mode(old.mode() & 0o777));
            }
        }
        Ok(whole)
    }

    /// Begins a file that replaces whatever is at `path`. It never follows a link there, so nobody who can write to the
    /// folder can redirect it.
    ///
    /// # Errors
    /// No file can be created in the folder.
    pub(crate) fn begin_anew(path: &Path, mode: FileMode) -> io::Result<Self> {
        Self::beside(path.to_owned(), mode)
    }

    /// The new file, in the folder of `target`.
    fn beside(target: PathBuf, mode: FileMode) -> io::Result<Self> {
        let name = target.file_name().ok_or(ErrorKind::IsADirectory)?;
        let begin = format!(".{}.", name.to_string_lossy().chars().take(40).collect::<String>());
        let (file, temporary) = private::temporary(&folder_of(&target), &begin, mode)?;
        Ok(Whole { file: Some(file), target, temporary: Some(temporary) })
    }

    /// Makes the file durable and moves it into place.
    ///
    /// # Errors
    /// The error that the kernel reports. The old file stays then.
    pub(crate) fn finish(self) -> io::Result<()> {
        self.put(|temporary, target| std::fs::rename(temporary, target))
    }

    /// Does the same, unless something has appeared at its place in the meantime.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`], or the error that the kernel reports.
    pub(crate) fn finish_new(self) -> io::Result<()> {
        self.put(|temporary, target| {
            match renameat_with(CWD, temporary, CWD, target, RenameFlags::NOREPLACE) {
                // Not every file system supports this. A hard link never replaces anything either.
                Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                    std::fs::hard_link(temporary, target).and_then(|()| std::fs::remove_file(temporary))
                }
                done => Ok(done?),
            }
        })
    }

    fn put(mut self, place: impl FnOnce(&Path, &Path) -> io::Result<()>) -> io::Result<()> {
        let Some(file) = self.file.take() else { return Ok(()) };
        let Some(temporary) = &self.temporary else {
            return close(file);
        };
        file.sync_all()?;
        close(file)?;
        failpoint::pass("whole-before-rename");
        place(temporary, &self.target)?;
        self.temporary = None;
        sync_folder(&folder_of(&self.target))
    }

    fn file(&mut self) -> io::Result<&mut File> {
        self.file.as_mut().ok_or_else(|| ErrorKind::BrokenPipe.into())
    }
}

impl Write for Whole {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.file()?.write(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file()?.flush()
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            let _ = std::fs::remove_file(temporary);
        }
    }
}

/// Whether `path` is written in place: everything but regular files, and the open files of a process.
fn is_stream(path: &Path) -> bool {
    let special = std::fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir());
    let folder = std::fs::canonicalize(folder_of(path)).unwrap_or_default();
    special || folder == Path::new("/dev") || folder.starts_with("/proc")
}

fn folder_of(path: &Path) -> PathBuf {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn put(path: &Path, text: &str) -> io::Result<()> {
        let mut file = Whole::begin(path, FileMode::PRIVATE)?;
        file.write_all(text.as_bytes())?;
        file.finish()
    }

    fn names(dir: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(dir).expect("listed");
        let mut names: Vec<_> = entries
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_by_a_whole_one_only() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("dump");
        put(&path, "one").expect("made");
        assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("changed");
        let mut unfinished = Whole::begin(&path, FileMode::PRIVATE).expect("begun");
        unfinished.write_all(b"half").expect("written");
        assert_eq!(std::fs::read(&path).expect("read"), b"one");
        drop(unfinished);
        assert_eq!(names(dir.path()), ["dump"]);
        put(&path, "two").expect("replaced");
        assert_eq!(std::fs::read(&path).expect("read"), b"two");
        assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o640, "as it was");
        let new = Whole::begin(&path, FileMode::PRIVATE).expect("begun");
        assert_eq!(new.finish_new().expect_err("there already").kind(), ErrorKind::AlreadyExists);
        Whole::begin(&dir.path().join("new"), FileMode::PRIVATE).and_then(Whole::finish_new).expect("made");
        assert_eq!(names(dir.path()), ["dump", "new"]);
    }

    #[test]
    fn the_target_of_a_link_is_replaced_and_the_link_stays() {
        let (here, there) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let (link, file) = (here.path().join("link"), there.path().join("file"));
        std::fs::write(&file, "old").expect("written");
        symlink(&file, &link).expect("linked");
        put(&link, "new").expect("replaced");
        assert_eq!(std::fs::read(&file).expect("read"), b"new");
        assert!(link.is_symlink());
        std::fs::remove_file(&file).expect("removed");
        put(&link, "new").expect_err("it leads nowhere");
        assert_eq!((names(here.path()).len(), names(there.path()).len()), (1, 0));
    }

    #[test]
    fn a_link_is_replaced_if_nothing_may_be_redirected() {
        let (here, there) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let (link, file) = (here.path().join("link"), there.path().join("file"));
        std::fs::write(&file, "old").expect("written");
        symlink(&file, &link).expect("linked");
        let mut new = Whole::begin_anew(&link, FileMode::PUBLIC).expect("begun");
        new.write_all(b"new").and_then(|()| new.finish()).expect("finished");
        assert_eq!(std::fs::read(&file).expect("read"), b"old");
        assert!(!link.is_symlink() && names(here.path()) == ["link"]);
        assert_eq!(std::fs::metadata(&link).expect("there").permissions().mode() & 0o777, 0o644);
    }

    #[test]
    fn devices_and_pipes_are_written_in_place() {
        put(Path::new("/dev/null"), "x").expect("a device");
        assert!(put(Path::new("/dev/full"), "x").is_err());
        let (mut reader, writer) = io::pipe().expect("a pipe");
        put(Path::new(&format!("/proc/self/fd/{}", writer.as_raw_fd())), "x").expect("a pipe");
        drop(writer);
        let mut text = String::new();
        io::Read::read_to_string(&mut reader, &mut text).expect("read");
        assert_eq!(text, "x");
    }
}
