//! Converts data to blobs and back: compression, encryption, and key wrapping.
//!
//! Encryption version 0 is the plain data. In version 1, as backy2 has written it since 2.12:
//!
//! 1. The data is compressed into one zstandard frame of level 1, with the content size in its header.
//! 2. The frame is encrypted with AES-256-GCM, with a fresh 32-byte key, a fresh 16-byte nonce and no associated data.
//! 3. The blob is `tag (16) || nonce (16) || ciphertext`.
//! 4. The key is wrapped with the master key (RFC 3394) and stored in the metadata, not in the blob.
//!
//! With a 16-byte nonce, GCM derives its first counter by GHASH (NIST SP 800-38D, 7.1 step 2), not by the shortcut for
//! 12 bytes.
//!
//! [`Sealer`] does the same for objects beside the blobs, with one key for all objects of a store ([`StoreKey`]).

mod keys;
mod seal;
mod store_key;
mod vectors;

pub use keys::Keyring;
pub use seal::{ObjectError, Sealer};
pub use store_key::{Purpose, StoreKey, identity_key, rows_key};

use crate::sys::memory;
use crate::types::block::Encryption;
use crate::types::error::Error;
use crate::types::hex::{from_hex, to_hex};
use aes_gcm::aead::consts::U16;
use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::aes::Aes256;
use aes_gcm::{AesGcm, Nonce, Tag};
use zeroize::Zeroizing;

/// AES-256-GCM with the nonce size of version 1.
type Gcm = AesGcm<Aes256, U16>;

const TAG: usize = 16;
const NONCE: usize = 16;
/// Bytes before the ciphertext.
const HEADER: usize = TAG + NONCE;
/// The lowest level, as in 2.13, because zstd is the slowest stage for new data.
const LEVEL: i32 = 1;

/// The text of zstd's error for a lack of memory.
const NO_MEMORY: &str = "not enough memory";

/// The reason why a blob cannot be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The blob is encrypted, but the configuration has no key.
    #[error("it is encrypted and no encryption_key is configured")]
    NoKey,
    /// The master key does not unwrap the blob's key.
    #[error("the configured encryption_key does not open its key")]
    KeyUnwrap,
    /// The metadata's `enc_envkey` is not 80 hex digits.
    #[error("its enc_envkey in the database is not a wrapped key")]
    KeyField,
    /// The blob is shorter than tag and nonce.
    #[error("it has only {0} bytes")]
    TooShort(usize),
    /// The tag does not verify.
    #[error("its authentication tag does not verify")]
    Tag,
    /// The frame does not decompress to the expected size.
    #[error("its compressed data is damaged: {0}")]
    Frame(String),
    /// No release has written this version.
    #[error("this release does not know encryption version {0}")]
    Version(u32),
    /// There is not enough memory for this many bytes. The blob may be good.
    #[error("there is no memory for its {0} bytes")]
    Memory(usize),
}

/// Whether a blob of `bytes` bytes can hold a block of `size` plain bytes, judging by its encryption version alone. A
/// blob that is cut off, empty or far too long cannot.
pub fn may_hold(version: u32, bytes: u64, size: u64) -> bool {
    match version {
        0 => bytes == size,
        _ => {
            let frame =
                usize::try_from(size).map_or(u64::MAX, |size| zstd::zstd_safe::compress_bound(size) as u64);
            // Frames of other programs may end with a checksum.
            let most = frame.saturating_add(HEADER as u64 + 4);
            bytes > HEADER as u64 && bytes <= most
        }
    }
}

/// Encodes plain blocks as blobs. Each thread has its own, which holds the compressor's memory and the output buffer.
pub struct Encoder<'k> {
    version: u32,
    keys: &'k Keyring,
    compressor: zstd::bulk::Compressor<'static>,
    frame: Vec<u8>,
}

impl<'k> Encoder<'k> {
    /// An encoder for encryption version `version` (0 or 1).
    ///
    /// # Errors
    /// There is no memory for the compressor.
    pub fn new(version: u32, keys: &'k Keyring) -> std::io::Result<Self> {
        let compressor = zstd::bulk::Compressor::new(LEVEL)?;
        Ok(Encoder { version, keys, compressor, frame: Vec::new() })
    }

