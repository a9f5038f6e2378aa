//! Reads and writes without the page cache.
//!
//! Data of a backup or restore is read or written once. In the page cache it would displace data that the host needs,
//! and the kernel would spend time to find, fill, and write back or drop each page.

use crate::io::bad_sector::SECTOR;
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Offsets, lengths and addresses must be multiples of the device's sector, which is never larger than this.
const UNIT: usize = 4096;
/// Bytes of one write, and of one read. They are enough to keep a disk busy, and save memory.
const WRITES: usize = 4 << 20;
const READS: usize = 1 << 20;

/// A file or device that is opened a second time with O_DIRECT.
pub(super) struct Direct {
    file: File,
    /// False once a request was refused. Some file systems refuse only the request, not the opening.
    works: AtomicBool,
    /// Bytes of a request.
    piece: usize,
    /// Memory that no thread is using now.
    idle: Mutex<Vec<Vec<u8>>>,
}

impl Direct {
    /// Opens the file behind `file` again for writing. `None` if that is impossible.
    pub(super) fn for_writing(file: &File) -> Option<Self> {
        Self::open(file, OpenOptions::new().write(true), WRITES)
    }

    /// Opens the file behind `file` again for reading. `None` if that is impossible.
    pub(super) fn for_reading(file: &File) -> Option<Self> {
        Self::open(file, OpenOptions::new().read(true), READS)
    }

    fn open(file: &File, how: &mut OpenOptions, piece: usize) -> Option<Self> {
        // Not by its path, which may lead to another file by now.
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let file = how.custom_flags(OFlags::DIRECT.bits() as i32).open(path).ok()?;
        Some(Direct { file, works: AtomicBool::new(true), piece, idle: Mutex::new(Vec::new()) })
    }

    /// Writes as much of the start of `data` at `offset` as possible, and returns the number of bytes: all but the last
    /// bytes of an image with an odd size, or 0.
    ///
    /// # Errors
    /// The error that the kernel reports.
    pub(super) fn write(&self, offset: u64, data: &[u8]) -> io::Result<usize> {
        let length = data.len() / UNIT * UNIT;
        if length == 0 || !offset.is_multiple_of(UNIT as u64) || !self.works.load(Ordering::Relaxed) {
            return Ok(0);
        }
        self.with_memory(|aligned| {
            let mut offset = offset;
            for piece in data[..length].chunks(self.piece) {
                let aligned = &mut aligned[..piece.len()];
                aligned.copy_from_slice(piece);
                self.file.write_all_at(aligned, offset)?;
                offset += piece.len() as u64;
            }
            Ok(length)
        })
    }

    /// Fills as much of the start of `data` from `offset` as possible, and returns the number of bytes: all of it, the
    /// bytes before the end of the file, or 0.
    ///
    /// # Errors
    /// The error that the kernel reports.
    pub(super) fn read(&self, offset: u64, data: &mut [u8]) -> io::Result<usize> {
        if !offset.is_multiple_of(UNIT as u64) || !self.works.load(Ordering::Relaxed) {
            return Ok(0);
        }
        self.read_units(offset, data, UNIT)
    }

    /// Does the same for parts of a unit, if the device has small sectors. Otherwise returns 0.
    ///
    /// # Errors
    /// The error that the kernel reports.
    pub(super) fn read_sectors(&self, offset: u64, data: &mut [u8]) -> io::Result<usize> {
        self.read_units(offset, data, SECTOR as usize)
    }

    fn read_units(&self, offset: u64, data: &mut [u8], unit: usize) -> io::Result<usize> {
        self.with_memory(|aligned| {
            let mut done = 0;
            for piece in data.chunks_mut(self.piece) {
                // Reading beyond the end is harmless, so a whole unit can be requested.
                let wanted = piece.len().next_multiple_of(unit);
                let count = self.file.read_at(&mut aligned[..wanted], offset + done as u64)?.min(piece.len());
                piece[..count].copy_from_slice(&aligned[..count]);
                done += count;
                if count < piece.len() {
                    break;
                }
            }
            Ok(done)
        })
    }

    /// Runs `work` with memory for one request. Returns 0 if the file does not support direct access.
    fn with_memory(&self, work: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<usize> {
        let mut memory = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        if memory.is_empty() {
            memory = vec![0; self.piece + UNIT];
        }
        let start = memory.as_ptr().align_offset(UNIT);
        let aligned = memory.get_mut(start..start + self.piece).ok_or(ErrorKind::OutOfMemory);
        let done = aligned.map_err(io::Error::from).and_then(work);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
        match done {
            Err(e) if Errno::from_io_error(&e) == Some(Errno::INVAL) => {
                self.works.store(false, Ordering::Relaxed);
                Ok(0)
            }
            done => done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_units_are_written_and_the_rest_is_left() {
        // Not in the temporary folder: that may exist in memory only.
        let file = tempfile::tempfile_in(env!("CARGO_MANIFEST_DIR")).expect("a file");
        let direct = Direct::for_writing(&file).expect("opens again");
        let data: Vec<u8> = (0..WRITES + 3 * UNIT + 5).map(|i| (i % 251) as u8).collect();
        assert_eq!(direct.write(1, &data).expect("no error"), 0, "an odd offset");
        assert_eq!(direct.write(0, &data[..UNIT - 1]).expect("no error"), 0, "less than a unit");
        let written = direct.write(2 * UNIT as u64, &data).expect("writes");
        if !direct.works.load(Ordering::Relaxed) {
            println!("SKIPPED direct: the file system of the working directory cannot do it");
            assert!(std::env::var_os("BACKY2_REQUIRE_ALL").is_none(), "O_DIRECT is required");
            return;
        }
        assert_eq!(written, WRITES + 3 * UNIT);
        let mut back = vec![0; written];
        let readable = File::open(format!("/proc/self/fd/{}", file.as_raw_fd())).expect("opens");
        readable.read_exact_at(&mut back, 2 * UNIT as u64).expect("reads");
        assert!(back == data[..written]);
        assert_eq!(direct.write(0, &data[..UNIT]).expect("memory is used again"), UNIT);
        assert_eq!(direct.idle.lock().expect("not poisoned").len(), 1);

        let size = file.metadata().expect("told").len() as usize;
        file.write_all_at(b"tail", size as u64).expect("written");
        let direct = Direct::for_reading(&file).expect("opens again");
        let mut read = vec![0; size + 100];
        assert_eq!(direct.read(1, &mut read).expect("no error"), 0, "an odd offset");
        assert_eq!(direct.read(0, &mut read).expect("reads"), size + 4, "up to the end");
        assert!(read[2 * UNIT..2 * UNIT + written] == data[..written] && &read[size..size + 4] == b"tail");
        assert_eq!(direct.read(UNIT as u64, &mut read[..5]).expect("less than a unit"), 5);
    }
}
