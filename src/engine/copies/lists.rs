//! Lists of blobs.

use super::{Copies, LAST, Told};
use crate::copies::{CopiedBlob, CopiedKey, encode_index};
use crate::engine::Site;
use crate::failpoint;
use crate::types::error::{Error, Result};
use crate::types::hex::to_hex;
use crate::types::keys::BlobId;
use crate::types::object::{ObjectFolder, ObjectName};
use crate::types::reason::because;

/// The most blobs in a list. Such a list has 7 MB.
const BATCH: usize = 50_000;

impl Copies<'_> {
    /// Writes lists of all blobs that a backup needs. `since` is the highest row key from before the backup. Older blobs
    /// without a copy, as after an upgrade, are added if they are few.
    ///
    /// # Errors
    /// The store or the database fails.
    pub(in crate::engine) fn cover_needed(&self, site: &mut Site<'_>, since: BlobId) -> Result<()> {
        let older = site.meta.uncovered_blobs(BlobId(0), since, BATCH)?.len();
        self.cover(site, if older < BATCH { BlobId(0) } else { since }, &mut |_, _| {})
    }

    /// Writes a list of all blobs that have no copy, if they are few, as after an import.
    ///
    /// # Errors
    /// The store or the database fails.
    pub(super) fn cover_few(&self, site: &mut Site<'_>) -> Result<()> {
        let few = site.meta.uncovered_blobs(BlobId(0), LAST, BATCH)?.len() < BATCH;
        if few { self.cover(site, BlobId(0), &mut |_, _| {}) } else { Ok(()) }
    }

    /// Writes lists of all blobs with a row key above `after` that have no copy.
    ///
    /// # Errors
    /// The store or the database fails. [`Error::Interrupted`].
    pub(super) fn cover<'a>(&self, site: &mut Site<'a>, after: BlobId, told: Told<'_, 'a>) -> Result<()> {
        let mut after = after;
        while !site.meta.uncovered_blobs(after, LAST, 1)?.is_empty() {
            site.monitor.check()?;
            let _lock = self.lock(site)?;
            let blobs = site.meta.uncovered_blobs(after, LAST, BATCH)?;
            let Some(last) = blobs.last() else { break };
            after = last.id;
            let keys: Vec<BlobId> = blobs.iter().map(|blob| blob.id).collect();
            let name = self.write_list(site, blobs)?;
            site.meta.cover(&name, &keys)?;
            failpoint::pass("copies-list-recorded");
            told(site, keys.len() as u64);
        }
        Ok(())
    }

    /// Announces and writes a list. The caller records it under the name that this returns. A crash before that leaves a
    /// list that no blob needs, which the next cleanup deletes.
    fn write_list(&self, site: &mut Site<'_>, mut blobs: Vec<CopiedBlob>) -> Result<String> {
        let last = blobs.last().map_or(BlobId(0), |blob| blob.id);
        blobs.iter_mut().for_each(|blob| unwrap(site, blob));
        let data = encode_index(&blobs)
            .map_err(|e| Error::internal(because("a list of blobs cannot be encoded", e)))?;
        drop(blobs);
        let object = ObjectName::new_index(last);
        let name = object.last_part();
        site.meta.begin_index(&name)?;
        failpoint::pass("copies-list-announced");
        self.put(&object, &data)?;
        failpoint::pass("copies-list-written");
        Ok(name)
    }

    /// Deletes lists that no blob needs any more, and puts lists with many gaps together.
    ///
    /// # Errors
    /// The store or the database fails. [`Error::Interrupted`].
    pub(in crate::engine) fn tidy(&self, site: &mut Site<'_>) -> Result<()> {
        if site.meta.unneeded_indexes()?.is_empty() && site.meta.sparse_indexes()?.len() < 2 {
            return Ok(());
        }
        let _lock = self.lock(site)?;
        self.delete_unneeded(site)?;
        let mut group: Vec<String> = Vec::new();
        let mut blobs = 0;
        for index in site.meta.sparse_indexes()? {
            if blobs + index.live > BATCH as u64 && !group.is_empty() {
                self.merge(site, &group)?;
                (group, blobs) = (Vec::new(), 0);
            }
            blobs += index.live;
            group.push(index.name);
        }
        // A single list would only become shorter.
        if group.len() > 1 {
            self.merge(site, &group)?;
        }
        self.delete_unneeded(site)
    }

    fn merge(&self, site: &mut Site<'_>, names: &[String]) -> Result<()> {
        site.monitor.check()?;
        let blobs = site.meta.blobs_of_indexes(names)?;
        let total = blobs.len() as u64;
        let name = self.write_list(site, blobs)?;
        site.meta.replace_indexes(&name, total, names)?;
        failpoint::pass("copies-lists-merged");
        Ok(())
    }

    /// The caller holds the lock: a list that is being written is not needed yet.
    pub(super) fn delete_unneeded(&self, site: &mut Site<'_>) -> Result<()> {
        for name in site.meta.unneeded_indexes()? {
            site.monitor.check()?;
            // A name that the database cannot have written names no object.
            if let Some(object) = ObjectFolder::Index.object(&name) {
                self.store.delete_object(&object)?;
                failpoint::pass("copies-list-deleted");
            }
            site.meta.forget_index(&name)?;
        }
        Ok(())
    }
}

/// Replaces the wrapped key of a blob by the key itself, if the master key opens it and would wrap it in the same way.
fn unwrap(site: &Site<'_>, blob: &mut CopiedBlob) {
    let CopiedKey::Wrapped(wrapped) = &blob.key else { return };
    let Ok(key) = site.keys.unwrap(wrapped) else { return };
    if site.keys.wrap(&*key).is_ok_and(|again| to_hex(&again) == *wrapped) {
        blob.key = CopiedKey::Plain(key);
    }
}
