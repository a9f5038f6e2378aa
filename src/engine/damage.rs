//! Bad blocks: reports them, marks them in the database, and collects them for the end of the run.

use crate::flow::fetch::Damage;
use crate::meta::Metadata;
use crate::monitor::{Level, Monitor};
use crate::types::block::{Blob, Geometry};
use crate::types::block_set::BlockSet;
use crate::types::checksum::Checksum;
use crate::types::error::{Error, Result};
use crate::types::uid::{BlobUid, VersionUid};
use std::collections::BTreeSet;
use std::ops::Range;

/// The bad blocks of a run.
pub(crate) struct Casualties<'a> {
    monitor: &'a dyn Monitor,
    blocks: BlockSet,
    marked: BTreeSet<BlobUid>,
    can_mark: bool,
}

impl<'a> Casualties<'a> {
    /// Starts with no bad blocks. `can_mark` is false for a database that cannot be written.
    pub(crate) fn new(monitor: &'a dyn Monitor, can_mark: bool) -> Self {
        Casualties { monitor, blocks: BlockSet::default(), marked: BTreeSet::new(), can_mark }
    }

    /// Counts these blocks as bad, although no blob is at fault.
    pub(crate) fn add(&mut self, ids: Range<u64>) {
        self.blocks.insert(ids);
    }

    /// Counts block `id` as bad because of its blob, reports it, and marks the blob and all versions that use it.
    ///
    /// # Errors
    /// The database fails, other than by being read-only.
    pub(crate) fn blob(&mut self, meta: &mut Metadata, id: u64, blob: &Blob, damage: &Damage) -> Result<()> {
        self.monitor.error(&format!("Block {id} (UID {}) is bad: {damage}", blob.uid));
        self.add(id..id + 1);
        let first = self.marked.is_empty();
        // A blob that occurs several times is marked only once.
        if !self.marked.insert(blob.uid.clone()) {
            return Ok(());
        }
        if !self.can_mark {
            if first {
                let database = meta.location();
                self.monitor.warning(&format!(
                    "Bad blocks cannot be marked invalid: the database {database} cannot be written."
                ));
            }
            return Ok(());
        }
        match meta.mark_blobs_invalid(std::slice::from_ref(blob)) {
            Ok(versions) => {
                self.monitor.info(&format!(
                    "Marked block invalid (UID {}, Checksum {}. Affected versions: {}",
                    blob.uid,
                    blob.checksum.as_ref().map_or("", Checksum::as_str),
                    versions.iter().map(VersionUid::as_str).collect::<Vec<_>>().join(", ")
                ));
                for uid in versions {
                    self.monitor.info(&format!("Marked version invalid (UID {uid})"));
                }
                Ok(())
            }
            Err(error @ (Error::Metadata { .. } | Error::Full { .. })) => {
                self.can_mark = false;
                let text = format!("Bad blocks cannot be marked invalid: {}", error.line());
                self.monitor.advise(Level::Warning, &text, error.remedies());
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Whether no block was bad.
    pub(crate) fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// The bad ranges in bytes. Ranges that touch are joined.
    pub(crate) fn ranges(self, geometry: Geometry) -> Vec<Range<u64>> {
        let bytes = |range: &Range<u64>| {
            let end = geometry.offset(range.end).min(geometry.size_bytes());
            geometry.offset(range.start)..end
        };
        self.blocks.ranges().iter().map(bytes).collect()
    }
}
