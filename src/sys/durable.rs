//! Bringing what was written to stable storage.

use std::fs::File;
use std::io;
use std::path::Path;

/// Returns once all that was written to the file system of `file`, by whomever, is on stable storage.
///
/// # Errors
/// What the kernel says. Since Linux 5.8 that includes failed write-backs of any file of that file system
/// since `file` was opened.
pub fn sync_filesystem(file: &File) -> io::Result<()> {
    loop {
        match rustix::fs::syncfs(file) {
            Err(rustix::io::Errno::INTR) => {}
            done => return Ok(done?),
        }
    }
}

/// Returns once the entries of the folder at `path` (names made, renamed, removed) are on stable storage.
/// The empty path is the current folder, so that `Path::parent` of a relative path can be passed on.
///
/// # Errors
/// What the kernel says; file systems that cannot flush folders count as done.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    match File::open(path)?.sync_all() {
        // Some network and FUSE file systems have no fsync for folders: there is nothing more to be done.
        Err(e) if e.kind() == io::ErrorKind::InvalidInput || e.kind() == io::ErrorKind::Unsupported => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_and_file_systems_can_be_flushed() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join("x"), "x").expect("written");
        sync_folder(dir.path()).expect("flushed");
        sync_folder(Path::new("")).expect("the current folder flushed");
        sync_filesystem(&File::open(dir.path()).expect("opened")).expect("flushed");
        sync_folder(&dir.path().join("absent")).expect_err("no such folder");
    }
}
