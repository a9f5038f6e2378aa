//! Closes files and reports the errors.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::IntoRawFd;

/// Closes `file`. Network and FUSE file systems may report lost writes here and nowhere else. Dropping a [`File`] would
/// hide such an error.
///
/// # Errors
/// The error that the kernel reports. The file is closed all the same.
pub(crate) fn close(file: File) -> io::Result<()> {
    // SAFETY: `into_raw_fd` gives up the only owner of the descriptor, so nothing uses or closes it afterwards. Linux
    // releases the descriptor whatever the result is, and the call is not repeated.
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
