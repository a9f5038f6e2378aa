//! Finds the data of a file with SEEK_DATA and SEEK_HOLE.

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;
use std::fs::File;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Finds the data of a file. It remembers the last answer, so that asking for one block after another costs two system
/// calls per extent, not two per block.
pub(super) struct Holes {
    size: u64,
    seen: Mutex<Option<Seen>>,
}

/// An answer: zeros from `from` to `data`, or to the end of the file if `data` is `None`.
struct Seen {
    from: u64,
    data: Option<Range<u64>>,
}

impl Seen {
    /// Whether the answer for `offset` follows from this one.
    fn covers(&self, offset: u64) -> bool {
        offset >= self.from && self.data.as_ref().is_none_or(|data| offset < data.end)
    }

    /// The answer for an `offset` that this one covers.
    fn next_data(&self, offset: u64) -> Option<Range<u64>> {
        self.data.as_ref().map(|data| offset.max(data.start)..data.end)
    }
}

impl Holes {
    /// Searches a file of `size` bytes, and ignores data beyond that size.
    pub(super) fn new(size: u64) -> Self {
        Holes { size, seen: Mutex::new(None) }
    }

    /// See [`crate::io::Source::next_data`].
    pub(super) fn next_data(&self, file: &File, offset: u64) -> Option<Range<u64>> {
        if offset >= self.size {
            return None;
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seen) = seen.as_ref().filter(|seen| seen.covers(offset)) {
            return seen.next_data(offset);
        }
        let data = self.look(file, offset);
        *seen = Some(Seen { from: offset, data: data.clone() });
        data
    }

    /// Asks the kernel. This moves the file's offset, which is not used: all reads pass their own.
    fn look(&self, file: &File, offset: u64) -> Option<Range<u64>> {
        let start = match seek(file, SeekFrom::Data(offset)) {
            Ok(start) => start,
            // There is no data from here on: either a hole reaches the end, or the end has moved before `offset`. In
            // the second case the range must be read, so that the shrinking is noticed.
            Err(Errno::NXIO) if self.is_whole(file) => return None,
            // The file system does not support this.
            Err(_) => return Some(offset..self.size),
        };
        if start >= self.size {
            return None;
        }
        let start = start.max(offset);
        match seek(file, SeekFrom::Hole(start)) {
            Ok(end) if end > start => Some(start..end.min(self.size)),
            _ => Some(start..self.size),
        }
    }

    fn is_whole(&self, file: &File) -> bool {
        file.metadata().is_ok_and(|metadata| metadata.len() >= self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    const MIB: u64 = 1 << 20;

    /// A file of 10 MiB with data in the given ranges, in MiB. `None` if the file system has no holes.
    fn sparse<const N: usize>(data: [Range<u64>; N]) -> Option<File> {
        let file = tempfile::tempfile().expect("a file");
        file.set_len(10 * MIB).expect("sized");
        if seek(&file, SeekFrom::Data(0)) != Err(Errno::NXIO) {
            let required = std::env::var_os("BACKY2_REQUIRE_ALL").is_some_and(|value| value == "1");
            assert!(!required, "the file system of the temporary folder has no holes");
            println!("SKIPPED holes: the file system of the temporary folder has none");
            return None;
        }
        for range in data {
            let bytes = vec![1; ((range.end - range.start) * MIB) as usize];
            file.write_all_at(&bytes, range.start * MIB).expect("written");
        }
        Some(file)
    }

    #[test]
    fn data_is_found_from_any_offset_and_in_any_order() {
        let Some(file) = sparse([2..3, 5..7]) else { return };
        let holes = Holes::new(10 * MIB);
        let expected = |offset: u64| match offset {
            0..=2 => Some(2 * MIB..3 * MIB),
            3..=5 => Some(5 * MIB..7 * MIB),
            6 => Some(6 * MIB..7 * MIB),
            _ => None,
        };
        for offset in (0..=11).chain((0..=11).rev()).chain([7, 2, 9, 0, 6]) {
            assert_eq!(holes.next_data(&file, offset * MIB), expected(offset), "{offset}");
        }
        assert_eq!(holes.next_data(&file, 2 * MIB + 1), Some(2 * MIB + 1..3 * MIB));
    }

    #[test]
    #[allow(clippy::single_range_in_vec_init)]
    fn bytes_that_a_file_has_grown_by_are_not_data() {
        let Some(file) = sparse([8..10]) else { return };
        let holes = Holes::new(9 * MIB);
        assert_eq!(holes.next_data(&file, 0), Some(8 * MIB..9 * MIB));
        let holes = Holes::new(4 * MIB);
        assert_eq!(holes.next_data(&file, 0), None);
    }

    #[test]
    fn bytes_that_a_file_has_shrunk_by_must_be_read() {
        let Some(file) = sparse([0..1, 9..10]) else { return };
        let holes = Holes::new(10 * MIB);
        assert_eq!(holes.next_data(&file, 0), Some(0..MIB));
        file.set_len(2 * MIB).expect("cut");
        assert_eq!(holes.next_data(&file, MIB), Some(MIB..10 * MIB));
        assert_eq!(Holes::new(10 * MIB).next_data(&file, 8 * MIB), Some(8 * MIB..10 * MIB));
    }

    #[test]
    fn without_offsets_everything_is_data() {
        // A pipe has no offsets.
        let (reader, _writer) = std::io::pipe().expect("a pipe");
        let file = File::from(std::os::fd::OwnedFd::from(reader));
        let holes = Holes::new(10);
        assert_eq!(holes.next_data(&file, 0), Some(0..10));
        assert_eq!(holes.next_data(&file, 4), Some(4..10));
        assert_eq!(holes.next_data(&file, 10), None);
    }
}
