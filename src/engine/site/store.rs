//! Opens the data store, and makes sure that it is the one that belongs to the database.
//!
//! `docs/internals.md` has the table of all cases.

use super::Site;
use crate::config::{Config, DataConfig, StoreConfig};
use crate::crypt::{StoreKey, identity_key};
use crate::failpoint;
use crate::flow::fetch::Plain;
use crate::meta::{SampleBlob, StoreRow};
use crate::monitor::Monitor;
use crate::store::identity::{self, Found, Identity};
use crate::store::proven::{Proof, Proven, holds};
use crate::store::{self, BlobStore};
use crate::types::error::{Error, Result};
use crate::types::object::ObjectName;
use crate::types::reason::because;
use std::time::Duration;

/// Number of blobs that are looked for to recognize a store.
const SAMPLE: usize = 16;
/// How long work that can be done later waits for a server.
const BRIEFLY: Duration = Duration::from_secs(10);

/// What is wrong with an identity whose code does not fit.
const CHANGED: &str = "was changed, and not by backy2";

/// What a command does with the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Reads blobs. It writes nothing about the store, neither into the database nor into the store.
    Read,
    /// Deletes blobs. It must also work if there is no room for anything new.
    Delete,
    /// Stores blobs.
    Write,
}

impl<'a> Site<'a> {
    /// Opens the data store, and finds out whether it can be reached. It must be the one that belongs to the database. A
    /// store of an older release gets an identity, and so does a new one, if `usage` allows it.
    ///
    /// # Errors
    /// [`Error::WrongStore`]: it is another store, or nothing is mounted there. [`Error::Store`]: it cannot be reached.
    /// [`Error::WrongKey`]: the master key does not open the key of the store. [`Error::Config`]: the credentials of a
    /// bucket are missing.
    pub fn open_store(&mut self, usage: Use) -> Result<Box<dyn BlobStore + 'a>> {
        self.open_store_of(&self.config.data, usage)
    }

    /// Opens the data store for work that the next command can do as well. It does not wait long for a server that is away.
    ///
    /// # Errors
    /// As [`Site::open_store`].
    pub(in crate::engine) fn open_store_briefly(&mut self) -> Result<Box<dyn BlobStore + 'a>> {
        let mut data = self.config.data.clone();
        if let StoreConfig::S3(bucket) = &mut data.store {
            bucket.timeout = bucket.timeout.min(BRIEFLY);
            bucket.retry_time = bucket.retry_time.min(BRIEFLY);
        }
        self.open_store_of(&data, Use::Delete)
    }

    fn open_store_of(&mut self, data: &DataConfig, usage: Use) -> Result<Box<dyn BlobStore + 'a>> {
        let store = store::open(data, self.monitor)?;
        if !store.keeps_objects() {
            return Ok(store);
        }
        let proof = Opening { site: self, store: &*store, usage }.proof()?;
        Ok(Box::new(Proven::new(store, proof)))
    }

    /// Records in the identity of `store`, which is open, that it may have blobs without encryption.
    ///
    /// # Errors
    /// The store cannot be reached or written to, or is another one.
    pub(in crate::engine) fn admit_plain(&mut self, store: &dyn BlobStore) -> Result<()> {
        let Some(row) = self.meta.store()? else { return Ok(()) };
        let opening = Opening { site: self, store, usage: Use::Write };
        match (opening.found()?, &row.envkey) {
            (Found::Identity(mut identity), Some(envkey)) if identity.uuid == row.uuid => {
                let key = identity_key(&opening.site.keys, envkey).map_err(|_| opening.wrong_key())?;
                if !identity.is_sealed(&key) {
                    return Err(opening.unusable(Some(&row), CHANGED));
                }
                identity.plain = true;
                opening.seal_and_put(identity, envkey)?;
                self.plain = Plain::Accepted;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Writes the key of the store into the store again, after it was wrapped anew in the database.
    ///
    /// # Errors
    /// The store cannot be reached, or is another one.
    pub(in crate::engine) fn rewrite_identity(&mut self) -> Result<()> {
        let Some(row) = self.meta.store()? else { return Ok(()) };
        let store = store::open(&self.config.data, self.monitor)?;
        if !store.keeps_objects() {
            return Ok(());
        }
        let opening = Opening { site: self, store: &*store, usage: Use::Write };
        match opening.found()? {
            Found::Identity(identity) if identity.uuid == row.uuid => {
                let Some(envkey) = &row.envkey else { return Ok(()) };
                let key = identity_key(&opening.site.keys, envkey).map_err(|_| opening.wrong_key())?;
                if identity.key.is_some() && !identity.is_sealed(&key) {
                    return Err(opening.unusable(Some(&row), CHANGED));
                }
                opening.seal_and_put(identity, envkey)
            }
            Found::Identity(identity) => Err(opening.other(&row.uuid, &identity.uuid)),
            _ => Err(opening.wrong(format!("it has no usable {}", ObjectName::Identity))),
        }
    }
}

/// Whether the configured store has an identity or a blob. A store that cannot be reached counts as unused.
pub(in crate::engine) fn is_used(config: &Config, monitor: &dyn Monitor) -> bool {
    let Ok(store) = store::open(&config.data, monitor) else { return false };
    let has_identity = identity::read(&*store).is_ok_and(|found| !matches!(found, Found::Nothing));
    has_identity || store::has_blobs(&*store).unwrap_or(false)
}

/// A new store key, as the master key wraps it. `None` without a master key.
fn new_key(site: &Site<'_>) -> Result<Option<String>> {
    if !site.keys.has_key() {
        return Ok(None);
    }
    let key = StoreKey::generate().map_err(|e| Error::internal(because("no random numbers for a key", e)))?;
    let wrapped = key.wrap(&site.keys);
    wrapped.map(Some).map_err(|e| Error::internal(because("the key cannot be wrapped", e)))
}

/// Whether a store that has none of these blobs may be the right one.
fn may_be_empty(sample: &[SampleBlob]) -> bool {
    !sample.iter().any(|blob| blob.certain)
}

/// A store that is being opened.
pub(super) struct Opening<'o, 'a> {
    pub site: &'o mut Site<'a>,
    pub store: &'o dyn BlobStore,
    usage: Use,
}

impl Opening<'_, '_> {
    /// The identity that the store has. An unreachable store is an error of its own.
    fn found(&self) -> Result<Found> {
        self.store.check()?;
        identity::read(self.store)
    }

    /// Whether this command may record anything about the store.
    fn writes(&self) -> bool {
        self.usage != Use::Read && self.site.meta.is_writable()
    }

    /// Compares the store with the database.
    fn proof(mut self) -> Result<Proof> {
        let remembered = self.site.meta.store()?;
        let found = match self.found()? {
            Found::Nothing => None,
            Found::Identity(identity) => Some(identity),
            Found::Newer(why) => return Err(self.newer(&why)),
            Found::Unusable(why) => return self.damaged_identity(remembered.as_ref(), &why),
        };
        match (remembered, found) {
            (Some(row), Some(identity)) if row.uuid == identity.uuid => self.same(row, identity),
            (Some(row), Some(identity)) if row.made => Err(self.other(&row.uuid, &identity.uuid)),
            (Some(row), None) if row.made => self.without_identity(row),
            (_, Some(identity)) => self.unknown(identity),
            (_, None) => self.first_use(),
        }
    }

    /// The identity is damaged. Reading goes on if the blobs show that this is the right store.
    fn damaged_identity(&mut self, remembered: Option<&StoreRow>, why: &str) -> Result<Proof> {
        let sample = self.site.meta.sample_of_store(SAMPLE)?;
        let witness = self.witness(&sample)?.filter(|_| self.usage == Use::Read);
        let error = self.unusable(remembered, why);
        let Some(blob) = witness else { return Err(error) };
        self.site.monitor.warning(&error.line());
        Ok(Proof::Witness(blob.uid, blob.size))
    }

    /// The store is the right one. Brings its identity up to date.
    fn same(&mut self, mut row: StoreRow, mut identity: Identity) -> Result<Proof> {
        let proof = Proof::Identity(identity.uuid.clone());
        if self.writes() && !row.made {
            row = self.remember(&identity.uuid, row.envkey.as_deref())?;
        }
        let keys = &self.site.keys;
        let ours = row.envkey.as_deref().and_then(|envkey| identity_key(keys, envkey).ok());
        let theirs = identity.key.as_deref().and_then(|envkey| identity_key(keys, envkey).ok());
        // After a rekey that did not reach the store, only the database's key opens. It is the same key.
        let sealed_by = theirs.as_ref().or(ours.as_ref()).filter(|_| identity.key.is_some());
        if sealed_by.is_some_and(|key| !identity.is_sealed(key)) {
            return self.damaged_identity(Some(&row), CHANGED);
        }
        if sealed_by.is_some() && !identity.plain {
            self.site.plain = Plain::Refused;
        }
        let keys = &self.site.keys;
        let has_unknown_key = row.envkey.is_some() || identity.key.is_some();
        if keys.has_key() && has_unknown_key && ours.is_none() && theirs.is_none() {
            return if self.needs_key() { Err(self.wrong_key()) } else { Ok(proof) };
        }
        if !self.writes() || !keys.has_key() {
            return Ok(proof);
        }
        let known = match (ours, theirs) {
            (Some(_), _) => row.envkey.clone(),
            (None, Some(_)) => identity.key.clone(),
            (None, None) => new_key(self.site)?,
        };
        let Some(mut envkey) = known else { return Ok(proof) };
        if row.envkey.is_none() {
            // Another process may have been faster.
            let row = self.site.meta.set_store_key(&envkey)?;
            envkey = row.and_then(|row| row.envkey).unwrap_or(envkey);
        }
        if identity.key.is_none() && row.envkey.is_some() {
            // Somebody wrote it by hand. The database knows better.
            identity.plain = self.site.meta.has_plain_blobs()?;
        }
        let makes_plain = self.usage == Use::Write && self.site.config.encryption_version == 0;
        let is_current = identity.key.as_ref() == Some(&envkey) && (identity.plain || !makes_plain);
        if !is_current {
            identity.plain |= makes_plain;
            if identity.plain {
                self.site.plain = Plain::Accepted;
            }
            let put = self.seal_and_put(identity, &envkey);
            self.may_fail(put)?;
        }
        Ok(proof)
    }

    /// Whether the command encrypts with the master key.
    fn needs_key(&self) -> bool {
        self.usage == Use::Write && self.site.config.encryption_version == 1
    }

    /// A cleanup goes on if something about the store cannot be recorded, because it may have to make the room for that.
    /// Returns whether it was recorded.
    fn may_fail(&self, done: Result<()>) -> Result<bool> {
        match done {
            Err(error @ (Error::Store { .. } | Error::Full { .. })) if self.usage == Use::Delete => {
                self.site.monitor.debug(&format!("{}. The next backup tries again.", error.line()));
                Ok(false)
            }
            done => done.map(|()| true),
        }
    }

    /// The database remembers a store, and this one has no identity.
    fn without_identity(&mut self, row: StoreRow) -> Result<Proof> {
        let sample = self.site.meta.sample_of_store(SAMPLE)?;
        let witness = self.witness(&sample)?;
        if let StoreConfig::File { .. } = &self.site.config.data.store {
            return Err(self.not_mounted(&row, witness.is_some()));
        }
        let is_new = may_be_empty(&sample) && !self.has_blobs()?;
        match witness {
            None if !is_new => Err(self.empty_or_other(sample.len(), Some(&row))),
            _ if self.writes() => {
                self.site.monitor.warning(&format!(
                    "The data store {} has lost its {} (a full cleanup by release 2.13 deletes it). It is written \
                     again.",
                    self.store.location(),
                    ObjectName::Identity
                ));
                let put = self.put_new(&row);
                if self.may_fail(put)? {
                    // The copies of the metadata are lost as well.
                    self.site.meta.forget_copies()?;
                }
                Ok(Proof::Identity(row.uuid))
            }
            Some(blob) => Ok(Proof::Witness(blob.uid, blob.size)),
            None => Ok(Proof::Nothing),
        }
    }

    /// The database remembers no store, and this one has an identity.
    fn unknown(&mut self, identity: Identity) -> Result<Proof> {
        let sample = self.site.meta.sample_of_store(SAMPLE)?;
        if sample.is_empty() {
            return Err(self.foreign());
        }
        if self.witness(&sample)?.is_none() {
            return Err(self.empty_or_other(sample.len(), None));
        }
        if self.writes() {
            let row = self.remember(&identity.uuid, identity.key.as_deref())?;
            return self.same(row, identity);
        }
        Ok(Proof::Identity(identity.uuid))
    }

    /// Neither the database nor the store knows anything of the other: one of them is new, or of an older release.
    fn first_use(&mut self) -> Result<Proof> {
        let sample = self.site.meta.sample_of_store(SAMPLE)?;
        let witness = self.witness(&sample)?;
        if witness.is_none() && !may_be_empty(&sample) {
            return Err(self.empty_or_other(sample.len(), None));
        }
        if witness.is_none() && self.has_blobs()? {
            return Err(self.foreign());
        }
        let makes = self.usage == Use::Write || self.usage == Use::Delete && !sample.is_empty();
        if makes && self.writes() {
            let made = self.make();
            if let Some(proof) = self.may_be_missing(made)? {
                return Ok(proof);
            }
        }
        Ok(witness.map_or(Proof::Nothing, |blob| Proof::Witness(blob.uid, blob.size)))
    }

    fn may_be_missing(&self, made: Result<Proof>) -> Result<Option<Proof>> {
        let mut proof = None;
        let done = made.map(|made| proof = Some(made));
        self.may_fail(done)?;
        Ok(proof)
    }

    /// Makes an identity for the store.
    fn make(&mut self) -> Result<Proof> {
        self.store.check_writable()?;
        let envkey = new_key(self.site)?;
        // Of two processes that do this at the same time, both use the row of the first.
        let row = self.site.meta.begin_store(&Identity::new_uuid(), envkey.as_deref())?;
        let row = row.ok_or_else(|| Error::internal("the row of the store is missing"))?;
        failpoint::pass("store-recorded");
        if row.made {
            // Another process was faster.
            return match self.found()? {
                Found::Identity(identity) if identity.uuid == row.uuid => Ok(Proof::Identity(row.uuid)),
                Found::Identity(identity) => Err(self.other(&row.uuid, &identity.uuid)),
                _ => Err(self.not_mounted(&row, false)),
            };
        }
        self.put_new(&row)?;
        failpoint::pass("store-identity-written");
        self.remember(&row.uuid, row.envkey.as_deref())?;
        Ok(Proof::Identity(row.uuid))
    }

    /// Writes the identity that the database remembers.
    fn put_new(&mut self, row: &StoreRow) -> Result<()> {
        let plain = self.site.config.encryption_version == 0 || self.site.meta.has_plain_blobs()?;
        let identity = Identity::new(&row.uuid, plain);
        match &row.envkey {
            Some(envkey) => self.seal_and_put(identity, envkey),
            None => self.put(&identity),
        }
    }

    fn seal_and_put(&self, mut identity: Identity, envkey: &str) -> Result<()> {
        let key = identity_key(&self.site.keys, envkey).map_err(|_| self.wrong_key())?;
        identity.seal(envkey, &key);
        self.put(&identity)
    }

    fn put(&self, identity: &Identity) -> Result<()> {
        self.store.put_object(&ObjectName::Identity, identity.line().as_bytes())
    }

    /// Lets the database remember the store with this UUID and this wrapped key.
    fn remember(&mut self, uuid: &str, envkey: Option<&str>) -> Result<StoreRow> {
        let row = self.site.meta.remember_store(uuid, envkey)?;
        let row = row.ok_or_else(|| Error::internal("the row of the store is missing"))?;
        if row.uuid == uuid { Ok(row) } else { Err(self.other(&row.uuid, uuid)) }
    }

    /// A blob of the sample that the store has.
    fn witness(&self, sample: &[SampleBlob]) -> Result<Option<SampleBlob>> {
        for blob in sample {
            if holds(self.store, &blob.uid, blob.size)? {
                return Ok(Some(blob.clone()));
            }
        }
        Ok(None)
    }

    /// Whether the store has any blob.
    fn has_blobs(&self) -> Result<bool> {
        store::has_blobs(self.store)
    }
}
