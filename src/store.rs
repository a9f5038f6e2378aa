//! Stores for blobs.

pub(crate) mod file;
pub(crate) mod identity;
pub(crate) mod null;
pub(crate) mod proven;
pub(crate) mod s3;

use crate::config::{DataConfig, StoreConfig};
use crate::monitor::Monitor;
use crate::types::error::{Error, Result};
use crate::types::object::{ObjectFolder, ObjectName};
use crate::types::time::Timestamp;
use crate::types::uid::BlobUid;

/// A request to read a blob.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The name of the blob.
    pub uid: &'a BlobUid,
    /// The number of the block that the blob is read for. The null store needs nothing else.
    pub block: u64,
    /// Plain size of the block in bytes.
    pub size: u64,
    /// The blob was read before and was bad. Caches on the way to the store must not answer this time.
    pub again: bool,
}

/// Information that a store has about a blob without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// The store cannot tell, or only at the cost of reading the blob.
    Unknown,
    /// There is no such blob, or something else has its name.
    Missing,
    /// The blob exists and has this many bytes.
    Bytes(u64),
}

/// Small objects beside the blobs: what the store is, and copies of metadata. The methods that are provided here are
/// those of a store that keeps no objects.
///
/// The conformance tests check this contract for every store that keeps them:
///
/// * An object is under its name either completely or not at all, at any moment, also after a crash.
/// * An object whose `put_object` has returned survives a power cut, unless the durability is `none`.
/// * `get_object` looks anew: in a folder, it opens the folder at the configured path, whatever is mounted there now.
/// * Objects do not appear among the blobs.
pub trait Objects: Send + Sync {
    /// Whether the store keeps objects.
    fn keeps_objects(&self) -> bool {
        false
    }

    /// Stores `data` under `name`, in place of an older object of that name.
    ///
    /// # Errors
    /// [`Error::Store`], with the name of the object.
    fn put_object(&self, _name: &ObjectName, _data: &[u8]) -> Result<()> {
        Ok(())
    }

    /// Reads an object of at most `most` bytes. Returns `None` if there is no object of that name. A larger object is
    /// unreadable.
    ///
    /// # Errors
    /// [`GetError`].
    fn get_object(&self, _name: &ObjectName, _most: u64) -> std::result::Result<Option<Vec<u8>>, GetError> {
        Ok(None)
    }

    /// Deletes an object. A missing object counts as deleted.
    ///
    /// # Errors
    /// [`Error::Store`], with the name of the object.
    fn delete_object(&self, _name: &ObjectName) -> Result<()> {
        Ok(())
    }

    /// Calls `each` with the name of every object of `folder` behind `after`, in the order of names. Other names are left
    /// out.
    ///
    /// # Errors
    /// [`Error::Store`], or the error that `each` returned.
    fn list_objects(
        &self,
        _folder: ObjectFolder,
        _after: Option<&ObjectName>,
        _each: &mut dyn FnMut(&ObjectName) -> Result<()>,
    ) -> Result<()> {
        Ok(())
    }
}

/// Something that a survey of a store finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// A blob.
    Blob {
        /// Its name.
        uid: &'a BlobUid,
        /// Its size in bytes, if the store tells it without extra cost.
        bytes: Option<u64>,
        /// When it was stored, in seconds since 1970, if the store tells it without extra cost.
        stored: Option<i64>,
    },
    /// A file that a killed backup has left unfinished: its name.
    Unfinished(&'a str),
}

/// A store of blobs. All threads of a run share it, and its calls block.
///
/// The conformance tests check this contract for every store:
///
/// * A blob is under its name either completely or not at all, at any moment, also after a crash.
/// * `put` to a name that exists replaces the whole blob.
/// * If written data was lost, and it is not known which, every later `put` and `sync` fails, because the operating
///   system reports such an error only once.
/// * A blob whose `put` has returned survives a power cut once `sync` has returned. With the durability `none` it
///   survives as soon as the operating system has written it.
/// * If a blob is missing, `get` returns `Ok(false)` and `delete` succeeds.
/// * Names that are not uids do not appear in `list`, and are never used to access the storage.
pub trait BlobStore: Objects {
    /// Where the store is, for messages.
    fn location(&self) -> String;

