//! Records which parts of a new target have been written. All others are holes, and read as zeros already.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// The most parts that a file is divided into. At one bit each they take 8 KiB, however large the target is.
const PARTS: u64 = 1 << 16;
/// The smallest part, in bytes: a page.
const SMALLEST: u64 = 4096;

/// Records writes by parts of equal size. Parts that are reported as untouched certainly are. Others may be.
pub(super) struct Touched {
    /// The size of a part is 2 to the power of this. Block sizes usually are such powers too, so blocks do not share
    /// parts in images of up to 65536 blocks.
    shift: u32,
    bits: Box<[AtomicU64]>,
}

impl Touched {
    /// For a file of `size` bytes that nothing was written to yet.
    pub(super) fn new(size: u64) -> Self {
        let part = size.div_ceil(PARTS).max(SMALLEST).checked_next_power_of_two().unwrap_or(1 << 63);
        let words = (size.div_ceil(part)).div_ceil(64);
        Touched { shift: part.trailing_zeros(), bits: (0..words).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Records a write of `range` (bytes). Call it before writing.
    pub(super) fn touch(&self, range: Range<u64>) {
        for part in self.parts(range) {
            if let Some(word) = self.bits.get((part / 64) as usize) {
                // The bit publishes no other data. A thread that zeroes a range has waited for earlier writes to it.
                word.fetch_or(1 << (part % 64), Ordering::Relaxed);
            }
        }
    }

    /// Whether nothing was ever written to `range` (bytes).
    pub(super) fn is_untouched(&self, range: Range<u64>) -> bool {
        self.parts(range).all(|part| {
            let word = self.bits.get((part / 64) as usize);
            word.is_some_and(|word| word.load(Ordering::Relaxed) & 1 << (part % 64) == 0)
        })
    }

    fn parts(&self, range: Range<u64>) -> Range<u64> {
        if range.is_empty() { 0..0 } else { range.start >> self.shift..((range.end - 1) >> self.shift) + 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_ranges_are_touched_and_far_ones_are_not() {
        let touched = Touched::new(1 << 20);
        assert!(touched.is_untouched(0..1 << 20));
        touched.touch(5000..5001);
        touched.touch(900_000..900_000);
        assert!(!touched.is_untouched(0..1 << 20));
        assert!(!touched.is_untouched(5000..5001));
        assert!(touched.is_untouched(0..4096));
        assert!(touched.is_untouched(8192..1 << 20));
        touched.touch(0..1 << 20);
        assert!(!touched.is_untouched((1 << 20) - 1..1 << 20));
        assert!(touched.is_untouched(7..7));
    }

    #[test]
    fn its_own_size_does_not_grow_with_the_file() {
        for size in [0, 1, 4096, 1 << 28, (1 << 28) + 1, 1 << 50, u64::MAX] {
            let touched = Touched::new(size);
            assert!(touched.bits.len() <= 1024, "{size}");
            if size > 0 {
                assert!(touched.is_untouched(0..size));
                touched.touch(size - 1..size);
                assert!(!touched.is_untouched(size - 1..size), "{size}");
            }
        }
    }

    #[test]
    fn ranges_beyond_the_end_count_as_touched() {
        let touched = Touched::new(4096);
        touched.touch(1 << 40..(1 << 40) + 1);
        assert!(!touched.is_untouched(1 << 40..(1 << 40) + 1));
    }
}
