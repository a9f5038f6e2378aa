//! Settings that several mechanisms share.

use std::fmt;
use std::str::FromStr;
use zeroize::Zeroizing;

/// The hash functions that `hash_function` may name: those in Python's hashlib with a fixed digest length, and
/// BLAKE3.
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
    /// BLAKE3 with 32 bytes. It is not in hashlib, so release 2.13 cannot read data that was stored with it.
    Blake3,
}

impl HashFunction {
    /// All hash functions.
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

    /// The name in the configuration. Functions that hashlib has carry the same name there.
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

impl HashFunction {
    /// Whether an attacker can make two different blocks with the same checksum. Somebody whose data is backed up
    /// could then plant a block that is restored in place of another user's block.
    pub fn is_weak(self) -> bool {
        matches!(self, HashFunction::Md5 | HashFunction::Sha1)
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

/// The 32-byte key that wraps the key of every blob. It never appears in a message. Its memory is cleared when it is
/// no longer needed.
#[derive(Clone, PartialEq, Eq)]
pub struct MasterKey(Zeroizing<[u8; 32]>);

impl MasterKey {
    /// Parses exactly 64 hex digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let bytes = Zeroizing::new(super::hex::from_hex(text)?);
        Some(MasterKey(Zeroizing::new(bytes.as_slice().try_into().ok()?)))
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

/// A password or a similar secret. It never appears in a message, and its memory is cleared when it is no longer
/// needed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes `text` as a secret.
    pub fn new(text: String) -> Self {
        Secret(Zeroizing::new(text))
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

/// The point at which the data of a blob counts as safe, so that its row may be committed (setting `sync`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Each blob is flushed to disk individually.
    File,
    /// The file system is flushed once per batch of blobs.
    #[default]
    Filesystem,
    /// The operating system decides when it writes. A power cut may lose blobs whose rows are already committed.
    None,
}

/// The permission bits of the files that the program creates (setting `file_mode`, default 0600). Folders get the
/// same bits, and execute permission for everybody who can read. The owner can always read and write; only the owner
/// and the group can write; no file is executable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileMode(u32);

impl FileMode {
    /// Only the owner has access: 0600, and 0700 for folders.
    pub const PRIVATE: FileMode = FileMode(0o600);
    /// Everybody can read. For files without secrets, such as documentation.
    pub const PUBLIC: FileMode = FileMode(0o644);

    /// Parses octal digits as `chmod` takes them: three digits, or four with a leading zero, or with the prefix `0o`
    /// as in TOML.
    ///
    /// # Errors
    /// The reason why `text` is refused, as the end of a sentence that begins with the value.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const FORM: &str = "is not an octal number such as 0600 or 0640";
        let digits = text.strip_prefix("0o").unwrap_or(text);
        let digits = digits.strip_prefix('0').filter(|rest| rest.len() == 3).unwrap_or(digits);
        if digits.len() != 3 || !digits.bytes().all(|c| (b'0'..=b'7').contains(&c)) {
            return Err(FORM);
        }
        let mode = u32::from_str_radix(digits, 8).map_err(|_| FORM)?;
        let (owner, group, others) = (mode >> 6, mode >> 3 & 7, mode & 7);
        if others & 2 != 0 {
            return Err("lets everybody write: people who can change backups control what is restored");
        }
        if mode & 0o111 != 0 {
            return Err("contains a 1 (execute permission), but backups are plain files. Folders get that \
                        permission automatically");
        }
        if owner != 6 || group & 2 > group & 4 || others & !group != 0 {
            return Err(
                "makes no sense: the owner needs read and write permission (6), and others must not \
                        have more than the group",
            );
        }
        Ok(FileMode(mode))
    }

    /// The permission bits of a file.
    pub fn file(self) -> u32 {
        self.0
    }

    /// The permission bits of a folder. Everybody who can read the files can enter the folder.
    pub fn folder(self) -> u32 {
        self.0 | (self.0 & 0o444) >> 2
    }

    /// Whether the group or others have any permission.
    pub fn is_shared(self) -> bool {
        self.0 & 0o077 != 0
    }
}

impl Default for FileMode {
    fn default() -> Self {
        Self::PRIVATE
    }
}

impl fmt::Display for FileMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_octal_and_folders_can_be_entered_by_those_who_may_read() {
        for (text, file, folder) in [
            ("0600", 0o600, 0o700),
            ("600", 0o600, 0o700),
            ("0o640", 0o640, 0o750),
            ("0660", 0o660, 0o770),
            ("644", 0o644, 0o755),
            ("0664", 0o664, 0o775),
        ] {
            let mode = FileMode::parse(text).expect(text);
            assert_eq!((mode.file(), mode.folder()), (file, folder), "{text}");
            assert_eq!(mode.is_shared(), file != 0o600);
        }
        assert_eq!(FileMode::parse("640").expect("good").to_string(), "0640");
    }

    #[test]
    fn modes_that_let_everybody_write_or_make_no_sense_are_refused() {
        for (text, why) in [
            ("0666", "everybody"),
            ("0602", "everybody"),
            ("777", "everybody"),
            ("0700", "execute"),
            ("0650", "execute"),
            ("0400", "no sense"),
            ("0000", "no sense"),
            ("0620", "no sense"),
            ("0604", "no sense"),
            ("", "octal"),
            ("0", "octal"),
            ("60", "octal"),
            ("01600", "octal"),
            ("4600", "octal"),
            ("0690", "octal"),
            ("rw-------", "octal"),
            ("+600", "octal"),
        ] {
            let error = FileMode::parse(text).expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
