//! A block's data from its blob: get, decrypt, decompress, verify.

use crate::crypt::{DecodeError, Decoder, Keyring};
use crate::hash::Hasher;
use crate::pool::Permits;
use crate::store::{BlobStore, GetError, Wanted};
use crate::throttle::Throttle;
use crate::types::block::{Blob, Checksum};
use crate::types::error::{Error, Result};

/// What is wrong with a blob.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The store has none of that name.
    #[error("the blob is missing from the data store")]
    Missing,
    /// It is there but cannot be read.
    #[error("the blob cannot be read: {0}")]
    Unreadable(String),
    /// It cannot be decrypted or decompressed.
    #[error("the blob is corrupt: {0}")]
    Corrupt(#[from] DecodeError),
    /// Its data is longer or shorter than the block.
    #[error("the blob has the wrong size: it holds {is} bytes, should be {should}")]
    Size {
        /// Plain bytes found.
        is: u64,
        /// Plain bytes expected.
        should: u64,
    },
    /// Its data is not what was stored.
    #[error("the checksum is wrong: it is {is}, should be {should}")]
    Checksum {
        /// Digest of the data found.
        is: String,
        /// Digest in the metadata.
        should: String,
    },
}

/// What all threads that fetch have in common.
pub struct Fetch<'a> {
    /// Where blobs come from.
    pub store: &'a dyn BlobStore,
    /// Unwraps their keys.
    pub keys: &'a Keyring,
    /// Verifies them.
    pub hasher: Hasher,
    /// Blobs read at the same time.
    reads: usize,
    permits: Permits,
    throttle: Throttle,
}

impl<'a> Fetch<'a> {
    /// At most `reads` blobs are read at the same time, and at most `bandwidth` bytes a second (0 = no limit).
    pub fn new(
        store: &'a dyn BlobStore,
        keys: &'a Keyring,
        hasher: Hasher,
        reads: usize,
        bandwidth: u64,
    ) -> Self {
        let (permits, throttle) = (Permits::new(reads), Throttle::new(bandwidth));
        Fetch { store, keys, hasher, reads, permits, throttle }
    }

    /// How many blobs are read at the same time.
    pub fn reads(&self) -> usize {
        self.reads
    }
}

/// One thread's part: buffers that are used again.
pub struct Fetcher<'a> {
    fetch: &'a Fetch<'a>,
    decoder: Decoder<'a>,
    raw: Vec<u8>,
    plain: Vec<u8>,
}

impl<'a> Fetcher<'a> {
    /// Takes the memory for decompression.
    ///
    /// # Errors
    /// There is none.
    pub fn new(fetch: &'a Fetch<'a>) -> Result<Self> {
        let decoder = Decoder::new(fetch.keys).map_err(|e| Error::Internal(format!("no decoder: {e}")))?;
        Ok(Fetcher { fetch, decoder, raw: Vec::new(), plain: Vec::new() })
    }

    /// Fetches the data of block `id`, `length` bytes long, and verifies it. [`Fetcher::data`] then has
    /// `length` bytes: the data, or with damage what of it could be had, and zeros for the rest.
    ///
    /// # Errors
    /// The store as a whole fails.
    pub fn fetch(
        &mut self,
        id: u64,
        blob: &Blob,
        length: usize,
        stop: impl Fn() -> bool,
    ) -> Result<Option<Damage>> {
        let mut plain = std::mem::take(&mut self.plain);
        let loaded = self.load(id, blob, length, &mut plain, stop);
        self.plain = plain;
        Ok(loaded?.or_else(|| verify(blob, &self.fetch.hasher.digest(&self.plain))))
    }

    /// What the last [`Fetcher::fetch`] found.
    pub fn data(&self) -> &[u8] {
        &self.plain
    }

    /// Fetches the data of block `id` into `plain`, as [`Fetcher::fetch`] does, but does not compare its checksum: where
    /// there is no other damage, that is left to [`verify`], with digests computed for several blocks at once.
    ///
    /// # Errors
    /// The store as a whole fails.
    pub fn load(
        &mut self,
        id: u64,
        blob: &Blob,
        length: usize,
        plain: &mut Vec<u8>,
        stop: impl Fn() -> bool,
    ) -> Result<Option<Damage>> {
        let damage = self.decode(id, blob, length as u64, plain, stop)?;
        if damage.is_some() {
            plain.clear();
        }
        let (is, should) = (plain.len() as u64, length as u64);
        plain.resize(length, 0);
        Ok(match damage {
            None if is != should => Some(Damage::Size { is, should }),
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
        stop: impl Fn() -> bool,
    ) -> Result<Option<Damage>> {
        let shared = self.fetch;
        let wanted = Wanted { uid: &blob.uid, block: id, size: length, again: false };
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
        } else if let Err(error) = self.decoder.decode(&mut self.raw, &blob.encryption, length, plain) {
            return Ok(Some(Damage::Corrupt(error)));
        }
        Ok(None)
    }
}

/// Compares the digest of what was loaded with the one in the metadata.
pub fn verify(blob: &Blob, digest: &Checksum) -> Option<Damage> {
    let is = digest.hex();
    match &blob.checksum {
        Some(should) if *should == is => None,
        should => Some(Damage::Checksum { is, should: should.clone().unwrap_or_default() }),
    }
}
