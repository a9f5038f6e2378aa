//! Checks whether another user may have written a file that controls the program or holds a secret.

use rustix::fs::{Mode, OFlags};
use rustix::process::geteuid;
use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A file opened for reading, and the findings about the open file, not about its name.
#[derive(Debug)]
pub(crate) struct Opened {
    /// The file.
    pub file: File,
    /// Its metadata.
    pub metadata: Metadata,
    /// Reasons why another user may have written its contents.
    pub doubts: Vec<Doubt>,
}

/// A reason not to trust a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// Other users than its owner can write to it. Holds its permissions.
    Writable(u32),
    /// Neither root nor the caller owns it. Holds the owner.
    Owner(u32),
    /// Another user owns its folder, or the folder of a link's target.
    FolderOwner(PathBuf, u32),
    /// Other users than its owner can put files into its folder, or replace them.
    FolderWritable(PathBuf, u32),
}

impl fmt::Display for Doubt {
    /// The text follows the name of the file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Doubt::Writable(mode) => write!(
                f,
                "can be written by users other than its owner (mode \
                                                {mode:04o})"
            ),
            Doubt::Owner(owner) => write!(f, "belongs to another user (number {owner})"),
            Doubt::FolderOwner(folder, owner) => {
                write!(f, "is in the folder {} of another user (number {owner})", folder.display())
            }
            Doubt::FolderWritable(folder, mode) => {
                write!(
                    f,
                    "is in the folder {}, which others can write to (mode {mode:04o})",
                    folder.display()
                )
            }
        }
    }
}

/// The kinds of files that a caller accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accept {
    /// Regular files. Opening one never waits.
    Regular,
    /// Pipes and devices, too. They are always trusted.
    Any,
}

/// Opens the file at `path` for reading, and collects the reasons not to trust it.
///
/// # Errors
/// The file cannot be opened, or is not a regular file.
pub(crate) fn open(path: &Path, accept: Accept) -> io::Result<Opened> {
    let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if path.as_os_str().is_empty() {
        return Err(ErrorKind::NotFound.into());
    }
    let name = path.file_name().ok_or(ErrorKind::IsADirectory)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    // Check the same folder that the file is opened in.
    let folder = File::from(rustix::fs::open(above, flags, Mode::empty())?);
    let mut flags = OFlags::RDONLY | OFlags::NOCTTY | OFlags::CLOEXEC;
    if accept == Accept::Regular {
        flags |= OFlags::NONBLOCK;
    }
    let file = loop {
        match rustix::fs::openat(&folder, name, flags, Mode::empty()) {
            Err(rustix::io::Errno::INTR) => {}
            opened => break File::from(opened?),
        }
    };
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(ErrorKind::IsADirectory.into());
    }
    if !metadata.is_file() {
        return if accept == Accept::Regular {
            Err(io::Error::new(ErrorKind::InvalidInput, "it is not a regular file"))
        } else {
            Ok(Opened { file, metadata, doubts: Vec::new() })
        };
    }
    let mut doubts = of_file(&metadata);
    of_folder(above, &folder.metadata()?, &metadata, &mut doubts);
    // A link needs both folders to be trusted: its own, and that of its target.
    if let Ok(real) = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))
        && let Some(real_folder) = real.parent()
        && let Ok(found) = std::fs::metadata(real_folder)
        && found.ino() != folder.metadata()?.ino()
    {
        of_folder(real_folder, &found, &metadata, &mut doubts);
    }
    Ok(Opened { file, metadata, doubts })
}

/// The reasons why other users may have written an open file, apart from its folder.
pub(crate) fn of_file(file: &Metadata) -> Vec<Doubt> {
    let mut doubts = Vec::new();
    if is_foreign(file.uid()) {
        doubts.push(Doubt::Owner(file.uid()));
    }
    if is_open(file) {
        doubts.push(Doubt::Writable(file.mode() & 0o7777));
    }
    doubts
}

