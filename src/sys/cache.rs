//! The page cache, which the program leaves as it found it.

use rustix::fs::{Advice, fadvise};
use rustix::io::{ReadWriteFlags, preadv2};
use std::fs::File;
use std::io::IoSliceMut;
use std::num::NonZeroU64;
use std::ops::Range;

/// The smallest unit of the page cache, in bytes.
const PAGE: u64 = 4096;

/// Starts writing the dirty pages of `range` (bytes) of `file` to disk, and drops the clean ones from the page cache.
///
/// On Linux one call does both: `POSIX_FADV_DONTNEED`. It is only advice, so errors are ignored.
pub(crate) fn drop_behind(file: &File, range: Range<u64>) {
    // The kernel drops whole pages only. The previous call may have left the first page of this range.
    let start = range.start / PAGE * PAGE;
    if let Some(length) = NonZeroU64::new(range.end.saturating_sub(start)) {
        let _ = fadvise(file, start, Some(length), Advice::DontNeed);
    }
}

/// Does the same for all of `file`.
pub(crate) fn drop_all(file: &File) {
    let _ = fadvise(file, 0, None, Advice::DontNeed);
}

/// Whether the byte at `offset` of `file` is in the page cache. `false` if the file system cannot tell.
pub(crate) fn holds(file: &File, offset: u64) -> bool {
    let mut byte = [0];
    // With `RWF_NOWAIT` the call fails with `EAGAIN` instead of reading from disk.
    preadv2(file, &mut [IoSliceMut::new(&mut byte)], offset, ReadWriteFlags::NOWAIT) == Ok(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn dropped_pages_are_not_in_the_cache() {
        // Not in the temporary folder: that may exist in memory only.
        let mut file = tempfile::tempfile_in(env!("CARGO_MANIFEST_DIR")).expect("a file");
        file.write_all(&[1; 100_000]).expect("written");
        file.sync_all().expect("flushed");
        assert!(holds(&file, 0) && holds(&file, 99_999));
        assert!(!holds(&file, 100_000), "the end");
        // The kernel keeps pages that another processor has just handled.
        let dropped = (0..100).any(|_| {
            drop_behind(&file, 0..100_000);
            std::thread::sleep(std::time::Duration::from_millis(10));
            !holds(&file, 0) && !holds(&file, 99_999)
        });
        assert!(dropped);
    }
}
