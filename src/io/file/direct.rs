//! Writing past the page cache.
//!
//! What is restored is written once and not read again soon: in the page cache it would only take the place of
//! what the host works with, and each page of it would cost the kernel time to find, fill and write back.

use rustix::fs::OFlags;
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Offsets, lengths and addresses must be multiples of the device's sector; of none is it larger than this.
const UNIT: usize = 4096;
/// So much is written at once.
const PIECE: usize = 4 << 20;

/// A file or device, opened a second time with O_DIRECT.
pub(super) struct Direct {
    file: File,
    /// False once a write was refused: not all file systems can do it, and some only say so then.
    works: AtomicBool,
    /// Memory that no thread is using now.
    idle: Mutex<Vec<Vec<u8>>>,
}

impl Direct {
    /// Opens what `file` has open, for writing. `None` where that cannot be.
    pub(super) fn open(file: &File) -> Option<Self> {
        // Not by its path, under which there may be another file by now.
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let file =
            OpenOptions::new().write(true).custom_flags(OFlags::DIRECT.bits() as i32).open(path).ok()?;
        Some(Direct { file, works: AtomicBool::new(true), idle: Mutex::new(Vec::new()) })
    }

    /// Writes as much of the start of `data` at `offset` as can be written this way, and returns how much that is: all but
    /// the last bytes of an image of an odd size, or nothing at all.
    ///
    /// # Errors
    /// What the kernel says.
    pub(super) fn write(&self, offset: u64, data: &[u8]) -> io::Result<usize> {
        let length = data.len() / UNIT * UNIT;
        if length == 0 || !offset.is_multiple_of(UNIT as u64) || !self.works.load(Ordering::Relaxed) {
            return Ok(0);
        }
        let mut memory = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        let written = self.write_pieces(offset, &data[..length], &mut memory);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
        match written {
            Err(e) if Errno::from_io_error(&e) == Some(Errno::INVAL) => {
                self.works.store(false, Ordering::Relaxed);
                Ok(0)
            }
            Err(e) => Err(e),
            Ok(()) => Ok(length),
        }
    }

    fn write_pieces(&self, offset: u64, data: &[u8], memory: &mut Vec<u8>) -> io::Result<()> {
        if memory.is_empty() {
            *memory = vec![0; PIECE + UNIT];
        }
        let start = memory.as_ptr().align_offset(UNIT);
        let aligned = memory.get_mut(start..start + PIECE).ok_or(ErrorKind::OutOfMemory)?;
        let mut offset = offset;
        for piece in data.chunks(PIECE) {
            let aligned = &mut aligned[..piece.len()];
            aligned.copy_from_slice(piece);
            self.file.write_all_at(aligned, offset)?;
            offset += piece.len() as u64;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_units_are_written_and_the_rest_is_left() {
        // Not in the temporary folder, which may be in memory.
        let file = tempfile::tempfile_in(env!("CARGO_MANIFEST_DIR")).expect("a file");
        let direct = Direct::open(&file).expect("opens again");
        let data: Vec<u8> = (0..PIECE + 3 * UNIT + 5).map(|i| (i % 251) as u8).collect();
        assert_eq!(direct.write(1, &data).expect("no error"), 0, "an odd offset");
        assert_eq!(direct.write(0, &data[..UNIT - 1]).expect("no error"), 0, "less than a unit");
        let written = direct.write(2 * UNIT as u64, &data).expect("writes");
        if !direct.works.load(Ordering::Relaxed) {
            println!("SKIPPED direct: the file system of the working directory cannot do it");
            assert!(std::env::var_os("BACKY2_REQUIRE_ALL").is_none(), "O_DIRECT is required");
            return;
        }
        assert_eq!(written, PIECE + 3 * UNIT);
        let mut back = vec![0; written];
        let readable = File::open(format!("/proc/self/fd/{}", file.as_raw_fd())).expect("opens");
        readable.read_exact_at(&mut back, 2 * UNIT as u64).expect("reads");
        assert!(back == data[..written]);
        assert_eq!(direct.write(0, &data[..UNIT]).expect("memory is used again"), UNIT);
        assert_eq!(direct.idle.lock().expect("not poisoned").len(), 1);
    }
}
