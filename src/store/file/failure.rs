//! What the system's errors mean for a store in a folder.

use rustix::io::Errno;
use std::fs::FileType;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileTypeExt;

/// Whether that is the error.
pub(super) fn is(error: &io::Error, errno: Errno) -> bool {
    Errno::from_io_error(error) == Some(errno)
}

/// Whether a file could not be opened or read because of what it is or of damage to it, so that others may well be
/// readable. Missing rights, a lack of memory, a lost connection and the like are not.
pub(super) fn is_of_one_file(error: &io::Error) -> bool {
    // ENODATA, EREMOTEIO and EILSEQ: what disks say of a bad sector, of a failed command and of bad protection data.
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

/// Whether that is what is said of a folder that was unmounted or removed while it was open.
pub(super) fn is_of_the_folder(error: &io::Error) -> bool {
    let gone = [Errno::NOENT, Errno::NOTDIR, Errno::NOTCONN, Errno::STALE, Errno::NODEV];
    Errno::from_io_error(error).is_some_and(|errno| gone.contains(&errno))
}

/// The error, and what to do where it is that there is no room.
pub(super) fn advised(error: &io::Error) -> String {
    let advice = match error.kind() {
        ErrorKind::StorageFull => "The data store is full: make room there",
        ErrorKind::QuotaExceeded => {
            "The quota of the data store's disk is used up: raise it, or make room there"
        }
        ErrorKind::FileTooLarge => "Blobs may not be that large there: see `ulimit -f`, and the file system",
        _ => return error.to_string(),
    };
    format!("{error}. {advice} (`backy2 rm` and `backy2 cleanup` do), and begin again")
}

/// What that is, other than a file.
pub(super) fn kind(of: FileType) -> &'static str {
    match () {
        () if of.is_dir() => "a folder",
        () if of.is_fifo() => "a FIFO",
        () if of.is_socket() => "a socket",
        () => "a device",
    }
}
