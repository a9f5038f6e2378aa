//! The overlay holds the data written to an image: a sparse temporary file of the image's size, and the set of pages
//! that count.
//!
//! A page that was written or zeroed is *held*: from then on it replaces the version's data. A zeroed page is a hole
//! in the file. The file has no name, so it disappears with the process, even after a crash.

use super::Fault;
use super::pages::{PAGE, Pages};
use crate::sys::{durable, private};
use rustix::fs::{FallocateFlags, SeekFrom, fallocate, seek};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::{PoisonError, RwLock};

/// Size of the pieces in which zeros are written if holes cannot be punched.
const PIECE: usize = 1 << 20;

/// The overlay of one image.
pub(super) struct Overlay {
    file: File,
    size: u64,
    pages: RwLock<Pages>,
}

/// The state of a range in the overlay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// Not held: the version's data counts.
    No,
    /// Held, and may contain written data.
    Data,
    /// Held, and contains only zeros.
    Zero,
}

/// Reads the version's data, for pages that are only written in part.
pub(super) type Base<'a> = &'a dyn Fn(u64, &mut [u8]) -> Result<(), Fault>;

impl Overlay {
    /// An empty overlay for an image of `size` bytes, with its file in `folder`.
    pub(super) fn create(folder: &Path, size: u64) -> io::Result<Self> {
        let file = private::unnamed(folder)?;
        file.set_len(size)?;
        Ok(Overlay { file, size, pages: RwLock::default() })
    }

    /// Disk space used by the file, in bytes.
    pub(super) fn data_bytes(&self) -> u64 {
        self.file.metadata().map_or(0, |metadata| metadata.blocks() * 512)
    }

    /// Whether any page of the range is held.
    pub(super) fn holds_any(&self, range: Range<u64>) -> bool {
        let pages = self.pages.read().unwrap_or_else(PoisonError::into_inner);
        let (held, end) = pages.run(range.start / PAGE, range.end.div_ceil(PAGE));
        held || end < range.end.div_ceil(PAGE)
    }

    /// Makes sure that the file contains the written data. Data that the kernel could not write to the disk is lost
    /// from memory as well, and only this call reports that.
    pub(super) fn arrived(&self) -> io::Result<()> {
        self.file.sync_data()?;
        durable::flush_as_close(&self.file)
    }

    /// All held ranges in bytes, ascending.
    pub(super) fn held(&self) -> Vec<Range<u64>> {
        let pages = self.pages.read().unwrap_or_else(PoisonError::into_inner);
        let (mut at, behind, mut all) = (0, self.size.div_ceil(PAGE), Vec::new());
        while at < behind {
            let (held, end) = pages.run(at, behind);
            if held {
                all.push(at * PAGE..(end * PAGE).min(self.size));
            }
            at = end;
        }
        all
    }

    /// Fills the held parts of `buffer`, which starts at `offset` in the image. Returns the ranges of the image that
    /// are not held.
    pub(super) fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<Vec<Range<u64>>> {
        let pages = self.pages.read().unwrap_or_else(PoisonError::into_inner);
        let end = offset + buffer.len() as u64;
        let (mut at, mut missing) = (offset, Vec::new());
        while at < end {
            let (held, last) = pages.run(at / PAGE, end.div_ceil(PAGE));
            let next = (last * PAGE).min(end);
            if held {
                self.file.read_exact_at(&mut buffer[(at - offset) as usize..(next - offset) as usize], at)?
            } else {
                missing.push(at..next)
            }
            at = next;
        }
        Ok(missing)
    }

    /// Writes `data` at `offset`. Calls `base` for pages that are written in part for the first time.
    pub(super) fn write(&self, offset: u64, data: &[u8], base: Base<'_>) -> Result<(), Fault> {
        let end = offset + data.len() as u64;
        let bytes =
            |range: &Range<u64>| &data[(range.start - offset) as usize..(range.end - offset) as usize];
        let whole = self.whole_pages(offset..end);
        for part in [offset..whole.start, whole.end..end] {
            self.patch(part.start, bytes(&part), base)?;
        }
        if !whole.is_empty() {
            let mut pages = self.pages.write().unwrap_or_else(PoisonError::into_inner);
            self.file.write_all_at(bytes(&whole), whole.start)?;
            pages.hold(whole.start / PAGE..whole.end.div_ceil(PAGE));
        }
        Ok(())
    }

