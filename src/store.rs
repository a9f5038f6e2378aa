//! Where blobs are kept.

pub mod file;
pub mod null;
pub mod s3;

use crate::config::{DataConfig, StoreConfig};
use crate::monitor::Monitor;
use crate::types::error::{Error, Result};

/// What a caller wants to read.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Name of the blob.
    pub uid: &'a str,
    /// The block it is read for: all that the null store has to go by.
    pub block: u64,
    /// Plain size of the block in bytes.
    pub size: u64,
    /// It was read before, and was bad: what lies between us and the store must not answer from memory.
    pub again: bool,
}

/// What a store tells of a blob without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It would cost as much as reading it, or the store has none.
    Unknown,
    /// There is no such blob, or something else has its name.
    Missing,
    /// It is there, and has so many bytes.
    Bytes(u64),
}

/// A store of blobs. Shared by all threads of a run; calls block.
///
/// The contract, which the conformance tests hold every store to:
///
/// * A blob is there under its name completely or not at all, at any moment, also after a crash.
/// * `put` to a name that exists replaces the blob as a whole.
/// * Once something that was put has been lost on its way, and nobody knows what else, every later `put` and `sync`
///   fails: the operating system tells such an error once.
/// * What `put` returned for survives a power cut once `sync` has returned (with the durability `none`: as
///   soon as the operating system gets to it).
/// * A missing blob is `Ok(false)` of `get`, and success of `delete`.
/// * Names that are not uids do not show in `list`, and never leave the store.
pub trait BlobStore: Send + Sync {
    /// Where it is, for messages.
    fn location(&self) -> String;

    /// Stores `data` under `uid`.
    ///
    /// # Errors
    /// [`Error::Store`], naming the blob.
    fn put(&self, uid: &str, data: &[u8]) -> Result<()>;

    /// Reads a blob into `data` (cleared first). `false`: there is none of that name.
    ///
    /// # Errors
    /// [`GetError`].
    fn get(&self, wanted: Wanted<'_>, data: &mut Vec<u8>) -> std::result::Result<bool, GetError>;

    /// Whether [`BlobStore::presence`] is cheap.
    fn tells_presence(&self) -> bool {
        false
    }

    /// Whether a blob is there and how large it is, without reading it.
    ///
    /// # Errors
    /// [`Error::Store`]: the store as a whole fails.
    fn presence(&self, _uid: &str) -> Result<Presence> {
        Ok(Presence::Unknown)
    }

    /// Deletes blobs; returns those that could not be deleted, with the reason. One that is missing counts
    /// as deleted.
    fn delete(&self, uids: &[String]) -> Vec<(String, Error)>;

    /// Calls `each` with the name of every blob that begins with `prefix`, in any order.
    ///
    /// # Errors
    /// [`Error::Store`], or what `each` returned.
    fn list(&self, prefix: &str, each: &mut dyn FnMut(&str) -> Result<()>) -> Result<()>;

    /// Returns once all blobs whose `put` has returned are durable.
    ///
    /// # Errors
    /// [`Error::Store`].
    fn sync(&self) -> Result<()>;

    /// An error if the store cannot be reached at all.
    ///
    /// # Errors
    /// [`Error::Store`].
    fn check(&self) -> Result<()>;

    /// An error if nothing can be stored, as far as that can be told without leaving anything behind.
    ///
    /// # Errors
    /// [`Error::Store`].
    fn check_writable(&self) -> Result<()> {
        self.check()
    }

    /// Whether what `get` gives is made up, and plain whatever the metadata says of its encryption.
    fn is_generated(&self) -> bool {
        false
    }
}

/// Why a blob could not be read.
#[derive(Debug)]
pub enum GetError {
    /// The blob is there but its bytes cannot be had (a bad sector): damage of this blob.
    Unreadable(String),
    /// The store as a whole fails, or this machine: no memory, no rights, no connection. That says nothing about the blob.
    Store(Error),
}

/// Opens the store of that configuration. Nothing is created or checked yet. A signal that `monitor` knows of ends
/// every wait for a server.
///
/// # Errors
/// [`Error::Config`]: the credentials of a bucket are missing.
pub fn open<'a>(config: &DataConfig, monitor: &'a dyn Monitor) -> Result<Box<dyn BlobStore + 'a>> {
    match &config.store {
        StoreConfig::File { path, sync, mode } => Ok(Box::new(file::FileStore::new(path, *sync, *mode))),
        StoreConfig::Null => Ok(Box::new(null::NullStore)),
        StoreConfig::S3(bucket) => {
            let connections = config.simultaneous_reads.max(config.simultaneous_writes);
            Ok(Box::new(s3::S3Store::new(bucket, connections, monitor)?))
        }
    }
}

#[cfg(test)]
mod tests;