    /// Stores `data` under `uid`.
    ///
    /// # Errors
    /// [`Error::Store`], with the name of the blob.
    fn put(&self, uid: &BlobUid, data: &[u8]) -> Result<()>;

    /// Reads a blob into `data` (cleared first). Returns `false` if there is no blob of that name.
    ///
    /// # Errors
    /// [`GetError`].
    fn get(&self, wanted: Wanted<'_>, data: &mut Vec<u8>) -> std::result::Result<bool, GetError>;

    /// Whether [`BlobStore::presence`] is cheap.
    fn tells_presence(&self) -> bool {
        false
    }

    /// Whether a blob exists, and its size, without reading it.
    ///
    /// # Errors
    /// [`Error::Store`] if the store as a whole fails.
    fn presence(&self, _uid: &BlobUid) -> Result<Presence> {
        Ok(Presence::Unknown)
    }

    /// Deletes blobs. Returns those that could not be deleted, with the reason. A missing blob counts as deleted.
    fn delete(&self, uids: &[BlobUid]) -> Vec<(BlobUid, Error)>;

    /// Calls `each` with the name of every blob that begins with `prefix`, in any order.
    ///
    /// # Errors
    /// [`Error::Store`], or the error that `each` returned.
    fn list(&self, prefix: &str, each: &mut dyn FnMut(&BlobUid) -> Result<()>) -> Result<()>;

    /// As [`BlobStore::list`], with more about each blob, and with the files that killed backups have left. Changes
    /// nothing.
    ///
    /// # Errors
    /// As [`BlobStore::list`].
    fn survey(&self, prefix: &str, each: &mut dyn FnMut(Found<'_>) -> Result<()>) -> Result<()> {
        self.list(prefix, &mut |uid| each(Found::Blob { uid, bytes: None, stored: None }))
    }

    /// The time of the server's clock; `None` if there is no server, or if it does not tell the time.
    ///
    /// # Errors
    /// [`Error::Store`].
    fn clock(&self) -> Result<Option<Timestamp>> {
        Ok(None)
    }

    /// Returns once all blobs whose `put` has returned are durable.
    ///
    /// # Errors
    /// [`Error::Store`].
    fn sync(&self) -> Result<()>;

    /// Fails if the store cannot be reached at all.
    ///
    /// # Errors
    /// [`Error::Store`].
    fn check(&self) -> Result<()>;

    /// Fails if nothing can be stored, as far as this can be tested without leaving anything behind.
    ///
    /// # Errors
    /// [`Error::Store`].
    fn check_writable(&self) -> Result<()> {
        self.check()
    }

    /// Whether `get` returns generated data, which is plain whatever the metadata says about encryption.
    fn is_generated(&self) -> bool {
        false
    }
}

/// Why a blob could not be read.
#[derive(Debug)]
pub enum GetError {
    /// The blob or object exists, but its bytes cannot be read (a bad sector): it is damaged.
    Unreadable(String),
    /// The store as a whole fails, or this machine: no memory, no permission, no connection. The blob may be good.
    Store(Error),
}

/// Opens the configured store. Nothing is created or checked yet. A signal that `monitor` reports ends every wait for a
/// server.
///
/// # Errors
/// [`Error::Config`] if the credentials of a bucket are missing.
pub(crate) fn open<'a>(config: &DataConfig, monitor: &'a dyn Monitor) -> Result<Box<dyn BlobStore + 'a>> {
    match &config.store {
        StoreConfig::File { path, sync, mode } => Ok(Box::new(file::FileStore::new(path, *sync, *mode))),
        StoreConfig::Null => Ok(Box::new(null::NullStore)),
        StoreConfig::S3(bucket) => {
            let connections = config.simultaneous_reads.max(config.simultaneous_writes);
            Ok(Box::new(s3::S3Store::new(bucket, connections, monitor)?))
        }
    }
}

/// Whether the store has any blob.
///
/// # Errors
/// [`Error::Store`].
pub(crate) fn has_blobs(store: &dyn BlobStore) -> Result<bool> {
    let mut found = false;
    let listed = store.list("", &mut |_| {
        found = true;
        // The first one is enough.
        Err(Error::internal("enough"))
    });
    if found { Ok(true) } else { listed.map(|()| false) }
}

#[cfg(test)]
mod tests;
