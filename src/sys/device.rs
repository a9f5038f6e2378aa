//! Properties of block devices, and writing zeros to them.
#![allow(unsafe_code)]

use rustix::ioctl::{Getter, Opcode, Setter, ioctl, opcode};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;

/// `_IOR(0x12, 114, size_t)`: the kernel writes the size in bytes to a `u64`. `size_t` is only part of the number.
const BLKGETSIZE64: Opcode = opcode::read::<usize>(0x12, 114);
/// `_IO(0x12, 127)`: takes a pointer to two `u64`, start and length in bytes.
const BLKZEROOUT: Opcode = opcode::none(0x12, 127);

/// The size of a block device in bytes.
///
/// # Errors
/// The error that the kernel reports: `ENOTTY` if `file` is not a block device.
pub(crate) fn size(file: &File) -> io::Result<u64> {
    require_block_device(file)?;
    // SAFETY: `BLKGETSIZE64` stores one `u64` at the pointer, and that is the type named here. The file is a block
    // device, so no other driver can take the number for something else.
    Ok(unsafe { ioctl(file, Getter::<BLKGETSIZE64, u64>::new()) }?)
}

/// Bytes in a logical sector of a block device. [`zero`] works in this unit.
///
/// # Errors
/// The error that the kernel reports.
pub(crate) fn sector_size(file: &File) -> io::Result<u64> {
    Ok(u64::from(rustix::fs::ioctl_blksszget(file)?))
}

/// Makes `range` (bytes, both ends multiples of [`sector_size`]) of a block device read as zeros. If the device has no
/// command for this, the kernel writes zeros to it. The page cache of the range is dropped first.
///
/// # Errors
/// The error that the kernel reports: `EINVAL` if the range is not aligned or exceeds the device, `EBADF` if the device
/// is not open for writing.
pub(crate) fn zero(file: &File, range: Range<u64>) -> io::Result<()> {
    require_block_device(file)?;
    let argument = [range.start, range.end.saturating_sub(range.start)];
    loop {
        // SAFETY: `BLKZEROOUT` reads two `u64` from the pointer, which is what `argument` is, and writes none of our
        // memory. The file is a block device, as above.
        match unsafe { ioctl(file, Setter::<BLKZEROOUT, [u64; 2]>::new(argument)) } {
            Err(rustix::io::Errno::INTR) => {}
            done => return Ok(done?),
        }
    }
}

/// Whether the device can zero ranges without receiving the zeros. `false` if the kernel does not tell.
pub(crate) fn zeroes_by_itself(file: &File) -> bool {
    let Ok(device) = file.metadata().map(|m| m.rdev()) else { return false };
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    // A partition has no queue of its own. Its folder is inside the folder of the disk.
    ["queue", "../queue"].iter().any(|queue| {
        let path = format!("/sys/dev/block/{major}:{minor}/{queue}/write_zeroes_max_bytes");
        std::fs::read_to_string(path).is_ok_and(|text| text.trim().parse::<u64>().is_ok_and(|max| max > 0))
    })
}

/// The same ioctl number means different things to different drivers.
fn require_block_device(file: &File) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    if file.metadata()?.file_type().is_block_device() { Ok(()) } else { Err(rustix::io::Errno::NOTTY.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_no_device() {
        let file = tempfile::tempfile().expect("a file");
        assert!(size(&file).is_err());
        assert!(sector_size(&file).is_err());
        assert!(zero(&file, 0..4096).is_err());
        assert!(!zeroes_by_itself(&file));
    }
}
