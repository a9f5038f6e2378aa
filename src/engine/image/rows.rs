//! The rows of a version, read in batches on demand and cached.

use crate::flow::fetch::Plain;
use crate::meta::{Metadata, Rows as Which};
use crate::types::block::Blob;
use crate::types::error::Result;
use crate::types::version::Version;
use std::sync::{Arc, Mutex, PoisonError};

/// Number of rows in a batch. A batch starts at a multiple of this number.
const BATCH: u64 = 512;
/// Number of batches kept: about 4 MiB of memory, for 32 GiB of an image with blocks of 4 MiB.
const KEPT: usize = 16;

/// The place of a block's data.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// In a blob.
    Blob(Arc<Blob>),
    /// In a blob without encryption, which this version does not accept.
    Refused(Arc<Blob>),
    /// None: the block is zeros.
    Hole,
    /// None: the block was never stored.
    Missing,
}

/// The database connection that all images of a server share.
pub(super) type Connection = Mutex<Metadata>;

/// The rows of one version.
pub(super) struct Rows {
    version: Version,
    blocks: u64,
    plain: Plain,
    /// The most recently used batch comes last.
    kept: Mutex<Vec<(u64, Arc<Vec<Place>>)>>,
}

impl Rows {
    /// The rows of `version`, which has `blocks` blocks.
    pub(super) fn new(version: Version, blocks: u64, plain: Plain) -> Self {
        Rows { version, blocks, plain, kept: Mutex::default() }
    }

    /// The place of the data of block `id`.
    ///
    /// # Errors
    /// The database fails.
    pub(super) fn place(&self, meta: &Connection, id: u64) -> Result<Place> {
        let batch = self.batch(meta, id / BATCH)?;
        Ok(batch.get((id % BATCH) as usize).cloned().unwrap_or(Place::Missing))
    }

    fn batch(&self, meta: &Connection, number: u64) -> Result<Arc<Vec<Place>>> {
        // Keep the lock during the query, so that other threads do not query the same rows.
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = kept.iter().rposition(|(other, _)| *other == number) {
            kept[at..].rotate_left(1);
        } else {
            if kept.len() == KEPT {
                kept.remove(0);
            }
            kept.push((number, Arc::new(self.read(meta, number)?)));
        }
        Ok(kept.last().map(|(_, batch)| Arc::clone(batch)).unwrap_or_default())
    }

    fn read(&self, meta: &Connection, number: u64) -> Result<Vec<Place>> {
        let from = number * BATCH;
        let length = self.blocks.saturating_sub(from).min(BATCH);
        let mut meta = meta.lock().unwrap_or_else(PoisonError::into_inner);
        let mut places = vec![Place::Missing; length as usize];
        for row in meta.rows(&self.version, from, length as usize, Which::All)? {
            // If rows are missing, the result contains rows of the next batch. Ignore those.
            if let Some(place) = places.get_mut((row.id - from) as usize) {
                *place = match row.blob {
                    None => Place::Hole,
                    Some(blob) if self.plain.refuses(&blob) => Place::Refused(Arc::new(blob)),
                    Some(blob) => Place::Blob(Arc::new(blob)),
                };
            }
        }
        Ok(places)
    }
}
