//! A block's data from its blob: get, decrypt, decompress, verify.

use crate::crypt::{DecodeError, Decoder, Keyring};
use crate::hash::Hasher;
use crate::monitor::Monitor;
use crate::pool::Permits;
use crate::store::{BlobStore, GetError, Wanted};
use crate::sys::memory;
use crate::throttle::Throttle;
use crate::types::block::Blob;
use crate::types::checksum::{Checksum, Digest};
use crate::types::error::{Error, Result};
use crate::types::reason::because;
use std::sync::atomic::{AtomicU64, Ordering};

/// Whether blobs without encryption are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plain {
    /// They are.
    Accepted,
    /// They are damage: everything was encrypted.
    Refused,
}

impl Plain {
    /// Whether a blob must be refused.
    pub(crate) fn refuses(self, blob: &Blob) -> bool {
        self == Plain::Refused && blob.encryption.version == 0
    }
}

/// The damage of a blob.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Damage {
    /// The store has no blob of that name.
    #[error("the blob is missing from the data store")]
    Missing,
    /// The blob exists but cannot be read.
    #[error("the blob cannot be read: {0}")]
    Unreadable(String),
    /// The blob cannot be decrypted or decompressed.
    #[error("the blob is corrupt: {0}")]
    Corrupt(#[from] DecodeError),
    /// The blob has no encryption, and can have been put there by anybody.
    #[error("the blob is not encrypted, and all blobs were when this version was backed up")]
    Plain,
    /// Its data is longer or shorter than the block.
    #[error("the blob has the wrong size: it holds {is} bytes, should be {should}")]
    Size {
        /// Plain bytes found.
        is: u64,
        /// Plain bytes expected; a damaged row may say any number.
        should: i64,
    },
    /// Its data differs from the data that was stored.
    #[error("the checksum is wrong: it is {is}, should be {}", should.as_ref().map_or("", Checksum::as_str))]
    Checksum {
        /// The checksum of the data found.
        is: Digest,
        /// The checksum in the metadata, if one is recorded.
        should: Option<Checksum>,
    },
}

impl Damage {
    /// Whether a second read could help. It cannot if the metadata is wrong or the store has no such blob.
    fn may_pass(&self) -> bool {
        use DecodeError::{Frame, KeyField, KeyUnwrap, Memory, NoKey, Tag, TooShort, Version};
        match self {
            Damage::Unreadable(_) | Damage::Size { .. } | Damage::Checksum { .. } => true,
            Damage::Corrupt(Frame(_) | Tag | TooShort(_)) => true,
            Damage::Corrupt(KeyField | KeyUnwrap | Memory(_) | NoKey | Version(_)) => false,
            Damage::Missing | Damage::Plain => false,
        }
    }
}

/// The data that all fetching threads share.
pub(crate) struct Fetch<'a> {
    /// The data store.
    pub store: &'a dyn BlobStore,
    /// Unwraps the keys of blobs.
    pub keys: &'a Keyring,
    /// Computes the digests of blocks.
    pub hasher: Hasher,
    /// Whether blobs without encryption are accepted.
    pub plain: Plain,
    /// Number of blobs that are read at the same time.
    reads: usize,
    permits: Permits,
    throttle: Throttle,
    /// Blobs that were bad when they were read first, and good the second time.
    doubtful: AtomicU64,
}

impl<'a> Fetch<'a> {
    /// At most `reads` blobs are read at the same time, and at most `bandwidth` bytes a second (0 = no limit).
    pub(crate) fn new(
        store: &'a dyn BlobStore,
        keys: &'a Keyring,
        hasher: Hasher,
        reads: usize,
        bandwidth: u64,
    ) -> Self {
        let (permits, throttle) = (Permits::new(reads), Throttle::new(bandwidth));
        let (plain, doubtful) = (Plain::Accepted, AtomicU64::new(0));
        Fetch { store, keys, hasher, plain, reads, permits, throttle, doubtful }
    }

    /// Warns of blobs that were bad when they were read, and good when they were read again, if there were any.
    pub(crate) fn tell_doubts(&self, monitor: &dyn Monitor) {
        let which = match self.doubtful.swap(0, Ordering::Relaxed) {
            0 => return,
            1 => "One blob was bad when it was read, and good when it was read again.".to_owned(),
            n => format!("{n} blobs were bad when they were read, and good when they were read again."),
        };
        monitor.warning(&format!(
            "{which} Nothing was marked invalid. Check the disk of the data store, the network, and the \
             memory of this machine."
        ));
    }

