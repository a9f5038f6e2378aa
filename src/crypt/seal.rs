//! Objects beside the blobs: compressed, encrypted, and bound to their store and their name.
//!
//! An object of a store with a key is `magic (6) || 1 || nonce (12) || ciphertext || tag (16)`. The ciphertext is one
//! zstandard frame, encrypted with AES-256-GCM. An object of a store without a key is
//! `magic (6) || 0 || BLAKE3 digest (32) || frame`. The store's UUID and the object's name are authenticated in both
//! forms, so that an object from another place is refused.

use super::{NO_MEMORY, Purpose, StoreKey, out_of_memory, vectors};
use crate::sys::memory;
use crate::types::object::ObjectName;
use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce, Tag};
use std::io::{self, Read};
use uuid::Uuid;
use zeroize::Zeroizing;
use zstd::stream::read::Decoder;

/// The first bytes of every object. The last of them is the version of the format.
const MAGIC: &[u8; 6] = b"B2OBJ\x01";
/// The byte after the magic: there is a digest, or there is encryption.
const OPEN: u8 = 0;
const SEALED: u8 = 1;

const NONCE: usize = 12;
const TAG: usize = 16;
const DIGEST: usize = 32;
/// Bytes before the ciphertext, and before the frame of an object without encryption.
const SEALED_HEADER: usize = MAGIC.len() + 1 + NONCE;
const OPEN_HEADER: usize = MAGIC.len() + 1 + DIGEST;

/// Level of compression. Objects are few and small in comparison to blobs.
const LEVEL: i32 = 3;
/// The largest window of a frame, as a power of two: more than this level uses. It limits the memory that a foreign
/// frame can demand.
const WINDOW_LOG: u32 = 23;
/// Memory that is provided at once for the data of a frame, per byte of the frame, if its header promises so much.
const RATIO: usize = 16;
const FIRST: usize = 64 << 10;

/// Why an object cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObjectError {
    /// It does not begin as objects do.
    #[error("it is not an object of backy2")]
    Foreign,
    /// A newer release has written it.
    #[error("a newer release of backy2 has written it")]
    Newer,
    /// The object is shorter than any.
    #[error("it has only {0} bytes")]
    TooShort(usize),
    /// The object is encrypted, and this store has no key.
    #[error("it is encrypted, and the store has no key")]
    NoKey,
    /// The object is not encrypted, and this store has a key.
    #[error("it is not encrypted as all objects of this store are")]
    NotSealed,
    /// It was changed, or it belongs to another store, key or name.
    #[error("it was changed, or it has another name or comes from another store")]
    NotAuthentic,
    /// The frame does not decompress.
    #[error("its compressed data is damaged: {0}")]
    Frame(String),
    /// The frame has more data than the caller wants.
    #[error("it has more than {0} bytes of data")]
    TooLarge(usize),
    /// There is not enough memory for this many bytes. The object may be good.
    #[error("there is no memory for {0} bytes of its data")]
    Memory(usize),
}

/// Seals and opens the objects of one store.
pub struct Sealer {
    store: Uuid,
    cipher: Option<Aes256Gcm>,
}

impl Sealer {
    /// For the store with the identity `store`. Without a key, objects are neither encrypted nor safe from forgery.
    ///
    /// # Errors
    /// As [`StoreKey::derive`].
    pub fn new(store: Uuid, key: Option<&StoreKey>) -> io::Result<Self> {
        let Some(key) = key else { return Ok(Sealer { store, cipher: None }) };
        let derived = key.derive(store.as_bytes(), Purpose::Objects)?;
        let cipher = Aes256Gcm::new_from_slice(&*derived).map_err(io::Error::other)?;
        vectors::clear_upper();
        Ok(Sealer { store, cipher: Some(cipher) })
    }

    /// The object with the name `name` and the data `plain`.
    ///
    /// # Errors
    /// There are no random numbers or there is no memory.
    pub fn seal(&self, name: &ObjectName, plain: &[u8]) -> io::Result<Vec<u8>> {
        let header = if self.cipher.is_some() { SEALED_HEADER } else { OPEN_HEADER };
        let most = header + zstd::zstd_safe::compress_bound(plain.len());
        let mut object = memory::zeroed(most + TAG).map_err(out_of_memory)?;
        let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
        let length = compressor.compress_to_buffer(plain, &mut object[header..most])?;
        object.truncate(header + length);
        object[..MAGIC.len()].copy_from_slice(MAGIC);
        let Some(cipher) = &self.cipher else {
            let digest = self.digest(name, &object[header..]);
            object[MAGIC.len()] = OPEN;
            object[MAGIC.len() + 1..header].copy_from_slice(digest.as_bytes());
            return Ok(object);
        };
        object[MAGIC.len()] = SEALED;
        let nonce = &mut object[MAGIC.len() + 1..header];
        getrandom::fill(nonce).map_err(io::Error::other)?;
        let nonce = Nonce::try_from(&*nonce).map_err(io::Error::other)?;
        let tag = cipher
            .encrypt_inout_detached(&nonce, &self.context(name), (&mut object[header..]).into())
            .map_err(|_| io::Error::other("the object is too large for AES-GCM"))?;
        object.extend_from_slice(&tag);
        Ok(object)
    }

