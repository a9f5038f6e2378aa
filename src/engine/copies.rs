//! Copies of the metadata, as objects beside the blobs: lists of blobs, and one object for each version.
//!
//! A backup writes them before its version becomes valid: first the lists of the blobs that have no copy yet
//! ([`lists`]), then the object of the version ([`versions`]). Every other change of a version makes its copy *due*,
//! which the database remembers. Due copies are brought up to date by the command that made the change, or by the next
//! backup or cleanup. A cleanup deletes the copy of a removed version before it deletes blobs.
//!
//! All objects are written under one lock, so that an older state never replaces a newer one.

mod audit;
mod lists;
mod seals;
mod unknown;
mod versions;

use super::Site;
use crate::crypt::{DecodeError, Sealer, StoreKey, rows_key};
use crate::flow::fetch::Plain;
use crate::flow::objects::load;
use crate::locks::Guard;
use crate::meta::StoreRow;
use crate::monitor::{Activity, Level, Progress};
use crate::store::BlobStore;
use crate::types::error::{Error, Result};
use crate::types::keys::BlobId;
use crate::types::object::{ObjectFolder, ObjectName};
use crate::types::reason::{Reason, because};
use crate::types::remedy::Remedy;
use uuid::Uuid;
use zeroize::Zeroizing;

pub(super) use audit::Audit;
pub(super) use seals::{Expectation, Expected, Found, Seals};
pub(super) use unknown::Unknown;
pub(super) use versions::{Work, unseal};

/// The highest row key.
const LAST: BlobId = BlobId(i64::MAX);

/// The copies in an opened store.
pub(super) struct Copies<'s> {
    store: &'s dyn BlobStore,
    keys: CopyKeys,
}

impl<'s> Copies<'s> {
    /// The copies in `store`, which was opened for `site`. `None` if there are none: they are switched off, the store
    /// keeps no objects or has no identity yet, or the key of the store cannot be opened, which gives a warning.
    ///
    /// # Errors
    /// [`Error::WrongStore`]: the store has lists of blobs that the database has never had. [`Error::Store`].
    pub(super) fn open(site: &mut Site<'_>, store: &'s dyn BlobStore) -> Result<Option<Self>> {
        if !site.config.data.metadata_copies || !store.keeps_objects() {
            return Ok(None);
        }
        let keys = match CopyKeys::of(site)? {
            Some(Ok(keys)) => keys,
            Some(Err(why)) => {
                site.monitor.warning(&format!(
                    "No copies of the metadata are written to {}: the key of the store cannot be used ({why}). A lost \
                     database could not be made anew from the store.",
                    store.location()
                ));
                return Ok(None);
            }
            None => return Ok(None),
        };
        let copies = Copies { store, keys };
        copies.refuse_newer(site)?;
        Ok(Some(copies))
    }

    /// Refuses a store with lists of blobs that are newer than all that this database knows: then the database is an older
    /// state of itself, and would delete blobs that newer versions use.
    fn refuse_newer(&self, site: &mut Site<'_>) -> Result<()> {
        let highest = ObjectName::highest_index(site.meta.last_blob()?);
        let mut newer = Vec::new();
        self.store.list_objects(ObjectFolder::Index, Some(&highest), &mut |name| {
            newer.push(name.clone());
            Ok(())
        })?;
        if newer.is_empty() {
            return Ok(());
        }
        // Another process may have stored blobs since the database was asked.
        let known = site.meta.last_blob()?;
        let mut newest = None;
        for name in newer.iter().filter(|name| name.last_blob() > Some(known)) {
            // What another store has left there does not count.
            if self.get(name)?.is_some() {
                newest = name.last_blob();
                break;
            }
        }
        let Some(newest) = newest else { return Ok(()) };
        Err(Error::WrongStore {
            store: self.store.location(),
            reason: Reason::from(format!(
                "it has copies of metadata up to blob {newest}, and the database has never had more than {known} blobs: \
                 the database is an older copy, and does not know what was backed up since"
            ))
            .advise("Nothing was changed. Put the newest copy of the database back")
            .remedy(Remedy::RebuildInstead),
        })
    }

