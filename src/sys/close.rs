//! Closing a file, and hearing of it.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::IntoRawFd;

/// Closes `file`. Network file systems and those of FUSE may tell here, and nowhere else, that what was written is lost:
/// dropping a [`File`] would hide it.
///
/// # Errors
/// What the kernel says. The file is closed all the same.
pub fn close(file: File) -> io::Result<()> {
    // SAFETY: `into_raw_fd` gives up the only owner of the descriptor, so that nobody uses it after this or closes it
    // again. Whatever the result, Linux has released the descriptor, and it is not tried again.
    Ok(unsafe { rustix::io::try_close(file.into_raw_fd()) }?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_closed_once() {
        use std::os::fd::AsRawFd;
        let file = tempfile::tempfile().expect("a file");
        let link = format!("/proc/self/fd/{}", file.as_raw_fd());
        let before = std::fs::read_link(&link).expect("it is open");
        close(file).expect("closed");
        assert_ne!(std::fs::read_link(&link).ok(), Some(before));
    }
}
