//! The page cache: what reads and writes must leave as they found it.

use rustix::fs::{Advice, fadvise};
use rustix::io::{ReadWriteFlags, preadv2};
use std::fs::File;
use std::io::IoSliceMut;
use std::num::NonZeroU64;
use std::ops::Range;

/// The page cache keeps no smaller unit than this.
const PAGE: u64 = 4096;

/// Starts writing what of `range` (bytes) of `file` is not on disk yet, and drops from the page cache what is.
///
/// For Linux this is one call: POSIX_FADV_DONTNEED begins to write dirty pages back and drops clean ones.
/// It is advice, so errors do not matter.
pub fn drop_behind(file: &File, range: Range<u64>) {
    // The kernel drops whole pages only; the first one may have been left by the call before.
    let start = range.start / PAGE * PAGE;
    if let Some(length) = NonZeroU64::new(range.end.saturating_sub(start)) {
        let _ = fadvise(file, start, Some(length), Advice::DontNeed);
    }
}

/// The same for all of `file`.
pub fn drop_all(file: &File) {
    let _ = fadvise(file, 0, None, Advice::DontNeed);
}

/// Whether the page cache holds the byte at `offset` of `file`. `false` where the file system cannot tell.
pub fn holds(file: &File, offset: u64) -> bool {
    let mut byte = [0];
    // RWF_NOWAIT: fails with EAGAIN rather than going to the disk.
    preadv2(file, &mut [IoSliceMut::new(&mut byte)], offset, ReadWriteFlags::NOWAIT) == Ok(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn what_was_dropped_is_not_held() {
        // Not in the temporary folder, which may be in memory alone.
        let mut file = tempfile::tempfile_in(env!("CARGO_MANIFEST_DIR")).expect("a file");
        file.write_all(&[1; 100_000]).expect("written");
        file.sync_all().expect("flushed");
        assert!(holds(&file, 0) && holds(&file, 99_999));
        assert!(!holds(&file, 100_000), "the end");
        drop_behind(&file, 0..100_000);
        assert!(!holds(&file, 0) && !holds(&file, 99_999));
    }
}
