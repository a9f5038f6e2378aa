//! Brings written data to stable storage, and reports every error on the way.

use super::close::close;
use rustix::fs::{AtFlags, StatxFlags, fstatfs, statx};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::path::Path;

/// The local file systems (`f_type` of `statfs`) for which `syncfs` reports every failed write. Others (FUSE, NFS, SMB,
/// 9p, Ceph, AFS, cluster file systems, unknown ones) may report some failures only at `fsync` and `close`.
const LOCAL: [u32; 16] = [
    0x0000_ef53, // ext2, ext3, ext4
    0x5846_5342, // XFS
    0x9123_683e, // Btrfs
    0x0102_1994, // tmpfs
    0x8584_58f6, // ramfs
    0xf2f5_2010, // F2FS
    0xca45_1a4e, // bcachefs
    0x2fc1_2fc1, // ZFS
    0x3153_464a, // JFS
    0x5265_4973, // ReiserFS
    0x0000_3434, // NILFS
    0x2405_1905, // UBIFS
    0x794c_7630, // overlayfs, which asks the file system below
    0x2011_bab0, // exFAT
    0x0000_4d44, // FAT
    0x7366_746e, // NTFS
];
/// The first release of Linux in which `syncfs` reports failed writes.
const TELLING: (u32, u32) = (5, 8);

/// Whether [`sync_filesystem`] for the file system of `file` reports every failed write. If not, each file has to be
/// flushed separately.
pub(crate) fn tells_all(file: &File) -> bool {
    // `f_type` is signed, and its width depends on the platform.
    let kind = fstatfs(file).map(|found| found.f_type as u32);
    kind.is_ok_and(|kind| LOCAL.contains(&kind)) && release() >= TELLING
}

/// The first two numbers of the kernel's release.
fn release() -> (u32, u32) {
    let name = rustix::system::uname();
    let mut numbers = name.release().to_str().unwrap_or_default().split(|c: char| !c.is_ascii_digit());
    let mut next = || numbers.next().and_then(|number| number.parse().ok()).unwrap_or(0);
    (next(), next())
}

/// Returns once all data written to the file system of `file`, by any process, is on stable storage.
///
/// # Errors
/// The error that the kernel reports. If [`tells_all`] is true, that includes failed write-backs of any file of that
/// file system since `file` was opened. Each failure is reported once.
pub(crate) fn sync_filesystem(file: &File) -> io::Result<()> {
    loop {
        match rustix::fs::syncfs(file) {
            Err(Errno::INTR) => {}
            done => return Ok(done?),
        }
    }
}

/// Returns once the entries of the folder at `path` (names created, renamed, removed) are on stable storage. The empty
/// path is the current folder, so that callers can pass `Path::parent` of a relative path.
///
/// # Errors
/// The error that the kernel reports. A file system that cannot flush folders is no error.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    sync_entries(&File::open(path)?)
}

/// Does the same for an open folder.
///
/// # Errors
/// As [`sync_folder`].
pub(crate) fn sync_entries(folder: &File) -> io::Result<()> {
    match folder.sync_all() {
        // Some network and FUSE file systems have no `fsync` for folders. There is nothing more to do then.
        Err(e) if e.kind() == io::ErrorKind::InvalidInput || e.kind() == io::ErrorKind::Unsupported => Ok(()),
        done => done,
    }
}

/// Reports the errors that [`close`] would report, and leaves the file open.
///
/// # Errors
/// As [`close`].
pub(crate) fn flush_as_close(file: &File) -> io::Result<()> {
    // The kernel runs the close operation of the file system for each descriptor.
    close(file.try_clone()?)
}

/// The size of a file in bytes, as its storage has it: a network or FUSE file system asks its server again.
///
/// # Errors
/// The error that the kernel reports.
pub(crate) fn stored_size(file: &File) -> io::Result<u64> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_FORCE_SYNC;
    match statx(file, "", flags, StatxFlags::SIZE) {
        Ok(found) => Ok(found.stx_size),
        // Older kernels lack `statx`, and containers may forbid it.
        Err(Errno::NOSYS | Errno::PERM) => Ok(file.metadata()?.len()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn folders_and_file_systems_can_be_flushed() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join("x"), "x").expect("written");
        sync_folder(dir.path()).expect("flushed");
        sync_folder(Path::new("")).expect("the current folder flushed");
        sync_filesystem(&File::open(dir.path()).expect("opened")).expect("flushed");
        sync_folder(&dir.path().join("absent")).expect_err("no such folder");
    }

    #[test]
    fn a_written_file_has_its_size_and_closes() {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(b"12345").expect("written");
        assert_eq!(stored_size(&file).expect("told"), 5);
        flush_as_close(&file).expect("fine");
        file.write_all(b"6").expect("it is still open");
        close(file).expect("closed");
    }

    #[test]
    fn file_systems_that_are_not_local_do_not_report_all_failures() {
        let proc = File::open("/proc/version").expect("opened");
        assert!(!tells_all(&proc));
        assert!(release() > (2, 6));
    }
}
