//! Files that are there as a whole or not at all.

use super::close::close;
use super::durable::sync_folder;
use super::private;
use crate::types::settings::FileMode;
use rustix::fs::{Gid, Mode, OFlags, Uid};
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A file that is being written beside its place. It takes that place with [`finish`](Whole::finish), durably; dropped
/// before, it leaves no trace, and what was there stays.
#[derive(Debug)]
pub struct Whole {
    /// `None` once it is closed.
    file: Option<File>,
    target: PathBuf,
    /// Where it is until it is finished. `None`: at its place already, since that is no regular file.
    temporary: Option<PathBuf>,
}

impl Whole {
    /// Begins the file at `path`. One that is there is replaced, and keeps its mode, and its owner where possible;
    /// through a link, what it leads to. What is no regular file (a pipe, a terminal, `/dev/stdout`) is written to
    /// directly.
    ///
    /// # Errors
    /// It cannot be written, or nothing can be made beside it.
    pub fn begin(path: &Path, mode: FileMode) -> io::Result<Self> {
        if is_stream(path) {
            let file = File::options().write(true).open(path)?;
            return Ok(Whole { file: Some(file), target: path.to_owned(), temporary: None });
        }
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let (target, old) = match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(old) => {
                let old = File::from(old);
                // By way of the open file, so that the kernel's rules for links in folders of all have been kept.
                (std::fs::read_link(format!("/proc/self/fd/{}", old.as_raw_fd()))?, Some(old.metadata()?))
            }
            Err(rustix::io::Errno::NOENT) if private::is_taken(path) => {
                return Err(io::Error::new(ErrorKind::NotFound, "it is a link to what does not exist"));
            }
            Err(rustix::io::Errno::NOENT) => (path.to_owned(), None),
            Err(e) => return Err(e.into()),
        };
        let name = target.file_name().ok_or(ErrorKind::IsADirectory)?;
        let begin = format!(".{}.", name.to_string_lossy().chars().take(40).collect::<String>());
        let (file, temporary) = private::temporary(&folder_of(&target), &begin, mode)?;
        if let Some(old) = old {
            // Only root can give files away. A file of another owner than before must not have the rights that were
            // meant for the old one's group.
            let (owner, group) = (Uid::from_raw(old.uid()), Gid::from_raw(old.gid()));
            if rustix::fs::fchown(&file, Some(owner), Some(group)).is_ok() {
                let _ = rustix::fs::fchmod(&file, Mode::from_raw_mode(old.mode() & 0o777));
            }
        }
        Ok(Whole { file: Some(file), target, temporary: Some(temporary) })
    }

    /// Makes it durable and puts it into its place.
    ///
    /// # Errors
    /// What the kernel says. What was there before stays then.
    pub fn finish(mut self) -> io::Result<()> {
        let Some(file) = self.file.take() else { return Ok(()) };
        let Some(temporary) = &self.temporary else {
            return close(file);
        };
        file.sync_all()?;
        close(file)?;
        crate::failpoint::pass("whole-before-rename");
        std::fs::rename(temporary, &self.target)?;
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

/// Whether what is at `path` is written to as it is: anything but a regular file, and what a process has open.
fn is_stream(path: &Path) -> bool {
    let special = std::fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir());
    let folder = std::fs::canonicalize(folder_of(path)).unwrap_or_default();
    special || folder == Path::new("/dev") || folder.starts_with("/proc")
}

fn folder_of(path: &Path) -> PathBuf {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
}