    /// Fills the range with zeros.
    pub(super) fn zero(&self, range: Range<u64>, base: Base<'_>) -> Result<(), Fault> {
        let whole = self.whole_pages(range.clone());
        for part in [range.start..whole.start, whole.end..range.end] {
            self.patch(part.start, &vec![0; (part.end - part.start) as usize], base)?;
        }
        if !whole.is_empty() {
            let mut pages = self.pages.write().unwrap_or_else(PoisonError::into_inner);
            self.punch(whole.clone())?;
            pages.hold(whole.start / PAGE..whole.end.div_ceil(PAGE));
        }
        Ok(())
    }

    /// The state at the start of `range`, and the end of the part with that state. `range` must not be empty. The
    /// part has at least one byte.
    pub(super) fn state(&self, range: Range<u64>) -> (Held, u64) {
        let run = {
            let pages = self.pages.read().unwrap_or_else(PoisonError::into_inner);
            pages.run(range.start / PAGE, range.end.div_ceil(PAGE))
        };
        let end = (run.1 * PAGE).min(range.end);
        if !run.0 {
            return (Held::No, end);
        }
        // If the file system cannot report holes, everything counts as data.
        match seek(&self.file, SeekFrom::Data(range.start)) {
            Ok(data) if data > range.start => (Held::Zero, data.min(end)),
            Ok(_) => match seek(&self.file, SeekFrom::Hole(range.start)) {
                Ok(hole) if hole > range.start => (Held::Data, hole.min(end)),
                _ => (Held::Data, end),
            },
            Err(Errno::NXIO) => (Held::Zero, end),
            Err(_) => (Held::Data, end),
        }
    }

    /// The pages that lie completely in the range, in bytes. The last page of the image may be shorter. If there are
    /// none, returns an empty range between the start and the end of `range`.
    fn whole_pages(&self, range: Range<u64>) -> Range<u64> {
        let start = range.start.next_multiple_of(PAGE).min(range.end);
        let end = if range.end == self.size { range.end } else { range.end / PAGE * PAGE };
        start..end.max(start)
    }

    /// Writes bytes that contain no whole page. They touch at most two pages.
    fn patch(&self, offset: u64, bytes: &[u8], base: Base<'_>) -> Result<(), Fault> {
        let (mut at, end) = (offset, offset + bytes.len() as u64);
        while at < end {
            let next = (at / PAGE * PAGE + PAGE).min(end);
            self.patch_page(at, &bytes[(at - offset) as usize..(next - offset) as usize], base)?;
            at = next;
        }
        Ok(())
    }

    fn patch_page(&self, offset: u64, bytes: &[u8], base: Base<'_>) -> Result<(), Fault> {
        let page = offset / PAGE;
        let start = page * PAGE;
        let is_held = self.pages.read().unwrap_or_else(PoisonError::into_inner).holds(page);
        let mut merged = Vec::new();
        if !is_held {
            // Fetching takes time. Do it without the lock, so that other users of the overlay do not wait.
            merged.resize((self.size - start).min(PAGE) as usize, 0);
            base(start, &mut merged)?;
        }
        let mut pages = self.pages.write().unwrap_or_else(PoisonError::into_inner);
        if pages.holds(page) {
            // Another writer was faster. Its bytes in this page must be kept.
            self.file.write_all_at(bytes, offset)?;
        } else {
            let at = (offset - start) as usize;
            merged[at..at + bytes.len()].copy_from_slice(bytes);
            self.file.write_all_at(&merged, start)?;
            pages.hold(page..page + 1);
        }
        Ok(())
    }

    fn punch(&self, range: Range<u64>) -> io::Result<()> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match fallocate(&self.file, flags, range.start, range.end - range.start) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
            done => return Ok(done?),
        }
        let zeros = vec![0; PIECE.min((range.end - range.start) as usize)];
        let mut at = range.start;
        while at < range.end {
            let length = (range.end - at).min(PIECE as u64);
            self.file.write_all_at(&zeros[..length as usize], at)?;
            at += length;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
