//! The objects of versions.

use super::{Copies, Failures, Found, Told};
use crate::copies::{BlockMap, CopiedRun, CopiedVersion, RowSum};
use crate::engine::Site;
use crate::failpoint;
use crate::flow::fetch::Plain;
use crate::meta::{DueCopy, Finish, Seal, StatisticsRow, VersionContent};
use crate::monitor::Level;
use crate::store::BlobStore;
use crate::types::block_set::BlockSet;
use crate::types::error::{Error, Result};
use crate::types::keys::BlobId;
use crate::types::object::ObjectName;
use crate::types::uid::VersionUid;
use crate::types::version::Version;

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

/// The work of a backup, as far as it matters for the sum of the new version's rows.
pub(in crate::engine) struct Work<'w> {
    /// The base.
    pub base: Option<&'w Version>,
    /// The blocks whose rows are those of the base. They were not stored by this backup.
    pub carried: BlockSet,
}

impl Copies<'_> {
    /// Writes the object of a version as it will be, and makes the version valid.
    ///
    /// # Errors
    /// The store or the database fails. The version is not valid then.
    pub(in crate::engine) fn finish(
        &self,
        site: &mut Site<'_>,
        version: &Version,
        work: &Work<'_>,
        run: &StatisticsRow,
    ) -> Result<Finish> {
        let _lock = self.lock(site)?;
        let due = site.meta.expect_copy(&version.uid)?;
        let content = site.meta.version_content(&version.uid)?;
        let Some(mut content) = content.filter(|content| content.is_complete() && content.bad.is_empty())
        else {
            // Some blocks must be stored again first.
            self.delete(&version.uid)?;
            return site.meta.finish_version(version, run, None);
        };
        content.version.valid = true;
        content.runs.push(copied(run));
        let seal = self.seal_of_backup(site, &content, work)?;
        let settings = Settings::configured(site);
        self.put_version(site, content, seal, settings)?;
        failpoint::pass("copies-version-written");
        let finish = site.meta.finish_version(version, run, Some(&due))?;
        if let Finish::Missing(_) = finish {
            // Its blocks change once more, and nothing must be compared with what they were.
            self.delete(&version.uid)?;
        }
        Ok(finish)
    }

    fn delete(&self, uid: &VersionUid) -> Result<()> {
        ObjectName::version(uid).map_or(Ok(()), |name| self.store.delete_object(&name))
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
            Some(content) if content.is_complete() => self.put_again(site, content),
            // The rows of a version of 2.13 may come later, or were lost.
            Some(content) if content.version.valid => return Ok(()),
            Some(content) if self.has_other_size(&content.version)? => {
                self.keep_as_it_is(site, &content.version);
                return Ok(());
            }
            content => match self.kept(site, content)?.zip(ObjectName::version(&due.uid)) {
                Some((copied, name)) => self.put(&name, &copied.encode()).map(|()| true),
                None => {
                    self.delete(&due.uid)?;
                    Ok(true)
                }
            },
        };
        match written {
            Err(error @ (Error::Store { .. } | Error::Full { .. })) if failures == Failures::Tell => {
                super::say(site, Level::Warning, &error);
                return Ok(());
            }
            Ok(false) => return Ok(()),
            done => drop(done?),
        }
        failpoint::pass("copies-version-renewed");
        site.meta.settle_copy(due).map(drop)
    }

    /// What the object of an incomplete version should have. `None` if there should be none: the version was removed, or
    /// the database knows all that the object says. It does not after a rebuild from a damaged list of blobs: then only
    /// the object describes the blocks that the version has lost.
    fn kept(&self, site: &mut Site<'_>, content: Option<VersionContent>) -> Result<Option<CopiedVersion>> {
        let Some(content) = content else { return Ok(None) };
        let Found::Copy(mut copied) = self.keys.find(self.store, &content.version.uid)? else {
            return Ok(None);
        };
        let named = copied.blocks.blocks().filter_map(|(_, blob)| u64::try_from(blob.0).ok());
        let named: BlockSet = named.filter(|blob| *blob > 0).collect();
        if named.subtract(&site.meta.blob_keys()?).is_empty() {
            return Ok(None);
        }
        copied.version = Version { valid: copied.version.valid, ..content.version };
        (copied.origin, copied.runs) = (content.origin, content.runs);
        copied.bad.extend(content.bad);
        Ok(Some(*copied))
    }

    /// Writes the object of a version anew. Returns `false` if it was left as it is, because the rows in the database are
    /// not those that it was sealed with.
    fn put_again(&self, site: &mut Site<'_>, content: VersionContent) -> Result<bool> {
        let Some((seal, settings)) = self.seal_again(site, &content)? else {
            self.keep_as_it_is(site, &content.version);
            return Ok(false);
        };
        self.put_version(site, content, seal, settings)?;
        Ok(true)
    }

    fn keep_as_it_is(&self, site: &Site<'_>, version: &Version) {
        site.monitor.warning(&format!(
            "The copy of version {} in the data store stays as it is: the rows in the database are not those that were sealed \
             when the version was backed up. Scrub it.",
            version.uid
        ));
    }

    /// Whether the copy of a version says another size than the database.
    fn has_other_size(&self, version: &Version) -> Result<bool> {
        let Found::Copy(copied) = self.keys.find(self.store, &version.uid)? else { return Ok(false) };
        let sealed = &copied.version;
        let sizes = [(sealed.size, sealed.size_bytes), (version.size, version.size_bytes)];
        Ok(sealed.key == version.key && sizes[0] != sizes[1])
    }

    fn put_version(
        &self,
        site: &mut Site<'_>,
        content: VersionContent,
        seal: Seal,
        settings: Settings,
    ) -> Result<()> {
        if !seal.encrypted && site.plain == Plain::Refused {
            site.admit_plain(self.store)?;
        }
        let Some(name) = ObjectName::version(&content.version.uid) else { return Ok(()) };
        let VersionContent { version, origin, runs, blocks, bad } = content;
        let Settings { hash_function, block_size } = settings;
        let Seal { sum: row_sum, encrypted } = seal;
        let copied = CopiedVersion {
            version,
            origin,
            runs,
            hash_function,
            block_size,
            blocks,
            bad,
            row_sum,
            encrypted,
        };
        self.put(&name, &copied.encode())
    }

    /// The seal of a version that has one. It stays, whatever the database says: only a backup changes rows. Without a copy
    /// it is made from the database. `None` if the rows are not those that were sealed.
    fn seal_again(&self, site: &mut Site<'_>, content: &VersionContent) -> Result<Option<(Seal, Settings)>> {
        let VersionContent { version, blocks, .. } = content;
        let configured = Settings::configured(site);
        let copied = match self.keys.find(self.store, &version.uid)? {
            Found::Copy(copied) => copied,
            Found::Nothing => return Ok(Some((self.seal_of_all(site, version)?, configured))),
            Found::Unusable(why) => {
                site.monitor.info(&format!(
                    "The copy of version {} in the data store {why}. It is written anew from the database.",
                    version.uid
                ));
                return Ok(Some((self.seal_of_all(site, version)?, configured)));
            }
        };
        let sealed = &copied.version;
        let has_its_size = (sealed.size, sealed.size_bytes) == (version.size, version.size_bytes);
        let seal = Seal { sum: copied.row_sum, encrypted: copied.encrypted };
        if sealed.key != version.key {
            let anew = self.seal_of_all(site, version)?;
            if !has_its_size || anew.sum != seal.sum {
                site.monitor.warning(&format!(
                    "Version {} was removed, and a version with the same uid and other rows was put in its place. Its copy in \
                     the data store is written anew.",
                    version.uid
                ));
            }
            return Ok(Some((anew, configured)));
        }
        // A change of keys may merge rows, which have the same sum then.
        let is_same =
            has_its_size && (copied.blocks == *blocks || self.seal_of_all(site, version)?.sum == seal.sum);
        // Commands that read no data do not notice wrong settings.
        let settings = Settings { hash_function: copied.hash_function, block_size: copied.block_size };
        Ok(is_same.then_some((seal, settings)))
    }

    fn seal_of_all(&self, site: &mut Site<'_>, version: &Version) -> Result<Seal> {
        site.meta.seal_of_rows(version, &self.keys.rows_key, &BlockSet::default())
    }

    /// The seal of a new version. Of rows that came from the base it counts what was sealed of the base, not what the
    /// database says of them now, so that forged rows of the base do not pass as those of the new version.
    fn seal_of_backup(&self, site: &mut Site<'_>, content: &VersionContent, work: &Work<'_>) -> Result<Seal> {
        let Some(base) = work.base else { return self.seal_of_all(site, &content.version) };
        let copied = match self.keys.find(self.store, &base.uid)? {
            Found::Copy(copied) => copied,
            Found::Nothing | Found::Unusable(_) => return self.seal_of_all(site, &content.version),
        };
        let before = Seal { sum: copied.row_sum, encrypted: copied.encrypted };
        if let Some(changes) = changes(&copied.blocks, &content.blocks, &work.carried)
            && let Some(seal) = self.changed_seal(site, before, &changes)?
        {
            return Ok(seal);
        }
        let after = site.meta.seal_of_rows(&content.version, &self.keys.rows_key, &work.carried)?;
        let mut sum = RowSum::resume(&self.keys.rows_key, after.sum);
        sum.sub_sum(&self.seal_of_all(site, base)?.sum);
        sum.add_sum(&before.sum);
        Ok(Seal { sum: sum.bytes(), encrypted: before.encrypted && after.encrypted })
    }

    /// The seal after some changes. `None` if a blob has no row any more.
    fn changed_seal(&self, site: &mut Site<'_>, seal: Seal, changes: &[Change]) -> Result<Option<Seal>> {
        let keys = changes.iter().flat_map(|change| [change.before, change.after]).flatten();
        let keys: BlockSet = keys.filter_map(|blob| u64::try_from(blob.0).ok()).collect();
        let blobs = site.meta.summed_blobs(&keys)?;
        let (mut sum, mut encrypted) = (RowSum::resume(&self.keys.rows_key, seal.sum), seal.encrypted);
        for Change { block, before, after } in changes {
            if let Some(before) = before {
                let Some(blob) = blobs.get(before) else { return Ok(None) };
                sum.sub(blob.at(*block));
            }
            if let Some(after) = after {
                let Some(blob) = blobs.get(after) else { return Ok(None) };
                encrypted &= blob.enc_version != 0;
                sum.add(blob.at(*block));
            }
        }
        Ok(Some(Seal { sum: sum.bytes(), encrypted }))
    }
}

