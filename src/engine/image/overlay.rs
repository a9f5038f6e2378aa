//! What was written to an image: a sparse temporary file of the image's size, and which pages of it count.
//!
//! A page that was written, or zeroed, is *held*: it counts from then on instead of the version's data. What is
//! zeroed is a hole in the file. The file has no name: it is gone with the process, however that ends.

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

/// Zeros are written in pieces of so many bytes, where holes cannot be punched.
const PIECE: usize = 1 << 20;

/// The overlay of one image.
pub(super) struct Overlay {
    file: File,
    size: u64,
    pages: RwLock<Pages>,
}

/// What the overlay knows of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// Nothing: the version's data counts.
    No,
    /// It was written.
    Data,
    /// It was zeroed.
    Zero,
}

/// Reads the version's data, for pages that are written in part.
pub(super) type Base<'a> = &'a dyn Fn(u64, &mut [u8]) -> Result<(), Fault>;

impl Overlay {
    /// An empty one for an image of `size` bytes, its file in `folder`.
    pub fn create(folder: &Path, size: u64) -> io::Result<Self> {
        let file = private::unnamed(folder)?;
        file.set_len(size)?;
        Ok(Overlay { file, size, pages: RwLock::default() })
    }

    /// What its file takes, in bytes.
    pub fn data_bytes(&self) -> u64 {
        self.file.metadata().map_or(0, |metadata| metadata.blocks() * 512)
    }

    /// Whether any byte of the range was written.
    pub fn holds_any(&self, range: Range<u64>) -> bool {
        let pages = self.pages.read().unwrap_or_else(PoisonError::into_inner);
        let (held, end) = pages.run(range.start / PAGE, range.end.div_ceil(PAGE));
        held || end < range.end.div_ceil(PAGE)
    }

    /// Makes sure that the file has what was written to it: what could not be brought to the disk is gone from memory, too,
    /// and is told here only.
    pub fn arrived(&self) -> io::Result<()> {
        self.file.sync_data()?;
        durable::flush_as_close(&self.file)
    }

    /// All that it holds, in bytes, ascending.
    pub fn held(&self) -> Vec<Range<u64>> {
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

    /// Fills what it holds of `buffer`, which is at `offset` of the image, and returns the ranges of the image that
    /// it does not hold.
    pub fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<Vec<Range<u64>>> {
        let pages = self.pages.read().unwrap_or_else(PoisonError::into_inner);
        let end = offset + buffer.len() as u64;
        let (mut at, mut missing) = (offset, Vec::new());
        while at < end {
            let (held, last) = pages.run(at / PAGE, end.div_ceil(PAGE));
            let next = (last * PAGE).min(end);
            match held {
                true => self
                    .file
                    .read_exact_at(&mut buffer[(at - offset) as usize..(next - offset) as usize], at)?,
                false => missing.push(at..next),
            }
            at = next;
        }
        Ok(missing)
    }

    /// Writes `data` at `offset`. `base` is asked for pages that are written in part for the first time.
    pub fn write(&self, offset: u64, data: &[u8], base: Base<'_>) -> Result<(), Fault> {
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

    /// Makes the range zeros.
    pub fn zero(&self, range: Range<u64>, base: Base<'_>) -> Result<(), Fault> {
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

    /// What it knows of `range`, which is not empty: its beginning has that state up to the end returned, at least
    /// one byte further on.
    pub fn state(&self, range: Range<u64>) -> (Held, u64) {
        let run = {
            let pages = self.pages.read().unwrap_or_else(PoisonError::into_inner);
            pages.run(range.start / PAGE, range.end.div_ceil(PAGE))
        };
        let end = (run.1 * PAGE).min(range.end);
        if !run.0 {
            return (Held::No, end);
        }
        // Where the file system cannot tell holes, all is data.
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

    /// The pages that lie wholly in the range, as bytes; the image's last page may be shorter. If there are none, an
    /// empty range between its beginning and its end.
    fn whole_pages(&self, range: Range<u64>) -> Range<u64> {
        let start = range.start.next_multiple_of(PAGE).min(range.end);
        let end = if range.end == self.size { range.end } else { range.end / PAGE * PAGE };
        start..end.max(start)
    }

    /// Writes bytes that are not whole pages: two pages at most, as a range that spans three has a whole one.
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
            // Fetching takes its time: not while others are kept from the overlay.
            merged.resize((self.size - start).min(PAGE) as usize, 0);
            base(start, &mut merged)?;
        }
        let mut pages = self.pages.write().unwrap_or_else(PoisonError::into_inner);
        if pages.holds(page) {
            // Another writer may have been faster: its bytes count.
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