    /// Keeps other processes from writing objects.
    fn lock(&self, site: &Site<'_>) -> Result<Guard> {
        site.locks.copies()
    }

    fn put(&self, name: &ObjectName, data: &[u8]) -> Result<()> {
        let sealed = self.keys.sealer.seal(name, data);
        let sealed =
            sealed.map_err(|e| Error::internal(because(format!("object {name} cannot be sealed"), e)))?;
        self.store.put_object(name, &sealed)
    }

    /// The data of an object. `None` if there is none, or it is damaged.
    fn get(&self, name: &ObjectName) -> Result<Option<Zeroizing<Vec<u8>>>> {
        Ok(load(self.store, &self.keys.sealer, name)?.and_then(|read| read.ok()))
    }

    /// The work of a backup after its own version is valid: copies of older blobs, and due copies of other versions. A
    /// signal ends it, and so does a failure. The next backup goes on.
    pub(super) fn catch_up(&self, site: &mut Site<'_>) {
        let done = self.cover(site, BlobId(0), &mut |_, _| {});
        match done.and_then(|()| self.update(site, 0, Failures::End, &mut |_, _| {})) {
            Ok(()) | Err(Error::Interrupted(_)) => {}
            Err(error) => say(site, Level::Warning, &error),
        }
    }

    /// Brings the copies of all versions up to date before a cleanup.
    ///
    /// # Errors
    /// The copy of a removed version cannot be deleted.
    pub(super) fn before_cleanup(&self, site: &mut Site<'_>) -> Result<()> {
        match self.cover_few(site) {
            Err(error @ (Error::Store { .. } | Error::Full { .. })) => say(site, Level::Warning, &error),
            done => done?,
        }
        self.update(site, 0, Failures::Tell, &mut |_, _| {})
    }

    /// Writes all copies that are due, and again those that `audit` has found lost.
    ///
    /// # Errors
    /// The store or the database fails. [`Error::Interrupted`].
    pub(super) fn complete(&self, site: &mut Site<'_>, audit: &Audit) -> Result<Written> {
        let lost: Vec<String> = audit.lost_lists.iter().map(|list| list.name.clone()).collect();
        site.meta.lose_indexes(&lost)?;
        for version in &audit.lost_versions {
            site.meta.expect_copy(&version.uid)?;
        }
        let mut written = Written::default();
        let total = audit.uncovered + audit.lost_lists.iter().map(|list| list.live).sum::<u64>();
        self.cover(site, BlobId(0), &mut |site, blobs| {
            written.blobs += blobs;
            show(site, "writing lists of blobs", written.blobs, total);
        })?;
        let total = (audit.due.len() + audit.lost_versions.len()) as u64;
        self.update(site, 0, Failures::End, &mut |site, versions| {
            written.versions += versions;
            show(site, "writing copies of versions", written.versions, total);
        })?;
        if !lost.is_empty() {
            let _lock = self.lock(site)?;
            self.delete_unneeded(site)?;
        }
        Ok(written)
    }
}

/// Numbers of what was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    /// Blobs in new lists.
    pub blobs: u64,
    /// Versions whose copies were written or deleted.
    pub versions: u64,
}

/// A function that is called with the number of things that were just copied.
type Told<'t, 's> = &'t mut dyn FnMut(&Site<'s>, u64);

fn show(site: &Site<'_>, step: &str, done: u64, total: u64) {
    site.monitor.progress(&Progress::new(Activity::Check { step }, done, total.max(done), 0));
}

/// The keys of the copies in a store.
pub(super) struct CopyKeys {
    /// Opens and seals them.
    pub sealer: Sealer,
    /// The key of the sums of rows.
    pub rows_key: Zeroizing<[u8; 32]>,
}