    /// The data of `object`, which is at most `most` bytes and was stored as `name`.
    ///
    /// # Errors
    /// Any [`ObjectError`].
    pub fn open(
        &self,
        name: &ObjectName,
        object: Vec<u8>,
        most: usize,
    ) -> Result<Zeroizing<Vec<u8>>, ObjectError> {
        let mut object = Zeroizing::new(object);
        if !object.starts_with(&MAGIC[..MAGIC.len() - 1]) {
            return Err(ObjectError::Foreign);
        }
        let too_short = ObjectError::TooShort(object.len());
        let Some(&[version, flags]) = object.get(MAGIC.len() - 1..=MAGIC.len()) else {
            return Err(too_short);
        };
        match (version, flags, &self.cipher) {
            (1, SEALED, Some(cipher)) if object.len() >= SEALED_HEADER + TAG => {
                decompress(self.decrypt(cipher, name, &mut object)?, most)
            }
            (1, OPEN, None) if object.len() >= OPEN_HEADER => {
                let (header, frame) = object.split_at(OPEN_HEADER);
                if header[MAGIC.len() + 1..] != *self.digest(name, frame).as_bytes() {
                    return Err(ObjectError::NotAuthentic);
                }
                decompress(frame, most)
            }
            (1, SEALED, None) => Err(ObjectError::NoKey),
            (1, OPEN, Some(_)) => Err(ObjectError::NotSealed),
            (1, SEALED | OPEN, _) => Err(too_short),
            _ => Err(ObjectError::Newer),
        }
    }

    /// Decrypts in place and returns the frame. `object` has room for header and tag.
    fn decrypt<'a>(
        &self,
        cipher: &Aes256Gcm,
        name: &ObjectName,
        object: &'a mut [u8],
    ) -> Result<&'a [u8], ObjectError> {
        let (header, rest) = object.split_at_mut(SEALED_HEADER);
        let (frame, tag) = rest.split_at_mut(rest.len() - TAG);
        let nonce = Nonce::try_from(&header[MAGIC.len() + 1..]).map_err(|_| ObjectError::NotAuthentic)?;
        let tag = Tag::try_from(&*tag).map_err(|_| ObjectError::NotAuthentic)?;
        cipher
            .decrypt_inout_detached(&nonce, &self.context(name), (&mut *frame).into(), &tag)
            .map_err(|_| ObjectError::NotAuthentic)?;
        Ok(frame)
    }

    /// The store and the name that an object is bound to.
    fn context(&self, name: &ObjectName) -> Vec<u8> {
        [self.store.as_bytes(), name.to_string().as_bytes()].concat()
    }

    /// The digest of an object without encryption. A frame begins with a byte that no name has, so that names and
    /// frames cannot be confused.
    fn digest(&self, name: &ObjectName, frame: &[u8]) -> blake3::Hash {
        blake3::Hasher::new().update(&self.context(name)).update(frame).finalize()
    }
}

/// The data of a frame, at most `most` bytes. Memory is taken as data arrives, whatever the frame promises.
fn decompress(frame: &[u8], most: usize) -> Result<Zeroizing<Vec<u8>>, ObjectError> {
    let damaged = |error: io::Error| match error.to_string() {
        text if text.contains(NO_MEMORY) => ObjectError::Memory(frame.len()),
        text => ObjectError::Frame(text),
    };
    let mut decoder = Decoder::with_buffer(frame).map_err(damaged)?.single_frame();
    decoder.window_log_max(WINDOW_LOG).map_err(damaged)?;
    let promised = zstd::zstd_safe::get_frame_content_size(frame).ok().flatten().unwrap_or(0);
    // One byte more shows whether the data ends there.
    let likely = frame.len().saturating_mul(RATIO).saturating_add(FIRST);
    let mut room = usize::try_from(promised).unwrap_or(usize::MAX).min(likely).min(most).saturating_add(1);
    let (mut plain, mut length) = (Zeroizing::new(Vec::new()), 0);
    loop {
        let mut bigger = Zeroizing::new(memory::zeroed(room).map_err(|_| ObjectError::Memory(room))?);
        bigger[..length].copy_from_slice(&plain);
        plain = bigger;
        while length < plain.len() {
            let read = decoder.read(&mut plain[length..]).map_err(damaged)?;
            if read == 0 {
                plain.truncate(length);
                let behind = decoder.finish().len();
                return if behind == 0 { Ok(plain) } else { Err(ObjectError::Frame("it goes on".into())) };
            }
            length += read;
        }
        if length > most {
            return Err(ObjectError::TooLarge(most));
        }
        room = room.saturating_mul(2).min(most.saturating_add(1));
    }
}

#[cfg(test)]
mod tests;
