//! Locates the unreadable bytes in a block.

use rustix::io::Errno;
use std::io;
use std::ops::Range;
use std::time::{Duration, Instant};

/// How long to search. Each attempt to read a bad sector may take a drive many seconds.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of a sector, unless the device reports another size.
pub(super) const SECTOR: u64 = 512;

/// Whether the error affects only some bytes, so that others may be readable.
pub(super) fn is_of_a_place(error: &io::Error) -> bool {
    let of_a_place = [Errno::IO, Errno::NODATA, Errno::BADMSG, Errno::UCLEAN, Errno::ILSEQ, Errno::REMOTEIO];
    Errno::from_io_error(error).is_some_and(|errno| of_a_place.contains(&errno))
}

/// The place in `range` (bytes) where a read failed, as a text: "at offset 4096", or a range if the search did not
/// finish. `read` tries to read a part of the range. Parts start at multiples of `unit` from its beginning.
pub(super) fn place(range: Range<u64>, unit: u64, read: &mut dyn FnMut(Range<u64>) -> bool) -> String {
    let bad = narrow(range, unit, Instant::now() + PATIENCE, read);
    if bad.end - bad.start <= unit {
        format!("at offset {}", bad.start)
    } else {
        format!("between offset {} and {}", bad.start, bad.end)
    }
}

/// The first unit of `range` that cannot be read, or a larger part that starts with this unit or before it.
fn narrow(
    range: Range<u64>,
    unit: u64,
    until: Instant,
    read: &mut dyn FnMut(Range<u64>) -> bool,
) -> Range<u64> {
    let mut bad = range.clone();
    // Whether a read of exactly the rest has failed.
    let mut seen = true;
    while bad.end - bad.start > unit && Instant::now() < until {
        let units = (bad.end - bad.start).div_ceil(unit);
        let middle = bad.start + units / 2 * unit;
        if read(bad.start..middle) {
            (bad.start, seen) = (middle, false)
        } else {
            (bad.end, seen) = (middle, true)
        }
    }
    // The drive may have succeeded in reading it meanwhile.
    if seen || Instant::now() >= until || !read(bad.clone()) { bad } else { range }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bad_sector_of_a_block_is_found_with_few_reads() {
        let block = 3 * 4096..3 * 4096 + (4 << 20);
        for bad in [vec![0], vec![8191], vec![17, 18, 4000], vec![4096], vec![1, 8191]] {
            let starts: Vec<u64> = bad.iter().map(|n| block.start + n * SECTOR).collect();
            let mut reads = 0;
            let found = place(block.clone(), SECTOR, &mut |part| {
                reads += 1;
                !starts.iter().any(|start| part.contains(start))
            });
            assert_eq!(found, format!("at offset {}", starts[0]));
            assert!(reads <= 14, "{reads} reads");
        }
    }

    #[test]
    fn a_block_of_an_odd_length_has_a_short_last_sector() {
        let found = place(0..5000, 512, &mut |part| !part.contains(&4999));
        assert_eq!(found, "at offset 4608");
    }

    #[test]
    fn a_range_that_can_be_read_after_all_is_reported_as_a_whole() {
        assert_eq!(place(512..4096, 512, &mut |_| true), "between offset 512 and 4096");
    }

    #[test]
    fn a_slow_drive_is_not_asked_for_ever() {
        assert_eq!(narrow(0..4096, 512, Instant::now(), &mut |_| panic!("not asked")), 0..4096);
    }
}
