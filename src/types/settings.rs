//! Choices that the configuration makes and that several mechanisms share.

use std::fmt;
use std::str::FromStr;

/// The functions that `hash_function` may name: those of Python's hashlib with a fixed digest
/// length, and BLAKE3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashFunction {
    /// MD5, 16 bytes.
    Md5,
    /// SHA-1, 20 bytes.
    Sha1,
    /// SHA-224, 28 bytes.
    Sha224,
    /// SHA-256, 32 bytes.
    Sha256,
    /// SHA-384, 48 bytes.
    Sha384,
    /// SHA-512, 64 bytes: the default.
    Sha512,
    /// BLAKE2b with 64 bytes.
    Blake2b,
    /// BLAKE2s with 32 bytes.
    Blake2s,
    /// SHA3-224, 28 bytes.
    Sha3_224,
    /// SHA3-256, 32 bytes.
    Sha3_256,
    /// SHA3-384, 48 bytes.
    Sha3_384,
    /// SHA3-512, 64 bytes.
    Sha3_512,
    /// BLAKE3 with 32 bytes. Not in hashlib: release 2.13 cannot read what was stored with it.
    Blake3,
}

impl HashFunction {
    /// All of them.
    pub const ALL: [HashFunction; 13] = [
        HashFunction::Md5,
        HashFunction::Sha1,
        HashFunction::Sha224,
        HashFunction::Sha256,
        HashFunction::Sha384,
        HashFunction::Sha512,
        HashFunction::Blake2b,
        HashFunction::Blake2s,
        HashFunction::Sha3_224,
        HashFunction::Sha3_256,
        HashFunction::Sha3_384,
        HashFunction::Sha3_512,
        HashFunction::Blake3,
    ];

    /// The name in the configuration, and in hashlib where that has it.
    pub fn name(self) -> &'static str {
        match self {
            HashFunction::Md5 => "md5",
            HashFunction::Sha1 => "sha1",
            HashFunction::Sha224 => "sha224",
            HashFunction::Sha256 => "sha256",
            HashFunction::Sha384 => "sha384",
            HashFunction::Sha512 => "sha512",
            HashFunction::Blake2b => "blake2b",
            HashFunction::Blake2s => "blake2s",
            HashFunction::Sha3_224 => "sha3_224",
            HashFunction::Sha3_256 => "sha3_256",
            HashFunction::Sha3_384 => "sha3_384",
            HashFunction::Sha3_512 => "sha3_512",
            HashFunction::Blake3 => "blake3",
        }
    }
}

impl fmt::Display for HashFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for HashFunction {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|f| f.name() == text).ok_or(())
    }
}

/// The 32-byte key that wraps the key of every blob. It never shows in a message.
#[derive(Clone, PartialEq, Eq)]
pub struct MasterKey([u8; 32]);

impl MasterKey {
    /// From exactly 64 hex digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let bytes = super::block::from_hex(text)?;
        Some(MasterKey(bytes.try_into().ok()?))
    }

    /// The key itself.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

/// A password or the like. It never shows in a message.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub fn new(text: String) -> Self {
        Secret(text)
    }

    /// The secret itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// When the data of a blob counts as safe, so that its row may be committed (`sync`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Each blob is flushed to disk by itself.
    File,
    /// The file system is flushed once for a batch of blobs.
    #[default]
    Filesystem,
    /// The operating system decides; a power cut may lose blobs whose rows are there.
    None,
}
