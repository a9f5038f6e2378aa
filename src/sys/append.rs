//! Opens a file for appending at a path where another user may have set a trap.

use super::private;
use crate::types::settings::FileMode;
use rustix::fs::{Mode, OFlags, Stat};
use rustix::io::Errno;
use rustix::process::geteuid;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// How often to retry if the file keeps appearing and disappearing while it is opened.
const ATTEMPTS: usize = 10;

/// Opens the file at `path` for appending, and creates it with `mode` if it does not exist.
///
/// It must be a regular file or a character device. An open file of a process (`/dev/stderr`) may also be a pipe. If
/// users other than root and the caller can write to the folder, no symbolic link is followed and no file with a second
/// name is accepted. If everybody can write to it, files of other users are refused too. The call never waits for the
/// other end of a pipe.
///
/// # Errors
/// The file is of a kind that is refused (the text says what to do), or the kernel reports an error.
pub(crate) fn open(path: &Path, mode: FileMode) -> io::Result<File> {
    let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().ok_or(ErrorKind::IsADirectory)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(above, flags, Mode::empty())?;
    let stat = rustix::fs::fstat(&folder)?;
    let links = if is_ours(&stat) { Links::Follow } else { Links::Refuse };
    let file = open_in(&folder, name, mode, links)?;
    check(&file, &stat, || {
        let above = std::fs::canonicalize(above).unwrap_or_default();
        above == Path::new("/dev") || above.starts_with("/proc")
    })?;
    // Only opening the pipe must not block. Writing to a full pipe has to wait.
    rustix::fs::fcntl_setfl(&file, OFlags::APPEND)?;
    Ok(file)
}

/// Whether only root and the caller can change the contents of the folder.
fn is_ours(folder: &Stat) -> bool {
    folder.st_mode & 0o022 == 0 && (folder.st_uid == 0 || folder.st_uid == geteuid().as_raw())
}

/// Whether a symbolic link is followed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Links {
    Follow,
    Refuse,
}

fn open_in(folder: &OwnedFd, name: &OsStr, mode: FileMode, links: Links) -> io::Result<File> {
    let mut flags = OFlags::WRONLY | OFlags::APPEND | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    if links == Links::Refuse {
        flags |= OFlags::NOFOLLOW;
    }
    for _ in 0..ATTEMPTS {
        match rustix::fs::openat(folder, name, flags, Mode::empty()) {
            Ok(file) => return Ok(file.into()),
            Err(Errno::INTR) => {}
            Err(Errno::NOENT) => match private::create_at(folder, Path::new(name), mode) {
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            },
            Err(Errno::NXIO) => return Err(refused("it is a pipe or a socket; a regular file is needed")),
            Err(Errno::LOOP) if links == Links::Refuse => {
                return Err(refused(
                    "it is a symbolic link in a folder that others can write to, and is not followed. Name the file \
                     itself",
                ));
            }
            Err(e) => return Err(e.into()),
        }
    }
    Err(refused("it is a symbolic link whose target does not exist"))
}

/// Checks the opened file, not its name: another file may have that name by now.
fn check(file: &File, folder: &Stat, is_open_elsewhere: impl FnOnce() -> bool) -> io::Result<()> {
    let found = file.metadata()?;
    let kind = found.file_type();
    if kind.is_char_device() || (!kind.is_file() && is_open_elsewhere()) {
        return Ok(());
    }
    if !kind.is_file() {
        return Err(refused("it is not a regular file"));
    }
    if !is_ours(folder) && found.nlink() > 1 {
        return Err(refused(
            "it has a second name (a hard link), in a folder that others can write to. Remove it",
        ));
    }
    let owners = [0, geteuid().as_raw(), folder.st_uid];
    if folder.st_mode & 0o002 != 0 && !owners.contains(&found.uid()) {
        let owner = found.uid();
        return Err(refused(&format!(
            "it belongs to another user (number {owner}), in a folder that everybody can write to. Choose another place"
        )));
    }
    Ok(())
}

fn refused(why: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, FileType, mknodat};
    use std::io::Write;
    use std::os::unix::fs::{PermissionsExt, symlink};

    /// A folder with these permissions.
    fn folder(mode: u32) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(mode)).expect("changed");
        dir
    }

    fn appended(path: &Path) -> io::Result<()> {
        open(path, FileMode::PRIVATE)?.write_all(b"more")
    }

    #[test]
    fn the_file_is_private_and_appended_to() {
        let dir = folder(0o700);
        let path = dir.path().join("log");
        appended(&path).expect("made");
        appended(&path).expect("opened");
        assert_eq!(std::fs::read(&path).expect("read"), b"moremore");
        assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        appended(Path::new("/dev/null")).expect("a character device");
    }

    #[test]
    fn links_are_followed_only_where_nobody_else_can_have_put_them() {
        for (mode, follows) in [(0o700, true), (0o755, true), (0o770, false), (0o1777, false), (0o703, false)]
        {
            let dir = folder(mode);
            let (link, file) = (dir.path().join("link"), dir.path().join("file"));
            std::fs::write(&file, "").expect("written");
            symlink(&file, &link).expect("linked");
            match appended(&link) {
                Ok(()) => assert!(follows, "{mode:o}"),
                Err(e) => assert!(!follows && e.to_string().contains("symbolic link"), "{mode:o}: {e}"),
            }
            assert_eq!(std::fs::read(&file).expect("read").is_empty(), !follows);
            std::fs::remove_file(&link).expect("removed");
            std::fs::hard_link(&file, &link).expect("linked");
            assert_eq!(appended(&link).is_ok(), follows, "{mode:o}");
        }
        let dir = folder(0o700);
        symlink(dir.path().join("nothing"), dir.path().join("link")).expect("linked");
        let error = appended(&dir.path().join("link")).expect_err("leads nowhere");
        assert!(error.to_string().contains("does not exist"), "{error}");
    }

    #[test]
    fn pipes_and_folders_are_refused_without_waiting() {
        let dir = folder(0o700);
        let pipe = dir.path().join("pipe");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("a pipe");
        let error = appended(&pipe).expect_err("nobody reads it");
        assert!(error.to_string().contains("a pipe"), "{error}");
        let reader =
            rustix::fs::open(&pipe, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()).expect("a reader");
        appended(&pipe).expect_err("still a pipe");
        // `/dev/stderr` is such a path.
        let number = std::os::fd::AsRawFd::as_raw_fd(&reader);
        appended(Path::new(&format!("/proc/self/fd/{number}"))).expect("the open file of a process");
        appended(dir.path()).expect_err("a folder");
    }

    #[test]
    fn a_file_of_another_user_in_a_folder_for_all_is_refused() {
        if !geteuid().is_root() {
            crate::skip::skip("a_file_of_another_user_in_a_folder_for_all_is_refused", "needs root");
            return;
        }
        for (mode, refused) in [(0o1777, true), (0o755, false)] {
            let dir = folder(mode);
            let path = dir.path().join("log");
            std::fs::write(&path, "").expect("written");
            std::os::unix::fs::chown(&path, Some(65534), None).expect("given away");
            assert_eq!(appended(&path).is_err(), refused, "{mode:o}");
        }
    }
}