    /// Number of blobs that are read at the same time.
    pub(crate) fn reads(&self) -> usize {
        self.reads
    }
}

/// Whether a blob is read for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attempt {
    /// It is.
    First,
    /// The blob was bad, and caches must not answer this time.
    Second,
}

/// Fetches blobs on one thread, with buffers that are reused.
pub(crate) struct Fetcher<'a> {
    fetch: &'a Fetch<'a>,
    decoder: Decoder<'a>,
    raw: Vec<u8>,
    plain: Vec<u8>,
    second: Vec<u8>,
}

impl<'a> Fetcher<'a> {
    /// Allocates the memory for decompression.
    ///
    /// # Errors
    /// There is not enough memory.
    pub(crate) fn new(fetch: &'a Fetch<'a>) -> Result<Self> {
        let decoder =
            Decoder::new(fetch.keys).map_err(|e| Error::internal(because("cannot set up the decoder", e)))?;
        Ok(Fetcher { fetch, decoder, raw: Vec::new(), plain: Vec::new(), second: Vec::new() })
    }

    /// Fetches the data of block `id`, `length` bytes long, and verifies it. [`Fetcher::data`] then returns `length`
    /// bytes: the data, even if its checksum is wrong, or zeros after other damage.
    ///
    /// # Errors
    /// The store as a whole fails.
    pub(crate) fn fetch(
        &mut self,
        id: u64,
        blob: &Blob,
        length: usize,
        stop: impl Fn() -> bool,
    ) -> Result<Option<Damage>> {
        let mut plain = std::mem::take(&mut self.plain);
        let damage = self.load(id, blob, length, &mut plain, &stop).and_then(|damage| match damage {
            None => match differs(blob, &self.fetch.hasher.digest(&plain)) {
                None => Ok(None),
                Some(first) => self.look_again(id, blob, first, &mut plain, &stop),
            },
            damage => Ok(damage),
        });
        self.plain = plain;
        damage
    }

    /// The data from the last [`Fetcher::fetch`].
    pub(crate) fn data(&self) -> &[u8] {
        &self.plain
    }

    /// Fetches the data of block `id` into `plain`, as [`Fetcher::fetch`] does, but does not compare its checksum. If
    /// there is no other damage, [`Verifier::verify`] does that, with digests that were computed for several blocks at
    /// once.
    ///
    /// A bad blob is read once more before it is reported. The error may have been one of memory or transport, and a
    /// mark on a blob makes every version that shares it invalid.
    ///
    /// # Errors
    /// The store as a whole fails, or there is not enough memory. That says nothing about the blob.
    pub(crate) fn load(
        &mut self,
        id: u64,
        blob: &Blob,
        length: usize,
        plain: &mut Vec<u8>,
        stop: impl Fn() -> bool,
    ) -> Result<Option<Damage>> {
        match self.read(id, blob, length, plain, Attempt::First, &stop)? {
            Some(damage) if damage.may_pass() => {
                let again = self.read(id, blob, length, plain, Attempt::Second, &stop)?;
                if let Some(Damage::Unreadable(_)) = again {
                    // If the disk is gone, every blob is unreadable.
                    self.fetch.store.check()?;
                }
                self.fetch.doubtful.fetch_add(u64::from(again.is_none()), Ordering::Relaxed);
                Ok(again)
            }
            damage => Ok(damage),
        }
    }

    /// Reads a blob once more after its checksum was wrong (`first`). If the second read is good, its data replaces
    /// `plain`.
    ///
    /// # Errors
    /// As [`Fetcher::load`].
    fn look_again(
        &mut self,
        id: u64,
        blob: &Blob,
        first: Damage,
        plain: &mut [u8],
        stop: impl Fn() -> bool,
    ) -> Result<Option<Damage>> {
        let mut second = std::mem::take(&mut self.second);
        let read = self.read(id, blob, plain.len(), &mut second, Attempt::Second, &stop);
        let good = match &read {
            Ok(None) => differs(blob, &self.fetch.hasher.digest(&second)).is_none(),
            _ => false,
        };
        if good {
            plain.copy_from_slice(&second);
            self.fetch.doubtful.fetch_add(1, Ordering::Relaxed);
        }
        self.second = second;
        read.map(|_| (!good).then_some(first))
    }

