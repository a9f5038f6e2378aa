//! Space that is kept beside the database, so that what frees space works where the disk is full: SQLite needs some of
//! it even to delete rows.

use crate::sys::space;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

/// Bytes: enough for the write-ahead log of a removal in small pieces.
pub(super) const SIZE: u64 = 4 << 20;
/// It is given up in such steps. The last one is for a cleanup: a removal makes the database larger, and its log may
/// not fit into it before something else is gone.
const STEP: u64 = 1 << 20;
pub(super) const FOR_CLEANUP: u64 = STEP;
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

/// Gives up a MiB of the reserve, but not the last `kept` bytes. Whether there was any.
pub(super) fn spend(path: &Path, kept: u64) -> bool {
    let file = file(path);
    let Ok(meta) = std::fs::symlink_metadata(&file) else { return false };
    match meta.len().saturating_sub(STEP).max(kept) {
        left if left >= meta.len() || !meta.is_file() => false,
        0 => std::fs::remove_file(file).is_ok(),
        left => OpenOptions::new().write(true).open(file).and_then(|file| file.set_len(left)).is_ok(),
    }
}