    /// The blob for `plain`, and its encryption parameters for the metadata. The bytes live until the next call.
    ///
    /// # Errors
    /// There is no master key, or there are no random numbers or no memory.
    pub fn encode<'a>(&'a mut self, plain: &'a [u8]) -> std::io::Result<(&'a [u8], Encryption)> {
        if self.version == 0 {
            return Ok((plain, Encryption::default()));
        }
        let mut random = Zeroizing::new([0u8; 32 + NONCE]);
        getrandom::fill(&mut *random).map_err(std::io::Error::other)?;
        let (key, nonce) = random.split_at(32);
        let wrapped = self.keys.wrap(key).map_err(std::io::Error::other)?;
        let length = self.compress_behind_header(plain)?;
        let (header, frame) = self.frame[..length].split_at_mut(HEADER);
        let cipher = cipher(key).map_err(std::io::Error::other)?;
        let gcm_nonce = Nonce::<U16>::try_from(nonce).map_err(std::io::Error::other)?;
        let tag = cipher
            .encrypt_inout_detached(&gcm_nonce, &[], frame.into())
            .map_err(|_| std::io::Error::other("the block is too large for AES-GCM"))?;
        header[..TAG].copy_from_slice(&tag);
        header[TAG..].copy_from_slice(nonce);
        let encryption =
            Encryption { version: 1, envkey: Some(to_hex(&wrapped)), nonce: Some(to_hex(nonce)) };
        Ok((&self.frame[..length], encryption))
    }

    /// Compresses into `self.frame`, leaving room for the header before the frame, so that no second copy is needed.
    /// Returns the length of both. Bytes after that are not cleared, because the buffer is reused for every block.
    fn compress_behind_header(&mut self, plain: &[u8]) -> std::io::Result<usize> {
        let room = HEADER + zstd::zstd_safe::compress_bound(plain.len());
        if self.frame.len() < room {
            let more = room - self.frame.len();
            memory::reserve(&mut self.frame, more).map_err(out_of_memory)?;
            self.frame.resize(room, 0);
        }
        let written = self.compressor.compress_to_buffer(plain, &mut self.frame[HEADER..room])?;
        Ok(HEADER + written)
    }
}

/// Decodes blobs. Each thread has its own, which holds the decompressor's memory.
pub struct Decoder<'k> {
    keys: &'k Keyring,
    decompressor: zstd::bulk::Decompressor<'static>,
}

impl<'k> Decoder<'k> {
    /// A decoder for all encryption versions.
    ///
    /// # Errors
    /// There is no memory for the decompressor.
    pub fn new(keys: &'k Keyring) -> std::io::Result<Self> {
        Ok(Decoder { keys, decompressor: zstd::bulk::Decompressor::new()? })
    }

    /// Decodes `blob` into `plain` (cleared first). `size` is the plain size from the metadata, in bytes. A frame with
    /// more data is refused before memory is allocated for it. The result may be shorter than `size` or, for version 0,
    /// longer, so the caller must compare. `blob` is used as working memory.
    ///
    /// # Errors
    /// Any [`DecodeError`]. `plain` is then empty.
    pub fn decode(
        &mut self,
        blob: &mut Vec<u8>,
        encryption: &Encryption,
        size: u64,
        plain: &mut Vec<u8>,
    ) -> Result<(), DecodeError> {
        plain.clear();
        match encryption.version {
            0 => {
                std::mem::swap(blob, plain);
                Ok(())
            }
            1 => {
                let frame = self.open(blob, encryption)?;
                let size = usize::try_from(size).map_err(|_| DecodeError::Frame("too large".into()))?;
                memory::reserve(plain, size).map_err(|_| DecodeError::Memory(size))?;
                self.decompressor.decompress_to_buffer(frame, plain).map(drop).map_err(|e| {
                    plain.clear();
                    match e.to_string() {
                        text if text.contains(NO_MEMORY) => DecodeError::Memory(size),
                        text => DecodeError::Frame(text),
                    }
                })
            }
            other => Err(DecodeError::Version(other)),
        }
    }

    /// Decrypts in place and returns the frame.
    fn open<'a>(&self, blob: &'a mut [u8], encryption: &Encryption) -> Result<&'a [u8], DecodeError> {
        let key = self.keys.unwrap(encryption.envkey.as_deref().unwrap_or_default())?;
        if blob.len() <= HEADER {
            return Err(DecodeError::TooShort(blob.len()));
        }
        let (header, frame) = blob.split_at_mut(HEADER);
        let tag = Tag::try_from(&header[..TAG]).map_err(|_| DecodeError::Tag)?;
        let nonce = Nonce::<U16>::try_from(&header[TAG..]).map_err(|_| DecodeError::Tag)?;
        let cipher = cipher(&*key).map_err(|_| DecodeError::KeyField)?;
        cipher
            .decrypt_inout_detached(&nonce, &[], (&mut *frame).into(), &tag)
            .map_err(|_| DecodeError::Tag)?;
        Ok(frame)
    }
}

/// The cipher for one blob, prepared for a long computation.
fn cipher(key: &[u8]) -> Result<Gcm, aes_gcm::aes::cipher::InvalidLength> {
    let cipher = Gcm::new_from_slice(key);
    // To set up and wrap keys, the library uses vector instructions, and it does not clear the registers afterwards.
    vectors::clear_upper();
    cipher
}

/// A lack of memory as the error of an encoder.
fn out_of_memory(error: Error) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::OutOfMemory, error.line())
}

/// Reads the wrapped key from the hex digits in the metadata.
fn wrapped_key(envkey: &str) -> Result<[u8; 40], DecodeError> {
    from_hex(envkey).and_then(|bytes| bytes.try_into().ok()).ok_or(DecodeError::KeyField)
}

#[cfg(test)]
mod tests;