    /// Reads the blob, and makes `plain` as long as the block.
    fn read(
        &mut self,
        id: u64,
        blob: &Blob,
        length: usize,
        plain: &mut Vec<u8>,
        attempt: Attempt,
        stop: impl Fn() -> bool,
    ) -> Result<Option<Damage>> {
        let damage = self.decode(id, blob, length as u64, plain, attempt, stop)?;
        let (is, should) = (plain.len() as u64, length as i64);
        // Data of another length is not that of the block. It may be anything, and must not end up in an image.
        if damage.is_some() || is != length as u64 {
            plain.clear();
        }
        if memory::reserve(plain, length.saturating_sub(plain.len())).is_err() {
            return Err(self.no_memory(id, blob, length));
        }
        plain.resize(length, 0);
        Ok(match damage {
            None if is != length as u64 => Some(Damage::Size { is, should }),
            None if blob.size != should => Some(Damage::Size { is, should: blob.size }),
            damage => damage,
        })
    }

    fn decode(
        &mut self,
        id: u64,
        blob: &Blob,
        length: u64,
        plain: &mut Vec<u8>,
        attempt: Attempt,
        stop: impl Fn() -> bool,
    ) -> Result<Option<Damage>> {
        let shared = self.fetch;
        if shared.plain.refuses(blob) {
            plain.clear();
            return Ok(Some(Damage::Plain));
        }
        let wanted = Wanted { uid: &blob.uid, block: id, size: length, again: attempt == Attempt::Second };
        let raw = &mut self.raw;
        let got = shared.permits.with(|| {
            let got = shared.store.get(wanted, raw);
            shared.throttle.take(raw.len(), stop);
            got
        });
        match got {
            Ok(true) => {}
            Ok(false) => return Ok(Some(Damage::Missing)),
            Err(GetError::Unreadable(why)) => return Ok(Some(Damage::Unreadable(why))),
            Err(GetError::Store(error)) => return Err(error),
        }
        if shared.store.is_generated() {
            std::mem::swap(&mut self.raw, plain);
            return Ok(None);
        }
        match self.decoder.decode(&mut self.raw, &blob.encryption, length, plain) {
            Ok(()) => Ok(None),
            Err(DecodeError::Memory(bytes)) => Err(self.no_memory(id, blob, bytes)),
            Err(error) => Ok(Some(Damage::Corrupt(error))),
        }
    }

    fn no_memory(&self, id: u64, blob: &Blob, bytes: usize) -> Error {
        Error::resources(format!(
            "there is not enough memory ({bytes} bytes) to read block {id} (UID {}). The blob itself is not \
             damaged. Free some memory, or lower simultaneous_reads.",
            blob.uid
        ))
    }
}

/// The damage if `digest` is not the one in the metadata.
fn differs(blob: &Blob, digest: &Digest) -> Option<Damage> {
    match &blob.checksum {
        Some(should) if digest.is(should) => None,
        should => Some(Damage::Checksum { is: *digest, should: should.clone() }),
    }
}

/// Verifies blocks on one thread. Its fetcher is created when a digest is wrong for the first time, which hardly ever
/// happens.
pub(crate) struct Verifier<'a> {
    fetch: &'a Fetch<'a>,
    fetcher: Option<Fetcher<'a>>,
}

impl<'a> Verifier<'a> {
    /// A verifier without a fetcher, which costs nothing.
    pub(crate) fn new(fetch: &'a Fetch<'a>) -> Self {
        Verifier { fetch, fetcher: None }
    }

    /// Compares `digest`, the digest of `plain`, with the one in the metadata. `plain` comes from [`Fetcher::load`]. If
    /// the digests differ, the blob is read once more, and if that read is good, its data replaces `plain`.
    ///
    /// # Errors
    /// The store as a whole fails, or there is not enough memory.
    pub(crate) fn verify(
        &mut self,
        id: u64,
        blob: &Blob,
        digest: &Digest,
        plain: &mut [u8],
        stop: impl Fn() -> bool,
    ) -> Result<Option<Damage>> {
        let Some(first) = differs(blob, digest) else { return Ok(None) };
        let fetcher = match self.fetcher.take() {
            Some(fetcher) => fetcher,
            None => Fetcher::new(self.fetch)?,
        };
        self.fetcher.insert(fetcher).look_again(id, blob, first, plain, stop)
    }
}

#[cfg(test)]
mod tests;
