//! A data store whose database is lost, and the objects in it.

use crate::config::Config;
use crate::copies::CopiedKey;
use crate::crypt::{DecodeError, Keyring, StoreKey, identity_key};
use crate::engine::copies::CopyKeys;
use crate::flow::objects::{Decode, ObjectReader, Usable, Visit};
use crate::monitor::Monitor;
use crate::store::identity::{self, Found, Identity};
use crate::store::{self, BlobStore};
use crate::types::error::{Error, Result};
use crate::types::hex::to_hex;
use crate::types::object::{ObjectFolder, ObjectName};
use crate::types::reason::{Reason, because};
use crate::types::uid::VersionUid;
use uuid::Uuid;

/// Something that cannot be used and was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The name of the object.
    pub object: String,
    /// Why it cannot be used, as the end of a sentence that begins with its name.
    pub why: String,
}

/// A data store that says itself what it is.
pub(super) struct Vault<'a> {
    pub(super) store: Box<dyn BlobStore + 'a>,
    pub(super) identity: Identity,
    keys: Keyring,
    pub(super) copy_keys: CopyKeys,
    threads: usize,
    monitor: &'a dyn Monitor,
}

impl<'a> Vault<'a> {
    /// Opens the configured store, and the key in its identity.
    ///
    /// # Errors
    /// [`Error::Store`]: it cannot be reached. [`Error::WrongStore`]: it has no usable identity. [`Error::WrongKey`]: the
    /// master key does not open the key of the store. [`Error::Refused`]: the store keeps no objects.
    pub(super) fn open(config: &Config, monitor: &'a dyn Monitor) -> Result<Self> {
        let store = store::open(&config.data, monitor)?;
        if !store.keeps_objects() {
            return Err(Error::refused(format!(
                "The data store {} keeps no copies of metadata. Nothing was changed.",
                store.location()
            )));
        }
        store.check()?;
        let keys = Keyring::new(config.encryption_key.as_ref());
        let identity = identity_of(&*store)?;
        let key = store_key(&*store, &identity, &keys)?;
        let uuid = Uuid::parse_str(&identity.uuid).map_err(|e| Error::internal(because("no UUID", e)))?;
        let copy_keys = CopyKeys::new(uuid, key.as_ref())?;
        let threads = config.data.simultaneous_reads.max(1);
        Ok(Vault { store, identity, keys, copy_keys, threads, monitor })
    }

    /// Fails if the store is not the one any more that was opened. To be called after blobs or objects were missing.
    ///
    /// # Errors
    /// [`Error::WrongStore`].
    pub(super) fn prove(&self) -> Result<()> {
        match identity::read(&*self.store)? {
            Found::Identity(found) if found.uuid == self.identity.uuid => Ok(()),
            _ => Err(wrong(
                &*self.store,
                Reason::from("it is not the store any more that it was when the command began")
                    .advise("Was it unmounted, exchanged or emptied in the meantime? Nothing was changed."),
            )),
        }
    }

    /// The names of all objects in `folder`, in their order.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub(super) fn names(&self, folder: ObjectFolder) -> Result<Vec<ObjectName>> {
        let mut names = Vec::new();
        self.store.list_objects(folder, None, &mut |name| {
            names.push(name.clone());
            Ok(())
        })?;
        Ok(names)
    }

    /// Reads objects in the order of `names` and calls `visit` with each, as [`ObjectReader::each`] does.
    ///
    /// # Errors
    /// As there.
    pub(super) fn each<T: Send, E: From<Error>>(
        &self,
        names: &[ObjectName],
        decode: Decode<'_, T>,
        visit: Visit<'_, T, E>,
    ) -> std::result::Result<(), E> {
        self.reader().each(names, decode, visit)
    }

    /// Reads one object.
    ///
    /// # Errors
    /// [`Error::Store`], [`Error::Resources`].
    pub(super) fn load<T>(&self, name: &ObjectName, decode: Decode<'_, T>) -> Result<Usable<T>> {
        self.reader().one(name, decode)
    }

    fn reader(&self) -> ObjectReader<'_> {
        let Vault { store, copy_keys, threads, monitor, .. } = self;
        ObjectReader { store: &**store, sealer: &copy_keys.sealer, threads: *threads, monitor: *monitor }
    }

    /// The data key of a blob as the configured master key wraps it.
    ///
    /// # Errors
    /// [`DecodeError::NoKey`] without a master key.
    pub(super) fn wrapped(&self, key: &CopiedKey) -> std::result::Result<Option<String>, DecodeError> {
        match key {
            CopiedKey::None => Ok(None),
            CopiedKey::Wrapped(text) => Ok(Some(text.clone())),
            CopiedKey::Plain(key) => self.keys.wrap(&**key).map(|wrapped| Some(to_hex(&wrapped))),
        }
    }
}

fn wrong(store: &dyn BlobStore, reason: Reason) -> Error {
    Error::WrongStore { store: store.location(), reason }
}

fn identity_of(store: &dyn BlobStore) -> Result<Identity> {
    let name = ObjectName::Identity;
    let reason = match identity::read(store)? {
        Found::Identity(identity) => return Ok(identity),
        Found::Nothing => Reason::from(format!("it has no {name}")).advise(
            "Is it mounted, and is it the right folder or bucket? If a release that makes no copies of metadata filled \
             it, only a copy of the database or its dumps (import) help. Nothing was changed.",
        ),
        Found::Unusable(why) | Found::Newer(why) => {
            Reason::from(format!("its {name} {why}")).advise("Nothing was changed.")
        }
    };
    Err(wrong(store, reason))
}

/// The key of the store; `None` if it has none.
fn store_key(store: &dyn BlobStore, identity: &Identity, keys: &Keyring) -> Result<Option<StoreKey>> {
    let place = store.location();
    let Some(wrapped) = &identity.key else {
        if !keys.has_key() {
            return Ok(None);
        }
        // Otherwise somebody who can write to the store could exchange the identity and everything else.
        return Err(Error::WrongKey(format!(
            "An encryption_key is configured, but the data store {place} has no key: its {} was exchanged, or the store \
             was never used with a key. In the second case, rebuild without encryption_key. Nothing was changed.",
            ObjectName::Identity
        )));
    };
    if !keys.has_key() {
        return Err(Error::WrongKey(format!(
            "The metadata in the data store {place} is encrypted, and no encryption_key is configured. Nothing was \
             changed."
        )));
    }
    let wrong_key = |_| {
        Error::WrongKey(format!(
            "The configured encryption_key does not open the key of the data store {place}: it is not the key of this \
             installation. Nothing was changed."
        ))
    };
    let sealed_with = identity_key(keys, wrapped).map_err(wrong_key)?;
    if !identity.is_sealed(&sealed_with) {
        let reason = Reason::from(format!("its {} was changed, and not by backy2", ObjectName::Identity));
        return Err(wrong(store, reason.advise("Nothing was changed.")));
    }
    StoreKey::unwrap(keys, wrapped).map(Some).map_err(wrong_key)
}

/// The uid in the name of a version's object.
pub(super) fn uid_in(name: &ObjectName) -> VersionUid {
    VersionUid::from(name.last_part())
}
