//! Files below a folder, reached without following symbolic links anywhere in the path. The folder itself may be a link
//! or a mount point, and mounts below it are treated like folders.

use super::private;
use crate::types::settings::FileMode;
use rustix::fd::OwnedFd;
use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, openat, openat2, renameat, statat, unlinkat,
};
use rustix::io::{Errno, retry_on_intr};
use std::fs::File;
use std::io;
use std::path::Path;

/// How often to retry a path that is renamed while the kernel walks it.
const RACES: usize = 100;

/// An open folder. Paths given to its methods are relative to it and contain no `..`. Names contain no slash.
pub(crate) struct Folder {
    folder: File,
    /// Whether the kernel has `openat2` and this process may call it. Otherwise each part of a path is opened
    /// separately.
    by_kernel: bool,
}

impl Folder {
    /// Opens the folder at `path`, following links.
    ///
    /// # Errors
    /// The error that the kernel reports: `ENOTDIR` if it is not a folder.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder: File = retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty()))?.into();
        // `openat2` needs Linux 5.6, and containers may forbid it.
        let by_kernel = walk(&folder, Path::new("."), OFlags::PATH | OFlags::CLOEXEC).is_ok();
        Ok(Folder { folder, by_kernel })
    }

    /// The folder itself.
    pub(crate) fn file(&self) -> &File {
        &self.folder
    }

    /// Opens an existing file or folder at `path`.
    ///
    /// # Errors
    /// The error that the kernel reports: `ELOOP` if a part of the path is a link.
    pub(crate) fn open_at(&self, path: &Path, flags: OFlags) -> io::Result<File> {
        let flags = flags | OFlags::CLOEXEC;
        if self.by_kernel { walk(&self.folder, path, flags) } else { step(&self.folder, path, flags) }
    }

    /// Opens a folder below.
    ///
    /// # Errors
    /// As [`Folder::open_at`].
    pub(crate) fn folder_at(&self, path: &Path) -> io::Result<Folder> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        Ok(Folder { folder: self.open_at(path, flags)?, by_kernel: self.by_kernel })
    }

    /// Creates a file for reading and writing.
    ///
    /// # Errors
    /// The error that the kernel reports: `EEXIST` if anything has that name.
    pub(crate) fn make_file(&self, name: &str, mode: FileMode) -> io::Result<File> {
        private::create_at(&self.folder, Path::new(name), mode)
    }

    /// Creates a folder.
    ///
    /// # Errors
    /// As [`Folder::make_file`].
    pub(crate) fn make_folder(&self, name: &str, mode: FileMode) -> io::Result<()> {
        private::make_folder_at(&self.folder, Path::new(name), mode)
    }

    /// Renames `old` to `new`. A file that has the name `new` is replaced.
    ///
    /// # Errors
    /// The error that the kernel reports.
    pub(crate) fn rename(&self, old: &str, new: &str) -> io::Result<()> {
        Ok(renameat(&self.folder, old, &self.folder, new)?)
    }

    /// Removes a file or a link.
    ///
    /// # Errors
    /// The error that the kernel reports.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        Ok(unlinkat(&self.folder, name, AtFlags::empty())?)
    }

    /// The properties of the file or folder of that name. For a link, those of the link itself.
    ///
    /// # Errors
    /// The error that the kernel reports.
    pub(crate) fn entry(&self, name: &str) -> io::Result<Entry> {
        let stat = statat(&self.folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(Entry {
            is_file: FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile,
            bytes: u64::try_from(stat.st_size).unwrap_or_default(),
            changed: stat.st_mtime as i64,
        })
    }

    /// The names in the folder. Names that are not UTF-8 are left out.
    ///
    /// # Errors
    /// The error that the kernel reports.
    pub(crate) fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name().to_str().ok().filter(|name| !matches!(*name, "." | ".."));
            names.extend(name.map(str::to_owned));
        }
        Ok(names)
    }
}

/// The properties of a name in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Whether it is a regular file.
    pub is_file: bool,
    /// Its size in bytes.
    pub bytes: u64,
    /// When it was last modified, in seconds since 1970.
    pub changed: i64,
}

/// Lets the kernel walk the path.
fn walk(folder: &File, path: &Path, flags: OFlags) -> io::Result<File> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let mut races = 0;
    loop {
        match openat2(folder, path, flags, Mode::empty(), resolve) {
            Err(Errno::INTR) => {}
            // The kernel also reports this for a file that another process has leased.
            Err(Errno::AGAIN) if races < RACES => races += 1,
            done => return Ok(done?.into()),
        }
    }
}