/// The settings that a version was made with.
struct Settings {
    hash_function: String,
    block_size: u32,
}

impl Settings {
    /// Those of the configuration. A backup has compared them with a sample of the blobs.
    fn configured(site: &Site<'_>) -> Self {
        Settings {
            hash_function: site.config.hash_function.name().to_owned(),
            block_size: site.config.block_size,
        }
    }
}

/// Deletes the copy of a version whose rows are going to change: its backup is continued, although it was complete before.
/// Whoever continues it relies on the rows that stay, so that they must be those that were sealed.
///
/// # Errors
/// They are not; the store or the database fails.
pub(in crate::engine) fn unseal(
    site: &mut Site<'_>,
    store: &dyn BlobStore,
    copies: Option<&Copies<'_>>,
    version: &Version,
) -> Result<()> {
    let Some(name) = ObjectName::version(&version.uid).filter(|_| store.keeps_objects()) else {
        return Ok(());
    };
    let Some(copies) = copies else { return store.delete_object(&name) };
    let _lock = copies.lock(site)?;
    match copies.keys.find(store, &version.uid)? {
        Found::Nothing => return Ok(()),
        Found::Unusable(_) => {}
        Found::Copy(copied) => {
            let is_complete = site.meta.missing(version)?.is_empty();
            let is_same = copied.version.key == version.key;
            if is_complete && is_same && copies.seal_of_all(site, version)?.sum != copied.row_sum {
                return Err(Error::refused(format!(
                    "Version {} cannot be continued: its rows are not those that were sealed when it was backed up. Start a \
                     new backup. Nothing was changed.",
                    version.uid
                )));
            }
        }
    }
    site.meta.expect_copy(&version.uid)?;
    store.delete_object(&name)
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

/// The blocks that have different blobs in two versions, those of `except` aside. `None` if they are many.
fn changes(before: &BlockMap, after: &BlockMap, except: &BlockSet) -> Option<Vec<Change>> {
    let blob = |map: &BlockMap, block| map.get(block).filter(|blob| blob.0 > 0);
    let changed = before.changed(after).subtract(except);
    let changes = changed.blocks().map(|block| {
        let (before, after) = (blob(before, block), blob(after, block));
        Change { block, before, after }
    });
    // A hole is as good as a block that is missing.
    let changes: Vec<Change> = changes.filter(|change| change.before != change.after).take(FEW + 1).collect();
    (changes.len() <= FEW).then_some(changes)
}
