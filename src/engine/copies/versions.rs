//! The objects of versions.

use super::{Copies, Failures, Told};
use crate::copies::{BlockMap, CopiedRun, CopiedVersion, RowSum};
use crate::engine::Site;
use crate::failpoint;
use crate::meta::{DueCopy, Finish, StatisticsRow, VersionContent};
use crate::monitor::Level;
use crate::types::block_set::BlockSet;
use crate::types::error::{Error, Result};
use crate::types::keys::BlobId;
use crate::types::object::ObjectName;
use crate::types::uid::VersionUid;
use crate::types::version::Version;
use std::cmp::Ordering;

/// Number of due copies that are handled while the lock is held.
const BATCH: usize = 8;
/// The most blocks for which a sum is brought up to date block by block. For more it is made anew.
const FEW: usize = 50_000;

/// A block that two versions have different blobs for. Holes count as no blob.
struct Change {
    block: u64,
    before: Option<BlobId>,
    after: Option<BlobId>,
}

impl Copies<'_> {
    /// Writes the object of a version as it will be, and makes the version valid. `base` is a version with mostly the same
    /// blocks.
    ///
    /// # Errors
    /// The store or the database fails. The version is not valid then.
    pub(in crate::engine) fn finish(
        &self,
        site: &mut Site<'_>,
        version: &Version,
        base: Option<&Version>,
        run: &StatisticsRow,
    ) -> Result<Finish> {
        let _lock = self.lock(site)?;
        let due = site.meta.expect_copy(&version.uid)?;
        let content = site.meta.version_content(&version.uid)?;
        let Some(mut content) = content.filter(|content| content.is_complete() && content.bad.is_empty())
        else {
            // Some blocks must be stored again first.
            return site.meta.finish_version(version, run, None);
        };
        content.version.valid = true;
        content.runs.push(copied(run));
        self.put_version(site, content, base.map(|base| &base.uid))?;
        failpoint::pass("copies-version-written");
        site.meta.finish_version(version, run, Some(&due))
    }

    /// Brings due copies with a token above `after` up to date.
    ///
    /// # Errors
    /// The store or the database fails; see [`Failures`]. [`Error::Interrupted`].
    pub(super) fn update<'a>(
        &self,
        site: &mut Site<'a>,
        mut after: i64,
        failures: Failures,
        told: Told<'_, 'a>,
    ) -> Result<()> {
        // Later ones belong to commands that are running.
        let until = site.meta.last_due()?.unwrap_or(0);
        while after < until && !site.meta.due_copies(after, 1)?.is_empty() {
            site.monitor.check()?;
            let _lock = self.lock(site)?;
            for due in site.meta.due_copies(after, BATCH)? {
                after = due.token;
                if after <= until {
                    self.renew(site, &due, failures)?;
                    told(site, 1);
                }
            }
        }
        Ok(())
    }

    /// Writes or deletes the object of a version. The caller holds the lock.
    fn renew(&self, site: &mut Site<'_>, due: &DueCopy, failures: Failures) -> Result<()> {
        site.monitor.check()?;
        let Some(name) = ObjectName::version(&due.uid) else { return site.meta.settle_copy(due).map(drop) };
        let content = match site.meta.version_content(&due.uid) {
            Ok(content) => content,
            Err(error @ Error::Metadata { .. }) => {
                // A row that cannot be read keeps nobody from the rest. The object may be the only good copy.
                super::say(site, Level::Warning, &error);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let written = match content {
            Some(content) if content.is_complete() => self.put_version(site, content, None),
            // The rows of a version of 2.13 may come later, or were lost.
            Some(content) if content.version.valid => return Ok(()),
            content => match self.kept(site, content)? {
                Some(copied) => self.put(&name, &copied.encode()),
                None => {
                    self.store.delete_object(&name)?;
                    Ok(())
                }
            },
        };
        match written {
            Err(error @ (Error::Store { .. } | Error::Full { .. })) if failures == Failures::Tell => {
                super::say(site, Level::Warning, &error);
                return Ok(());
            }
            done => done?,
        }
        failpoint::pass("copies-version-renewed");
        site.meta.settle_copy(due).map(drop)
    }

    /// What the object of an incomplete version should have. `None` if there should be none: the version was removed, or
    /// the database knows all that the object says. It does not after a rebuild from a damaged list of blobs: then only
    /// the object describes the blocks that the version has lost.
    fn kept(&self, site: &mut Site<'_>, content: Option<VersionContent>) -> Result<Option<CopiedVersion>> {
        let Some(content) = content else { return Ok(None) };
        let Some(mut copied) = self.copied(&content.version.uid)? else { return Ok(None) };
        let named = copied.blocks.blocks().filter_map(|(_, blob)| u64::try_from(blob.0).ok());
        let named: BlockSet = named.filter(|blob| *blob > 0).collect();
        if named.subtract(&site.meta.blob_keys()?).is_empty() {
            return Ok(None);
        }
        copied.version = Version { valid: copied.version.valid, ..content.version };
        (copied.origin, copied.runs) = (content.origin, content.runs);
        copied.bad.extend(content.bad);
        Ok(Some(copied))
    }

    fn put_version(
        &self,
        site: &mut Site<'_>,
        content: VersionContent,
        base: Option<&VersionUid>,
    ) -> Result<()> {
        let Some(name) = ObjectName::version(&content.version.uid) else { return Ok(()) };
        let row_sum = self.sum(site, &content, base)?;
        let VersionContent { version, origin, runs, blocks, bad } = content;
        let (hash_function, block_size) =
            (site.config.hash_function.name().to_owned(), site.config.block_size);
        let copied = CopiedVersion { version, origin, runs, hash_function, block_size, blocks, bad, row_sum };
        self.put(&name, &copied.encode())
    }

    /// The sum of the rows of a version: from an earlier object of the version or of its base, or over all rows.
    fn sum(
        &self,
        site: &mut Site<'_>,
        content: &VersionContent,
        base: Option<&VersionUid>,
    ) -> Result<[u8; 32]> {
        if let Some((blocks, sum)) = self.known_sum(base.unwrap_or(&content.version.uid))?
            && let Some(changes) = changes(&blocks, &content.blocks)
            && let Some(sum) = self.changed_sum(site, sum, &changes)?
        {
            return Ok(sum);
        }
        site.meta.row_sum(&content.version, &self.rows_key)
    }

    /// The blocks of an object and their sum. It does not matter how old the object is.
    fn known_sum(&self, uid: &VersionUid) -> Result<Option<(BlockMap, [u8; 32])>> {
        Ok(self.copied(uid)?.map(|copied| (copied.blocks, copied.row_sum)))
    }

    /// The object of a version. `None` if there is none, or it is damaged.
    fn copied(&self, uid: &VersionUid) -> Result<Option<CopiedVersion>> {
        let Some(name) = ObjectName::version(uid) else { return Ok(None) };
        let data = self.get(&name)?;
        Ok(data.and_then(|data| CopiedVersion::decode(&data).ok()))
    }

    /// The sum after some changes. `None` if a blob has no row any more.
    fn changed_sum(
        &self,
        site: &mut Site<'_>,
        sum: [u8; 32],
        changes: &[Change],
    ) -> Result<Option<[u8; 32]>> {
        let keys = changes.iter().flat_map(|change| [change.before, change.after]).flatten();
        let keys: BlockSet = keys.filter_map(|blob| u64::try_from(blob.0).ok()).collect();
        let blobs = site.meta.summed_blobs(&keys)?;
        let mut sum = RowSum::resume(&self.rows_key, sum);
        for Change { block, before, after } in changes {
            for (blob, add) in [(before, RowSum::sub as fn(&mut RowSum, _)), (after, RowSum::add)] {
                let Some(blob) = blob else { continue };
                let Some(blob) = blobs.get(blob) else { return Ok(None) };
                add(&mut sum, blob.at(*block));
            }
        }
        Ok(Some(sum.bytes()))
    }
}

fn copied(run: &StatisticsRow) -> CopiedRun {
    let run = run.past();
    CopiedRun {
        date: run.date,
        name: run.name,
        size: run.size,
        statistics: run.statistics,
        duration: run.duration,
    }
}

/// The blocks that have different blobs in two versions. `None` if they are many.
fn changes(before: &BlockMap, after: &BlockMap) -> Option<Vec<Change>> {
    let mut old = before.blocks().filter(|(_, blob)| blob.0 > 0).peekable();
    let mut new = after.blocks().filter(|(_, blob)| blob.0 > 0).peekable();
    let mut changes = Vec::new();
    loop {
        let (before, after) = match (old.peek().copied(), new.peek().copied()) {
            (None, None) => return Some(changes),
            (before, None) => (before, None),
            (None, after) => (None, after),
            (Some(before), Some(after)) => match before.0.cmp(&after.0) {
                Ordering::Less => (Some(before), None),
                Ordering::Greater => (None, Some(after)),
                Ordering::Equal => (Some(before), Some(after)),
            },
        };
        let block = before.or(after)?.0;
        if before.is_some() {
            old.next();
        }
        if after.is_some() {
            new.next();
        }
        let (before, after) = (before.map(|(_, blob)| blob), after.map(|(_, blob)| blob));
        if before != after {
            if changes.len() >= FEW {
                return None;
            }
            changes.push(Change { block, before, after });
        }
    }
}
