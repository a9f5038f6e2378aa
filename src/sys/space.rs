//! Checks of disk space, and a small reserve for a full disk.

use super::private;
use crate::types::settings::FileMode;
use rustix::fs::FallocateFlags;
use std::fs::{File, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// Bytes written to find out whether a disk is full: more than a database needs to open.
const PROBE: usize = 128 << 10;

/// Whether an error means that the disk is full or that the user's quota is used up.
pub(crate) fn is_lack(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

/// Whether nothing can be written in the folder because its disk is full or the user's quota is used up. Writes an
/// unnamed file of 128 KiB.
pub(crate) fn is_full(folder: &Path) -> bool {
    let probed = private::unnamed(folder).and_then(|mut file| {
        file.write_all(&[0x55; PROBE])?;
        // Network file systems allocate space only when the data is written back.
        file.sync_data()
    });
    probed.is_err_and(|error| is_lack(&error))
}

/// Bytes that can still be written in the folder. `None` if the system does not tell.
pub(crate) fn free(folder: &Path) -> Option<u64> {
    of(folder).map(|space| space.free)
}

/// The space of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Space {
    /// Bytes that this user can still write.
    pub free: u64,
    /// All bytes.
    pub total: u64,
    /// The number of the file system's device.
    pub device: u64,
}

/// The space of the file system that holds the folder. `None` if the system does not tell.
pub(crate) fn of(folder: &Path) -> Option<Space> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    let device = std::fs::metadata(folder).ok()?.dev();
    let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
    Some(Space { free: bytes(disk.f_bavail), total: bytes(disk.f_blocks), device })
}

/// Creates a file that occupies `size` bytes, with the owner and permissions of the file `like`. Leaves nothing behind
/// on an error.
///
/// # Errors
/// The file exists, there is no space, or the file system reports another error.
pub(crate) fn reserve(path: &Path, size: u64, like: &Path) -> io::Result<()> {
    let like = std::fs::metadata(like)?;
    let mut file = private::create(path, FileMode::PRIVATE)?;
    let made = occupy(&mut file, size).and_then(|()| {
        // Every user who may write the database may delete the reserve.
        let _ = std::os::unix::fs::fchown(&file, Some(like.uid()), Some(like.gid()));
        file.set_permissions(Permissions::from_mode(like.mode() & 0o666))
    });
    made.inspect_err(|_| drop(std::fs::remove_file(path)))
}

/// Allocates the blocks of the file. If the file system has no call for that, writes data that cannot be compressed.
fn occupy(file: &mut File, size: u64) -> io::Result<()> {
    match rustix::fs::fallocate(&*file, FallocateFlags::empty(), 0, size) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
            let mut noise = File::open("/dev/urandom")?.take(size);
            io::copy(&mut noise, file)?;
            file.sync_data()
        }
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserve_takes_up_its_space_and_is_made_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let (like, path) = (folder.path().join("db"), folder.path().join("db.reserve"));
        std::fs::write(&like, "x").expect("written");
        std::fs::set_permissions(&like, Permissions::from_mode(0o640)).expect("chmod");
        reserve(&path, 1 << 20, &like).expect("made");
        let meta = std::fs::metadata(&path).expect("there");
        assert_eq!((meta.len(), meta.blocks() * 512 >= 1 << 20, meta.mode() & 0o777), (1 << 20, true, 0o640));
        let again = reserve(&path, 1 << 20, &like).expect_err("there").kind();
        assert_eq!(again, ErrorKind::AlreadyExists);
        assert_eq!(std::fs::metadata(&path).expect("stays").len(), 1 << 20);
    }

    #[test]
    fn a_folder_with_space_or_without_rights_is_not_full() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(
            !is_full(folder.path())
                && !is_full(&folder.path().join("nowhere"))
                && !is_full(Path::new("/proc"))
        );
        assert_eq!(std::fs::read_dir(folder.path()).expect("listed").count(), 0, "nothing stays");
        assert!(free(folder.path()).is_some_and(|bytes| bytes > 0));
    }
}
