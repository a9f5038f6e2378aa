//! Sources that are backed up, and targets that are restored to.

use crate::types::error::Result;
use std::ops::Range;

pub mod file;
pub mod null;
pub mod url;

/// Something that can be backed up: bytes at offsets. Shared by all reader threads.
pub trait Source: Send + Sync {
    /// The URL as the user gave it.
    fn url(&self) -> &str;

    /// Size in bytes, as it was when the source was opened.
    fn size(&self) -> u64;

    /// Fills `buf` from `offset`.
    ///
    /// # Errors
    /// [`crate::types::Error::Source`], also where the source ends before `buf` is full. The error names the
    /// offset.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()>;

    /// The next range at or after `offset` that may hold data: everything between `offset` and its start
    /// is known to read as zeros. `None`: nothing but zeros up to the end.
    ///
    /// A source that knows no holes returns all that is left.
    ///
    /// # Errors
    /// None that a caller could see: a source that cannot tell says that all may be data.
    fn next_data(&self, offset: u64) -> Option<Range<u64>> {
        (offset < self.size()).then(|| offset..self.size())
    }
}

/// How much a target should do for a range that must not show old data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zeroing {
    /// The range reads as zeros afterwards, whatever that costs.
    Always,
    /// Only where it costs next to nothing (punching holes, having the device zero it).
    IfCheap,
}

/// Something that can be restored to. Shared by all writer threads.
pub trait Target: Send + Sync {
    /// The URL as the user gave it.
    fn url(&self) -> &str;

    /// Writes all of `data` at `offset`.
    ///
    /// # Errors
    /// [`crate::types::Error::Target`], naming the offset.
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()>;

    /// Makes `range` (bytes) read as zeros, by the cheapest way. Returns whether it does now: `false` is
    /// possible with [`Zeroing::IfCheap`] only, and means that old data may show.
    ///
    /// # Errors
    /// [`crate::types::Error::Target`], naming the offset.
    fn zero(&self, range: Range<u64>, zeroing: Zeroing) -> Result<bool>;

    /// Returns once all that was written is on stable storage.
    ///
    /// # Errors
    /// [`crate::types::Error::Target`].
    fn flush(&self) -> Result<()>;
}

/// How a target may be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// An existing target is refused.
    Refuse,
    /// An existing target that is large enough is written to; an absent one is created.
    Accept,
}
