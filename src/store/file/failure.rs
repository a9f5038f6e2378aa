//! The meaning of system errors for a store in a folder.

use rustix::io::Errno;
use std::fs::FileType;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileTypeExt;

/// Whether `error` is `errno`.
pub(super) fn is(error: &io::Error, errno: Errno) -> bool {
    Errno::from_io_error(error) == Some(errno)
}

/// Whether a file could not be opened or read because of its kind or because it is damaged. Other files may be readable
/// then. This is false for missing permissions, a lack of memory, a lost connection and the like.
pub(super) fn is_of_one_file(error: &io::Error) -> bool {
    // Disks report ENODATA for a bad sector, EREMOTEIO for a failed command, and EILSEQ for bad protection data.
    let own = [
        Errno::IO,
        Errno::UCLEAN,
        Errno::BADMSG,
        Errno::NODATA,
        Errno::REMOTEIO,
        Errno::ILSEQ,
        Errno::NAMETOOLONG,
        Errno::NXIO,
        Errno::ISDIR,
    ];
    Errno::from_io_error(error).is_some_and(|errno| own.contains(&errno))
}

/// Whether the error means that the open folder was unmounted or removed.
pub(super) fn is_of_the_folder(error: &io::Error) -> bool {
    let gone = [Errno::NOENT, Errno::NOTDIR, Errno::NOTCONN, Errno::STALE, Errno::NODEV];
    Errno::from_io_error(error).is_some_and(|errno| gone.contains(&errno))
}

/// Advice if there is no room.
pub(super) fn advice(error: &io::Error) -> Option<String> {
    let advice = match error.kind() {
        ErrorKind::StorageFull => {
            "The data store is full: free some space there (`backy2 rm` and `backy2 cleanup` do that)"
        }
        ErrorKind::QuotaExceeded => {
            "The quota of the data store's disk is used up: raise it, or free some space there (`backy2 rm` and \
             `backy2 cleanup` do that)"
        }
        ErrorKind::FileTooLarge => {
            "Blobs of that size are not allowed there: see `ulimit -f`, and the file system"
        }
        _ => return None,
    };
    Some(format!("{advice}, and start again"))
}

/// The name of a kind of file that is not a regular one.
pub(super) fn kind(of: FileType) -> &'static str {
    match () {
        () if of.is_dir() => "a folder",
        () if of.is_fifo() => "a FIFO",
        () if of.is_socket() => "a socket",
        () => "a device",
    }
}
