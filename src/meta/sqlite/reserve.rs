//! A reserve of disk space beside the database. Commands that free space use it on a full disk, because SQLite needs
//! space even to delete rows.

use crate::sys::space;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

/// Size of the reserve in bytes: enough for the write-ahead log of a removal in small pieces.
pub(super) const SIZE: u64 = 4 << 20;
/// The reserve is released in steps of this size. The last step is kept for a cleanup. A removal enlarges the
/// database, and its log may not fit into the database until something else is deleted.
const STEP: u64 = 1 << 20;
pub(super) const FOR_CLEANUP: u64 = STEP;
/// Free space in bytes that is required to create the reserve.
const PLENTY: u64 = 8 * SIZE;

/// The file beside the database at `path`.
pub(super) fn file(path: &Path) -> PathBuf {
    let mut name: OsString = path.to_owned().into();
    name.push(".reserve");
    name.into()
}

/// The folder of the database at `path`.
pub(super) fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Creates the reserve, unless it exists or space is short. Errors are ignored.
pub(super) fn keep(path: &Path) {
    let file = file(path);
    let is_whole = std::fs::symlink_metadata(&file).is_ok_and(|meta| meta.len() == SIZE);
    if !is_whole && space::free(folder(path)).is_some_and(|free| free >= PLENTY) {
        // This may be a partly released reserve, or something that is not a file of ours.
        let _ = std::fs::remove_file(&file);
        let _ = space::reserve(&file, SIZE, path);
    }
}

/// Releases one step of the reserve, but keeps the last `kept` bytes. Returns whether space was released.
pub(super) fn spend(path: &Path, kept: u64) -> bool {
    let file = file(path);
    let Ok(meta) = std::fs::symlink_metadata(&file) else { return false };
    match meta.len().saturating_sub(STEP).max(kept) {
        left if left >= meta.len() || !meta.is_file() => false,
        0 => std::fs::remove_file(file).is_ok(),
        left => OpenOptions::new().write(true).open(file).and_then(|file| file.set_len(left)).is_ok(),
    }
}