impl CopyKeys {
    /// Those of the store with this UUID and this key, if it has one.
    ///
    /// # Errors
    /// None in practice: the derivation refuses only to make longer keys.
    pub(super) fn new(uuid: Uuid, key: Option<&StoreKey>) -> Result<Self> {
        let failed = |e: std::io::Error| Error::internal(because("no keys for copies of metadata", e));
        Ok(CopyKeys {
            sealer: Sealer::new(uuid, key).map_err(failed)?,
            rows_key: rows_key(key).map_err(failed)?,
        })
    }

    /// Those of the store that the database remembers, if it has copies. If the master key does not open the key of the
    /// store, the text says why.
    fn of(site: &mut Site<'_>) -> Result<Option<std::result::Result<Self, String>>> {
        let Some(row) = site.meta.store()?.filter(|row| row.made) else { return Ok(None) };
        let key = match store_key(site, &row) {
            Ok(key) => key,
            Err(error) => return Ok(Some(Err(error.to_string()))),
        };
        let uuid = Uuid::parse_str(&row.uuid)
            .map_err(|e| Error::database(because("The database is damaged: the UUID of its store", e)))?;
        CopyKeys::new(uuid, key.as_ref()).map(|keys| Some(Ok(keys)))
    }
}

/// What the failure to write the copy of a version means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failures {
    /// It ends the work.
    End,
    /// It is told, and the copy stays due. A cleanup must go on where there is no room for anything new.
    Tell,
}

/// The key of the store; `None` if it has none.
fn store_key(site: &Site<'_>, row: &StoreRow) -> std::result::Result<Option<StoreKey>, DecodeError> {
    row.envkey.as_deref().map(|wrapped| StoreKey::unwrap(&site.keys, wrapped)).transpose()
}

fn say(site: &Site<'_>, level: Level, error: &Error) {
    let text = format!(
        "The copies of the metadata in the data store are not up to date: {}. The next backup or cleanup tries again.",
        error.line()
    );
    site.monitor.advise(level, &text, error.remedies());
}

/// Brings the copies up to date of the versions that this command has changed. If the store cannot be used, this is only
/// told: the copies stay due.
pub(super) fn follow(site: &mut Site<'_>) {
    let done = follow_now(site);
    match done {
        Ok(()) | Err(Error::Interrupted(_)) => {}
        Err(error) => say(site, Level::Info, &error),
    }
}

/// Records in the store that it may have blobs without encryption, as after an import of such a version, where no copy of
/// the version says so. If the store cannot be used, this is a warning.
pub(super) fn admit_plain(site: &mut Site<'_>) {
    let admit = |site: &mut Site<'_>| {
        if site.config.data.metadata_copies || !site.keys.has_key() || site.meta.store()?.is_none() {
            return Ok(());
        }
        let store = site.open_store_briefly()?;
        if site.plain == Plain::Refused { site.admit_plain(&*store) } else { Ok(()) }
    };
    if let Err(error) = admit(site) {
        let text = format!(
            "The version has blobs without encryption, which the data store does not know of yet: {}. They count as bad \
             until the version is imported again or something is backed up without encryption.",
            error.line()
        );
        site.monitor.advise(Level::Warning, &text, error.remedies());
    }
}

fn follow_now(site: &mut Site<'_>) -> Result<()> {
    let Some(since) = site.changes_since else { return Ok(()) };
    if !site.config.data.metadata_copies || site.meta.due_copies(since, 1)?.is_empty() {
        return Ok(());
    }
    // Before the first backup there are no copies.
    if site.meta.store()?.is_none_or(|row| !row.made) {
        return Ok(());
    }
    let store = site.open_store_briefly()?;
    match Copies::open(site, &*store)? {
        Some(copies) => {
            copies.cover_few(site)?;
            copies.update(site, since, Failures::End, &mut |_, _| {})
        }
        None => Ok(()),
    }
}