/// Opens each part of the path separately.
fn step(folder: &File, path: &Path, flags: OFlags) -> io::Result<File> {
    let mut at: Option<OwnedFd> = None;
    let mut parts = path.iter().peekable();
    while let Some(part) = parts.next() {
        let last = parts.peek().is_none();
        let between = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let flags = if last { flags | OFlags::NOFOLLOW } else { between };
        if part == ".." || part == "/" {
            return Err(Errno::XDEV.into());
        }
        let dir = at.as_ref().map_or_else(|| rustix::fd::AsFd::as_fd(folder), rustix::fd::AsFd::as_fd);
        let opened = retry_on_intr(|| openat(dir, part, flags, Mode::empty()));
        let opened = opened.map_err(|error| match error {
            // The kernel reports `ENOTDIR` for a link if a folder was requested.
            Errno::NOTDIR if is_link(dir, part) => Errno::LOOP,
            error => error,
        })?;
        // `O_PATH` opens the link itself.
        if last && flags.contains(OFlags::PATH) && is_link(dir, part) {
            return Err(Errno::LOOP.into());
        }
        at = Some(opened);
    }
    at.map(File::from).ok_or_else(|| Errno::NOENT.into())
}

fn is_link(dir: rustix::fd::BorrowedFd<'_>, name: &std::ffi::OsStr) -> bool {
    statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A folder with `in/file` and links of all kinds, and a folder outside it.
    fn scene() -> (tempfile::TempDir, [Folder; 2]) {
        let dir = tempfile::tempdir().expect("a folder");
        let path = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(path("root/in/deep")).expect("made");
        std::fs::create_dir(path("outside")).expect("made");
        std::fs::write(path("root/in/file"), "in").expect("written");
        std::fs::write(path("outside/file"), "out").expect("written");
        symlink(path("outside"), path("root/away")).expect("linked");
        symlink("in", path("root/near")).expect("linked");
        symlink("file", path("root/in/link")).expect("linked");
        symlink(path("root"), path("door")).expect("linked");
        let by_kernel = Folder::open(&path("door")).expect("opened by a link");
        let by_step = Folder { by_kernel: false, ..Folder::open(&path("root")).expect("opened") };
        (dir, [by_kernel, by_step])
    }

    #[test]
    fn no_link_is_followed_below_a_folder_by_the_kernel_or_step_by_step() {
        let (_dir, folders) = scene();
        assert!(folders[0].by_kernel, "this kernel has openat2");
        for folder in &folders {
            let open = |path: &str, flags| folder.open_at(Path::new(path), flags);
            open("in/file", OFlags::RDONLY).expect("no link in its path");
            for path in ["away/file", "near/file", "in/link", "near/deep", "away/new"] {
                for flags in [OFlags::RDONLY, OFlags::WRONLY, OFlags::PATH] {
                    let error = open(path, flags).expect_err(path);
                    assert_eq!(Errno::from_io_error(&error), Some(Errno::LOOP), "{path}: {error}");
                }
            }
            let error = folder.folder_at(Path::new("near")).err().expect("a link");
            assert_eq!(Errno::from_io_error(&error), Some(Errno::LOOP));
            for path in ["../outside/file", "/etc/passwd", "in/../../outside/file"] {
                assert!(open(path, OFlags::RDONLY).is_err(), "{path}");
            }
        }
    }

    #[test]
    fn files_are_made_renamed_listed_and_removed() {
        let (dir, folders) = scene();
        for folder in &folders {
            folder.make_folder("new", FileMode::PRIVATE).expect("made");
            for error in [
                folder.make_folder("away", FileMode::PRIVATE).expect_err("there is a link"),
                folder.make_file("away", FileMode::PRIVATE).expect_err("there is a link"),
            ] {
                assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
            }
            let new = folder.folder_at(Path::new("new")).expect("opened");
            new.make_file("a", FileMode::PRIVATE).expect("made");
            new.make_file("a", FileMode::PRIVATE).expect_err("there already");
            new.rename("a", "b").expect("renamed");
            assert_eq!(new.names().expect("listed"), ["b"]);
            let entry = new.entry("b").expect("there");
            assert!(entry.is_file && entry.changed > 0);
            new.remove("b").expect("removed");
            assert!(new.names().expect("listed").is_empty());
            std::fs::remove_dir(dir.path().join("root/new")).expect("removed");
        }
    }
}
