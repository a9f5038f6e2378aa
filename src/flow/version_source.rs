//! A version as a source. It returns the same data as the restored image.

use super::fetch::{Fetch, Fetcher};
use crate::io::Source;
use crate::meta::{Metadata, Rows};
use crate::types::block::{BlockRow, Geometry};
use crate::types::error::{Error, Result};
use crate::types::reason::Reason;
use crate::types::version::Version;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Mutex;

/// Reads the blocks of a version, in any order. Ascending order is the fastest.
pub(crate) struct VersionSource<'a> {
    version: Version,
    url: String,
    geometry: Geometry,
    fetch: &'a Fetch<'a>,
    rows: Mutex<Ahead>,
    /// Fetchers that no thread uses at the moment.
    idle: Mutex<Vec<Fetcher<'a>>>,
}

/// A connection of its own, with the rows around the last requested block.
struct Ahead {
    meta: Metadata,
    rows: VecDeque<BlockRow>,
}

/// Number of rows read at once.
const BATCH: usize = 512;

impl<'a> VersionSource<'a> {
    /// A source for `version`. Nobody else may use the connection `meta`.
    pub(crate) fn new(version: Version, block_size: u32, meta: Metadata, fetch: &'a Fetch<'a>) -> Self {
        VersionSource {
            geometry: Geometry::new(version.size_bytes, block_size),
            url: format!("version {}", version.uid),
            version,
            fetch,
            rows: Mutex::new(Ahead { meta, rows: VecDeque::new() }),
            idle: Mutex::new(Vec::new()),
        }
    }

    /// The row of block `id`, if it exists.
    fn row(&self, id: u64) -> Result<Option<BlockRow>> {
        let mut ahead = self.rows.lock().unwrap_or_else(|e| e.into_inner());
        let covered = ahead.rows.front().is_some_and(|row| row.id <= id)
            && ahead.rows.back().is_some_and(|row| row.id >= id);
        if !covered {
            // Readers are a few blocks apart, so keep some earlier rows too.
            let from = id.saturating_sub(BATCH as u64 / 8);
            ahead.rows = ahead.meta.rows(&self.version, from, BATCH, Rows::All)?.into();
        }
        Ok(ahead.rows.iter().find(|row| row.id == id).cloned())
    }

    fn error(&self, reason: impl Into<Reason>) -> Error {
        Error::Source { url: self.url.clone(), reason: reason.into() }
    }

    fn read_block(&self, row: &BlockRow, buffer: &mut [u8]) -> Result<()> {
        let Some(blob) = &row.blob else {
            buffer.fill(0);
            return Ok(());
        };
        let idle = self.idle.lock().unwrap_or_else(|e| e.into_inner()).pop();
        let mut fetcher = match idle {
            Some(fetcher) => fetcher,
            None => Fetcher::new(self.fetch)?,
        };
        if let Some(damage) = fetcher.fetch(row.id, blob, buffer.len(), || false)? {
            return Err(self.error(format!("block {} is bad: {damage}. Scrub the version first", row.id)));
        }
        buffer.copy_from_slice(fetcher.data());
        self.idle.lock().unwrap_or_else(|e| e.into_inner()).push(fetcher);
        Ok(())
    }
}

impl Source for VersionSource<'_> {
    fn url(&self) -> &str {
        &self.url
    }

    fn size(&self) -> u64 {
        self.geometry.size_bytes()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let id = offset / u64::from(self.geometry.block_size());
        match self.row(id)? {
            Some(row) if self.geometry.length(id) == buffer.len() => self.read_block(&row, buffer),
            _ => Err(self.error(format!("block {id} was never stored"))),
        }
    }

    fn next_data(&self, offset: u64) -> Option<Range<u64>> {
        if offset >= self.size() {
            return None;
        }
        let mut id = offset / u64::from(self.geometry.block_size());
        // Unknown counts as data. Reading it will report the error.
        while id < self.geometry.blocks()
            && self.row(id).is_ok_and(|row| row.is_some_and(|r| r.blob.is_none()))
        {
            id += 1;
        }
        let start = self.geometry.offset(id).max(offset);
        (id < self.geometry.blocks()).then(|| start..self.geometry.offset(id + 1).min(self.size()))
    }
}
