//! The rows of a version, one after the other.

use crate::meta::{Metadata, Rows};
use crate::types::block::BlockRow;
use crate::types::error::Result;
use crate::types::version::Version;
use std::collections::VecDeque;

/// Rows read from the database at once.
const BATCH: usize = 512;

/// Reads the rows of a version in the order of blocks. It reads batches, and holds no transaction between them.
pub(crate) struct RowReader<'a> {
    version: &'a Version,
    which: Rows,
    batch: VecDeque<BlockRow>,
    /// The first block of the next batch; `None` after the last one.
    next: Option<u64>,
}

impl<'a> RowReader<'a> {
    /// Reads from block `from` on.
    pub(crate) fn new(version: &'a Version, from: u64, which: Rows) -> Self {
        RowReader { version, which, batch: VecDeque::new(), next: Some(from) }
    }

    /// The next row, without advancing; `None` at the end.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) fn peek(&mut self, meta: &mut Metadata) -> Result<Option<&BlockRow>> {
        if let (true, Some(from)) = (self.batch.is_empty(), self.next) {
            self.batch = meta.rows(self.version, from, BATCH, self.which)?.into();
            self.next = self.batch.back().filter(|_| self.batch.len() == BATCH).map(|row| row.id + 1);
        }
        Ok(self.batch.front())
    }

    /// The next row; `None` at the end.
    ///
    /// # Errors
    /// As [`RowReader::peek`].
    pub(crate) fn next(&mut self, meta: &mut Metadata) -> Result<Option<BlockRow>> {
        self.peek(meta)?;
        Ok(self.batch.pop_front())
    }
}
