//! Fills the database from what is in the store.

use super::rows::{Summed, with_rows};
use super::survey::{Head, Survey, blobs_of, decode_version, row_key, show, unreadable};
use super::vault::{Skipped, Vault};
use super::{Invalid, Loss, Rebuilt};
use crate::copies::{CopiedBlob, CopiedKey, CopiedRun, CopiedVersion, decode_index};
use crate::meta::{Filled, Filling, NewBlobRow};
use crate::monitor::Monitor;
use crate::types::block_set::BlockSet;
use crate::types::error::{Error, Result};
use crate::types::keys::{BlobId, VersionKey};
use crate::types::object::ObjectName;
use crate::types::reason::because;
use crate::types::time::Timestamp;
use crate::types::uid::VersionUid;

/// A database that is being filled.
pub(super) struct Fill<'f, 'd, 'a> {
    vault: &'f Vault<'a>,
    survey: &'f mut Survey,
    filling: &'f mut Filling<'d>,
    monitor: &'f dyn Monitor,
    /// The row keys that have a row.
    rows: BlockSet,
    /// Those of blobs that are bad or missing.
    bad: BlockSet,
    /// The highest row key of a blob that any object names.
    last_blob: u64,
    /// The rows of the last version.
    before: Option<Summed>,
    runs: Vec<(VersionUid, CopiedRun)>,
    /// Versions whose copies say less than the database now.
    due: Vec<VersionKey>,
    rebuilt: Rebuilt,
}

impl<'f, 'd, 'a> Fill<'f, 'd, 'a> {
    pub(super) fn new(
        vault: &'f Vault<'a>,
        survey: &'f mut Survey,
        filling: &'f mut Filling<'d>,
        monitor: &'f dyn Monitor,
    ) -> Self {
        survey.stored.forget();
        // Row keys of a list that cannot be read must not be given to other blobs either.
        let in_lists = survey.lists.iter().filter_map(ObjectName::last_blob).filter_map(row_key).max();
        let in_versions = survey.named.ranges().last().map(|range| range.end - 1);
        let last_blob = in_lists.max(in_versions).unwrap_or(0);
        let rebuilt = Rebuilt { skipped: survey.skipped.clone(), ..Rebuilt::default() };
        let bad = survey.bad.clone();
        Fill {
            vault,
            survey,
            filling,
            monitor,
            rows: BlockSet::default(),
            bad,
            last_blob,
            before: None,
            runs: Vec::new(),
            due: Vec::new(),
            rebuilt,
        }
    }

    /// Fills everything.
    ///
    /// # Errors
    /// Those of the store and of the database; a signal.
    pub(super) fn run(mut self) -> Filled<Rebuilt> {
        self.filling.store(&self.vault.identity.uuid, self.vault.identity.key.as_deref())?;
        let vault = self.vault;
        let lists = self.survey.lists.clone();
        let mut done = 0;
        vault.each(&lists, &|bytes| decode_index(bytes).map_err(unreadable), &mut |object, read| {
            done += 1;
            show(self.monitor, "3/4: reading the lists of blobs", done, lists.len() as u64);
            match read {
                Ok(blobs) => self.list(object, &blobs),
                Err(why) => {
                    self.rebuilt.skipped.push(Skipped { object: object.to_string(), why });
                    Ok(())
                }
            }
        })?;
        let versions = std::mem::take(&mut self.survey.versions);
        let filled = self.versions(&versions);
        self.survey.versions = versions;
        filled?;
        self.runs.sort_by_key(|(_, run)| run.date);
        for (version, run) in &self.runs {
            self.filling.run(version, run)?;
        }
        let last_blob = i64::try_from(self.last_blob).unwrap_or(i64::MAX);
        self.filling.finish(VersionKey(self.survey.last_version), BlobId(last_blob), &self.due)?;
        self.rebuilt.unlisted = self.survey.stored.unlisted();
        // Blobs were missing, perhaps because this is not the store any more.
        self.vault.prove()?;
        Ok(self.rebuilt)
    }

