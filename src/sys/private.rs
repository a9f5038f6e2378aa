//! Creates files and folders that only the intended users can access.
//!
//! Nothing here follows a symbolic link at the place of the new file, or uses a file that exists there. So nobody who
//! can write to the folder can redirect the file. Its mode is the configured one, whether the umask is wider or
//! narrower than that.

use crate::types::settings::FileMode;
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// How many random names to try.
const NAMES: usize = 16;

/// Creates a new file for reading and writing.
///
/// # Errors
/// [`ErrorKind::AlreadyExists`] if anything has that name, even a dangling link. Otherwise the error that the kernel
/// reports.
pub(crate) fn create(path: &Path, mode: FileMode) -> io::Result<File> {
    create_at(CWD, path, mode)
}

/// As [`create`], below an open folder.
///
/// # Errors
/// As [`create`].
pub(crate) fn create_at(folder: impl AsFd, name: &Path, mode: FileMode) -> io::Result<File> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::RDWR | OFlags::CLOEXEC;
    let file =
        File::from(again(|| rustix::fs::openat(&folder, name, flags, Mode::from_raw_mode(mode.file())))?);
    share(&file, mode, mode.file());
    Ok(file)
}

/// Creates a new folder.
///
/// # Errors
/// As [`create`].
pub(crate) fn make_folder(path: &Path, mode: FileMode) -> io::Result<()> {
    make_folder_at(CWD, path, mode)
}

/// As [`make_folder`], below an open folder.
///
/// # Errors
/// As [`create`].
pub(crate) fn make_folder_at(folder: impl AsFd, name: &Path, mode: FileMode) -> io::Result<()> {
    again(|| rustix::fs::mkdirat(&folder, name, Mode::from_raw_mode(mode.folder())))?;
    if mode.is_shared() {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
        if let Ok(made) = rustix::fs::openat(&folder, name, flags, Mode::empty()) {
            share(&File::from(made), mode, mode.folder());
        }
    }
    Ok(())
}

/// Creates a folder and its missing parents. An existing folder stays as it is.
///
/// # Errors
/// The error that the kernel reports, or something other than a folder is in the way.
pub(crate) fn make_folders(path: &Path, mode: FileMode) -> io::Result<()> {
    match make_folder(path, mode) {
        Err(e) if e.kind() == ErrorKind::NotFound => {
            let Some(above) = path.parent().filter(|above| !above.as_os_str().is_empty()) else {
                return Err(e);
            };
            make_folders(above, mode)?;
            make_folders_last(path, mode)
        }
        Err(e) if e.kind() == ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        done => done,
    }
}

/// Accepts that another process creates the same folder at the same time.
fn make_folders_last(path: &Path, mode: FileMode) -> io::Result<()> {
    match make_folder(path, mode) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        done => done,
    }
}

/// Creates a file in `folder`. Its name starts with `begin`, and nobody can guess the rest.
///
/// # Errors
/// As [`create`].
pub(crate) fn temporary(folder: &Path, begin: &str, mode: FileMode) -> io::Result<(File, PathBuf)> {
    for _ in 0..NAMES {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|e| io::Error::other(e.to_string()))?;
        let path = folder.join(format!("{begin}{:032x}.tmp", u128::from_ne_bytes(random)));
        match create(&path, mode) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            done => return done.map(|file| (file, path)),
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

/// Creates a file in `folder` that has no name, or loses it at once. Only its owner can access it.
///
/// # Errors
/// As [`create`].
pub(crate) fn unnamed(folder: &Path) -> io::Result<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    match rustix::fs::open(folder, flags, Mode::RUSR | Mode::WUSR) {
        Ok(file) => return Ok(file.into()),
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {}
        Err(error) => return Err(error.into()),
    }
    let (file, path) = temporary(folder, "backy2-", FileMode::PRIVATE)?;
    std::fs::remove_file(path).map(|()| file)
}

/// Opens a lock file. Creates it if `create` is its mode. It never follows a symbolic link and never waits for the other
/// end of a pipe, because the folder may be one that everybody can write to.
///
/// # Errors
/// [`ErrorKind::NotFound`] if the file was removed while it was opened. Otherwise the error that the kernel reports.
pub(crate) fn open_lock(path: &Path, create: Option<FileMode>) -> io::Result<File> {
    if let Some(mode) = create {
        match self::create(path, mode) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            done => return done,
        }
    }
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32;
    // A file that can only be read can be locked, too. But 2.13 opens it for writing, and network file systems require
    // that.
    match OpenOptions::new().read(true).write(true).custom_flags(flags).open(path) {
        Err(e) if e.kind() == ErrorKind::PermissionDenied => {}
        done => return done,
    }
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

/// Restores the permissions for the group and others that the umask has removed. Some file systems have no modes, so
/// errors are ignored.
fn share(file: &File, mode: FileMode, bits: u32) {
    if mode.is_shared() {
        let _ = rustix::fs::fchmod(file, Mode::from_raw_mode(bits));
    }
}

/// Whether anything is at `path`, including a dangling link.
pub(crate) fn is_taken(path: &Path) -> bool {
    !matches!(rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW), Err(Errno::NOENT | Errno::NOTDIR))
}

fn again<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            done => return Ok(done?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).expect("it is there").permissions().mode() & 0o7777
    }

    #[test]
    fn new_files_and_folders_have_the_requested_mode() {
        let dir = tempfile::tempdir().expect("a folder");
        for text in ["0600", "0640", "0660", "0664"] {
            let wanted = FileMode::parse(text).expect("good");
            let path = |part: &str| dir.path().join(format!("{text}{part}"));
            create(&path(""), wanted).expect("made");
            assert_eq!(mode(&path("")), wanted.file());
            make_folder(&path("d"), wanted).expect("made");
            assert_eq!(mode(&path("d")), wanted.folder());
            make_folders(&path("e/f/g"), wanted).expect("made");
            make_folders(&path("e/f/g"), wanted).expect("there already");
            assert_eq!((mode(&path("e")), mode(&path("e/f/g"))), (wanted.folder(), wanted.folder()));
            let (_, name) = temporary(dir.path(), "t-", wanted).expect("made");
            assert_eq!(mode(&name), wanted.file());
        }
        let file = unnamed(dir.path()).expect("made");
        assert_eq!(file.metadata().expect("open").permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn existing_files_and_links_are_neither_used_nor_followed() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("file"), "mine").expect("written");
        std::os::unix::fs::symlink(path("nothing"), path("link")).expect("linked");
        for name in ["file", "link"] {
            let kind = |result: io::Result<()>| result.expect_err("refused").kind();
            assert_eq!(kind(create(&path(name), FileMode::PRIVATE).map(drop)), ErrorKind::AlreadyExists);
            assert_eq!(kind(make_folder(&path(name), FileMode::PRIVATE)), ErrorKind::AlreadyExists);
            assert_eq!(kind(make_folders(&path(name), FileMode::PRIVATE)), ErrorKind::AlreadyExists);
            assert!(is_taken(&path(name)));
        }
        assert_eq!(std::fs::read(path("file")).expect("read"), b"mine");
        assert!(!is_taken(&path("nothing")));
    }
}
