//! Zeroing ranges of block devices.

use crate::io::Zeroing;
use crate::sys::device;
use std::fs::File;
use std::io;
use std::ops::Range;

/// The unit of the page cache in bytes. The kernel zeroes behind the cache, so it is asked for whole pages only.
const PAGE: u64 = 4096;

/// Properties of a block device to write to.
pub(super) struct Device {
    /// Ranges that the kernel zeroes start and end at multiples of this, in bytes.
    unit: u64,
    /// Whether the device has a command for zeroing.
    cheap: bool,
}

impl Device {
    /// Asks the kernel about the device.
    pub(super) fn new(file: &File) -> Self {
        let sector = device::sector_size(file).unwrap_or(PAGE);
        Device { unit: sector.max(PAGE), cheap: device::zeroes_by_itself(file) }
    }

    /// See [`crate::io::Target::zero`].
    pub(super) fn zero(&self, file: &File, range: Range<u64>, zeroing: Zeroing) -> io::Result<bool> {
        if zeroing == Zeroing::IfCheap && !self.cheap {
            return Ok(false);
        }
        let middle = aligned(&range, self.unit);
        super::target::write_zeros(file, range.start..middle.start)?;
        if !middle.is_empty()
            && let Err(error) = device::zero(file, middle.clone())
        {
            match zeroing {
                Zeroing::Always => super::target::write_zeros(file, middle.clone())?,
                Zeroing::IfCheap if super::target::is_unsupported(&error) => return Ok(false),
                Zeroing::IfCheap => return Err(error),
            }
        }
        super::target::write_zeros(file, middle.end..range.end)?;
        Ok(true)
    }
}

/// The part of `range` that starts and ends at multiples of `unit`. If there is none, an empty range at the end of
/// `range`.
fn aligned(range: &Range<u64>, unit: u64) -> Range<u64> {
    let start = range.start.div_ceil(unit).saturating_mul(unit);
    let end = range.end / unit * unit;
    if start < end { start..end } else { range.end..range.end }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_aligned_part_is_cut_from_both_sides() {
        assert_eq!(aligned(&(0..8192), 4096), 0..8192);
        assert_eq!(aligned(&(1..8192), 4096), 4096..8192);
        assert_eq!(aligned(&(1..12289), 4096), 4096..12288);
        for none in [0..4095, 1..8191, 4097..8191, 5..5, u64::MAX - 5..u64::MAX] {
            assert_eq!(aligned(&none, 4096), none.end..none.end);
        }
    }
}
