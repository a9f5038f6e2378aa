//! Space that is kept beside the database, so that what frees space works where the disk is full: SQLite needs some of
//! it even to delete rows.

use crate::sys::space;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Bytes: enough for the write-ahead log of a removal in small pieces.
pub(super) const SIZE: u64 = 4 << 20;
/// It is made only where so much is free.
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

/// Makes the reserve, unless it is there or space is short. Nothing is worth failing for.
pub(super) fn keep(path: &Path) {
    let file = file(path);
    let is_whole = std::fs::symlink_metadata(&file).is_ok_and(|meta| meta.len() == SIZE);
    if !is_whole && space::free(folder(path)).is_some_and(|free| free >= PLENTY) {
        // What is left of one that was given up in part, or is no file of ours.
        let _ = std::fs::remove_file(&file);
        let _ = space::reserve(&file, SIZE, path);
    }
}

/// Bytes of the write-ahead log.
pub(super) fn journal(path: &Path) -> u64 {
    let mut name: OsString = path.to_owned().into();
    name.push("-wal");
    std::fs::metadata(name).map_or(0, |meta| meta.len())
}

/// Gives the reserve up. Whether there was one.
pub(super) fn spend(path: &Path) -> bool {
    std::fs::remove_file(file(path)).is_ok()
}
