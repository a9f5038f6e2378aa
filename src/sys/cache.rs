//! The page cache.

use std::fs::File;

/// Starts writing what of `file` is not on disk yet, and drops from the page cache what is.
///
/// For Linux this is one call: POSIX_FADV_DONTNEED begins to write dirty pages back and drops clean ones.
/// It is advice, so errors do not matter.
pub fn drop_behind(file: &File) {
    let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
}
