//! Making data durable.

use std::fs::File;
use std::io;
use std::path::Path;

/// Flushes the whole file system that `file` is on.
///
/// # Errors
/// What the kernel says.
pub fn sync_filesystem(file: &File) -> io::Result<()> {
    Ok(rustix::fs::syncfs(file)?)
}

/// Makes the entries of a folder durable: names of files that were made or renamed in it.
///
/// # Errors
/// What the kernel says.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