/// The reason why other users may replace files in a folder, regardless of the owners of the files.
pub(crate) fn of_empty_folder(path: &Path, folder: &Metadata) -> Option<Doubt> {
    if is_foreign(folder.uid()) {
        Some(Doubt::FolderOwner(path.to_owned(), folder.uid()))
    } else if is_open(folder) {
        Some(Doubt::FolderWritable(path.to_owned(), folder.mode() & 0o7777))
    } else {
        None
    }
}

fn of_folder(path: &Path, folder: &Metadata, file: &Metadata, doubts: &mut Vec<Doubt>) {
    // In a sticky folder nobody can replace another user's file. With a single name, the file was created there.
    let sticky = folder.mode() & 0o1000 != 0 && !is_foreign(file.uid()) && file.nlink() == 1;
    match of_empty_folder(path, folder) {
        Some(Doubt::FolderWritable(..)) if sticky => {}
        doubt => doubts.extend(doubt),
    }
}

fn is_foreign(owner: u32) -> bool {
    owner != 0 && owner != geteuid().as_raw()
}

/// Whether users other than the owner can write. A group with the same number as the owner counts as the owner's own,
/// because most systems create one for each user.
fn is_open(found: &Metadata) -> bool {
    let group = found.mode() & 0o020 != 0 && found.gid() != found.uid();
    group || found.mode() & 0o002 != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("changed");
    }

    #[test]
    fn files_that_others_may_have_written_raise_doubts() {
        let own = (None, None);
        let foreign = (Some(65534), Some(65534));
        let group = (None, Some(65534));
        let root = geteuid().is_root();
        // Owner and mode of the folder, owner and mode of the file, number of doubts.
        for (folder, folder_mode, file, file_mode, doubts) in [
            (own, 0o755, own, 0o644, 0),
            (own, 0o755, own, 0o600, 0),
            (own, 0o755, own, 0o666, 1),
            (own, 0o755, group, 0o664, 1),
            (own, 0o755, group, 0o644, 0),
            (own, 0o755, own, 0o664, 0),
            (own, 0o777, own, 0o644, 1),
            (group, 0o775, own, 0o644, 1),
            (own, 0o1777, own, 0o644, 0),
            (own, 0o1777, foreign, 0o644, 2),
            (own, 0o755, foreign, 0o644, 1),
            (foreign, 0o755, own, 0o644, 1),
            (foreign, 0o777, foreign, 0o666, 3),
        ] {
            if !root && (folder, file) != (own, own) {
                continue;
            }
            let dir = tempfile::tempdir().expect("a folder");
            let path = dir.path().join("file");
            fs::write(&path, "x").expect("written");
            chown(&path, file.0, file.1).expect("given away");
            chown(dir.path(), folder.0, folder.1).expect("given away");
            mode(&path, file_mode);
            mode(dir.path(), folder_mode);
            let found = open(&path, Accept::Regular).expect("opened").doubts;
            assert_eq!(found.len(), doubts, "{folder_mode:o} {file_mode:o}: {found:?}");
        }
    }

    #[test]
    fn a_link_raises_the_doubts_of_both_its_folders() {
        let (here, there) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let (link, file) = (here.path().join("link"), there.path().join("file"));
        fs::write(&file, "x").expect("written");
        symlink(&file, &link).expect("linked");
        assert_eq!(open(&link, Accept::Regular).expect("opened").doubts, []);
        mode(there.path(), 0o777);
        assert_eq!(open(&link, Accept::Regular).expect("opened").doubts.len(), 1);
        mode(here.path(), 0o777);
        assert_eq!(open(&link, Accept::Regular).expect("opened").doubts.len(), 2);
    }

    #[test]
    fn a_pipe_is_refused_without_waiting() {
        let dir = tempfile::tempdir().expect("a folder");
        let pipe = dir.path().join("pipe");
        let bits = Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, bits, 0).expect("a pipe");
        assert!(open(&pipe, Accept::Regular).expect_err("a pipe").to_string().contains("not a regular file"));
        assert_eq!(open(dir.path(), Accept::Regular).expect_err("a folder").kind(), ErrorKind::IsADirectory);
        assert_eq!(open(Path::new(""), Accept::Any).expect_err("nothing").kind(), ErrorKind::NotFound);
        assert_eq!(open(Path::new("/dev/null"), Accept::Any).expect("a device").doubts, []);
    }
}