    /// Inserts the blobs of a list that versions name.
    fn list(&mut self, object: &ObjectName, blobs: &[CopiedBlob]) -> Filled<()> {
        // A version that cannot be read may name any blob, so that all are kept then.
        let keeps_all = !self.survey.skipped.is_empty();
        let (mut rows, mut unnamed) = (Vec::new(), Vec::new());
        for blob in blobs {
            let Some(id) = row_key(blob.id) else { continue };
            self.last_blob = self.last_blob.max(id);
            let stored = self.survey.stored.has(&blob.uid);
            if self.rows.contains(id) {
                continue;
            }
            let is_named = self.survey.named.contains(id);
            if is_named || keeps_all && stored {
                if !stored {
                    self.bad.insert(id..id + 1);
                    self.rebuilt.missing += 1;
                }
                let envkey = self.envkey(object, &blob.key)?;
                rows.push(NewBlobRow { blob, envkey, valid: !self.bad.contains(id) });
            } else if stored {
                unnamed.push((&blob.uid, blob.size));
            }
        }
        self.insert(&rows)?;
        let keys: Vec<BlobId> = blobs.iter().map(|blob| blob.id).filter(|id| id.0 > 0).collect();
        self.filling.list(&object.last_part(), &keys)?;
        self.rebuilt.unnamed += unnamed.len() as u64;
        self.filling.unnamed(&unnamed, Timestamp::now().unix())
    }

    fn insert(&mut self, rows: &[NewBlobRow<'_>]) -> Filled<()> {
        let ids: BlockSet = rows.iter().filter_map(|row| row_key(row.blob.id)).collect();
        let inserted = self.filling.blobs(rows)?;
        self.rebuilt.blobs += inserted;
        let ids = if inserted == rows.len() as u64 { ids } else { self.those_with_rows(&ids)? };
        for range in ids.ranges() {
            self.rows.insert(range.clone());
        }
        Ok(())
    }

    /// Two rows of one blob can be the same after a change of keys, and only one was inserted.
    fn those_with_rows(&mut self, ids: &BlockSet) -> Filled<BlockSet> {
        let mut found = Vec::new();
        for range in ids.ranges() {
            found.extend(self.filling.blobs_among(range.clone())?);
        }
        Ok(found.into_iter().collect())
    }

    fn envkey(&self, object: &ObjectName, key: &CopiedKey) -> Result<Option<String>> {
        let failed =
            |e| Error::WrongKey(because(format!("A key in {object} cannot be wrapped"), e).to_string());
        self.vault.wrapped(key).map_err(failed)
    }

    fn versions(&mut self, heads: &[Head]) -> Filled<()> {
        let vault = self.vault;
        let objects: Vec<ObjectName> = heads.iter().map(|head| head.object.clone()).collect();
        let mut done = 0;
        vault.each(&objects, &decode_version, &mut |object, read| {
            show(self.monitor, "4/4: filling in the versions", done, objects.len() as u64);
            done += 1;
            match read {
                Ok(copied) => self.version(copied),
                // It was readable a moment ago.
                Err(why) => {
                    self.rebuilt.skipped.push(Skipped { object: object.to_string(), why });
                    Ok(())
                }
            }
        })
    }

    fn version(&mut self, mut copied: CopiedVersion) -> Filled<()> {
        let key = self.filling.version(&copied)?;
        let blocks = with_rows(&copied.blocks, &self.rows);
        let bad = blobs_of(&copied).intersect(&self.bad);
        let known: BlockSet = copied.bad.iter().filter_map(|id| row_key(*id)).collect();
        let uid = copied.version.uid.clone();
        self.runs.extend(copied.runs.drain(..).map(|run| (uid.clone(), run)));
        self.filling.blocks(key, &blocks)?;
        let is_short = blocks.count() < copied.blocks.count();
        let rows_key = &*self.vault.copy_keys.rows_key;
        let summed = Summed::new(self.filling, rows_key, key, blocks, self.before.as_ref())?;
        let loss = if is_short {
            Some(Loss::Unlisted)
        } else if summed.sum != copied.row_sum {
            Some(Loss::Other)
        } else if summed.blocks.count() != copied.version.size {
            Some(Loss::Incomplete)
        } else {
            (!bad.is_empty()).then_some(Loss::Blobs)
        };
        self.before = Some(summed);
        self.rebuilt.versions += 1;
        // A copy that fits is brought up to date. Others may still be better than what the database has now.
        let fits = loss.is_none_or(|loss| loss == Loss::Blobs);
        if fits && (bad != known || key != copied.version.key || copied.version.valid && loss.is_some()) {
            self.due.push(key);
        }
        if let Some(loss) = loss.filter(|_| copied.version.valid) {
            self.filling.invalidate(key, loss == Loss::Blobs)?;
            self.rebuilt.invalid.push(Invalid { uid, name: copied.version.name, loss });
        }
        Ok(())
    }
}
