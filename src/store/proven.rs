//! A store that proves itself before a blob counts as missing.
//!
//! A mount may vanish while a command runs, and a bucket may be deleted and made anew. Then every blob seems to be
//! missing. So whenever a blob is missing, the identity of the store is read again, after that answer. If it is not the
//! expected one, the call fails. The same happens after a flush, and after a copy of metadata was written.

use super::identity::{self, Found};
use super::{BlobStore, GetError, Objects, Presence, Wanted};
use crate::types::error::{Error, Result};
use crate::types::object::{ObjectFolder, ObjectName};
use crate::types::reason::Reason;
use crate::types::time::Timestamp;
use crate::types::uid::BlobUid;

/// What proves that a store is the right one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// Its identity has this UUID.
    Identity(String),
    /// It holds this blob, which has this many plain bytes. For a store without an identity.
    Witness(BlobUid, u64),
    /// Nothing does: the database knows of no blob yet.
    Nothing,
}

/// A store, and what proves that it is the right one.
pub(crate) struct Proven<'a> {
    inner: Box<dyn BlobStore + 'a>,
    proof: Proof,
}

impl<'a> Proven<'a> {
    /// Wraps `inner`.
    pub(crate) fn new(inner: Box<dyn BlobStore + 'a>, proof: Proof) -> Self {
        Proven { inner, proof }
    }

    fn wrong(&self, text: impl Into<Reason>) -> Error {
        let advice = "Was it unmounted, exchanged or emptied in the meantime? Nothing was marked as damaged, and \
                      nothing counts as deleted";
        Error::WrongStore { store: self.location(), reason: text.into().advise(advice) }
    }

    /// Fails if this is not the right store any more.
    fn prove(&self) -> Result<()> {
        match &self.proof {
            Proof::Identity(uuid) => match identity::read(&*self.inner)? {
                Found::Identity(found) if found.uuid == *uuid => Ok(()),
                Found::Identity(found) => Err(self.wrong(format!(
                    "now it is the store with the UUID {}, and when the command began it was {uuid}",
                    found.uuid
                ))),
                Found::Nothing => {
                    Err(self.wrong(format!("its {} is gone since the command began", ObjectName::Identity)))
                }
                Found::Unusable(why) | Found::Newer(why) => {
                    Err(self.wrong(format!("its {} {why}", ObjectName::Identity)))
                }
            },
            Proof::Witness(uid, size) => {
                if holds(&*self.inner, uid, *size)? {
                    return Ok(());
                }
                Err(self.wrong(format!("blob {uid} is gone, which was there when the command began")))
            }
            Proof::Nothing => {
                Err(self.wrong("a blob is missing, and nothing proves that this is the right store"))
            }
        }
    }
}

/// The same error once more, for another blob.
fn again(error: &Error) -> Error {
    match error {
        Error::WrongStore { store, reason } => {
            Error::WrongStore { store: store.clone(), reason: reason.clone() }
        }
        Error::Store { store, reason } => Error::Store { store: store.clone(), reason: reason.clone() },
        Error::Interrupted(signal) => Error::Interrupted(*signal),
        other => Error::internal(other.line()),
    }
}

/// Whether the store holds a blob. A blob that cannot be read proves nothing.
///
/// # Errors
/// [`Error::Store`].
pub(crate) fn holds(store: &dyn BlobStore, uid: &BlobUid, size: u64) -> Result<bool> {
    match store.presence(uid)? {
        Presence::Bytes(_) => return Ok(true),
        Presence::Missing => return Ok(false),
        Presence::Unknown => {}
    }
    match store.get(Wanted { uid, block: 0, size, again: false }, &mut Vec::new()) {
        Ok(found) => Ok(found),
        Err(GetError::Unreadable(_)) => Ok(false),
        Err(GetError::Store(error)) => Err(error),
    }
}

impl Objects for Proven<'_> {
    fn keeps_objects(&self) -> bool {
        self.inner.keeps_objects()
    }

    fn put_object(&self, name: &ObjectName, data: &[u8]) -> Result<()> {
        self.inner.put_object(name, data)?;
        // A version becomes valid after its copy is written. What was stored before counts only in the right store.
        if *name == ObjectName::Identity || self.proof == Proof::Nothing { Ok(()) } else { self.prove() }
    }

    fn get_object(&self, name: &ObjectName, most: u64) -> std::result::Result<Option<Vec<u8>>, GetError> {
        self.inner.get_object(name, most)
    }

    fn delete_object(&self, name: &ObjectName) -> Result<()> {
        self.inner.delete_object(name)
    }

    fn list_objects(
        &self,
        folder: ObjectFolder,
        after: Option<&ObjectName>,
        each: &mut dyn FnMut(&ObjectName) -> Result<()>,
    ) -> Result<()> {
        self.inner.list_objects(folder, after, each)
    }
}

impl BlobStore for Proven<'_> {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn put(&self, uid: &BlobUid, data: &[u8]) -> Result<()> {
        self.inner.put(uid, data)
    }

    fn get(&self, wanted: Wanted<'_>, data: &mut Vec<u8>) -> std::result::Result<bool, GetError> {
        let found = self.inner.get(wanted, data)?;
        if !found {
            self.prove().map_err(GetError::Store)?;
        }
        Ok(found)
    }

    fn tells_presence(&self) -> bool {
        self.inner.tells_presence()
    }

    fn presence(&self, uid: &BlobUid) -> Result<Presence> {
        let found = self.inner.presence(uid)?;
        if found == Presence::Missing {
            self.prove()?;
        }
        Ok(found)
    }

    fn delete(&self, uids: &[BlobUid]) -> Vec<(BlobUid, Error)> {
        let failed = self.inner.delete(uids);
        if failed.len() == uids.len() {
            return failed;
        }
        // The others are deleted, or they were missing.
        match self.prove() {
            Ok(()) => failed,
            Err(error) => uids.iter().map(|uid| (uid.clone(), again(&error))).collect(),
        }
    }

    fn list(&self, prefix: &str, each: &mut dyn FnMut(&BlobUid) -> Result<()>) -> Result<()> {
        self.inner.list(prefix, each)
    }

    fn survey(&self, prefix: &str, each: &mut dyn FnMut(super::Found<'_>) -> Result<()>) -> Result<()> {
        self.inner.survey(prefix, each)
    }

    fn clock(&self) -> Result<Option<Timestamp>> {
        self.inner.clock()
    }

    fn sync(&self) -> Result<()> {
        self.inner.sync()?;
        // In a bucket, no mount hides what was written.
        if self.tells_presence() && self.proof != Proof::Nothing { self.prove() } else { Ok(()) }
    }

    fn check(&self) -> Result<()> {
        self.inner.check()?;
        if self.proof == Proof::Nothing { Ok(()) } else { self.prove() }
    }

    fn check_writable(&self) -> Result<()> {
        self.inner.check_writable()
    }

    fn is_generated(&self) -> bool {
        self.inner.is_generated()
    }
}

#[cfg(test)]
mod tests;
