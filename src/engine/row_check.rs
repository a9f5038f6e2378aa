//! Compares the rows of a version with what was sealed when it was backed up, while a walk reads them.

use super::Site;
use super::copies::{Expectation, Found, Seals};
use crate::copies::{RowSum, SummedRow};
use crate::flow::fetch::Plain;
use crate::flow::rows::RowReader;
use crate::meta::Rows;
use crate::store::BlobStore;
use crate::types::block::BlockRow;
use crate::types::checksum::Checksum;
use crate::types::error::{Error, Result};
use crate::types::uid::VersionUid;
use crate::types::version::Version;

/// Whether all blocks of a version have a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Completeness {
    /// They have.
    Complete,
    /// They have not: its backup has not ended, or somebody is removing it.
    Incomplete,
}

/// A comparison that is going on.
pub(super) struct RowCheck {
    uid: VersionUid,
    /// What was sealed, and the sum of the rows so far.
    sealed: Option<(Expectation, RowSum)>,
    plain: Plain,
    /// The last block that was read.
    last: Option<u64>,
    /// A block that came too late.
    disorder: Option<u64>,
    has_faults: bool,
}

impl RowCheck {
    /// Reads what was sealed of `version` in `store`, and compares its size.
    ///
    /// # Errors
    /// The database fails. A copy that cannot be read is only a warning.
    pub(super) fn new(site: &mut Site<'_>, store: &dyn BlobStore, version: &Version) -> Result<Self> {
        let seals = Seals::open(site, store)?;
        let found = match seals.find(store, &version.uid) {
            Ok(found) => found,
            Err(error @ (Error::Interrupted(_) | Error::WrongStore { .. })) => return Err(error),
            Err(error) => Found::Unusable(format!("cannot be read: {}", error.line())),
        };
        if let Found::Nothing = found {
            site.monitor
                .debug(&format!("Version {} has no copy in the data store to compare with.", version.uid));
        }
        let expected = seals.expect(&mut site.meta, version, found)?;
        expected.warning.iter().for_each(|text| site.monitor.warning(text));
        expected.faults.iter().for_each(|text| site.monitor.error(text));
        let sealed = expected.seal.zip(seals.rows_key()).map(|(seal, key)| (seal, RowSum::new(key)));
        Ok(RowCheck {
            uid: version.uid.clone(),
            sealed,
            plain: expected.plain,
            last: None,
            disorder: None,
            has_faults: !expected.faults.is_empty(),
        })
    }

    /// Whether the version's blobs may be without encryption.
    pub(super) fn plain(&self) -> Plain {
        self.plain
    }

    /// Whether its size is wrong.
    pub(super) fn has_faults(&self) -> bool {
        self.has_faults
    }

    /// The size that was sealed: blocks and bytes.
    pub(super) fn sealed_size(&self) -> Option<(u64, u64)> {
        self.sealed.as_ref().map(|(seal, _)| (seal.size, seal.size_bytes))
    }

    /// Counts the rows of the blocks before `end`, which the walk does not read.
    ///
    /// # Errors
    /// The database fails, or a signal came.
    pub(super) fn add_before(&mut self, site: &mut Site<'_>, version: &Version, end: u64) -> Result<()> {
        if self.sealed.is_none() || end == 0 {
            return Ok(());
        }
        let mut rows = RowReader::new(version, 0, Rows::Stored);
        while let Some(row) = rows.next(&mut site.meta)?.filter(|row| row.id < end) {
            site.monitor.check()?;
            self.add(&row);
        }
        Ok(())
    }

    /// Counts a row. Rows come in the order in which they were read.
    pub(super) fn add(&mut self, row: &BlockRow) {
        if self.last.is_some_and(|last| row.id <= last) {
            self.disorder.get_or_insert(row.id);
        }
        self.last = Some(row.id);
        if let (Some((_, sum)), Some(blob)) = (&mut self.sealed, &row.blob) {
            sum.add(SummedRow {
                block: row.id,
                uid: blob.uid.as_str(),
                checksum: blob.checksum.as_ref().map(Checksum::as_str),
                size: blob.size,
                enc_version: blob.encryption.version,
            });
        }
    }

    /// Says what is wrong with the rows, all of which were read, and returns whether they are right. If the version is not
    /// complete, its rows cannot have the sum of all.
    pub(super) fn conclude(&self, site: &Site<'_>, completeness: Completeness) -> bool {
        if let Some(block) = self.disorder {
            site.monitor.error(&format!(
                "The database is damaged: the rows of version {} are not in order. Block {block} comes too late, or twice.",
                self.uid
            ));
        }
        let differs = self.sealed.as_ref().is_some_and(|(seal, sum)| sum.bytes() != seal.sum);
        let differs = differs && completeness == Completeness::Complete;
        if differs {
            site.monitor.error(&format!(
                "The rows of version {} are not those that were sealed when it was backed up: a block has another blob, or \
                 the name, checksum, size or encryption of a blob was changed. Something other than backy2 has changed \
                 the database.",
                self.uid
            ));
        }
        !differs && self.disorder.is_none() && !self.has_faults
    }
}
